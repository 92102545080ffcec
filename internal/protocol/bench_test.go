package protocol

import "testing"

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
