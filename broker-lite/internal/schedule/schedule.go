package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
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
	// saveDelay is how long a changed offset may stay in memory.
	saveDelay = time.Second
	// retryAfter is the pause after a delivery that could not be stored.
	retryAfter = time.Second
	// A turn delivers so many messages, or so many bytes, and waits for them.
	turnMessages = 256
	turnBytes    = 4 << 20
)

// Options configure a Service. All but Logger are required.
type Options struct {
	Store  *store.Store
	Clock  clock.Clock
	Levels protocol.DelayLevels
	// TagsCode computes the tags code that a delivered record's consume queue entry
	// gets.
	TagsCode func(*protocol.Record) int64
	FS       vfs.FS
	Path     string       // of delayOffset.json, in a directory that exists
	Logger   *slog.Logger // nil discards
}

// Service delivers. Open makes one.
type Service struct {
	o     Options
	group *redeliver.Group // the alarm's
	alarm clock.Alarm
	saver *alarm.Alarm
	stop  atomic.Bool // Close has begun

	mu     sync.Mutex // guards the following
	levels []level    // by queue id
	dirty  bool       // offsets have changed since they were saved
	saves  int64      // the file's data version
	faulty bool       // the last save failed
}

// level is how far one level has come.
type level struct {
	offset int64 // of the next message to deliver
	head   int64 // when that is due, ms since 1970; 0: there is none
}

// Open loads the offsets and begins to deliver.
func Open(o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{o: o, group: redeliver.NewGroup(o.Store), levels: make([]level, len(o.Levels))}
	if err := s.load(); err != nil {
		return nil, err
	}
	for i := range s.levels {
		l := &s.levels[i]
		low, high := o.Store.MinOffset(meta.ScheduleTopic, int32(i)), o.Store.MaxOffset(meta.ScheduleTopic, int32(i))
		if fixed := max(min(l.offset, high), low); fixed != l.offset {
			o.Logger.Warn("the offset of a delay level does not fit its queue", "level", i+1, "offset", l.offset, "min", low, "max", high)
			l.offset = fixed
		}
		if l.offset < high {
			l.head = 1 // some time ago: the first ring finds out
		}
	}
	s.saver = alarm.Start(0, s.save)
	s.alarm = o.Clock.Alarm(s.ring)
	s.alarm.Set(o.Clock.Now())
	return s, nil
}

// Arrived tells the service of a message that has come into a level's queue, due
// at a moment in ms since 1970. It is the store's OnArrive and does not block.
func (s *Service) Arrived(queueID int32, due int64) {
	s.mu.Lock()
	if int(queueID) >= len(s.levels) || s.levels[queueID].head != 0 {
		s.mu.Unlock()
		return
	}
	s.levels[queueID].head = due
	s.mu.Unlock()
	s.alarm.Set(time.UnixMilli(due))
}

// ring delivers what is due and returns when the next message is.
func (s *Service) ring(now time.Time) (next time.Time) {
	for {
		queueID, due := s.earliest()
		switch {
		case due == 0, s.stop.Load():
			return time.Time{}
		case due > now.UnixMilli():
			return time.UnixMilli(due)
		}
		if err := s.deliver(queueID, now.UnixMilli()); err != nil {
			s.o.Logger.Error("delivering delayed messages failed; it is tried again", "level", queueID+1, "after", retryAfter, "err", err)
			return s.o.Clock.Now().Add(retryAfter)
		}
	}
}

// earliest is the level whose next message is due first.
func (s *Service) earliest() (queueID int32, due int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.levels {
		if l.head != 0 && (due == 0 || l.head < due) {
			queueID, due = int32(i), l.head
		}
	}
	return queueID, due
}

// deliver delivers one turn of a level's messages that are due, and notes how far
// it came and when the next is due.
func (s *Service) deliver(queueID int32, now int64) error {
	offset := s.reach(queueID)
	turn, head, err := s.due(queueID, offset, now)
	if err != nil {
		return err
	}
	done, err := s.move(turn)
	s.mu.Lock()
	l := &s.levels[queueID]
	if done > 0 {
		l.offset = turn[done-1].QueueOffset + 1
		s.changed()
	}
	if err == nil {
		l.head = head
	}
	s.mu.Unlock()
	if err == nil && head == 0 && s.o.Store.MaxOffset(meta.ScheduleTopic, queueID) > offset+int64(len(turn)) {
		// A message came after the last look, and found a level that was not idle.
		s.mu.Lock()
		if l.head == 0 {
			l.head = 1
		}
		s.mu.Unlock()
	}
	return err
}

