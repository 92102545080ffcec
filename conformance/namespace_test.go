package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/txn"
)

const namespace = "MQ_INST_1"

// openIn makes a client in a namespace.
func (s *stand) openIn(namespace string) *rocketkit.Client {
	s.Helper()
	return s.openConfig(rocketkit.Config{NameServers: s.server.nameServers, Namespace: namespace}, s.dialOptions(s.server.dial)...)
}

// topicIn makes a topic in the namespace.
func (s *stand) topicIn() string {
	s.Helper()
	topic := s.name("t")
	s.createTopic(message.WithNamespace(namespace, topic), 1)
	return topic
}

// namespaces: what is sent, retried and dead-lettered in a namespace has its names on the
// wire, and the user's everywhere else.
func namespaces(s *stand) {
	c, topic, group := s.openIn(namespace), s.topicIn(), s.group()
	wire := message.WithNamespace(namespace, topic)
	outside := s.receive(s.open(), wire) // by another group, without a namespace

	in, dead := s.inbox(), s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		switch {
		case string(d.Body) == "lost":
			return retry.Permanent(errBoom)
		case d.ReconsumeTimes == 0:
			return errBoom
		}
		return in.take(ctx, d)
	})
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)

	p := s.producer(c)
	r := s.send(p, message.New(topic, []byte("again"), message.Tag("tag")))
	if r.Queue.Topic != topic {
		s.Errorf("sent to %+v", r.Queue)
	}
	type outcome struct {
		message.SendResult
		error
	}
	results := make(chan outcome, 1)
	p.SendAsync(s.soon(), message.New(wire, []byte("lost")), func(_ context.Context, r message.SendResult, err error) { results <- outcome{r, err} })
	if got := <-results; got.error != nil || got.Queue.Topic != topic {
		s.Errorf("sent by the wire's name: %+v", got)
	}

	d := in.next()
	if d.ID != r.MessageID || d.Topic != topic || d.Group != group || d.Queue.Topic != message.RetryTopic(group) || d.OriginTopic() != topic || d.Namespace() != namespace {
		s.Errorf("retried: %+v of topic %s in namespace %s", d, d.OriginTopic(), d.Namespace())
	}
	letter := dead.next()
	if string(letter.Body) != "lost" || letter.Topic != message.DLQTopic(group) || letter.OriginTopic() != topic || letter.Queue.Topic != message.DLQTopic(group) {
		s.Errorf("dead letter: %+v of topic %s", letter, letter.OriginTopic())
	}
	for _, l := range s.letters(c, group) {
		if l.OriginTopic() != wire || l.Topic != message.DLQTopic(message.WithNamespace(namespace, group)) {
			s.Errorf("package dlq shows %+v of topic %s, not the names of the wire", l.Delivery, l.OriginTopic())
		}
	}
	for _, d := range outside.ids(2) {
		if d.Topic != wire || d.Property("INSTANCE_ID") != namespace {
			s.Errorf("outside: %+v with instance %q", d, d.Property("INSTANCE_ID"))
		}
	}
}

// namespacesApart: the same names in another namespace, or in none, are other topics.
func namespacesApart(s *stand) {
	topic, group := s.topicIn(), s.group()
	s.createTopic(topic, 1)
	s.createTopic(message.WithNamespace("other", topic), 1)
	boxes := map[string]*inbox{}
	for _, ns := range []string{"", "other", namespace} {
		c, in := s.openIn(ns), s.inbox()
		mux := s.mux(group)
		consumer.HandleRaw(mux, topic, in.take)
		s.start(c, mux)
		boxes[ns] = in
		s.send(s.producer(c), message.New(topic, []byte("in "+ns)))
	}
	for ns, in := range boxes {
		if d := in.next(); string(d.Body) != "in "+ns || d.Namespace() != ns || d.Topic != topic || d.Group != group {
			s.Errorf("namespace %q got %q: %+v", ns, d.Body, d)
		}
		in.none()
	}
}

