package halfmsg

import (
	"slices"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// A turn appends so many half messages again, or so many bytes, and waits for them.
const (
	turnMessages = 64
	turnBytes    = 4 << 20
)

// checked is a half message that is being checked.
type checked struct {
	half   *half
	rec    protocol.Record // as it was stored
	times  int             // how often it will have been checked
	props  []byte          // its properties from now on
	giveUp bool            // it was checked often enough, or has no room to note a check
	result store.AppendResult
}

// ring checks the half messages that are due and returns when to come again.
func (s *Service) ring(now time.Time) (next time.Time) {
	s.ops.write() // what failed before
	group := redeliver.NewGroup(s.o.Store)
	for due := s.claimDue(now); len(due) > 0; {
		due = due[s.check(group, due, now):]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note()
	earliest := int64(-1)
	for _, h := range s.open {
		if !h.ending && (earliest < 0 || h.due < earliest) {
			earliest = h.due
		}
	}
	if earliest < 0 {
		return time.Time{}
	}
	return s.tick(max(earliest, now.UnixMilli()))
}

// claimDue lists the half messages that are to be checked, oldest first. Until the
// check is over they cannot be ended; a producer that tries is asked again by the
// check.
func (s *Service) claimDue(now time.Time) []*half {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*half
	for _, h := range s.open {
		if !h.ending && h.due < now.UnixMilli() {
			h.ending = true
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *half) int { return int(a.offset - b.offset) })
	return list
}

// check appends half messages again and asks for their outcome, or gives them up. It
// takes one turn of those that are due, and returns how many.
func (s *Service) check(group *redeliver.Group, due []*half, now time.Time) (taken int) {
	s.mu.Lock()
	opFrom := s.opEnd // nothing of this turn can have ended before
	s.mu.Unlock()
	var list []*checked
	bytes := 0
	for ; taken < min(len(due), turnMessages) && bytes < turnBytes; taken++ {
		h := due[taken]
		c, err := s.read(h)
		if err == nil {
			bytes += len(c.rec.Body)
			err = s.appendAgain(group, c)
		}
		switch {
		case err == nil:
			list = append(list, c)
		case redeliver.Lost(err):
			s.o.Logger.Error("a half message is lost and cannot be checked", "offset", h.offset, "err", err)
			s.ops.add(opItem{offset: h.offset, half: h})
		default:
			s.o.Logger.Error("checking a half message failed; it is tried again", "offset", h.offset, "err", err)
			s.unclaim(h)
		}
	}
	_, err := group.Wait(func(i int, r store.AppendResult) { list[i].result = r })
	if err != nil {
		s.o.Logger.Error("checking half messages failed; it is tried again", "err", err)
	}
	for _, c := range list {
		switch {
		case redeliver.Refused(c.result.Err):
			s.o.Logger.Warn("a half message cannot be stored again and is given up", "offset", c.half.offset, "err", c.result.Err)
			s.ops.add(opItem{offset: c.half.offset, half: c.half})
		case c.result.Err != nil:
			s.unclaim(c.half)
		case c.giveUp:
			s.o.Logger.Warn("a half message was checked often enough, or its properties have no room to count checks, and is given up", "topic", meta.CheckMaxTimeTopic, "offset", c.half.offset, "checks", c.times-1)
			s.ops.add(opItem{offset: c.half.offset, half: c.half})
		default:
			s.move(c, opFrom, now)
			s.ask(c)
		}
	}
	return taken
}

// read reads a half message and decides what becomes of it.
func (s *Service) read(h *half) (*checked, error) {
	e, ok, err := s.o.Store.Entry(meta.HalfTopic, 0, h.offset)
	if err == nil && !ok {
		err = store.ErrNoRecord
	}
	if err != nil {
		return nil, err
	}
	raw, err := s.o.Store.ReadEntry(e, nil)
	if err != nil {
		return nil, err
	}
	c := &checked{half: h, times: 1}
	if _, err := protocol.DecodeRecord(raw, &c.rec); err != nil {
		return nil, err
	}
	if v, ok := protocol.Property(c.rec.Properties, protocol.PropCheckTimes); ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			n = -1 // as Java's
		}
		c.times, c.giveUp = n+1, n >= s.o.MaxCheck
	}
	c.props = protocol.SetProperty(c.rec.Properties, protocol.PropCheckTimes, strconv.Itoa(c.times))
	c.giveUp = c.giveUp || len(c.props) > protocol.MaxPropertiesLength
	return c, nil
}

// appendAgain appends the copy that is checked from now on, or the one that is
// given up.
func (s *Service) appendAgain(group *redeliver.Group, c *checked) error {
	r := c.rec
	if c.giveUp {
		t := s.o.Meta.Topics.CreateForSendBack(meta.CheckMaxTimeTopic, 1, protocol.PermRead|protocol.PermWrite, false, 0)
		r.Topic, r.QueueID = t.TopicName, 0
	} else {
		c.rec.Properties = c.props
		r.Properties = c.props
	}
	return group.Append(&r, s.o.TagsCode(&r))
}

// move notes that a half message has a new offset.
func (s *Service) move(c *checked, opFrom int64, now time.Time) {
	h, from := c.half, c.half.offset
	s.mu.Lock()
	delete(s.open, from)
	h.before = append(h.before, from)
	h.offset, h.opFrom, h.due, h.ending = c.result.QueueOffset, opFrom, now.UnixMilli(), false
	s.open[h.offset] = h
	for _, offset := range h.before {
		s.moved[offset] = h
	}
	s.next = max(s.next, h.offset+1)
	s.mu.Unlock()
	s.ops.add(opItem{offset: from})
}

// ask sends code 39 (AbstractTransactionalMessageCheckListener.sendCheckMessage).
// The message in it has its real topic and queue, the new offsets, and WAIT=false.
func (s *Service) ask(c *checked) {
	r := c.rec
	topic, queueID, err := redeliver.Real(r.Properties)
	if err != nil {
		s.o.Logger.Warn("a half message cannot be checked", "offset", c.result.QueueOffset, "err", err)
		return
	}
	id, _ := protocol.Property(r.Properties, protocol.PropUniqueKey)
	pgroup, _ := protocol.Property(r.Properties, protocol.PropProducerGroup)
	r.Topic, r.QueueID = topic, queueID
	r.Properties = protocol.SetProperty(r.Properties, protocol.PropWaitStore, "false")
	record, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		s.o.Logger.Warn("a half message cannot be checked", "offset", c.result.QueueOffset, "err", err)
		return
	}
	protocol.PlaceRecord(record, c.result.QueueOffset, c.result.PhysicalOffset, r.StoreTimestamp)
	s.o.Check(pgroup, &protocol.CheckTransactionRequest{
		Topic: meta.HalfTopic, TranStateTableOffset: c.result.QueueOffset, CommitLogOffset: c.result.PhysicalOffset,
		MessageID: id, TransactionID: id, BrokerName: s.o.BrokerName,
		OffsetMessageID: protocol.OffsetMessageID(s.o.StoreHost, c.result.PhysicalOffset),
	}, record)
}
