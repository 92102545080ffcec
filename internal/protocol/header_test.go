package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fullHeaders has each typed header with every field set, and the names that a
// decoder insists on.
func fullHeaders() []struct {
	header   headerCodec
	required string
} {
	send := SendRequest{
		ProducerGroup: "g", Topic: "t", DefaultTopic: DefaultTopic, DefaultTopicQueueNums: 4, QueueID: -1, SysFlag: SysPrepared, BornTimestamp: 1700000000123,
		Flag: -7, Properties: []byte("TAGS\x01a\x02"), ReconsumeTimes: 2, UnitMode: true, MaxReconsumeTimes: SomeInt32(0), Batch: true, BrokerName: "b",
	}
	v1, v2, batch := send, send, send
	v1.Code, v2.Code, batch.Code = SendMessage, SendMessageV2, SendBatchMessage
	return []struct {
		header   headerCodec
		required string
	}{
		{&v1, "topic queueId sysFlag bornTimestamp flag"},
		{&v2, "b e f g h"},
		{&batch, "b e f g h"},
		{&SendResponse{MessageID: "id", QueueID: 3, QueueOffset: 1 << 40, TransactionID: "x", RegionID: "r", TraceOn: "false", RecallHandle: "h"}, ""},
		{&PullRequest{ConsumerGroup: "g", Topic: "t", QueueID: 1, QueueOffset: 1 << 40, MaxMessages: 32, SysFlag: PullSuspend, CommitOffset: -1, SuspendTimeout: 15000,
			Subscription: "a || b", SubVersion: 1700000000123, ExpressionType: ExpressionSQL92, MaxBytes: SomeInt32(0), BrokerName: "b"},
			"consumerGroup topic queueId queueOffset maxMsgNums sysFlag"},
		{&PullRequest{ConsumerGroup: "g", Topic: "t", QueueID: 1, QueueOffset: 2, MaxMessages: 32, SysFlag: PullCommitOffset, CommitOffset: 3},
			"consumerGroup topic queueId queueOffset maxMsgNums sysFlag commitOffset"},
		{&PullResponse{SuggestBroker: 1, NextBeginOffset: 2, MinOffset: 3, MaxOffset: 4}, ""},
		{&ConsumerOffsetRequest{Code: QueryConsumerOffset, ConsumerGroup: "g", Topic: "t", QueueID: 1, SetZeroIfNotFound: SomeBool(false), BrokerName: "b"}, "consumerGroup topic queueId"},
		{&ConsumerOffsetRequest{Code: UpdateConsumerOffset, ConsumerGroup: "g", Topic: "t", QueueID: 1, CommitOffset: 1 << 40, BrokerName: "b"}, "consumerGroup topic queueId commitOffset"},
		{&OffsetResponse{Offset: -1}, "offset"},
		{&OffsetRequest{Code: SearchOffsetByTime, Topic: "t", QueueID: 1, Timestamp: 1700000000123, Boundary: BoundaryUpper, BrokerName: "b"}, "topic queueId timestamp"},
		{&OffsetRequest{Code: GetMaxOffset, Topic: "t", QueueID: 1, Committed: SomeBool(true), BrokerName: "b"}, "topic queueId"},
		{&StoreTimeResponse{Timestamp: -1}, "timestamp"},
		{&ViewMessageRequest{Offset: 1 << 40, Topic: "t"}, "offset"},
		{&QueryMessageRequest{Topic: "t", Key: "k", MaxNum: 32, BeginTimestamp: 1, EndTimestamp: 1<<63 - 1, UniqueKey: SomeBool(false), IndexType: IndexTag, LastKey: "l"}, "topic key maxNum beginTimestamp endTimestamp"},
		{&QueryMessageResponse{IndexLastUpdateTimestamp: 1700000000123, IndexLastUpdatePhyOffset: 1 << 40}, "indexLastUpdateTimestamp indexLastUpdatePhyoffset"},
		{&HeartbeatResponse{SupportsV2: true, SubscriptionChanged: true}, ""},
		{&UnregisterRequest{ClientID: "c", ProducerGroup: "p", ConsumerGroup: "g", BrokerName: "b"}, "clientID"},
		{&SendBackRequest{Offset: 1 << 40, Group: "g", DelayLevel: -1, OriginMessageID: "id", OriginTopic: "t", UnitMode: true, MaxReconsumeTimes: SomeInt32(16), BrokerName: "b"}, "offset group delayLevel"},
		{&EndTransactionRequest{Topic: "t", ProducerGroup: "p", TranStateTableOffset: 1, CommitLogOffset: 2, CommitOrRollback: SysRollback, FromTransactionCheck: true, MessageID: "id", TransactionID: "x", BrokerName: "b"},
			"producerGroup tranStateTableOffset commitLogOffset commitOrRollback"},
		{&CheckTransactionRequest{Topic: "t", TranStateTableOffset: 1, CommitLogOffset: 2, MessageID: "id", TransactionID: "x", OffsetMessageID: "o", BrokerName: "b"}, "tranStateTableOffset commitLogOffset"},
		{&ConsumerListRequest{ConsumerGroup: "g", BrokerName: "b"}, "consumerGroup"},
		{&NotifyConsumersChangedRequest{ConsumerGroup: "g"}, "consumerGroup"},
		{&CreateTopicRequest{Topic: "t", DefaultTopic: DefaultTopic, ReadQueueNums: 8, WriteQueueNums: 4, Perm: PermRead, TopicFilterType: MultiTag, TopicSysFlag: 1, Order: true, Attributes: "+a=b", Force: SomeBool(true), BrokerName: "b"},
			"topic readQueueNums writeQueueNums perm"},
		{&TopicRequest{Topic: "t", BrokerName: "b"}, "topic"},
		{&PopRequest{ConsumerGroup: "g", Topic: "t", QueueID: -1, MaxMessages: 32, InvisibleTime: 60000, PollTime: 15000, BornTime: 1700000000123, InitMode: PopFromMax, ExpressionType: ExpressionSQL92, Expression: "a = 1", Order: true, AttemptID: "x", BrokerName: "b"},
			"consumerGroup topic queueId maxMsgNums invisibleTime pollTime bornTime initMode"},
		{&PopResponse{PopTime: 1700000000123, InvisibleTime: 60000, ReviveQueueID: 7, RestNum: 3, StartOffsets: "0 1 2", Offsets: "0 1 2,3", OrderCounts: "0 qo1%2 1"}, "popTime invisibleTime reviveQid restNum"},
		{&AckRequest{ConsumerGroup: "g", Topic: "t", QueueID: 1, Receipt: "1 2 3 4 0 b 1 5", Offset: 5, BrokerName: "b"}, "consumerGroup topic queueId extraInfo offset"},
		{&ChangeInvisibleRequest{AckRequest{ConsumerGroup: "g", Topic: "t", QueueID: 1, Receipt: "1 2 3 4 0 b 1 5", Offset: 5, BrokerName: "b"}, 30000}, "consumerGroup topic queueId extraInfo offset invisibleTime"},
		{&ChangeInvisibleResponse{PopTime: 1, InvisibleTime: 2, ReviveQueueID: 3}, "popTime invisibleTime reviveQid"},
		{&PeekRequest{Code: PeekMessage, ConsumerGroup: "g", Topic: "t", QueueID: 1, MaxMessages: 32, BrokerName: "b"}, "consumerGroup topic queueId maxMsgNums"},
		{&PeekRequest{Code: PollingInfo, ConsumerGroup: "g", Topic: "t", QueueID: 1, BrokerName: "b"}, "consumerGroup topic queueId"},
		{&PollingInfoResponse{PollingNum: 3}, "pollingNum"},
		{&NotificationRequest{ConsumerGroup: "g", Topic: "t", QueueID: -1, PollTime: 1, BornTime: 2, Order: true, AttemptID: "x", BrokerName: "b"}, "consumerGroup topic queueId pollTime bornTime"},
		{&NotificationResponse{HasMessage: true, PollingFull: true}, ""},
		{&RecallRequest{ProducerGroup: "p", Topic: "t", Handle: "h", BrokerName: "b"}, "topic recallHandle"},
		{&RecallResponse{MessageID: "id", RegionID: "r"}, ""},
		{&RegisterBrokerRequest{BrokerName: "b", BrokerAddr: "1.2.3.4:5", ClusterName: "c", HAServerAddr: "1.2.3.4:6", BrokerID: 1, HeartbeatTimeoutMillis: SomeInt64(0), EnableActingMaster: SomeBool(false), Compressed: true, BodyCRC32: 1<<31 - 1, ZoneName: "z"},
			"brokerName brokerAddr clusterName brokerId"},
		{&RegisterBrokerResponse{HAServerAddr: "h", MasterAddr: "m"}, ""},
		{&UnregisterBrokerRequest{BrokerName: "b", BrokerAddr: "a", ClusterName: "c", BrokerID: 1}, "brokerName brokerAddr clusterName brokerId"},
		{&RouteRequest{Topic: "t", AcceptStandardJSONOnly: SomeBool(true)}, "topic"},
		{&ConsumeStatsRequest{ConsumerGroup: "g", Topic: "t", TopicList: "t;u", BrokerName: "b"}, "consumerGroup"},
		{&BrokerConsumeStatsRequest{OrderedOnly: true}, ""},
		{&ProducerGroupRequest{ProducerGroup: "g"}, "producerGroup"},
		{&GroupTopicRequest{Group: "g", Topic: "t", ClientAddr: "c"}, "group"},
		{&ResetOffsetRequest{Group: "g", Topic: "t", QueueID: -1, Offset: SomeInt64(0), Timestamp: LatestOffset, Force: true, BrokerName: "b"}, "group topic timestamp"},
		{&RunningInfoRequest{ConsumerGroup: "g", ClientID: "c", Stacks: true}, "consumerGroup clientId"},
		{&ConsumeDirectlyRequest{ConsumerGroup: "g", ClientID: "c", MessageID: "id", BrokerName: "b", Topic: "t", TopicSysFlag: SomeInt32(0), GroupSysFlag: SomeInt32(1)}, "consumerGroup"},
		{&CorrectionOffsetRequest{Topic: "t", CompareGroup: "g", FilterGroups: "h,i"}, "topic"},
		{&CloneOffsetRequest{From: "g", To: "h", Topic: "t", Offline: true}, "srcGroup destGroup"},
		{&ConsumeQueueRequest{Topic: "t", QueueID: 1, Index: 1 << 40, Count: 10, ConsumerGroup: "g"}, "topic"},
		{&ResumeCheckRequest{MessageID: "id", Topic: "t"}, "msgId"},
	}
}

