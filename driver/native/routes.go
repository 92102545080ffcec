package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// routes keeps a snapshot of every topic's route that was asked for.
type routes struct {
	c      *client
	topics sync.Map // topic → *topicState

	wake  chan struct{} // capacity 1: asked has something
	fresh atomic.Bool   // a message has just made one of asked
	mu    sync.Mutex    // guards the following
	// asked are topics to look up at once.
	asked map[string]struct{}
}

// topicState is what is known of one topic.
type topicState struct {
	topic string
	snap  atomic.Pointer[route] // the topic's own route; nil until it exists
	auto  atomic.Pointer[route] // for senders, while it does not exist
	// wanted: somebody waits for the topic to appear.
	wanted atomic.Bool
	// renewed is when the loop, or a sender in vain, looked it up last: ns since 1970.
	renewed atomic.Int64
	// made: a message has been sent where there was no route.
	made atomic.Bool
	// quick is until when it is looked up often, since the one broker has just made it: ns
	// since 1970.
	quick atomic.Int64
	// missed: the log has said that it does not exist. The routes' loop owns it.
	missed     bool
	complaints seldom // the loop's

	mu         sync.Mutex // guards the following
	flight     *routeFlight
	autoFlight *routeFlight
}

// due is when it may be looked up again.
func (st *topicState) due() time.Time {
	last := st.renewed.Load()
	if last < st.quick.Load() {
		return time.Unix(0, last).Add(newTopicPause)
	}
	return time.Unix(0, last).Add(refreshPause)
}

// routeFlight is one lookup that any number of callers wait for.
type routeFlight struct {
	done chan struct{}
	r    *route
	err  error
}

func newRoutes(c *client) *routes {
	return &routes{c: c, wake: make(chan struct{}, 1), asked: make(map[string]struct{})}
}

func (rs *routes) state(topic string) *topicState {
	if v, ok := rs.topics.Load(topic); ok {
		return v.(*topicState)
	}
	v, _ := rs.topics.LoadOrStore(topic, &topicState{topic: topic})
	return v.(*topicState)
}

// known is the last snapshot, nil when there is none.
func (rs *routes) known(topic string) *route {
	if v, ok := rs.topics.Load(topic); ok {
		st := v.(*topicState)
		if r := st.snap.Load(); r != nil {
			return r
		}
		return st.auto.Load()
	}
	return nil
}

// forSending is the topic's route for a producer; the name servers are asked when
// there is none yet. A topic that does not exist gets the default topic's, whose
// brokers create it. The error is a *message.RouteError or ctx's.
func (rs *routes) forSending(ctx context.Context, topic string) (*route, error) {
	st := rs.state(topic)
	if r := st.snap.Load(); r != nil {
		return r, nil
	}
	if r := st.auto.Load(); r != nil {
		return r, nil
	}
	r, err := rs.shared(ctx, st, &st.flight, st.snap.Load, rs.fetch)
	if !errors.Is(err, message.ErrNoRoute) || topic == protocol.DefaultTopic {
		return r, err
	}
	r, err2 := rs.shared(ctx, st, &st.autoFlight, st.auto.Load, rs.fetchAuto)
	if errors.Is(err2, message.ErrNoRoute) {
		return nil, err // no broker creates topics: the topic's own error says it
	}
	return r, err2
}

