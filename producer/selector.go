package producer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rocketkit/rocketkit/message"
)

// QueueSelector chooses one of a topic's queues, by its index. The queues are
// sorted by broker and id and are those that can be written to now: their number
// changes with the topic's route. It may be called again for another attempt,
// and by several goroutines at once.
type QueueSelector func(m *message.Message, queues []message.Queue) int

// ByShardingKey chooses by the hash of the message's sharding key as Apache's
// SelectMessageQueueByHash does, so that Java and Go producers put one key into
// one queue. Without a selector, messages that have a sharding key are sent this
// way.
//
// The queue depends on how many there are. When a broker is lost, name servers leave its
// queues out after a while, and nearly all keys go to other queues; so they do when it
// is back, and when the topic gets more queues. Messages of a key that were sent before
// and after are in two queues then, and may be handled in any order. Two things prevent
// that: an ordered topic, whose queues an administrator has written down
// (orderMessageEnable=true at the name servers, mqadmin updateOrderConf), keeps every
// key where it is, and sends to a broker that is gone fail with message.ErrUnreachable
// until it is back; and StableKeys moves the lost broker's keys only.
func ByShardingKey(m *message.Message, queues []message.Queue) int {
	h := int(hashCode(m.ShardingKey)) % len(queues)
	if h < 0 {
		h = -h
	}
	return h
}

// byRendezvous chooses by the highest hash of key and queue: a key moves only when its
// own queue goes, or a new one is higher for it.
func byRendezvous(m *message.Message, queues []message.Queue) int {
	best, highest := 0, uint64(0)
	for i, q := range queues {
		h := uint64(14695981039346656037) // FNV-1a
		for _, s := range [...]string{m.ShardingKey, "\x00", q.Broker} {
			for j := range len(s) {
				h = (h ^ uint64(s[j])) * 1099511628211
			}
		}
		if h = scatter(h + uint64(q.ID)*0x9e3779b97f4a7c15); h > highest {
			best, highest = i, h
		}
	}
	return best
}

// scatter lets every bit of h count for every bit (splitmix64's last step).
func scatter(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// hashCode is Java's String.hashCode, over UTF-16 units.
func hashCode(s string) int32 {
	var h int32
	for _, r := range s {
		if r == utf8.RuneError || r < 0x10000 {
			h = 31*h + r
			continue
		}
		hi, lo := utf16.EncodeRune(r)
		h = 31*(31*h+hi) + lo
	}
	return h
}

// position is where a topic's round-robin stands. It starts anywhere, so that
// short-lived producers share out their messages too.
type position struct{ next atomic.Uint32 }

func newPosition(string) *position {
	p := new(position)
	p.next.Store(rand.Uint32())
	return p
}

// queues are those of a topic that can be written to, at least one.
func (p *Producer) queues(ctx context.Context, topic string) ([]message.Queue, error) {
	qs, err := p.sender.Queues(ctx, topic)
	if err == nil && len(qs) == 0 {
		err = fmt.Errorf("topic %q: %w: it has no queue that can be written to", topic, message.ErrUnreachable)
	}
	return qs, err
}

// selector chooses m's queue; nil: any queue will do.
func (p *Producer) selector(m *message.Message) QueueSelector {
	if p.sends.selector == nil && m.ShardingKey != "" {
		return p.cfg.keySelector
	}
	return p.sends.selector
}

// selected is the queue that a selector names.
func (p *Producer) selected(sel QueueSelector, m *message.Message, queues []message.Queue) (q message.Queue, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("topic %q: the queue selector panicked: %v", m.Topic, r)
		}
	}()
	i := sel(m, queues)
	if i == noSuchQueue {
		return message.Queue{}, fmt.Errorf("topic %q: %w: ToQueue names queue %d of broker %q in topic %q, which is none of its %d queues to write to",
			m.Topic, message.ErrUnreachable, p.sends.toQueue.ID, p.sends.toQueue.Broker, p.sends.toQueue.Topic, len(queues))
	}
	if i < 0 || i >= len(queues) {
		return message.Queue{}, fmt.Errorf("topic %q: the queue selector chose %d of %d queues", m.Topic, i, len(queues))
	}
	return queues[i], nil
}
