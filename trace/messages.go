package trace

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// MessageTopic is where RocketMQ's clients write their message trace unless they are
// told another topic. Brokers have it with traceTopicEnable=true.
const MessageTopic = "RMQ_SYS_TRACE_TOPIC"

// MessageSender sends the messages of a message trace. A *producer.Producer is one.
type MessageSender interface {
	Send(ctx context.Context, m *message.Message) (message.SendResult, error)
}

// MessageOptions make a MessageTracer.
type MessageOptions struct {
	// Sender sends the records; without one there is no MessageTracer. It belongs to
	// who made it, and must not be traced itself.
	Sender MessageSender
	// Topic is where they go, MessageTopic by default.
	Topic string
	// Logger is told of records that are lost, once a minute at most.
	Logger *slog.Logger
}

// Limits of what waits to be sent. A message ends with the record that reaches one of
// the first two; its keys must fit in its properties, which are 32 KiB.
const (
	traceBody   = 64 << 10
	traceKeys   = 16 << 10
	longKeys    = 8 << 10 // a record's own; longer ones are not the message's
	traceQueued = 32      // messages, more are dropped
)

// Times of sending.
const (
	traceLinger       = time.Second // how long a record waits for others
	traceReports      = time.Minute // between two complaints
	tracePause        = time.Second // after a failure; doubled after each
	longestTracePause = time.Minute
)

// MessageTracer writes RocketMQ's own message trace: records of sends, handler runs,
// transactions and recalls, in the words of Java's TraceDataEncoder, which mqadmin
// queryMsgTraceById and the dashboard read. A nil MessageTracer writes none. It is safe
// for concurrent use.
//
// Records are gathered, and one goroutine sends them. A tracer never holds anybody up:
// what the buffer of about 2.5 MiB has no room for, and what cannot be sent, is dropped
// and logged.
type MessageTracer struct {
	topic  string
	sender MessageSender
	log    *slog.Logger
	prefix [8]byte       // of request ids, this tracer's own
	next   atomic.Uint64 // request id

	ctx    context.Context // ends what is being sent
	cancel context.CancelFunc
	wake   chan struct{}   // capacity 1: there is something to look at
	drain  chan struct{}   // closed by the first Drain
	done   chan struct{}   // closed when the goroutine has ended
	seen   map[string]bool // keys of a message; the goroutine's

	mu       sync.Mutex // guards the following
	filling  traceBatch
	full     []traceBatch
	spare    []traceBatch // emptied
	overflow int          // records that found no room, since the last report
	closed   bool
}

// traceBatch is the records of one message.
type traceBatch struct {
	body  []byte
	keys  []byte // with a blank behind each
	n     int
	since time.Time // of the first
}

// NewMessageTracer starts a MessageTracer, nil when o has no Sender. Drain ends it.
func NewMessageTracer(o MessageOptions) *MessageTracer {
	if o.Sender == nil {
		return nil
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &MessageTracer{
		topic: cmp.Or(o.Topic, MessageTopic), sender: o.Sender, log: o.Logger,
		seen: make(map[string]bool), wake: make(chan struct{}, 1), drain: make(chan struct{}), done: make(chan struct{}),
	}
	for i, seed := 0, rand.Uint64(); i < len(t.prefix); i++ {
		t.prefix[i] = byte(seed >> (8 * i))
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go t.run()
	return t
}

// Drain takes no more records, sends those that wait, and ends the tracer. When ctx
// ends first the rest is dropped, logged, and the error says so. It may be called again.
func (t *MessageTracer) Drain(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.drain)
	}
	t.mu.Unlock()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
	}
	t.cancel()
	<-t.done
	return fmt.Errorf("message trace: the last records are lost: %w", ctx.Err())
}

// requestID is what a SubBefore and its SubAfter have in common.
type requestID [32]byte

func (t *MessageTracer) newRequest() requestID {
	var raw [16]byte
	copy(raw[:], t.prefix[:])
	n := t.next.Add(1)
	for i := range 8 {
		raw[15-i] = byte(n >> (8 * i))
	}
	var id requestID
	hex.Encode(id[:], raw[:])
	return id
}

// skips reports that messages of a topic are not traced: those of the trace itself.
func (t *MessageTracer) skips(topic string) bool { return topic == t.topic }