// forReading is the topic's route for one that reads it. The error is a
// *message.RouteError or ctx's.
func (rs *routes) forReading(ctx context.Context, topic string) (*route, error) {
	st := rs.state(topic)
	for pause := newTopicPause; ; pause *= 2 {
		if r := st.snap.Load(); r != nil {
			return r, nil
		}
		r, err := rs.shared(ctx, st, &st.flight, st.snap.Load, rs.fetch)
		// What our own messages have made is there: its broker tells the name servers soon.
		if !st.made.Load() || !errors.Is(err, message.ErrNoRoute) || pause > newTopicWait {
			return r, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// renew asks the name servers again for a topic.
func (rs *routes) renew(ctx context.Context, st *topicState) error {
	none := func() *route { return nil }
	_, err := rs.shared(ctx, st, &st.flight, none, rs.fetch)
	if st.auto.Load() != nil && errors.Is(err, message.ErrNoRoute) {
		_, err = rs.shared(ctx, st, &st.autoFlight, none, rs.fetchAuto)
	}
	return err
}

// shared makes one look-up for all who wait for it at the same time, unless it is
// known by now. It runs under the client's own ctx, so that a waiter who gives up
// takes nothing from the others.
func (rs *routes) shared(ctx context.Context, st *topicState, flight **routeFlight, known func() *route, fetch func(*topicState) (*route, error)) (*route, error) {
	st.mu.Lock()
	if r := known(); r != nil {
		st.mu.Unlock()
		return r, nil
	}
	f := *flight
	if f == nil {
		f = &routeFlight{done: make(chan struct{})}
		started := rs.c.run(func() {
			f.r, f.err = fetch(st)
			st.mu.Lock()
			*flight = nil
			st.mu.Unlock()
			close(f.done)
		})
		if !started {
			st.mu.Unlock()
			return nil, fmt.Errorf("route of topic %q: %w", rs.c.namespace.shown(st.topic), message.ErrClosed)
		}
		*flight = f
	}
	st.mu.Unlock()
	select {
	case <-f.done:
		return f.r, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("route of topic %q: %w", rs.c.namespace.shown(st.topic), ctx.Err())
	}
}

// fetch replaces the topic's snapshot. What a name server does not know is kept:
// it may have been restarted.
func (rs *routes) fetch(st *topicState) (*route, error) {
	data, err := rs.ask(rs.c.ctx, st.topic)
	if err != nil {
		return nil, err
	}
	r := newRoute(st.topic, data)
	r.publish = rs.c.namespace.shownQueues(r.publish)
	old := st.snap.Swap(r)
	st.auto.Store(nil)
	if old == nil || !old.equal(r) {
		rs.c.log.Debug("route changed", "topic", rs.c.namespace.shown(st.topic), "publish", len(r.publish), "subscribe", len(r.subscribe))
		rs.c.routeChanged(st.topic)
	}
	return r, nil
}

func (rs *routes) fetchAuto(st *topicState) (*route, error) {
	data, err := rs.ask(rs.c.ctx, protocol.DefaultTopic)
	if err != nil {
		return nil, err
	}
	// The brokers of the first sends make the topic: give all of them time to, lest the
	// topic's own route is found with one of them, and the others get nothing for a while.
	st.renewed.Store(time.Now().UnixNano())
	r := autoRoute(st.topic, data)
	r.publish = rs.c.namespace.shownQueues(r.publish)
	if old := st.auto.Swap(r); old == nil || !old.equal(r) {
		rs.c.beats.kick()
	}
	return r, nil
}

// ask makes the request.
func (rs *routes) ask(ctx context.Context, topic string) (*protocol.TopicRoute, error) {
	routeError := func(err error) error {
		return &message.RouteError{Topic: rs.c.namespace.shown(topic), NameServers: rs.c.cfg.NameServers, Err: err}
	}
	h := protocol.RouteRequest{Topic: topic, AcceptStandardJSONOnly: protocol.SomeBool(true)}
	resp, addr, err := rs.c.names.call(ctx, protocol.GetRouteInfo, &h)
	switch {
	case err != nil:
		return nil, routeError(err)
	case resp.Code == protocol.TopicNotExist:
		return nil, routeError(message.ErrNoRoute)
	case resp.Code != protocol.Success:
		return nil, routeError(answer.Refusal("look up the route of topic "+topic, "", addr, resp))
	}
	data, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		return nil, routeError(fmt.Errorf("answer of name server %s: %w", addr, err))
	}
	if len(data.QueueMappings) > 0 {
		return nil, routeError(errStatic(rs.c.namespace.shown(topic)))
	}
	return data, nil
}

// want keeps a topic's route fresh from now on, without waiting for it.
func (rs *routes) want(topics ...string) {
	for _, t := range topics {
		rs.state(t).wanted.Store(true)
	}
	rs.refresh(topics...)
}

// made looks a topic up that a message has made, for consumers that wait for it. Where one
// broker alone makes it, it is there: the first look-up waits for no pause.
func (rs *routes) made(topic string) {
	st := rs.state(topic)
	if r := st.auto.Load(); r != nil && st.made.CompareAndSwap(false, true) && len(r.brokers) == 1 {
		st.renewed.Store(0)
		st.quick.Store(time.Now().Add(newTopicWait).UnixNano())
		rs.fresh.Store(true)
	}
	rs.refresh(topic)
}

// refresh looks topics up soon, in the routes' own goroutine.
func (rs *routes) refresh(topics ...string) {
	rs.mu.Lock()
	for _, t := range topics {
		rs.asked[t] = struct{}{}
	}
	rs.mu.Unlock()
	select {
	case rs.wake <- struct{}{}:
	default:
	}
}

// Pauses of the refresh loop. RocketMQ has only the interval; a client that
// waits for its topic or its name server should notice within seconds.
const (
	refreshPause  = 500 * time.Millisecond // between two look-ups of a topic, however often they are asked for
	newTopicPause = 10 * time.Millisecond  // doubles, while one that reads waits for a topic that was just made
	newTopicWait  = time.Second            // the longest of these
	missingPause  = 5 * time.Second        // the longest wait while a wanted topic has no route, or no name server answers
)

// loop refreshes what is in use every RouteInterval, what was asked for at once,
// and what is missing with growing pauses; all of it so while no name server answers,
// lest one that is back is taken for gone until the interval is over.
func (rs *routes) loop() {
	ctx, interval := rs.c.ctx, rs.c.cfg.RouteInterval
	nextAll := time.Now().Add(interval)
	pause := refreshPause
	var alone time.Time      // when no name server answered last
	var lonely time.Duration // the pause after it; 0 while one answers
	var complaints seldom
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rs.wake:
		case <-timer.C:
		}
		now := time.Now()
		if wait := alone.Add(refreshPause).Sub(now); wait > 0 {
			timer.Reset(wait) // what was asked for is kept
			continue
		}
		all := !now.Before(nextAll)
		if all {
			nextAll = now.Add(interval)
		}
		due, rest := rs.takeDue(now)
		switch { // something has changed
		case rs.fresh.Swap(false):
			pause = newTopicPause
		case len(due) > 0:
			pause = refreshPause
		}
		missing, err := rs.round(ctx, all, due)
		switch {
		case err != nil:
			alone, lonely = time.Now(), min(max(2*lonely, refreshPause), missingPause)
			nextAll = alone.Add(min(lonely, interval))
			complaints.warn(rs.c.log, "no name server answers; trying again", "error", err)
		case lonely > 0 && rs.c.names.contact.well():
			lonely = 0
			rs.c.log.Info("a name server answers again")
		}
		next := time.Until(nextAll)
		if missing {
			next = min(next, pause)
			pause = min(2*pause, missingPause)
		} else {
			pause = refreshPause
		}
		if !rest.IsZero() {
			next = min(next, time.Until(rest))
		}
		timer.Reset(max(next, 0))
	}
}

