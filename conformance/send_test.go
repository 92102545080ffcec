package conformance_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// always sends everything to one queue.
func always(queue int) producer.Option {
	return producer.Select(func(*message.Message, []message.Queue) int { return queue })
}

func sendSync(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c, always(2))
	begun := time.Now()
	var sent []message.SendResult
	for i := range 3 {
		r := s.send(p, message.New(topic, fmt.Append(nil, i)))
		if r.Status != message.SendOK || r.Queue.Topic != topic || r.Queue.ID != 2 || r.Queue.Broker == "" || r.QueueOffset != int64(i) {
			s.Errorf("message %d: %v", i, r)
		}
		if !hexDigits(r.MessageID, 32) || !hexDigits(r.OffsetMessageID, 32) {
			s.Errorf("ids %q and %q: want 32 hexadecimal digits", r.MessageID, r.OffsetMessageID)
		}
		sent = append(sent, r)
	}
	got := s.receive(c, topic).ids(3)
	for i, r := range sent {
		d := got[r.MessageID]
		if d == nil {
			s.Fatalf("message %d did not arrive with the id that it was sent with", i)
		}
		if d.Queue != r.Queue || d.QueueOffset != r.QueueOffset || d.OffsetID != r.OffsetMessageID || d.Topic != topic || d.ReconsumeTimes != 0 || d.OriginID() != "" || string(d.Body) != fmt.Sprint(i) {
			s.Errorf("%v arrived as %+v", r, d)
		}
		if d.StoreHost.String() != s.server.broker || !d.BornHost.IsValid() {
			s.Errorf("stored by %s, want %s; born at %s", d.StoreHost, s.server.broker, d.BornHost)
		}
		for _, at := range []time.Time{d.Born(), d.Stored()} {
			if at.Before(begun.Truncate(time.Millisecond)) || at.After(time.Now().Add(time.Second)) {
				s.Errorf("born %s and stored %s, want after %s", d.Born(), d.Stored(), begun)
			}
		}
	}
}

func sendProperties(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	m := message.New(topic, all, message.Tag("已支付"), message.Key("order-1", "订单-2"), message.ShardingKey("k 1"),
		message.Property("地区", "华东 一区"), message.Property("json", `{"a":[1,"b\n"],"c":"|=&"}`), message.Property("blanks", "  two  "), message.Property("zeros", "\x00a\x00"))
	m.Flag = 0x01020304
	r := s.send(p, m)
	d := s.receive(c, topic).next()
	if d.ID != r.MessageID || !bytes.Equal(d.Body, all) || d.Tag != m.Tag || d.Flag != m.Flag {
		s.Errorf("arrived as %+v", d)
	}
	if diff := cmp.Diff(m.Keys, d.Keys()); diff != "" {
		s.Errorf("keys (-want +got)\n%s", diff)
	}
	m.Properties["KEYS"], m.Properties["__SHARDINGKEY"] = "order-1 订单-2", "k 1"
	for name, value := range m.Properties {
		if got := d.Property(name); got != value {
			s.Errorf("property %s: %q, want %q", name, got, value)
		}
	}
}

func sendBigBody(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	body := make([]byte, message.MaxBodySize) // as large as one may be
	for i := 0; i < len(body); i += 4 {
		binary.BigEndian.PutUint32(body[i:], uint32(i)*2654435761)
	}
	s.send(p, message.New(topic, body))
	if d := s.receive(c, topic).next(); !bytes.Equal(d.Body, body) {
		s.Errorf("%d bytes arrived changed (%d)", len(body), len(d.Body))
	}
}

// refused says that a message is refused before anything is stored.
func refused(s *stand, p *producer.Producer, m *message.Message, want error, words ...string) {
	s.Helper()
	_, err := p.Send(s.soon(), m)
	if !errors.Is(err, want) || !message.SafeToRetry(err) {
		s.Errorf("error %v, want %v, and that nothing was stored", err, want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.Errorf("error %q does not say %q", err, w)
		}
	}
	if err := p.SendOneway(s.soon(), m); !errors.Is(err, want) {
		s.Errorf("oneway: error %v, want %v", err, want)
	}
	if _, err := p.SendBatch(s.soon(), []*message.Message{message.New(m.Topic, []byte("fine")), m}); !errors.Is(err, want) {
		s.Errorf("batch: error %v, want %v", err, want)
	}
}

func sendTooLarge(s *stand) {
	c, topic := s.open(), s.topic()
	m := message.New(topic, make([]byte, message.MaxBodySize+1))
	refused(s, s.producer(c), m, message.ErrBodyTooLarge, "4194305", "4194304", topic)
	s.holds(topic, 0)
}

