package clientgo_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
)

// These show faults of rocketmq-client-go on itself, without the driver, as reasons for
// what docs/faults.md guards against. When one fails, a new version has mended it.

// itself is an orderly push consumer of rocketmq-client-go in a group and topic of its
// own.
type itself struct {
	*env
	b *brokerlite.Broker

	mu  sync.Mutex // guards the following
	got []string   // what its handler got, as body/reconsumed
}

func onItself(t *testing.T, name string) *itself {
	t.Helper()
	clientgo.NeedsQuiet(t)
	b := startLite(t)
	return &itself{env: &env{T: t, nameServer: b.NameServer(), name: name}, b: b}
}

// fill stores messages in the topic's first queue.
func (e *itself) fill(bodies ...string) message.Queue {
	e.Helper()
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	for _, body := range bodies {
		e.send(s, q, e.text(s, body))
	}
	return q
}

// orderly starts the consumer.
func (e *itself) orderly(handle func(body string) consumer.ConsumeResult, opts ...consumer.Option) rocketmq.PushConsumer {
	e.Helper()
	c, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithGroupName(e.group()), consumer.WithInstance(e.name), consumer.WithNsResolver(primitive.NewPassthroughResolver([]string{e.nameServer})),
		consumer.WithConsumerOrder(true), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, opts...)...)
	e.must(err)
	e.must(c.Subscribe(e.topic(), consumer.MessageSelector{}, func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		r := consumer.ConsumeSuccess
		for _, m := range ms {
			e.mu.Lock()
			e.got = append(e.got, fmt.Sprintf("%s/%d", m.Body, m.ReconsumeTimes))
			e.mu.Unlock()
			r = handle(string(m.Body))
		}
		return r, nil
	}))
	e.must(c.Start())
	e.Cleanup(func() { e.must(c.Shutdown()) })
	return c
}

func (e *itself) story() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// A retry does nothing, and the next success commits past the message.
func TestFault2IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself2")
	q := e.fill("0", "1", "2")
	c := e.orderly(func(body string) consumer.ConsumeResult {
		if body == "0" {
			return consumer.ConsumeRetryLater
		}
		return consumer.ConsumeSuccess
	})
	e.eventually(func() string {
		if got := strings.Join(e.story(), " "); got != "0/0 1/0 2/0" {
			return "it got " + got
		}
		return ""
	})
	d, err := native.Factory(t.Context(), driver.Config{NameServers: []string{e.nameServer}})
	e.must(err)
	defer func() { e.must(d.Close(context.Background())) }()
	e.eventually(func() string {
		e.must(c.(interface{ PersistConsumerOffset() error }).PersistConsumerOffset())
		offset, _, err := d.(driver.Puller).GroupOffset(t.Context(), e.group(), q)
		if err != nil || offset != 3 {
			return fmt.Sprintf("the group is at %d, %v; want 3, past the message that failed", offset, err)
		}
		return ""
	})
	if got := strings.Join(e.story(), " "); got != "0/0 1/0 2/0" {
		t.Errorf("it got %s: the message that failed came again", got)
	}
}

// Without a delay of its own a suspension has none: all retries are gone in no time.
func TestFault4IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself4")
	e.fill("0")
	var mu sync.Mutex
	var first, last time.Time
	e.orderly(func(string) consumer.ConsumeResult {
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = time.Now()
		}
		last = time.Now()
		return consumer.SuspendCurrentQueueAMoment
	}, consumer.WithMaxReconsumeTimes(16))
	dead := newInbox()
	e.subscribe(e.driver(), dead, driver.SubscriptionConfig{Group: e.group() + "_dead", From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: message.DLQTopic(e.group())}}})
	dead.want(e.env, "0").ack()
	mu.Lock()
	defer mu.Unlock()
	if n, took := len(e.story()), last.Sub(first); n < 17 || took > time.Second {
		t.Errorf("%d attempts in %s, want 17 and more within a second", n, took)
	}
}
