package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked is returned by FS.Lock when another holder has the lock.
var ErrLocked = errors.New("locked by another process")

// FS is what the broker needs of a file system. Names are paths as package os
// takes them. Errors satisfy errors.Is for fs.ErrNotExist and fs.ErrExist, and
// name the path. All methods may be called from several goroutines.
type FS interface {
	// OpenFile opens a regular file; flag is built from os.O_RDONLY, O_RDWR,
	// O_CREATE, O_EXCL and O_TRUNC.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// Rename moves a file, replacing a file of the new name.
	Rename(from, to string) error
	// MkdirAll makes a directory and its missing parents. It does not sync
	// them: see MkdirAllSync.
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the entries of a directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on a file, which it creates; closing gives
	// it back, and so does the end of the process. A second lock, from this
	// process or another, fails with ErrLocked.
	Lock(name string) (io.Closer, error)
	// Space reports the size of the volume that holds name.
	Space(name string) (Space, error)
}

// File is an open file. Reads and writes may overlap in time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the content and the size durable. After an error nothing is
	// known about what is durable, and a second Sync that succeeds means
	// nothing: the caller must stop relying on the file.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// Space is the size of a volume in bytes.
type Space struct {
	Total     int64
	Free      int64
	Available int64 // of Free, what an unprivileged user can have
}

// MkdirAllSync makes a directory with its missing parents and makes their
// entries durable. It syncs nothing when the directory exists.
func MkdirAllSync(fsys FS, name string, perm fs.FileMode) error {
	name = filepath.Clean(name)
	info, err := fsys.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("make directory %s: a file of that name is in the way", name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := MkdirAllSync(fsys, parent, perm); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(name, perm); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// backupSuffix and tempSuffix are appended to a name by WriteFileAtomic.
const (
	backupSuffix = ".bak"
	tempSuffix   = ".tmp"
)

// WriteFileAtomic replaces the content of name so that after a crash at any
// point ReadFile returns either the old content or the new, whole; when it
// returns nil the new content is durable. The previous content stays beside it
// as name.bak. One writer at a time for a name.
func WriteFileAtomic(fsys FS, name string, data []byte) error {
	temp := name + tempSuffix
	if err := writeSynced(fsys, temp, data); err != nil {
		return err
	}
	if err := fsys.Rename(name, name+backupSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, data []byte) (err error) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}

// ReadFile returns the content of a file that WriteFileAtomic wrote: that of
// name or, where a crash left none, that of its backup.
func ReadFile(fsys FS, name string) ([]byte, error) {
	return ReadFileValid(fsys, name, nil)
}

// ReadFileValid is ReadFile for content that can be checked: it falls back to
// the backup also when valid refuses the content of name. It returns the first
// error when neither will do; errors.Is(err, fs.ErrNotExist) means that there
// is neither.
func ReadFileValid(fsys FS, name string, valid func([]byte) error) ([]byte, error) {
	var failed error
	for _, n := range []string{name, name + backupSuffix} {
		data, err := readWhole(fsys, n)
		if err == nil && valid != nil {
			if err = valid(data); err != nil {
				err = fmt.Errorf("%s: %w", n, err)
			}
		}
		if err == nil {
			return data, nil
		}
		if failed == nil || errors.Is(failed, fs.ErrNotExist) {
			failed = err
		}
	}
	return nil, failed
}

func readWhole(fsys FS, name string) (data []byte, err error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data = make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// RemoveTree deletes name and all below it. A missing name is no error. It
// syncs nothing.
func RemoveTree(fsys FS, name string) error {
	info, err := fsys.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := fsys.ReadDir(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := RemoveTree(fsys, filepath.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return fsys.Remove(name)
}