func sendTooLargeForServer(s *stand) {
	c, topic := s.open(), s.topic()
	_, err := s.producer(c, producer.MaxMessageSize(8<<20), producer.NoCompression()).Send(s.soon(), message.New(topic, make([]byte, 5<<20)))
	var refusal *message.BrokerError
	if !errors.As(err, &refusal) || refusal.Code != answerIllegal || refusal.Name != "MESSAGE_ILLEGAL" || !message.SafeToRetry(err) || !strings.Contains(err.Error(), "maxMessageSize") {
		s.Errorf("error %v, want MESSAGE_ILLEGAL (13) that names maxMessageSize", err)
	}
	s.holds(topic, 0)
}

func sendEmptyBody(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	refused(s, p, message.New(topic, nil), message.ErrEmptyBody, topic)
	refused(s, p, message.New(topic, []byte{}), message.ErrEmptyBody, topic)
	s.holds(topic, 0)
}

func sendIllegalTopic(s *stand) {
	p := s.producer(s.open())
	for _, topic := range []string{"", "a b", "a/b", "a.b", "话题", "a\x01", strings.Repeat("t", 128)} {
		refused(s, p, message.New(topic, []byte("b")), message.ErrInvalidTopic)
	}
}

func sendLongTopic(s *stand) {
	c, topic := s.open(), s.newTopic()
	topic += strings.Repeat("x", 127-len(topic))
	r := s.send(s.producer(c), message.New(topic, []byte("b")))
	if d := s.receive(c, topic).next(); d.ID != r.MessageID || d.Topic != topic {
		s.Errorf("%s arrived in topic %s", d.ID, d.Topic)
	}
}

// serverRefusesTopic asks by hand, since the producer checks names itself.
func serverRefusesTopic(s *stand) {
	for _, topic := range []string{"a b", "a/b", "话题", strings.Repeat("t", 128)} {
		a := s.sendByHand(topic)
		if !slices.Contains([]int{answerSystem, answerIllegal, answerInvalid}, a.Code) || !strings.Contains(a.Remark, "opic") {
			s.Errorf("topic %q: %d %q, want a refusal with its reason", topic, a.Code, a.Remark)
		}
	}
}

func sendSeparators(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	for what, opt := range map[string]message.Option{
		"name with \\x01":  message.Property("a\x01b", "v"),
		"name with \\x02":  message.Property("a\x02b", "v"),
		"value with \\x01": message.Property("a", "v\x01w"),
		"value with \\x02": message.Property("a", "v\x02w"),
		"key with \\x01":   message.Key("k\x01"),
		"key with \\x02":   message.Key("k\x02"),
		"key with a blank": message.Key("a b"),
		"tag with \\x02":   message.Tag("t\x02"),
		"tag with |":       message.Tag("a||b"),
		"RocketMQ's own":   message.Property("UNIQ_KEY", "1"),
		"the delay":        message.Property("DELAY", "3"),
	} {
		if _, err := p.Send(s.soon(), message.New(topic, []byte("b"), opt)); !errors.Is(err, message.ErrInvalidMessage) || !message.SafeToRetry(err) {
			s.Errorf("%s: error %v, want %v", what, err, message.ErrInvalidMessage)
		}
	}
	s.holds(topic, 0)
}

