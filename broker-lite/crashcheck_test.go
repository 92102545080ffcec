package brokerlite

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// expected is what a broker must have after a crash.
type expected struct {
	visible map[*crashMsg]bool // at once
	ends    map[*crashMsg]bool // in the end
	never   map[*crashMsg]bool
	known   map[*crashMsg]bool // sent, so that it may be there
	settled map[*crashMsg]bool // acknowledged by a consumer
	over    map[*crashMsg]bool // and that was acknowledged to it
	offsets map[string]int64   // the largest that were committed
}

// expect plays what was known when an image was made.
func (w *crashWorld) expect(n int) *expected {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &expected{map[*crashMsg]bool{}, map[*crashMsg]bool{}, map[*crashMsg]bool{}, map[*crashMsg]bool{}, map[*crashMsg]bool{}, map[*crashMsg]bool{}, map[string]int64{}}
	for _, f := range w.facts[:n] {
		m := f.m
		switch f.fact {
		case asked:
			e.known[m] = true
			e.never[m] = m.half && m.outcome != protocol.SysCommit
		case acked:
			e.ends[m] = !m.half || m.outcome == protocol.SysCommit
			e.visible[m] = !m.waits && !m.half
		case committed, seen:
			e.visible[m], e.ends[m] = true, true
		case recalling:
			e.ends[m] = false
		case recalled:
			e.never[m] = true
		case settling:
			e.settled[m] = true
		case settled:
			e.over[m] = true
		case committing:
			e.offsets[fmt.Sprint(f.topic, f.queue)] = max(e.offsets[fmt.Sprint(f.topic, f.queue)], f.offset)
		case deleting, deleted:
			for m := range e.known {
				if m.topic == f.topic {
					e.visible[m], e.ends[m], e.never[m] = false, false, f.fact == deleted
				}
			}
		}
	}
	return e
}

// check recovers an image, and looks whether the broker has what it must have; lets
// it go on, crashes it again, and looks again; and lets all come to its end.
func (w *crashWorld) check(im crashImage) error {
	e := w.expect(im.facts)
	n := uint64(im.facts)*31 + uint64(len(im.after.Path))
	// Another crash in the middle of recovery.
	var during *vfs.Mem
	var calls atomic.Int64
	var recovered atomic.Bool
	fs := vfs.NewFaulty(im.mem, vfs.Hooks{After: func(vfs.Call, error) {
		if calls.Add(1) == int64(1+n%60) && n%3 == 0 && !recovered.Load() {
			during = w.cut(im.mem, n)
		}
	}})
	b, c, err := w.open(fs)
	if err != nil {
		return err
	}
	recovered.Store(true)
	before, err := w.compare(c, e)
	if err == nil {
		err = w.compareOffsets(c, e)
	}
	if err != nil {
		w.shut(b, c)
		return err
	}
	// It goes on: nothing of the old end may come back.
	m := &crashMsg{body: fmt.Sprint("more ", n), topic: "a"}
	w.mu.Lock()
	w.byBody[m.body] = m
	w.mu.Unlock()
	e.known[m] = true
	c.send(sending("a"), m.body)
	e.visible[m], e.ends[m] = true, true
	next := w.cut(im.mem, n+1)
	w.shut(b, c)
	if err := w.checkAgain(next, e, before, m); err != nil {
		return fmt.Errorf("after one more message and another crash: %w", err)
	}
	if during == nil {
		return nil
	}
	delete(e.known, m)
	delete(e.visible, m)
	delete(e.ends, m)
	if err := w.checkAgain(during, e, before, nil); err != nil {
		return fmt.Errorf("after another crash during recovery: %w", err)
	}
	return nil
}

// checkAgain recovers a second time. What neither waits nor is a half message must
// be what it was before, and m.
func (w *crashWorld) checkAgain(mem *vfs.Mem, e *expected, before map[*crashMsg]int, m *crashMsg) error {
	b, c, err := w.open(mem)
	if err != nil {
		return err
	}
	defer w.shut(b, c)
	after, err := w.compare(c, e)
	if err != nil {
		return err
	}
	for k := range after {
		if before[k] == 0 && k != m && !k.waits && !k.half && k.topic != "pop" {
			return fmt.Errorf("message %.12q is back", k.body)
		}
	}
	for k := range before {
		if after[k] == 0 && (m != nil || !k.waits && !k.half) {
			return fmt.Errorf("message %.12q was visible after the first recovery, and is lost", k.body)
		}
	}
	return w.settle(c, e)
}

// compare lists what readers see, and holds it against what must be there.
func (w *crashWorld) compare(c *client, e *expected) (map[*crashMsg]int, error) {
	got := map[*crashMsg]int{}
	for _, topic := range crashTopics() {
		for queue := range int32(2) {
			list, err := listQueue(c, topic, queue)
			if err != nil {
				return nil, err
			}
			for _, r := range list {
				m, err := w.known(e, &r)
				if err != nil {
					return nil, err
				}
				if got[m]++; got[m] > 1 && !m.waits {
					return nil, fmt.Errorf("message %.12q is there twice (half %t)", m.body, m.half)
				}
			}
		}
	}
	for m, must := range e.visible {
		if must && got[m] == 0 {
			return nil, fmt.Errorf("message %.12q of topic %s was acknowledged or seen, and is lost", m.body, m.topic)
		}
	}
	return got, nil
}

