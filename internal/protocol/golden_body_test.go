package protocol

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// bodyCodec reads and writes one kind of body.
type bodyCodec struct {
	read  func([]byte) (any, error)
	write func(any) ([]byte, error)
	exact bool // 5.4.0's bytes are written, since no hash table decides an order
}

func plainBody[T any]() bodyCodec {
	return bodyCodec{
		read: func(b []byte) (any, error) {
			v := new(T)
			return v, DecodeBody(b, v)
		},
		write: EncodeBody,
	}
}

func ownBody[T any](exact bool, read func([]byte) (T, error), write func(T) []byte) bodyCodec {
	return bodyCodec{
		read:  func(b []byte) (any, error) { return read(b) },
		write: func(v any) ([]byte, error) { return write(v.(T)), nil },
		exact: exact,
	}
}

// goldenBody is how a golden body is read and written, by its name.
func goldenBody(name string) (bodyCodec, bool) {
	exactly := func(c bodyCodec) bodyCodec { c.exact = true; return c }
	switch strings.Join(strings.Split(name, "-")[:2], "-") {
	case "body-34":
		return plainBody[HeartbeatData](), true
	case "body-38":
		return exactly(plainBody[ConsumerList]()), true
	case "body-41", "body-42":
		if strings.Contains(name, "response") {
			return exactly(plainBody[LockBatchResponse]()), true
		}
		return exactly(plainBody[LockBatchRequest]()), true
	case "body-206":
		return exactly(plainBody[TopicList]()), true
	case "body-28":
		return plainBody[KVTable](), true
	case "body-351":
		return exactly(plainBody[TopicConfig]()), true
	case "body-103":
		if strings.Contains(name, "response") {
			return plainBody[KVTable](), true
		}
		return plainBody[RegisterBrokerBody](), true
	case "body-105":
		standard := strings.HasSuffix(name, "standard")
		return ownBody(true, DecodeTopicRoute, func(r *TopicRoute) []byte { return EncodeTopicRoute(r, standard) }), true
	case "body-106":
		return ownBody(true, DecodeClusterInfo, func(c *ClusterInfo) []byte { return EncodeClusterInfo(c, false) }), true
	case "body-202":
		return ownBody(true, DecodeTopicStats, EncodeTopicStats), true
	case "body-220":
		return ownBody(true, DecodeOffsetTable, EncodeOffsetTable), true
	}
	return bodyCodec{}, false
}

func TestBodiesOfApacheAreReadAndWritten(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, g := range golden(t, "body", "") {
		codec, ok := goldenBody(g.Name)
		if !ok {
			continue // bodies of later families: 208, 221, 223
		}
		tested++
		t.Run(g.Name+"-"+g.Version, func(t *testing.T) {
			t.Parallel()
			v, err := codec.read(g.data)
			if err != nil {
				t.Fatal(err)
			}
			written, err := codec.write(v)
			if err != nil {
				t.Fatal(err)
			}
			if codec.exact && g.is5() && g.Name != "body-38-response-empty" {
				if !bytes.Equal(written, g.data) {
					t.Errorf("written:\n got %s\nJava %s", written, g.data)
				}
			}
			if g.is5() {
				sameJSON(t, g.data, written)
			}
			again, err := codec.read(written)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("read back (-first +second):\n%s", diff)
			}
		})
	}
	if tested < 25 {
		t.Errorf("only %d bodies", tested)
	}
}

