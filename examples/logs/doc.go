// Command logs sends a thousand lines of a log oneway, without waiting for an answer, and counts
// them by their level on the other side.
//
//	go run ./examples/logs
//
// A oneway send is for what may get lost: when it returns, the message is on its way, and if the
// broker refuses it nobody is told.
package main
