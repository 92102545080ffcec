package meta

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// separator is between topic and group in consumerOffset.json.
const separator = "@"

// Consumption is one group's reading of one topic.
type Consumption struct{ Topic, Group string }

// Offsets is the table of consumer offsets: for each queue the offset of the
// next message that the group has not done with.
type Offsets struct {
	logger *slog.Logger
	file   *file

	pending atomic.Int64 // len(resets), so that pulls are cheap without any

	mu      sync.RWMutex // guards the following
	offsets map[Consumption]map[int32]int64
	resets  map[Consumption]map[int32]int64 // see Reset
	pulled  map[Consumption]map[int32]int64 // see Pulled
	version protocol.DataVersion
}

func newOffsets(o Options) *Offsets {
	return &Offsets{
		logger:  o.Logger,
		offsets: map[Consumption]map[int32]int64{},
		resets:  map[Consumption]map[int32]int64{},
		pulled:  map[Consumption]map[int32]int64{},
		version: protocol.DataVersion{Timestamp: time.Now().UnixMilli()},
	}
}

// Commit stores an offset. As on Apache the last one counts, even when it is
// smaller than the one before, which is logged; but none does while an offset that
// was chosen by hand waits for its queue's next pull (see Reset), and Commit reports
// false.
func (o *Offsets) Commit(group, topic string, queueID int32, offset int64) bool {
	key := Consumption{topic, group}
	o.mu.Lock()
	if _, reset := o.resets[key][queueID]; reset {
		o.mu.Unlock()
		return false
	}
	before, known := o.offsets[key][queueID]
	set(o.offsets, key, queueID, offset)
	o.mu.Unlock()
	if known && before == offset {
		return true
	}
	o.file.touch()
	if offset < before {
		o.logger.Warn("consumer offset goes back", "group", group, "topic", topic, "queue", queueID, "from", before, "to", offset)
	}
	return true
}

// Query returns the offset that was committed last; ok is false when none was.
func (o *Offsets) Query(group, topic string, queueID int32) (offset int64, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	offset, ok = o.offsets[Consumption{topic, group}][queueID]
	return offset, ok
}

// Queues returns the offsets of one group for one topic, by queue.
func (o *Offsets) Queues(group, topic string) map[int32]int64 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return maps.Clone(o.offsets[Consumption{topic, group}])
}

// TopicsOf returns the topics that a group has offsets for, sorted.
func (o *Offsets) TopicsOf(group string) []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var topics []string
	for key := range o.offsets {
		if key.Group == group {
			topics = append(topics, key.Topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// GroupsOf returns the groups that have offsets for a topic, sorted.
func (o *Offsets) GroupsOf(topic string) []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var groups []string
	for key := range o.offsets {
		if key.Topic == topic {
			groups = append(groups, key.Group)
		}
	}
	slices.Sort(groups)
	return groups
}

// Consumptions returns all that have offsets, by group and topic.
func (o *Offsets) Consumptions() []Consumption {
	o.mu.RLock()
	list := slices.Collect(maps.Keys(o.offsets))
	o.mu.RUnlock()
	slices.SortFunc(list, func(a, b Consumption) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic))
	})
	return list
}

// RemoveGroup forgets the offsets of a group.
func (o *Offsets) RemoveGroup(group string) {
	o.remove(func(c Consumption) bool { return c.Group == group })
}

// RemoveTopic forgets the offsets for a topic.
func (o *Offsets) RemoveTopic(topic string) {
	o.remove(func(c Consumption) bool { return c.Topic == topic })
}

func (o *Offsets) remove(which func(Consumption) bool) {
	o.mu.Lock()
	before := len(o.offsets)
	for _, table := range []map[Consumption]map[int32]int64{o.offsets, o.resets, o.pulled} {
		maps.DeleteFunc(table, func(c Consumption, _ map[int32]int64) bool { return which(c) })
	}
	o.pending.Store(int64(len(o.resets)))
	changed := len(o.offsets) != before
	o.mu.Unlock()
	if changed {
		o.file.touch()
	}
}

// WaitSaved waits until every commit made before the call is durable.
func (o *Offsets) WaitSaved(ctx context.Context) error { return o.file.waitSaved(ctx) }

func (o *Offsets) open(f *file) error {
	o.file = f
	return f.load(func(data []byte) error {
		var v struct {
			DataVersion protocol.DataVersion       `json:"dataVersion"`
			Offsets     map[string]map[int32]int64 `json:"offsetTable"`
		}
		if err := protocol.DecodeBody(data, &v); err != nil {
			return err
		}
		offsets := map[Consumption]map[int32]int64{}
		for key, queues := range v.Offsets {
			topic, group, ok := strings.Cut(key, separator)
			if !ok {
				return fmt.Errorf("offsetTable has the key %.64q, want topic%sgroup", key, separator)
			}
			offsets[Consumption{topic, group}] = queues
		}
		o.offsets, o.version = offsets, v.DataVersion
		return nil
	})
}

// Encode returns the table as consumerOffset.json has it: the answer to code 43.
func (o *Offsets) Encode() ([]byte, error) { return o.encode() }

// encode writes queue ids as bare numbers, as Apache does.
func (o *Offsets) encode() ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version.Counter++
	o.version.Timestamp = time.Now().UnixMilli()
	version, err := json.Marshal(o.version)
	if err != nil {
		return nil, fmt.Errorf("encode consumer offsets: %w", err)
	}
	b := append(append([]byte(`{"dataVersion":`), version...), ",\n\"offsetTable\":{"...)
	keys := slices.SortedFunc(maps.Keys(o.offsets), func(a, b Consumption) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Group, b.Group))
	})
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(key.Topic + separator + key.Group)
		if err != nil {
			return nil, fmt.Errorf("encode consumer offsets: %w", err)
		}
		b = append(append(append(b, "\n\t"...), name...), ":{"...)
		for j, queue := range slices.Sorted(maps.Keys(o.offsets[key])) {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(queue), 10)
			b = append(b, ':')
			b = strconv.AppendInt(b, o.offsets[key][queue], 10)
		}
		b = append(b, '}')
	}
	return append(b, "\n}}\n"...), nil
}

// Clamp lowers the offsets that are behind the end of their queues: a crash can take
// messages, or the whole topic, and leave offsets. Offsets that have to be 0 go.
func (o *Offsets) Clamp(end func(topic string, queueID int32) int64) {
	for _, c := range o.Consumptions() {
		for id, offset := range o.Queues(c.Group, c.Topic) {
			if most := end(c.Topic, id); offset > most {
				o.logger.Warn("a consumer offset was behind the end of its queue and is lowered", "group", c.Group, "topic", c.Topic, "queue", id, "from", offset, "to", most)
				o.lower(c, id, most)
			}
		}
	}
}

func (o *Offsets) lower(c Consumption, queueID int32, most int64) {
	o.mu.Lock()
	if queues := o.offsets[c]; most > 0 {
		set(o.offsets, c, queueID, most)
	} else if delete(queues, queueID); len(queues) == 0 {
		delete(o.offsets, c)
	}
	o.mu.Unlock()
	o.file.touch()
}
