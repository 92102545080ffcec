package meta

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestAChangedTopicIsWrittenAtOnceAndSurvivesAKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := open(t, options(fsys))
		synctest.Wait()
		if _, err := m.Topics.CreateForSend("orders", DefaultTopic, 4, 0); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Groups.Find("g"); !ok {
			t.Fatal("no group")
		}
		start := time.Now()
		synctest.Wait() // no time passes
		must(t, time.Since(start) == 0, "time passed")
		back := reopen(t, fsys)
		if diff := cmp.Diff(m.Topics.Snapshot().Configs, back.Topics.Snapshot().Configs); diff != "" {
			t.Errorf("topics (-before +after):\n%s", diff)
		}
		if _, ok := back.Groups.Get("g"); !ok {
			t.Error("the group is lost")
		}
		if a, b := m.Topics.Snapshot().DataVersion, back.Topics.Snapshot().DataVersion; a != b {
			t.Errorf("a restart without changes made data version %+v of %+v", b, a)
		}
	})
}

func TestChangesThatComeTogetherAreOneWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var blocked bool
		w := &writes{n: map[string]int{}}
		fsys := vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{After: w.after, Before: func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpSync && strings.Contains(c.Path, "topics.json") && !blocked {
				blocked = true // only topics' own goroutine comes here
				<-release
			}
			return vfs.Fault{}
		}})
		m := open(t, options(fsys))
		synctest.Wait() // the first write hangs in its sync
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if _, err := m.Topics.CreateForSend(fmt.Sprintf("topic-%d", i), DefaultTopic, 4, 0); err != nil {
					t.Error(err)
				}
				if err := m.WaitSaved(t.Context()); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if n := w.of("topics.json"); n != 2 {
			t.Errorf("%d writes, want the one that was slow and one for all 100 topics", n)
		}
		if got := strings.Count(readFile(t, fsys, "topics.json"), `"topicName": "topic-`); got != 100 {
			t.Errorf("%d of 100 topics in the file", got)
		}
	})
}

func TestWhatWasSavedSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		fsys := vfs.NewMem()
		m := open(t, options(fsys))
		for i := range 3 {
			if _, err := m.Topics.CreateForSend(fmt.Sprintf("t%d", i), DefaultTopic, 4, 0); err != nil {
				t.Fatal(err)
			}
			m.Offsets.Commit("g", fmt.Sprintf("t%d", i), 0, int64(i)+1)
			if err := m.WaitSaved(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		back := open(t, options(fsys.Crash(seed)))
		for i := range 3 {
			name := fmt.Sprintf("t%d", i)
			if _, ok := back.Topics.Get(name); !ok {
				t.Errorf("seed %d: topic %s is lost", seed, name)
			}
			if off, _ := back.Offsets.Query("g", name, 0); off != int64(i)+1 {
				t.Errorf("seed %d: offset of %s is %d", seed, name, off)
			}
		}
	}
}

func TestADamagedFileIsReplacedByItsBackupOrRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"topics.json", "subscriptionGroup.json", "consumerOffset.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := vfs.NewMem()
			install(t, fsys, "5.4.0")
			good := readFile(t, fsys, name)
			put(t, fsys, name, good[:len(good)/2])
			if _, err := Open(options(fsys)); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "move them away") {
				t.Fatalf("half a file and no backup: %v", err)
			}
			put(t, fsys, name+".bak", good)
			m := open(t, options(fsys))
			if _, ok := m.Topics.Get("made"); !ok {
				t.Error("the topic is lost")
			}
			if _, ok := m.Groups.Get("cg1"); !ok {
				t.Error("the group is lost")
			}
			if off, _ := m.Offsets.Query("cg1", "made", 2); off != 7 {
				t.Error("the offset is lost")
			}
		})
	}
}

