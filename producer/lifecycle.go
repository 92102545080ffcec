package producer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// stopGrace is how long a stop goes on waiting when its ctx has ended
	// already: what is cancelled ends soon. Nor does it wait longer for brokers to
	// hear that the group leaves.
	stopGrace = time.Second
	// drainGrace is how long a drain waits for brokers to hear it.
	drainGrace = 5 * time.Second
)

// closing is the end of a Producer: the first call does it, others wait for it.
type closing struct {
	begun atomic.Bool
	done  chan struct{} // closed when err is final
	err   error
}

// Start does nothing but say whether the producer can still send: it is ready
// from New on. It lets rocketkit.Run treat producers like consumers.
func (p *Producer) Start(context.Context) error {
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	if p.flow.state != flowOpen {
		return p.closedError()
	}
	return nil
}

// Closed is closed when Drain, Stop or Close is over.
func (p *Producer) Closed() <-chan struct{} { return p.closing.done }

// Drain refuses new sends, waits until what has begun is over and all callbacks
// have run, and unregisters the group. When ctx ends first it goes on like Stop,
// and its error says what was left. It must not be called from a callback, which
// it would wait for.
func (p *Producer) Drain(ctx context.Context) error {
	finished := p.flow.close()
	if p.linger != nil {
		p.linger.flush()
	}
	return p.end(ctx, func() error {
		select {
		case <-finished:
			return nil
		case <-ctx.Done():
		}
		left := p.flow.left()
		err := fmt.Errorf("producer %s: drain cut off with %d sends and callbacks unfinished: %w", p.group, left, ctx.Err())
		return errors.Join(err, p.cutOff(ctx))
	}, drainGrace)
}

// Stop refuses new sends and cancels those under way: their outcome, which
// callbacks still get, is message.ErrClosed, or message.ErrOutcomeUnknown for
// what was written. It waits for callbacks that run, at most until ctx ends. A
// driver may let what is written have its answer, within SendTimeout.
func (p *Producer) Stop(ctx context.Context) error {
	p.stopFlow() // also cuts a Drain short
	return p.end(ctx, func() error { return p.cutOff(ctx) }, stopGrace)
}

// Close is Drain within SendTimeout, by which all sends are over, and a second
// for the callbacks.
func (p *Producer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.sends.sendTimeout+stopGrace)
	defer cancel()
	return p.Drain(ctx)
}

// end runs how and closes the sender within grace, once.
func (p *Producer) end(ctx context.Context, how func() error, grace time.Duration) error {
	if p.closing.begun.Swap(true) {
		select {
		case <-p.closing.done:
			return p.closing.err
		case <-ctx.Done():
			return fmt.Errorf("producer %s is still ending: %w", p.group, ctx.Err())
		}
	}
	defer close(p.closing.done)
	defer p.unwatch()
	p.closing.err = how()
	if ctx.Err() != nil {
		ctx, grace = context.WithoutCancel(ctx), stopGrace
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := p.sender.Close(ctx); err != nil {
		p.closing.err = errors.Join(p.closing.err, fmt.Errorf("producer %s: %w", p.group, err))
	}
	return p.closing.err
}

// stopFlow cancels what is under way, and what waits for company.
func (p *Producer) stopFlow() <-chan struct{} {
	finished := p.flow.stop()
	if p.linger != nil {
		p.linger.cutOff()
	}
	return finished
}

// cutOff cancels what is under way and waits for it.
func (p *Producer) cutOff(ctx context.Context) error {
	finished := p.stopFlow()
	if ctx.Err() != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		ctx = grace
	}
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("producer %s: %d sends and callbacks have not ended: %w", p.group, p.flow.left(), ctx.Err())
	}
}
