package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func broadcasting(dir, instance string) driver.SubscriptionConfig {
	return driver.SubscriptionConfig{From: driver.FromFirst, Broadcast: &driver.Broadcast{Dir: dir, Instance: instance}}
}

func (c *collector) bodies() []string {
	var all []string
	for _, d := range c.all() {
		all = append(all, string(d.Body))
	}
	slices.Sort(all)
	return all
}

func TestEveryMemberOfABroadcastGroupGetsEveryMessage(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 2)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		b.produce(orders1, 2)
		one, two := acking(), acking()
		subscribe(t, c.open(), one, broadcasting(dir, "1"), "orders")
		subscribe(t, c.open(), two, broadcasting(dir, "2"), "orders")
		pass(10 * time.Second)
		b.produce(orders1, 1) // so that they pull once more
		pass(time.Second)
		for _, sink := range []*collector{one, two} {
			if diff := cmp.Diff([]string{"0", "0", "0", "1", "1", "2"}, sink.bodies()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
		if n := len(b.requests(protocol.UpdateConsumerOffset)); n > 0 || b.committed("group", orders0) >= 0 || b.committed("group", orders1) >= 0 {
			t.Errorf("the broker was told of offsets, %d times", n)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if slices.Contains(c.asked, message.RetryTopic("group")) {
			t.Error("asked for a retry topic")
		}
		for _, r := range b.requests(protocol.Heartbeat) {
			if strings.Contains(string(r.body), `"groupName":"group"`) && !strings.Contains(string(r.body), `"messageModel":"BROADCASTING"`) {
				t.Errorf("heartbeat %s", r.body)
			}
		}
	})
}

// Offsets belong to the instance name, not to the process.
func TestFault5ABroadcastGroupGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 2)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		sink := acking()
		s := subscribe(t, c.open(), sink, broadcasting(dir, ""), "orders")
		pass(time.Second)
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		path := filepath.Join(dir, "DEFAULT", "group", "offsets.json")
		data, err := os.ReadFile(path)
		want := `{"offsetTable":{{"brokerName":"a","queueId":0,"topic":"orders"}:3,{"brokerName":"a","queueId":1,"topic":"orders"}:0}}`
		if err != nil || string(data) != want {
			t.Errorf("%s: %s, %v, want %s", path, data, err, want)
		}
		b.produce(orders0, 1)
		again := acking()
		s = subscribe(t, c.open(), again, broadcasting(dir, ""), "orders")
		pass(6 * time.Second)
		if got := again.all(); len(got) != 1 || got[0].QueueOffset != 3 {
			t.Errorf("the next process got %d messages, want the new one", len(got))
		}
		// A process that is killed has stored what it did 5 s before.
		if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), `"queueId":0,"topic":"orders"}:4`) {
			t.Errorf("6 s later: %s, %v", data, err)
		}
		b.produce(orders1, 1)
		synctest.Wait()
		if err := s.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), `"queueId":1,"topic":"orders"}:1`) {
			t.Errorf("after Commit: %s, %v", data, err)
		}
	})
}

func TestFault5AFailedBroadcastMessageIsPassedOver(t *testing.T) {
	for name, v := range map[string]driver.Verdict{"retry": {}, "dead letter": {Action: driver.ActionDeadLetter}, "retry later": {Delay: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				b := c.brokers["a"]
				b.produce(orders0, 3)
				sink := ackingBut("1", v)
				s := subscribe(t, c.open(), sink, broadcasting(dir, ""), "orders")
				pass(6 * time.Second)
				if got, want := sink.story(), "0/0 1/0 2/0"; got != want {
					t.Errorf("%s, want %s", got, want)
				}
				if o, _ := s.local.get(wireQueue(orders0)); o != 3 {
					t.Errorf("offset %d, want 3", o)
				}
				if n := len(b.requests(protocol.SendMessageBack)) + len(b.requests(protocol.SendMessageV2)); n > 0 {
					t.Errorf("%d messages were handed back", n)
				}
				if !strings.Contains(c.logs.String(), "passed over") {
					t.Error("nobody is told")
				}
			})
		})
	}
}

// In order and to all: no locks, and what fails keeps its place up to its maximum.
func TestABroadcastGroupInOrder(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		b.produce(orders0, 2)
		sink := ackingBut("0", driver.Verdict{})
		cfg := broadcasting(dir, "")
		cfg.Ordered, cfg.MaxRetries = true, 2
		subscribe(t, c.open(), sink, cfg, "orders")
		pass(10 * time.Second)
		if got, want := sink.story(), "0/0 0/1 0/2 1/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if n := len(b.requests(protocol.LockBatchMQ)) + len(b.requests(protocol.SendMessageBack)); n > 0 {
			t.Errorf("%d requests for locks or with failed messages", n)
		}
	})
}

