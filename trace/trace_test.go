package trace_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTracer(t *testing.T, o trace.Options) (*trace.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	o.Provider = p
	return trace.New(o), rec
}

func only(t *testing.T, rec *tracetest.SpanRecorder) sdktrace.ReadOnlySpan {
	t.Helper()
	ended := rec.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans ended, want 1", len(ended))
	}
	return ended[0]
}

func attributes(s sdktrace.ReadOnlySpan) map[string]any {
	m := map[string]any{}
	for _, kv := range s.Attributes() {
		m[string(kv.Key)] = kv.Value.AsInterface()
	}
	return m
}

func delivery(props map[string]string) *message.Delivery {
	var b strings.Builder
	for k, v := range props {
		fmt.Fprintf(&b, "%s\x01%s\x02", k, v)
	}
	d := &message.Delivery{
		Topic: "orders", Group: "shop", ID: "0A", Tag: "paid",
		Queue: message.Queue{Topic: "orders", Broker: "broker-a", ID: 3}, StoreHost: netip.MustParseAddrPort("10.0.0.1:10911"),
	}
	d.SetRawProperties(b.String())
	return d
}

func TestSendSpanHasTheConventionsAttributes(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_900_000_000_000)
	base := func(more map[string]any) map[string]any {
		m := map[string]any{
			"messaging.system": "rocketmq", "messaging.rocketmq.namespace": "ns", "messaging.operation.name": "send",
			"messaging.operation.type": "send", "messaging.destination.name": "orders", "messaging.message.id": "0A0B",
			"messaging.rocketmq.message.type": "normal", "messaging.destination.partition.id": "broker-a-3",
			"messaging.client.id": "me", "server.address": "127.0.0.1", "server.port": int64(10911),
			"network.peer.address": "127.0.0.1", "network.peer.port": int64(10911),
		}
		for k, v := range more {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
		return m
	}
	for name, tc := range map[string]struct {
		opts []message.Option
		want map[string]any
		more func(*trace.Sent)
	}{
		"plain":        {},
		"half message": {nil, map[string]any{"messaging.rocketmq.message.type": "transaction"}, func(s *trace.Sent) { s.Transaction = true }},
		"request":      {nil, map[string]any{"messaging.message.conversation_id": "77"}, func(s *trace.Sent) { s.Conversation = "77" }},
		"server by name": {nil, map[string]any{"server.address": "broker.example", "network.peer.address": nil, "network.peer.port": nil},
			func(s *trace.Sent) { s.Addr = "broker.example:10911" }},
		"tag and keys": {[]message.Option{message.Tag("paid"), message.Key("1", "2")},
			map[string]any{"messaging.rocketmq.message.tag": "paid", "messaging.rocketmq.message.keys": []string{"1", "2"}}, nil},
		"ordered": {[]message.Option{message.ShardingKey("k")},
			map[string]any{"messaging.rocketmq.message.group": "k", "messaging.rocketmq.message.type": "fifo"}, nil},
		"delay level": {[]message.Option{func(m *message.Message) { m.Delay.Level = 3 }},
			map[string]any{"messaging.rocketmq.message.type": "delay", "messaging.rocketmq.message.delay_time_level": int64(3)}, nil},
		"delivery time": {[]message.Option{func(m *message.Message) { m.Delay.At = at }},
			map[string]any{"messaging.rocketmq.message.type": "delay", "messaging.rocketmq.message.delivery_timestamp": at.UnixMilli()}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, rec := newTracer(t, trace.Options{Namespace: "ns", ClientID: "me"})
			m := message.New("orders", []byte("b"), tc.opts...)
			_, span := tr.StartSend(t.Context(), m, propagation.MapCarrier{})
			sent := trace.Sent{Message: m, ID: "0A0B", Queue: message.Queue{Topic: "orders", Broker: "broker-a", ID: 3}, Addr: "127.0.0.1:10911"}
			if tc.more != nil {
				tc.more(&sent)
			}
			span.EndSend(&sent)
			got := only(t, rec)
			if got.Name() != "send orders" || got.SpanKind() != oteltrace.SpanKindProducer {
				t.Errorf("span %q of kind %v", got.Name(), got.SpanKind())
			}
			if diff := cmp.Diff(base(tc.want), attributes(got)); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailedSpanNamesTheBrokersCode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		want   string
		server any
	}{
		"refused":   {fmt.Errorf("outer: %w", &message.BrokerError{Code: 2, Name: "SYSTEM_BUSY", Addr: "10.0.0.1:10911"}), "SYSTEM_BUSY", "10.0.0.1"},
		"no answer": {&message.UnknownOutcomeError{Addr: "10.0.0.2:10911", Err: context.Canceled}, "_OTHER", "10.0.0.2"},
		"other":     {errors.New("boom"), "_OTHER", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, rec := newTracer(t, trace.Options{})
			_, span := tr.StartSend(t.Context(), message.New("orders", nil), propagation.MapCarrier{})
			span.EndSend(&trace.Sent{Message: message.New("orders", nil), Err: tc.err})
			got := only(t, rec)
			a := attributes(got)
			if a["error.type"] != tc.want || got.Status().Code != codes.Error || got.Status().Description != tc.err.Error() {
				t.Errorf("error.type %v, status %+v", a["error.type"], got.Status())
			}
			if a["server.address"] != tc.server {
				t.Errorf("server %v, want %v", a["server.address"], tc.server)
			}
			if _, ok := a["messaging.destination.partition.id"]; ok {
				t.Error("a failed send names a partition")
			}
		})
	}
}

