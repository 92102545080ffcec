package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestMalformedAppendsAreRefusedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	good := record(t, "orders", 1, "tag", []byte("body"))
	damaged := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	one := []int64{0}
	for _, c := range []struct {
		name string
		a    Append
		want error
	}{
		{"no topic", Append{QueueID: 1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"topic with a slash", Append{Topic: "a/b", QueueID: 1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"topic that is the parent", Append{Topic: "..", QueueID: 1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"topic too long", Append{Topic: strings.Repeat("t", 256), QueueID: 1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"negative queue", Append{Topic: "orders", QueueID: -1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"no records", Append{Topic: "orders", QueueID: 1, TagsCodes: one}, ErrBadAppend},
		{"no tags codes", Append{Topic: "orders", QueueID: 1, Records: good}, ErrBadAppend},
		{"more tags codes than records", Append{Topic: "orders", QueueID: 1, Records: good, TagsCodes: []int64{1, 2}}, ErrBadAppend},
		{"fewer tags codes than records", Append{Topic: "orders", QueueID: 1, Records: append(append([]byte(nil), good...), good...), TagsCodes: one}, ErrBadAppend},
		{"another queue's record", Append{Topic: "orders", QueueID: 2, Records: good, TagsCodes: one}, ErrBadAppend},
		{"another topic's record", Append{Topic: "order2", QueueID: 1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"a longer topic", Append{Topic: "orders2", QueueID: 1, Records: good, TagsCodes: one}, ErrBadAppend},
		{"cut off", Append{Topic: "orders", QueueID: 1, Records: good[:len(good)-1], TagsCodes: one}, ErrBadAppend},
		{"bytes behind", Append{Topic: "orders", QueueID: 1, Records: append(append([]byte(nil), good...), 0), TagsCodes: one}, ErrBadAppend},
		{"size too small", Append{Topic: "orders", QueueID: 1, Records: damaged(3, 90), TagsCodes: one}, ErrBadAppend},
		{"no magic", Append{Topic: "orders", QueueID: 1, Records: damaged(4, 0), TagsCodes: one}, ErrBadAppend},
		{"a blank", Append{Topic: "orders", QueueID: 1, Records: []byte{0, 0, 0, 8, 0xCB, 0xD4, 0x31, 0x94}, TagsCodes: one}, ErrBadAppend},
		{"v6 hosts that are not there", Append{Topic: "orders", QueueID: 1, Records: damaged(39, 0x30), TagsCodes: one}, ErrBadAppend},
		{"body length too long", Append{Topic: "orders", QueueID: 1, Records: damaged(84, 0xFF), TagsCodes: one}, ErrBadAppend},
		{"properties that end with a NUL", Append{Topic: "orders", QueueID: 1, Records: recordWith(t, "orders", 1, nil, []byte("TAGS\x01a\x00")), TagsCodes: one}, ErrBadAppend},
		{"a sector of NULs in a property", Append{Topic: "orders", QueueID: 1, Records: record(t, "orders", 1, strings.Repeat("\x00", sectorSize-2), nil), TagsCodes: one}, ErrBadAppend},
		{"larger than a file", Append{Topic: "orders", QueueID: 1, Records: record(t, "orders", 1, "", make([]byte, 4096)), TagsCodes: one}, ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Options{SegmentSize: 4096})
			w := newWaiter()
			c.a.Done = w
			s.Append(&c.a)
			if r := <-w.c; !errors.Is(r.Err, c.want) {
				t.Fatalf("err = %v, want %v", r.Err, c.want)
			}
			if r := mustPut(t, s, "orders", 1, "", "x"); r.QueueOffset != 0 || r.PhysicalOffset != 0 {
				t.Fatalf("the next append is at %+v", r)
			}
		})
	}
}

func TestAppendWithoutDoneIsStored(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	s.Append(&Append{Topic: "orders", Records: record(t, "orders", 0, "", []byte("oneway")), TagsCodes: []int64{0}})
	mustPut(t, s, "orders", 0, "", "second")
	if diff := cmp.Diff([]string{"oneway", "second"}, bodies(readAll(t, s, "orders", 0))); diff != "" {
		t.Fatal(diff)
	}
}

func TestRecordsOfOneAppendTakeConsecutiveOffsetsInOneFile(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openStore(t, Options{FS: fs, SegmentSize: 1000})
	var arrived arrivals
	s.opt.OnArrive = arrived.hook
	mustPut(t, s, "orders", 0, "", strings.Repeat("x", 600))
	batch := func(topic string) *Append {
		a := &Append{Topic: topic, QueueID: 0}
		for i := range 3 {
			a.Records = append(a.Records, record(t, topic, 0, "", []byte(fmt.Sprintf("%s %d", topic, i)))...)
			a.TagsCodes = append(a.TagsCodes, int64(10+i))
		}
		return a
	}
	a := batch("orders")
	w := newWaiter()
	a.Done = w
	s.Append(a)
	r := <-w.c
	if r.Err != nil || r.QueueOffset != 1 || r.PhysicalOffset != 1000 {
		t.Fatalf("result %+v: want queue offset 1, physical offset 1000, the second file's begin", r)
	}
	var tags []int64
	if err := s.EachEntry("orders", 0, 1, func(e Entry) bool { tags = append(tags, e.TagsCode); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{10, 11, 12}, tags); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]string{"orders 0", "orders 1", "orders 2"}, bodies(readAll(t, s, "orders", 0))[1:]); diff != "" {
		t.Fatal(diff)
	}
	want := []string{"orders/0 max=1 tags=0", "orders/0 max=2 tags=10", "orders/0 max=3 tags=11", "orders/0 max=4 tags=12"}
	if diff := cmp.Diff(want, arrived.list); diff != "" {
		t.Fatal(diff)
	}
}

func TestArrivalIsAnnouncedWhenTheRecordCanBeRead(t *testing.T) {
	t.Parallel()
	var s *Store
	started := make(chan struct{})
	read := make(chan int, 10)
	s = openStore(t, Options{SyncFlush: true, OnArrive: func(topic string, queueID int32, maxOffset, _ int64) {
		<-started
		r, err := s.Read(topic, queueID, maxOffset-1, 1, 1<<20, nil, nil)
		if err != nil {
			t.Error(err)
		}
		read <- r.Count
	}})
	close(started)
	mustPut(t, s, "orders", 0, "", "x")
	if n := <-read; n != 1 {
		t.Fatalf("%d records were readable when the arrival was announced", n)
	}
}

// chain is a Completion that appends the next record from the answer.
type chain struct {
	s    *Store
	tb   testing.TB
	left int
	done chan struct{}
}

func (c *chain) Appended(r AppendResult) {
	if r.Err != nil {
		c.tb.Error(r.Err)
	}
	if c.left--; c.left == 0 {
		close(c.done)
		return
	}
	c.s.Append(&Append{Topic: "orders", Records: record(c.tb, "orders", 0, "", []byte("x")), TagsCodes: []int64{0}, Done: c})
}

func TestAnswerMayAppendAgain(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	c := &chain{s: s, tb: t, left: 100, done: make(chan struct{})}
	s.Append(&Append{Topic: "orders", Records: record(t, "orders", 0, "", []byte("x")), TagsCodes: []int64{0}, Done: c})
	<-c.done
	if n := s.MaxOffset("orders", 0); n != 100 {
		t.Fatalf("max offset %d, want 100", n)
	}
}

func TestTooMuchWaitingIsRefusedAndLaterTakenAgain(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	fs := vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpWrite && vfs.MatchPath(commitLogName+"/*", c.Path) {
			<-gate
		}
		return vfs.Fault{}
	}})
	rec := record(t, "orders", 0, "", make([]byte, 100))
	s := openStore(t, Options{FS: fs, MaxPendingBytes: int64(3 * len(rec))})
	w := &waiter{c: make(chan AppendResult, 10)}
	for range 4 {
		s.Append(&Append{Topic: "orders", Records: rec, TagsCodes: []int64{0}, Done: w})
	}
	if r := <-w.c; !errors.Is(r.Err, ErrOverloaded) {
		t.Fatalf("first answer %v, want %v for the fourth append", r.Err, ErrOverloaded)
	}
	close(gate)
	for range 3 {
		if r := <-w.c; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	mustPut(t, s, "orders", 0, "", "again")
}

