package broker

import (
	"sync/atomic"
	"time"
)

// stats counts what goes in and out.
type stats struct {
	started  time.Time
	puts     atomic.Int64 // messages
	putBytes atomic.Int64
	gets     atomic.Int64
	getBytes atomic.Int64
	found    atomic.Int64 // pulls with messages
	missed   atomic.Int64
}

func (s *stats) begin() { s.started = time.Now() }

func (s *stats) put(messages, bytes int) {
	s.puts.Add(int64(messages))
	s.putBytes.Add(int64(bytes))
}

func (s *stats) get(messages, bytes int) {
	if messages == 0 {
		s.missed.Add(1)
		return
	}
	s.found.Add(1)
	s.gets.Add(int64(messages))
	s.getBytes.Add(int64(bytes))
}
