package protocol

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFastjsonsDialectBecomesStandardJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{0:"a",1:"b"}`:                   `{"0":"a","1":"b"}`,
		`{-1:{}}`:                         `{"-1":{}}`,
		`{"x":{0:"ip:1"},"y":[{7:1}]}`:    `{"x":{"0":"ip:1"},"y":[{"7":1}]}`,
		`{{"queueId":0,"topic":"t"}:5}`:   `{"{\"queueId\":0,\"topic\":\"t\"}":5}`,
		`{{"a":"}"}:{{"b":1}:2}}`:         `{"{\"a\":\"}\"}":{"{\"b\":1}":2}}`,
		`{"a":"{0:1}"}`:                   `{"a":"{0:1}"}`,
		`{"a\"{":1, 2 : 3 }`:              `{"a\"{":1, "2" : 3 }`,
		"{\n0\n:\n1}":                     "{\n\"0\"\n:\n1}",
		`[{0:1},{1:2}]`:                   `[{"0":1},{"1":2}]`,
		`[1,2,[3,{"a":[4,{5:6}]}]]`:       `[1,2,[3,{"a":[4,{"5":6}]}]]`,
		`{"offsetTable":{},"tps":0.0}`:    `{"offsetTable":{},"tps":0.0}`,
		`{"a":true,"b":null,"c":-1.5e-3}`: `{"a":true,"b":null,"c":-1.5e-3}`,
		`{"标签":{3:"值"}}`:                  `{"标签":{"3":"值"}}`,
		`null`:                            `null`,
		`"x"`:                             `"x"`,
	} {
		got, err := NormalizeJSON([]byte(in))
		if err != nil || string(got) != want || !json.Valid(got) {
			t.Errorf("%s became %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{`{`, `}`, `[}`, `{]`, `{"a":[1}`, `{a:1}`, `{'a':1}`, `{{`, `{{}`, `{{"a":{}}:1}`, `{{"a":[]}:1}`, `{[1]:2}`, `{"a`, "{\"a\n\":1}", `{true:1}`, `{{"a}:1}`, strings.Repeat("[", maxBodyDepth+1)} {
		if got, err := NormalizeJSON([]byte(in)); !errors.Is(err, ErrMalformedBody) {
			t.Errorf("%s became %s, %v", in, got, err)
		}
	}
}

func TestStandardJSONIsNotCopied(t *testing.T) {
	t.Parallel()
	in := []byte(`{"a":[1,{"b":"c"}]}`)
	out, err := NormalizeJSON(in)
	if err != nil || &out[0] != &in[0] {
		t.Errorf("copied, %v", err)
	}
}

func TestBodiesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{``, ` `, `x`, `[]`, `"a"`, `{"clientID":5}`, `{"clientID":"a"} x`, `{"clientID":"a"`, `{"consumerDataSet":{}}`, `{"consumerDataSet":[{"subscriptionDataSet":[{"codeSet":["x"]}]}]}`, `{"consumerDataSet":[{"subscriptionDataSet":[{"subVersion":"1.5"}]}]}`, `{"consumerDataSet":[{"consumeType":1.5}]}`, `{"consumerDataSet":[{"consumeType":999}]}`, `{"consumerDataSet":[{"consumeType":true}]}`} {
		var h HeartbeatData
		if err := DecodeBody([]byte(in), &h); !errors.Is(err, ErrMalformedBody) || !strings.Contains(err.Error(), "HeartbeatData") {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

// client-go writes the codes as strings, an empty set as null and models in letters of
// its own; the C++ client the version as a string and constants as their places in
// Java's enums; other clients leave out what they do not know.
func TestHeartbeatsOfOtherClientsAreRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]HeartbeatData{
		`{"clientID":"c","producerDataSet":[{"groupName":"p"}],"consumerDataSet":null}`: {
			ClientID: "c", Producers: []ProducerData{{"p"}}},
		`{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY","messageModel":"Clustering","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"classFilterMode":false,"topic":"t","subString":"a || b","tagsSet":["a","b"],"codeSet":["97","98"],"subVersion":1700000000123,"expressionType":"TAG"}],"unitMode":false}]}`: {
			ClientID: "c", Consumers: []ConsumerData{{GroupName: "g", ConsumeType: ConsumePassively, MessageModel: Clustering, ConsumeFromWhere: ConsumeFromLastOffset,
				Subscriptions: []SubscriptionData{{Topic: "t", SubString: "a || b", TagsSet: []string{"a", "b"}, CodeSet: []int32{97, 98}, SubVersion: 1700000000123, ExpressionType: ExpressionTag}}}}},
		`{"consumerDataSet":[{"subscriptionDataSet":[{"topic":"t","subString":"*","subVersion":"1700000000123","codeSet":[],"tagsSet":null}]}]}`: {
			Consumers: []ConsumerData{{Subscriptions: []SubscriptionData{{Topic: "t", SubString: "*", SubVersion: 1700000000123, ExpressionType: ExpressionTag}}}}},
		`{"consumerDataSet":[{"groupName":"cpp","consumeFromWhere":0,"consumeType":1,"messageModel":1,"subscriptionDataSet":[{"codeSet":[97],"subString":"a","subVersion":"17","tagsSet":["a"],"topic":"t"}]}]}`: {
			Consumers: []ConsumerData{{GroupName: "cpp", ConsumeFromWhere: ConsumeFromLastOffset, ConsumeType: ConsumePassively, MessageModel: Clustering,
				Subscriptions: []SubscriptionData{{Topic: "t", SubString: "a", TagsSet: []string{"a"}, CodeSet: []int32{97}, SubVersion: 17, ExpressionType: ExpressionTag}}}}},
		`{"consumerDataSet":[{"groupName":"g","consumeFromWhere":4,"consumeType":0,"messageModel":"BroadCasting"}]}`: {
			Consumers: []ConsumerData{{GroupName: "g", ConsumeFromWhere: ConsumeFromFirstOffset, ConsumeType: ConsumeActively, MessageModel: Broadcasting}}},
		`{"consumerDataSet":[{"groupName":"g","consumeFromWhere":9,"consumeType":null,"messageModel":"none"}]}`: {Consumers: []ConsumerData{{GroupName: "g"}}},
		`{"clientID":"c","heartbeatFingerprint":-5,"withoutSub":true,"new":{"a":[1]}}`:                          {ClientID: "c", Fingerprint: -5, WithoutSub: true},
	} {
		var got HeartbeatData
		if err := DecodeBody([]byte(in), &got); err != nil {
			t.Errorf("%s: %v", in, err)
		} else if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestBodiesAreWrittenWithoutNullAndWithoutEscapedHTML(t *testing.T) {
	t.Parallel()
	b, err := EncodeBody(&HeartbeatData{ClientID: "a<b>&c", Consumers: []ConsumerData{{GroupName: "g", Subscriptions: []SubscriptionData{{SubString: "x > 1 && y < 2"}}}}})
	if err != nil || strings.Contains(string(b), "null") || strings.Contains(string(b), `\u00`) || strings.HasSuffix(string(b), "\n") {
		t.Errorf("%s, %v", b, err)
	}
	for _, v := range []any{&KVTable{}, &TopicList{}, &TopicConfig{}, &RegisterBrokerBody{}, &HeartbeatData{}} {
		if b, err := EncodeBody(v); err != nil || strings.Contains(string(b), "null") {
			t.Errorf("%s, %v", b, err)
		}
	}
	if _, err := EncodeBody(func() {}); err == nil {
		t.Error("a function is taken for a body")
	}
}

func TestTagSubscriptions(t *testing.T) {
	t.Parallel()
	s, err := BuildTagSubscription("t", " b ||a||b || ")
	want := SubscriptionData{Topic: "t", SubString: " b ||a||b || ", TagsSet: []string{"b", "a"}, CodeSet: []int32{98, 97}, ExpressionType: ExpressionTag}
	if diff := cmp.Diff(want, s); err != nil || diff != "" || s.MatchesAll() {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, expr := range []string{"", "*"} {
		if s, err := BuildTagSubscription("t", expr); err != nil || !s.MatchesAll() || s.SubString != "*" {
			t.Errorf("%q: %+v, %v", expr, s, err)
		}
	}
	for _, expr := range []string{" ", "||", " || ", "\t||\n"} {
		if _, err := BuildTagSubscription("orders", expr); err == nil || !strings.Contains(err.Error(), `"orders"`) || !strings.Contains(err.Error(), `"*"`) {
			t.Errorf("%q: got %v", expr, err)
		}
	}
}

func TestOffsetTablesAreWhatClientGoSplits(t *testing.T) {
	t.Parallel()
	table := map[MessageQueue]int64{
		{Topic: "t", BrokerName: "b", QueueID: 1}: -1,
		{Topic: "t", BrokerName: "b"}:             5,
		{Topic: "t", BrokerName: "a", QueueID: 9}: 7,
	}
	got := string(EncodeOffsetTable(table))
	want := `{"offsetTable":{{"brokerName":"a","queueId":9,"topic":"t"}:7,{"brokerName":"b","queueId":0,"topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:-1}}`
	if got != want {
		t.Errorf("got %s", got)
	}
	// white space, another order of members and quoted keys are read as well
	for _, in := range []string{
		want,
		`{ "offsetTable" : { { "topic":"t", "queueId":9, "brokerName":"a" } : 7, {"brokerName":"b","queueId":0,"topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:-1} }`,
		`{"offsetTable":{"{\"brokerName\":\"a\",\"queueId\":9,\"topic\":\"t\"}":7,{"brokerName":"b","topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:-1}}`,
	} {
		m, err := DecodeOffsetTable([]byte(in))
		if diff := cmp.Diff(table, m); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", in, err, diff)
		}
	}
	for _, in := range []string{`{"offsetTable":{"x":1}}`, `{"offsetTable":{{"queueId":"x"}:1}}`, `{"offsetTable":{{"queueId":0}:"x"}}`} {
		if _, err := DecodeOffsetTable([]byte(in)); !errors.Is(err, ErrMalformedBody) {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

func TestTopicStatsWriteDoublesAsJavaDoes(t *testing.T) {
	t.Parallel()
	for tps, want := range map[float64]string{0: "0.0", 12.5: "12.5", 3: "3.0", 0.1: "0.1", -2: "-2.0"} {
		if got := string(EncodeTopicStats(&TopicStats{PutTPS: tps})); got != `{"offsetTable":{},"topicPutTps":`+want+`}` {
			t.Errorf("%v: %s", tps, got)
		}
	}
}

func TestARouteCarriesAllItHolds(t *testing.T) {
	t.Parallel()
	r := &TopicRoute{
		OrderTopicConf: "b:4",
		QueueDatas:     []QueueData{{BrokerName: "b", ReadQueueNums: 4, WriteQueueNums: 3, Perm: PermWrite, TopicSysFlag: 2}},
		BrokerDatas:    []BrokerData{{BrokerName: "b", Cluster: "c", BrokerAddrs: map[int64]string{0: "a:1", 10: "a:2", 2: "a:3"}, EnableActingMaster: true, ZoneName: "z"}},
		FilterServers:  map[string][]string{"a:1": {"f1", "f2"}, "a:2": {}},
		QueueMappings:  map[string]json.RawMessage{"b": json.RawMessage(`{"topic":"t"}`), "a": json.RawMessage(`{}`)},
	}
	for _, standard := range []bool{true, false} {
		got, err := DecodeTopicRoute(EncodeTopicRoute(r, standard))
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("standard=%t: %v (-want +got):\n%s", standard, err, diff)
		}
	}
	if got := string(EncodeTopicRoute(r, false)); !strings.Contains(got, `{0:"a:1",2:"a:3",10:"a:2"}`) {
		t.Errorf("ids out of order: %s", got)
	}
}

func TestRegistrationsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	good, err := EncodeRegisterBrokerBody(&RegisterBrokerBody{Topics: TopicConfigTable{Configs: map[string]TopicConfig{"t": {TopicName: "t", TopicFilterType: SingleTag}}}}, true, VersionV5_4_0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeRegisterBrokerBody(good, true, VersionV4_9_7); err != nil {
		t.Errorf("read as 4.9's: %v", err) // what 5.x appended is ignored
	}
	for name, b := range map[string][]byte{"empty": {}, "no zlib": []byte("{}"), "cut": good[:len(good)-6], "bad checksum": append(good[:len(good)-1:len(good)-1], good[len(good)-1]+1)} {
		if _, err := DecodeRegisterBrokerBody(b, true, VersionV5_4_0); !errors.Is(err, ErrMalformedBody) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	older, err := EncodeRegisterBrokerBody(&RegisterBrokerBody{}, true, VersionV4_9_7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeRegisterBrokerBody(older, true, VersionV5_0_0); !errors.Is(err, ErrMalformedBody) {
		t.Errorf("4.9's read as 5.x's: got %v", err)
	}
	if b, err := DecodeRegisterBrokerBody(nil, false, VersionV5_4_0); err != nil || len(b.Topics.Configs) != 0 {
		t.Errorf("no body: %+v, %v", b, err) // Apache's name server takes it
	}
	for name, parts := range map[string]string{
		"negative count":     "\x00\x00\x00\x02{}\xff\xff\xff\xff\x00\x00\x00\x02[]",
		"count beyond bytes": "\x00\x00\x00\x02{}\x7f\xff\xff\xff",
		"short topic":        "\x00\x00\x00\x02{}\x00\x00\x00\x01\x00\x00\x00\x05t 1 2\x00\x00\x00\x02[]",
		"topic's number":     "\x00\x00\x00\x02{}\x00\x00\x00\x01\x00\x00\x00\x0at 1 x 3 AB\x00\x00\x00\x02[]",
		"version's JSON":     "\x00\x00\x00\x01{\x00\x00\x00\x00\x00\x00\x00\x02[]",
		"negative length":    "\xff\xff\xff\xff",
	} {
		if err := new(RegisterBrokerBody).decodeParts([]byte(parts), VersionV4_9_7); !errors.Is(err, ErrMalformedBody) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, mappings := range map[string]string{
		"negative count":     "\xff\xff\xff\xff",
		"count beyond bytes": "\x7f\xff\xff\xff",
		"no JSON":            "\x00\x00\x00\x01\x00\x00\x00\x01{",
		"no object":          "\x00\x00\x00\x01\x00\x00\x00\x02[]",
		"absent":             "",
	} {
		parts := "\x00\x00\x00\x02{}\x00\x00\x00\x00\x00\x00\x00\x02[]" + mappings
		if err := new(RegisterBrokerBody).decodeParts([]byte(parts), VersionV5_4_0); !errors.Is(err, ErrMalformedBody) {
			t.Errorf("mappings, %s: got %v", name, err)
		}
	}
	for _, c := range []TopicConfig{{}, {TopicName: "a b", TopicFilterType: SingleTag}, {TopicName: "a"}} {
		b := &RegisterBrokerBody{Topics: TopicConfigTable{Configs: map[string]TopicConfig{"t": c}}}
		if _, err := EncodeRegisterBrokerBody(b, true, VersionV5_4_0); err == nil {
			t.Errorf("%+v is written", c)
		}
	}
}

// A broker's own offsets are many small objects too, and are read with the same
// function.
func TestManySmallEntriesAreRead(t *testing.T) {
	t.Parallel()
	var offsets struct {
		OffsetTable map[string]map[int32]int64 `json:"offsetTable"`
	}
	if err := DecodeBody(repeated(`{"offsetTable":{`, `"%d@g":{0:1}`, `}}`, 5000), &offsets); err != nil || len(offsets.OffsetTable) != 5000 {
		t.Errorf("%d entries, %v", len(offsets.OffsetTable), err)
	}
	var h HeartbeatData
	if err := DecodeBody(repeated(`{"producerDataSet":[`, `{"groupName":"%d"}`, `]}`, 1000), &h); err != nil || len(h.Producers) != 1000 {
		t.Errorf("%d producers, %v", len(h.Producers), err)
	}
}
