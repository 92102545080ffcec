package producer

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Interceptor sees every message that is sent, however it is sent, once for all
// its attempts. Either function may be nil. They may be called by several
// goroutines at once.
type Interceptor struct {
	// Before runs on the sender's goroutine after the message has been checked.
	// It may append to Extra, which travels as properties, and must change
	// nothing else. The ctx it returns goes on to the next interceptor and, except
	// for batches, bounds the send. An error refuses the message. o is not valid
	// afterwards.
	Before func(ctx context.Context, o *driver.Outgoing) (context.Context, error)
	// After runs when the send is over, the last interceptor's first: on the
	// sender's goroutine, or before the callback on its worker. It is called for
	// every message that Before let pass.
	After func(ctx context.Context, o *driver.Outgoing, r message.SendResult, err error)
}

// before runs the interceptors' Before. passed is how many let o pass.
func (p *Producer) before(ctx context.Context, o *driver.Outgoing) (out context.Context, passed int, err error) {
	out = ctx
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("topic %q: interceptor %d panicked: %v", o.Topic, passed, r)
			p.cfg.logger.Error("send interceptor panicked", "group", p.group, "topic", o.Topic, "interceptor", passed, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	known := len(o.Extra)
	for _, i := range p.cfg.interceptors {
		if i.Before != nil {
			next, err := i.Before(out, o)
			if err != nil {
				return out, passed, fmt.Errorf("topic %q: interceptor %d refused the message: %w", o.Topic, passed, err)
			}
			if next != nil {
				out = next
			}
		}
		passed++
	}
	for _, e := range o.Extra[min(known, len(o.Extra)):] {
		if err := message.CheckProperty(e.Name, e.Value); err != nil {
			return out, passed, fmt.Errorf("topic %q: from an interceptor: %w", o.Topic, err)
		}
	}
	return out, passed, nil
}

// after runs the After of the first passed interceptors.
func (p *Producer) after(ctx context.Context, o *driver.Outgoing, passed int, r message.SendResult, err error) {
	for i := passed - 1; i >= 0; i-- {
		if f := p.cfg.interceptors[i].After; f != nil {
			p.guard("send interceptor", o.Topic, func() { f(ctx, o, r, err) })
		}
	}
}

// guard runs the user's f and logs its panic.
func (p *Producer) guard(what, topic string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			p.cfg.logger.Error(what+" panicked", "group", p.group, "topic", topic, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// properties lets a trace context be written to an Outgoing.
type properties driver.Outgoing

// Get implements propagation.TextMapCarrier.
func (c *properties) Get(key string) string {
	for _, e := range c.Extra {
		if e.Name == key {
			return e.Value
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c *properties) Set(key, value string) {
	if value == "" || c.Message.Properties[key] != "" { // what the user set is kept
		return
	}
	for i := range c.Extra {
		if c.Extra[i].Name == key {
			c.Extra[i].Value = value
			return
		}
	}
	c.Extra = append(c.Extra, driver.Property{Name: key, Value: value})
}

// Keys implements propagation.TextMapCarrier.
func (c *properties) Keys() []string {
	keys := make([]string, 0, len(c.Extra))
	for _, e := range c.Extra {
		keys = append(keys, e.Name)
	}
	return keys
}
