package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/rocketkit/rocketkit/config"
)

// settle is how long a file is left alone before it is read: editors and Kubernetes
// change one in several steps.
const settle = 100 * time.Millisecond

// rewatch is when a folder is looked for again that cannot be watched: nobody tells when
// it is back.
const rewatch = time.Second

// Watcher loads a configuration anew when its files change. It is a Runner of
// rocketkit.Run, behind the client.
type Watcher struct {
	apply func(config.Config) error
	src   sources
	seen  [][]byte        // each file's text when it was last applied, or failed
	own   []reflect.Value // the application's sections, as Load or the first look has read them
	blind bool            // not all is watched

	events *fsnotify.Watcher
	stop   chan struct{}
	over   sync.WaitGroup

	mu    sync.Mutex // guards the following
	state watching
	err   error
}

type watching int

const (
	unwatched watching = iota
	watched
	stopped
)

// NewWatcher makes a watcher of the Files among opts, which are those of Load. apply,
// such as a client's Reload, is called with each configuration that was read, and keeps
// the old one when it returns an error. A file that cannot be read changes nothing. Each
// failure is logged, see Logger, and is Err until the files are right again.
//
// The folders are watched, not the files, so that a file which is replaced, as editors
// do, and links that are, as those of a Kubernetes ConfigMap, are noticed.
func NewWatcher(apply func(config.Config) error, opts ...Option) *Watcher {
	return &Watcher{apply: apply, src: gather(opts), stop: make(chan struct{})}
}

// Start applies what the files say soon, and again when they change, until Drain. Its
// error is that they cannot be watched.
func (w *Watcher) Start(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != unwatched {
		return errors.New("config: a watcher starts once; make a new one")
	}
	if len(w.src.paths()) == 0 {
		return errors.New("config: there is nothing to watch; name a file by load.File")
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("config: watch files: %w", err)
	}
	w.events = events
	if err := w.watch(); err != nil {
		return errors.Join(err, events.Close())
	}
	w.state = watched
	w.over.Go(w.run)
	return nil
}

// Drain ends the watching.
func (w *Watcher) Drain(context.Context) error {
	w.mu.Lock()
	was := w.state
	w.state = stopped
	w.mu.Unlock()
	if was != watched {
		return nil
	}
	close(w.stop)
	w.over.Wait()
	if err := w.events.Close(); err != nil {
		return fmt.Errorf("config: end watching files: %w", err)
	}
	return nil
}

// Err is why the files as they are now did not take effect, nil when they did.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// run owns seen, own and blind.
func (w *Watcher) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := true // of the timer: a folder where something happens all the time is looked at, too
	soon := func() {
		if !due {
			due = true
			timer.Reset(settle)
		}
	}
	for {
		select {
		case <-w.stop:
			return
		case <-w.events.Events:
			soon()
		case err := <-w.events.Errors:
			w.src.logger.Warn("watching the configuration's files", "error", err)
			soon() // something may have been missed
		case <-timer.C:
			if due = !w.look(); due {
				timer.Reset(rewatch)
			}
		}
	}
}

// look reads what may have changed; complete says that all is watched.
func (w *Watcher) look() (complete bool) {
	unwatched := w.watch() // links may lead elsewhere by now
	changed, err := w.reload()
	err = errors.Join(err, unwatched)
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh := changed || unwatched != nil && !w.blind
	w.blind = unwatched != nil
	if changed {
		if w.err != nil && err == nil {
			w.src.logger.Info("the configuration's files are right again", "files", w.src.paths())
		}
		w.err = err
	}
	if err != nil && fresh {
		w.src.logger.Error("the configuration stays as it was", "files", w.src.paths(), "error", err)
	}
	return unwatched == nil
}

// watch watches the folders of the files, and of what these link to.
func (w *Watcher) watch() error {
	var errs []error
	for _, path := range w.src.paths() {
		errs = append(errs, w.events.Add(filepath.Dir(path)))
		if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != filepath.Dir(path) {
			errs = append(errs, w.events.Add(filepath.Dir(real)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("config: watch files: %w", err)
	}
	return nil
}

// reload applies the files if they are others than before.
func (w *Watcher) reload() (changed bool, err error) {
	texts := make([][]byte, 0, len(w.src.paths()))
	for _, path := range w.src.paths() {
		text, err := os.ReadFile(path)
		if err != nil {
			text = []byte(err.Error()) // so that it is reported once
		}
		texts = append(texts, text)
	}
	same := len(w.seen) == len(texts)
	for i := range texts {
		same = same && bytes.Equal(texts[i], w.seen[i])
	}
	if same {
		return false, nil
	}
	w.seen = texts
	for i, path := range w.src.paths() {
		if len(bytes.TrimSpace(texts[i])) == 0 {
			return true, fmt.Errorf("config %s: the file is empty", path)
		}
	}
	cfg, own, err := w.src.load()
	if err != nil {
		return true, err
	}
	if err := w.same(own); err != nil {
		return true, err
	}
	if err := w.apply(cfg); err != nil {
		return true, err
	}
	return true, nil
}

// same refuses another content of the application's sections, which nobody would act on.
func (w *Watcher) same(own []reflect.Value) error {
	if w.own == nil {
		w.own = slices.Clone(own)
		for i, o := range w.src.sections {
			if o.loaded.IsValid() {
				w.own[i] = o.loaded
			}
		}
	}
	var errs []error
	for i, o := range w.src.sections {
		if keys := differing(own[i], w.own[i], o.name); len(keys) > 0 {
			errs = append(errs, fmt.Errorf("config: restart required: nothing was changed, since the application does not read section %q while it runs, and %s says something else", o.name, strings.Join(keys, ", ")))
		}
	}
	return errors.Join(errs...)
}

// Logger takes what a Watcher has to say; nothing is logged without one.
func Logger(l *slog.Logger) Option {
	return func(s *sources) {
		if l != nil {
			s.logger = l
		}
	}
}

// paths are the files to read.
func (s *sources) paths() []string {
	var all []string
	for _, f := range s.files {
		if f.data == nil {
			all = append(all, f.name)
		}
	}
	return all
}
