package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// namedCase is a case; the error is why it failed.
type namedCase struct {
	name string
	run  func(*env)
}

// cases are all there are, those that wait longest first.
var cases = []namedCase{
	{"transaction-check", transactionCheck},
	{"dead-letter", deadLetter},
	{"retry", retry},
	{"poll", poll},
	{"transaction-commit", transactionCommit},
	{"transaction-rollback", transactionRollback},
	{"push-balance", pushBalance},
	{"push-resumes", pushResumes},
	{"push-all", pushAll},
	{"push-tags", pushTags},
	{"push-live", pushLive},
	{"push-tags-not-ascii", pushTagsNotASCII},
	{"push-before-topic", pushBeforeTopic},
	{"request-reply", requestReply},
	{"delay-level", delayLevel},
	{"pull", pull},
	{"send-sync", sendSync},
	{"send-async", sendAsync},
	{"send-oneway", sendOneway},
	{"send-batch", sendBatch},
	{"send-properties", sendProperties},
	{"send-compressed", sendCompressed},
	{"send-auto-creates-topic", sendAutoCreates},
	{"create-topic", createTopic},
	{"topic-list", topicList},
}

// patience is how long a case waits for what must happen: rocketmq-client-go
// balances a group every 20 s, and asks for routes every 30 s.
const patience = 60 * time.Second

// env is what a case works with. Nothing is shut down at its end, which is the
// process's too.
type env struct {
	o    *options
	name string
}

// failure ends a case from within.
type failure struct{ err error }

// attempt runs a case.
func attempt(o *options, c namedCase) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failure:
			err = v.err
		default:
			panic(v)
		}
	}()
	c.run(&env{o: o, name: strings.ReplaceAll(c.name, "-", "_")})
	return nil
}

func (e *env) fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (e *env) must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func (e *env) check(ok bool, format string, args ...any) {
	if !ok {
		e.fail(format, args...)
	}
}

// equal fails the case unless got is what is wanted.
func equal[T comparable](e *env, what string, got, want T) {
	e.check(got == want, "%s is %v, want %v", what, got, want)
}

// await waits until ok, or fails the case and names what was awaited.
func (e *env) await(what string, ok func() bool) { e.awaitFor(patience, what, ok) }

func (e *env) awaitFor(limit time.Duration, what string, ok func() bool) {
	deadline := time.Now().Add(limit)
	for !ok() {
		e.check(time.Now().Before(deadline), "no %s within %s", what, limit)
		time.Sleep(20 * time.Millisecond)
	}
}

func (e *env) topic() string { return e.o.prefix + "_t_" + e.name }
func (e *env) group() string { return e.o.prefix + "_g_" + e.name }

func (e *env) names() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{"http://" + e.o.nameServer}) // it refuses host names otherwise
}

// producer starts a producer that sends each message to its own Queue, and one
// without to the topic's first.
func (e *env) producer() rocketmq.Producer {
	p, err := rocketmq.NewProducer(
		producer.WithGroupName(e.o.prefix+"_p_"+e.name), producer.WithInstanceName(e.name+"_p"), producer.WithNsResolver(e.names()),
		producer.WithQueueSelector(selector{}), producer.WithRetry(3),
	)
	e.must(err)
	e.must(p.Start())
	return p
}

// selector is rocketmq-client-go's manual one, except for messages without a queue.
type selector struct{}

func (selector) Select(m *primitive.Message, mqs []*primitive.MessageQueue, _ string) *primitive.MessageQueue {
	if m.Queue != nil {
		return m.Queue
	}
	for _, mq := range mqs {
		if mq.QueueId == 0 {
			return mq
		}
	}
	return mqs[0]
}

// push starts a push consumer of the case's topic.
func (e *env) push(instance, expression string, in *inbox, opts ...consumer.Option) rocketmq.PushConsumer {
	return e.pushTopic(e.group(), e.topic(), instance, expression, in, opts...)
}

func (e *env) pushTopic(group, topic, instance, expression string, in *inbox, opts ...consumer.Option) rocketmq.PushConsumer {
	opts = append([]consumer.Option{
		consumer.WithGroupName(group), consumer.WithInstance(e.name + "_" + instance), consumer.WithNsResolver(e.names()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, opts...)
	c, err := rocketmq.NewPushConsumer(opts...)
	e.must(err)
	e.must(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression}, in.take))
	e.must(c.Start())
	return c
}

