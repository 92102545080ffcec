package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// outcome is what a callback got.
type outcome struct {
	r   message.SendResult
	err error
}

// callback is one send's: it says whether it ran once, and waits in the callback
// until the caller's SendAsync has returned, so that a callback on the caller's
// goroutine never would.
type callback struct {
	returned chan struct{}
	runs     atomic.Int32
	done     chan outcome
}

func newCallback() *callback {
	return &callback{returned: make(chan struct{}), done: make(chan outcome, 10)}
}

// send sends m and waits for the outcome.
func (cb *callback) send(s *stand, ctx context.Context, p *producer.Producer, m *message.Message) outcome {
	s.Helper()
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		p.SendAsync(ctx, m, func(got context.Context, r message.SendResult, err error) {
			<-cb.returned
			if got != ctx {
				s.Error("the callback's ctx is not the one that was given")
			}
			cb.runs.Add(1)
			cb.done <- outcome{r, err}
		})
	}()
	select {
	case <-begun:
	case <-s.soon().Done():
		close(cb.returned)
		s.Fatal("SendAsync does not return while its callback is held up: it runs on the caller's goroutine")
	}
	close(cb.returned)
	select {
	case o := <-cb.done:
		return o
	case <-s.soon().Done():
		s.Fatal("the callback was not called")
		return outcome{}
	}
}

// once says that every callback so far ran exactly once; nothing can come after
// the drain.
func (s *stand) once(p *producer.Producer, cbs ...*callback) {
	s.Helper()
	if err := p.Drain(s.soon()); err != nil {
		s.Error(err)
	}
	for i, cb := range cbs {
		if n := cb.runs.Load(); n != 1 {
			s.Errorf("callback %d ran %d times", i, n)
		}
	}
}

func asyncSend(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c, always(1))
	cb := newCallback()
	o := cb.send(s, s.soon(), p, message.New(topic, []byte("async"), message.Tag("t")))
	if o.err != nil || o.r.Status != message.SendOK || o.r.Queue.ID != 1 || o.r.QueueOffset != 0 || !hexDigits(o.r.MessageID, 32) || !hexDigits(o.r.OffsetMessageID, 32) {
		s.Errorf("%v, %v", o.r, o.err)
	}
	s.once(p, cb)
	if d := s.receive(c, topic).next(); d.ID != o.r.MessageID || d.OffsetID != o.r.OffsetMessageID || d.Tag != "t" {
		s.Errorf("arrived as %+v", d)
	}
}

func asyncMany(s *stand) {
	const n = 500
	c, topic := s.open(), s.topic()
	p := s.producer(c, producer.MaxInFlight(64))
	var runs [n]atomic.Int32
	ids := make(chan string, 2*n)
	for i := range n {
		p.SendAsync(s.Context(), message.New(topic, fmt.Append(nil, i)), func(_ context.Context, r message.SendResult, err error) {
			runs[i].Add(1)
			if err != nil {
				s.Errorf("send %d: %v", i, err)
			}
			ids <- r.MessageID
		})
	}
	if err := p.Drain(s.soon()); err != nil {
		s.Fatal(err)
	}
	for i := range runs {
		if k := runs[i].Load(); k != 1 {
			s.Errorf("callback %d had run %d times when the drain was over", i, k)
		}
	}
	got := s.receive(c, topic).ids(n)
	for range len(ids) {
		if id := <-ids; got[id] == nil {
			s.Errorf("%q was acknowledged and did not arrive", id)
		}
	}
}

func asyncInvalid(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	var cbs []*callback
	for want, m := range map[error]*message.Message{
		message.ErrInvalidTopic:   message.New("no topic", []byte("b")),
		message.ErrEmptyBody:      message.New(topic, nil),
		message.ErrInvalidMessage: message.New(topic, []byte("b"), message.Key("a b")),
		message.ErrBodyTooLarge:   message.New(topic, make([]byte, message.MaxBodySize+1)),
	} {
		cb := newCallback()
		cbs = append(cbs, cb)
		if o := cb.send(s, s.soon(), p, m); !errors.Is(o.err, want) || !message.SafeToRetry(o.err) {
			s.Errorf("error %v, want %v", o.err, want)
		}
	}
	s.once(p, cbs...)
	s.holds(topic, 0)
}

func asyncClosed(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	s.send(p, message.New(topic, []byte("open")))
	if err := p.Close(); err != nil {
		s.Fatal(err)
	}
	cb := newCallback()
	if o := cb.send(s, s.soon(), p, message.New(topic, []byte("closed"))); !errors.Is(o.err, message.ErrClosed) || !message.SafeToRetry(o.err) {
		s.Errorf("error %v, want %v", o.err, message.ErrClosed)
	}
	if _, err := p.Send(s.soon(), message.New(topic, []byte("closed"))); !errors.Is(err, message.ErrClosed) {
		s.Errorf("sync: error %v, want %v", err, message.ErrClosed)
	}
	s.once(p, cb)
	s.holds(topic, 1)
}

