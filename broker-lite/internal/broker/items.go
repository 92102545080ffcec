package broker

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 315 VIEW_BROKER_STATS_DATA (AdminBrokerProcessor, BrokerStatsManager), alike on
// 4.9 and 5.x: what a topic or a group has handled in the last minute, hour and day.
// The sets are TOPIC_PUT_NUMS and TOPIC_PUT_SIZE, whose keys are topics, and
// GROUP_GET_NUMS and GROUP_GET_SIZE, whose keys are topic@group. Of the others there
// are none, as on an Apache broker where nothing has happened yet.

// itemKey names an item: a topic's puts, or with a group its gets.
type itemKey struct{ topic, group string }

// item counts the messages and bytes of a key. The ring of stats samples it.
type item struct {
	count, bytes atomic.Int64
	sizes        [len(sizeBounds) + 1]atomic.Int64 // of a topic's puts; the metrics show them
	made         time.Time

	mu      sync.Mutex // guards the following
	samples []itemSample
}

type itemSample struct {
	at           time.Time
	count, bytes int64
}

// The windows of code 315, and how far apart the samples are that serve them.
const (
	minuteWindow, minuteGap = time.Minute, sampleEvery
	hourWindow, hourGap     = time.Hour, 10 * time.Minute
	dayWindow, dayGap       = 24 * time.Hour, time.Hour
)

// sample notes the counts, and reports whether they have changed since the last one.
func (it *item) sample(now time.Time) bool {
	s := itemSample{now, it.count.Load(), it.bytes.Load()}
	it.mu.Lock()
	defer it.mu.Unlock()
	if n := len(it.samples); n > 0 && it.samples[n-1].count == s.count && it.samples[n-1].bytes == s.bytes {
		return false
	}
	it.samples = append(thin(it.samples, now), s)
	return true
}

// thin keeps of the samples what the windows need: of old ones, which come first, only
// some.
func thin(samples []itemSample, now time.Time) []itemSample {
	kept := samples[:0]
	for i, s := range samples {
		gap := minuteGap
		switch age := now.Sub(s.at); {
		case i+1 < len(samples) && now.Sub(samples[i+1].at) > dayWindow:
			continue // the next one is old enough for the longest window
		case age > hourWindow+hourGap:
			gap = dayGap
		case age > minuteWindow+minuteGap:
			gap = hourGap
		}
		// Of those in one step of the clock the last is kept.
		if n := len(kept); n > 0 && kept[n-1].at.Truncate(gap).Equal(s.at.Truncate(gap)) {
			kept[n-1] = s
		} else {
			kept = append(kept, s)
		}
	}
	return kept
}

// since returns what has been counted in the last window, and over what span.
func (it *item) since(window time.Duration, now time.Time) (count, bytes int64, span time.Duration) {
	it.mu.Lock()
	defer it.mu.Unlock()
	from := itemSample{at: it.made}
	for _, s := range it.samples {
		if now.Sub(s.at) >= window {
			from = s
		}
	}
	return it.count.Load() - from.count, it.bytes.Load() - from.bytes, min(max(now.Sub(from.at), time.Second), window)
}

// items are all items.
type items struct {
	mu  sync.RWMutex // guards the following
	all map[itemKey]*item
}

// add counts, and makes the item when there is none.
func (s *items) add(key itemKey, messages, bytes int, now func() time.Time) *item {
	s.mu.RLock()
	it := s.all[key]
	s.mu.RUnlock()
	if it == nil {
		it = s.make(key, now())
	}
	it.count.Add(int64(messages))
	it.bytes.Add(int64(bytes))
	return it
}

func (s *items) make(key itemKey, now time.Time) *item {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.all[key]; it != nil {
		return it
	}
	it := &item{made: now}
	if s.all == nil {
		s.all = map[itemKey]*item{}
	}
	key = itemKey{strings.Clone(key.topic), strings.Clone(key.group)}
	s.all[key] = it
	return it
}

func (s *items) get(key itemKey) *item {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[key]
}

// clone returns the items of this moment.
func (s *items) clone() map[itemKey]*item {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.all)
}

// forget takes the items out that which says.
func (s *items) forget(which func(itemKey) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.all {
		if which(key) {
			delete(s.all, key)
		}
	}
}

// sample samples all items and reports whether one has changed.
func (s *items) sample(now time.Time) (changed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, it := range s.all {
		changed = it.sample(now) || changed
	}
	return changed
}

func (s *stats) forgetTopic(topic string) {
	s.items.forget(func(k itemKey) bool { return k.topic == topic })
}

func (s *stats) forgetGroup(group string) {
	s.items.forget(func(k itemKey) bool { return k.group != "" && k.group == group })
}

func (b *Broker) statsHandlers() handlers {
	return handlers{protocol.ViewBrokerStats: b.at(b.viewStats)}
}

// statsItem is BrokerStatsItem: tps is a second's, avgpt a time's.
type statsItem struct {
	Avgpt float64 `json:"avgpt"`
	Sum   int64   `json:"sum"`
	TPS   float64 `json:"tps"`
}

func (b *Broker) viewStats(_ *peer, cmd *protocol.Command) answer {
	name, key := cmd.Fields.Value("statsName"), cmd.Fields.Value("statsKey")
	view := b.statsView(name, key)
	if view == nil {
		return refuse(protocol.SystemError, "The stats <%.64s> <%.512s> not exist", name, key)
	}
	return encoded(struct {
		Day    statsItem `json:"statsDay"`
		Hour   statsItem `json:"statsHour"`
		Minute statsItem `json:"statsMinute"`
	}{view(dayWindow), view(hourWindow), view(minuteWindow)})
}

// statsView returns what computes an item's windows, nil when there is no such item.
func (b *Broker) statsView(name, key string) func(window time.Duration) statsItem {
	now := time.Now()
	var at itemKey
	size := false
	switch name {
	case "TOPIC_PUT_SIZE", "TOPIC_PUT_NUMS":
		at, size = itemKey{topic: key}, name == "TOPIC_PUT_SIZE"
	case "GROUP_GET_SIZE", "GROUP_GET_NUMS":
		topic, group, ok := strings.Cut(key, "@")
		if !ok || group == "" {
			return nil
		}
		at, size = itemKey{topic, group}, name == "GROUP_GET_SIZE"
	default:
		return nil
	}
	it := b.stats.items.get(at)
	if it == nil {
		return nil
	}
	return func(window time.Duration) statsItem {
		count, bytes, span := it.since(window, now)
		if size {
			count = bytes
		}
		return statsItem{Sum: count, TPS: float64(count) / span.Seconds()}
	}
}
