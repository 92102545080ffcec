package clientgo

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// checkSubscription fills in defaults and refuses what cannot be.
func (c *client) checkSubscription(cfg driver.SubscriptionConfig) (driver.SubscriptionConfig, error) {
	if err := message.CheckGroup(cfg.Group); err != nil {
		return cfg, err
	}
	cfg = subscriptionDefaults(cfg)
	var errs []error
	mistake := func(wrong bool, err error) {
		if wrong {
			errs = append(errs, fmt.Errorf("subscribe group %q: %w", cfg.Group, err))
		}
	}
	if err := message.CheckGroup(c.wire(cfg.Group)); err != nil {
		errs = append(errs, err)
	}
	mistake(len(cfg.Topics) == 0, errors.New("no topics"))
	seen := make(map[string]bool)
	for _, t := range cfg.Topics {
		mistake(seen[c.wire(t.Topic)], fmt.Errorf("topic %q is named twice", t.Topic))
		seen[c.wire(t.Topic)] = true
		if err := checkFilter(t); err != nil {
			mistake(true, err)
		}
	}
	limit := func(what string, got, most int64) {
		mistake(got > most, unsupported(fmt.Sprintf("%s %d", what, got), fmt.Sprintf("its limit is %d", most), "choose less or use the native driver"))
	}
	limit("PullBatch", int64(cfg.PullBatch), 1024)
	limit("MaxUnsettled", int64(cfg.MaxUnsettled), 65535)
	limit("MaxUnsettledBytes", cfg.MaxUnsettledBytes, 1<<30)
	limit("MaxSpan", cfg.MaxSpan, 65535)
	mistake(cfg.MaxUnsettledBytes < 1<<20, unsupported(fmt.Sprintf("MaxUnsettledBytes %d", cfg.MaxUnsettledBytes), "it counts whole MiB", "choose 1 MiB or more, or use the native driver"))
	fixed := func(what string, got, is time.Duration) {
		mistake(got != is, unsupported(fmt.Sprintf("%s %s", what, got), fmt.Sprintf("its own is always %s", is), fmt.Sprintf("leave %s 0 or use the native driver", what)))
	}
	fixed("SuspendTimeout", cfg.SuspendTimeout, suspendTimeout)
	fixed("CommitInterval", cfg.CommitInterval, commitInterval)
	mistake(cfg.Ordered, unsupported("Ordered", "it acknowledges a retry with the next success and does not notice a lost lock", "use the native driver"))
	mistake(cfg.Broadcast != nil, unsupported("Broadcast", "a message that fails blocks its queue, and offsets are lost with the process", "use the native driver"))
	mistake(cfg.ExactRetries, unsupported("keeping retry delays (ExactRetries)", "it retries after a delay level only", "let delays be rounded up to a level or use the native driver"))
	return cfg, errors.Join(errs...)
}

// Defaults of RocketMQ (DefaultMQPushConsumer).
const (
	defaultPullBatch      = 32
	defaultUnsettled      = 1000
	defaultUnsettledBytes = 100 << 20
	defaultSpan           = 2000
	defaultRetries        = 16
)

func subscriptionDefaults(cfg driver.SubscriptionConfig) driver.SubscriptionConfig {
	if cfg.PullBatch <= 0 {
		cfg.PullBatch = defaultPullBatch
	}
	if cfg.MaxUnsettled <= 0 {
		cfg.MaxUnsettled = defaultUnsettled
	}
	if cfg.MaxUnsettledBytes <= 0 {
		cfg.MaxUnsettledBytes = defaultUnsettledBytes
	}
	if cfg.MaxSpan <= 0 {
		cfg.MaxSpan = defaultSpan
	}
	switch {
	case cfg.MaxRetries == 0:
		cfg.MaxRetries = defaultRetries
	case cfg.MaxRetries < 0:
		cfg.MaxRetries = 0
	}
	if cfg.SuspendTimeout <= 0 {
		cfg.SuspendTimeout = suspendTimeout
	}
	if cfg.CommitInterval <= 0 {
		cfg.CommitInterval = commitInterval
	}
	return cfg
}

// checkFilter refuses what rocketmq-client-go would read otherwise.
func checkFilter(f driver.TopicFilter) error {
	if err := message.CheckTopic(f.Topic); err != nil {
		return err
	}
	switch f.Type {
	case "", driver.ExpressionTag:
	case driver.ExpressionSQL:
		return unsupported("SQL92 (topic "+f.Topic+")", "its push consumer pulls by tags whatever the subscription says", "filter by tags or use the native driver")
	default:
		return fmt.Errorf("topic %q: unknown type of expression %q", f.Topic, f.Type)
	}
	if e := strings.TrimSpace(f.Expression); e == "" || e == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(f.Expression, "||") {
		switch tag = strings.TrimSpace(tag); {
		case tag == "", tag == "*":
			return fmt.Errorf("topic %q: expression %q: want \"*\" or tags as in \"a || b\"", f.Topic, f.Expression)
		case strings.ContainsFunc(tag, func(r rune) bool { return r > unicode.MaxASCII }):
			return unsupported(fmt.Sprintf("tag %q (topic %s)", tag, f.Topic), "it hashes tags by their bytes and brokers by their UTF-16 units, so that none would match", "name tags in ASCII, subscribe to all of the topic, or use the native driver")
		}
	}
	return nil
}
