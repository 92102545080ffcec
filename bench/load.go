package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// perform runs a job's row and takes its sample.
func perform(ctx context.Context, j *job) (sample, error) {
	c, err := newClient(ctx, j.Client, j.NameServer)
	if err != nil {
		return sample{}, err
	}
	l := &load{job: j, c: c, body: bytes.Repeat([]byte{'x'}, j.Body), m: meter{servers: j.ServerPIDs}}
	s, err := l.run(ctx)
	if err != nil {
		return s, err
	}
	// How a client ends is not measured; rocketmq-client-go may take long.
	limit, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Close(limit) }()
	select {
	case err = <-ended:
	case <-limit.Done():
		err = limit.Err()
	}
	if err != nil && s.FirstErr == "" {
		s.FirstErr = "close: " + err.Error()
	}
	return s, nil
}

// load is one row under way.
type load struct {
	*job
	c       client
	body    []byte
	m       meter
	stopped atomic.Bool
}

func (l *load) run(ctx context.Context) (sample, error) {
	if l.Row != rowConsume && l.Row != rowOneway {
		// Routes and connections come first: many callers that begin at once are told
		// by rocketmq-client-go that the topic has no route.
		if err := l.c.Sync(ctx, topicSend, l.body); err != nil {
			return sample{}, err
		}
	}
	switch l.Row {
	case rowSync:
		return l.window(ctx, syncCallers, func() {
			l.m.count(1, l.c.Sync(ctx, topicSend, l.body))
		})
	case rowBatch:
		return l.window(ctx, batchCallers, func() {
			l.m.count(batchSize, l.c.Batch(ctx, topicSend, l.body, batchSize))
		})
	case rowAsync:
		return l.async(ctx)
	case rowOneway:
		return l.oneway(ctx)
	case rowLatency:
		return l.latency(ctx)
	case rowConsume:
		return l.consume(ctx)
	}
	return sample{}, fmt.Errorf("no row %q", l.Row)
}

// window lets callers repeat send, and samples Measure after Warm.
func (l *load) window(ctx context.Context, callers int, send func()) (sample, error) {
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for !l.stopped.Load() {
				send()
			}
		})
	}
	s, err := l.observe(ctx, nil)
	l.stopped.Store(true)
	wg.Wait()
	return s, err
}

// observe waits for Warm, and samples what happens in Measure. begun, which may
// be nil, is called in between.
func (l *load) observe(ctx context.Context, begun func()) (sample, error) {
	if err := pass(ctx, l.Warm); err != nil {
		return sample{}, err
	}
	if begun != nil {
		begun()
	}
	if err := l.m.begin(); err != nil {
		return sample{}, err
	}
	if err := pass(ctx, l.Measure); err != nil {
		return sample{}, err
	}
	return l.m.end()
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// async has one goroutine that sends, and asyncInFlight messages under way.
func (l *load) async(ctx context.Context) (sample, error) {
	places := make(chan struct{}, asyncInFlight)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done := func(err error) {
			l.m.count(1, err)
			<-places
		}
		for !l.stopped.Load() {
			places <- struct{}{}
			l.c.Async(ctx, topicSend, l.body, done)
		}
	}()
	s, err := l.observe(ctx, nil)
	l.stopped.Store(true)
	if err != nil {
		return s, err
	}
	// Everything must have its outcome in the end.
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for range asyncInFlight {
		select {
		case places <- struct{}{}:
		case <-limit.C:
			s.Lost = int64(len(places))
			s.FirstErr = fmt.Sprintf("%d sends have no outcome 10s after the last; first error: %s", s.Lost, s.FirstErr)
			return s, nil
		}
	}
	<-ended
	return s, nil
}

// latency has one caller, whose calls are timed.
func (l *load) latency(ctx context.Context) (sample, error) {
	var took []time.Duration
	var timing atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !l.stopped.Load() {
			timed, began := timing.Load(), time.Now()
			err := l.c.Sync(ctx, topicSend, l.body)
			if timed && err == nil {
				took = append(took, time.Since(began))
			}
			l.m.count(1, err)
		}
	}()
	s, err := l.observe(ctx, func() { timing.Store(true) })
	l.stopped.Store(true)
	<-ended
	if len(took) > 0 {
		slices.Sort(took)
		s.P50, s.P99 = micros(percentile(took, 50)), micros(percentile(took, 99))
	}
	return s, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// percentile of a sorted list that is not empty.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// onewayQuiet is how long a topic's offsets must rest to count as final.
const onewayQuiet = time.Second

// oneway counts what arrives. The time ends when the last message has arrived,
// so a client that only fills buffers wins nothing.
func (l *load) oneway(ctx context.Context) (sample, error) {
	judge, err := dialWire(ctx, l.Broker)
	if err != nil {
		return sample{}, err
	}
	defer judge.close()
	if err := l.c.Sync(ctx, topicOneway, l.body); err != nil { // routes and connections
		return sample{}, err
	}
	before, err := judge.maxOffsets(topicOneway)
	if err != nil {
		return sample{}, err
	}
	if err := l.m.begin(); err != nil {
		return sample{}, err
	}
	for end := time.Now().Add(l.Measure); time.Now().Before(end) && ctx.Err() == nil; {
		l.m.count(1, l.c.Oneway(ctx, topicOneway, l.body))
	}
	sent := l.m.done.Load()
	s, arrived, last, err := l.settle(ctx, judge, before, sent)
	if err != nil {
		return sample{}, err
	}
	s.Messages, s.Lost, s.Seconds = arrived, sent-arrived, last.Sub(l.m.from.at).Seconds()
	return s, nil
}

// settle waits until all that was sent has arrived, or no more comes. The sample
// is taken at the last arrival.
func (l *load) settle(ctx context.Context, judge *wire, before, sent int64) (s sample, arrived int64, last time.Time, err error) {
	arrived = -1
	for {
		now, err := judge.maxOffsets(topicOneway)
		if err != nil {
			return s, 0, last, err
		}
		if now -= before; now != arrived {
			arrived, last = now, time.Now()
			if s, err = l.m.end(); err != nil {
				return s, 0, last, err
			}
		}
		if arrived >= sent || time.Since(last) > onewayQuiet {
			return s, arrived, last, nil
		}
		if err := pass(ctx, 5*time.Millisecond); err != nil {
			return s, 0, last, err
		}
	}
}

// consumeStart bounds the wait for the first message.
const consumeStart = 60 * time.Second

// consume samples from the first message until Limit or Measure is reached.
func (l *load) consume(ctx context.Context) (sample, error) {
	first, all := make(chan struct{}), make(chan struct{})
	var began error
	handle := func(text string) {
		if len(text) != l.Body {
			l.m.failed.Add(1)
		}
		switch l.m.done.Add(1) {
		case 1:
			began = l.m.beginAt(time.Now(), 1)
			close(first)
		case l.Limit:
			close(all)
		}
	}
	if err := l.c.Consume(ctx, l.Group, topicFilled, handle); err != nil {
		return sample{}, err
	}
	wait := time.NewTimer(consumeStart)
	defer wait.Stop()
	select {
	case <-first:
	case <-wait.C:
		return sample{}, fmt.Errorf("no message came within %v", consumeStart)
	case <-ctx.Done():
		return sample{}, ctx.Err()
	}
	if began != nil {
		return sample{}, began
	}
	wait.Reset(l.Measure)
	select {
	case <-all:
	case <-wait.C:
	case <-ctx.Done():
		return sample{}, ctx.Err()
	}
	return l.m.end()
}