// emptyLike returns an empty header of the type and code of h.
func emptyLike(h headerCodec) headerCodec {
	switch h := h.(type) {
	case *SendRequest:
		return &SendRequest{Code: h.Code}
	case *ConsumerOffsetRequest:
		return &ConsumerOffsetRequest{Code: h.Code}
	case *OffsetRequest:
		return &OffsetRequest{Code: h.Code}
	case *PeekRequest:
		return &PeekRequest{Code: h.Code}
	}
	for _, pair := range headerPairs() {
		if typeName(pair[0]) == typeName(h) {
			return pair[0]
		}
	}
	return nil
}

func typeName(h headerCodec) string { return fmt.Sprintf("%T", h) }

func TestEveryHeaderFieldSurvivesBothCodecs(t *testing.T) {
	t.Parallel()
	for _, c := range fullHeaders() {
		for _, codec := range []Codec{JSON, Binary} {
			got := emptyLike(c.header)
			if err := got.DecodeFields(fieldsOf(t, codec, c.header)); err != nil {
				t.Errorf("%s %s: %v", typeName(c.header), codec, err)
			} else if diff := cmp.Diff(c.header, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", typeName(c.header), codec, diff)
			}
		}
	}
}

func TestAHeaderWithoutARequiredFieldIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, c := range fullHeaders() {
		full := fieldsOf(t, JSON, c.header)
		for i, f := range full {
			fields := append(slices.Clone(full[:i]), full[i+1:]...)
			err := emptyLike(c.header).DecodeFields(fields)
			if !slices.Contains(strings.Fields(c.required), f.Key) {
				if err != nil {
					t.Errorf("%s without %s: %v", typeName(c.header), f.Key, err)
				}
				continue
			}
			var fe *FieldError
			if !errors.As(err, &fe) || strings.Fields(fe.Field)[0] != f.Key || !strings.Contains(err.Error(), "missing") {
				t.Errorf("%s without %s: got %v", typeName(c.header), f.Key, err)
			}
		}
	}
}

func TestANumberThatIsNoneIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, c := range fullHeaders() {
		full := fieldsOf(t, JSON, c.header)
		numbers := 0
		for i, f := range full {
			if strings.Trim(f.Value, "-0123456789") != "" || f.Value == "" {
				continue
			}
			numbers++
			for _, bad := range []string{"x", "1.5", "99999999999999999999", "0x1"} {
				fields := slices.Clone(full)
				fields[i].Value = bad
				err := emptyLike(c.header).DecodeFields(fields)
				var fe *FieldError
				if !errors.As(err, &fe) || fe.Field != f.Key || fe.Value != bad || !strings.Contains(err.Error(), "want a") {
					t.Errorf("%s with %s=%s: got %v", typeName(c.header), f.Key, bad, err)
				}
			}
		}
		if len(c.required) > 0 && numbers == 0 && !strings.Contains("clientID consumerGroup topic recallHandle producerGroup group, consumerGroup clientId, srcGroup destGroup, msgId", c.required) {
			t.Errorf("%s has no number", typeName(c.header))
		}
	}
}

func TestTheLastOfTwoFieldsCounts(t *testing.T) {
	t.Parallel()
	var h OffsetResponse
	if err := h.DecodeFields(Fields{{"offset", "1"}, {"offset", "2"}}); err != nil || h.Offset != 2 {
		t.Errorf("got %+v, %v", h, err)
	}
}

