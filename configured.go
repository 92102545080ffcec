package rocketkit

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/internal/nearest"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// producerOptions are what the configuration says of producers.
func (c *Client) producerOptions(cfg *Config) []producer.Option {
	p := cfg.Producer
	opts := []producer.Option{producer.Logger(c.log), producer.Tracer(c.tracer), producer.MessageTrace(c.traced.tracer)}
	add := func(set bool, o producer.Option) {
		if set {
			opts = append(opts, o)
		}
	}
	add(p.SendTimeout > 0, producer.SendTimeout(p.SendTimeout))
	add(p.AttemptTimeout > 0, producer.AttemptTimeout(p.AttemptTimeout))
	if p.Retries != nil {
		opts = append(opts, producer.Retries(*p.Retries))
	}
	add(p.RetryUnknownOutcome, producer.RetryUnknownOutcome())
	add(p.MaxMessageSize > 0, producer.MaxMessageSize(int(p.MaxMessageSize)))
	add(p.Compression == "none", producer.NoCompression())
	add(p.Compression != "none" && (p.Compression != "" || p.CompressOver > 0 || p.CompressionLevel > 0), producer.Compress(compression(p)))
	add(p.MaxInFlight > 0, producer.MaxInFlight(p.MaxInFlight))
	add(p.MaxInFlightBytes > 0, producer.MaxInFlightBytes(int64(p.MaxInFlightBytes)))
	add(p.FailFast, producer.FailFast())
	if p.FaultAvoidance != nil {
		opts = append(opts, producer.FaultAvoidance(*p.FaultAvoidance))
	}
	add(p.StableKeys, producer.StableKeys())
	add(p.AvoidSlow, producer.AvoidSlow())
	add(p.Linger > 0, producer.Linger(p.Linger))
	add(p.BatchBytes > 0, producer.BatchBytes(int(p.BatchBytes)))
	add(p.RateLimit > 0, producer.RateLimit(p.RateLimit))
	add(p.RequireDurable, producer.RequireDurable())
	if p.RetryAsync != nil {
		opts = append(opts, producer.RetryAsync(*p.RetryAsync))
	}
	if b := p.Breaker; b.Enabled != nil && !*b.Enabled {
		return append(opts, producer.NoBreaker())
	}
	return append(opts, producer.Breaker(producer.BreakerSettings{Failures: p.Breaker.Failures, OpenFor: p.Breaker.OpenFor}))
}

// compression is what the configuration, which has been validated, says of it.
func compression(p config.Producer) driver.Compression {
	c := driver.Compression{Over: 4 << 10, Level: p.CompressionLevel}
	if p.CompressOver > 0 {
		c.Over = int(p.CompressOver)
	}
	for k := range driver.Zstd + 1 {
		if k.String() == p.Compression {
			c.Kind = k
		}
	}
	return c
}

// hashPlaces is the number of Java's AllocateMessageQueueConsistentHash.
const hashPlaces = 10

// consumerOptions are what the configuration says of a consumer group.
func (c *Client) consumerOptions(cfg *Config, group string) []consumer.GroupOption {
	opts := []consumer.GroupOption{consumer.Logger(c.log), consumer.Tracer(c.tracer), consumer.MessageTrace(c.traced.tracer)}
	cc, _ := cfg.ConsumerOf(group)
	add := func(set bool, o consumer.GroupOption) {
		if set {
			opts = append(opts, o)
		}
	}
	add(cc.From == "last", consumer.From(consumer.Last))
	add(cc.From == "first", consumer.From(consumer.First))
	if t, err := time.Parse(time.RFC3339, cc.From); err == nil {
		opts = append(opts, consumer.FromTime(t))
	}
	add(cc.Concurrency > 0, consumer.Concurrency(cc.Concurrency))
	switch cc.Allocation {
	case "averagely":
		opts = append(opts, consumer.Allocate(native.Averagely()))
	case "by_circle":
		opts = append(opts, consumer.Allocate(native.AveragelyByCircle()))
	case "consistent_hash":
		opts = append(opts, consumer.Allocate(native.ConsistentHash(hashPlaces)))
	}
	add(cc.PullWait > 0, consumer.PullWait(cc.PullWait))
	add(cc.Invisible > 0, consumer.Invisible(cc.Invisible))
	add(cc.PullBatch > 0, consumer.PullBatch(cc.PullBatch))
	add(cc.MaxUnsettled > 0, consumer.MaxUnsettled(cc.MaxUnsettled))
	add(cc.MaxUnsettledBytes > 0, consumer.MaxUnsettledBytes(int64(cc.MaxUnsettledBytes)))
	add(cc.MaxSpan > 0, consumer.MaxSpan(int64(cc.MaxSpan)))
	if p, ok := backoff(cc.Backoff); ok {
		opts = append(opts, consumer.Retry(p))
	}
	add(cc.StrictRetryDelay, consumer.StrictRetryDelay())
	add(cc.Model == "clustering", consumer.Clustering())
	add(cc.Model == "broadcasting", consumer.Broadcast())
	add(cc.Instance != "", consumer.Instance(cc.Instance))
	add(cc.OffsetDir != "", consumer.OffsetDir(cc.OffsetDir))
	add(cc.Order == "queue", consumer.Ordered())
	add(cc.Order == "sharding_key", consumer.OrderedBy((*message.Delivery).ShardingKey))
	add(cc.Suspend > 0, consumer.Suspend(cc.Suspend))
	if cc.MaxRetries != nil {
		opts = append(opts, consumer.MaxRetries(*cc.MaxRetries))
	}
	add(cc.ConsumeTimeout > 0, consumer.Timeout(cc.ConsumeTimeout))
	add(cc.ShutdownTimeout > 0, consumer.ShutdownTimeout(cc.ShutdownTimeout))
	for _, h := range cc.Handlers {
		add(h.Enabled != nil && !*h.Enabled, consumer.Disable(h.Name))
		opts = append(opts, consumer.ForHandler(h.Name, handlerOptions(h)...)) // a name of no handler is a mistake
	}
	return opts
}

