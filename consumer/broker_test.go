package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// world is a broker in a bubble: real servers, clients and wire format, memory for
// network and disk, and virtual time.
type world struct {
	t      *testing.T
	broker *brokerlite.Broker
	send   *producer.Producer
}

// inWorld runs f in a bubble with a broker.
func inWorld(t *testing.T, f func(*world), opts ...brokerlite.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.InMemory(), brokerlite.VirtualNetwork(brokerlite.NewNetwork()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		w := &world{t: t, broker: b}
		client := w.client()
		defer client.Close()
		if w.send, err = client.NewProducer("shop"); err != nil {
			t.Fatal(err)
		}
		f(w)
	})
}

func (w *world) client() *rocketkit.Client {
	w.t.Helper()
	c, err := rocketkit.Open(w.t.Context(), rocketkit.Config{NameServers: []string{w.broker.NameServer()}}, rocketkit.WithDial(w.broker.Dial))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// member starts a consumer in a process of its own. end drains it, or stops it.
func (w *world) member(mux *consumer.Mux) (c *consumer.Consumer, end func(how func(*consumer.Consumer, context.Context) error)) {
	w.t.Helper()
	client := w.client()
	c, err := client.NewConsumer(mux)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return c, func(how func(*consumer.Consumer, context.Context) error) {
		w.t.Helper()
		if err := how(c, context.Background()); err != nil {
			w.t.Error(err)
		}
		if err := client.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) produce(topic, tag string, bodies ...string) {
	w.t.Helper()
	for _, body := range bodies {
		if _, err := w.send.Send(w.t.Context(), message.New(topic, []byte(body), message.Tag(tag), message.Key("order-1"))); err != nil {
			w.t.Fatal(err)
		}
	}
}

// journal is what handlers saw, in order.
type journal struct {
	mu      sync.Mutex // guards the following
	entries []string
	times   []time.Time
}

func (j *journal) add(format string, args ...any) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
	j.times = append(j.times, time.Now())
	return len(j.entries)
}

func (j *journal) read() ([]string, []time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.entries...), append([]time.Time(nil), j.times...)
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	got, _ := j.read()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("handlers saw (-want +got):\n%s", d)
	}
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// The broker's levels, its count and its dead-letter queue, and the dead-letter
// handler's own group: 16 retries are 17 deliveries.
func TestAMessageIsDeliveredSeventeenTimesAndThenDead(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var tries, dead journal
		m := consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", func(ctx context.Context, s string) error {
			tries.add("%s %d", s, message.DeliveryFrom(ctx).ReconsumeTimes)
			return errDown
		}, consumer.Tags("paid"), consumer.Retry(retry.Levels(16)))
		consumer.HandleDLQ(m, func(_ context.Context, d *message.Delivery) error {
			dead.add("%s %s %s %s %v", d.OriginTopic(), d.Group, d.Tag, d.Body, d.Keys())
			return nil
		})
		_, end := w.member(m)
		w.produce("orders", "paid", "o-1")
		pass(4*time.Hour + 46*time.Minute + 30*time.Second)
		end((*consumer.Consumer).Drain)

		var want []string
		for i := range 17 {
			want = append(want, fmt.Sprintf("o-1 %d", i))
		}
		tries.want(t, want...)
		_, at := tries.read()
		for i := 1; i < len(at); i++ {
			if wait, level := at[i].Sub(at[i-1]), retry.BrokerDelay(i-1); wait < level || wait > level+2*time.Second {
				t.Errorf("retry %d came after %s, want %s", i, wait, level)
			}
		}
		dead.want(t, "orders pay_dlq paid o-1 [order-1]")
	})
}

func TestPermanentFailuresAreDeadAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var dead journal
		m := consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", func(context.Context, string) error { return retry.Permanent(errDown) }, consumer.Tags("paid"))
		consumer.Handle(m, "orders", onPayment, consumer.Tags("json"))
		consumer.HandleDLQ(m, func(_ context.Context, d *message.Delivery) error { dead.add("%s", d.Body); return nil })
		_, end := w.member(m)
		w.produce("orders", "json", "not json")
		pass(10 * time.Second) // the dead-letter topic appears
		w.produce("orders", "paid", "refused")
		pass(2 * time.Second)
		end((*consumer.Consumer).Drain)
		dead.want(t, "not json", "refused")
	})
}

// after asks for a delay twice and expects another.
func after(t *testing.T, asked, want time.Duration, group []consumer.GroupOption, server ...brokerlite.Option) {
	t.Helper()
	inWorld(t, func(w *world) {
		var tries journal
		m := consumer.NewMux("pay", append(group, consumer.From(consumer.First))...)
		consumer.Handle(m, "orders", func(context.Context, string) error {
			if tries.add("try") < 3 {
				return retry.After(errDown, asked)
			}
			return nil
		})
		_, end := w.member(m)
		w.produce("orders", "", "o-1")
		pass(time.Hour)
		end((*consumer.Consumer).Drain)
		tries.want(t, "try", "try", "try")
		_, at := tries.read()
		for i := 1; i < len(at); i++ {
			if wait := at[i].Sub(at[i-1]); wait < want || wait > want+2*time.Second {
				t.Errorf("attempt %d came after %s, want %s", i+1, wait, want)
			}
		}
	}, server...)
}

func TestAfterIsExactWhereTheServerHasATimer(t *testing.T) {
	t.Parallel()
	after(t, 77*time.Second, 77*time.Second, nil)
}

func TestAfterIsRoundedUpToALevelWhereTheServerHasNoTimer(t *testing.T) {
	t.Parallel()
	after(t, 77*time.Second, 2*time.Minute, nil, brokerlite.Conf("timerWheelEnable=false"))
}

