package admin_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// parted runs f, in virtual time, with a name server and a broker that has the topic
// "orders" of 4 queues.
func parted(t *testing.T, f func(t *testing.T, names, broker *brokerlite.Broker, c *admin.Client)) {
	synctest.Test(t, func(t *testing.T) {
		n := brokerlite.NewNetwork()
		names := start(t, brokerlite.VirtualNetwork(n), brokerlite.WithRole(brokerlite.RoleNameServer))
		broker := start(t, brokerlite.VirtualNetwork(n), brokerlite.WithRole(brokerlite.RoleBroker), brokerlite.NameServers(names.NameServer()))
		c, err := admin.New(admin.Config{NameServers: []string{names.NameServer()}, Dial: broker.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		if err := c.CreateTopic(t.Context(), orders(4)); err != nil {
			t.Fatal(err)
		}
		f(t, names, broker, c)
	})
}

// queuesOf are the read and write queues that the name server tells.
func queuesOf(t *testing.T, c *admin.Client) [2]int {
	t.Helper()
	route, err := c.Route(t.Context(), "orders")
	if err != nil || len(route) != 1 {
		t.Fatalf("%+v, %v", route, err)
	}
	return [2]int{route[0].ReadQueues, route[0].WriteQueues}
}

func TestAChangeThatANameServerMissesIsMadeAgain(t *testing.T) {
	t.Parallel()
	parted(t, func(t *testing.T, names, broker *brokerlite.Broker, c *admin.Client) {
		var changes atomic.Int32
		names.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) { // a change may be registered more than once
			return brokerlite.Answer(0, ""), r.Code == 103 && changes.Load() == 1
		})
		broker.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
			if r.Name == "UPDATE_AND_CREATE_TOPIC" {
				changes.Add(1)
			}
			return brokerlite.Pass(), false
		})
		if err := c.CreateTopic(t.Context(), admin.Topic{Name: "orders", ReadQueues: 4, WriteQueues: 2}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([2]int{4, 2}, queuesOf(t, c)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		// Apache's broker passes nothing on when nothing changes: there and back.
		if n := changes.Load(); n != 3 {
			t.Errorf("%d changes, want 3", n)
		}
	})
}

// As long as name servers tell producers of the queues that go, messages may come.
func TestATopicDoesNotShrinkBeforeTheNameServersTellSo(t *testing.T) {
	t.Parallel()
	parted(t, func(t *testing.T, names, broker *brokerlite.Broker, c *admin.Client) {
		// It takes the broker's registrations and learns nothing.
		names.Fault(brokerlite.Match{NameServer: true, Code: 103}, brokerlite.Answer(0, ""))
		begun := time.Now()
		err := c.ShrinkTopic(t.Context(), "orders", 2, admin.Shrink{Waiting: func([]admin.QueueLag) { t.Error("it goes on") }})
		if err == nil || !strings.Contains(err.Error(), "name server "+names.NameServer()+" tells clients 4, 4 and RW-") {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff([2]int{4, 4}, queuesOf(t, c)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		state, err := c.DescribeTopic(t.Context(), "orders")
		if err != nil || len(state.Queues) != 4 {
			t.Errorf("%+v, %v: want what can be read in 4 queues", state, err)
		}
	})
}

// ctx may end between two looks and within one.
func TestAShrinkThatIsCutShortSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	parted(t, func(t *testing.T, _, _ *brokerlite.Broker, c *admin.Client) {
		for _, limit := range []time.Duration{5 * time.Second, 5500 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			err := c.ShrinkTopic(ctx, "orders", 2, admin.Shrink{Settle: time.Minute})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "call it again") {
				t.Errorf("after %s: %v", limit, err)
			}
			if diff := cmp.Diff([2]int{4, 2}, queuesOf(t, c)); diff != "" {
				t.Errorf("after %s, read and write queues (-want +got)\n%s", limit, diff)
			}
		}
		if err := c.ShrinkTopic(t.Context(), "orders", 2, admin.Shrink{Settle: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([2]int{2, 2}, queuesOf(t, c)); diff != "" {
			t.Errorf("in the end, read and write queues (-want +got)\n%s", diff)
		}
	})
}