// clients are those among runners.
func clients(runners []Runner) (all []*Client) {
	for _, r := range runners {
		switch r := r.(type) {
		case *Client:
			all = append(all, r)
		case *within:
			all = append(all, clients(r.runners)...)
		}
	}
	return all
}

// tellUnused logs the consumer groups that are configured and that no client of a program,
// which has started, has a consumer of.
func tellUnused(all []*Client) {
	var used []string
	for _, c := range all {
		used = append(used, c.consumerGroups()...)
	}
	level := slog.LevelWarn
	if len(used) == 0 {
		level = slog.LevelInfo // a program that only sends may have its file from one that does not
	}
	told := slices.Clone(used)
	for _, c := range all {
		cfg, err := c.open()
		if err != nil {
			continue
		}
		for _, cc := range cfg.Consumers {
			if slices.Contains(told, cc.Group) {
				continue
			}
			told = append(told, cc.Group)
			c.log.Log(context.Background(), level, "a consumer group is configured and has no consumer in this program, so that what is configured has no effect",
				"group", cc.Group, "nearest in use", nearest.To(cc.Group, used))
		}
	}
}

// tellIdle logs the consumers of a program, which has started, that nobody has started.
func tellIdle(all []*Client) {
	for _, c := range all {
		for _, m := range c.State().Consumers {
			if m.Phase == "new" {
				c.log.Warn("a consumer was made and not started, so that its handlers get nothing; give it to Run", "group", m.Group)
			}
		}
	}
}

// consumerGroups are those that the client has consumers of, of whatever kind.
func (c *Client) consumerGroups() (groups []string) {
	s := c.State()
	for _, m := range s.Consumers {
		groups = append(groups, m.Group)
	}
	for _, m := range s.Fetchers {
		groups = append(groups, m.Group)
	}
	for _, m := range s.Pullers {
		groups = append(groups, m.Group)
	}
	for _, m := range s.SimpleConsumers {
		groups = append(groups, m.Group)
	}
	return groups
}

// handlerOptions are what the configuration says of a handler.
func handlerOptions(h config.Handler) []consumer.HandlerOption {
	var opts []consumer.HandlerOption
	add := func(set bool, o consumer.HandlerOption) {
		if set {
			opts = append(opts, o)
		}
	}
	add(h.Concurrency > 0, consumer.Concurrency(h.Concurrency))
	if p, ok := backoff(h.Backoff); ok {
		opts = append(opts, consumer.Retry(p))
	}
	if h.MaxRetries != nil {
		opts = append(opts, consumer.MaxRetries(*h.MaxRetries))
	}
	add(h.ConsumeTimeout > 0, consumer.Timeout(h.ConsumeTimeout))
	add(h.RateLimit > 0, consumer.RateLimit(h.RateLimit))
	add(h.BatchSize > 0, consumer.BatchSize(h.BatchSize))
	add(h.BatchWait > 0, consumer.BatchWait(h.BatchWait))
	k := h.KillSwitch
	add(k.Enabled, consumer.KillSwitch(consumer.KillSwitchSettings{Ratio: k.Ratio, AtLeast: k.AtLeast, Window: k.Window, PauseFor: k.PauseFor}))
	return opts
}

// backoff is a retry policy of RocketMQ's number of retries, unless MaxRetries has
// another.
func backoff(b config.Backoff) (p retry.Policy, ok bool) {
	if b.Base <= 0 {
		return p, false
	}
	return retry.Exponential(retry.DefaultRetries, retry.Backoff{Base: b.Base, Factor: b.Factor, Max: b.Max, Jitter: b.Jitter}), true
}

// pausedHandlers are those that the configuration holds; of one that is disabled there is
// nothing to hold.
func pausedHandlers(cfg *Config, group string) []string {
	cc, _ := cfg.ConsumerOf(group)
	var names []string
	for _, h := range cc.Handlers {
		if disabled := h.Enabled != nil && !*h.Enabled; h.Paused && !disabled {
			names = append(names, h.Name)
		}
	}
	return names
}
