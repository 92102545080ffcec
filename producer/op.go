package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

type kind int

const (
	single kind = iota
	oneway
	batch
	half
)

// op is one send: one message, or one request of a batch. Producer.ops recycles
// them. At any moment it has one owner: the goroutine that makes the attempts,
// the driver between an attempt and its answer, the worker that calls back.
type op struct {
	p     *Producer
	kind  kind
	out   driver.Outgoing    // not for batches
	batch []*driver.Outgoing // of a batch
	local func(context.Context, driver.Receipt) driver.TxState
	size  int64         // of the bodies
	sel   QueueSelector // wins over the producer's
	alone bool          // it shares no request

	cb     Callback        // nil: somebody waits at answered
	caller context.Context // as it was given
	user   context.Context // with what tracing and interceptors added
	ctx    *sendContext    // user, bounded
	span   trace.Span
	passed int // interceptors
	// conversation is the correlation id of a request or reply.
	conversation string
	parts        int // messages of a SendBatch, 0 for others

	attempts int
	tried    []string // brokers, one for each attempt that reached one
	pinned   bool     // no other broker to try
	unsafe   bool     // an attempt may have stored the message
	localRan bool

	// of the attempt under way
	begun   time.Time
	queue   message.Queue
	broker  *brokerState
	verdict func(error) // the breaker's

	receipt driver.Receipt
	state   driver.TxState
	err     error

	gathering *gathering // as the request of several messages
	kept      bool       // the driver may still read it: not recycled

	answered chan struct{}               // one token when an attempt has its answer
	answer   func(driver.Receipt, error) // settled, bound once

	list       *opList // guarded by flow.mu, like the following
	prev, next *op
	placed     bool
}

func (p *Producer) newOp() *op {
	if o, ok := p.ops.Get().(*op); ok {
		o.p, o.alone = p, p.alone
		return o
	}
	o := &op{p: p, alone: p.alone, answered: make(chan struct{}, 1), tried: make([]string, 0, 4)}
	o.answer = o.settled
	return o
}

// recycle makes o ready for another send. Nobody may use it any more.
func (p *Producer) recycle(o *op) {
	if o.kept {
		return
	}
	clear(o.out.Extra)
	*o = op{
		p: p, answered: o.answered, answer: o.answer, tried: o.tried[:0],
		out: driver.Outgoing{Extra: o.out.Extra[:0]},
	}
	p.ops.Put(o)
}

// lead is the message that chooses the queue.
func (o *op) lead() *message.Message {
	if o.kind == batch {
		return o.batch[0].Message
	}
	return o.out.Message
}

// run makes attempts on the caller's goroutine until one is the last.
func (o *op) run() {
	for {
		o.attempt()
		<-o.answered
		wait, again := o.again()
		if !again || !o.rest(wait) {
			return
		}
	}
}

// retry makes a further attempt of an asynchronous send, in its own goroutine:
// it may have to wait, for a pause or a route, which the workers must not.
func (o *op) retry(wait time.Duration) {
	switch {
	case !o.rest(wait):
		o.finish()
	case o.gathering == nil:
		o.attempt()
	case o.p.linger.begin(o):
		o.p.linger.attempt(o)
	default:
		o.finish()
	}
}

// rest waits for d, unless the send's time ends first.
func (o *op) rest(d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.ctx.Done():
		return false
	}
}

