package store

import (
	"context"
	"errors"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Dump reads the log of a store that is closed, and calls visit for every record
// that is whole, in the order of the log, until it returns an error. Neither the
// record nor its bytes may be kept. Damage is passed over; the Inspection, of the
// log alone, lists it.
func Dump(ctx context.Context, o Options, visit func(rec *protocol.Record, raw []byte) error) (report *Inspection, err error) {
	s, err := openClosed(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.release()) }()
	in := &inspector{ctx: ctx, s: s, report: &Inspection{}, visit: visit, logOnly: true, progress: func(int64, int64) {}}
	return in.report, in.run()
}
