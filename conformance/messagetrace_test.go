package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/txn"
)

// messageTraceCases are those of RocketMQ's own message trace: what rocketkit writes is
// read back with package admin. TestMQAdmin has a row that reads it with mqadmin.
func messageTraceCases() []testCase {
	return []testCase{
		{name: "message trace of sends", about: "by sync, async, linger, batch, key and delay: each message has its Pub, SubBefore and SubAfter; a oneway one has no Pub", run: tracedSends},
		{name: "message trace of handlers", about: "an error, a panic, a skip, a batch with a failure, and the retries", run: tracedHandlers},
		{name: "message trace of queues", about: "the same of an ordered and of a broadcasting group", run: tracedQueues, needs: queueLocks | broadcasts},
		{name: "message trace of transactions", about: "half messages, what was decided about them, and answers to check-backs", run: tracedTransactions, needs: transactions},
		{name: "message trace of recalls", about: "a timer message and its recall", run: tracedRecall, needs: timers},
		{name: "message trace of a fetcher", about: "a message that is done, one that is tried again, one that is given up, and one without an answer", run: tracedFetcher},
		{name: "message trace of pulls", about: "what is pulled is traced as handled, as Java's lite pull consumer does it", run: tracedPulls, needs: pulls},
		{name: "message trace of a simple consumer", about: "a message that is done, one that is given up, and one whose time is over", run: tracedSimple, needs: pops},
		{name: "message trace in a namespace", about: "goes to the topic as it is named, and has the user's names", run: tracedInNamespace},
	}
}

// steps are what is traced of a message, in no order, without what differs from run to
// run, once there are n.
func (s *stand) steps(a *admin.Client, topic, id string, n int) []string {
	s.Helper()
	var events []admin.TraceEvent
	s.eventually(fmt.Sprintf("message %s has %d traces, not %+v", id, n, events), func() bool {
		var err error
		events, err = a.Trace(s.soon(), id, admin.Between{}, topic)
		return err == nil && len(events) >= n
	})
	var steps []string
	requests := map[string]int{}
	for _, e := range events {
		if age := time.Since(e.Time); age < 0 || age > s.limit() || e.Cost < 0 || e.Cost > s.limit() {
			s.Errorf("%s of %s took %s, at %s", e.Type, id, e.Cost, e.Time)
		}
		step := strings.Join([]string{e.Type, e.Group, e.Topic, e.Keys}, " ")
		switch e.Type {
		case "Pub":
			step += fmt.Sprint(" ", e.MessageType, " ", e.Success)
		case "SubBefore":
			step += fmt.Sprint(" ", e.Retries)
			requests[e.Request]++
		case "SubAfter":
			step += fmt.Sprint(" ", e.Outcome, " ", e.Success)
			requests[e.Request]--
		case "EndTransaction":
			step += fmt.Sprint(" ", e.State, " ", e.FromCheck)
		case "Recall":
			step += fmt.Sprint(" ", e.Success)
		}
		steps = append(steps, step)
	}
	for r, n := range requests {
		if n != 0 || len(r) != 32 {
			s.Errorf("request %q of %s has %d runs that do not end", r, id, n)
		}
	}
	slices.Sort(steps)
	return steps
}

// hasSteps compares what is traced of a message.
func (s *stand) hasSteps(a *admin.Client, topic, id string, want ...string) {
	s.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, s.steps(a, topic, id, len(want))); diff != "" {
		s.Errorf("message %s (-want +got)\n%s", id, diff)
	}
}

