// Command broadcast sends changes of the settings to every member of a group: both of two
// servers hear of each.
//
//	go run ./examples/broadcast
//
// A member keeps its offsets in a file of its own. Here it is in a temporary directory, since
// nobody goes on where these members end.
package main
