package broker

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
)

// stats counts what goes in and out, and samples the counts every 10 s while they
// grow, for the rates of code 28.
type stats struct {
	started  time.Time
	alarm    *alarm.Alarm
	sampling atomic.Bool

	puts, putBytes, putFailures atomic.Int64 // messages in
	gets, getBytes              atomic.Int64 // messages out
	found, missed               atomic.Int64 // pulls with messages, and without
	commits, rollbacks          atomic.Int64 // of half messages
	items                       items        // of topics and groups

	mu      sync.Mutex // guards the following
	samples []sample   // the oldest first
}

// counts are the counters at one moment.
type counts struct{ puts, gets, found, missed int64 }

type sample struct {
	at time.Time
	counts
}

const (
	sampleEvery = 10 * time.Second
	// keptSamples cover the longest rate, of 600 s.
	keptSamples = 62
)

func (s *stats) start() {
	s.started = time.Now()
	s.alarm = alarm.Start(0, s.ring)
}

func (s *stats) stop() { s.alarm.Stop() }

// put counts records that lie side by side.
func (s *stats) put(topic string, messages int, records []byte) {
	s.items.add(itemKey{topic: topic}, messages, len(records), time.Now).size(records)
	s.puts.Add(int64(messages))
	s.putBytes.Add(int64(len(records)))
	s.active()
}

func (s *stats) get(topic, group string, messages, bytes int) {
	if messages > 0 {
		s.items.add(itemKey{topic, group}, messages, bytes, time.Now)
	}
	if messages == 0 {
		s.missed.Add(1)
	} else {
		s.found.Add(1)
		s.gets.Add(int64(messages))
		s.getBytes.Add(int64(bytes))
	}
	s.active()
}

// active begins to sample.
func (s *stats) active() {
	if !s.sampling.Load() && s.sampling.CompareAndSwap(false, true) {
		s.alarm.Set(time.Now())
	}
}

func (s *stats) now() counts {
	return counts{s.puts.Load(), s.gets.Load(), s.found.Load(), s.missed.Load()}
}

// ring takes a sample. It goes on as long as something has changed.
func (s *stats) ring(now time.Time) (next time.Time) {
	s.items.sample(now)
	c := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.samples); n > 0 && s.samples[n-1].counts == c {
		s.sampling.Store(false)
		if s.now() == c {
			return time.Time{}
		}
		s.sampling.Store(true)
	}
	if len(s.samples) == keptSamples {
		s.samples = append(s.samples[:0], s.samples[1:]...)
	}
	s.samples = append(s.samples, sample{now, c})
	return now.Add(sampleEvery)
}

// rates returns, as Apache prints them, a counter's growth in a second over the
// last 10, 60 and 600 s.
func (s *stats) rates(of func(counts) int64) string {
	now, c := time.Now(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var text []byte
	for _, window := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute} {
		from := sample{at: s.started}
		for _, p := range s.samples {
			if now.Sub(p.at) >= window {
				from = p
			}
		}
		span := max(now.Sub(from.at), time.Second)
		if len(text) > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendFloat(text, float64(of(c)-of(from.counts))/span.Seconds(), 'f', 2, 64)
	}
	return string(text)
}