func tracedSends(s *stand) {
	trace, topic, a := s.topicOf(1), s.topic(), s.admin()
	c := s.open(rocketkit.WithMessageTrace(trace))
	in, group := s.inbox(), s.group()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take)
	s.start(c, mux)
	plain, lingers := s.producer(c), s.producer(c, producer.Linger(50*time.Millisecond))
	m := func(body string, opts ...message.Option) *message.Message {
		return message.New(topic, []byte(body), append(opts, message.Tag("t"), message.Key("k-"+body))...)
	}
	s.send(plain, m("sync"))
	s.send(plain, m("key", message.ShardingKey("one")))
	s.send(plain, m("delay", delay.Level(1)))
	if err := plain.SendOneway(s.soon(), m("oneway")); err != nil {
		s.Fatal(err)
	}
	outcomes := make(chan error, 3)
	done := func(_ context.Context, _ message.SendResult, err error) { outcomes <- err }
	plain.SendAsync(s.soon(), m("async"), done)
	lingers.SendAsync(s.soon(), m("linger-1"), done)
	lingers.SendAsync(s.soon(), m("linger-2"), done)
	for range cap(outcomes) {
		if err := <-outcomes; err != nil {
			s.Fatal(err)
		}
	}
	if _, err := plain.SendBatch(s.soon(), []*message.Message{m("batch-1"), m("batch-2")}); err != nil {
		s.Fatal(err)
	}
	for id, d := range in.ids(9) {
		body, from, kind := string(d.Body), plain.Group(), "Normal_Msg"
		if strings.HasPrefix(body, "linger") {
			from = lingers.Group()
		}
		if body == "delay" {
			kind = "Delay_Msg"
		}
		want := []string{fmt.Sprintf("SubBefore %s  k-%s 0", group, body), fmt.Sprintf("SubAfter %s  k-%s SUCCESS true", group, body)}
		if body != "oneway" { // which no broker answers
			want = append(want, fmt.Sprintf("Pub %s %s k-%s %s true", from, topic, body, kind))
		}
		s.hasSteps(a, trace, id, want...)
	}
}

func tracedHandlers(s *stand) {
	trace, topic, batches, a := s.topicOf(1), s.topic(), s.topicOf(1), s.admin()
	c, group := s.open(rocketkit.WithMessageTrace(trace)), s.group()
	in := s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(_ context.Context, d *message.Delivery) error {
		switch {
		case string(d.Body) == "skip":
			return retry.Skip(errBoom)
		case d.ReconsumeTimes > 0:
		case string(d.Body) == "error":
			return errBoom
		case string(d.Body) == "panic":
			panic("boom")
		}
		return nil
	}, consumer.Retry(retry.Levels(16)))
	consumer.HandleBatchRaw(mux, batches, func(ctx context.Context, b *consumer.Batch[*message.Delivery]) error {
		for i, d := range b.Deliveries() {
			if string(d.Body) == "bad" && d.ReconsumeTimes == 0 {
				b.Fail(i, errBoom)
			}
		}
		return nil
	})
	s.start(c, mux)
	p := s.producer(s.open()) // which traces nothing
	for body, want := range map[string][]string{
		"skip":  {"SubBefore $g   0", "SubAfter $g   SUCCESS true"},
		"error": {"SubBefore $g   0", "SubAfter $g   FAILED false", "SubBefore $g   1", "SubAfter $g   SUCCESS true"},
		"panic": {"SubBefore $g   0", "SubAfter $g   EXCEPTION false", "SubBefore $g   1", "SubAfter $g   SUCCESS true"},
		"good":  {"SubBefore $g   0", "SubAfter $g   SUCCESS true"},
		"bad":   {"SubBefore $g   0", "SubAfter $g   FAILED false", "SubBefore $g   1", "SubAfter $g   SUCCESS true"},
	} {
		to := topic
		if body == "good" || body == "bad" {
			to = batches
		}
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "$g", group)
		}
		id := s.send(p, message.New(to, []byte(body))).MessageID
		s.hasSteps(a, trace, id, want...)
	}
	in.none()
}

func tracedQueues(s *stand) {
	trace, topic, a, dir := s.topicOf(1), s.topicOf(1), s.admin(), s.TempDir()
	c, ordered, broadcast := s.open(rocketkit.WithMessageTrace(trace)), s.group(), s.group()+"_b"
	once := new(counter)
	handle := func(_ context.Context, d *message.Delivery) error {
		if once.add(d.Group) == 1 {
			return errBoom
		}
		return nil
	}
	for _, mux := range []*consumer.Mux{
		s.mux(ordered, consumer.Ordered(), consumer.Suspend(10*time.Millisecond)),
		s.mux(broadcast, consumer.Broadcast(), consumer.OffsetDir(dir)),
	} {
		consumer.HandleRaw(mux, topic, handle)
		s.start(c, mux)
	}
	id := s.send(s.producer(s.open()), message.New(topic, []byte("x"))).MessageID
	s.hasSteps(a, trace, id,
		"SubBefore "+ordered+"   0", "SubAfter "+ordered+"   FAILED false", "SubBefore "+ordered+"   1", "SubAfter "+ordered+"   SUCCESS true",
		"SubBefore "+broadcast+"   0", "SubAfter "+broadcast+"   FAILED false")
}

