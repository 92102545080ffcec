package remoting

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

// connected is what Conn returned.
type connected struct {
	conn *Conn
	err  error
}

func (s *stand) connect(ctx context.Context, addr string) <-chan connected {
	out := make(chan connected, 1)
	go func() {
		c, err := s.client.Conn(ctx, addr)
		out <- connected{c, err}
	}()
	return out
}

func TestADeadAddressDelaysNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		dead := s.serve(t, NewServer(serving()))
		s.net.Freeze(dead)
		began := time.Now()
		waiting := s.connect(context.Background(), dead)
		synctest.Wait()
		mustAnswer(t, s.conn(t))
		if took := time.Since(began); took != 0 {
			t.Errorf("a call to another address took %v", took)
		}
		got := <-waiting
		wantCallError(t, got.err, false, ErrDial)
		wantCallError(t, got.err, false, context.DeadlineExceeded)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("connecting gave up after %v", took)
		}
	})
}

func TestOneDialServesAllWhoWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, dials := memnet.New(), 0
		l, err := n.Listen("")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		n.Freeze(addr)
		s := start(t, serving(), ClientOptions{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return n.Dial(ctx, network, addr)
		}})
		// The one who caused the dial gives up first.
		ctx, cancel := context.WithCancel(context.Background())
		first := s.connect(ctx, addr)
		synctest.Wait()
		short := s.connect(WithTimeout(context.Background(), time.Second), addr)
		var others []<-chan connected
		for range 32 {
			others = append(others, s.connect(context.Background(), addr))
		}
		cancel()
		wantCallError(t, (<-first).err, false, context.Canceled)
		wantCallError(t, (<-short).err, false, context.DeadlineExceeded)
		n.Restore(addr)
		conn := (<-others[0]).conn
		for _, o := range others[1:] {
			if got := <-o; got.conn != conn || got.err != nil {
				t.Errorf("got %v, %v", got.conn, got.err)
			}
		}
		if dials != 1 {
			t.Errorf("%d dials", dials)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAClientConnectsAgainAfterALoss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		first := s.conn(t)
		mustAnswer(t, first)
		s.net.Cut(s.addr)
		<-first.Closed()
		_, err := s.client.Conn(t.Context(), s.addr)
		wantCallError(t, err, false, ErrDial)
		wantCallError(t, err, false, syscall.ECONNREFUSED)
		s.net.Restore(s.addr)
		second := s.conn(t)
		if second == first || second.ID() == first.ID() {
			t.Error("the lost connection was handed out")
		}
		mustAnswer(t, second)
	})
}

func TestDropClosesOneConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		other := s.serve(t, NewServer(serving()))
		dropped, kept := s.conn(t), <-s.connect(t.Context(), other)
		s.client.Drop(s.addr)
		s.client.Drop("127.0.0.1:1")
		<-dropped.Done()
		mustAnswer(t, kept.conn)
		again := s.conn(t)
		mustAnswer(t, again)
		if again == dropped {
			t.Error("the dropped connection was handed out")
		}
	})
}

func TestAConnectionThatIsStillClosingIsNotHandedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		closing := s.conn(t)
		s.net.Freeze(s.addr)
		if err := closing.Oneway(t.Context(), request(1), nil, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = closing.Close() // goes on writing for a while
		again := s.connect(t.Context(), s.addr)
		synctest.Wait()
		if closing.ended() {
			t.Error("the connection ended at once: the test shows nothing")
		}
		s.net.Restore(s.addr)
		got := <-again
		if got.conn == closing || got.err != nil {
			t.Fatalf("got the same connection, or %v", got.err)
		}
		mustAnswer(t, got.conn)
	})
}

func TestAClosedClientEndsItsDialsAndConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		frozen := s.serve(t, NewServer(serving()))
		s.net.Freeze(frozen)
		c := s.conn(t)
		waiting := s.connect(context.Background(), frozen)
		var o outcomes
		c.Start(context.Background(), request(codeSilent), nil, &o)
		synctest.Wait()
		began := time.Now()
		for range 2 {
			if err := s.client.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("closing took %v", took)
		}
		wantCallError(t, (<-waiting).err, false, ErrClosed)
		wantCallError(t, o.all()[0], true, ErrClosed)
		_, err := s.client.Conn(context.Background(), s.addr)
		wantCallError(t, err, false, ErrClosed)
		s.net.Restore(frozen)
	})
}

func TestClosingAClientIsBoundedByItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := start(t, serving(), ClientOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
			<-release // a Dial that does not look at its context
			return nil, errors.New("late")
		}})
		waiting := s.connect(context.Background(), s.addr)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.client.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(release)
		wantCallError(t, (<-waiting).err, false, ErrClosed)
	})
}

// TestHammer makes calls of every kind from many goroutines while connections
// are lost, contexts end and peers are dropped: every call ends exactly once.
func TestHammer(t *testing.T) {
	t.Parallel()
	s := start(t, serving(), ClientOptions{Options: Options{MaxUnwritten: 64 << 10}})
	const workers, rounds = 16, 200
	var wg sync.WaitGroup
	var ended, answered atomic.Int64
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				if i%3 == 0 {
					ctx = WithTimeout(ctx, time.Duration(i%5)*100*time.Microsecond)
				}
				c, err := s.client.Conn(ctx, s.addr)
				if err != nil {
					cancel()
					continue
				}
				body := fmt.Appendf(nil, "%d/%d", w, i)
				switch (w + i) % 4 {
				case 0:
					if resp, err := c.Call(ctx, request(1), nil, body); err == nil {
						if string(resp.Body) != string(body) {
							t.Errorf("asked %q, got %q", body, resp.Body)
						}
						answered.Add(1)
					}
				case 1:
					called := new(atomic.Int32)
					done := make(chan struct{})
					c.Start(ctx, request(1), nil, CompletionFunc(func(resp *protocol.Command, err error) {
						if called.Add(1) != 1 {
							t.Error("a call ended twice")
							return
						}
						if err == nil && string(resp.Body) != string(body) {
							t.Errorf("asked %q, got %q", body, resp.Body)
						}
						ended.Add(1)
						close(done)
					}), body)
					if i%2 == 0 {
						cancel()
					}
					<-done
				case 2:
					_ = c.Oneway(ctx, request(codeSilent), nil, make([]byte, 20_000))
				case 3:
					switch i % 40 {
					case 7:
						s.client.Drop(s.addr)
					case 19:
						s.net.Cut(s.addr)
						s.net.Restore(s.addr)
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if answered.Load() == 0 || ended.Load() == 0 {
		t.Errorf("%d calls were answered, %d ended", answered.Load(), ended.Load())
	}
}
