package timer

import "github.com/rocketkit/rocketkit/internal/protocol"

// recallSpan is how far behind its moment a message reaches that recalls another, in
// ms: moments are rounded down to a second in what clients know of them
// (timerPrecisionMs).
const recallSpan = 1000

// RecallTagsCode is the tags code, in the timer queue, of a message that recalls
// another which is delivered within a second behind out, ms since 1970.
func RecallTagsCode(out int64) int64 { return -out }

// Due is the moment, ms since 1970, at which the turn of a message in the timer queue
// comes.
func Due(tagsCode int64) int64 {
	if tagsCode < 0 {
		return -tagsCode
	}
	return tagsCode
}

// recalled are the messages that are not to be delivered, known from a second before
// they are due on. It belongs to the Service's alarm.
type recalled struct {
	until map[string]int64 // ms since 1970, by delete key
	order []recall         // of the same, mostly by time
}

type recall struct {
	key   string
	until int64
}

func (r *recalled) add(key string, until int64) {
	if r.until == nil {
		r.until = map[string]int64{}
	}
	r.until[key] = max(r.until[key], until)
	r.order = append(r.order, recall{key, until})
}

// forget drops what reaches no message that is due from a moment on.
func (r *recalled) forget(at int64) {
	for len(r.order) > 0 && r.order[0].until < at {
		if first := r.order[0]; r.until[first.key] <= first.until {
			delete(r.until, first.key)
		}
		r.order = r.order[1:]
	}
}

// has reports whether a message that is due at a moment was recalled.
func (r *recalled) has(key string, at int64) bool {
	until, ok := r.until[key]
	return ok && at <= until && at > until-recallSpan
}

// recall handles an entry that recalls a message, or that was recalled. done: there
// is nothing to deliver.
func (s *Service) recall(e entry, rec []byte) (done bool, err error) {
	s.recalled.forget(e.at())
	if !e.recalls() && len(s.recalled.order) == 0 {
		return false, nil
	}
	var r protocol.Record
	if _, err := protocol.DecodeRecord(rec, &r); err != nil {
		return false, err
	}
	if e.recalls() {
		if key, ok := protocol.Property(r.Properties, protocol.PropTimerDelUniqueKey); ok {
			s.recalled.add(key, e.at()+recallSpan)
		}
		return true, nil
	}
	id, ok := protocol.Property(r.Properties, protocol.PropUniqueKey)
	topic, _ := protocol.Property(r.Properties, protocol.PropRealTopic)
	if !ok || !s.recalled.has(id, e.due) && !s.recalled.has(DeleteKey(topic, id), e.due) {
		return false, nil
	}
	s.o.Logger.Info("a timer message was recalled", "topic", topic, "message", id)
	return true, nil
}

// DeleteKey names a message to recall (TimerMessageStore.buildDeleteKey). Clients
// may leave the topic out.
func DeleteKey(topic, uniqueKey string) string { return topic + "+" + uniqueKey }
