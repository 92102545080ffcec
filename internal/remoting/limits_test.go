package remoting

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestCallersWaitForRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{Options: Options{MaxUnwritten: 1 << 20}})
		c := s.conn(t)
		s.net.Freeze(s.addr)
		const n, size = 40, 100_000
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				resp, err := c.Call(context.Background(), request(1), nil, make([]byte, size))
				if err != nil || len(resp.Body) != size {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		c.mu.Lock()
		if c.out.unwritten > 1<<20+size+100 {
			t.Errorf("%d bytes are queued", c.out.unwritten)
		}
		c.mu.Unlock()
		time.Sleep(10 * time.Second)
		s.net.Restore(s.addr)
		wg.Wait()
	})
}

func TestAPeerThatTakesNoByteIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{Options: Options{WriteTimeout: 8 * time.Second}})
		c := s.conn(t)
		s.net.Freeze(s.addr)
		began := time.Now()
		_, err := c.Call(context.Background(), request(1), nil, make([]byte, 4<<20))
		wantCallError(t, err, false, ErrClosed)
		if took := time.Since(began); took < 8*time.Second || took > 9*time.Second {
			t.Errorf("it was closed after %v", took)
		}
		logged := s.logs.atLeast(slog.LevelWarn)
		if len(logged) != 1 || !strings.Contains(logged[0], s.addr) {
			t.Errorf("logged %q", logged)
		}
	})
}

func TestASlowPeerThatTakesSomeBytesIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{Options: Options{WriteTimeout: 8 * time.Second}})
		c := s.conn(t)
		stop := make(chan struct{})
		go func() { // the network lets a buffer through every five seconds
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Second):
				}
				s.net.Restore(s.addr)
				synctest.Wait()
				s.net.Freeze(s.addr)
			}
		}()
		s.net.Freeze(s.addr)
		if _, err := c.Call(context.Background(), request(1), nil, make([]byte, 4<<20)); err != nil {
			t.Error(err)
		}
		close(stop)
		s.net.Restore(s.addr)
	})
}

// TestAServerReadsNoFurtherRequestsOfAPeerThatDoesNotReadAnswers: the peer's
// requests stay in the network instead of in the server's memory.
func TestAServerReadsNoFurtherRequestsOfAPeerThatDoesNotReadAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit, answer = 1 << 20, 10_000
		served := 0
		s := start(t, ServerOptions{Options: Options{MaxUnwritten: limit, WriteTimeout: 8 * time.Second, Handler: func(c *Conn, cmd *protocol.Command) {
			served++
			resp := cmd.Response(protocol.Success, "")
			if err := c.Reply(&resp, nil, make([]byte, answer)); err != nil {
				t.Error(err)
			}
		}}}, ClientOptions{})
		raw := s.raw(t)
		req := frame(t, request(1), nil)
		go func() {
			for {
				if _, err := raw.Write(req); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if served < limit/2/answer || served > limit/answer {
			t.Errorf("%d requests were served for a peer that reads nothing", served)
		}
		mustAnswer(t, s.conn(t))
		time.Sleep(10 * time.Second)
		logged := s.logs.atLeast(slog.LevelWarn)
		if len(logged) != 1 || !strings.Contains(logged[0], "takes no bytes") {
			t.Errorf("logged %q", logged)
		}
		mustAnswer(t, s.conn(t))
	})
}

func TestAServerGoesOnWhenItsPeerReadsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, ServerOptions{Options: Options{MaxUnwritten: 1 << 20, Handler: func(c *Conn, cmd *protocol.Command) {
			resp := cmd.Response(protocol.Success, "")
			if err := c.Reply(&resp, nil, make([]byte, 10_000)); err != nil {
				t.Error(err)
			}
		}}}, ClientOptions{})
		c := s.conn(t)
		var o outcomes
		s.net.Freeze(s.addr)
		for range 1000 {
			c.Start(t.Context(), request(1), nil, &o)
		}
		time.Sleep(time.Second)
		s.net.Restore(s.addr)
		synctest.Wait()
		for _, err := range o.all() {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := len(o.all()); got != 1000 {
			t.Errorf("%d of 1000 calls completed", got)
		}
	})
}

func TestAnswersThatNobodyReadsEndTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var once sync.Once
		got := make(chan error, 1)
		s := start(t, ServerOptions{Options: Options{MaxUnwritten: 1 << 20, Handler: func(c *Conn, cmd *protocol.Command) {
			resp := cmd.Response(protocol.Success, "")
			if cmd.Code == 1 {
				_ = c.Reply(&resp, nil)
				return
			}
			once.Do(func() {
				go func() { // as long polls do, which wake up when messages come
					defer close(got)
					for range 1000 {
						if err := c.Reply(&resp, nil, make([]byte, 100_000)); err != nil {
							got <- err
							return
						}
					}
				}()
			})
		}}}, ClientOptions{})
		raw := s.raw(t)
		if _, err := raw.Write(frame(t, request(11), nil)); err != nil {
			t.Fatal(err)
		}
		wantCallError(t, <-got, false, ErrSlowReader)
		synctest.Wait()
		logged := s.logs.atLeast(slog.LevelWarn)
		if len(logged) != 1 || !strings.Contains(logged[0], raw.LocalAddr().String()) || !strings.Contains(logged[0], "too slowly") {
			t.Errorf("logged %q", logged)
		}
		cmd, err := s.conn(t).Call(t.Context(), request(1), nil)
		if err != nil || cmd.Code != protocol.Success {
			t.Errorf("the server is gone: %v", err)
		}
	})
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serving()
		o.IdleTimeout = 8 * time.Second
		s := start(t, o, ClientOptions{})
		c := s.conn(t)
		for range 10 { // not idle
			time.Sleep(5 * time.Second)
			mustAnswer(t, c)
		}
		began := time.Now()
		<-c.Closed()
		if took := time.Since(began); took < 8*time.Second || took > 9*time.Second {
			t.Errorf("it was closed after %v", took)
		}
		if err := c.Err(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// TestAClientReadsOnWhileItsServerDoesNot: it could be the client's own responses
// that the server waits for, and both would wait for ever.
func TestAClientReadsOnWhileItsServerDoesNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{Options: Options{MaxUnwritten: 1 << 20, Handler: serveCases}})
		l, err := s.net.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		got := <-s.connect(t.Context(), l.Addr().String())
		peer, err := l.Accept()
		if err != nil || got.err != nil {
			t.Fatal(err, got.err)
		}
		var o outcomes
		got.conn.Start(t.Context(), request(1), nil, &o)
		asked := readCommand(t, peer)
		if err := got.conn.Oneway(t.Context(), request(2), nil, make([]byte, 3<<19)); err != nil {
			t.Fatal(err)
		}
		answer := asked.Response(protocol.Success, "")
		if _, err := peer.Write(append(frame(t, request(307), nil), frame(t, &answer, nil)...)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if errs := o.all(); len(errs) != 1 || errs[0] != nil {
			t.Errorf("the response was not read: %v", errs)
		}
		_ = peer.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