func TestAStrictDelayIsWaitedForHereWhereTheServerHasNoTimer(t *testing.T) {
	t.Parallel()
	after(t, 77*time.Second, 77*time.Second, []consumer.GroupOption{consumer.StrictRetryDelay()}, brokerlite.Conf("timerWheelEnable=false"))
}

func TestDeadLettersThatFailComeBackAndDoNotDie(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var dead, dying journal
		m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Retry(retry.None()))
		consumer.Handle(m, "orders", fails(errDown))
		consumer.HandleDLQ(m, func(_ context.Context, d *message.Delivery) error {
			if dead.add("%s %s", d.OriginTopic(), d.Body) < 4 {
				return retry.Permanent(errors.New("the table of dead letters is locked"))
			}
			return nil
		})
		_, end := w.member(m)
		worst := consumer.NewMux("pay_dlq")
		consumer.HandleDLQ(worst, func(_ context.Context, d *message.Delivery) error { dying.add("%s", d.Body); return nil })
		_, endWorst := w.member(worst)
		w.produce("orders", "", "o-1")
		pass(time.Hour)
		end((*consumer.Consumer).Drain)
		endWorst((*consumer.Consumer).Drain)
		got, at := dead.read()
		if len(got) != 4 {
			t.Fatalf("%d attempts, want 4: %v", len(got), got)
		}
		for i := 1; i < len(at); i++ {
			want := 10 * time.Minute
			if i == 1 {
				want = 10 * time.Second
			}
			if wait := at[i].Sub(at[i-1]); wait < want || wait > want+2*time.Second || got[i] != "orders o-1" {
				t.Errorf("attempt %d: %q after %s, want %s", i+1, got[i], wait, want)
			}
		}
		dying.want(t)
	})
}

func TestWhatWasDrainedDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var first, second journal
		handle := func(j *journal) *consumer.Mux {
			m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Concurrency(2))
			consumer.Handle(m, "orders", func(_ context.Context, s string) error {
				<-time.After(time.Second)
				j.add("%s", s)
				return nil
			})
			return m
		}
		c, end := w.member(handle(&first))
		w.produce("orders", "", "0")
		pass(10 * time.Second) // the member has its queues
		w.produce("orders", "", "1", "2", "3", "4", "5", "6")
		pass(time.Millisecond)
		end((*consumer.Consumer).Drain)
		<-c.Closed()
		got, _ := first.read()
		slices.Sort(got)
		if d := cmp.Diff([]string{"0", "1", "2", "3", "4", "5", "6"}, got); d != "" {
			t.Errorf("handled before the drain was over (-want +got):\n%s", d)
		}
		_, end = w.member(handle(&second))
		pass(time.Minute)
		end((*consumer.Consumer).Drain)
		second.want(t)
	})
}

func TestWhatWasStoppedComesAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var first, second journal
		m := consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", func(ctx context.Context, s string) error {
			first.add("%s", s)
			<-ctx.Done()
			return nil // too late to count
		})
		_, end := w.member(m)
		w.produce("orders", "", "o-1")
		pass(10 * time.Second)
		end((*consumer.Consumer).Stop)
		first.want(t, "o-1")

		m = consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", func(_ context.Context, s string) error { second.add("%s", s); return nil })
		_, end = w.member(m)
		pass(time.Minute)
		end((*consumer.Consumer).Drain)
		second.want(t, "o-1")
	})
}

// rocketmq-client-go drops and takes up a queue whose handler takes over 120 s.
func TestASlowHandlerGetsItsMessageOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var seen journal
		m := consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", func(_ context.Context, s string) error {
			seen.add("%s", s)
			<-time.After(10 * time.Minute)
			return nil
		})
		_, end := w.member(m)
		w.produce("orders", "", "o-1")
		pass(time.Hour)
		end((*consumer.Consumer).Drain)
		seen.want(t, "o-1")
	})
}

// A member that joins takes queues over; between two members every message is
// handled, and what moves during its handler has a ctx that ended.
func TestAJoiningMemberLosesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var mu sync.Mutex
		handled := make(map[string]int)
		handler := func(ctx context.Context, s string) error {
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			handled[s]++
			return nil
		}
		var ends []func(func(*consumer.Consumer, context.Context) error)
		for i := range 3 {
			m := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Concurrency(4))
			consumer.Handle(m, "orders", handler)
			_, end := w.member(m)
			ends = append(ends, end)
			for j := range 20 {
				w.produce("orders", "", fmt.Sprint(i, "-", j))
			}
			pass(7 * time.Second)
		}
		pass(5 * time.Minute)
		for _, end := range ends {
			end((*consumer.Consumer).Drain)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(handled) != 60 {
			t.Errorf("%d messages were handled to the end, want 60", len(handled))
		}
	})
}

func TestMessagesOfHandlersThatAreGoneGoToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		m := consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
		consumer.Handle(m, "orders", fails(errDown), consumer.Tags("gone"))
		_, end := w.member(m)
		w.produce("orders", "gone", "left over")
		pass(5 * time.Second) // it waits in the retry topic
		end((*consumer.Consumer).Drain)

		var dead journal
		m = consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.Handle(m, "orders", onText, consumer.Tags("paid"))
		consumer.HandleDLQ(m, func(_ context.Context, d *message.Delivery) error { dead.add("%s %s", d.Tag, d.Body); return nil })
		_, end = w.member(m)
		pass(time.Minute)
		end((*consumer.Consumer).Drain)
		dead.want(t, "gone left over")
	})
}
