package rocketkit_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
)

// leg is a driver, with a server that it reaches.
type leg struct {
	name string
	// in runs f with a server.
	in func(t *testing.T, f func(*testing.T, cluster), opts ...brokerlite.Option)
	// tells is what is told over this driver of what is told over the native one.
	tells func(name string, all []view) []view
}

// legs are both drivers. What rocketmq-client-go has not is refused.
func legs() []leg {
	return []leg{
		{"native", inCluster, func(_ string, all []view) []view { return all }},
		{clientgo.Name, overClientGo, toldByClientGo},
	}
}

// overClientGo runs f with a server of this machine's network, since rocketmq-client-go
// opens connections by itself, in which all delays are short.
func overClientGo(t *testing.T, f func(*testing.T, cluster), opts ...brokerlite.Option) {
	t.Helper()
	if raceDetector {
		t.Skip("left out: rocketmq-client-go races with itself; run without -race")
	}
	t.Parallel()
	b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.InMemory(), brokerlite.Conf("messageDelayLevel=1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	f(t, cluster{b, t, rocketkit.WithDriver(clientgo.Name, clientgo.Factory)})
}

// toldByClientGo is without the client's id, of which there is one for each producer and
// consumer; the requests that settle messages, which rocketmq-client-go makes by itself;
// and the address of a broker that has refused, or was sent to oneway, which it does not tell.
func toldByClientGo(name string, all []view) (told []view) {
	for _, v := range all {
		if v.Name == "nack orders" || v.Name == "commit orders" {
			continue
		}
		v.Attributes = maps.Clone(v.Attributes)
		delete(v.Attributes, "messaging.client.id")
		if v.Name == "send orders" && v.Failed || name == "oneway" {
			for _, key := range []string{"server.address", "server.port", "network.peer.address", "network.peer.port"} {
				delete(v.Attributes, key)
			}
		}
		told = append(told, v)
	}
	return told
}

// hasNot reports that err says that the driver has not what a case needs. That must be so
// of the cases that are named and of no other, and never of the native driver.
func (s cluster) hasNot(err error, name string, but ...string) bool {
	s.t.Helper()
	refused := errors.Is(err, message.ErrUnsupported)
	if want := s.driver != nil && slices.Contains(but, name); refused != want {
		s.t.Errorf("refused by this driver: %v, want %v", err, want)
	}
	return refused
}

// patience is how long something may take that has to happen, in virtual time or with a
// driver that looks for its queues every 20 s.
const patience = 150 * time.Second

// until waits until f is true, and says whether it was in time.
func until(f func() bool) bool {
	for limit := time.Now().Add(patience); !f(); {
		if time.Now().After(limit) {
			return false
		}
		<-time.After(100 * time.Millisecond)
	}
	return true
}
