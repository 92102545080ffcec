package native

import (
	"bytes"
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// A broker keeps one table of a group's subscriptions: of a topic the newest version that
// any member has, and of topics those of the last heartbeat. When it is not ours, members
// differ, and the broker filters for one by what the other wants, or refuses its pulls.

const (
	// compareInterval is no multiple of the 30 s between heartbeats: where members have
	// other topics the table is ours after our heartbeat and theirs after theirs.
	compareInterval = 40 * time.Second
	// compareAgain bounds the requests when members come and go all the time.
	compareAgain = 5 * time.Second
	// differCalm is how long no difference is seen when there is none any more. Three
	// looks, compareInterval apart, are at each third of the time between two heartbeats.
	differCalm = 3 * time.Minute
	// differGrace is how long a rolling deploy may take that changes the subscriptions.
	differGrace = 5 * time.Minute
	// refusedGrace is how long a broker that was just started, or a new member, may
	// refuse pulls: it learns of the group by the heartbeat that the refusal causes.
	refusedGrace = 10 * time.Second
)

// differ is what is known of other members' subscriptions.
type differ struct {
	compared time.Time // the subscription's loop's: when a broker was asked last

	mu     sync.Mutex                        // guards the following
	err    *message.SubscriptionsDifferError // of this episode; replaced, never changed
	seen   time.Time                         // last; zero: never
	logged time.Time
}

// found notes a difference, and logs it once a minute: as a warning while it may be a
// rolling deploy, then as an error.
func (d *differ) found(log *slog.Logger, e *message.SubscriptionsDifferError) {
	now := time.Now()
	d.mu.Lock()
	e.Since = now
	if old := d.current(now); old != nil {
		e.Since, e.Err = old.Since, cmp.Or(e.Err, old.Err)
		if len(e.Topics) == 0 {
			e.Topics, e.Members = old.Topics, old.Members
		}
	}
	d.err, d.seen = e, now
	due := now.Sub(d.logged) >= time.Minute
	if due {
		d.logged = now
	}
	d.mu.Unlock()
	switch {
	case !due:
	case now.Sub(e.Since) < differGrace:
		log.Warn("members of a group have different subscriptions; harmless only while all of them are being replaced", "group", e.Group, "error", e)
	default:
		log.Error("members of a group have different subscriptions", "group", e.Group, "since", e.Since, "error", e)
	}
}

// current is the episode's error. d.mu is held.
func (d *differ) current(now time.Time) *message.SubscriptionsDifferError {
	if d.err == nil || now.Sub(d.seen) >= differCalm {
		return nil
	}
	return d.err
}

// lasting is the error when the difference is there for too long for a deploy.
func (d *differ) lasting() error {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.current(now); e != nil && now.Sub(e.Since) >= differGrace {
		return e
	}
	return nil
}

// compare asks a broker for its table when it is time, or the loop was woken, as it is
// when members come and go. It does not wait. Brokers without a connection are passed
// over, and so is one that does not answer, until the next time.
func (s *subscription) compare(woken bool) {
	d, now := &s.differ, time.Now()
	pause := compareInterval
	if woken {
		pause = compareAgain
	}
	if now.Sub(d.compared) < pause {
		return
	}
	b, name := s.anyBroker()
	if b == nil {
		return
	}
	d.compared = now
	h := protocol.ConsumerListRequest{ConsumerGroup: s.cfg.Group, BrokerName: name}
	ctx := remoting.WithTimeout(s.ctx, s.c.cfg.RequestTimeout)
	b.start(ctx, name, "list the subscriptions of group "+s.group, protocol.GetConsumerConnections, &h, func(resp *protocol.Command, err error) {
		if err != nil {
			s.c.log.Debug("could not compare the subscriptions of a group's members", "group", s.group, "error", err)
			return
		}
		body := bytes.Clone(resp.Body)
		s.c.asks.submit(func() { s.compareWith(body) }) // not when it has much to do: the next time then
	})
}

// anyBroker is a connected broker of one of the topics.
func (s *subscription) anyBroker() (*broker, string) {
	for topic := range s.filter {
		if r := s.c.routes.known(topic); r != nil {
			for name, addrs := range r.brokers {
				if addr, _ := addrs.reader(protocol.MasterID); addr != "" {
					if b := s.c.brokers.get(addr); b.ready() != nil {
						return b, name
					}
				}
			}
		}
	}
	return nil, ""
}

// compareWith compares a broker's table with ours.
func (s *subscription) compareWith(body []byte) {
	var known protocol.ConsumerConnections
	if err := protocol.DecodeBody(body, &known); err != nil {
		s.c.log.Debug("could not read the subscriptions of a group's members", "group", s.group, "error", err)
		return
	}
	e := &message.SubscriptionsDifferError{Group: s.group}
	us := false
	for _, m := range known.Connections {
		if m.ClientID == s.c.id {
			us = true
		} else {
			e.Members = append(e.Members, m.ClientID)
		}
	}
	if !us || s.ctx.Err() != nil {
		return // a broker that has not heard of us yet, or not any more
	}
	slices.Sort(e.Members)
	ours, theirs := map[string]string{}, map[string]string{}
	for topic, f := range s.filter {
		ours[topic] = expressionOf(&f.data)
	}
	for topic, d := range known.Subscriptions {
		theirs[topic] = expressionOf(&d)
	}
	topics := slices.AppendSeq(slices.Collect(maps.Keys(ours)), maps.Keys(theirs))
	slices.Sort(topics)
	for _, topic := range slices.Compact(topics) {
		// Clients subscribe to retries on their own, and not all of them do.
		if a, b := ours[topic], theirs[topic]; a != b && !strings.HasPrefix(topic, message.RetryPrefix) {
			e.Topics = append(e.Topics, message.SubscriptionDifference{Topic: s.c.namespace.shown(topic), Ours: a, Theirs: b})
		}
	}
	if len(e.Topics) > 0 {
		s.differ.found(s.c.log, e)
	}
}

// expressionOf is a subscription in words, the same for tags in any order.
func expressionOf(d *protocol.SubscriptionData) string {
	if !d.TagType() {
		return d.ExpressionType + " " + strings.TrimSpace(d.SubString)
	}
	read, err := protocol.BuildTagSubscription(d.Topic, d.SubString)
	if err != nil {
		return d.SubString
	}
	if read.MatchesAll() {
		return protocol.SubscribeAll
	}
	slices.Sort(read.TagsSet)
	return strings.Join(read.TagsSet, " || ")
}

// refusedFor notes a pull that was refused because the broker lacks the group's
// subscription or has an older one, and goes on to do so.
func (p *puller) refusedFor(err error) {
	s, now := p.q.s, time.Now()
	switch since := now.Sub(p.refused); {
	case since >= differCalm:
		p.refused = now
	case since >= refusedGrace:
		s.differ.found(s.c.log, &message.SubscriptionsDifferError{Group: s.group, Err: err})
	}
}
