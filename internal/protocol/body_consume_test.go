package protocol

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBodiesAboutConsumersAreWrittenAsFastjsonDoes(t *testing.T) {
	t.Parallel()
	q := func(id int32) MessageQueue { return MessageQueue{Topic: "t", BrokerName: "b", QueueID: id} }
	offsets := map[MessageQueue]int64{q(1): 7, q(0): 5}
	stats := ConsumeStats{TPS: 1.5, Offsets: map[MessageQueue]ConsumeOffset{q(0): {BrokerOffset: 4, ConsumerOffset: 2, LastTimestamp: 9, PullOffset: 3}}}
	info, err := EncodeRunningInfo(&RunningInfo{
		Queues: map[MessageQueue]ProcessQueue{q(0): {CachedCount: 1, CommitOffset: 2}}, Properties: map[string]string{"a": "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const (
		zero      = `{"brokerName":"b","queueId":0,"topic":"t"}`
		one       = `{"brokerName":"b","queueId":1,"topic":"t"}`
		statsText = `{"consumeTps":1.5,"offsetTable":{` + zero + `:{"brokerOffset":4,"consumerOffset":2,"lastTimestamp":9,"pullOffset":3}}}`
	)
	for _, c := range []struct{ name, got, want string }{
		{"208", string(EncodeConsumeStats(&stats)), statsText},
		{"317", string(EncodeBrokerConsumeStats(&BrokerConsumeStats{BrokerAddr: "a:1", Groups: []GroupConsumeStats{{Group: "g", Stats: []ConsumeStats{stats}}, {Group: "h"}}, Diff: 2, InflightDiff: 1})),
			`{"brokerAddr":"a:1","consumeStatsList":[{"g":[` + statsText + `]},{"h":[]}],"totalDiff":2,"totalInflightDiff":1}`},
		{"220 for C++", string(EncodeOffsetList(offsets)),
			`{"offsetTable":[{"brokerName":"b","offset":5,"queueId":0,"topic":"t"},{"brokerName":"b","offset":7,"queueId":1,"topic":"t"}]}`},
		{"221", string(EncodeClientOffsets(offsets)), `{"messageQueueTable":{` + zero + `:5,` + one + `:7}}`},
		{"223", string(EncodeClientStatus(ClientStatus{"c": offsets, "a": nil})), `{"consumerTable":{"a":{},"c":{` + zero + `:5,` + one + `:7}},"messageQueueTable":{}}`},
		{"308", string(EncodeCorrectionOffsets(map[int32]int64{1: 2, 0: 1})), `{"correctionOffsets":{0:1,1:2}}`},
		{"307", string(info), `{"mqPopTable":{},"mqTable":{` + zero + `:{"cachedMsgCount":1,"cachedMsgMaxOffset":0,"cachedMsgMinOffset":0,"cachedMsgSizeInMiB":0,"commitOffset":2,"droped":false,` +
			`"lastConsumeTimestamp":0,"lastLockTimestamp":0,"lastPullTimestamp":0,"locked":false,"transactionMsgCount":0,"transactionMsgMaxOffset":0,"transactionMsgMinOffset":0,"tryUnlockTimes":0}},` +
			`"properties":{"a":"1"},"statusTable":{},"userConsumerInfo":{}}`},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, c.got, c.want)
		}
	}
	back, err := DecodeClientOffsets(EncodeClientOffsets(offsets))
	if diff := cmp.Diff(offsets, back); diff != "" || err != nil {
		t.Error(diff, err)
	}
	again, err := DecodeConsumeStats(EncodeConsumeStats(&stats))
	if diff := cmp.Diff(&stats, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestOffsetTablesAreReadInBothForms(t *testing.T) {
	t.Parallel()
	want := map[MessageQueue]int64{{Topic: "t", BrokerName: "b", QueueID: 0}: 5, {Topic: "t", BrokerName: "b", QueueID: 3}: 1 << 40}
	for _, body := range [][]byte{EncodeOffsetTable(want), EncodeOffsetList(want)} {
		got, err := DecodeOffsetTable(body)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", body, err, diff)
		}
	}
	for _, body := range []string{`{"offsetTable":[1]}`, `{"offsetTable":5}`, `{"offsetTable":{"x":1}}`, `[]`} {
		if got, err := DecodeOffsetTable([]byte(body)); err == nil {
			t.Errorf("%s is taken for %v", body, got)
		}
	}
}
