package clientgo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func sendAsSent(e *env) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[1]
	m := &driver.Outgoing{
		Message: &message.Message{
			Topic: e.topic(), Body: []byte("正文 😀"), Tag: "标签", Keys: []string{"k1", "订单2"}, ShardingKey: "shard",
			Properties: map[string]string{"地区": "欧洲 = \"eu\"; {x}", "amount": "11"}, Flag: 42,
		},
		ID: s.NewID(), Extra: []driver.Property{{Name: "traceparent", Value: "00-1-2-03"}},
	}
	r := e.send(s, q, m)
	if r.Status != message.SendOK || r.QueueID != q.ID || r.QueueOffset != 0 || r.Addr == "" {
		e.Errorf("receipt %+v, want SEND_OK in queue %d at 0, with the broker's address", r, q.ID)
	}
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	got := in.want(e, "正文 😀")
	defer got.ack()
	if got.ID != m.ID || got.OffsetID != r.OffsetMessageID || got.Topic != e.topic() || got.Group != e.group() || got.Tag != "标签" || got.Flag != 42 ||
		got.Queue != q || got.QueueOffset != r.QueueOffset || got.ReconsumeTimes != 0 || got.StoreHost.String() != r.Addr || !got.BornHost.IsValid() {
		e.Errorf("delivery %+v of %+v", got.Delivery, r)
	}
	if age := time.Since(got.Born()); age < 0 || age > patience || got.Stored().Before(got.Born()) {
		e.Errorf("born %s, stored %s", got.Born(), got.Stored())
	}
	if diff := cmp.Diff([]string{"k1", "订单2"}, got.Keys()); diff != "" {
		e.Errorf("keys (-want +got)\n%s", diff)
	}
	props := maps.Collect(got.Properties())
	for k := range props {
		switch k {
		case "CLUSTER", "MSG_REGION", "TRACE_ON", "WAIT": // the broker's
			delete(props, k)
		}
	}
	want := map[string]string{
		"地区": "欧洲 = \"eu\"; {x}", "amount": "11", "TAGS": "标签", "KEYS": "k1 订单2", "__SHARDINGKEY": "shard",
		"UNIQ_KEY": m.ID, "traceparent": "00-1-2-03",
	}
	if diff := cmp.Diff(want, props); diff != "" {
		e.Errorf("properties (-want +got)\n%s", diff)
	}
}

func sendBatch(e *env) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[0]
	var ms []*driver.Outgoing
	for _, body := range []string{"one", "two", "three"} {
		m := e.text(s, body)
		m.Tag, m.Properties = "t-"+body, map[string]string{"own": body}
		ms = append(ms, m)
	}
	var o outcome
	for range 5 {
		done := make(chan outcome, 2)
		s.SendBatchTo(e.Context(), q, ms, func(r driver.Receipt, err error) { done <- outcome{r, err} })
		if o = <-done; o.err == nil {
			break
		}
	}
	e.must(o.err)
	ids := strings.Split(o.OffsetMessageID, ",")
	if len(ids) != 3 || o.Addr == "" || o.QueueID != q.ID {
		e.Errorf("receipt %+v, want three offset ids and an address", o.Receipt)
	}
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	got := make(map[string]arrival)
	for range ms {
		a := in.next(e)
		a.ack()
		got[a.ID] = a
	}
	for i, m := range ms {
		a, ok := got[m.ID]
		if !ok || string(a.Body) != string(m.Body) || a.Tag != m.Tag || a.Property("own") != string(m.Body) || a.OffsetID != ids[i] {
			e.Errorf("message %d arrived as %+v", i, a.Delivery)
		}
	}
}

func sendOneway(e *env) {
	d := e.driver()
	s := e.sender(d)
	queues := e.queues(s, e.topic())
	want := map[string]bool{"a": true, "b": true, "c": true}
	for body := range want {
		e.must(s.SendOneway(e.Context(), queues[0], e.text(s, body)))
	}
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	for len(want) > 0 {
		a := in.next(e)
		a.ack()
		if !want[string(a.Body)] {
			e.Errorf("unexpected %q", a.Body)
		}
		delete(want, string(a.Body))
	}
}

