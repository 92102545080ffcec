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

// itself is a client of rocketmq-client-go, in a group and on a topic of its own.
type itself struct {
	*env
	b *brokerlite.Broker

	mu  sync.Mutex // guards the following
	got []string   // what its handler got, as body/reconsumed
}

func onItself(t *testing.T, name string, opts ...brokerlite.Option) *itself {
	t.Helper()
	clientgo.NeedsQuiet(t)
	b := startLite(t, opts...)
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
	if len(bodies) > 0 {
		e.readQueues(e.puller(), q.Topic)
	}
	return q
}

// readQueues waits until the name server has a topic, which a send has made: a broker
// tells it a little later.
func (e *itself) readQueues(p driver.Puller, topic string) (queues []message.Queue) {
	e.Helper()
	e.eventually(func() string {
		var err error
		if queues, err = p.ReadQueues(e.Context(), topic); err != nil {
			return err.Error()
		}
		return ""
	})
	return queues
}

func (e *itself) resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{e.nameServer})
}

// push starts a push consumer.
func (e *itself) push(handle func(body string) (consumer.ConsumeResult, error), opts ...consumer.Option) rocketmq.PushConsumer {
	e.Helper()
	c, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithGroupName(e.group()), consumer.WithInstance(e.name), consumer.WithNsResolver(e.resolver()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, opts...)...)
	e.must(err)
	e.must(c.Subscribe(e.topic(), consumer.MessageSelector{}, func(_ context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if len(ms) != 1 {
			e.Errorf("%d messages at once", len(ms))
		}
		e.mu.Lock()
		e.got = append(e.got, fmt.Sprintf("%s/%d", ms[0].Body, ms[0].ReconsumeTimes))
		e.mu.Unlock()
		return handle(string(ms[0].Body))
	}))
	e.must(c.Start())
	e.Cleanup(func() { e.must(c.Shutdown()) })
	return c
}

// orderly starts a push consumer that consumes in order.
func (e *itself) orderly(handle func(body string) consumer.ConsumeResult, opts ...consumer.Option) rocketmq.PushConsumer {
	e.Helper()
	return e.push(func(body string) (consumer.ConsumeResult, error) { return handle(body), nil },
		append(opts, consumer.WithConsumerOrder(true))...)
}

// persist has a push consumer commit its offsets, which it does by itself only each
// 5 s.
func (e *itself) persist(c rocketmq.PushConsumer) {
	e.Helper()
	e.must(c.(interface{ PersistConsumerOffset() error }).PersistConsumerOffset())
}

// puller is a client that shows what the broker has.
func (e *itself) puller() driver.Puller {
	e.Helper()
	d, err := native.Factory(e.Context(), driver.Config{NameServers: []string{e.nameServer}})
	e.must(err)
	e.Cleanup(func() { e.must(d.Close(context.Background())) })
	return d.(driver.Puller)
}

// offset is where the group is in a queue, -1 when the broker knows of nothing.
func (e *itself) offset(p driver.Puller, q message.Queue) int64 {
	e.Helper()
	offset, ok, err := p.GroupOffset(e.Context(), e.group(), q)
	e.must(err)
	if !ok {
		return -1
	}
	return offset
}

// stored are the bodies in a queue.
func (e *itself) stored(p driver.Puller, q message.Queue) []string {
	e.Helper()
	e.readQueues(p, q.Topic)
	a, err := p.Pull(e.Context(), driver.PullRequest{Group: e.group() + "_look", Queue: q, Filter: driver.TopicFilter{Topic: q.Topic}, Max: 32})
	e.must(err)
	var bodies []string
	for _, m := range a.Messages {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
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
	p := e.puller()
	e.eventually(func() string {
		e.persist(c)
		if offset := e.offset(p, q); offset != 3 {
			return fmt.Sprintf("the group is at %d, want 3, past the message that failed", offset)
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
