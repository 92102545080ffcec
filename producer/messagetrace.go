package producer

import (
	"context"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// MessageTrace writes RocketMQ's own message trace of every send, transaction and
// recall; nil writes none. rocketkit.WithMessageTrace makes one.
func MessageTrace(t *trace.MessageTracer) Option {
	return option(func(s *settings) { s.messages = t })
}

// written notes a send that a broker has answered for in the message trace. A batch's
// messages are noted one by one.
func (o *op) written(m *message.Message, r message.SendResult) {
	t := o.p.cfg.messages
	if t == nil || o.receipt.Untraced || o.ctx == nil {
		return
	}
	t.Published(&trace.Published{
		Group: o.p.group, Message: m, Result: r, Addr: o.receipt.Addr, Region: o.receipt.Region,
		Half: o.kind == half, Began: o.ctx.begun,
	})
}

// halfWritten notes a half message, before its local transaction.
func (o *op) halfWritten(r driver.Receipt) {
	o.receipt = r
	o.written(o.out.Message, o.result())
}

// decided notes in the message trace how a half message ended.
func (o *op) decided(r driver.Receipt, state driver.TxState) {
	if t := o.p.cfg.messages; t != nil && !r.Untraced {
		t.Decided(&trace.Decided{
			Group: o.p.group, Topic: o.out.Topic, ID: o.out.ID, Tag: o.out.Tag, Keys: o.out.Keys, Addr: r.Addr, Region: r.Region,
			Commit: state == driver.TxCommit, Rollback: state == driver.TxRollback,
		})
	}
}

// tracedCheck notes in the message trace what is answered about half messages.
func tracedCheck(group string, t *trace.MessageTracer, check func(context.Context, *message.Delivery) driver.TxState) func(context.Context, *message.Delivery) driver.TxState {
	if t == nil {
		return check
	}
	return func(ctx context.Context, d *message.Delivery) driver.TxState {
		state := check(ctx, d)
		t.Checked(group, d, state == driver.TxCommit, state == driver.TxRollback)
		return state
	}
}
