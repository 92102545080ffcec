package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
)

// A drain that is cut short is no failure of what it cuts off.
func TestWhatADrainCutsOffIsNoAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		entered := make(chan struct{})
		stuck := outboxSender(func(ctx context.Context, _ *message.Message) (message.SendResult, error) {
			close(entered)
			<-ctx.Done()
			return message.SendResult{}, ctx.Err()
		})
		w.add(text("a", "k"), text("b", "k"))
		r, err := w.box.NewRelay(w.db, stuck, outbox.MaxAttempts(1), outbox.Poll(time.Millisecond))
		w.no(err)
		w.no(r.Start(w.Context()))
		<-entered
		over, cancel := context.WithCancel(w.Context())
		cancel()
		if err := r.Drain(over); !errors.Is(err, context.Canceled) {
			w.Error(err)
		}
		if w.rows(stateParked) != 0 || w.rows(statePending) != 2 {
			w.Errorf("%d parked, %d left", w.rows(stateParked), w.rows(statePending))
		}
		w.relay(w.send)
		w.until("both are sent", func() bool { return w.rows(stateSent) == 2 })
	})
}

// A sender that does not heed its context does not hold up a drain past its end, and what
// it has sent is noted when it returns.
func TestADrainDoesNotWaitForWhoDoesNotHeedIt(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		entered, hold := make(chan struct{}), make(chan struct{})
		deaf := outboxSender(func(context.Context, *message.Message) (message.SendResult, error) {
			close(entered)
			<-hold
			return message.SendResult{}, nil
		})
		w.add(text("a", "k"), text("b", "k"))
		r, err := w.box.NewRelay(w.db, deaf)
		w.no(err)
		w.no(r.Start(w.Context()))
		<-entered
		over, cancel := context.WithCancel(w.Context())
		cancel()
		began := time.Now()
		if err := r.Drain(over); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the sender does not heed its context, and sends go on (1)") {
			w.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			w.Errorf("it took %s", took)
		}
		close(hold)
		w.no(r.Drain(w.Context()))
		if w.rows(stateSent) != 1 || w.rows(statePending) != 1 {
			w.Errorf("%d sent, %d left", w.rows(stateSent), w.rows(statePending))
		}
	})
}

// What is read at once is bounded in bytes, too, and one message is read in any case.
func TestLargeMessagesAreReadAFewAtATime(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		const rows, size, fit = 8, 3 << 20, 4 // a row of 4 MiB and a little, since JSON has bodies in base64
		for range rows {
			w.add(message.New("orders", bytes.Repeat([]byte("x"), size-1000)))
		}
		var mu sync.Mutex
		under, most := 0, 0
		j := &journal{to: outboxSender(func(context.Context, *message.Message) (message.SendResult, error) {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			<-time.After(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			under--
			return message.SendResult{}, nil
		})}
		w.relay(j, outbox.Batch(100), outbox.Concurrency(100), outbox.Poll(time.Hour))
		w.until("all is sent", func() bool { return w.rows(stateSent) == rows })
		mu.Lock()
		defer mu.Unlock()
		if most > fit {
			w.Errorf("%d were sent at once, and %d fit", most, fit)
		}
	})
}

// What was sent in a rush does not pile up behind the deletion of what is over.
func TestDeletionKeepsUp(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		w.add(text("a", ""))
		for range 12 {
			_, err := w.db.ExecContext(w.Context(), "INSERT INTO box (uid, topic, lane, message, state, attempts, at, error, added)"+
				" SELECT uid, topic, lane, message, 1, 0, 0, '', 0 FROM box")
			w.no(err)
		}
		w.relay(w.send, outbox.Poll(time.Hour))
		w.until("they are gone", func() bool { return w.rows(stateSent) <= 1 })
	})
}

// The clock of whoever adds a message does not say when it is due.
func TestAMessageIsDueWhateverTheClock(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		w.add(text("a", "k"))
		var at int64
		w.no(w.db.QueryRowContext(w.Context(), "SELECT max(at) FROM box").Scan(&at))
		if at != 0 {
			w.Errorf("due at %d", at)
		}
	})
}

// Texts that some database or JSON would not keep are kept, or refused before anything is
// written.
func TestStrangeTextsAreKeptOrRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		long := strings.Repeat("i", 300)
		w.add(text("zero", "a\x00b"), message.New("orders", []byte("long"), message.Property(dedup.IDProperty, long)))
		j := &journal{to: outboxSender(func(context.Context, *message.Message) (message.SendResult, error) { // broker-lite takes no zero byte
			return message.SendResult{}, nil
		})}
		w.relay(j)
		w.until("both are sent", func() bool { return w.rows(stateSent) == 2 })
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, m := range j.sent {
			if m.ShardingKey != "a\x00b" && m.Properties[dedup.IDProperty] != long {
				w.Errorf("%+v", m)
			}
		}
		for what, m := range map[string]*message.Message{
			"sharding key": text("x", "\xff"),
			"key":          message.New("orders", []byte("x"), message.Key("\xff")),
			"value":        message.New("orders", []byte("x"), message.Property("p", "\xff")),
			"name":         message.New("orders", []byte("x"), message.Property("\xff", "p")),
		} {
			if err := w.box.Add(w.Context(), w.db, m); !errors.Is(err, message.ErrInvalidMessage) || !strings.Contains(err.Error(), "UTF-8") {
				w.Errorf("%s: %v", what, err)
			}
		}
	})
}