// attempt makes one attempt. Its answer goes to settled, perhaps before attempt
// returns, and o may belong to somebody else then.
func (o *op) attempt() {
	o.attempts++
	o.broker, o.verdict = nil, nil
	if err := o.choose(); err != nil {
		if o.err != nil && o.err.Error() != err.Error() { // why this is a further attempt
			err = fmt.Errorf("%w; then %w", o.err, err)
		}
		o.settled(driver.Receipt{}, err)
		return
	}
	o.tried = append(o.tried, o.queue.Broker)
	if o.gathering != nil {
		o.p.linger.goes(o.gathering, o.queue.Broker)
	}
	ctx := context.Context(o.ctx)
	if d := o.p.sends.attemptTimeout; d > 0 {
		ctx = newSendContext(ctx, d) // which ends with o.ctx
	}
	o.begun = o.ctx.begun
	if o.attempts > 1 || o.p.brokers.slow {
		o.begun = time.Now()
	}
	sender := o.p.sender
	switch o.kind {
	case single:
		sender.SendTo(ctx, o.queue, &o.out, o.answer)
	case batch:
		sender.SendBatchTo(ctx, o.queue, o.batch, o.answer)
	case oneway:
		var r driver.Receipt
		var err error
		if o.p.cfg.tracer == nil {
			err = sender.SendOneway(ctx, o.queue, &o.out)
		} else {
			told, at := driver.WithReached(ctx)
			err = sender.SendOneway(told, o.queue, &o.out)
			r.Addr = at.Addr
		}
		o.settled(r, err)
	case half:
		o.attemptHalf(ctx)
	}
}

// choose sets the queue, whose broker's breaker has let the attempt pass.
func (o *op) choose() error {
	m := o.lead()
	queues, err := o.p.queues(o.ctx, m.Topic)
	if err != nil {
		return err
	}
	sel := o.sel
	if sel == nil {
		sel = o.p.selector(m)
	}
	if sel == nil {
		o.pinned = queues[0].Broker == queues[len(queues)-1].Broker // they are sorted
		return o.inTurn(m.Topic, queues)
	}
	o.pinned = true
	q, err := o.p.selected(sel, m, queues)
	if err == nil && !o.use(q) {
		err = o.p.brokers.openError(m.Topic, []message.Queue{q})
	}
	return err
}

// use takes a queue unless its broker's circuit is open.
func (o *op) use(q message.Queue) bool {
	s, verdict, ok := o.p.brokers.allow(q.Broker)
	if ok {
		o.queue, o.broker, o.verdict = q, s, verdict
	}
	return ok
}

// inTurn takes the topic's next queue whose broker was not tried and did not
// fail lately; without one, any but the last tried; without one, any.
func (o *op) inTurn(topic string, queues []message.Queue) error {
	at := int(o.p.positions.get(topic).next.Add(1) % uint32(len(queues)))
	for _, ok := range [...]func(string) bool{o.fresh, o.other, anyBroker} {
		for i := range queues {
			if q := queues[(at+i)%len(queues)]; ok(q.Broker) && o.use(q) {
				return nil
			}
		}
	}
	return o.p.brokers.openError(topic, queues)
}

func (o *op) fresh(broker string) bool {
	for _, t := range o.tried {
		if t == broker {
			return false
		}
	}
	return !o.p.brokers.isAvoided(broker)
}

func (o *op) other(broker string) bool {
	return len(o.tried) == 0 || o.tried[len(o.tried)-1] != broker
}

func anyBroker(string) bool { return true }

// settled takes an attempt's answer, on any goroutine, and does not block.
func (o *op) settled(r driver.Receipt, err error) {
	o.receipt, o.err = r, err
	if err != nil {
		o.unsafe = o.unsafe || !nothingSent(err)
	}
	if o.broker != nil {
		h := healthy
		if err != nil {
			h = healthOf(err, time.Since(o.begun), o.p.sends.patience())
		} else if o.p.brokers.slow {
			o.p.brokers.noteLatency(o.broker, time.Since(o.begun))
		}
		o.p.brokers.record(o.broker, o.queue, o.verdict, h, err)
	}
	if o.cb == nil && o.gathering == nil {
		o.answered <- struct{}{}
		return
	}
	if wait, again := o.again(); again {
		go o.retry(wait)
		return
	}
	o.finish()
}

// finish ends a send that nobody waits for.
func (o *op) finish() {
	if o.gathering != nil {
		o.p.linger.answered(o)
		return
	}
	o.p.flow.finish(o)
}

