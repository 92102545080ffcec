package consumer

import (
	"log/slog"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// Places where a group that has no offset yet begins; see [From].
const (
	// Last: new messages only, RocketMQ's default.
	Last = driver.FromLast
	// First: everything that is still stored.
	First = driver.FromFirst
)

// Defaults, as documented at each option.
const (
	defaultConcurrency     = 20 // consumeThreadMin of Apache's DefaultMQPushConsumer
	defaultTimeout         = 15 * time.Minute
	defaultShutdownTimeout = 30 * time.Second
	maxPullBatch           = 1024  // pullBatchSize of Apache's checkConfig
	maxUnsettled           = 65535 // pullThresholdForQueue of Apache's checkConfig
)

// GroupOption configures a consumer group: NewMux takes it, and New, whose
// options win.
type GroupOption interface{ applyGroup(*groupOptions) }

// HandlerOption configures one handler.
type HandlerOption interface{ applyHandler(*handlerOptions) }

// Option configures one handler or, given to NewMux or New, all handlers of the
// group that do not say otherwise.
type Option interface {
	GroupOption
	HandlerOption
}

// choice is a value that may have been chosen.
type choice[T any] struct {
	value T
	set   bool
}

func chosen[T any](v T) choice[T] { return choice[T]{value: v, set: true} }

func (c choice[T]) or(fallback T) T {
	if c.set {
		return c.value
	}
	return fallback
}

// over returns c, or fallback when nothing was chosen.
func (c choice[T]) over(fallback choice[T]) choice[T] {
	if c.set {
		return c
	}
	return fallback
}

// common is what groups and handlers can both choose.
type common struct {
	concurrency choice[int]
	retry       choice[retry.Policy]
	maxRetries  choice[int] // wins over the policy's own number
	codec       choice[codec.Codec]
	timeout     choice[time.Duration]
	dedup       choice[deduplication]
}

type handlerOptions struct {
	common
	given    choice[string] // the name
	settings []keyText      // that have not been read
	tagExprs []string
	sql      choice[string]

	rate       choice[float64]
	killSwitch choice[KillSwitchSettings]
	batchSize  choice[int]
	batchWait  choice[time.Duration]
}

type groupOptions struct {
	common
	texts             texts
	from              driver.From
	fromTime          time.Time
	allocate          driver.AllocateStrategy
	pullBatch         choice[int]
	maxUnsettled      choice[int]
	maxUnsettledBytes choice[int64]
	maxSpan           choice[int64]
	shutdownTimeout   choice[time.Duration]
	pullWait          choice[time.Duration]
	invisible         choice[time.Duration]
	strictRetryDelay  bool
	ordered           bool
	orderKey          choice[func(*message.Delivery) string]
	suspend           choice[time.Duration]
	broadcast         bool
	instance          choice[string]
	offsetDir         choice[string]
	logger            *slog.Logger
	tracer            *trace.Tracer
	messages          *trace.MessageTracer
	overrides         []override
	disabled          []string
}

// override is what ForHandler gives to the handler of a name.
type override struct {
	name string
	opts []HandlerOption
}

type (
	groupOption   func(*groupOptions)
	handlerOption func(*handlerOptions)
	commonOption  func(*common)
)

func (f groupOption) applyGroup(o *groupOptions)       { f(o) }
func (f handlerOption) applyHandler(o *handlerOptions) { f(o) }
func (f commonOption) applyGroup(o *groupOptions)      { f(&o.common) }
func (f commonOption) applyHandler(o *handlerOptions)  { f(&o.common) }

// Concurrency is how many messages a handler works on at once; 20 by default.
// Each handler has workers of its own, so a slow one does not hold up the others
// of its group.
func Concurrency(n int) Option {
	return commonOption(func(o *common) { o.concurrency = chosen(n) })
}

// Retry decides what happens when a handler fails; retry.Levels(16) by default.
// retry.Exponential has other delays than the broker's. One with a Strict back-off needs
// a driver and brokers that keep these, see retry.Backoff. It replaces a MaxRetries that
// was given before it.
func Retry(p retry.Policy) Option {
	return commonOption(func(o *common) { o.retry, o.maxRetries = chosen(p), choice[int]{} })
}

// MaxRetries is how often the broker delivers a failed message again before it goes to
// the dead-letter queue, whatever the number of the retry policy that was given before
// it; a handler's goes with the policy of its group where it has none of its own.
func MaxRetries(n int) Option {
	return commonOption(func(o *common) { o.maxRetries = chosen(n) })
}

// policy is the retry policy with its number.
func (o *common) policy() retry.Policy {
	if o.maxRetries.set {
		return o.retry.value.UpTo(o.maxRetries.value)
	}
	return o.retry.value
}

// Codec decodes message bodies. By default strings and byte slices take the body
// as it is, everything else takes JSON. codec.ByContentType chooses by what each message
// says of itself. A message that cannot be decoded goes to the dead letters at once.
func Codec(c codec.Codec) Option {
	return commonOption(func(o *common) { o.codec = chosen(c) })
}

// Timeout is a handler's consume time-out, the deadline of its ctx; 15 minutes
// by default (consumeTimeout). It covers all immediate retries of a delivery. A
// handler that is still running then is logged with its name; it keeps its
// worker until it returns.
func Timeout(d time.Duration) Option {
	return commonOption(func(o *common) { o.timeout = chosen(d) })
}

// Name names a handler, for logs and for ForHandler. By default it is the topic
// and, where there are some, the tags: `orders[paid || refunded]`.
func Name(name string) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.given = chosen(name) })
}

