package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// batch is messages that are sent together.
type batch struct {
	relay *Relay
	ctx   context.Context // ends with the lease

	mu     sync.Mutex // guards the following
	sent   []int64
	failed []failure
}

// failure is a message that was not sent.
type failure struct {
	row row
	err error
}

// send sends the messages of a lane until one fails.
func (b *batch) send(lane []row) {
	for _, row := range lane {
		if b.ctx.Err() != nil || b.relay.isStopping() {
			return // not tried: another time
		}
		err := b.one(row)
		if err != nil && b.relay.life.Err() != nil && !hopeless(err) {
			return // cut off by a drain, which is no failure of the message
		}
		b.mu.Lock()
		if err == nil {
			b.sent = append(b.sent, row.id)
		} else {
			b.failed = append(b.failed, failure{row, err})
		}
		b.mu.Unlock()
		if err != nil && !b.relay.parks(row, err) {
			return
		}
	}
}

// one sends one message; a panic is its error.
func (b *batch) one(r row) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the sender panicked: %v\n%s", v, debug.Stack())
		}
	}()
	if r.unread != nil {
		return r.unread
	}
	b.relay.sending.Add(1)
	defer b.relay.sending.Add(-1)
	_, err = b.relay.sender.Send(b.ctx, r.message)
	return err
}

// parks reports whether a message is given up with that failure.
func (r *Relay) parks(row row, err error) bool {
	return hopeless(err) || r.cfg.maxAttempts > 0 && row.attempts+1 >= r.cfg.maxAttempts
}

// messageIllegal is RocketMQ's MESSAGE_ILLEGAL.
const messageIllegal = 13

// hopeless reports whether a message is refused as it is.
func hopeless(err error) bool {
	for _, e := range []error{message.ErrInvalidMessage, message.ErrInvalidTopic, message.ErrEmptyBody, message.ErrBodyTooLarge, message.ErrUnsupported} {
		if errors.Is(err, e) {
			return true
		}
	}
	var refused *message.BrokerError
	return errors.As(err, &refused) && refused.Code == messageIllegal
}

// note writes down what became of the batch. It has time of its own: the batch's may be
// over.
func (b *batch) note() error {
	r := b.relay
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	var errs []error
	if len(b.sent) > 0 {
		errs = append(errs, r.box.noteSent(ctx, r.db, b.sent, r.cfg.retention > 0))
	}
	for _, f := range b.failed {
		state, at, next := pending, time.Now().Add(r.pause(f.row.attempts+1)), ""
		if r.parks(f.row, f.err) {
			state, next = parked, "parked; see Outbox.Parked"
		} else {
			next = "sent again at " + at.Format(time.RFC3339)
		}
		topic := ""
		if f.row.message != nil {
			topic = f.row.message.Topic
		}
		r.cfg.log.Warn("message of the outbox was not sent", "id", f.row.id, "topic", topic, "attempt", f.row.attempts+1, "error", f.err, "next", next)
		errs = append(errs, r.box.noteFailure(ctx, r.db, f.row, state, at, f.err))
	}
	return errors.Join(errs...)
}

// isStopping reports whether a drain has begun.
func (r *Relay) isStopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}
