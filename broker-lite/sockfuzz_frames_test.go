package brokerlite

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// hostileFrames makes requests that no honest client sends.
type hostileFrames struct {
	*rand.Rand
	frames [][]byte // that Apache's classes wrote
	bodies [][]byte // likewise
}

// goldenBytes reads the files of Apache's bytes whose names match.
func goldenBytes(t testing.TB, patterns ...string) (list [][]byte) {
	t.Helper()
	for _, p := range patterns {
		names, err := filepath.Glob(filepath.Join("..", "internal", "protocol", "testdata", "golden", "*", p))
		if err != nil || len(names) == 0 {
			t.Fatalf("golden files %s: %d, %v", p, len(names), err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, b)
		}
	}
	return list
}

// honestFrames are requests that make a state that hostile ones can harm: members
// of a group, messages, waiting pulls and pops.
func honestFrames(t testing.TB) (list [][]byte) {
	t.Helper()
	add := func(code protocol.Code, hd protocol.Header, body string) {
		list = append(list, encoded(t, &protocol.Command{Code: code, Codec: protocol.Binary, Version: protocol.VersionV5_4_0}, hd, []byte(body)))
	}
	for i, topic := range []string{"t1", "t2", "t1", "%RETRY%g1"} {
		beat := protocol.HeartbeatData{ClientID: fmt.Sprint("c", i), Consumers: []protocol.ConsumerData{{
			GroupName: "g1", ConsumeType: protocol.ConsumePassively, MessageModel: protocol.Clustering,
			ConsumeFromWhere: protocol.ConsumeFromLastOffset, Subscriptions: []protocol.SubscriptionData{subscription(t, topic, "*"), subscription(t, "t3", "a||b")},
		}}, Producers: []protocol.ProducerData{{GroupName: "g1"}}}
		body, err := protocol.EncodeBody(beat)
		if err != nil {
			t.Fatal(err)
		}
		add(protocol.Heartbeat, nil, string(body))
		add(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{
			Topic: topic, DefaultTopic: protocol.DefaultTopic, ReadQueueNums: 4, WriteQueueNums: 4,
			Perm: protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag,
		}, "")
		add(protocol.SendMessageV2, sending(topic, "TAGS", "a", "KEYS", "k", "UNIQ_KEY", "u"), "hello")
		add(protocol.SendMessageV2, sending(topic, "TIMER_DELAY_MS", "30"), "hello")
		add(protocol.SendMessageV2, sending(topic, "DELAY", "1"), "hello")
		add(protocol.SendMessageV2, sending(topic, "TRAN_MSG", "true", "PGROUP", "g1"), "hello")
		for _, expr := range []string{"*", "a||b"} {
			pull := suspending(topic, int64(i), expr, time.Second)
			pull.ConsumerGroup = "g1"
			add(protocol.PullMessage, pull, "")
		}
		pop := popping(topic)
		pop.ConsumerGroup, pop.InvisibleTime, pop.PollTime = "g1", 1000, 500
		add(protocol.PopMessage, pop, "")
		pop.Order, pop.AttemptID = true, "x"
		add(protocol.PopMessage, pop, "")
		receipt := fmt.Sprintf("%d %d 60000 0 0 broker-a 0 %d", i, time.Now().UnixMilli(), i)
		add(protocol.AckMessage, &protocol.AckRequest{ConsumerGroup: "g1", Topic: topic, Receipt: receipt, Offset: int64(i)}, "")
		add(protocol.ChangeInvisibleTime, &protocol.ChangeInvisibleRequest{AckRequest: protocol.AckRequest{ConsumerGroup: "g1", Topic: topic, Receipt: receipt, Offset: int64(i)}, InvisibleTime: 1000}, "")
		add(protocol.SendMessageBack, &protocol.SendBackRequest{Group: "g1", OriginTopic: topic, Offset: int64(i) * 100, DelayLevel: 1}, "")
		add(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "g1", Topic: topic, CommitOffset: int64(i)}, "")
		add(protocol.GetConsumerConnections, &protocol.ConsumerListRequest{ConsumerGroup: "g1"}, "")
		add(protocol.EndTransaction, &protocol.EndTransactionRequest{ProducerGroup: "g1", TranStateTableOffset: int64(i), CommitLogOffset: int64(i) * 100}, "")
		for _, strategy := range []string{"AVG", "AVG_BY_CIRCLE"} {
			add(protocol.QueryAssignment, nil, fmt.Sprintf(`{"topic":%q,"consumerGroup":"g1","clientId":"c%d","strategyName":%q,"messageModel":"CLUSTERING"}`, topic, i, strategy))
		}
	}
	return list
}

