package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// What is kept of a client's names counts, not their number alone.
func TestWhatOneConnectionsNamesHoldIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4<<20)
	for name, beat := range map[string]func(n string) protocol.HeartbeatData{
		"producer groups": func(n string) protocol.HeartbeatData {
			return protocol.HeartbeatData{ClientID: "me", Producers: []protocol.ProducerData{{GroupName: n + long}}}
		},
		"a producer's ids": func(n string) protocol.HeartbeatData {
			return protocol.HeartbeatData{ClientID: n + long, Producers: []protocol.ProducerData{{GroupName: n}}}
		},
		"a consumer's ids": func(n string) protocol.HeartbeatData {
			return protocol.HeartbeatData{ClientID: n + long, Consumers: []protocol.ConsumerData{consumer(n)}}
		},
		"consume types": func(n string) protocol.HeartbeatData {
			return protocol.HeartbeatData{ClientID: "me", Consumers: []protocol.ConsumerData{{GroupName: n, ConsumeType: long}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := start(t)
				a := h.dial("a")
				for i := range 4 {
					hb := beat(fmt.Sprint(min(i, 2))) // the third again
					_, _, err := h.Heartbeat(a.Conn, &hb, protocol.LanguageJava, 1)
					if err != nil {
						t.Fatalf("heartbeat %d: %v", i, err)
					}
				}
				hb := beat("3")
				_, _, err := h.Heartbeat(a.Conn, &hb, protocol.LanguageJava, 1)
				var refused *Refusal
				if !errors.As(err, &refused) || len(refused.Remark) > 1000 {
					t.Errorf("16 MiB of names are kept: %.200v", err)
				}
			})
		})
	}
}

// A group keeps its subscriptions for the members that stay.
func TestWhatAllGroupsHoldIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		stays := h.dial("stays")
		large := protocol.SubscriptionData{Topic: "t", SubVersion: 1, ExpressionType: "NONE", SubString: strings.Repeat("x", 900<<10)} // counts 17 times
		beat := func(group string) error {
			c := h.dial("leaves")
			defer c.close()
			hb := protocol.HeartbeatData{ClientID: "leaves", Consumers: []protocol.ConsumerData{consumer(group, large)}}
			if _, _, err := h.Heartbeat(c.Conn, &hb, protocol.LanguageJava, 1); err != nil {
				return err
			}
			stays.beat(protocol.HeartbeatData{Fingerprint: 1, WithoutSub: true, Consumers: []protocol.ConsumerData{consumer(group)}})
			return nil
		}
		for i := range 17 {
			if err := beat(fmt.Sprint(i)); err != nil {
				t.Fatalf("group %d: %v", i, err)
			}
		}
		var refused *Refusal
		if err := beat("one too many"); !errors.As(err, &refused) || !strings.Contains(refused.Remark, "the subscriptions of all groups") {
			t.Errorf("18 groups keep 15 MiB each: %.200v", err)
		}
		if err := beat("0"); err != nil {
			t.Errorf("what a group has already: %v", err)
		}
		h.Unregister(stays.Conn, "", "0")
		if err := beat("another"); err != nil {
			t.Errorf("after a group has left: %v", err)
		}
		stays.close()
		if h.held != 0 {
			t.Errorf("%d bytes are held by no group", h.held)
		}
	})
}
