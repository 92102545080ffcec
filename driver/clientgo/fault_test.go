package clientgo_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
)

// Request codes.
const (
	codeSend           = 310
	codeUpdateOffset   = 15
	codeHeartbeat      = 34
	codeSendBack       = 36
	codeRoute          = 105
	codeNotAvailable   = 14 // which rocketmq-client-go retries by itself
	codeFlushDiskLate  = 10
	clientGosTimeLimit = 3 * time.Second
)

// faulty is one case on a server that misbehaves.
type faulty struct {
	*env
	b *brokerlite.Broker
}

// fault sets a fault for the case's topic.
func (e *faulty) fault(code int, r brokerlite.Reaction) (stop func()) {
	return e.b.Fault(brokerlite.Match{Code: code, Topic: e.topic()}, r)
}

// count counts the requests of the case's topic and passes them on.
func (e *faulty) count(code int) *atomic.Int64 {
	n := new(atomic.Int64)
	e.Cleanup(e.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if r.Code == code && r.Topic == e.topic() {
			n.Add(1)
		}
		return brokerlite.Reaction{}, false
	}))
	return n
}

func TestOnServersThatMisbehave(t *testing.T) {
	clientgo.NeedsQuiet(t)
	t.Parallel()
	b := startLite(t)
	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range []struct {
		name string
		run  func(*faulty)
	}{
		{"a broker that refuses is asked once", refusingBroker},
		{"stored but not flushed is a status", flushLate},
		{"a ctx that ends leaves the outcome open and the connection well", ctxEnds},
		{"an answer that never comes ends the attempt", noAnswer},
		{"a lost connection leaves the outcome open", lostConnection},
		{"a name server that does not answer does not hold the caller", deafNameServer},
		{"a consumer starts before its name server", nameServerLater},
		{"a dead letter that was not taken is not handled again", letterNotTaken},
		{"a message that was not taken back comes again", retryNotTaken},
		{"giving up queues commits all", commitsAll},
	} {
		sideBySide(t, &all, c.name, func(t *testing.T) {
			e := &env{T: t, nameServer: b.NameServer(), name: fmt.Sprintf("fault%x", time.Now().UnixNano())}
			c.run(&faulty{env: e, b: b})
		})
	}
}

func refusingBroker(e *faulty) {
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	sends := e.count(codeSend)
	sends10 := e.count(10)
	defer e.fault(codeSend, brokerlite.Answer(codeNotAvailable, "going down"))()
	o := e.try(s, q, e.text(s, "x"))
	var refusal *message.BrokerError
	if !errors.As(o.err, &refusal) || refusal.Code != codeNotAvailable || refusal.Name != "SERVICE_NOT_AVAILABLE" || refusal.Remark != "going down" {
		e.Errorf("error %v, want SERVICE_NOT_AVAILABLE", o.err)
	}
	if n := sends.Load() + sends10.Load(); n != 1 {
		e.Errorf("the broker was asked %d times, want once: the producer decides about more", n)
	}
}

func flushLate(e *faulty) {
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	defer e.fault(codeSend, brokerlite.ReplaceAnswer(codeFlushDiskLate))()
	if o := e.try(s, q, e.text(s, "x")); o.err != nil || o.Status != message.FlushDiskTimeout || o.OffsetMessageID == "" {
		e.Errorf("receipt %+v (%v), want FLUSH_DISK_TIMEOUT", o.Receipt, o.err)
	}
}

