package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Status is the outcome of an append that was stored.
type Status uint8

const (
	// StatusOK: stored, and durable as far as the flush mode promises.
	StatusOK Status = iota
	// StatusFlushDiskTimeout: stored, but SyncFlushTimeout passed before it was
	// durable. It becomes readable when its sync has ended.
	StatusFlushDiskTimeout
)

// Append asks the store to append records to one queue. It and all that it
// points to belong to the store from Store.Append until Done is called; after
// that the caller may use it again.
type Append struct {
	Topic   string
	QueueID int32
	// Records holds one or more records, one after the other, as
	// protocol.AppendRecord makes them, for this topic and queue. They take
	// consecutive offsets and lie side by side in one commit log file. The
	// store places its copy; these bytes stay as they are.
	Records []byte
	// TagsCodes has one code for each record, for its consume queue entry.
	TagsCodes []int64
	// Own says that the records are the broker's bookkeeping, without which nothing
	// could be consumed: they are taken though the disk is fuller than messages are
	// taken for. They must be small.
	Own bool
	// Done gets the answer, exactly once; nil when nobody wants it.
	Done Completion
}

func (a *Append) answer(r AppendResult) {
	if a.Done != nil {
		a.Done.Appended(r)
	}
}

// Completion takes the answer to an Append.
type Completion interface {
	// Appended is called on one of the store's goroutines, in the order of the
	// log, never twice at a time; an append that is refused before it is queued
	// (closed, overloaded, failed, malformed) is answered on the goroutine that
	// called Store.Append, before that returns. It must not block; it may call
	// Store.Append.
	Appended(AppendResult)
}

// AppendResult is the answer to an Append. With Err set nothing else is, and
// nothing of it can be read; after a *FailedError a restart may still find it.
type AppendResult struct {
	Err            error
	Status         Status
	QueueOffset    int64 // of the first record; the others follow
	PhysicalOffset int64 // of the first record; the others follow, by their sizes
	StoreTimestamp int64 // ms since 1970
}

// check refuses what recovery would read differently or not at all, so that
// nothing malformed ever enters the log.
func (a *Append) check(maxBytes int64) error {
	if err := checkTopic(a.Topic); err != nil {
		return err
	}
	if a.Topic == noteTopic {
		return fmt.Errorf("%w: topic %s is the store's own", ErrBadAppend, a.Topic)
	}
	if int64(len(a.Records)) > maxBytes {
		return fmt.Errorf("%w: %d bytes for topic %s, at most %d", ErrTooLarge, len(a.Records), a.Topic, maxBytes)
	}
	if a.QueueID < 0 || len(a.TagsCodes) == 0 {
		return fmt.Errorf("%w: topic %s queue %d, %d tags codes: want a queue from 0 and records with one tags code each",
			ErrBadAppend, a.Topic, a.QueueID, len(a.TagsCodes))
	}
	rest, n := a.Records, 0
	for ; len(rest) > 0; n++ {
		size, err := checkRecord(rest, a.Topic, a.QueueID)
		if err != nil {
			return fmt.Errorf("%w: record %d of topic %s: %w", ErrBadAppend, n, a.Topic, err)
		}
		rest = rest[size:]
	}
	if n != len(a.TagsCodes) {
		return fmt.Errorf("%w: topic %s: %d records with %d tags codes", ErrBadAppend, a.Topic, n, len(a.TagsCodes))
	}
	return nil
}

// maxTopicBytes is the longest name that file systems take for a directory.
const maxTopicBytes = 255

// checkTopic refuses names that cannot be a directory of their own.
func checkTopic(topic string) error {
	switch {
	case topic == "" || topic == "." || topic == "..":
	case len(topic) > maxTopicBytes:
	case strings.ContainsAny(topic, "/\\\x00"):
	default:
		return nil
	}
	return fmt.Errorf("%w: topic %.300q cannot name a directory", ErrBadAppend, topic)
}

