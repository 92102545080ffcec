package rocketkit_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
	"github.com/rocketkit/rocketkit/txn"
)

// view is what a test says of a span. Names of spans stand for the spans.
type view struct {
	Name, Kind string
	Parent     string // "" for a root
	Links      []string
	Failed     bool
	Attributes map[string]any
}

// attrs is attributes by name. In them the id of a message is "<id>", the number of a queue
// 0, and a moment that has to be there is true.
type attrs map[string]any

// telemetry is a client in a cluster, and what it tells.
type telemetry struct {
	cluster
	*rocketkit.Client
	rec    *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
}

func (s cluster) observed(o trace.Options, opts ...rocketkit.Option) telemetry {
	rec, r := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	o.Provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	o.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r))
	return telemetry{s, s.connect(append(opts, rocketkit.WithTelemetry(o))...), rec, r}
}

// spans are those that have ended so far, without what is not the same in every run, by
// name and kind.
func (s telemetry) spans() []view {
	names := map[string]string{}
	ended := s.rec.Ended()
	for _, span := range ended {
		names[span.SpanContext().SpanID().String()] = span.Name()
	}
	var all []view
	for _, span := range ended {
		v := view{Name: span.Name(), Kind: span.SpanKind().String(), Parent: names[span.Parent().SpanID().String()], Failed: span.Status().Code.String() == "Error", Attributes: map[string]any{}}
		for _, l := range span.Links() {
			name := names[l.SpanContext.SpanID().String()]
			if name == "" {
				name = l.SpanContext.SpanID().String()
			}
			v.Links = append(v.Links, name)
		}
		for _, kv := range span.Attributes() {
			v.Attributes[string(kv.Key)] = kv.Value.AsInterface()
		}
		for key, fixed := range map[string]any{
			"messaging.message.id": "<id>", "messaging.rocketmq.message.delivery_timestamp": true, "messaging.message.conversation_id": true,
		} {
			if v.Attributes[key] != nil {
				v.Attributes[key] = fixed
			}
		}
		if p, ok := v.Attributes["messaging.destination.partition.id"].(string); ok {
			v.Attributes["messaging.destination.partition.id"] = p[:strings.LastIndexByte(p, '-')+1] + "0"
		}
		for _, key := range []string{"server.port", "network.peer.port"} {
			if v.Attributes[key] == int64(s.port()) {
				v.Attributes[key] = "<port>"
			}
		}
		if id, ok := v.Attributes["messaging.client.id"].(string); ok && strings.Contains(id, "@") {
			v.Attributes["messaging.client.id"] = "<client>"
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b view) int { return strings.Compare(a.Name+a.Kind, b.Name+b.Kind) })
	return all
}

// port is the broker's.
func (s cluster) port() int {
	at, err := netip.ParseAddrPort(s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	return int(at.Port())
}

// told compares the spans with what is wanted.
func (s telemetry) told(want ...view) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.spans()); diff != "" {
		s.t.Errorf("spans (-want +got):\n%s", diff)
	}
}

// span is a view of an operation on the topic orders; more attributes win, nil ones are
// not there.
func span(operation, kind string, more ...attrs) view {
	types := map[string]string{"ack": "settle", "nack": "settle", "commit": "settle"}
	a := map[string]any{
		"messaging.system": "rocketmq", "messaging.rocketmq.namespace": "", "messaging.client.id": "<client>",
		"messaging.operation.name": operation, "messaging.operation.type": operation,
		"messaging.destination.name": "orders", "messaging.destination.partition.id": "broker-a-0",
		"server.address": "127.0.0.1", "server.port": "<port>",
	}
	if t := types[operation]; t != "" {
		a["messaging.operation.type"] = t
	}
	for _, m := range more {
		maps.Copy(a, m)
	}
	maps.DeleteFunc(a, func(_ string, v any) bool { return v == nil })
	return view{Name: operation + " orders", Kind: kind, Attributes: a}
}

func (v view) in(parent string) view { v.Parent = parent; return v }

func (v view) to(links ...string) view { v.Links = links; return v }

func (v view) failed(kind string) view {
	v.Failed = true
	v.Attributes["error.type"] = kind
	return v
}

// one are the attributes of a single message.
func one(kind string) attrs {
	return attrs{"messaging.message.id": "<id>", "messaging.rocketmq.message.type": kind}
}

// many are those of several.
func many(n int) attrs { return attrs{"messaging.batch.message_count": int64(n)} }

// peer are those of a request, by has those of consumers, nowhere takes those of a server away.
func peer() attrs { return attrs{"network.peer.address": "127.0.0.1", "network.peer.port": "<port>"} }

func by(group string) attrs {
	return attrs{"messaging.consumer.group.name": group, "messaging.rocketmq.consumption_model": "clustering"}
}

func nowhere() attrs {
	return attrs{"server.address": nil, "server.port": nil, "messaging.destination.partition.id": nil}
}

func sent(more ...attrs) view {
	return span("send", "producer", append([]attrs{one("normal"), peer()}, more...)...)
}

