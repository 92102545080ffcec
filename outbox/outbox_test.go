package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/internal/testdb"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
	"github.com/rocketkit/rocketkit/producer"
)

func TestMain(m *testing.M) {
	if os.Getenv(relayAt) != "" {
		os.Exit(relayUntilKilled())
	}
	goleak.VerifyTestMain(m)
}

// world is a table in a database and a broker.
type world struct {
	*testing.T
	db      *sql.DB
	dialect outbox.Dialect
	box     *outbox.Outbox
	broker  *brokerlite.Broker
	client  *rocketkit.Client
	send    *producer.Producer
}

// onEach runs a check on a table of its own in every database that there is.
func onEach(t *testing.T, check func(w *world)) {
	t.Helper()
	for _, d := range testdb.All() {
		t.Run(d.Dialect.String(), func(t *testing.T) {
			t.Parallel()
			check(newWorld(t, d.Open(t), d.Dialect))
		})
	}
}

func newWorld(t *testing.T, db *sql.DB, d outbox.Dialect) *world {
	t.Helper()
	w := &world{T: t, db: db, dialect: d}
	var err error
	w.box, err = outbox.New(d, outbox.Table("box"))
	w.no(err)
	for range 2 { // the second finds the tables there
		w.no(w.box.CreateTable(t.Context(), w.db))
	}
	w.broker, err = brokerlite.Start(t.Context(), brokerlite.InMemory())
	w.no(err)
	w.client, err = rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{w.broker.NameServer()}})
	w.no(err)
	w.send, err = w.client.NewProducer("shop")
	w.no(err)
	t.Cleanup(func() {
		if err := errors.Join(w.client.Close(), w.broker.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) no(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// add commits messages in a transaction of their own.
func (w *world) add(ms ...*message.Message) {
	w.Helper()
	tx, err := w.db.BeginTx(w.Context(), nil)
	w.no(err)
	w.no(w.box.Add(w.Context(), tx, ms...))
	w.no(tx.Commit())
}

func text(body, key string) *message.Message {
	return message.New("orders", []byte(body), message.ShardingKey(key))
}

// relay starts a relay that ends with the test, unless it is drained before.
func (w *world) relay(s outbox.Sender, opts ...outbox.RelayOption) *outbox.Relay {
	w.Helper()
	r, err := w.box.NewRelay(w.db, s, append([]outbox.RelayOption{outbox.Poll(10 * time.Millisecond), outbox.Backoff(10*time.Millisecond, 40*time.Millisecond)}, opts...)...)
	w.no(err)
	w.no(r.Start(w.Context()))
	w.Cleanup(func() { w.drain(r) })
	return r
}

func (w *world) drain(r *outbox.Relay) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		w.Error(err)
	}
}

// until waits for a condition.
func (w *world) until(what string, met func() bool) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); !met(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("waited in vain until %s", what)
		}
	}
}

// rows counts the rows of a state.
func (w *world) rows(state int) (n int) {
	w.Helper()
	w.no(w.db.QueryRowContext(w.Context(), fmt.Sprintf("SELECT count(*) FROM %s WHERE state = %d", "box", state)).Scan(&n))
	return n
}

const (
	statePending = 0
	stateSent    = 1
	stateParked  = 2
)

// journal is a sender that notes what another has sent, and does what it is told before.
type journal struct {
	to     outbox.Sender
	before func(m *message.Message) error // may be nil

	mu   sync.Mutex // guards the following
	sent []*message.Message
}

func (j *journal) Send(ctx context.Context, m *message.Message) (message.SendResult, error) {
	if j.before != nil {
		if err := j.before(m); err != nil {
			return message.SendResult{}, err
		}
	}
	r, err := j.to.Send(ctx, m)
	if err == nil {
		j.mu.Lock()
		j.sent = append(j.sent, m)
		j.mu.Unlock()
	}
	return r, err
}

// bodies of what was sent, by sharding key.
func (j *journal) bodies() map[string][]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make(map[string][]string)
	for _, m := range j.sent {
		all[m.ShardingKey] = append(all[m.ShardingKey], string(m.Body))
	}
	return all
}

