package clientgo

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/hooks"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// reversed gives all queues to everybody, in another order than it got them.
type reversed struct{}

func (reversed) Name() string { return "REVERSED" }
func (reversed) Allocate(_, _ string, queues []message.Queue, _ []string) []message.Queue {
	out := []message.Queue{{Topic: "not", Broker: "there"}}
	for i := len(queues) - 1; i >= 0; i-- {
		out = append(out, queues[i])
	}
	return out
}

func TestOwnStrategyChoosesTheQueues(t *testing.T) {
	t.Parallel()
	s := testSubscription(t, driver.SubscriptionConfig{Allocate: reversed{}})
	all := []*primitive.MessageQueue{{Topic: "t", BrokerName: "b", QueueId: 0}, {Topic: "t", BrokerName: "b", QueueId: 1}}
	got := s.allocate("g", "me", all, []string{"me", "you"})
	if diff := cmp.Diff([]*primitive.MessageQueue{all[1], all[0]}, got); diff != "" {
		t.Errorf("allocation (-want +got)\n%s", diff)
	}
	if s.owned.context(message.Queue{Topic: "t", Broker: "b", ID: 1}) == nil {
		t.Error("what was allocated is not owned")
	}
	if got := s.allocate("g", "me", nil, []string{"me"}); got != nil {
		t.Errorf("no queues are shared out as %v", got)
	}
}

// verdicts is a sink that settles at once.
type verdicts struct {
	v   driver.Verdict
	got []*message.Delivery
}

func (s *verdicts) Deliver(_ context.Context, settler driver.Settler, ds []*message.Delivery) {
	s.got = append(s.got, ds...)
	settler.Settle(&message.Delivery{}, driver.Verdict{Action: driver.ActionAck}) // another's
	settler.Settle(ds[0], s.v)
	settler.Settle(ds[0], driver.Verdict{Action: driver.ActionAck}) // too late
}

