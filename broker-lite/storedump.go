package brokerlite

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// StoreDump says what DumpStore writes. Its zero value is everything.
type StoreDump struct {
	Topic  string // "" for all
	Queue  *int32 // nil for all
	From   int64  // physical offset of the first record
	To     int64  // physical offset before which the last record begins; 0 for the log's end
	Limit  int    // records; 0 for all
	AsJSON bool   // an object a line
}

// Dumped is what DumpStore wrote.
type Dumped struct {
	Records int // written
	Read    int // looked at
	Damaged int // places
}

// dumpRecord is a record in JSON.
type dumpRecord struct {
	PhysicalOffset int64    `json:"physicalOffset"`
	Topic          string   `json:"topic"`
	QueueID        int32    `json:"queueId"`
	QueueOffset    int64    `json:"queueOffset"`
	Tags           string   `json:"tags,omitempty"`
	Keys           []string `json:"keys,omitempty"`
	Size           int32    `json:"size"`
	StoreTimestamp int64    `json:"storeTimestamp"`
	SysFlag        int32    `json:"sysFlag"`
	Note           string   `json:"note,omitempty"`
}

// DumpStore writes the records of a store whose broker does not run, a line each, in
// the order of the commit log, with a line for every place that is damaged. It changes
// nothing. The commit log alone is read: records of deleted topics are among them.
func DumpStore(ctx context.Context, w io.Writer, d StoreDump, progress func(done, total int64), opts ...Option) (done Dumped, err error) {
	o, err := storeOptions(opts)
	if err != nil {
		return done, err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	write := func(v fmt.Stringer) error {
		if d.AsJSON {
			return json.NewEncoder(out).Encode(v)
		}
		_, err := fmt.Fprintln(out, v)
		return err
	}
	err = store.Dump(ctx, o, store.Dumping{From: d.From, To: d.To, Progress: progress,
		Problem: func(p *store.Problem) error {
			done.Damaged++
			return write(p)
		},
		Record: func(r *protocol.Record) (more bool, err error) {
			done.Read++
			if d.Topic != "" && d.Topic != r.Topic || d.Queue != nil && *d.Queue != r.QueueID {
				return true, nil
			}
			done.Records++
			return d.Limit == 0 || done.Records < d.Limit, write(dumpOf(r))
		}})
	return done, errors.Join(locked(err), out.Flush())
}

func dumpOf(r *protocol.Record) *dumpRecord {
	v := &dumpRecord{PhysicalOffset: r.PhysicalOffset, Topic: r.Topic, QueueID: r.QueueID, QueueOffset: r.QueueOffset,
		Size: r.Size, StoreTimestamp: r.StoreTimestamp, SysFlag: r.SysFlag}
	v.Tags, _ = protocol.Property(r.Properties, protocol.PropTags)
	keys, _ := protocol.Property(r.Properties, protocol.PropKeys)
	v.Keys = strings.Fields(keys)
	v.Note, _ = store.Note(r)
	return v
}

// String is one line.
func (v *dumpRecord) String() string {
	text := fmt.Sprintf("%s phys=%d topic=%s queue=%d offset=%d size=%d sysFlag=%d tags=%s keys=%s",
		time.UnixMilli(v.StoreTimestamp).Format("2006-01-02 15:04:05.000"), v.PhysicalOffset, plain(v.Topic), v.QueueID, v.QueueOffset,
		v.Size, v.SysFlag, plain(v.Tags), plain(strings.Join(v.Keys, ",")))
	if v.Note != "" {
		text += " note=" + strconv.Quote(v.Note)
	}
	return text
}

// plain quotes what would not show as one word.
func plain(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
