package producer

import (
	"context"
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// Outcome is what became of one message of a batch.
type Outcome struct {
	Result message.SendResult
	Err    error
}

// SendBatch sends messages in as few requests as possible and waits. It returns
// one Outcome for each message, in their order, and a *BatchError when at least
// one failed.
//
// One request carries messages of one topic and goes to one queue, so messages
// are grouped by topic and, where a sharding key or selector chooses, by queue;
// a group is split where it passes MaxMessageSize. Messages of one group keep
// their order. A request is stored as a whole or not at all, and is tried again
// like a single message; a batch of several requests can be stored in part.
//
// Before anything is sent all messages are checked: if one is not valid none is
// sent. Delayed messages and retry topics are refused, since RocketMQ cannot
// batch them, and transactional messages are not for batches.
func (p *Producer) SendBatch(ctx context.Context, ms []*message.Message) ([]Outcome, error) {
	if !p.caps.Batch {
		return nil, fmt.Errorf("producer %s: batches are %w by this driver", p.group, message.ErrUnsupported)
	}
	if len(ms) == 0 {
		return nil, fmt.Errorf("producer %s: %w: the batch is empty", p.group, message.ErrInvalidMessage)
	}
	return p.sendBatch(ctx, ms, make([]Outcome, len(ms)))
}

// sendBatch is SendBatch where some messages may have failed already, as out says.
func (p *Producer) sendBatch(ctx context.Context, ms []*message.Message, out []Outcome) ([]Outcome, error) {
	if p.checkBatch(ms, out) {
		if !p.flow.begin() {
			for i := range out {
				out[i].Err = p.closedError()
			}
		} else {
			p.sendParts(ctx, ms, out)
			p.flow.leave()
		}
	}
	var errs []error
	for _, o := range out {
		if o.Err != nil {
			errs = append(errs, o.Err)
		}
	}
	if errs == nil {
		return out, nil
	}
	return out, &BatchError{Failed: len(errs), Total: len(ms), Errs: errs}
}

// checkBatch writes what is wrong into out; false means that nothing may be
// sent.
func (p *Producer) checkBatch(ms []*message.Message, out []Outcome) bool {
	refused := -1
	for i, m := range ms {
		err := out[i].Err
		if err == nil {
			err = p.check(m)
		}
		switch {
		case err != nil:
		case !m.Delay.IsZero():
			err = fmt.Errorf("%w: topic %q: a delayed message cannot be part of a batch; send it alone", message.ErrInvalidMessage, m.Topic)
		case isRetryTopic(m.Topic):
			err = fmt.Errorf("%w: topic %q: a retry topic takes no batches", message.ErrInvalidTopic, m.Topic)
		}
		if err != nil {
			out[i].Err = fmt.Errorf("message %d: %w", i, err)
			if refused < 0 {
				refused = i
			}
		}
	}
	if refused < 0 {
		return true
	}
	for i := range out {
		if out[i].Err == nil {
			out[i].Err = errNotBatched{refused}
		}
	}
	return false
}

// item is one message of a batch on its way.
type item struct {
	at      int // its index in the batch
	out     driver.Outgoing
	ctx     context.Context // what the interceptors made of the batch's
	passed  int             // interceptors
	created trace.Created
}

// part is one request of a batch.
type part struct {
	items []*item
	size  int // as the broker counts it
}

// sendParts sends the messages, group after group.
func (p *Producer) sendParts(ctx context.Context, ms []*message.Message, out []Outcome) {
	items := make([]item, len(ms))
	for i, m := range ms {
		it := &items[i]
		*it = item{at: i, out: driver.Outgoing{Message: m, ID: p.sender.NewID()}}
		it.ctx, it.created = p.cfg.tracer.Create(ctx, m, it.out.ID, (*properties)(&it.out))
		if len(p.cfg.interceptors) > 0 {
			it.ctx, it.passed, out[i].Err = p.before(it.ctx, &it.out)
		}
	}
	for _, pt := range p.parts(ctx, items, out) {
		p.sendPart(ctx, pt, out)
	}
	for i := range items {
		if it := &items[i]; it.passed > 0 {
			p.after(it.ctx, &it.out, it.passed, out[i].Result, out[i].Err)
		}
	}
}

// parts makes the requests of a batch. What cannot be sent gets its error.
func (p *Producer) parts(ctx context.Context, items []item, out []Outcome) []*part {
	type target struct {
		topic string
		queue message.Queue // zero: any
	}
	var parts []*part
	var last target // pt's; most batches are of one
	var pt *part
	filling := map[target]*part{}
	queues := map[string][]message.Queue{}
	for i := range items {
		it := &items[i]
		if out[it.at].Err != nil {
			continue
		}
		to := target{topic: it.out.Topic}
		if p.sends.selector != nil || it.out.ShardingKey != "" {
			var err error
			if to.queue, err = p.place(ctx, it.out.Message, queues); err != nil {
				out[it.at].Err = err
				continue
			}
		}
		size := storedSize(&it.out)
		if pt == nil || to != last {
			pt, last = filling[to], to
		}
		if pt == nil || pt.size+size > p.cfg.maxMessageSize {
			pt = &part{}
			if len(parts) == 0 {
				pt.items = make([]*item, 0, len(items))
			}
			filling[to] = pt
			parts = append(parts, pt)
		}
		pt.items = append(pt.items, it)
		pt.size += size
	}
	return parts
}

// place is the queue that m's key or the selector asks for. queues remembers
// the topics' queues, so that one batch sees one route.
func (p *Producer) place(ctx context.Context, m *message.Message, queues map[string][]message.Queue) (message.Queue, error) {
	qs, ok := queues[m.Topic]
	if !ok {
		bounded := newSendContext(ctx, p.sends.sendTimeout)
		defer bounded.end(context.Canceled)
		var err error
		if qs, err = p.queues(bounded, m.Topic); err != nil {
			return message.Queue{}, err
		}
		queues[m.Topic] = qs
	}
	return p.selected(p.selector(m), m, qs)
}

// storedSize is at least what a broker counts of one message of a batch: its
// record, with the properties that are added on the way.
func storedSize(o *driver.Outgoing) int {
	const record = 120 // lengths, offsets, two IPv6 hosts
	const added = 128  // the id, flags
	n := record + len(o.Topic) + len(o.Body) + o.PropertiesSize() + added
	for _, e := range o.Extra {
		n += len(e.Name) + len(e.Value) + 2
	}
	return n
}

// sendPart sends one request and shares its outcome out. A single message
// travels as such: it may be as large as allowed, which a batch's entry may not.
func (p *Producer) sendPart(ctx context.Context, pt *part, out []Outcome) {
	o := p.newOp()
	o.parts = len(pt.items)
	for _, it := range pt.items {
		o.size += int64(len(it.out.Body))
	}
	if first := &pt.items[0].out; len(pt.items) == 1 {
		o.kind, o.out.Message, o.out.ID, o.out.Extra = single, first.Message, first.ID, append(o.out.Extra, first.Extra...)
	} else {
		o.kind, o.batch = batch, make([]*driver.Outgoing, len(pt.items))
		for i, it := range pt.items {
			o.batch[i] = &it.out
		}
	}
	o.user, o.span = p.startSpan(ctx, pt)
	if o.err = p.admit(o.user, o); o.err == nil {
		o.run()
	}
	r, err := o.conclude()
	p.flow.vacate(o)
	p.share(o, pt, r, err, out)
	p.recycle(o)
}

func isRetryTopic(topic string) bool { return strings.HasPrefix(topic, message.RetryPrefix) }

// splitIDs takes the ids of n messages apart; they are empty when the broker gave
// another number of them.
func splitIDs(joined string, n int) []string {
	if ids := strings.Split(joined, ","); len(ids) == n {
		return ids
	}
	return make([]string, n)
}

// share gives each message of a request its outcome: a broker stores them in
// their order, at consecutive offsets.
func (p *Producer) share(o *op, pt *part, r message.SendResult, err error, out []Outcome) {
	offsetIDs := splitIDs(r.OffsetMessageID, len(pt.items))
	for i, it := range pt.items {
		each := Outcome{Err: err}
		if err == nil {
			each.Result = r
			each.Result.MessageID = it.out.ID
			each.Result.QueueOffset = r.QueueOffset + int64(i)
			each.Result.OffsetMessageID = offsetIDs[i]
			if o.kind == batch { // else it is noted already
				o.written(it.out.Message, each.Result)
			}
			each.Result, each.Err = p.durable(each.Result)
		}
		out[it.at] = each
	}
}
