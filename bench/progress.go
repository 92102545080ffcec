package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells how far a run is. It belongs to one goroutine.
type progress struct {
	io.Writer
	began       time.Time // of the first cell
	done, total int       // cells
}

// begin is called before the first of total cells.
func (p *progress) begin(total int) { p.began, p.total = time.Now(), total }

// cell tells of one more cell.
func (p *progress) cell(c cell, s *sample) {
	p.done++
	left := time.Since(p.began) / time.Duration(p.done) * time.Duration(p.total-p.done)
	fmt.Fprintf(p, "%d of %d, %v left: %-8s %-10s %-12s %s\n", p.done, p.total, left.Round(time.Second), c.Row, c.Client, c.Server, s.summary())
}
