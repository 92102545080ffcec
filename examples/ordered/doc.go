// Command ordered sends the states of three orders. Each order's states are handled in their
// order, while different orders are handled at the same time: a state that fails holds up its
// own order only.
//
//	go run ./examples/ordered
package main
