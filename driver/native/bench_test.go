package native

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// instant is a server on loopback TCP that answers every request at once, so
// that a benchmark measures the client.
type instant struct {
	namespace string // of clients that open from now on
	t         testing.TB
	addr      string
	pulls     func(h *protocol.PullRequest) (next int64, body []byte)
}

func newInstant(t testing.TB) *instant {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &instant{t: t, addr: l.Addr().String()}
	srv := remoting.NewServer(remoting.ServerOptions{Options: remoting.Options{Handler: s.serve}})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return s
}

func (s *instant) open(creds ...driver.Credentials) *client {
	cfg := driver.Config{NameServers: []string{s.addr}, Namespace: s.namespace}
	for _, c := range creds {
		cfg.Credentials = c
	}
	d, err := Factory(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return d.(*client)
}

func (s *instant) serve(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.Header
	var body []byte
	code := protocol.Success
	switch cmd.Code {
	case protocol.GetRouteInfo:
		body = protocol.EncodeTopicRoute(&protocol.TopicRoute{
			QueueDatas:  []protocol.QueueData{{BrokerName: "a", Perm: 6, ReadQueueNums: 4, WriteQueueNums: 4}},
			BrokerDatas: []protocol.BrokerData{{BrokerName: "a", BrokerAddrs: map[int64]string{0: s.addr}}},
		}, true)
	case protocol.SendMessageV2, protocol.SendBatchMessage:
		h = &protocol.SendResponse{MessageID: "0A00000100002A9F0000000000000000", QueueOffset: 5}
	case protocol.GetConsumerList:
		body = fmt.Appendf(nil, `{"consumerIdList":[%q]}`, conn.Attachment())
	case protocol.Heartbeat:
		var data protocol.HeartbeatData
		if err := protocol.DecodeBody(cmd.Body, &data); err != nil {
			s.t.Error(err)
		}
		conn.Attach(data.ClientID)
	case protocol.QueryConsumerOffset, protocol.GetMaxOffset:
		h = &protocol.OffsetResponse{}
	case protocol.PullMessage:
		var req protocol.PullRequest
		if err := req.DecodeFields(cmd.Fields); err != nil {
			s.t.Error(err)
		}
		if req.Topic != "orders" {
			return // the retry topic's long polls are left open
		}
		var next int64
		next, body = s.pulls(&req)
		h = &protocol.PullResponse{NextBeginOffset: next, MaxOffset: next}
	}
	resp := cmd.Response(code, "")
	if err := conn.Reply(&resp, h, body); err != nil {
		s.t.Log(err)
	}
}

// benchSender is a sender with its connection made.
func benchSender(b *testing.B) (*sender, []message.Queue) {
	s := newSender(b, newInstant(b).open())
	qs, err := s.Queues(b.Context(), "orders")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.sendTest(b, outgoing(s, "orders", "warm")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return s, qs
}

func BenchmarkSend64Callers(b *testing.B) {
	s, qs := benchSender(b)
	const callers = 64
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range callers {
		wg.Go(func() {
			m := &driver.Outgoing{Message: message.New("orders", make([]byte, 128)), ID: s.NewID()}
			ch := make(chan error, 1)
			done := func(_ driver.Receipt, err error) { ch <- err }
			for range b.N / callers {
				s.SendTo(context.Background(), qs[c%len(qs)], m, done)
				if err := <-ch; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "msg/s")
}

func BenchmarkSendAsync1024InFlight(b *testing.B) {
	s, qs := benchSender(b)
	m := &driver.Outgoing{Message: message.New("orders", make([]byte, 128)), ID: s.NewID()}
	room := make(chan struct{}, 1024)
	done := func(_ driver.Receipt, err error) {
		if err != nil {
			b.Error(err)
		}
		<-room
	}
	begin := time.Now()
	n := 0
	for b.Loop() {
		room <- struct{}{}
		s.SendTo(context.Background(), qs[n%len(qs)], m, done)
		n++
	}
	for range cap(room) {
		room <- struct{}{}
	}
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "msg/s")
}

func BenchmarkSendOneCaller(b *testing.B) {
	s, qs := benchSender(b)
	m := &driver.Outgoing{Message: message.New("orders", make([]byte, 128)), ID: s.NewID()}
	ch := make(chan error, 1)
	done := func(_ driver.Receipt, err error) { ch <- err }
	for b.Loop() {
		s.SendTo(context.Background(), qs[0], m, done)
		if err := <-ch; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConsume is one queue whose messages are acknowledged at once.
func BenchmarkConsume(b *testing.B) {
	srv := newInstant(b)
	const batch = 32
	records := func(from int64) []byte {
		var body []byte
		for i := range int64(batch) {
			rec := protocol.Record{Topic: "orders", Body: make([]byte, 128), QueueOffset: from + i, Properties: props("UNIQ_KEY=C00002025A42BCD32F6367AEA7830003;TAGS=paid;CLUSTER=DefaultCluster;")}
			body, _ = protocol.AppendRecord(body, &rec)
		}
		return body
	}
	canned := records(0)
	size := len(canned) / batch
	srv.pulls = func(h *protocol.PullRequest) (int64, []byte) {
		if h.QueueID != 0 {
			return h.QueueOffset + 1<<40, nil
		}
		for i := range batch {
			protocol.PlaceRecord(canned[i*size:], h.QueueOffset+int64(i), h.QueueOffset*300, 1)
		}
		return h.QueueOffset + batch, canned
	}
	arrived := make(chan int, 1<<10)
	sink := sinkFunc(func(_ context.Context, s driver.Settler, ds []*message.Delivery) {
		for _, d := range ds {
			s.Settle(d, driver.Verdict{Action: driver.ActionAck})
		}
		select {
		case arrived <- len(ds):
		case <-b.Context().Done():
		}
	})
	one := allocateOne{}
	sub, err := srv.open().NewSubscription(driver.SubscriptionConfig{Group: "g", Allocate: one, Topics: []driver.TopicFilter{{Topic: "orders"}}}, sink)
	if err != nil {
		b.Fatal(err)
	}
	if err := sub.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	<-arrived
	b.ReportAllocs()
	begin := time.Now()
	got := 0
	b.ResetTimer()
	for got < b.N {
		got += <-arrived
	}
	b.StopTimer()
	b.ReportMetric(float64(got)/time.Since(begin).Seconds(), "msg/s")
	go func() {
		for range arrived { // until the queue has ended
		}
	}()
	if err := sub.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	close(arrived)
}

type sinkFunc func(context.Context, driver.Settler, []*message.Delivery)

func (f sinkFunc) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	f(ctx, s, ds)
}

// allocateOne takes the first queue only.
type allocateOne struct{}

func (allocateOne) Name() string { return "ONE" }
func (allocateOne) Allocate(_, _ string, qs []message.Queue, _ []string) []message.Queue {
	return qs[:1]
}
