package protocol

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// repeated is head, then part n times with its number where part has %d, then
// tail, joined by commas.
func repeated(head, part, tail string, n int) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.Contains(part, "%d") {
			fmt.Fprintf(&b, part, i)
		} else {
			b.WriteString(part)
		}
	}
	b.WriteString(tail)
	return b.Bytes()
}

// Each body asks for as much memory as it can with as few bytes as it can. Not
// parallel: it measures what the process allocates.
func TestHostileBodiesAllocateLittle(t *testing.T) {
	heartbeat := plainBody[HeartbeatData]()
	register := plainBody[RegisterBrokerBody]()
	const n = 20_000
	for name, c := range map[string]struct {
		codec bodyCodec
		body  []byte
	}{
		"empty consumers":     {heartbeat, repeated(`{"consumerDataSet":[`, `{}`, `]}`, n)},
		"empty producers":     {heartbeat, repeated(`{"producerDataSet":[`, `{}`, `]}`, n)},
		"numbers":             {heartbeat, repeated(`{"consumerDataSet":[`, `0`, `]}`, n)},
		"strings":             {heartbeat, repeated(`{"consumerDataSet":[`, `""`, `]}`, n)},
		"null consumers":      {heartbeat, repeated(`{"consumerDataSet":[`, `null`, `]}`, n)},
		"empty subscriptions": {heartbeat, repeated(`{"consumerDataSet":[{"subscriptionDataSet":[`, `{}`, `]}]}`, n)},
		"null subscriptions":  {heartbeat, repeated(`{"consumerDataSet":[{"subscriptionDataSet":[`, `null`, `]}]}`, n)},
		"empty tags":          {plainBody[SubscriptionData](), repeated(`{"tagsSet":[`, `""`, `]}`, n)},
		"codes":               {plainBody[SubscriptionData](), repeated(`{"codeSet":[`, `1`, `]}`, n)},
		"codes in strings":    {plainBody[SubscriptionData](), repeated(`{"codeSet":[`, `""`, `]}`, n)},
		"broker addresses":    {ownBody(false, DecodeClusterInfo, nil), repeated(`{"brokerAddrTable":{"b":{"brokerAddrs":{`, `%d:""`, `}}}}`, n)},
		"brokers":             {ownBody(false, DecodeClusterInfo, nil), repeated(`{"brokerAddrTable":{`, `"%d":{}`, `}}`, n)},
		"null brokers":        {ownBody(false, DecodeClusterInfo, nil), repeated(`{"brokerAddrTable":{`, `"%d":null`, `}}`, n)},
		"queues":              {ownBody(false, DecodeTopicRoute, nil), repeated(`{"queueDatas":[`, `{}`, `]}`, n)},
		"null queues":         {ownBody(false, DecodeTopicRoute, nil), repeated(`{"queueDatas":[`, `null`, `]}`, n)},
		"mappings":            {ownBody(false, DecodeTopicRoute, nil), repeated(`{"topicQueueMappingByBroker":{`, `"%d":0`, `}}`, n)},
		"offsets":             {ownBody(false, DecodeOffsetTable, nil), repeated(`{"offsetTable":{`, `{"queueId":%d}:0`, `}}`, n)},
		"stats":               {ownBody(false, DecodeTopicStats, nil), repeated(`{"offsetTable":{`, `{"queueId":%d}:{}`, `}}`, n)},
		"null stats":          {ownBody(false, DecodeTopicStats, nil), repeated(`{"offsetTable":{`, `{"queueId":%d}:null`, `}}`, n)},
		"topics":              {register, repeated(`{"topicConfigSerializeWrapper":{"topicConfigTable":{`, `"%d":{}`, `}}}`, n)},
		"null topics":         {register, repeated(`{"topicConfigSerializeWrapper":{"topicConfigTable":{`, `"%d":null`, `}}}`, n)},
		"table":               {plainBody[KVTable](), repeated(`{"table":{`, `"%d":""`, `}}`, n)},
		"topic names":         {plainBody[TopicList](), repeated(`{"topicList":[`, `""`, `]}`, n)},
		"unknown members":     {heartbeat, repeated(`{`, `"%d":0`, `}`, n)},
		"deep":                {heartbeat, bytes.Repeat([]byte(`{"a":`), n)},
		"escaped keys":        {heartbeat, []byte(`{{` + strings.Repeat("\x01", n) + `}:1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			boundAllocs(t, len(c.body), func() {
				if _, err := c.codec.read(c.body); err != nil {
					t.Logf("refused: %v", err)
				}
			})
		})
	}
}

func TestHostileFramesAllocateLittle(t *testing.T) {
	const n = 20_000
	frame := func(codec Codec, header []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)))
		b = binary.BigEndian.AppendUint32(b, uint32(codec)<<24|uint32(len(header)))
		return append(b, header...)
	}
	ext := bytes.Repeat([]byte("\x00\x01k\x00\x00\x00\x01v"), n)
	binaryHeader := binary.BigEndian.AppendUint32(make([]byte, 17), uint32(len(ext)))
	for name, b := range map[string][]byte{
		"JSON fields":      frame(JSON, repeated(`{"extFields":{`, `"":""`, `}}`, n)),
		"binary fields":    frame(Binary, append(binaryHeader, ext...)),
		"escapes":          frame(JSON, []byte(`{"remark":"`+strings.Repeat(`\n`, n)+`"}`)),
		"many remarks":     frame(JSON, repeated(`{`, `"remark":"\n"`, `}`, n)),
		"unknown arrays":   frame(JSON, repeated(`{"x":[`, `[]`, `]}`, n)),
		"unknown objects":  frame(JSON, repeated(`{"x":[`, `{"a":{}}`, `]}`, n)),
		"deep objects":     frame(JSON, bytes.Repeat([]byte(`{"a":`), n)),
		"deep arrays":      frame(JSON, append([]byte(`{"a":`), bytes.Repeat([]byte(`[`), n)...)),
		"a long bad value": frame(JSON, []byte(`{"code":`+strings.Repeat("9", n)+`}`)),
	} {
		t.Run(name, func(t *testing.T) {
			boundAllocs(t, len(b), func() {
				var c Command
				if err := DecodeFrame(b, &c); err != nil {
					t.Logf("refused: %.200v", err)
				}
			})
		})
	}
	t.Run("a length that is not there", func(t *testing.T) {
		boundAllocs(t, 0, func() {
			if _, err := FrameSize([]byte{0x7f, 0xff, 0xff, 0xff}); err == nil {
				t.Error("a frame of 2 GiB is taken")
			}
		})
	})
}

// A zlib body may inflate a thousandfold: it is cut off at the frame's cap.
func TestARegistrationThatInflatesBeyondTheCapIsRefused(t *testing.T) {
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range MaxFrameSize/len(zeros) + 1 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := out.Bytes()
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	_, err = DecodeRegisterBrokerBody(bomb, true, VersionV5_4_0)
	if err == nil || !strings.Contains(err.Error(), "inflates beyond") {
		t.Errorf("got %v", err)
	}
}
