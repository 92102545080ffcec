package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/nearest"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/retry"
)

// entry is one handler on its way from registration to runtime.
type entry struct {
	*registration
	handlerOptions
	topic    string // with placeholders resolved
	name     string
	tags     []string // sorted; none: all
	tagsErr  error
	disabled bool

	unresolved bool // the topic, which is a mistake already
}

// label names the entry in mistakes.
func (e *entry) label() string {
	if e.given.set && e.topic != "" && !e.dlq {
		return fmt.Sprintf("handler %q of topic %q", e.name, e.topic)
	}
	return fmt.Sprintf("handler %q", e.name)
}

// all reports that the entry takes every message of its topic.
func (e *entry) all() bool { return len(e.tags) == 0 && !e.sql.set }

// codecOr returns the entry's codec, nil for raw handlers.
func (e *entry) codecOr(g *common) codec.Codec {
	if e.raw() {
		return nil
	}
	return e.codec.or(g.codec.or(codec.For(e.typ)))
}

// policyOr returns the entry's retry policy.
func (e *entry) policyOr(g *common) retry.Policy {
	own := e.common
	if !own.retry.set {
		own.retry = g.retry
		own.maxRetries = own.maxRetries.over(g.maxRetries)
	}
	return own.policy()
}

// plan is a Mux with every option applied, not yet checked.
type plan struct {
	group      string
	opts       groupOptions
	entries    []*entry
	middleware []Middleware
	mistakes   []error
}

// newPlan applies the options: the Mux's first, then those of New.
func newPlan(m *Mux, opts []GroupOption) *plan {
	if m == nil {
		m = &Mux{mistakes: []error{errNilMux}}
	}
	p := &plan{group: m.group, middleware: m.middleware, mistakes: slices.Clone(m.mistakes)}
	p.choose(m.opts)
	p.choose(opts)
	for i, r := range m.registrations {
		e, errs := p.newEntry(i, r)
		if p.has(e) {
			p.mistake("%s is registered twice; add it once, or give one of the two another topic or tags", e.label())
			continue
		}
		p.mistakesOf(e, errs)
		p.entries = append(p.entries, e)
	}
	p.override()
	return p
}

// choose applies options of the group.
func (p *plan) choose(opts []GroupOption) {
	for _, o := range opts {
		if o == nil {
			p.mistake("a group option is nil; remove it")
			continue
		}
		o.applyGroup(&p.opts)
	}
}

func (p *plan) mistake(format string, args ...any) {
	p.mistakes = append(p.mistakes, fmt.Errorf(format, args...))
}

// mistakesOf are mistakes in what a handler was registered with. One without a name of its
// own is that of its topic.
func (p *plan) mistakesOf(e *entry, errs []error) {
	label := fmt.Sprintf("handler of topic %q", e.topic)
	if e.given.set {
		label = e.label()
	}
	for _, err := range errs {
		p.mistake("%s: %w", label, err)
	}
}

func (p *plan) newEntry(i int, r *registration) (*entry, []error) {
	e := &entry{registration: r, topic: r.topic}
	err := p.resolveTopic(e)
	errs := p.apply(e, r.opts)
	if err != nil {
		errs = append([]error{err}, errs...)
	}
	e.tags, e.tagsErr = setting.ParseTags(e.tagExprs)
	e.name = e.given.or(defaultName(i, e))
	return e, errs
}

// has reports that the entry's function has the same name and subscription already: a
// listener that was added twice.
func (p *plan) has(e *entry) bool {
	return slices.ContainsFunc(p.entries, func(other *entry) bool {
		return other.name == e.name && other.topic == e.topic && other.dlq == e.dlq && other.typ == e.typ && other.fn == e.fn &&
			other.sql == e.sql && slices.Equal(other.tags, e.tags)
	})
}

// apply applies the options, and returns what is wrong with them.
func (p *plan) apply(e *entry, opts []HandlerOption) (errs []error) {
	for _, o := range opts {
		if o == nil {
			errs = append(errs, errors.New("an option is nil; remove it"))
			continue
		}
		o.applyHandler(&e.handlerOptions)
		errs = append(errs, p.read(e)...)
	}
	return errs
}

func defaultName(i int, e *entry) string {
	switch {
	case e.dlq:
		return "dlq"
	case strings.TrimSpace(e.topic) == "":
		return fmt.Sprintf("#%d", i+1)
	case len(e.tags) > 0:
		return fmt.Sprintf("%s[%s]", e.topic, setting.JoinTags(e.tags))
	}
	return e.topic
}

// override applies what ForHandler and Disable say.
func (p *plan) override() {
	for _, o := range p.opts.overrides {
		e := p.named("ForHandler", o.name)
		if e == nil {
			continue
		}
		over := &entry{registration: e.registration, topic: e.topic}
		for _, err := range p.apply(over, o.opts) {
			p.mistake("%s: ForHandler: %w", e.label(), err)
		}
		e.concurrency = over.concurrency.over(e.concurrency)
		if e.maxRetries = over.maxRetries.over(e.maxRetries); over.retry.set {
			e.retry, e.maxRetries = over.retry, over.maxRetries
		}
		e.codec = over.codec.over(e.codec)
		e.timeout = over.timeout.over(e.timeout)
		e.dedup = over.dedup.over(e.dedup)
		e.rate = over.rate.over(e.rate)
		e.killSwitch = over.killSwitch.over(e.killSwitch)
		e.batchSize = over.batchSize.over(e.batchSize)
		e.batchWait = over.batchWait.over(e.batchWait)
		if over.given.set || over.sql.set || len(over.tagExprs) > 0 {
			p.mistake("ForHandler(%q) changes its name or subscription; only Concurrency, Retry, MaxRetries, Codec, Timeout, Deduplicate, RateLimit, KillSwitch, BatchSize and BatchWait can be given afterwards", o.name)
		}
	}
	for _, name := range p.opts.disabled {
		if e := p.named("Disable", name); e != nil {
			e.disabled = true
		}
	}
}

