package timer

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	// saveDelay is how long progress may stay in memory.
	saveDelay = time.Second
	// retryAfter is the pause after a delivery or a write that failed.
	retryAfter = time.Second
	// A turn delivers so many messages, or so many bytes, and waits for them.
	turnMessages = 256
	turnBytes    = 4 << 20
)

// Properties that a delivery adds (MessageConst).
const (
	propEnqueue = "TIMER_ENQUEUE_MS"
	propDequeue = "TIMER_DEQUEUE_MS"
)

// Options configure a Service. All but Logger are required.
type Options struct {
	Store *store.Store
	Clock clock.Clock
	// TagsCode computes the tags code that a delivered record's consume queue entry
	// gets.
	TagsCode func(*protocol.Record) int64
	FS       vfs.FS
	Dir      string       // made when it is missing
	Logger   *slog.Logger // nil discards
}

// Service delivers. Open makes one.
//
// What is not marked otherwise belongs to the clock's alarm, whose rings do not
// overlap, and before and after it to Open and Close.
type Service struct {
	o     Options
	alarm clock.Alarm
	saver *alarm.Alarm
	save  atomic.Bool // the next ring saves; any goroutine
	tally tally       // any goroutine
	stop  atomic.Bool // Close has begun; any goroutine
	group *redeliver.Group

	slots    slots
	next     int64 // offset in the timer queue of the first entry that is not filed
	queue    queue // entries of the slots that have begun
	loaded   int64 // slots that begin before this are in queue, ms since 1970
	recalled recalled
	last     int64  // the moment of the last entry whose turn came
	mark     marker // how far deliveries have come
	saved    marker
	filed    int64 // what the checkpoint has
}

// marker says which entries are delivered: those before seen that are due up to
// at, ms since 1970.
type marker struct{ seen, at int64 }

// delivered reports whether an entry was delivered before the process started, or
// recalls only messages that were.
func (m marker) delivered(e entry) bool {
	over := e.at()
	if e.recalls() {
		over += recallSpan
	}
	return e.offset < m.seen && over <= m.at
}

// entry is a message that waits. due is the moment of delivery; negative, it is
// minus the moment from which on the message recalls another.
type entry struct{ offset, due int64 }

func (e entry) recalls() bool { return e.due < 0 }

// at is when the entry's turn comes, ms since 1970.
func (e entry) at() int64 { return Due(e.due) }

