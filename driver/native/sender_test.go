package native

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

func newSender(t testing.TB, c *client, cfg ...driver.SenderConfig) *sender {
	t.Helper()
	cfg = append(cfg, driver.SenderConfig{Group: "producers"})
	s, err := c.NewSender(cfg[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close sender: %v", err)
		}
	})
	return s.(*sender)
}

func outgoing(s *sender, topic, body string, opts ...message.Option) *driver.Outgoing {
	return &driver.Outgoing{Message: message.New(topic, []byte(body), opts...), ID: s.NewID()}
}

// result is how a send ended.
type result struct {
	r   driver.Receipt
	err error
}

// startTest sends without waiting; the channel gets every call of done, of which
// there must be one.
func (s *sender) startTest(ctx context.Context, q message.Queue, m *driver.Outgoing) chan result {
	ch := make(chan result, 2)
	s.SendTo(ctx, q, m, func(r driver.Receipt, err error) { ch <- result{r, err} })
	return ch
}

// sendTest sends to the first queue of the message's topic and waits.
func (s *sender) sendTest(t testing.TB, m *driver.Outgoing) (driver.Receipt, error) {
	t.Helper()
	qs, err := s.Queues(t.Context(), m.Topic)
	if err != nil {
		t.Fatal(err)
	}
	got := <-s.startTest(t.Context(), qs[0], m)
	return got.r, got.err
}

func TestSendsAsJavaDoes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 2)
		s := newSender(t, c.open())
		m := outgoing(s, "orders", "body", message.Tag("paid"), message.Key("k"))
		m.Flag = 7
		q := message.Queue{Topic: "orders", Broker: "a", ID: 1}
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		got := <-s.startTest(t.Context(), q, m)
		if got.err != nil {
			t.Fatal(got.err)
		}
		want := driver.Receipt{Status: message.SendOK, OffsetMessageID: "0A00000100002A9F0000000000000000", QueueID: 1, Addr: "10.0.0.1:10911"}
		if diff := cmp.Diff(want, got.r); diff != "" {
			t.Errorf("receipt: %s", diff)
		}
		reqs := c.brokers["a"].requests(protocol.SendMessageV2)
		if len(reqs) != 1 {
			t.Fatalf("%d requests", len(reqs))
		}
		fields := map[string]string{
			"a": "producers", "b": "orders", "c": "TBW102", "d": "4", "e": "1", "f": "0", "g": fmt.Sprint(time.Now().UnixMilli()),
			"h": "7", "i": string(props("UNIQ_KEY=" + m.ID + ";TAGS=paid;KEYS=k;")), "j": "0", "k": "false", "m": "false", "n": "a",
		}
		if diff := cmp.Diff(fields, reqs[0].fields); diff != "" {
			t.Errorf("header: %s", diff)
		}
		if string(reqs[0].body) != "body" {
			t.Errorf("body %q", reqs[0].body)
		}
	})
}

func TestFault7SendingAMessageAgainSendsTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open(), driver.SenderConfig{Group: "producers", Compression: &driver.Compression{Over: 4 << 10, Level: 5}})
		m := outgoing(s, "orders", strings.Repeat("large ", 10_000), message.Tag("paid"), message.Property("p", "v"))
		before := m.Clone()
		for range 3 {
			if _, err := s.sendTest(t, m); err != nil {
				t.Fatal(err)
			}
		}
		reqs := c.brokers["a"].requests(protocol.SendMessageV2)
		for _, r := range reqs {
			if string(r.body) != string(reqs[0].body) || r.fields["i"] != reqs[0].fields["i"] || len(r.body) >= len(m.Body) {
				t.Errorf("sent %d bytes with %q, first %d with %q", len(r.body), r.fields["i"], len(reqs[0].body), reqs[0].fields["i"])
			}
		}
		if diff := cmp.Diff(before, m.Message); diff != "" {
			t.Errorf("the message was changed: %s", diff)
		}
	})
}

func TestFault8IDsOfABurstAndOfTwoClientsDiffer(t *testing.T) {
	inBubble(t, func(t *testing.T) { // the clock stands still: one millisecond
		c := newCluster(t)
		senders := []*sender{newSender(t, c.open()), newSender(t, c.open())}
		seen := make(map[string]bool)
		for range 70_000 { // more than the counter's 65,536
			for _, s := range senders {
				id := s.NewID()
				if seen[id] {
					t.Fatalf("%s twice, after %d", id, len(seen))
				}
				seen[id] = true
			}
		}
	})
}

