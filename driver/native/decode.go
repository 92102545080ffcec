package native

import (
	"fmt"
	"strings"

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
	text := recordText(recs)
	ds := make([]message.Delivery, len(recs))
	b.out = make([]*message.Delivery, 0, len(recs))
	for i := range recs {
		rec := &recs[i]
		b.after = rec.QueueOffset + 1
		var props, offsetID string
		props, offsetID, text = cutText(text, rec)
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
	fillDelivery(d, rec, props, offsetID)
	d.Group, d.Queue = q.s.cfg.Group, q.mq
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
	return readRecords(recs, b.q.mq.Topic, b.body)
}

// readRecords appends the records of a body, one after the other, up to the first
// that is not one. Inner batches are taken apart.
func readRecords(recs []protocol.Record, topic string, body []byte) ([]protocol.Record, error) {
	for rest := body; len(rest) > 0; {
		rec := protocol.Record{Topic: topic}
		n, err := protocol.DecodeRecord(rest, &rec)
		if err != nil {
			return recs, err
		}
		rest = rest[n:]
		if rec.SysFlag&innerBatch != innerBatch {
			recs = append(recs, rec)
		} else if recs, err = unwrap(recs, &rec); err != nil {
			return recs, err
		}
	}
	return recs, nil
}

// innerBatch marks a record that holds a batch, in topics with queue.type=BatchCQ
// (5.x).
const innerBatch = protocol.SysInnerBatch | protocol.SysNeedUnwrap

// unwrap appends the messages of an inner batch (MessageDecoder.decodeMessage):
// each has an offset of its own, from the record's on. The broker does not take
// one of them back, since there is no record of it: a retry waits here, and a dead
// letter is sent.
func unwrap(recs []protocol.Record, rec *protocol.Record) ([]protocol.Record, error) {
	one := *rec
	one.SysFlag &^= innerBatch
	for rest := rec.Body; len(rest) > 0; one.QueueOffset++ {
		var e protocol.BatchEntry
		n, err := protocol.DecodeBatchEntry(rest, &e)
		if err != nil {
			return recs, fmt.Errorf("inner batch at offset %d: %w", rec.QueueOffset, err)
		}
		one.Flag, one.Body, one.Properties, one.Size = e.Flag, e.Body, e.Properties, int32(n)
		recs = append(recs, one)
		rest = rest[n:]
	}
	return recs, nil
}

// recordText joins the properties and offset ids of all records into one string;
// cutText takes them off again.
func recordText(recs []protocol.Record) string {
	n := 0
	for i := range recs {
		n += len(recs[i].Properties) + protocol.OffsetMessageIDSize(recs[i].StoreHost)
	}
	var text strings.Builder
	text.Grow(n)
	var id [56]byte
	for i := range recs {
		text.Write(recs[i].Properties)
		text.Write(protocol.AppendOffsetMessageID(id[:0], recs[i].StoreHost, recs[i].PhysicalOffset))
	}
	return text.String()
}

func cutText(text string, rec *protocol.Record) (props, offsetID, rest string) {
	n := len(rec.Properties)
	m := n + protocol.OffsetMessageIDSize(rec.StoreHost)
	return text[:n], text[n:m], text[m:]
}

// fillDelivery reads what a record says. A retried message is delivered under
// the topic that it was first sent to, with the id that it had then.
func fillDelivery(d *message.Delivery, rec *protocol.Record, props, offsetID string) {
	*d = message.Delivery{
		Topic: rec.Topic, Body: rec.Body, OffsetID: offsetID,
		QueueOffset: rec.QueueOffset, ReconsumeTimes: int(rec.ReconsumeTimes),
		BornTimestamp: rec.BornTimestamp, StoreTimestamp: rec.StoreTimestamp,
		BornHost: rec.BornHost, StoreHost: rec.StoreHost, Flag: rec.Flag, SysFlag: rec.SysFlag,
	}
	d.SetRawProperties(props)
	retried := strings.HasPrefix(rec.Topic, message.RetryPrefix)
	origin := ""
	for k, v := range protocol.EachProperty(props) {
		switch k {
		case protocol.PropTags:
			d.Tag = v
		case protocol.PropUniqueKey:
			d.ID = v
		case protocol.PropRetryTopic:
			if retried {
				d.Topic = v
			}
		case protocol.PropOriginMessageID:
			origin = v
		}
	}
	// A message without the producer's id is known by its first stored copy.
	if d.ID == "" {
		d.ID = origin
	}
	if d.ID == "" {
		d.ID = d.OffsetID
	}
}
