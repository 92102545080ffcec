package halfmsg

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Open finds the half messages that are open and begins to check them.
func Open(o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{o: o, began: time.UnixMilli(o.Clock.Now().UnixMilli()), open: map[int64]*half{}, moved: map[int64]*half{}}
	s.ops.s, s.ops.idle = s, sync.NewCond(&s.ops.mu)
	missed := &unnoted{s: s, copies: map[copyKey][]*half{}, places: map[*half]int64{}, byID: map[digest][]*half{}}
	if err := s.load(missed); err != nil {
		return nil, fmt.Errorf("find the open half messages: %w", err)
	}
	due, open := int64(math.MaxInt64), len(s.open) > 0
	for _, h := range s.open {
		due = min(due, h.due)
	}
	s.alarm = o.Clock.Alarm(s.ring)
	missed.note()
	if open {
		s.alarm.Set(s.tick(due)) // from here on ring may run
	}
	return s, nil
}

// load reads both queues from where the last note was.
func (s *Service) load(missed *unnoted) error {
	halfFrom, opFrom := s.notedOffset(meta.HalfTopic), s.notedOffset(meta.OpHalfTopic)
	s.opEnd = opFrom
	ended := map[int64]bool{}
	opEnd := opFrom
	err := s.each(meta.OpHalfTopic, opFrom, func(r *protocol.Record) {
		opEnd = r.QueueOffset + 1
		for v := range strings.SplitSeq(string(r.Body), ",") {
			if offset, err := strconv.ParseInt(v, 10, 64); err == nil && offset >= halfFrom {
				ended[offset] = true
			}
		}
	})
	if err != nil {
		return err
	}
	s.next = halfFrom
	err = s.each(meta.HalfTopic, halfFrom, func(r *protocol.Record) {
		s.next = r.QueueOffset + 1
		if ended[r.QueueOffset] {
			return
		}
		due, times := r.StoreTimestamp, 0
		if n, before := protocol.Property(r.Properties, protocol.PropCheckTimes); before {
			times, _ = strconv.Atoi(n) // 0 is the copy of nothing
		} else {
			v, _ := protocol.Property(r.Properties, protocol.PropCheckImmunity)
			due += s.Immunity([]byte(v)).Milliseconds()
		}
		missed.entered(s.enter(r.QueueOffset, due), r, times)
	})
	s.opEnd = opEnd
	if err == nil && len(s.open) > 0 {
		err = missed.commits()
	}
	return err
}

// notedOffset is the offset of a queue that was noted last.
func (s *Service) notedOffset(topic string) int64 {
	offset, _ := s.o.Meta.Offsets.Query(group, topic, 0)
	return max(min(offset, s.o.Store.MaxOffset(topic, 0)), s.o.Store.MinOffset(topic, 0))
}

// each reads the records of a queue 0 from an offset on. Those that are lost are
// passed over.
func (s *Service) each(topic string, from int64, f func(*protocol.Record)) error {
	var buf []byte
	var failed error
	err := s.o.Store.EachEntry(topic, 0, from, func(e store.Entry) bool {
		buf, failed = s.o.Store.ReadEntry(e, buf[:0])
		var r protocol.Record
		if failed == nil {
			_, failed = protocol.DecodeRecord(buf, &r)
		}
		switch {
		case failed == nil:
			f(&r)
		case redeliver.Lost(failed):
			s.o.Logger.Error("a record is lost", "topic", topic, "offset", e.QueueOffset, "err", failed)
			failed = nil
		}
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return err
}
