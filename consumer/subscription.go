package consumer

import (
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/driver"
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
		return driver.TopicFilter{Topic: s.Topic, Type: driver.ExpressionSQL, Expression: s.SQL}, nil
	}
	tags, err := parseTags([]string{s.Tags})
	if err != nil {
		return driver.TopicFilter{}, fmt.Errorf("topic %q: %w", s.Topic, err)
	}
	return driver.TopicFilter{Topic: s.Topic, Type: driver.ExpressionTag, Expression: joinTags(tags)}, nil
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
func ask(group string, subs []Subscription, opts []GroupOption) (*asked, error) {
	a := &asked{plan: plan{group: group}}
	a.choose(opts)
	a.checkGroup()
	if a.opts.ordered || a.opts.broadcast {
		a.mistake("Ordered and Broadcast are %w without handlers; remove the option or use a Consumer", message.ErrUnsupported)
	}
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

// pullWait is the option, or its default.
func (a *asked) pullWait() time.Duration { return a.opts.pullWait.or(defaultPullWait) }

// cannot says that a driver has no such kind of consumer.
func cannot(drv driver.Driver, what string) error {
	return fmt.Errorf("%s: %w by driver %s; use the native driver", what, message.ErrUnsupported, drv.Name())
}
