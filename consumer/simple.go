package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// SimpleConsumer receives messages one request at a time, from brokers of 5.0 and
// later (POP). The broker decides who gets which message: there are no queues to
// share, members come and go without a hand-over, and a slow one holds up nobody. A
// message that was received is hidden from the others for a while, Invisible; unless
// it is acknowledged by then it comes again, to anybody.
//
// A group consumes in this way or as a Consumer or a Fetcher, not both. Methods may be
// called concurrently, but not about the same message. It holds nothing that must be
// closed.
type SimpleConsumer struct {
	drv       driver.Popper
	group     string
	filters   []driver.TopicFilter
	from      driver.From
	invisible time.Duration
	wait      time.Duration
	retries   int
	log       *slog.Logger
	tracer    *trace.Tracer
	runs      popRuns
	requests  requests
	turn      atomic.Uint64 // whom to ask first
	failing   sync.Map      // popTarget: whose failure is logged
}

// defaultInvisible is Apache's popInvisibleTime.
const defaultInvisible = time.Minute

// maxPop is what Apache's brokers give at once (PopMessageProcessor).
const maxPop = 32

// Invisible is how long a message that SimpleConsumer.Receive has returned is hidden
// from others, 1 s to 12 h; one minute by default.
func Invisible(d time.Duration) GroupOption {
	return groupOption(func(o *groupOptions) { o.invisible = chosen(d) })
}

// NewSimpleConsumer makes one for the topics. It heeds the options From, Invisible,
// PullWait, Retry and MaxRetries (for the number of retries) and Logger; others are
// refused. Every mistake is reported, in a *RegistrationError; a driver that cannot pop
// is a message.ErrUnsupported.
func NewSimpleConsumer(drv driver.Driver, group string, subs []Subscription, opts ...GroupOption) (*SimpleConsumer, error) {
	a, err := ask(asSimple, group, subs, opts)
	if err != nil {
		return nil, err
	}
	pd, ok := drv.(driver.Popper)
	if !ok {
		return nil, cannot(drv, fmt.Sprintf("pop messages for group %q", group))
	}
	return &SimpleConsumer{
		drv: pd, group: group, filters: a.filters, from: a.opts.from, invisible: a.opts.invisible.or(defaultInvisible),
		wait: a.pullWait(), retries: a.opts.policy().Retries(), log: a.logger(), tracer: a.opts.tracer,
		runs: popRuns{tracer: a.opts.messages, group: group},
	}, nil
}

// Group is the consumer group's name.
func (s *SimpleConsumer) Group() string { return s.group }

// popTarget is a topic on a broker.
type popTarget struct {
	filter driver.TopicFilter
	broker string
}

// sliceOfWait is how long one broker is waited for while there are others.
const sliceOfWait = time.Second

// Receive returns up to n messages, 1 to 32. It asks the brokers of its topics in turn
// and waits up to PullWait until one has something; none and nil say that there was
// nothing, and a broker that fails at once is left out, and logged once, while another
// works. When ctx ends before, the error is ctx's. A message that has come more often
// than the retry policy allows goes to the group's dead letters instead.
func (s *SimpleConsumer) Receive(ctx context.Context, n int) ([]*message.Delivery, error) {
	if n < 1 || n > maxPop {
		return nil, fmt.Errorf("receive %d messages of group %q: 1 to %d", n, s.group, maxPop)
	}
	began := time.Now()
	told, at := reaching(ctx, s.tracer)
	ds, err := s.receive(told, n)
	if len(ds) == 0 && at.Several {
		at.Addr = ""
	}
	s.tracer.Receive(ctx, trace.Received{Began: began, Group: s.group, Topic: only(s.filters), Server: at.Addr, Deliveries: ds, Err: err})
	s.requests.note(ctx, err)
	s.runs.begin(ds)
	return ds, err
}

// receive asks the brokers in turn.
func (s *SimpleConsumer) receive(ctx context.Context, n int) ([]*message.Delivery, error) {
	targets, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	first := s.turn.Add(1)
	until := time.Now().Add(s.wait)
	var up []popTarget
	var failed []error
	for i := range targets { // first all without a wait
		at := targets[(first+uint64(i))%uint64(len(targets))]
		ds, err := s.pop(ctx, at, n, 0)
		s.notice(ctx, at, err)
		switch {
		case len(ds) > 0:
			return ds, nil
		case err != nil:
			failed = append(failed, err)
		default:
			up = append(up, at)
		}
	}
	if len(up) == 0 {
		return nil, errors.Join(failed...)
	}
	var rest popRest
	for i := 0; ; i++ {
		asked := time.Now()
		left := until.Sub(asked)
		if left < time.Millisecond {
			return nil, nil
		}
		if len(up) > 1 {
			left = min(left, sliceOfWait)
		}
		ds, err := s.pop(ctx, up[i%len(up)], n, left)
		if len(ds) > 0 || err != nil {
			return ds, err
		}
		if err := rest.after(ctx, time.Since(asked), time.Until(until)); err != nil {
			return nil, err
		}
	}
}

// notice logs that a broker begins to fail, which Receive does not tell while another works.
func (s *SimpleConsumer) notice(ctx context.Context, at popTarget, err error) {
	if err == nil {
		s.failing.Delete(at)
		return
	}
	if ctx.Err() != nil {
		return
	}
	if _, known := s.failing.LoadOrStore(at, true); !known {
		s.log.LogAttrs(ctx, slog.LevelWarn, "broker gives no messages", slog.String("group", s.group), slog.String("topic", at.filter.Topic),
			slog.String("broker", at.broker), slog.Any("error", err), slog.String("next", "left out while another works, and asked again by each Receive"))
	}
}

