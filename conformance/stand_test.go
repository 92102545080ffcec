package conformance_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// stand is what a case works with.
type stand struct {
	*testing.T
	leg    *leg
	c      testCase
	server *server
	log    *slog.Logger
}

// virtual says that time is.
func (s *stand) virtual() bool { return s.leg.bubble }

// limit is how long anything may take that must happen.
func (s *stand) limit() time.Duration {
	switch {
	case s.virtual():
		return 7 * 24 * time.Hour
	case s.leg.driver != "native":
		return 2 * time.Minute // rocketmq-client-go shares queues anew every 20 s, and looks for new ones every 30 s
	}
	return time.Minute
}

// soon is a ctx for one step.
func (s *stand) soon() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), s.limit())
	s.Cleanup(cancel)
	return ctx
}

// name makes a name that no other case or run uses.
func (s *stand) name(kind string) string {
	return strings.ReplaceAll(kind+"_"+s.c.name, " ", "_") + "_" + strconv.FormatUint(rand.Uint64N(1<<40), 36)
}

// group is a new consumer or producer group's name.
func (s *stand) group() string { return s.name("g") }

// newTopic is a topic's name; a send makes the topic.
func (s *stand) newTopic() string { return s.name("t") }

// topic makes a topic with 4 queues.
func (s *stand) topic() string { return s.topicOf(4) }

func (s *stand) topicOf(queues int) string {
	s.Helper()
	topic := s.newTopic()
	s.createTopic(topic, queues)
	return topic
}

// open makes a client that ends with the case.
func (s *stand) open(opts ...rocketkit.Option) *rocketkit.Client {
	s.Helper()
	return s.openAt(s.server.nameServers, append(s.dialOptions(s.server.dial), opts...)...)
}

// dialOptions choose the leg's driver, and how it connects where it lets choose.
func (s *stand) dialOptions(dial func(ctx context.Context, network, address string) (net.Conn, error)) []rocketkit.Option {
	if s.leg.driver == clientgo.Name {
		return []rocketkit.Option{rocketkit.WithDriver(clientgo.Name, clientgo.Factory)}
	}
	return []rocketkit.Option{rocketkit.WithDial(dial)}
}

// openAt is open for other name servers.
func (s *stand) openAt(nameServers []string, opts ...rocketkit.Option) *rocketkit.Client {
	s.Helper()
	return s.openConfig(rocketkit.Config{NameServers: nameServers}, opts...)
}

func (s *stand) openConfig(cfg rocketkit.Config, opts ...rocketkit.Option) *rocketkit.Client {
	s.Helper()
	c, err := rocketkit.Open(s.Context(), cfg, append(opts, rocketkit.WithLogger(s.log))...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.Errorf("close the client: %v", err)
		}
	})
	return c
}

// producer makes a producer of a new group.
func (s *stand) producer(c *rocketkit.Client, opts ...producer.Option) *producer.Producer {
	s.Helper()
	// Busy machines make Apache slow; a case that means a time-out says so.
	p, err := c.NewProducer(s.group(), append([]producer.Option{producer.SendTimeout(20 * time.Second)}, opts...)...)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// send stores one message.
func (s *stand) send(p *producer.Producer, m *message.Message) message.SendResult {
	s.Helper()
	r, err := p.Send(s.soon(), m)
	if err != nil {
		s.Fatalf("send: %v", err)
	}
	return r
}

// sendAll stores one message for each body, in order, and returns their ids.
func (s *stand) sendAll(p *producer.Producer, topic string, bodies ...string) []string {
	s.Helper()
	var ids []string
	for _, b := range bodies {
		ids = append(ids, s.send(p, message.New(topic, []byte(b))).MessageID)
	}
	return ids
}

// numbered are n bodies.
func numbered(what string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = what + " " + strconv.Itoa(i)
	}
	return bodies
}

// inbox collects what handlers get.
type inbox struct {
	s  *stand
	ch chan *message.Delivery
}

func (s *stand) inbox() *inbox { return &inbox{s: s, ch: make(chan *message.Delivery, 10_000)} }

// take is a handler that acknowledges.
func (in *inbox) take(_ context.Context, d *message.Delivery) error {
	in.ch <- d
	return nil
}

