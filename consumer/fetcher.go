package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// Fetcher is a member of a group that has no handlers: the program fetches messages
// when it wants some, and says of each what becomes of it. The queues are shared out
// among the group's members, failed messages come again, and dead letters are kept,
// as with a Consumer. Its methods may be called concurrently.
//
// Messages wait in memory, up to MaxUnsettled of a queue, before they are fetched.
// One that was fetched and not answered holds up its queue's offset until MaxSpan
// is reached: there is no time-out. It is used once, like a Consumer.
type Fetcher struct {
	group           string
	shutdownTimeout time.Duration
	sub             driver.Subscription
	policy          retry.Policy
	strict          bool // delays of retries are not rounded
	closed          chan struct{}
	tracer          *trace.Tracer
	messages        *trace.MessageTracer
	topic           string // "" for several
	unwatch         func() // ends what the metrics know of it

	mu      sync.Mutex // guards the following
	waiting []task     // in the order in which they came
	fetched map[*message.Delivery]fetchedTask
	more    chan struct{} // closed and replaced when messages come or the state changes
	started bool
	ending  bool      // no more is fetched
	last    time.Time // when something was
}

// fetchedTask is a message that was handed out.
type fetchedTask struct {
	task
	run *trace.Run // in the message trace; nil without one
}

// NewFetcher makes a fetcher of the topics. It heeds the options about the group, its
// queues and its retries; others, such as concurrency, codecs and time-outs, belong to
// handlers and are refused. Every mistake is reported, in a *RegistrationError.
func NewFetcher(drv driver.Driver, group string, subs []Subscription, opts ...GroupOption) (*Fetcher, error) {
	a, err := ask(asFetcher, group, subs, opts)
	if err != nil {
		return nil, err
	}
	if a.checkStrict(drv.Capabilities(), drv.Name()); a.err() != nil {
		return nil, a.err()
	}
	f := &Fetcher{
		group: group, shutdownTimeout: a.opts.shutdownTimeout.or(defaultShutdownTimeout), closed: make(chan struct{}),
		fetched: make(map[*message.Delivery]fetchedTask), more: make(chan struct{}),
		tracer: a.opts.tracer, messages: a.opts.messages, topic: only(a.filters),
	}
	cfg := a.common(group, a.opts.from)
	cfg.Topics = a.filters
	f.policy = a.opts.policy()
	f.strict = a.opts.strictRetryDelay || f.policy.Strict()
	cfg.ExactRetries = a.opts.exact(f.policy)
	cfg.MaxRetries = atMost(f.policy.Retries())
	cfg.OnSendBack = sendBacks(f.tracer)
	if f.sub, err = drv.NewSubscription(cfg, intake{f}); err != nil {
		return nil, fmt.Errorf("fetcher of group %q: %w", group, err)
	}
	f.unwatch = f.watch()
	return f, nil
}

// Group is the consumer group's name.
func (f *Fetcher) Group() string { return f.group }

// Closed is closed when Drain or Stop is over.
func (f *Fetcher) Closed() <-chan struct{} { return f.closed }

// Start joins the group. It does not wait for servers or topics.
func (f *Fetcher) Start(ctx context.Context) error {
	f.mu.Lock()
	f.started = true
	f.mu.Unlock()
	if err := f.sub.Start(ctx); err != nil {
		return fmt.Errorf("start fetcher of group %q: %w", f.group, err)
	}
	return nil
}

// intake takes what a Fetcher's subscription delivers.
type intake struct{ *Fetcher }

func (f intake) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range ds {
		f.waiting = append(f.waiting, task{ctx, s, d})
	}
	f.stir()
}

// stir wakes everybody who waits. mu is held.
func (f *Fetcher) stir() {
	close(f.more)
	f.more = make(chan struct{})
}

// Fetch returns up to n messages as soon as there is one. It waits until then, or
// until ctx ends, which is no failure: there are none, and the error is ctx's. After
// Drain or Stop it is message.ErrClosed.
func (f *Fetcher) Fetch(ctx context.Context, n int) ([]*message.Delivery, error) {
	if n < 1 {
		return nil, fmt.Errorf("fetch %d messages of group %q: at least 1", n, f.group)
	}
	began := time.Now()
	for {
		ds, more, ending := f.take(n)
		switch {
		case len(ds) > 0:
			f.tracer.Receive(ctx, trace.Received{Began: began, Group: f.group, Topic: f.topic, Deliveries: ds})
			return ds, nil
		case ending:
			return nil, fmt.Errorf("fetch messages of group %q: %w", f.group, message.ErrClosed)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, f.inVain(ctx.Err())
		}
	}
}

// inVain is the error of a Fetch whose ctx has ended.
func (f *Fetcher) inVain(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.started {
		return fmt.Errorf("fetch messages of group %q: there are none before Fetcher.Start is called: %w", f.group, err)
	}
	return err
}

// take takes what waits, but for messages whose queue was revoked.
func (f *Fetcher) take(n int) (ds []*message.Delivery, more <-chan struct{}, ending bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return nil, nil, true
	}
	i := 0
	for ; i < len(f.waiting) && len(ds) < n; i++ {
		w := f.waiting[i]
		if w.queue.Err() != nil {
			w.settler.Settle(w.d, driver.Verdict{})
			continue
		}
		ds = append(ds, w.d)
		out := fetchedTask{task: w}
		if f.messages != nil {
			run := f.messages.StartRun(f.group, w.d)
			out.run = &run
		}
		f.fetched[w.d] = out
	}
	if len(ds) > 0 {
		f.last = time.Now()
	}
	clear(f.waiting[:i])
	if f.waiting = f.waiting[i:]; len(f.waiting) == 0 {
		f.waiting = nil
	}
	return ds, f.more, false
}

