package outbox_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
)

// A transaction that stays open with its messages holds up nobody's: neither that they are
// sent, nor what is noted of it.
func TestAnOpenTransactionHoldsUpNobody(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		if w.dialect == outbox.SQLite {
			return // which has one writer at a time
		}
		for _, batch := range []int{10, 100} { // some of the rows, and nearly all of them
			open, err := w.db.BeginTx(w.Context(), nil)
			w.no(err)
			w.no(w.box.Add(w.Context(), open, text("late", "k")))
			var failed atomic.Bool
			j := &journal{to: w.send, before: func(m *message.Message) error {
				if string(m.Body) == "7" && failed.CompareAndSwap(false, true) {
					return errors.New("once")
				}
				return nil
			}}
			for i := range 50 {
				w.add(text(strconv.Itoa(i), strconv.Itoa(i%10)))
			}
			r := w.relay(j, outbox.Retention(time.Millisecond), outbox.Batch(batch), outbox.MaxAttempts(1))
			w.until("one is parked", func() bool { return w.rows(stateParked) == 1 })
			n, err := w.box.Unpark(w.Context(), w.db)
			if w.no(err); n != 1 {
				w.Errorf("%d were parked", n)
			}
			w.until("all but one are sent and deleted", func() bool { return w.rows(stateSent)+w.rows(statePending) == 0 })
			w.no(open.Commit())
			w.until("it is sent, too", func() bool { return w.rows(stateSent)+w.rows(statePending) == 0 })
			if n := len(j.bodies()["k"]); n != 1 || len(j.sent) != 51 {
				w.Errorf("sent %d times, and %d messages, want 1 and 51", n, len(j.sent))
			}
			w.drain(r)
		}
	})
}

// Transactions that write messages while others are sent and deleted do not fail for it.
func TestManyWriteAtATime(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		w.relay(w.send, outbox.Retention(time.Millisecond), outbox.Batch(20))
		var writers sync.WaitGroup
		for k := range 8 {
			writers.Go(func() {
				for i := range 15 {
					tx, err := w.db.BeginTx(w.Context(), nil)
					if err != nil {
						w.Error(err)
						return
					}
					for j := range 3 {
						if err := w.box.Add(w.Context(), tx, text(fmt.Sprint(i, j), fmt.Sprint(k))); err != nil {
							w.Error(err)
						}
					}
					if err := tx.Commit(); err != nil {
						w.Error(err)
					}
				}
			})
		}
		writers.Wait()
		w.until("all is sent and deleted", func() bool { return w.rows(stateSent)+w.rows(statePending) == 0 })
	})
}
