// Package cloudevents is the codec for CloudEvents 1.0, in the binding that the Java SDK
// has for RocketMQ (io.cloudevents.rocketmq): what one of them sends, the other reads.
//
//	consumer.Handle(mux, "orders", func(ctx context.Context, e cloudevents.Event) error { … }, consumer.Codec(cloudevents.Codec{}))
//	consumer.Handle(mux, "orders", func(ctx context.Context, o Order) error { … }, consumer.Codec(cloudevents.Codec{}))
//
// The first takes the whole event, the second its data; [From] has the attributes there.
//
// # Modes
//
// Both modes are read. In binary mode, which is sent unless Codec.Structured is set, the
// body is the data and each attribute is a property: CE_id, CE_source, CE_type and so on,
// extensions too, and CE_contenttype for datacontenttype; an event without data has the
// body "\x00". In structured mode the body is the event in JSON, and CE_contenttype is
// application/cloudevents+json. The property contentType says the same as CE_contenttype,
// so that handlers which know nothing of CloudEvents take the data of a binary event.
//
// Java's SDK (4.0) sends extensions as properties without the prefix, which cannot be
// told from any others; they are left where they are, in the message's properties.
package cloudevents
