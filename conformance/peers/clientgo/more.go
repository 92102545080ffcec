package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// unknownState is primitive's, whose name the versions spell differently.
const unknownState = primitive.LocalTransactionState(3)

// listener keeps the last message that was checked.
type listener struct {
	local   primitive.LocalTransactionState
	checked atomic.Pointer[primitive.MessageExt]
}

func (l *listener) ExecuteLocalTransaction(*primitive.Message) primitive.LocalTransactionState {
	return l.local
}

func (l *listener) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	l.checked.Store(m)
	return primitive.CommitMessageState
}

// transaction sends one half message; each case has one producer of transactions,
// since the second of a process is never asked.
func (e *env) transaction(p rocketmq.TransactionProducer, l *listener, body string, state primitive.LocalTransactionState) *primitive.TransactionSendResult {
	l.local = state
	m := e.message("tag", body)
	m.WithProperty("own", "值")
	r, err := p.SendMessageInTransaction(context.Background(), m)
	e.must(err)
	equal(e, "send status", r.Status, primitive.SendOK)
	equal(e, "local state", r.State, state)
	return r
}

func (e *env) transactionProducer(l *listener) rocketmq.TransactionProducer {
	p, err := rocketmq.NewTransactionProducer(l, producer.WithGroupName(e.group()+"_tx"), producer.WithInstanceName(e.name+"_tx"),
		producer.WithNsResolver(e.names()), producer.WithQueueSelector(selector{}))
	e.must(err)
	e.must(p.Start())
	return p
}

func (e *env) expect(r *primitive.TransactionSendResult, got delivery, body string) {
	equal(e, "body", string(got.Body), body)
	equal(e, "topic", got.topic, e.topic())
	equal(e, "tag", got.GetTags(), "tag")
	equal(e, "unique id", got.MsgId, r.MsgID)
	equal(e, "property", got.GetProperty("own"), "值")
	equal(e, "transaction bits of sysFlag", primitive.GetTransactionValue(int(got.SysFlag)), primitive.TransactionCommitType)
	equal(e, "TRAN_MSG", got.GetProperty(primitive.PropertyTransactionPrepared), "true")
	equal(e, "PGROUP", got.GetProperty(primitive.PropertyProducerGroup), e.group()+"_tx")
}

func transactionCommit(e *env) {
	e.createTopic(4)
	in := new(inbox)
	e.push("c", "tag", in)
	l := new(listener)
	r := e.transaction(e.transactionProducer(l), l, "committed", primitive.CommitMessageState)
	e.awaitBodies(in, "committed")
	e.expect(r, in.all()[0], "committed")
}

func transactionRollback(e *env) {
	e.createTopic(1)
	in := new(inbox)
	e.push("c", "*", in)
	l := new(listener)
	p := e.transactionProducer(l)
	e.transaction(p, l, "rolled back", primitive.RollbackMessageState)
	// one queue: the second message can only come after the first
	e.transaction(p, l, "committed", primitive.CommitMessageState)
	e.awaitBodies(in, "committed")
	time.Sleep(1500 * time.Millisecond)
	e.awaitBodies(in, "committed")
}

// transactionCheck waits for Apache's immunity time and interval: 6 s and 30 s,
// 60 s on 4.9.
func transactionCheck(e *env) {
	e.createTopic(4)
	in := new(inbox)
	e.push("c", "tag", in)
	l := new(listener)
	r := e.transaction(e.transactionProducer(l), l, "checked", unknownState)
	e.awaitFor(100*time.Second, "check-back", func() bool { return l.checked.Load() != nil })
	asked := l.checked.Load()
	equal(e, "checked body", string(asked.Body), "checked")
	equal(e, "checked topic", asked.Topic, e.topic())
	equal(e, "transaction id of the check", asked.TransactionId, r.MsgID)
	equal(e, "TRANSACTION_CHECK_TIMES", asked.GetProperty(primitive.PropertyTranscationCheckTimes), "1")
	e.awaitBodies(in, "checked")
	e.expect(r, in.all()[0], "checked")
}

func (e *env) pullConsumer(opts ...consumer.Option) rocketmq.PullConsumer {
	c, err := rocketmq.NewPullConsumer(append([]consumer.Option{
		consumer.WithGroupName(e.group()), consumer.WithInstance(e.name + "_pull"), consumer.WithNsResolver(e.names()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithPullBatchSize(32),
	}, opts...)...)
	e.must(err)
	e.must(c.Subscribe(e.topic(), consumer.MessageSelector{Type: consumer.TAG, Expression: "a"}))
	e.must(c.Start())
	return c
}

// pull reads queues by offset.
func pull(e *env) {
	queues := e.createTopic(2)
	e.fill("pull", 10, queues[:1])
	c := e.pullConsumer()
	var r *primitive.PullResult
	// Until the first heartbeat it takes the broker for an old one, and Apache enters
	// messages into the consume queue after it has acknowledged them.
	e.await("a pull that knows of all messages", func() bool {
		var err error
		r, err = c.PullFrom(context.Background(), queues[0], 2, 4)
		return err == nil && r.MaxOffset == 10
	})
	equal(e, "status of a hit", r.Status, primitive.PullFound)
	equal(e, "messages", len(r.GetMessageExts()), 4)
	equal(e, "first offset", r.GetMessageExts()[0].QueueOffset, int64(2))
	equal(e, "first body", string(r.GetMessageExts()[0].Body), "pull 2")
	equal(e, "next offset", r.NextBeginOffset, int64(6))
	equal(e, "min offset", r.MinOffset, int64(0))
	equal(e, "max offset", r.MaxOffset, int64(10))
	r, err := c.PullFrom(context.Background(), queues[0], 99, 4)
	e.must(err)
	equal(e, "status past the end", r.Status, primitive.PullOffsetIllegal)
	equal(e, "next offset past the end", r.NextBeginOffset, int64(10))
}

// poll reads what the queues in its share hold.
func poll(e *env) {
	queues := e.createTopic(4)
	want := e.fill("poll", 12, queues)
	c := e.pullConsumer()
	got := make(map[string]bool)
	e.await("12 polled messages", func() bool {
		r, err := c.Poll(context.Background(), 5*time.Second)
		if err != nil {
			return false // nothing new
		}
		for _, m := range r.GetMsgList() {
			got[string(m.Body)] = true
		}
		c.ACK(context.Background(), r, consumer.ConsumeSuccess)
		return len(got) == len(want)
	})
	for _, body := range want {
		e.check(got[body], "%q was not polled", body)
	}
	for _, q := range queues {
		offset, err := c.CurrentOffset(q)
		e.must(err)
		equal(e, fmt.Sprintf("offset of queue %d", q.QueueId), offset, int64(3))
	}
}

func createTopic(e *env) {
	queues := e.createTopic(6)
	var ids []int
	for _, q := range queues {
		equal(e, "topic", q.Topic, e.topic())
		e.check(q.BrokerName != "", "queue %d has no broker", q.QueueId)
		ids = append(ids, q.QueueId)
	}
	slices.Sort(ids)
	equal(e, "queue ids", fmt.Sprint(ids), "[0 1 2 3 4 5]")
	_, err := e.admin().FetchPublishMessageQueues(context.Background(), e.topic()+"_missing")
	e.check(err != nil, "a missing topic has queues")
}

func topicList(e *env) {
	e.createTopic(1)
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{e.o.nameServer}))) // it dials the address as it is
	e.must(err)
	e.await("the topic in the list", func() bool {
		list, err := a.FetchAllTopicList(context.Background())
		e.must(err)
		return slices.Contains(list.TopicList, e.topic())
	})
}
