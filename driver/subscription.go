package driver

import (
	"context"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// From says where a group that has no offset yet begins.
type From int

// Places to begin.
const (
	FromLast  From = iota // new messages only, RocketMQ's default
	FromFirst             // everything that is still stored
)

// Expression types of a topic's filter.
const (
	ExpressionTag = "TAG"
	ExpressionSQL = "SQL92"
)

// TopicFilter subscribes to one topic.
type TopicFilter struct {
	Topic string
	// Type is ExpressionTag or ExpressionSQL; "" means tag.
	Type string
	// Expression is "*" or "" for all, or "a || b" for tags, or SQL92.
	Expression string
}

// AllocateStrategy shares a topic's queues among the members of a group. Both
// lists are sorted; all members must use the same strategy. Group and topics have the
// wire's names, as Apache's clients share by them (Config.Namespace).
type AllocateStrategy interface {
	Name() string // as registered with the broker: AVG, AVG_BY_CIRCLE
	Allocate(group, clientID string, queues []message.Queue, clientIDs []string) []message.Queue
}

// SubscriptionConfig makes a Subscription.
type SubscriptionConfig struct {
	Group  string
	Topics []TopicFilter // the group's retry topic is added by the driver
	From   From
	// FromTime, when set, wins over From: the first message stored at that time or
	// later (CONSUME_FROM_TIMESTAMP).
	FromTime time.Time
	// Allocate defaults to averagely.
	Allocate AllocateStrategy
	// PullBatch is the most messages in one pull; 0 means 32, which is also
	// Apache's limit.
	PullBatch int
	// Flow control for each queue: no pull is made while more than this is
	// delivered and not settled. 0 means RocketMQ's 1000 messages, 100 MiB and
	// 2000 offsets from the first unsettled to the last.
	MaxUnsettled      int
	MaxUnsettledBytes int64
	MaxSpan           int64
	// MaxRetries is how often a message is retried before it is dead-lettered;
	// 0 means 16 or, for Ordered, without end, as in RocketMQ; negative dead-letters
	// the first failure.
	MaxRetries int
	// Ordered delivers the messages of a queue one at a time and in offset order. This
	// member locks its queues at their broker, so that no other handles one at the same
	// time; a queue that is given up is unlocked when what is at work is settled. A
	// message with ActionRetry keeps its place: it is delivered again here, with its
	// ReconsumeTimes raised here only, before anything behind it, and past its maximum
	// it is dead-lettered.
	Ordered bool
	// OrderKey, with Ordered, keeps the order of messages of one key only: of each key
	// that a queue has, one message is delivered at a time. Nil takes a whole queue for
	// one key. It must be quick and not panic.
	OrderKey func(*message.Delivery) string
	// Broadcast delivers every message to every member, not to one of the group. The
	// offsets are kept here, not at the brokers. A message that fails is not handed back:
	// it is logged and passed over, but for ActionRetry where messages are Ordered, which
	// keeps it in its place up to its maximum. Nil shares the queues among the members.
	Broadcast *Broadcast
	// Suspend is how long an ordered queue or key rests before a message with
	// ActionRetry and neither Level nor Delay is delivered again; 0 means 1 s
	// (suspendCurrentQueueTimeMillis).
	Suspend time.Duration
	// SuspendTimeout is how long the broker may hold an empty pull; 0 means 15 s.
	SuspendTimeout time.Duration
	// CommitInterval is how often offsets are committed; 0 means 5 s.
	CommitInterval time.Duration
	// ExactRetries says that there will be verdicts with a Delay that must not be
	// rounded: a broker that is there and does not keep it makes Start fail with
	// message.ErrUnsupported.
	ExactRetries bool
	// OnSendBack, when set, is told of each request that gives a settled message back to a
	// broker, to be delivered again or to the dead letters: when it begins, and by done when
	// it has its answer. server is the broker's "host:port", "" when there is none. Both may
	// be called on a connection's reader, and must be quick. A driver that leaves such
	// requests to others does not call it.
	OnSendBack func(d *message.Delivery) (done func(server string, err error))
}

// Broadcast says where a broadcast group's offsets are kept: in the file
// Dir/Instance/<group>/offsets.json, which Apache's clients understand
// (LocalFileOffsetStore). It belongs to one process at a time.
type Broadcast struct {
	// Dir is ~/.rocketmq_offsets unless set.
	Dir string
	// Instance tells processes of one machine and group apart, and is the same when one
	// starts again; "" means DEFAULT.
	Instance string
}

// Sink takes what a Subscription receives. It is package consumer.
type Sink interface {
	// Deliver hands over messages of one queue in offset order. It must not
	// block: the subscription limits what is unsettled. ctx ends when the queue
	// is revoked or the subscription stops; nothing settled after that counts. What is
	// Ordered has 20 s to end from when its queue is revoked, and until it is settled
	// the queue stays this member's. Every message must be settled exactly once, from any goroutine; those that
	// were not handled when ctx ended are settled with the zero Verdict. The slice
	// is the subscription's again when Deliver returns. A message that no filter
	// takes, by its exact tag, is not delivered; a retried one is always.
	Deliver(ctx context.Context, s Settler, ds []*message.Delivery)
}

// Settler takes the outcome of delivered messages.
type Settler interface {
	Settle(d *message.Delivery, v Verdict)
}

// Action is what becomes of a message after its handler ran.
type Action int

// Actions. The zero value settles nothing, so that nothing is acknowledged by
// accident: the message is retried.
const (
	ActionRetry      Action = iota // deliver it again after a delay, then dead-letter
	ActionAck                      // done
	ActionDeadLetter               // no further attempt
)

// Verdict is an Action and its delay.
type Verdict struct {
	Action Action
	// Level is the delay level for ActionRetry; 0 lets the broker choose
	// 3 + reconsumeTimes, RocketMQ's 10 s … 2 h. Where messages are Ordered, 0 is the
	// Suspend time.
	Level int
	// Delay, when set, asks for an exact delay instead of a level.
	Delay time.Duration
	// Strict refuses to round Delay up to a level.
	Strict bool
	// MaxRetries overrides the subscription's maximum; 0 does not.
	MaxRetries int
}

// Subscription receives for one consumer group. Drain and Stop may be called
// without Start before, and more than once.
type Subscription interface {
	// Start begins to receive. It does not wait for the topics to exist. Brokers that
	// do not take an SQL92 filter, or keep ExactRetries, make it fail with
	// message.ErrUnsupported.
	Start(ctx context.Context) error
	// Drain stops pulling, waits until everything delivered is settled, commits
	// the offsets and leaves the group. When ctx ends first it stops and says
	// what was left.
	Drain(ctx context.Context) error
	// Stop is Drain without the wait: what is not settled is delivered again,
	// to this or another member.
	Stop(ctx context.Context) error
}
