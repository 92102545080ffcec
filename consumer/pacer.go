package consumer

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// pacer lets so many messages a second begin. The zero value lets all.
type pacer struct{ now atomic.Pointer[pace] } // nil: without limit

// pace is one rate, until it is replaced.
type pace struct {
	limiter  *rate.Limiter
	perSec   float64
	replaced chan struct{} // closed when it is
}

// set changes the rate; 0 is none. What waits begins to wait anew. It is not called
// twice at a time.
func (p *pacer) set(perSecond float64) {
	var next *pace
	if perSecond > 0 {
		next = &pace{rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10))), perSecond, make(chan struct{})}
	}
	if old := p.now.Swap(next); old != nil {
		close(old.replaced)
	}
}

// perSecond is the rate, 0 for none.
func (p *pacer) perSecond() float64 {
	if now := p.now.Load(); now != nil {
		return now.perSec
	}
	return 0
}

// wait waits until n messages may begin. Its error is ctx's: the queue was revoked
// meanwhile.
func (p *pacer) wait(ctx context.Context, n int) error {
	for n > 0 {
		now := p.now.Load()
		if now == nil {
			return nil
		}
		part := min(n, now.limiter.Burst()) // a batch may be larger
		passed, err := now.wait(ctx, part)
		if err != nil {
			return err
		}
		if passed {
			n -= part
		}
	}
	return nil
}

// wait is false when the rate was replaced before n could pass.
func (p *pace) wait(ctx context.Context, n int) (passed bool, err error) {
	r := p.limiter.ReserveN(time.Now(), n)
	delay := r.Delay()
	if delay <= 0 {
		return true, nil
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true, nil
	case <-p.replaced:
		return false, nil
	case <-ctx.Done():
		r.Cancel()
		return false, ctx.Err()
	}
}