// takeDue takes the topics that were asked for, but for those that were looked up a
// moment ago; rest is when the first of these is due, zero when there is none.
func (rs *routes) takeDue(now time.Time) (due map[string]struct{}, rest time.Time) {
	due = make(map[string]struct{})
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for topic := range rs.asked {
		at := rs.state(topic).due()
		if !now.Before(at) {
			due[topic] = struct{}{}
			delete(rs.asked, topic)
		} else if rest.IsZero() || at.Before(rest) {
			rest = at
		}
	}
	return due, rest
}

// round looks up the topics that were asked for, those that somebody waits for,
// and on demand all others. It reports whether one of them is still without; the
// error says that no name server answers.
func (rs *routes) round(ctx context.Context, all bool, asked map[string]struct{}) (missing bool, err error) {
	rs.topics.Range(func(_, v any) bool {
		st := v.(*topicState)
		_, now := asked[st.topic]
		auto, exists := st.auto.Load() != nil, st.snap.Load() != nil
		awaited := st.wanted.Load() && !exists
		if !now && !(awaited && !time.Now().Before(st.due())) && !(all && (exists || auto)) {
			missing = missing || awaited
			return true
		}
		failed := rs.renew(ctx, st)
		st.renewed.Store(time.Now().UnixNano())
		if failed != nil && ctx.Err() == nil {
			rs.failed(st, awaited, failed)
		}
		missing = missing || st.wanted.Load() && st.snap.Load() == nil
		if errors.Is(failed, message.ErrNoNameServer) && ctx.Err() == nil {
			err = failed // the rest would fail one by one
		}
		return ctx.Err() == nil && err == nil
	})
	return missing, err
}

// failed logs a look-up in vain. Somebody who waits for a topic that was never made, or
// whose name is misspelt, hears of it once; a retry topic is made by the first heartbeat,
// and one of dead letters by the first of them.
func (rs *routes) failed(st *topicState, awaited bool, err error) {
	if errors.Is(err, message.ErrUnsupported) {
		st.complaints.warn(rs.c.log, "a topic cannot be used", "topic", rs.c.namespace.shown(st.topic), "error", err)
		return
	}
	if !errors.Is(err, message.ErrNoRoute) && !errors.Is(err, message.ErrNoNameServer) { // which the loop says once for all
		st.complaints.warn(rs.c.log, "a topic's brokers could not be looked up; trying again", "topic", rs.c.namespace.shown(st.topic), "error", err)
		return
	}
	level, msg := slog.LevelDebug, "route lookup failed"
	if awaited && !st.missed && errors.Is(err, message.ErrNoRoute) && !strings.HasPrefix(st.topic, message.RetryPrefix) {
		level, msg, st.missed = slog.LevelInfo, "a topic does not exist yet; waiting for it", true
		if strings.HasPrefix(st.topic, message.DLQPrefix) { // and nobody is to create it
			rs.c.log.Info("no dead letters yet; waiting for the first, which makes their topic", "topic", rs.c.namespace.shown(st.topic))
			return
		}
	}
	rs.c.log.Log(rs.c.ctx, level, msg, "topic", rs.c.namespace.shown(st.topic), "error", err)
}

// each calls f with every snapshot.
func (rs *routes) each(f func(*route)) {
	rs.topics.Range(func(_, v any) bool {
		st := v.(*topicState)
		if r := st.snap.Load(); r != nil {
			f(r)
		} else if r := st.auto.Load(); r != nil {
			f(r)
		}
		return true
	})
}
