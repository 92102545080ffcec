package meta

import "github.com/rocketkit/rocketkit/internal/protocol"

// reviveQueueNums is Apache's reviveQueueNum; broker-lite uses the first queue.
const reviveQueueNums = 8

// addSystemTopics enters the topics that a broker has of its own, as
// TopicConfigManager.init does, but for those of features that broker-lite does
// not have (RocksDB transactions, groups of replicas). What the file says wins,
// except for TBW102, which is the configuration's.
func (t *Topics) addSystemTopics() {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.options
	add := func(topic string, queues, perm int32) {
		if _, ok := t.configs[topic]; !ok {
			t.enter(protocol.TopicConfig{TopicName: topic, ReadQueueNums: queues, WriteQueueNums: queues, Perm: perm, TopicFilterType: protocol.SingleTag})
		}
	}
	const readWrite = protocol.PermRead | protocol.PermWrite
	usable := func(on bool) int32 {
		if on {
			return protocol.PermInherit | readWrite
		}
		return protocol.PermInherit
	}
	add(SelfTestTopic, 1, readWrite)
	add(BenchmarkTopic, 1024, readWrite)
	add(o.ClusterName, 16, usable(o.ClusterTopic))
	add(o.BrokerName, 1, usable(o.BrokerTopic))
	add(OffsetMovedTopic, 1, readWrite)
	add(o.ClusterName+replySuffix, 1, readWrite)
	add(HalfTopic, 1, readWrite)
	add(OpHalfTopic, 1, readWrite)
	add(ReviveTopic(o.ClusterName), reviveQueueNums, readWrite)
	if o.TraceTopicName != "" {
		add(o.TraceTopicName, 1, readWrite)
	}
	if o.TimerTopic {
		add(TimerTopic, 1, readWrite)
	}
	t.addDefaultTopic()

	levels := int32(max(scheduleQueueNums, o.DelayLevels))
	add(ScheduleTopic, levels, readWrite)
	if c := t.configs[ScheduleTopic]; c.WriteQueueNums < levels || c.ReadQueueNums < levels {
		c.WriteQueueNums, c.ReadQueueNums = max(c.WriteQueueNums, levels), max(c.ReadQueueNums, levels)
		t.enter(c)
	}
}

// addDefaultTopic makes TBW102 what the configuration says: topics are made
// like it only when autoCreateTopicEnable is set. mu is held.
func (t *Topics) addDefaultTopic() {
	queues := int32(t.options.DefaultTopicQueueNums)
	c, ok := t.configs[DefaultTopic]
	switch {
	case t.options.AutoCreateTopic:
		want := protocol.TopicConfig{
			TopicName: DefaultTopic, ReadQueueNums: queues, WriteQueueNums: queues,
			Perm: protocol.PermInherit | protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag,
		}
		if !ok || !equal(c, want) {
			t.enter(want)
		}
	case ok && c.Perm&protocol.PermInherit != 0:
		c.Perm &^= protocol.PermInherit
		t.enter(c)
	}
}

// enter is put for a table that is being opened. mu is held.
func (t *Topics) enter(c protocol.TopicConfig) {
	t.put(c)
	t.file.touch()
}