func ctxEnds(e *faulty) {
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	e.send(s, q, e.text(s, "connects"))
	stop := e.fault(codeSend, brokerlite.DropAnswer())
	ctx, cancel := context.WithTimeout(e.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	done := make(chan outcome, 2)
	s.SendTo(ctx, q, e.text(s, "x"), func(r driver.Receipt, err error) { done <- outcome{r, err} })
	o := <-done
	stop()
	if !errors.Is(o.err, message.ErrOutcomeUnknown) || !errors.Is(o.err, context.DeadlineExceeded) || message.SafeToRetry(o.err) {
		e.Errorf("error %v, want ErrOutcomeUnknown and the ctx's", o.err)
	}
	if took := time.Since(began); took > clientGosTimeLimit/2 {
		e.Errorf("the ctx's end was seen after %s", took)
	}
	e.send(s, q, e.text(s, "y"))
	if len(done) > 0 {
		e.Error("done was called twice")
	}
}

func noAnswer(e *faulty) {
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	defer e.fault(codeSend, brokerlite.DropAnswer())()
	o := e.try(s, q, e.text(s, "x"))
	if !errors.Is(o.err, message.ErrOutcomeUnknown) || message.SafeToRetry(o.err) {
		e.Errorf("error %v, want ErrOutcomeUnknown", o.err)
	}
}

func lostConnection(e *faulty) {
	s := e.sender(e.driver())
	q := e.queues(s, e.topic())[0]
	e.send(s, q, e.text(s, "connects"))
	defer e.fault(codeSend, brokerlite.CloseConnection().Times(1))()
	if o := e.try(s, q, e.text(s, "x")); !errors.Is(o.err, message.ErrOutcomeUnknown) {
		e.Errorf("error %v, want ErrOutcomeUnknown", o.err)
	}
	e.send(s, q, e.text(s, "y"))
}

func deafNameServer(e *faulty) {
	s := e.sender(e.driver())
	defer e.b.Fault(brokerlite.Match{NameServer: true, Code: codeRoute, Topic: e.topic()}, brokerlite.DropRequest())()
	ctx, cancel := context.WithTimeout(e.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := s.Queues(ctx, e.topic())
	var route *message.RouteError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &route) || route.Topic != e.topic() {
		e.Errorf("error %v, want the ctx's, for the topic", err)
	}
	if took := time.Since(began); took > time.Second {
		e.Errorf("the ctx's end was seen after %s", took)
	}
}

func nameServerLater(e *faulty) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "x"))
	asked := make(chan struct{}, 1000)
	stop := e.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if !r.NameServer || r.Topic != e.topic() {
			return brokerlite.Reaction{}, false
		}
		asked <- struct{}{}
		return brokerlite.CloseConnection(), true
	})
	in := newInbox()
	e.subscribe(e.driver(), in, driver.SubscriptionConfig{From: driver.FromFirst})
	<-asked
	stop()
	in.want(e.env, "x").ack()
}

func letterNotTaken(e *faulty) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "x"))
	in, dead := newInbox(), newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	e.subscribe(d, dead, driver.SubscriptionConfig{Group: e.group() + "_dlq", From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: message.DLQTopic(e.group())}}})
	defer e.b.Fault(brokerlite.Match{Code: codeSendBack, Group: e.group()}, brokerlite.DropRequest().Times(1))()
	in.want(e.env, "x").settle(bury)
	dead.want(e.env, "x").ack()
	if len(in) > 0 {
		e.Error("the handler gets a message that it has given up")
	}
}

func retryNotTaken(e *faulty) {
	d := e.driver()
	s := e.sender(d)
	e.send(s, e.queues(s, e.topic())[0], e.text(s, "x"))
	in := newInbox()
	e.subscribe(d, in, driver.SubscriptionConfig{From: driver.FromFirst})
	defer e.b.Fault(brokerlite.Match{Code: codeSendBack, Group: e.group()}, brokerlite.DropRequest().Times(1))()
	in.want(e.env, "x").settle(retrySoon)
	again := in.want(e.env, "x")
	again.ack()
	if again.ReconsumeTimes != 1 || again.Queue.Topic != e.topic() {
		e.Errorf("%+v, want the same copy with one attempt more", again.Delivery)
	}
}

// commitsAll: a second member takes half of the queues, and what the first has
// acknowledged of the others is committed too. By itself rocketmq-client-go
// commits two queues here.
func commitsAll(e *faulty) {
	d := e.driver()
	s := e.sender(d)
	queues := e.queues(s, e.topic())
	for _, q := range queues {
		e.send(s, q, e.text(s, "x"))
	}
	one, two := newInbox(), newInbox()
	e.subscribe(d, one, driver.SubscriptionConfig{From: driver.FromFirst})
	var held []arrival
	for range queues {
		a := one.want(e.env, "x")
		a.ack()
		held = append(held, a)
	}
	commits := e.count(codeUpdateOffset)
	e.subscribe(e.driver(), two, driver.SubscriptionConfig{From: driver.FromFirst})
	e.eventually(func() string {
		ended := 0
		for _, a := range held {
			if a.ctx.Err() != nil {
				ended++
			}
		}
		if ended == len(queues)/2 {
			return ""
		}
		return fmt.Sprintf("%d queues are gone", ended)
	})
	// Not the commit that comes 10 s after a start.
	for late := time.After(5 * time.Second); commits.Load() < int64(len(queues)); {
		select {
		case <-late:
			e.Fatalf("%d commits for %d queues", commits.Load(), len(queues))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
