package store

import (
	"runtime"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// appender owns the commit log: it alone writes records and decides offsets.
// Started by Open; ends when the intake is closed and all is answered.
//
// A turn takes all that is queued, gathers it into batches, and writes each
// batch at once. Without SyncFlush a batch is published and answered then; with
// it, the batch waits in items for the flusher, while the next is written, and
// one sync serves all that was written before it began.
type appender struct {
	s   *Store
	w   logWriter
	now func() time.Duration // since Open, monotonic

	work []*Append // taken from the intake
	next int       // the first of work that has no place yet

	items   fifo[placed] // placed, not yet published
	entries fifo[byte]   // their consume queue entries
	total   int64        // consume queue entries of all that is written
	stamp   int64        // store time of this turn, ms

	durable mark // synced
	syncing bool // the flusher is at work
	rolling bool // the file is full: nothing is written until it is synced

	timer    *time.Timer
	armed    bool
	ctl      chan control
	controls []control // wait until all is published and synced
	failed   error
	ended    chan struct{}
}

// placed is an append with a place in the log. a is nil when it was answered
// before its sync had ended.
type placed struct {
	a        *Append
	q        *queue
	offset   int64 // first queue offset
	phys     int64
	end      int64 // physical offset behind it
	records  int
	bytes    int64
	stamp    int64
	deadline time.Duration
}

// control is a function to run between two batches, when all that was written
// is published and durable; again when it has set rolling.
type control struct {
	run  func() error
	done chan error // of capacity 1
}

func (p *appender) run() {
	defer close(p.ended)
	defer p.timer.Stop()
	for {
		if p.step() {
			p.poll()
			continue
		}
		if p.over() {
			return
		}
		p.wait()
	}
}

// step does what can be done now, and reports whether there may be more.
func (p *appender) step() bool {
	switch {
	case p.rolling:
		return false
	case len(p.controls) > 0:
		return p.runControls()
	case p.next == len(p.work):
		if !p.take() {
			return false
		}
	}
	p.stamp = p.s.opt.Now().UnixMilli()
	p.writeWork()
	return true
}

func (p *appender) take() bool {
	clear(p.work)
	// The producers that were just answered, or are about to call, run first:
	// a batch of many costs little more than a batch of one.
	runtime.Gosched()
	p.work = p.s.in.swap(p.work[:0])
	p.next = 0
	return len(p.work) > 0
}

// over reports whether the store is closed and nothing is left to do.
func (p *appender) over() bool {
	if p.next < len(p.work) || len(p.controls) > 0 || p.syncing || !p.s.in.drained() {
		return false
	}
	if p.failed == nil && p.durable.phys < p.w.end {
		p.requestSync()
		return false
	}
	return p.items.len() == 0
}

func (p *appender) wait() {
	select {
	case <-p.s.in.wake:
	case r := <-p.s.flusher.results:
		p.synced(r)
	case <-p.timer.C:
		p.timedOut()
	case c := <-p.ctl:
		p.controls = append(p.controls, c)
	}
}

// poll takes what has happened while there was work.
func (p *appender) poll() {
	for {
		select {
		case r := <-p.s.flusher.results:
			p.synced(r)
		case <-p.timer.C:
			p.timedOut()
		case c := <-p.ctl:
			p.controls = append(p.controls, c)
		default:
			return
		}
	}
}

// writeWork places and writes what was taken, until it is done or the file is
// full.
func (p *appender) writeWork() {
	for p.next < len(p.work) && !p.rolling {
		a := p.work[p.next]
		if err := p.ready(len(a.Records)); err != nil {
			p.next++
			p.refuse(a, err)
			continue
		}
		if p.rolling {
			break
		}
		room, phys := p.w.reserve(len(a.Records))
		if room == nil {
			p.writeBatch()
			continue
		}
		p.place(a, room, phys)
		p.next++
	}
	p.writeBatch()
	p.settleLater()
}

// ready sees to it that the log takes n bytes. It sets rolling when they must
// wait for a new file.
func (p *appender) ready(n int) error {
	if p.failed != nil {
		return p.failed
	}
	if p.w.file == nil {
		return p.check(p.w.openNext())
	}
	if p.w.fits(n) {
		return nil
	}
	p.writeBatch()
	if p.failed != nil {
		return p.failed
	}
	if p.w.fits(n) { // the batch was lost
		return nil
	}
	if err := p.check(p.w.seal()); err != nil {
		return err
	}
	p.rolling = true
	p.requestSync()
	return nil
}

// check passes err on, after stopping the store when it is a failed sync.
func (p *appender) check(err error) error {
	if isFailure(err) {
		p.fail(err)
	}
	return err
}

// place copies an append's records into the batch and gives them their offsets.
func (p *appender) place(a *Append, room []byte, phys int64) {
	copy(room, a.Records)
	q := p.s.queues.getOrAdd(a.Topic, a.QueueID)
	it := placed{a: a, q: q, offset: q.next, phys: phys, records: len(a.TagsCodes),
		bytes: int64(len(a.Records)), end: phys + int64(len(a.Records)), stamp: p.stamp}
	for _, tagsCode := range a.TagsCodes {
		size := recordSize(room)
		protocol.PlaceRecord(room[:size], q.next, phys, p.stamp)
		p.entries.buf = appendEntry(p.entries.buf, phys, int32(size), tagsCode, checksum(room[:size]))
		q.next++
		room, phys = room[size:], phys+int64(size)
	}
	p.items.buf = append(p.items.buf, it)
}

// writeBatch writes what is gathered, and publishes it unless it must wait for
// its sync.
func (p *appender) writeBatch() {
	if p.w.gathered() == 0 {
		return
	}
	from := p.w.end
	if err := p.w.write(); err != nil {
		p.unplace(from, err)
		return
	}
	list := p.items.rest()
	deadline := p.now() + p.s.opt.SyncFlushTimeout
	for i := len(list) - 1; i >= 0 && list[i].phys >= from; i-- {
		list[i].deadline = deadline
		p.total += int64(list[i].records)
	}
	if !p.s.opt.SyncFlush {
		p.publish(p.w.end)
	}
}

// unplace takes back what was placed from a physical offset on, and answers it.
func (p *appender) unplace(from int64, err error) {
	list := p.items.rest()
	n := len(list)
	for n > 0 && list[n-1].phys >= from {
		n--
		list[n].q.next = list[n].offset
	}
	lost := list[n:]
	for _, it := range lost {
		p.entries.buf = p.entries.buf[:len(p.entries.buf)-it.records*entrySize]
	}
	// Answers may call Append, which does not touch items.
	p.items.buf = p.items.buf[:len(p.items.buf)-len(lost)]
	for i := range lost {
		p.refuse(lost[i].a, err)
	}
	clear(lost)
	_ = p.check(err)
}

func (p *appender) refuse(a *Append, err error) {
	p.s.in.finish(int64(len(a.Records)))
	a.answer(AppendResult{Err: err})
}

// publish makes all before upTo readable, tells who waits for it, and answers.
func (p *appender) publish(upTo int64) {
	list := p.items.rest()
	n, bytes := 0, 0
	for n < len(list) && list[n].end <= upTo {
		bytes += list[n].records * entrySize
		n++
	}
	if n == 0 {
		return
	}
	p.s.log.visible.Store(list[n-1].end)
	list, entries := list[:n], p.entries.rest()[:bytes]
	rest := entries
	finished := int64(0)
	for i := range list {
		finished += list[i].bytes
		size := list[i].records * entrySize
		dirty, full := list[i].q.publish(rest[:size])
		if dirty || full {
			p.s.indexer.add(list[i].q, dirty, full)
		}
		rest = rest[size:]
	}
	p.s.in.finish(finished)
	for i := range list {
		it := &list[i]
		for k := range it.records {
			e := decodeEntry(entries[k*entrySize:], it.offset+int64(k))
			p.s.opt.OnArrive(it.q.topic, it.q.id, e.QueueOffset+1, e.TagsCode)
		}
		entries = entries[it.records*entrySize:]
		if it.a != nil {
			it.a.answer(AppendResult{QueueOffset: it.offset, PhysicalOffset: it.phys, StoreTimestamp: it.stamp})
		}
	}
	p.items.drop(n)
	p.entries.drop(bytes)
}

// settleLater sees to it that what was written gets synced.
func (p *appender) settleLater() {
	if p.failed != nil || p.durable.phys >= p.w.end {
		return
	}
	if !p.s.opt.SyncFlush {
		p.arm(p.s.opt.FlushInterval)
		return
	}
	p.requestSync()
	if p.items.len() > 0 {
		p.arm(p.items.rest()[0].deadline - p.now())
	}
}

func (p *appender) arm(d time.Duration) {
	if !p.armed {
		p.armed = true
		p.timer.Reset(d)
	}
}

func (p *appender) requestSync() {
	if p.syncing || p.failed != nil || p.w.file == nil {
		return
	}
	p.syncing = true
	p.s.flusher.requests <- syncRequest{file: p.w.file, path: p.w.path, upTo: mark{phys: p.w.end, entries: p.total}}
}

// synced takes the flusher's result.
func (p *appender) synced(r syncResult) {
	p.syncing = false
	if r.err != nil {
		p.fail(r.err)
		return
	}
	p.durable = r.upTo
	if p.s.opt.SyncFlush {
		p.publish(r.upTo.phys)
	}
	if p.rolling {
		if p.durable.phys < p.w.end {
			p.requestSync()
			return
		}
		p.roll()
	}
	if p.w.file != nil {
		p.s.indexer.note(p.durable)
	}
	p.settleLater()
}

// roll goes on to the next file; the full one is durable. When that fails, the
// next append tries again. No checkpoint is made in between, so that recovery
// need not tell a full file from one that ends by chance.
func (p *appender) roll() {
	p.rolling = false
	if err := p.w.close(); err != nil {
		p.s.opt.Logger.Warn("closing a full commit log file failed", "file", p.w.path, "error", err)
	}
	if err := p.check(p.w.openNext()); err != nil {
		p.s.opt.Logger.Error("making a commit log file failed", "error", err)
	}
}

// timedOut handles the one timer: without SyncFlush a sync is due; with it,
// somebody has waited long enough.
func (p *appender) timedOut() {
	p.armed = false
	if !p.s.opt.SyncFlush {
		if p.durable.phys < p.w.end {
			p.requestSync()
		}
		return
	}
	now := p.now()
	list := p.items.rest()
	for i := range list {
		it := &list[i]
		if it.a == nil {
			continue
		}
		if it.deadline > now {
			p.arm(it.deadline - now)
			return
		}
		a := it.a
		it.a = nil
		a.answer(AppendResult{Status: StatusFlushDiskTimeout, QueueOffset: it.offset, PhysicalOffset: it.phys, StoreTimestamp: it.stamp})
	}
}

// fail stops the store for good: nothing that waits for a sync is ever OK.
func (p *appender) fail(err error) {
	if p.failed != nil {
		return
	}
	p.failed, p.rolling = err, false
	p.s.in.fail(err)
	p.s.opt.Logger.Error("the store takes no more appends", "error", err)
	for _, it := range p.items.rest() {
		p.s.in.finish(it.bytes)
		if it.a != nil {
			it.a.answer(AppendResult{Err: err})
		}
	}
	p.items.drop(p.items.len())
	p.entries.drop(p.entries.len())
}

// runControls runs what waits for a quiet moment, when it has come.
func (p *appender) runControls() bool {
	if p.failed == nil && (p.items.len() > 0 || p.durable.phys < p.w.end) {
		p.requestSync()
		return false
	}
	for len(p.controls) > 0 {
		c := p.controls[0]
		err := p.failed
		if err == nil {
			err = c.run()
		}
		if p.rolling {
			return false // it goes on in the next file
		}
		c.done <- err
		p.controls = p.controls[1:]
	}
	p.controls = nil
	return true
}

// fifo is a queue in a slice that is used again whenever it empties.
type fifo[T any] struct {
	buf  []T
	head int
}

func (f *fifo[T]) len() int  { return len(f.buf) - f.head }
func (f *fifo[T]) rest() []T { return f.buf[f.head:] }

func (f *fifo[T]) drop(n int) {
	clear(f.buf[f.head : f.head+n])
	f.head += n
	switch {
	case f.head == len(f.buf):
		f.buf, f.head = f.buf[:0], 0
	case f.head > len(f.buf)/2 && f.head > 1024:
		left := copy(f.buf, f.buf[f.head:])
		clear(f.buf[left:])
		f.buf, f.head = f.buf[:left], 0
	}
}
