package native_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
)

func TestNamesOfANamespaceSurviveExactRetries(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		s.namespace = "shop"
		twice := func(d *message.Delivery) driver.Verdict {
			if d.ReconsumeTimes < 2 {
				return driver.Verdict{Delay: 7 * time.Second} // republished, as no level has it
			}
			return driver.Verdict{Action: driver.ActionAck}
		}
		members := map[string]*member{ // by the name that they subscribe to
			"orders": s.join("pay", []string{"orders"}, twice), "shop%orders": s.join("shop%ship", []string{"shop%orders"}, twice),
		}
		if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		for topic, m := range members {
			got := m.all()
			if len(got) != 3 {
				t.Fatalf("%s: %d deliveries, want 3", topic, len(got))
			}
			for i, d := range got {
				if d.Topic != topic || i > 0 && (d.Property("RETRY_TOPIC") != "shop%orders" || d.OriginTopic() != "orders" || d.Queue.Topic != message.RetryTopic(d.Group)) {
					t.Errorf("%s, attempt %d: %+v, first of topic %q", topic, i, d.Delivery, d.OriginTopic())
				}
			}
		}
	})
}

func TestTimerMessagesOfANamespaceAreCalledBack(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		s.namespace = "shop"
		m := s.join("pay", []string{"orders"}, nil)
		snd := s.sender(driver.SenderConfig{})
		r, err := s.send(snd, 0, &message.Message{Topic: "orders", Body: []byte("x"), Delay: message.Delay{After: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		recaller := snd.(driver.Recaller)
		if _, err := recaller.Recall(t.Context(), "other", r.RecallHandle); !errors.Is(err, message.ErrInvalidMessage) {
			t.Errorf("by another topic: %v", err)
		}
		if by, err := recaller.Recall(t.Context(), "orders", r.RecallHandle); err != nil || by.Addr != r.Addr || by.Region != r.Region {
			t.Errorf("%+v, %v", by, err)
		}
		pass(2 * time.Minute)
		if n := len(m.all()); n > 0 {
			t.Errorf("%d messages arrived that were called back", n)
		}
	})
}

func TestQueuesByConfigAreNamedWithoutTheNamespace(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		s.namespace = "shop"
		snd := s.sender(driver.SenderConfig{})
		for i := range 4 {
			if _, err := s.send(snd, i, message.New("orders", []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
		queues, err := snd.Queues(t.Context(), "orders")
		if err != nil || queues[0].Topic != "orders" {
			t.Fatalf("queues %v, %v", queues, err)
		}
		m := s.join("pay", []string{"orders"}, nil, func(cfg *driver.SubscriptionConfig) { cfg.Allocate = native.ByConfig(queues[1]) })
		pass(time.Minute)
		got := m.all()
		if len(got) != 1 || got[0].Queue != queues[1] {
			t.Errorf("got %d messages, want the one of queue %v", len(got), queues[1])
		}
	})
}

func TestATopicThatIsNamedTwiceInANamespaceIsRefused(t *testing.T) {
	t.Parallel()
	for ns, want := range map[string]bool{"shop": false, "": true} {
		d, err := native.Factory(t.Context(), driver.Config{NameServers: []string{"127.0.0.1:1"}, Namespace: ns})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.NewSubscription(driver.SubscriptionConfig{Group: "pay", Topics: []driver.TopicFilter{{Topic: "orders"}, {Topic: "shop%orders"}}}, &member{})
		if (err == nil) != want {
			t.Errorf("namespace %q: %v", ns, err)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A program may name a topic as it is on the wire: what it gets back must be of the same
// name, or it cannot use it.
func TestQueuesToReadHaveTheNameThatWasAskedFor(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		s.namespace = "shop"
		snd := s.sender(driver.SenderConfig{})
		if _, err := s.send(snd, 0, message.New("orders", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"orders", "shop%orders"} {
			p, err := consumer.NewPuller(s.open(), "audit", consumer.Subscription{Topic: topic}, consumer.PullWait(0))
			if err != nil {
				t.Fatal(err)
			}
			qs, err := p.Queues(t.Context())
			if err != nil || len(qs) == 0 {
				t.Fatalf("%s: queues %v, %v", topic, qs, err)
			}
			if _, err := p.Seek(t.Context(), qs[0], consumer.Begin()); err != nil {
				t.Fatal(err)
			}
			got, err := p.Pull(t.Context(), qs[0], 10)
			if err != nil || len(got.Messages) != 1 || got.Messages[0].Topic != "orders" {
				t.Errorf("%s: pulled %+v, %v", topic, got, err)
			}
		}
	})
}