// What commits arrives, as it was; what is rolled back does not.
func TestWhatIsCommittedIsSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		got := make(chan *message.Delivery, 9)
		mux := consumer.NewMux("pay", consumer.From(consumer.First))
		consumer.HandleRaw(mux, "orders", func(_ context.Context, d *message.Delivery) error {
			got <- d
			return nil
		})
		c, err := w.client.NewConsumer(mux)
		w.no(err)
		w.no(c.Start(w.Context()))
		w.relay(w.send)
		tx, err := w.db.BeginTx(w.Context(), nil)
		w.no(err)
		w.no(w.box.Add(w.Context(), tx, text("is rolled back", "")))
		w.no(tx.Rollback())
		body := string([]byte{0, 1, 0xff}) + "Grüße ?"
		m := message.New("orders", []byte(body), message.Tag("paid"), message.Key("k1", "k2"), message.ShardingKey("s'?"), message.Property("region", "eu?"))
		w.add(m)
		if len(m.Properties) != 1 {
			w.Errorf("the message was changed: %v", m.Properties)
		}
		d := <-got
		if string(d.Body) != body || d.Tag != "paid" || !slices.Equal(d.Keys(), []string{"k1", "k2"}) || d.ShardingKey() != "s'?" || d.Property("region") != "eu?" || d.Property(dedup.IDProperty) == "" {
			w.Errorf("%s %q", d, slices.Collect(func(yield func(string) bool) {
				for k, v := range d.Properties() {
					if !yield(k + "=" + v) {
						return
					}
				}
			}))
		}
		w.until("it is noted", func() bool { return w.rows(stateSent) == 1 && w.rows(statePending) == 0 })
		w.no(c.Drain(w.Context()))
		if len(got) > 0 {
			w.Errorf("%d more arrived", len(got))
		}
	})
}

// A message that fails holds up those of its key, and nobody else.
func TestMessagesOfAKeyAreSentInTheirOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		var mu sync.Mutex
		failures := map[string]int{"a1": 3, "b2": 1, "c0": 2}
		j := &journal{to: w.send, before: func(m *message.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if failures[string(m.Body)] > 0 {
				failures[string(m.Body)]--
				return fmt.Errorf("%s: %w", m.Body, message.ErrOutcomeUnknown)
			}
			return nil
		}}
		want := make(map[string][]string)
		for i := range 20 {
			for _, key := range []string{"a", "b", "c", "A"} {
				w.add(text(fmt.Sprint(key, i), key))
				want[key] = append(want[key], fmt.Sprint(key, i))
			}
			w.add(text("none", ""))
			want[""] = append(want[""], "none")
		}
		w.relay(j, outbox.Batch(7), outbox.Concurrency(3))
		w.until("all is sent", func() bool { return w.rows(stateSent) == 100 })
		if d := cmp.Diff(want, j.bodies()); d != "" {
			w.Error(d)
		}
	})
}

// What cannot be sent is parked, and those behind it go on; so is what has had its
// attempts. It can be looked at and sent again.
func TestWhatCannotBeSentIsParked(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		var fixed sync.Map
		j := &journal{to: w.send, before: func(m *message.Message) error {
			_, ok := fixed.Load("")
			switch {
			case ok:
				return nil
			case string(m.Body) == "is refused":
				return &message.BrokerError{Code: 13, Name: "MESSAGE_ILLEGAL", Remark: strings.Repeat("é", 3000) + "\x00"}
			case string(m.Body) == "fails":
				return errors.New("down")
			}
			return nil
		}}
		w.add(text("is refused", "k"), text("is next", "k"), text("fails", ""))
		w.relay(j, outbox.MaxAttempts(3))
		w.until("two are parked", func() bool { return w.rows(stateParked) == 2 && w.rows(stateSent) == 1 })
		all, err := w.box.Parked(w.Context(), w.db, 10)
		w.no(err)
		if len(all) != 2 || string(all[0].Message.Body) != "is refused" || all[0].Attempts != 1 || !strings.Contains(all[0].Err, "MESSAGE_ILLEGAL") ||
			string(all[1].Message.Body) != "fails" || all[1].Attempts != 3 || all[1].Err != "down" || time.Since(all[1].Added) > time.Minute {
			w.Errorf("%+v", all)
		}
		fixed.Store("", true)
		if n, err := w.box.Unpark(w.Context(), w.db, all[1].ID, -1); n != 1 || err != nil {
			w.Errorf("%d, %v", n, err)
		}
		w.until("one is sent", func() bool { return w.rows(stateSent) == 2 })
		if n, err := w.box.Unpark(w.Context(), w.db); n != 1 || err != nil {
			w.Errorf("%d, %v", n, err)
		}
		w.until("both are sent", func() bool { return w.rows(stateSent) == 3 })
		if d := cmp.Diff(map[string][]string{"k": {"is next", "is refused"}, "": {"fails"}}, j.bodies()); d != "" {
			w.Error(d)
		}
	})
}

func TestWhatWasSentIsDeletedAfterItsRetention(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		kept := w.relay(w.send, outbox.Retention(time.Hour))
		w.add(text("a", ""), text("b", ""))
		w.until("both are sent", func() bool { return w.rows(stateSent) == 2 })
		w.drain(kept)
		short := w.relay(w.send, outbox.Retention(time.Millisecond))
		w.until("both are gone", func() bool { return w.rows(stateSent) == 0 })
		w.drain(short)
		none := w.relay(w.send, outbox.Retention(0))
		w.add(text("c", ""))
		w.until("it is gone", func() bool { return w.rows(statePending)+w.rows(stateSent) == 0 })
		w.drain(none)
	})
}

