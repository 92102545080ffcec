package load_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
)

// applied takes the configurations of a watcher and refuses those of group "refused".
type applied chan string

var errRefused = errors.New("refused: the group is not liked")

func (a applied) apply(c config.Config) error {
	a <- c.Producer.Group
	if c.Producer.Group == "refused" {
		return errRefused
	}
	return nil
}

func (a applied) want(t *testing.T, group string) {
	t.Helper()
	select {
	case got := <-a:
		if got != group {
			t.Fatalf("applied %q, want %q", got, group)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%q was not applied", group)
	}
}

// text is a log that is read while it is written.
type text struct {
	mu sync.Mutex // guards the following
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) count(part string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Count(t.b.String(), part)
}

func groupFile(t *testing.T, path, group string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("producer: {group: "+group+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func watch(t *testing.T, opts ...load.Option) (*load.Watcher, applied) {
	t.Helper()
	a := make(applied, 10)
	w := load.NewWatcher(a.apply, append(opts, load.Environ(nil))...)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if len(a) > 0 {
			t.Errorf("applied %q, too", <-a)
		}
	})
	return w, a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatChangesIsLoadedAnew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, path string){
		"written in place": func(t *testing.T, path string) { groupFile(t, path, "b") },
		"replaced by another, as editors do": func(t *testing.T, path string) {
			groupFile(t, path+".tmp", "b")
			must(t, os.Rename(path+".tmp", path))
		},
		"removed and made again": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			groupFile(t, path, "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.yaml")
			groupFile(t, path, "a")
			_, a := watch(t, load.File(path))
			a.want(t, "a")
			change(t, path)
			a.want(t, "b")
			groupFile(t, path, "c")
			a.want(t, "c")
		})
	}
}

// A ConfigMap's files link to a folder that a link names, which Kubernetes replaces.
func TestTheLinksOfAConfigMapAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name, group string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		groupFile(t, filepath.Join(dir, name, "app.yaml"), group)
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "a")
	path := filepath.Join(dir, "app.yaml")
	must(t, os.Symlink(filepath.Join("..data", "app.yaml"), path))
	_, a := watch(t, load.File(path))
	a.want(t, "a")
	version("..2", "b")
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	a.want(t, "b")
	version("..3", "c")
	a.want(t, "c")
	groupFile(t, filepath.Join(dir, "..3", "app.yaml"), "d") // where the links lead now
	a.want(t, "d")
}

func TestFilesThatAreWrongAreReportedOnceAndChangeNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.yaml")
	groupFile(t, path, "a")
	var log text
	w, a := watch(t, load.File(path), load.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	a.want(t, "a")
	reported := 0
	wrong := func(what, why string) {
		t.Helper()
		reported++
		for deadline := time.Now().Add(10 * time.Second); log.count("the configuration stays as it was") < reported; {
			if time.Now().After(deadline) {
				t.Fatalf("%s was not reported", what)
			}
			select {
			case got := <-a:
				t.Fatalf("%s: applied %q", what, got)
			case <-time.After(5 * time.Millisecond):
			}
		}
		for len(a) > 0 { // what was logged before it was looked at here
			if got := <-a; got != "refused" {
				t.Fatalf("%s: applied %q", what, got)
			}
		}
		if err := w.Err(); err == nil || !strings.Contains(err.Error(), why) || log.count(path) < reported {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.WriteFile(path, []byte("producer: {grup: b}\n"), 0o600))
	wrong("an unknown key", `the nearest is "producer.group"`)
	must(t, os.WriteFile(path, nil, 0o600))
	wrong("an empty file", "is empty")
	must(t, os.Remove(path))
	wrong("no file", "no such file")
	groupFile(t, path, "refused")
	a.want(t, "refused") // before the report, which follows
	wrong("what is refused", errRefused.Error())
	groupFile(t, path, "a")
	a.want(t, "a")
	for w.Err() != nil {
		if t.Context().Err() != nil {
			t.Fatal(w.Err())
		}
	}
	if n := log.count("the configuration stays as it was"); n != reported {
		t.Errorf("%d reports, want %d", n, reported)
	}
	if n := log.count("the configuration's files are right again"); n != 1 {
		t.Errorf("%d reports that all is well, want 1", n)
	}
}

func TestAFolderThatIsGoneIsFoundAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "etc")
	path := filepath.Join(dir, "app.yaml")
	made := func(group string) {
		must(t, os.Mkdir(dir, 0o700))
		groupFile(t, path, group)
	}
	made("a")
	var log text
	w, a := watch(t, load.File(path), load.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	a.want(t, "a")
	must(t, os.RemoveAll(dir))
	for deadline := time.Now().Add(10 * time.Second); w.Err() == nil; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("that it is gone is no error")
		}
	}
	<-time.After(2500 * time.Millisecond) // no event tells when it is back
	made("b")
	a.want(t, "b")
	groupFile(t, path, "c")
	a.want(t, "c")
	if n := log.count("the configuration stays as it was"); n > 3 { // no file, no folder, and perhaps half a file
		t.Errorf("%d reports", n)
	}
}

func TestAWatcherNeedsFilesThatCanBeWatched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		opt  load.Option
		want string
	}{
		"no file":   {load.Data("x", "yaml", nil), "nothing to watch"},
		"no folder": {load.File(filepath.Join(dir, "none", "app.yaml")), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := load.NewWatcher(make(applied, 1).apply, tc.opt, load.Environ(nil))
			if err := w.Start(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if err := w.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if err := w.Start(t.Context()); err == nil {
				t.Error("it starts after its end")
			}
		})
	}
}

// What the application read once it would not read again: nothing may seem to take effect.
func TestAWatcherRefusesAnotherSectionOfTheApplication(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.yaml")
	write := func(group, addr string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte("rocketmq: {producer: {group: "+group+"}}\nshop: {addr: \""+addr+"\", tags: [a]}\n"), 0o600))
	}
	write("a", ":1")
	own := defaults()
	own.Hook = func() {} // which nothing compares
	section := load.Section("shop", &own)
	if _, err := load.Load(load.File(path), section, load.Environ(nil)); err != nil {
		t.Fatal(err)
	}
	var log text
	w, a := watch(t, load.File(path), section, load.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	a.want(t, "a")
	write("b", ":2")
	for w.Err() == nil {
		select {
		case got := <-a:
			t.Fatalf("applied %q with another section", got)
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("nobody noticed")
		}
	}
	if err := w.Err(); !strings.Contains(err.Error(), `restart required`) || !strings.Contains(err.Error(), `"shop" while it runs, and shop.addr says something else`) || own.Addr != ":1" {
		t.Errorf("%v, %s", err, own.Addr)
	}
	write("c", ":1")
	a.want(t, "c")
	if log.count("restart required") != 1 {
		t.Errorf("it was not logged once: %s", log.b.String())
	}
}
