package deduptest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/dedup"
)

// Subject is a store under test.
type Subject struct {
	// New makes an empty store.
	New func(t *testing.T) dedup.Store
	// Elapse lets the store's time pass; nil waits.
	Elapse func(d time.Duration)
}

// Run holds a store to what dedup.Store says.
func Run(t *testing.T, s Subject) {
	if s.Elapse == nil {
		s.Elapse = func(d time.Duration) { <-time.After(d) }
	}
	for name, check := range map[string]func(*tester){
		"what is claimed is busy for others until it is released":    released,
		"what is done stays so until it is forgotten":                done,
		"a claim lapses, and its holder cannot release the next one": lapsed,
		"who is late completes all the same":                         late,
		"of many that claim at once one gets it":                     race,
		"keys differ by case, space and length":                      keys,
	} {
		t.Run(name, func(t *testing.T) { check(&tester{T: t, Subject: s, store: s.New(t)}) })
	}
}

// tester is a check under way.
type tester struct {
	*testing.T
	Subject
	store dedup.Store
}

// long is a time that does not pass during a test, short one that is waited for.
const (
	long  = time.Hour
	short = 50 * time.Millisecond
)

func (t *tester) claim(key string, lease time.Duration, want dedup.State) dedup.Claim {
	t.Helper()
	c, err := t.store.Claim(context.Background(), key, lease)
	if err != nil {
		t.Fatalf("Claim(%.20q): %v", key, err)
	}
	if c.State != want || c.Key != key || (c.Token == "") == (want == dedup.Claimed) {
		t.Fatalf("Claim(%.20q) = %+v, want it %s", key, c, want)
	}
	return c
}

func (t *tester) no(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func released(t *tester) {
	c := t.claim("a", long, dedup.Claimed)
	t.claim("a", long, dedup.Busy)
	t.claim("b", long, dedup.Claimed)
	t.no(t.store.Release(t.Context(), c))
	t.no(t.store.Release(t.Context(), c))
	if again := t.claim("a", long, dedup.Claimed); again.Token == c.Token {
		t.Error("two claims have one token")
	}
}

func done(t *tester) {
	c := t.claim("a", short, dedup.Claimed)
	t.no(t.store.Complete(t.Context(), c, long))
	t.no(t.store.Complete(t.Context(), c, long))
	t.no(t.store.Release(t.Context(), c))
	t.Elapse(2 * short)
	t.claim("a", long, dedup.Done)
	b := t.claim("b", long, dedup.Claimed)
	t.no(t.store.Complete(t.Context(), b, short))
	t.Elapse(2 * short)
	t.claim("b", long, dedup.Claimed)
}

func lapsed(t *tester) {
	first := t.claim("a", short, dedup.Claimed)
	t.Elapse(2 * short)
	second := t.claim("a", long, dedup.Claimed)
	t.no(t.store.Release(t.Context(), first))
	t.claim("a", long, dedup.Busy)
	t.no(t.store.Release(t.Context(), second))
	t.claim("a", long, dedup.Claimed)
}

func late(t *tester) {
	first := t.claim("a", short, dedup.Claimed)
	t.Elapse(2 * short)
	second := t.claim("a", long, dedup.Claimed)
	t.no(t.store.Complete(t.Context(), first, long))
	t.claim("a", long, dedup.Done)
	t.no(t.store.Release(t.Context(), second))
	t.claim("a", long, dedup.Done)
}

func race(t *tester) {
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 10 {
				c, err := t.store.Claim(context.Background(), fmt.Sprint("key ", i), long)
				switch {
				case err != nil:
					t.Error(err)
				case c.State == dedup.Claimed:
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := got.Load(); got != 10 {
		t.Errorf("10 keys were claimed %d times", got)
	}
}

func keys(t *tester) {
	for _, key := range []string{"key", "KEY", "key ", " key", "kéy", "key'", "key\\", strings.Repeat("k", 254) + "1", strings.Repeat("k", 254) + "2"} {
		t.claim(key, long, dedup.Claimed)
	}
}
