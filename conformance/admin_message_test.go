package conformance_test

import (
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// keyed sends three messages with keys, and names the first one's ids $id and
// $offsetid.
func keyed(r *adminRun) {
	r.createTopic(r.topic, 1)
	p := r.producer(r.open())
	for i := range 3 {
		res := r.send(p, message.New(r.topic, fmt.Appendf(nil, "body %d", i), message.Tag("tag"), message.Key("every", fmt.Sprintf("k%d", i))))
		if i == 0 {
			r.more = append(r.more, "$id", res.MessageID, "$offsetid", res.OffsetMessageID)
		}
	}
	topic := "-t" + r.topic
	if r.version == apache.V4 {
		topic = "" // queryMsgById has no such option
	}
	r.more = append(r.more, "$optional", topic)
}

// adminMessageRows are the commands that find messages, and what was done with them.
func adminMessageRows() []adminRow {
	masks := []mask{
		{`(?m)^(OffsetID:|CommitLog Offset:|Born Host:|Message Body Path:).*`, "$1"},
		{`MSG_REGION=DefaultRegion, KEYS=every k0`, "KEYS=every k0, MSG_REGION=DefaultRegion"}, // as they are stored
	}
	shown := func(r *adminRun, out string) {
		r.says(out, `^Topic: $topic`, `^Tags: \[tag\]`, `^Keys: \[every k0\]`, `^Queue ID: 0`, `^Queue Offset: 0`, `^Reconsume Times: 0`, `^Store Host: $broker`)
	}
	return []adminRow{
		{
			name: "queryMsgById", about: "a message by its offset id, with its properties and who has consumed it",
			lines: []string{"queryMsgById $optional -i $offsetid"}, masks: masks, check: shown,
			prepare: func(r *adminRun) {
				keyed(r)
				for online := range 2 { // the first says what it has consumed, and the second is there
					in, mux := r.inbox(), r.mux(r.group)
					consumer.HandleRaw(mux, r.topic, in.take)
					cons := r.start(r.open(), mux)
					if online == 0 {
						in.ids(3)
						if err := cons.Drain(r.soon()); err != nil {
							r.Fatal(err)
						}
					}
				}
			},
		},
		{
			name: "queryMsgByUniqueKey", about: "the same by its unique key",
			lines: []string{"queryMsgByUniqueKey -t $topic -i $id"}, prepare: keyed, masks: masks, check: shown,
		},
		{
			name: "queryMsgByOffset", about: "the same by its queue and offset; nothing behind the last",
			lines:   []string{"queryMsgByOffset -t $topic -b broker-a -i 0 -o 0", "queryMsgByOffset -t $topic -b broker-a -i 0 -o 3"},
			prepare: keyed, masks: masks, check: shown,
		},
		{
			name: "queryMsgByKey", about: "messages that share a key, one that has another, and a key of none",
			lines:   []string{"queryMsgByKey -t $topic -k every", "queryMsgByKey -t $topic -k k1", "queryMsgByKey -t $topic -k none"},
			prepare: keyed,
			masks:   []mask{{`(@ID@)\d+`, "${1}OFFSET"}},
			check: func(r *adminRun, out string) {
				r.says(out, `^#Message ID #QID #Offset`, `^[0-9A-F]{32} 0 0\b`, `^[0-9A-F]{32} 0 1\b`, `^[0-9A-F]{32} 0 2\b`)
			},
		},
		{
			name: "queryMsgByKey -p T", about: "messages by their tags, and the newest of a stretch of time only", since5: true,
			lines:   []string{"queryMsgByKey -t $topic -p T -k tag", "queryMsgByKey -t $topic -p T -k tag -m 2", "queryMsgByKey -t $topic -p T -k tag -b 0 -e 1000", "queryMsgByKey -t $topic -k tag"},
			prepare: keyed,
			masks:   []mask{{`(@ID@)\d+`, "${1}OFFSET"}},
		},
		{
			name: "queryMsgTraceById", about: "who has sent a message, and who has consumed it",
			lines: []string{"queryMsgTraceById -i $id", "queryMsgTraceById -i AC1100010001000000000000000000FF"},
			prepare: func(r *adminRun) {
				keyed(r)
				id, p := r.more[1], r.producer(r.open())
				for _, fields := range [][]string{
					{"Pub", "1700000000000", "DefaultRegion", "traced_p", r.topic, id, "tag", "every k0", "127.0.0.1:10911", "6", "7", "0", r.more[3], "true"},
					{"SubBefore", "1700000001000", "DefaultRegion", "traced_c", "request", id, "0", "every k0"},
					{"SubAfter", "request", id, "5", "true", "every k0", "0", "1700000001005", "traced_c"},
				} {
					r.send(p, message.New("RMQ_SYS_TRACE_TOPIC", []byte(strings.Join(fields, "\x01")+"\x02"), message.Key(id, "every", "k0")))
				}
			},
			check: func(r *adminRun, out string) {
				r.says(out, `^Pub traced_p 127.0.0.1 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d 7ms success`, `^Sub traced_c 127.0.0.1 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d 5ms success`)
			},
		},
		tracedRow(),
	}
}
