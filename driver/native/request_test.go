package native

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// rocketmq-client-go never sets the reply's body, and calls back twice where a request
// was handled twice.
func TestFault22AReplyHasItsBodyAndComesOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("prices", 1)
		conns := c.brokers["a"].greeters()
		cl := c.open()
		subscribe(t, cl, acking(), driver.SubscriptionConfig{}, "prices")
		pass(2 * time.Second)

		long := strings.Repeat("packed ", 100)
		packer, err := compression.NewPacker(protocol.SysZlib, 5)
		if err != nil {
			t.Fatal(err)
		}
		packed, flags, err := packer.Pack(nil, []byte(long))
		if err != nil || flags&protocol.SysCompressed == 0 {
			t.Fatalf("flags %#x, %v", flags, err)
		}
		s := newSender(t, cl)
		for _, tc := range []struct {
			id, want string
			body     []byte
			flag     int32
		}{
			{"plain", "1.08", []byte("1.08"), 0},
			{"packed", long, packed, flags},
		} {
			reply, forget := s.AwaitReply(tc.id)
			defer forget()
			other, forgetOther := s.AwaitReply(tc.id + " not")
			defer forgetOther()
			for range 2 { // the request was handled twice
				cmd := protocol.ClientRequest(protocol.PushReply)
				h := &protocol.PushReplyRequest{Topic: "c_REPLY_TOPIC", SysFlag: tc.flag, Properties: props(driver.CorrelationProperty + "=" + tc.id + ";")}
				resp, err := conns()[0].Call(t.Context(), &cmd, h, tc.body)
				if err != nil || resp.Code != protocol.Success {
					t.Fatalf("%s: the broker hears %+v, %v", tc.id, resp, err)
				}
			}
			synctest.Wait()
			if got := bodies(reply); len(got) != 1 || got[0] != tc.want {
				t.Errorf("%s: replies %q, want one of %q", tc.id, got, tc.want)
			}
			if got := bodies(other); len(got) != 0 {
				t.Errorf("another request has the reply %q", got)
			}
		}
	})
}

// bodies are those of the replies that have come.
func bodies(replies <-chan *message.Delivery) (all []string) {
	for {
		select {
		case d := <-replies:
			all = append(all, string(d.Body))
		default:
			return all
		}
	}
}