func TestAWriteThatFailsIsSaidOnceAndRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem, bad, log := vfs.NewMem(), new(failing), new(logBuffer)
		o := options(vfs.NewFaulty(mem, vfs.Hooks{Before: bad.before}))
		o.Logger = logTo(log)
		m := open(t, o)
		synctest.Wait()
		bad.on.Store(true)
		if _, err := m.Topics.CreateForSend("orders", DefaultTopic, 4, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.WaitSaved(t.Context()); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "topics.json") {
			t.Errorf("WaitSaved: %v", err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "is not saved"); n != 1 {
			t.Errorf("the failure was logged %d times in 10 minutes:\n%s", n, log)
		}
		bad.on.Store(false)
		time.Sleep(retryAfter)
		synctest.Wait()
		if n := strings.Count(log.String(), "is saved again"); n != 1 {
			t.Errorf("the end of it was logged %d times", n)
		}
		if _, ok := reopen(t, mem).Topics.Get("orders"); !ok {
			t.Error("the topic is not on disk")
		}
		if err := m.WaitSaved(t.Context()); err != nil {
			t.Errorf("WaitSaved: %v", err)
		}
	})
}

func TestWaitSavedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		m := open(t, options(vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpSync {
				<-release
			}
			return vfs.Fault{}
		}})))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.WaitSaved(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		close(release)
	})
}

func TestCloseWritesWhatHasChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys, bad := vfs.NewMem(), new(failing)
		m, err := Open(options(fsys))
		if err != nil {
			t.Fatal(err)
		}
		m.Offsets.Commit("g", "t", 3, 42)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		back, err := Open(options(vfs.NewFaulty(fsys, vfs.Hooks{Before: bad.before})))
		if err != nil {
			t.Fatal(err)
		}
		if off, _ := back.Offsets.Query("g", "t", 3); off != 42 {
			t.Errorf("offset %d", off)
		}
		back.Offsets.Commit("g", "t", 3, 43)
		bad.on.Store(true)
		if err := back.Close(); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "consumerOffset.json") {
			t.Errorf("Close on a disk that refuses: %v", err)
		}
	})
}

func TestTheTablesBearManyAtOnce(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	m := open(t, options(fsys))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 50 {
				topic, group := fmt.Sprintf("t%d", j%10), fmt.Sprintf("g%d", i)
				if _, err := m.Topics.CreateForSend(topic, DefaultTopic, 4, 0); err != nil {
					t.Error(err)
				}
				m.Groups.Find(group)
				m.Offsets.Commit(group, topic, int32(j%4), int64(j))
				m.Offsets.Query(group, topic, 0)
				m.Topics.Snapshot()
				m.Offsets.GroupsOf(topic)
			}
		}()
	}
	wg.Wait()
	if err := m.WaitSaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := reopen(t, fsys)
	if diff := cmp.Diff(m.Topics.Names(), back.Topics.Names()); diff != "" {
		t.Errorf("topics (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(m.Groups.Names(), back.Groups.Names()); diff != "" {
		t.Errorf("groups (-before +after):\n%s", diff)
	}
	for i := range 8 {
		group := fmt.Sprintf("g%d", i)
		if diff := cmp.Diff(m.Offsets.Queues(group, "t7"), back.Offsets.Queues(group, "t7")); diff != "" {
			t.Errorf("offsets of %s (-before +after):\n%s", group, diff)
		}
	}
}

func TestWhatEveryMessageAsksForDoesNotAllocate(t *testing.T) {
	m := open(t, options(vfs.NewMem()))
	if _, err := m.Topics.CreateForSend("orders", DefaultTopic, 4, 0); err != nil {
		t.Fatal(err)
	}
	m.Groups.Find("g")
	m.Offsets.Commit("g", "orders", 0, 0)
	if err := m.WaitSaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	var offset int64
	for name, f := range map[string]func(){
		"Topics.Get":           func() { m.Topics.Get("orders") },
		"Topics.CreateForSend": func() { _, _ = m.Topics.CreateForSend("orders", DefaultTopic, 4, 0) },
		"Groups.Find":          func() { m.Groups.Find("g") },
		"Offsets.Query":        func() { m.Offsets.Query("g", "orders", 0) },
		"Offsets.Commit":       func() { offset++; m.Offsets.Commit("g", "orders", 0, offset) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkCommitOffset(b *testing.B) {
	m, err := Open(options(vfs.NewMem()))
	if err != nil {
		b.Fatal(err)
	}
	var offset int64
	for b.Loop() {
		offset++
		m.Offsets.Commit("group", "topic", int32(offset%8), offset)
	}
	if err := m.Close(); err != nil {
		b.Fatal(err)
	}
}