// registered says which names there are, and which of them is meant perhaps.
func registered(name string, names []string) string {
	if len(names) == 0 {
		return "none are registered"
	}
	slices.Sort(names)
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	all := "registered are " + strings.Join(quoted, ", ")
	if near := nearest.To(name, names); near != "" {
		return fmt.Sprintf("did you mean %q? %s", near, all)
	}
	return all
}

// named finds a handler for an option that names it.
func (p *plan) named(option, name string) *entry {
	names := make([]string, 0, len(p.entries))
	for _, e := range p.entries {
		if e.name == name {
			return e
		}
		names = append(names, e.name)
	}
	p.mistake("no handler is named %q, as %s or the configuration's handlers[].name says; %s", name, option, registered(name, names))
	return nil
}

// topics returns the entries by topic, in the order of registration, without the
// dead-letter handlers.
func (p *plan) topics() (order []string, byTopic map[string][]*entry) {
	byTopic = make(map[string][]*entry)
	for _, e := range p.entries {
		if e.dlq {
			continue
		}
		if byTopic[e.topic] == nil {
			order = append(order, e.topic)
		}
		byTopic[e.topic] = append(byTopic[e.topic], e)
	}
	return order, byTopic
}

// dead returns the dead-letter handlers.
func (p *plan) dead() []*entry {
	var found []*entry
	for _, e := range p.entries {
		if e.dlq {
			found = append(found, e)
		}
	}
	return found
}

// filter is the one subscription of a topic's handlers, the same for every member
// of the group whatever the order of registration. ok is false when all of them
// are disabled.
func filter(topic string, entries []*entry) (f driver.TopicFilter, ok bool) {
	f = driver.TopicFilter{Topic: topic, Type: driver.ExpressionTag, Expression: "*"}
	var tags []string
	all := false
	for _, e := range entries {
		if e.disabled {
			continue
		}
		ok = true
		tags = append(tags, e.tags...)
		all = all || e.all()
		if e.sql.set {
			return driver.TopicFilter{Topic: topic, Type: driver.ExpressionSQL, Expression: e.sql.value}, true
		}
	}
	if !all {
		slices.Sort(tags)
		f.Expression = setting.JoinTags(tags)
	}
	return f, ok
}

// subscription is what the driver is asked for, for the handlers of topics.
func (p *plan) subscription() driver.SubscriptionConfig {
	cfg := p.common(p.group, p.opts.from)
	order, byTopic := p.topics()
	retries := 0
	for _, topic := range order {
		if f, ok := filter(topic, byTopic[topic]); ok {
			cfg.Topics = append(cfg.Topics, f)
		}
		for _, e := range byTopic[topic] {
			policy := e.policyOr(&p.opts.common)
			retries = max(retries, policy.Retries())
			cfg.ExactRetries = cfg.ExactRetries || p.exact(e, policy)
		}
	}
	p.order(&cfg)
	p.model(&cfg)
	// Verdicts carry each handler's own number; this is for messages without one.
	cfg.MaxRetries = atMost(retries)
	return cfg
}

// atMost is a number of retries as drivers take it, for which 0 is their default.
func atMost(retries int) int {
	if retries == 0 {
		return -1
	}
	return retries
}

// exact reports that a handler's delays must be kept by the brokers.
func (p *plan) exact(e *entry, policy retry.Policy) bool {
	return !e.disabled && !p.opts.ordered && p.opts.exact(policy)
}

// exact reports that a policy's delays must not be rounded.
func (o *groupOptions) exact(policy retry.Policy) bool {
	return policy.Strict() || o.strictRetryDelay && policy.Grows()
}

func (p *plan) common(group string, from driver.From) driver.SubscriptionConfig {
	return driver.SubscriptionConfig{
		Group:             group,
		From:              from,
		FromTime:          p.opts.fromTime,
		Allocate:          p.opts.allocate,
		PullBatch:         p.opts.pullBatch.value,
		MaxUnsettled:      p.opts.maxUnsettled.value,
		MaxUnsettledBytes: p.opts.maxUnsettledBytes.value,
		MaxSpan:           p.opts.maxSpan.value,
	}
}

// logger is the one that was given, or one that says nothing.
func (p *plan) logger() *slog.Logger {
	if p.opts.logger != nil {
		return p.opts.logger
	}
	return slog.New(slog.DiscardHandler)
}

// err returns the mistakes, each once, nil when there are none.
func (p *plan) err() error {
	if len(p.mistakes) == 0 {
		return nil
	}
	said := make(map[string]bool, len(p.mistakes))
	var mistakes []error
	for _, err := range p.mistakes {
		if text := err.Error(); !said[text] {
			said[text] = true
			mistakes = append(mistakes, err)
		}
	}
	return &RegistrationError{Where: fmt.Sprintf("consumer group %q", p.group), Mistakes: mistakes}
}

// dlqGroup is the group that consumes a group's dead letters.
func dlqGroup(group string) string { return group + "_dlq" }

// flatten lists joined errors one by one.
func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
