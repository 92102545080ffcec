package pacing

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Rates that there are, in messages a second; 0 is none.
const (
	Least = 0.001
	Most  = 1e9
)

// Fits reports whether a rate is one that there is.
func Fits(perSecond float64) bool { return perSecond >= Least && perSecond <= Most }

// Pacer is a rate, in bursts of up to a tenth of a second's messages. The zero value lets
// everything pass.
type Pacer struct{ now atomic.Pointer[pace] } // nil: without limit

// pace is one rate, until it is replaced.
type pace struct {
	limiter   *rate.Limiter
	perSecond float64
	replaced  chan struct{} // closed when it is
}

// Set changes the rate; 0 is none. What waits begins to wait anew, unless the rate is
// what it was. It is not called twice at a time.
func (p *Pacer) Set(perSecond float64) {
	if p.PerSecond() == perSecond {
		return
	}
	var next *pace
	if perSecond > 0 {
		next = &pace{rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10))), perSecond, make(chan struct{})}
	}
	if old := p.now.Swap(next); old != nil {
		close(old.replaced)
	}
}

// PerSecond is the rate, 0 for none.
func (p *Pacer) PerSecond() float64 {
	if now := p.now.Load(); now != nil {
		return now.perSecond
	}
	return 0
}

// ErrStopped ends a Pass whose stop was closed.
var ErrStopped = errors.New("stopped while it waited for its turn")

// Pass returns when n messages may pass. It ends before when ctx does or stop is closed,
// or when may, which is asked how long they would have to wait, has an error; the turn is
// given back then. stop and may can be nil.
func (p *Pacer) Pass(ctx context.Context, n int, stop <-chan struct{}, may func(turn time.Duration) error) error {
	for n > 0 {
		now := p.now.Load()
		if now == nil {
			return nil
		}
		part := min(n, now.limiter.Burst()) // a batch may be larger
		r := now.limiter.ReserveN(time.Now(), part)
		if turn := r.Delay(); turn > 0 {
			if may != nil {
				if err := may(turn); err != nil {
					r.Cancel()
					return err
				}
			}
			replaced, err := now.wait(ctx, turn, stop)
			if replaced {
				continue
			}
			if err != nil {
				r.Cancel()
				return err
			}
		}
		n -= part
	}
	return nil
}

// wait waits for a turn, or until there is another rate.
func (p *pace) wait(ctx context.Context, turn time.Duration, stop <-chan struct{}) (replaced bool, err error) {
	t := time.NewTimer(turn)
	defer t.Stop()
	select {
	case <-t.C:
		return false, nil
	case <-p.replaced:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-stop:
		return false, ErrStopped
	}
}
