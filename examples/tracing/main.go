package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

func main() {
	exporter, err := stdouttrace.New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// A service takes WithBatcher, and calls Shutdown at its end.
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	sample.Main(run(provider), sample.Client(rocketkit.WithTelemetry(trace.Options{Provider: provider})))
}

func run(provider *sdktrace.TracerProvider) sample.Run {
	return func(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
		producer, err := client.NewProducer("tracing_producer_group")
		if err != nil {
			return err
		}
		invoiced := make(chan string, 100)
		mux := consumer.NewMux("tracing_group", consumer.From(consumer.First))
		consumer.Handle(mux, "orders_traced", func(ctx context.Context, order string) error {
			// ctx has the span of this handler, so what it sends belongs to the trace.
			_, err := producer.Send(ctx, message.New("invoices_traced", []byte(order)))
			return err
		})
		consumer.Handle(mux, "invoices_traced", func(_ context.Context, order string) error {
			invoiced <- order
			return nil
		})
		c, err := client.NewConsumer(mux)
		if err != nil {
			return err
		}
		if err := c.Start(ctx); err != nil {
			return err
		}

		spanCtx, checkout := provider.Tracer("shop").Start(ctx, "checkout") // such as that of an HTTP request
		_, err = producer.Send(spanCtx, message.New("orders_traced", []byte("order-1")))
		checkout.End()
		if err != nil {
			return err
		}
		if err := sample.Wait(ctx, invoiced, 1); err != nil {
			return err
		}
		if err := c.Drain(ctx); err != nil { // and so end the handlers' spans
			return err
		}
		say("all spans have the trace %s: checkout, send, process, send, process", checkout.SpanContext().TraceID())
		return nil
	}
}
