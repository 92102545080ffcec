package remoting

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// TestHostileBytesEndTheirConnectionOnly: one logged reason with the peer and
// the bytes, nothing answered, the server alive.
func TestHostileBytesEndTheirConnectionOnly(t *testing.T) {
	good := frame(t, request(1), nil)
	with := func(at int, b byte) []byte {
		f := append([]byte(nil), good...)
		f[at] = b
		return f
	}
	cases := map[string]struct {
		send []byte
		half bool // then the peer ends its direction
		want string
	}{
		"length beyond the cap":       {send: []byte("\x7f\xff\xff\xff garbage"), want: "frame too large"},
		"negative length":             {send: []byte("\xff\xff\xff\xff garbage"), want: "frame too large"},
		"length just beyond the cap":  {send: []byte{1, 0, 0, 1, 0, 0, 0, 0}, want: "frame too large"},
		"beyond this server's cap":    {send: []byte{0, 0x20, 0, 0, 0, 0, 0, 0}, want: "frame too large"},
		"length of nothing":           {send: []byte{0, 0, 0, 0}, want: "malformed frame"},
		"header longer than frame":    {send: with(7, 0xff), want: "malformed frame"},
		"unknown codec":               {send: with(4, 7), want: "unknown header codec 7"},
		"codec of another header":     {send: with(4, 0), want: "malformed frame"},
		"HTTP":                        {send: []byte("GET / HTTP/1.1\r\n\r\n"), want: "looks like HTTP"},
		"TLS":                         {send: []byte{0x16, 3, 1, 2, 0, 1}, want: "looks like TLS"},
		"end inside the length field": {send: good[:3], half: true, want: "after 3 bytes of a length field"},
		"end inside the header":       {send: good[:20], half: true, want: "after 20 of a frame's"},
		"end inside a large body":     {send: append([]byte{0, 0x0f, 0, 0}, make([]byte, 100_000)...), half: true, want: "after 100004 of a frame's 983044 bytes"},
	}
	bubbles(t, cases, func(t *testing.T, c struct {
		send []byte
		half bool
		want string
	}) {
		o := serving()
		o.MaxFrame = 1 << 20
		s := start(t, o, ClientOptions{})
		raw := s.raw(t)
		if _, err := raw.Write(append(append([]byte(nil), good...), c.send...)); err != nil {
			t.Fatal(err)
		}
		if c.half {
			if err := raw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := io.ReadAll(raw)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the connection did not end cleanly: %v", err)
		}
		if len(answer) > 0 && len(answer) != len(frame(t, &protocol.Command{Codec: protocol.Binary, Flag: 1}, nil)) {
			t.Errorf("answered with %x", answer)
		}
		synctest.Wait()
		logged := s.logs.atLeast(slog.LevelInfo)
		if len(logged) != 1 || !strings.Contains(logged[0], c.want) || !strings.Contains(logged[0], raw.LocalAddr().String()) {
			t.Fatalf("want one record with %q and the peer, got %q", c.want, logged)
		}
		if shown := hex.EncodeToString(c.send[:min(4, len(c.send))]); len(c.send) < 1000 && !strings.Contains(logged[0], "bytes="+shown) {
			t.Errorf("the bytes %s are not shown: %q", shown, logged[0])
		}
		mustAnswer(t, s.conn(t))
	})
}

// TestALengthFieldAloneAllocatesLittle counts what the process allocates, so it
// is not parallel.
func TestALengthFieldAloneAllocatesLittle(t *testing.T) {
	f := frameReader{src: strings.NewReader("\x00\xff\xff\xf0\x00\x00\x00\x00x"), max: protocol.MaxFrameSize, pool: newPool()}
	before := allocated()
	if _, err := f.next(); !errors.Is(err, errTruncated) {
		t.Fatal(err)
	}
	if got := allocated() - before; got > 2*largeStep {
		t.Errorf("9 bytes of a frame of 16 MiB allocated %d", got)
	}
}

func TestAServerRefusesConnectionsBeyondItsLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serving()
		o.MaxConns = 2
		s := start(t, o, ClientOptions{})
		first, second := s.raw(t), s.raw(t)
		synctest.Wait()
		for range 5 {
			if _, err := io.ReadAll(s.raw(t)); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the third connection: %v", err)
			}
		}
		if logged := s.logs.atLeast(slog.LevelWarn); len(logged) != 1 {
			t.Errorf("logged %q", logged)
		}
		_ = first.Close()
		synctest.Wait()
		mustAnswer(t, s.conn(t))
		_ = second.Close()
	})
}

func TestShutdownLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var opened, closed atomic.Int32
		o := serving()
		o.OnOpen = func(*Conn) { opened.Add(1) }
		o.OnClose = func(*Conn, error) { closed.Add(1) }
		s := start(t, o, ClientOptions{})
		idle, busy := s.raw(t), s.conn(t)
		var pending outcomes
		busy.Start(context.Background(), request(codeSilent), nil, &pending)
		mustAnswer(t, busy)
		for range 2 {
			if err := s.server.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if opened.Load() != 2 || closed.Load() != 2 {
			t.Errorf("%d connections opened, %d closed", opened.Load(), closed.Load())
		}
		for range s.server.Conns() {
			t.Error("a connection is left")
		}
		if b, err := io.ReadAll(idle); len(b) > 0 || err != nil {
			t.Errorf("the idle connection got %x, %v", b, err)
		}
		synctest.Wait()
		if got := pending.all(); len(got) != 1 {
			t.Errorf("the pending call got %v", got)
		}
		if _, err := s.net.Dial(t.Context(), "tcp", s.addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialling after Shutdown: %v", err)
		}
		l, err := s.net.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.server.Serve(l); err != nil {
			t.Errorf("serving after Shutdown: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is still open: %v", err)
		}
	})
}

func TestShutdownIsBoundedByItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := start(t, ServerOptions{Options: Options{Handler: func(*Conn, *protocol.Command) { <-release }}}, ClientOptions{})
		if err := s.conn(t).Oneway(t.Context(), request(1), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(release)
	})
}

func TestShutdownWritesTheLastAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, ServerOptions{}, ClientOptions{})
		conns := make(chan *Conn, 1)
		last := NewServer(ServerOptions{Options: Options{Handler: func(c *Conn, cmd *protocol.Command) {
			resp := cmd.Response(protocol.Success, "")
			if err := c.Reply(&resp, nil, make([]byte, 4<<20)); err != nil {
				t.Error(err)
			}
			conns <- c
		}}})
		addr := s.serve(t, last)
		got := <-s.connect(t.Context(), addr)
		if got.err != nil {
			t.Fatal(got.err)
		}
		var o outcomes
		got.conn.Start(t.Context(), request(1), nil, &o)
		<-conns
		if err := last.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if errs := o.all(); len(errs) != 1 || errs[0] != nil {
			t.Errorf("got %v", errs)
		}
	})
}

// flaky is a listener whose Accept fails as told.
type flaky struct {
	net.Listener
	errs []error
}

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

func TestAcceptingGoesOnAfterErrorsThatPass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, ServerOptions{}, ClientOptions{})
		l, err := s.net.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		full := &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		server := NewServer(serving())
		served := make(chan error, 1)
		began := time.Now()
		go func() { served <- server.Serve(&flaky{Listener: l, errs: []error{full, full, full}}) }()
		got := <-s.connect(t.Context(), l.Addr().String())
		if got.err != nil {
			t.Fatal(got.err)
		}
		mustAnswer(t, got.conn)
		if took := time.Since(began); took != 7*minAcceptPause {
			t.Errorf("three failures took %v", took)
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestServeReturnsTheErrorThatEndsItsListener(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, ServerOptions{}, ClientOptions{})
		l, err := s.net.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		if err := NewServer(serving()).Serve(&flaky{Listener: l, errs: []error{broken}}); !errors.Is(err, broken) || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("got %v", err)
		}
		if _, err := s.net.Dial(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the listener is still open: %v", err)
		}
	})
}
