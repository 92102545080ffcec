package native_test

import (
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// A consumer that has waited long for its topic looks for it seldom; the message
// that makes the topic, sent by the same client, does not wait for that.
func TestTheMessageThatMakesATopicIsReceivedAtOnce(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		d := s.open()
		m := &member{}
		sub, err := d.NewSubscription(driver.SubscriptionConfig{Group: "group", Topics: []driver.TopicFilter{{Topic: "orders"}}}, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		snd, err := d.NewSender(driver.SenderConfig{Group: "producers"})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Hour + 2*time.Second)
		if _, err := s.send(snd, 0, message.New("orders", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		pass(50 * time.Millisecond)
		if got := len(m.all()); got != 1 {
			t.Errorf("%d deliveries after 50 ms", got)
		}
		if err := sub.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := snd.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
