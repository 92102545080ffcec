package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/pacing"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// handler is a registered handler with everything decided. It is immutable but for its
// pace; its pool knows how many work.
type handler struct {
	name        string
	group       string // that it consumes in
	concurrency int
	timeout     time.Duration
	policy      retry.Policy
	strict      bool          // delays of retries are not rounded
	disabled    bool          // takes no messages
	dlq         bool          // takes the dead letters: nothing is dead-lettered again
	suspend     time.Duration // of an ordered group: what a failure costs
	broadcast   bool          // every member gets the message
	skipped     *atomic.Int64 // of a broadcast group: counts what is passed over; nil elsewhere
	pace        pacing.Pacer  // changes while messages are handled
	killSwitch  *killSwitch   // nil: none
	runner      runner        // nil: it takes batches
	batches     batchRunner   // nil: it takes single messages
	batchSize   int
	batchWait   time.Duration
	dedup       deduplication // its store is nil: none
	tracer      *trace.Tracer
	messages    *trace.MessageTracer
	log         *slog.Logger // has group and handler
}

// errEnded is the failure of a handler that ended its goroutine.
var errEnded = errors.New("the handler ended its goroutine (runtime.Goexit, as testing.T.FailNow does)")

// process takes one message through its fixed stages and settles it exactly
// once: recovery, time-out, span, de-duplication, decoding, middleware, handler,
// classification, immediate retries, verdict.
func (h *handler) process(t *task, s *slot) {
	if t.queue.Err() != nil {
		t.settler.Settle(t.d, driver.Verdict{}) // revoked while it waited
		return
	}
	c := h.runner.newCall(t.queue, t.d, time.Now(), h.timeout)
	b := c.base()
	s.call.Store(b)
	// Until the handler's outcome is known, that the message is retried.
	v, known := driver.Verdict{}, false
	defer func() {
		if !known {
			h.lost(t.d, recover())
		}
		s.call.Store(nil)
		b.finish()
		h.settle(t, v, b.elsewhere)
	}()
	v = h.verdict(c)
	known = true
	h.late(b)
}

// late logs a call that took too long, and one whose queue is gone.
func (h *handler) late(c *call) {
	if c.overran.Load() {
		h.log.LogAttrs(c.queue, slog.LevelWarn, "handler returned after its consume time-out", append(c.identity(), slog.Duration("after", time.Since(c.start)))...)
	}
	if c.queue.Err() != nil {
		h.log.LogAttrs(c.queue, slog.LevelInfo, "queue was revoked while the handler ran", append(c.identity(),
			slog.String("next", "its outcome does not count; the message is delivered again"))...)
	}
}

// verdict runs the handler, perhaps several times, and says what becomes of the
// message.
func (h *handler) verdict(c typedCall) (v driver.Verdict) {
	d := c.base().d
	ctx, span := h.tracer.StartProcess(c, d, h.broadcast)
	err := errEnded
	defer func() { span.EndProcess(1, err) }()
	if h.messages != nil {
		run := h.messages.StartRun(h.group, d)
		defer func() { h.endRun(&run, c.base(), d, err) }()
	}
	if h.dedup.store != nil {
		var claim dedup.Claim
		var mine bool
		if claim, v, mine, err = h.claim(ctx, c.base(), d); !mine {
			return v
		}
		err = errEnded
		defer func() { h.unclaim(ctx, d, claim, v) }()
	}
	for immediate := 0; ; immediate++ {
		if err = h.attempt(ctx, c); err == nil {
			return driver.Verdict{Action: driver.ActionAck}
		}
		if c.Err() != nil {
			immediate = math.MaxInt // nothing is tried with a ctx that has ended
		}
		var now bool
		if v, now = h.judge(c.base(), d, immediate, err); !now {
			return v
		}
	}
}

// judge says what becomes of a message that failed, and logs it; now says that the
// handler is to be called again at once.
func (h *handler) judge(c *call, d *message.Delivery, immediate int, err error) (v driver.Verdict, now bool) {
	decision, skipped := h.passOver(h.decide(d, immediate, err))
	h.failed(c, d, immediate, err, decision, skipped)
	switch decision.Action {
	case retry.Now:
		return driver.Verdict{}, true
	case retry.Acknowledge:
		return driver.Verdict{Action: driver.ActionAck}, false
	case retry.DeadLetter:
		return driver.Verdict{Action: driver.ActionDeadLetter}, false
	case retry.Later:
	}
	return driver.Verdict{Action: driver.ActionRetry, Level: decision.Level, Delay: decision.Delay, Strict: decision.Strict || h.strict, MaxRetries: decision.MaxRetries}, false
}

