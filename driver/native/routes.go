package native

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// routes keeps a snapshot of every topic's route that was asked for.
type routes struct {
	c      *client
	topics sync.Map // topic → *topicState

	wake chan struct{} // capacity 1: asked has something
	mu   sync.Mutex    // guards the following
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

	mu     sync.Mutex // guards the following
	flight *routeFlight
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

// get is the topic's route; it asks the name servers when there is none yet.
// The error is a *message.RouteError or ctx's.
func (rs *routes) get(ctx context.Context, topic string) (*route, error) {
	st := rs.state(topic)
	if r := st.snap.Load(); r != nil {
		return r, nil
	}
	return rs.lookup(ctx, st)
}

// forSending is get for a producer: a topic that does not exist gets the
// default topic's route, whose brokers create it.
func (rs *routes) forSending(ctx context.Context, topic string) (*route, error) {
	st := rs.state(topic)
	if r := st.snap.Load(); r != nil {
		return r, nil
	}
	if r := st.auto.Load(); r != nil {
		return r, nil
	}
	r, err := rs.lookup(ctx, st)
	if !errors.Is(err, message.ErrNoRoute) || topic == protocol.DefaultTopic {
		return r, err
	}
	r, err2 := rs.lookupAuto(ctx, st)
	if errors.Is(err2, message.ErrNoRoute) {
		return nil, err // no broker creates topics: the topic's own error says it
	}
	return r, err2
}

// lookupAuto makes a topic that does not exist known by the default topic.
func (rs *routes) lookupAuto(ctx context.Context, st *topicState) (*route, error) {
	data, err := rs.ask(ctx, protocol.DefaultTopic)
	if err != nil {
		return nil, err
	}
	r := autoRoute(st.topic, data)
	if old := st.auto.Swap(r); old == nil || !old.equal(r) {
		rs.c.beats.kick()
	}
	return r, nil
}

// lookup asks the name servers, once for all who wait at the same time.
func (rs *routes) lookup(ctx context.Context, st *topicState) (*route, error) {
	st.mu.Lock()
	f := st.flight
	if f == nil {
		f = &routeFlight{done: make(chan struct{})}
		st.flight = f
		started := rs.c.run(func() { rs.fly(st, f) })
		if !started {
			st.flight = nil
			st.mu.Unlock()
			return nil, fmt.Errorf("route of topic %q: %w", st.topic, message.ErrClosed)
		}
	}
	st.mu.Unlock()
	select {
	case <-f.done:
		return f.r, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("route of topic %q: %w", st.topic, ctx.Err())
	}
}

// fly does one lookup under the client's own ctx, so that a waiter who gives up
// takes nothing from the others.
func (rs *routes) fly(st *topicState, f *routeFlight) {
	data, err := rs.ask(rs.c.ctx, st.topic)
	if err == nil {
		f.r = newRoute(st.topic, data)
	}
	f.err = err
	changed := false
	if f.r != nil {
		old := st.snap.Swap(f.r)
		changed = old == nil || !old.equal(f.r)
		st.auto.Store(nil)
	}
	st.mu.Lock()
	st.flight = nil
	st.mu.Unlock()
	close(f.done)
	if changed {
		rs.c.log.Debug("route changed", "topic", st.topic, "publish", len(f.r.publish), "subscribe", len(f.r.subscribe))
		rs.c.routeChanged(st.topic)
	}
}

// ask makes the request.
func (rs *routes) ask(ctx context.Context, topic string) (*protocol.TopicRoute, error) {
	routeError := func(err error) error {
		return &message.RouteError{Topic: topic, NameServers: rs.c.names.addrs, Err: err}
	}
	h := protocol.RouteRequest{Topic: topic, AcceptStandardJSONOnly: protocol.SomeBool(true)}
	resp, addr, err := rs.c.names.call(ctx, protocol.GetRouteInfo, &h)
	switch {
	case err != nil:
		return nil, routeError(err)
	case resp.Code == protocol.TopicNotExist:
		return nil, routeError(message.ErrNoRoute)
	case resp.Code != protocol.Success:
		return nil, routeError(refusal("look up the route of topic "+topic, "", addr, resp))
	}
	data, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		return nil, routeError(fmt.Errorf("answer of name server %s: %w", addr, err))
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
	refreshPause = 500 * time.Millisecond // between two rounds, however often they are asked for
	missingPause = 5 * time.Second        // the longest wait while a wanted topic has no route
)

// loop refreshes what is in use every RouteInterval, what was asked for at once,
// and what is missing with growing pauses.
func (rs *routes) loop() {
	ctx, interval := rs.c.ctx, rs.c.cfg.RouteInterval
	var last time.Time // of the last round
	nextAll := time.Now().Add(interval)
	pause := refreshPause
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rs.wake:
			if wait := refreshPause - time.Since(last); wait > 0 {
				timer.Reset(wait) // what was asked for is kept
				continue
			}
		case <-timer.C:
		}
		all := !time.Now().Before(nextAll)
		if all {
			nextAll = time.Now().Add(interval)
		}
		missing := rs.round(ctx, all, rs.takeAsked())
		last = time.Now()
		next := time.Until(nextAll)
		if missing {
			next = min(next, pause)
			pause = min(2*pause, missingPause)
		} else {
			pause = refreshPause
		}
		timer.Reset(max(next, 0))
	}
}

func (rs *routes) takeAsked() map[string]struct{} {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	asked := rs.asked
	rs.asked = make(map[string]struct{})
	return asked
}

// round looks up the topics that were asked for, those that somebody waits for,
// and on demand all others. It reports whether one of them is still without.
func (rs *routes) round(ctx context.Context, all bool, asked map[string]struct{}) (missing bool) {
	rs.topics.Range(func(_, v any) bool {
		st := v.(*topicState)
		_, now := asked[st.topic]
		auto, wanted := st.auto.Load() != nil, st.wanted.Load()
		exists := st.snap.Load() != nil
		if !now && !(wanted && !exists) && !(all && (exists || auto)) {
			return true
		}
		_, err := rs.lookup(ctx, st)
		if auto && errors.Is(err, message.ErrNoRoute) {
			_, err = rs.lookupAuto(ctx, st)
		}
		if err != nil && ctx.Err() == nil {
			rs.c.log.Debug("route lookup failed", "topic", st.topic, "error", err)
		}
		missing = missing || wanted && st.snap.Load() == nil
		// Without a name server the rest would fail one by one.
		return ctx.Err() == nil && !errors.Is(err, message.ErrNoNameServer)
	})
	return missing
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
