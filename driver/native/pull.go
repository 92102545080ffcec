package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// answerTime is how long past the broker's waiting time a pull may take
// (Apache's clients: 30 s for a wait of 15 s).
const answerTime = 15 * time.Second

// parkedAfter is when a pull that has no answer is surely waiting at the broker.
const parkedAfter = 50 * time.Millisecond

// puller is a queue's side of its long polls, one at a time.
type puller struct {
	q         *queue
	busy      bool
	term      int       // answers to pulls of earlier terms do not count
	at        time.Time // not to be made before
	sent      time.Time // when the last one was made
	carried   bool      // it carried an offset to commit
	suggested int64     // broker id to pull from
	pause     backoff
	empty     int // empty answers in a row that came at once
	warnings  seldom
	missing   time.Time // the first time in a while that the broker lacked our subscription
	outdated  time.Time // the first time since an answer that it had an older one; zero: it has not
}

func (p *puller) init(q *queue) { *p = puller{q: q, suggested: protocol.MasterID} }

// forget lets the answer to the pull under way not count.
func (p *puller) forget() {
	p.term++
	p.busy, p.at = false, time.Time{}
}

// pulled is a broker's answer, copied from the connection.
type pulled struct {
	code   protocol.Code
	header protocol.PullResponse
	body   []byte
	err    error
	by     *broker
}

// hasRoom is the flow control, by the configured limits and nothing else: no
// pull while the queue's handlers have enough to do.
func (q *queue) hasRoom() bool {
	cfg, w := &q.s.cfg, &q.win
	if w.live == 0 {
		return true
	}
	return w.live+q.batch() <= cfg.MaxUnsettled && w.bytes < cfg.MaxUnsettledBytes && w.span() < cfg.MaxSpan
}

// batch is the most messages in one pull.
func (q *queue) batch() int { return min(q.s.cfg.PullBatch, q.s.cfg.MaxUnsettled) }

// pullDue pulls when it is time and there is room.
func (q *queue) pullDue(now time.Time) time.Time {
	p := &q.pull
	switch {
	case p.busy || !q.hasRoom() || !q.mine(now):
		return now.Add(time.Hour) // until the answer, a settlement, or the lock
	case now.Before(p.at):
		return p.at
	}
	b, master, err := q.s.c.reader(q.mq, p.suggested)
	if err != nil {
		p.failed(now, err)
		return p.at
	}
	p.busy, p.sent = true, now
	h := q.pullHeader(master)
	p.carried = h.SysFlag&protocol.PullCommitOffset != 0
	term := p.term
	ctx := remoting.WithTimeout(context.Background(), q.s.cfg.SuspendTimeout+answerTime)
	b.start(ctx, q.mq.Broker, pullOp, protocol.PullMessage, h, func(resp *protocol.Command, err error) {
		r := &pulled{err: err, by: b}
		if resp != nil {
			r.read(resp, err)
		}
		q.post(func() { q.answered(term, r) })
	})
	return now.Add(time.Hour)
}

const pullOp = "pull"

func (q *queue) pullHeader(master bool) *protocol.PullRequest {
	h := &protocol.PullRequest{
		ConsumerGroup: q.s.cfg.Group, Topic: q.mq.Topic, QueueID: int32(q.mq.ID), QueueOffset: q.next,
		MaxMessages: int32(q.batch()), SysFlag: protocol.PullSuspend,
		SuspendTimeout: q.s.cfg.SuspendTimeout.Milliseconds(),
		SubVersion:     q.f.version.Load(), ExpressionType: q.f.data.ExpressionType, BrokerName: q.mq.Broker,
	}
	// Apache keeps a group's expression for a day after its last member, and takes no older
	// one for it: rocketmq-client-go's have versions in ns. One that comes with the pull
	// counts whatever is kept, but lets everything pass when it cannot be read.
	if q.f.readable.Load() {
		h.SysFlag |= protocol.PullSubscription
		h.Subscription = q.f.data.SubString
	}
	// A commit that travels with a pull costs nothing; slaves do not keep offsets,
	// and Apache takes none of 0.
	if low := q.low(); master && low > 0 && q.s.local == nil {
		h.SysFlag |= protocol.PullCommitOffset
		h.CommitOffset = low
	}
	return h
}

