package remoting

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// errUser is the cause that a test cancels with.
var errUser = errors.New("changed my mind")

// contexts are the ways in which a caller's patience ends after a second.
var contexts = map[string]struct {
	make func() (context.Context, context.CancelFunc)
	want error
}{
	"deadline": {func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), time.Second)
	}, context.DeadlineExceeded},
	"cheap deadline": {func() (context.Context, context.CancelFunc) {
		return WithTimeout(context.Background(), time.Second), func() {}
	}, context.DeadlineExceeded},
	"cheap deadline of a cancellable parent": {func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		return WithTimeout(ctx, time.Second), cancel
	}, context.DeadlineExceeded},
	"cancellation": {func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		return ctx, cancel
	}, context.Canceled},
	"cancellation with a cause": {func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(errUser) })
		return ctx, func() { cancel(nil) }
	}, errUser},
}

// apis are the ways to make a call, each returning its error.
var apis = map[string]func(c *Conn, ctx context.Context, cmd *protocol.Command, body []byte) error{
	"Call": func(c *Conn, ctx context.Context, cmd *protocol.Command, body []byte) error {
		_, err := c.Call(ctx, cmd, nil, body)
		return err
	},
	"Start": func(c *Conn, ctx context.Context, cmd *protocol.Command, body []byte) error {
		done := make(chan error, 2)
		c.Start(ctx, cmd, nil, CompletionFunc(func(_ *protocol.Command, err error) { done <- err }), body)
		return <-done
	},
	"Oneway": func(c *Conn, ctx context.Context, cmd *protocol.Command, body []byte) error {
		return c.Oneway(ctx, cmd, nil, body)
	},
}

// eachContext runs a test for every API and every end of a context.
func eachContext(t *testing.T, f func(t *testing.T, call func(c *Conn, ctx context.Context, cmd *protocol.Command, body []byte) error, ctx context.Context, want error)) {
	t.Helper()
	t.Parallel()
	for api, call := range apis {
		for kind, c := range contexts {
			t.Run(api+" "+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					ctx, cancel := c.make()
					defer cancel()
					f(t, call, ctx, c.want)
				})
			})
		}
	}
}

func TestAContextThatHasEndedKeepsTheRequestBack(t *testing.T) {
	eachContext(t, func(t *testing.T, call func(*Conn, context.Context, *protocol.Command, []byte) error, ctx context.Context, want error) {
		arrived := 0
		s := start(t, ServerOptions{Options: Options{Handler: func(c *Conn, cmd *protocol.Command) {
			arrived++
			serveCases(c, cmd)
		}}}, ClientOptions{})
		c := s.conn(t)
		time.Sleep(2 * time.Second)
		wantCallError(t, call(c, ctx, request(1), nil), false, want)
		synctest.Wait()
		if arrived != 0 {
			t.Errorf("%d requests arrived", arrived)
		}
		mustAnswer(t, c)
	})
}

