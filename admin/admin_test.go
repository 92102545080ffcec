package admin_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

func start(t *testing.T, opts ...brokerlite.Option) *brokerlite.Broker {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.InMemory())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func ask(t *testing.T, nameServers ...string) *admin.Client {
	t.Helper()
	c, err := admin.New(admin.Config{NameServers: nameServers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func orders(queues int) admin.Topic {
	return admin.Topic{Name: "orders", ReadQueues: queues, WriteQueues: queues}
}

// nowhere is an address that refuses connections.
const nowhere = "127.0.0.1:1"

func TestTheNextNameServerIsAskedWhenOneDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := start(t)
	if _, err := ask(t, nowhere, b.NameServer()).Brokers(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := ask(t, nowhere, "127.0.0.1:2").Topics(t.Context())
	if !errors.Is(err, message.ErrNoNameServer) || !strings.Contains(err.Error(), nowhere) || !strings.Contains(err.Error(), "127.0.0.1:2") {
		t.Errorf("%v, want both addresses", err)
	}
	// One that refuses has answered.
	_, err = ask(t, b.NameServer(), nowhere).Route(t.Context(), "none")
	var route *message.RouteError
	if !errors.Is(err, message.ErrNoRoute) || !errors.As(err, &route) || route.Topic != "none" {
		t.Errorf("%v", err)
	}
}

func TestTheBrokersOfATopicAreAskedTogether(t *testing.T) {
	t.Parallel()
	one := start(t, brokerlite.Name("b1", "c"))
	two := start(t, brokerlite.Name("b2", "c"), brokerlite.WithRole(brokerlite.RoleBroker), brokerlite.NameServers(one.NameServer()))
	c := ask(t, one.NameServer())
	masters, err := c.Masters(t.Context(), admin.Target{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]admin.Broker{{Cluster: "c", Name: "b1", Addr: one.Addr()}, {Cluster: "c", Name: "b2", Addr: two.Addr()}}, masters); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for i, b := range masters {
		if err := c.CreateTopic(t.Context(), orders(i+1), admin.Target{Broker: b.Name}); err != nil {
			t.Fatal(err)
		}
	}
	state, err := c.DescribeTopic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	perBroker := map[string]int{}
	for _, q := range state.Queues {
		perBroker[q.Queue.Broker]++
	}
	if diff := cmp.Diff(map[string]int{"b1": 1, "b2": 2}, perBroker); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
}

func TestABrokerWhoseAddressIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	// It listens on 127.0.0.1 and tells everybody to dial 127.0.0.2.
	b := start(t, brokerlite.Conf("brokerIP1=127.0.0.2"))
	c := ask(t, b.NameServer())
	masters, err := c.Masters(t.Context(), admin.Target{})
	if err != nil {
		t.Fatal(err)
	}
	_, statusErr := c.DescribeTopic(t.Context(), "TBW102")
	for what, err := range map[string]error{
		"reach": c.Reach(t.Context(), masters), "create": c.CreateTopic(t.Context(), orders(1)), "status": statusErr,
	} {
		var wrong *message.AddrError
		if !errors.As(err, &wrong) || wrong.Broker != "broker-a" || wrong.Addr != b.Addr() || !strings.Contains(err.Error(), "set brokerIP1") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, port, _ := net.SplitHostPort(b.Addr())
	alive := append(masters, admin.Broker{Name: "other", Addr: "127.0.0.1:" + port})
	if err := c.Reach(t.Context(), alive); err != nil {
		t.Errorf("one of two can be reached: %v", err)
	}
}

func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	b := start(t)
	var refused *message.BrokerError
	if err := ask(t, b.NameServer()).CreateTopic(t.Context(), admin.Topic{Name: "SCHEDULE_TOPIC_XXXX", ReadQueues: 1, WriteQueues: 1}); !errors.As(err, &refused) || refused.Broker != "broker-a" || refused.Addr != b.Addr() || !strings.Contains(refused.Remark, "system topic") {
		t.Errorf("%v", err)
	}
	_, err := ask(t, b.Addr()).Topics(t.Context()) // a broker is no name server
	if !errors.As(err, &refused) || refused.Code != 3 || !strings.Contains(err.Error(), "is it a broker's address where a name server's belongs") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask(t, b.NameServer()).Brokers(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A name server that answers everything with "OK" and a body that is no answer.
func TestAnAnswerThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.Intercept(func(brokerlite.Request) (brokerlite.Reaction, bool) { return brokerlite.Answer(0, "OK"), true })
	c := ask(t, b.NameServer())
	_, topics := c.Topics(t.Context())
	_, clusters := c.Brokers(t.Context())
	_, route := c.Route(t.Context(), "orders")
	for what, err := range map[string]error{"topics": topics, "clusters": clusters, "route": route} {
		if err == nil || !strings.Contains(err.Error(), b.NameServer()) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