// add takes a record, or drops it.
func (t *MessageTracer) add(r *protocol.TraceRecord) {
	if r.Region == "" {
		r.Region = "DefaultRegion"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.full) == traceQueued {
		t.overflow++
		return
	}
	b := &t.filling
	if b.n == 0 {
		b.since = time.Now()
		t.poke()
	}
	b.n++
	b.body = protocol.AppendTraceRecord(b.body, r)
	for _, keys := range [...]string{r.MsgID, r.Keys} {
		if keys != "" && len(keys) <= longKeys { // foreign producers choose their ids, too
			b.keys = append(append(b.keys, keys...), ' ')
		}
	}
	if len(b.body) < traceBody && len(b.keys) < traceKeys {
		return
	}
	t.full = append(t.full, *b)
	if n := len(t.spare); n > 0 {
		*b, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		*b = traceBatch{body: make([]byte, 0, traceBody+traceBody/8), keys: make([]byte, 0, traceKeys+traceKeys/8)}
	}
	t.poke()
}

func (t *MessageTracer) draining() bool {
	select {
	case <-t.drain:
		return true
	default:
		return false
	}
}

func (t *MessageTracer) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// take is the next batch to send: one that is full, or has waited long enough, or any
// in the end. Without one, wait says when to look again, 0 for when there is a record.
func (t *MessageTracer) take() (b traceBatch, wait time.Duration, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.full) > 0:
		b = t.full[0]
		t.full = append(t.full[:0], t.full[1:]...)
	case t.filling.n == 0:
		return b, 0, t.closed
	default:
		if wait = traceLinger - time.Since(t.filling.since); wait > 0 && !t.closed {
			return b, wait, false
		}
		b, t.filling = t.filling, traceBatch{}
	}
	return b, 0, false
}

// recycle keeps the room of a batch that was sent for another one. A driver may still
// read one that was not (rocketmq-client-go goes on after its ctx has ended).
func (t *MessageTracer) recycle(b traceBatch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const kept = 2
	if len(t.spare) < kept {
		t.spare = append(t.spare, traceBatch{body: b.body[:0], keys: b.keys[:0]})
	}
}

// traceLosses is what the goroutine has to complain about.
type traceLosses struct {
	failed   int // records of messages that could not be sent
	err      error
	reported time.Time
}

// run sends what has been gathered until Drain.
func (t *MessageTracer) run() {
	defer close(t.done)
	defer t.cancel()
	var lost traceLosses
	pause := tracePause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		b, wait, over := t.take()
		if over {
			t.report(&lost, true)
			return
		}
		if b.n == 0 {
			t.await(timer, wait)
			continue
		}
		if err := t.send(&b); err != nil {
			lost.failed, lost.err = lost.failed+b.n, err
			if !t.draining() {
				t.report(&lost, false)
			}
			t.rest(timer, pause)
			pause = min(2*pause, longestTracePause)
		} else {
			pause = tracePause
			t.report(&lost, false)
			t.recycle(b)
		}
	}
}

// await waits for records, or until those that wait are due.
func (t *MessageTracer) await(timer *time.Timer, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		timer.Reset(wait)
		due = timer.C
	}
	select {
	case <-t.wake:
	case <-due:
	case <-t.drain:
	}
}

// rest is the pause after a failure. Once the tracer is draining nothing is tried after
// one: what is left is lost.
func (t *MessageTracer) rest(timer *time.Timer, pause time.Duration) {
	timer.Reset(pause)
	select {
	case <-timer.C:
		return
	case <-t.drain:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range append(t.full, t.filling) {
		t.overflow += b.n
	}
	t.full, t.filling = nil, traceBatch{}
}

// send sends one message of records; a panic is its error.
func (t *MessageTracer) send(b *traceBatch) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the sender panicked: %v\n%s", v, debug.Stack())
		}
	}()
	clear(t.seen)
	m := message.New(t.topic, b.body)
	m.Keys = make([]string, 0, b.n)
	for k := range strings.FieldsSeq(string(b.keys)) {
		if !t.seen[k] && !strings.ContainsAny(k, "\x01\x02") { // of foreign producers
			t.seen[k] = true
			m.Keys = append(m.Keys, k)
		}
	}
	_, err = t.sender.Send(t.ctx, m)
	return err
}

var errTraceFull = errors.New("more was traced than could be sent")

// report logs what was lost, in the end or when the last time was long ago.
func (t *MessageTracer) report(lost *traceLosses, last bool) {
	if !last && !lost.reported.IsZero() && time.Since(lost.reported) < traceReports {
		return
	}
	t.mu.Lock()
	n := lost.failed + t.overflow
	t.overflow = 0
	t.mu.Unlock()
	if n == 0 {
		return
	}
	err := lost.err
	if err == nil {
		err = errTraceFull
	}
	t.log.Warn("records of the message trace are lost; messages are not affected", "topic", t.topic, "records", n, "error", err,
		"remedy", "the trace topic must exist (traceTopicEnable=true in the broker's configuration) and be writable for this client")
	*lost = traceLosses{reported: time.Now()}
}
