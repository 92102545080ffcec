package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestReadStatusesAreApaches(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	for i := range 10 {
		mustPut(t, s, "orders", 0, []string{"a", "b"}[i%2], fmt.Sprint(i))
	}
	size := len(record(t, "orders", 0, "a", []byte("0")))
	only := func(tag string) func(int64) bool {
		return func(code int64) bool { return code == tagsCodeOf(tag) }
	}
	for _, c := range []struct {
		name     string
		topic    string
		offset   int64
		messages int
		bytes    int
		match    func(int64) bool
		status   ReadStatus
		next     int64
		want     string
	}{
		{"no such queue", "other", 5, 32, 1 << 20, nil, NoQueue, 0, ""},
		{"from the beginning", "orders", 0, 32, 1 << 20, nil, Found, 10, "0123456789"},
		{"from the middle", "orders", 4, 3, 1 << 20, nil, Found, 7, "456"},
		{"one message", "orders", 9, 1, 1 << 20, nil, Found, 10, "9"},
		{"no messages asked for", "orders", 3, 0, 1 << 20, nil, Found, 4, "3"},
		{"negative messages", "orders", 3, -5, 1 << 20, nil, Found, 4, "3"},
		{"first record larger than the limit", "orders", 2, 32, 1, nil, Found, 3, "2"},
		{"limit in bytes", "orders", 2, 32, 3*size + size/2, nil, Found, 5, "234"},
		{"limit in bytes, exactly", "orders", 2, 32, 3 * size, nil, Found, 5, "234"},
		{"filter", "orders", 0, 32, 1 << 20, only("b"), Found, 10, "13579"},
		{"filter and limit", "orders", 0, 2, 1 << 20, only("b"), Found, 4, "13"},
		{"no match", "orders", 0, 32, 1 << 20, only("c"), NoMatched, 10, ""},
		{"at the end", "orders", 10, 32, 1 << 20, nil, OffsetOverflowOne, 10, ""},
		{"behind the end", "orders", 11, 32, 1 << 20, nil, OffsetOverflowBadly, 10, ""},
		{"far behind the end", "orders", math.MaxInt64, 32, 1 << 20, nil, OffsetOverflowBadly, 10, ""},
		{"before the beginning", "orders", -1, 32, 1 << 20, nil, OffsetTooSmall, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := s.Read(c.topic, 0, c.offset, c.messages, c.bytes, c.match, []byte("dst"))
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body[:3]) != "dst" {
				t.Fatal("dst was not kept")
			}
			got := strings.Join(bodies(decode(t, r.Body[3:])), "")
			if r.Status != c.status || r.NextOffset != c.next || got != c.want || r.Count != len(c.want) {
				t.Fatalf("%v, next %d, %d records %q; want %v, next %d, %q", r.Status, r.NextOffset, r.Count, got, c.status, c.next, c.want)
			}
			if c.topic == "orders" && (r.MinOffset != 0 || r.MaxOffset != 10) {
				t.Fatalf("min %d, max %d; want 0, 10", r.MinOffset, r.MaxOffset)
			}
		})
	}
}

func TestReadLooksAtABoundedNumberOfEntries(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	fill(t, s, 3000, 1, 1)
	none := func(int64) bool { return false }
	for _, c := range []struct{ messages, next int }{{32, 800}, {1000, 1000}} {
		r, err := s.Read("bench", 0, 0, c.messages, 1<<20, none, nil)
		if err != nil || r.Status != NoMatched || r.NextOffset != int64(c.next) {
			t.Fatalf("%d messages asked for: %v, next %d, %v; want %v, next %d", c.messages, r.Status, r.NextOffset, err, NoMatched, c.next)
		}
	}
	calls := 0
	r, err := s.Read("bench", 0, 0, 1, 1<<20, func(int64) bool { calls++; return calls == 790 }, nil)
	if err != nil || r.Count != 1 || decode(t, r.Body)[0].QueueOffset != 789 {
		t.Fatalf("%+v, %v: want the record at 789", r.Status, err)
	}
}

// clock is a settable Options.Now.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

