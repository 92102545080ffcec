package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// FetcherState is what a Fetcher knows of itself, without asking a server. Its Group,
// Phase, Queues, Trouble and Lag are a State's.
type FetcherState struct {
	Group, Phase string
	Queues       []message.Queue
	Trouble      error
	Lag          int64
	// Waiting is how many messages wait to be fetched, Fetched how many were and have no
	// answer.
	Waiting, Fetched int
	// Last is when Fetch last returned a message, zero before that.
	Last time.Time
}

// PullerState is what a Puller knows of itself, without asking a server.
type PullerState struct {
	Group, Topic string
	// Queues is how many were pulled from, and Lag how many messages they have behind
	// their positions, as the last pulls told.
	Queues int
	Lag    int64
	// Last is when a Pull last succeeded, zero before that; Trouble is the error of the
	// latest, nil when that was it.
	Last    time.Time
	Trouble error
}

// SimpleState is what a SimpleConsumer knows of itself, without asking a server.
type SimpleState struct {
	Group string
	// Last is when a Receive last succeeded, also one that found nothing, zero before that;
	// Trouble is the error of the latest, nil when that was it.
	Last    time.Time
	Trouble error
}

// State is how the fetcher is now.
func (f *Fetcher) State() FetcherState {
	s := FetcherState{Group: f.group}
	s.Queues, s.Lag, s.Trouble = shareOf(f.sub)
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Waiting, s.Fetched, s.Last = len(f.waiting), len(f.fetched), f.last
	switch {
	case isClosed(f.closed):
		s.Phase = "ended"
	case f.ending:
		s.Phase = "ending"
	case f.started:
		s.Phase = "running"
	default:
		s.Phase = "new"
	}
	return s
}

// shareOf is what a subscription has of its topics, as far as its driver tells.
func shareOf(sub driver.Subscription) (queues []message.Queue, behind int64, trouble error) {
	if sh, ok := sub.(driver.Sharing); ok {
		queues, trouble = sh.Assigned()
	}
	for _, n := range lag(sub) {
		behind += n
	}
	return queues, behind, trouble
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// State is how the puller is now.
func (p *Puller) State() PullerState {
	s := PullerState{Group: p.group, Topic: p.filter.Topic}
	s.Last, s.Trouble = p.requests.state()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Queues = len(p.ends)
	for q, end := range p.ends {
		s.Lag += max(0, end-p.positions[q])
	}
	return s
}

// State is how the consumer is now.
func (s *SimpleConsumer) State() SimpleState {
	last, trouble := s.requests.state()
	return SimpleState{Group: s.group, Last: last, Trouble: trouble}
}

// requests are those that a program has made for messages.
type requests struct {
	mu   sync.Mutex // guards the following
	last time.Time  // that succeeded
	err  error      // of the latest
}

// note notes how a request ended, unless the program gave it up.
func (r *requests) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err = err; err == nil {
		r.last = time.Now()
	}
}

func (r *requests) state() (last time.Time, trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.err
}
