package remoting

import (
	"context"
	"net"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// TestOverTCP is what virtual time cannot show: real sockets, vectored writes,
// a reset by a real kernel.
func TestOverTCP(t *testing.T) {
	t.Parallel()
	c := overTCP(t, func(c *Conn, cmd *protocol.Command) {
		if cmd.Code == codeSilent {
			if err := c.nc.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
			_ = c.nc.Close() // the peer sees a reset
			return
		}
		serveCases(c, cmd)
	})
	var calls outcomes
	ended := make(chan struct{})
	const n = 2000
	for range n {
		c.Start(t.Context(), request(1), nil, CompletionFunc(func(resp *protocol.Command, err error) {
			calls.Complete(resp, err)
			if calls.count() == n {
				close(ended)
			}
		}), make([]byte, 1000))
	}
	resp, err := c.Call(t.Context(), request(1), nil, make([]byte, 5<<20), make([]byte, 3))
	if err != nil || len(resp.Body) != 5<<20+3 {
		t.Errorf("got %d bytes, %v", len(resp.Body), err)
	}
	<-ended
	for _, err := range calls.all() {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Call(context.Background(), request(codeSilent), nil)
	wantCallError(t, err, true, ErrClosed)
	<-c.Done()
}
