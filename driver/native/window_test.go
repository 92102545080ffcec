package native

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rocketkit/rocketkit/message"
)

func pushed(w *window, offset, size int64) *slot {
	return w.push(slot{offset: offset, size: size, state: slotOut, d: &message.Delivery{QueueOffset: offset}})
}

func TestWindowCommitsUpToTheSmallestUnfinishedOffset(t *testing.T) {
	t.Parallel()
	var w window
	if got := w.low(7); got != 7 {
		t.Errorf("empty: low %d, want the next offset 7", got)
	}
	for _, o := range []int64{10, 11, 14, 15} {
		pushed(&w, o, 100)
	}
	steps := []struct{ finish, low int64 }{
		{11, 10}, {15, 10}, {10, 14}, {14, 20},
	}
	for _, s := range steps {
		w.finish(w.find(s.finish))
		if got := w.low(20); got != s.low {
			t.Errorf("after %d: low %d, want %d", s.finish, got, s.low)
		}
	}
	if w.live != 0 || w.bytes != 0 || w.n != 0 {
		t.Errorf("left: %d live, %d bytes, %d slots", w.live, w.bytes, w.n)
	}
}

func TestWindowFindsOnlyWhatIsUnfinished(t *testing.T) {
	t.Parallel()
	var w window
	if w.find(0) != nil {
		t.Error("found in an empty window")
	}
	for o := int64(5); o < 200; o += 3 {
		pushed(&w, o, 1)
	}
	w.finish(w.find(8))
	for o := int64(-1); o < 210; o++ {
		s := w.find(o)
		want := o >= 5 && o < 200 && (o-5)%3 == 0 && o != 8
		if (s != nil) != want || s != nil && s.offset != o {
			t.Errorf("offset %d: %+v", o, s)
		}
	}
}

// TestWindowAgreesWithAModel compares with a sorted list over random histories.
func TestWindowAgreesWithAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w window
		var open []int64
		next, bytes := int64(0), int64(0)
		for range 2000 {
			if len(open) == 0 || r.IntN(2) == 0 && len(open) < 300 {
				next += int64(r.IntN(3)) // gaps, as filtered messages leave
				pushed(&w, next, next%7)
				open, bytes = append(open, next), bytes+next%7
				next++
				continue
			}
			i := r.IntN(len(open))
			w.finish(w.find(open[i]))
			bytes -= open[i] % 7
			open = slices.Delete(open, i, i+1)
			low := next
			if len(open) > 0 {
				low = open[0]
			}
			if w.low(next) != low || w.live != len(open) || w.bytes != bytes {
				t.Fatalf("seed %d: low %d live %d bytes %d, want %d %d %d", seed, w.low(next), w.live, w.bytes, low, len(open), bytes)
			}
		}
	}
}

func TestWindowDoesNotKeepAFinishedDelivery(t *testing.T) {
	t.Parallel()
	var w window
	pushed(&w, 1, 1)
	pushed(&w, 2, 1)
	w.finish(w.find(2)) // not at the front: its slot stays
	if s := w.at(1); s.state != slotDone || s.d != nil {
		t.Errorf("slot of a finished message: %+v", s)
	}
}
