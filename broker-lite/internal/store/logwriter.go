package store

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// blankHeader is the least that is left at the end of a file: a blank record's
// size and magic (END_FILE_MIN_BLANK_LENGTH).
const blankHeader = 8

// logWriter writes the commit log. Owned by the appender.
type logWriter struct {
	fs          vfs.FS
	log         *commitLog
	mark        *flushedMark
	segmentSize int64

	file    vfs.File // nil between files
	path    string
	first   int64 // of the file
	limit   int64 // physical offset at which the file is full
	end     int64 // physical offset behind the last record written
	needCut bool  // the file may have bytes behind end, which must go first

	block *block // gathers the batch; nil at the start of a file
	start int    // where the batch begins in it
}

// gathered is the number of bytes in the batch.
func (w *logWriter) gathered() int {
	if w.block == nil {
		return 0
	}
	return w.block.used - w.start
}

// fits reports whether n bytes go into the file behind the batch.
func (w *logWriter) fits(n int) bool {
	return w.end+int64(w.gathered())+int64(n)+blankHeader <= w.limit
}

// reserve returns room for n bytes behind the batch and the physical offset
// they will have, or nil when the batch must be written first.
func (w *logWriter) reserve(n int) (room []byte, phys int64) {
	if w.block == nil || w.block.used+n > len(w.block.mem) {
		if w.gathered() > 0 {
			return nil, 0
		}
		w.block, w.start = w.log.tail.start(w.end, n), 0
	}
	phys = w.end + int64(w.gathered())
	room = w.block.mem[w.block.used : w.block.used+n]
	w.block.used += n
	return room, phys
}

// write writes the batch. On error nothing of it is in the log.
func (w *logWriter) write() error {
	batch := w.block.mem[w.start:w.block.used]
	if err := w.put(batch); err != nil {
		w.block.used = w.start
		return err
	}
	w.end += int64(len(batch))
	w.start = w.block.used
	return nil
}

// put writes b behind the log's end. What a failed write has left is cut off
// durably before anything else is written there: its bytes must not come back
// behind later, shorter records.
func (w *logWriter) put(b []byte) error {
	if err := w.cut(); err != nil {
		return err
	}
	at := w.end - w.first
	_, err := w.file.WriteAt(b, at)
	if err == nil {
		return nil
	}
	w.needCut = true
	err = &WriteError{File: w.path, Offset: at, Err: err}
	if cutErr := w.cut(); isFailure(cutErr) {
		return cutErr
	}
	return err
}

func (w *logWriter) cut() error {
	if !w.needCut {
		return nil
	}
	if err := w.file.Truncate(w.end - w.first); err != nil {
		return &WriteError{File: w.path, Offset: w.end - w.first, Err: err}
	}
	if err := w.file.Sync(); err != nil {
		return &FailedError{File: w.path, Err: err}
	}
	w.needCut = false
	return nil
}

// seal fills the rest of the file with a blank record. The file must be synced
// before openNext.
func (w *logWriter) seal() error {
	var blank [blankHeader]byte
	binary.BigEndian.PutUint32(blank[:], uint32(w.limit-w.end))
	binary.BigEndian.PutUint32(blank[4:], protocol.MagicBlank)
	if err := w.put(blank[:]); err != nil {
		return err
	}
	// The rest is a hole, which takes no room on most file systems.
	if err := w.file.Truncate(w.limit - w.first); err != nil {
		w.needCut = true
		err = &WriteError{File: w.path, Offset: w.limit - w.first, Err: err}
		if cutErr := w.cut(); isFailure(cutErr) {
			return cutErr
		}
		return err
	}
	w.end = w.limit
	return nil
}

// close ends the work on the file, which is synced.
func (w *logWriter) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file, w.block = nil, nil
	return err
}

// openNext makes the file that begins at the log's end. All before it is
// durable, so that only the last file of a log can ever be torn.
func (w *logWriter) openNext() error {
	if err := w.mark.create(); err != nil {
		return err
	}
	path := w.log.path(w.end)
	file, err := w.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return &WriteError{File: path, Err: err}
	}
	if err := w.fs.SyncDir(w.log.dir); err != nil {
		return errors.Join(&FailedError{File: w.log.dir, Err: err}, file.Close())
	}
	w.file, w.path, w.first, w.limit = file, path, w.end, w.end+w.segmentSize
	w.block = nil
	w.log.addSegment(w.first)
	return nil
}

func isFailure(err error) bool {
	var failed *FailedError
	return errors.As(err, &failed)
}