func ctxEndedBefore(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	gone, cancel := context.WithCancel(s.Context())
	cancel()
	late, cancel := context.WithDeadline(s.Context(), time.Now().Add(-time.Second))
	defer cancel()
	var cbs []*callback
	for _, ctx := range []context.Context{gone, late} {
		cb := newCallback()
		cbs = append(cbs, cb)
		_, err := p.Send(ctx, message.New(topic, []byte("b")))
		for what, err := range map[string]error{"sync": err, "oneway": p.SendOneway(ctx, message.New(topic, []byte("b"))), "async": cb.send(s, ctx, p, message.New(topic, []byte("b"))).err} {
			if !errors.Is(err, ctx.Err()) || !message.SafeToRetry(err) || errors.Is(err, message.ErrOutcomeUnknown) {
				s.Errorf("%s: error %v, want %v, safe to retry", what, err, ctx.Err())
			}
		}
		if _, err := p.SendBatch(ctx, []*message.Message{message.New(topic, []byte("b"))}); !errors.Is(err, ctx.Err()) || !message.SafeToRetry(err) {
			s.Errorf("batch: error %v, want %v, safe to retry", err, ctx.Err())
		}
	}
	s.holds(topic, 0)
	s.send(p, message.New(topic, []byte("b"))) // nothing is broken
	s.once(p, cbs...)
}

// callbackSends: the place in flight is free before a callback runs.
func callbackSends(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c, producer.MaxInFlight(1), producer.CallbackWorkers(1))
	done := make(chan struct{})
	var chain func(n int)
	chain = func(n int) {
		p.SendAsync(s.Context(), message.New(topic, fmt.Append(nil, n)), func(ctx context.Context, _ message.SendResult, err error) {
			if err != nil {
				s.Errorf("send %d: %v", n, err)
			}
			if n == 5 {
				if _, err := p.Send(ctx, message.New(topic, []byte("sync"))); err != nil {
					s.Errorf("sync send in a callback: %v", err)
				}
				close(done)
				return
			}
			chain(n + 1)
		})
	}
	chain(1)
	s.wait(done, "callbacks that send")
	if diff := cmp.Diff([]string{"1", "2", "3", "4", "5", "sync"}, s.receive(c, topic).bodies(6)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}

func sendBatch(s *stand) {
	c, topic, other := s.open(), s.topic(), s.topic()
	p := s.producer(c)
	var ms []*message.Message
	for i := range 10 {
		ms = append(ms, message.New(topic, fmt.Append(nil, "batch ", i), message.Tag(fmt.Sprint("t", i%2)), message.Key(fmt.Sprint("k", i)), message.Property("n", fmt.Sprint(i))))
	}
	ms = append(ms, message.New(other, []byte("other 0")), message.New(other, []byte("other 1")))
	out, err := p.SendBatch(s.soon(), ms)
	if err != nil || len(out) != len(ms) {
		s.Fatalf("%d outcomes, %v", len(out), err)
	}
	got := s.receive(c, topic).ids(10)
	for id, d := range s.receive(c, other).ids(2) {
		got[id] = d
	}
	for i, o := range out {
		d := got[o.Result.MessageID]
		if o.Err != nil || o.Result.Status != message.SendOK || d == nil {
			s.Errorf("message %d: %v, %v, arrived as %+v", i, o.Result, o.Err, d)
			continue
		}
		if string(d.Body) != string(ms[i].Body) || d.Tag != ms[i].Tag || !slices.Equal(d.Keys(), ms[i].Keys) || d.Property("n") != ms[i].Properties["n"] || d.Topic != ms[i].Topic {
			s.Errorf("message %d arrived as %+v %s", i, d, describe(d))
		}
		if d.Queue != o.Result.Queue || d.QueueOffset != o.Result.QueueOffset || d.OffsetID != o.Result.OffsetMessageID {
			s.Errorf("message %d: %v arrived at %v %d %s", i, o.Result, d.Queue, d.QueueOffset, d.OffsetID)
		}
		if first := out[0].Result; i < 10 && (o.Result.Queue != first.Queue || o.Result.QueueOffset != first.QueueOffset+int64(i)) {
			s.Errorf("message %d is at %v %d, the first at %v %d: one request is one run of offsets", i, o.Result.Queue, o.Result.QueueOffset, first.Queue, first.QueueOffset)
		}
	}
}

func sendBatchSplit(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c, producer.MaxMessageSize(64<<10))
	var ms []*message.Message
	for i := range 40 {
		ms = append(ms, message.New(topic, []byte(strings.Repeat(string(rune('a'+i%26)), 10_000)), message.Key(fmt.Sprint(i))))
	}
	out, err := p.SendBatch(s.soon(), ms)
	if err != nil {
		s.Fatal(err)
	}
	got := s.receive(c, topic).ids(len(ms))
	runs := map[message.Queue]int{}
	for i, o := range out {
		d := got[o.Result.MessageID]
		if d == nil || string(d.Body) != string(ms[i].Body) || !slices.Equal(d.Keys(), ms[i].Keys) || d.QueueOffset != o.Result.QueueOffset || d.Queue != o.Result.Queue {
			s.Errorf("message %d: %v arrived as %+v", i, o.Result, d)
		}
		runs[o.Result.Queue]++
	}
	if len(runs) < 2 {
		s.Errorf("400 kB in requests of 64 kB went to one queue: %v", runs)
	}
}

func sendBatchInvalid(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	for what, bad := range map[string]*message.Message{
		"no body":       message.New(topic, nil),
		"delayed":       message.New(topic, []byte("b"), delay.Level(1)),
		"a retry topic": message.New(message.RetryTopic(s.group()), []byte("b")),
	} {
		out, err := p.SendBatch(s.soon(), []*message.Message{message.New(topic, []byte("fine")), bad, message.New(topic, []byte("fine too"))})
		if err == nil || !message.SafeToRetry(err) {
			s.Errorf("%s: error %v, want one that is safe to retry", what, err)
		}
		for i, o := range out {
			if o.Err == nil {
				s.Errorf("%s: message %d: no error, want none to be sent", what, i)
			}
		}
	}
	s.holds(topic, 0)
}
