package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// Puller reads the queues of one topic from where the program tells it to: for
// programs that share the queues among themselves, read them again, or look into
// them. The group has no members by it and its queues are not shared out; a group
// with a Consumer or a Fetcher should not have a Puller that commits.
//
// Its methods may be called concurrently, but those about one queue should not be.
// It holds nothing that must be closed.
type Puller struct {
	drv      driver.Puller
	group    string
	filter   driver.TopicFilter
	from     Position // of a group without an offset
	wait     time.Duration
	tracer   *trace.Tracer
	messages *trace.MessageTracer

	requests requests

	mu        sync.Mutex // guards the following
	positions map[message.Queue]int64
	ends      map[message.Queue]int64 // as the last pulls told
}

// PullStatus is what came of a pull.
type PullStatus = driver.PullStatus

// Statuses of a pull, by RocketMQ's names.
const (
	PullFound         = driver.PullFound         // FOUND
	PullNoNewMsg      = driver.PullNoNewMsg      // NO_NEW_MSG
	PullNoMatchedMsg  = driver.PullNoMatchedMsg  // NO_MATCHED_MSG
	PullOffsetIllegal = driver.PullOffsetIllegal // OFFSET_ILLEGAL
)

// Pulled is what came of a pull: its Status, the Messages in offset order, the
// offset to go on from, Next, and the queue's bounds, First and End.
type Pulled = driver.PullAnswer

// NewPuller makes a puller of one topic. It heeds the options From, FromTime and PullWait;
// others are refused. Every mistake is reported, in a *RegistrationError; a driver that
// cannot pull is a message.ErrUnsupported.
func NewPuller(drv driver.Driver, group string, sub Subscription, opts ...GroupOption) (*Puller, error) {
	a, err := ask(asPuller, group, []Subscription{sub}, opts)
	if err != nil {
		return nil, err
	}
	pd, ok := drv.(driver.Puller)
	if !ok {
		return nil, cannot(drv, fmt.Sprintf("pull topic %q", sub.Topic))
	}
	return &Puller{
		drv: pd, group: group, filter: a.filters[0], from: a.begin(), wait: a.pullWait(), tracer: a.opts.tracer, messages: a.opts.messages,
		positions: make(map[message.Queue]int64), ends: make(map[message.Queue]int64),
	}, nil
}

// begin is where From and FromTime say.
func (a *asked) begin() Position {
	switch {
	case !a.opts.fromTime.IsZero():
		return Time(a.opts.fromTime)
	case a.opts.from == First:
		return Begin()
	}
	return End()
}

// Group is the consumer group's name.
func (p *Puller) Group() string { return p.group }

// Queues returns the topic's queues, sorted by broker name and id. A topic that does
// not exist is a message.ErrNoRoute.
func (p *Puller) Queues(ctx context.Context) ([]message.Queue, error) {
	qs, err := p.drv.ReadQueues(ctx, p.filter.Topic)
	return append([]message.Queue(nil), qs...), err
}

// Position says where to go on in a queue; see Puller.Seek.
type Position struct {
	kind   positionKind
	offset int64
	t      time.Time
}

type positionKind int

const (
	atCommitted positionKind = iota
	atBegin
	atEnd
	atOffset
	atTime
)

// Committed is where the group has committed to be; without that, where From says.
// It is where a Puller begins.
func Committed() Position { return Position{} }

// Begin is the first message that is still stored.
func Begin() Position { return Position{kind: atBegin} }

// End is behind the last message.
func End() Position { return Position{kind: atEnd} }

// Offset is the message of that offset.
func Offset(n int64) Position { return Position{kind: atOffset, offset: n} }

// Time is the first message that was stored at t or later, to the millisecond.
func Time(t time.Time) Position { return Position{kind: atTime, t: t} }

// Seek moves to another position of a queue, which it finds out at once, and returns
// its offset. An offset that the queue does not have shows with the next pull, as
// PullOffsetIllegal.
func (p *Puller) Seek(ctx context.Context, q message.Queue, to Position) (int64, error) {
	offset, err := p.find(ctx, q, to)
	if err != nil {
		return 0, err
	}
	p.move(q, offset)
	return offset, nil
}