func TestFault9AnEndedContextLeavesTheConnectionToOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		cl := c.open()
		s := newSender(t, cl)
		if _, err := s.sendTest(t, outgoing(s, "orders", "first")); err != nil {
			t.Fatal(err)
		}
		conn := cl.brokers.get(b.addr).ready()
		q := message.Queue{Topic: "orders", Broker: "a"}

		before, cancel := context.WithCancel(t.Context())
		cancel()
		got := <-s.startTest(before, q, outgoing(s, "orders", "before"))
		if !errors.Is(got.err, context.Canceled) || !message.SafeToRetry(got.err) {
			t.Errorf("ended before: %v", got.err)
		}

		b.ignore(protocol.SendMessageV2)
		during, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got = <-s.startTest(during, q, outgoing(s, "orders", "during"))
		if !errors.Is(got.err, message.ErrOutcomeUnknown) || !errors.Is(got.err, context.DeadlineExceeded) || message.SafeToRetry(got.err) {
			t.Errorf("ended during: %v", got.err)
		}

		b.on(protocol.SendMessageV2, nil)
		if _, err := s.sendTest(t, outgoing(s, "orders", "after")); err != nil {
			t.Errorf("another's send: %v", err)
		}
		if cl.brokers.get(b.addr).ready() != conn {
			t.Error("the connection was replaced")
		}
		if n := len(b.requests(protocol.SendMessageV2)); n != 3 {
			t.Errorf("%d requests, want 3: none for the ctx that had ended before", n)
		}
	})
}

func TestFault23ADeadBrokerDoesNotDelayOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 1)
		c.net.Freeze(c.brokers["b"].addr) // dials hang
		s := newSender(t, c.open())
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		dead := s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "b"}, outgoing(s, "orders", "x"))
		for range 10 {
			got := <-s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
			if got.err != nil {
				t.Fatal(got.err)
			}
		}
		if d := time.Since(begin); d > 0 {
			t.Errorf("the healthy broker's sends took %s", d)
		}
		var addr *message.AddrError
		if got := <-dead; !errors.As(got.err, &addr) || addr.Broker != "b" || addr.Addr != c.brokers["b"].addr {
			t.Errorf("the dead broker: %v", got.err)
		}
	})
}

func TestFault24PendingSendsEndWithTheirConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		b.ignore(protocol.SendMessageV2)
		ch := s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
		synctest.Wait()
		begin := time.Now()
		c.net.Cut(b.addr)
		got := <-ch
		if !errors.Is(got.err, message.ErrOutcomeUnknown) || message.SafeToRetry(got.err) {
			t.Errorf("%v, want an unknown outcome", got.err)
		}
		if d := time.Since(begin); d > 0 {
			t.Errorf("told after %s", d)
		}
		c.net.Restore(b.addr)
	})
}

func TestFault25BusyBrokersRefusalIsSafeToRetry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open())
		for _, code := range []protocol.Code{protocol.SystemBusy, protocol.FlowControl, protocol.ServiceNotAvailable} {
			c.brokers["a"].refuse(protocol.SendMessageV2, code)
			_, err := s.sendTest(t, outgoing(s, "orders", "x"))
			var be *message.BrokerError
			if !errors.As(err, &be) || be.Code != int(code) || be.Broker != "a" || be.Addr != "10.0.0.1:10911" ||
				be.Op != "send to topic orders" || be.Remedy == "" || !message.SafeToRetry(err) {
				t.Errorf("%s: %#v", protocol.ResponseName(code), err)
			}
		}
	})
}

func TestEveryStoredStatusIsASuccess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		for code, want := range map[protocol.Code]message.Status{
			protocol.FlushDiskTimeout: message.FlushDiskTimeout, protocol.FlushSlaveTimeout: message.FlushSlaveTimeout,
			protocol.SlaveNotAvailable: message.SlaveNotAvailable,
		} {
			b.on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
				b.reply(conn, cmd, code, &protocol.SendResponse{MessageID: "X", QueueOffset: 3, TransactionID: "T", RecallHandle: "R"}, nil)
				return true
			})
			r, err := s.sendTest(t, outgoing(s, "orders", "x"))
			if err != nil || r.Status != want || r.QueueOffset != 3 || r.TransactionID != "T" || r.RecallHandle != "R" {
				t.Errorf("%d: %+v, %v", code, r, err)
			}
		}
	})
}

func TestUnreadableAnswerLeavesTheOutcomeUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		b.on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
			resp := cmd.Response(protocol.Success, "")
			resp.Fields = protocol.Fields{{Key: "queueOffset", Value: "many"}}
			_ = conn.Reply(&resp, nil)
			return true
		})
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); !errors.Is(err, message.ErrOutcomeUnknown) {
			t.Error(err)
		}
	})
}

func TestAddressThatCannotBeDialledIsNamed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.net.Cut(c.brokers["a"].addr)
		s := newSender(t, c.open())
		_, err := s.sendTest(t, outgoing(s, "orders", "x"))
		var addr *message.AddrError
		if !errors.As(err, &addr) || addr.Broker != "a" || addr.Addr != "10.0.0.1:10911" || !errors.Is(err, message.ErrUnreachable) {
			t.Fatalf("%v", err)
		}
		if !strings.Contains(err.Error(), "brokerIP1") || !message.SafeToRetry(err) {
			t.Errorf("%v: want the remedy, and safe to retry", err)
		}
	})
}

