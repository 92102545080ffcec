package trace_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// Applications hand Options to rocketkit.WithTelemetry; New is for those who
// assemble a producer or consumer themselves.
func ExampleNew() {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	tracer := trace.New(trace.Options{Provider: provider})

	_, span := tracer.StartProcess(context.Background(), &message.Delivery{Topic: "orders", Group: "shop"}, false)
	span.EndProcess(1, nil)

	fmt.Println(spans.Ended()[0].Name())
	// Output: process orders
}
