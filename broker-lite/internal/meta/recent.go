package meta

import (
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// maxRecent bounds how many changes of topics are known one by one.
const maxRecent = 4096

// recent are the last changes of topics, so that a name server that has all others
// need not be sent the whole table.
type recent struct {
	from    int64 // the counter of the data version before the first change
	changes []topicChange
}

type topicChange struct {
	counter int64 // of the data version since which the topic is so
	topic   string
}

func (r *recent) add(counter int64, topic string) {
	if len(r.changes) >= maxRecent {
		half := len(r.changes) / 2
		r.from = r.changes[half-1].counter
		r.changes = slices.Delete(r.changes, 0, half)
	}
	r.changes = append(r.changes, topicChange{counter, topic})
}

// ChangedSince returns the topics that were made or changed after that data version,
// a former Snapshot's, those named besides, and the data version of now. It reports
// false when the changes are no longer known one by one: a Snapshot is needed.
func (t *Topics) ChangedSince(v protocol.DataVersion, besides []string) (protocol.TopicConfigTable, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if v.Counter < t.recent.from {
		return protocol.TopicConfigTable{}, false
	}
	table := protocol.TopicConfigTable{DataVersion: t.version, Configs: map[string]protocol.TopicConfig{}}
	enter := func(topic string) {
		if c, ok := t.configs[topic]; ok {
			table.Configs[topic] = c
		}
	}
	first, _ := slices.BinarySearchFunc(t.recent.changes, v.Counter+1, func(c topicChange, counter int64) int { return int(c.counter - counter) })
	for _, c := range t.recent.changes[first:] {
		enter(c.topic)
	}
	for _, topic := range besides {
		enter(topic)
	}
	return table, true
}
