// Command request-reply asks for the prices of two articles by messages, and waits for the
// answers. The third question is one that nobody answers.
//
//	go run ./examples/request-reply
package main
