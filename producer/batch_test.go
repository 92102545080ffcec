package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func messages(n, size int, topics ...string) []*message.Message {
	var ms []*message.Message
	for i := range n {
		ms = append(ms, message.New(topics[i%len(topics)], make([]byte, size)))
	}
	return ms
}

func TestBatchesAreGroupedByTopicAndSplitBySize(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ms   []*message.Message
		want [][]string // the ids of each request
	}{
		"one request":          {messages(3, 10, "t"), [][]string{{"ID1", "ID2", "ID3"}}},
		"two topics":           {messages(5, 10, "t", "u"), [][]string{{"ID1", "ID3", "ID5"}, {"ID2", "ID4"}}},
		"split by size":        {messages(5, 1000, "t"), [][]string{{"ID1", "ID2", "ID3"}, {"ID4", "ID5"}}},
		"each alone":           {messages(2, 4096, "t"), [][]string{{"ID1"}, {"ID2"}}},
		"one":                  {messages(1, 10, "t"), [][]string{{"ID1"}}},
		"large between small":  {append(append(messages(1, 10, "t"), messages(1, 4096, "t")...), messages(1, 10, "t")...), [][]string{{"ID1"}, {"ID2"}, {"ID3"}}},
		"two topics and sizes": {messages(4, 2000, "t", "u"), [][]string{{"ID1"}, {"ID2"}, {"ID3"}, {"ID4"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript("a")
			p := start(t, s, producer.MaxMessageSize(4096))
			out, err := p.SendBatch(t.Context(), tc.ms)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, ids(s)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			for i, o := range out {
				if want := fmt.Sprintf("ID%d", i+1); o.Err != nil || o.Result.MessageID != want || o.Result.Queue.Topic != tc.ms[i].Topic {
					t.Errorf("outcome %d: %+v", i, o)
				}
			}
		})
	}
}

func TestBatchOutcomesNameEachMessagesPlace(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
		return driver.Receipt{Status: message.FlushDiskTimeout, OffsetMessageID: "0A,0B,0C", QueueOffset: 40}, nil
	}
	p := start(t, s)
	out, err := p.SendBatch(t.Context(), messages(3, 1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		r := o.Result
		if r.Status != message.FlushDiskTimeout || r.QueueOffset != int64(40+i) || r.OffsetMessageID != "0"+string(rune('A'+i)) {
			t.Errorf("outcome %d: %v", i, r)
		}
	}
}

func TestABatchCanFailInPart(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	s.send = func(_ context.Context, q message.Queue, _ []*driver.Outgoing) (driver.Receipt, error) {
		if q.Topic == "bad" {
			return driver.Receipt{}, unknown(errors.New("lost"))
		}
		return driver.Receipt{}, nil
	}
	p := start(t, s)
	out, err := p.SendBatch(t.Context(), messages(6, 1, "good", "bad"))
	var be *producer.BatchError
	if !errors.As(err, &be) || be.Failed != 3 || be.Total != 6 || !errors.Is(err, message.ErrOutcomeUnknown) || message.SafeToRetry(err) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(err.Error(), "3 of 6") || strings.Count(err.Error(), "lost") != 1 {
		t.Errorf("text %q", err)
	}
	for i, o := range out {
		if (o.Err != nil) != (i%2 == 1) {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
}

func TestABatchWithABadMessageSendsNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bad  *message.Message
		want error
	}{
		"no body":     {message.New("t", nil), message.ErrEmptyBody},
		"delayed":     {message.New("t", []byte("b"), func(m *message.Message) { m.Delay.Level = 1 }), message.ErrInvalidMessage},
		"retry topic": {message.New("%RETRY%g", []byte("b")), message.ErrInvalidTopic},
		"nil":         {nil, message.ErrInvalidMessage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript("a")
			p := start(t, s)
			out, err := p.SendBatch(t.Context(), []*message.Message{msg(), tc.bad, msg()})
			if !errors.Is(err, tc.want) || !message.SafeToRetry(err) || len(s.tried()) != 0 {
				t.Errorf("%d requests, error %v", len(s.tried()), err)
			}
			if !errors.Is(out[1].Err, tc.want) || !strings.Contains(out[1].Err.Error(), "message 1") {
				t.Errorf("the bad message's outcome: %v", out[1].Err)
			}
			for _, i := range []int{0, 2} {
				if e := out[i].Err; e == nil || !message.SafeToRetry(e) || !strings.Contains(e.Error(), "message 1") {
					t.Errorf("outcome %d: %v", i, e)
				}
			}
		})
	}
}

func TestBatchesThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	p := start(t, s)
	if out, err := p.SendBatch(t.Context(), nil); out != nil || !errors.Is(err, message.ErrInvalidMessage) {
		t.Errorf("empty: %v, %v", out, err)
	}
	s = newScript("a")
	s.caps.Batch = false
	p = start(t, s)
	if out, err := p.SendBatch(t.Context(), messages(2, 1, "t")); out != nil || !errors.Is(err, message.ErrUnsupported) {
		t.Errorf("driver without batches: %v, %v", out, err)
	}
	s = newScript("a")
	s.queues = func(string) ([]message.Queue, error) { return nil, message.ErrNoRoute }
	p = start(t, s)
	out, err := p.SendBatch(t.Context(), []*message.Message{msg(message.ShardingKey("k")), msg()})
	if !errors.Is(err, message.ErrNoRoute) || out[0].Err == nil || out[1].Err == nil {
		t.Errorf("no route: %v, %v", out, err)
	}
}

func TestBatchesCountAgainstWhatIsInFlight(t *testing.T) {
	t.Parallel()
	s := newScript("a")
	hold := make(chan struct{})
	s.send = func(context.Context, message.Queue, []*driver.Outgoing) (driver.Receipt, error) {
		<-hold
		return driver.Receipt{}, nil
	}
	p := start(t, s, producer.MaxInFlightBytes(25), producer.FailFast())
	p.SendAsync(t.Context(), message.New("t", make([]byte, 10)), func(context.Context, message.SendResult, error) {})
	if _, err := p.SendBatch(t.Context(), messages(2, 10, "t")); !errors.Is(err, message.ErrOverloaded) || !message.SafeToRetry(err) {
		t.Errorf("error %v", err)
	}
	close(hold)
}