// Pauses between requests that brokers answer at once with nothing, as one does where
// too many requests wait already (POLLING_FULL).
const (
	heldPop      = 50 * time.Millisecond // a request that took longer was let wait
	popPause     = 100 * time.Millisecond
	popPauseMost = time.Second
)

// popRest keeps a Receive from asking without a pause.
type popRest struct {
	early int // answers in a row that came at once
	pause time.Duration
}

// after rests when an answer with nothing came too soon too often, until the time that
// is left is over or ctx ends.
func (r *popRest) after(ctx context.Context, took, left time.Duration) error {
	if took >= heldPop {
		*r = popRest{}
		return nil
	}
	if r.early++; r.early <= 2 || left <= 0 {
		return nil
	}
	r.pause = min(max(2*r.pause, popPause), popPauseMost)
	t := time.NewTimer(min(r.pause, left))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// targets are all topics on all of their brokers.
func (s *SimpleConsumer) targets(ctx context.Context) ([]popTarget, error) {
	var all []popTarget
	for _, f := range s.filters {
		brokers, err := s.drv.PopBrokers(ctx, f.Topic)
		if err != nil {
			return nil, err
		}
		for _, b := range brokers {
			all = append(all, popTarget{f, b})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("receive messages of group %q: %w: its topics have no readable queues", s.group, message.ErrNoRoute)
	}
	return all, nil
}

// pop makes one request and dead-letters what has come too often.
func (s *SimpleConsumer) pop(ctx context.Context, at popTarget, n int, wait time.Duration) ([]*message.Delivery, error) {
	ds, err := s.drv.Pop(ctx, driver.PopRequest{
		Group: s.group, Filter: at.filter, Broker: at.broker, From: s.from, Max: n, Invisible: s.invisible, Wait: wait,
	})
	kept := ds[:0]
	for _, d := range ds {
		if d.ReconsumeTimes <= s.retries {
			kept = append(kept, d)
			continue
		}
		if err := s.giveUp(ctx, d); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "message not dead-lettered; it comes again", append(identity(d), slog.Any("error", err))...)
		}
	}
	return kept, err
}

// Ack says that messages are done. One that was hidden no longer may have gone to
// somebody else: it is acknowledged all the same, and the error is ErrRevoked.
func (s *SimpleConsumer) Ack(ctx context.Context, ds ...*message.Delivery) error {
	return s.each(ds, func(d *message.Delivery) error {
		began := time.Now()
		told, at := reaching(ctx, s.tracer)
		err := s.drv.AckPopped(told, d)
		s.tracer.Ack(ctx, trace.Settled{Began: began, Group: s.group, Delivery: d, Server: at.Addr, Err: err})
		if err == nil {
			s.runs.end(d, true)
		}
		return err
	})
}

// Extend hides messages for that long from now on: longer, for more time to handle
// them, or shorter, to have them come again sooner.
func (s *SimpleConsumer) Extend(ctx context.Context, invisible time.Duration, ds ...*message.Delivery) error {
	if err := checkInvisible(invisible); err != nil {
		return fmt.Errorf("extend: %w", err)
	}
	return s.each(ds, func(d *message.Delivery) error {
		err := s.drv.ExtendPopped(ctx, d, invisible)
		if err == nil {
			s.runs.extended(d)
		}
		return err
	})
}

// DeadLetter gives messages up: they go to the group's dead letters.
func (s *SimpleConsumer) DeadLetter(ctx context.Context, ds ...*message.Delivery) error {
	return s.each(ds, func(d *message.Delivery) error {
		err := s.giveUp(ctx, d)
		if err == nil {
			s.runs.end(d, false)
		}
		return err
	})
}

// giveUp dead-letters a message.
func (s *SimpleConsumer) giveUp(ctx context.Context, d *message.Delivery) error {
	began := time.Now()
	told, at := reaching(ctx, s.tracer)
	err := s.drv.DeadLetterPopped(told, d)
	s.tracer.Nack(ctx, trace.Settled{Began: began, Group: s.group, Delivery: d, Server: at.Addr, Err: err})
	if err == nil {
		s.tracer.DeadLettered(d)
	}
	return err
}

// each answers messages and joins what failed.
func (s *SimpleConsumer) each(ds []*message.Delivery, answer func(*message.Delivery) error) error {
	var errs []error
	for _, d := range ds {
		if d == nil || d.Claim() == nil {
			errs = append(errs, fmt.Errorf("%s was not received by a SimpleConsumer", identify(d)))
			continue
		}
		late := !time.Now().Before(d.Claim().Until)
		err := answer(d)
		switch {
		case err != nil:
			errs = append(errs, err)
		case late:
			errs = append(errs, fmt.Errorf("%w: it was hidden until %s: %s", ErrRevoked, d.Claim().Until.Format(time.RFC3339), identify(d)))
		}
	}
	return errors.Join(errs...)
}

const maxInvisible = 12 * time.Hour

func checkInvisible(d time.Duration) error {
	if d < time.Second || d > maxInvisible {
		return fmt.Errorf("invisible for %s: 1s to %s", d, maxInvisible)
	}
	return nil
}
