package redeliver

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// scripted is an appender that fails where a test wants it to.
type scripted struct {
	fail map[int]error
	n    int
}

func (s *scripted) Append(a *store.Append) {
	r := store.AppendResult{QueueOffset: int64(s.n), Err: s.fail[s.n]}
	s.n++
	go a.Done.Appended(r)
}

func TestAGroupCountsWhatIsStoredWithoutAGap(t *testing.T) {
	t.Parallel()
	boom, bang := errors.New("boom"), errors.New("bang")
	for _, test := range []struct {
		name   string
		fail   map[int]error
		stored int
		err    error
	}{
		{"all", nil, 5, nil},
		{"the first fails", map[int]error{0: boom}, 0, boom},
		{"two fail", map[int]error{2: boom, 3: bang}, 2, boom},
		{"the last fails", map[int]error{4: bang}, 4, bang},
		{"one can never be stored", map[int]error{1: store.ErrBadAppend, 2: store.ErrTooLarge}, 5, nil},
		{"one can never be stored, another not now", map[int]error{1: store.ErrBadAppend, 3: boom}, 3, boom},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := NewGroup(&scripted{fail: test.fail})
			for round := range 2 {
				if round > 0 {
					g.store.(*scripted).n = 0
				}
				for i := range 5 {
					r := &protocol.Record{Topic: "t", Body: []byte(strings.Repeat("x", i*8<<10))}
					if err := g.Append(r, int64(i)); err != nil {
						t.Fatal(err)
					}
				}
				if g.Len() != 5 {
					t.Errorf("%d appends", g.Len())
				}
				var seen []int64
				stored, err := g.Wait(func(i int, r store.AppendResult) { seen = append(seen, r.QueueOffset-int64(i)) })
				if stored != test.stored || !errors.Is(err, test.err) {
					t.Errorf("%d stored, %v", stored, err)
				}
				if fmt.Sprint(seen) != "[0 0 0 0 0]" {
					t.Errorf("results %v", seen)
				}
			}
		})
	}
}

func TestARecordThatCannotBeStoredIsNoPartOfTheGroup(t *testing.T) {
	t.Parallel()
	g := NewGroup(&scripted{})
	if err := g.Append(&protocol.Record{Topic: "t", Properties: make([]byte, 40000)}, 0); !errors.Is(err, protocol.ErrPropertiesTooLong) {
		t.Error(err)
	}
	if n, err := g.Wait(nil); n != 0 || err != nil || g.Len() != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestTheRealTopicIsRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		props string
		topic string
		queue int32
	}{
		{"REAL_TOPIC\x01orders\x02REAL_QID\x013\x02", "orders", 3},
		{"REAL_QID\x013\x02a\x01b\x02REAL_TOPIC\x01x\x02REAL_TOPIC\x01orders", "orders", 3},
		{"REAL_TOPIC\x01orders\x02", "", 0},
		{"REAL_QID\x013\x02", "", 0},
		{"REAL_TOPIC\x01orders\x02REAL_QID\x01-1\x02", "", 0},
		{"REAL_TOPIC\x01orders\x02REAL_QID\x01x\x02", "", 0},
		{"", "", 0},
	} {
		topic, queue, err := Real([]byte(test.props))
		if topic != test.topic || queue != test.queue || (err == nil) != (test.topic != "") {
			t.Errorf("%q: %q %d, %v", test.props, topic, queue, err)
		}
	}
}

func TestLostRecordsAreTold(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		fmt.Errorf("x: %w", store.ErrNoRecord):        true,
		fmt.Errorf("x: %w", &store.CorruptionError{}): true,
		store.ErrClosed: false,
		&store.WriteError{File: "f", Err: errors.New("x")}: false,
	} {
		if Lost(err) != want {
			t.Errorf("%v: %t", err, !want)
		}
	}
}
