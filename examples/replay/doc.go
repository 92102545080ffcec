// Command replay consumes ten payments, and then those of a moment on once more: RocketMQ keeps
// messages when they are consumed, so a group can be moved back in time.
//
//	go run ./examples/replay
package main
