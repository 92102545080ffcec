package meta

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestOffsetsAreKeptByGroupTopicAndQueue(t *testing.T) {
	t.Parallel()
	o := options(vfs.NewMem())
	log := new(logBuffer)
	o.Logger = logTo(log)
	m := open(t, o)
	if off, ok := m.Offsets.Query("g", "t", 0); ok || off != 0 {
		t.Errorf("before any commit: %d, %v", off, ok)
	}
	m.Offsets.Commit("g", "t", 0, 5)
	m.Offsets.Commit("g", "t", 2, 1<<40)
	m.Offsets.Commit("g", "u", 0, 7)
	m.Offsets.Commit("h", "t", 0, 9)
	m.Offsets.Commit("h", "t", 0, 0) // back to the start is an offset too
	for _, c := range []struct {
		group, topic string
		queue        int32
		want         int64
		ok           bool
	}{{"g", "t", 0, 5, true}, {"g", "t", 1, 0, false}, {"g", "t", 2, 1 << 40, true}, {"g", "u", 0, 7, true}, {"h", "t", 0, 0, true}, {"h", "u", 0, 0, false}} {
		if off, ok := m.Offsets.Query(c.group, c.topic, c.queue); off != c.want || ok != c.ok {
			t.Errorf("%s of %s queue %d: %d, %v", c.group, c.topic, c.queue, off, ok)
		}
	}
	if n := strings.Count(log.String(), "consumer offset goes back"); n != 1 {
		t.Errorf("%d warnings for one offset that goes back", n)
	}
	if diff := cmp.Diff(map[int32]int64{0: 5, 2: 1 << 40}, m.Offsets.Queues("g", "t")); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"t", "u"}, m.Offsets.TopicsOf("g")); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"g", "h"}, m.Offsets.GroupsOf("t")); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	m.Offsets.RemoveGroup("h")
	m.Offsets.RemoveTopic("u")
	if _, ok := m.Offsets.Query("h", "t", 0); ok || len(m.Offsets.TopicsOf("g")) != 1 {
		t.Error("removed offsets are still there")
	}
}

func TestOffsetsAreWrittenFiveSecondsAfterTheFirstChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys, w := counted(vfs.NewMem())
		m := open(t, options(fsys))
		synctest.Wait()
		at := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		at(time.Hour)
		must(t, w.of("consumerOffset.json") == 0, "written without a change")
		for i := range int64(49) { // a commit each 100 ms
			m.Offsets.Commit("g", "t", 0, i)
			at(100 * time.Millisecond)
		}
		must(t, w.of("consumerOffset.json") == 0, "written %d times within 4.9 s", w.of("consumerOffset.json"))
		at(100 * time.Millisecond)
		must(t, w.of("consumerOffset.json") == 1, "written %d times after 5 s", w.of("consumerOffset.json"))
		if got := readFile(t, fsys, "consumerOffset.json"); !strings.Contains(got, "\"t@g\":{0:48}") {
			t.Errorf("the file:\n%s", got)
		}
		m.Offsets.Commit("g", "t", 0, 48) // no change
		at(time.Hour)
		must(t, w.of("consumerOffset.json") == 1, "written %d times, although nothing changed", w.of("consumerOffset.json"))
		m.Offsets.Commit("g", "t", 0, 49)
		if err := m.WaitSaved(t.Context()); err != nil {
			t.Fatal(err)
		}
		must(t, w.of("consumerOffset.json") == 2, "WaitSaved did not write")
	})
}

func TestTheOffsetFileIsApaches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := open(t, options(fsys))
		m.Offsets.Commit("g", "t", 10, 3)
		m.Offsets.Commit("g", "t", 2, 12345678901)
		m.Offsets.Commit("cg1", "%RETRY%cg1", 0, 1)
		if err := m.WaitSaved(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "{\"dataVersion\":{\"counter\":1,\"stateVersion\":0,\"timestamp\":946684800000},\n" +
			"\"offsetTable\":{\n\t\"%RETRY%cg1@cg1\":{0:1},\n\t\"t@g\":{2:12345678901,10:3}\n}}\n"
		if diff := cmp.Diff(want, readFile(t, fsys, "consumerOffset.json")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestFilesThatApacheWroteAreRead(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]map[string]map[int32]int64{
		"5.4.0": {"cg1": {0: 1, 2: 7}},
		"4.9.7": {"cg1": {0: 1, 2: 7}, "other": {1: 12345678901}},
	} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			fsys := vfs.NewMem()
			install(t, fsys, release)
			m := open(t, options(fsys))
			for group, queues := range want {
				if diff := cmp.Diff(queues, m.Offsets.Queues(group, "made")); diff != "" {
					t.Errorf("offsets of %s (-want +got):\n%s", group, diff)
				}
			}
			if c, _ := m.Topics.Get("made"); c.WriteQueueNums != 3 || c.ReadQueueNums != 3 || c.Perm != 6 {
				t.Errorf("topic %+v", c)
			}
			if c, ok := m.Groups.Get("cg1"); !ok || !cmp.Equal(withoutPolicy(c), NewGroup("cg1")) {
				t.Errorf("group %+v", c)
			}
			if v := m.Topics.Snapshot().DataVersion; v.Counter < 1 || v.Timestamp < 1e12 {
				t.Errorf("data version %+v", v)
			}
		})
	}
}

func withoutPolicy(c GroupConfig) GroupConfig {
	c.GroupRetryPolicy = nil
	if len(c.Attributes) == 0 {
		c.Attributes = nil
	}
	return c
}

func FuzzOffsetFile(f *testing.F) {
	f.Add(`{"offsetTable":{"t@g":{0:123}}}`)
	f.Add("{\n\t\"offsetTable\":{\"a@b@c\":{0:1,2:7\n\t}}}")
	f.Add(`{"dataVersion":{"counter":1},"offsetTable":{"@":{}}}`)
	f.Add(`{"offsetTable":{"none":{}}}`)
	f.Fuzz(func(t *testing.T, content string) {
		read := func(content string) (*Offsets, error) {
			fsys := vfs.NewMem()
			if err := vfs.MkdirAllSync(fsys, dir+"/config", 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, fsys, "consumerOffset.json", content)
			o := newOffsets(options(fsys))
			return o, o.open(newFile(options(fsys), dir+"/config/consumerOffset.json", 0, o.encode))
		}
		first, err := read(content)
		if err != nil {
			return
		}
		data, err := first.encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := read(string(data))
		if err != nil {
			t.Fatalf("%v\nin %s", err, data)
		}
		if diff := cmp.Diff(first.offsets, second.offsets); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}
