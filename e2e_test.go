package rocketkit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
	"github.com/rocketkit/rocketkit/txn"
)

// inbox collects what a consumer group receives.
type inbox struct {
	t  *testing.T
	ch chan *message.Delivery
}

// consume starts a consumer of topics from their beginning.
func consume(t *testing.T, c *rocketkit.Client, group string, topics ...string) *inbox {
	t.Helper()
	in := &inbox{t: t, ch: make(chan *message.Delivery, 10_000)}
	mux := consumer.NewMux(group, consumer.From(consumer.First))
	for _, topic := range topics {
		consumer.Handle(mux, topic, func(ctx context.Context, _ []byte) error {
			in.ch <- message.DeliveryFrom(ctx)
			return nil
		})
	}
	cons, err := c.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	if err := cons.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return in
}

// take waits for n messages and returns them by their ids.
func (in *inbox) take(n int) map[string]*message.Delivery {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), 24*time.Hour)
	defer cancel()
	got := map[string]*message.Delivery{}
	for len(got) < n {
		select {
		case d := <-in.ch:
			got[d.ID] = d
		case <-ctx.Done():
			in.t.Fatalf("received %d of %d messages", len(got), n)
		}
	}
	return got
}

// none says that nothing more came until now.
func (in *inbox) none() {
	in.t.Helper()
	select {
	case d := <-in.ch:
		in.t.Errorf("received %s %q too", d.ID, d.Body)
	default:
	}
}

// cluster is a server in a bubble: real servers, clients and wire format, memory
// for network and disk, and virtual time.
type cluster struct {
	*brokerlite.Broker
	t      *testing.T
	driver rocketkit.Option // of its clients; nil for the native one, on its network
}

// inCluster runs f in a bubble with a server.
func inCluster(t *testing.T, f func(*testing.T, cluster), opts ...brokerlite.Option) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts = append(opts, brokerlite.InMemory(), brokerlite.VirtualNetwork(brokerlite.NewNetwork()))
		b, err := brokerlite.Start(t.Context(), opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		f(t, cluster{b, t, nil})
	})
}

// connect opens a client that ends with the test.
func (s cluster) connect(opts ...rocketkit.Option) *rocketkit.Client {
	s.t.Helper()
	reach := s.driver
	if reach == nil {
		reach = rocketkit.WithDial(s.Dial)
	}
	c, err := rocketkit.Open(s.t.Context(), rocketkit.Config{NameServers: []string{s.NameServer()}}, append(opts, reach)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Errorf("close: %v", err)
		}
	})
	return c
}

func newProducer(t *testing.T, c *rocketkit.Client, group string, opts ...producer.Option) *producer.Producer {
	t.Helper()
	p, err := c.NewProducer(group, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sendAsync sends and waits for the callback.
func sendAsync(ctx context.Context, p *producer.Producer, m *message.Message) (r message.SendResult, err error) {
	done := make(chan struct{})
	p.SendAsync(ctx, m, func(_ context.Context, res message.SendResult, e error) {
		r, err = res, e
		close(done)
	})
	<-done
	return r, err
}

func TestEveryWayOfSendingArrives(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		rec := tracetest.NewSpanRecorder()
		c := s.connect(rocketkit.WithTelemetry(trace.Options{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))}))
		p := newProducer(t, c, "pay_group", producer.Retries(3))
		full := func(body string) *message.Message {
			return message.New("orders", []byte(body), message.Tag("paid"), message.Key("1", "2"), message.Property("region", "eu"), message.ShardingKey("k"))
		}
		sent := map[string]message.SendResult{}
		note := func(r message.SendResult, err error) {
			t.Helper()
			if err != nil || r.Status != message.SendOK || r.MessageID == "" || r.OffsetMessageID == "" {
				t.Fatalf("%v, %v", r, err)
			}
			sent[r.MessageID] = r
		}
		note(p.Send(t.Context(), full("sync")))
		note(sendAsync(t.Context(), p, full("async")))
		if err := p.SendOneway(t.Context(), full("oneway")); err != nil {
			t.Fatal(err)
		}
		out, err := p.SendBatch(t.Context(), []*message.Message{full("batch 0"), full("batch 1"), full("batch 2")})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out {
			note(o.Result, o.Err)
		}

		got := consume(t, c, "shop", "orders").take(6)
		bodies := []string{}
		for id, d := range got {
			bodies = append(bodies, string(d.Body))
			if d.Tag != "paid" || !cmp.Equal(d.Keys(), []string{"1", "2"}) || d.Property("region") != "eu" || d.Topic != "orders" || d.Group != "shop" || d.ReconsumeTimes != 0 {
				t.Errorf("%s arrived as %+v", d.Body, d)
			}
			if r, ok := sent[id]; ok && (r.Queue != d.Queue || r.QueueOffset != d.QueueOffset || r.OffsetMessageID != d.OffsetID) {
				t.Errorf("%s was stored as %v and arrived as %+v", d.Body, r, d)
			}
			if d.Property("traceparent") == "" {
				t.Errorf("%s has no trace context", d.Body)
			}
		}
		slices.Sort(bodies)
		if diff := cmp.Diff([]string{"async", "batch 0", "batch 1", "batch 2", "oneway", "sync"}, bodies); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := c.Close(); err != nil { // and so end the spans
			t.Fatal(err)
		}
		traces := map[string][]string{}
		for _, span := range rec.Ended() {
			id := span.SpanContext().TraceID().String()
			traces[id] = append(traces[id], span.Name())
		}
		kinds := map[string]int{}
		for _, names := range traces {
			kinds[strings.Join(names, ", ")]++
		}
		want := map[string]int{"send orders, process orders": 3, "create orders, process orders": 3, "send orders": 1} // of the batch
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("traces (-want +got):\n%s", diff)
		}
	})
}