func TestOffsetByTimeFollowsApachesBoundaries(t *testing.T) {
	t.Parallel()
	var c clock
	fs := vfs.NewMem()
	s := openStore(t, Options{FS: fs, Now: c.now, QueueFileEntries: 3, SegmentSize: 500})
	for _, ms := range []int64{1000, 1000, 1000, 2000, 2000, 4000, 4000, 4000, 4000, 5000} {
		c.ms.Store(ms)
		mustPut(t, s, "orders", 0, "", "x")
		mustPut(t, s, "other", 0, "", "y")
	}
	check := func(t *testing.T, s *Store) {
		for _, c := range []struct{ ms, lower, upper int64 }{
			{math.MinInt64, 0, 0}, {0, 0, 0}, {999, 0, 0}, {1000, 0, 2}, {1001, 3, 2}, {2000, 3, 4}, {3000, 5, 4},
			{4000, 5, 8}, {4500, 9, 8}, {5000, 9, 9}, {5001, 10, 9}, {math.MaxInt64, 10, 9},
		} {
			lower, err1 := s.OffsetByTime("orders", 0, c.ms)
			upper, err2 := s.OffsetByBoundary("orders", 0, c.ms, Upper)
			if err := errors.Join(err1, err2); err != nil || lower != c.lower || upper != c.upper {
				t.Errorf("at %d ms: lower %d, upper %d, %v; want %d, %d", c.ms, lower, upper, err, c.lower, c.upper)
			}
		}
		if ms, err := s.EarliestStoreTime("orders", 0); ms != 1000 || err != nil {
			t.Errorf("earliest store time %d, %v; want 1000", ms, err)
		}
		if ms, err := s.StoreTime("orders", 0, 9); ms != 5000 || err != nil {
			t.Errorf("store time of 9: %d, %v; want 5000", ms, err)
		}
		for _, none := range []Queue{{"orders", 7}, {"none", 0}} {
			ms, err1 := s.EarliestStoreTime(none.Topic, none.ID)
			at, err2 := s.OffsetByTime(none.Topic, none.ID, 1000)
			if ms != -1 || at != 0 || err1 != nil || err2 != nil {
				t.Errorf("%v has no records: earliest %d, offset by time %d, %v, %v; want -1, 0", none, ms, at, err1, err2)
			}
		}
		if ms, err := s.StoreTime("orders", 0, 10); ms != -1 || err != nil {
			t.Errorf("store time behind the end: %d, %v; want -1", ms, err)
		}
	}
	check(t, s)
	mustClose(t, s)
	check(t, openStore(t, Options{FS: fs, QueueFileEntries: 3, SegmentSize: 500}))
}

func TestRecordsAreFoundByPhysicalOffsetAndNothingElseIs(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	o := Options{FS: fs, SegmentSize: 1000}
	s := openStore(t, o)
	at := map[int64]string{}
	for i := range 20 {
		body := fmt.Sprint(i, strings.Repeat("x", i*7))
		at[mustPut(t, s, "orders", 0, "", body).PhysicalOffset] = body
	}
	check := func(s *Store) {
		st, err := s.Stats()
		if err != nil {
			t.Fatal(err)
		}
		for phys := int64(-2000); phys < st.MaxPhysicalOffset+2000; phys++ {
			b, err := s.ReadRecord(phys)
			body, ok := at[phys]
			switch {
			case ok && err != nil:
				t.Fatalf("at %d: %v", phys, err)
			case ok && string(decode(t, b)[0].Body) != body:
				t.Fatalf("at %d: another record", phys)
			case !ok && !errors.Is(err, ErrNoRecord):
				t.Fatalf("at %d, where no record is: %d bytes, %v", phys, len(b), err)
			}
		}
		for _, phys := range []int64{math.MaxInt64, math.MinInt64} {
			if _, err := s.ReadRecord(phys); !errors.Is(err, ErrNoRecord) {
				t.Fatalf("at %d: %v", phys, err)
			}
			if _, err := s.ReadEntry(Entry{PhysicalOffset: phys, Size: math.MaxInt32}, nil); !errors.Is(err, ErrNoRecord) {
				t.Fatalf("entry at %d: %v", phys, err)
			}
		}
	}
	check(s)
	mustClose(t, s)
	check(openStore(t, o))
}