// queue is a container/heap by moment, then by arrival.
type queue []entry

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q queue) Less(i, j int) bool {
	if a, b := q[i].at(), q[j].at(); a != b {
		return a < b
	}
	return q[i].offset < q[j].offset
}

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(entry)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// Open finds what waits and begins to deliver.
func Open(o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{o: o, group: redeliver.NewGroup(o.Store), slots: slots{fs: o.FS, dir: o.Dir, files: map[slotKey]*slot{}}}
	if err := vfs.MkdirAllSync(o.FS, o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the timer: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.saver = alarm.Start(0, func(time.Time) time.Time {
		s.save.Store(true)
		s.alarm.Set(s.o.Clock.Now())
		return time.Time{}
	})
	s.count()
	s.alarm = o.Clock.Alarm(s.ring)
	s.alarm.Set(o.Clock.Now())
	return s, nil
}

// Arrived tells the service that a message has come into the timer queue. It is
// the store's OnArrive and does not block.
func (s *Service) Arrived() { s.alarm.Set(s.o.Clock.Now()) }

// ring files what has come, delivers what is due, and returns when to come again.
func (s *Service) ring(now time.Time) (next time.Time) {
	defer s.count()
	ms := now.UnixMilli()
	err := s.file()
	if err == nil {
		err = s.begin(ms)
	}
	delivered := 0
	if err == nil {
		delivered, ms, err = s.deliver(ms)
		s.tally.delivered.Add(int64(delivered))
	}
	if err != nil {
		s.o.Logger.Error("delivering timer messages failed; it is tried again", "after", retryAfter, "err", err)
		return s.o.Clock.Now().Add(retryAfter)
	}
	s.mark = marker{seen: s.next, at: ms}
	if delivered > 0 || s.next != s.filed {
		s.saver.Set(time.Now().Add(saveDelay))
	}
	if s.save.Swap(false) {
		if err := s.checkpoint(); err != nil {
			s.o.Logger.Error("the timer's progress is not saved; it is tried again", "err", err)
			s.saver.Set(time.Now().Add(retryAfter))
		}
	}
	if len(s.queue) == 0 && cap(s.queue) > keptEntries {
		s.queue = nil
	}
	if s.stop.Load() {
		return time.Time{}
	}
	return s.comeAgain()
}

// InMemory is how many of the messages that wait are known in memory: those of the
// minute that has begun.
func (s *Service) InMemory() int { return int(s.tally.held.Load()) }

// comeAgain is when the next message is due, or the next slot begins.
func (s *Service) comeAgain() time.Time {
	at, ok := s.slots.first()
	if len(s.queue) > 0 && (!ok || s.queue[0].at() < at) {
		at, ok = s.queue[0].at(), true
	}
	if !ok {
		return time.Time{}
	}
	return time.UnixMilli(at)
}

const (
	// fileEntries is how many entries are filed at once.
	fileEntries = 4096
	// keptEntries is for how many entries the queue keeps room when it is empty.
	keptEntries = 1 << 16
)

// file puts the entries that have come since into slot files.
func (s *Service) file() error {
	for {
		var list []entry
		from := s.next
		err := s.o.Store.EachEntry(meta.TimerTopic, 0, from, func(e store.Entry) bool {
			list = append(list, entry{e.QueueOffset, e.TagsCode})
			return len(list) < fileEntries
		})
		if err != nil || len(list) == 0 {
			return err
		}
		now := s.o.Clock.Now().UnixMilli()
		fresh := list[:0:0]
		for _, e := range list {
			if !s.saved.delivered(e) {
				fresh = append(fresh, e)
			}
		}
		if err := s.slots.add(fresh, func(due int64) slotKey { return slotFor(due, now) }); err != nil {
			return err
		}
		s.next = list[len(list)-1].offset + 1
		s.tally.filed.Add(int64(len(fresh)))
		s.enqueue(fresh)
	}
}

// enqueue takes those entries into memory whose slot has begun.
func (s *Service) enqueue(list []entry) {
	for _, e := range list {
		if e.at() < s.loaded {
			heap.Push(&s.queue, e)
		}
	}
}

// begin splits the hours that come near and loads the minutes that have begun.
func (s *Service) begin(now int64) error {
	for _, key := range s.slots.hoursUntil(now + splitAhead) {
		if err := s.split(key); err != nil {
			return err
		}
	}
	for _, key := range s.slots.minutesUntil(now) {
		list, err := s.slots.read(key)
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.at() >= s.loaded && s.waits(e) {
				heap.Push(&s.queue, e)
			}
		}
		s.slots.files[key].loaded = true
	}
	s.loaded = max(s.loaded, minuteOf(now).start+minute)
	return nil
}