// next waits for one message.
func (in *inbox) next() *message.Delivery {
	in.s.Helper()
	ctx := in.s.soon()
	select {
	case d := <-in.ch:
		return d
	case <-ctx.Done():
		in.s.Fatal("no message arrived")
		return nil
	}
}

// ids waits for n different messages and returns them by id.
func (in *inbox) ids(n int) map[string]*message.Delivery {
	in.s.Helper()
	ctx := in.s.soon()
	got := map[string]*message.Delivery{}
	for len(got) < n {
		select {
		case d := <-in.ch:
			got[d.ID] = d
		case <-ctx.Done():
			in.s.Fatalf("%d of %d messages arrived: %q", len(got), n, bodiesOf(got))
		}
	}
	return got
}

// bodies waits for n different messages and returns their bodies, sorted.
func (in *inbox) bodies(n int) []string {
	in.s.Helper()
	return bodiesOf(in.ids(n))
}

// until collects messages until one with that body has come, which is left out.
func (in *inbox) until(last string) []*message.Delivery {
	in.s.Helper()
	ctx := in.s.soon()
	var got []*message.Delivery
	for {
		select {
		case d := <-in.ch:
			if string(d.Body) == last {
				return got
			}
			got = append(got, d)
		case <-ctx.Done():
			in.s.Fatalf("%q did not arrive, but %d others", last, len(got))
		}
	}
}

// none says that nothing more has come by now.
func (in *inbox) none() {
	in.s.Helper()
	for {
		select {
		case d := <-in.ch:
			in.s.Errorf("also arrived: %s %q, reconsumed %d", d.ID, d.Body, d.ReconsumeTimes)
		default:
			return
		}
	}
}

func bodiesOf(ds map[string]*message.Delivery) []string {
	var bodies []string
	for _, d := range ds {
		bodies = append(bodies, string(d.Body))
	}
	slices.Sort(bodies)
	return bodies
}

// mux is for a group that begins with what is stored.
func (s *stand) mux(group string, opts ...consumer.GroupOption) *consumer.Mux {
	return consumer.NewMux(group, append([]consumer.GroupOption{consumer.From(consumer.First)}, opts...)...)
}

// start starts a consumer of mux; it ends with its client.
func (s *stand) start(c *rocketkit.Client, mux *consumer.Mux) *consumer.Consumer {
	s.Helper()
	cons, err := c.NewConsumer(mux)
	if err != nil {
		s.Fatal(err)
	}
	if err := cons.Start(s.soon()); err != nil {
		s.Fatal(err)
	}
	return cons
}

// receive starts a consumer of a new group that takes all of a topic.
func (s *stand) receive(c *rocketkit.Client, topic string, opts ...consumer.HandlerOption) *inbox {
	s.Helper()
	in := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, in.take, opts...)
	s.start(c, mux)
	return in
}

// wait waits until something is closed or sent.
func (s *stand) wait(ch <-chan struct{}, what string) {
	s.Helper()
	select {
	case <-ch:
	case <-s.soon().Done():
		s.Fatalf("%s: not within %s", what, s.limit())
	}
}

// quiet lets some time pass in which something must not happen: an instant where
// time is virtual.
func (s *stand) quiet(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.Context().Done():
	}
}

// eventually asks until the answer is yes.
func (s *stand) eventually(what string, yes func() bool) {
	s.Helper()
	s.before(s.limit(), what, yes)
}

// before asks until the answer is yes, for so long.
func (s *stand) before(limit time.Duration, what string, yes func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// within checks a duration: never too short, but for what milliseconds round off,
// and not far over.
func (s *stand) within(what string, got, want, slack time.Duration) {
	s.Helper()
	if got < want-5*time.Millisecond || got > want+slack {
		s.Errorf("%s after %s, want %s to %s", what, got, want, want+slack)
	}
}

// counter counts, by name.
type counter struct {
	mu sync.Mutex // guards the following
	n  map[string]int
}

func (c *counter) add(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
	return c.n[name]
}

func (c *counter) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// sorted is a sorted copy.
func sorted[T cmp.Ordered](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func hexDigits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789ABCDEFabcdef") == ""
}

// describe prints a delivery's properties.
func describe(d *message.Delivery) string {
	var b strings.Builder
	for k, v := range d.Properties() {
		fmt.Fprintf(&b, "%s=%q ", k, v)
	}
	return b.String()
}
