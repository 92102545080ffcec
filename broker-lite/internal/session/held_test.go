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