func (p *Puller) find(ctx context.Context, q message.Queue, to Position) (int64, error) {
	if q.Topic != p.filter.Topic {
		return 0, fmt.Errorf("queue %v is not of topic %q, which this puller is for", q, p.filter.Topic)
	}
	switch to.kind {
	case atOffset:
		if to.offset < 0 {
			return 0, fmt.Errorf("seek in queue %v: offset %d is negative; offsets begin at 0", q, to.offset)
		}
		return to.offset, nil
	case atTime:
		return p.drv.OffsetAt(ctx, q, to.t)
	case atCommitted:
		offset, ok, err := p.drv.GroupOffset(ctx, p.group, q)
		if ok || err != nil {
			return offset, err
		}
		return p.find(ctx, q, p.from)
	case atBegin, atEnd:
	}
	first, end, err := p.drv.Bounds(ctx, q)
	if to.kind == atEnd {
		return end, err
	}
	return first, err
}

// Position is the offset of the next pull; ok is false before the first Seek or Pull.
func (p *Puller) Position(q message.Queue) (offset int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset, ok = p.positions[q]
	return offset, ok
}

func (p *Puller) move(q message.Queue, offset int64) {
	p.mu.Lock()
	p.positions[q] = offset
	p.mu.Unlock()
}

// Pull gets up to n messages, at most what the broker gives at once (Apache's: 32),
// from the queue's position, and moves it behind them. It waits
// for a message up to PullWait, which Apache's brokers can exceed by 5 s:
//
//	PullFound          there are messages
//	PullNoNewMsg       there were none
//	PullNoMatchedMsg   there were some that the filter does not take; the position is behind them
//	PullOffsetIllegal  the queue does not have the position, which stays: Seek, to Offset(Next) or elsewhere
//
// An error moves nothing, ctx's own too when it ends before.
func (p *Puller) Pull(ctx context.Context, q message.Queue, n int) (Pulled, error) {
	if n < 1 || n > maxPullBatch {
		return Pulled{}, fmt.Errorf("pull %d messages of queue %v: 1 to %d", n, q, maxPullBatch)
	}
	got, err := p.pull(ctx, q, n)
	p.requests.note(ctx, err)
	return got, err
}

func (p *Puller) pull(ctx context.Context, q message.Queue, n int) (Pulled, error) {
	offset, ok := p.Position(q)
	if !ok {
		var err error
		if offset, err = p.Seek(ctx, q, Committed()); err != nil {
			return Pulled{}, err
		}
	}
	began := time.Now()
	told, at := reaching(ctx, p.tracer)
	got, err := p.drv.Pull(told, driver.PullRequest{
		Group: p.group, Queue: q, Filter: p.filter, Offset: offset, Max: n, Wait: p.wait,
	})
	p.tracer.Receive(ctx, trace.Received{Began: began, Group: p.group, Topic: q.Topic, Queue: q, Server: at.Addr, Deliveries: got.Messages, Err: err})
	if err != nil {
		return Pulled{}, err
	}
	p.mu.Lock()
	if p.ends[q] = got.End; got.Status != PullOffsetIllegal {
		p.positions[q] = max(offset, got.Next)
	}
	p.mu.Unlock()
	p.tracePulled(got.Messages)
	return got, nil
}

// Commit makes the positions of queues the group's, of all that were pulled when
// none is named: every message before them counts as consumed.
func (p *Puller) Commit(ctx context.Context, queues ...message.Queue) error {
	var errs []error
	for q, offset := range p.toCommit(queues) {
		began := time.Now()
		told, at := reaching(ctx, p.tracer)
		err := p.drv.CommitOffset(told, p.group, q, offset)
		p.tracer.Commit(ctx, trace.Settled{Began: began, Group: p.group, Queue: q, Server: at.Addr, Err: err})
		if err != nil {
			errs = append(errs, fmt.Errorf("commit offset %d of group %q in queue %v: %w", offset, p.group, q, err))
		}
	}
	return errors.Join(errs...)
}

func (p *Puller) toCommit(queues []message.Queue) map[message.Queue]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(queues) == 0 {
		return maps.Clone(p.positions)
	}
	named := make(map[message.Queue]int64, len(queues))
	for _, q := range queues {
		if offset, ok := p.positions[q]; ok {
			named[q] = offset
		}
	}
	return named
}