func TestEntriesAreIteratedFromAnyOffset(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{QueueFileEntries: 4})
	for i := range 30 {
		mustPut(t, s, "orders", 0, fmt.Sprint("tag", i), fmt.Sprint(i))
	}
	for _, from := range []int64{-5, 0, 3, 4, 29, 30, 31} {
		next := max(from, 0)
		err := s.EachEntry("orders", 0, from, func(e Entry) bool {
			b, err := s.ReadEntry(e, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := decode(t, b)[0]
			if e.QueueOffset != next || string(r.Body) != fmt.Sprint(next) || e.TagsCode != tagsCodeOf(fmt.Sprint("tag", next)) {
				t.Fatalf("from %d: entry %+v, record %q; want %d", from, e, r.Body, next)
			}
			next++
			return true
		})
		if err != nil || next != max(from, 30) {
			t.Fatalf("from %d: ended at %d, %v; want %d", from, next, err, max(from, 30))
		}
	}
	if _, ok, err := s.Entry("orders", 0, 30); ok || err != nil {
		t.Fatalf("entry behind the end: %v, %v", ok, err)
	}
	if e, ok, err := s.Entry("orders", 0, 7); !ok || err != nil || e.QueueOffset != 7 {
		t.Fatalf("entry 7: %+v, %v, %v", e, ok, err)
	}
	if _, ok, err := s.Entry("orders", 0, -1); ok || err != nil {
		t.Fatalf("entry before the beginning: %v, %v", ok, err)
	}
}

// Every byte of a record and of its entry, tags code and checksums included.
func TestDamagedFilesNeverReachAConsumer(t *testing.T) {
	t.Parallel()
	size := int64(len(record(t, "orders", 0, "t", []byte("first"))))
	queueFile := filepath.Join(testDir, consumeQueueDir, "orders", "0", offsetName(0))
	base := closed(t, Options{}, fillThree(t))
	check := func(name string, damage func(*vfs.Mem), match func(int64) bool, is func(error) bool) {
		t.Helper()
		fs := base.Clone()
		damage(fs)
		s := openStore(t, Options{FS: fs})
		r, err := s.Read("orders", 0, 0, 32, 1<<20, match, nil)
		if !is(err) || r.Count != 1 || r.NextOffset != 1 || r.Status != Found {
			t.Fatalf("%s: read of the record before: %+v, %v", name, r, err)
		}
		r, err = s.Read("orders", 0, 1, 32, 1<<20, match, nil)
		if !is(err) || len(r.Body) != 0 || r.NextOffset != 1 {
			t.Fatalf("%s: read of the damaged record: %d bytes, next %d, %v; want an error", name, len(r.Body), r.NextOffset, err)
		}
		r, err = s.Read("orders", 0, 2, 1, 1<<20, nil, nil)
		if err != nil || r.Count != 1 {
			t.Fatalf("%s: read of the record behind: %+v, %v", name, r, err)
		}
		if _, err := s.ReadRecord(size); err == nil {
			t.Fatalf("%s: the damaged record is found by its physical offset", name)
		}
		mustClose(t, s)
	}
	for at := range int64(len(record(t, "orders", 0, "t", []byte("second")))) {
		check(fmt.Sprint("byte ", at, " of the record"), func(fs *vfs.Mem) { flip(t, fs, logPath(0), size+at) }, nil, func(err error) bool {
			var damaged *CorruptionError
			return errors.As(err, &damaged) && damaged.Segment == logPath(0) && damaged.Offset == size &&
				strings.Contains(err.Error(), `"rocketkit store check /data/store"`)
		})
	}
	for at := range int64(entrySize) {
		check(fmt.Sprint("byte ", at, " of the entry"), func(fs *vfs.Mem) { flip(t, fs, queueFile, entrySize+at) },
			func(code int64) bool { return code == tagsCodeOf("t") }, func(err error) bool {
				var damaged *QueueCorruptionError
				return errors.As(err, &damaged) && damaged.File == queueFile && damaged.QueueOffset == 1 &&
					strings.Contains(err.Error(), `"rocketkit store repair /data/store"`)
			})
	}
}

