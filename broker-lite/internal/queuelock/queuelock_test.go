package queuelock

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func queues(ids ...int32) []protocol.MessageQueue {
	var list []protocol.MessageQueue
	for _, id := range ids {
		list = append(list, protocol.MessageQueue{BrokerName: "a", Topic: "t", QueueID: id})
	}
	return list
}

func (t *Table) expect(tt *testing.T, what, group, client string, ask, want []protocol.MessageQueue) {
	tt.Helper()
	if diff := cmp.Diff(want, t.Lock(group, client, ask)); diff != "" {
		tt.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func TestAQueueIsOneClientsUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := New(nil)
		table.expect(t, "free queues", "g", "one", queues(0, 1, 2), queues(0, 1, 2))
		table.expect(t, "another's", "g", "two", queues(1, 2, 3), queues(3))
		table.expect(t, "of another group", "h", "two", queues(1, 2), queues(1, 2))
		time.Sleep(40 * time.Second)
		table.expect(t, "its own again", "g", "one", queues(1), queues(1))
		time.Sleep(20 * time.Second)
		table.expect(t, "at the end of its time", "g", "two", queues(0), nil)
		time.Sleep(time.Millisecond)
		table.expect(t, "what has ended", "g", "two", queues(0, 1), queues(0))
		if !table.Locked("g") || table.Locked("h") || table.Locked("x") {
			t.Error("locked: g", table.Locked("g"), "h", table.Locked("h"), "x", table.Locked("x"))
		}
		time.Sleep(Expiry + time.Millisecond)
		if table.Locked("g") || table.Locked("h") {
			t.Error("locked for ever")
		}
	})
}

// asking is a log that asks the table: no line may come with its lock held.
type asking struct {
	slog.Handler
	table **Table
}

func (asking) Enabled(context.Context, slog.Level) bool { return true }

func (a asking) WithAttrs([]slog.Attr) slog.Handler { return a }

func (a asking) Handle(context.Context, slog.Record) error {
	(*a.table).Locked("g")
	return nil
}

func TestOnlyItsOwnerUnlocksAQueue(t *testing.T) {
	t.Parallel()
	var table *Table
	table = New(slog.New(asking{slog.DiscardHandler, &table}))
	table.Lock("g", "one", queues(0, 1))
	table.Unlock("g", "two", queues(0))
	table.Unlock("h", "one", queues(0))
	table.expect(t, "after another's unlock", "g", "two", queues(0, 1), nil)
	table.Unlock("g", "one", queues(0, 7))
	table.expect(t, "after its own", "g", "two", queues(0, 1), queues(0))
	table.Unlock("g", "one", queues(1))
	table.Unlock("g", "two", queues(0))
	if table.Locked("g") || len(table.groups) != 0 || table.count != 0 {
		t.Errorf("left: %v, %d", table.groups, table.count)
	}
}

func TestEndedLocksAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := New(nil)
		many := make([]int32, minSweep)
		for i := range many {
			many[i] = int32(i)
		}
		table.Lock("old", "one", queues(many...))
		time.Sleep(Expiry + time.Second)
		table.Lock("new", "one", queues(1))
		if table.count != 1 || len(table.groups) != 1 {
			t.Errorf("%d locks of %d groups", table.count, len(table.groups))
		}
	})
}

func TestTheTableIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := New(nil)
		many := make([]int32, maxLocks+10)
		for i := range many {
			many[i] = int32(i)
		}
		if got := len(table.Lock("g", "one", queues(many...))); got != maxLocks || table.count != maxLocks {
			t.Errorf("%d locked, %d counted", got, table.count)
		}
		time.Sleep(Expiry + time.Second)
		table.expect(t, "when they have ended", "h", "two", queues(1), queues(1))
		table.expect(t, "names of kilobytes", strings.Repeat("g", maxNames), "one", queues(1), nil)
	})
}
