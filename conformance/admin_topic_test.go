package conformance_test

import (
	"strings"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
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
			masks:   []mask{{`(?m)([ \t]+CID_RMQ_SYS_TRANS)?[ \t]+$`, ""}}, // which reads from the first check on
			differs: []difference{{pattern: `RMQ_SYS_ROCKSDB`, why: "transactions are not kept in RocksDB"}},
			only:    `^(--|#|\$|DefaultCluster \$|.*(TBW102|SCHEDULE|HALF|SELF_TEST|wheel))`,
			sorted:  true,
		},
		{
			name: "updateTopic, refused", about: "system topics, wrong names, long names, attributes that are not there",
			lines: []string{
				"updateTopic -b $broker -t TBW102", "updateTopic -b $broker -t a$b", "updateTopic -b $broker -t " + strings.Repeat("x", 128),
				"updateTopic -b $broker -t SCHEDULE_TOPIC_XXXX", "updateTopic -b $broker -t rmq_sys_mine",
			},
		},
		{
			name: "updateTopic -a", about: "attributes of a topic", since5: true,
			lines: []string{
				"updateTopic -b $broker -t $topic -a +message.type=FIFO", "updateTopic -b $broker -t $topic -a +message.type=DELAY",
				"updateTopic -b $broker -t $topic -a +message.type=MIXED", "updateTopic -b $broker -t $topic -a +no.such=1",
				"updateTopic -b $broker -t $topic -a +queue.type=SimpleCQ",
			},
			differs: []difference{{pattern: `^! .*DESC: `, why: "the text of a refusal names the topic"}},
		},
		{
			name: "updateTopic -o", about: "an ordered topic: its queues are told to the name server",
			lines: []string{"updateTopic -c DefaultCluster -t $topic -r 3 -w 3 -o true", "updateOrderConf -t $topic -m get", "topicRoute -l -t $topic"},
		},
		{
			name: "updateTopicPerm", about: "a topic's permission, on a broker and in a cluster",
			lines: []string{
				"updateTopicPerm -b $broker -t $topic -p 4", "updateTopicPerm -b $broker -t $topic -p 4", "updateTopicPerm -c DefaultCluster -t $topic -p 2",
				"topicRoute -l -t $topic",
			},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
		},
		{
			name: "updateTopicList", about: "several topics of a file", since5: true,
			lines: []string{"updateTopicList -b $broker -f $dir/topics.json", "topicRoute -l -t $topic", "updateTopicList -b $broker -f $dir/wrong.json"},
			prepare: func(r *adminRun) {
				r.file("topics.json", `[{"topicName":"$topic","readQueueNums":2,"writeQueueNums":3,"perm":6},{"topicName":"$topic_2","readQueueNums":1,"writeQueueNums":1,"perm":6}]`)
				r.file("wrong.json", `[{"topicName":"TBW102","readQueueNums":2,"writeQueueNums":3,"perm":6}]`)
			},
		},
		{
			name: "deleteTopic", about: "a topic is gone from brokers and name servers, with its messages",
			lines: []string{
				"deleteTopic -c DefaultCluster -t $topic", "topicRoute -t $topic", "topicStatus -t $topic", "updateTopic -b $broker -t $topic", "topicStatus -t $topic",
				"deleteTopic -c DefaultCluster -t TBW102", "deleteTopic -c DefaultCluster -t no-such-topic",
			},
			prepare: func(r *adminRun) {
				r.createTopic(r.topic, 4)
				r.sendAll(r.producer(r.open(), always(2)), r.topic, "1", "2", "3")
			},
		},
		{
			name: "cleanUnusedTopic", about: "clean-up of topics, consume queues and commit log, on a broker and in a cluster",
			lines: []string{
				"cleanUnusedTopic -b $broker", "cleanUnusedTopic -c DefaultCluster", "cleanExpiredCQ -b $broker", "cleanExpiredCQ -c DefaultCluster",
				"topicStatus -t $topic",
			},
			prepare: func(r *adminRun) {
				r.createTopic(r.topic, 4)
				r.sendAll(r.producer(r.open(), always(2)), r.topic, "kept")
			},
		},
		{
			name: "deleteExpiredCommitLog", about: "what fileReservedTime does not keep is deleted at once",
			lines: []string{"deleteExpiredCommitLog -b $broker", "deleteExpiredCommitLog -c DefaultCluster", "topicStatus -t $topic"},
			prepare: func(r *adminRun) {
				r.createTopic(r.topic, 4)
				r.sendAll(r.producer(r.open(), always(2)), r.topic, "kept")
			},
		},
		{
			name: "statsAll", about: "what topics and their groups have handled, and what waits",
			lines: []string{"statsAll -t $topic", "statsAll -t no-such-topic"},
			prepare: func(r *adminRun) {
				r.createTopic(r.topic, 4)
				p := r.producer(r.open(), always(2))
				r.sendAll(p, r.topic, "1", "2", "3")
				in := r.inbox()
				mux := r.mux(r.group)
				consumer.HandleRaw(mux, r.topic, in.take)
				cons := r.start(r.open(), mux)
				in.ids(3)
				if err := cons.Drain(r.soon()); err != nil {
					r.Fatal(err)
				}
				// The drain's last commit can be overtaken by a pull with an older offset.
				r.eventually("the offsets are committed", func() bool {
					sum := 0
					for q := range 4 {
						stored := r.stored(r.topic, q)
						r.commit(q, stored)
						sum += r.committed(r.group, r.topic, q)
					}
					return sum == 3
				})
				r.sendAll(p, r.topic, "4", "5") // they wait
			},
			// Apache samples every 10 s and counts what is between two samples.
			masks: []mask{{`(\d+\.\d\d +){2}\d+ +\d+`, "RATE RATE COUNT COUNT"}},
		},
	}
}