// reach is the offset where a level goes on. Messages whose log was deleted are
// passed over.
func (s *Service) reach(queueID int32) int64 {
	low := s.o.Store.MinOffset(meta.ScheduleTopic, queueID)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.levels[queueID]
	if l.offset < low {
		s.o.Logger.Error("delayed messages are lost: their log was deleted before they were due (fileReservedTime)", "level", queueID+1, "from", l.offset, "to", low)
		l.offset = low
		s.changed()
	}
	return l.offset
}

// due collects the entries from offset on that are due, one turn of them, and the
// moment of the one behind, 0 when there is none.
func (s *Service) due(queueID int32, offset, now int64) (turn []store.Entry, head int64, err error) {
	delay := s.o.Levels.Delay(int(queueID) + 1).Milliseconds()
	bytes := 0
	err = s.o.Store.EachEntry(meta.ScheduleTopic, queueID, offset, func(e store.Entry) bool {
		head = e.TagsCode
		// Not by now alone: the message may have come after that look at the clock.
		if head > now+delay && head > s.o.Clock.Now().UnixMilli()+delay {
			head = now // the clock was set back, or the level had a longer delay
		}
		if head > now || len(turn) == turnMessages || (bytes > 0 && bytes+int(e.Size) > turnBytes) {
			return false
		}
		turn, bytes, head = append(turn, e), bytes+int(e.Size), 0
		return true
	})
	return turn, head, err
}

// move appends messages to their real topics and returns how many of them, from
// the first on, are done with.
func (s *Service) move(turn []store.Entry) (done int, err error) {
	var index []int // in turn, of each append
	var buf []byte
	for i, e := range turn {
		buf, err = s.o.Store.ReadEntry(e, buf[:0])
		if err != nil && !redeliver.Lost(err) {
			break
		}
		bad := err
		if err = nil; bad == nil {
			bad = s.append(buf)
		}
		if bad != nil {
			s.o.Logger.Log(context.Background(), redeliver.Dropped(bad), "a delayed message cannot be delivered and is dropped", "level queue offset", e.QueueOffset, "physical offset", e.PhysicalOffset, "err", bad)
			continue
		}
		index = append(index, i)
	}
	read := len(turn)
	if err != nil {
		read = 0
		if len(index) > 0 {
			read = index[len(index)-1] + 1
		}
	}
	moved, failed := s.group.Wait(func(i int, r store.AppendResult) {
		if redeliver.Refused(r.Err) {
			s.o.Logger.Warn("a delayed message cannot be delivered and is dropped", "level queue offset", turn[index[i]].QueueOffset, "err", r.Err)
		}
	})
	if failed != nil {
		return index[moved], failed
	}
	return read, err
}

// append sends one stored record on its way. The error is about the record.
func (s *Service) append(rec []byte) error {
	var r protocol.Record
	if _, err := protocol.DecodeRecord(rec, &r); err != nil {
		return err
	}
	topic, queueID, err := redeliver.Real(r.Properties)
	if err != nil {
		return err
	}
	if topic == meta.HalfTopic || topic == meta.ScheduleTopic {
		return fmt.Errorf("its real topic is %s", topic)
	}
	r.Topic, r.QueueID, r.PreparedTransactionOffset = topic, queueID, 0
	return s.group.Append(&r, s.o.TagsCode(&r))
}

// Offsets returns each level's next and maximum queue offset.
func (s *Service) Offsets() [][2]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([][2]int64, len(s.levels))
	for i, l := range s.levels {
		list[i] = [2]int64{l.offset, s.o.Store.MaxOffset(meta.ScheduleTopic, int32(i))}
	}
	return list
}

// Close stops delivering and writes the offsets. The store must still be open.
func (s *Service) Close() error {
	s.stop.Store(true)
	s.alarm.Stop()
	s.saver.Stop()
	return s.write()
}
