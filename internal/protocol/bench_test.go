package protocol

import (
	"net/netip"
	"testing"
)

func sendCommand() (Command, SendRequest) {
	return Command{Codec: Binary, Code: SendMessageV2, Language: LanguageGo, Version: ClientVersion, Opaque: 77, Body: make([]byte, 128)},
		SendRequest{Code: SendMessageV2, ProducerGroup: "pay_group", Topic: "pay_test_topic", DefaultTopic: DefaultTopic, DefaultTopicQueueNums: 4, QueueID: 2, BornTimestamp: 1700000000000,
			Properties: []byte("UNIQ_KEY\x01C0A80001000018B4AAC22345678900AB\x02WAIT\x01true\x02TAGS\x01tag1\x02"), BrokerName: "broker-a"}
}

func BenchmarkEncodeSend(b *testing.B) {
	for _, codec := range []Codec{JSON, Binary} {
		b.Run(codec.String(), func(b *testing.B) {
			c, h := sendCommand()
			c.Codec = codec
			var buf []byte
			var e Encoder
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = e.AppendFrame(buf[:0], &c, &h, c.Body)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecodeSend(b *testing.B) {
	for _, codec := range []Codec{JSON, Binary} {
		b.Run(codec.String(), func(b *testing.B) {
			c, h := sendCommand()
			c.Codec = codec
			buf, err := AppendCommand(nil, &c, &h)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			var got Command
			req := SendRequest{Code: SendMessageV2}
			for b.Loop() {
				if err := DecodeFrame(buf, &got); err != nil {
					b.Fatal(err)
				}
				if err := req.DecodeFields(got.Fields); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchRecord() Record {
	return Record{
		QueueID: 2, BornTimestamp: 1700000000000, BornHost: netip.MustParseAddrPort("10.1.2.3:54321"), StoreTimestamp: 1700000000001,
		StoreHost: netip.MustParseAddrPort("127.0.0.1:10911"), Body: make([]byte, 128), Topic: "pay_test_topic",
		Properties: []byte("UNIQ_KEY\x01C0A80001000018B4AAC22345678900AB\x02WAIT\x01true\x02TAGS\x01tag1\x02"),
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	r := benchRecord()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendRecord(buf[:0], &r)
		PlaceRecord(buf, 1, 2, 3)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := benchRecord()
	buf, err := AppendRecord(nil, &r)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	var got Record
	for b.Loop() {
		if _, err := DecodeRecord(buf, &got); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePull(b *testing.B) {
	h := PullRequest{ConsumerGroup: "pay_consumer_group", Topic: "pay_test_topic", QueueID: 1, QueueOffset: 1 << 33, MaxMessages: 32, SysFlag: PullSuspend, SuspendTimeout: 15000, SubVersion: 1700000000000}
	buf, err := AppendCommand(nil, &Command{Codec: Binary, Code: PullMessage}, &h)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	var c Command
	for b.Loop() {
		if err := DecodeFrame(buf, &c); err != nil {
			b.Fatal(err)
		}
		if err := h.DecodeFields(c.Fields); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeHeartbeat(b *testing.B) {
	for _, g := range golden(b, "body", "body-34-request") {
		if g.Name != "body-34-request" || !g.is5() {
			continue
		}
		b.SetBytes(int64(len(g.data)))
		b.ReportAllocs()
		for b.Loop() {
			var h HeartbeatData
			if err := DecodeBody(g.data, &h); err != nil {
				b.Fatal(err)
			}
		}
	}
}
