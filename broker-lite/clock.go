package brokerlite

import (
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
)

// ManualClock stands still until it is advanced. Several brokers can share one.
type ManualClock struct{ clock *clock.Manual }

// NewManualClock makes a clock that shows now.
func NewManualClock(now time.Time) *ManualClock { return &ManualClock{clock.NewManual(now)} }

// Now is what the clock shows.
func (c *ManualClock) Now() time.Time { return c.clock.Now() }

// Advance moves the clock forward. Whatever falls due on the way happens in its
// order, with the clock at its moment: delayed messages are delivered, half
// messages are checked. It returns when the last delivery is stored.
func (c *ManualClock) Advance(d time.Duration) { c.clock.Advance(d) }
