package brokerlite

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs f in a bubble, with a server in memory on a network in memory.
func inBubble(t *testing.T, f func(t *testing.T, b *Broker, c *client), opts ...Option) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, append([]Option{InMemory(), VirtualNetwork(NewNetwork())}, opts...)...)
		f(t, b, dial(t, b))
	})
}

// onDisk is inBubble with a disk that can misbehave.
func onDisk(t *testing.T, f func(t *testing.T, b *Broker, c *client, disk *stallingDisk), opts ...Option) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := newStallingDisk()
		b := start(t, append([]Option{withFiles(disk.fs), VirtualNetwork(NewNetwork())}, opts...)...)
		t.Cleanup(disk.resume)
		f(t, b, dial(t, b), disk)
	})
}

// start starts a server that ends with the test.
func start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	b, err := Start(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return b
}

func stop(t testing.TB, b *Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// client is a raw connection to a server. It is made anew when the server has
// closed it for being silent.
type client struct {
	t     testing.TB
	b     *Broker
	addr  string
	conn  *remoting.Conn
	codec protocol.Codec

	signer *protocol.Signer // nil: unsigned

	mu        sync.Mutex                              // guards the following
	asked     []protocol.Command                      // what the broker has asked
	answering func(*remoting.Conn, *protocol.Command) // answers it; nil when it is oneway
}

func dial(t testing.TB, b *Broker) *client { return dialAddr(t, b, b.Addr()) }

func dialAddr(t testing.TB, b *Broker, addr string) *client {
	t.Helper()
	c := &client{t: t, b: b, addr: addr}
	c.connect()
	t.Cleanup(c.close)
	return c
}

func (c *client) connect() {
	c.t.Helper()
	nc, err := c.b.Dial(c.t.Context(), "tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn = remoting.NewConn(nc, remoting.Options{Signer: c.signer, Handler: func(conn *remoting.Conn, cmd *protocol.Command) {
		kept := *cmd
		kept.Fields = append(protocol.Fields(nil), cmd.Fields...)
		kept.Body = append([]byte(nil), cmd.Body...)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked = append(c.asked, kept)
		if c.answering != nil {
			c.answering(conn, cmd)
		}
	}})
}

func (c *client) close() {
	if err := c.conn.Close(); err != nil && !errors.Is(err, remoting.ErrClosed) {
		c.t.Error(err)
	}
	<-c.conn.Done()
}

// requests returns what the broker has asked with a code.
func (c *client) requests(code protocol.Code) []protocol.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []protocol.Command
	for _, cmd := range c.asked {
		if cmd.Code == code {
			list = append(list, cmd)
		}
	}
	return list
}

// try calls the broker; ctx's end is the caller's to expect.
func (c *client) try(ctx context.Context, code protocol.Code, h protocol.Header, body []byte) (*protocol.Command, error) {
	cmd := protocol.Command{Code: code, Codec: c.codec, Language: protocol.LanguageJava, Version: protocol.VersionV5_4_0}
	return c.conn.Call(ctx, &cmd, h, body)
}

func (c *client) call(code protocol.Code, h protocol.Header, body []byte) *protocol.Command {
	c.t.Helper()
	if errors.Is(c.conn.Err(), remoting.ErrClosed) {
		c.connect()
	}
	resp, err := c.try(context.Background(), code, h, body)
	if err != nil {
		c.t.Fatalf("%s: %v", protocol.RequestName(code), err)
	}
	return resp
}