func TestAContextThatEndsWhileThereIsNoRoomKeepsTheRequestBack(t *testing.T) {
	eachContext(t, func(t *testing.T, call func(*Conn, context.Context, *protocol.Command, []byte) error, ctx context.Context, want error) {
		arrived := 0
		s := start(t, ServerOptions{Options: Options{Handler: func(c *Conn, cmd *protocol.Command) {
			arrived++
			serveCases(c, cmd)
		}}}, ClientOptions{Options: Options{MaxUnwritten: 1 << 20}})
		c := s.conn(t)
		s.net.Freeze(s.addr)
		if err := c.Oneway(context.Background(), request(codeSilent), nil, make([]byte, 2<<20)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		wantCallError(t, call(c, ctx, request(codeSilent), nil), false, want)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		s.net.Restore(s.addr)
		mustAnswer(t, c)
		if arrived != 2 {
			t.Errorf("%d requests arrived, want the one before and the one after", arrived)
		}
	})
}

func TestAContextThatEndsAfterTheWriteLeavesTheConnectionToOthers(t *testing.T) {
	eachContext(t, func(t *testing.T, call func(*Conn, context.Context, *protocol.Command, []byte) error, ctx context.Context, want error) {
		s := start(t, ServerOptions{Options: Options{Handler: func(c *Conn, cmd *protocol.Command) {
			resp := cmd.Response(protocol.Success, "")
			if cmd.Code != codeSilent {
				_ = c.Reply(&resp, nil)
				return
			}
			time.AfterFunc(2*time.Second, func() { _ = c.Reply(&resp, nil) }) // too late
		}}}, ClientOptions{})
		c := s.conn(t)
		other := make(chan error, 1)
		go func() {
			_, err := c.Call(context.Background(), request(codeSilent), nil)
			other <- err
		}()
		synctest.Wait()
		began := time.Now()
		err := call(c, ctx, request(codeSilent), nil)
		if took := time.Since(began); took == 0 && err == nil {
			return // Oneway: nothing to wait for
		} else if took != time.Second {
			t.Errorf("it took %v", took)
		}
		wantCallError(t, err, true, want)
		mustAnswer(t, c)
		if err := <-other; err != nil {
			t.Errorf("the other caller got %v", err)
		}
		time.Sleep(time.Minute)
		if got := c.LateResponses(); got != 1 {
			t.Errorf("%d late responses, want 1", got)
		}
		mustAnswer(t, c)
	})
}

func TestDeadlinesEndCallsInTheirOwnOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		began := time.Now()
		ended := make(chan time.Duration)
		for _, d := range []time.Duration{5, 3, 9, 1, 9, 4} {
			c.Start(WithTimeout(t.Context(), d*time.Second), request(codeSilent), nil, CompletionFunc(func(_ *protocol.Command, err error) {
				wantCallError(t, err, true, context.DeadlineExceeded)
				ended <- time.Since(began) / time.Second
			}))
			// An answered call with an earlier deadline leaves the timer armed.
			c.Start(WithTimeout(t.Context(), d*time.Second/2), request(1), nil, CompletionFunc(func(_ *protocol.Command, err error) {
				if err != nil {
					t.Error(err)
				}
			}))
		}
		var ends []time.Duration
		for range 6 {
			ends = append(ends, <-ended)
		}
		if diff := cmp.Diff([]time.Duration{1, 3, 4, 5, 9, 9}, ends); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWithTimeoutKeepsTheParentsEarlierDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		parent, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for d, want := range map[time.Duration]time.Duration{time.Minute: time.Second, time.Millisecond: time.Millisecond} {
			at, ok := WithTimeout(parent, d).Deadline()
			if got := time.Until(at); !ok || got != want {
				t.Errorf("%v of a parent with a second: %v", d, got)
			}
		}
	})
}

func TestACancelledStartEndsBeforeItsResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, serving(), ClientOptions{})
		c := s.conn(t)
		ctx, cancel := context.WithCancel(t.Context())
		var o outcomes
		const n = 50
		for range n {
			c.Start(ctx, request(1), nil, &o)
		}
		cancel()
		synctest.Wait()
		if got := len(o.all()); got != n {
			t.Errorf("%d of %d calls completed, want each once", got, n)
		}
		mustAnswer(t, c)
	})
}

func TestFailedWritesSayWhichRequestsAreSafeToRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g gate
		s := start(t, serving(), ClientOptions{}, g.around)
		c := s.conn(t)
		size := len(frame(t, request(codeSilent), nil))
		g.hold()
		errs := make([]error, 5) // written on the reader's goroutine
		for i := range errs {
			c.Start(t.Context(), request(codeSilent), nil, CompletionFunc(func(_ *protocol.Command, err error) { errs[i] = err }))
			synctest.Wait() // the first is with the gate, the others gather
		}
		// Of the second write, one frame and a half get through.
		g.fail = func(b []byte) (int, error) {
			g.fail = func(b []byte) (int, error) { return size * 3 / 2, io.ErrClosedPipe }
			return len(b), nil
		}
		g.release()
		<-c.Done()
		for i, written := range []bool{true, true, false, false, false} {
			wantCallError(t, errs[i], written, io.ErrClosedPipe)
			wantCallError(t, errs[i], written, ErrClosed)
			var e *CallError
			if errors.As(errs[i], &e) && e.SafeToRetry() == written {
				t.Errorf("SafeToRetry is %t", written)
			}
		}
	})
}
