package producer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
)

type key struct{}

func TestSendContextEndsAsContextsDo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end   func(c *sendContext, cancelParent func())
		after time.Duration
		want  error
	}{
		"at its time":             {func(*sendContext, func()) {}, 3 * time.Second, context.DeadlineExceeded},
		"with its parent":         {func(_ *sendContext, cancel func()) { cancel() }, 0, context.Canceled},
		"when it is cancelled":    {func(c *sendContext, _ func()) { c.end(errStopped) }, 0, context.Canceled},
		"when it is ended twice":  {func(c *sendContext, _ func()) { c.end(errStopped); c.end(context.Canceled) }, 0, context.Canceled},
		"at its parent's earlier": {nil, time.Second, context.DeadlineExceeded},
	} {
		for _, watched := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
					if tc.end == nil {
						parent, cancel = context.WithTimeout(parent, time.Second)
					}
					defer cancel()
					c := newSendContext(parent, 3*time.Second)
					begun := time.Now()
					if at, ok := c.Deadline(); tc.after > 0 && (!ok || at.Sub(begun) != tc.after) {
						t.Errorf("deadline %v after %s", ok, at.Sub(begun))
					}
					if c.Err() != nil || c.Value(key{}) != "v" {
						t.Errorf("err %v, value %v", c.Err(), c.Value(key{}))
					}
					if watched {
						select {
						case <-c.Done():
							t.Error("done at once")
						default:
						}
					}
					if tc.end != nil {
						tc.end(c, cancel)
					}
					if !watched {
						<-time.After(tc.after)
						if !errors.Is(c.Err(), tc.want) {
							t.Errorf("unwatched err %v", c.Err())
						}
					}
					<-c.Done()
					if took := time.Since(begun); took != tc.after {
						t.Errorf("ended after %s", took)
					}
					if !errors.Is(c.Err(), tc.want) || c.Value(key{}) != "v" {
						t.Errorf("err %v, value %v", c.Err(), c.Value(key{}))
					}
					c.end(context.Canceled)
				})
			})
		}
	}
}

// A goroutine for each derived context is what package context needs for
// strangers; it must take a sendContext for one of its own.
func TestDerivedContextsFollowASendContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSendContext(context.Background(), time.Second)
		child, cancel := context.WithCancel(c)
		defer cancel()
		ran := make(chan struct{})
		context.AfterFunc(c, func() { close(ran) })
		begun := time.Now()
		<-child.Done()
		<-ran
		if time.Since(begun) != time.Second || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("after %s: %v", time.Since(begun), child.Err())
		}
	})
}

func TestStopIsToldApartFromOtherEnds(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]bool{errStopped: true, context.Canceled: false} {
		c := newSendContext(context.Background(), time.Hour)
		c.end(cause)
		if c.stopped() != want {
			t.Errorf("stopped after %v: %v", cause, !want)
		}
	}
}

func TestWithoutTimerFollowsTheCallerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
		c := newSendContext(parent, time.Second)
		u := driver.WithoutTimer(c)
		if u.Done() != parent.Done() || u.Value(key{}) != "v" || u.Err() != nil {
			t.Error("not the caller's")
		}
		if at, ok := u.Deadline(); !ok || !at.Equal(c.at) {
			t.Errorf("deadline %v, %v", at, ok)
		}
		<-time.After(2 * time.Second)
		if !errors.Is(u.Err(), context.DeadlineExceeded) {
			t.Errorf("err %v after its time", u.Err())
		}
		cancel()
		<-u.Done()
		if bare := driver.WithoutTimer(context.Background()); bare != context.Background() {
			t.Error("changed a ctx that is none of the producer's")
		}
	})
}

// lagging is a ctx whose children are told of its end later.
type lagging struct{ context.Context }

func (lagging) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }
func (lagging) Value(any) any                       { return nil }

// Whoever sees Done closed must find an error: context.AfterFunc panics without.
func TestAContextWithoutTimerHasItsErrorWhenItsCallerHas(t *testing.T) {
	t.Parallel()
	parent, cancel := context.WithCancel(t.Context())
	c := newSendContext(lagging{parent}, time.Hour)
	defer c.end(context.Canceled)
	c.Done() // makes inner
	untimed := c.WithoutTimer()
	cancel()
	<-untimed.Done()
	if !errors.Is(untimed.Err(), context.Canceled) {
		t.Fatal("its Done is closed, and Err is nil")
	}
	ran := make(chan struct{})
	context.AfterFunc(untimed, func() { close(ran) })
	<-ran
}
