// Command retry-dlq handles three payments: one that works, one that works when it is tried
// again, and one that cannot work and becomes a dead letter. When the cause is mended, the dead
// letter is sent back to its group.
//
//	go run ./examples/retry-dlq
package main
