package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// checkpointName and flushedName are the files' names in the store's directory.
const (
	checkpointName = "checkpoint"
	flushedName    = "flushed"
)

// mark is a point of the log, and what the consume queues hold at it.
type mark struct {
	phys    int64 // physical offset behind a record
	entries int64 // sum of all queues' maximum offsets
}

// checkpoint says: the log is durable up to PhysicalOffset, and so are the
// consume queue entries of all records before it.
type checkpoint struct {
	Version        int   `json:"version"`
	PhysicalOffset int64 `json:"physicalOffset"`
	Entries        int64 `json:"entries"`
}

// checkpointVersion tells what the consume queues' entries are. Those of version 1
// had 20 bytes, without checksums: the queues of such a directory are built anew.
const checkpointVersion = 2

func parseCheckpoint(data []byte) (c checkpoint, err error) {
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Version != checkpointVersion {
		return c, fmt.Errorf("checkpoint version %d is not known to this program, which writes version %d; use the newer program",
			c.Version, checkpointVersion)
	}
	if c.PhysicalOffset < 0 || c.Entries < 0 {
		return c, fmt.Errorf("checkpoint: negative offset in %s", data)
	}
	return c, nil
}

// readCheckpoint returns nil without an error when there is none to go by, and
// everything must be scanned.
func readCheckpoint(fsys vfs.FS, dir string) (*mark, error) {
	name := filepath.Join(dir, checkpointName)
	data, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCheckpoint(data)
	if c.Version > checkpointVersion {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return &mark{phys: c.PhysicalOffset, entries: c.Entries}, nil
}

func writeCheckpoint(fsys vfs.FS, dir string, m mark) error {
	data, err := json.Marshal(checkpoint{Version: checkpointVersion, PhysicalOffset: m.phys, Entries: m.entries})
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(fsys, filepath.Join(dir, checkpointName), append(data, '\n'))
}

// removeCheckpoint makes the next Open scan everything.
func removeCheckpoint(fsys vfs.FS, dir string) error {
	name := filepath.Join(dir, checkpointName)
	for _, n := range []string{name, name + ".bak"} {
		if err := fsys.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fsys.SyncDir(dir)
}

// flushedMark is a file that remembers how far the log has been synced. It is
// written after each sync and never synced itself: it may lag behind, but what
// it says was true before it was said. Two slots take turns, so that a torn
// write leaves the older one.
//
//	0 magic uint32, sequence uint64, physicalOffset uint64, crc uint32
//	512 the same again
//
// create is called by the appender, set by the flusher after that.
type flushedMark struct {
	fs   vfs.FS
	dir  string
	file vfs.File
	seq  uint64
	phys int64
}

const (
	flushedMagic    = uint32(0x524B464D) // "RKFM"
	flushedSlotSize = 24
	flushedSlotStep = 512
)

func (m *flushedMark) path() string { return filepath.Join(m.dir, flushedName) }

// load reads the file; known is false when it does not exist or says nothing.
func (m *flushedMark) load() (known bool, err error) {
	file, err := m.fs.OpenFile(m.path(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m.file = file
	var b [flushedSlotStep + flushedSlotSize]byte
	n, err := file.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	for at := 0; at+flushedSlotSize <= n; at += flushedSlotStep {
		slot := b[at : at+flushedSlotSize]
		be := binary.BigEndian
		if be.Uint32(slot) != flushedMagic || crc32.ChecksumIEEE(slot[:20]) != be.Uint32(slot[20:]) {
			continue
		}
		if seq := be.Uint64(slot[4:]); !known || seq > m.seq {
			known, m.seq, m.phys = true, seq, int64(be.Uint64(slot[12:]))
		}
	}
	return known, nil
}

// create makes the file, durably, before the log's first file: a log without it
// is one whose state files were lost.
func (m *flushedMark) create() error {
	if m.file != nil {
		return nil
	}
	file, err := m.fs.OpenFile(m.path(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return &WriteError{File: m.path(), Err: err}
	}
	m.file = file
	if err := m.set(m.phys); err != nil {
		m.file = nil
		return errors.Join(&WriteError{File: m.path(), Err: err}, file.Close())
	}
	if err := file.Sync(); err != nil {
		return &FailedError{File: m.path(), Err: err}
	}
	if err := m.fs.SyncDir(m.dir); err != nil {
		return &FailedError{File: m.dir, Err: err}
	}
	return nil
}

func (m *flushedMark) set(phys int64) error {
	var slot [flushedSlotSize]byte
	be := binary.BigEndian
	be.PutUint32(slot[:], flushedMagic)
	be.PutUint64(slot[4:], m.seq+1)
	be.PutUint64(slot[12:], uint64(phys))
	be.PutUint32(slot[20:], crc32.ChecksumIEEE(slot[:20]))
	if _, err := m.file.WriteAt(slot[:], int64((m.seq+1)%2)*flushedSlotStep); err != nil {
		return err
	}
	m.seq, m.phys = m.seq+1, phys
	return nil
}

func (m *flushedMark) close() error {
	if m.file == nil {
		return nil
	}
	return m.file.Close()
}
