package trace_test

import (
	"context"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// What the conventions ask for: a duration is its span's, to the nanosecond.
func TestADurationIsItsSpans(t *testing.T) {
	t.Parallel()
	rec, r := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	tr := trace.New(trace.Options{
		Provider:      sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)),
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r)),
	})
	_, span := tr.StartProcess(t.Context(), delivery(nil), false)
	span.EndProcess(1, nil)
	ended := only(t, rec)
	for _, m := range collect(t, r) {
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
			if want := ended.EndTime().Sub(ended.StartTime()).Seconds(); h.DataPoints[0].Sum != want {
				t.Errorf("%s is %v s, its span %v s", m.Name, h.DataPoints[0].Sum, want)
			}
			return
		}
	}
	t.Error("no duration was recorded")
}

// Metrics need no TracerProvider, and bring no context into messages.
func TestMetricsGoWithoutSpans(t *testing.T) {
	t.Parallel()
	r := sdkmetric.NewManualReader()
	tr := trace.New(trace.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r))})
	m := message.New("orders", []byte("b"))
	_, span := tr.StartSend(t.Context(), m, nil)
	span.EndSend(&trace.Sent{Message: m, Tried: true})
	_, created := tr.Create(t.Context(), m, "0A", nil)
	_, span = tr.StartSendBatch(t.Context(), "orders", []trace.Created{created})
	span.EndSend(&trace.Sent{Batch: 3, Tried: true})
	_, span = tr.StartProcessBatch(t.Context(), []*message.Delivery{delivery(nil), delivery(nil)}, false)
	span.EndProcess(2, context.Canceled)
	_, span = tr.StartProcess(t.Context(), delivery(nil), false)
	span.EndProcess(1, nil)
	tr.Receive(t.Context(), trace.Received{Group: "shop", Deliveries: []*message.Delivery{delivery(nil)}})
	tr.Nack(t.Context(), trace.Settled{Group: "shop", Delivery: delivery(nil), Later: true})
	tr.Recall(t.Context(), "orders", "", time.Now(), nil)
	sums := map[string]int64{}
	for _, m := range collect(t, r) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				sums[m.Name] += p.Value
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				sums[m.Name] += int64(p.Count)
			}
		}
	}
	for name, want := range map[string]int64{
		"messaging.client.sent.messages": 4, "messaging.client.consumed.messages": 4,
		"messaging.client.operation.duration": 5, "messaging.process.duration": 2,
	} {
		if sums[name] != want {
			t.Errorf("%s is %d, want %d", name, sums[name], want)
		}
	}
}

func collect(t *testing.T, r *sdkmetric.ManualReader) []metricdata.Metrics {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	return rm.ScopeMetrics[0].Metrics
}
