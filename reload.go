package rocketkit

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
)

// Reload takes another configuration while the client's producers and consumers run:
// log_level, rate_limit, concurrency and paused, which package config marks, change at
// once, where options do not win over them. Whatever else differs is a
// *config.RestartError. After an error nothing is changed. load.NewWatcher calls it when
// a file changes.
func (c *Client) Reload(cfg Config) error {
	cfg.Driver = c.chosen(cfg.Driver)
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return err
	}
	c.reloading.Lock()
	defer c.reloading.Unlock()
	from, err := c.open()
	if err != nil {
		return err
	}
	changes := config.Changes(*from, cfg)
	if fixed := slices.DeleteFunc(slices.Clone(changes), func(ch config.Change) bool { return ch.Now }); len(fixed) > 0 {
		return &config.RestartError{Changes: fixed}
	}
	if len(changes) == 0 {
		return nil
	}
	if err := c.adjust(from, &cfg); err != nil {
		if back := c.adjust(&cfg, from); back != nil { // it was so before
			return fmt.Errorf("reload: %w; and not everything is as it was: %w", err, back)
		}
		return fmt.Errorf("reload: nothing was changed: %w", err)
	}
	setLevel(c.level, cfg.LogLevel)
	c.log.Info("configuration reloaded", "changes", changes)
	return nil
}

// adjust tells the members. What is made from now on is made by to.
func (c *Client) adjust(from, to *Config) error {
	c.mu.Lock()
	c.now = to
	members := slices.DeleteFunc(slices.Clone(c.members), isClosed)
	c.mu.Unlock()
	for _, m := range members {
		if m.adjust == nil {
			continue
		}
		if err := m.adjust(from, to); err != nil {
			return err
		}
	}
	return nil
}

// pauseAsSaid holds and lets go what is said otherwise than before; what the program
// itself has paused stays.
func pauseAsSaid(c *consumer.Consumer, before, now []string) error {
	hold, release := without(now, before), without(before, now)
	if len(hold) > 0 {
		if err := c.Pause(hold...); err != nil {
			return err
		}
	}
	if len(release) > 0 {
		return c.Resume(release...)
	}
	return nil
}

func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(others, n) })
}

// leveled is a logger's handler under the configured level.
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

// levels puts the logger under a level that can be set.
func (s *settings) levels() *slog.LevelVar {
	level := new(slog.LevelVar)
	s.logger = slog.New(leveled{s.logger.Handler(), level})
	return level
}

// setLevel sets what a valid configuration says; "" is everything.
func setLevel(level *slog.LevelVar, said string) {
	l := slog.Level(math.MinInt32)
	if said != "" {
		_ = l.UnmarshalText([]byte(said)) // it has been validated
	}
	level.Set(l)
}

// Enabled implements slog.Handler.
func (h leveled) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level.Level() && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}