func TestManyAsyncSendsAllArriveBeforeTheDrainEnds(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		const n = 5000
		c := s.connect()
		p := newProducer(t, c, "pay_group", producer.MaxInFlight(256))
		ids := make(chan string, n)
		for i := range n {
			p.SendAsync(t.Context(), message.New("orders", fmt.Append(nil, i)), func(_ context.Context, r message.SendResult, err error) {
				if err != nil {
					t.Error(err)
				}
				ids <- r.MessageID
			})
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(ids) != n {
			t.Fatalf("%d of %d callbacks had run when the drain was over", len(ids), n)
		}
		got := consume(t, c, "shop", "orders").take(n)
		for range n {
			if id := <-ids; got[id] == nil {
				t.Errorf("%s was acknowledged and did not arrive", id)
			}
		}
	})
}

func TestBatchesLargerThanARequestArrive(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect()
		p := newProducer(t, c, "pay_group")
		var ms []*message.Message
		for i := range 100 {
			ms = append(ms, message.New([]string{"orders", "refunds"}[i%2], make([]byte, 100_000), message.Key(fmt.Sprint(i))))
		}
		ms = append(ms, message.New("orders", make([]byte, message.MaxBodySize))) // as large as one may be
		out, err := p.SendBatch(t.Context(), ms)
		if err != nil {
			t.Fatal(err)
		}
		got := consume(t, c, "shop", "orders", "refunds").take(len(ms))
		for i, o := range out {
			d := got[o.Result.MessageID]
			if d == nil || d.QueueOffset != o.Result.QueueOffset || d.Queue != o.Result.Queue || !slices.Equal(d.Keys(), ms[i].Keys) || d.Topic != ms[i].Topic {
				t.Errorf("message %d was stored as %v and arrived as %+v", i, o.Result, d)
			}
		}
	})
}

func TestAServersLimitIsNamed(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		p := newProducer(t, s.connect(), "pay_group", producer.MaxMessageSize(8<<20), producer.NoCompression())
		_, err := p.Send(t.Context(), message.New("orders", make([]byte, 5<<20)))
		var refusal *message.BrokerError
		if !errors.As(err, &refusal) || refusal.Name != "MESSAGE_ILLEGAL" || !message.SafeToRetry(err) || !strings.Contains(err.Error(), "maxMessageSize") {
			t.Errorf("error %v", err)
		}
	})
}

