package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/internal/testdb"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/outbox"
)

// relayAt has a process relay the outbox of that database file, to the name server that
// follows, until it is killed.
const relayAt = "ROCKETKIT_TEST_RELAY"

func relayUntilKilled() int {
	file, nameServer, _ := strings.Cut(os.Getenv(relayAt), "|")
	if err := relayFor(context.Background(), file, nameServer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func relayFor(ctx context.Context, file, nameServer string) error {
	db, err := sql.Open("sqlite", testdb.SQLite(file))
	if err != nil {
		return err
	}
	box, err := outbox.New(outbox.SQLite, outbox.Table("box"))
	if err != nil {
		return err
	}
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{nameServer}})
	if err != nil {
		return err
	}
	p, err := client.NewProducer("shop")
	if err != nil {
		return err
	}
	relay, err := box.NewRelay(db, p, outbox.Poll(5*time.Millisecond), outbox.Lease(time.Second), outbox.Batch(20), outbox.Backoff(50*time.Millisecond, time.Second))
	if err != nil {
		return err
	}
	return rocketkit.Run(ctx, client, p, relay)
}

// Processes that relay are killed, two of them at a time, at any moment: after a commit,
// while they send, between a send and its note. Everything arrives, each key in its order,
// and with a de-duplicating consumer once.
func TestKilledRelaysLoseNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "db")
	w := newWorld(t, testdb.Use(t, "sqlite", testdb.SQLite(file)), outbox.SQLite)
	const keys, each = 4, 100
	var mu sync.Mutex
	arrived, handled := make(map[string][]int), make(map[string]int)
	mux := consumer.NewMux("pay", consumer.From(consumer.First), consumer.Ordered())
	consumer.HandleRaw(mux, "orders", func(_ context.Context, d *message.Delivery) error {
		n, err := strconv.Atoi(string(d.Body))
		mu.Lock()
		defer mu.Unlock()
		arrived[d.ShardingKey()] = append(arrived[d.ShardingKey()], n)
		return err
	})
	once := consumer.NewMux("once", consumer.From(consumer.First), consumer.Deduplicate(dedup.NewMemory()))
	consumer.HandleRaw(once, "orders", func(_ context.Context, d *message.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		handled[d.ShardingKey()+" "+string(d.Body)]++
		return nil
	})
	for _, m := range []*consumer.Mux{mux, once} {
		c, err := w.client.NewConsumer(m)
		w.no(err)
		w.no(c.Start(t.Context()))
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range each {
			for k := range keys {
				if err := w.box.Add(context.Background(), w.db, text(strconv.Itoa(i), fmt.Sprint("k", k))); err != nil {
					t.Error(err)
				}
			}
			<-time.After(10 * time.Millisecond)
		}
	})
	relays := make([]*exec.Cmd, 2)
	spawn := func(i int) {
		relays[i] = exec.Command(os.Args[0])
		relays[i].Env = append(os.Environ(), relayAt+"="+file+"|"+w.broker.NameServer())
		relays[i].Stderr = os.Stderr
		w.no(relays[i].Start())
	}
	kill := func(i int) {
		if relays[i] == nil || relays[i].Process == nil {
			return // it has not begun
		}
		if err := relays[i].Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = relays[i].Wait() // which says that it was killed
	}
	killed := make([]bool, len(relays))
	defer func() {
		for i, gone := range killed {
			if !gone {
				kill(i)
			}
		}
	}()
	spawn(0)
	spawn(1)
	for round := range 4 {
		before := w.rows(stateSent)
		w.until("something is sent", func() bool { return w.rows(stateSent) > before+10 || w.rows(stateSent) == keys*each })
		kill(round % 2)
		spawn(round % 2)
	}
	writing.Wait()
	w.until("all is sent", func() bool { return w.rows(stateSent) == keys*each })
	for i := range relays {
		kill(i)
		killed[i] = true
	}
	count := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, ns := range arrived {
			seen := make(map[int]bool)
			for _, v := range ns {
				seen[v] = true
			}
			n += len(seen)
		}
		return min(n, len(handled))
	}
	w.until("all has arrived", func() bool { return count() == keys*each })
	mu.Lock()
	defer mu.Unlock()
	total := 0
	for key, ns := range arrived {
		next := 0
		total += len(ns)
		for _, n := range ns {
			if n > next {
				t.Fatalf("key %s: %d arrived when %d was next: %v", key, n, next, ns)
			}
			next = max(next, n+1)
		}
	}
	for what, n := range handled {
		if n != 1 {
			t.Errorf("%s was handled %d times", what, n)
		}
	}
	t.Logf("%d messages, %d arrivals", keys*each, total)
}