// next is one frame, mostly one that is a frame.
func (h *hostileFrames) next() []byte {
	switch h.IntN(8) {
	case 0:
		return h.mutated()
	case 1, 2, 3, 4:
		return h.resent()
	}
	return h.grammar()
}

// mutated is a frame of Apache's with some bytes changed. Its length field stays
// right mostly: else the connection ends at once.
func (h *hostileFrames) mutated() []byte {
	b := append([]byte(nil), h.frames[h.IntN(len(h.frames))]...)
	for range 1 + h.IntN(4) {
		i := 8 + h.IntN(max(len(b)-8, 1))
		if h.IntN(50) == 0 {
			i = h.IntN(8)
		}
		if i >= len(b) {
			continue
		}
		switch h.IntN(3) {
		case 0:
			b[i] ^= 1 << h.IntN(8)
		case 1:
			b[i] = "0129-\"{}[],:\x00\xff\x80\x7f"[h.IntN(16)]
		default:
			n := min(1+h.IntN(8), len(b)-i)
			copy(b[i:i+n], b[h.IntN(len(b)-n+1):])
		}
	}
	return b
}

// resent is a frame of Apache's with other values, another code or another body.
func (h *hostileFrames) resent() []byte {
	var c protocol.Command
	if protocol.DecodeFrame(h.frames[h.IntN(len(h.frames))], &c) != nil {
		return h.grammar()
	}
	often := []int{1 << 20, 30, 6}[h.IntN(3)]
	for i := range c.Fields {
		if h.IntN(often) == 0 {
			c.Fields[i].Value = h.value(c.Fields[i].Key)
		}
	}
	if h.IntN(often) == 0 {
		c.Code = h.code()
	}
	if h.IntN(often) == 0 {
		c.Body = h.body()
	}
	return h.encode(&c)
}

// grammar is a request of any code with the fields of all of them, so that those
// that it needs are there mostly.
func (h *hostileFrames) grammar() []byte {
	c := protocol.Command{Code: h.code(), Language: protocol.Language(h.IntN(14)), Version: int32(h.IntN(600)), Codec: protocol.Codec(h.IntN(2))}
	hostile, missing := []int{0, 3, 30}[h.IntN(3)], []int{0, 0, 2, 50}[h.IntN(4)]
	for key := range strings.FieldsSeq(fieldNames) {
		if h.IntN(100) < missing {
			continue
		}
		v := h.plausible(key)
		if h.IntN(100) < hostile {
			v = h.value(key)
		}
		c.Fields = append(c.Fields, protocol.Field{Key: key, Value: v})
	}
	if h.IntN(3) > 0 {
		c.Body = h.body()
	}
	return h.encode(&c)
}

func (h *hostileFrames) encode(c *protocol.Command) []byte {
	c.Opaque = int32(h.Uint32())
	c.Flag = []int32{0, 0, 0, 0, 2, 2, 1}[h.IntN(7)]
	b, err := protocol.AppendCommand(nil, c, nil)
	if err != nil { // a field too long for the codec
		c.Codec = protocol.JSON
		if b, err = protocol.AppendCommand(nil, c, nil); err != nil {
			return []byte{0, 0, 0, 4, 0, 0, 0, 0}
		}
	}
	return b
}

// code is one that a server knows, rarely another.
func (h *hostileFrames) code() protocol.Code {
	if h.IntN(40) == 0 {
		return protocol.Code(h.Int32())
	}
	known := knownCodes()
	return known[h.IntN(len(known))]
}

// knownCodes are those that have a name.
func knownCodes() (list []protocol.Code) {
	for _, span := range [][2]int32{{0, 2000}, {3000, 3200}, {200000, 200200}} {
		for c := span[0]; c < span[1]; c++ {
			if !strings.HasPrefix(protocol.RequestName(protocol.Code(c)), "request code ") {
				list = append(list, protocol.Code(c))
			}
		}
	}
	return list
}

