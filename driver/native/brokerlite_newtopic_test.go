package native_test

import (
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// A consumer that has waited long for its topic looks for it seldom, and one that has begun
// to often; the message that makes the topic, sent by the same client, waits for neither.
func TestTheMessageThatMakesATopicIsReceivedAtOnce(t *testing.T) {
	for _, waited := range []time.Duration{time.Hour + 2*time.Second, 1510 * time.Millisecond} {
		t.Run(waited.String(), func(t *testing.T) { receivedAtOnce(t, waited) })
	}
}

func receivedAtOnce(t *testing.T, waited time.Duration) {
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
		pass(waited)
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