func queuesSorted(e *env) {
	s := e.sender(e.driver())
	queues := e.queues(s, e.topic())
	if len(queues) == 0 || !slices.IsSortedFunc(queues, func(a, b message.Queue) int {
		return strings.Compare(a.Broker, b.Broker)*1000 + a.ID - b.ID
	}) {
		e.Errorf("queues %v, want some, sorted", queues)
	}
	for i, q := range queues {
		if q.Topic != e.topic() || q.Broker == "" || q.ID != i {
			e.Errorf("queue %d is %v", i, q)
		}
	}
	again := e.queues(s, e.topic())
	if &again[0] != &queues[0] {
		e.Error("an unchanged route makes a new slice for each send")
	}
}

func sendRefused(e *env) {
	d := e.driver()
	s, err := d.NewSender(driver.SenderConfig{Group: e.name + "_p"}) // without a limit of its own
	e.must(err)
	defer func() { e.must(s.Close(context.Background())) }()
	m := e.text(s, strings.Repeat("x", message.MaxBodySize+1<<16))
	o := e.try(s, e.queues(s, e.topic())[0], m)
	var refusal *message.BrokerError
	if !errors.As(o.err, &refusal) || refusal.Code != 13 || refusal.Name != "MESSAGE_ILLEGAL" || refusal.Remark == "" || refusal.Broker == "" {
		e.Errorf("error %v, want MESSAGE_ILLEGAL with the broker's name and words", o.err)
	}
	if !message.SafeToRetry(o.err) {
		e.Error("a refusal stored nothing")
	}
}

func sendToUnknownBroker(e *env) {
	s := e.sender(e.driver())
	e.queues(s, e.topic())
	q := message.Queue{Topic: e.topic(), Broker: "nobody", ID: 0}
	if o := e.try(s, q, e.text(s, "x")); !errors.Is(o.err, message.ErrUnreachable) || !message.SafeToRetry(o.err) {
		e.Errorf("error %v, want ErrUnreachable", o.err)
	}
	if err := s.SendOneway(e.Context(), q, e.text(s, "x")); !errors.Is(err, message.ErrUnreachable) {
		e.Errorf("oneway: error %v, want ErrUnreachable", err)
	}
}

func sendWithEndedContext(e *env) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[0]
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	done := make(chan outcome, 2)
	s.SendTo(ctx, q, e.text(s, "never"), func(r driver.Receipt, err error) { done <- outcome{r, err} })
	if o := <-done; !errors.Is(o.err, context.Canceled) || errors.Is(o.err, message.ErrOutcomeUnknown) {
		e.Errorf("error %v, want the ctx's alone", o.err)
	}
	if err := s.SendOneway(ctx, q, e.text(s, "never")); !errors.Is(err, context.Canceled) {
		e.Errorf("oneway: error %v, want the ctx's", err)
	}
	if _, err := s.Queues(ctx, e.topic()+"_unseen"); !errors.Is(err, context.Canceled) {
		e.Errorf("queues: error %v, want the ctx's", err)
	}
	e.send(s, q, e.text(s, "first")) // the connection is well, and nothing came before
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	in.want(e, "first").ack()
}

func sendAfterClose(e *env) {
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	e.must(s.Close(e.Context()))
	if o := e.try(s, q, e.text(s, "x")); !errors.Is(o.err, message.ErrClosed) {
		e.Errorf("error %v, want ErrClosed", o.err)
	}
	if _, err := s.Queues(e.Context(), e.topic()); !errors.Is(err, message.ErrClosed) {
		e.Errorf("queues: error %v, want ErrClosed", err)
	}
	if err := s.SendOneway(e.Context(), q, e.text(s, "x")); !errors.Is(err, message.ErrClosed) {
		e.Errorf("oneway: error %v, want ErrClosed", err)
	}
}