// attempt decodes and calls the handler once; a panic is its error.
func (h *handler) attempt(ctx context.Context, c typedCall) (err error) {
	defer caught(&err)
	if err := c.decode(); err != nil {
		return err
	}
	return c.handle(ctx)
}

// caught, deferred, makes an error of a panic.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = &PanicError{Value: r, Stack: debug.Stack()}
	}
}

func (h *handler) decide(d *message.Delivery, immediate int, err error) retry.Decision {
	if h.dlq {
		return decideDeadLetter(d, err)
	}
	return h.policy.Decide(retry.Attempt{Reconsumed: d.ReconsumeTimes, Immediate: immediate, Random: rand.Float64()}, err)
}

// Delay levels of a dead letter's further attempts: 10 s for the first, 10 m for
// all others. The broker's own choice, 3 + reconsumeTimes, would be 2 h at once:
// the count goes on from the attempts that the message died of.
const (
	dlqFirstLevel = 3
	dlqLevel      = 14
)

// decideDeadLetter decides for dead letters, which are never dead-lettered.
func decideDeadLetter(d *message.Delivery, err error) retry.Decision {
	if retry.IsSkip(err) {
		return retry.Decision{Action: retry.Acknowledge}
	}
	later := retry.Decision{Action: retry.Later, MaxRetries: math.MaxInt32}
	if delay, ok := retry.Delay(err); ok && delay > 0 {
		later.Delay = delay
		return later
	}
	later.Level = dlqLevel
	if d.Queue.Topic != message.RetryTopic(d.Group) {
		later.Level = dlqFirstLevel
	}
	return later
}

// failed logs a failure and what happens next.
func (h *handler) failed(c *call, d *message.Delivery, immediate int, err error, decision retry.Decision, skipped bool) {
	if c.queue.Err() != nil {
		return // late says so
	}
	next := h.next(d, immediate, decision)
	level, msg := slog.LevelWarn, "handler failed"
	switch {
	case skipped:
		h.skipped.Add(1)
		level, msg, next = slog.LevelError, "handler failed", "passed over: a broadcast message is not delivered again"
	case decision.Action == retry.Acknowledge:
		msg = "handler skipped the message"
	case decision.Action == retry.DeadLetter:
		level = slog.LevelError
	}
	attrs := append(identity(d), slog.Any("error", err), slog.String("next", next))
	var p *PanicError
	if errors.As(err, &p) && len(p.Stack) > 0 {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	h.log.LogAttrs(c.queue, level, msg, attrs...)
}

// next says what happens next, for logs.
func (h *handler) next(d *message.Delivery, immediate int, decision retry.Decision) string {
	switch decision.Action {
	case retry.Now:
		return fmt.Sprintf("called again at once, %d", immediate+1)
	case retry.Acknowledge:
		return "acknowledged"
	case retry.DeadLetter:
		return "dead-letter queue " + message.DLQTopic(h.group)
	case retry.Later:
	}
	when := "about " + retry.BrokerDelay(d.ReconsumeTimes).String()
	switch {
	case h.suspend > 0 && decision.Delay == 0 && decision.Level == 0:
		when = h.suspend.String() + ", in its place"
	case decision.Delay > 0:
		when = decision.Delay.String()
	case decision.Level > 0:
		when = fmt.Sprintf("delay level %d", decision.Level)
	}
	if h.dlq {
		return "delivered again after " + when + ", without end"
	}
	return fmt.Sprintf("retry %d of %d after %s", d.ReconsumeTimes+1, decision.MaxRetries, when)
}

// lost logs a message whose outcome is not known. recovered is a panic outside
// the handler, nil when the handler ended the goroutine.
func (h *handler) lost(d *message.Delivery, recovered any) {
	err := errEnded
	next := "delivered again"
	if h.skipped != nil && h.suspend == 0 {
		h.skipped.Add(1)
		next = "passed over: a broadcast message is not delivered again"
	}
	attrs := []slog.Attr{}
	if recovered != nil {
		err = fmt.Errorf("panic outside the handler: %v", recovered)
		attrs = append(attrs, slog.String("stack", string(debug.Stack())))
	}
	attrs = append(attrs, slog.Any("error", err), slog.String("next", next))
	h.log.LogAttrs(context.Background(), slog.LevelError, "handler has no outcome", append(identity(d), attrs...)...)
}

// identity is what logs say about every message.
func identity(d *message.Delivery) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 8),
		slog.String("topic", d.Topic),
		slog.String("message_id", d.ID),
		slog.Int("attempt", d.ReconsumeTimes+1))
	if keys := d.Keys(); len(keys) > 0 {
		attrs = append(attrs, slog.Any("keys", keys))
	}
	return attrs
}
