package index

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const indexDir = "/data/index"

// began is when the first record of a rig is stored; each is stored a second after
// the one before.
var began = time.UnixMilli(1_700_000_000_500)

// rig is a store and its index.
type rig struct {
	testing.TB
	fs      *vfs.Mem
	options Options
	segment int64

	clock atomic.Int64 // seconds since began
	store *store.Store
	index *Index
	sent  []sent
}

// sent is a message that was stored.
type sent struct {
	topic, keys, unique, tags, body string
	phys, at                        int64
	size                            int
}

func newRig(tb testing.TB, o Options) *rig {
	r := &rig{TB: tb, fs: vfs.NewMem(), options: o}
	tb.Cleanup(r.close)
	return r
}

// open opens both.
func (r *rig) open() *rig {
	r.Helper()
	log := slog.New(slog.NewTextHandler(r.Output(), nil))
	var err error
	var x atomic.Pointer[Index]
	r.store, err = store.Open(r.Context(), store.Options{
		FS: r.fs, Dir: "/data", SegmentSize: r.segment, Logger: log,
		Now: func() time.Time { return began.Add(time.Duration(r.clock.Load()) * time.Second) },
		OnArrive: func(string, int32, int64, int64) {
			if x := x.Load(); x != nil {
				x.Arrived()
			}
		},
	})
	if err != nil {
		r.Fatal(err)
	}
	o := r.options
	o.FS, o.Dir, o.Store, o.Logger = r.fs, cmp.Or(o.Dir, indexDir), r.store, log
	if r.index, err = Open(o); err != nil {
		r.Fatal(err)
	}
	x.Store(r.index)
	return r
}

func (r *rig) close() {
	if r.index != nil {
		if err := errors.Join(r.index.Close(), r.store.Close()); err != nil {
			r.Error(err)
		}
	}
	r.index, r.store = nil, nil
}

// kill ends both as the end of the process does. The file system is another from now
// on, with what had been written, or what a power cut leaves.
func (r *rig) kill(crash func(*vfs.Mem) *vfs.Mem) {
	left := crash(r.fs)
	r.index.cancel()
	if r.index.started {
		<-r.index.ended
	}
	if err := r.store.Close(); err != nil {
		r.Error(err)
	}
	r.index, r.store, r.fs = nil, nil, left
}

type appended chan store.AppendResult

func (a appended) Appended(res store.AppendResult) { a <- res }

// send stores a message. keys, unique and tags may be empty.
func (r *rig) send(m sent) {
	r.Helper()
	var props []byte
	for _, p := range [][2]string{{protocol.PropKeys, m.keys}, {protocol.PropUniqueKey, m.unique}, {protocol.PropTags, m.tags}} {
		if p[1] != "" {
			props = protocol.AppendProperty(props, p[0], p[1])
		}
	}
	host := netip.MustParseAddrPort("10.1.2.3:10911")
	b, err := protocol.AppendRecord(nil, &protocol.Record{Topic: m.topic, Body: []byte(m.body), Properties: props, BornHost: host, StoreHost: host})
	if err != nil {
		r.Fatal(err)
	}
	m.at = began.UnixMilli() + r.clock.Load()*1000
	done := make(appended, 1)
	r.store.Append(&store.Append{Topic: m.topic, Records: b, TagsCodes: []int64{0}, Done: done})
	res := <-done
	if res.Err != nil {
		r.Fatal(res.Err)
	}
	m.phys, m.size = res.PhysicalOffset, len(b)
	r.sent = append(r.sent, m)
	r.clock.Add(1)
}

// always has a Query with no limits but 32 messages.
func always(topic, key string) Query {
	return Query{Topic: topic, Key: key, Begin: 0, End: 1<<63 - 1, Max: 32, MaxBytes: 1 << 20}
}

// find returns the bodies that a query finds.
func (r *rig) find(q Query) []string {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	res, err := r.index.Query(ctx, q)
	if err != nil {
		r.Fatal(err)
	}
	var bodies []string
	for b := res.Records; len(b) > 0; {
		var rec protocol.Record
		n, err := protocol.DecodeRecord(b, &rec)
		if err != nil {
			r.Fatal(err)
		}
		bodies = append(bodies, string(rec.Body))
		b = b[n:]
	}
	if len(bodies) != res.Count {
		r.Fatalf("%d records, the count says %d", len(bodies), res.Count)
	}
	return bodies
}

// want is what a query must find: the newest of all that were sent.
func (r *rig) want(q Query) []string {
	var bodies []string
	first, _ := r.store.LogBounds()
	bytes := 0
	for _, m := range slices.Backward(r.sent) {
		has := m.tags == q.Key
		if q.Kind == ByKey {
			has = m.unique == q.Key || slices.Contains(strings.Split(m.keys, " "), q.Key)
		}
		if m.topic != q.Topic || !has || m.at < q.Begin || m.at > q.End || m.phys < first || len(bodies) == q.Max {
			continue
		}
		if bytes += m.size; bytes > q.MaxBytes && len(bodies) > 0 {
			break
		}
		bodies = append(bodies, m.body)
	}
	slices.Reverse(bodies)
	return bodies
}