func sendOneway(s *stand) {
	c, topic := s.open(), s.topic()
	p := s.producer(c)
	for _, body := range numbered("oneway", 20) {
		if err := p.SendOneway(s.soon(), message.New(topic, []byte(body), message.Tag("t"))); err != nil {
			s.Fatal(err)
		}
	}
	if diff := cmp.Diff(sorted(numbered("oneway", 20)), s.receive(c, topic).bodies(20)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}

func sendInTurn(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	per := map[int]int{}
	for _, body := range numbered("turn", 12) {
		per[s.send(p, message.New(topic, []byte(body))).Queue.ID]++
	}
	if diff := cmp.Diff(map[int]int{0: 3, 1: 3, 2: 3, 3: 3}, per); diff != "" {
		s.Errorf("messages per queue (-want +got)\n%s", diff)
	}
}

// javaHash is String.hashCode for ASCII text.
func javaHash(s string) (h int32) {
	for _, c := range []byte(s) {
		h = 31*h + int32(c)
	}
	return h
}

func sendByKey(s *stand) {
	topic := s.topic()
	p, other := s.producer(s.open()), s.producer(s.open())
	queues := map[int]bool{}
	for _, key := range []string{"order-1", "order-2", "order-3", "order-4", "polygenelubricants" /* its hash is the smallest int */, "x"} {
		want := int(javaHash(key)) % 4
		if want < 0 {
			want = -want // SelectMessageQueueByHash
		}
		for i, p := range []*producer.Producer{p, other, p} {
			r := s.send(p, message.New(topic, []byte(key), message.ShardingKey(key)))
			if r.Queue.ID != want {
				s.Errorf("key %s, send %d: queue %d, want %d as in Java", key, i, r.Queue.ID, want)
			}
		}
		queues[want] = true
	}
	if len(queues) < 2 {
		s.Error("all keys share one queue")
	}
}

func sendSelected(s *stand) {
	topic := s.topic()
	p := s.producer(s.open(), producer.Select(func(m *message.Message, queues []message.Queue) int {
		if len(queues) != 4 {
			s.Errorf("the selector sees %d queues, want 4", len(queues))
		}
		return int(m.Body[0]-'0') % len(queues)
	}))
	for _, body := range []string{"3", "1", "1", "0", "2", "3"} {
		r := s.send(p, message.New(topic, []byte(body)))
		if want := int(body[0] - '0'); r.Queue.ID != want {
			s.Errorf("%s went to queue %d", body, r.Queue.ID)
		}
	}
}

func topicCreatedBySend(s *stand) {
	c, topic := s.open(), s.newTopic()
	p := s.producer(c)
	per := map[int]int{}
	for _, body := range numbered("new", 8) {
		per[s.send(p, message.New(topic, []byte(body))).Queue.ID]++
	}
	if len(per) != 4 {
		s.Errorf("messages per queue: %v, want 4 queues (defaultTopicQueueNums of the client)", per)
	}
	if diff := cmp.Diff(numbered("new", 8), s.receive(c, topic).bodies(8)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
}

func topicMissing(s *stand) {
	topic := s.newTopic()
	p := s.producer(s.open())
	refused(s, p, message.New(topic, []byte("b")), message.ErrNoRoute,
		"No route info of this topic", topic, s.server.nameServers[0], "rocketkit topic create "+topic, "autoCreateTopicEnable=true")
	var route *message.RouteError
	if _, err := p.Send(s.soon(), message.New(topic, []byte("b"))); !errors.As(err, &route) || route.Topic != topic {
		s.Errorf("error %v, want a RouteError of topic %s", err, topic)
	}
	s.createTopic(topic, 4)
	s.send(p, message.New(topic, []byte("b"))) // the remedy works
}

// deadAddr is an address at which nobody listens.
const deadAddr = "127.0.0.1:1"

func noNameServer(s *stand) {
	opts := s.dialOptions(s.server.dial)
	c := s.openAt([]string{deadAddr}, opts...)
	ctx, cancel := context.WithTimeout(s.Context(), s.limit())
	defer cancel()
	_, err := s.producer(c, producer.SendTimeout(3*time.Second)).Send(ctx, message.New("any", []byte("b")))
	if !errors.Is(err, message.ErrNoNameServer) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), deadAddr) || ctx.Err() != nil {
		s.Errorf("error %v, want %v that names %s", err, message.ErrNoNameServer, deadAddr)
	}
}

func nameServersByEndpoint(s *stand) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, deadAddr+";"+s.server.nameServers[0])
	}))
	defer web.Close()
	c := s.openAt([]string{web.URL + "/rocketmq/nsaddr"})
	topic := s.topic()
	r := s.send(s.producer(c), message.New(topic, []byte("b")))
	if d := s.receive(c, topic).next(); d.ID != r.MessageID {
		s.Errorf("%s arrived", d.ID)
	}
	a, err := c.Admin()
	if err != nil {
		s.Fatal(err)
	}
	if _, err := a.Route(s.Context(), topic); err != nil {
		s.Errorf("administration: %v", err)
	}
}

func nameServerByHostName(s *stand) {
	_, port, err := net.SplitHostPort(s.server.nameServers[0])
	if err != nil {
		s.Fatal(err)
	}
	c, topic := s.openAt([]string{net.JoinHostPort("localhost", port)}, s.dialOptions(s.server.dial)...), s.topic()
	r := s.send(s.producer(c), message.New(topic, []byte("b")))
	if d := s.receive(c, topic).next(); d.ID != r.MessageID {
		s.Errorf("%s arrived", d.ID)
	}
}

func oneNameServerDead(s *stand) {
	for range 8 { // the first is chosen at random
		c := s.openAt([]string{deadAddr, s.server.nameServers[0]}, s.dialOptions(s.server.dial)...)
		topic := s.topic()
		r := s.send(s.producer(c), message.New(topic, []byte("b")))
		if d := s.receive(c, topic).next(); d.ID != r.MessageID {
			s.Errorf("%s arrived", d.ID)
		}
	}
}