func tracedTransactions(s *stand) {
	trace, topic, a := s.topicOf(1), s.topic(), s.admin()
	c := s.open(rocketkit.WithMessageTrace(trace))
	kind := txn.NewKind("paid", topic, func(_ context.Context, d *message.Delivery) error { return txn.Abort(nil) })
	p := s.producer(c, txn.Kinds(kind))
	for body, tc := range map[string]struct {
		local error
		ends  []string
	}{
		"commit":   {nil, []string{"COMMIT_MESSAGE false"}},
		"rollback": {txn.Abort(nil), []string{"ROLLBACK_MESSAGE false"}},
		"asked":    {errBoom, []string{"UNKNOW false", "ROLLBACK_MESSAGE true"}},
	} {
		res, err := kind.Send(s.soon(), p, message.New(topic, []byte(body), message.Key("k")), local(tc.local))
		var told *txn.LocalError
		if err != nil && !errors.As(err, &told) {
			s.Fatal(err)
		}
		want := []string{fmt.Sprintf("Pub %s %s k Trans_Msg_Half true", p.Group(), topic)}
		for _, end := range tc.ends {
			want = append(want, fmt.Sprintf("EndTransaction %s %s k %s", p.Group(), topic, end))
		}
		s.hasSteps(a, trace, res.MessageID, want...)
	}
}

func tracedRecall(s *stand) {
	trace, topic, a := s.topicOf(1), s.topic(), s.admin()
	p := s.producer(s.open(rocketkit.WithMessageTrace(trace)))
	r := s.send(p, message.New(topic, []byte("x"), delay.After(time.Hour)))
	if err := p.Recall(s.soon(), topic, r.RecallHandle); err != nil {
		s.Fatal(err)
	}
	s.hasSteps(a, trace, r.MessageID, fmt.Sprintf("Pub %s %s  Delay_Msg true", p.Group(), topic), fmt.Sprintf("Recall %s %s  true", p.Group(), topic))
}

func tracedFetcher(s *stand) {
	trace, topic, a, group := s.topicOf(1), s.topic(), s.admin(), s.group()
	p := s.producer(s.open())
	ids := map[string]string{}
	for _, body := range []string{"done", "again", "given up", "open"} {
		ids[body] = s.send(p, message.New(topic, []byte(body), message.Key("k"))).MessageID
	}
	f := s.fetcher(s.open(rocketkit.WithMessageTrace(trace)), group, topic, consumer.Retry(retry.Levels(16)))
	got := s.fetch(f, 4)
	if err := errors.Join(f.Ack(got["done"]), f.Retry(time.Second, got["again"]), f.DeadLetter(got["given up"])); err != nil {
		s.Fatal(err)
	}
	if err := f.Ack(s.fetch(f, 1)["again"]); err != nil {
		s.Fatal(err)
	}
	if err := f.Stop(s.soon()); err != nil {
		s.Fatal(err)
	}
	first := "SubBefore " + group + "  k 0"
	after := func(outcome string) string { return "SubAfter " + group + "  k " + outcome }
	s.hasSteps(a, trace, ids["done"], first, after("SUCCESS true"))
	s.hasSteps(a, trace, ids["again"], first, after("FAILED false"), "SubBefore "+group+"  k 1", after("SUCCESS true"))
	s.hasSteps(a, trace, ids["given up"], first, after("FAILED false"))
	s.hasSteps(a, trace, ids["open"], first, after("RETURNNULL false"))
}

func tracedPulls(s *stand) {
	trace, topic, a, group := s.topicOf(1), s.topicOf(1), s.admin(), s.group()
	id := s.send(s.producer(s.open()), message.New(topic, []byte("x"))).MessageID
	s.eventually("the message is counted", func() bool { return s.stored(topic, 0) == 1 })
	p := s.puller(s.open(rocketkit.WithMessageTrace(trace)), group, consumer.Subscription{Topic: topic}, consumer.From(consumer.First))
	queues, err := p.Queues(s.soon())
	if err != nil || len(queues) != 1 {
		s.Fatalf("queues %v, %v", queues, err)
	}
	s.pulled(p, queues[0], 32, consumer.PullFound, "x")
	s.hasSteps(a, trace, id, "SubBefore "+group+"   0", "SubAfter "+group+"   SUCCESS true")
}

