package consumer

import (
	"log/slog"
	"time"
)

// watchdogRest is the least the watchdog sleeps when nothing is running: a
// time-out that is shorter may be noticed that much late.
const watchdogRest = 500 * time.Millisecond

// watch logs handlers that overrun their consume time-out, once for each
// message, until stop is closed. It sleeps to the next time-out and reads the
// workers' slots, so that a message costs no timer.
func watch(pools []*pool, stop <-chan struct{}) {
	timer := time.NewTimer(watchdogRest)
	defer timer.Stop()
	for {
		timer.Reset(inspect(pools, time.Now()))
		select {
		case <-timer.C:
		case <-stop:
			return
		}
	}
}

// inspect logs what has overrun and returns how long nothing else can.
func inspect(pools []*pool, now time.Time) time.Duration {
	var calls []*call
	sleep := time.Duration(1<<63 - 1)
	for _, p := range pools {
		timeout := p.handler.timeout
		sleep = min(sleep, max(timeout, watchdogRest)) // of those that start from now on
		calls = p.running(calls[:0])
		for _, c := range calls {
			left := c.start.Add(timeout).Sub(now)
			switch {
			case c.overran.Load():
			case left > 0:
				sleep = min(sleep, left)
			default:
				c.overran.Store(true)
				p.handler.log.LogAttrs(c.queue, slog.LevelWarn, "handler overran its consume time-out", append(c.identity(),
					slog.Duration("timeout", timeout), slog.Duration("running", now.Sub(c.start)),
					slog.String("next", "its ctx has ended; it keeps its worker until it returns"))...)
			}
		}
	}
	return sleep
}
