package brokerlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/broker"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// storeOptions are those of the store that Start would open with these options.
func storeOptions(opts []Option) (store.Options, error) {
	p, err := validate(opts)
	if err != nil {
		return store.Options{}, fmt.Errorf("broker-lite: %w", err)
	}
	c := &p.config
	levels, err := protocol.ParseDelayLevels(c.MessageDelayLevel)
	return store.Options{FS: vfs.OS(), Dir: c.StorePath, CommitLogDir: c.CommitLogDir(), SegmentSize: c.CommitLogFileSize,
		QueueFileEntries: c.QueueFileEntries(), TagsCode: broker.TagsCode(levels), Logger: p.logger}, err
}

// locked says what to do when a server has the store.
func locked(err error) error {
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("%w; stop the server that uses it first", err)
	}
	return err
}

// CheckStore verifies the store of a broker that does not run, changes nothing, and
// writes what is wrong as lines or as JSON. ok: nothing is.
func CheckStore(ctx context.Context, w io.Writer, asJSON bool, progress func(done, total int64), opts ...Option) (ok bool, err error) {
	o, err := storeOptions(opts)
	if err != nil {
		return false, err
	}
	r, err := store.Inspect(ctx, o, progress)
	if err != nil {
		return false, locked(err)
	}
	if asJSON {
		return r.ProblemsFound == 0, json.NewEncoder(w).Encode(r)
	}
	return r.ProblemsFound == 0, writeInspection(w, r)
}

func writeInspection(w io.Writer, r *store.Inspection) error {
	var b strings.Builder
	for i := range r.Problems {
		fmt.Fprintln(&b, &r.Problems[i])
	}
	fmt.Fprintf(&b, "%d records (%d bytes) in %d commit log files, %d entries in %d consume queues verified, %d places damaged\n",
		r.Records, r.Bytes, r.Segments, r.Entries, r.Queues, r.ProblemsFound)
	if r.Unindexed > 0 {
		fmt.Fprintf(&b, "%d records get their consume queue entries at the next start\n", r.Unindexed)
	}
	if r.OlderFormat {
		fmt.Fprintln(&b, "the consume queues were not compared: the next start builds them anew")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// RepairStore repairs the store of a broker that does not run, after it has copied
// what it changes to a directory beside. cut takes damaged records out of the log.
func RepairStore(ctx context.Context, w io.Writer, cut bool, progress func(done, total int64), opts ...Option) error {
	o, err := storeOptions(opts)
	if err != nil {
		return err
	}
	done, err := store.Repair(ctx, o, cut, progress)
	if done.Before != nil {
		if werr := writeInspection(w, done.Before); werr != nil {
			return errors.Join(err, werr)
		}
	}
	switch {
	case errors.Is(err, store.ErrNeedsCut):
		return fmt.Errorf("%w with --cut", err)
	case err != nil:
		return locked(err)
	case done.Backup == "":
		_, err = fmt.Fprintln(w, "nothing to repair")
	default:
		_, err = fmt.Fprintf(w, "repaired; the files as they were are in %s\n", done.Backup)
	}
	return err
}
