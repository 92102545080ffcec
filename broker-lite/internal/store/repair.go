package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// ErrNeedsCut refuses to repair a log that is damaged in its middle without a cut.
var ErrNeedsCut = errors.New("records are damaged in the middle of the commit log; restore the files from a copy, or cut the damaged records out")

// Repaired is what Repair found and did.
type Repaired struct {
	Before *Inspection
	After  *Inspection // nil when nothing was changed
	Backup string      // where the files are as they were; "" when nothing was changed
}

// Repair brings a closed store to the state in which Inspect finds nothing: it cuts
// off a torn end and builds the consume queues anew where they are damaged. With
// cut it also replaces damaged records by a note of what was lost; their queue
// offsets are passed over from then on. What it changes it copies first, to a
// directory beside the store.
func Repair(ctx context.Context, o Options, cut bool, progress func(done, total int64)) (done Repaired, err error) {
	s, err := openClosed(o)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, s.lock.Close()) }()
	if done.Before, err = inspectAgain(ctx, s, progress); err != nil {
		return done, err
	}
	r := done.Before
	switch {
	case r.ProblemsFound == 0 && r.Unindexed == 0 && !r.OlderFormat:
		return done, nil
	case r.has(LogDamage) && !cut:
		return done, ErrNeedsCut
	case r.ProblemsFound > len(r.Problems):
		return done, fmt.Errorf("there are %d damaged places, more than %d: restore the store from a copy", r.ProblemsFound, len(r.Problems))
	}
	if done.Backup, err = s.backUp(ctx, r); err != nil {
		return done, fmt.Errorf("nothing was changed: back up: %w", err)
	}
	if err := s.repair(ctx, r); err != nil {
		return done, fmt.Errorf("%w; the files as they were are in %s", err, done.Backup)
	}
	if done.After, err = inspectAgain(ctx, s, progress); err != nil {
		return done, err
	}
	if n := done.After.ProblemsFound; n > 0 {
		return done, fmt.Errorf("%d damaged places are left, the first is %s; the files as they were are in %s", n, &done.After.Problems[0], done.Backup)
	}
	return done, nil
}

// inspectAgain inspects with nothing remembered, under s's lock.
func inspectAgain(ctx context.Context, s *Store, progress func(done, total int64)) (*Inspection, error) {
	look := newStore(s.opt, noLock{})
	report, err := inspect(ctx, look, progress)
	return report, errors.Join(err, look.release())
}

type noLock struct{}

func (noLock) Close() error { return nil }

func (s *Store) repair(ctx context.Context, r *Inspection) error {
	for i := range r.Problems {
		if p := &r.Problems[i]; p.Kind == LogDamage {
			if err := s.cutOut(p); err != nil {
				return fmt.Errorf("cut out %s: %w", p, err)
			}
		}
	}
	if r.has(LogDamage) || r.has(QueueDamage) {
		if err := removeCheckpoint(s.opt.FS, s.opt.Dir); err != nil {
			return err
		}
	}
	whole, err := start(ctx, s.opt, noLock{})
	if err != nil {
		return err
	}
	return whole.Close()
}

// backUp copies what a repair may change.
func (s *Store) backUp(ctx context.Context, r *Inspection) (dir string, err error) {
	fsys := s.opt.FS
	var names []string // below the store's directory
	size := int64(0)
	add := func(path string, n int64) { names, size = append(names, path), size+n }
	var walk func(path string) error
	walk = func(path string) error {
		info, err := fsys.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			add(path, info.Size())
			return nil
		}
		entries, err := fsys.ReadDir(path)
		for _, e := range entries {
			err = errors.Join(err, walk(filepath.Join(path, e.Name())))
		}
		return err
	}
	for _, name := range []string{checkpointName, checkpointName + ".bak", flushedName, consumeQueueDir} {
		err = errors.Join(err, walk(filepath.Join(s.opt.Dir, name)))
	}
	var files []string
	for i := range r.Problems {
		if p := &r.Problems[i]; p.Kind != QueueDamage && !slices.Contains(files, p.File) {
			files = append(files, p.File)
			err = errors.Join(err, walk(p.File))
		}
	}
	if err != nil {
		return "", err
	}
	dir = filepath.Clean(s.opt.Dir) + ".backup-" + s.opt.Now().Format("20060102-150405.000")
	if sp, err := fsys.Space(filepath.Dir(dir)); err == nil && sp.Available < size {
		return "", fmt.Errorf("%s needs %d bytes and the disk has %d left; free disk space", dir, size, sp.Available)
	}
	for _, name := range names {
		if err := copyFile(ctx, fsys, name, backupName(s.opt, dir, name)); err != nil {
			return "", errors.Join(err, vfs.RemoveTree(fsys, dir)) // half a copy only takes room
		}
	}
	return dir, vfs.MkdirAllSync(fsys, dir, 0o755)
}

// backupName is where a file goes: where it is in the store, and the log's files
// under commitlog wherever they are.
func backupName(o Options, dir, name string) string {
	if filepath.Dir(name) == o.CommitLogDir {
		return filepath.Join(dir, commitLogName, filepath.Base(name))
	}
	rest, err := filepath.Rel(o.Dir, name)
	if err != nil {
		rest = filepath.Base(name)
	}
	return filepath.Join(dir, rest)
}

func copyFile(ctx context.Context, fsys vfs.FS, from, to string) (err error) {
	if err := vfs.MkdirAllSync(fsys, filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := fsys.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := fsys.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := in.ReadAt(buf, at)
		if n > 0 {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(to))
}

// stampAt is the store time of the record at a physical offset, or now.
func (s *Store) stampAt(phys int64) int64 {
	now := s.opt.Now().UnixMilli()
	firsts, err := listOffsets(s.opt.FS, s.log.dir)
	i, _ := slices.BinarySearch(firsts, phys+1)
	if err != nil || i == 0 {
		return now
	}
	f, err := s.opt.FS.OpenFile(s.log.path(firsts[i-1]), os.O_RDONLY, 0)
	if err != nil {
		return now
	}
	head := make([]byte, recordHead)
	_, err = f.ReadAt(head, phys-firsts[i-1])
	if err = errors.Join(err, f.Close()); err != nil || int64(binary.BigEndian.Uint64(head[recordPhysicalOffset:])) != phys {
		return now
	}
	return int64(binary.BigEndian.Uint64(head[storeTimestampAt(head):]))
}
