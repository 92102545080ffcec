package index

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// load finds the files, drops those that do not fit together or to the log, and
// takes the last one's entries back into memory when it is not full.
func (x *Index) load() (found bool, err error) {
	list, err := x.list()
	if err != nil {
		return false, err
	}
	keep := x.fitting(list)
	for len(keep) > 0 && !x.agrees(keep[len(keep)-1]) {
		keep = keep[:len(keep)-1]
	}
	if dropped := list[len(keep):]; len(dropped) > 0 {
		x.opt.Logger.Warn("files of the message index do not fit to the commit log; the messages are indexed again", "files", len(dropped), "from", dropped[0].from)
		if err := x.remove(dropped); err != nil {
			return false, err
		}
	}
	if len(keep) == 0 {
		return len(list) > 0, nil // it was needed once
	}
	last := keep[len(keep)-1]
	x.done, x.base, x.b.saved = last.end, last.to, last.to
	if last.count < int64(x.opt.FileEntries) {
		entries, err := x.readEntries(last)
		if err != nil {
			return false, err
		}
		x.base, x.pending, keep = last.from, entries, keep[:len(keep)-1]
	}
	x.files = keep
	return true, x.retain()
}

// list opens all files, in the order of the log. Damaged ones are removed.
func (x *Index) list() ([]*file, error) {
	entries, err := x.opt.FS.ReadDir(x.opt.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*file
	for _, e := range entries { // sorted by name
		path := filepath.Join(x.opt.Dir, e.Name())
		name, temp := strings.CutSuffix(e.Name(), tempSuffix)
		from, ok := parseName(name)
		if !ok || e.IsDir() {
			continue
		}
		if temp {
			if err := x.opt.FS.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		f, err := openFile(x.opt.FS, path)
		switch {
		case errors.Is(err, errDamaged) || err == nil && f.from != from:
			x.opt.Logger.Warn("a file of the message index is damaged; the messages are indexed again", "file", path, "err", err)
			if err := x.opt.FS.Remove(path); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			list = append(list, f)
		}
	}
	return list, nil
}

// fitting returns the files up to the first gap, from the log's beginning.
func (x *Index) fitting(list []*file) []*file {
	covered, _ := x.opt.Store.LogBounds()
	for i, f := range list {
		if f.from > covered || i > 0 && f.from != list[i-1].to {
			return list[:i:i]
		}
		covered = max(covered, f.to)
	}
	return list
}

// agrees reports whether the log has the last record of a file, so that the file is
// about that log.
func (x *Index) agrees(f *file) bool {
	first, end := x.opt.Store.LogBounds()
	if f.to > end {
		return false
	}
	if f.end.lastOffset < first {
		return true // deleted
	}
	raw, err := x.opt.Store.ReadRecord(f.end.lastOffset)
	var r protocol.Record
	if err == nil {
		_, err = protocol.DecodeRecord(raw, &r)
	}
	return err == nil && r.StoreTimestamp == f.end.lastTime
}

// readEntries reads all entries of a file, in the order of the log.
func (x *Index) readEntries(f *file) ([]entry, error) {
	entries := make([]entry, 0, f.count)
	err := f.blocks(x.opt.FS, int64(len(f.fences))-1, 0, func(block []byte) bool {
		for ; len(block) > 0; block = block[entrySize:] {
			entries = append(entries, decodeEntry(block))
		}
		return true
	})
	slices.SortStableFunc(entries, func(a, b entry) int { return int(min(max(a.phys-b.phys, -1), 1)) })
	return entries, err
}

// retain deletes the files of records that the log does not have any more.
func (x *Index) retain() error {
	first, _ := x.opt.Store.LogBounds()
	x.mu.Lock()
	n := 0
	for n < len(x.files) && x.files[n].to <= first {
		n++
	}
	gone := x.files[:n]
	x.files = x.files[n:]
	x.mu.Unlock()
	return x.remove(gone)
}
