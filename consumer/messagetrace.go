package consumer

import (
	"errors"
	"time"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// MessageTrace writes RocketMQ's own message trace of each handler run, one for a
// message however often it is tried at once; nil writes none.
// rocketkit.WithMessageTrace makes one.
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
