package meta

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const readWrite = protocol.PermRead | protocol.PermWrite

func TestANewBrokerHasApachesSystemTopics(t *testing.T) {
	t.Parallel()
	// Apache's own, from the file that it wrote.
	var apache topicsFile
	if err := protocol.DecodeBody([]byte(fixture(t, "5.4.0", "topics.json")), &apache); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{
		"made", "%RETRY%cg1", // the fixture's own
		"rmq_sys_SYNC_BROKER_MEMBER_broker-a", // see addSystemTopics
		"RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
	} {
		must(t, apache.Configs[other].TopicName != "", "the fixture lacks %s", other)
		delete(apache.Configs, other)
	}
	m := open(t, options(vfs.NewMem()))
	if diff := cmp.Diff(apache.Configs, m.Topics.Snapshot().Configs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-Apache +broker-lite):\n%s", diff)
	}
	for name := range apache.Configs {
		if !m.Topics.IsSystem(name) || m.Topics.Delete(name) {
			t.Errorf("%s is not protected as a system topic", name)
		}
	}
	if m.Topics.IsSystem("orders") || m.Topics.IsSystem("%RETRY%g") {
		t.Error("ordinary topics count as system topics")
	}
}

func TestSystemTopicsFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	o := options(vfs.NewMem())
	o.AutoCreateTopic, o.ClusterTopic, o.BrokerTopic, o.TimerTopic, o.TraceTopicName = false, false, false, false, ""
	o.DelayLevels = 30
	m := open(t, o)
	for _, none := range []string{DefaultTopic, TimerTopic, "RMQ_SYS_TRACE_TOPIC"} {
		if _, ok := m.Topics.Get(none); ok {
			t.Errorf("%s is there", none)
		}
	}
	for topic, perm := range map[string]int32{"DefaultCluster": protocol.PermInherit, "broker-a": protocol.PermInherit} {
		if c, _ := m.Topics.Get(topic); c.Perm != perm {
			t.Errorf("%s has perm %d, want %d", topic, c.Perm, perm)
		}
	}
	if c, _ := m.Topics.Get(ScheduleTopic); c.WriteQueueNums != 30 || c.ReadQueueNums != 30 {
		t.Errorf("30 delay levels, schedule topic %+v", c)
	}
	if m.Topics.IsSystem("") {
		t.Error("the missing trace topic is a system topic")
	}
}

func TestTBW102FollowsTheConfigurationNotTheFile(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	if err := open(t, options(fsys)).WaitSaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	more := options(fsys.Clone())
	more.DefaultTopicQueueNums, more.DelayLevels = 16, 20
	m := open(t, more)
	if c, _ := m.Topics.Get(DefaultTopic); c.WriteQueueNums != 16 {
		t.Errorf("defaultTopicQueueNums was raised to 16: %+v", c)
	}
	if c, _ := m.Topics.Get(ScheduleTopic); c.WriteQueueNums != 20 {
		t.Errorf("two delay levels more: %+v", c)
	}
	off := options(fsys.Clone())
	off.AutoCreateTopic = false
	m = open(t, off)
	if _, err := m.Topics.CreateForSend("new", DefaultTopic, 4, 0); !errors.Is(err, ErrNoTopic) {
		t.Errorf("autoCreateTopicEnable was turned off: %v", err)
	}
}

