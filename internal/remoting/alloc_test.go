//go:build !race

package remoting

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// The tests here count what the whole process allocates, so they are not
// parallel. Under the race detector, sync.Pool forgets on purpose.

func TestSendingAllocatesNothing(t *testing.T) {
	near, far := net.Pipe()
	drained := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, far)
		drained <- err
	}()
	c := NewConn(near, Options{})
	cmd, h := sendRequest()
	body := make([]byte, 300)
	resp := cmd.Response(protocol.Success, "")
	for name, send := range map[string]func() error{
		"Oneway": func() error { return c.Oneway(context.Background(), cmd, h, body) },
		"Reply":  func() error { return c.Reply(&resp, &echoHeader) },
	} {
		got := testing.AllocsPerRun(2000, func() {
			if err := send(); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
	_ = c.Close()
	<-c.Done()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestACallAllocatesThreeTimes: the strings of the two headers, and the response
// that the caller keeps. Both ends are counted.
func TestACallAllocatesThreeTimes(t *testing.T) {
	near, far := net.Pipe()
	server := newConn(far, newShared(Options{Handler: echo}))
	server.start()
	client := NewConn(near, Options{})
	cmd, h := sendRequest()
	got := testing.AllocsPerRun(2000, func() {
		if _, err := client.Call(context.Background(), cmd, h); err != nil {
			t.Fatal(err)
		}
	})
	if got > 3 {
		t.Errorf("a call and its answer allocate %v times", got)
	}
	for _, c := range []*Conn{client, server} {
		_ = c.Close()
		<-c.Done()
	}
}
