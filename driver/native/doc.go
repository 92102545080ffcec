// Package native is the driver that speaks RocketMQ's wire protocol itself.
// Factory makes it; everything else is reached through package driver.
//
// # What runs
//
// One client (one Factory call) has one client id, one connection to each
// address that it needs and these goroutines, all of which Close waits for:
//
//	routes      refreshes the routes in use every 30 s, and at once when asked
//	heartbeats  greets every broker of those routes every 30 s, and at once when
//	            a connection was lost, a group came or went, or its queues moved
//	greetings   one for each connection that is being opened
//	members     one for each subscription: shares the queues among the group
//	queues      one for each queue that this member owns
//	check-backs a bounded number
//
// # Who owns what
//
// A queue's goroutine owns its window (what was delivered and is not finished),
// where it pulls next and which offset it commits; every other goroutine leaves
// a note in its mailbox. A subscription's goroutine owns the list of its queues.
// Routes are immutable snapshots that are replaced whole. Nothing is shared by
// two clients. Locks are held for a few instructions only, and taken in this
// order: a topic's, a broker's or the check-backs' before the client's.
//
// # What it claims to be
//
// Requests say language GO and version 5.3.1 (protocol.ClientVersion). From
// 4.9.4 on, name servers answer such a client in standard JSON instead of
// fastjson's dialect with unquoted keys; above 5.3.1 a server that shuts down
// answers GO_AWAY, which means to dial the same address again and is of use only
// behind a load balancer. No server of 4.9 or 5.x asks for the language.
//
// Requests carry the binary header ("ROCKETMQ" serialization), which 4.9.7 and
// 5.4.0 both read by the codec byte of each frame. 4.9.7 answers in the codec of
// the request; 5.4.0 answers in its own (JSON, unless it was started with
// -Drocketmq.serialize.type=ROCKETMQ). Both are read here, by the frame.
//
// # Delivery
//
// A queue that is consumed in order is locked at its master broker, by a request of its
// own every 20 s, and its messages are delivered one of each lane (a key, or the whole
// queue) at a time. Its goroutine pulls, delivers and commits only while it trusts the
// lock, and gives it back after the last commit, when no handler is at work. Brokers keep
// locks in memory: when one restarts while a queue changes hands, two members may have
// the queue until the old one asks for its lock again, 20 s at most.
//
// At least once. The cases that deliver a message again: a member that ends
// without Drain or is cut off, a queue that moves to another member while its
// messages are at work, a send-back or an exact retry that was written and not
// answered, and a crash between two commits.
package native
