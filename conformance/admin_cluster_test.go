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
			masks: []mask{{`\d+\.\d\d(\(\d+,\d+ms\))?`, "RATE"}},
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
	}
}
