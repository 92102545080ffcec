package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/message"
)

// Position is the group whose committed offsets say how far redrives of a group's
// dead letters are.
func Position(group string) string {
	const suffix = "_redrive"
	return group[:min(len(group), message.MaxGroupLength-len(suffix))] + suffix
}

// Option sets how a Redrive goes.
type Option func(*redrive)

// Filter sends only the letters that keep takes; the others are passed over, and
// their place is behind the position then.
func Filter(keep func(*Letter) bool) Option { return func(r *redrive) { r.keep = keep } }

// minRate is the smallest that Rate takes, in letters a second.
const minRate = 0.001

// Rate sends at most so many letters a second, 0.001 or more.
func Rate(perSecond float64) Option { return func(r *redrive) { r.rate = perSecond } }

// DryRun sends nothing and moves no position: the Report is of what would be sent.
func DryRun() Option { return func(r *redrive) { r.dry = true } }

// ToOrigin sends the letters to their original topic, not to the group's retry
// topic: see the package's documentation.
func ToOrigin() Option { return func(r *redrive) { r.origin = true } }

// FromStart begins with the oldest letter, wherever earlier redrives have been.
func FromStart() Option { return func(r *redrive) { r.again = true } }

// OnProgress is called after each letter, on the goroutine of Redrive.
func OnProgress(f func(Progress)) Option { return func(r *redrive) { r.progress = f } }

// Report says what a Redrive has done.
type Report struct {
	// Total is how many letters there were to look at.
	Total int64
	// Sent and Filtered are those of them that were stored again, or would have been
	// in a dry run, and that Filter did not take.
	Sent, Filtered int64
}

// Progress is a Report on the way.
type Progress struct {
	Report
	// Letter is the one that was just dealt with.
	Letter *Letter
}

// redrive is one run.
type redrive struct {
	*reader
	keep               func(*Letter) bool
	rate               float64
	dry, origin, again bool
	progress           func(Progress)

	report Report
	next   time.Time // when the next letter may be sent
	nils   int
}

// Redrive sends the dead letters of a group back to it, and returns how many. It takes
// those that there are when it begins and that no earlier one has passed. After an
// error, or when ctx ends, what was sent counts: the next call goes on behind it.
// A group without dead letters has none to send, and one that nobody knows neither: then
// the Report is zero.
func Redrive(ctx context.Context, client Client, group string, opts ...Option) (Report, error) {
	r := &redrive{keep: func(*Letter) bool { return true }, progress: func(Progress) {}}
	for _, o := range opts {
		if o == nil {
			r.nils++
			continue
		}
		o(r)
	}
	if err := r.validate(); err != nil {
		return Report{}, fmt.Errorf("redrive the dead letters of group %s: %w", group, err)
	}
	var err error
	if r.reader, err = open(ctx, client, group); err != nil {
		return Report{}, err
	}
	starts := make([]int64, len(r.queues))
	for i, q := range r.queues {
		if starts[i], err = r.start(ctx, q); err != nil {
			return Report{}, err
		}
		r.report.Total += q.Max - starts[i]
	}
	for i, q := range r.queues {
		if err := r.queue(ctx, q, starts[i]); err != nil {
			return r.report, fmt.Errorf("redrive the dead letters of group %s, after %d of %d: %w; call it again to go on", group, r.report.Sent+r.report.Filtered, r.report.Total, err)
		}
	}
	return r.report, nil
}

func (r *redrive) validate() error {
	switch {
	case r.nils > 0:
		return fmt.Errorf("%d of the options are nil; remove them", r.nils)
	case r.keep == nil || r.progress == nil:
		return errors.New("Filter and OnProgress want a function")
	case r.rate != 0 && !(r.rate >= minRate):
		return fmt.Errorf("a rate of %v letters a second: want %v or more, or 0 for none", r.rate, minRate)
	}
	return nil
}

// start is where a queue's letters begin that no redrive has passed.
func (r *redrive) start(ctx context.Context, q admin.QueueState) (int64, error) {
	if r.again {
		return q.Min, nil
	}
	at, _, err := r.a.Offset(ctx, Position(r.group), q.Queue)
	if err != nil {
		return 0, fmt.Errorf("position of the redrive of group %s: %w", r.group, err)
	}
	return min(max(at, q.Min), q.Max), nil
}

// queue sends the letters of a queue and commits how far it came, whatever ends it.
func (r *redrive) queue(ctx context.Context, q admin.QueueState, at int64) error {
	for at < q.Max {
		letters, next, err := r.read(ctx, q, at)
		if err != nil {
			return err
		}
		done := next // all of the page
		for _, l := range letters {
			if err = r.one(ctx, l); err != nil {
				done = l.QueueOffset
				break
			}
			r.progress(Progress{r.report, l})
		}
		if done > at {
			err = errors.Join(err, r.commit(ctx, q.Queue, done))
		}
		if err != nil {
			return err
		}
		at = next
	}
	return nil
}

// one deals with a letter.
func (r *redrive) one(ctx context.Context, l *Letter) error {
	if !r.keep(l) {
		r.report.Filtered++
		return ctx.Err()
	}
	if !r.dry {
		if err := r.wait(ctx); err != nil {
			return err
		}
		topic := message.RetryTopic(r.group)
		if r.origin {
			topic = l.OriginTopic()
			if topic == l.Queue.Topic {
				return fmt.Errorf("message %s at offset %d of broker %s does not say which topic it was sent to; use no ToOrigin, or Filter it out", l.ID, l.QueueOffset, l.Queue.Broker)
			}
		}
		if _, err := r.a.Republish(ctx, l.Delivery, topic); err != nil {
			return err
		}
	}
	r.report.Sent++
	return nil
}

// wait keeps the rate.
func (r *redrive) wait(ctx context.Context) error {
	if r.rate == 0 {
		return ctx.Err()
	}
	now := time.Now()
	if r.next.Before(now) {
		r.next = now
	}
	pause := time.NewTimer(r.next.Sub(now))
	defer pause.Stop()
	r.next = r.next.Add(time.Duration(float64(time.Second) / r.rate))
	select {
	case <-pause.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitTime bounds the note of how far a redrive came, after ctx has ended.
const commitTime = 5 * time.Second

func (r *redrive) commit(ctx context.Context, q message.Queue, offset int64) error {
	if r.dry {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	err := r.a.CommitOffset(ctx, Position(r.group), q, offset)
	var refused *message.BrokerError
	if errors.As(err, &refused) && refused.Name == "SUBSCRIPTION_GROUP_NOT_EXIST" {
		if err := r.a.CreateGroup(ctx, admin.DefaultGroup(Position(r.group)), admin.Target{Broker: q.Broker}); err != nil {
			return err
		}
		err = r.a.CommitOffset(ctx, Position(r.group), q, offset)
	}
	return err
}
