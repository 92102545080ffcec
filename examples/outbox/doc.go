// Command outbox writes orders and what is to be told of them into one database transaction;
// a relay sends what was committed. An order that is rolled back is not heard of, and one
// that was committed while no relay ran is told later. The other side passes over what
// comes twice.
//
//	go run ./examples/outbox
package main