func TestABroadcastGroupThatIsNewBeginsAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.produce(orders0, 3)
		cfg := broadcasting(dir, "")
		cfg.From = driver.FromLast
		for i := range 2 {
			sink := acking()
			s := subscribe(t, c.open(), sink, cfg, "orders")
			pass(time.Second)
			if err := s.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if n := len(sink.all()); n != i {
				t.Errorf("start %d: %d messages, want what came after the first start", i+1, n)
			}
			b.produce(orders0, 1)
		}
	})
}

func TestOffsetsOfABroadcastGroupAreOneMembers(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		first := subscribe(t, c.open(), acking(), broadcasting(dir, "x"), "orders")
		start := func(dir, instance string) error {
			cfg := broadcasting(dir, instance)
			cfg.Group, cfg.Topics = "group", []driver.TopicFilter{{Topic: "orders"}}
			s, err := c.open().NewSubscription(cfg, acking())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Stop(context.Background())
			return s.Start(t.Context())
		}
		if err := start(dir, "x"); err == nil || !strings.Contains(err.Error(), "instance name of its own") {
			t.Errorf("a second member by the same name: %v", err)
		}
		if err := start(dir, "y"); err != nil {
			t.Errorf("one by another name: %v", err)
		}
		if err := first.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := start(dir, "x"); err != nil {
			t.Errorf("when the first has left: %v", err)
		}
		for _, name := range []string{"a/b", "..", `a\b`, "c:"} {
			if err := start(dir, name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
				t.Errorf("instance %q: %v", name, err)
			}
		}
		path := filepath.Join(dir, "z", "group", "offsets.json")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"offsetTable":{{"queueId":`), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := start(dir, "z"); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move the file away") {
			t.Errorf("a damaged file: %v", err)
		}
	})
}

// fastjson's pretty print, as Apache's LocalFileOffsetStore writes.
func TestOffsetsOfAJavaConsumerAreTakenOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "DEFAULT", "group", "offsets.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	java := "{\n\t\"offsetTable\":{{\n\t\t\t\"brokerName\":\"a\",\n\t\t\t\"queueId\":1,\n\t\t\t\"topic\":\"orders\"\n\t\t}:17\n\t}\n}"
	if err := os.WriteFile(path, []byte(java), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := openOffsets(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.unlock()
	if o, ok := l.get(wireQueue(orders1)); !ok || o != 17 {
		t.Errorf("offset %d, %t, want 17", o, ok)
	}
}

func TestOffsetsThatCannotBeWrittenAreWrittenLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "offsets.json")
	l, err := openOffsets(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.unlock()
	l.set(wireQueue(orders0), 5)
	if err := os.Mkdir(path+".new", 0o755); err != nil { // in the way
		t.Fatal(err)
	}
	if err := l.write(); err == nil {
		t.Fatal("no error")
	}
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := l.write(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), ":5}") {
		t.Errorf("%s, %v", data, err)
	}
}

func TestGroupsDoNotShareAFileOfOffsets(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for _, group := range []string{"a|b", "a_b", "a-b", "a%b", "ab"} {
		path, err := offsetsPath(&driver.Broadcast{Dir: "d"}, group)
		if err != nil || files[path] != "" || strings.Contains(path, "|") {
			t.Errorf("group %q: %s, which %q has, error %v", group, path, files[path], err)
		}
		files[path] = group
	}
}

// Who drains must learn that messages will come again.
func TestTheEndTellsThatOffsetsCouldNotBeStored(t *testing.T) {
	dir := t.TempDir()
	for name, end := range map[string]func(driver.Subscription, context.Context) error{"drain": driver.Subscription.Drain, "stop": driver.Subscription.Stop} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				c.brokers["a"].produce(orders0, 1)
				cfg := broadcasting(dir, name)
				cfg.Group, cfg.Topics = "group", []driver.TopicFilter{{Topic: "orders"}}
				s, err := c.open().NewSubscription(cfg, acking())
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				if err := os.Mkdir(filepath.Join(dir, name, "group", "offsets.json.new"), 0o755); err != nil { // where the next file is written
					t.Fatal(err)
				}
				if err := end(s, t.Context()); err == nil || !strings.Contains(err.Error(), `"group"`) || !strings.Contains(err.Error(), "delivered again") {
					t.Errorf("%s: %v", name, err)
				}
			})
		})
	}
}
