package native

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
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
	// deniedAgain is when a broker that does not let us compare is asked again.
	deniedAgain = time.Hour
)

// differ is what is known of other members' subscriptions.
type differ struct {
	// The following are the subscription's loop's.
	compared time.Time // when a broker was asked last
	soon     bool      // it will be woken to ask again

	mu     sync.Mutex                        // guards the following
	err    *message.SubscriptionsDifferError // of this episode; replaced, never changed
	seen   time.Time                         // last; zero: never
	logged time.Time
	denied time.Time // when a broker did not let us compare; zero: it does
	ids    []string  // the members as they were told last, sorted
	left   time.Time // when one of them was gone, until outdone
	outdid time.Time // when outdone was true last
}

// present notes the group's members, which are sorted.
func (d *differ) present(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.ids {
		if _, ok := slices.BinarySearch(ids, id); !ok {
			d.left = time.Now()
			break
		}
	}
	d.ids = ids
}

// outdone is true once after a member has left: what a broker has of another filter may
// be that one's. While members leave all the time it is so now and then, lest a difference
// of those that stay is never told.
func (d *differ) outdone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.left.IsZero() || now.Sub(d.left) >= differCalm {
		return false
	}
	if !d.outdid.IsZero() && now.Sub(d.outdid) < differCalm/2 {
		return false // left stays: it may be that one's at the next look
	}
	d.left, d.outdid = time.Time{}, now
	return true
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
	if d.isDenied(now) {
		return
	}
	if wait := pause - now.Sub(d.compared); wait > 0 {
		if woken && !d.soon {
			d.soon = true
			time.AfterFunc(wait, s.kick)
		}
		return
	}
	b, name := s.anyBroker()
	if b == nil {
		return
	}
	d.compared, d.soon = now, false
	h := protocol.ConsumerListRequest{ConsumerGroup: s.cfg.Group, BrokerName: name}
	ctx := remoting.WithTimeout(s.ctx, s.c.cfg.RequestTimeout)
	b.start(ctx, name, "list the subscriptions of group "+s.group, protocol.GetConsumerConnections, &h, func(resp *protocol.Command, err error) {
		if d.deny(err) {
			s.c.log.Info("this client may not read its group, so that it cannot tell when the members' subscriptions differ; with ACL 2.0 Get on the group allows it",
				"group", s.group, "remedy", fmt.Sprintf("mqadmin updateAcl -c <cluster> -s User:%s -r Group:%s -a Sub,Get -d Allow", s.c.cfg.Credentials.AccessKey, s.cfg.Group), "asked again in", deniedAgain, "error", err)
			return
		}
		if err != nil {
			s.c.log.Debug("could not compare the subscriptions of a group's members", "group", s.group, "error", err)
			return
		}
		body := bytes.Clone(resp.Body)
		s.c.asks.submit(func() { s.compareWith(body) }) // not when it has much to do: the next time then
	})
}

// deny notes a broker's answer. It is true when that has just begun to refuse us.
func (d *differ) deny(err error) (begun bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case answer.IsCode(err, protocol.NoPermission):
		begun = d.denied.IsZero()
		d.denied = time.Now()
	case err == nil:
		d.denied = time.Time{}
	}
	return begun
}

func (d *differ) isDenied(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.denied.IsZero() && now.Sub(d.denied) < deniedAgain
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
	s.differ.present(slices.Sorted(slices.Values(append(slices.Clone(e.Members), s.c.id))))
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
	if len(e.Topics) == 0 {
		return
	}
	outdone := s.differ.outdone()
	switch {
	case outdone || len(e.Members) == 0:
		// Versions of rocketmq-client-go are in ns: no time of ours is newer.
		for topic, f := range s.filter {
			if d, ok := known.Subscriptions[topic]; ok && d.SubVersion < math.MaxInt64 && expressionOf(&d) != ours[topic] {
				f.renew(d.SubVersion + 1)
			}
		}
		s.c.log.Info("a broker had the subscriptions of a member that has left; telling it ours", "group", s.group, "topics", e.Topics)
		s.c.beats.kick()
	default:
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
// subscription or has an older one. awaited: the next heartbeat may mend that; first: none
// has been sent for it yet.
func (p *puller) refusedFor(code protocol.Code, err error) (first, awaited bool) {
	now := time.Now()
	since := &p.missing
	if code == protocol.SubscriptionNotLatest {
		since = &p.outdated
	}
	if since.IsZero() || now.Sub(*since) >= differCalm && code == protocol.SubscriptionNotExist {
		*since, first = now, true
	}
	if now.Sub(*since) < refusedGrace {
		return first, true
	}
	p.q.s.differ.found(p.q.s.c.log, &message.SubscriptionsDifferError{Group: p.q.s.group, Err: err})
	return first, false
}