// Readers follow producers, and must see every record once, whole, in order,
// while blocks of the tail are used again behind them and queues go to files.
func TestReadersFollowProducers(t *testing.T) {
	t.Parallel()
	const producers, queues, each = 4, 6, 1500
	for _, fs := range []struct {
		name string
		o    Options
	}{{"mem", Options{FS: vfs.NewMem(), Dir: testDir}}, {"os", Options{FS: vfs.OS(), Dir: t.TempDir()}}} {
		t.Run(fs.name, func(t *testing.T) {
			o := fs.o
			o.SegmentSize, o.TailBytes, o.QueueFileEntries, o.CheckpointBytes, o.MaxOpenFiles = 200_000, minTailBytes, 300, 100_000, 3
			var arrived [queues]chan struct{}
			for q := range arrived {
				arrived[q] = make(chan struct{}, 1)
			}
			o.OnArrive = func(_ string, q int32, _, _ int64) {
				select {
				case arrived[q] <- struct{}{}:
				default:
				}
			}
			s := openStore(t, o)
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() { produce(t, s, p, queues, each) })
			}
			for q := range int32(queues) {
				wg.Go(func() { follow(t, s, q, producers*each/queues, arrived[q]) })
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			mustClose(t, s)
			if err := checkConsistent(openStore(t, o)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func produce(tb testing.TB, s *Store, p, queues, each int) {
	rng := rand.New(rand.NewPCG(uint64(p), 1))
	done := &signal{c: make(chan error, 1)}
	for i := range each {
		q := int32((p + i) % queues)
		body := make([]byte, 8+rng.IntN(600))
		for k := range body {
			body[k] = byte(len(body))
		}
		s.Append(&Append{Topic: "orders", QueueID: q, Records: record(tb, "orders", q, "t", body), TagsCodes: []int64{tagsCodeOf("t")}, Done: done})
		if err := <-done.c; err != nil {
			tb.Error(err)
			return
		}
	}
}

func follow(tb testing.TB, s *Store, q int32, n int, arrived <-chan struct{}) {
	at := int64(0)
	var dst []byte
	for at < int64(n) {
		if at >= s.MaxOffset("orders", q) {
			<-arrived
		}
		r, err := s.Read("orders", q, at, 32, 1<<20, nil, dst[:0])
		if err != nil {
			tb.Error(err)
			return
		}
		for b := r.Body; len(b) > 0; {
			var rec protocol.Record
			size, err := protocol.DecodeRecord(b, &rec)
			if err == nil {
				err = rec.VerifyBody()
			}
			if err == nil && (rec.QueueOffset != at || rec.QueueID != q) {
				err = fmt.Errorf("queue %d offset %d", rec.QueueID, rec.QueueOffset)
			}
			if err != nil {
				tb.Errorf("queue %d at %d: %v", q, at, err)
				return
			}
			at++
			b = b[size:]
		}
		dst = r.Body
	}
}

func TestReadsAfterCloseFailOrComeFromMemory(t *testing.T) {
	t.Parallel()
	fs := closed(t, Options{}, fillThree(t))
	s := openStore(t, Options{FS: fs})
	mustClose(t, s)
	if _, err := s.Read("orders", 0, 0, 1, 1<<20, nil, nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("read: %v, want %v", err, ErrClosed)
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	s := openStore(t, Options{})
	fill(t, s, 1000, 1, 100)
	dst := make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(200, func() {
		if r, err := s.Read("bench", 0, 500, 32, 1<<20, nil, dst); err != nil || r.Count != 32 {
			t.Fatal(r.Count, err)
		}
	}); n > 0 {
		t.Errorf("a read makes %v allocations", n)
	}
	done := &signal{c: make(chan error, 1)}
	a := &Append{Topic: "bench", Records: record(t, "bench", 0, "t", make([]byte, 100)), TagsCodes: []int64{1}, Done: done}
	if n := testing.AllocsPerRun(2000, func() {
		s.Append(a)
		if err := <-done.c; err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("an append makes %v allocations", n)
	}
}
