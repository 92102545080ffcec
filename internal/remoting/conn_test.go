package remoting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	codeSilent protocol.Code = 9001 // never answered
	codePanic  protocol.Code = 9002
)

// serveCases is a handler for the tests: silent, panicking, or an echo of the
// body.
func serveCases(c *Conn, cmd *protocol.Command) {
	switch cmd.Code {
	case codeSilent:
	case codePanic:
		panic("boom")
	default:
		resp := cmd.Response(protocol.Success, "")
		_ = c.Reply(&resp, nil, cmd.Body) // the peer may be gone
	}
}

func serving() ServerOptions { return ServerOptions{Options: Options{Handler: serveCases}} }

func TestCallReturnsTheResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
		if diff := cmp.Diff(echoHeader, got); diff != "" {
			t.Error(diff)
		}
		if resp.Opaque != cmd.Opaque {
			t.Errorf("the response's opaque is %d, the request's %d", resp.Opaque, cmd.Opaque)
		}
	})
}

func TestBodiesOfEverySizeArrive(t *testing.T) {
	cases := map[string]int{"empty": 0, "small": 100, "read buffer": maxReadBuffer, "large frame": largeFrame, "beyond the first step": largeStep + 1, "several writes": 3*maxWrite + 7, "8 MiB": 8 << 20}
	bubbles(t, cases, func(t *testing.T, size int) {
		s := start(t, serving(), ClientOptions{})
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 7 >> 3)
		}
		half := size / 2
		resp, err := s.conn(t).Call(t.Context(), request(1), nil, body[:half], body[half:])
		if err != nil {
			t.Fatal(err)
		}
		if string(resp.Body) != string(body) {
			t.Errorf("a body of %d bytes came back as %d others", size, len(resp.Body))
		}
	})
}

func TestAResponseStaysTheCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		first, err := c.Call(t.Context(), request(1), nil, []byte("first"))
		if err != nil {
			t.Fatal(err)
		}
		large, err := c.Call(t.Context(), request(1), nil, make([]byte, largeStep))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := c.Call(t.Context(), request(1), nil, []byte(strings.Repeat("x", largeStep))); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(first.Body); got != "first" {
			t.Errorf("the first response's body became %q", got)
		}
		if got := string(large.Body); got != strings.Repeat("\x00", largeStep) {
			t.Error("the large response's body was overwritten")
		}
	})
}

func TestCallsThatGatherLeaveInOneWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g gate
		s := start(t, serving(), ClientOptions{}, g.around)
		c := s.conn(t)
		g.hold()
		const calls = 64
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if _, err := c.Call(context.Background(), request(1), nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		g.release()
		wg.Wait()
		if got := g.count(); got > 2 {
			t.Errorf("%d calls took %d writes, want the first that was held up and one for all others", calls, got)
		}
	})
}

func TestCallsToAConnectionThatEndsFailAtOnce(t *testing.T) {
	ends := map[string]func(s *stand){
		"the peer closes": func(s *stand) {
			for c := range s.server.Conns() {
				_ = c.Close()
			}
		},
		"the peer resets":  func(s *stand) { s.net.Cut(s.addr) },
		"this side closes": func(s *stand) { s.client.Drop(s.addr) },
	}
	bubbles(t, ends, func(t *testing.T, end func(*stand)) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		var async outcomes
		calls := make(chan error)
		const n = 8
		for range n {
			go func() {
				_, err := c.Call(context.Background(), request(codeSilent), nil)
				calls <- err
			}()
			c.Start(context.Background(), request(codeSilent), nil, &async)
		}
		synctest.Wait()
		began := time.Now()
		end(s)
		for range n {
			wantCallError(t, <-calls, true, ErrClosed)
		}
		<-c.Done()
		if got := async.all(); len(got) != n {
			t.Fatalf("%d of %d asynchronous calls ended", len(got), n)
		}
		for _, err := range async.all() {
			wantCallError(t, err, true, ErrClosed)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the calls waited for %v", took)
		}
		if err := c.Err(); !errors.Is(err, ErrClosed) {
			t.Errorf("Err is %v", err)
		}
		_, err := c.Call(context.Background(), request(1), nil)
		wantCallError(t, err, false, ErrClosed)
		wantCallError(t, c.Oneway(context.Background(), request(1), nil), false, ErrClosed)
	})
}

func TestOnewayIsNotAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got := make(chan protocol.Command, 1)
		s := start(t, ServerOptions{Options: Options{Handler: func(_ *Conn, cmd *protocol.Command) {
			got <- protocol.Command{Code: cmd.Code, Flag: cmd.Flag, Body: []byte(string(cmd.Body))}
		}}}, ClientOptions{})
		c := s.conn(t)
		if err := c.Oneway(t.Context(), request(7), nil, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if cmd := <-got; !cmd.IsOneway() || cmd.Code != 7 || string(cmd.Body) != "x" {
			t.Errorf("got %+v", cmd)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.pending.count != 0 {
			t.Error("a oneway request is pending")
		}
	})
}

func TestClosingWritesWhatIsQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var n int
		s := start(t, ServerOptions{Options: Options{Handler: func(*Conn, *protocol.Command) { n++ }}}, ClientOptions{})
		c := s.conn(t)
		for range 100 {
			if err := c.Oneway(t.Context(), request(7), nil, make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		synctest.Wait()
		if n != 100 {
			t.Errorf("%d of 100 requests arrived", n)
		}
	})
}

func TestClosingDoesNotWaitLongForAPeerThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		s.net.Freeze(s.addr)
		if err := c.Oneway(t.Context(), request(7), nil, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		_ = c.Close()
		<-c.Done()
		if took := time.Since(began); took != flushTimeout {
			t.Errorf("closing took %v, want %v", took, flushTimeout)
		}
	})
}

func TestResponsesThatNobodyWaitsForAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, ServerOptions{Options: Options{Handler: func(c *Conn, cmd *protocol.Command) {
			unknown := cmd.Response(protocol.Success, "")
			unknown.Opaque += 12345
			resp := cmd.Response(protocol.Success, "")
			for _, r := range []*protocol.Command{&unknown, &resp, &resp, &resp} {
				if err := c.Reply(r, nil); err != nil {
					t.Error(err)
				}
			}
		}}}, ClientOptions{})
		c := s.conn(t)
		mustAnswer(t, c)
		mustAnswer(t, c)
		synctest.Wait()
		if got := c.LateResponses(); got != 6 {
			t.Errorf("%d late responses, want 6", got)
		}
		if got := s.logs.atLeast(slog.LevelInfo); got != nil {
			t.Errorf("logged %q", got)
		}
	})
}

func TestAPanickingHandlerIsAnsweredAndLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		resp, err := c.Call(t.Context(), request(codePanic), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, "boom") {
			t.Errorf("got %s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if err := c.Oneway(t.Context(), request(codePanic), nil); err != nil {
			t.Fatal(err)
		}
		mustAnswer(t, c)
		if n := c.LateResponses(); n != 0 {
			t.Errorf("%d answers to a oneway request", n)
		}
		logged := s.logs.atLeast(slog.LevelError)
		if len(logged) != 2 || !strings.Contains(logged[0], "serveCases") || !strings.Contains(logged[0], c.LocalAddr().String()) {
			t.Errorf("want two records with the stack and the peer, got %q", logged)
		}
	})
}

func TestAPanickingCompletionHarmsNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		for _, code := range []protocol.Code{1, codeSilent} {
			c.Start(WithTimeout(t.Context(), time.Second), request(code), nil, CompletionFunc(func(*protocol.Command, error) { panic("boom") }))
		}
		time.Sleep(2 * time.Second)
		mustAnswer(t, c)
		if logged := s.logs.atLeast(slog.LevelError); len(logged) != 2 {
			t.Errorf("logged %q", logged)
		}
	})
}

func TestARequestThatNobodyHandlesIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, ServerOptions{}, ClientOptions{})
		resp, err := s.conn(t).Call(t.Context(), request(4711), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Code != protocol.CodeNotSupported || !strings.Contains(resp.Remark, "4711") {
			t.Errorf("got %s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
	})
}

func TestServersCallTheirClients(t *testing.T) {
	bubble(t, func(t *testing.T) {
		asked := make(chan *Conn, 1)
		s := start(t, ServerOptions{OnOpen: func(c *Conn) { asked <- c }}, ClientOptions{Options: Options{Handler: serveCases}})
		s.conn(t)
		resp, err := (<-asked).Call(t.Context(), request(307), nil, []byte("who are you"))
		if err != nil {
			t.Fatal(err)
		}
		if string(resp.Body) != "who are you" {
			t.Errorf("got %q", resp.Body)
		}
	})
}

func TestARequestThatCannotBeEncodedHarmsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		huge := make([]byte, protocol.MaxFrameSize)
		_, err := c.Call(t.Context(), request(1), nil, huge)
		if !errors.Is(err, protocol.ErrFrameTooLarge) {
			t.Errorf("got %v", err)
		}
		var o outcomes
		c.Start(t.Context(), request(1), nil, &o, huge)
		if got := o.all(); len(got) != 1 || !errors.Is(got[0], protocol.ErrFrameTooLarge) {
			t.Errorf("got %v", got)
		}
		if err := c.Oneway(t.Context(), request(1), nil, huge); !errors.Is(err, protocol.ErrFrameTooLarge) {
			t.Errorf("got %v", err)
		}
		mustAnswer(t, c)
	})
}

func TestOnCloseComesOnceAndLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var o outcomes
		var events []string
		s := start(t, serving(), ClientOptions{Options: Options{OnClose: func(_ *Conn, err error) {
			events = append(events, fmt.Sprintf("%d calls ended, then closed: %v", len(o.all()), errors.Is(err, ErrClosed)))
		}}})
		c := s.conn(t)
		c.Start(t.Context(), request(codeSilent), nil, &o)
		_ = c.Close()
		_ = c.Close()
		<-c.Done()
		if diff := cmp.Diff([]string{"1 calls ended, then closed: true"}, events); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAttachmentsBelongToTheirConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		if got := c.Attachment(); got != nil {
			t.Errorf("got %v", got)
		}
		c.Attach("first")
		c.Attach(2)
		if got := c.Attachment(); got != 2 {
			t.Errorf("got %v", got)
		}
	})
}
