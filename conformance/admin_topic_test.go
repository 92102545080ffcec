package conformance_test

import (
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/message"
)

// adminTopicRows are the commands that make, show and delete topics.
func adminTopicRows() []adminRow {
	made := func(r *adminRun, out string) {
		r.says(out, `^create topic to $broker success\.`, `TopicConfig \[topicName=$topic, readQueueNums=8, writeQueueNums=8, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false`)
		for q := range 8 {
			if n := r.stored(r.topic, q); n != 0 {
				r.Errorf("queue %d holds %d messages", q, n)
			}
		}
		r.send(r.producer(r.open(), always(7)), message.New(r.topic, []byte("b")))
	}
	return []adminRow{
		{
			name: "updateTopic -c", about: "makes a topic in a cluster, with 8 read and 8 write queues, that works",
			lines: []string{"updateTopic -c DefaultCluster -t $topic"}, check: made,
		},
		{
			name: "updateTopic -b", about: "the same on one broker",
			lines: []string{"updateTopic -b $broker -t $topic"}, check: made,
		},
		{
			name: "topicRoute", about: "the broker, its address and the queues",
			lines:   []string{"topicRoute -t $topic", "topicRoute -l -t $topic"},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
			check: func(r *adminRun, out string) {
				r.says(out, `"brokerAddrs":\s*\{\s*0:"$broker"\s*\}`, `"brokerName":"broker-a"`, `"cluster":"DefaultCluster"`,
					`"queueDatas":\[ \{ "brokerName":"broker-a", "perm":6, "readQueueNums":4, "topicSysFlag":0, "writeQueueNums":4 \} \]`)
				if r.version == apache.V5 {
					r.says(out, `"enableActingMaster":false`)
				}
			},
		},
		{
			name: "topicStatus", about: "offsets of every queue, and when it last got a message",
			lines: []string{"topicStatus -t $topic"},
			prepare: func(r *adminRun) {
				r.createTopic(r.topic, 4)
				r.sendAll(r.producer(r.open(), always(2)), r.topic, "1", "2", "3")
			},
			check: func(r *adminRun, out string) {
				r.says(out, `^#Broker Name #QID #Min Offset #Max Offset #Last Updated`, `^broker-a 0 0 0\s*$`, `^broker-a 1 0 0\s*$`,
					`^broker-a 2 0 3 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d\d\d`, `^broker-a 3 0 0\s*$`)
			},
		},
		{
			name: "topicClusterList", about: "the clusters that have a topic",
			lines:   []string{"topicClusterList -t $topic", "topicClusterList -t no-such-topic"},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
		},
		{
			name: "topicList", about: "all topics; with their clusters and groups",
			lines:   []string{"topicList", "topicList -c"},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
			masks:   []mask{{`(?m)[ \t]+$`, ""}},
			differs: []difference{{pattern: `RMQ_SYS_ROCKSDB`, why: "transactions are not kept in RocksDB"}},
			only:    `^(--|#|\$|DefaultCluster \$|.*(TBW102|SCHEDULE|HALF|SELF_TEST|wheel))`,
			sorted:  true,
		},
	}
}
