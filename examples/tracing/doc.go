// Command tracing sends an order, whose handler sends an invoice, within one trace, and writes
// its spans to the standard output. The trace travels with the messages.
//
//	go run ./examples/tracing
//
// With another exporter, such as OTLP's, the spans go to Jaeger or Tempo instead.
package main
