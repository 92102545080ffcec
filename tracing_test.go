package rocketkit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
	"github.com/rocketkit/rocketkit/txn"
)

// With spans and RocketMQ's own message trace on, every way of sending sends, and the
// context of each send's span arrives with its message.
func TestFault17EveryWayOfSendingWorksWithTraces(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		rec := tracetest.NewSpanRecorder()
		c := s.connect(rocketkit.WithTelemetry(trace.Options{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))}), rocketkit.WithMessageTrace(""))
		kind := txn.NewKind("paid", "orders", func(context.Context, *message.Delivery) error { return nil })
		plain, lingers, decides := newProducer(t, c, "plain"), newProducer(t, c, "lingers", producer.Linger(time.Millisecond)), newProducer(t, c, "decides", txn.Kinds(kind))
		ways := map[string]func(m *message.Message) error{
			"sync":   func(m *message.Message) error { _, err := plain.Send(t.Context(), m); return err },
			"async":  func(m *message.Message) error { _, err := sendAsync(t.Context(), plain, m); return err },
			"linger": func(m *message.Message) error { _, err := sendAsync(t.Context(), lingers, m); return err },
			"oneway": func(m *message.Message) error { return plain.SendOneway(t.Context(), m) },
			"batch": func(m *message.Message) error {
				_, err := plain.SendBatch(t.Context(), []*message.Message{m, message.New("others", []byte("x"))})
				return err
			},
			"transaction": func(m *message.Message) error {
				_, err := kind.Send(t.Context(), decides, m, func(context.Context, message.SendResult) error { return nil })
				return err
			},
			"request": func(m *message.Message) error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := plain.Request(ctx, m); ctx.Err() == nil {
					return err // and not for want of a reply
				}
				return nil
			},
		}
		for way, send := range ways {
			if err := send(message.New("orders", []byte(way))); err != nil {
				t.Errorf("%s: %v", way, err)
			}
		}
		got := consume(t, c, "shop", "orders").take(len(ways))
		if err := c.Close(); err != nil { // and so end the spans
			t.Fatal(err)
		}
		spans := map[string]bool{}
		for _, span := range rec.Ended() {
			spans[span.SpanContext().SpanID().String()] = span.Name() == "send orders" || span.Name() == "create orders"
		}
		for _, d := range got {
			if part := strings.Split(d.Property("traceparent"), "-"); len(part) != 4 || !spans[part[2]] {
				t.Errorf("%s arrived with the context %q of none of its topic's sends", d.Body, part)
			}
			delete(ways, string(d.Body))
		}
		if len(ways) > 0 {
			t.Errorf("%d ways did not arrive: %v", len(ways), got)
		}
	})
}
