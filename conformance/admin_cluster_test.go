package conformance_test

import (
	"strings"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// statusKeys are what 5.4.0 tells of itself; those of 4.9.7 are among them but for
// two, one of which it spells otherwise (getTransferedTps).
const statusKeys = `EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity ackThreadPoolQueueCapacity
ackThreadPoolQueueHeadWaitTimeMills ackThreadPoolQueueSize bootTimestamp brokerActive brokerVersionDesc
commitLogDirCapacity commitLogDiskRatio commitLogMaxOffset commitLogMinOffset consumeQueueDiskRatio dispatchBehindBytes
dispatchMaxBuffer earliestMessageTimeStamp getFoundTps getMessageEntireTimeMax getMissTps getTotalTps getTransferredTps
litePullThreadPoolQueueCapacity litePullThreadPoolQueueHeadWaitTimeMills litePullThreadPoolQueueSize
msgGetTotalTodayMorning msgGetTotalTodayNow msgGetTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow
msgPutTotalYesterdayMorning pageCacheLockTimeMills pullThreadPoolQueueCapacity pullThreadPoolQueueHeadWaitTimeMills
pullThreadPoolQueueSize putLatency99 putLatency999 putMessageAverageSize putMessageDistributeTime
putMessageEntireTimeMax putMessageFailedTimes putMessageSizeTotal putMessageTimesTotal putTps
queryThreadPoolQueueCapacity queryThreadPoolQueueHeadWaitTimeMills queryThreadPoolQueueSize remainHowManyDataToFlush
remainTransientStoreBufferNumbs runtime sendThreadPoolQueueCapacity sendThreadPoolQueueHeadWaitTimeMills
sendThreadPoolQueueSize startAcceptSendRequestTimeStamp timerCongestNum timerDequeueTps timerEnqueueTps
timerOffsetBehind timerReadBehind`

// adminClusterRows are the commands about brokers, name servers and what they are
// configured with.
func adminClusterRows() []adminRow {
	return []adminRow{
		{
			name: "clusterList", about: "the broker with its version",
			lines: []string{"clusterList"},
			masks: []mask{{`\d+\.\d\d(\(\d+,\d+ms\))?`, "RATE"}, {`\d+-\d+\(`, "BEHIND("}},
			differs: []difference{
				{tools: apache.V4, pattern: `^! java.lang.NullPointerException.*getTransferedTps`, why: "the tools of 4.9 miss a figure of Apache 5.4.0, which broker-lite gives them"},
			},
			check: func(r *adminRun, out string) {
				r.says(out, `^#Cluster Name #Broker Name #BID #Addr #Version`, `^DefaultCluster broker-a 0 $broker V5_4_0 \d+\.\d\d\(0,0ms\)`)
			},
		},
		{
			name: "brokerStatus", about: "every figure that 5.4.0 gives, and right ones",
			lines: []string{"brokerStatus -b $broker"},
			masks: []mask{{`(?m) *:.*$`, ""}, {`_/.*/commitlog`, "_PATH"}},
			differs: []difference{
				{pattern: `^getTransferedTps$`, why: "4.9's name of getTransferredTps is there too"},
			},
			prepare: func(r *adminRun) {
				r.createTopic(r.topic, 4)
				r.sendAll(r.producer(r.open()), r.topic, "counted")
			},
			check: func(r *adminRun, out string) {
				for key := range strings.FieldsSeq(statusKeys) {
					r.says(out, `^`+key+`\s*:`)
				}
				r.says(out, `^brokerActive : true`, `^brokerVersionDesc : V5_4_0`, `^runtime : \[ 0 days, 0 hours, \d+ minutes, \d+ seconds \]`,
					`^putMessageTimesTotal\s*: [1-9]\d*`, `^commitLogMaxOffset\s*: [1-9]\d*`, `^commitLogDirCapacity\s*: Total : [1-9][\d.]+ \w+, Free : [1-9][\d.]+ \w+\.`)
			},
		},
		{
			name: "wipeWritePerm", about: "all topics of a broker lose the permission to write; addWritePerm gives it back",
			lines: []string{
				"wipeWritePerm -b broker-a", "topicRoute -l -t $topic", "addWritePerm -b broker-a", "topicRoute -l -t $topic",
				"wipeWritePerm -b no-such-broker",
			},
			masks:   []mask{{`OK, [1-9]\d*`, "OK, COUNT"}},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
		},
		{
			name: "updateKvConfig", about: "a key's value in a name space, and its end with deleteKvConfig",
			lines: []string{
				"updateKvConfig -s $group -k k -v v", "deleteKvConfig -s $group -k k", "deleteKvConfig -s $group -k k",
			},
		},
		{
			name: "updateOrderConf", about: "puts, gets and deletes the queues of an ordered topic",
			lines: []string{
				"updateOrderConf -t $topic -m put -v broker-a:4", "updateOrderConf -t $topic -m get", "updateOrderConf -t $topic -m delete", "updateOrderConf -t $topic -m get",
			},
		},
		{
			name: "getNamesrvConfig", about: "the keys that the name server acts on",
			lines: []string{"getNamesrvConfig"}, sorted: true, fewer: "the name server has the keys that it acts on",
			masks: []mask{{`= +[/0-9].*`, "= VALUE"}},
		},
		{
			name: "updateNamesrvConfig", about: "a key that can change, shown by getNamesrvConfig, and one that nobody may change",
			lines: []string{
				"updateNamesrvConfig -k orderMessageEnable -v true", "getNamesrvConfig", "updateNamesrvConfig -k orderMessageEnable -v false",
				"updateNamesrvConfig -k kvConfigPath -v /tmp/x",
			},
			only: `^(orderM|update|--|!)`,
		},
		{
			name: "getBrokerConfig", about: "the keys that the broker acts on, of a broker and of a cluster",
			lines: []string{"getBrokerConfig -b $broker", "getBrokerConfig -c DefaultCluster"},
			masks: []mask{{`= .*`, "= VALUE"}}, sorted: true, fewer: "the broker has the keys that it acts on",
			differs: []difference{{pattern: `^(storePathIndex|httpAddress|maxConnections|frameMaxLength|aclFile|vipChannel|tls[.].*) `, why: "keys that 5.4.0 does not tell or have"}},
		},
		{
			name: "updateBrokerConfig", about: "a key that can change, shown by getBrokerConfig, and one that nobody may change",
			lines: []string{
				"updateBrokerConfig -b $broker -k maxTransferCountOnMessageInMemory -v 31", "getBrokerConfig -b $broker",
				"updateBrokerConfig -c DefaultCluster -k maxTransferCountOnMessageInMemory -v 32", "updateBrokerConfig -b $broker -k brokerConfigPath -v /tmp/x",
			},
			only: `^(maxTransferCountOnMessageInMemory|update broker|--|!)`,
		},
		{
			name: "exportConfigs", about: "a file of what brokers are configured with",
			lines:   []string{"exportConfigs -c DefaultCluster -f $dir"},
			differs: []difference{{tools: apache.V5, pattern: `"(slaveReadEnable|useTLS)"`, why: "there are no slaves to read from, and TLS has no such key"}},
		},
		{
			name: "exportMetadata", about: "files of topics and groups",
			lines:   []string{"exportMetadata -b $broker -f $dir -t", "exportMetadata -b $broker -f $dir -g", "exportMetadata -c DefaultCluster -f $dir"},
			only:    `^(--|!|export|.*\$)`,
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
		},
	}
}
