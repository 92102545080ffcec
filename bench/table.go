package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// printTables writes the results as Markdown.
func printTables(w io.Writer, r *results) {
	printConditions(w, r)
	tb := table{{"", "client", "server", "messages a second: median (range)", "CPU s a million: client + server", ""}}
	for _, row := range allRows() {
		if row == rowLatency {
			continue
		}
		for _, c := range r.Cells {
			if c.Row == row {
				tb = append(tb, []string{describeRow(row), c.Client, c.Server, c.rateText(), c.cpuText(), c.remarks()})
			}
		}
	}
	tb.print(w)
	tb = table{{"", "client", "server", "p50 µs: median (range)", "p99 µs: median (range)", ""}}
	for _, c := range r.Cells {
		if c.Row == rowLatency {
			p50 := spreadOf(c.values(func(s *sample) float64 { return s.P50 }))
			p99 := spreadOf(c.values(func(s *sample) float64 { return s.P99 }))
			tb = append(tb, []string{describeRow(c.Row), c.Client, c.Server, p50.text(0), p99.text(0), c.remarks()})
		}
	}
	tb.print(w)
	tb = table{{"the floor", "", "wanted", "measured"}}
	for _, c := range r.Floor {
		verdict := "holds"
		switch {
		case !c.Measured:
			verdict = "left out"
		case !c.Held:
			verdict = "BROKEN"
		}
		tb = append(tb, []string{c.What, verdict, c.Want, c.Got})
	}
	tb.print(w)
	if busy := r.busiest(); busy > 0.05 {
		fmt.Fprintf(w, "Others used up to %.0f%% of the machine during a sample: take the figures with a grain of salt.\n\n", 100*busy)
	}
}

func (c *cellResult) rateText() string { return spreadOf(c.values((*sample).rate)).text(0) }

func (c *cellResult) cpuText() string {
	client := spreadOf(c.values(func(s *sample) float64 { a, _ := s.cpuPerMillion(); return a }))
	server := spreadOf(c.values(func(s *sample) float64 { _, b := s.cpuPerMillion(); return b }))
	switch {
	case client.N == 0 || !hasProc:
		return "–"
	case c.Server == embedded:
		return fmt.Sprintf("%.1f together", client.Median)
	}
	return fmt.Sprintf("%.1f + %.1f", client.Median, server.Median)
}

// remarks is what is not as it should be.
func (c *cellResult) remarks() string {
	var out []string
	if n := c.crashes(); n > 0 {
		out = append(out, fmt.Sprintf("crashed in %d of %d rounds (%s)", n, len(c.Samples), c.firstCrash()))
	}
	var failed, lost, all int64
	first := ""
	for i := range c.Samples {
		s := &c.Samples[i]
		failed, lost, all = failed+s.Failed, lost+s.Lost, all+s.Messages
		if first == "" {
			first = s.FirstErr
		}
	}
	if failed > 0 {
		out = append(out, fmt.Sprintf("%s failed", thousands(float64(failed), 0)))
	}
	if lost > 0 {
		out = append(out, fmt.Sprintf("%s of %s lost", thousands(float64(lost), 0), thousands(float64(all+lost), 0)))
	}
	if first != "" {
		out = append(out, "first error: "+first)
	}
	return strings.ReplaceAll(strings.Join(out, "; "), "|", "\\|")
}

func (c *cellResult) firstCrash() string {
	for i := range c.Samples {
		if text := c.Samples[i].Crash; text != "" {
			return text
		}
	}
	return ""
}

// busiest is the largest share of the machine that others used in a sample.
func (r *results) busiest() float64 {
	share := 0.0
	for _, c := range r.Cells {
		for i := range c.Samples {
			share = max(share, c.Samples[i].OtherCPU)
		}
	}
	return share
}

func (s spread) text(decimals int) string {
	if s.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", thousands(s.Median, decimals), thousands(s.Lowest, decimals), thousands(s.Upper, decimals))
}

// thousands writes a number with commas.
func thousands(v float64, decimals int) string {
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}

// table is rows of a Markdown table, the first its head.
type table [][]string

// print writes the table with its columns aligned; nothing without a row.
func (t table) print(w io.Writer) {
	if len(t) < 2 {
		return
	}
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, text := range row {
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	for n, row := range t {
		for i, text := range row {
			fmt.Fprintf(w, "| %s%s ", text, strings.Repeat(" ", widths[i]-len([]rune(text))))
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for _, width := range widths {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", width+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
	fmt.Fprintln(w)
}
