package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func sendSync(e *env) {
	queue := e.createTopic(4)[2]
	p := e.producer()
	for i := range 3 {
		m := e.message("a", fmt.Sprintf("sync %d", i))
		m.Queue = queue
		r := e.send(p, m)
		e.check(hexID.MatchString(r.MsgID), "msgId %q is no unique id", r.MsgID)
		e.check(hexID.MatchString(r.OffsetMsgID), "offsetMsgId %q is no offset id", r.OffsetMsgID)
		equal(e, "queue", *r.MessageQueue, *queue)
		equal(e, "queue offset", r.QueueOffset, int64(i))
	}
}

func sendAsync(e *env) {
	const n = 50
	e.createTopic(4)
	p := e.producer()
	var mu sync.Mutex
	var wrong []string
	var done sync.WaitGroup
	want := make([]string, n)
	for i := range n {
		want[i] = fmt.Sprintf("async %d", i)
		done.Add(1)
		e.must(p.SendAsync(context.Background(), func(_ context.Context, r *primitive.SendResult, err error) {
			defer done.Done()
			if err != nil || r.Status != primitive.SendOK || !hexID.MatchString(r.OffsetMsgID) {
				mu.Lock()
				wrong = append(wrong, fmt.Sprint(r, err))
				mu.Unlock()
			}
		}, e.message("a", want[i])))
	}
	done.Wait()
	e.check(len(wrong) == 0, "callbacks: %s", strings.Join(wrong, "; "))
	in := new(inbox)
	e.push("c", "*", in)
	e.awaitBodies(in, want...)
}

func sendOneway(e *env) {
	e.createTopic(4)
	p := e.producer()
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("oneway %d", i))
		e.must(p.SendOneWay(context.Background(), e.message("a", want[i])))
	}
	in := new(inbox)
	e.push("c", "*", in)
	e.awaitBodies(in, want...)
}

func sendBatch(e *env) {
	queues := e.createTopic(4)
	p := e.producer()
	var ms []*primitive.Message
	var want []string
	for i := range 5 {
		m := e.message(fmt.Sprintf("t%d", i), fmt.Sprintf("batch %d", i))
		m.WithKeys([]string{fmt.Sprintf("key%d", i)})
		m.WithProperty("n", fmt.Sprintf("第%d", i))
		m.Queue = queues[1]
		ms, want = append(ms, m), append(want, string(m.Body))
	}
	r := e.send(p, ms...)
	ids := strings.Split(r.OffsetMsgID, ",")
	equal(e, "offset ids", len(ids), 5)
	equal(e, "queue offset", r.QueueOffset, int64(0))
	in := new(inbox)
	e.push("c", "*", in)
	e.awaitBodies(in, want...)
	for _, d := range in.all() {
		var i int
		_, err := fmt.Sscanf(string(d.Body), "batch %d", &i)
		e.must(err)
		equal(e, "tag", d.GetTags(), fmt.Sprintf("t%d", i))
		equal(e, "keys", d.GetKeys(), fmt.Sprintf("key%d", i))
		equal(e, "property", d.GetProperty("n"), fmt.Sprintf("第%d", i))
		equal(e, "offset id", d.OffsetMsgId, ids[i])
		equal(e, "queue offset", d.QueueOffset, int64(i))
	}
}

func sendProperties(e *env) {
	e.createTopic(4)
	p := e.producer()
	m := e.message("标签", "正文 😀")
	m.WithKeys([]string{"k1", "订单2"})
	m.Flag = 42
	m.WithProperty("地区", "欧洲 = \"eu\"; {x}")
	m.WithProperty("amount", "11")
	r := e.send(p, m)
	in := new(inbox)
	e.push("c", "*", in)
	e.awaitBodies(in, "正文 😀")
	got := in.all()[0]
	equal(e, "tag", got.GetTags(), "标签")
	equal(e, "keys", got.GetKeys(), "k1 订单2")
	equal(e, "flag", got.Flag, int32(42))
	equal(e, "property", got.GetProperty("地区"), "欧洲 = \"eu\"; {x}")
	equal(e, "property", got.GetProperty("amount"), "11")
	equal(e, "topic", got.Topic, e.topic())
	equal(e, "unique id", got.MsgId, r.MsgID)
	equal(e, "offset id", got.OffsetMsgId, r.OffsetMsgID)
	equal(e, "queue", got.queue, r.MessageQueue.QueueId)
	equal(e, "queue offset", got.QueueOffset, r.QueueOffset)
	equal(e, "reconsume times", got.times, int32(0))
	e.check(got.GetProperty("CLUSTER") != "", "the broker did not add the property CLUSTER")
	e.check(got.BornTimestamp > 0 && got.StoreTimestamp > 0 && got.BornHost != "" && got.StoreHost != "", "born or store data is missing: %v", got)
}

func sendCompressed(e *env) {
	e.createTopic(4)
	p := e.producer()
	var text bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&text, "row %d 数据\n", i)
	}
	e.send(p, e.message("big", text.String()))
	in := new(inbox)
	e.push("c", "*", in)
	e.await("the message", func() bool { return in.size() == 1 })
	got := in.all()[0]
	e.check(bytes.Equal(got.Body, text.Bytes()), "the body differs after the way there and back")
	e.check(int(got.StoreSize) < text.Len()/2, "the record has %d bytes: it is not stored compressed", got.StoreSize)
}

func sendAutoCreates(e *env) {
	p := e.producer()
	r := e.send(p, e.message("a", "first"))
	equal(e, "topic", r.MessageQueue.Topic, e.topic())
	e.awaitQueues(e.admin(), e.topic(), 4)
}

func delayLevel(e *env) {
	e.createTopic(4)
	in := new(inbox)
	e.push("c", "*", in)
	p := e.producer()
	m := e.message("tag", "later")
	m.WithDelayTimeLevel(1)
	m.WithProperty("own", "值")
	began := time.Now()
	r := e.send(p, m)
	e.awaitBodies(in, "later")
	got := in.all()[0]
	took := got.at.Sub(began)
	e.check(took >= 900*time.Millisecond, "level 1 took only %s", took)
	equal(e, "topic", got.Topic, e.topic())
	equal(e, "unique id", got.MsgId, r.MsgID)
	equal(e, "tag", got.GetTags(), "tag")
	equal(e, "property", got.GetProperty("own"), "值")
	equal(e, "DELAY", got.GetProperty(primitive.PropertyDelayTimeLevel), "1")
	equal(e, "REAL_TOPIC", got.GetProperty(primitive.PropertyRealTopic), e.topic())
}
