package clock

import (
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
)

// Clock tells the time and rings alarms.
type Clock interface {
	Now() time.Time
	// Alarm makes an alarm, which must be stopped. It calls ring at the earliest
	// moment that was set; ring returns when it wants to be called again, the zero
	// time if it need not be. One alarm's rings do not overlap.
	Alarm(ring func(now time.Time) (next time.Time)) Alarm
}

// Alarm is set to moments of its Clock.
type Alarm interface {
	// Set asks for a call at that moment; an earlier one that is set already
	// stands. It neither blocks nor calls ring itself.
	Set(at time.Time)
	// Stop ends the alarm and waits for a call that is under way. Ring must not
	// call it.
	Stop()
}

// System is the machine's clock or, inside a synctest bubble, the bubble's.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) Alarm(ring func(now time.Time) time.Time) Alarm { return alarm.Start(0, ring) }