func sendBig(e *env) {
	d := e.driver()
	s := e.sender(d)
	body := bytes.Repeat([]byte("compressible "), 10_000)
	e.send(s, e.queues(s, e.topic())[0], &driver.Outgoing{Message: message.New(e.topic(), body), ID: s.NewID()})
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	got := in.next(e)
	got.ack()
	if !bytes.Equal(got.Body, body) || got.SysFlag&1 != 0 {
		e.Errorf("%d bytes arrived with sysFlag %d, want %d uncompressed", len(got.Body), got.SysFlag, len(body))
	}
}

func delayLevel(e *env) {
	d := e.driver()
	s := e.sender(d)
	q := e.queues(s, e.topic())[0]
	m := e.text(s, "later")
	m.Delay.Level = 1
	sent := time.Now()
	e.send(s, q, m)
	e.send(s, q, e.text(s, "now"))
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	// In any order: it may take a second until the queues are this client's.
	got := map[string]arrival{}
	for range 2 {
		a := in.next(e)
		a.ack()
		got[string(a.Body)] = a
	}
	if took := got["later"].at.Sub(sent); len(got) != 2 || took < 900*time.Millisecond {
		e.Errorf("level 1 took %s; %d messages", took, len(got))
	}
	m = e.text(s, "exact")
	m.Delay.After = time.Minute
	if o := e.try(s, q, m); !errors.Is(o.err, message.ErrUnsupported) {
		e.Errorf("a delay by time: error %v, want ErrUnsupported", o.err)
	}
}

// Sends that are refused before rocketmq-client-go sees them.
func TestSendsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	e := &env{T: t, nameServer: "127.0.0.1:1", name: "refused"}
	d := e.driver()
	s, err := d.NewSender(driver.SenderConfig{Group: "p", MaxMessageSize: 1000})
	e.must(err)
	defer func() { e.must(s.Close(t.Context())) }()
	q := message.Queue{Topic: e.topic(), Broker: "broker-a"}
	with := func(f func(*message.Message)) *driver.Outgoing {
		m := e.text(s, "body")
		f(m.Message)
		return m
	}
	none := func(*message.Message) {}
	large := func(m *message.Message) { m.Body = make([]byte, 1001) }
	wordy := func(m *message.Message) {
		noise := make([]byte, 33_000)
		rand.Read(noise)
		for i := range noise {
			noise[i] = 'a' + noise[i]%26
		}
		m.Properties = map[string]string{"own": string(noise)}
	}
	at := func(m *message.Message) { m.Delay.At = time.Now().Add(time.Hour) }
	level := func(m *message.Message) { m.Delay.Level = 2 }
	other := func(m *message.Message) { m.Topic = "other" }
	for name, c := range map[string]struct {
		batch []*driver.Outgoing
		want  error
	}{
		"a body over the limit":       {[]*driver.Outgoing{with(large)}, message.ErrBodyTooLarge},
		"properties over the limit":   {[]*driver.Outgoing{with(wordy)}, message.ErrInvalidMessage},
		"a delay by time":             {[]*driver.Outgoing{with(at)}, message.ErrUnsupported},
		"a batch over the limit":      {[]*driver.Outgoing{with(none), with(large)}, message.ErrBodyTooLarge},
		"a batch's properties":        {[]*driver.Outgoing{with(none), with(wordy)}, message.ErrInvalidMessage},
		"a delayed batch":             {[]*driver.Outgoing{with(none), with(level)}, message.ErrInvalidMessage},
		"a batch of different topics": {[]*driver.Outgoing{with(none), with(other)}, message.ErrInvalidMessage},
		"an empty batch":              {nil, message.ErrInvalidMessage},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			done := func(_ driver.Receipt, err error) {
				calls++
				if !errors.Is(err, c.want) || !message.SafeToRetry(err) {
					t.Errorf("error %v, want %v", err, c.want)
				}
			}
			if len(c.batch) == 1 {
				s.SendTo(t.Context(), q, c.batch[0], done)
				if err := s.SendOneway(t.Context(), q, c.batch[0]); !errors.Is(err, c.want) {
					t.Errorf("oneway: error %v, want %v", err, c.want)
				}
			} else {
				s.SendBatchTo(t.Context(), q, c.batch, done)
			}
			if calls != 1 {
				t.Errorf("done was called %d times", calls)
			}
		})
	}
}
