package clientgo_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	clientgoerrors "github.com/apache/rocketmq-client-go/v2/errors"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// producer starts a producer of rocketmq-client-go that tries once, and sends where
// the message says.
func (e *itself) producer(opts ...producer.Option) rocketmq.Producer {
	e.Helper()
	p, err := rocketmq.NewProducer(append([]producer.Option{
		producer.WithGroupName(e.name + "_p"), producer.WithInstanceName(e.name + "_p"), producer.WithNsResolver(e.resolver()),
		producer.WithRetry(0), producer.WithQueueSelector(producer.NewManualQueueSelector()),
	}, opts...)...)
	e.must(err)
	e.must(p.Start())
	e.Cleanup(func() { e.must(p.Shutdown()) })
	return p
}

// to is a message of rocketmq-client-go for a queue.
func to(q message.Queue, body string) *primitive.Message {
	m := primitive.NewMessage(q.Topic, []byte(body))
	m.Queue = &primitive.MessageQueue{Topic: q.Topic, BrokerName: q.Broker, QueueId: q.ID}
	return m
}

// A message that was compressed once is sent with its first body ever after.
func TestFault7IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself7")
	q := e.fill()
	p := e.producer()
	first, second := strings.Repeat("1", 5000), strings.Repeat("2", 5000)
	m := to(q, first)
	_, err := p.SendSync(t.Context(), m)
	e.must(err)
	m.Body = []byte(second)
	_, err = p.SendSync(t.Context(), m)
	e.must(err)
	got := e.stored(e.puller(), q)
	if len(got) != 2 || got[0] != first || got[1] != first {
		t.Errorf("%d bodies are stored: %.10q; want the first one twice", len(got), got)
	}
}

// undecided is a transactional producer's application that never knows.
type undecided struct{ asked atomic.Int64 }

func (u *undecided) ExecuteLocalTransaction(*primitive.Message) primitive.LocalTransactionState {
	return primitive.UnknowState
}

func (u *undecided) CheckLocalTransaction(*primitive.MessageExt) primitive.LocalTransactionState {
	u.asked.Add(1)
	return primitive.UnknowState
}

// Of two transactional producers of a process, the second one is never asked about its
// transactions; with an instance name of its own it is.
func TestFault15IsRocketMQClientGos(t *testing.T) {
	if !alone(t) {
		return
	}
	e := onItself(t, "itself15", brokerlite.TransactionChecks(500*time.Millisecond, 500*time.Millisecond))
	names := []string{"first", "second", "named"}
	apps := make([]undecided, len(names))
	producers := make([]rocketmq.TransactionProducer, len(names))
	for i, name := range names {
		opts := []producer.Option{producer.WithGroupName(e.name + name), producer.WithNsResolver(e.resolver())}
		if name == "named" {
			opts = append(opts, producer.WithInstanceName(name))
		}
		p, err := rocketmq.NewTransactionProducer(&apps[i], opts...)
		e.must(err)
		e.must(p.Start())
		producers[i] = p
	}
	greeted := make(chan struct{}, 100)
	e.Cleanup(e.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if r.Code == codeHeartbeat && strings.Contains(string(r.Body), e.name+"second") {
			greeted <- struct{}{}
		}
		return brokerlite.Reaction{}, false
	}))
	for _, i := range []int{1, 0, 2} {
		_, err := producers[i].SendMessageInTransaction(t.Context(), primitive.NewMessage(e.topic(), []byte(names[i])))
		e.must(err)
	}
	<-greeted // the broker knows where to ask about the second one's
	before := [...]int64{apps[0].asked.Load(), 0, apps[2].asked.Load()}
	e.eventually(func() string {
		if apps[0].asked.Load() < before[0]+2 || apps[2].asked.Load() < before[2]+2 {
			return "the first one and the one with a name are not asked"
		}
		return ""
	})
	if n := apps[1].asked.Load(); n != 0 {
		t.Errorf("the second one is asked %d times", n)
	}
	for _, p := range producers {
		e.must(p.Shutdown())
	}
}

// With trace, only SendSync works.
func TestFault17IsRocketMQClientGos(t *testing.T) {
	if !alone(t) {
		return
	}
	e := onItself(t, "itself17")
	q := e.fill()
	p := e.producer(producer.WithTrace(&primitive.TraceConfig{GroupName: e.name + "_trace", Access: primitive.Local, NamesrvAddrs: []string{e.nameServer}}))
	_, err := p.SendSync(t.Context(), to(q, "sync"))
	e.must(err)
	const why = "ProducerCtx Not Exist"
	err = p.SendAsync(t.Context(), func(context.Context, *primitive.SendResult, error) { t.Error("called back") }, to(q, "async"))
	if err == nil || err.Error() != why {
		t.Errorf("SendAsync: %v", err)
	}
	if err = p.SendOneWay(t.Context(), to(q, "oneway")); err == nil || err.Error() != why {
		t.Errorf("SendOneWay: %v", err)
	}
	if got := strings.Join(e.stored(e.puller(), q), " "); got != "sync" {
		t.Errorf("stored: %s", got)
	}
}

// A send whose connection ends waits for its time-out of 3 s.
func TestFault24IsRocketMQClientGos(t *testing.T) {
	t.Parallel()
	e := onItself(t, "itself24")
	q := e.fill()
	p := e.producer()
	_, err := p.SendSync(t.Context(), to(q, "connects"))
	e.must(err)
	defer e.b.Fault(brokerlite.Match{Code: codeSend, Topic: e.topic()}, brokerlite.CloseConnection().Times(1))()
	began := time.Now()
	_, err = p.SendSync(t.Context(), to(q, "x"))
	if took := time.Since(began); !errors.Is(err, clientgoerrors.ErrRequestTimeout) || took < clientGosTimeLimit-100*time.Millisecond {
		t.Errorf("%v after %s", err, took)
	}
}
