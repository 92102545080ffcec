package protocol

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var idAddr = netip.MustParseAddr("192.168.1.2")

// addIDs puts n new ids of g into seen and fails when one is there already.
func addIDs(t *testing.T, seen map[string]bool, g *IDGenerator, n int) {
	t.Helper()
	for range n {
		id := g.Next()
		if seen[id] {
			t.Fatalf("id %s was given out twice, after %d", id, len(seen))
		}
		seen[id] = true
	}
}

// rocketmq-client-go's ids collide above 65,536 in a millisecond. In the bubble
// the clock stands still, so all of these fall into one.
func TestAMillionIDsInOneMillisecondDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewIDGenerator(idAddr, 4242)
		last := g.Next()
		for i := range 1_000_000 {
			id := g.Next()
			if id <= last { // ids of one month rise, so none comes twice
				t.Fatalf("id %d is %s after %s", i, id, last)
			}
			last = id
		}
	})
}

func TestIDsOfSeveralGeneratorsOfOneProcessDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[string]bool)
		for range 20 {
			addIDs(t, seen, NewIDGenerator(idAddr, 4242), 5000)
		}
	})
}

func TestIDsMadeAtTheSameTimeDiffer(t *testing.T) {
	t.Parallel()
	g := NewIDGenerator(idAddr, 1)
	var mu sync.Mutex // guards the following
	seen := make(map[string]bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ids := make([]string, 5000)
			for i := range ids {
				ids[i] = g.Next()
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				if seen[id] {
					t.Errorf("id %s was given out twice", id)
				}
				seen[id] = true
			}
		})
	}
	wg.Wait()
	if len(seen) != 8*5000 {
		t.Errorf("%d ids", len(seen))
	}
}

// The layout holds the time since the month began, so the carry of a busy last
// millisecond goes over into the next month.
func TestIDsDifferAcrossTheEndOfTheMonth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewIDGenerator(idAddr, 4242)
		now := time.Now()
		end := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, now.Location())
		time.Sleep(end.Sub(now) - time.Millisecond)
		seen := make(map[string]bool)
		addIDs(t, seen, g, 70_000)
		u, err := ParseUniqueID(g.Next(), end.Add(time.Second))
		if err != nil || u.Time.Before(end) {
			t.Errorf("the carry gives %s, %v", u.Time, err)
		}
		if id := g.Next(); id[20:28] > "000003E8" {
			t.Errorf("the time in %s did not begin anew", id)
		}
		time.Sleep(time.Second)
		addIDs(t, seen, g, 70_000)
		if u, err := ParseUniqueID(g.Next(), end.Add(time.Hour)); err != nil || !u.Time.Equal(end.Add(time.Second)) {
			t.Errorf("a second later: %s, %v", u.Time, err)
		}
	})
}

func TestAnIDSaysWhereAndWhenItWasMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for ip, want := range map[string]struct {
			length int
			ip     string
		}{
			"192.168.1.2":        {32, "192.168.1.2"},
			"::ffff:192.168.1.2": {32, "192.168.1.2"},
			"2001:db8::a:1":      {56, "2001:db8::a:1"},
		} {
			time.Sleep(12345 * time.Millisecond)
			id := NewIDGenerator(netip.MustParseAddr(ip), 70000).Next()
			u, err := ParseUniqueID(id, time.Now().Add(time.Millisecond))
			if err != nil || len(id) != want.length || id != strings.ToUpper(id) {
				t.Errorf("%s: %q, %v", ip, id, err)
			}
			if u.IP.String() != want.ip || u.PID != 70000-65536 || !u.Time.Equal(time.Now()) {
				t.Errorf("%s: %+v at %s", ip, u, time.Now())
			}
		}
	})
}

func TestAnUnknownAddressIsReplacedByChance(t *testing.T) {
	t.Parallel()
	a, b := NewIDGenerator(netip.Addr{}, 1).Next(), NewIDGenerator(netip.Addr{}, 1).Next()
	if len(a) != 32 || a[:8] == b[:8] {
		t.Errorf("%s and %s", a, b)
	}
}

func TestATimeAheadOfNowCountsAsLastMonths(t *testing.T) {
	t.Parallel()
	// 2 days after the month began, seen on the first day and on the third.
	const id = "7F0000011092B4AAC21E0A4CB80000A1"
	for now, want := range map[string]string{
		"2024-03-01T12:00:00Z":      "2024-02-03T00:00:00Z",
		"2024-03-03T00:00:01Z":      "2024-03-03T00:00:00Z",
		"2024-01-01T00:00:00Z":      "2023-12-03T00:00:00Z",
		"2024-03-03T00:00:01+08:00": "2024-03-03T00:00:00+08:00",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		u, err := ParseUniqueID(id, at)
		if err != nil || u.Time.Format(time.RFC3339) != want {
			t.Errorf("at %s: %s, %v; want %s", now, u.Time, err, want)
		}
	}
	for _, id := range []string{"", "7F", strings.Repeat("Z", 32), strings.Repeat("0", 1<<20)} {
		if _, err := ParseUniqueID(id, time.Now()); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.40q: got %.200v", id, err)
		}
	}
}

func TestAnIDIsAppendedWithoutAllocating(t *testing.T) {
	g := NewIDGenerator(idAddr, 1)
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { buf = g.AppendNext(buf[:0]) }); n != 0 {
		t.Errorf("AppendNext allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = g.Next() }); n > 1 {
		t.Errorf("Next allocates %v times", n)
	}
}

func BenchmarkNextID(b *testing.B) {
	g := NewIDGenerator(idAddr, 1)
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = g.AppendNext(buf[:0])
	}
}