func TestContextTravelsFromSendToProcess(t *testing.T) {
	t.Parallel()
	for name, linkOnly := range map[string]bool{"child": false, "link only": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, rec := newTracer(t, trace.Options{LinkOnly: linkOnly})
			member, err := baggage.NewMember("tenant", "eu")
			if err != nil {
				t.Fatal(err)
			}
			bag, err := baggage.New(member)
			if err != nil {
				t.Fatal(err)
			}
			props := propagation.MapCarrier{}
			_, send := tr.StartSend(baggage.ContextWithBaggage(t.Context(), bag), message.New("orders", []byte("b")), props)
			send.EndSend(&trace.Sent{Message: message.New("orders", []byte("b"))})

			ctx, process := tr.StartProcess(t.Context(), delivery(props), false)
			if got := baggage.FromContext(ctx).Member("tenant").Value(); got != "eu" {
				t.Errorf("baggage %q", got)
			}
			process.EndProcess(1, nil)
			sent, got := rec.Ended()[0], rec.Ended()[1]
			if got.Name() != "process orders" || got.SpanKind() != oteltrace.SpanKindConsumer {
				t.Errorf("span %q of kind %v", got.Name(), got.SpanKind())
			}
			if same := got.SpanContext().TraceID() == sent.SpanContext().TraceID(); same == linkOnly {
				t.Errorf("same trace: %v", same)
			}
			if len(got.Links()) != 1 || got.Links()[0].SpanContext.SpanID() != sent.SpanContext().SpanID() {
				t.Errorf("links %+v", got.Links())
			}
			a := attributes(got)
			want := map[string]any{
				"messaging.system": "rocketmq", "messaging.rocketmq.namespace": "", "messaging.operation.name": "process",
				"messaging.operation.type": "process", "messaging.destination.name": "orders", "messaging.message.id": "0A",
				"messaging.consumer.group.name": "shop", "messaging.rocketmq.consumption_model": "clustering",
				"messaging.rocketmq.message.tag": "paid", "messaging.destination.partition.id": "broker-a-3",
				"messaging.rocketmq.message.type": "normal",
				"server.address":                  "10.0.0.1", "server.port": int64(10911),
			}
			if diff := cmp.Diff(want, a); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUsersOwnTraceContextIsKeptAndLinked(t *testing.T) {
	t.Parallel()
	tr, rec := newTracer(t, trace.Options{})
	own := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	m := message.New("orders", []byte("b"), message.Property("traceparent", own))
	props := propagation.MapCarrier{}
	_, span := tr.StartSend(t.Context(), m, props)
	span.EndSend(&trace.Sent{Message: m})
	_, created := tr.Create(t.Context(), m, "0A", props)
	if created.Context.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("of a batch: %+v", created)
	}
	if len(props) != 0 {
		t.Errorf("injected %v over the user's context", props)
	}
	got := only(t, rec)
	if got.SpanKind() != oteltrace.SpanKindClient || len(got.Links()) != 1 || got.Links()[0].SpanContext.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("kind %v, links %+v", got.SpanKind(), got.Links())
	}
}