func TestDelaysAreKept(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect()
		p := newProducer(t, c, "pay_group")
		in := consume(t, c, "shop", "delayed")
		want := map[string]time.Duration{}
		for d, opt := range map[time.Duration]message.Option{
			30 * time.Minute: delay.Level(16),
			45 * time.Minute: delay.After(45 * time.Minute),
			2 * time.Hour:    delay.At(time.Now().Add(2 * time.Hour)),
		} {
			r, err := p.Send(t.Context(), message.New("delayed", []byte("b"), opt))
			if err != nil {
				t.Fatal(err)
			}
			want[r.MessageID] = d
		}
		begun := time.Now()
		for id, d := range in.take(len(want)) {
			if waited := d.Stored().Sub(begun); waited < want[id] || waited > want[id]+time.Second {
				t.Errorf("delayed by %s, want %s", waited, want[id])
			}
		}
		in.none()
		_, err := p.Send(t.Context(), message.New("delayed", []byte("b"), delay.After(100*24*time.Hour)))
		if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "timerMaxDelaySec") {
			t.Errorf("beyond the server's limit: %v", err)
		}
	}, brokerlite.Conf("timerMaxDelaySec=259200")) // Apache's 3 days
}

func TestTransactionsCommitRollBackAndAreAskedAbout(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect()
		boom := errors.New("database gone")
		var mu sync.Mutex
		asked := map[string]int{}
		kind := txn.NewKind("paid", "orders", func(_ context.Context, d *message.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			name := string(d.Body)
			asked[name]++
			switch {
			case name == "asked, rolls back":
				return txn.Abort(nil)
			case name == "asked twice, commits" && asked[name] == 1:
				return boom
			}
			return nil
		})
		p := newProducer(t, c, "tx_group", txn.Kinds(kind))
		in := consume(t, c, "shop", "orders")
		var want []string
		for name, tc := range map[string]struct {
			local    error
			decision txn.Decision
			arrives  bool
		}{
			"commits":              {nil, txn.DecidedToCommit, true},
			"rolls back":           {txn.Abort(boom), txn.DecidedToRollBack, false},
			"asked, commits":       {boom, txn.Undecided, true},
			"asked, rolls back":    {boom, txn.Undecided, false},
			"asked twice, commits": {boom, txn.Undecided, true},
		} {
			res, err := kind.Send(t.Context(), p, message.New("orders", []byte(name)), func(context.Context, message.SendResult) error { return tc.local })
			if res.Decision != tc.decision || !errors.Is(err, tc.local) {
				t.Errorf("%s: %v, %v", name, res.Decision, err)
			}
			if tc.arrives {
				want = append(want, name)
			}
		}
		var got []string
		for _, d := range in.take(len(want)) {
			got = append(got, string(d.Body))
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		if asked["commits"]+asked["rolls back"] != 0 || asked["asked twice, commits"] < 2 || asked["asked, rolls back"] == 0 {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestARestartedProcessIsAskedAboutWhatItLeftBehind(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		kind := txn.NewKind("paid", "orders", func(context.Context, *message.Delivery) error { return nil })
		before := s.connect()
		lost := errors.New("the process died before it knew")
		res, err := kind.Send(t.Context(), newProducer(t, before, "tx_group", txn.Kinds(kind)), message.New("orders", []byte("left behind")),
			func(context.Context, message.SendResult) error { return lost })
		if !errors.Is(err, lost) {
			t.Fatal(err)
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		after := s.connect()
		newProducer(t, after, "tx_group", txn.Kinds(kind)) // which sends nothing
		if got := consume(t, after, "shop", "orders").take(1); got[res.MessageID] == nil {
			t.Errorf("arrived: %v", got)
		}
	})
}

// Apache's clients pass over a message that is stored between a new group's two
// questions: where it was, and where the queue ends.
func TestFromLastPassesNothingOverThatComesWhileItBegins(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		const getMaxOffset = 30
		var queue int
		p := newProducer(t, s.connect(), "producers", producer.Select(func(*message.Message, []message.Queue) int { return queue }))
		if _, err := p.Send(t.Context(), message.New("orders", []byte("makes the topic"))); err != nil {
			t.Fatal(err)
		}
		var asked sync.Once
		defer s.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
			if r.Code == getMaxOffset && r.Topic == "orders" {
				asked.Do(func() {
					for queue = range 4 {
						if _, err := p.Send(t.Context(), message.New("orders", []byte("meanwhile"))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			return brokerlite.Pass(), true
		})()
		got := make(chan string, 100)
		mux := consumer.NewMux("late", consumer.From(consumer.Last))
		consumer.Handle(mux, "orders", func(_ context.Context, text string) error {
			got <- text
			return nil
		})
		c, err := s.connect().NewConsumer(mux)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		want := []string{"makes the topic", "meanwhile", "meanwhile", "meanwhile", "meanwhile"}
		var all []string
		for len(got) > 0 {
			all = append(all, <-got)
		}
		slices.Sort(all)
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
