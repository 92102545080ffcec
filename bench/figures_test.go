package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// figureServer starts a standalone server that ends with the test.
func figureServer(t *testing.T) *liteProcess {
	t.Helper()
	if !hasProc {
		t.Skip("memory is measured on Linux only")
	}
	if raceDetector {
		t.Skip("left out: figures are of another process, and of no use beside the race detector; run without -race")
	}
	dir := t.TempDir()
	binary, err := buildServer(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := startLite(t.Context(), binary, filepath.Join(dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// makeTopics makes so many topics, one with a request (code 17), over 4 connections.
func makeTopics(t *testing.T, p *liteProcess, n int) {
	t.Helper()
	const wires = 4
	var wg sync.WaitGroup
	for first := range wires {
		w, err := dialWire(t.Context(), p.broker)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		wg.Go(func() {
			for i := first; i < n; i += wires {
				if _, _, err := w.ask(codeCreateTopic, map[string]string{
					"topic": "topic-" + strconv.Itoa(i), "defaultTopic": "TBW102", "readQueueNums": "8", "writeQueueNums": "8",
					"perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
				}); err != nil {
					t.Errorf("topic %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func resident(t *testing.T, p *liteProcess) int64 {
	t.Helper()
	n, err := residentBytes(p.pid())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnIdleServerWith100TopicsIsSmall(t *testing.T) {
	p := figureServer(t)
	makeTopics(t, p, 100)
	if err := pass(t.Context(), idleFor); err != nil {
		t.Fatal(err)
	}
	n := resident(t, p)
	t.Logf("%d KiB are resident", n>>10)
	if n >= 40<<20 {
		t.Errorf("%d bytes are resident, want less than 40 MiB", n)
	}
}

func TestTenThousandTopicsAreMadeAndRouted(t *testing.T) {
	p := figureServer(t)
	const topics = 10_000
	began := time.Now()
	makeTopics(t, p, topics)
	made := time.Since(began)
	w, err := dialWire(t.Context(), p.nameServer)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for i := range topics {
		if _, _, err := w.ask(codeGetRoute, map[string]string{"topic": "topic-" + strconv.Itoa(i)}); err != nil {
			t.Fatalf("the route of topic %d: %v", i, err)
		}
	}
	t.Logf("made in %v, all routes asked for after %v, %d MiB are resident", made, time.Since(began), resident(t, p)>>20)
	if made > 20*time.Second {
		t.Errorf("it took %v to make %d topics one by one, want 20 s at most", made, topics)
	}
	if n := resident(t, p); n >= 200<<20 {
		t.Errorf("%d bytes are resident, want less than 200 MiB", n)
	}
}

// TestAThousandParkedPullsWakeAtOnce measures from the send's answer to the last
// pull's. The best round counts, and there are more until one is good: what the machine
// does meanwhile, with other tests beside it, is not the server's.
func TestAThousandParkedPullsWakeAtOnce(t *testing.T) {
	p := figureServer(t)
	makeTopics(t, p, 1)
	const (
		pulls, rounds = 1000, 20
		limit         = 50 * time.Millisecond
	)
	wires := make([]*wire, pulls)
	for i := range wires {
		w, err := dialWire(t.Context(), p.broker)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		wires[i] = w
	}
	sender, err := dialWire(t.Context(), p.broker)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.close()
	var took []time.Duration
	for round := 0; round < rounds && (round == 0 || slices.Min(took) >= limit); round++ {
		took = append(took, wakeAll(t, sender, wires, round))
	}
	t.Logf("%d pulls are answered after %v", pulls, took)
	if best := slices.Min(took); best >= limit {
		t.Errorf("%v passed before the last of %d pulls was answered, want less than %v", best, pulls, limit)
	}
}

func wakeAll(t *testing.T, sender *wire, wires []*wire, round int) time.Duration {
	t.Helper()
	var wg sync.WaitGroup
	woken := make([]time.Time, len(wires))
	for i, w := range wires {
		wg.Go(func() {
			_, body, err := w.ask(codePull, map[string]string{
				"consumerGroup": fmt.Sprint("group-", i), "topic": "topic-0", "queueId": "0", "queueOffset": strconv.Itoa(round), "maxMsgNums": "32",
				"sysFlag": "6", "commitOffset": "0", "suspendTimeoutMillis": "9000", "subscription": "*", "subVersion": "0", "expressionType": "TAG",
			})
			if woken[i] = time.Now(); err != nil || len(body) == 0 {
				t.Errorf("pull %d: %d bytes, %v", i, len(body), err)
			}
		})
	}
	if err := pass(context.Background(), time.Second); err != nil { // they are parked
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, err := sender.askWith(codeSend, map[string]string{
		"producerGroup": "senders", "topic": "topic-0", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4", "queueId": "0", "sysFlag": "0",
		"bornTimestamp": "0", "flag": "0", "properties": "", "reconsumeTimes": "0", "unitMode": "false", "batch": "false",
	}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return slices.MaxFunc(woken, time.Time.Compare).Sub(began)
}
