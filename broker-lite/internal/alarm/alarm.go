package alarm

import (
	"sync"
	"time"
)

// Alarm owns one goroutine, which sleeps until the next moment. Start makes
// one, Stop ends it.
type Alarm struct {
	now  func() time.Time
	ring func(now time.Time) time.Time
	gap  time.Duration
	wake chan struct{} // capacity 1: the moment was moved forward
	stop chan struct{}
	done chan struct{}
	once sync.Once // closes stop

	mu   sync.Mutex // guards the following
	next time.Time  // zero: nothing to wait for
}

// maxSleep bounds one sleep towards a moment of the wall clock. A timer counts time
// that the machine was awake, so it would ring late after a suspend, and after the
// clock was set forward.
const maxSleep = time.Minute

// Start makes an alarm that calls ring, on its own goroutine, at the earliest
// moment that was Set. ring returns when it wants to be called again, the zero
// time if it need not be; a Set during the call counts too. Two calls start at
// least gap apart.
func Start(gap time.Duration, ring func(now time.Time) (next time.Time)) *Alarm {
	return start(time.Now, gap, ring)
}

func start(now func() time.Time, gap time.Duration, ring func(now time.Time) (next time.Time)) *Alarm {
	a := &Alarm{now: now, ring: ring, gap: gap, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go a.loop()
	return a
}

// Set asks for a call at that moment. An earlier one that is set already
// stands. It neither blocks nor calls ring itself.
func (a *Alarm) Set(at time.Time) {
	a.mu.Lock()
	earlier := a.next.IsZero() || at.Before(a.next)
	if earlier {
		a.next = at
	}
	a.mu.Unlock()
	if !earlier {
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Stop ends the alarm and waits for a call that is under way. It must not be
// called by ring. More calls do nothing.
func (a *Alarm) Stop() {
	a.once.Do(func() { close(a.stop) })
	<-a.done
}

func (a *Alarm) loop() {
	defer close(a.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	// A timer whose time is up when it is asked crashes Go's race detector in a synctest
	// bubble now and then (Go 1.26: two threads use the bubble's race context).
	past := make(chan time.Time)
	close(past)
	var last time.Time // when ring was called last
	for {
		at := a.peek()
		if earliest := last.Add(a.gap); !at.IsZero() && at.Before(earliest) {
			at = earliest
		}
		var due <-chan time.Time
		switch d := a.sleep(at); {
		case at.IsZero():
		case d <= 0:
			due = past
		default:
			timer.Reset(d)
			due = timer.C
		}
		select {
		case <-a.stop:
			return
		case <-a.wake:
			continue
		case <-due:
		}
		now := a.now()
		if now.Before(at) {
			continue
		}
		last = now
		a.clear()
		if next := a.ring(last); !next.IsZero() {
			a.Set(next)
		}
	}
}

// sleep is how long to sleep towards a moment. One with a monotonic reading is a time
// from now, whatever the wall clock does.
func (a *Alarm) sleep(at time.Time) time.Duration {
	d := at.Sub(a.now())
	if wall := at == at.Round(0); wall {
		return min(d, maxSleep)
	}
	return d
}

func (a *Alarm) peek() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next
}

func (a *Alarm) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = time.Time{}
}