// split puts the entries of an hour into its minutes, where it left off when the disk
// has failed.
func (s *Service) split(key slotKey) error {
	f := s.slots.files[key]
	err := s.slots.each(key, f.split, func(list []entry) error {
		if err := s.slots.add(list, minuteOf); err != nil {
			return err
		}
		f.split += min(readBytes, f.size-f.split)
		s.enqueue(distinct(list))
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.slots.sync(); err != nil {
		return err
	}
	return s.slots.remove(key)
}

// waits reports whether an entry of a slot file is one that is to be delivered.
func (s *Service) waits(e entry) bool {
	if s.saved.delivered(e) {
		return false
	}
	q, ok, err := s.o.Store.Entry(meta.TimerTopic, 0, e.offset)
	return err != nil || (ok && q.TagsCode == e.due) // an error comes again when it is delivered
}

// deliver delivers all that is due, or until Close begins; upTo is the moment up to
// which nothing is left. Of one moment it delivers all, since that can be noted.
func (s *Service) deliver(now int64) (delivered int, upTo int64, err error) {
	for len(s.queue) > 0 && s.queue[0].at() <= now {
		if at := s.queue[0].at(); s.stop.Load() && at > max(s.last, s.mark.at) {
			return delivered, at - 1, nil
		}
		n, err := s.turn(now)
		delivered += n
		if err != nil {
			return delivered, now, err
		}
	}
	return delivered, now, nil
}

// turn delivers some messages that are due and waits for them. What fails goes back
// into the queue.
func (s *Service) turn(now int64) (delivered int, err error) {
	var sent []entry
	var buf []byte
	bytes := 0
	for len(s.queue) > 0 && s.queue[0].at() <= now && len(sent) < turnMessages && bytes < turnBytes {
		e := heap.Pop(&s.queue).(entry)
		s.last = e.at()
		if buf, err = s.read(e, buf[:0]); err != nil && !redeliver.Lost(err) {
			heap.Push(&s.queue, e)
			break
		}
		bad := err
		if err = nil; bad == nil {
			var done bool
			if done, bad = s.recall(e, buf); done {
				continue
			}
		}
		if bad == nil {
			bad = s.append(buf, now)
		}
		if bad != nil {
			s.o.Logger.Log(context.Background(), redeliver.Dropped(bad), "a timer message cannot be delivered and is dropped", "offset", e.offset, "err", bad)
			continue
		}
		sent = append(sent, e)
		bytes += len(buf)
	}
	_, failed := s.group.Wait(func(i int, r store.AppendResult) {
		switch {
		case r.Err == nil:
			delivered++
		case redeliver.Refused(r.Err):
			s.o.Logger.Warn("a timer message cannot be delivered and is dropped", "offset", sent[i].offset, "err", r.Err)
		default:
			heap.Push(&s.queue, sent[i])
		}
	})
	if failed != nil {
		err = failed
	}
	return delivered, err
}

// read appends an entry's record to dst.
func (s *Service) read(e entry, dst []byte) ([]byte, error) {
	q, ok, err := s.o.Store.Entry(meta.TimerTopic, 0, e.offset)
	if err != nil {
		return dst, err
	}
	if !ok {
		return dst, fmt.Errorf("%w: offset %d of the timer queue", store.ErrNoRecord, e.offset)
	}
	return s.o.Store.ReadEntry(q, dst)
}

// append sends a stored record on its way. The error is about the record. The
// exact moment that was kept with a relative delay goes; Apache has none there.
func (s *Service) append(rec []byte, now int64) error {
	var r protocol.Record
	if _, err := protocol.DecodeRecord(rec, &r); err != nil {
		return err
	}
	topic, queueID, err := redeliver.Real(r.Properties)
	if err != nil {
		return err
	}
	if topic == meta.HalfTopic || topic == meta.TimerTopic {
		return fmt.Errorf("its real topic is %s", topic)
	}
	drop := []string{propEnqueue, propDequeue}
	if Relative(r.Properties) {
		drop = append(drop, protocol.PropTimerDeliverMs)
	}
	props := protocol.RemoveProperty(nil, r.Properties, drop...)
	props = protocol.AppendProperty(props, propEnqueue, strconv.FormatInt(r.StoreTimestamp, 10))
	r.Properties = protocol.AppendProperty(props, propDequeue, strconv.FormatInt(now, 10))
	r.Topic, r.QueueID, r.PreparedTransactionOffset = topic, queueID, 0
	return s.group.Append(&r, s.o.TagsCode(&r))
}

// Relative reports whether a message's delay counts from when it was stored.
func Relative(properties []byte) bool {
	for k := range protocol.EachProperty(properties) {
		if name := string(k); name == protocol.PropTimerDelaySec || name == protocol.PropTimerDelayMs {
			return true
		}
	}
	return false
}

// Close stops delivering, with the moment that has begun, and writes the progress. The
// store must still be open.
func (s *Service) Close() error {
	s.stop.Store(true)
	s.saver.Stop()
	s.alarm.Stop()
	return s.checkpoint()
}

// checkpointPath is the file that says how far the service has come.
func (s *Service) checkpointPath() string { return filepath.Join(s.o.Dir, "checkpoint") }