func TestBatchTravelsAsOneRequest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open())
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		var ms []*driver.Outgoing
		for i := range 3 {
			ms = append(ms, outgoing(s, "orders", fmt.Sprint("body ", i), message.Tag("t")))
		}
		ch := make(chan error, 2)
		s.SendBatchTo(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, ms, func(_ driver.Receipt, err error) { ch <- err })
		if err := <-ch; err != nil {
			t.Fatal(err)
		}
		reqs := c.brokers["a"].requests(protocol.SendBatchMessage)
		if len(reqs) != 1 || reqs[0].fields["m"] != "true" || reqs[0].fields["i"] != "" {
			t.Fatalf("%+v", reqs)
		}
		for i, body := 0, reqs[0].body; i < 3; i++ {
			var e protocol.BatchEntry
			n, err := protocol.DecodeBatchEntry(body, &e)
			if err != nil {
				t.Fatal(err)
			}
			body = body[n:]
			if string(e.Body) != fmt.Sprint("body ", i) || string(e.Properties) != string(props("UNIQ_KEY="+ms[i].ID+";TAGS=t;")) {
				t.Errorf("entry %d: %q %q", i, e.Body, e.Properties)
			}
		}
	})
}

func TestRefusesWhatRocketMQWouldRefuse(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open(), driver.SenderConfig{Group: "producers", MaxMessageSize: 1000})
		q := message.Queue{Topic: "orders", Broker: "a"}
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		big := outgoing(s, "orders", strings.Repeat("x", 1001))
		long := outgoing(s, "orders", "x", message.Property("p", strings.Repeat("v", protocol.MaxPropertiesLength)))
		late := outgoing(s, "orders", "x", func(m *message.Message) { m.Delay.Level = 1 })
		other := outgoing(s, "other", "x")
		fine := outgoing(s, "orders", strings.Repeat("x", 400))
		tests := []struct {
			name string
			ms   []*driver.Outgoing
			want error
		}{
			{"body over the limit", []*driver.Outgoing{big}, message.ErrBodyTooLarge},
			{"properties over the limit", []*driver.Outgoing{long}, message.ErrInvalidMessage},
			{"empty batch", nil, message.ErrInvalidMessage},
			{"batch over the limit", []*driver.Outgoing{fine, fine, fine}, message.ErrBodyTooLarge},
			{"delayed batch", []*driver.Outgoing{fine, late}, message.ErrInvalidMessage},
			{"batch of two topics", []*driver.Outgoing{fine, other}, message.ErrInvalidMessage},
		}
		for _, tt := range tests {
			ch := make(chan error, 2)
			done := func(_ driver.Receipt, err error) { ch <- err }
			if len(tt.ms) == 1 {
				s.SendTo(t.Context(), q, tt.ms[0], done)
			} else {
				s.SendBatchTo(t.Context(), q, tt.ms, done)
			}
			if err := <-ch; !errors.Is(err, tt.want) || !message.SafeToRetry(err) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		synctest.Wait()
		b := c.brokers["a"]
		if n := len(b.requests(protocol.SendMessageV2)) + len(b.requests(protocol.SendBatchMessage)); n != 0 {
			t.Errorf("%d requests were made", n)
		}
	})
}

func TestOnewayIsNotAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		s := newSender(t, c.open())
		if _, err := s.Queues(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if err := s.SendOneway(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if reqs := c.brokers["a"].requests(protocol.SendMessageV2); len(reqs) != 1 || !reqs[0].oneway {
			t.Errorf("%+v", reqs)
		}
	})
}

func TestManySendersShareOneConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 4)
		s := newSender(t, c.open())
		qs, err := s.Queues(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		offsets := make(map[string]int)
		for range 64 {
			wg.Go(func() {
				for i := range 20 {
					got := <-s.startTest(t.Context(), qs[i%len(qs)], outgoing(s, "orders", "x"))
					if got.err != nil {
						t.Error(got.err)
					}
					mu.Lock()
					offsets[got.r.OffsetMessageID]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(offsets) != 64*20 {
			t.Errorf("%d answers differ, want %d", len(offsets), 64*20)
		}
	})
}

func TestCloseWaitsForSendsUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		s := newSender(t, c.open())
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Fatal(err)
		}
		b.on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
			req := *cmd
			time.AfterFunc(time.Second, func() { b.reply(conn, &req, protocol.Success, &protocol.SendResponse{}, nil) })
			return true
		})
		ch := s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-ch:
			if got.err != nil {
				t.Error(got.err)
			}
		default:
			t.Error("closed before the send had its outcome")
		}
		got := <-s.startTest(t.Context(), message.Queue{Topic: "orders", Broker: "a"}, outgoing(s, "orders", "x"))
		if !errors.Is(got.err, message.ErrClosed) || !message.SafeToRetry(got.err) {
			t.Errorf("after Close: %v", got.err)
		}
		if un := b.requests(protocol.UnregisterClient); len(un) != 1 || un[0].fields["producerGroup"] != "producers" {
			t.Errorf("unregistered: %+v", un)
		}
	})
}
