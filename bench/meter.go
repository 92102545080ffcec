package main

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// meter counts what a load does and takes the sample between two moments.
type meter struct {
	servers []int // process ids

	done     atomic.Int64 // messages
	failed   atomic.Int64 // sends
	firstErr atomic.Pointer[string]

	from reading
}

// reading is the state of all clocks and counters at one moment.
type reading struct {
	at                    time.Time
	done, failed          int64
	client, server, total time.Duration
}

// count notes the outcome of a send of n messages.
func (m *meter) count(n int64, err error) {
	if err == nil {
		m.done.Add(n)
		return
	}
	m.failed.Add(1)
	if m.firstErr.Load() == nil {
		text := err.Error()
		m.firstErr.CompareAndSwap(nil, &text)
	}
}

func (m *meter) read() (reading, error) {
	var err error
	r := reading{}
	var errs []error
	if r.client, err = ownCPU(); err != nil {
		errs = append(errs, err)
	}
	for _, pid := range m.servers {
		d, err := processCPU(pid)
		if err != nil {
			errs = append(errs, err)
		}
		r.server += d
	}
	if r.total, err = machineCPU(); err != nil {
		errs = append(errs, err)
	}
	r.at, r.done, r.failed = time.Now(), m.done.Load(), m.failed.Load()
	return r, errors.Join(errs...)
}

// begin starts the measurement.
func (m *meter) begin() (err error) {
	m.from, err = m.read()
	return err
}

// beginAt starts it at a moment that has just been, when done messages were
// counted: reading the clocks takes a while, in which more are.
func (m *meter) beginAt(at time.Time, done int64) error {
	err := m.begin()
	m.from.at, m.from.done = at, done
	return err
}

// end is what happened since begin.
func (m *meter) end() (sample, error) {
	to, err := m.read()
	if err != nil {
		return sample{}, err
	}
	from := m.from
	s := sample{
		Messages: to.done - from.done, Seconds: to.at.Sub(from.at).Seconds(), Failed: to.failed - from.failed,
		ClientCPU: (to.client - from.client).Seconds(), ServerCPU: (to.server - from.server).Seconds(),
	}
	if text := m.firstErr.Load(); text != nil {
		s.FirstErr = *text
	}
	others := (to.total - from.total).Seconds() - s.ClientCPU - s.ServerCPU
	s.OtherCPU = max(0, others/(s.Seconds*float64(runtime.NumCPU())))
	return s, nil
}
