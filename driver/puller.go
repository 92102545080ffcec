package driver

import (
	"context"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Puller is a Driver that reads queues from where it is told to. It keeps no
// position, and the brokers share no queues among those who pull this way.
type Puller interface {
	Driver
	// ReadQueues returns the queues of topic that can be read now, sorted by broker
	// name and id. The slice is shared and must not be changed.
	ReadQueues(ctx context.Context, topic string) ([]message.Queue, error)
	// Pull makes one request. Every PullStatus is an answer, not an error.
	Pull(ctx context.Context, r PullRequest) (PullAnswer, error)
	// Bounds are the offsets of a queue's first stored message and after its last.
	Bounds(ctx context.Context, q message.Queue) (first, end int64, err error)
	// OffsetAt is the offset of a queue's first message that was stored at t or
	// later, and its end when there is none. Brokers of 4.9 answer with the message
	// before, when none was stored at t itself.
	OffsetAt(ctx context.Context, q message.Queue, t time.Time) (int64, error)
	// GroupOffset is where a group is in a queue; ok is false when the broker has
	// nothing for it.
	GroupOffset(ctx context.Context, group string, q message.Queue) (offset int64, ok bool, err error)
	// CommitOffset makes it another one.
	CommitOffset(ctx context.Context, group string, q message.Queue, offset int64) error
}

// PullRequest asks for the messages of one queue.
type PullRequest struct {
	Group  string
	Queue  message.Queue
	Filter TopicFilter // of the queue's topic
	Offset int64
	// Max is the most messages to get, at least 1.
	Max int
	// Wait is how long the broker may hold the request when there is nothing; 0 has
	// it answer at once.
	Wait time.Duration
}

// PullStatus is what came of a pull, by RocketMQ's names.
type PullStatus int

// Statuses of a pull.
const (
	PullFound         PullStatus = iota // FOUND: there are messages
	PullNoNewMsg                        // NO_NEW_MSG: the queue has nothing behind the offset
	PullNoMatchedMsg                    // NO_MATCHED_MSG: there are messages up to Next, but the filter takes none
	PullOffsetIllegal                   // OFFSET_ILLEGAL: the queue has no such offset; Next is the nearest that it has
)

// String is RocketMQ's name.
func (s PullStatus) String() string {
	switch s {
	case PullFound:
		return "FOUND"
	case PullNoNewMsg:
		return "NO_NEW_MSG"
	case PullNoMatchedMsg:
		return "NO_MATCHED_MSG"
	case PullOffsetIllegal:
		return "OFFSET_ILLEGAL"
	}
	return "PullStatus(" + strconv.Itoa(int(s)) + ")"
}

// PullAnswer is what a broker answers to a PullRequest.
type PullAnswer struct {
	Status PullStatus
	// Messages are in offset order; there are some only when Status is PullFound.
	Messages []*message.Delivery
	// Next is the offset to go on from.
	Next int64
	// First and End are the queue's bounds, as Puller.Bounds tells them.
	First, End int64
}

// Committer is a Subscription that makes offsets known to the brokers when it is
// asked to, and not only every CommitInterval.
type Committer interface {
	Subscription
	// Commit returns when the brokers have the offset of every queue, up to the first
	// message that is not settled yet.
	Commit(ctx context.Context) error
}
