package remoting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
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
	logs   *logs // the server's and the client's
}

// start sets a stand up and tears it down at the end of the test. The client's
// connections go through wrap, where it is given.
func start(t testing.TB, so ServerOptions, co ClientOptions, wrap ...func(net.Conn) net.Conn) *stand {
	t.Helper()
	n := memnet.New()
	s := &stand{net: n, logs: new(logs)}
	so.Logger, co.Logger = slog.New(s.logs), slog.New(s.logs)
	if co.Dial == nil {
		co.Dial = n.Dial
	}
	if len(wrap) > 0 {
		co.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := n.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wrap[0](c), nil
		}
	}
	s.server, s.client = NewServer(so), NewClient(co)
	s.addr = s.serve(t, s.server)
	t.Cleanup(func() {
		if err := s.client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// serve runs a server on the stand's network until the end of the test.
func (s *stand) serve(t testing.TB, server *Server) (addr string) {
	t.Helper()
	l, err := s.net.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// conn is the client's connection to the server.
func (s *stand) conn(t testing.TB) *Conn {
	t.Helper()
	c, err := s.client.Conn(context.Background(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// raw is a connection to the server that speaks for itself.
func (s *stand) raw(t testing.TB) net.Conn {
	t.Helper()
	c, err := s.net.Dial(context.Background(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// mustAnswer fails the test unless the peer answers a call on c.
func mustAnswer(t testing.TB, c *Conn) {
	t.Helper()
	cmd, h := sendRequest()
	resp, err := c.Call(context.Background(), cmd, h)
	if err != nil {
		t.Fatalf("the connection cannot be used any more: %v", err)
	}
	if resp.Code != protocol.Success {
		t.Fatalf("got %s %q", protocol.ResponseName(resp.Code), resp.Remark)
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// bubbles runs a table of cases, each in virtual time of its own.
func bubbles[C any](t *testing.T, cases map[string]C, f func(t *testing.T, c C)) {
	t.Helper()
	t.Parallel()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { bubble(t, func(t *testing.T) { f(t, c) }) })
	}
}

// frame encodes one.
func frame(t testing.TB, cmd *protocol.Command, h protocol.Header) []byte {
	t.Helper()
	b, err := protocol.AppendCommand(nil, cmd, h)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is a small one, with the code that a test's handler knows it by.
func request(code protocol.Code) *protocol.Command {
	return &protocol.Command{Codec: protocol.Binary, Code: code, Language: protocol.LanguageGo, Version: protocol.ClientVersion}
}

// readCommand reads one frame from a connection.
func readCommand(t testing.TB, r io.Reader) *protocol.Command {
	t.Helper()
	f := frameReader{src: r, max: protocol.MaxFrameSize, pool: new(sync.Pool)}
	b, err := f.next()
	if err != nil {
		t.Fatal(err)
	}
	if f.r != f.w {
		t.Fatalf("%d bytes after the frame", f.w-f.r)
	}
	var cmd protocol.Command
	if err := protocol.DecodeFrame(b, &cmd); err != nil {
		t.Fatal(err)
	}
	return &cmd
}

// outcomes collects what Completions get.
type outcomes struct {
	mu   sync.Mutex // guards the following
	errs []error    // nil for a response
}

func (o *outcomes) Complete(_ *protocol.Command, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

func (o *outcomes) all() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.errs)
}

func (o *outcomes) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.errs)
}

// wantCallError checks how a call failed.
func wantCallError(t testing.TB, err error, written bool, cause error) {
	t.Helper()
	var e *CallError
	if !errors.As(err, &e) || e.Written != written || !errors.Is(err, cause) {
		t.Errorf("got %v, want a CallError with Written=%t around %q", err, written, cause)
	}
}

// logs is a slog.Handler that remembers.
type logs struct {
	mu      sync.Mutex // guards the following
	records []string   // "LEVEL message key=value …"
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, b.String())
	return nil
}

// atLeast returns the records of a level and above.
func (l *logs) atLeast(level slog.Level) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, r := range l.records {
		var at slog.Level
		if err := at.UnmarshalText([]byte(strings.Fields(r)[0])); err == nil && at >= level {
			found = append(found, r)
		}
	}
	return found
}

// gate is a network connection whose writes can be held up and counted.
type gate struct {
	net.Conn
	mu     sync.Mutex // guards the following
	writes int
	held   chan struct{} // nil: writes pass
	fail   func(b []byte) (int, error)
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.held)
	g.held = nil
}

func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	g.writes++
	held := g.held
	g.mu.Unlock()
	if held != nil {
		<-held
	}
	g.mu.Lock()
	fail := g.fail
	g.mu.Unlock()
	if fail != nil {
		return fail(b)
	}
	return g.Conn.Write(b)
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes
}

// around puts the gate around a connection.
func (g *gate) around(c net.Conn) net.Conn {
	g.Conn = c
	return g
}
