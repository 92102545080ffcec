package index

import (
	"errors"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// builder reads the log and makes entries. Its goroutine is started by the first
// query, or by Open when there is an index; Close ends it. The fields are that
// goroutine's, and Close's behind it.
type builder struct {
	x       *Index
	buf     []byte
	entries []entry
	topics  map[string]uint64 // the hashes that begin with them
	record  protocol.Record
	saved   int64 // the files cover what is before it
	failing bool  // the last attempt failed, and was logged
}

const (
	// gatherTime is how long new records gather when no query waits.
	gatherTime = 200 * time.Millisecond
	// retryTime is when a failed attempt is made again.
	retryTime = time.Second
	// maxTopics is how many topics' hashes are kept.
	maxTopics = 1 << 12
)

func (b *builder) run() {
	defer close(b.x.ended)
	ctx := b.x.ctx
	b.buf = make([]byte, 0, b.x.opt.ReadBytes)
	for ctx.Err() == nil {
		behind, err := b.step()
		switch {
		case ctx.Err() != nil || errors.Is(err, store.ErrClosed):
			return
		case err != nil:
			b.complain(err)
			b.pause(retryTime, nil)
		case behind:
			b.failing = false
		default:
			b.rest()
		}
	}
}

// complain logs the first failure of a row.
func (b *builder) complain(err error) {
	if !b.failing {
		b.failing = true
		b.x.opt.Logger.Error("building the message index failed; it is tried again until it works, and queries by key fail meanwhile", "dir", b.x.opt.Dir, "err", err)
	}
}

// pause waits, until a query does not want to.
func (b *builder) pause(d time.Duration, demand <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-demand:
	case <-b.x.ctx.Done():
	}
}

// rest waits for new records, and a little longer, so that they come in numbers.
func (b *builder) rest() {
	x := b.x
	x.resting.Store(true)
	if _, end := x.opt.Store.LogBounds(); end <= x.done.phys {
		select {
		case <-x.wake:
		case <-x.demand:
			x.resting.Store(false)
			return
		case <-x.ctx.Done():
			return
		}
	}
	x.resting.Store(false)
	b.pause(gatherTime, x.demand)
}

// step reads a piece of the log. behind: there may be more.
func (b *builder) step() (behind bool, err error) {
	x := b.x // its done and pending are changed by this goroutine only
	if len(x.pending) >= x.opt.FileEntries {
		return true, b.save(true)
	}
	first, _ := x.opt.Store.LogBounds()
	done := x.done
	if done.phys < first {
		done.phys = first
	}
	b.entries = b.entries[:0]
	from := done.phys
	next, buf, err := x.opt.Store.ReadLog(from, b.buf, func(phys int64, rec []byte) {
		if _, err := protocol.DecodeRecord(rec, &b.record); err != nil || b.record.PhysicalOffset != phys {
			x.opt.Logger.Error("a record of the commit log cannot be read; it is not in the message index", "offset", phys, "err", err)
			return
		}
		b.entries = appendEntries(b.entries, b.topic(b.record.Topic), &b.record)
		done.lastOffset, done.lastTime = phys, b.record.StoreTimestamp
	})
	if cap(buf) <= 4*x.opt.ReadBytes {
		b.buf = buf[:0] // not that of a huge record
	}
	var damage *store.CorruptionError
	if errors.As(err, &damage) && next > from {
		x.opt.Logger.Error("the message index leaves out the rest of a damaged commit log file", "err", err)
		err = nil
	}
	if err != nil {
		return false, err
	}
	if next == x.done.phys {
		return false, x.retain()
	}
	done.phys = next
	x.advance(b.entries, done)
	if next-max(b.saved, first) >= x.opt.SaveBytes {
		return true, b.save(false)
	}
	return true, nil
}

func (b *builder) topic(name string) uint64 {
	h, ok := b.topics[name]
	if !ok {
		if b.topics == nil || len(b.topics) >= maxTopics {
			b.topics = map[string]uint64{}
		}
		h = hashTopic(name)
		b.topics[name] = h
	}
	return h
}

// save writes the entries in memory to a file. full: the next file begins behind
// them. One that failed is made again by the next step.
func (b *builder) save(full bool) error {
	x := b.x
	if x.done.phys == b.saved && !full {
		return nil
	}
	f, err := x.writeFile(x.base, x.done, x.pending)
	if err != nil {
		return err
	}
	b.saved = x.done.phys
	if full {
		x.mu.Lock()
		x.files = append(x.files, f)
		x.base, x.pending = x.done.phys, nil
		x.mu.Unlock()
	}
	return nil
}
