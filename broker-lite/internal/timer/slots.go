package timer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Times in ms.
const (
	minute = 60_000
	hour   = 60 * minute
	// splitAhead is how long before its beginning an hour is split into minutes.
	splitAhead = hour
)

// entrySize is the size of an entry in a slot file.
const entrySize = 8 + 8 + 4

// slotKey names a slot: all moments from start on, ms since 1970, for its width.
type slotKey struct{ start, width int64 }

func minuteOf(ms int64) slotKey { return slotKey{floor(ms, minute), minute} }

// slotFor is the slot of a message that is due at a moment: its minute when the
// hour has been split, or would be at once.
func slotFor(due, now int64) slotKey {
	if floor(due, hour) <= now+splitAhead {
		return minuteOf(due)
	}
	return slotKey{floor(due, hour), hour}
}

func floor(ms, width int64) int64 {
	n := ms / width
	if ms%width < 0 {
		n--
	}
	return n * width
}

// name is the slot's file.
func (k slotKey) name() string {
	if k.width == hour {
		return "h-" + strconv.FormatInt(k.start, 10)
	}
	return "m-" + strconv.FormatInt(k.start, 10)
}

func parseSlot(name string) (slotKey, bool) {
	kind, start, ok := strings.Cut(name, "-")
	ms, err := strconv.ParseInt(start, 10, 64)
	if !ok || err != nil {
		return slotKey{}, false
	}
	switch kind {
	case "h":
		return slotKey{ms, hour}, true
	case "m":
		return slotKey{ms, minute}, true
	}
	return slotKey{}, false
}

// slot is a slot file.
type slot struct {
	size   int64 // where the next entry goes
	dirty  bool  // written since the last sync
	loaded bool  // a minute: its entries are in memory
	split  int64 // an hour: so much of it is in its minutes' files
}

// slots are the slot files. They belong to the Service's alarm.
type slots struct {
	fs     vfs.FS
	dir    string
	files  map[slotKey]*slot
	newDir bool // files were made since the directory was synced
}

// open finds the files.
func (s *slots) open() error {
	list, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("open the timer: %w", err)
	}
	for _, e := range list {
		key, ok := parseSlot(e.Name())
		if !ok {
			continue
		}
		info, err := s.fs.Stat(filepath.Join(s.dir, e.Name()))
		if err != nil {
			return fmt.Errorf("open the timer: %w", err)
		}
		// A torn end is left behind: the next entry begins at a whole one.
		s.files[key] = &slot{size: (info.Size() + entrySize - 1) / entrySize * entrySize}
	}
	return nil
}

// first is when the next slot is to be split or loaded.
func (s *slots) first() (at int64, ok bool) {
	for key, f := range s.files {
		t := key.start
		switch {
		case key.width == hour:
			t -= splitAhead
		case f.loaded:
			continue
		}
		if !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// hoursUntil lists the hours that begin up to a moment.
func (s *slots) hoursUntil(ms int64) []slotKey {
	return s.list(func(k slotKey, _ *slot) bool { return k.width == hour && k.start <= ms })
}

// minutesUntil lists the minutes that begin up to a moment and are not loaded.
func (s *slots) minutesUntil(ms int64) []slotKey {
	return s.list(func(k slotKey, f *slot) bool { return k.width == minute && k.start <= ms && !f.loaded })
}

func (s *slots) list(which func(slotKey, *slot) bool) []slotKey {
	var keys []slotKey
	for k, f := range s.files {
		if which(k, f) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b slotKey) int { return cmp.Compare(a.start, b.start) })
	return keys
}

// add appends entries to the files of their slots: all, or none that counts.
func (s *slots) add(list []entry, slotOf func(due int64) slotKey) error {
	groups := map[slotKey][]byte{}
	for _, e := range list {
		key := slotOf(e.at())
		groups[key] = appendEntry(groups[key], e)
	}
	var written []slotKey
	for key, data := range groups {
		if err := s.write(key, data); err != nil {
			// They are tried again: a disk that is full must not be filled with them.
			for _, key := range written {
				s.files[key].size -= int64(len(groups[key]))
			}
			return err
		}
		written = append(written, key)
	}
	return nil
}

func (s *slots) write(key slotKey, data []byte) error {
	path := filepath.Join(s.dir, key.name())
	f, err := s.fs.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	sl := s.files[key]
	if sl == nil {
		sl = &slot{}
		s.files[key] = sl
		s.newDir = true
	}
	if _, err := f.WriteAt(data, sl.size); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	sl.size += int64(len(data))
	sl.dirty = true
	return f.Close()
}

// read returns a slot's entries, each once, by their offsets.
func (s *slots) read(key slotKey) (list []entry, err error) {
	err = s.each(key, 0, func(some []entry) error {
		list = append(list, some...)
		return nil
	})
	return distinct(list), err
}

// distinct sorts entries by their offsets, and leaves each once.
func distinct(list []entry) []entry {
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.due, b.due))
	})
	return slices.Compact(list)
}

// readBytes is how much of a slot is read at once: an hour may have millions of
// entries.
const readBytes = 32 << 10 * entrySize

// each calls f with a slot's entries, some at a time, as the file has them from a
// place on.
func (s *slots) each(key slotKey, from int64, f func([]entry) error) error {
	path := filepath.Join(s.dir, key.name())
	file, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	size := s.files[key].size
	data := make([]byte, min(size-from, readBytes))
	var list []entry
	for ; err == nil && from < size; from += int64(len(data)) {
		data = data[:min(size-from, readBytes)]
		n, bad := file.ReadAt(data, from)
		if bad != nil && !errors.Is(bad, io.EOF) {
			err = fmt.Errorf("read %s: %w", path, bad)
			break
		}
		list = list[:0]
		for rest := data[:n]; len(rest) >= entrySize; rest = rest[entrySize:] {
			if e, ok := decodeEntry(rest); ok {
				list = append(list, e)
			}
		}
		err = f(list)
	}
	return errors.Join(err, file.Close())
}

func appendEntry(dst []byte, e entry) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.due))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[at:]))
}

func decodeEntry(b []byte) (e entry, ok bool) {
	e = entry{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}
	return e, crc32.ChecksumIEEE(b[:16]) == binary.BigEndian.Uint32(b[16:])
}

// sync makes all that was written durable.
func (s *slots) sync() error {
	for key, sl := range s.files {
		if !sl.dirty {
			continue
		}
		f, err := s.fs.OpenFile(filepath.Join(s.dir, key.name()), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		sl.dirty = false
	}
	if s.newDir {
		if err := s.fs.SyncDir(s.dir); err != nil {
			return err
		}
		s.newDir = false
	}
	return nil
}

func (s *slots) remove(key slotKey) error {
	if err := s.fs.Remove(filepath.Join(s.dir, key.name())); err != nil {
		return err
	}
	delete(s.files, key)
	return nil
}

// removeUntil removes the minutes that were over at a moment.
func (s *slots) removeUntil(ms int64) error {
	for _, key := range s.list(func(k slotKey, f *slot) bool { return f.loaded && k.start+k.width <= ms }) {
		if err := s.remove(key); err != nil {
			return err
		}
	}
	return nil
}
