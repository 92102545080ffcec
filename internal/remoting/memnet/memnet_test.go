package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// join makes a network with one connection. Everything is closed at the end.
func join(t *testing.T) (n *Network, addr string, client, server net.Conn) {
	t.Helper()
	n = New()
	l, err := n.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	if client, err = n.Dial(t.Context(), "tcp", addr); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close() // the test may have closed it
		_ = server.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		for at, h := range n.hosts {
			if len(h.conns) != 0 {
				t.Errorf("%v still has %d connections", at, len(h.conns))
			}
		}
	})
	return n, addr, client, server
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); err != nil || n != len(s) {
		t.Fatalf("wrote %d of %d: %v", n, len(s), err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestBytesTravelBothWays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		write(t, client, "ping")
		write(t, client, "ping")
		read(t, server, "pingping")
		write(t, server, "pong")
		read(t, client, "pong")
	})
}

func TestAddressesLookReal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, addr, client, server := join(t)
		for _, a := range []net.Addr{client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr()} {
			at, err := netip.ParseAddrPort(a.String())
			if err != nil || a.Network() != "tcp" || !at.Addr().IsLoopback() || at.Port() == 0 {
				t.Errorf("%v %v: %v", a.Network(), a, err)
			}
		}
		if client.RemoteAddr().String() != addr || server.LocalAddr().String() != addr || client.LocalAddr().String() != server.RemoteAddr().String() || client.LocalAddr().String() == addr {
			t.Errorf("client %v → %v, server %v → %v, listening at %v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr(), addr)
		}
	})
}

func TestListenAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := New()
		cases := []struct {
			listen, dial string
			want         string // the listener's address, "" for any port of 127.0.0.1
		}{
			{"", "", ""},
			{":0", "", ""},
			{"127.0.0.1:0", "", ""},
			{":9876", "localhost:9876", "127.0.0.1:9876"},
			{"10.1.2.3:10911", "10.1.2.3:10911", "10.1.2.3:10911"},
			{"0.0.0.0:10912", "192.168.7.7:10912", "0.0.0.0:10912"},
			{"[::1]:80", "[::1]:80", "[::1]:80"},
		}
		for _, c := range cases {
			l, err := n.Listen(c.listen)
			if err != nil {
				t.Fatal(err)
			}
			got := l.Addr().String()
			if c.want == "" && !strings.HasPrefix(got, "127.0.0.1:") || c.want != "" && got != c.want {
				t.Errorf("Listen(%q) is at %s, want %s", c.listen, got, c.want)
			}
			if c.dial == "" {
				c.dial = got
			}
			conn, err := n.Dial(t.Context(), "tcp", c.dial)
			if err != nil {
				t.Errorf("Listen(%q): %v", c.listen, err)
				continue
			}
			if _, err := n.Listen(got); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("listening twice at %s: %v", got, err)
			}
			_ = conn.Close()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if l, err = n.Listen(got); err != nil {
				t.Errorf("listening again: %v", err)
			} else if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, bad := range []string{"nonsense", "127.0.0.1:99999", "127.0.0.1:http"} {
			if _, err := n.Listen(bad); err == nil {
				t.Errorf("Listen(%q) works", bad)
			}
		}
		var dns *net.DNSError
		if _, err := n.Dial(t.Context(), "tcp", "broker-a:10911"); !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("a host that nobody has: %v", err)
		}
	})
}

func TestNobodyListens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, err := New().Dial(t.Context(), "tcp", "127.0.0.1:1")
		var op *net.OpError
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) || op.Addr.String() != "127.0.0.1:1" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAFullBufferHoldsTheWriterUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		const size = 3 * bufferSize
		written := make(chan error, 1)
		go func() {
			_, err := client.Write(make([]byte, size))
			written <- err
		}()
		synctest.Wait()
		select {
		case err := <-written:
			t.Fatalf("nobody reads, and all is written: %v", err)
		default:
		}
		if n, err := io.CopyN(io.Discard, server, size); n != size || err != nil {
			t.Errorf("read %d: %v", n, err)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

func TestCloseIsReadAfterTheLastByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		write(t, client, "last")
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		read(t, server, "last")
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("writing to a closed peer: %v", err)
		}
		for what, err := range map[string]error{"close": client.Close(), "read": second(client.Read(make([]byte, 1))), "write": second(client.Write([]byte("x")))} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close: %v", what, err)
			}
		}
	})
}

