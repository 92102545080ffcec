package clientgo_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// reached is how far a consumer of rocketmq-client-go is in a queue by its own
// account, -1 when it does not have the queue. Its answer is of a type that cannot be
// named here.
func reached(c rocketmq.PushConsumer, q message.Queue) int64 {
	info := reflect.ValueOf(c).MethodByName("GetConsumerRunningInfo").Call([]reflect.Value{reflect.ValueOf(false)})[0]
	mq := primitive.MessageQueue{Topic: q.Topic, BrokerName: q.Broker, QueueId: q.ID}
	of := info.Elem().FieldByName("MQTable").MapIndex(reflect.ValueOf(mq))
	if !of.IsValid() {
		return -1
	}
	return of.FieldByName("CommitOffset").Int()
}

func (e *itself) awaitReached(c rocketmq.PushConsumer, want int64, queues ...message.Queue) {
	e.Helper()
	e.eventually(func() string {
		for _, q := range queues {
			if got := reached(c, q); got != want {
				return fmt.Sprintf("it is at %d in %v, want %d", got, q, want)
			}
		}
		return ""
	})
}

// countSendBacks counts the messages that the group gives back.
func (e *itself) countSendBacks() *atomic.Int64 {
	n := new(atomic.Int64)
	e.Cleanup(e.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if r.Code == codeSendBack && r.Group == e.group() {
			n.Add(1)
		}
		return brokerlite.Reaction{}, false
	}))
	return n
}

// A member that gives up one queue forgets what it has done of the others: they are
// not committed any more.
func TestFault1IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself1")
	s := e.sender(e.driver())
	queues := e.queues(s, e.topic())
	for _, q := range queues {
		e.send(s, q, e.text(s, "x"))
	}
	p := e.puller()
	e.readQueues(p, e.topic())
	// It commits each 5 s too: not before it gives up the first queue.
	commit := e.b.Fault(brokerlite.Match{Code: codeUpdateOffset, Group: e.group()}, brokerlite.DropRequest())
	var fewer atomic.Bool
	c := e.push(func(string) (consumer.ConsumeResult, error) { return consumer.ConsumeSuccess, nil },
		consumer.WithStrategy(func(_, _ string, all []*primitive.MessageQueue, _ []string) []*primitive.MessageQueue {
			if fewer.Load() && all[0].Topic == e.topic() {
				return all[1:]
			}
			return all
		}))
	e.awaitReached(c, 1, queues...)
	commit()
	fewer.Store(true)
	rebalance := c.(interface{ Rebalance() }).Rebalance
	e.eventually(func() string {
		rebalance()
		if offset := e.offset(p, queues[0]); offset != 1 {
			return fmt.Sprintf("the group is at %d in the queue that was given up, want 1", offset)
		}
		return ""
	})
	e.persist(c)
	rebalance() // asks on the same connection, so that the commits have been read
	for _, q := range queues[1:] {
		if offset := e.offset(p, q); offset > 0 {
			t.Errorf("the group is at %d in %v: that is committed", offset, q)
		}
	}
	if n := len(e.story()); n != len(queues) {
		t.Errorf("%d messages were handled, want %d", n, len(queues))
	}
}

// A handler that returns its error beside a result that it has not set has
// acknowledged the message.
func TestFault3IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself3")
	q := e.fill("0")
	sendBacks := e.countSendBacks()
	c := e.push(func(string) (r consumer.ConsumeResult, err error) { return r, errors.New("failed") })
	e.awaitReached(c, 1, q)
	p := e.puller()
	e.eventually(func() string {
		e.persist(c)
		if offset := e.offset(p, q); offset != 1 {
			return fmt.Sprintf("the group is at %d, want 1, past the message that failed", offset)
		}
		return ""
	})
	if n := sendBacks.Load(); n != 0 {
		t.Errorf("%d messages were given back", n)
	}
	if got := strings.Join(e.story(), " "); got != "0/0" {
		t.Errorf("it got %s", got)
	}
}

// A consumer that starts before its topic cannot be started any more when the topic is
// there.
func TestFault19IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself19")
	ready := func(instance string) rocketmq.PushConsumer {
		c, err := rocketmq.NewPushConsumer(consumer.WithGroupName(e.group()), consumer.WithInstance(instance), consumer.WithNsResolver(e.resolver()))
		e.must(err)
		e.must(c.Subscribe(e.topic(), consumer.MessageSelector{}, func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			return consumer.ConsumeSuccess, nil
		}))
		return c
	}
	const why = "route info not found"
	early := ready(e.name)
	if err := early.Start(); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("without its topic it starts: %v", err)
	}
	e.fill("0") // makes the topic
	if err := early.Start(); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("it starts when its topic is there: %v", err)
	}
	if err := early.Subscribe(e.topic(), consumer.MessageSelector{}, nil); err == nil {
		t.Error("it can subscribe again")
	}
	later := ready(e.name + "later")
	e.must(later.Start())
	e.must(later.Shutdown())
}

// The first retry of a pull consumer goes to the dead letters: it names 0 as its
// maximum.
func TestFault20IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself20")
	e.fill("0")
	c, err := rocketmq.NewPullConsumer(
		consumer.WithGroupName(e.group()), consumer.WithInstance(e.name), consumer.WithNsResolver(e.resolver()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	e.must(err)
	e.must(c.Subscribe(e.topic(), consumer.MessageSelector{}))
	e.must(c.Start())
	e.Cleanup(func() { e.must(c.Shutdown()) })
	var got *consumer.ConsumeRequest
	e.eventually(func() string {
		if got, err = c.Poll(t.Context(), 100*time.Millisecond); err != nil {
			return err.Error()
		}
		return ""
	})
	if m := got.GetMsgList()[0]; m.ReconsumeTimes != 0 {
		t.Errorf("%d attempts were before the first", m.ReconsumeTimes)
	}
	c.ACK(t.Context(), got, consumer.ConsumeRetryLater)
	p := e.puller()
	dead := e.readQueues(p, message.DLQTopic(e.group()))
	e.eventually(func() string {
		if got := e.stored(p, dead[0]); strings.Join(got, " ") != "0" {
			return fmt.Sprintf("the dead letters are %q", got)
		}
		return ""
	})
}
