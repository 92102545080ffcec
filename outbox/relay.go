package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Defaults, as documented at each option.
const (
	defaultBatch       = 100
	defaultConcurrency = 16
	defaultPoll        = time.Second
	defaultLease       = 30 * time.Second
	defaultRetention   = 24 * time.Hour
	defaultBackoff     = time.Second
	defaultMaxBackoff  = 5 * time.Minute

	maxBatch    = 1000     // placeholders of one statement
	purgeAtOnce = 1000     // rows
	maxBytes    = 16 << 20 // of rows that are read at once
	purgeEvery  = time.Second
	// noteTime bounds what is noted after sends whose time may be over.
	noteTime = 5 * time.Second
	// cutTime is how long a drain that was cut short waits for sends that end with it.
	cutTime = time.Second
)

// Sender sends messages: a *producer.Producer.
type Sender interface {
	Send(ctx context.Context, m *message.Message) (message.SendResult, error)
}

// Relay sends the messages of an Outbox. Make it with Outbox.NewRelay. It is a
// rocketkit.Runner, to stand behind its producer in rocketkit.Run, and is used once.
type Relay struct {
	box    *Outbox
	db     *sql.DB
	sender Sender
	cfg    relayOptions
	lease  *lease
	wake   chan struct{} // holds one

	life context.Context // ends when a drain is cut short: sends under way end
	cut  context.CancelFunc

	purged  time.Time // the loop's
	working bool      // the loop's: it had the lease last time

	sending atomic.Int64 // sends under way

	mu       sync.Mutex // guards the following
	started  bool
	stopping bool
	stop     chan struct{} // closed by the first Drain
	ended    chan struct{} // closed when the loop has ended; endErr is final then
	endErr   error
}

type relayOptions struct {
	batch, concurrency, maxAttempts int
	poll, lease, retention          time.Duration
	backoff, maxBackoff             time.Duration
	log                             *slog.Logger
}

// RelayOption sets something of a Relay.
type RelayOption func(*relayOptions)

// Batch is how many messages are read at once, 1 to 1000; 100 by default. So many at
// most are sent again after a crash. Of large ones it is fewer: 16 MiB, or one.
func Batch(n int) RelayOption { return func(o *relayOptions) { o.batch = n } }

// Concurrency is how many sends are under way at once; 16 by default. Of one sharding key
// it is always one.
func Concurrency(n int) RelayOption { return func(o *relayOptions) { o.concurrency = n } }

// Poll is how long the relay waits for messages when there were none; 1 s by default.
// Relay.Notify ends the wait.
func Poll(d time.Duration) RelayOption { return func(o *relayOptions) { o.poll = d } }

// Lease is how long a relay that vanished keeps others from working; 30 s by default. No
// batch takes longer: sends that are under way by then end. It should be several of the
// producer's SendTimeout.
func Lease(d time.Duration) RelayOption { return func(o *relayOptions) { o.lease = d } }

// Retention is how long the rows of messages that were sent are kept; 24 h by default, and
// 0 deletes them when they are sent.
func Retention(d time.Duration) RelayOption { return func(o *relayOptions) { o.retention = d } }

// Backoff is the delay after a message's first failure, 1 s by default, and the longest,
// 5 minutes: it doubles with each, less up to a fifth at random.
func Backoff(first, longest time.Duration) RelayOption {
	return func(o *relayOptions) { o.backoff, o.maxBackoff = first, longest }
}

// MaxAttempts parks a message after so many failed sends, whatever their reason, and lets
// those behind it go on; by default, 0, it is tried without end.
func MaxAttempts(n int) RelayOption { return func(o *relayOptions) { o.maxAttempts = n } }

// Logger takes the relay's logs; nothing is logged without one.
func Logger(l *slog.Logger) RelayOption { return func(o *relayOptions) { o.log = l } }

func (o *relayOptions) validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(o.batch < 1 || o.batch > maxBatch, "Batch(%d): 1 to %d", o.batch, maxBatch)
	refuse(o.concurrency < 1, "Concurrency(%d): at least 1", o.concurrency)
	refuse(o.poll <= 0, "Poll(%s): must be positive", o.poll)
	refuse(o.lease < 10*time.Millisecond, "Lease(%s): at least 10ms", o.lease)
	refuse(o.retention < 0, "Retention(%s): must not be negative; 0 deletes what was sent", o.retention)
	refuse(o.backoff < time.Millisecond || o.maxBackoff < o.backoff, "Backoff(%s, %s): at least 1ms, and the longest no shorter than the first", o.backoff, o.maxBackoff)
	refuse(o.maxAttempts < 0, "MaxAttempts(%d): must not be negative; 0 tries without end", o.maxAttempts)
	return errors.Join(errs...)
}

