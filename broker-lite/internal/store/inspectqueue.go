package store

import (
	"fmt"
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// cursor is how far the inspector has come in one consume queue. It reads the
// entries in order, some at a time.
type cursor struct {
	q     *queue
	next  int64 // all before it are compared
	end   int64 // behind the last entry that the checkpoint vouches for; recovery cuts the others off
	base  int64 // of buf
	buf   []byte
	short int64    // records from end on that the checkpoint counts
	first shortage // of those
	gone  bool     // deleted behind the checkpoint
}

// shortage is a record without an entry.
type shortage struct{ offset, phys int64 }

func (in *inspector) cursor(q *queue) (*cursor, error) {
	key := queueKey{q.topic, q.id}
	c := in.queues[key]
	if c == nil {
		end, _, err := in.s.queues.vouchedEnd(q, in.check.phys)
		if err != nil {
			return nil, err
		}
		c = &cursor{q: q, next: q.min, end: end}
		in.queues[key] = c
	}
	return c, nil
}

// entry reads one entry; ok is false when its checksum is wrong.
func (in *inspector) entry(c *cursor, offset int64) (e Entry, ok bool, err error) {
	if n := int64(len(c.buf) / entrySize); offset < c.base || offset >= c.base+n {
		if c.buf == nil {
			c.buf = make([]byte, scratchEntries*entrySize)
		}
		n, _, _, err := in.s.queues.readRaw(c.q, c.buf[:scratchEntries*entrySize], offset)
		if err != nil {
			return e, false, err
		}
		c.base, c.buf = offset, c.buf[:n]
		if n == 0 {
			return e, false, fmt.Errorf("consume queue %s has no entry %d", c.q.dir, offset)
		}
	}
	raw := c.buf[(offset-c.base)*entrySize:]
	return decodeEntry(raw, offset), isEntry(raw), nil
}

func (in *inspector) queueDamage(q *queue, offset int64, format string, args ...any) {
	in.report.add(Problem{Kind: QueueDamage, File: queueFileOf(q, offset), Offset: offset,
		Reason: fmt.Sprintf(format, args...) + fmt.Sprintf(" (topic %s, queue %d)", q.topic, q.id)})
}

// compare compares a record with its entry.
func (in *inspector) compare(sc *scanner, rec *protocol.Record) error {
	q := in.s.queues.get(rec.Topic, rec.QueueID)
	later := rec.PhysicalOffset >= in.check.phys
	switch {
	case q == nil && later:
		in.report.Unindexed++
		return nil
	case q == nil:
		in.missing[queueKey{rec.Topic, rec.QueueID}]++
		return nil
	}
	c, err := in.cursor(q)
	if err != nil {
		return err
	}
	if later && (c.gone || rec.QueueOffset >= c.end) {
		in.report.Unindexed++
		return nil
	}
	if rec.QueueOffset >= c.end {
		return in.short(c, rec)
	}
	if rec.QueueOffset < c.next {
		in.report.Unreachable++ // of an earlier topic of the same name
		return nil
	}
	e, ok, err := in.entry(c, rec.QueueOffset)
	if err != nil {
		return err
	}
	switch {
	case ok && e.PhysicalOffset > rec.PhysicalOffset:
		in.report.Unreachable++
		return nil
	case !ok:
		in.queueDamage(q, rec.QueueOffset, "the entry has a wrong checksum")
	case e.PhysicalOffset != rec.PhysicalOffset || e.Size != rec.Size:
		in.queueDamage(q, rec.QueueOffset, "the entry points to physical offset %d, the record is at %d", e.PhysicalOffset, rec.PhysicalOffset)
	case e.Checksum != checksum(sc.raw):
		p := Problem{Kind: LogDamage, File: sc.path, Offset: rec.PhysicalOffset, End: rec.PhysicalOffset + int64(rec.Size),
			Reason: fmt.Sprintf("the record has checksum %08x and was stored with %08x", checksum(sc.raw), e.Checksum)}
		p.lose(q, rec.QueueOffset)
		in.report.add(p)
	default:
		in.report.Entries++
	}
	if err := in.passed(c, rec.QueueOffset); err != nil {
		return err
	}
	c.next = rec.QueueOffset + 1
	return nil
}

// short notes a record behind a queue's end: it is of an earlier topic of the same
// name, or its entry is missing.
func (in *inspector) short(c *cursor, rec *protocol.Record) error {
	if c.next < c.end {
		e, ok, err := in.entry(c, c.next)
		if err != nil {
			return err
		}
		if ok && e.PhysicalOffset > rec.PhysicalOffset {
			in.report.Unreachable++
			return nil
		}
	}
	if c.short++; c.short == 1 {
		c.first = shortage{rec.QueueOffset, rec.PhysicalOffset}
	}
	return nil
}

// deletion is called where the log notes that a topic was deleted: what had no
// entries needs none.
func (in *inspector) deletion(topic string, phys int64) error {
	for key, n := range in.missing {
		if key.topic == topic {
			in.report.Unreachable += n
			delete(in.missing, key)
		}
	}
	later := phys >= in.check.phys
	in.halfway = in.halfway || later
	for _, q := range in.s.queues.of(topic) {
		c, err := in.cursor(q)
		if err != nil {
			return err
		}
		in.report.Unreachable += c.short
		c.short, c.gone = 0, later
	}
	return nil
}

// passed accounts for entries before to that no record has come for.
func (in *inspector) passed(c *cursor, to int64) error {
	for ; c.next < to; c.next++ {
		e, ok, err := in.entry(c, c.next)
		if err != nil {
			return err
		}
		switch p := in.report.openProblem(e.PhysicalOffset); {
		case !ok:
			in.queueDamage(c.q, c.next, "the entry has a wrong checksum")
		case e.PhysicalOffset < in.report.First: // deleted with its file
		case e.Size == 0: // lost by an earlier repair
		case p != nil:
			p.lose(c.q, c.next)
		case in.report.ProblemsFound > len(in.report.Problems): // its damage may not be listed
		default:
			in.queueDamage(c.q, c.next, "the entry points to physical offset %d, where no record is", e.PhysicalOffset)
		}
	}
	return nil
}

// finishQueues looks at the entries behind the last records, and whether queues
// are missing.
func (in *inspector) finishQueues() error {
	vouched := int64(0)
	all := in.s.queues.all()
	slices.SortFunc(all, func(a, b *queue) int { return compareQueues(a.topic, b.topic, a.id, b.id) })
	for _, q := range all {
		if c := in.queues[queueKey{q.topic, q.id}]; c != nil && c.gone {
			continue
		}
		for _, off := range q.stray {
			in.report.add(Problem{Kind: QueueDamage, File: q.key(off / entrySize).path(), Offset: off / entrySize,
				Reason: fmt.Sprintf("the file does not follow the one before (topic %s, queue %d)", q.topic, q.id)})
		}
		c, err := in.cursor(q)
		if err == nil {
			err = in.passed(c, c.end)
		}
		if err != nil {
			return err
		}
		if c.short > 0 {
			in.queueDamage(q, c.end, "the queue ends before the record of offset %d at physical offset %d", c.first.offset, c.first.phys)
		}
		vouched += c.end
		c.buf = nil
	}
	if in.halfway {
		return nil
	}
	for key, n := range in.missing {
		if vouched == in.check.entries {
			in.report.Unreachable += n
			continue
		}
		q := in.s.queues.newQueue(key.topic, key.id)
		in.queueDamage(q, 0, "the queue is missing, and the log has %d records of it", n)
	}
	if len(in.missing) == 0 && vouched != in.check.entries && in.report.ProblemsFound == 0 {
		in.report.add(Problem{Kind: QueueDamage, File: in.s.queues.dir, Reason: fmt.Sprintf("the queues have %d entries up to the checkpoint, which counts %d", vouched, in.check.entries)})
	}
	return nil
}

func compareQueues(a, b string, m, n int32) int {
	switch {
	case a < b, a == b && m < n:
		return -1
	case a == b && m == n:
		return 0
	}
	return 1
}
