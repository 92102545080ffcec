package store

import (
	"context"
	"errors"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Dumping says what Dump reads, and who gets it.
type Dumping struct {
	// From and To bound the physical offsets: records from From on, before To. A To
	// of 0 is the log's end.
	From, To int64
	// Record gets every record that is whole, in the order of the log, until it
	// returns false or an error. It must not keep the record.
	Record func(rec *protocol.Record) (more bool, err error)
	// Problem gets every damaged place, in between.
	Problem func(p *Problem) error
	// Progress may be nil.
	Progress func(done, total int64)
}

// errEnough ends a dump.
var errEnough = errors.New("enough")

// Dump reads the log of a store that is closed. It passes over what is damaged.
func Dump(ctx context.Context, o Options, d Dumping) (err error) {
	s, err := openClosed(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.release()) }()
	in := newInspector(ctx, s, d.Progress)
	in.logOnly, in.from, in.to = true, d.From, d.To
	in.visit = func(rec *protocol.Record) error {
		switch {
		case rec.PhysicalOffset < d.From:
			return nil
		case d.To > 0 && rec.PhysicalOffset >= d.To:
			return errEnough
		}
		more, err := d.Record(rec)
		if err == nil && !more {
			err = errEnough
		}
		return err
	}
	in.problem = func(p *Problem) error {
		if p.End <= d.From || d.To > 0 && p.Offset >= d.To {
			return nil
		}
		return d.Problem(p)
	}
	if err := in.run(); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// Note tells what a record of the store's own says: that a topic was deleted, or
// that a repair has cut out what was damaged here. ok is false for all others.
func Note(rec *protocol.Record) (text string, ok bool) {
	if rec.Topic != noteTopic {
		return "", false
	}
	if topic, ok := deletedTopic(rec); ok {
		return "topic " + topic + " was deleted", true
	}
	text = "damaged records were cut out"
	if lost := lostIn(rec); len(lost) > 0 {
		text += ": " + listLost(lost)
	}
	return text, true
}
