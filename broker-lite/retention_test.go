package brokerlite

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// crowdedDisk is a disk in memory whose fullness a test sets.
type crowdedDisk struct {
	vfs.FS
	used atomic.Int64 // percent
}

func (d *crowdedDisk) Space(string) (vfs.Space, error) {
	free := (100 - d.used.Load()) << 30
	return vfs.Space{Total: 100 << 30, Free: free, Available: free}, nil
}

func crowded(t *testing.T, conf string, f func(t *testing.T, c *client, d *crowdedDisk)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &crowdedDisk{FS: vfs.NewMem()}
		b := start(t, withFiles(d), VirtualNetwork(NewNetwork()), Conf(conf))
		f(t, dial(t, b), d)
	})
}

func TestSendsAreRefusedAboveDiskMaxUsedSpaceRatio(t *testing.T) {
	crowded(t, "diskMaxUsedSpaceRatio=80", func(t *testing.T, c *client, d *crowdedDisk) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "before")
		d.used.Store(81)
		time.Sleep(11 * time.Second)
		h := sending("orders")
		resp := c.call(h.Code, h, []byte("refused"))
		const want = "the broker's disk is full [store/commitlog: 81%]"
		if resp.Code != protocol.ServiceNotAvailable || !strings.Contains(resp.Remark, want) || !strings.Contains(resp.Remark, "diskMaxUsedSpaceRatio=80") {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if got := bodies(c.messages("orders", 0)); fmt.Sprint(got) != "[before]" {
			t.Errorf("reading gives %q", got)
		}
		if err := c.b.ready(); err != nil {
			t.Errorf("consumers are sent away: not ready: %v", err)
		}
		d.used.Store(80)
		time.Sleep(11 * time.Second)
		c.send(sending("orders"), "after")
		if got := bodies(c.messages("orders", 0)); fmt.Sprint(got) != "[before after]" {
			t.Errorf("reading gives %q", got)
		}
	})
}

func TestAPullBelowTheOldestMessageIsSentThere(t *testing.T) {
	crowded(t, "mappedFileSizeCommitLog=131072\nmaxMessageSize=65536\nfileReservedTime=1\ndeleteWhen=00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;15;16;17;18;19;20;21;22;23", func(t *testing.T, c *client, _ *crowdedDisk) {
		c.createTopic("orders", 1)
		body := string(bytes.Repeat([]byte("x"), 31<<10))
		for range 16 {
			c.send(sending("orders"), body)
		}
		time.Sleep(2 * time.Hour)
		p := c.pull(pulling("orders", 1, "*"))
		if p.code != protocol.PullOffsetMoved || p.NextBeginOffset != 12 || p.MinOffset != 12 || p.MaxOffset != 16 || p.remark != "OFFSET_TOO_SMALL" {
			t.Errorf("%s %s: %+v", protocol.ResponseName(p.code), p.remark, p.PullResponse)
		}
		if got := len(c.pull(pulling("orders", p.NextBeginOffset, "*")).records); got != 4 {
			t.Errorf("%d messages are left, want the four in the last file", got)
		}
	})
}

// Apache moves timer messages to the log's end every two days; here their log
// stays.
func TestTimerMessagesOutliveTheLogsTime(t *testing.T) {
	crowded(t, "mappedFileSizeCommitLog=131072\nmaxMessageSize=65536\nfileReservedTime=1\ndeleteWhen=00;06;12;18", func(t *testing.T, c *client, _ *crowdedDisk) {
		c.createTopic("orders", 1)
		c.createTopic("noise", 1)
		noise := string(bytes.Repeat([]byte("x"), 60<<10))
		for range 3 {
			c.send(sending("noise"), noise)
		}
		c.send(sending("orders", "TIMER_DELAY_SEC", fmt.Sprint(20*3600)), "in 20 hours")
		for range 5 {
			c.send(sending("noise"), noise)
		}
		time.Sleep(16 * time.Hour)
		if p := c.pull(pulling("noise", 0, "*")); p.MinOffset != 2 {
			t.Errorf("the log begins with message %d, want 2: what is before the timer message has expired", p.MinOffset)
		}
		time.Sleep(5 * time.Hour)
		if got := bodies(c.messages("orders", 0)); fmt.Sprint(got) != "[in 20 hours]" {
			t.Errorf("after 20 hours: %q", got)
		}
		time.Sleep(8 * time.Hour)
		if p := c.pull(pulling("noise", 0, "*")); p.MinOffset != 6 {
			t.Errorf("the log begins with message %d, want 6, the last file", p.MinOffset)
		}
	})
}

// Only a disk that is nearly full takes log from delayed messages, and then the
// others must not wait for them.
func TestDelayedMessagesWhoseLogIsGoneDoNotHoldUpOthers(t *testing.T) {
	crowded(t, "mappedFileSizeCommitLog=131072\nmaxMessageSize=65536\ncleanFileForciblyEnable=true", func(t *testing.T, c *client, d *crowdedDisk) {
		c.createTopic("orders", 1)
		level := func(body string) { c.send(sending("orders", "DELAY", "18"), body) }
		timer := func(body string) { c.send(sending("orders", "TIMER_DELAY_SEC", "7200"), body) }
		level("lost")
		timer("lost")
		h := sending("orders", "TRAN_MSG", "true", "PGROUP", "producers")
		c.send(h, "lost half")
		noise := string(bytes.Repeat([]byte("x"), 60<<10))
		for range 3 {
			c.send(sending("noise"), noise)
		}
		d.used.Store(88)
		time.Sleep(11 * time.Second)
		d.used.Store(10)
		level("kept")
		timer("kept")
		time.Sleep(3 * time.Hour)
		if got := bodies(c.messages("orders", 0)); fmt.Sprint(got) != "[kept kept]" {
			t.Errorf("%q were delivered", got)
		}
	})
}