func tracedSimple(s *stand) {
	trace, topic, a, group := s.topicOf(1), s.topicOf(1), s.admin(), s.group()
	p := s.producer(s.open())
	ids := map[string]string{}
	for _, body := range []string{"done", "given up", "late"} {
		ids[body] = s.send(p, message.New(topic, []byte(body))).MessageID
	}
	sc := s.simple(s.open(rocketkit.WithMessageTrace(trace)), group, consumer.Subscription{Topic: topic}, consumer.Invisible(5*time.Second))
	got := s.received(sc, 3)
	if err := errors.Join(sc.Ack(s.soon(), got["done"]), sc.DeadLetter(s.soon(), got["given up"])); err != nil {
		s.Fatal(err)
	}
	if err := sc.Ack(s.soon(), s.received(sc, 1)["late"]); err != nil { // it has come again
		s.Fatal(err)
	}
	first := "SubBefore " + group + "   0"
	after := func(outcome string) string { return "SubAfter " + group + "   " + outcome }
	s.hasSteps(a, trace, ids["done"], first, after("SUCCESS true"))
	s.hasSteps(a, trace, ids["given up"], first, after("FAILED false"))
	s.hasSteps(a, trace, ids["late"], first, after("TIME_OUT false"), "SubBefore "+group+"   1", after("SUCCESS true"))
}

func tracedInNamespace(s *stand) {
	trace, topic, a := s.topicOf(1), s.topicIn(), s.admin()
	c := s.openConfig(rocketkit.Config{NameServers: s.server.nameServers, Namespace: namespace},
		append(s.dialOptions(s.server.dial), rocketkit.WithMessageTrace(trace))...)
	in, group := s.inbox(), s.group()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, in.take)
	s.start(c, mux)
	p := s.producer(c)
	id := s.send(p, message.New(topic, []byte("x"))).MessageID
	in.next()
	s.hasSteps(a, trace, id,
		fmt.Sprintf("Pub %s %s  Normal_Msg true", p.Group(), topic), "SubBefore "+group+"   0", "SubAfter "+group+"   SUCCESS true")
}

// tracedRow has mqadmin read what rocketkit writes.
func tracedRow() adminRow {
	return adminRow{
		name: "queryMsgTraceById of rocketkit", about: "what rocketkit writes of a message that one group consumes at the second try and another fetches",
		lines: []string{"queryMsgTraceById -i $id"}, sorted: true,
		prepare: func(r *adminRun) {
			c := r.open(rocketkit.WithMessageTrace(""))
			p, err := c.NewProducer("p_" + r.name("row"))
			if err != nil {
				r.Fatal(err)
			}
			r.createTopic(r.topic, 1)
			tries := make(chan int, 100)
			mux := r.mux(r.group, consumer.Ordered(), consumer.Suspend(10*time.Millisecond))
			consumer.HandleRaw(mux, r.topic, func(_ context.Context, d *message.Delivery) error {
				if tries <- d.ReconsumeTimes; d.ReconsumeTimes == 0 {
					return errBoom
				}
				return nil
			})
			r.start(c, mux)
			r.more = []string{"$id", r.send(p, message.New(r.topic, []byte("x"), message.Key("k"))).MessageID}
			for <-tries == 0 {
			}
			f := r.fetcher(c, "f_"+r.name("row"), r.topic)
			if err := f.Ack(r.fetch(f, 1)["x"]); err != nil {
				r.Fatal(err)
			}
			a := r.admin()
			r.ready = func() {
				r.eventually("the trace is there", func() bool {
					got, err := a.Trace(r.soon(), r.more[1], admin.Between{}, "")
					return err == nil && len(got) == 7
				})
			}
		},
		masks: []mask{{`p_row\w+`, "$producer"}, {`f_row\w+`, "$fetcher"}, {`\b\d+ms\b`, "TOOK"}, {`\b(\d+\.){3}\d+\b`, "HOST"}},
		check: func(r *adminRun, out string) {
			r.says(out, `^Pub p_row\w+ 127.0.0.1 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \d+ms success`,
				`^Sub $group 127.0.0.1 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \d+ms failed`,
				`^Sub f_row\w+ 127.0.0.1 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \d+ms success`, `^Sub $group 127.0.0.1 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \d+ms success`)
		},
	}
}
