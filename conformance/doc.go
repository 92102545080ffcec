// Package conformance proves that the SDK and the servers understand each other.
//
// Its cases are written once, against the public API of the module, and run on
// every leg: a server and a driver.
//
//	broker-lite                    native              real TCP, in this process
//	broker-lite in virtual time    native              hours of delays in an instant
//	broker-lite                    rocketmq-client-go
//	Apache RocketMQ 5.4.0          native              from its published jars
//	Apache RocketMQ 4.9.7          native
//
// Foreign clients prove broker-lite in their turn: Apache's Java clients and
// mqadmin, and rocketmq-client-go. A standalone broker is killed under load, and
// must keep what it has acknowledged; so are members of a group, which must handle it.
// With -tags soak and ROCKETKIT_APACHE=1 the parts of a cluster of Apache's
// with slaves are killed one after the other.
//
// go test ./conformance runs broker-lite's legs. With ROCKETKIT_APACHE=1 the legs
// on Apache RocketMQ and the Java clients run too; package apache says what they
// need. A case that a leg cannot run is not applicable there, which its table
// shows: docs/conformance.md, written by
//
//	ROCKETKIT_APACHE=1 go test ./conformance/... -update
//
// # Cases
//
// A case is a function of a *stand, which has the server, makes clients and gives
// out topics and groups that no other case uses; many cases share a server. What a
// case needs beyond that it says in the table of cases_test.go. Cases wait for
// conditions and never for times, so that they hold in virtual time as well.
package conformance
