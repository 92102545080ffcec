package pop

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func entries() []entry {
	key := Key{Topic: "orders", Group: "group", Queue: 3}
	return []entry{
		{kind: kindPop, key: key, popTime: 1_700_000_000_123, until: 1_700_000_060_123, next: 12, offsets: []int64{7, 8, 11}},
		{kind: kindSettle, key: key, popTime: 1_700_000_000_123, offsets: []int64{8}},
		{kind: kindChange, key: key, popTime: 1_700_000_000_123, newTime: 1_700_000_000_124, until: 1 << 60, offsets: []int64{11}},
		{kind: kindMove, key: key, next: 5},
		{kind: kindOrder, key: key, popTime: 2, next: 5, offsets: []int64{5, 6}, untils: []int64{9, 10}, counts: []int32{0, 3}, acked: 2, attempt: "x"},
		{kind: kindOrderSettle, key: key, popTime: 2, offsets: []int64{5}},
		{kind: kindOrderChange, key: key, popTime: 2, until: 11, offsets: []int64{6}},
	}
}

func TestEntriesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	var b []byte
	for _, e := range entries() {
		b = e.append(b)
	}
	d := decoder{b: b}
	for _, want := range entries() {
		got, err := d.entry()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for n := range b {
		for d := (decoder{b: b[:n]}); ; {
			if _, err := d.entry(); err != nil {
				if !errors.Is(err, errMalformed) {
					t.Errorf("%d bytes: %v", n, err)
				}
				break
			}
			if len(d.b) == 0 {
				break
			}
		}
	}
}

func FuzzEntry(f *testing.F) {
	for _, e := range entries() {
		f.Add(e.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{b: b}
		e, err := d.entry()
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Errorf("%x: %v wraps no sentinel", b, err)
			}
			return
		}
		if len(e.offsets) > len(b) {
			t.Errorf("%d offsets of %d bytes", len(e.offsets), len(b))
		}
		again := decoder{b: e.append(nil)}
		got, err := again.entry()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got, cmp.AllowUnexported(entry{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
		tables := newTables()
		tables.apply(&e) // nothing that can be read makes it panic
		tables.apply(&e)
	})
}

func newTables() *tables { return &tables{queues: map[Key]*queue{}} }

// summary is what tables hold, without how.
func (t *tables) summary() map[Key][]any {
	all := map[Key][]any{}
	for key, q := range t.queues {
		list := []any{q.next}
		for _, offset := range slices.Sorted(maps.Keys(q.messages)) {
			m := q.messages[offset]
			list = append(list, [3]int64{offset, m.popTime, m.until})
		}
		if o := q.order; o != nil {
			list = append(list, o.popTime, o.attempt, o.offsets, o.untils, o.counts, o.acked)
		}
		all[key] = list
	}
	return all
}

// random changes of the tables, as the service makes them: an orderly queue is popped
// in order only.
func randomEntries(r *rand.Rand, n int) []entry {
	t := newTables()
	var list []entry
	for now := int64(1000); len(list) < n; now += r.Int64N(3) {
		key := Key{Topic: "t", Group: "g", Queue: r.Int32N(4)}
		q := t.get(key)
		e := entry{key: key, popTime: now, until: now + r.Int64N(100)}
		var held []int64
		switch {
		case r.IntN(30) == 0:
			e.kind, e.next = kindMove, r.Int64N(q.next+1)
		case key.Queue == 0 && q.order == nil:
			e.kind, e.next, e.offsets = kindOrder, q.next, []int64{q.next, q.next + 2}
			e.untils, e.counts = []int64{e.until, e.until}, []int32{0, 1}
		case key.Queue == 0:
			e.kind, e.popTime = kindOrderSettle, q.order.popTime
			e.offsets = []int64{q.order.offsets[r.IntN(2)]}
		case r.IntN(3) == 0 || len(q.messages) == 0:
			e.kind, e.offsets, e.next = kindPop, []int64{q.next, q.next + 1, q.next + 4}, q.next+5
		default:
			held = slices.Sorted(maps.Keys(q.messages))
			m := q.messages[held[r.IntN(len(held))]]
			e.popTime, e.offsets = m.popTime, []int64{m.offset}
			if e.kind = kindSettle; r.IntN(3) == 0 {
				e.kind, e.newTime = kindChange, max(now, m.popTime+1)
			}
		}
		t.apply(&e)
		list = append(list, e)
	}
	return list
}

func TestReplayingTwiceDoesNoHarm(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		list := randomEntries(rand.New(rand.NewPCG(seed, 0)), 200)
		want := newTables()
		for _, e := range list {
			want.apply(&e)
		}
		// A state that includes more of the journal than it says.
		r := rand.New(rand.NewPCG(seed, 1))
		upTo, from := 0, r.IntN(len(list))
		upTo = from + r.IntN(len(list)-from)
		s := &Service{tables: *newTables()}
		for _, e := range list[:upTo] {
			s.apply(&e)
		}
		s.journal.end = 7
		loaded := &Service{tables: *newTables()}
		if err := loaded.decode(s.encode()); err != nil || loaded.journal.end != 7 {
			t.Fatal(err, loaded.journal.end)
		}
		if diff := cmp.Diff(s.summary(), loaded.summary(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: the state (-written +read):\n%s", seed, diff)
		}
		for _, e := range list[from:] {
			loaded.apply(&e)
		}
		if diff := cmp.Diff(want.summary(), loaded.summary(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: replayed from %d on a state of %d (-want +got):\n%s", seed, from, upTo, diff)
		}
		messages := 0
		for _, q := range loaded.queues {
			messages += len(q.messages)
		}
		if loaded.total != messages {
			t.Errorf("seed %d: %d messages are counted as %d", seed, messages, loaded.total)
		}
	}
}
