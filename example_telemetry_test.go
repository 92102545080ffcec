package rocketkit_test

import (
	"context"
	"fmt"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// The handler's span is in the trace of the send. Programs take the provider of their own
// set-up, such as otel.GetTracerProvider().
func ExampleWithTelemetry() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := brokerlite.Start(ctx, brokerlite.InMemory())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close(ctx)
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: server.NameServers()}, rocketkit.WithTelemetry(trace.Options{Provider: provider}))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := consumer.NewMux("pay_consumer_group", consumer.From(consumer.First))
	consumer.Handle(mux, "payments", func(context.Context, string) error {
		cancel()
		return nil
	})
	payments, err := client.NewConsumer(mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	producer, err := client.NewProducer("pay_group")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := producer.Send(ctx, message.New("payments", []byte("o-1"))); err != nil {
		fmt.Println(err)
		return
	}
	if err := rocketkit.Run(ctx, client, payments); err != nil { // until the message is handled
		fmt.Println(err)
	}
	send, process := spans.Ended()[0], spans.Ended()[1]
	fmt.Println(send.Name(), send.SpanKind())
	fmt.Println(process.Name(), process.SpanKind(), process.Parent().SpanID() == send.SpanContext().SpanID())
	// Output:
	// send payments producer
	// process payments consumer true
}
