package native

import (
	"errors"
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