// checkRecord verifies the shape of the record at the start of b against its
// request, without decoding it, and returns its size. It must not pass what
// protocol.DecodeRecord refuses: recovery would take it for damage.
func checkRecord(b []byte, topic string, queueID int32) (int, error) {
	size, magic, err := protocol.RecordSize(b)
	if err != nil {
		return 0, err
	}
	if magic == protocol.MagicBlank || size > len(b) {
		return 0, fmt.Errorf("%w: size %d of %d bytes", protocol.ErrMalformedRecord, size, len(b))
	}
	be := binary.BigEndian
	if got := int32(be.Uint32(b[12:])); got != queueID {
		return 0, fmt.Errorf("%w: its queue is %d, the request's %d", protocol.ErrMalformedRecord, got, queueID)
	}
	at := bodyLengthAt(b)
	if at+4 > size {
		return 0, fmt.Errorf("%w: size %d", protocol.ErrMalformedRecord, size)
	}
	bornPort, storePort := be.Uint32(b[storeTimestampAt(b)-4:]), be.Uint32(b[at-16:])
	if bornPort > math.MaxUint16 || storePort > math.MaxUint16 {
		return 0, fmt.Errorf("%w: a port above 65535", protocol.ErrMalformedRecord)
	}
	at64 := int64(at) + 4 + int64(be.Uint32(b[at:]))
	wide := int64(1)
	if magic == protocol.MagicV2 {
		wide = 2
	}
	end := at64 + wide + int64(len(topic))
	if end+2 > int64(size) {
		return 0, fmt.Errorf("%w: parts do not add up to size %d", protocol.ErrMalformedRecord, size)
	}
	at = int(at64)
	length := int(b[at])
	if wide == 2 {
		length = int(be.Uint16(b[at:]))
	}
	if length != len(topic) || string(b[at+int(wide):end]) != topic {
		return 0, fmt.Errorf("%w: its topic is not the request's", protocol.ErrMalformedRecord)
	}
	if props := be.Uint16(b[end:]); props > protocol.MaxPropertiesLength || end+2+int64(props) != int64(size) {
		return 0, fmt.Errorf("%w: parts do not add up to size %d", protocol.ErrMalformedRecord, size)
	}
	if looksTorn(b[end+2 : size]) {
		return 0, fmt.Errorf("%w: its properties end with a NUL, or have %d in a row", protocol.ErrMalformedRecord, sectorSize-2)
	}
	return size, nil
}

// Where a record's parts are: see protocol.Record.
const (
	recordQueueOffset    = 20
	recordPhysicalOffset = 28
	recordSysFlag        = 36
	recordBornHost       = 48
	// recordHead holds everything up to the store timestamp, whatever the hosts.
	recordHead = recordBornHost + 20 + 8
)

func hostSize(v6 bool) int {
	if v6 {
		return 20
	}
	return 8
}

func storeTimestampAt(rec []byte) int {
	flag := int32(binary.BigEndian.Uint32(rec[recordSysFlag:]))
	return recordBornHost + hostSize(flag&protocol.SysBornHostV6 != 0)
}

func bodyLengthAt(rec []byte) int {
	flag := int32(binary.BigEndian.Uint32(rec[recordSysFlag:]))
	return storeTimestampAt(rec) + 8 + hostSize(flag&protocol.SysStoreHostV6 != 0) + 4 + 8
}

// intake is the queue of appends between callers and the appender.
type intake struct {
	wake chan struct{} // of capacity 1: there may be something to do
	max  int64

	mu sync.Mutex
	// mu guards the following.
	queue   []*Append
	bytes   int64 // queued, or taken and not yet readable or refused
	closed  bool
	failed  error // set for good: new appends get it
	blocked error // set for a time: new appends get it
	full    error // the same, for want of space
}

func newIntake(maxBytes int64) *intake {
	return &intake{wake: make(chan struct{}, 1), max: maxBytes}
}

func (in *intake) put(a *Append) error {
	in.mu.Lock()
	switch {
	case in.closed:
		in.mu.Unlock()
		return ErrClosed
	case in.failed != nil:
		defer in.mu.Unlock()
		return in.failed
	case in.blocked != nil:
		defer in.mu.Unlock()
		return in.blocked
	case in.full != nil && !a.Own:
		defer in.mu.Unlock()
		return in.full
	case in.bytes > 0 && in.bytes+int64(len(a.Records)) > in.max:
		in.mu.Unlock()
		return ErrOverloaded
	}
	in.bytes += int64(len(a.Records))
	in.queue = append(in.queue, a)
	first := len(in.queue) == 1
	in.mu.Unlock()
	if first {
		in.signal()
	}
	return nil
}

func (in *intake) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// swap takes all that is queued and leaves empty in its place.
func (in *intake) swap(empty []*Append) (queue []*Append) {
	in.mu.Lock()
	defer in.mu.Unlock()
	queue, in.queue = in.queue, empty
	return queue
}

// finish accounts for appends that are about to be answered.
func (in *intake) finish(bytes int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.bytes -= bytes
}

// drained reports whether nothing is queued and nothing will be.
func (in *intake) drained() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.closed && len(in.queue) == 0
}

// fail makes put fail from now on; the first error stays.
func (in *intake) fail(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.failed == nil {
		in.failed = err
	}
}

func (in *intake) failure() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.failed
}

// block makes put fail with err until it is called with nil.
func (in *intake) block(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.blocked = err
}

// fill makes put fail with err until it is called with nil.
func (in *intake) fill(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.full = err
}

func (in *intake) close() (first bool) {
	in.mu.Lock()
	first, in.closed = !in.closed, true
	in.mu.Unlock()
	in.signal()
	return first
}
