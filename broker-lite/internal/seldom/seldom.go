package seldom

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// burst is how many warnings of one kind are written in a period.
	burst  = 10
	period = time.Minute
	// maxKinds bounds the kinds that are told apart; the others are one.
	maxKinds = 1024
)

// Handler limits the warnings that reach another handler. A warning's text is its
// kind.
func Handler(next slog.Handler) slog.Handler {
	return &handler{next, &counts{kinds: map[string]*kind{}}}
}

type handler struct {
	slog.Handler
	counts *counts // shared by all that derive from one
}

type counts struct {
	mu    sync.Mutex // guards the following
	kinds map[string]*kind
}

type kind struct {
	since   time.Time
	written int
	left    int // out, since the last that was written
}

// take says whether a warning is written, how many were left out before it, and
// whether it is the last for now.
func (c *counts) take(text string, now time.Time) (write bool, left int, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.kinds[text]
	if k == nil {
		if len(c.kinds) >= maxKinds {
			text = ""
		}
		if k = c.kinds[text]; k == nil {
			k = &kind{since: now}
			c.kinds[text] = k
		}
	}
	if now.Sub(k.since) >= period {
		k.since, k.written = now, 0
	}
	if k.written == burst {
		k.left++
		return false, 0, false
	}
	k.written++
	left, k.left = k.left, 0
	return true, left, k.written == burst
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level != slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	write, left, last := h.counts.take(r.Message, time.Now())
	if !write {
		return nil
	}
	if left > 0 || last {
		r = r.Clone()
	}
	if left > 0 {
		r.AddAttrs(slog.Int("left out before", left))
	}
	if last {
		r.AddAttrs(slog.String("more of these", "left out for up to a minute"))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.counts}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.counts}
}
