package consumer

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// batchCall is one batch on its way through its handler. One worker owns it.
type batchCall struct {
	h        *handler
	call     call
	tasks    []task
	verdicts []driver.Verdict // by task
	decided  []bool           // by task: its verdict is known
	errs     []error          // by task: its failure; nil when nobody asks
	claims   []dedup.Claim    // by task, where there is a store
	// elsewhere: the message is somebody else's; by task, where there is a store.
	elsewhere []bool
	failures  int             // messages that the handler had an error for
	first     error           // of the failures
	ctx       context.Context // the handler's: call, or derived from it
}

// processBatch takes the messages of a batch through the same stages as process does
// with one, and settles each exactly once. All are of one queue.
func (h *handler) processBatch(ts []task, s *slot) {
	queue := ts[0].queue
	if queue.Err() != nil {
		for _, t := range ts {
			t.settler.Settle(t.d, driver.Verdict{}) // revoked while it waited
		}
		return
	}
	b := &batchCall{
		h: h, tasks: ts, verdicts: make([]driver.Verdict, len(ts)), decided: make([]bool, len(ts)),
		call: call{queue: queue, d: ts[0].d, batch: uint16(len(ts)), start: time.Now(), timeout: h.timeout},
	}
	s.call.Store(&b.call)
	returned := false
	defer func() {
		var recovered any
		if !returned {
			recovered = recover()
		}
		b.lost(recovered)
		b.unclaim()
		s.call.Store(nil)
		b.call.finish()
		b.settle()
	}()
	b.run()
	returned = true
	h.late(&b.call)
}

// run calls the handler until every message has its verdict.
func (b *batchCall) run() {
	ctx, span := b.h.tracer.StartProcessBatch(&b.call, b.deliveries(), b.h.broadcast)
	b.ctx = ctx
	defer func() { span.EndProcess(len(b.tasks), b.outcome()) }()
	if b.h.messages != nil {
		defer b.traced()()
	}
	pending := b.claim()
	for immediate := 0; len(pending) > 0; immediate++ {
		pending = b.round(pending, immediate)
	}
}

func (b *batchCall) deliveries() []*message.Delivery {
	ds := make([]*message.Delivery, len(b.tasks))
	for i, t := range b.tasks {
		ds[i] = t.d
	}
	return ds
}

// outcome is the error of the call as a whole, nil when every message was handled.
func (b *batchCall) outcome() error {
	undecided := 0
	for _, known := range b.decided {
		if !known {
			undecided++
		}
	}
	switch {
	case undecided > 0:
		return errEnded
	case b.failures > 0:
		return fmt.Errorf("%d of %d messages failed, the first: %w", b.failures, len(b.tasks), b.first)
	}
	return nil
}

// round calls the handler with the pending messages and returns those that it is to be
// called with again at once.
func (b *batchCall) round(pending []int, immediate int) (again []int) {
	typed := b.h.batches.newBatch(len(pending))
	at := make([]int, 0, len(pending)) // the task of each message of the batch
	for _, i := range pending {
		if err := b.add(typed, b.tasks[i].d); err != nil {
			again = b.judge(again, i, immediate, err)
			continue
		}
		at = append(at, i)
	}
	if len(at) == 0 {
		return again
	}
	ended := true
	defer func() {
		if !ended {
			return
		}
		// The handler ends its goroutine: what it has said of messages counts.
		for k, w := range typed.end() {
			if w.said {
				b.judge(nil, at[k], math.MaxInt, w.err)
			}
		}
	}()
	err := b.attempt(typed)
	ended = false
	if b.call.Err() != nil {
		immediate = math.MaxInt // nothing is tried with a ctx that has ended
	}
	for k, w := range typed.end() {
		if !w.said {
			w.err = err
		}
		again = b.judge(again, at[k], immediate, w.err)
		if p, ok := err.(*PanicError); ok && !w.said { //nolint:errorlint // attempt's own, not one within
			err = &PanicError{Value: p.Value} // the log has its stack
		}
	}
	return again
}

// add decodes a message; a panic is its error.
func (b *batchCall) add(typed typedBatch, d *message.Delivery) (err error) {
	defer caught(&err)
	return typed.add(d)
}

// attempt calls the handler once; a panic is its error.
func (b *batchCall) attempt(typed typedBatch) (err error) {
	defer caught(&err)
	return typed.handle(b.ctx)
}

// judge notes what becomes of a message; one that is to be tried again at once goes to
// the end of again.
func (b *batchCall) judge(again []int, i, immediate int, err error) []int {
	v, now := driver.Verdict{Action: driver.ActionAck}, false
	if err != nil {
		v, now = b.h.judge(&b.call, b.tasks[i].d, immediate, err)
	}
	if now {
		return append(again, i)
	}
	b.verdicts[i], b.decided[i] = v, true
	if err != nil {
		b.fail(i, err)
	}
	return again
}

// fail counts a message that failed.
func (b *batchCall) fail(i int, err error) {
	if b.errs != nil {
		b.errs[i] = err
	}
	if b.failures++; b.first == nil {
		b.first = err
	}
}

// lost logs messages whose outcome is not known, which are retried.
func (b *batchCall) lost(recovered any) {
	for i, known := range b.decided {
		if !known {
			b.h.lost(b.tasks[i].d, recovered)
		}
	}
}

// settle hands out the verdicts.
func (b *batchCall) settle() {
	for i := range b.tasks {
		b.h.settle(&b.tasks[i], b.verdicts[i], b.elsewhere != nil && b.elsewhere[i])
	}
}
