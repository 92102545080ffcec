package store

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const testDir = "/data/store"

var testHost = netip.MustParseAddrPort("10.1.2.3:10911")

// record encodes an unplaced record.
func record(tb testing.TB, topic string, queueID int32, tag string, body []byte) []byte {
	tb.Helper()
	return recordWith(tb, topic, queueID, body, protocol.AppendProperty(nil, protocol.PropTags, tag))
}

func recordWith(tb testing.TB, topic string, queueID int32, body, props []byte) []byte {
	tb.Helper()
	b, err := protocol.AppendRecord(nil, &protocol.Record{
		Topic: topic, QueueID: queueID, Body: body, Properties: props,
		BornTimestamp: 1, BornHost: testHost, StoreHost: testHost,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func tagsCodeOf(tag string) int64 { return int64(protocol.HashCode(tag)) }

// waiter is a Completion that a test waits for.
type waiter struct{ c chan AppendResult }

func newWaiter() *waiter                  { return &waiter{c: make(chan AppendResult, 1)} }
func (w *waiter) Appended(r AppendResult) { w.c <- r }

// put appends one record and waits for the answer.
func put(tb testing.TB, s *Store, topic string, queueID int32, tag, body string) AppendResult {
	tb.Helper()
	w := newWaiter()
	s.Append(&Append{Topic: topic, QueueID: queueID, Records: record(tb, topic, queueID, tag, []byte(body)),
		TagsCodes: []int64{tagsCodeOf(tag)}, Done: w})
	return <-w.c
}

func mustPut(tb testing.TB, s *Store, topic string, queueID int32, tag, body string) AppendResult {
	tb.Helper()
	r := put(tb, s, topic, queueID, tag, body)
	if r.Err != nil {
		tb.Fatalf("append to %s/%d: %v", topic, queueID, r.Err)
	}
	return r
}

func openStore(tb testing.TB, o Options) *Store {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = testDir
	}
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func mustClose(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatalf("close: %v", err)
	}
}

// decode splits what a Read returned into records.
func decode(tb testing.TB, b []byte) []protocol.Record {
	tb.Helper()
	var list []protocol.Record
	for len(b) > 0 {
		var r protocol.Record
		n, err := protocol.DecodeRecord(b, &r)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, r)
		b = b[n:]
	}
	return list
}

// readAll reads a queue from its minimum to its end.
func readAll(tb testing.TB, s *Store, topic string, queueID int32) []protocol.Record {
	tb.Helper()
	var list []protocol.Record
	for at := s.MinOffset(topic, queueID); ; {
		r, err := s.Read(topic, queueID, at, 32, 1<<20, nil, nil)
		if err != nil {
			tb.Fatalf("read %s/%d at %d: %v", topic, queueID, at, err)
		}
		if r.Status != Found {
			return list
		}
		got := decode(tb, r.Body)
		if len(got) != r.Count {
			tb.Fatalf("read %s/%d at %d: %d records in the body, count says %d", topic, queueID, at, len(got), r.Count)
		}
		list = append(list, got...)
		at = r.NextOffset
	}
}

func bodies(list []protocol.Record) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = string(list[i].Body)
	}
	return out
}

// arrivals records OnArrive.
type arrivals struct {
	mu   sync.Mutex
	list []string
}

func (a *arrivals) hook(topic string, queueID int32, maxOffset, tagsCode int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, fmt.Sprintf("%s/%d max=%d tags=%d", topic, queueID, maxOffset, tagsCode))
}

// removeDerived deletes everything that can be rebuilt from the commit log.
func removeDerived(tb testing.TB, o Options) {
	tb.Helper()
	for _, name := range []string{consumeQueueDir, checkpointName, checkpointName + ".bak", flushedName} {
		if err := vfs.RemoveTree(o.FS, filepath.Join(o.Dir, name)); err != nil {
			tb.Fatal(err)
		}
	}
}
