package clientgo_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
)

// patience is how long something may take that must happen: rocketmq-client-go
// shares the queues out each 20 s, and does not look whether a busy broker has let
// a member go, which then counts for 120 s.
const patience = 150 * time.Second

// env is one case on one server.
type env struct {
	*testing.T
	nameServer string
	name       string // tells the case's topics and groups from others'
}

func (e *env) topic() string { return e.name + "_t" }
func (e *env) group() string { return e.name + "_g" }

// driver opens a driver that is closed when the case ends.
func (e *env) driver() driver.Driver {
	e.Helper()
	d, err := clientgo.Factory(e.Context(), driver.Config{
		NameServers: []string{e.nameServer},
		Logger:      slog.New(slog.NewTextHandler(e.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			e.Error(err)
		}
	})
	return d
}

// sender makes a sender that is closed when the case ends.
func (e *env) sender(d driver.Driver) driver.Sender {
	e.Helper()
	s, err := d.NewSender(driver.SenderConfig{Group: e.name + "_p", MaxMessageSize: message.MaxBodySize})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			e.Error(err)
		}
	})
	return s
}

func (e *env) queues(s driver.Sender, topic string) []message.Queue {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	queues, err := s.Queues(ctx, topic)
	if err != nil {
		e.Fatal(err)
	}
	return queues
}

type outcome struct {
	driver.Receipt
	err error
}

// try makes one attempt.
func (e *env) try(s driver.Sender, q message.Queue, m *driver.Outgoing) outcome {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	done := make(chan outcome, 2)
	s.SendTo(ctx, q, m, func(r driver.Receipt, err error) { done <- outcome{r, err} })
	return <-done
}

// send sends one message that must be stored; like a producer it tries again
// what a busy machine's broker refuses.
func (e *env) send(s driver.Sender, q message.Queue, m *driver.Outgoing) driver.Receipt {
	e.Helper()
	for range 5 {
		o := e.try(s, q, m)
		if o.err == nil {
			return o.Receipt
		}
		e.Logf("sending again: %v", o.err)
	}
	e.Fatal("not stored in 5 attempts")
	return driver.Receipt{}
}

func (e *env) text(s driver.Sender, body string) *driver.Outgoing {
	return &driver.Outgoing{Message: message.New(e.topic(), []byte(body)), ID: s.NewID()}
}

// arrival is one message that an inbox got, with what it takes to settle it.
type arrival struct {
	*message.Delivery
	ctx     context.Context
	settler driver.Settler
	at      time.Time
}

func (a arrival) settle(v driver.Verdict) { a.settler.Settle(a.Delivery, v) }
func (a arrival) ack()                    { a.settle(driver.Verdict{Action: driver.ActionAck}) }

// inbox is a sink that a test reads from.
type inbox chan arrival

func newInbox() inbox { return make(inbox, 10_000) }

func (b inbox) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		b <- arrival{d, ctx, s, time.Now()}
	}
}

// next is the next message.
func (b inbox) next(e *env) arrival {
	e.Helper()
	select {
	case a := <-b:
		return a
	case <-time.After(patience):
		e.Fatalf("no message within %s", patience)
		panic("unreachable")
	}
}

// want is the next message, which must have that body.
func (b inbox) want(e *env, body string) arrival {
	e.Helper()
	a := b.next(e)
	if string(a.Body) != body {
		e.Fatalf("got %q (topic %s, id %s, reconsumed %d times), want %q", a.Body, a.Topic, a.ID, a.ReconsumeTimes, body)
	}
	return a
}

// subscribe starts a subscription that is stopped when the case ends.
func (e *env) subscribe(d driver.Driver, sink driver.Sink, cfg driver.SubscriptionConfig) driver.Subscription {
	e.Helper()
	if cfg.Group == "" {
		cfg.Group = e.group()
	}
	if len(cfg.Topics) == 0 {
		cfg.Topics = []driver.TopicFilter{{Topic: e.topic()}}
	}
	s, err := d.NewSubscription(cfg, sink)
	if err != nil {
		e.Fatal(err)
	}
	if err := s.Start(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			e.Error(err)
		}
	})
	return s
}

func (e *env) drain(s driver.Subscription) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		e.Fatal(err)
	}
}

// eventually waits until f says "".
func (e *env) eventually(f func() string) {
	e.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		wrong := f()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			e.Fatal(wrong)
		}
		<-tick.C
	}
}

// must fails the case when err is not nil.
func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// onServer runs every case on one server, so many at once.
func onServer(t *testing.T, nameServer string, atOnce int) {
	names := strings.NewReplacer(" ", "_", ",", "", "'", "")
	run := fmt.Sprintf("cgo%x", time.Now().UnixNano())
	t.Run("cases", func(t *testing.T) {
		var all sync.WaitGroup
		defer all.Wait()
		places := make(chan struct{}, atOnce)
		for _, c := range cases {
			places <- struct{}{}
			sideBySide(t, &all, c.name, func(t *testing.T) {
				defer func() { <-places }()
				c.run(&env{T: t, nameServer: nameServer, name: run + "_" + names.Replace(c.name)})
			})
		}
	})
}

// sideBySide runs a subtest beside all others that have been begun: they wait for
// servers' timers, and t.Parallel would let no more of them wait at a time than
// the machine has processors. Whoever calls it waits for all.
func sideBySide(t *testing.T, all *sync.WaitGroup, name string, f func(*testing.T)) {
	all.Go(func() { t.Run(name, f) })
}