// namespacePulled: what pulls and commits by its own account.
func namespacePulled(s *stand) {
	c, topic, group := s.openIn(namespace), s.topicIn(), s.group()
	s.sendAll(s.producer(c), topic, "0", "1")
	s.eventually("the messages are counted", func() bool { return s.stored(message.WithNamespace(namespace, topic), 0) == 2 })
	p := s.puller(c, group, consumer.Subscription{Topic: topic}, consumer.From(consumer.First))
	queues, err := p.Queues(s.soon())
	if err != nil || len(queues) != 1 || queues[0].Topic != topic {
		s.Fatalf("queues %v, %v", queues, err)
	}
	got := s.pulled(p, queues[0], 32, consumer.PullFound, "0", "1")
	if d := got.Messages[0]; d.Topic != topic || d.Group != group || d.Queue != queues[0] {
		s.Errorf("pulled %+v", d)
	}
	if err := p.Commit(s.soon()); err != nil {
		s.Fatal(err)
	}
	s.eventually("the offset is the group's of the namespace", func() bool {
		return s.committed(message.WithNamespace(namespace, group), message.WithNamespace(namespace, topic), 0) == 2
	})
}

// namespacePopped: receipts come back by the names of the wire.
func namespacePopped(s *stand) {
	c, topic, group := s.openIn(namespace), s.topicIn(), s.group()
	s.sendAll(s.producer(c), topic, "0", "1")
	sub := consumer.Subscription{Topic: topic}
	sc := s.simple(c, group, sub)
	got := s.received(sc, 2)
	if d := got["0"]; d.Topic != topic || d.Group != group || d.Queue.Topic != topic {
		s.Errorf("received %+v", d)
	}
	if err := errors.Join(sc.Ack(s.soon(), got["0"]), sc.Extend(s.soon(), time.Second, got["1"])); err != nil {
		s.Fatal(err)
	}
	again := s.received(sc, 1)["1"]
	if again == nil || again.Topic != topic {
		s.Fatalf("received again: %+v", again)
	}
	if err := sc.Ack(s.soon(), again); err != nil {
		s.Errorf("acknowledge what came again: %v", err)
	}
}

// namespaceRequested: requests and replies.
func namespaceRequested(s *stand) {
	c, topic := s.openIn(namespace), s.topicIn()
	replier := s.producer(c)
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		_, err := replier.Reply(ctx, d, []byte("yes"))
		return err
	})
	s.start(c, mux)
	if d, err := s.producer(c).Request(s.soon(), message.New(topic, []byte("well?"))); err != nil || string(d.Body) != "yes" {
		s.Errorf("%v, %v", d, err)
	}
}

// namespaceTransacted: half messages, and the questions about them.
func namespaceTransacted(s *stand) {
	c, topic := s.openIn(namespace), s.topicIn()
	asked := make(chan *message.Delivery, 10)
	kind := txn.NewKind("paid", topic, func(_ context.Context, d *message.Delivery) error {
		asked <- d
		return nil
	})
	p := s.producer(c, txn.Kinds(kind))
	in := s.receive(c, topic)
	res, err := kind.Send(s.soon(), p, message.New(topic, []byte("open")), local(errBoom))
	if !errors.Is(err, errBoom) || res.Queue.Topic != topic {
		s.Errorf("half message: %+v, %v", res, err)
	}
	if d := in.next(); d.ID != res.MessageID || d.Topic != topic {
		s.Errorf("arrived: %+v", d)
	}
	if d := <-asked; d.Topic != topic || d.Group != p.Group() || d.Queue.Topic != topic {
		s.Errorf("asked about %+v", d)
	}
}

// namespaceErrors name what the user named. Nobody asks for the topic without its namespace,
// which is not there.
func namespaceErrors(s *stand) {
	c, topic := s.openIn(namespace), "not_there_"+s.group()
	s.send(s.producer(c), message.New(s.topicIn(), []byte("x")))
	_, err := s.producer(c).Send(s.soon(), message.New(topic, []byte("x")))
	var route *message.RouteError
	if !errors.As(err, &route) || route.Topic != topic {
		s.Errorf("send to a topic that is not there: %v", err)
	}
	_, err = s.producer(c).Send(s.soon(), message.New(strings.Repeat("a", message.MaxTopicLength), []byte("x")))
	if !errors.Is(err, message.ErrInvalidTopic) {
		s.Errorf("send to a topic that is too long in its namespace: %v", err)
	}
}

func TestNamespaceThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{"127.0.0.1:1"}, Namespace: "a%b"}); err == nil {
		t.Error("a namespace with % was taken")
	}
}
