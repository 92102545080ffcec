package native

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Averagely is RocketMQ's default strategy (AllocateMessageQueueAveragely):
// each member takes one run of neighbouring queues, the first members one more
// when they do not divide evenly.
func Averagely() driver.AllocateStrategy { return averagely{} }

// AveragelyByCircle deals the queues out one at a time
// (AllocateMessageQueueAveragelyByCircle).
func AveragelyByCircle() driver.AllocateStrategy { return circle{} }

type averagely struct{}

func (averagely) Name() string { return "AVG" }

func (averagely) Allocate(_, clientID string, queues []message.Queue, clientIDs []string) []message.Queue {
	index := slices.Index(clientIDs, clientID)
	if index < 0 {
		return nil
	}
	size, extra := len(queues)/len(clientIDs), len(queues)%len(clientIDs)
	start := index*size + min(index, extra)
	if index < extra {
		size++
	}
	return slices.Clone(queues[start : start+size])
}

type circle struct{}

func (circle) Name() string { return "AVG_BY_CIRCLE" }

func (circle) Allocate(_, clientID string, queues []message.Queue, clientIDs []string) []message.Queue {
	index := slices.Index(clientIDs, clientID)
	if index < 0 {
		return nil
	}
	var mine []message.Queue
	for i := index; i < len(queues); i += len(clientIDs) {
		mine = append(mine, queues[i])
	}
	return mine
}

// compareQueues is the order in which every member of a group must see the
// queues (MessageQueue.compareTo).
func compareQueues(a, b message.Queue) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), strings.Compare(a.Broker, b.Broker), cmp.Compare(a.ID, b.ID))
}
