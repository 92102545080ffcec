package native

import (
	"errors"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// NO_PERMISSION has two reasons, which have two remedies: recalls are off, and the client
// may not send to the topic.
func TestARefusedRecallHasItsRemedy(t *testing.T) {
	for remark, tt := range map[string]struct {
		unsupported bool
		remedy      string
	}{
		"recall failed, operation is forbidden":                 {true, "recallMessageEnable=true"},
		"User:member has no permission to access Topic:orders.": {false, "credentials"},
	} {
		t.Run(tt.remedy, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				c.brokers["a"].on(protocol.RecallMessage, func(conn *remoting.Conn, cmd *protocol.Command) bool {
					resp := cmd.Response(protocol.NoPermission, remark)
					if err := conn.Reply(&resp, nil, nil); err != nil {
						t.Error(err)
					}
					return true
				})
				h := protocol.RecallHandle{Topic: "orders", BrokerName: "a", Timestamp: "1", UniqueKey: "ID"}
				_, err := newSender(t, c.open()).Recall(t.Context(), "orders", h.String())
				if errors.Is(err, message.ErrUnsupported) != tt.unsupported || !strings.Contains(err.Error(), tt.remedy) {
					t.Error(err)
				}
			})
		})
	}
}
