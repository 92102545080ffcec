package native

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// endpoint is an HTTP server behind a dial function: it answers what is told.
type endpoint struct {
	status atomic.Int64
	body   atomic.Pointer[string]
	asked  atomic.Int64
}

func (e *endpoint) say(status int64, body string) {
	e.status.Store(status)
	e.body.Store(&body)
}

// dial serves one connection, over a pipe.
func (e *endpoint) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		buf := make([]byte, 4<<10)
		if n, err := server.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "GET /rocketmq/nsaddr ") {
			return
		}
		e.asked.Add(1)
		status := e.status.Load()
		if status == 0 {
			return
		}
		r := http.Response{StatusCode: int(status), ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(*e.body.Load())), Body: io.NopCloser(strings.NewReader(*e.body.Load())), Close: true}
		_ = r.Write(server) // the client tells
	}()
	return client, nil
}

const endpointURL = "http://config:8080/rocketmq/nsaddr"

func TestAnEndpointTellsTheNameServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e endpoint
		e.say(http.StatusOK, " a:9876; b:9876;\n")
		c := openAt(t, e.dial, endpointURL)
		addrs := func() []string {
			t.Helper()
			addrs, err := c.names.dir.addrs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return addrs
		}
		if diff := cmp.Diff([]string{"a:9876", "b:9876"}, addrs()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		e.say(http.StatusOK, "c:9876")
		time.Sleep(endpointPeriod + time.Second)
		if diff := cmp.Diff([]string{"c:9876"}, addrs()); diff != "" {
			t.Errorf("after a change (-want +got)\n%s", diff)
		}
		for _, broken := range []func(){
			func() { e.say(0, "") }, // it ends the connection
			func() { e.say(http.StatusServiceUnavailable, "a:9876") },
			func() { e.say(http.StatusOK, "<html>") },
			func() { e.say(http.StatusOK, " ; ") },
			func() { e.say(http.StatusOK, strings.Repeat("x", 2*maxEndpointBody)) },
		} {
			before := e.asked.Load()
			broken()
			time.Sleep(endpointPeriod + time.Second)
			if diff := cmp.Diff([]string{"c:9876"}, addrs()); diff != "" || e.asked.Load() == before {
				t.Errorf("after a wrong answer, asked %d times (-want +got)\n%s", e.asked.Load()-before, diff)
			}
		}
	})
}

func TestAnEndpointThatFailsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e endpoint
		c := openAt(t, e.dial, endpointURL)
		if _, err := c.names.dir.addrs(t.Context()); !errors.Is(err, message.ErrNoNameServer) || !strings.Contains(err.Error(), endpointURL) {
			t.Errorf("error %v, want %v that names the endpoint", err, message.ErrNoNameServer)
		}
		e.say(http.StatusOK, "a:9876")
		time.Sleep(endpointPause + time.Second)
		if addrs, err := c.names.dir.addrs(t.Context()); err != nil || len(addrs) != 1 {
			t.Errorf("when it is back: %v, %v", addrs, err)
		}
	})
}

func TestAddressesAndEndpointsTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e endpoint
		c := openAt(t, e.dial, "a:9876", endpointURL)
		if addrs, err := c.names.dir.addrs(t.Context()); err != nil || addrs[0] != "a:9876" {
			t.Errorf("while the endpoint fails: %v, %v", addrs, err)
		}
		e.say(http.StatusOK, "a:9876;b:9876")
		time.Sleep(endpointPause + time.Second)
		addrs, err := c.names.dir.addrs(t.Context())
		if diff := cmp.Diff([]string{"a:9876", "b:9876"}, addrs); diff != "" || err != nil {
			t.Errorf("error %v (-want +got)\n%s", err, diff)
		}
	})
}

// openAt opens a client that ends with the test.
func openAt(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), entries ...string) *client {
	t.Helper()
	d, err := Factory(t.Context(), driver.Config{NameServers: entries, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d.(*client)
}

// What is cut off within a port is another port.
func TestAnEndpointsAnswerIsNotCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e endpoint
		e.say(http.StatusOK, strings.Repeat("a:9876;", maxEndpointBody/7)+"b:9876")
		c := openAt(t, e.dial, endpointURL)
		if addrs, err := c.names.dir.addrs(t.Context()); !errors.Is(err, message.ErrNoNameServer) {
			t.Errorf("%d addresses, %v, want ErrNoNameServer", len(addrs), err)
		}
	})
}