// One relay works at a time. One that drains hands over at once, one that is gone without
// a word when its lease is over.
func TestRelaysTakeTurns(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		var mu sync.Mutex
		at, both := "", false
		by := func(name string) *journal {
			return &journal{to: w.send, before: func(*message.Message) error {
				mu.Lock()
				both = both || at != "" && at != name
				at = name
				mu.Unlock()
				return nil
			}}
		}
		first, second := by("first"), by("second")
		a := w.relay(first, outbox.Lease(time.Hour))
		w.add(text("1", "k"))
		w.until("the first has sent", func() bool { return w.rows(stateSent) == 1 })
		b := w.relay(second, outbox.Lease(time.Hour))
		for i := range 20 {
			w.add(text(fmt.Sprint(i+2), "k"))
		}
		w.until("all is sent", func() bool { return w.rows(stateSent) == 21 })
		mu.Lock()
		if both || len(second.bodies()) > 0 {
			w.Error("the second sent while the first had the lease")
		}
		at = ""
		mu.Unlock()
		w.drain(a)
		w.add(text("22", "k"))
		w.until("the second has sent", func() bool { return w.rows(stateSent) == 22 })
		w.drain(b)
		_, err := w.db.ExecContext(w.Context(), "UPDATE box_lease SET owner = 'vanished', beat = 99")
		w.no(err)
		began := time.Now()
		w.add(text("23", "k"))
		w.relay(by("third"), outbox.Lease(300*time.Millisecond))
		w.until("the third has sent", func() bool { return w.rows(stateSent) == 23 })
		if took := time.Since(began); took < 300*time.Millisecond {
			w.Errorf("the lease of one that vanished was taken after %s", took)
		}
	})
}

// A drain waits for what is under way, and its deadline cuts that off; nothing is lost.
func TestADrainFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		entered, hold := make(chan struct{}), make(chan struct{})
		var once sync.Once
		j := &journal{to: w.send, before: func(*message.Message) error {
			once.Do(func() { close(entered); <-hold })
			return nil
		}}
		r := w.relay(j)
		w.add(text("1", "k"), text("2", "k"))
		<-entered
		drained := make(chan error)
		go func() { drained <- r.Drain(context.Background()) }()
		select {
		case err := <-drained:
			w.Errorf("it did not wait: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		close(hold)
		w.no(<-drained)
		if w.rows(stateSent) != 1 || w.rows(statePending) != 1 {
			w.Errorf("%d sent, %d left", w.rows(stateSent), w.rows(statePending))
		}
		if err := r.Start(w.Context()); !errors.Is(err, message.ErrClosed) {
			w.Errorf("it starts again: %v", err)
		}
		sending := make(chan struct{}, 1)
		stuck := outboxSender(func(ctx context.Context, _ *message.Message) (message.SendResult, error) {
			sending <- struct{}{}
			<-ctx.Done()
			return message.SendResult{}, ctx.Err()
		})
		cut, err := w.box.NewRelay(w.db, stuck)
		w.no(err)
		w.no(cut.Start(w.Context()))
		<-sending
		ctx, cancel := context.WithTimeout(w.Context(), 50*time.Millisecond)
		defer cancel()
		if err := cut.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || w.rows(statePending) != 1 {
			w.Errorf("%v, %d left", err, w.rows(statePending))
		}
		w.relay(w.send)
		w.until("the rest is sent", func() bool { return w.rows(stateSent) == 2 })
	})
}

type outboxSender func(context.Context, *message.Message) (message.SendResult, error)

func (f outboxSender) Send(ctx context.Context, m *message.Message) (message.SendResult, error) {
	return f(ctx, m)
}

func TestMistakesAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := outbox.New(9, outbox.Table("1st"))
	wants(t, err, "Dialect(9) is not known", `table "1st"`)
	box, err := outbox.New(outbox.SQLite)
	wants(t, err)
	_, err = box.NewRelay(nil, nil, outbox.Batch(0), outbox.Concurrency(0), outbox.Poll(0), outbox.Lease(0), outbox.Retention(-1), outbox.Backoff(0, 0), outbox.MaxAttempts(-1))
	wants(t, err, "db is nil", "sender is nil", "Batch(0)", "Concurrency(0)", "Poll(0s)", "Lease(0s)", "Retention(-1ns)", "Backoff(0s, 0s)", "MaxAttempts(-1)")
	db := testdb.Use(t, "sqlite", testdb.SQLite(filepath.Join(t.TempDir(), "db")))
	err = box.Add(t.Context(), db, nil, message.New("orders", nil), message.New("", []byte("x")), text("fits", ""))
	wants(t, err, "message 1 is nil", "empty message body", "invalid topic")
	r, err := box.NewRelay(db, outboxSender(nil))
	wants(t, err)
	wants(t, r.Start(t.Context()), "rocketkit_outbox", "CreateTable")
	wants(t, r.Drain(t.Context()))
}

// wants looks for all texts in an error; none is for no error.
func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	if len(texts) == 0 && err != nil {
		t.Fatal(err)
	}
	for _, want := range texts {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
