package consumer

import (
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

// validate finds every mistake.
func (p *plan) validate(caps driver.Capabilities, driverName string) {
	p.checkGroup()
	p.checkStrict(caps, driverName)
	if !caps.ExactRetryDelay {
		p.checkDelays(driverName)
	}
	p.checkOrder(caps, driverName)
	p.checkModel(caps, driverName)
	for i, mw := range p.middleware {
		if mw == nil {
			p.mistake("middleware %d is nil; remove it", i+1)
		}
	}
	for _, e := range p.entries {
		p.checkEntry(e)
	}
	p.checkNames()
	order, byTopic := p.topics()
	for _, topic := range order {
		p.checkTopic(topic, byTopic[topic])
	}
	p.checkPresence()
}

// checkStrict finds a group whose delays a driver cannot keep.
func (p *plan) checkStrict(caps driver.Capabilities, driverName string) {
	if p.opts.strictRetryDelay && !caps.ExactRetryDelay {
		p.mistake("%w: StrictRetryDelay needs a driver that keeps retry delays, and %s rounds them up to delay levels; use the native driver or remove the option", message.ErrUnsupported, driverName)
	}
}

// checkDelays finds handlers whose delays a driver cannot keep.
func (p *plan) checkDelays(driverName string) {
	for _, e := range p.entries {
		if policy := e.policyOr(&p.opts.common); !e.dlq && !p.opts.strictRetryDelay && p.exact(e, policy) {
			p.mistake("%s: %w: Retry(%s): its delays must be kept, and %s rounds them up to delay levels; use the native driver or a back-off that is not Strict", e.label(), message.ErrUnsupported, policy, driverName)
		}
	}
}

// checkGroup checks the group's name and options.
func (p *plan) checkGroup() {
	if err := message.CheckGroup(p.group); err != nil {
		p.mistake("%w", err)
	}
	o := &p.opts
	p.checkCommon("", &o.common)
	if n := o.pullBatch; n.set && (n.value < 1 || n.value > maxPullBatch) {
		p.mistake("PullBatch(%d): 1 to %d", n.value, maxPullBatch)
	}
	if n := o.maxUnsettled; n.set && (n.value < 1 || n.value > maxUnsettled) {
		p.mistake("MaxUnsettled(%d): 1 to %d", n.value, maxUnsettled)
	}
	if n := o.maxUnsettledBytes; n.set && n.value < 1 {
		p.mistake("MaxUnsettledBytes(%d): at least 1", n.value)
	}
	if n := o.maxSpan; n.set && (n.value < 1 || n.value > maxUnsettled) {
		p.mistake("MaxSpan(%d): 1 to %d", n.value, maxUnsettled)
	}
	if d := o.shutdownTimeout; d.set && d.value <= 0 {
		p.mistake("ShutdownTimeout(%s): must be positive", d.value)
	}
	if d := o.invisible; d.set {
		if err := checkInvisible(d.value); err != nil {
			p.mistake("%w", err)
		}
	}
	if d := o.pullWait; d.set && (d.value < 0 || d.value > maxPullWait) {
		p.mistake("PullWait(%s): 0, which does not wait, to %s", d.value, maxPullWait)
	}
	if o.from != First && o.from != Last {
		p.mistake("From(%d): use consumer.First or consumer.Last", o.from)
	}
}

// checkCommon checks what handlers and groups can both choose; label is "" for
// the group.
func (p *plan) checkCommon(label string, c *common) {
	if label != "" {
		label += ": "
	}
	if n := c.concurrency; n.set && n.value < 1 {
		p.mistake("%sConcurrency(%d): at least 1", label, n.value)
	}
	if d := c.timeout; d.set && d.value <= 0 {
		p.mistake("%sTimeout(%s): must be positive", label, d.value)
	}
	if c.codec.set && c.codec.value == nil {
		p.mistake("%sCodec(nil): name a codec, or leave the option out for the type's own", label)
	}
	if n := c.maxRetries; n.set && n.value < 0 {
		p.mistake("%sMaxRetries(%d): at least 0, which dead-letters the first failure", label, n.value)
	}
	p.checkDedup(label, c)
	if c.retry.set {
		if err := c.retry.value.Validate(); err != nil {
			for _, err := range flatten(err) {
				p.mistake("%s%w", label, err)
			}
		}
	}
}

func (p *plan) checkEntry(e *entry) {
	if e.isNil {
		p.mistake("%s: the handler function is nil; pass one", e.label())
	}
	p.checkCommon(e.label(), &e.common)
	p.checkPace(e.label(), &e.handlerOptions)
	p.checkBatch(e)
	if e.given.set && strings.TrimSpace(e.name) == "" {
		p.mistake("handler of topic %q: its name is empty; leave Name out or give one", e.topic)
	}
	switch {
	case e.raw() && e.codec.set:
		p.mistake("%s: it takes messages undecoded, so it has no use for a codec; remove Codec", e.label())
	case !e.raw():
		if c := e.codecOr(&p.opts.common); c != nil {
			if err := c.Check(e.typ); err != nil {
				p.mistake("%s: codec %s: %w", e.label(), c.Name(), err)
			}
		}
	}
	if e.dlq {
		p.checkDead(e)
		return
	}
	if err := message.CheckTopic(e.topic); err != nil && !e.unresolved {
		p.mistake("%s: %w", e.label(), err)
	}
	switch {
	case e.topic == message.DLQTopic(p.group):
		p.mistake("%s: a group that consumes its own dead-letter queue sends what fails back into it for ever; use HandleDLQ", e.label())
	case strings.HasPrefix(e.topic, message.DLQPrefix):
		p.mistake("%s: a dead letter that is retried no longer shows its queue; use HandleDLQ in a mux of group %q", e.label(), strings.TrimPrefix(e.topic, message.DLQPrefix))
	case strings.HasPrefix(e.topic, message.RetryPrefix):
		p.mistake("%s: retry topics belong to their groups, which consume them by themselves; subscribe to the topic that the messages were sent to", e.label())
	}
	if e.tagsErr != nil {
		for _, err := range flatten(e.tagsErr) {
			p.mistake("%s: %w", e.label(), err)
		}
	}
	if e.sql.set {
		switch {
		case strings.TrimSpace(e.sql.value) == "":
			p.mistake("%s: SQL is empty; write an expression, or leave it out for every message", e.label())
		case len(e.tagExprs) > 0:
			p.mistake("%s: it has tags and SQL; RocketMQ filters a topic by one of them (SQL can test tags: TAGS = 'a')", e.label())
		}
	}
}

// checkDead checks a dead-letter handler.
func (p *plan) checkDead(e *entry) {
	if len(e.tagExprs) > 0 || e.sql.set {
		p.mistake("%s: HandleDLQ takes every dead letter of the group; remove Tags and SQL and tell them apart by d.Tag and d.OriginTopic()", e.label())
	}
	if e.retry.set || e.maxRetries.set {
		p.mistake("%s: dead letters are retried without end and never dead-lettered; remove Retry and MaxRetries", e.label())
	}
	if g := dlqGroup(p.group); len(g) > message.MaxGroupLength && len(p.group) <= message.MaxGroupLength {
		p.mistake("%s: its group %.32q… has %d bytes, at most %d; shorten the group's name", e.label(), g, len(g), message.MaxGroupLength)
	}
}

// checkNames finds names that do not tell handlers apart. Two names that nobody
// gave are the same only where the subscriptions clash.
func (p *plan) checkNames() {
	seen := make(map[string]*entry)
	for _, e := range p.entries {
		first := seen[e.name]
		switch {
		case first == nil:
			seen[e.name] = e
		case first.given.set || e.given.set:
			p.mistake("two handlers are named %q, of topics %q and %q; give one another with Name or a name tag", e.name, first.topic, e.topic)
		}
	}
}

// checkTopic finds handlers of one topic that cannot share it.
func (p *plan) checkTopic(topic string, entries []*entry) {
	taken := make(map[string]*entry)
	for i, e := range entries {
		for _, tag := range e.tags {
			if first := taken[tag]; first != nil {
				p.mistake("handlers %q and %q of topic %q both take tag %q; a message goes to one handler of a group: remove the tag from one, or give one a group of its own", first.name, e.name, topic, tag)
				continue
			}
			taken[tag] = e
		}
		for _, first := range entries[:i] {
			if why := clash(first, e); why != "" {
				p.mistake("handlers %q and %q of topic %q %s", first.name, e.name, topic, why)
			}
		}
	}
}

// clash says why two handlers cannot share a topic, "" when they can or when
// their tags say it.
func clash(a, b *entry) string {
	switch {
	case a.tagsErr != nil || b.tagsErr != nil:
		return ""
	case a.sql.set && b.sql.set:
		return "both subscribe by SQL; RocketMQ takes one expression for a group and topic: join them, or give one a group of its own"
	case a.sql.set != b.sql.set:
		return "mix SQL and tags; RocketMQ filters a topic of a group by one of them: use one kind for both, or give one a group of its own"
	case a.all() && b.all():
		return "both take every message; a message goes to one handler of a group: give them tags, or give one a group of its own"
	case a.all() || b.all():
		if b.all() {
			a, b = b, a
		}
		return fmt.Sprintf("overlap: %q takes every tag, also %q; give it tags, or a group of its own", a.name, setting.JoinTags(b.tags))
	}
	return ""
}

// checkPresence: something must be left to consume.
func (p *plan) checkPresence() {
	dead := p.dead()
	if len(dead) > 1 {
		p.mistake("HandleDLQ was called %d times; a group has one dead-letter queue and one handler for it", len(dead))
	}
	if len(p.entries) == 0 {
		p.mistake("no handler is registered; call consumer.Handle, HandleRaw, HandleDLQ, Bind or Mux.Add before New")
		return
	}
	for _, e := range p.entries {
		if !e.disabled {
			return
		}
	}
	p.mistake("every handler is disabled; do not make the consumer")
}