// read copies an answer. It runs on the connection's reader.
func (r *pulled) read(resp *protocol.Command, err error) {
	r.code = resp.Code
	switch resp.Code {
	case protocol.Success, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
		r.err = r.header.DecodeFields(resp.Fields)
		r.body = bytes.Clone(resp.Body)
	default:
		r.err = err
	}
}

// answered goes on after a pull.
func (q *queue) answered(term int, r *pulled) {
	p := &q.pull
	if term != p.term {
		return
	}
	p.busy = false
	if q.life.Err() != nil {
		return // nothing is delivered any more
	}
	now := time.Now()
	if r.err != nil {
		if q.refusedPull(r) {
			p.at = now.Add(p.pause.next())
		} else {
			p.failed(now, r.err)
		}
		return
	}
	p.outdated = time.Time{}
	p.suggested = r.header.SuggestBroker
	q.progress.told(q.low(), r.header.MaxOffset)
	advanced := r.header.NextBeginOffset > q.next
	switch r.code {
	case protocol.Success:
		p.pause.reset()
		p.empty = 0
		if err := q.deliver(r); err != nil {
			p.failed(now, err)
		}
		return
	case protocol.PullOffsetMoved:
		q.offsetMoved(r.header.NextBeginOffset)
	default: // nothing new, or nothing that matches up to there
		q.next = max(q.next, r.header.NextBeginOffset)
	}
	p.at = now
	if advanced || now.Sub(p.sent) >= parkedAfter {
		p.pause.reset()
		p.empty = 0
		return
	}
	// A broker that does not let pulls wait must not be asked without a pause.
	if p.empty++; p.empty > 2 {
		p.at = now.Add(p.pause.next())
	}
}

// offsetMoved goes on where the broker says: the offset is before the first
// message that it still has, beyond its last one, or was reset.
func (q *queue) offsetMoved(next int64) {
	if q.win.n > 0 {
		q.moveTo(next, "the broker no longer has, or not yet, the offset that was asked for")
		return
	}
	if next != q.next {
		q.s.c.log.Info("queue continues at another offset", "group", q.s.group, "queue", q.shown, "from", q.next, "to", next)
	}
	q.next = next
	q.commitAt = time.Now()
}

// refusedPull does what makes the next attempt succeed, where that is known. It is
// true when that is a heartbeat which the broker gets anyway.
func (q *queue) refusedPull(r *pulled) (awaited bool) {
	switch r.code {
	case protocol.SubscriptionNotExist, protocol.SubscriptionNotLatest:
		var first bool
		first, awaited = q.pull.refusedFor(r.code, r.err)
		r.by.greetSoon(func() {
			if first {
				q.post(func() {
					q.pull.at = time.Time{}
					q.pull.pause.reset()
				})
			}
		})
	case protocol.FilterDataNotExist, protocol.FilterDataNotLatest:
		r.by.greetSoon(func() {}) // it lacks this group's subscription
	case protocol.TopicNotExist:
		q.s.c.routes.refresh(q.mq.Topic)
	}
	if errors.Is(r.err, message.ErrUnreachable) {
		q.s.c.routes.refresh(q.mq.Topic)
	}
	return awaited
}

// failed puts the next pull off.
func (p *puller) failed(now time.Time, err error) {
	q := p.q
	p.at = now.Add(p.pause.next())
	q.warn(&p.warnings, "pull failed; trying again", q.next, err)
}

// deliver hands the messages of an answer to the sink. An error means that the
// queue cannot go on past q.next.
func (q *queue) deliver(r *pulled) error {
	b := newBatch(q, r.body)
	err := b.decode()
	switch {
	case err == nil:
		q.next = max(q.next, r.header.NextBeginOffset)
	case b.after >= 0:
		q.next = max(q.next, b.after)
	}
	switch {
	case len(b.out) == 0:
	case q.ord != nil:
		q.lineUp(b.out)
	default:
		q.s.sink.Deliver(q.work, q, b.out)
	}
	for _, u := range b.unreadable {
		q.s.c.log.Error("a message's body cannot be read; dead-lettering it", "group", q.s.group, "queue", q.shown, "offset", u.d.QueueOffset, "id", u.d.ID, "error", u.err)
		q.deadLetter(q.win.find(u.d.QueueOffset), driver.Verdict{Action: driver.ActionDeadLetter})
	}
	if err != nil {
		return fmt.Errorf("the messages after offset %d cannot be read, so that the queue does not go on: %w", q.next, err)
	}
	return nil
}
