package trace_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// sentMessages is a trace.MessageSender that keeps what it gets.
type sentMessages struct {
	fail func(ctx context.Context) error // nil: never

	mu    sync.Mutex // guards the following
	sent  []*message.Message
	at    []time.Time
	tried int
}

func (s *sentMessages) Send(ctx context.Context, m *message.Message) (message.SendResult, error) {
	s.mu.Lock()
	s.tried++
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(ctx); err != nil {
			return message.SendResult{}, err
		}
	}
	if err := m.Validate(0); err != nil {
		return message.SendResult{}, err
	}
	c := m.Clone()
	c.Body = bytes.Clone(m.Body) // which is used again
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, c)
	return message.SendResult{}, nil
}

func (s *sentMessages) records() []protocol.TraceRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []protocol.TraceRecord
	for _, m := range s.sent {
		all = append(all, protocol.ParseTraceRecords(string(m.Body))...)
	}
	return all
}

func (s *sentMessages) attempts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried
}

func drain(t *testing.T, tr *trace.MessageTracer) {
	t.Helper()
	if err := tr.Drain(context.Background()); err != nil {
		t.Error(err)
	}
}

func sent(id string, opts ...message.Option) *trace.Published {
	return &trace.Published{Group: "shop", Message: message.New("orders", []byte("body"), opts...), Result: message.SendResult{MessageID: id}, Began: time.Now()}
}

func TestRecordsAreGatheredForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &sentMessages{}
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to})
		defer drain(t, tr)
		time.Sleep(time.Hour) // nothing wakes an idle tracer
		begin := time.Now()
		tr.Published(sent("A", message.Key("k1", "k2")))
		time.Sleep(900 * time.Millisecond)
		tr.Published(sent("B", message.Key("k2")))
		time.Sleep(99 * time.Millisecond)
		if n := to.attempts(); n != 0 {
			t.Fatalf("%d messages before a second is over", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if len(to.sent) != 1 || to.at[0].Sub(begin) != time.Second {
			t.Fatalf("%d messages, at %v", len(to.sent), to.at)
		}
		if diff := cmp.Diff(&message.Message{Topic: "RMQ_SYS_TRACE_TOPIC", Keys: []string{"A", "k1", "k2", "B"}}, to.sent[0], cmpopts.IgnoreFields(message.Message{}, "Body")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := to.records(); len(got) != 2 || got[0].MsgID != "A" || got[1].MsgID != "B" {
			t.Errorf("%+v", got)
		}
	})
}

func TestRecordsOfManyMessagesFitInMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &sentMessages{}
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to, Topic: "OUR_TRACE"})
		const n = 3000
		long := strings.Repeat("k", 7<<10) + "1"
		for i := range n {
			s := sent(strings.Repeat("0", 32))
			switch i % 100 {
			case 0:
				s = sent("L", message.Key(long))
			case 1:
				s = sent("X", message.Key(strings.Repeat("x", 30<<10))) // more than a message's keys may be
			}
			s.Message.Topic = "orders"
			tr.Published(s)
			if i%200 == 199 { // at most what the buffer takes
				synctest.Wait()
			}
		}
		drain(t, tr)
		if got := len(to.records()); got != n {
			t.Errorf("%d records of %d", got, n)
		}
		for _, m := range to.sent {
			if m.Topic != "OUR_TRACE" || len(m.Body) > 128<<10 {
				t.Errorf("to %s, %d bytes", m.Topic, len(m.Body))
			}
		}
		if n := len(to.sent); n < 10 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestARefusedTraceIsGivenUpWithBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log bytes.Buffer
		refused := true
		to := &sentMessages{fail: func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if refused {
				return &message.RouteError{Topic: "RMQ_SYS_TRACE_TOPIC"}
			}
			return nil
		}}
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 600 { // ten minutes
			tr.Published(sent("A"))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		// 1 s, 2 s, … 32 s, 1 m, 1 m …
		if n := to.attempts(); n < 12 || n > 17 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		if n := strings.Count(log.String(), "records of the message trace are lost"); n < 8 || n > 10 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
		if !strings.Contains(log.String(), "traceTopicEnable=true") {
			t.Error("no remedy")
		}
		mu.Lock()
		refused = false
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		before := len(to.records())
		tr.Published(sent("B"))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := to.records(); len(got) != before+1 || got[before].MsgID != "B" {
			t.Errorf("%d records after %d", len(got), before)
		}
		drain(t, tr)
	})
}

