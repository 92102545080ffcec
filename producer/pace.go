package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Rates that RateLimit takes, in messages a second.
const (
	minRate = 0.001
	maxRate = 1e9
)

// errTooLate: the message's turn comes after its ctx has ended.
var errTooLate = errors.New("its turn comes after its deadline")

// pace waits until n messages may pass. What waits is let go when ctx ends or the
// producer stops, and has its turn given back.
func (p *Producer) pace(ctx context.Context, n int) error {
	for n > 0 { // a batch may be larger than the burst
		part := min(n, p.limiter.Burst())
		n -= part
		r := p.limiter.ReserveN(time.Now(), part)
		wait := r.Delay()
		if wait == 0 {
			continue
		}
		err := p.awaitTurn(ctx, wait)
		if err != nil {
			r.Cancel()
			return fmt.Errorf("%w: RateLimit(%v messages a second): %w", message.ErrOverloaded, p.cfg.rateLimit, err)
		}
	}
	return nil
}

func (p *Producer) awaitTurn(ctx context.Context, wait time.Duration) error {
	if p.sends.failFast {
		return fmt.Errorf("the next one may pass in %s", wait.Round(time.Millisecond))
	}
	if at, ok := ctx.Deadline(); ok && time.Until(at) < wait {
		return fmt.Errorf("%w, in %s", errTooLate, wait.Round(time.Millisecond))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.flow.stopping:
		return message.ErrClosed
	}
}
