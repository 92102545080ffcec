package producer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Checker is what the option Transactions gave; nil without it.
func (p *Producer) Checker() Checker {
	if len(p.cfg.checkers) == 0 {
		return nil
	}
	return p.cfg.checkers[0]
}

// SendHalf sends m as a half message, which consumers do not see, and runs local
// once it is stored; what local returns is told to the broker. The state is what
// was decided here: whether the broker has heard of it shows in its asking
// again. A failed half message has run no local, and is tried again like any
// other send. A local that panics leaves the state open. extra are properties to
// add.
//
// It needs the option Transactions. Package txn is the way to use it.
func (p *Producer) SendHalf(ctx context.Context, m *message.Message, extra []driver.Property, local func(context.Context, message.SendResult) driver.TxState) (message.SendResult, driver.TxState, error) {
	if p.Checker() == nil {
		return message.SendResult{}, driver.TxUnknown, fmt.Errorf("producer %s: transactional sends are %w without the option Transactions, by which brokers know whom to ask; see txn.Kinds", p.group, message.ErrUnsupported)
	}
	if m != nil && !m.Delay.IsZero() {
		return message.SendResult{}, driver.TxUnknown, fmt.Errorf("%w: topic %q: a transactional message cannot be delayed; RocketMQ would drop the delay in silence; delay the message that the transaction leads to", message.ErrInvalidMessage, m.Topic)
	}
	if !p.flow.begin() {
		return message.SendResult{}, driver.TxUnknown, p.closedError()
	}
	o := p.newOp()
	ended := false
	defer func() {
		p.flow.vacateAndLeave(o)
		if ended { // and local has not ended its goroutine
			p.recycle(o)
		}
	}()
	o.kind, o.out.Message, o.out.Extra = half, m, append(o.out.Extra, extra...)
	o.local = func(_ context.Context, r driver.Receipt) driver.TxState {
		o.localRan = true
		o.receipt = r
		half := o.result()
		o.endSpan(half, nil) // local is not the sending
		return local(o.user, half)
	}
	if o.err = p.open(ctx, o); o.err == nil {
		o.run()
	}
	state := o.state
	r, err := o.conclude()
	ended = true
	return r, state, err
}

// attemptHalf makes one attempt at a half message and, when it is stored, runs
// the local transaction.
func (o *op) attemptHalf(ctx context.Context) {
	tx, ok := o.p.sender.(driver.Transactor)
	if !ok {
		o.settled(driver.Receipt{}, fmt.Errorf("transactional sends are %w by this driver", message.ErrUnsupported))
		return
	}
	var r driver.Receipt
	var err error
	r, o.state, err = tx.SendTx(ctx, o.queue, &o.out, o.guardedLocal)
	if err == nil && !o.localRan { // the driver has rolled it back
		o.halfWritten(r)
		o.decided(r, o.state)
	}
	o.settled(r, err)
}

// guardedLocal leaves the state open when the local transaction panics.
func (o *op) guardedLocal(ctx context.Context, r driver.Receipt) (state driver.TxState) {
	defer func() {
		if p := recover(); p != nil {
			o.p.cfg.logger.Error("local transaction panicked; the broker will ask", "group", o.p.group, "topic", o.out.Topic, "id", o.out.ID, "panic", p, "stack", string(debug.Stack()))
			state = driver.TxUnknown
		}
		o.decided(r, state)
	}()
	o.halfWritten(r)
	if o.p.sends.requireDurable && r.Status != message.SendOK {
		o.localRan = true
		return driver.TxRollback
	}
	return o.local(ctx, r)
}

// guardedCheck is what the driver asks about half messages. A check that fails
// or panics leaves the state open.
func guardedCheck(group string, log *slog.Logger, c Checker) func(context.Context, *message.Delivery) driver.TxState {
	return func(ctx context.Context, d *message.Delivery) (state driver.TxState) {
		attrs := []any{"group", group, "topic", d.Topic, "id", d.ID}
		defer func() {
			if r := recover(); r != nil {
				log.Error("transaction check panicked; the broker will ask again", append(attrs, "panic", r, "stack", string(debug.Stack()))...)
				state = driver.TxUnknown
			}
		}()
		state, err := c.Check(message.WithDelivery(ctx, d), d)
		if err != nil {
			log.Warn("transaction check failed", append(attrs, "state", state, "error", err)...)
		}
		return state
	}
}
