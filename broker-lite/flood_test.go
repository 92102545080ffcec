package brokerlite

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// goroutines runs f in a bubble, on a network in memory, and returns how many
// goroutines it was seen to add at most. It is for tests that are not parallel: it
// counts the process's.
func goroutines(t *testing.T, f func(b *Broker, c *client, seen func())) (most int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, InMemory(), VirtualNetwork(NewNetwork()))
		c := dial(t, b)
		before := runtime.NumGoroutine()
		f(b, c, func() { most = max(most, runtime.NumGoroutine()-before) })
	})
	return most
}

func TestTopicsMadeBehindASlowNameServerHoldTheirClientBack(t *testing.T) {
	most := goroutines(t, func(b *Broker, c *client, seen func()) {
		const registerBroker = 103
		defer b.Fault(Match{NameServer: true, Code: registerBroker}, Pass().After(time.Minute))()
		go func() {
			for i := range 2000 {
				cmd := protocol.Command{Code: protocol.UpdateAndCreateTopic, Version: protocol.VersionV5_4_0}
				h := &protocol.CreateTopicRequest{
					Topic: fmt.Sprintf("topic_%d", i), DefaultTopic: protocol.DefaultTopic, ReadQueueNums: 1, WriteQueueNums: 1,
					Perm: protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag,
				}
				if c.conn.Oneway(t.Context(), &cmd, h) != nil {
					return // the test is over
				}
			}
		}()
		synctest.Wait()
		seen()
		c.close()
	})
	if most > 300 {
		t.Errorf("%d goroutines wait for one client's topics", most)
	}
}

func TestChangesThatAMemberDoesNotReadBecomeOne(t *testing.T) {
	most := goroutines(t, func(b *Broker, c *client, seen func()) {
		deaf, err := b.Dial(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		group := strings.Repeat("g", 120)
		beat := func(id, topic string) []byte {
			body, err := protocol.EncodeBody(protocol.HeartbeatData{ClientID: id, Consumers: []protocol.ConsumerData{{
				GroupName: group, ConsumeType: protocol.ConsumePassively, MessageModel: protocol.Clustering,
				ConsumeFromWhere: protocol.ConsumeFromLastOffset, Subscriptions: []protocol.SubscriptionData{subscription(t, topic, "*")},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			return body
		}
		frame, err := protocol.AppendFrame(nil, &protocol.Command{Code: protocol.Heartbeat, Flag: 2}, nil, beat("deaf", "a"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deaf.Write(frame); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// More than fit what may be queued for a connection, 8 MiB.
		bodies := [2][]byte{beat("restless", "b"), beat("restless", "c")}
		for i := range 60_000 {
			c.oneway(protocol.Heartbeat, nil, bodies[i%2])
			if i%1000 == 0 {
				synctest.Wait()
				seen()
			}
		}
	})
	if most > 100 {
		t.Errorf("%d goroutines tell one member of changes", most)
	}
}

func TestOneConnectionsPullsWaitInBoundedRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		h := suspending("orders", 0, "a = '"+strings.Repeat("b", 4000)+"'", 10*time.Minute)
		h.ExpressionType = "SQL92"
		fit := (32 << 20) / (512 + 16*len(h.Subscription)) // a compiled expression takes 16 times its text
		pulls := fit + 100
		answered := make(chan *protocol.Command, pulls)
		for range pulls {
			go func() {
				cmd := protocol.Command{Code: protocol.PullMessage, Version: protocol.VersionV5_4_0}
				resp, err := c.conn.Call(t.Context(), &cmd, h)
				if err != nil {
					return // the test is over
				}
				answered <- resp
			}()
		}
		synctest.Wait()
		if n, m := b.broker.ParkedPulls(), len(answered); n != fit || m != pulls-fit {
			t.Fatalf("%d pulls wait and %d are answered, want %d in 32 MiB", n, m, fit)
		}
		if resp := <-answered; resp.Code != protocol.PullNotFound {
			t.Errorf("%s %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		other := dial(t, b)
		go other.try(t.Context(), protocol.PullMessage, suspending("orders", 0, "*", time.Minute), nil)
		synctest.Wait()
		if n := b.broker.ParkedPulls(); n != fit+1 {
			t.Errorf("%d pulls wait: another connection's finds no room", n)
		}
		c.close()
		synctest.Wait()
		if n := b.broker.ParkedPulls(); n != 1 {
			t.Errorf("%d pulls wait after their connection has closed", n)
		}
	})
}
