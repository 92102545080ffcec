package consumer

import (
	"errors"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// MessageTrace writes RocketMQ's own message trace of each handler run, one for a
// message however often it is tried at once, and of what a Puller, a Fetcher or a
// SimpleConsumer hands out; nil writes none. rocketkit.WithMessageTrace makes one.
func MessageTrace(t *trace.MessageTracer) GroupOption {
	return groupOption(func(o *groupOptions) { o.messages = t })
}

// endRun notes in the message trace what a run came to for one of its messages.
func (h *handler) endRun(run *trace.Run, c *call, d *message.Delivery, err error) {
	handled := err == nil || retry.IsSkip(err)
	var panicked *PanicError
	how := trace.EndedWell
	switch {
	case errors.Is(err, errEnded):
		how = trace.EndedWithout
	case errors.As(err, &panicked):
		how = trace.EndedByPanic
	case time.Since(c.start) >= h.timeout:
		how = trace.EndedLate
	case !handled:
		how = trace.EndedInFailure
	}
	run.End(d, handled, how)
}

// traced notes the run of a batch; what it returns notes its end.
func (b *batchCall) traced() func() {
	b.errs = make([]error, len(b.tasks))
	run := b.h.messages.StartRun(b.h.group, b.deliveries()...)
	return func() {
		for i, t := range b.tasks {
			err := b.errs[i]
			if !b.decided[i] {
				err = errEnded
			}
			b.h.endRun(&run, &b.call, t.d, err)
		}
	}
}

// tracePulled notes messages that a Puller hands out. What becomes of them nobody says: as
// with Java's DefaultLitePullConsumer they are handled by then.
func (p *Puller) tracePulled(ds []*message.Delivery) {
	run := p.messages.StartRun(p.group, ds...)
	for _, d := range ds {
		run.End(d, true, trace.EndedWell)
	}
}

// traceAnswer notes what a program has said of a message that a Fetcher handed out.
func (t *fetchedTask) traceAnswer(v driver.Verdict) {
	if v.Action == driver.ActionAck {
		t.run.End(t.d, true, trace.EndedWell)
	} else {
		t.run.End(t.d, false, trace.EndedInFailure)
	}
}

// popRuns notes in the message trace what a SimpleConsumer hands out and what is said of
// it. It keeps only messages that are hidden.
type popRuns struct {
	tracer *trace.MessageTracer // nil: none
	group  string

	mu   sync.Mutex // guards the following
	runs map[*message.Delivery]popRun
	due  time.Time // before that nobody looks which have ended unanswered
}

type popRun struct {
	trace.Run
	until time.Time // it is hidden
}

// begin notes messages that are handed out, and those that were not answered in time.
func (p *popRuns) begin(ds []*message.Delivery) {
	if p.tracer == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(time.Now())
	if p.runs == nil {
		p.runs = make(map[*message.Delivery]popRun)
	}
	for _, d := range ds {
		run := popRun{p.tracer.StartRun(p.group, d), d.Claim().Until}
		p.runs[d] = run
		p.dueBy(run.until)
	}
}

// sweepPause is the least between two looks at all hidden messages.
const sweepPause = time.Second

// sweep ends the runs of messages that are hidden no longer. mu is held.
func (p *popRuns) sweep(now time.Time) {
	if now.Before(p.due) {
		return
	}
	p.due = time.Time{}
	for d, run := range p.runs {
		if now.Before(run.until) {
			p.dueBy(run.until)
			continue
		}
		delete(p.runs, d)
		run.End(d, false, trace.EndedLate)
	}
	if soonest := now.Add(sweepPause); p.due.Before(soonest) && !p.due.IsZero() {
		p.due = soonest
	}
}

// dueBy notes that there is a run that ends at t. mu is held.
func (p *popRuns) dueBy(t time.Time) {
	if p.due.IsZero() || t.Before(p.due) {
		p.due = t
	}
}

// extended notes that a message is hidden until another time.
func (p *popRuns) extended(d *message.Delivery) {
	if p.tracer == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if run, ok := p.runs[d]; ok {
		run.until = d.Claim().Until
		p.runs[d] = run
		p.dueBy(run.until)
	}
}

// end notes what a message came to that was answered.
func (p *popRuns) end(d *message.Delivery, handled bool) {
	if p.tracer == nil {
		return
	}
	p.mu.Lock()
	run, ok := p.runs[d]
	delete(p.runs, d)
	p.mu.Unlock()
	how := trace.EndedWell
	switch {
	case !ok: // it has ended
		return
	case !time.Now().Before(run.until):
		how = trace.EndedLate
	case !handled:
		how = trace.EndedInFailure
	}
	run.End(d, handled, how)
}