// Ack says that messages are done. What the error names did not count, see
// ErrRevoked; the others did. The brokers learn of it within 5 s, at Commit or at
// Drain.
func (f *Fetcher) Ack(ds ...*message.Delivery) error {
	return f.answer(driver.Verdict{Action: driver.ActionAck}, ds)
}

// Retry has messages delivered again after a delay, 0 for that of the retry policy's
// back-off or else the broker's own (10 s, then more with each attempt), and has them
// dead-lettered after the policy's number of retries, 16 by default.
func (f *Fetcher) Retry(after time.Duration, ds ...*message.Delivery) error {
	if after < 0 {
		return fmt.Errorf("retry after %s: must not be negative", after)
	}
	v := driver.Verdict{Action: driver.ActionRetry, Delay: after, Strict: f.strict}
	if after > 0 || !f.policy.Grows() {
		return f.answer(v, ds)
	}
	var errs []error
	for i, d := range ds {
		if d != nil {
			v.Delay = f.policy.Decide(retry.Attempt{Reconsumed: d.ReconsumeTimes, Immediate: math.MaxInt, Random: rand.Float64()}, errAsked).Delay
		}
		errs = append(errs, f.answer(v, ds[i:i+1]))
	}
	return errors.Join(errs...)
}

// errAsked is the failure of a message that the program wants again.
var errAsked = errors.New("to be delivered again")

// DeadLetter gives messages up: they go to the group's dead letters.
func (f *Fetcher) DeadLetter(ds ...*message.Delivery) error {
	return f.answer(driver.Verdict{Action: driver.ActionDeadLetter}, ds)
}

func (f *Fetcher) answer(v driver.Verdict, ds []*message.Delivery) error {
	var errs []error
	for _, d := range ds {
		f.mu.Lock()
		w, ok := f.fetched[d]
		delete(f.fetched, d)
		if ok && len(f.fetched) == 0 {
			f.stir()
		}
		f.mu.Unlock()
		if d == nil || !ok {
			errs = append(errs, fmt.Errorf("%w or was answered before: %s", ErrRevoked, identify(d)))
			continue
		}
		w.traceAnswer(v)
		switch {
		case w.queue.Err() != nil:
			errs = append(errs, fmt.Errorf("%w: %s", ErrRevoked, identify(d)))
		default:
			f.count(d, v)
		}
		w.settler.Settle(d, v)
	}
	return errors.Join(errs...)
}

func identify(d *message.Delivery) string {
	if d == nil {
		return "no message"
	}
	return fmt.Sprintf("message %s of queue %v, offset %d", d.ID, d.Queue, d.QueueOffset)
}

// Commit makes the group's offsets known to the brokers now: of each queue that of
// its first message that was not answered. A driver that cannot is a
// message.ErrUnsupported; the offsets are committed every 5 s anyway.
func (f *Fetcher) Commit(ctx context.Context) error {
	c, ok := f.sub.(driver.Committer)
	if !ok {
		return fmt.Errorf("commit the offsets of group %q: %w by this driver; they are committed every 5 s, and by Drain", f.group, message.ErrUnsupported)
	}
	began := time.Now()
	err := c.Commit(ctx)
	f.tracer.Commit(ctx, trace.Settled{Began: began, Group: f.group, Queue: message.Queue{Topic: f.topic}, Err: err})
	return err
}

// count counts a failed message, which the broker may not deliver again.
func (f *Fetcher) count(d *message.Delivery, v driver.Verdict) {
	if v.Action == driver.ActionRetry && d.ReconsumeTimes >= f.policy.Retries() {
		v.Action = driver.ActionDeadLetter
	}
	count(f.tracer, d, v)
}

// Drain fetches no more, waits until everything that was fetched is answered, commits
// and leaves the group. When ctx ends or the ShutdownTimeout is over, it goes on like
// Stop, and its error says how many messages had no answer.
func (f *Fetcher) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.shutdownTimeout)
	defer cancel()
	left, more := f.end()
	for left > 0 && ctx.Err() == nil {
		select {
		case <-more:
		case <-ctx.Done():
		}
		left, more = f.end()
	}
	err := f.leave(ctx)
	if left > 0 {
		err = errors.Join(fmt.Errorf("drain fetcher of group %q: %d messages have no answer and are delivered again: %w", f.group, left, context.Cause(ctx)), err)
	}
	return err
}

// Stop leaves the group at once. What was fetched and not answered is delivered again,
// to this group's other members or later.
func (f *Fetcher) Stop(ctx context.Context) error {
	f.end()
	ctx, cancel := context.WithTimeout(ctx, f.shutdownTimeout)
	defer cancel()
	return f.leave(ctx)
}

// end lets nothing be fetched any more and says how many messages have no answer.
func (f *Fetcher) end() (left int, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ending {
		f.ending = true
		f.stir()
	}
	return len(f.fetched), f.more
}

// leave gives what waits back and ends the subscription.
func (f *Fetcher) leave(ctx context.Context) error {
	err := f.sub.Stop(ctx)
	f.unwatch()
	f.mu.Lock()
	waiting := f.waiting
	f.waiting = nil
	for _, w := range f.fetched {
		waiting = append(waiting, w.task)
		w.run.End(w.d, false, trace.EndedWithout)
	}
	clear(f.fetched)
	if !isClosed(f.closed) {
		close(f.closed)
	}
	f.mu.Unlock()
	for _, w := range waiting {
		w.settler.Settle(w.d, driver.Verdict{}) // it does not count any more
	}
	return err
}
