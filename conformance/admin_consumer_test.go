package conformance_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// Codes of the rows here.
const (
	codeUpdateOffset  = 15
	codeConsumerList  = 38
	codeUpdateGroup   = 200
	codeProducerConns = 204
)

// tagged makes the topic with one queue and three messages, and names the first one's
// ids $id and $offsetid.
func tagged(r *adminRun) {
	r.createTopic(r.topic, 1)
	if r.version == apache.V5 { // an option of its own
		r.more = append(r.more, "$dash5", "-t", "$topic5", r.topic)
	} else {
		r.more = append(r.more, "$dash5", "", "$topic5", "")
	}
	p := r.producer(r.open())
	for i := range 3 {
		res := r.send(p, message.New(r.topic, fmt.Appendf(nil, "body %d", i), message.Tag("tag"), message.Key("key")))
		if i == 0 {
			r.more = append(r.more, "$id", res.MessageID, "$offsetid", res.OffsetMessageID)
		}
	}
}

// offline makes the topic as tagged does, and the group, which has consumed two of the
// messages and has no members.
func offline(r *adminRun) {
	tagged(r)
	body, err := json.Marshal(map[string]string{"groupName": r.group})
	if err != nil {
		r.Fatal(err)
	}
	if a := r.askOn(r.dial(r.server.broker), frame(codeUpdateGroup, nil, body)); a.Code != answerOK {
		r.Fatalf("make the group: %d %s", a.Code, a.Remark)
	}
	r.commit(0, 2)
}

// commit commits the group's offset in a queue.
func (r *adminRun) commit(queue, offset int) {
	r.Helper()
	a := r.ask(r.server.broker, codeUpdateOffset, map[string]string{
		"consumerGroup": r.group, "topic": r.topic, "queueId": strconv.Itoa(queue), "commitOffset": strconv.Itoa(offset),
	})
	if a.Code != answerOK {
		r.Fatalf("commit an offset: %d %s", a.Code, a.Remark)
	}
}

// online makes the topic as tagged does, and a member of the group, $client, which
// takes the messages.
func online(r *adminRun) {
	tagged(r)
	in := r.inbox()
	mux := r.mux(r.group)
	consumer.HandleRaw(mux, r.topic, in.take)
	r.start(r.open(), mux)
	in.ids(3)
	r.in = in
	var list struct {
		IDs []string `json:"consumerIdList"`
	}
	a := r.ask(r.server.broker, codeConsumerList, map[string]string{"consumerGroup": r.group})
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.IDs) != 1 {
		r.Fatalf("members of the group: %d %s %s %v", a.Code, a.Remark, a.body, err)
	}
	r.more = append(r.more, "$client", list.IDs[0])
}

// committedAll is online, once the broker has the group's offset.
func committedAll(r *adminRun) {
	online(r)
	r.ready = func() {
		r.eventually("the offset is committed", func() bool { return r.committed(r.group, r.topic, 0) == 3 })
	}
}

// again checks that the group's member gets messages again, or not.
func again(from int) func(r *adminRun, out string) {
	return func(r *adminRun, _ string) {
		r.Helper()
		var want []string
		for i := from; i < 3; i++ {
			want = append(want, fmt.Sprintf("body %d", i))
		}
		var got []string
		for range want {
			got = append(got, string(r.in.next().Body))
		}
		if strings.Join(got, ",") != strings.Join(want, ",") {
			r.Errorf("after the reset it gets %q, want %q", got, want)
		}
	}
}

// at checks the group's offset in the first queue.
func at(offset int) func(r *adminRun, out string) {
	return func(r *adminRun, _ string) {
		r.Helper()
		if got := r.committed(r.group, r.topic, 0); got != offset {
			r.Errorf("the group's offset is %d, want %d", got, offset)
		}
	}
}