func TestTopicsMadeBySending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		topic, like string
		queues      int32
		sysFlag     int32
		off         bool // autoCreateTopicEnable=false
		want        protocol.TopicConfig
		fails       bool
	}{
		"the client wants fewer queues": {topic: "t", like: DefaultTopic, queues: 4, want: config("t", 4, 6)},
		"the client wants more queues":  {topic: "t", like: DefaultTopic, queues: 16, want: config("t", 8, 6)},
		"the client wants none":         {topic: "t", like: DefaultTopic, queues: -1, want: config("t", 0, 6)},
		"like a topic made by hand":     {topic: "t", like: "made", queues: 4, fails: true},
		"like a missing topic":          {topic: "t", like: "none", queues: 4, fails: true},
		"like the cluster's topic":      {topic: "t", like: "DefaultCluster", queues: 32, want: config("t", 16, 6)},
		"auto-creation is off":          {topic: "t", like: DefaultTopic, queues: 4, off: true, fails: true},
		"unit flag":                     {topic: "t", like: DefaultTopic, queues: 4, sysFlag: 1, want: protocol.TopicConfig{TopicName: "t", ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6, TopicSysFlag: 1, TopicFilterType: protocol.SingleTag}},
		"it is there already":           {topic: "made", like: DefaultTopic, queues: 4, want: config("made", 3, 4)},
		"a retry topic, by inheritance": {topic: "%RETRY%g", like: DefaultTopic, queues: 4, want: config("%RETRY%g", 4, 6)},
		"a retry topic, always":         {topic: "%RETRY%g", like: DefaultTopic, queues: 4, off: true, want: config("%RETRY%g", 1, 6)},
		"a dead letter topic, not":      {topic: "%DLQ%g", like: DefaultTopic, queues: 4, off: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes atomic.Int32
			o := options(vfs.NewMem())
			o.AutoCreateTopic = !c.off
			o.OnTopicsChanged = func() { changes.Add(1) }
			m := open(t, o)
			if _, err := m.Topics.Update(config("made", 3, 4), ""); err != nil {
				t.Fatal(err)
			}
			before, told := m.Topics.Snapshot().DataVersion.Counter, changes.Load()
			got, err := m.Topics.CreateForSend(c.topic, c.like, c.queues, c.sysFlag)
			if c.fails {
				if !errors.Is(err, ErrNoTopic) || !strings.Contains(err.Error(), c.topic) {
					t.Errorf("error %v", err)
				}
				if _, ok := m.Topics.Get(c.topic); ok {
					t.Error("the topic is there")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if there, _ := m.Topics.Get(c.topic); !cmp.Equal(there, got) {
				t.Errorf("the table has %+v", there)
			}
			raised := m.Topics.Snapshot().DataVersion.Counter - before
			made := int64(1)
			if c.topic == "made" {
				made = 0
			}
			if raised != made || int64(changes.Load()-told) != made {
				t.Errorf("the data version was raised by %d and the broker told %d times, want %d", raised, changes.Load()-told, made)
			}
			again, err := m.Topics.CreateForSend(c.topic, c.like, 1, 0)
			if err != nil || !cmp.Equal(again, got) {
				t.Errorf("the second time: %+v, %v", again, err)
			}
		})
	}
}

func TestTopicsMadeForSendBack(t *testing.T) {
	t.Parallel()
	m := open(t, options(vfs.NewMem()))
	if got, want := m.Topics.CreateForSendBack("%RETRY%g", 1, readWrite, false, 2), (protocol.TopicConfig{
		TopicName: "%RETRY%g", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6, TopicSysFlag: 2, TopicFilterType: protocol.SingleTag,
	}); !cmp.Equal(want, got) {
		t.Errorf("retry topic %+v", got)
	}
	version := m.Topics.Snapshot().DataVersion
	if got := m.Topics.CreateForSendBack("%RETRY%g", 9, protocol.PermRead, false, 0); got.WriteQueueNums != 1 || got.Perm != 6 {
		t.Errorf("it changed an existing topic: %+v", got)
	}
	if m.Topics.Snapshot().DataVersion != version {
		t.Error("the data version was raised for nothing")
	}
	if got := m.Topics.CreateForSendBack("%RETRY%g", 1, readWrite, true, 0); !got.Order || got.TopicSysFlag != 2 {
		t.Errorf("the group began to consume in order: %+v", got)
	}
	if got := m.Topics.CreateForSendBack("%DLQ%g", DLQQueueNums, readWrite, false, 0); got.ReadQueueNums != 1 || got.Perm != 6 {
		t.Errorf("dead letter topic %+v", got)
	}
}

func TestTopicsMadeByHand(t *testing.T) {
	t.Parallel()
	m := open(t, options(vfs.NewMem()))
	made := config("orders", 8, readWrite)
	made.TopicFilterType = ""
	got, err := m.Topics.Update(made, "+message.type=FIFO")
	want := config("orders", 8, 6)
	want.Attributes = map[string]string{"message.type": "FIFO"}
	if err != nil || !cmp.Equal(want, got) {
		t.Fatalf("%+v, %v", got, err)
	}
	version := m.Topics.Snapshot().DataVersion.Counter
	if _, err := m.Topics.Update(made, ""); err != nil {
		t.Fatal(err)
	}
	if n := m.Topics.Snapshot().DataVersion.Counter; n != version {
		t.Errorf("the same again raised the data version by %d", n-version)
	}
	made.ReadQueueNums, made.Perm, made.Order = 4, protocol.PermRead, true
	got, err = m.Topics.Update(made, "+message.type=DELAY")
	if err != nil || got.ReadQueueNums != 4 || got.WriteQueueNums != 8 || got.Perm != 4 || !got.Order || got.Attributes["message.type"] != "DELAY" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = m.Topics.Update(made, "-message.type"); err != nil || len(got.Attributes) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := m.Topics.Snapshot().DataVersion.Counter; n != version+2 {
		t.Errorf("two changes raised the data version by %d", n-version)
	}
	if !m.Topics.Delete("orders") || m.Topics.Delete("orders") {
		t.Error("Delete does not say whether the topic was there")
	}
}

// filtered is a topic with a filter type.
func filtered(topic, filterType string) protocol.TopicConfig {
	c := config(topic, 8, 6)
	c.TopicFilterType = filterType
	return c
}

func TestUpdatesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		topic      protocol.TopicConfig
		attributes string
		name       bool // a *NameError
		want       string
	}{
		"blank":                     {config(" ", 8, 6), "", true, "The specified topic is blank."},
		"illegal characters":        {config("a.b", 8, 6), "", true, "The specified topic: a.b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"},
		"letters of other scripts":  {config("订单", 8, 6), "", true, "The specified topic: 订单, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"},
		"too long":                  {config(strings.Repeat("t", 128), 8, 6), "", true, "The specified topic: " + strings.Repeat("t", 128) + ", is longer than topic max length: 127"},
		"retry topic too long":      {config("%RETRY%"+strings.Repeat("t", 249), 8, 6), "", true, "The specified topic is DLQ or Retry topic: %RETRY%" + strings.Repeat("t", 249) + ", and it's longer than topic max length: 255"},
		"system topic":              {config(DefaultTopic, 8, 6), "", true, "The topic[TBW102] is conflict with system topic."},
		"the cluster's":             {config("DefaultCluster", 8, 6), "", true, "The topic[DefaultCluster] is conflict with system topic."},
		"filter type":               {filtered("t", "XX"), "", false, "topic t: topicFilterType = [XX] value invalid, want SINGLE_TAG or MULTI_TAG"},
		"negative":                  {config("t", -1, 6), "", true, "The topic[t] wants -1 read and -1 write queues, allowed are 0 to 65536."},
		"too many queues":           {config("t", 1<<20, 6), "", true, "The topic[t] wants 1048576 read and 1048576 write queues, allowed are 0 to 65536."},
		"attribute without a sign":  {config("t", 8, 6), "message.type=FIFO", false, "add/alter attribute format is wrong: message.type"},
		"attribute without a value": {config("t", 8, 6), "+message.type", false, "delete attribute format is wrong: +message.type"},
		"no attribute":              {config("t", 8, 6), ",", false, "delete attribute format is wrong: "},
		"signs inside":              {config("t", 8, 6), "+a+b=c", false, "kv string format wrong: +a+b=c"},
		"twice":                     {config("t", 8, 6), "+message.type=FIFO,+message.type=NORMAL", false, "alter duplication key. key: message.type"},
		"unknown attribute":         {config("t", 8, 6), "+colour=red", false, "unsupported key: colour"},
		"bad value":                 {config("t", 8, 6), "+message.type=ODD", false, "value is not in set: message.type: ODD"},
		"only Apache's":             {config("t", 8, 6), "+cleanup.policy=COMPACTION", false, "not supported by broker-lite; use Apache RocketMQ"},
		"removing from a new topic": {config("t", 8, 6), "-message.type", false, "only add attribute is supported while creating topic. key: message.type"},
		"removing what is not":      {config("made", 8, 6), "-message.type", false, "attempt to delete a nonexistent key: message.type"},
		"unchangeable":              {config("made", 8, 6), "+queue.type=SimpleCQ", false, "attempt to update an unchangeable attribute. key: queue.type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := open(t, options(vfs.NewMem()))
			if _, err := m.Topics.Update(config("made", 8, 6), ""); err != nil {
				t.Fatal(err)
			}
			before := m.Topics.Snapshot()
			_, err := m.Topics.Update(c.topic, c.attributes)
			var named *NameError
			if err == nil || errors.As(err, &named) != c.name || !strings.Contains(err.Error(), c.want) || c.name && err.Error() != c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(before, m.Topics.Snapshot()); diff != "" {
				t.Errorf("it changed something:\n%s", diff)
			}
		})
	}
}

func TestNamesThatAreGood(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"a", "%RETRY%g", "a|b-c_D9", strings.Repeat("t", 127), "%DLQ%" + strings.Repeat("t", 250)} {
		if err := CheckTopic(topic); err != nil {
			t.Errorf("topic %s: %v", topic, err)
		}
	}
	for group, want := range map[string]string{
		"g": "", strings.Repeat("g", 120): "", "": "The specified group is blank.",
		"a b":                    "The specified group: a b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$",
		strings.Repeat("g", 121): "The specified group: " + strings.Repeat("g", 121) + ", is longer than group max length: 120",
	} {
		if err := CheckGroup(group); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("group %q: %v, want %q", group, err, want)
		}
	}
	for topic, want := range map[string]bool{ScheduleTopic: true, HalfTopic: true, OpHalfTopic: true, CheckMaxTimeTopic: true, SelfTestTopic: true, OffsetMovedTopic: true, DefaultTopic: false, "orders": false, BenchmarkTopic: false} {
		if SendForbidden(topic) != want {
			t.Errorf("sending to %s forbidden: %v", topic, !want)
		}
	}
}
