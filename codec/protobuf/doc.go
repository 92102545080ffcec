// Package protobuf is the codec for generated Protocol Buffers messages. Only programs
// that use it link google.golang.org/protobuf.
//
//	consumer.Handle(mux, "payments", func(ctx context.Context, p *pb.Paid) error { … }, consumer.Codec(protobuf.Codec{}))
package protobuf