func TestASlowTraceHoldsNobodyUpAndIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		release := make(chan struct{})
		to := &sentMessages{fail: func(ctx context.Context) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		begin := time.Now()
		const n = 50_000
		for range n {
			tr.Published(sent(strings.Repeat("0", 32), message.Key("k")))
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the sends waited %s", took)
		}
		close(release)
		drain(t, tr)
		got, size := len(to.records()), 0
		for _, m := range to.sent {
			size += len(m.Body)
		}
		if got == n || got < 5000 || size > 4<<20 {
			t.Errorf("%d records, %d bytes", got, size)
		}
		if !strings.Contains(log.String(), "more was traced than could be sent") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

func TestADrainKeepsToItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		to := &sentMessages{fail: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2000 {
			tr.Published(sent(strings.Repeat("0", 32)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := tr.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second || to.attempts() != 1 {
			t.Errorf("%s, %d attempts", took, to.attempts())
		}
		if !strings.Contains(log.String(), "records=2000") {
			t.Errorf("the log says %q", log.String())
		}
		tr.Published(sent("late")) // takes no notice
		drain(t, tr)
	})
}

func TestEachStepHasItsRecord(t *testing.T) {
	t.Parallel()
	to := &sentMessages{}
	tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to})
	began := time.Now().Add(-30 * time.Millisecond)
	d := func(id, props string) *message.Delivery {
		d := &message.Delivery{Topic: "orders", ID: id, ReconsumeTimes: 2}
		d.SetRawProperties(props)
		return d
	}
	untraced := d("OFF", "TRACE_ON\x01false\x02")
	one, two := d("ONE", "KEYS\x01k1 k2\x02MSG_REGION\x01eu\x02"), d("TWO", "")

	tr.Published(&trace.Published{
		Group: "shop", Message: message.New("orders", []byte("body"), message.Tag("paid"), message.Key("k1", "k2")), Addr: "10.0.0.1:10911", Region: "eu",
		Result: message.SendResult{MessageID: "ID", OffsetMessageID: "OFFSET", Status: message.FlushDiskTimeout}, Half: true, Began: began,
	})
	tr.Published(&trace.Published{Group: "shop", Message: &message.Message{Topic: "orders", Delay: message.Delay{Level: 3}}, Result: message.SendResult{MessageID: "ID"}, Began: began})
	tr.Published(&trace.Published{Group: "shop", Message: message.New("RMQ_SYS_TRACE_TOPIC", nil), Began: began})
	tr.Published(&trace.Published{Group: "shop", Message: message.New("RMQ_SYS_TRACE_TOPIC_OF_MINE", nil), Began: began}) // Java leaves it out
	tr.Decided(&trace.Decided{Group: "shop", Topic: "orders", ID: "ID", Tag: "paid", Keys: []string{"k1"}, Addr: "10.0.0.1:10911", Rollback: true, FromCheck: true})
	tr.Recalled("shop", "orders", (&protocol.RecallHandle{Topic: "orders", BrokerName: "a", Timestamp: "1", UniqueKey: "ID"}).String(), "eu", true)
	tr.Recalled("shop", "orders", "none", "eu", false)
	run := tr.StartRun("billing", one, untraced, two)
	run.End(one, true, trace.EndedWell)
	run.End(untraced, true, trace.EndedWell)
	run.End(two, false, trace.EndedByPanic)
	drain(t, tr)

	const r = "DefaultRegion"
	want := []protocol.TraceRecord{
		{Type: "Pub", Region: "eu", Group: "shop", Topic: "orders", MsgID: "ID", Tags: "paid", Keys: "k1 k2", StoreHost: "10.0.0.1:10911", BodyLength: 4, MsgType: 1, OffsetMsgID: "OFFSET"},
		{Type: "Pub", Region: r, Group: "shop", Topic: "orders", MsgID: "ID", MsgType: 3, Success: true},
		{Type: "Pub", Region: r, Group: "shop", Topic: "RMQ_SYS_TRACE_TOPIC_OF_MINE", Success: true},
		{Type: "EndTransaction", Region: r, Group: "shop", Topic: "orders", MsgID: "ID", Tags: "paid", Keys: "k1", StoreHost: "10.0.0.1:10911", MsgType: 2, TransactionID: "ID", TransactionState: "ROLLBACK_MESSAGE", FromCheck: true},
		{Type: "Recall", Region: "eu", Group: "shop", Topic: "orders", MsgID: "ID", Success: true},
		{Type: "SubBefore", Region: "eu", Group: "billing", MsgID: "ONE", Keys: "k1 k2", RetryTimes: 2},
		{Type: "SubBefore", Region: r, Group: "billing", MsgID: "TWO", RetryTimes: 2},
		{Type: "SubAfter", Group: "billing", MsgID: "ONE", Keys: "k1 k2", Success: true},
		{Type: "SubAfter", Group: "billing", MsgID: "TWO", ContextCode: 2},
	}
	got := to.records()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(protocol.TraceRecord{}, "Timestamp", "Cost", "RequestID")); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if c := got[0].Cost; c < 30 || c > 10_000 || got[0].Timestamp != began.UnixMilli() {
		t.Errorf("cost %d ms, at %d", c, got[0].Timestamp)
	}
	request := got[5].RequestID
	for _, e := range got[5:] {
		if e.RequestID != request || len(request) != 32 {
			t.Errorf("request %q, want %q", e.RequestID, request)
		}
	}
}

func TestNoMessageTracerDoesNothing(t *testing.T) {
	tr := trace.NewMessageTracer(trace.MessageOptions{})
	if tr != nil {
		t.Fatal("a tracer without a sender")
	}
	s, d := sent("A"), delivery(nil)
	if n := testing.AllocsPerRun(100, func() {
		tr.Published(s)
		tr.Decided(&trace.Decided{Topic: "orders"})
		tr.Recalled("g", "t", "h", "", true)
		run := tr.StartRun("g", d)
		run.End(d, true, trace.EndedWell)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	drain(t, tr)
}

func TestRecordsAreWrittenWithoutAllocations(t *testing.T) {
	to := &sentMessages{fail: func(context.Context) error { return errors.New("no") }}
	tr := trace.NewMessageTracer(trace.MessageOptions{Sender: to})
	defer drain(t, tr)
	s, d := sent(strings.Repeat("0", 32), message.Key("k1")), delivery(map[string]string{"KEYS": "k1 k2", "MSG_REGION": "eu"})
	for range 500 { // until the buffers have their size
		tr.Published(s)
	}
	if n := testing.AllocsPerRun(50, func() {
		tr.Published(s)
		run := tr.StartRun("g", d)
		run.End(d, true, trace.EndedWell)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