// known finds the message of a record, which must be there as it was sent.
func (w *crashWorld) known(e *expected, r *protocol.Record) (*crashMsg, error) {
	w.mu.Lock()
	m := w.byBody[string(r.Body)]
	w.mu.Unlock()
	switch {
	case m == nil || !e.known[m] || m.topic != r.Topic || m.queue != r.QueueID:
		return nil, fmt.Errorf("a record of topic %s, queue %d, was never sent so: %.12q", r.Topic, r.QueueID, r.Body)
	case e.never[m] && m.half:
		return nil, fmt.Errorf("half message %.12q is delivered though it was never committed", r.Body)
	case e.never[m]:
		return nil, fmt.Errorf("message %.12q of topic %s was deleted or recalled, and is back", r.Body, m.topic)
	case r.StoreTimestamp < m.due:
		return nil, fmt.Errorf("message %.12q was delivered %d ms early", r.Body, m.due-r.StoreTimestamp)
	}
	return m, nil
}

// compareOffsets holds consumer offsets against the queues.
func (w *crashWorld) compareOffsets(c *client, e *expected) error {
	for _, topic := range crashTopics() {
		for queue := range int32(2) {
			h := &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "workers", Topic: topic, QueueID: queue}
			h.SetZeroIfNotFound = protocol.OptBool{Set: true}
			resp := c.call(protocol.QueryConsumerOffset, h, nil)
			if resp.Code != protocol.Success {
				continue
			}
			var offset, end protocol.OffsetResponse
			if err := offset.DecodeFields(resp.Fields); err != nil {
				return err
			}
			if err := end.DecodeFields(c.ok(protocol.GetMaxOffset, &protocol.OffsetRequest{Code: protocol.GetMaxOffset, Topic: topic, QueueID: queue}, nil).Fields); err != nil {
				return err
			}
			if most := e.offsets[fmt.Sprint(topic, queue)]; offset.Offset > end.Offset || offset.Offset > most {
				return fmt.Errorf("the offset of queue %d of topic %s is %d; it was at most %d, and the queue ends at %d", queue, topic, offset.Offset, most, end.Offset)
			}
		}
	}
	return nil
}

// settle lets time pass until nothing waits, pops what is left, and looks whether
// all came to the end that it must.
func (w *crashWorld) settle(c *client, e *expected) error {
	c.heartbeat("me", "producers", "")
	for range 15 {
		time.Sleep(2 * time.Second)
		answerChecks(c, w)
	}
	got, err := w.compare(c, e)
	if err != nil {
		return err
	}
	for m, must := range e.ends {
		if must && got[m] == 0 {
			return fmt.Errorf("message %.12q of topic %s was acknowledged, and is lost in the end (waits %t, half %t)", m.body, m.topic, m.waits, m.half)
		}
	}
	for m := range got {
		if got[m] > 3 { // a delivery just before a crash is repeated, and there are two

			return fmt.Errorf("message %.12q was delivered %d times", m.body, got[m])
		}
	}
	return errors.Join(w.givenUp(c, e), w.popRest(c, e))
}

// givenUp looks whether half messages whose outcome nobody knows are where they go
// after the last check.
func (w *crashWorld) givenUp(c *client, e *expected) error {
	list, err := listQueue(c, "TRANS_CHECK_MAX_TIME_TOPIC", 0)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, r := range list {
		there[string(r.Body)] = true
	}
	for m := range e.ends {
		if m.half && m.outcome == 0 && !there[m.body] {
			return fmt.Errorf("half message %.12q was acknowledged, nobody knows its outcome, and it is lost", m.body)
		}
		if m.half && m.outcome != 0 && there[m.body] {
			return fmt.Errorf("half message %.12q was given up though its outcome is known", m.body)
		}
	}
	return nil
}

// popRest pops all that is not acknowledged; all of that must come, and nothing else.
func (w *crashWorld) popRest(c *client, e *expected) error {
	got := map[string]bool{}
	for {
		p := c.pop(popping("pop"))
		if len(p.records) == 0 {
			break
		}
		for _, r := range p.records {
			got[string(r.Body)] = true
		}
	}
	for m := range e.over {
		if got[m.body] {
			return fmt.Errorf("message %.12q was acknowledged by its consumer, and is back", m.body)
		}
	}
	for m, must := range e.ends {
		if must && m.topic == "pop" && !e.settled[m] && !got[m.body] {
			return fmt.Errorf("message %.12q was not acknowledged by its consumer, and is lost to it", m.body)
		}
	}
	return nil
}
