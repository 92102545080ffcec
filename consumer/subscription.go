package consumer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

// Subscription is what a Puller, a Fetcher or a SimpleConsumer wants of one topic.
type Subscription struct {
	Topic string
	Tags  string // such as "paid || refunded"; "" and "*" are all, see Tags
	SQL   string // instead of tags, see SQL
}

// filter is the subscription as drivers take it.
func (s Subscription) filter() (driver.TopicFilter, error) {
	if err := message.CheckTopic(s.Topic); err != nil {
		return driver.TopicFilter{}, err
	}
	if s.SQL != "" {
		if s.Tags != "" {
			return driver.TopicFilter{}, fmt.Errorf("topic %q has tags %q and an SQL92 expression; name either", s.Topic, s.Tags)
		}
		if strings.TrimSpace(s.SQL) == "" {
			return driver.TopicFilter{}, fmt.Errorf("topic %q: SQL is blank; write an expression, or leave it out for every message", s.Topic)
		}
		return driver.TopicFilter{Topic: s.Topic, Type: driver.ExpressionSQL, Expression: s.SQL}, nil
	}
	tags, err := setting.ParseTags([]string{s.Tags})
	if err != nil {
		return driver.TopicFilter{}, fmt.Errorf("topic %q: %w", s.Topic, err)
	}
	return driver.TopicFilter{Topic: s.Topic, Type: driver.ExpressionTag, Expression: setting.JoinTags(tags)}, nil
}

// defaultPullWait is Apache's brokerSuspendMaxTimeMillis of push consumers.
const defaultPullWait = 15 * time.Second

// maxPullWait keeps sums of times in their range.
const maxPullWait = 12 * time.Hour

// PullWait is how long Puller.Pull and SimpleConsumer.Receive wait for a message, in
// milliseconds' steps up to 12 h; 15 s by default, and 0 has the broker answer at once. The
// other kinds of consumers always wait.
func PullWait(d time.Duration) GroupOption {
	return groupOption(func(o *groupOptions) { o.pullWait = chosen(d) })
}

// asked is the part of a plan that consumers without handlers share: a group, its
// options, and the filters of their topics.
type asked struct {
	plan
	filters []driver.TopicFilter
}

// ask checks everything that such a consumer was made with.
func ask(as without, group string, subs []Subscription, opts []GroupOption) (*asked, error) {
	a := &asked{plan: plan{group: group}}
	a.choose(opts)
	a.checkGroup()
	a.checkHeeded(as)
	if len(subs) == 0 {
		a.mistake("no topic is subscribed to; give at least one Subscription")
	}
	for _, s := range subs {
		f, err := s.filter()
		if err == nil && slices.ContainsFunc(a.filters, func(o driver.TopicFilter) bool { return o.Topic == f.Topic }) {
			err = fmt.Errorf("topic %q is subscribed to twice; RocketMQ takes one expression for a group and topic", f.Topic)
		}
		if err != nil {
			a.mistake("%w", err)
			continue
		}
		a.filters = append(a.filters, f)
	}
	return a, a.err()
}

// without is a kind of consumer without handlers.
type without uint8

const (
	asPuller without = 1 << iota
	asFetcher
	asSimple
)

func (w without) String() string {
	return map[without]string{asPuller: "Puller", asFetcher: "Fetcher", asSimple: "SimpleConsumer"}[w]
}

// checkHeeded finds options that such a consumer would not heed. A logger and a tracer
// it may have: they come from its client.
func (a *asked) checkHeeded(as without) {
	o := &a.opts
	const all = asPuller | asFetcher | asSimple
	for _, option := range []struct {
		name string
		set  bool
		by   without // who heeds it
	}{
		{"Ordered", o.ordered, 0},
		{"Suspend", o.suspend.set, 0},
		{"Broadcast", o.broadcast, 0},
		{"Instance", o.instance.set, 0},
		{"OffsetDir", o.offsetDir.set, 0},
		{"Concurrency", o.concurrency.set, 0},
		{"Codec", o.codec.set, 0},
		{"Timeout", o.timeout.set, 0},
		{"Deduplicate", o.dedup.set, 0},
		{"Placeholders", o.texts.lookup != nil, 0},
		{"Codecs", len(o.texts.codecs) > 0, 0},
		{"ForHandler", len(o.overrides) > 0, 0},
		{"Disable", len(o.disabled) > 0, 0},
		{"FromTime", !o.fromTime.IsZero(), all &^ asSimple},
		{"Invisible", o.invisible.set, asSimple},
		{"PullWait", o.pullWait.set, all &^ asFetcher},
		{"Retry", o.retry.set, all &^ asPuller},
		{"MaxRetries", o.maxRetries.set, all &^ asPuller},
		{"Allocate", o.allocate != nil, asFetcher},
		{"PullBatch", o.pullBatch.set, asFetcher},
		{"MaxUnsettled", o.maxUnsettled.set, asFetcher},
		{"MaxUnsettledBytes", o.maxUnsettledBytes.set, asFetcher},
		{"MaxSpan", o.maxSpan.set, asFetcher},
		{"ShutdownTimeout", o.shutdownTimeout.set, asFetcher},
		{"StrictRetryDelay", o.strictRetryDelay, asFetcher},
	} {
		if option.set && option.by&as == 0 {
			a.mistake("%s is %w by a %s; remove it, from the group's configuration too, or use a Consumer with handlers", option.name, message.ErrUnsupported, as)
		}
	}
	if policy := o.policy(); as == asSimple && policy.Grows() {
		a.mistake("Retry(%s): the delays of a back-off are %w by a SimpleConsumer, to which a message comes again after Invisible; use retry.Levels for the number of retries", policy, message.ErrUnsupported)
	}
}

// pullWait is the option, or its default.
func (a *asked) pullWait() time.Duration { return a.opts.pullWait.or(defaultPullWait) }

// cannot says that a driver has no such kind of consumer.
func cannot(drv driver.Driver, what string) error {
	return fmt.Errorf("%s: %w by driver %s; use the native driver", what, message.ErrUnsupported, drv.Name())
}
