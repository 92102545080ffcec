package meta

import (
	"maps"
	"strings"
)

// Offsets that an administrator has chosen, and offsets up to which a group has
// pulled. Both are in memory only.
//
// A chosen offset (ConsumerOffsetManager.resetOffsetTable) waits for the next pull
// of its queue, which takes it and tells the client where to go on. Until then it
// is the group's offset, and what its clients commit does not count: they commit
// where they were.

// Reset chooses where a group goes on in a queue.
func (o *Offsets) Reset(group, topic string, queueID int32, offset int64) {
	key := Consumption{topic, group}
	o.mu.Lock()
	set(o.offsets, key, queueID, offset)
	set(o.resets, key, queueID, offset)
	delete(o.pulled[key], queueID)
	o.pending.Store(int64(len(o.resets)))
	o.mu.Unlock()
	o.file.touch()
	o.logger.Info("consumer offset chosen by hand", "group", group, "topic", topic, "queue", queueID, "offset", offset)
}

func set(m map[Consumption]map[int32]int64, key Consumption, queueID int32, offset int64) {
	queues := m[key]
	if queues == nil {
		queues = map[int32]int64{}
		m[Consumption{strings.Clone(key.Topic), strings.Clone(key.Group)}] = queues // not the whole request's text
	}
	queues[queueID] = offset
}

// HasReset reports whether a chosen offset waits for a pull.
func (o *Offsets) HasReset(group, topic string, queueID int32) bool {
	if o.pending.Load() == 0 {
		return false
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, ok := o.resets[Consumption{topic, group}][queueID]
	return ok
}

// TakeReset takes the chosen offset out, for the client that goes on there.
func (o *Offsets) TakeReset(group, topic string, queueID int32) (offset int64, ok bool) {
	if o.pending.Load() == 0 {
		return 0, false
	}
	key := Consumption{topic, group}
	o.mu.Lock()
	defer o.mu.Unlock()
	queues := o.resets[key]
	offset, ok = queues[queueID]
	if !ok {
		return 0, false
	}
	if delete(queues, queueID); len(queues) == 0 {
		delete(o.resets, key)
		o.pending.Store(int64(len(o.resets)))
	}
	return offset, true
}

// Pulled notes the offset that a group pulls next.
func (o *Offsets) Pulled(group, topic string, queueID int32, next int64) {
	key := Consumption{topic, group}
	o.mu.Lock()
	defer o.mu.Unlock()
	set(o.pulled, key, queueID, next)
}

// PulledTo returns what Pulled noted last, or the committed offset; ok is false
// without either.
func (o *Offsets) PulledTo(group, topic string, queueID int32) (offset int64, ok bool) {
	key := Consumption{topic, group}
	o.mu.RLock()
	defer o.mu.RUnlock()
	if offset, ok = o.pulled[key][queueID]; !ok {
		offset, ok = o.offsets[key][queueID]
	}
	return offset, ok
}

// Clone gives a group the offsets that another has for a topic, all of them. It
// reports whether there were any.
func (o *Offsets) Clone(from, to, topic string) bool {
	o.mu.Lock()
	queues := maps.Clone(o.offsets[Consumption{topic, from}])
	if len(queues) > 0 {
		o.offsets[Consumption{topic, to}] = queues
	}
	o.mu.Unlock()
	if len(queues) == 0 {
		return false
	}
	o.file.touch()
	o.logger.Info("consumer offsets copied from another group", "group", to, "from", from, "topic", topic, "queues", len(queues))
	return true
}
