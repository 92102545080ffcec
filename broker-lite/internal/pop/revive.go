package pop

import (
	"container/heap"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// A turn revives so many messages, or so many bytes, and waits for them.
const (
	turnMessages = 256
	turnBytes    = 4 << 20
)

// propOriginGroup is a property of revived messages (MessageConst).
const propOriginGroup = "ORIGIN_GROUP"

// ring revives what is due and returns when the next message is. It is the alarm's.
func (s *Service) ring(now time.Time) (next time.Time) {
	for !s.stop.Load() {
		turn, next := s.take(now.UnixMilli())
		if len(turn) == 0 {
			return next
		}
		if err := s.turn(turn); err != nil {
			s.o.Logger.Error("making messages visible again failed; it is tried again", "after", retryAfter, "err", err)
		}
	}
	return time.Time{} // what is left is in the state
}

// take takes messages that are due off the heap, and ends locks; with none, next is
// when the first is due.
func (s *Service) take(now int64) (turn []*message, next time.Time) {
	s.mu.Lock()
	defer s.free()
	s.armed = 0
	for len(s.due) > 0 && len(turn) < turnMessages {
		m := s.due[0]
		if m.until > now {
			break
		}
		heap.Pop(&s.due)
		if m.offset == lockOffset {
			s.wake(m.q)
			continue
		}
		turn = append(turn, m)
	}
	if len(turn) == 0 && len(s.due) > 0 {
		s.armed = s.due[0].until
		next = time.UnixMilli(s.armed)
	}
	return turn, next
}

// revival is a message on its way to its retry topic. What it was when it was taken
// off the heap is kept: a client may change it meanwhile.
type revival struct {
	m       *message
	key     Key
	offset  int64
	popTime int64
}

// turn appends messages to their retry topics and waits for them. What fails is due
// again a little later. The error is the last one.
func (s *Service) turn(turn []*message) (err error) {
	var sent []revival
	var buf []byte
	bytes := 0
	for _, r := range s.revivals(turn) {
		if bytes > turnBytes {
			s.later(r, 0)
			continue
		}
		var bad error
		buf, bad = s.read(r, buf[:0])
		if bad != nil && !redeliver.Lost(bad) {
			err = bad
			s.later(r, retryAfter)
			continue
		}
		if bad == nil {
			bad = s.again(r, buf)
		}
		if bad != nil {
			s.giveUp(r, bad)
			continue
		}
		sent = append(sent, r)
		bytes += len(buf)
	}
	if _, failed := s.group.Wait(func(i int, res store.AppendResult) {
		switch {
		case res.Err == nil:
			s.mu.Lock()
			s.revives[meta.Consumption{Topic: sent[i].key.Topic, Group: sent[i].key.Group}]++
			s.mu.Unlock()
			s.revived(sent[i])
		case redeliver.Refused(res.Err):
			s.giveUp(sent[i], res.Err)
		default:
			s.later(sent[i], retryAfter)
		}
	}); failed != nil {
		err = failed
	}
	s.write()
	return err
}

// revivals notes what is to be revived, and forgets what belongs to a topic or group
// that is gone.
func (s *Service) revivals(turn []*message) (list []revival) {
	s.mu.Lock()
	defer s.free()
	for _, m := range turn {
		q := m.q
		if _, ok := s.o.Offsets.Query(q.key.Group, q.key.Topic, q.key.Queue); !ok {
			s.enter(&entry{kind: kindSettle, key: q.key, popTime: m.popTime, offsets: []int64{m.offset}}, nil)
			continue
		}
		list = append(list, revival{m: m, key: q.key, offset: m.offset, popTime: m.popTime})
	}
	return list
}

// read appends a message's record to dst.
func (s *Service) read(r revival, dst []byte) ([]byte, error) {
	e, ok, err := s.o.Store.Entry(r.key.Topic, r.key.Queue, r.offset)
	if err != nil {
		return dst, err
	}
	if !ok {
		return dst, fmt.Errorf("%w: offset %d of topic %s, queue %d", store.ErrNoRecord, r.offset, r.key.Topic, r.key.Queue)
	}
	return s.o.Store.ReadEntry(e, dst)
}

// again appends a copy of a message to its retry topic, as PopReviveService does. The
// error is about the record.
func (s *Service) again(v revival, rec []byte) error {
	var r protocol.Record
	if _, err := protocol.DecodeRecord(rec, &r); err != nil {
		return err
	}
	topic := v.key.Topic
	if !strings.HasPrefix(topic, meta.RetryPrefix) {
		topic = s.o.RetryTopic(topic, v.key.Group)
	}
	props := r.Properties
	if _, ok := protocol.Property(props, protocol.PropFirstPopTime); !ok || r.ReconsumeTimes == 0 {
		props = protocol.SetProperty(props, protocol.PropFirstPopTime, strconv.FormatInt(v.popTime, 10))
	}
	// Without room for what it adds the message comes as it is.
	if props = protocol.SetProperty(props, propOriginGroup, v.key.Group); len(props) <= protocol.MaxPropertiesLength {
		r.Properties = props
	}
	r.Topic, r.QueueID, r.PreparedTransactionOffset = topic, 0, 0
	r.ReconsumeTimes++
	r.BornHost, r.StoreHost = s.o.StoreHost, s.o.StoreHost
	return s.group.Append(&r, s.o.TagsCode(&r))
}

// revived takes a message out whose copy is stored, unless it was popped anew
// meanwhile.
func (s *Service) revived(r revival) {
	s.mu.Lock()
	defer s.free()
	if q := s.queues[r.key]; q != nil && q.messages[r.offset] == r.m {
		s.enter(&entry{kind: kindSettle, key: r.key, popTime: r.popTime, offsets: []int64{r.offset}}, nil)
		if q.missed && !q.busy {
			s.wake(q)
		}
	}
}

func (s *Service) giveUp(r revival, err error) {
	s.o.Logger.Log(context.Background(), redeliver.Dropped(err), "a message cannot be made visible again and is dropped", "group", r.key.Group, "topic", r.key.Topic, "queue", r.key.Queue, "offset", r.offset, "err", err)
	s.revived(r)
}

// later has a message revived some time from now on.
func (s *Service) later(r revival, after time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.free()
	if r.m.at >= 0 || r.m.q.messages[r.offset] != r.m {
		return // it was changed, or acknowledged
	}
	if after > 0 {
		r.m.until = now + after.Milliseconds()
	}
	heap.Push(&s.due, r.m)
}