func TestBooleansAreReadAsJavaReadsThem(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"true": true, "TRUE": true, "True": true, "false": false, "yes": false, "1": false, "": false, "true ": false} {
		if got := (Field{"b", value}).ParseBool(); got != want {
			t.Errorf("%q is %t", value, got)
		}
	}
}

func TestEndTransactionKnowsThreeOutcomes(t *testing.T) {
	t.Parallel()
	fields := fieldsOf(t, JSON, &EndTransactionRequest{ProducerGroup: "p", CommitOrRollback: SysPrepared})
	err := new(EndTransactionRequest).DecodeFields(fields)
	var fe *FieldError
	if !errors.As(err, &fe) || fe.Field != "commitOrRollback" {
		t.Errorf("got %v", err)
	}
}

func TestTheRouteDialectFollowsVersionAndWish(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version int32
		accept  OptBool
		want    bool
	}{{317, OptBool{}, false}, {VersionV4_9_3, SomeBool(false), false}, {317, SomeBool(true), true}, {VersionV4_9_4, OptBool{}, true}, {VersionV5_4_0, SomeBool(false), true}} {
		h := RouteRequest{AcceptStandardJSONOnly: c.accept}
		if got := h.StandardJSON(c.version); got != c.want {
			t.Errorf("version %d, %+v: got %t", c.version, c.accept, got)
		}
	}
}

func TestARegistrationsBodyIsCheckedWhenItsChecksumIsSet(t *testing.T) {
	t.Parallel()
	body := []byte("123456789")
	if BodyCRC(body) != 0xCBF43926&0x7FFFFFFF {
		t.Errorf("checksum %#x", BodyCRC(body))
	}
	h := RegisterBrokerRequest{}
	if err := h.VerifyBody(body); err != nil {
		t.Errorf("no checksum: %v", err)
	}
	h.BodyCRC32 = BodyCRC(body)
	if err := h.VerifyBody(body); err != nil {
		t.Errorf("right checksum: %v", err)
	}
	if err := h.VerifyBody(body[1:]); !errors.Is(err, ErrMalformedBody) {
		t.Errorf("wrong checksum: got %v", err)
	}
}

func TestFieldErrorsAreShort(t *testing.T) {
	t.Parallel()
	err := (&OffsetResponse{}).DecodeFields(Fields{{"offset", strings.Repeat("9", 1<<20)}})
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("got %d bytes", len(err.Error()))
	}
}
