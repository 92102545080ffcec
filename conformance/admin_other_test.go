package conformance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// leftOut are commands without a row, and why.
type leftOut struct{ names, why string }

// adminLeftOut are all commands of the tools that no row runs.
func adminLeftOut() []leftOut {
	return []leftOut{
		{"clusterRT startMonitoring", "go on for ever"},
		{"haStatus resetMasterFlushOffset", "about slaves, which broker-lite does not have"},
		{
			"getBrokerEpoch getSyncStateSet getControllerMetaData getControllerConfig updateControllerConfig electMaster cleanBrokerMetadata",
			"about controllers, which broker-lite does not have",
		},
		{
			"exportMetadataInRocksDB exportPopRecord rocksDBConfigToJson checkRocksdbCqWriteProgress switchTimerEngine",
			"about RocksDB, which broker-lite does not use",
		},
		{"dumpCompactionLog", "reads a file of Apache's, without a server"},
		{
			"getColdDataFlowCtrInfo updateColdDataFlowCtrGroupConfig removeColdDataFlowCtrGroupConfig setCommitLogReadAheadMode",
			"about the page cache of Apache's store",
		},
		{
			"createUser updateUser deleteUser getUser listUser copyUser createAcl updateAcl deleteAcl getAcl listAcl copyAcl",
			"about the users of ACL 2.0; broker-lite takes its accounts from plain_acl.yml",
		},
		{
			"updateAclConfig deleteAclConfig getAclConfig updateGlobalWhiteAddr clusterAclConfigVersion",
			"change plain_acl.yml of 4.9, which 5.4.0 and broker-lite refuse alike",
		},
	}
}

// withoutRow is what the file of results says of them.
func withoutRow() string {
	var out strings.Builder
	out.WriteString(" These commands have no row:\n")
	for _, l := range adminLeftOut() {
		fmt.Fprintf(&out, "\n- %s: %s", strings.ReplaceAll(l.names, " ", ", "), l.why)
	}
	return out.String()
}

