// Package codec turns values into message bodies and back.
//
// [Text] takes strings and bytes as they are, [JSON] everything that
// encoding/json can, [Raw] bytes only. [For] chooses one for a type the way
// consumers do when none is named: the body as it is for strings and byte slices,
// JSON for the rest. codec/protobuf and codec/cloudevents are packages of their own,
// linked by those who use them.
//
// # What a message says of itself
//
// [Encode] notes a codec's media type in the property contentType, as rocketmq-spring
// does. [ByContentType] reads it, for topics whose producers do not all use one codec:
//
//	consumer.NewMux("pay", consumer.Codec(codec.ByContentType(codec.JSON{}, protobuf.Codec{})))
//
// Messages that say nothing, and those of Java's plain client, take its first.
package codec