func TestAHeartbeatOfApacheIsRead(t *testing.T) {
	t.Parallel()
	const version = 1700000000123
	sub := func(topic, expr string, tags []string, codes []int32) SubscriptionData {
		return SubscriptionData{Topic: topic, SubString: expr, TagsSet: tags, CodeSet: codes, SubVersion: version, ExpressionType: ExpressionTag}
	}
	want := HeartbeatData{
		ClientID:  "127.0.0.1@4242#1",
		Producers: []ProducerData{{"PayGroup"}, {"CLIENT_INNER_PRODUCER"}},
		Consumers: []ConsumerData{
			{GroupName: "GroupTest", ConsumeType: ConsumePassively, MessageModel: Clustering, ConsumeFromWhere: ConsumeFromLastOffset,
				Subscriptions: []SubscriptionData{sub("TopicTest", "*", nil, nil), sub("OrderTopic", "a || 标签", []string{"a", "标签"}, []int32{97, 857175}), sub("%RETRY%GroupTest", "*", nil, nil)}},
			{GroupName: "PullGroup", ConsumeType: ConsumeActively, MessageModel: Broadcasting, ConsumeFromWhere: ConsumeFromTimestamp, UnitMode: true},
		},
	}
	withoutSub := HeartbeatData{ClientID: want.ClientID, Fingerprint: -1234567, WithoutSub: true, Consumers: []ConsumerData{want.Consumers[0]}}
	withoutSub.Consumers[0].Subscriptions = nil
	eachGolden(t, "body", "body-34-request", func(t *testing.T, g *goldenCase) {
		var got HeartbeatData
		if err := DecodeBody(g.data, &got); err != nil {
			t.Fatal(err)
		}
		switch g.Name {
		case "body-34-request":
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		case "body-34-request-v2-without-sub":
			if diff := cmp.Diff(withoutSub, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
	})
}

func TestARouteOfApacheIsReadInEitherDialect(t *testing.T) {
	t.Parallel()
	want := &TopicRoute{
		QueueDatas: []QueueData{{BrokerName: "broker-a", ReadQueueNums: 8, WriteQueueNums: 8, Perm: PermRead | PermWrite}, {BrokerName: "broker-b", ReadQueueNums: 4, WriteQueueNums: 4, Perm: PermRead, TopicSysFlag: 1}},
		BrokerDatas: []BrokerData{
			{Cluster: "DefaultCluster", BrokerName: "broker-a", BrokerAddrs: map[int64]string{MasterID: "127.0.0.1:10911", 1: "127.0.0.1:10921"}},
			{Cluster: "DefaultCluster", BrokerName: "broker-b", BrokerAddrs: map[int64]string{MasterID: "10.0.0.2:10911"}},
		},
	}
	for _, prefix := range []string{"body-105-response-fastjson", "body-105-response-standard"} {
		eachGolden(t, "body", prefix, func(t *testing.T, g *goldenCase) {
			got, err := DecodeTopicRoute(g.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	eachGolden(t, "body", "body-105-response-ordered", func(t *testing.T, g *goldenCase) {
		got, err := DecodeTopicRoute(g.data)
		if err != nil || got.OrderTopicConf != "broker-a:8;broker-b:4" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestTopicStatsOfApacheAreRead(t *testing.T) {
	t.Parallel()
	eachGolden(t, "body", "body-202-response", func(t *testing.T, g *goldenCase) {
		got, err := DecodeTopicStats(g.data)
		if err != nil {
			t.Fatal(err)
		}
		want := &TopicStats{Offsets: map[MessageQueue]TopicOffset{}}
		if !strings.HasSuffix(g.Name, "empty") {
			for i := range int64(3) {
				want.Offsets[MessageQueue{Topic: "TopicTest", BrokerName: "broker-a", QueueID: int32(i)}] = TopicOffset{MinOffset: i, MaxOffset: 100 + i, LastUpdateTimestamp: 1700000000123 + i}
			}
			if g.is5() {
				want.PutTPS = 12.5
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func inflated(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheRegistrationOfApacheIsReadCompressedAndPlain(t *testing.T) {
	t.Parallel()
	wantFor := func(g *goldenCase, compressed bool) *RegisterBrokerBody {
		config := func(name string) TopicConfig {
			return TopicConfig{TopicName: name, ReadQueueNums: 8, WriteQueueNums: 8, Perm: PermRead | PermWrite, TopicFilterType: SingleTag}
		}
		test := config("TopicTest")
		version := DataVersion{Counter: 42, Timestamp: 1700000000123}
		w := &RegisterBrokerBody{Topics: TopicConfigTable{DataVersion: version}}
		if g.is5() {
			test.Attributes = map[string]string{"message.type": "FIFO"}
			if !compressed {
				w.Topics.MappingDataVersion = &version
			}
		}
		w.Topics.Configs = map[string]TopicConfig{"TopicTest": test, "TBW102": config("TBW102")}
		return w
	}
	versionOf := func(g *goldenCase) int32 {
		if g.is5() {
			return VersionV5_4_0
		}
		return VersionV4_9_7
	}
	eachGolden(t, "body", "body-103-request", func(t *testing.T, g *goldenCase) {
		got, err := DecodeRegisterBrokerBody(g.data, false, versionOf(g))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantFor(g, false), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	eachGolden(t, "deflated", "body-103-request-compressed", func(t *testing.T, g *goldenCase) {
		got, err := DecodeRegisterBrokerBody(g.data, true, versionOf(g))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantFor(g, true), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		written, err := EncodeRegisterBrokerBody(got, true, versionOf(g))
		if err != nil {
			t.Fatal(err)
		}
		// Java's hash table decides the order of the topics, so the bytes agree in
		// all but that; 4.9 has no stateVersion.
		java, ours := inflated(t, g.data), inflated(t, written)
		if g.is5() && len(java) != len(ours) {
			t.Errorf("inflates to %q, Java's to %q", ours, java)
		}
		again, err := DecodeRegisterBrokerBody(written, true, versionOf(g))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("read back (-first +second):\n%s", diff)
		}
	})
}

// client-go v2 does not parse brokerAddrs: it cuts off the braces, splits at
// commas and takes what stands before the first colon for the id.
func TestRoutesSurviveClientGosSplitting(t *testing.T) {
	t.Parallel()
	r := &TopicRoute{BrokerDatas: []BrokerData{{Cluster: "c", BrokerName: "b", BrokerAddrs: map[int64]string{0: "10.0.0.1:10911", 1: "10.0.0.2:10911"}}}}
	for _, standard := range []bool{true, false} {
		std, err := NormalizeJSON(EncodeTopicRoute(r, standard))
		if err != nil {
			t.Fatal(err)
		}
		text := EncodeTopicRoute(r, standard)
		if !json.Valid(std) || json.Valid(text) != standard {
			t.Errorf("standard=%t: %s", standard, text)
		}
		_, rest, _ := strings.Cut(string(text), `"brokerAddrs":{`)
		addrs, _, _ := strings.Cut(rest, "}")
		got := make(map[string]string)
		for _, s := range strings.Split(addrs, ",") {
			i := strings.Index(s, ":")
			got[strings.ReplaceAll(s[:i], `"`, "")] = strings.ReplaceAll(s[i+1:], `"`, "")
		}
		if diff := cmp.Diff(map[string]string{"0": "10.0.0.1:10911", "1": "10.0.0.2:10911"}, got); diff != "" {
			t.Errorf("standard=%t (-want +got):\n%s", standard, diff)
		}
	}
}
