package main

import (
	"slices"
	"time"
)

// results is everything that a run measured, and what -json writes.
type results struct {
	Date       time.Time     `json:"date"`
	Conditions []condition   `json:"conditions"`
	Cells      []*cellResult `json:"cells"`
	Startup    *startup      `json:"startup,omitempty"`
	Floor      []check       `json:"floor"`
}

// cellResult is a cell's samples, one for each round.
type cellResult struct {
	cell
	Samples []sample `json:"samples"`
}

func (r *results) find(c cell) *cellResult {
	for _, got := range r.Cells {
		if got.cell == c {
			return got
		}
	}
	return nil
}

func (r *results) add(c cell, s sample) {
	got := r.find(c)
	if got == nil {
		got = &cellResult{cell: c}
		r.Cells = append(r.Cells, got)
	}
	got.Samples = append(got.Samples, s)
}

// values are what f makes of the samples that are no crashes.
func (c *cellResult) values(f func(*sample) float64) []float64 {
	var out []float64
	for i := range c.Samples {
		if s := &c.Samples[i]; s.Crash == "" {
			out = append(out, f(s))
		}
	}
	return out
}

func (c *cellResult) crashes() int {
	n := 0
	for i := range c.Samples {
		if c.Samples[i].Crash != "" {
			n++
		}
	}
	return n
}

// spread is a median and its range. N is 0 when nothing was measured.
type spread struct {
	N             int
	Median        float64
	Lowest, Upper float64
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{N: n, Median: (v[(n-1)/2] + v[n/2]) / 2, Lowest: v[0], Upper: v[n-1]}
}
