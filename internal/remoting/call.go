package remoting

import (
	"context"
	"fmt"
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Call sends a request and waits for its response, whatever its code. cmd.Opaque
// is assigned; the body is cmd.Body unless pieces are given, and is copied before
// Call waits. The response is the caller's to keep. Errors are *CallError, but
// for a request that cannot be encoded.
func (c *Conn) Call(ctx context.Context, cmd *protocol.Command, h protocol.Header, body ...[]byte) (*protocol.Command, error) {
	w, ok := c.waiters.Get().(*waiter)
	if !ok {
		w = &waiter{ch: make(chan outcome, 1)}
	}
	w.c = c
	var out outcome
	if opaque, err := c.submit(ctx, cmd, h, w, false, body); err != nil {
		out.err = err
	} else {
		out = c.await(ctx, w, opaque)
	}
	w.c = nil
	c.waiters.Put(w)
	return out.resp, out.err
}

// await waits for a call's completion or ctx's end.
func (c *Conn) await(ctx context.Context, w *waiter, opaque int32) outcome {
	ended := ctx.Done()
	if ended == nil {
		return <-w.ch
	}
	select {
	case out := <-w.ch:
		return out
	case <-ended:
		if c.forget(opaque) {
			return outcome{err: &CallError{c.addr, true, contextEnd(ctx)}}
		}
		return <-w.ch // its completion is under way
	}
}

// waiter is the Completion of a Call.
type waiter struct {
	c  *Conn
	ch chan outcome
}

type outcome struct {
	resp *protocol.Command
	err  error
}

// Complete implements Completion. A response comes on the reader's goroutine.
func (w *waiter) Complete(resp *protocol.Command, err error) {
	if resp != nil {
		resp = w.c.keep(resp)
	}
	w.ch <- outcome{resp, err}
}

// kept is a response that outlives the read buffer, with room for the fields of
// most.
type kept struct {
	protocol.Command
	fields [6]protocol.Field
}

// keep copies what a response shares with the reader.
func (c *Conn) keep(resp *protocol.Command) *protocol.Command {
	k := &kept{Command: *resp}
	k.Fields = append(protocol.Fields(k.fields[:0]), resp.Fields...)
	if len(resp.Body) > 0 && !c.in.detach() {
		k.Body = slices.Clone(resp.Body)
	}
	return &k.Command
}

// Start sends a request and returns; done gets the outcome. It waits while the
// connection has no room (see Options.MaxUnwritten) and ctx goes on, so that it
// is not for Handlers and Completions of a peer that may not read. ctx's deadline
// and cancellation complete the call and never harm the connection.
func (c *Conn) Start(ctx context.Context, cmd *protocol.Command, h protocol.Header, done Completion, body ...[]byte) {
	if _, err := c.submit(ctx, cmd, h, done, true, body); err != nil {
		defer c.recovered("Completion")
		done.Complete(nil, err)
	}
}

// submit queues a request whose outcome goes to done. When it returns an error,
// done is not called. watch makes ctx's cancellation complete the call.
func (c *Conn) submit(ctx context.Context, cmd *protocol.Command, h protocol.Header, done Completion, watch bool, body [][]byte) (int32, error) {
	if err := contextEnd(ctx); err != nil {
		return 0, &CallError{c.addr, false, err}
	}
	watch = watch && ctx.Done() != nil
	deadline, _ := ctx.Deadline()

	c.mu.Lock()
	if c.down {
		err := c.err
		c.mu.Unlock()
		return 0, &CallError{c.addr, false, err}
	}
	opaque := c.pending.add(slot{done: done, deadline: deadline})
	c.arm(deadline)
	if watch {
		c.helpers.Add(1)
	}
	c.mu.Unlock()

	var stop func() bool
	if watch {
		stop = context.AfterFunc(ctx, func() {
			defer c.helpers.Done()
			c.cancel(opaque, contextEnd(ctx))
		})
	}
	cmd.Opaque = opaque
	err := c.enqueue(ctx, cmd, h, opaque, stop, body)
	if err == nil {
		return opaque, nil
	}
	// Either the call is still ours to fail, or it has been completed meanwhile.
	if stop != nil && stop() {
		c.helpers.Done()
	}
	if c.forget(opaque) {
		return 0, err
	}
	return opaque, nil
}

// enqueue encodes a request and queues it, once there is room.
func (c *Conn) enqueue(ctx context.Context, cmd *protocol.Command, h protocol.Header, opaque int32, stop func() bool, body [][]byte) error {
	e, err := c.encode(cmd, h, c.Signer, body)
	if err != nil {
		return fmt.Errorf("request to %s: %w", c.addr, err)
	}
	defer c.release(e)
	c.mu.Lock()
	if err := c.awaitRoom(ctx); err != nil {
		c.mu.Unlock()
		return &CallError{c.addr, false, err}
	}
	s := c.pending.find(opaque)
	if c.down || s == nil { // s == nil: completed by its deadline or its context
		err := c.err
		c.mu.Unlock()
		return &CallError{c.addr, false, err}
	}
	wake := c.queue(e)
	s.end, s.stop = c.out.queued, stop
	c.mu.Unlock()
	if wake {
		c.wakeWriter()
	}
	return nil
}

// forget takes a call from the table; false: somebody else completes it.
func (c *Conn) forget(opaque int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.pending.take(opaque)
	return ok
}

// cancel completes a call whose context has ended.
func (c *Conn) cancel(opaque int32, err error) {
	c.mu.Lock()
	s, ok := c.pending.take(opaque)
	c.mu.Unlock()
	if ok {
		s.stop = nil // it is what runs here
		c.finish(s, nil, &CallError{c.addr, s.end != 0, err})
	}
}

// Oneway sends a request that is not answered, and marks cmd as such. nil says
// only that it is queued.
func (c *Conn) Oneway(ctx context.Context, cmd *protocol.Command, h protocol.Header, body ...[]byte) error {
	if err := contextEnd(ctx); err != nil {
		return &CallError{c.addr, false, err}
	}
	cmd.MarkOneway()
	c.mu.Lock()
	cmd.Opaque = c.pending.skip()
	c.mu.Unlock()
	e, err := c.encode(cmd, h, c.Signer, body)
	if err != nil {
		return fmt.Errorf("request to %s: %w", c.addr, err)
	}
	defer c.release(e)
	c.mu.Lock()
	err = c.awaitRoom(ctx)
	if c.down {
		err = c.err
	}
	if err != nil {
		c.mu.Unlock()
		return &CallError{c.addr, false, err}
	}
	wake := c.queue(e)
	c.mu.Unlock()
	if wake {
		c.wakeWriter()
	}
	return nil
}

// Reply sends the answer to a request, from any goroutine. resp is what
// Command.Response made of the request. It never waits: a connection whose peer
// leaves MaxUnwritten bytes of answers unread (on a client's connection, next to
// as many of requests) is closed.
func (c *Conn) Reply(resp *protocol.Command, h protocol.Header, body ...[]byte) error {
	e, err := c.encode(resp, h, nil, body)
	if err != nil {
		return fmt.Errorf("answer to %s: %w", c.addr, err)
	}
	defer c.release(e)
	c.mu.Lock()
	if c.down {
		err := c.err
		c.mu.Unlock()
		return &CallError{c.addr, false, err}
	}
	limit := c.MaxUnwritten
	if !c.serving {
		limit *= 2 // a client's own requests may have taken all of it
	}
	if unwritten := c.out.unwritten; unwritten >= limit {
		c.mu.Unlock()
		err := fmt.Errorf("%w: %w", ErrClosed, ErrSlowReader)
		c.Logger.Warn("closing a connection: its peer reads answers too slowly", "peer", c.addr, "unread", unwritten, "limit", limit)
		c.shut(err, false)
		return &CallError{c.addr, false, err}
	}
	wake := c.queue(e)
	c.mu.Unlock()
	if wake {
		c.wakeWriter()
	}
	return nil
}
