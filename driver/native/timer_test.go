package native

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// SYSTEM_ERROR says that the broker has no timer, or that something is wrong with
// it just now, as when a slot is full: then another attempt may do.
func TestATimersTroubleIsNotALackOfOne(t *testing.T) {
	for remark, want := range map[string]bool{
		"accurate timer message is not enabled, timerWheelEnable is false": true,
		"timer message is under flow control, max num limit is 2":          false,
		"create mapped file failed, server is busy or broken.":             false,
	} {
		t.Run(remark, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				c.brokers["a"].on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
					resp := cmd.Response(protocol.SystemError, remark)
					if err := conn.Reply(&resp, nil); err != nil {
						t.Error(err)
					}
					return true
				})
				s := newSender(t, c.open())
				_, err := s.sendTest(t, outgoing(s, "orders", "x", func(m *message.Message) { m.Delay.After = time.Minute }))
				var be *message.BrokerError
				if errors.Is(err, message.ErrUnsupported) != want || !errors.As(err, &be) || be.Remark != remark {
					t.Errorf("%q: %v", remark, err)
				}
			})
		})
	}
}

func TestTimerMessages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "new")
		old := c.startBroker("old", "10.0.0.7:10911", protocol.VersionV4_9_7)
		c.addTopic("orders", 1)
		s := newSender(t, c.open())
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		after := outgoing(s, "orders", "x", func(m *message.Message) { m.Delay.After = time.Minute })
		level := outgoing(s, "orders", "x", func(m *message.Message) { m.Delay.Level = 3 })

		if got := <-s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "new"}, after); got.err != nil {
			t.Errorf("5.4.0: %v", got.err)
		}
		// The very first request to the old broker: it must not be sent.
		got := <-s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "old"}, after)
		var un *UnsupportedError
		if !errors.Is(got.err, message.ErrUnsupported) || !errors.As(got.err, &un) || un.Broker != "old" || !message.SafeToRetry(got.err) {
			t.Errorf("4.9.7: %v", got.err)
		}
		if err := s.SendOneway(t.Context(), message.Queue{Topic: "orders", Broker: "old"}, after); !errors.Is(err, message.ErrUnsupported) {
			t.Errorf("4.9.7, oneway: %v", err)
		}
		if got := <-s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "old"}, level); got.err != nil {
			t.Errorf("4.9.7, level: %v", got.err)
		}
		if n := len(old.requests(protocol.SendMessageV2)); n != 1 {
			t.Errorf("the old broker got %d messages, want the one with a level", n)
		}
	})
}

func TestDelayTooFarAheadNamesTheSetting(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.MessageIllegal)
		s := newSender(t, c.open())
		_, err := s.sendTest(t, outgoing(s, "orders", "x", func(m *message.Message) { m.Delay.At = time.Now().AddDate(1, 0, 0) }))
		var be *message.BrokerError
		if !errors.Is(err, message.ErrUnsupported) || !errors.As(err, &be) || !strings.Contains(err.Error(), "timerMaxDelaySec") {
			t.Errorf("timer: %v", err)
		}
		_, err = s.sendTest(t, outgoing(s, "orders", "x"))
		if errors.Is(err, message.ErrUnsupported) || !errors.As(err, &be) || !strings.Contains(err.Error(), "maxMessageSize") {
			t.Errorf("plain: %v", err)
		}
	})
}
