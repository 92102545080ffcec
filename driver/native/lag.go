package native

import (
	"sync/atomic"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

var (
	_ driver.Identified = (*client)(nil)
	_ driver.Lagging    = (*subscription)(nil)
)

// ClientID implements driver.Identified.
func (c *client) ClientID() string { return c.id }

// progress is how far a queue is, as others than its goroutine may see it.
type progress struct {
	known atomic.Bool // a pull has told the end
	low   atomic.Int64
	end   atomic.Int64
}

// told notes the end of the queue. The queue's goroutine calls it.
func (p *progress) told(low, end int64) {
	p.low.Store(low)
	p.end.Store(end)
	p.known.Store(true)
}

// Lag implements driver.Lagging.
func (s *subscription) Lag() map[message.Queue]int64 {
	lag := make(map[message.Queue]int64)
	owned := s.taken.Load()
	if owned == nil {
		return lag
	}
	for _, q := range *owned {
		if p := &q.progress; p.known.Load() && q.life.Err() == nil {
			lag[q.shown] = max(0, p.end.Load()-p.low.Load())
		}
	}
	return lag
}

// own notes which queues are this member's, for Lag. The loop calls it.
func (s *subscription) own() {
	owned := make([]*queue, 0, len(s.queues))
	for _, q := range s.queues {
		owned = append(owned, q)
	}
	s.taken.Store(&owned)
}
