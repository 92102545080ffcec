package remoting

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

// stand is a server and a client on one virtual network.
type stand struct {
	net    *memnet.Network
	addr   string
	server *Server
	client *Client
}

// start sets a stand up and tears it down at the end of the test.
func start(t *testing.T, so ServerOptions, co ClientOptions) *stand {
	t.Helper()
	n := memnet.New()
	l, err := n.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	if co.Dial == nil {
		co.Dial = n.Dial
	}
	s := &stand{net: n, addr: l.Addr().String(), server: NewServer(so), client: NewClient(co)}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(l) }()
	t.Cleanup(func() {
		ctx := context.Background()
		if err := s.client.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stand) conn(t *testing.T) *Conn {
	t.Helper()
	c, err := s.client.Conn(t.Context(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCallReturnsTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, ServerOptions{Options: Options{Handler: echo}}, ClientOptions{})
		cmd, h := sendRequest()
		resp, err := s.conn(t).Call(t.Context(), cmd, h)
		if err != nil {
			t.Fatal(err)
		}
		var got protocol.SendResponse
		if err := got.DecodeFields(resp.Fields); err != nil {
			t.Fatal(err)
		}
		if got != echoHeader {
			t.Errorf("got %+v, want %+v", got, echoHeader)
		}
	})
}