func TestSpansOfEveryKindOfSend(t *testing.T) {
	send := func(opts ...message.Option) func(telemetry, *producer.Producer) error {
		return func(s telemetry, p *producer.Producer) error {
			_, err := p.Send(s.t.Context(), message.New("orders", []byte("b"), opts...))
			return err
		}
	}
	own := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	kind := txn.NewKind("paid", "orders", func(context.Context, *message.Delivery) error { return nil })
	for name, tc := range map[string]struct {
		send func(telemetry, *producer.Producer) error
		want []view
		opts []producer.Option
	}{
		"tag and keys": {send(message.Tag("paid"), message.Key("1", "2")),
			[]view{sent(attrs{"messaging.rocketmq.message.tag": "paid", "messaging.rocketmq.message.keys": []string{"1", "2"}})}, nil},
		"ordered":    {send(message.ShardingKey("k")), []view{sent(one("fifo"), attrs{"messaging.rocketmq.message.group": "k"})}, nil},
		"level":      {send(delay.Level(3)), []view{sent(one("delay"), attrs{"messaging.rocketmq.message.delay_time_level": int64(3)})}, nil},
		"own parent": {send(message.Property("traceparent", own)), []view{span("send", "client", one("normal"), peer()).to("b7ad6b7169203331")}, nil},
		"lingering":  {send(), []view{sent()}, []producer.Option{producer.Linger(time.Millisecond)}},
		"async": {func(s telemetry, p *producer.Producer) error {
			_, err := sendAsync(s.t.Context(), p, message.New("orders", []byte("b")))
			return err
		}, []view{sent()}, nil},
		"oneway": {func(s telemetry, p *producer.Producer) error {
			return p.SendOneway(s.t.Context(), message.New("orders", []byte("b")))
		}, []view{sent()}, nil},
		"recalled": {func(s telemetry, p *producer.Producer) error {
			h, err := delay.Schedule(s.t.Context(), p, message.New("orders", []byte("b")), delay.After(time.Hour))
			return errors.Join(err, delay.Cancel(s.t.Context(), p, h))
		}, []view{
			span("recall", "client", peer(), attrs{"messaging.operation.type": nil, "messaging.destination.partition.id": nil}),
			sent(one("delay"), attrs{"messaging.rocketmq.message.delivery_timestamp": true}),
		}, nil},
		"transaction": {func(s telemetry, p *producer.Producer) error {
			_, err := kind.Send(s.t.Context(), p, message.New("orders", []byte("b")), func(context.Context, message.SendResult) error {
				time.Sleep(time.Minute)
				return nil
			})
			return err
		}, []view{sent(one("transaction"))}, []producer.Option{txn.Kinds(kind)}},
		"request": {func(s telemetry, p *producer.Producer) error {
			ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
			defer cancel()
			if _, err := p.Request(ctx, message.New("orders", []byte("b"))); !errors.Is(err, producer.ErrNoReply) {
				return err
			}
			return nil
		}, []view{sent(attrs{"messaging.message.conversation_id": true})}, nil},
		"refused": {func(s telemetry, p *producer.Producer) error {
			defer s.Fault(brokerlite.Match{Code: 310}, brokerlite.Answer(13, "no"))()
			if _, err := p.Send(s.t.Context(), message.New("orders", []byte("b"))); err == nil {
				return errors.New("it was sent")
			}
			return nil
		}, []view{sent().failed("MESSAGE_ILLEGAL")}, nil},
		"batch": {func(s telemetry, p *producer.Producer) error {
			_, err := p.SendBatch(s.t.Context(), []*message.Message{
				message.New("orders", []byte("a"), message.Tag("paid")), message.New("orders", []byte("b"), message.Property("traceparent", own)),
			})
			return err
		}, []view{
			span("create", "producer", one("normal"), nowhere(), attrs{"messaging.rocketmq.message.tag": "paid"}),
			span("send", "client", many(2), peer()).to("create orders", "b7ad6b7169203331"),
		}, nil},
		"batch of one": {func(s telemetry, p *producer.Producer) error {
			_, err := p.SendBatch(s.t.Context(), []*message.Message{message.New("orders", []byte("a"))})
			return err
		}, []view{span("create", "producer", one("normal"), nowhere()), span("send", "client", many(1), peer()).to("create orders")}, nil},
	} {
		for _, leg := range legs() {
			t.Run(name+"/"+leg.name, func(t *testing.T) {
				leg.in(t, func(t *testing.T, s cluster) {
					s.createOrders()
					o := s.observed(trace.Options{})
					p, err := o.NewProducer("pay", tc.opts...)
					if err == nil {
						err = tc.send(o, p)
					}
					if err := o.Close(); err != nil {
						t.Error(err)
					}
					if s.hasNot(err, name, "recalled", "transaction", "request") {
						return
					}
					if err != nil {
						t.Error(err)
					}
					o.told(leg.tells(name, tc.want)...)
					o.measured()
					for _, span := range o.rec.Ended() { // the local transaction is not the sending
						if took := span.EndTime().Sub(span.StartTime()); s.driver == nil && took > time.Second {
							t.Errorf("%s took %s", span.Name(), took)
						}
					}
				}, brokerlite.Conf("recallMessageEnable=true"))
			})
		}
	}
}

// createOrders makes the topic, so that nobody waits for its route.
func (s cluster) createOrders() {
	s.t.Helper()
	c, err := rocketkit.Open(s.t.Context(), rocketkit.Config{NameServers: []string{s.NameServer()}}, rocketkit.WithDial(s.Dial))
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := c.Admin()
	if err == nil {
		err = a.CreateTopic(s.t.Context(), admin.Topic{Name: "orders", ReadQueues: 4, WriteQueues: 4})
	}
	if err := errors.Join(err, c.Close()); err != nil {
		s.t.Fatal(err)
	}
}
