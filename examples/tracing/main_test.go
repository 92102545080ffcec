package main

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/examples/internal/sampletest"
	"github.com/rocketkit/rocketkit/rocketkittest"
	"github.com/rocketkit/rocketkit/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheTraceGoesFromMessageToMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		rec := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
		sampletest.Run(t, mq.Client(t, rocketkit.WithTelemetry(trace.Options{Provider: provider})), run(provider))
		names, traces := []string{}, map[string]bool{}
		for _, span := range rec.Ended() {
			t.Log(span.Name(), span.SpanContext().TraceID())
			names = append(names, span.Name())
			traces[span.SpanContext().TraceID().String()] = true
		}
		slices.Sort(names)
		want := []string{"checkout", "process invoices_traced", "process orders_traced", "send invoices_traced", "send orders_traced"}
		if diff := cmp.Diff(want, names); diff != "" || len(traces) != 1 {
			t.Errorf("%d traces; spans (-want +got):\n%s", len(traces), diff)
		}
	})
}
