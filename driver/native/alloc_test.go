//go:build !race

package native

import (
	"context"
	"net/netip"
	"testing"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// TestSendsAllocateLittle counts client and server together, since they share
// the process: the server allocates the request's header and its answer's, the
// client the answer's header. The driver itself allocates nothing.
func TestSendsAllocateLittle(t *testing.T) {
	t.Run("unsigned", func(t *testing.T) { sendsAllocateLittle(t, newInstant(t)) })
	t.Run("in a namespace", func(t *testing.T) {
		s := newInstant(t)
		s.namespace = "shop"
		sendsAllocateLittle(t, s)
	})
	t.Run("signed", func(t *testing.T) {
		sendsAllocateLittle(t, newInstant(t), driver.Credentials{AccessKey: "service", SecretKey: "secret-of-it"})
	})
}

func sendsAllocateLittle(t *testing.T, server *instant, creds ...driver.Credentials) {
	s := newSender(t, server.open(creds...))
	m := outgoing(s, "orders", "body", message.Tag("paid"), message.Key("k"))
	if _, err := s.sendTest(t, m); err != nil {
		t.Fatal(err)
	}
	ch := make(chan error, 1)
	done := func(_ driver.Receipt, err error) { ch <- err }
	got := testing.AllocsPerRun(2000, func() {
		qs, err := s.Queues(context.Background(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		s.SendTo(context.Background(), qs[0], m, done)
		if err := <-ch; err != nil {
			t.Fatal(err)
		}
	})
	if got > 3 {
		t.Errorf("%.1f allocations a message, want 3", got)
	}
}

// TestPulledMessagesAllocateNothingEach decodes an answer of 32 messages: the
// deliveries, the list of them and their text are one allocation each, and the
// batch.
func TestPulledMessagesAllocateNothingEach(t *testing.T) {
	host := netip.MustParseAddrPort("10.0.0.1:10911")
	var body []byte
	for i := range int64(32) {
		rec := protocol.Record{
			Topic: "orders", Body: make([]byte, 128), QueueOffset: i, PhysicalOffset: i * 300,
			Properties: props("UNIQ_KEY=7F0000010001;TAGS=a;"), BornHost: host, StoreHost: host,
		}
		var err error
		if body, err = protocol.AppendRecord(body, &rec); err != nil {
			t.Fatal(err)
		}
	}
	s := &subscription{cfg: subscriptionDefaults(driver.SubscriptionConfig{Group: "g"})}
	q := &queue{s: s, mq: message.Queue{Topic: "orders"}, f: &filter{}}
	got := testing.AllocsPerRun(100, func() {
		b := newBatch(q, body)
		if err := b.decode(); err != nil || len(b.out) != 32 {
			t.Fatalf("%d messages, %v", len(b.out), err)
		}
		for _, d := range b.out {
			q.win.finish(q.win.find(d.QueueOffset))
		}
	})
	if got > 4 {
		t.Errorf("%.1f allocations for 32 messages, want 4", got)
	}
}
