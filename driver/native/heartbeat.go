package native

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// heartbeats greets every broker of the routes in use: masters for producers,
// slaves too for consumers.
type heartbeats struct {
	c      *client
	wake   chan struct{} // capacity 1: greet all now
	broken chan struct{} // capacity 1: a connection was lost
}

func newHeartbeats(c *client) *heartbeats {
	return &heartbeats{c: c, wake: make(chan struct{}, 1), broken: make(chan struct{}, 1)}
}

// kick greets all brokers soon: a group came or went, or a route changed.
func (h *heartbeats) kick() { poke(h.wake) }

// lost greets the brokers without a connection soon.
func (h *heartbeats) lost() { poke(h.broken) }

// poke leaves a token in a channel of capacity 1.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Pauses before a broker that is gone is tried again.
const (
	reconnectPause    = 500 * time.Millisecond
	reconnectPauseMax = 30 * time.Second
)

// loop greets all brokers every HeartbeatInterval and when asked to, and those
// that cannot be reached with growing pauses in between.
func (h *heartbeats) loop() {
	ctx, interval := h.c.ctx, h.c.cfg.HeartbeatInterval
	pause := reconnectPause
	nextAll := time.Now().Add(interval)
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		all, down := false, false
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
			all = true
		case <-h.broken:
			pause = reconnectPause
			down = true // not at once: a server that restarts needs a moment
		case <-timer.C:
			all = !time.Now().Before(nextAll)
		}
		if all {
			nextAll = time.Now().Add(interval)
		}
		if !down {
			down = h.round(all)
		}
		next := time.Until(nextAll)
		if down {
			next = min(next, pause)
			pause = min(2*pause, reconnectPauseMax)
		} else {
			pause = reconnectPause
		}
		timer.Reset(max(next, 0))
	}
}

// round greets all brokers, or those without a connection, at the same time, and
// waits for them. It reports whether one cannot be reached.
func (h *heartbeats) round(all bool) (down bool) {
	targets := h.c.targets()
	h.c.brokers.retain(targets)
	producers, consumers := h.c.groups()
	if len(producers)+len(consumers) == 0 {
		return false
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(targets))
	for addr, name := range targets {
		b := h.c.brokers.get(addr)
		if !all && b.ready() != nil {
			continue
		}
		wg.Go(func() {
			if err := h.c.greet(h.c.ctx, b); err != nil {
				h.c.log.Debug("heartbeat failed", "broker", name, "addr", addr, "error", err)
				failed <- err
			}
		})
	}
	wg.Wait()
	return len(failed) > 0
}

// greet sends one heartbeat; a connection that had to be opened for it has sent
// one already.
func (c *client) greet(ctx context.Context, b *broker) error {
	conn := b.ready()
	if conn == nil {
		_, err := b.connect(remoting.WithTimeout(ctx, c.cfg.RequestTimeout))
		return err
	}
	err := b.greet(ctx, conn)
	if errors.Is(err, context.DeadlineExceeded) {
		err = b.greet(ctx, conn) // it may have paused
	}
	if errors.Is(err, context.DeadlineExceeded) && conn.Err() == nil {
		// A host that vanished does not end its connections: what waits there would
		// wait for minutes.
		c.log.Warn("broker does not answer heartbeats; closing its connection", "addr", b.addr, "error", err)
		err = errors.Join(err, conn.Close())
	}
	return err
}

// greetSoon sends a heartbeat to a broker that lacks what it says, and not behind those to
// other brokers, of which one may have vanished. It does not wait; then runs when one that
// began afterwards has been answered or has failed.
func (b *broker) greetSoon(then func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ungreeted = append(b.ungreeted, then)
	b.greeting = b.greeting || b.c.run(b.greetUngreeted)
}

func (b *broker) greetUngreeted() {
	for {
		b.mu.Lock()
		waiting := b.ungreeted
		b.ungreeted, b.greeting = nil, len(waiting) > 0
		b.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		if err := b.c.greet(b.c.ctx, b); err != nil {
			b.c.log.Debug("heartbeat failed", "addr", b.addr, "error", err)
		}
		for _, then := range waiting {
			then()
		}
	}
}

// targets are the addresses to greet, with their broker's name.
func (c *client) targets() map[string]string {
	_, consumers := c.groups()
	targets := make(map[string]string)
	c.routes.each(func(r *route) {
		for name, b := range r.brokers {
			for id, addr := range b.addrs {
				if addr == "" || id != protocol.MasterID && len(consumers) == 0 {
					continue
				}
				targets[addr] = name
				if vip := c.brokers.get(addr).vip; vip != "" && id == protocol.MasterID {
					targets[vip] = name
				}
			}
		}
	})
	return targets
}

// heartbeat is the body of a heartbeat with every group of this client.
func (c *client) heartbeat() ([]byte, error) {
	producers, consumers := c.groups()
	data := protocol.HeartbeatData{
		ClientID:  c.id,
		Producers: make([]protocol.ProducerData, 0, len(producers)),
		Consumers: make([]protocol.ConsumerData, 0, len(consumers)),
	}
	for _, g := range producers {
		data.Producers = append(data.Producers, protocol.ProducerData{GroupName: g})
	}
	for _, s := range consumers {
		from := protocol.ConsumeFromLastOffset
		switch {
		case !s.cfg.FromTime.IsZero():
			from = protocol.ConsumeFromTimestamp
		case s.cfg.From == driver.FromFirst:
			from = protocol.ConsumeFromFirstOffset
		}
		model := protocol.Clustering
		if s.cfg.Broadcast != nil {
			model = protocol.Broadcasting
		}
		data.Consumers = append(data.Consumers, protocol.ConsumerData{
			GroupName: s.cfg.Group, ConsumeType: protocol.ConsumePassively, MessageModel: model,
			ConsumeFromWhere: from, Subscriptions: s.filters(),
		})
	}
	return protocol.EncodeBody(&data)
}

// greetAll tells every known broker of a change at once and waits for it.
func (c *client) greetAll(ctx context.Context) {
	var wg sync.WaitGroup
	for addr, name := range c.targets() {
		b := c.brokers.get(addr)
		wg.Go(func() {
			if err := c.greet(ctx, b); err != nil {
				c.log.Debug("heartbeat failed", "broker", name, "addr", addr, "error", err)
			}
		})
	}
	wg.Wait()
}

// unregister tells the brokers that are connected that a group is gone. Those
// that cannot be told forget it when the connection ends.
func (c *client) unregister(ctx context.Context, h *protocol.UnregisterRequest) {
	var wg sync.WaitGroup
	c.brokers.each(func(b *broker) {
		if conn := b.ready(); conn != nil {
			wg.Go(func() {
				if err := b.unregister(ctx, conn, h); err != nil {
					c.log.Debug("could not unregister", "addr", b.addr, "producer group", c.namespace.shown(h.ProducerGroup), "consumer group", c.namespace.shown(h.ConsumerGroup), "error", err)
				}
			})
		}
	})
	wg.Wait()
}

func (b *broker) unregister(ctx context.Context, conn *remoting.Conn, h *protocol.UnregisterRequest) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	cmd := protocol.ClientRequest(protocol.UnregisterClient)
	resp, err := conn.Call(remoting.WithTimeout(ctx, b.c.cfg.RequestTimeout), &cmd, h)
	if err == nil && resp.Code != protocol.Success {
		err = answer.Refusal("unregister", "", b.addr, resp)
	}
	return err
}
