package native

import (
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// batch turns the body of a pull's answer into deliveries. They are made in one
// piece, with one string for all properties and offset ids; bodies stay where they
// are.
type batch struct {
	q    *queue
	body []byte

	out        []*message.Delivery // to hand to the sink, in offset order
	unreadable []unreadable        // in the window, but not for the sink
	after      int64               // the offset after the last whole record, -1 before
}

type unreadable struct {
	d   *message.Delivery
	err error
}

func newBatch(q *queue, body []byte) *batch { return &batch{q: q, body: body, after: -1} }

// maxKeptRecords is for how many records a queue keeps room.
const maxKeptRecords = 1024

// decode reads every record, drops those whose tag was not asked for, and puts
// the others into the window.
func (b *batch) decode() error {
	recs, decodeErr := b.records()
	text := answer.Text(recs)
	ds := make([]message.Delivery, len(recs))
	b.out = make([]*message.Delivery, 0, len(recs))
	for i := range recs {
		rec := &recs[i]
		b.after = rec.QueueOffset + 1
		var props, offsetID string
		props, offsetID, text = answer.CutText(text, rec)
		if w := &b.q.win; rec.QueueOffset < b.q.next || w.n > 0 && rec.QueueOffset <= w.at(w.n-1).offset {
			continue // a broker that sends more than was asked for
		}
		b.add(rec, props, offsetID, &ds[i])
	}
	clear(recs) // lets go of the body
	if cap(recs) <= maxKeptRecords {
		b.q.records = recs
	}
	return decodeErr
}

// add delivers one record.
func (b *batch) add(rec *protocol.Record, props, offsetID string, d *message.Delivery) {
	q := b.q
	answer.Fill(d, rec, props, offsetID)
	d.Group, d.Queue = q.s.cfg.Group, q.mq
	q.s.show(d)
	if !q.f.match(d.Tag) {
		return
	}
	s := q.win.push(slot{offset: rec.QueueOffset, size: int64(rec.Size), physical: rec.PhysicalOffset, state: slotOut, d: d})
	if rec.SysFlag&protocol.SysCompressed == 0 {
		b.out = append(b.out, d)
		return
	}
	s.extra().raw = rec.Body
	body, err := compression.Unpack(rec.Body, rec.SysFlag)
	if err != nil {
		b.unreadable = append(b.unreadable, unreadable{d, err})
		return
	}
	d.Body = body
	b.out = append(b.out, d)
}

// records reads the records of the body.
func (b *batch) records() ([]protocol.Record, error) {
	recs := b.q.records[:0]
	b.q.records = nil
	return answer.Records(recs, b.q.mq.Topic, b.body)
}
