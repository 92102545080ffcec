package native_test

import (
	"context"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// A broker that takes requests and answers none holds up whoever leaves a group,
// but not for long after the time that was given.
func TestASilentBrokerHoldsUpLeavingForASecondOnly(t *testing.T) {
	for name, leave := range map[string]func(driver.Subscription, context.Context) error{
		"drain": driver.Subscription.Drain, "stop": driver.Subscription.Stop,
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				m := s.join("group", []string{"orders"}, nil)
				if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
					t.Fatal(err)
				}
				pass(7 * time.Second) // it is received; later than any pause of the start
				if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("y"))); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				if got := len(m.all()); got != 2 {
					t.Fatalf("%d deliveries", got)
				}
				stop := s.b.Intercept(func(q brokerlite.Request) (brokerlite.Reaction, bool) {
					return brokerlite.DropRequest(), !q.NameServer
				})
				defer stop()
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				err := leave(m.Subscription, ctx)
				if took := time.Since(begun); err != nil || took > 1500*time.Millisecond || took < 500*time.Millisecond {
					t.Errorf("left after %v: %v", took, err)
				}
			})
		})
	}
}