// NewRelay makes a relay of the outbox in db, which stays the caller's like sender. All
// mistakes are reported, joined. Nothing is read before Start.
func (o *Outbox) NewRelay(db *sql.DB, sender Sender, opts ...RelayOption) (*Relay, error) {
	cfg := relayOptions{
		batch: defaultBatch, concurrency: defaultConcurrency, poll: defaultPoll, lease: defaultLease,
		retention: defaultRetention, backoff: defaultBackoff, maxBackoff: defaultMaxBackoff,
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&cfg)
		}
	}
	err := cfg.validate()
	if db == nil {
		err = errors.Join(errors.New("db is nil; open a database"), err)
	}
	if sender == nil {
		err = errors.Join(errors.New("sender is nil; give a producer"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("relay of outbox %s: %w", o.table, err)
	}
	if cfg.log == nil {
		cfg.log = slog.New(slog.DiscardHandler)
	}
	cfg.log = cfg.log.With("outbox", o.table)
	r := &Relay{
		box: o, db: db, sender: sender, cfg: cfg, lease: newLease(o, db, cfg.lease),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	r.life, r.cut = context.WithCancel(context.Background())
	return r, nil
}

// Start begins to relay and returns at once. It fails when the tables cannot be read. A
// second Start does nothing; one after Drain is message.ErrClosed.
func (r *Relay) Start(ctx context.Context) error {
	r.mu.Lock()
	begun, over := r.started, r.stopping
	r.mu.Unlock()
	switch {
	case over:
		return fmt.Errorf("relay of outbox %s: %w: a relay starts once; make a new one", r.box.table, message.ErrClosed)
	case begun:
		return nil
	}
	var n int
	if err := r.db.QueryRowContext(ctx, "SELECT count(*) FROM "+r.box.table+" WHERE id < 0").Scan(&n); err != nil {
		return fmt.Errorf("relay of outbox %s (%s): %w; make its tables with CreateTable", r.box.table, r.box.dialect, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started && !r.stopping {
		r.started = true
		go r.run()
	}
	return nil
}

// Notify has the relay look for messages now: after a commit in the same process, say. It
// never blocks.
func (r *Relay) Notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Drain finishes the sends that are under way, notes them and gives the lease back. What
// is not sent stays in the table. When ctx ends first the sends are cut off, and made
// again later. A second later Drain returns in any case: its error says how many sends do
// not heed their ctx. They and the lease are the relay's until they return.
func (r *Relay) Drain(ctx context.Context) error {
	r.mu.Lock()
	started := r.started
	if !r.stopping {
		r.stopping = true
		close(r.stop)
		if !started {
			close(r.ended)
		}
	}
	r.mu.Unlock()
	defer r.cut()
	select {
	case <-r.ended:
		return r.endErr
	case <-ctx.Done():
	}
	r.cut()
	late := time.NewTimer(cutTime)
	defer late.Stop()
	select {
	case <-r.ended:
		return errors.Join(fmt.Errorf("relay of outbox %s: sends were cut off: %w", r.box.table, ctx.Err()), r.endErr)
	case <-late.C:
	}
	if n := r.sending.Load(); n > 0 {
		return fmt.Errorf("relay of outbox %s: the sender does not heed its context, and sends go on (%d): "+
			"the lease is given back when they return: %w", r.box.table, n, ctx.Err())
	}
	return fmt.Errorf("relay of outbox %s: sends were cut off, and the database takes long to note it: %w", r.box.table, ctx.Err())
}

// run is the relay's loop.
func (r *Relay) run() {
	defer close(r.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-r.stop:
			ctx, cancel := context.WithTimeout(context.Background(), noteTime)
			defer cancel()
			r.endErr = r.lease.giveBack(ctx)
			return
		case <-timer.C:
		case <-r.wake:
		}
		more, err := r.round()
		wait := r.cfg.poll
		switch {
		case err != nil:
			failures++
			wait = r.pause(failures)
			r.cfg.log.Error("outbox is not relayed", "error", err, "next", "again in "+wait.String())
		case more:
			failures, wait = 0, 0
		default:
			failures = 0
		}
		timer.Reset(wait)
	}
}

// pause is the delay after so many failures.
func (r *Relay) pause(failures int) time.Duration {
	d := r.cfg.maxBackoff
	if n := failures - 1; r.cfg.backoff < d>>min(n, 62) { // nothing overflows
		d = r.cfg.backoff << n
	}
	return d - time.Duration(rand.Float64()*float64(d)/5)
}

// round sends what is due, a batch at most; more says that there may be more at once.
func (r *Relay) round() (more bool, err error) {
	ctx, cancel := context.WithTimeout(r.life, r.cfg.lease)
	defer cancel()
	held, err := r.lease.hold(ctx)
	if held != r.working {
		r.working = held
		r.cfg.log.Info(map[bool]string{true: "this relay works", false: "another relay works, or none"}[held])
	}
	if err != nil || !held {
		return false, err
	}
	rows, others, err := r.box.due(ctx, r.db, r.cfg.batch)
	if err != nil {
		return false, err
	}
	if len(rows) > 0 {
		// A slow database has used up some of the lease.
		if held, err := r.lease.hold(ctx); err != nil || !held {
			return false, err
		}
		if err := r.relay(rows); err != nil {
			return false, err
		}
	}
	if r.cfg.retention > 0 && time.Since(r.purged) >= purgeEvery {
		if more, err = r.box.purge(ctx, r.db, time.Now().Add(-r.cfg.retention)); !more { // else the next round goes on
			r.purged = time.Now()
		}
	}
	return more || others, err
}

// relay sends a batch while the lease is held, and notes what became of it.
func (r *Relay) relay(rows []row) error {
	// A tenth of the lease is left for requests that end late.
	ctx, cancel := context.WithDeadline(r.life, r.lease.until.Add(-r.cfg.lease/10))
	defer cancel()
	b := batch{relay: r, ctx: ctx}
	var lanes [][]row // each in its order
	byName := make(map[string]int)
	for _, row := range rows {
		at, known := byName[row.lane]
		if !known || row.lane == "" {
			at = len(lanes)
			lanes, byName[row.lane] = append(lanes, nil), at
		}
		lanes[at] = append(lanes[at], row)
	}
	next := make(chan []row)
	var workers sync.WaitGroup
	for range min(r.cfg.concurrency, len(lanes)) {
		workers.Go(func() {
			for lane := range next {
				b.send(lane)
			}
		})
	}
	for _, lane := range lanes {
		next <- lane
	}
	close(next)
	workers.Wait()
	return b.note()
}
