package native

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

func TestHeartbeats(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		beats := func() []received { return b.requests(protocol.Heartbeat) }
		n := len(beats())
		if n == 0 {
			t.Fatal("the broker was not greeted")
		}
		if beats()[0].at.After(b.requests(protocol.SendMessageV2)[0].at) {
			t.Error("greeted after the first message")
		}
		pass(time.Minute)
		if got := len(beats()) - n; got != 2 {
			t.Errorf("%d heartbeats in a minute, want 2", got)
		}
		n = len(beats())
		subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(time.Second)
		if got := beats(); len(got) == n || !strings.Contains(string(got[n].body), `"groupName":"group"`) {
			t.Error("not greeted when a group came")
		}
		n = len(beats())
		c.net.Cut(b.addr)
		pass(10 * time.Second)
		c.net.Restore(b.addr)
		pass(10 * time.Second)
		if len(beats()) == n {
			t.Error("not greeted when the broker was back")
		}
		var data protocol.HeartbeatData
		if err := protocol.DecodeBody(beats()[n].body, &data); err != nil {
			t.Fatal(err)
		}
		if data.ClientID != cl.id || len(data.Producers) != 1 || len(data.Consumers) != 1 || len(data.Consumers[0].Subscriptions) != 2 {
			t.Errorf("%+v", data)
		}
	})
}

func TestSlavesAreGreetedForConsumersOnly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		slave := c.startSlave("a", "10.0.0.2:10911")
		c.addTopic("orders", 1)
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := len(slave.requests(protocol.Heartbeat)); n != 0 {
			t.Errorf("%d heartbeats of a producer", n)
		}
		sub := subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "orders")
		pass(2 * time.Second)
		if ids := slave.memberIDs("group"); len(ids) != 1 {
			t.Errorf("the slave knows %v", ids)
		}
		if err := sub.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if ids := slave.memberIDs("group"); len(ids) != 0 {
			t.Errorf("the slave knows %v after the end", ids)
		}
	})
}

// A host that vanishes ends no connection: its client must.
func TestAVanishedBrokersConnectionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		c.net.Freeze(b.addr)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		got := <-s.startTest(ctx, message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
		if !errors.Is(got.err, message.ErrOutcomeUnknown) {
			t.Error(got.err)
		}
		if d := time.Since(begin); d > defaultInterval+3*defaultRequestTimeout {
			t.Errorf("waited %s", d)
		}
		c.net.Restore(b.addr)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Errorf("once the broker was back: %v", err)
		}
	})
}

func TestOneLateHeartbeatHarmsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		conn := cl.brokers.get(b.addr).ready()
		missed := 0
		b.on(protocol.Heartbeat, func(*remoting.Conn, *protocol.Command) bool {
			missed++
			return missed == 1
		})
		pass(2 * time.Minute)
		if missed < 3 || cl.brokers.get(b.addr).ready() != conn {
			t.Errorf("after %d heartbeats the connection was replaced", missed)
		}
	})
}

func TestAVanishedNameServersConnectionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open())
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		c.net.Freeze(nameServer)
		if _, err := s.Queues(t.Context(), "other"); !errors.Is(err, message.ErrNoNameServer) {
			t.Error(err)
		}
		c.net.Restore(nameServer)
		c.addTopic("other", 1)
		if _, err := s.Queues(t.Context(), "other"); err != nil {
			t.Errorf("once it was back: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.askers) != 2 {
			t.Errorf("%d connections to the name server, want a new one", len(c.askers))
		}
	})
}

// A producer that rests is known to its brokers again soon after they were lost:
// they may have questions about its transactions.
func TestALostBrokerIsGreetedAgainWithoutBeingNeeded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n := len(b.requests(protocol.Heartbeat))
		c.net.Cut(b.addr)
		c.net.Restore(b.addr)
		pass(2 * time.Second)
		if len(b.requests(protocol.Heartbeat)) == n {
			t.Error("not greeted within 2 s")
		}
	})
}

func TestARefusedHeartbeatIsComplainedAboutOnceAMinute(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.refuse(protocol.Heartbeat, protocol.NoPermission)
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "orders")
		complaints := func() int { return strings.Count(c.logs.String(), `level=WARN msg="broker refused a heartbeat"`) }
		pass(10 * time.Second)
		if n := complaints(); n != 1 {
			t.Errorf("%d at the start, of %d refused", n, len(b.requests(protocol.Heartbeat)))
		}
		pass(5 * time.Minute)
		if n := complaints(); n < 4 || n > 6 {
			t.Errorf("%d within five minutes", n)
		}
	})
}

// Sixteen queues that notice the same outage do not fill the log with it.
func TestABrokerThatIsGoneIsComplainedAboutOnceForAllItsQueues(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 16)
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{}, "orders")
		pass(10 * time.Second)
		c.net.Cut(c.brokers["a"].addr)
		pass(50 * time.Second)
		warned := strings.Count(c.logs.String(), `level=WARN msg="pull failed; trying again"`)
		all := strings.Count(c.logs.String(), `msg="pull failed; trying again"`)
		if warned != 1 || all < 16 {
			t.Errorf("%d warnings of %d failures", warned, all)
		}
	})
}
