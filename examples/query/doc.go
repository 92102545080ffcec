// Command query sends 100 messages to TopicTest1 with the tag TagA and the key key113, and then
// finds them by their key, and one by its id.
//
//	go run ./examples/query
package main