func TestMessageWithoutContextIsProcessedInItsOwnTrace(t *testing.T) {
	t.Parallel()
	tr, rec := newTracer(t, trace.Options{})
	_, span := tr.StartProcess(t.Context(), delivery(nil), false)
	span.EndProcess(1, nil)
	if got := only(t, rec); len(got.Links()) != 0 || got.Parent().IsValid() {
		t.Errorf("links %+v, parent %+v", got.Links(), got.Parent())
	}
}

// A body's size is told of every span that is of one message, when it is asked for.
func TestTheSizeOfABodyIsOptIn(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		tr, rec := newTracer(t, trace.Options{BodySize: asked})
		m, d := message.New("orders", []byte("12345")), delivery(nil)
		d.Body = m.Body
		_, span := tr.StartSend(t.Context(), m, propagation.MapCarrier{})
		span.EndSend(&trace.Sent{Message: m})
		tr.Create(t.Context(), m, "0A", propagation.MapCarrier{})
		_, span = tr.StartProcess(t.Context(), d, false)
		span.EndProcess(1, nil)
		tr.Ack(t.Context(), trace.Settled{Group: "shop", Delivery: d})
		if n := len(rec.Ended()); n != 4 {
			t.Fatalf("%d spans", n)
		}
		for _, s := range rec.Ended() {
			set := attribute.NewSet(s.Attributes()...)
			if size, told := set.Value("messaging.message.body.size"); told != asked || size.AsInt64() != 5 && asked {
				t.Errorf("%s, asked %t: %v, %t", s.Name(), asked, size.AsInt64(), told)
			}
		}
	}
}

func TestNilTracerDoesNothingAndAllocatesNothing(t *testing.T) {
	tr := trace.New(trace.Options{})
	if tr != nil {
		t.Fatal("a tracer without a provider")
	}
	ctx, m, d := t.Context(), message.New("orders", []byte("b")), delivery(nil)
	sent, settled := &trace.Sent{Message: m}, trace.Settled{Delivery: d}
	allocs := testing.AllocsPerRun(100, func() {
		c, span := tr.StartSend(ctx, m, nil)
		span.EndSend(sent)
		c, created := tr.Create(c, m, "1", nil)
		_, batch := tr.StartSendBatch(c, "orders", nil)
		batch.EndSend(sent)
		_, process := tr.StartProcess(c, d, false)
		process.EndProcess(1, context.Canceled)
		tr.Receive(c, trace.Received{})
		tr.Ack(c, settled)
		tr.Nack(c, settled)
		tr.Commit(c, settled)
		tr.Recall(c, created.ID, "", time.Time{}, nil)
		tr.Resent("g", "orders")
		tr.Retried(d)
		tr.DeadLettered(d)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// A provider that makes nothing costs nothing, and what the caller's ctx has travels.
func TestANoOpProviderPassesTheContextOn(t *testing.T) {
	tr := trace.New(trace.Options{Provider: noop.NewTracerProvider()})
	m, d := message.New("orders", []byte("b")), delivery(nil)
	sent, none := &trace.Sent{Message: m}, propagation.MapCarrier{}
	allocs := testing.AllocsPerRun(100, func() {
		_, span := tr.StartSend(context.Background(), m, none)
		span.EndSend(sent)
		_, process := tr.StartProcess(context.Background(), d, false)
		process.EndProcess(1, nil)
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
	props := propagation.MapCarrier{}
	ctx := oteltrace.ContextWithSpanContext(t.Context(), oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{2}}))
	tr.StartSend(ctx, m, props)
	got, _ := tr.StartProcess(t.Context(), delivery(props), false)
	if id := oteltrace.SpanContextFromContext(got).SpanID(); id != [8]byte{2} {
		t.Errorf("the handler's ctx has span %v, properties %v", id, props)
	}
}
