package meta

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestChangesAreKnownOneByOneUpToABound(t *testing.T) {
	t.Parallel()
	topics := open(t, options(vfs.NewMem())).Topics
	update := func(topic string) protocol.DataVersion {
		t.Helper()
		if _, err := topics.Update(protocol.TopicConfig{TopicName: topic, ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6}, ""); err != nil {
			t.Fatal(err)
		}
		topics.mu.RLock()
		defer topics.mu.RUnlock()
		return topics.version
	}
	base := topics.Snapshot().DataVersion
	want := func(since protocol.DataVersion, names ...string) {
		t.Helper()
		table, ok := topics.ChangedSince(since, nil)
		if diff := cmp.Diff(names, slices.Sorted(maps.Keys(table.Configs))); !ok || diff != "" || table.DataVersion != topics.Snapshot().DataVersion {
			t.Errorf("since version %d: %v, %v, %s", since.Counter, ok, table.DataVersion, diff)
		}
	}
	want(base)
	one := update("one")
	two := update("two")
	want(base, "one", "two")
	want(one, "two")
	want(two)
	topics.Delete("one")
	want(base, "two")
	var versions []protocol.DataVersion
	for i := range 3 * maxRecent {
		versions = append(versions, update(fmt.Sprint("many-", i)))
	}
	if _, ok := topics.ChangedSince(base, nil); ok {
		t.Error("a change is known after so many others")
	}
	last := len(versions) - 1
	table, ok := topics.ChangedSince(versions[last-maxRecent/2], nil)
	if !ok || len(table.Configs) != maxRecent/2 {
		t.Errorf("%d of the last %d changes are known", len(table.Configs), maxRecent/2)
	}
	if n := len(topics.recent.changes); n > maxRecent {
		t.Errorf("%d changes are remembered", n)
	}
	topics.NewVersion()
	if _, ok := topics.ChangedSince(versions[last], nil); ok {
		t.Error("changes before a new version are known one by one")
	}
}

// A file that takes long to write is not written all the time.
func TestAFileThatIsSlowToWriteRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow = 100 * time.Millisecond
		var writes atomic.Int64
		fsys := vfs.NewMem()
		m := open(t, options(fsys))
		if err := m.WaitSaved(t.Context()); err != nil {
			t.Fatal(err)
		}
		f, encode := m.Topics.file, m.Topics.file.encode
		f.encode = func() ([]byte, error) { // nothing is to write yet
			writes.Add(1)
			time.Sleep(slow)
			return encode()
		}
		for range 100 {
			m.Topics.NewVersion()
			time.Sleep(slow)
		}
		if n := writes.Load(); n < 18 || n > 22 {
			t.Errorf("%d writes of %s in 10 s, want a fifth of the time", n, slow)
		}
		time.Sleep(maxRest + slow)
		synctest.Wait()
		m.Topics.NewVersion()
		began := time.Now()
		time.Sleep(slow / 2)
		m.Topics.NewVersion() // which asks for a second write
		if err := m.WaitSaved(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 2*slow {
			t.Errorf("saved after %s by who waits, want after %s", d, 2*slow)
		}
	})
}
