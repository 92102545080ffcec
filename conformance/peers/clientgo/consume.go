package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// fill sends n messages in turn to the queues.
func (e *env) fill(what string, n int, queues []*primitive.MessageQueue) []string {
	p := e.producer()
	defer func() { e.must(p.Shutdown()) }()
	var bodies []string
	for i := range n {
		m := e.message("a", fmt.Sprintf("%s %d", what, i))
		m.Queue = queues[i%len(queues)]
		e.send(p, m)
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

func pushAll(e *env) {
	want := e.fill("all", 20, e.createTopic(4))
	in := new(inbox)
	e.push("c", "*", in)
	e.awaitBodies(in, want...)
	equal(e, "deliveries", in.size(), 20)
}

func pushTags(e *env) {
	queue := e.createTopic(4)[0]
	p := e.producer()
	var want []string
	for i := range 16 {
		tag := [...]string{"a", "b", "c", ""}[i%4]
		m := e.message(tag, fmt.Sprintf("%s %d", tag, i))
		m.Queue = queue
		e.send(p, m)
		if tag == "a" || tag == "b" {
			want = append(want, string(m.Body))
		}
	}
	in := new(inbox)
	e.push("c", "a || b", in)
	e.awaitBodies(in, want...)
	// one more that matches: what lies before it has been filtered by then
	m := e.message("b", "last")
	m.Queue = queue
	e.send(p, m)
	e.awaitBodies(in, append(want, "last")...)
}

// What rocketmq-client-go itself cannot do, in both versions.

func pushTagsNotASCII(e *env) {
	e.must(skip("it hashes tags by their bytes, brokers by their UTF-16 units: no tag beyond ASCII matches"))
}

func pushBeforeTopic(e *env) {
	e.must(skip("a push consumer whose topic does not exist at its start fails for good"))
}

func requestReply(e *env) {
	e.must(skip("a reply's body is never set"))
}

// pushLive: messages that are sent while the pulls wait in the broker arrive at once.
func pushLive(e *env) {
	queues := e.createTopic(4)
	in := new(inbox)
	e.push("c", "*", in)
	e.fill("first", 4, queues)
	e.await("delivery from 4 queues", func() bool { return len(in.queues()) == 4 })
	time.Sleep(1500 * time.Millisecond) // the pulls park in the broker
	in.clear()
	p := e.producer()
	for i := range 5 {
		m := e.message("a", fmt.Sprintf("live %d", i))
		m.Queue = queues[i%4]
		began := time.Now()
		e.send(p, m)
		e.await(fmt.Sprintf("message %d", i), func() bool { return in.size() > i })
		took := time.Since(began)
		// without being woken it looks again after 5 s
		e.check(took < 4*time.Second, "a parked pull took %s to deliver", took)
	}
}

// pushResumes: a member that leaves commits its offsets, and the next goes on there.
func pushResumes(e *env) {
	queues := e.createTopic(4)
	want := e.fill("before", 12, queues)
	in := new(inbox)
	c := e.push("c1", "*", in)
	e.awaitBodies(in, want...)
	// Everything is acknowledged then, and the heartbeat that follows the start by
	// a second is answered: Shutdown loses the commits that it has just written
	// when an answer comes in as it closes the connection.
	time.Sleep(2500 * time.Millisecond)
	e.must(c.Shutdown())
	want = e.fill("after", 12, queues)
	in = new(inbox)
	e.push("c2", "*", in)
	e.await("delivery of what came after", func() bool {
		got := in.bodies()
		return !slices.ContainsFunc(want, func(b string) bool { return got[b] == 0 })
	})
	// A queue's commit may be lost all the same, and its 3 messages come again; a
	// broker that keeps no offsets would deliver all.
	again := len(in.bodies()) - len(want)
	e.check(again <= 6, "%d of 12 messages came again", again)
}

// pushBalance: two members share the queues, and the last gets all.
func pushBalance(e *env) {
	queues := e.createTopic(8)
	one, two := new(inbox), new(inbox)
	e.push("c1", "*", one)
	e.fill("alone", 8, queues)
	e.await("delivery from 8 queues to the first consumer", func() bool { return len(one.queues()) == 8 })
	second := e.push("c2", "*", two)
	e.await("delivery from 4 queues to each consumer", func() bool {
		one.clear()
		two.clear()
		e.fill("both", 8, queues)
		return arrives(func() bool { return one.size()+two.size() >= 8 }) && len(one.queues()) == 4 && len(two.queues()) == 4
	})
	for q := range one.queues() {
		e.check(!two.queues()[q], "queue %d belongs to both", q)
	}
	time.Sleep(500 * time.Millisecond)
	e.must(second.Shutdown())
	e.await("delivery from 8 queues to the one that stayed", func() bool {
		one.clear()
		e.fill("alone again", 8, queues)
		return arrives(func() bool { return len(one.queues()) == 8 })
	})
}

// arrives waits 2 s at most until ok.
func arrives(ok func() bool) bool {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// failing is an inbox that fails the first deliveries of each message, at delay
// level 1.
func failing(times int32) *inbox {
	return &inbox{verdict: func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		if m.ReconsumeTimes >= times {
			return consumer.ConsumeSuccess
		}
		if cc, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			cc.DelayLevelWhenNextConsume = 1
		}
		return consumer.ConsumeRetryLater
	}}
}

func retry(e *env) {
	e.createTopic(4)
	in := failing(1)
	e.push("c", "*", in)
	p := e.producer()
	m := e.message("tag", "retry me")
	m.WithKeys([]string{"order-1"})
	r := e.send(p, m)
	e.await("second delivery", func() bool { return in.size() == 2 })
	first, second := in.all()[0], in.all()[1]
	equal(e, "reconsume times of the first delivery", first.times, int32(0))
	equal(e, "reconsume times of the second delivery", second.times, int32(1))
	equal(e, "unique id", second.MsgId, r.MsgID)
	equal(e, "body", string(second.Body), "retry me")
	equal(e, "tag", second.GetTags(), "tag")
	equal(e, "keys", second.GetKeys(), "order-1")
	equal(e, "topic as the callback sees it", second.topic, e.topic())
	equal(e, "RETRY_TOPIC", second.GetProperty(primitive.PropertyRetryTopic), e.topic())
	equal(e, "ORIGIN_MESSAGE_ID", second.GetProperty(primitive.PropertyOriginMessageId), r.OffsetMsgID)
	equal(e, "REAL_TOPIC", second.GetProperty(primitive.PropertyRealTopic), "%RETRY%"+e.group())
	took := second.at.Sub(first.at)
	e.check(took >= 900*time.Millisecond, "delay level 1 took only %s", took)
}

func deadLetter(e *env) {
	e.createTopic(4)
	in := failing(math.MaxInt32)
	e.push("c", "*", in, consumer.WithMaxReconsumeTimes(1))
	p := e.producer()
	r := e.send(p, e.message("tag", "dead"))
	dlq := "%DLQ%" + e.group()
	e.awaitQueues(e.admin(), dlq, 1)
	letters := new(inbox)
	e.pushTopic(e.group()+"_dlq", dlq, "d", "*", letters)
	e.awaitBodies(letters, "dead")
	dead := letters.all()[0]
	equal(e, "deliveries before the DLQ", in.size(), 2)
	equal(e, "topic", dead.topic, dlq)
	equal(e, "tag", dead.GetTags(), "tag")
	equal(e, "unique id", dead.MsgId, r.MsgID)
	equal(e, "RETRY_TOPIC", dead.GetProperty(primitive.PropertyRetryTopic), e.topic())
	equal(e, "ORIGIN_MESSAGE_ID", dead.GetProperty(primitive.PropertyOriginMessageId), r.OffsetMsgID)
	equal(e, "reconsume times in the DLQ", dead.times, int32(2))
}