func TestClosedStoreRefusesAndAnswersWhatWasQueued(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{})
	w := &waiter{c: make(chan AppendResult, 100)}
	for range 100 {
		s.Append(&Append{Topic: "orders", Records: record(t, "orders", 0, "", []byte("x")), TagsCodes: []int64{0}, Done: w})
	}
	mustClose(t, s)
	mustClose(t, s)
	for range 100 {
		if r := <-w.c; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if r := put(t, s, "orders", 0, "", "late"); !errors.Is(r.Err, ErrClosed) {
		t.Fatalf("err = %v, want %v", r.Err, ErrClosed)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatalf("flush: %v, want %v", err, ErrClosed)
	}
	if err := s.DeleteTopic(t.Context(), "orders"); !errors.Is(err, ErrClosed) {
		t.Fatalf("delete: %v, want %v", err, ErrClosed)
	}
}

func TestMessagesLargerThanTheTailAreReadable(t *testing.T) {
	t.Parallel()
	s := openStore(t, Options{TailBytes: minTailBytes})
	for i := range 5 {
		for _, size := range []int{10, 300 << 10, 1 << 20} {
			mustPut(t, s, "orders", 0, "", strings.Repeat(fmt.Sprint(i), size))
		}
	}
	for i, r := range readAll(t, s, "orders", 0) {
		if want := strings.Repeat(fmt.Sprint(i/3), []int{10, 300 << 10, 1 << 20}[i%3]); string(r.Body) != want {
			t.Fatalf("record %d has %d bytes of %.10q, want %d of %.10q", i, len(r.Body), r.Body, len(want), want)
		}
	}
}
