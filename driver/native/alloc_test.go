//go:build !race

package native

import (
	"context"
	"testing"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// TestSendsAllocateLittle counts client and server together, since they share
// the process: the server allocates the request's header and its answer's, the
// client the answer's header. The driver itself allocates nothing.
func TestSendsAllocateLittle(t *testing.T) {
	s := newSender(t, newInstant(t).open())
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