// nothingSent reports that the attempt that ended in err stored nothing. The
// seam says so by any error but ErrOutcomeUnknown; a ctx's bare error counts,
// others must know it themselves.
func nothingSent(err error) bool {
	if message.SafeToRetry(err) {
		return true
	}
	return !errors.Is(err, message.ErrOutcomeUnknown) && isContextError(err)
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// byLevel gives the message the level of its delay in place of the moment; false: it
// has none. The caller's message stays as it is.
func (o *op) byLevel() bool {
	if o.out.Message == nil || o.out.Delay.OrLevel == 0 {
		return false
	}
	m := *o.out.Message
	m.Delay = message.Delay{Level: m.Delay.OrLevel}
	o.out.Message = &m
	return true
}

// again decides whether another attempt follows the last, and after which pause.
func (o *op) again() (wait time.Duration, again bool) {
	if errors.Is(o.err, message.ErrUnsupported) && o.broker != nil && o.byLevel() {
		o.attempts, o.tried = o.attempts-1, o.tried[:len(o.tried)-1] // the last was none: nothing was sent
		o.err = nil
		return 0, true
	}
	if o.err == nil || o.attempts > o.p.sends.retries || o.localRan || (o.cb != nil || o.gathering != nil) && !o.p.sends.retryAsync {
		return 0, false
	}
	again, busy := retryable(o.err, o.p.sends.retryUnknown)
	if !again || o.ctx.Err() != nil {
		return 0, false
	}
	if busy || o.pinned {
		wait = pause(o.attempts)
		if time.Until(o.ctx.at) <= wait {
			return 0, false
		}
	}
	o.p.cfg.tracer.Resent(o.p.group, o.lead().Topic)
	o.p.cfg.logger.Debug("sending again", "group", o.p.group, "topic", o.lead().Topic, "id", o.out.ID,
		"broker", o.queue.Broker, "attempt", o.attempts, "after", wait, "error", o.err)
	return wait, true
}

// conclude ends the send: its result, its span, its interceptors.
func (o *op) conclude() (message.SendResult, error) {
	if o.ctx != nil {
		defer o.ctx.end(context.Canceled)
	}
	err := o.failure()
	var r message.SendResult
	if err == nil {
		r = o.result()
		if o.kind != batch { // whose messages are judged one by one
			r, err = o.p.durable(r)
		}
	}
	o.endSpan(r, err)
	if o.kind == single && o.err == nil {
		o.written(o.out.Message, o.result())
	}
	if o.passed > 0 && o.kind != batch {
		o.p.after(o.user, &o.out, o.passed, r, err)
	}
	return r, err
}

// durable makes an error of a result that is not as RequireDurable asks.
func (p *Producer) durable(r message.SendResult) (message.SendResult, error) {
	if p.sends.requireDurable && r.Status != message.SendOK {
		return message.SendResult{}, &NotDurableError{Result: r}
	}
	return r, nil
}

// result is what the driver's receipt says.
func (o *op) result() message.SendResult {
	return message.SendResult{
		Status: o.receipt.Status, MessageID: o.out.ID, OffsetMessageID: o.receipt.OffsetMessageID,
		Queue:       message.Queue{Topic: o.queue.Topic, Broker: o.queue.Broker, ID: o.receipt.QueueID},
		QueueOffset: o.receipt.QueueOffset, TransactionID: o.receipt.TransactionID, RecallHandle: o.receipt.RecallHandle,
	}
}

// failure is the send's error, with what only the producer knows.
func (o *op) failure() error {
	err := o.err
	if err == nil || o.ctx == nil {
		return err
	}
	stopped := isContextError(err) && o.ctx.stopped()
	if stopped {
		err = fmt.Errorf("%w while the send was under way: %w", message.ErrClosed, err)
	}
	var told interface{ SafeToRetry() bool }
	switch {
	case len(o.tried) <= 1 && stopped:
		return fmt.Errorf("producer %s: %w", o.p.group, err)
	case len(o.tried) > 1 || isContextError(err) && !errors.As(err, &told):
		return &SendError{
			Group: o.p.group, Topic: o.lead().Topic, Attempts: len(o.tried), Brokers: append([]string(nil), o.tried...),
			Elapsed: time.Since(o.ctx.begun).Round(time.Millisecond), Err: err, safe: !o.unsafe,
		}
	}
	return err
}
