package rocketkittest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// errNoReturn is the outcome of a handler that panicked or ended its goroutine.
var errNoReturn = errors.New("it did not return: a panic, or the end of its goroutine")

// Recorder has seen every call of a group's handlers.
type Recorder struct {
	group  string
	bubble bool

	mu      sync.Mutex // guards the following
	wired   bool       // a consumer was made of the mux
	calls   []call
	changed chan struct{} // closed and replaced at each call
}

type call struct {
	d   *message.Delivery
	err error
}

// Record notes the calls of the handlers in mux from now on: each attempt, when it has ended.
// It is middleware, so a group with batch handlers has none, and what cannot be decoded does
// not get to it, but to the dead letters. Of a mux with middleware of its own it sees what that
// lets through.
func Record(mux *consumer.Mux) *Recorder {
	r := &Recorder{group: mux.Group(), bubble: inBubble(), changed: make(chan struct{})}
	mux.Use(r.around)
	return r
}

func (r *Recorder) around(next consumer.Handler) consumer.Handler {
	r.mu.Lock()
	r.wired = true
	r.mu.Unlock()
	return func(ctx context.Context, d *message.Delivery) (err error) {
		err = errNoReturn
		defer func() { r.add(call{d, err}) }()
		err = next(ctx, d)
		return err
	}
}

// deaf says why no handler's call can get here.
func (r *Recorder) deaf() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wired {
		return ""
	}
	return "no consumer with handlers that it can see was made after Record; call Record before NewConsumer or Consume"
}

func (r *Recorder) add(c call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
	close(r.changed)
	r.changed = make(chan struct{})
}

// Consumed are the messages for which a handler has returned nil, in the order of that.
func (r *Recorder) Consumed() *Messages {
	return r.messages("consumed by "+r.group, func(err error) bool { return err == nil }, r.failures)
}

// Failed are the messages whose handler has returned an error or panicked, one for each attempt.
func (r *Recorder) Failed() *Messages {
	return r.messages("failed in "+r.group, func(err error) bool { return err != nil }, func() string { return "" })
}

func (r *Recorder) messages(place string, with func(error) bool, more func() string) *Messages {
	return &Messages{
		place: place, bubble: r.bubble, more: more, deaf: r.deaf,
		read: func(context.Context) ([]*message.Delivery, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			var all []*message.Delivery
			for _, c := range r.calls {
				if with(c.err) {
					all = append(all, c.d)
				}
			}
			return all, nil
		},
		changed: func() <-chan struct{} {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.changed
		},
	}
}

// failures shows the calls that failed, with their errors.
func (r *Recorder) failures() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, c := range r.calls {
		if c.err != nil {
			lines = append(lines, fmt.Sprintf("  %s: %s", show(c.d), shorten(c.err.Error())))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	if more := len(lines) - showAtMost; more > 0 {
		lines = append(lines[:showAtMost], fmt.Sprintf("  and %d more", more))
	}
	return "\nFailed:\n" + strings.Join(lines, "\n")
}
