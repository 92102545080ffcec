// Package protocol is RocketMQ's remoting protocol as bytes: frames, the JSON
// and the binary header codec, the header of each request code, message
// records, properties, ids and the JSON bodies with fastjson's dialect.
//
// It does no I/O, starts no goroutine and imports nothing of this module.
// Nothing in it panics on input, and no decoder allocates more than a small
// multiple of the bytes it was given: every length is checked against what is
// left before anything is made of it.
//
// # Frames
//
//	int32 length                      the rest of the frame, itself excluded
//	int32 codec<<24 | headerLength
//	header                            JSON (0) or binary (1)
//	body
//
// Headers are decoded into a Command whose Fields share one string copied from
// the frame, so that they stay valid after the read buffer is used again;
// Command.Body aliases the buffer. Typed headers (SendRequest, PullRequest …)
// read themselves from Fields and write themselves through a FieldWriter,
// without reflection and without a map.
//
// # Bodies
//
// Most bodies are JSON: EncodeBody and DecodeBody, or a pair of functions of
// their own where a Java map has keys that JSON cannot have. All decoders take
// fastjson's dialect, which NormalizeJSON turns into standard JSON.
//
// # Errors
//
// ErrMalformedFrame and ErrFrameTooLarge end a connection; ErrMalformedBody,
// ErrMalformedRecord and FieldError concern one request.
package protocol