func testSubscription(t *testing.T, cfg driver.SubscriptionConfig) *subscription {
	t.Helper()
	if cfg.Group == "" {
		cfg.Group = "g"
	}
	cfg.Topics = []driver.TopicFilter{{Topic: "t"}}
	cfg, err := new(client).checkSubscription(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscription{
		c: &client{log: slog.New(slog.DiscardHandler)}, cfg: cfg, retry: message.RetryTopic(cfg.Group), owned: newOwned(), release: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(t.Context())
	return s
}

// call is rocketmq-client-go calling back with one message.
func (s *subscription) call(t *testing.T, m *primitive.MessageExt, mq *primitive.MessageQueue) (level int) {
	t.Helper()
	cc := primitive.NewConsumeConcurrentlyContext()
	cc.MQ = *mq
	m.WithProperty(primitive.PropertyConsumeStartTime, "1")
	result, err := s.consume(primitive.WithConcurrentlyCtx(t.Context(), cc), m)
	if err != nil {
		t.Errorf("the callback returns an error, beside which the result would count: %v", err)
	}
	if m.GetProperty(primitive.PropertyConsumeStartTime) != "" {
		t.Error("rocketmq-client-go would give the message back while it is at work")
	}
	if result == consumer.ConsumeSuccess {
		return acked
	}
	return cc.DelayLevelWhenNextConsume
}

const acked = math.MinInt

func TestVerdictsBecomeResults(t *testing.T) {
	t.Parallel()
	mq := &primitive.MessageQueue{Topic: "t", BrokerName: "b"}
	for name, c := range map[string]struct {
		v     driver.Verdict
		times int32
		want  int
	}{
		"ack":                        {driver.Verdict{Action: driver.ActionAck}, 20, acked},
		"the zero verdict":           {driver.Verdict{}, 0, 0},
		"a level":                    {driver.Verdict{Level: 4}, 15, 4},
		"a negative level":           {driver.Verdict{Level: -1}, 0, 0},
		"a delay":                    {driver.Verdict{Delay: 6 * time.Second}, 0, 3},
		"a dead letter":              {driver.Verdict{Action: driver.ActionDeadLetter}, 0, deadLetterLevel},
		"past the maximum":           {driver.Verdict{Level: 4}, 16, deadLetterLevel},
		"past the verdict's maximum": {driver.Verdict{Level: 4, MaxRetries: 3}, 3, deadLetterLevel},
		"a larger maximum":           {driver.Verdict{Level: 4, MaxRetries: 30}, 16, 4},
		"no retries":                 {driver.Verdict{Level: 4, MaxRetries: -1}, 0, deadLetterLevel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testSubscription(t, driver.SubscriptionConfig{})
			sink := &verdicts{v: c.v}
			s.sink = sink
			s.allocate("g", "me", []*primitive.MessageQueue{mq}, []string{"me"})
			m := &primitive.MessageExt{Message: primitive.Message{Topic: "t"}, ReconsumeTimes: c.times}
			if got := s.call(t, m, mq); got != c.want {
				t.Errorf("level %d, want %d (%d is an acknowledgement)", got, c.want, acked)
			}
			if len(sink.got) != 1 {
				t.Fatalf("%d deliveries", len(sink.got))
			}
			if c.want != deadLetterLevel {
				return
			}
			// The broker did not take it back: rocketmq-client-go calls back again.
			if got := s.call(t, m, mq); got != deadLetterLevel || len(sink.got) != 1 {
				t.Errorf("a letter that was not taken back: level %d, %d deliveries; want the same level and no delivery", got, len(sink.got))
			}
		})
	}
}

func TestUnreadableBodiesAreRetriedAndNotDelivered(t *testing.T) {
	t.Parallel()
	mq := &primitive.MessageQueue{Topic: "t", BrokerName: "b"}
	s := testSubscription(t, driver.SubscriptionConfig{})
	sink := &verdicts{v: driver.Verdict{Action: driver.ActionAck}}
	s.sink = sink
	s.allocate("g", "me", []*primitive.MessageQueue{mq}, []string{"me"})
	body := []byte("zstd bytes")
	m := &primitive.MessageExt{Message: primitive.Message{Topic: "t", Body: body}, SysFlag: 1 | 2<<8, BodyCRC: int32(crc32.ChecksumIEEE(body) & 0x7FFFFFFF)}
	if got := s.call(t, m, mq); got != 0 || len(sink.got) != 0 {
		t.Errorf("level %d, %d deliveries; want a retry at the broker's level and none", got, len(sink.got))
	}
}

// Neither a queue that is not owned, nor one that is taken away while a message
// is at work, acknowledges anything.
func TestRevokedQueuesAcknowledgeNothing(t *testing.T) {
	t.Parallel()
	mq := &primitive.MessageQueue{Topic: "t", BrokerName: "b"}
	ack := driver.Verdict{Action: driver.ActionAck}
	t.Run("not owned", func(t *testing.T) {
		t.Parallel()
		s := testSubscription(t, driver.SubscriptionConfig{})
		sink := &verdicts{v: ack}
		s.sink = sink
		close(s.release)
		if got := s.call(t, new(primitive.MessageExt), mq); got == acked || len(sink.got) != 0 {
			t.Errorf("level %d, %d deliveries; want no acknowledgement and no delivery", got, len(sink.got))
		}
	})
	t.Run("taken away", func(t *testing.T) {
		t.Parallel()
		s := testSubscription(t, driver.SubscriptionConfig{})
		s.sink = sinkFunc(func(settler driver.Settler, d *message.Delivery) {
			for _, end := range s.owned.share(s.ctx, "t", nil) {
				end()
			}
			settler.Settle(d, ack)
			close(s.release)
		})
		s.allocate("g", "me", []*primitive.MessageQueue{mq}, []string{"me"})
		if got := s.call(t, new(primitive.MessageExt), mq); got == acked {
			t.Error("acknowledged")
		}
	})
	t.Run("never settled", func(t *testing.T) {
		t.Parallel()
		s := testSubscription(t, driver.SubscriptionConfig{})
		s.sink = sinkFunc(func(driver.Settler, *message.Delivery) { close(s.release) })
		s.allocate("g", "me", []*primitive.MessageQueue{mq}, []string{"me"})
		if got := s.call(t, new(primitive.MessageExt), mq); got == acked {
			t.Error("acknowledged")
		}
	})
}

type sinkFunc func(driver.Settler, *message.Delivery)

func (f sinkFunc) Deliver(_ context.Context, s driver.Settler, ds []*message.Delivery) { f(s, ds[0]) }

func TestOriginOfRetriedMessagesIsKeptFromClientGo(t *testing.T) {
	t.Parallel()
	s := testSubscription(t, driver.SubscriptionConfig{})
	retried := func() *primitive.MessageExt {
		m := &primitive.MessageExt{Message: primitive.Message{Topic: s.retry}}
		m.WithProperty(primitive.PropertyRetryTopic, "orders")
		return m
	}
	m := retried()
	out, err := s.keepOrigin(&hooks.FilterMessageContext{Msg: []*primitive.MessageExt{m}, MQ: &primitive.MessageQueue{Topic: s.retry}})
	if err != nil || len(out) != 1 || m.GetProperty(primitive.PropertyRetryTopic) != "" {
		t.Fatalf("%v (%v), RETRY_TOPIC %q; want the message without it", out, err, m.GetProperty(primitive.PropertyRetryTopic))
	}
	d := s.delivery(m, message.Queue{Topic: s.retry})
	if d.Topic != "orders" || d.Property("RETRY_TOPIC") != "orders" || d.OriginTopic() != "orders" {
		t.Errorf("delivered with topic %q, RETRY_TOPIC %q", d.Topic, d.Property("RETRY_TOPIC"))
	}
	// A dead letter has the property too, and is of its queue.
	letter := retried()
	letter.Topic = "%DLQ%other"
	if _, err := s.keepOrigin(&hooks.FilterMessageContext{Msg: []*primitive.MessageExt{letter}, MQ: &primitive.MessageQueue{Topic: "%DLQ%other"}}); err != nil {
		t.Fatal(err)
	}
	if d := s.delivery(letter, message.Queue{Topic: "%DLQ%other"}); d.Topic != "%DLQ%other" || d.OriginTopic() != "orders" {
		t.Errorf("dead letter delivered with topic %q, origin %q", d.Topic, d.OriginTopic())
	}
}

func TestHostsOfIPv6AreNotMadeUp(t *testing.T) {
	t.Parallel()
	s := testSubscription(t, driver.SubscriptionConfig{})
	m := &primitive.MessageExt{BornHost: "32.1.13.184:1234", SysFlag: primitive.FlagBornHostV6 | primitive.FlagStoreHostV6,
		OffsetMsgId: "20010DB8000000000000000000000001" + "00002A9F" + "000000000000007B"}
	d := s.delivery(m, message.Queue{})
	if d.BornHost.IsValid() || d.StoreHost.String() != "[2001:db8::1]:10911" {
		t.Errorf("born %s, stored %s; want none and the id's", d.BornHost, d.StoreHost)
	}
}

func TestSelectorNotesQueuesAndChoosesNone(t *testing.T) {
	t.Parallel()
	r := newRoutes(strings.Clone)
	list := []*primitive.MessageQueue{{Topic: "t", BrokerName: "b", QueueId: 1}, {Topic: "t", BrokerName: "b", QueueId: 0}, {Topic: "t", BrokerName: "a", QueueId: 7}}
	want := &primitive.MessageQueue{Topic: "t", BrokerName: "b", QueueId: 5}
	if got := r.Select(&primitive.Message{Topic: "t", Queue: want}, list, ""); got != want {
		t.Errorf("chose %v, want the message's own queue", got)
	}
	if got := r.Select(&primitive.Message{Topic: "t"}, list, ""); got != nil {
		t.Errorf("chose %v for a message without a queue", got)
	}
	sorted := []message.Queue{{Topic: "t", Broker: "a", ID: 7}, {Topic: "t", Broker: "b", ID: 0}, {Topic: "t", Broker: "b", ID: 1}}
	if diff := cmp.Diff(sorted, r.get("t").queues); diff != "" {
		t.Errorf("queues (-want +got)\n%s", diff)
	}
	before := r.get("t")
	r.saw("t", list)
	r.saw("t", nil)
	if r.get("t") != before {
		t.Error("an unchanged list makes a new snapshot")
	}
	r.saw("t", list[:1:1])
	if got := r.get("t").queues; len(got) != 1 {
		t.Errorf("after a change: %v", got)
	}
}

func TestBridgeLogsByLevel(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &bridge{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))}
	b.Debug("debug", nil)
	b.Info("info", nil) // tells of every commit
	b.Warning("warning", map[string]any{"topic": "t"})
	b.Error("error", nil)
	b.Fatal("fatal", nil)
	b.Level("debug")
	want := "level=WARN msg=warning from=rocketmq-client-go topic=t\nlevel=ERROR msg=error from=rocketmq-client-go\nlevel=ERROR msg=fatal from=rocketmq-client-go\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("log (-want +got)\n%s", diff)
	}
	if err := b.OutputPath("/dev/null"); !errors.Is(err, message.ErrUnsupported) {
		t.Errorf("OutputPath: %v", err)
	}
}