func second(_ int, err error) error { return err }

func TestCloseWriteEndsOneDirection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		if err := client.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		write(t, server, "still")
		read(t, client, "still")
		if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("got %v", err)
		}
	})
}

func TestResetLosesWhatWasUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		write(t, client, "lost")
		client.(interface{ Reset() }).Reset()
		for _, c := range []net.Conn{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
	})
}

func TestClosingWakesWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		errs := make(chan error)
		go func() { errs <- second(client.Read(make([]byte, 1))) }()
		go func() { errs <- second(client.Write(make([]byte, 2*bufferSize))) }()
		synctest.Wait()
		_ = client.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		_ = server
	})
}

func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, _, client, server := join(t)
		began := time.Now()
		check := func(what string, err error, after time.Duration) {
			t.Helper()
			var timeout net.Error
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%s: %v", what, err)
			}
			if got := time.Since(began); got != after {
				t.Errorf("%s ended after %v, want %v", what, got, after)
			}
		}
		set := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		set(client.SetReadDeadline(began.Add(time.Second)))
		check("read", second(client.Read(make([]byte, 1))), time.Second)
		check("read again", second(client.Read(make([]byte, 1))), time.Second)
		set(client.SetWriteDeadline(began.Add(2 * time.Second)))
		n, err := client.Write(make([]byte, 2*bufferSize))
		check("write", err, 2*time.Second)
		if n != bufferSize {
			t.Errorf("%d bytes were written, want %d", n, bufferSize)
		}
		// Moved while somebody waits, and taken away.
		set(client.SetDeadline(began.Add(time.Hour)))
		time.AfterFunc(time.Second, func() { set(client.SetDeadline(began.Add(5 * time.Second))) })
		check("moved", second(client.Read(make([]byte, 1))), 5*time.Second)
		set(client.SetDeadline(began))
		check("past", second(client.Read(make([]byte, 1))), 5*time.Second)
		set(client.SetDeadline(time.Time{}))
		time.AfterFunc(time.Hour, func() { write(t, server, "x") })
		read(t, client, "x")
		// The other end never had one.
		if _, err := io.CopyN(io.Discard, server, bufferSize); err != nil {
			t.Error(err)
		}
	})
}

func TestCutRefusesUntilRestored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, addr, client, server := join(t)
		n.Cut(addr)
		for _, c := range []net.Conn{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := n.Dial(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
		n.Restore(addr)
		c, err := n.Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	})
}

func TestFrozenBytesArriveWhenRestored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, addr, client, server := join(t)
		n.Freeze(addr)
		write(t, client, "held")
		write(t, server, "back")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dial to a frozen host: %v", err)
		}
		if err := server.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read from a frozen host: %v", err)
		}
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			c, err := n.Dial(context.Background(), "tcp", addr)
			if err == nil {
				err = c.Close()
			}
			waiting <- err
		}()
		synctest.Wait()
		n.Restore(addr)
		read(t, server, "held")
		read(t, client, "back")
		if err := <-waiting; err != nil {
			t.Error(err)
		}
	})
}

func TestDialsWaitForAFullBacklog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := New()
		l, err := n.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		var ends []net.Conn
		for range backlog {
			c, err := n.Dial(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, c)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		dialled := make(chan error)
		for range 2 {
			go func() {
				c, err := n.Dial(context.Background(), "tcp", addr)
				if err == nil {
					err = c.Close()
				}
				dialled <- err
			}()
		}
		synctest.Wait()
		first, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := <-dialled; err != nil {
			t.Errorf("after one accept: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-dialled; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after the listener closed: %v", err)
		}
		if _, err := ends[0].Write([]byte("x")); err != nil {
			t.Errorf("the accepted connection: %v", err)
		}
		if _, err := ends[1].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection that nobody accepted: %v", err)
		}
		_ = first.Close()
		for _, c := range ends {
			_ = c.Close()
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepting from a closed listener: %v", err)
		}
	})
}
