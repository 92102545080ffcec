package pacing

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

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

// ErrReplaced is for Pass's wait to return.
var ErrReplaced = errors.New("the rate is another")

// Pass returns when n messages may pass. wait is called with how long they have to wait,
// and a channel that is closed when the rate is replaced meanwhile: that is ErrReplaced.
// Any other error gives the turn back and ends Pass.
func (p *Pacer) Pass(n int, wait func(turn time.Duration, replaced <-chan struct{}) error) error {
	for n > 0 {
		now := p.now.Load()
		if now == nil {
			return nil
		}
		part := min(n, now.limiter.Burst()) // a batch may be larger
		r := now.limiter.ReserveN(time.Now(), part)
		if d := r.Delay(); d > 0 {
			err := wait(d, now.replaced)
			if errors.Is(err, ErrReplaced) {
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
