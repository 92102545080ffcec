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
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
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
			"server.address": "127.0.0.1", "server.port": int64(10911),
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	for name, tc := range map[string]struct {
		opts []message.Option
		want map[string]any
	}{
		"plain": {nil, nil},
		"tag and keys": {[]message.Option{message.Tag("paid"), message.Key("1", "2")},
			map[string]any{"messaging.rocketmq.message.tag": "paid", "messaging.rocketmq.message.keys": []string{"1", "2"}}},
		"ordered": {[]message.Option{message.ShardingKey("k")},
			map[string]any{"messaging.rocketmq.message.group": "k", "messaging.rocketmq.message.type": "fifo"}},
		"delay level": {[]message.Option{func(m *message.Message) { m.Delay.Level = 3 }},
			map[string]any{"messaging.rocketmq.message.type": "delay", "messaging.rocketmq.message.delay_time_level": int64(3)}},
		"delivery time": {[]message.Option{func(m *message.Message) { m.Delay.At = at }},
			map[string]any{"messaging.rocketmq.message.type": "delay", "messaging.rocketmq.message.delivery_timestamp": at.UnixMilli()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, rec := newTracer(t, trace.Options{Namespace: "ns"})
			_, span := tr.StartSend(t.Context(), message.New("orders", []byte("b"), tc.opts...), "0A0B", propagation.MapCarrier{})
			span.EndSend(message.SendResult{Queue: message.Queue{Topic: "orders", Broker: "broker-a", ID: 3}}, "127.0.0.1:10911", nil)
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
		err  error
		want string
	}{
		"refused": {fmt.Errorf("outer: %w", &message.BrokerError{Code: 2, Name: "SYSTEM_BUSY"}), "SYSTEM_BUSY"},
		"other":   {errors.New("boom"), "_OTHER"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, rec := newTracer(t, trace.Options{})
			_, span := tr.StartSend(t.Context(), message.New("orders", nil), "1", propagation.MapCarrier{})
			span.EndSend(message.SendResult{}, "", tc.err)
			got := only(t, rec)
			a := attributes(got)
			if a["error.type"] != tc.want || got.Status().Code != codes.Error || got.Status().Description != tc.err.Error() {
				t.Errorf("error.type %v, status %+v", a["error.type"], got.Status())
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
			_, send := tr.StartSend(baggage.ContextWithBaggage(t.Context(), bag), message.New("orders", []byte("b")), "0A", props)
			send.EndSend(message.SendResult{}, "", nil)

			ctx, process := tr.StartProcess(t.Context(), delivery(props))
			if got := baggage.FromContext(ctx).Member("tenant").Value(); got != "eu" {
				t.Errorf("baggage %q", got)
			}
			process.End(nil)
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
				"server.address": "10.0.0.1", "server.port": int64(10911),
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
	_, span := tr.StartSend(t.Context(), m, "0A", props)
	span.EndSend(message.SendResult{}, "", nil)
	tr.Inject(t.Context(), m, props)
	if len(props) != 0 {
		t.Errorf("injected %v over the user's context", props)
	}
	got := only(t, rec)
	if got.SpanKind() != oteltrace.SpanKindClient || len(got.Links()) != 1 || got.Links()[0].SpanContext.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("kind %v, links %+v", got.SpanKind(), got.Links())
	}
}

func TestBatchSpanCountsItsMessages(t *testing.T) {
	t.Parallel()
	tr, rec := newTracer(t, trace.Options{})
	ctx, span := tr.StartBatch(t.Context(), "orders", 7)
	props := propagation.MapCarrier{}
	tr.Inject(ctx, message.New("orders", []byte("b")), props)
	span.EndSend(message.SendResult{}, "", nil)
	got := only(t, rec)
	if n := attributes(got)["messaging.batch.message_count"]; n != int64(7) {
		t.Errorf("message count %v", n)
	}
	if !strings.Contains(props["traceparent"], got.SpanContext().SpanID().String()) {
		t.Errorf("injected %v, span %v", props, got.SpanContext().SpanID())
	}
}

func TestMessageWithoutContextIsProcessedInItsOwnTrace(t *testing.T) {
	t.Parallel()
	tr, rec := newTracer(t, trace.Options{})
	_, span := tr.StartProcess(t.Context(), delivery(nil))
	span.End(nil)
	if got := only(t, rec); len(got.Links()) != 0 || got.Parent().IsValid() {
		t.Errorf("links %+v, parent %+v", got.Links(), got.Parent())
	}
}

func TestNilTracerDoesNothingAndAllocatesNothing(t *testing.T) {
	tr := trace.New(trace.Options{})
	if tr != nil {
		t.Fatal("a tracer without a provider")
	}
	ctx, m, d := t.Context(), message.New("orders", []byte("b")), delivery(nil)
	allocs := testing.AllocsPerRun(100, func() {
		c, span := tr.StartSend(ctx, m, "1", nil)
		span.EndSend(message.SendResult{}, "", nil)
		_, batch := tr.StartBatch(c, "orders", 2)
		tr.Inject(c, m, nil)
		batch.End(nil)
		_, process := tr.StartProcess(c, d)
		process.End(context.Canceled)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