func adminConsumerRows() []adminRow {
	who := mask{`\S+@\d+#\w+`, "CLIENT"}
	tps := mask{`(Consume TPS: )[\d.]+`, "${1}TPS"}
	address := mask{`\b\d+\.\d+\.\d+\.\d+:\d{4,5}\b`, "ADDRESS"}
	return []adminRow{
		{
			name: "consumerProgress -g", about: "how far a group with a member has come, with the members' addresses, and a group of none",
			lines:   []string{"consumerProgress -g $group", "consumerProgress -g $group -s true", "consumerProgress -g no_such_group"},
			prepare: committedAll, masks: []mask{tps},
			check: func(r *adminRun, out string) {
				r.says(out, `^$topic broker-a 0 3 3 0 (0 )?20\d\d-`, `Diff Total: 0`, `^%RETRY%$group broker-a 0 0 0 0 (0 )?N/A`)
				if r.version == apache.V5 {
					r.says(out, `^#Topic #Broker Name #QID #Broker Offset #Consumer Offset #Diff #Inflight`, `^Consume Inflight Total: 0`)
				}
			},
		},
		{
			name: "consumerProgress -g, offline", about: "how far a group without members has come",
			since5: true, lines: []string{"consumerProgress -g $group -t $topic"}, prepare: offline, masks: []mask{tps},
			check: func(r *adminRun, out string) {
				r.says(out, `^$topic broker-a 0 3 2 1 0 20\d\d-`, `^Consume Diff Total: 1`)
			},
		},
		{
			name: "consumerProgress", about: "all groups, with and without members",
			lines: []string{"consumerProgress"}, prepare: committedAll, only: `^(#|\$group )`, masks: []mask{{`(CLUSTERING +)\d+`, "${1}TPS"}},
			check: func(r *adminRun, out string) {
				r.says(out, `^$group 1 V5_3_1 PUSH CLUSTERING \d+ 0$`)
			},
		},
		{
			name: "consumerConnection", about: "the members of a group and what it subscribes to, and a group of none",
			lines:   []string{"consumerConnection -g $group", "consumerConnection -g $group -b $broker", "consumerConnection -g no_such_group"},
			prepare: online, masks: []mask{who, address}, sorted: true,
			check: func(r *adminRun, out string) {
				r.says(out, `^#ClientId #ClientAddr #Language #Version`, `@\S+ \S+ GO V5_3_1$`, `^$topic \*`, `^ConsumeType: CONSUME_PASSIVELY`, `^MessageModel: CLUSTERING`, `^ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET`)
			},
		},
		{
			name: "producerConnection", about: "the members of a producer group, and a group of none",
			lines: []string{"producerConnection -g $group -t $topic", "producerConnection -g no_such_group -t $topic"}, prepare: producing, masks: []mask{{`clientId=[^,]+`, "clientId=CLIENT"}, who, address},
			check: func(r *adminRun, out string) { r.says(out, `^0001 \S+@\S+ \S+ GO V5_3_1$`) },
		},
		{
			name: "producer", about: "all producers of a broker",
			lines: []string{"producer -b $broker"}, prepare: producing, masks: []mask{{`clientId=[^,]+`, "clientId=CLIENT"}, who, address}, only: `\(\$group\)`,
			check: func(r *adminRun, out string) { r.says(out, `^producer group \($group\) instance : `) },
		},
		{
			name: "consumerStatus -i", about: "what a member says of itself, passed on as it came",
			lines: []string{"consumerStatus -g $group -i $client", "consumerStatus -g $group -i none"}, prepare: online,
			masks: []mask{{`\b20\d{15}\b`, "TIME"}},
			check: func(r *adminRun, out string) {
				r.says(out, `^#Consumer Properties#`, `^PROP_CONSUME_TYPE : CONSUME_PASSIVELY`, `Topic: $topic ClassFilter: false SubExpression: \*`, `^$topic broker-a 0 3\s*$`)
			},
		},
		{
			name: "consumerStatus", about: "the same of all members, each in a file, and whether they agree; a group of none",
			lines:   []string{"consumerStatus -g $group", "consumerStatus -g $group -b $broker -s", "consumerStatus -g no_such_group"},
			prepare: online, masks: []mask{who},
			check: func(r *adminRun, out string) {
				r.says(out, `^1 \S+@\S+ V5_3_1 \d+/\S+`, `^Same subscription in the same group of consumer`, `^Rebalance OK`)
			},
		},
		{
			name: "brokerConsumeStats", about: "how far all groups of a broker have come",
			lines: []string{"brokerConsumeStats -b $broker", "brokerConsumeStats -b $broker -o true", "brokerConsumeStats -b $broker -l 1"}, prepare: offline,
			only:  `^(#|-- next|\$topic |%RETRY%\$group )`,
			check: func(r *adminRun, out string) { r.says(out, `^$topic $group broker-a 0 3 2 1 20\d\d-`) },
		},
		{
			name: "resetOffsetByTime", about: "moves a group with a member back: it gets the messages again",
			lines: []string{"resetOffsetByTime -g $group -t $topic -s 1000"}, prepare: committedAll, check: again(0),
		},
		{
			name: "resetOffsetByTime, offline", about: "moves a group without members, back and to the end",
			lines: []string{
				"resetOffsetByTime -g $group -t $topic -s 1000", "resetOffsetByTime -g $group -t $topic -s -1",
				"resetOffsetByTime -g no_such_group -t $topic -s 1000", "resetOffsetByTime -g $group -t no_such_topic -s 1000",
			},
			prepare: offline, check: at(3),
		},
		{
			name: "resetOffsetByTime -b -q -o", about: "moves one queue of a group to an offset, and refuses one that is not there", since5: true,
			lines:   []string{"resetOffsetByTime -g $group -t $topic -s 0 -b $broker -q 0 -o 1", "resetOffsetByTime -g $group -t $topic -s 0 -b $broker -q 0 -o 9"},
			prepare: committedAll, check: again(1),
		},
		{
			name: "skipAccumulatedMessage", about: "moves a group to the end",
			lines: []string{"skipAccumulatedMessage -g $group -t $topic -f true"}, prepare: offline, check: at(3),
		},
		{
			name: "cloneGroupOffset", about: "gives a group the offsets of another",
			lines:   []string{"updateSubGroup -b $broker -g copy_of_$group", "cloneGroupOffset -s $group -d copy_of_$group -t $topic -o true"},
			prepare: committedAll,
			check: func(r *adminRun, out string) {
				r.says(out, `clone group offset success\. srcGroup\[$group\], destGroup=\[copy_of_$group\], topic\[$topic\]`)
				if got := r.committed("copy_of_"+r.group, r.topic, 0); got != 3 {
					r.Errorf("the copy's offset is %d, want 3", got)
				}
			},
		},
		{
			name: "queryCq", about: "entries of a consume queue, with and without a group, beyond its end and of none",
			lines: []string{
				"queryCq -t $topic -q 0 -i 0 -c 2", "queryCq -t $topic -q 0 -i 2 -g $group", "queryCq -t $topic -q 0 -i 0 -c 1 -g no_such_group",
				"queryCq -t $topic -q 0 -i 99", "queryCq -t $topic -q 9 -i 0",
			},
			prepare: online, masks: []mask{{`physicOffset=\d+`, "physicOffset=N"}, {`physicSize=\d+`, "physicSize=N"}},
			check: func(r *adminRun, out string) { r.says(out, `^max: 3, min: 0$`, `^idx: 0$`, `^idx: 2$`) },
		},
		{
			name: "consumeMessage", about: "messages of a topic, of a queue, and from an offset on",
			lines:   []string{"consumeMessage -t $topic -g $group", "consumeMessage -t $topic -b broker-a -i 0 -g $group", "consumeMessage -t $topic -b broker-a -i 0 -o 1 -c 1 -g $group"},
			prepare: offline, masks: messageMasks(),
			check: func(r *adminRun, out string) { r.says(out, `BODY: body 0`, `BODY: body 1`) },
		},
		{
			name: "sendMessage", about: "a message, with key and tag, to a queue of choice",
			lines:   []string{"sendMessage -t $topic -p hello -k k -c c -b broker-a -i 0"},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 1) }, masks: messageMasks(),
			check: func(r *adminRun, out string) {
				r.says(out, `^#Broker Name #QID #Send Result #MsgId`, `^broker-a 0 SEND_OK [0-9A-F]{32}`)
				if n := r.stored(r.topic, 0); n != 1 {
					r.Errorf("%d messages are stored, want 1", n)
				}
			},
		},
		{
			name: "sendMsgStatus", about: "sends messages to the topic that is named like the broker",
			lines: []string{"sendMsgStatus -b broker-a -s 10 -c 2"}, masks: append(messageMasks(), mask{`rt=\d+ms`, "rt=N"}, mask{`(queueId|queueOffset)=\d+`, "${1}=N"}),
			check: func(r *adminRun, out string) { r.says(out, `sendStatus=SEND_OK`) },
		},
		{
			name: "printMsg", about: "all messages of a topic, by a tag, without their bodies",
			lines: []string{"printMsg -t $topic -d true", "printMsg -t $topic -s other -d true", "printMsg -t $topic"}, prepare: tagged,
			masks: messageMasks(), check: func(r *adminRun, out string) { r.says(out, `BODY: body 2`) },
		},
		{
			name: "printMsgByQueue", about: "all messages of a queue, and how many have which tag",
			lines: []string{"printMsgByQueue -t $topic -a broker-a -i 0 -p true -d true", "printMsgByQueue -t $topic -a broker-a -i 0 -f true"}, prepare: tagged,
			masks: messageMasks(), check: func(r *adminRun, out string) { r.says(out, `BODY: body 2`, `^Tag: tag Count: 3`) },
		},
		{
			name: "queryMsgById, consumed", about: "what became of a message in a group with a member",
			lines: []string{"queryMsgById $dash5 $topic5 -i $offsetid"}, prepare: committedAll,
			masks: messageMasks(), check: func(r *adminRun, out string) { r.says(out, `consumerGroup=$group, trackType=CONSUMED`) },
		},
		{
			name: "queryMsgById -s", about: "sends a message once more",
			lines: []string{"queryMsgById $dash5 $topic5 -i $offsetid -s true"}, prepare: tagged,
			masks: append(messageMasks(), mask{`(originalMsgId=)[0-9A-F]{32,56}`, "${1}ID "}),
			check: func(r *adminRun, _ string) {
				if n := r.stored(r.topic, 0); n != 4 {
					r.Errorf("%d messages are stored, want 4", n)
				}
			},
		},
		{
			name: "queryMsgByUniqueKey -g -d", about: "hands a message that is found by its unique key to a member",
			lines: []string{"queryMsgByUniqueKey -t $topic -i $id -g $group -d $client"}, prepare: online,
			masks: append(messageMasks(), mask{`spentTimeMills=\d+`, "spentTimeMills=N"}),
			check: func(r *adminRun, out string) { r.says(out, `consumeResult=CR_SUCCESS`) },
		},
		{
			name: "queryMsgById -g -d", about: "hands a message to a member, which handles it again and says so",
			lines: []string{"queryMsgById $dash5 $topic5 -i $offsetid -g $group -d $client", "queryMsgById $dash5 $topic5 -i $offsetid -g $group -d none"}, prepare: online,
			masks: append(messageMasks(), mask{`spentTimeMills=\d+`, "spentTimeMills=N"}),
			check: func(r *adminRun, out string) {
				r.says(out, `consumeResult=CR_SUCCESS`)
				if d := r.in.next(); string(d.Body) != "body 0" {
					r.Errorf("the member got %q", d.Body)
				}
			},
		},
	}
}

// messageMasks are for where messages are and come from.
func messageMasks() []mask {
	return []mask{
		{`(commitLogOffset=|CommitLog Offset: +)\d+`, "${1}N"}, {`storeSize=\d+`, "storeSize=N"},
		{`\b[0-9A-F]{40,56}\b`, "ID"}, // of a machine with an IPv6 address
		// The order of what a hash table holds depends on the order in the record.
		{`KEYS=(\w+), MSG_REGION=DefaultRegion`, "MSG_REGION=DefaultRegion, KEYS=${1}"},
		{`((born|store)Host=|(Born|Store) Host: +)/?[\d.:]+`, "${1}HOST"},
	}
}

// producing makes the topic and a member of the producer group $group.
func producing(r *adminRun) {
	r.createTopic(r.topic, 1)
	p, err := r.open().NewProducer(r.group)
	if err != nil {
		r.Fatal(err)
	}
	r.send(p, message.New(r.topic, []byte("b")))
	r.eventually("the broker knows the producer", func() bool {
		return r.ask(r.server.broker, codeProducerConns, map[string]string{"producerGroup": r.group}).Code == answerOK
	})
}
