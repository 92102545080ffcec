// Package trace makes OpenTelemetry spans of sends and handler runs, with the
// attributes of the messaging conventions, and carries the W3C trace context
// from producer to consumer in the message's properties (traceparent,
// tracestate, baggage).
//
// It knows the OpenTelemetry API only: the application brings the SDK and its
// exporters and hands over a TracerProvider. Without one a Tracer is nil, and a
// nil Tracer costs a comparison.
package trace
