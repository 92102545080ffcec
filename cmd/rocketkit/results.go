package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit/message"
)

// isTerminal reports whether somebody sits at a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progressEvery is how often a long sending says how far it is.
const progressEvery = 2 * time.Second

// results prints a line for each message that is sent, and now and then how far the
// sending is where those lines go elsewhere. One goroutine, which newResults starts
// and end waits for, owns all but the channels.
type results struct {
	out, notes io.Writer
	every      time.Duration // between two lines of progress; 0 for none
	total      int           // messages to send; 0: not known
	begun      time.Time
	progressed time.Time
	sent       int
	err        error // of out

	stored chan message.SendResult
	done   chan struct{} // closed when everything is printed; sent and err are final then
}

func newResults(cmd *cobra.Command, total int, every time.Duration) *results {
	r := &results{
		out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), every: every, total: total,
		begun: time.Now(), progressed: time.Now(),
		stored: make(chan message.SendResult, 1024), done: make(chan struct{}),
	}
	if isTerminal(r.out) {
		r.every = 0 // the results are the progress
	}
	go r.print()
	return r
}

// add prints a message's result. Callbacks may call it, many at once.
func (r *results) add(res message.SendResult) { r.stored <- res }

func (r *results) print() {
	defer close(r.done)
	for res := range r.stored {
		r.sent++
		if _, err := fmt.Fprintln(r.out, res); err != nil && r.err == nil {
			r.err = fmt.Errorf("print the results: %w", err)
		}
		if r.every > 0 && time.Since(r.progressed) >= r.every {
			r.progressed = time.Now()
			fmt.Fprintln(r.notes, r.progress())
		}
	}
}

// progress says how far the sending is.
func (r *results) progress() string {
	took := time.Since(r.begun)
	of := ""
	if r.total > 0 {
		of = fmt.Sprintf(" of %d", r.total)
	}
	return fmt.Sprintf("sent %d%s in %v, %.0f/s", r.sent, of, took.Round(time.Millisecond), float64(r.sent)/took.Seconds())
}

// end says what became of everything. err is why the sending ended before its end;
// nothing is added any more.
func (r *results) end(err error) error {
	close(r.stored)
	<-r.done
	if r.sent > 1 || r.total > 1 {
		fmt.Fprintln(r.notes, r.progress())
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted; sent %d", r.sent)
	}
	return errors.Join(err, r.err)
}