// adminOtherRows are the commands that are about several kinds of things, and what
// dashboards ask by way of the tools' library.
func adminOtherRows() []adminRow {
	return []adminRow{
		{
			name: "exportMetrics", about: "a file of figures of a cluster",
			lines: []string{"exportMetrics -c DefaultCluster -f $dir"},
			masks: []mask{{`(Tps|messageAverageSize|DiskRatio)":"?[\d.]+"?`, `$1":N`}, {`"clientInfo":\[[^\]]*\]`, `"clientInfo":CLIENTS`}},
			differs: []difference{
				{tools: apache.V5, pattern: `"cpuNum"`, why: "it is a key of a thread pool that broker-lite does not have"},
				{tools: apache.V4, pattern: `.`, why: "the tools of 4.9 miss a figure of Apache 5.4.0, which broker-lite gives them"},
			},
			check: func(r *adminRun, out string) {
				if r.server.lite != nil {
					r.says(out, `^export .*/metrics.json success`)
				}
			},
		},
		{
			name: "allocateMQ", about: "how the queues of a topic are shared between clients",
			lines:   []string{"allocateMQ -t $topic -i 192.0.2.1,192.0.2.2"},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
			check:   func(r *adminRun, out string) { r.says(out, `192\.0\.2\.2`) },
		},
		{
			name: "checkMsgSendRT", about: "how long messages take to be stored",
			lines:   []string{"checkMsgSendRT -t $topic -a 3 -s 10"},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
			masks:   []mask{{`(true +)\d+`, "${1}MS"}, {`(Avg RT: )[\d.]+`, "${1}MS"}},
			check:   func(r *adminRun, out string) { r.says(out, `^broker-a 2 true \d+`) },
		},
		{
			name: "addBroker", about: "of broker containers: a broker refuses it, and removeBroker", since5: true,
			lines: []string{"addBroker -c $broker -b $dir/broker.conf", "removeBroker -c $broker -b DefaultCluster:broker-a:0"},
		},
		{
			name: "updateStaticTopic", about: "static topics, and remappingStaticTopic, which makes them", since5: true,
			lines:   []string{"updateStaticTopic -b broker-a -t $topic -qn 2", "remappingStaticTopic -b broker-a -t $topic"},
			differs: []difference{{pattern: `.`, why: "broker-lite refuses them: the names of their queues do not tell where their messages are"}},
			check: func(r *adminRun, out string) {
				if r.server.lite != nil {
					r.says(out, `CODE: 1 DESC: topic $topic: broker-lite has no static topics; make an ordinary topic`)
				}
			},
		},
		{
			name: "resumeCheckHalfMessage", about: "code 323, with a message that is no half message",
			lines: []string{"call resumeCheckHalfMessage $topic $offsetid"}, prepare: tagged,
			differs: []difference{{pattern: `^(true|false)$`, why: "Apache stores any message once more, broker-lite only half messages that are given up"}},
			check: func(r *adminRun, out string) {
				if r.server.lite != nil {
					r.says(out, `^false$`)
				}
			},
		},
		{
			name: "queryConsumeTimeSpan", about: "code 303: the times of what a queue holds and of what a group has come to",
			lines: []string{"call queryConsumeTimeSpan $topic $group"}, prepare: offline,
			masks: []mask{{`("delayTime":)\d+`, "${1}MS"}},
			check: func(r *adminRun, out string) { r.says(out, `"consumeTimeStamp":1\d{12},`) },
		},
		{
			name: "queryTopicsByConsumer", about: "code 343: the topics of a group", since5: true,
			lines: []string{"call queryTopicsByConsumer $group", "call queryTopicsByConsumer no_such_group"}, prepare: committedAll, sorted: true,
			check: func(r *adminRun, out string) { r.says(out, `"$topic"`) },
		},
		{
			name: "queryTopicConsumeByWho", about: "code 300: the groups of a topic",
			lines: []string{"call queryTopicConsumeByWho $topic", "call queryTopicConsumeByWho no_such_topic"}, prepare: offline,
			check: func(r *adminRun, out string) { r.says(out, `"$group"`) },
		},
		{
			name: "querySubscription", about: "code 345: what a group takes of a topic", since5: true,
			lines: []string{"call querySubscription $group $topic", "call querySubscription $group no_such_topic"}, prepare: online,
			masks: []mask{{`("subVersion":)\d+`, "${1}N"}},
			check: func(r *adminRun, out string) { r.says(out, `"subString":"\*"`) },
		},
		{
			name: "getKVListByNamespace", about: "code 219: all keys of a name space, and of one that is not there",
			lines: []string{"updateKvConfig -s $group -k k -v v", "call getKVListByNamespace $group", "deleteKvConfig -s $group -k k", "call getKVListByNamespace none"},
			check: func(r *adminRun, out string) { r.says(out, `"k":"v"`) },
		},
		{
			name: "updateAndGetGroupReadForbidden", about: "code 353: a group that may not read a topic", since5: true,
			lines: []string{"call updateAndGetGroupReadForbidden $broker $group $topic false", "call updateAndGetGroupReadForbidden $broker $group $topic true"}, prepare: offline,
			check: func(r *adminRun, out string) { r.says(out, `"readable":false`, `"readable":true`) },
		},
	}
}

// Every command of the tools has a row, or is left out with a reason.
func compareCommands(t *testing.T, out apache.AdminOutput) {
	t.Helper()
	known := map[string]bool{}
	for _, row := range adminRows() {
		for _, line := range row.lines {
			name, _, _ := strings.Cut(line, " ")
			known[name] = true
		}
	}
	for _, l := range adminLeftOut() {
		for name := range strings.FieldsSeq(l.names) {
			if known[name] {
				t.Errorf("%s is left out, and has a row", name)
			}
			known[name] = true
		}
	}
	names := strings.Fields(out.Out)
	if len(names) < 50 {
		t.Errorf("the tools have %d commands: %q %s", len(names), names, out.Err)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("%s has no row and no reason why it is left out", name)
		}
	}
}