const fieldNames = `topic group consumerGroup producerGroup queueId offset queueOffset commitOffset maxMsgNums invisibleTime
 msgId transactionId timestamp order defaultTopic clusterName brokerName brokerAddr attemptId tranStateTableOffset sysFlag
 reviveQid popTime pollTime commitLogOffset brokerId bornTime unitMode topicFilterType storeHost srcGroup recallHandle key
 haServerAddr extraInfo destGroup clientId clientID bornHost topicList subscription startOffsetInfo originTopic originMsgId
 orderCountInfo offsetMsgId msgOffsetInfo masterAddr lastKey indexType filterGroups expressionType expType exp compareGroup
 clientAddr boundaryType attributes heartbeatTimeoutMillis topicSysFlag maxReconsumeTimes groupSysFlag setZeroIfNotFound
 force enableActingMaster committed acceptStandardJsonOnly writeQueueNums readQueueNums suspendTimeoutMillis subVersion
 storeTimestamp reconsumeTimes perm maxNum maxMsgBytes initMode index flag endTimestamp beginTimestamp delayLevel
 defaultTopicQueueNums count commitOrRollback bornTimestamp bodyCrc32 properties offline jstackEnable isOrder isForce
 fromTransactionCheck compressed delay namespace value periodInMinutes statsName statsKey nsName
 a b c d e f g h i j k l m n`

