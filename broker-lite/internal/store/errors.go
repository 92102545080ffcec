package store

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is the answer to every call after Close.
	ErrClosed = errors.New("store is closed")
	// ErrOverloaded refuses an append while too many bytes wait to be written:
	// the disk is slower than the producers. Nothing was stored; try again.
	ErrOverloaded = errors.New("store is overloaded: too many bytes wait to be written")
	// ErrBadAppend refuses an append whose parts do not fit together. Nothing
	// was stored, and trying again will not help.
	ErrBadAppend = errors.New("append refused")
	// ErrTooLarge refuses an append that no commit log file can hold.
	ErrTooLarge = errors.New("append larger than a commit log file")
	// ErrNoRecord says that no record starts at a physical offset.
	ErrNoRecord = errors.New("no record at this physical offset")
)

// CorruptionError reports damage to the commit log that is not the torn end of an
// interrupted write, and that the store therefore does not repair.
type CorruptionError struct {
	Segment string // path of the file
	Offset  int64  // physical offset in the commit log
	Reason  string
	Dir     string // of the store
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("commit log file %s is damaged at physical offset %d: %s; stop the broker, restore the file from a copy, or see what is lost with %q",
		e.Segment, e.Offset, e.Reason, "rocketkit store check "+orWord(e.Dir, "DIR"))
}

// QueueCorruptionError reports a damaged entry in a consume queue's file. The
// record that it points to is in the commit log still.
type QueueCorruptionError struct {
	File        string
	Topic       string
	QueueID     int32
	QueueOffset int64
	Dir         string // of the store
}

func (e *QueueCorruptionError) Error() string {
	return fmt.Sprintf("consume queue file %s is damaged: the entry of offset %d (topic %s, queue %d) has a wrong checksum; stop the broker and run %q, which builds the queues anew from the commit log",
		e.File, e.QueueOffset, e.Topic, e.QueueID, "rocketkit store repair "+orWord(e.Dir, "DIR"))
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// WriteError reports a write that failed, most often for want of space. The
// appends that get it are not stored; later ones are tried again.
type WriteError struct {
	File   string
	Offset int64 // in the file
	Err    error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("write %s at %d: %v; free disk space, or move the store to another volume", e.File, e.Offset, e.Err)
}

func (e *WriteError) Unwrap() error { return e.Err }

// FullError refuses appends while the disk is fuller than the configuration
// allows. Nothing was stored; reading goes on.
type FullError struct {
	Dir     string
	Used    int // percent of its volume
	Allowed int // percent
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the disk of %s is %d%% full, and no messages are taken above diskMaxUsedSpaceRatio=%d; free disk space, or raise it", e.Dir, e.Used, e.Allowed)
}

// FailedError says that the store has stopped taking appends because a sync
// failed: what the disk holds of the last writes is unknown, and a later sync
// would not tell. What could be read can be read still.
type FailedError struct {
	File string
	Err  error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("store takes no more appends: sync of %s failed: %v; check the disk, then restart the broker, which recovers what was stored", e.File, e.Err)
}

func (e *FailedError) Unwrap() error { return e.Err }
