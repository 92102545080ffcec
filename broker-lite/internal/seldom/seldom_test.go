package seldom

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWarningsOfAKindAreLimitedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := slog.New(Handler(slog.NewTextHandler(&b, nil)))
		lines := func(want int) []string {
			t.Helper()
			list := strings.Split(strings.TrimSpace(b.String()), "\n")
			if b.Reset(); len(list) != want {
				t.Fatalf("%d lines, want %d:\n%s", len(list), want, strings.Join(list, "\n"))
			}
			return list
		}
		for i := range 100 {
			log.With("i", i).Warn("refused")
		}
		if list := lines(burst); !strings.Contains(list[burst-1], `"more of these"=`) || strings.Contains(list[burst-2], "more") {
			t.Errorf("the last of many: %s", list[burst-1])
		}
		log.Warn("another kind")
		for range 2 * burst {
			log.Error("refused")
			log.Info("refused")
		}
		lines(1 + 4*burst)
		time.Sleep(period)
		log.Warn("refused")
		if list := lines(1); !strings.Contains(list[0], `"left out before"=90`) {
			t.Errorf("a minute later: %s", list[0])
		}
		for i := range 2 * maxKinds {
			log.Warn(fmt.Sprint(i))
		}
		if n := strings.Count(b.String(), "\n"); n > maxKinds+burst {
			t.Errorf("%d lines of kinds without end", n)
		}
	})
}