// createTopic makes the case's topic by the admin API and returns its queues.
func (e *env) createTopic(queues int) []*primitive.MessageQueue {
	a := e.admin()
	e.must(a.CreateTopic(context.Background(), admin.WithTopicCreate(e.topic()), admin.WithBrokerAddrCreate(e.broker()),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues)))
	return e.awaitQueues(a, e.topic(), queues)
}

func (e *env) admin() admin.Admin {
	a, err := admin.NewAdmin(admin.WithResolver(e.names()))
	e.must(err)
	return a
}

func (e *env) awaitQueues(a admin.Admin, topic string, n int) []*primitive.MessageQueue {
	var queues []*primitive.MessageQueue
	e.await(fmt.Sprintf("%d publish queues of %s", n, topic), func() bool {
		var err error
		queues, err = a.FetchPublishMessageQueues(context.Background(), topic)
		return err == nil && len(queues) == n
	})
	return queues
}

// broker finds a broker's address, in the id that it gives a message:
// rocketmq-client-go needs it to create a topic, and does not tell it.
func (e *env) broker() string {
	p := e.producer()
	defer func() { e.must(p.Shutdown()) }()
	r := e.send(p, primitive.NewMessage(e.o.prefix+"_probe", []byte("probe")))
	id, err := primitive.UnmarshalMsgID([]byte(r.OffsetMsgID))
	e.must(err)
	return fmt.Sprintf("%s:%d", id.Addr, id.Port)
}

func (e *env) message(tag, body string) *primitive.Message {
	m := primitive.NewMessage(e.topic(), []byte(body))
	if tag != "" {
		m.WithTag(tag)
	}
	return m
}

// send sends a message that must be stored. A broker on a busy machine may
// refuse one in passing (SYSTEM_BUSY), which rocketmq-client-go does not retry.
func (e *env) send(p rocketmq.Producer, ms ...*primitive.Message) *primitive.SendResult {
	var errs []error
	for range 5 {
		r, err := p.SendSync(context.Background(), ms...)
		if err == nil {
			equal(e, "send status", r.Status, primitive.SendOK)
			return r
		}
		errs = append(errs, err)
		time.Sleep(200 * time.Millisecond)
	}
	e.fail("send: %w", errors.Join(errs...))
	return nil
}

var hexID = regexp.MustCompile(`^[0-9A-Fa-f]{32}$|^[0-9A-Fa-f]{56}$`)

// inbox collects what a consumer gets, and answers by verdict.
type inbox struct {
	verdict func(context.Context, *primitive.MessageExt) consumer.ConsumeResult // nil: success

	mu  sync.Mutex // guards the following
	got []delivery
}

type delivery struct {
	*primitive.MessageExt
	topic string // when it was delivered
	times int32
	queue int
	at    time.Time
}

func (in *inbox) take(ctx context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	result := consumer.ConsumeSuccess
	for _, m := range ms {
		in.mu.Lock()
		in.got = append(in.got, delivery{MessageExt: m, topic: m.Topic, times: m.ReconsumeTimes, queue: m.Queue.QueueId, at: time.Now()})
		in.mu.Unlock()
		if in.verdict != nil {
			result = in.verdict(ctx, m)
		}
	}
	return result, nil
}

func (in *inbox) all() []delivery {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]delivery(nil), in.got...)
}

func (in *inbox) size() int { return len(in.all()) }

// bodies counts the deliveries by body.
func (in *inbox) bodies() map[string]int {
	m := make(map[string]int)
	for _, d := range in.all() {
		m[string(d.Body)]++
	}
	return m
}

// queues are those that something was delivered from.
func (in *inbox) queues() map[int]bool {
	m := make(map[int]bool)
	for _, d := range in.all() {
		m[d.queue] = true
	}
	return m
}

func (in *inbox) clear() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = nil
}

// awaitBodies waits until exactly these bodies have arrived.
func (e *env) awaitBodies(in *inbox, want ...string) {
	e.await(fmt.Sprintf("delivery of %q", want), func() bool {
		got := in.bodies()
		for _, b := range want {
			if got[b] == 0 {
				return false
			}
		}
		return true
	})
	equal(e, "number of different bodies", len(in.bodies()), len(want))
}
