package broker

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPullsLeaveTheHolderOnceHoweverTheyLeave(t *testing.T) {
	t.Parallel()
	left := map[*parked]int{}
	h := &holder{
		longPolling: func() bool { return true }, maxOffset: func(string, int32) int64 { return 0 }, reset: func(string, string, int32) bool { return false },
		queues: map[parkedAt][]*parked{},
	}
	h.open(h.unlist, func(list []*parked) {
		for _, p := range list {
			left[p]++
		}
	})
	defer h.close()
	conns := [4]*remoting.Conn{new(remoting.Conn), new(remoting.Conn), new(remoting.Conn), new(remoting.Conn)}
	rnd := rand.New(rand.NewPCG(1, 2))
	in := 0
	for range 20_000 {
		before := len(left)
		switch conn := conns[rnd.IntN(len(conns))]; rnd.IntN(20) {
		case 0:
			if w := h.conns[conn]; w != nil {
				in -= len(w.all)
			}
			h.drop(conn)
		case 1:
			h.arrived("orders", int32(rnd.IntN(3)), 1, int64(rnd.IntN(3)))
		case 2:
			h.moved([]string{"a", "b"}[rnd.IntN(2)], "orders", int32(rnd.IntN(3)))
		case 3:
			if len(h.deadlines) > 0 {
				h.expire(h.deadlines[len(h.deadlines)/2].deadline)
			}
		default:
			pl := &pull{peer: &peer{conn: conn}, group: []string{"a", "b"}[rnd.IntN(2)], topic: "orders", queueID: int32(rnd.IntN(3)), suspend: time.Duration(rnd.IntN(1e9)) + time.Hour,
				filter: filter{some: true, codes: []int32{int32(rnd.IntN(3))}}}
			if !h.park(pl) {
				t.Fatal("there is room")
			}
			in++
		}
		in -= len(left) - before
		check(t, h, in)
	}
	for _, n := range left {
		if n != 1 {
			t.Fatalf("a pull has left %d times", n)
		}
	}
}

// check looks at whether the holder's three views agree.
func check(t *testing.T, h *holder, in int) {
	t.Helper()
	listed, owned := 0, 0
	for _, list := range h.queues {
		for i, p := range list {
			if p.in != i || p.gone {
				t.Fatalf("at %d is a pull that says %d, gone %t", i, p.in, p.gone)
			}
		}
		listed += len(list)
	}
	for _, w := range h.conns {
		bytes := 0
		for p := range w.all {
			bytes += p.holds
		}
		if bytes != w.bytes {
			t.Fatalf("%d bytes, want %d", w.bytes, bytes)
		}
		owned += len(w.all)
	}
	if listed != in || owned != in || len(h.deadlines) != in || int(h.count.Load()) != in {
		t.Fatalf("%d pulls wait: %d in queues, %d of connections, %d deadlines, count %d", in, listed, owned, len(h.deadlines), h.count.Load())
	}
}

func TestLongExpressionsAreNotKept(t *testing.T) {
	t.Parallel()
	b := &Broker{logger: slog.New(slog.DiscardHandler)}
	var c filterCache
	for _, e := range []struct{ kind, expr string }{
		{"", "a || b"}, {"TAG", strings.Repeat("a", maxCachedExpr+1)}, {"SQL92", "a = 'b'"}, {"SQL92", "a = '" + strings.Repeat("b", maxCachedExpr) + "'"},
	} {
		f, err := b.parseFilter(&c, "orders", e.kind, e.expr)
		if err != nil || !f.some || (f.sql != nil) != (e.kind == "SQL92") {
			t.Fatal(f, err)
		}
	}
	kept := 0
	for _, e := range c.entries {
		kept += len(e.expr)
	}
	if kept != len("a || b")+len("a = 'b'") {
		t.Errorf("%d bytes of expressions are kept", kept)
	}
}

func TestAnExpressionCountsAsWhatAParkedPullHolds(t *testing.T) {
	t.Parallel()
	b := &Broker{logger: slog.New(slog.DiscardHandler)}
	var c filterCache
	f, err := b.parseFilter(&c, "orders", "SQL92", "a = '"+strings.Repeat("b", 60<<10)+"'")
	if err != nil {
		t.Fatal(err)
	}
	pl := pull{filter: f}
	if pl.size() < 16*60<<10 {
		t.Errorf("%d bytes", pl.size())
	}
}