// plausible is a value that the field may have. Names come from a few: what a
// server keeps by name stays small.
func (h *hostileFrames) plausible(key string) string {
	pick := func(list ...string) string { return list[h.IntN(len(list))] }
	lower := strings.ToLower(key)
	switch {
	case key == "d" || key == "e": // of SEND_MESSAGE_V2: queues and the queue
		return fmt.Sprint(h.IntN(8))
	case key == "b" || key == "c" || strings.HasSuffix(lower, "topic"):
		return pick("t1", "t2", "t3", "%RETRY%g1", "%DLQ%g1", "TBW102", "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "rmq_sys_wheel_timer", "g1_REPLY", "%RETRY%g1+t1", "rmq_sys_REVIVE_LOG_DefaultCluster")
	case key == "a" || strings.HasSuffix(lower, "group"):
		return pick("g1", "g2", "CID_RMQ_SYS_TRANS", "TOOLS_CONSUMER", "CID_ONSAPI_OWNER")
	case key == "i" || key == "properties":
		return pick("KEYS\x01k\x02TAGS\x01a\x02", "DELAY\x013\x02", "TIMER_DELAY_MS\x0150\x02", "TIMER_DELIVER_MS\x01-5\x02", "TRAN_MSG\x01true\x02PGROUP\x01g1\x02", "PROPERTY\x02\x01\x01", "UNIQ_KEY\x01u\x02INDEX_FLAG\x01x\x02", "CLUSTER\x01DefaultCluster\x02MSG_TYPE\x01reply\x02REPLY_TO_CLIENT\x01c1\x02CORRELATION_ID\x01z\x02", "TIMER_DEL_UNIQKEY\x01u\x02TIMER_DELAY_SEC\x011\x02")
	case strings.HasPrefix(lower, "clientid"):
		return pick("c1", "c2")
	case lower == "extrainfo":
		return pick("0 "+fmt.Sprint(time.Now().UnixMilli())+" 60000 0 0 broker-a 0 0", "0 1 1 1 1 x 99999 9", "- -", "0 0 0 0 0 broker-a 0 9223372036854775807")
	case lower == "exp" || lower == "subscription":
		return pick("*", "a || b", "a > 5 AND b = 'x'", strings.Repeat("(", 5000), strings.Repeat("NOT ", 3000)+"TRUE", "a IN ("+strings.Repeat("'x',", 2000)+"'y')")
	case lower == "expressiontype" || lower == "exptype":
		return pick("TAG", "SQL92")
	case lower == "attributes":
		return pick("", "+message.type=FIFO", "+message.type=DELAY,-x", ",,+=,-")
	case strings.HasSuffix(lower, "timestamp") || strings.HasSuffix(lower, "time") || key == "g":
		return fmt.Sprint(time.Now().UnixMilli() - h.Int64N(100_000))
	case strings.HasSuffix(lower, "msgid") || lower == "key":
		return pick("7F00000100002A9F0000000000000000", "7F00000100002A9FFFFFFFFFFFFFFFFF", "u", "k", "AC11000100002A9F")
	case strings.HasSuffix(lower, "millis"):
		return fmt.Sprint(h.IntN(3000))
	case lower == "topicfiltertype":
		return "SINGLE_TAG"
	case key == "m" || strings.HasPrefix(lower, "is") || strings.HasSuffix(lower, "able") || lower == "order" || lower == "force" || lower == "committed" || lower == "offline":
		return pick("true", "false")
	case strings.HasSuffix(lower, "addr") || strings.HasSuffix(lower, "host"):
		return pick("127.0.0.1:1", "10.0.0.1:10911", "/1.2.3.4:5")
	case lower == "brokername" || lower == "clustername":
		return pick("broker-x", "DefaultCluster")
	}
	return fmt.Sprint(h.IntN(20))
}

// value is one that the field should not have.
func (h *hostileFrames) value(key string) string {
	switch h.IntN(20) {
	case 0:
		return strings.Repeat("x", 1<<h.IntN(17))
	case 1:
		return h.plausible(key) + "@" + h.plausible(key)
	}
	values := []string{
		"", "-1", "0", "1", "2147483647", "-2147483648", "2147483648", "9223372036854775807", "-9223372036854775808",
		"99999999999999999999", "1e309", "NaN", "null", "true", "../../../../tmp/x", "a\x00b", "\x01\x02\x01", "@", "%RETRY%", "%DLQ%%RETRY%",
		"\xff\xfe", "日本", ";;;", ",,", " ", "\n", "%s%n%d", "0 0 0", "*", "||", strings.Repeat("9", 400), "4294967295", "65536", "-0",
	}
	return values[h.IntN(len(values))]
}

func (h *hostileFrames) body() []byte {
	switch h.IntN(8) {
	case 0:
		b := make([]byte, h.IntN(300))
		for i := range b {
			b[i] = byte(h.Uint32())
		}
		return b
	case 1:
		deep := 1 << h.IntN(15)
		return []byte(strings.Repeat(`{"a":[`, deep) + strings.Repeat("]}", deep))
	case 2:
		return []byte(h.json(4))
	case 3: // a batch whose entries have sizes of their own
		b := binary.BigEndian.AppendUint32(nil, h.Uint32N(200))
		for range h.IntN(40) {
			b = binary.BigEndian.AppendUint32(b, h.Uint32()>>h.IntN(32))
		}
		return b
	case 4:
		return []byte(strings.Repeat(h.value("topic")+"=\n", 1+h.IntN(20)))
	}
	b := append([]byte(nil), h.bodies[h.IntN(len(h.bodies))]...)
	for range h.IntN(4) {
		if len(b) > 0 {
			b[h.IntN(len(b))] = "0129-\"{}[],:\x00\xff\x80\x7f"[h.IntN(16)]
		}
	}
	return b
}

// json is a text with the names that bodies use and values of any type.
func (h *hostileFrames) json(depth int) string {
	names := strings.Fields("clientID clientId consumerDataSet producerDataSet groupName subscriptionDataSet topic consumerGroup mqSet queueId brokerName offsetTable topicConfigTable dataVersion counter timestamp messageModel subString tagsSet codeSet subVersion expressionType mode popShareQueueNum strategyName topicConfigList bitmap acks readQueueNums perm attributes")
	switch n := h.IntN(9); {
	case depth == 0 || n == 0:
		return []string{"null", "0", "-1", "1e400", "9223372036854775808", `"x"`, "true", `"\ud800"`, "[]", "{}", "t1", `"t1"`, `"g1"`, `"c1"`}[h.IntN(14)]
	case n == 1:
		one := h.json(depth-1) + ","
		return "[" + strings.TrimSuffix(strings.Repeat(one, min(h.IntN(200), 1<<20/len(one))), ",") + "]"
	case n < 4:
		return "[" + h.json(depth-1) + "]"
	}
	var b strings.Builder
	b.WriteString("{")
	for i := range 1 + h.IntN(6) {
		if i > 0 {
			b.WriteString(",")
		}
		if h.IntN(8) == 0 {
			b.WriteString(h.json(0)) // fastjson writes keys that are objects and numbers
		} else {
			fmt.Fprintf(&b, "%q", names[h.IntN(len(names))])
		}
		b.WriteString(":" + h.json(depth-1))
	}
	return b.String() + "}"
}
