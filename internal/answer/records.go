package answer

import (
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Records appends the records of a body, one after the other, up to the first
// that is not one. Inner batches are taken apart.
func Records(recs []protocol.Record, topic string, body []byte) ([]protocol.Record, error) {
	for rest := body; len(rest) > 0; {
		rec := protocol.Record{Topic: topic}
		n, err := protocol.DecodeRecord(rest, &rec)
		if err != nil {
			return recs, err
		}
		rest = rest[n:]
		if rec.SysFlag&InnerBatch != InnerBatch {
			recs = append(recs, rec)
		} else if recs, err = unwrap(recs, &rec); err != nil {
			return recs, err
		}
	}
	return recs, nil
}

// InnerBatch marks a record that holds a batch, in topics with queue.type=BatchCQ
// (5.x).
const InnerBatch = protocol.SysInnerBatch | protocol.SysNeedUnwrap

// unwrap appends the messages of an inner batch (MessageDecoder.decodeMessage):
// each has an offset of its own, from the record's on. The broker does not take
// one of them back, since there is no record of it: a retry waits here, and a dead
// letter is sent.
func unwrap(recs []protocol.Record, rec *protocol.Record) ([]protocol.Record, error) {
	one := *rec
	one.SysFlag &^= InnerBatch
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

// Text joins the properties and offset ids of all records into one string;
// CutText takes them off again.
func Text(recs []protocol.Record) string {
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

// CutText takes the first record's properties and offset id off what Text made.
func CutText(text string, rec *protocol.Record) (props, offsetID, rest string) {
	n := len(rec.Properties)
	m := n + protocol.OffsetMessageIDSize(rec.StoreHost)
	return text[:n], text[n:m], text[m:]
}

// Fill reads what a record says. A retried message is delivered under
// the topic that it was first sent to, with the id that it had then.
func Fill(d *message.Delivery, rec *protocol.Record, props, offsetID string) {
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

// Deliveries makes deliveries of records, up to one with a body that cannot be
// unpacked.
func Deliveries(recs []protocol.Record, group string, q message.Queue) ([]*message.Delivery, error) {
	text := Text(recs)
	ds := make([]message.Delivery, len(recs))
	out := make([]*message.Delivery, 0, len(recs))
	for i := range recs {
		var props, offsetID string
		props, offsetID, text = CutText(text, &recs[i])
		d := &ds[i]
		Fill(d, &recs[i], props, offsetID)
		d.Group, d.Queue = group, q
		if err := unpack(d, &recs[i]); err != nil {
			return out, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Delivery makes a delivery of one record.
func Delivery(rec *protocol.Record, group string, q message.Queue) (*message.Delivery, error) {
	d := new(message.Delivery)
	Fill(d, rec, string(rec.Properties), protocol.OffsetMessageID(rec.StoreHost, rec.PhysicalOffset))
	d.Group, d.Queue = group, q
	return d, unpack(d, rec)
}

// unpack gives a delivery the body that was packed.
func unpack(d *message.Delivery, rec *protocol.Record) error {
	if rec.SysFlag&protocol.SysCompressed == 0 {
		return nil
	}
	body, err := compression.Unpack(rec.Body, rec.SysFlag)
	if err != nil {
		return fmt.Errorf("the body of message %s at offset %d cannot be read: %w", d.ID, d.QueueOffset, err)
	}
	d.Body = body
	return nil
}
