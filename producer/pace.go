package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/internal/pacing"
	"github.com/rocketkit/rocketkit/message"
)

// errTooLate: the message's turn comes after its ctx has ended.
var errTooLate = errors.New("its turn comes after its deadline")

// pace waits until n messages may pass. What waits is let go when ctx ends or the
// producer stops, and has its turn given back.
func (p *Producer) pace(ctx context.Context, n int) error {
	if p.pacer.PerSecond() == 0 {
		return nil
	}
	err := p.pacer.Pass(ctx, n, p.flow.stopping, func(turn time.Duration) error { return p.mayWait(ctx, turn) })
	if errors.Is(err, pacing.ErrStopped) {
		err = message.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("%w: RateLimit(%v messages a second): %w", message.ErrOverloaded, p.pacer.PerSecond(), err)
	}
	return nil
}

// mayWait refuses a wait that is not wanted, or in vain.
func (p *Producer) mayWait(ctx context.Context, turn time.Duration) error {
	if p.sends.failFast {
		return fmt.Errorf("the next one may pass in %s", turn.Round(time.Millisecond))
	}
	if at, ok := ctx.Deadline(); ok && time.Until(at) < turn {
		return fmt.Errorf("%w, in %s", errTooLate, turn.Round(time.Millisecond))
	}
	return nil
}

// Adjust changes how the producer sends from now on. opts are what New would be given
// now; an option that is left out is as if New had not had it. RateLimit takes effect at
// once, for messages that wait too; every other option keeps what New made of it. After
// a mistake in opts nothing is changed.
func (p *Producer) Adjust(opts ...Option) error {
	cfg, err := newSettings(p.group, p.caps, opts)
	if err != nil {
		return err
	}
	p.adjusting.Lock()
	defer p.adjusting.Unlock()
	p.pacer.Set(cfg.rateLimit)
	return nil
}