// Tags subscribes to some of the topic's tags, in RocketMQ's notation:
// Tags("paid || refunded") or Tags("paid", "refunded"). "*" and "" are all, the
// default. The handlers of a group share a topic by disjoint tags: the broker
// sees one subscription to all of them.
func Tags(expressions ...string) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.tagExprs = append(o.tagExprs, expressions...) })
}

// SQL subscribes by an SQL92 expression over message properties, such as
// `amount > 10 AND region = 'eu'`. The broker evaluates it, and must have
// enablePropertyFilter=true, which Apache's has not unless it is told to: Start
// asks those that are there, and fails with message.ErrUnsupported, or with the
// broker's words about a wrong expression. RocketMQ takes one expression for a group
// and topic, so such a handler has its topic for itself. driver/clientgo does not
// support it.
func SQL(expression string) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.sql = chosen(expression) })
}

// From says where a group begins that has no offset yet: Last (the default) or
// First.
func From(f driver.From) GroupOption {
	return groupOption(func(o *groupOptions) { o.from, o.fromTime = f, time.Time{} })
}

// FromTime has a group that has no offset yet begin with the first message that was
// stored at t or later, to the millisecond; to the second with driver/clientgo.
// A group that has offsets is moved with package admin. Brokers of 4.9, and driver/clientgo
// with any, begin at the first message of a queue that has all its messages still.
func FromTime(t time.Time) GroupOption {
	return groupOption(func(o *groupOptions) { o.fromTime = t })
}

// Allocate shares a topic's queues among the members of the group, averagely by
// default; package driver/native has RocketMQ's other strategies. All members must
// use the same one.
func Allocate(s driver.AllocateStrategy) GroupOption {
	return groupOption(func(o *groupOptions) { o.allocate = s })
}

// PullBatch is the most messages in one pull, 1 to 1024; 32 by default, which is
// also what Apache's broker gives at most.
func PullBatch(n int) GroupOption {
	return groupOption(func(o *groupOptions) { o.pullBatch = chosen(n) })
}

// MaxUnsettled is how many messages of one queue may wait or be worked on before
// pulling pauses, 1 to 65535; 1000 by default (pullThresholdForQueue).
func MaxUnsettled(n int) GroupOption {
	return groupOption(func(o *groupOptions) { o.maxUnsettled = chosen(n) })
}

// MaxUnsettledBytes is the same limit in bytes of message bodies; 100 MiB by
// default (pullThresholdSizeForQueue).
func MaxUnsettledBytes(n int64) GroupOption {
	return groupOption(func(o *groupOptions) { o.maxUnsettledBytes = chosen(n) })
}

// MaxSpan is how far a queue's last delivered offset may be from its first
// unfinished one before pulling pauses, 1 to 65535; 2000 by default
// (consumeConcurrentlyMaxSpan).
func MaxSpan(n int64) GroupOption {
	return groupOption(func(o *groupOptions) { o.maxSpan = chosen(n) })
}

// ShutdownTimeout bounds Drain and Stop; 30 s by default. Their ctx may end
// before.
func ShutdownTimeout(d time.Duration) GroupOption {
	return groupOption(func(o *groupOptions) { o.shutdownTimeout = chosen(d) })
}

// StrictRetryDelay refuses to round the delay of a retry.After up to a delay
// level where the server or the driver cannot keep it, and is Strict for every
// retry.Backoff of the group.
func StrictRetryDelay() GroupOption {
	return groupOption(func(o *groupOptions) { o.strictRetryDelay = true })
}

// Logger takes the consumer's logs; nothing is logged without one.
func Logger(l *slog.Logger) GroupOption {
	return groupOption(func(o *groupOptions) { o.logger = l })
}

// Tracer makes a span of each handler run; nil makes none.
func Tracer(t *trace.Tracer) GroupOption {
	return groupOption(func(o *groupOptions) { o.tracer = t })
}

// ForHandler gives further options to the handler of that name; they win over
// those it was registered with. It is how a configuration reaches a handler.
func ForHandler(name string, opts ...HandlerOption) GroupOption {
	return groupOption(func(o *groupOptions) { o.overrides = append(o.overrides, override{name: name, opts: opts}) })
}

// Disable leaves the handler of that name out of the subscription. What waits
// for it in the group's retry topic is retried, not dead-lettered. All members
// of a group must agree.
func Disable(name string) GroupOption {
	return groupOption(func(o *groupOptions) { o.disabled = append(o.disabled, name) })
}
