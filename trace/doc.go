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
// driver/clientgo makes no nack spans, since rocketmq-client-go sends messages back by itself,
// and knows no client id and not which address has refused a send.
//
// The spans have the required, conditional and recommended attributes of the conventions as
// far as they are known, and with BodySize that of the body. Where nobody was asked, as for
// messages that a handler or Fetcher.Fetch gets, server.address is where they were stored.
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
// docs/grafana has dashboards and alert rules of them.
//
// # RocketMQ's own message trace
//
// It has nothing to do with OpenTelemetry: clients write what they did with a message into
// messages of a topic, RMQ_SYS_TRACE_TOPIC unless another is named, where mqadmin
// queryMsgTraceById, the dashboard and admin.Client.Trace find it by the message's id.
// Brokers have that topic with traceTopicEnable=true; with traceOn=false they ask for
// no trace. It is off unless rocketkit.WithMessageTrace or the configuration's
// telemetry.message_trace says otherwise.
//
//	Pub             a send that a broker has answered, with its status; each message of a
//	                batch or of Linger; a half message
//	EndTransaction  what was decided about a half message, by its producer or when asked
//	Recall          a timer message that was called back, or that a broker refused to
//	SubBefore       a run of a handler begins, for each of its messages; Puller.Pull,
//	                Fetcher.Fetch or SimpleConsumer.Receive hands a message out
//	SubAfter        it has ended: SUCCESS (also retry.Skip), FAILED (an error), EXCEPTION (a
//	                panic), TIME_OUT (the consume time-out is over, whatever it returned),
//	                RETURNNULL (it ended its goroutine)
//
// A message that was asked for ends when it is answered: SUCCESS for Ack, FAILED for
// DeadLetter and Fetcher.Retry, RETURNNULL for one without an answer when a Fetcher ends,
// and TIME_OUT when a SimpleConsumer answers after Invisible, or receives again and has not
// answered. What a Puller hands out is SUCCESS at once, as Java's DefaultLitePullConsumer
// traces it, since nobody says what becomes of it.
//
// The records are byte for byte those of Java's client 5.4.0, which 4.9 writes too but for
// Recall, and carry names without the namespace. Otherwise than Java's, the messages of a
// batch have one each, found by their own ids, instead of one for all;
// timer messages are of the type Delay_Msg; recalls need no further switch; and messages
// without a region, which are those of 4.9 brokers and of batches, are traced when they are
// consumed. A send without an answer, as every oneway one, has no record, and neither have
// messages to the trace topic itself.
//
// A record waits up to a second for others. One goroutine of the client sends them, by a
// producer of its own in the group _INNER_TRACE_PRODUCER-rocketkit, with the client's
// credentials and without its namespace. No send or handler waits for it: what finds no room
// in a buffer of about 2.5 MiB, or cannot be sent, is dropped and logged, once a minute at
// most; after a failure it pauses for 1 s, doubled up to a minute. The client's Drain sends
// the rest.
package trace
