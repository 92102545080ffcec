package consumer

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/rocketkit/rocketkit/message"
)

var (
	errNilMux      = errors.New("the mux is nil; make one with consumer.NewMux")
	errNilListener = errors.New("Mux.Add was given a nil listener; remove it")
)

// Handler is what middleware sees of a handler: the message has been decoded,
// calling it runs the typed handler.
type Handler func(ctx context.Context, d *message.Delivery) error

// Middleware wraps a Handler. It must call next with a ctx derived from the one
// it was given.
type Middleware func(next Handler) Handler

// Mux collects the handlers of one consumer group. It is filled once, by one
// goroutine, and then given to New, which reports every mistake at once; none of
// the calls before fails by itself.
type Mux struct {
	group         string
	opts          []GroupOption
	registrations []*registration
	middleware    []Middleware
	mistakes      []error
}

// NewMux makes an empty Mux for a consumer group.
func NewMux(group string, opts ...GroupOption) *Mux {
	return &Mux{group: group, opts: opts}
}

// clone is m as it is now.
func (m *Mux) clone() *Mux {
	return &Mux{m.group, slices.Clone(m.opts), slices.Clone(m.registrations), slices.Clone(m.middleware), nil}
}

// Group is the consumer group's name.
func (m *Mux) Group() string { return m.group }

// Use puts middleware around every handler of the group, also those registered
// before. The first is the outermost. It runs after decoding and within the
// recovery of panics, the time-out and the span.
func (m *Mux) Use(mw ...Middleware) { m.middleware = append(m.middleware, mw...) }

// Add registers listeners.
func (m *Mux) Add(listeners ...Registration) {
	for _, l := range listeners {
		if v := reflect.ValueOf(l); l == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			m.mistakes = append(m.mistakes, errNilListener)
			continue
		}
		l.register(m)
	}
}
