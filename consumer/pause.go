package consumer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/pacing"
)

// Pause holds handlers, by their names, all when none is named: what they work on is
// finished, and nothing more is begun. Messages wait in memory, and when MaxUnsettled
// of a queue do, no more are pulled, for the other handlers of the topic too. Queues
// stay this member's; what waits of one that another member gets is given back. Drain and
// Stop end a pause. A name of no handler is an error,
// and then nothing is paused.
func (c *Consumer) Pause(handlers ...string) error { return c.hold(true, handlers) }

// Resume ends the pause of handlers, of all when none is named.
func (c *Consumer) Resume(handlers ...string) error { return c.hold(false, handlers) }

// Paused are the names of the handlers that are held, sorted.
func (c *Consumer) Paused() []string {
	var names []string
	for _, p := range c.pools {
		if p.isPaused() {
			names = append(names, p.handler.name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *Consumer) hold(paused bool, names []string) error {
	pools := c.pools
	if len(names) > 0 {
		pools = nil
		var known []string
		for _, p := range c.pools {
			known = append(known, p.handler.name)
		}
		for _, name := range names {
			i := slices.Index(known, name)
			if i < 0 {
				return fmt.Errorf("consumer group %q has no handler %q; %s", c.group, name, registered(name, known))
			}
			pools = append(pools, c.pools[i])
		}
	}
	for _, p := range pools {
		p.pause(paused)
	}
	return nil
}

// pause holds the pool's workers or lets them go on, whoever held them. A pool that is
// being closed is not held.
func (p *pool) pause(paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, p.killed = paused && !p.unpausable, paused && p.killed
	p.proceed()
}

// kill is what the kill switch does: it pauses, and its end leaves a Pause as it is.
func (p *pool) kill(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = on && !p.unpausable
	p.proceed()
}

// paused reports that nobody takes anything. mu is held.
func (p *pool) paused() bool { return p.held || p.killed }

// proceed lets the workers go on unless they are held. mu is held.
func (p *pool) proceed() {
	if !p.paused() {
		p.wake()
		p.work.Broadcast()
	}
}

// awaitTurn waits until the rate lets n messages of a queue begin and no pause holds them
// that has come meanwhile, or until the queue is revoked, which its ctx tells.
func (p *pool) awaitTurn(queue context.Context, n int) {
	if p.handler.pace.PerSecond() == 0 {
		return
	}
	p.mu.Lock()
	p.turns += n
	p.mu.Unlock()
	for queue.Err() == nil && p.handler.pace.Pass(queue, n, nil, nil) == nil && p.awaitPause(queue) {
	}
	p.mu.Lock()
	p.turns -= n
	p.mu.Unlock()
}

// awaitPause waits for the end of a pause, and reports whether there was one: then the
// turn is over.
func (p *pool) awaitPause(queue context.Context) (waited bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.paused() {
		return false
	}
	defer context.AfterFunc(queue, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.work.Broadcast()
	})()
	for p.paused() && queue.Err() == nil {
		p.work.Wait()
	}
	return true
}

// unpause ends a pause for good: what waits is to be handled, or given back.
func (p *pool) unpause() {
	p.mu.Lock()
	p.unpausable = true
	p.mu.Unlock()
	p.pause(false)
}

func (p *pool) isPaused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused()
}

// RateLimit is how many messages a second a handler begins at most, 0.001 to 1e9, in bursts
// of up to a tenth of that; there is no limit by default. Messages that are over it wait with a
// worker each.
func RateLimit(messagesPerSecond float64) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.rate = chosen(messagesPerSecond) })
}

// KillSwitchSettings say when a handler is paused because it fails.
type KillSwitchSettings struct {
	// Ratio of failed messages, over 0 and up to 1; 0.5 by default. What is skipped
	// does not count as failed, what is dead-lettered does.
	Ratio float64
	// AtLeast so many messages were handled within the Window; 20 by default.
	AtLeast int
	// Window is how long is counted before it begins anew; 1 minute by default.
	Window time.Duration
	// PauseFor is how long the handler is held; 1 minute by default. Resume ends it
	// earlier.
	PauseFor time.Duration
}

// KillSwitch pauses a handler for a while when too many of its messages fail, so that
// they do not all pass through their retries into the dead letters while something
// that it needs is down. It logs an error each time. Handlers have none by default.
func KillSwitch(s KillSwitchSettings) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.killSwitch = chosen(s) })
}

func (s KillSwitchSettings) withDefaults() KillSwitchSettings {
	s.Ratio, s.AtLeast = cmp.Or(s.Ratio, 0.5), cmp.Or(s.AtLeast, 20)
	s.Window, s.PauseFor = cmp.Or(s.Window, time.Minute), cmp.Or(s.PauseFor, time.Minute)
	return s
}

// pace gives a handler its limits. Nothing is handled yet.
func (e *entry) pace(p *pool) {
	if n := e.rate; n.set {
		p.handler.pace.Set(n.value)
	}
	if k := e.killSwitch; k.set {
		p.handler.killSwitch = &killSwitch{settings: k.value.withDefaults(), pool: p, log: p.handler.log}
	}
}

// checkPace finds mistakes in the options above.
func (p *plan) checkPace(label string, o *handlerOptions) {
	if r := o.rate; r.set && !pacing.Fits(r.value) {
		p.mistake("%s: RateLimit(%v): want %v to %v messages a second; leave it out for no limit", label, r.value, pacing.Least, pacing.Most)
	}
	if k := o.killSwitch; k.set {
		if s := k.value.withDefaults(); !(s.Ratio > 0 && s.Ratio <= 1) || s.AtLeast < 1 || s.Window < 0 || s.PauseFor < 0 {
			p.mistake("%s: KillSwitch(%+v): the ratio is over 0 and up to 1, the others are positive", label, k.value)
		}
	}
}

// killSwitch counts a handler's messages and pauses its pool.
type killSwitch struct {
	settings KillSwitchSettings
	pool     *pool
	log      *slog.Logger // has group and handler

	mu              sync.Mutex // guards the following
	since           time.Time
	handled, failed int
	timer           *time.Timer // resumes; nil before the first pause
}

// record counts one message's outcome.
func (k *killSwitch) record(v driver.Verdict) {
	now := time.Now()
	k.mu.Lock()
	if now.Sub(k.since) >= k.settings.Window {
		k.since, k.handled, k.failed = now, 0, 0
	}
	k.handled++
	if v.Action != driver.ActionAck {
		k.failed++
	}
	handled, failed := k.handled, k.failed
	trip := handled >= k.settings.AtLeast && float64(failed) >= k.settings.Ratio*float64(handled)
	if trip {
		k.since, k.handled, k.failed = now, 0, 0
	}
	k.mu.Unlock()
	if trip {
		k.pool.kill(true)
		k.resumeLater() // after the pause has begun: the end of a short one comes behind it
		k.log.LogAttrs(context.Background(), slog.LevelError, "handler is paused: too many of its messages fail",
			slog.Int("failed", failed), slog.Int("of", handled), slog.Duration("for", k.settings.PauseFor))
	}
}

// resumeLater ends the pause when its time is over.
func (k *killSwitch) resumeLater() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		k.timer = time.AfterFunc(k.settings.PauseFor, func() { k.pool.kill(false) })
	} else {
		k.timer.Reset(k.settings.PauseFor)
	}
}

// stop forgets the end of a pause that is under way.
func (k *killSwitch) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
}
