// Package trace tells OpenTelemetry what a client does, with the names and attributes of
// the semantic conventions for messaging (of version 1.39.0), and carries the W3C trace
// context from producer to consumer in the message's properties (traceparent,
// tracestate, baggage).
//
// It knows the OpenTelemetry API only: the application brings the SDK and its
// exporters and hands over the providers that it wants used:
//
//	client, err := rocketkit.Open(ctx, cfg, rocketkit.WithTelemetry(trace.Options{
//		Provider:      tracerProvider,
//		MeterProvider: meterProvider,
//	}))
//
// telemetry.traces and telemetry.metrics of the configuration switch them off again. Without
// a provider a Tracer is nil, and a nil Tracer costs a comparison.
//
// # Spans
//
//	send <topic>     PRODUCER  a message on its way, with all attempts: Send, SendAsync, SendOneway,
//	                           Request, Reply, a half message; the time of Linger included
//	create <topic>   PRODUCER  each message of SendBatch
//	send <topic>     CLIENT    a request of SendBatch, linked to its messages; also a message with
//	                           a traceparent of its own, which is kept, linked to that
//	recall <topic>   CLIENT    Producer.Recall
//	process <topic>  CONSUMER  a run of a handler, with its immediate retries
//	receive <topic>  CLIENT    Puller.Pull, Fetcher.Fetch that got something, SimpleConsumer.Receive
//	ack <topic>      CLIENT    SimpleConsumer.Ack, for each message
//	nack <topic>     CLIENT    a message that goes back to the broker: send-back, exact retry, dead letter
//	commit <topic>   CLIENT    Puller.Commit, for each queue, and Fetcher.Commit
//
// A process span is the child of what sent the message, and linked to it; with LinkOnly it
// begins a trace of its own. That of a batch is linked only. A nack that a handler caused
// goes by the same rules. All others are children of the ctx that the method was given.
// Messages that wait in memory have no spans, and acknowledgements of a Consumer or Fetcher
// neither: they are no requests, but offsets that are committed every 5 s.
// driver/clientgo makes no nack spans, since rocketmq-client-go sends messages back by itself.
//
// error.type is the broker's code by name, such as SYSTEM_BUSY, else _OTHER. Of a retried
// message nobody knows any more whether it was delayed, so that
// messaging.rocketmq.message.type is left out, unless it is transaction or fifo.
//
// # Metrics
//
// Of the conventions, with error.type where something failed:
//
//	messaging.client.operation.duration  histogram, s           all of the above but create and process
//	messaging.client.sent.messages       counter, {message}     messages that a broker was asked to store
//	messaging.client.consumed.messages   counter, {message}     messages that handlers or the program got
//	messaging.process.duration           histogram, s           runs of handlers
//
// Their attributes are system, operation, topic, consumer group and server, but not the queue,
// which would multiply the series. rocketkit's own:
//
//	rocketkit.producer.in_flight      up-down counter, {request}  by group
//	rocketkit.producer.retries        counter, {attempt}          by group and topic
//	rocketkit.producer.breaker.state  up-down counter, {breaker}  by group, broker and state: 1 for the one it is in
//	rocketkit.consumer.in_flight      up-down counter, {message}  by group and handler; received and not settled
//	rocketkit.consumer.lag            up-down counter, {message}  by group and queue; stored and not settled
//	rocketkit.consumer.retries        counter, {message}          by group and topic
//	rocketkit.consumer.dead_letters   counter, {message}          by group and topic
//
// The up-down counters are read when metrics are collected; several producers or consumers
// of one group in a process add up. Lag is what the last pull told; driver/clientgo does not
// know it. In a namespace all metrics have messaging.rocketmq.namespace too.
package trace
