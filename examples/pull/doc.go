// Command pull reads the queues of a topic by itself, 32 messages at a time, and keeps the
// offsets itself. It shows the four statuses of a pull.
//
//	go run ./examples/pull
package main
