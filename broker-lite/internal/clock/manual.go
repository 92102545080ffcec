package clock

import (
	"sync"
	"time"
)

// Manual is a clock that stands still until it is advanced. Its methods may be
// called from several goroutines.
type Manual struct {
	ringing sync.Mutex // held by whoever rings: one alarm at a time

	mu        sync.Mutex // guards the following
	now       time.Time
	advancing bool // an Advance is under way, and will see whatever is set
	alarms    map[*manualAlarm]struct{}
}

// NewManual makes a clock that shows now.
func NewManual(now time.Time) *Manual {
	return &Manual{now: now, alarms: map[*manualAlarm]struct{}{}}
}

// Now implements Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Alarm implements Clock.
func (m *Manual) Alarm(ring func(now time.Time) time.Time) Alarm {
	a := &manualAlarm{m: m, ring: ring}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alarms[a] = struct{}{}
	return a
}

// Advance moves the clock forward by d and rings the alarms that are due on the
// way, in the order of their moments, each with the clock at its moment. It
// returns when the last ring has. Alarms must not call it.
func (m *Manual) Advance(d time.Duration) {
	m.ringing.Lock()
	defer m.ringing.Unlock()
	m.mu.Lock()
	target := m.now.Add(d)
	m.advancing = true
	m.mu.Unlock()
	for m.ringNext(target) {
	}
}

// ringNext rings the alarm that is due first, but not after target; without one
// it moves the clock to target and ends the advance.
func (m *Manual) ringNext(target time.Time) bool {
	m.mu.Lock()
	a := m.first()
	if a == nil || a.at.After(target) {
		if target.After(m.now) {
			m.now = target
		}
		m.advancing = false
		m.mu.Unlock()
		return false
	}
	if a.at.After(m.now) {
		m.now = a.at
	}
	now := m.now
	a.at = time.Time{}
	m.mu.Unlock()
	if next := a.ring(now); !next.IsZero() {
		a.Set(next)
	}
	return true
}

// first is the alarm that is due first. m.mu is held.
func (m *Manual) first() *manualAlarm {
	var first *manualAlarm
	for a := range m.alarms {
		if !a.at.IsZero() && (first == nil || a.at.Before(first.at)) {
			first = a
		}
	}
	return first
}

// manualAlarm is an alarm of a Manual, whose mu guards at.
type manualAlarm struct {
	m    *Manual
	ring func(now time.Time) time.Time
	at   time.Time      // zero: not set
	late sync.WaitGroup // rings for moments that had passed when they were set
}

// Set implements Alarm.
func (a *manualAlarm) Set(at time.Time) {
	m := a.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.alarms[a]; !ok || (!a.at.IsZero() && !at.Before(a.at)) {
		return
	}
	a.at = at
	if at.After(m.now) || m.advancing {
		return
	}
	a.late.Go(func() { m.Advance(0) })
}

// Stop implements Alarm.
func (a *manualAlarm) Stop() {
	a.m.mu.Lock()
	delete(a.m.alarms, a)
	a.m.mu.Unlock()
	a.late.Wait()
	a.m.ringing.Lock() // a ring that is under way ends first
	defer a.m.ringing.Unlock()
}
