package main

import "fmt"

// check is one promise of the floor.
type check struct {
	What string `json:"what"`
	// Got says what was measured, or why nothing was.
	Got      string  `json:"got"`
	Value    float64 `json:"value"`
	Want     string  `json:"want"`
	Held     bool    `json:"held"`
	Measured bool    `json:"measured"`
}

// The floor.
const (
	maxReadyMs    = 100
	maxResidentMB = 40
)

// floor checks what r has. What was not asked for is listed as not measured.
func floor(r *results) []check {
	var out []check
	for _, row := range allRows() {
		ours, theirs := cell{row, nativeName, apacheName}, cell{row, clientGoName, apacheName}
		if row == rowLatency {
			out = append(out,
				compare(r, row+" p50", ours, theirs, 1, func(s *sample) float64 { return speed(s.P50) }),
				compare(r, row+" p99", ours, theirs, 1, func(s *sample) float64 { return speed(s.P99) }))
			continue
		}
		out = append(out, compare(r, row, ours, theirs, 1, (*sample).rate))
	}
	for _, promise := range []struct {
		row   string
		times float64
	}{{rowSync, 5}, {rowAsync, 5}, {rowConsume, 2}} {
		out = append(out, compare(r, promise.row, cell{promise.row, nativeName, brokerLite},
			cell{promise.row, clientGoName, apacheName}, promise.times, (*sample).rate))
	}
	return append(out,
		limited(r, "broker-lite: process start to first answers", "ms", maxReadyMs, func(s *startup) []float64 { return s.ReadyMs }),
		limited(r, "broker-lite: resident memory, idle", "MiB", maxResidentMB, func(s *startup) []float64 { return s.ResidentMB }))
}

// speed is a latency the other way round: more is better, and none was measured
// is the worst.
func speed(latency float64) float64 {
	if latency <= 0 {
		return 0
	}
	return 1 / latency
}

// compare holds the ratio of two cells' medians to a factor.
func compare(r *results, what string, ours, theirs cell, times float64, value func(*sample) float64) check {
	c := check{
		What: fmt.Sprintf("%s: %s on %s to %s on %s", what, ours.Client, ours.Server, theirs.Client, theirs.Server),
		Want: fmt.Sprintf("≥ %.2f", times),
	}
	a, b := r.find(ours), r.find(theirs)
	if a == nil || b == nil {
		c.Got = "not measured"
		return c
	}
	c.Measured = true
	va, vb := spreadOf(a.values(value)), spreadOf(b.values(value))
	switch {
	case va.N == 0:
		c.Got = fmt.Sprintf("%s crashed in all rounds", ours.Client)
	case vb.N == 0:
		c.Got = fmt.Sprintf("%s crashed in all rounds, which leaves nothing to compare with", theirs.Client)
	case vb.Median <= 0:
		c.Got = fmt.Sprintf("%s did nothing", theirs.Client)
	default:
		c.Value = va.Median / vb.Median
		c.Got, c.Held = fmt.Sprintf("%.2f", c.Value), c.Value >= times
	}
	return c
}

// limited holds a median of the start-up to a limit.
func limited(r *results, what, unit string, limit float64, values func(*startup) []float64) check {
	c := check{What: what, Want: fmt.Sprintf("≤ %.0f %s", limit, unit)}
	if r.Startup == nil || len(values(r.Startup)) == 0 {
		c.Got = "not measured"
		return c
	}
	v := spreadOf(values(r.Startup))
	c.Measured, c.Value, c.Held = true, v.Median, v.Median <= limit
	c.Got = fmt.Sprintf("%.1f %s (%.1f–%.1f)", v.Median, unit, v.Lowest, v.Upper)
	return c
}

// broken reports whether something that was measured did not hold.
func broken(checks []check) bool {
	for _, c := range checks {
		if c.Measured && !c.Held {
			return true
		}
	}
	return false
}