// ok calls the broker and wants success.
func (c *client) ok(code protocol.Code, h protocol.Header, body []byte) *protocol.Command {
	c.t.Helper()
	resp := c.call(code, h, body)
	if resp.Code != protocol.Success {
		c.t.Fatalf("%s: %s: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark)
	}
	return resp
}

// oneway sends a request that is not answered.
func (c *client) oneway(code protocol.Code, h protocol.Header, body []byte) {
	c.t.Helper()
	cmd := protocol.Command{Code: code, Codec: c.codec, Version: protocol.VersionV5_4_0}
	if err := c.conn.Oneway(c.t.Context(), &cmd, h, body); err != nil {
		c.t.Fatal(err)
	}
}

// sending is a send to queue 0 of a topic, as Java's producers make it.
func sending(topic string, props ...string) *protocol.SendRequest {
	return &protocol.SendRequest{
		Code: protocol.SendMessageV2, ProducerGroup: "producers", Topic: topic, DefaultTopic: protocol.DefaultTopic,
		DefaultTopicQueueNums: 4, BornTimestamp: time.Now().UnixMilli(), Properties: properties(props...),
	}
}

// properties joins names and values.
func properties(pairs ...string) []byte {
	var b []byte
	for i := 0; i+1 < len(pairs); i += 2 {
		b = protocol.AppendProperty(b, pairs[i], pairs[i+1])
	}
	return b
}

// send sends a message and wants it stored.
func (c *client) send(h *protocol.SendRequest, body string) protocol.SendResponse {
	c.t.Helper()
	resp := c.ok(h.Code, h, []byte(body))
	var r protocol.SendResponse
	if err := r.DecodeFields(resp.Fields); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// pulling is a pull of queue 0 of a topic, which carries its own subscription.
func pulling(topic string, offset int64, expr string) *protocol.PullRequest {
	return &protocol.PullRequest{
		ConsumerGroup: "consumers", Topic: topic, QueueOffset: offset, MaxMessages: 32,
		SysFlag: protocol.PullSubscription, Subscription: expr,
	}
}

// pulled is the answer to a pull.
type pulled struct {
	protocol.PullResponse
	code    protocol.Code
	remark  string
	records []protocol.Record
}

func (c *client) pull(h *protocol.PullRequest) pulled {
	c.t.Helper()
	return c.pulled(c.call(protocol.PullMessage, h, nil))
}

func (c *client) pulled(resp *protocol.Command) pulled {
	c.t.Helper()
	p := pulled{code: resp.Code, remark: resp.Remark}
	if len(resp.Fields) > 0 {
		if err := p.DecodeFields(resp.Fields); err != nil {
			c.t.Fatal(err)
		}
	}
	for body := resp.Body; len(body) > 0; {
		var r protocol.Record
		n, err := protocol.DecodeRecord(body, &r)
		if err == nil {
			err = r.VerifyBody()
		}
		if err != nil {
			c.t.Fatal(err)
		}
		p.records = append(p.records, r)
		body = body[n:]
	}
	return p
}

// messages pulls all that a queue has.
func (c *client) messages(topic string, queueID int32) []protocol.Record {
	c.t.Helper()
	var list []protocol.Record
	h := pulling(topic, 0, "*")
	for h.QueueID = queueID; ; {
		p := c.pull(h)
		if p.code != protocol.Success {
			return list
		}
		list = append(list, p.records...)
		h.QueueOffset = p.NextBeginOffset
	}
}

func bodies(list []protocol.Record) []string {
	texts := []string{}
	for _, r := range list {
		texts = append(texts, string(r.Body))
	}
	return texts
}

func prop(r protocol.Record, name string) string {
	v, _ := protocol.Property(r.Properties, name)
	return v
}

// createTopic makes a topic by hand.
func (c *client) createTopic(topic string, queues int32) {
	c.t.Helper()
	c.ok(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{
		Topic: topic, DefaultTopic: protocol.DefaultTopic, ReadQueueNums: queues, WriteQueueNums: queues,
		Perm: protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag,
	}, nil)
}

// heartbeat enters the client into a producer and a consumer group.
func (c *client) heartbeat(id, producers, consumers string, subs ...protocol.SubscriptionData) *protocol.Command {
	c.t.Helper()
	hb := protocol.HeartbeatData{ClientID: id}
	if producers != "" {
		hb.Producers = []protocol.ProducerData{{GroupName: producers}}
	}
	if consumers != "" {
		hb.Consumers = []protocol.ConsumerData{{
			GroupName: consumers, ConsumeType: protocol.ConsumePassively, MessageModel: protocol.Clustering,
			ConsumeFromWhere: protocol.ConsumeFromLastOffset, Subscriptions: subs,
		}}
	}
	body, err := protocol.EncodeBody(hb)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.ok(protocol.Heartbeat, nil, body)
}

func subscription(t testing.TB, topic, expr string) protocol.SubscriptionData {
	t.Helper()
	s, err := protocol.BuildTagSubscription(topic, expr)
	if err != nil {
		t.Fatal(err)
	}
	s.SubVersion = 1
	return s
}

// logs is a logger that keeps what it is told.
type logs struct {
	mu   sync.Mutex // guards the following
	text []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
