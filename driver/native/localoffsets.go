package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Where Apache's clients keep the offsets of broadcast groups (LocalFileOffsetStore):
// <home>/.rocketmq_offsets/<client id>/<group>/offsets.json. Here the instance name
// takes the place of the client id, which has the address in it: that changes.
const (
	offsetsDir      = ".rocketmq_offsets"
	offsetsFile     = "offsets.json"
	defaultInstance = "DEFAULT"
	// maxOffsets bounds the file that is read.
	maxOffsets = 64 << 20
)

// localOffsets are the offsets of a broadcast group, in memory and in a file that is
// replaced as a whole.
type localOffsets struct {
	path   string
	unlock func() error // of the file beside it that tells other processes

	turn sync.Mutex // one writer at a time; held across I/O, taken before mu by nobody else

	mu      sync.Mutex // guards the following
	offsets map[protocol.MessageQueue]int64
	dirty   bool
}

// offsetsPath is the file of a group.
func offsetsPath(b *driver.Broadcast, group string) (string, error) {
	dir, instance := b.Dir, b.Instance
	if instance == "" {
		instance = defaultInstance
	}
	if strings.ContainsAny(instance, `/\:`) || instance == "." || instance == ".." {
		return "", fmt.Errorf("broadcast instance %q is to be the name of a directory; leave out path separators", instance)
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place for the offsets of a broadcast group: %w; give a directory", err)
		}
		dir = filepath.Join(home, offsetsDir)
	}
	// "|" is legal in groups and not in every file's name, "+" the other way round.
	return filepath.Join(dir, instance, strings.ReplaceAll(group, "|", "+"), offsetsFile), nil
}

// openOffsets reads the file, if there is one, and keeps other processes from it.
func openOffsets(path string) (_ *localOffsets, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("the offsets of a broadcast group: %w", err)
	}
	unlock, err := lockOffsets(path + ".lock")
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%s is another member's: give each process of a broadcast group on one machine an instance name of its own: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the offsets of a broadcast group: %w", err)
	}
	l := &localOffsets{path: path, unlock: unlock, offsets: make(map[protocol.MessageQueue]int64)}
	if err := l.read(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return l, nil
}

func (l *localOffsets) read() error {
	info, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > maxOffsets {
		err = fmt.Errorf("it has %d bytes, at most %d are read", info.Size(), maxOffsets)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(l.path)
	}
	var offsets map[protocol.MessageQueue]int64
	if err == nil {
		offsets, err = protocol.DecodeOffsetTable(data)
	}
	if err != nil {
		return fmt.Errorf("cannot read the offsets of a broadcast group from %s: %w; move the file away to begin anew", l.path, err)
	}
	maps.Copy(l.offsets, offsets)
	return nil
}

func (l *localOffsets) get(q protocol.MessageQueue) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	offset, ok := l.offsets[q]
	return offset, ok
}

func (l *localOffsets) set(q protocol.MessageQueue, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.offsets[q]; !ok || before != offset {
		l.offsets[q], l.dirty = offset, true
	}
}

// changed is a copy of the offsets when they are to be written.
func (l *localOffsets) changed() (map[protocol.MessageQueue]int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return nil, false
	}
	l.dirty = false
	return maps.Clone(l.offsets), true
}

// write makes the file say what memory does: a new one is written, synced and put in
// the old one's place.
func (l *localOffsets) write() error {
	l.turn.Lock()
	defer l.turn.Unlock()
	offsets, ok := l.changed()
	if !ok {
		return nil
	}
	if err := replaceFile(l.path, protocol.EncodeOffsetTable(offsets)); err != nil {
		l.mu.Lock()
		l.dirty = true
		l.mu.Unlock()
		return fmt.Errorf("write the offsets of a broadcast group: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) (err error) {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// openLocal opens the offsets of a broadcast group, and keeps the file up to date until
// closeLocal.
func (s *subscription) openLocal() error {
	if s.cfg.Broadcast == nil {
		return nil
	}
	path, err := offsetsPath(s.cfg.Broadcast, s.cfg.Group)
	if err != nil {
		return err
	}
	local, err := openOffsets(path)
	if err != nil {
		return err
	}
	s.local = local
	s.written = make(chan struct{})
	if !s.c.run(func() { s.keepWriting(local) }) {
		close(s.written)
	}
	return nil
}

// keepWriting writes what changed every CommitInterval.
func (s *subscription) keepWriting(local *localOffsets) {
	defer close(s.written)
	tick := time.NewTicker(s.cfg.CommitInterval)
	defer tick.Stop()
	var complaints seldom
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if err := local.write(); err != nil {
			complaints.warn(s.c.log, "could not store the offsets of a broadcast group; trying again", "group", s.group, "error", err)
		}
	}
}

// closeLocal writes the last offsets and lets others have the file.
func (s *subscription) closeLocal() error {
	if s.local == nil {
		return nil
	}
	s.cancel(context.Canceled) // when it never started
	<-s.written
	if err := errors.Join(s.local.write(), s.local.unlock()); err != nil {
		return fmt.Errorf("leave broadcast group %q: its last messages will be delivered again: %w", s.group, err)
	}
	return nil
}
