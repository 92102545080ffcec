// Package clientgo is the driver over apache/rocketmq-client-go/v2, for programs
// that move to rocketkit in steps, or compare. One option chooses it:
//
//	client, err := rocketkit.Open(ctx, cfg, rocketkit.WithDriver(clientgo.Name, clientgo.Factory))
//
// It is written for version v2.1.2. rocketmq-client-go is used for what happens
// below the seam only: its interceptors, its retries and its trace are not used.
//
// # What it can do
//
//	                          native          rocketmq-client-go
//	send, oneway              yes             yes; an attempt ends after 3 s at the latest
//	batch                     yes             yes
//	transactions              yes             no
//	delay levels              yes             yes
//	delays by time            yes             no: it does not tell brokers before 5.0 apart
//	push, tags                yes             yes, in ASCII; begins when one topic exists
//	push, SQL92               yes             no: it pulls by tags
//	batch handlers            yes             yes; in offset order within a batch only
//	fetch                     yes             yes, but for Commit
//	pull, POP, request/reply  yes             no
//	recall of timer messages  yes             no
//	reads from a slave        yes             no: it asks only masters where a group is
//	name servers by endpoint  yes             no: the answer is kept in a file that all clients share
//	exact retry delays        yes             no: rounded up to a level, and logged
//	dead letters              yes             yes
//	ordered consumption       yes             no (see below)
//	broadcasting              yes             no (see below)
//	drain                     yes             yes, by this package
//	compressed bodies, sent   zlib, LZ4,      zlib
//	                          Zstandard
//	compressed bodies, read   the same        zlib; others are retried
//	TLS                       verified        no
//	Dial function             yes             no
//	VIP channel               yes             no: its option does nothing
//	credentials               yes             yes
//	namespaces                yes             yes, by this package: its own prefix names twice
//	ctx on routes, sends      yes             yes, by this package; the work goes on behind
//	time intervals            configurable    3 s requests, 30 s heartbeats and routes, 5 s commits, 20 s polls
//	flow control              any             at most 65,535 messages, 1 GiB in whole MiB, a span of 65,535
//
// What is missing is refused with message.ErrUnsupported and a remedy.
//
// # Concurrency
//
// rocketmq-client-go's callback says by its result what becomes of a message, so
// each message blocks one of its goroutines from delivery until it is settled. It
// runs as many of them as MaxUnsettled allows for each queue (1000 unless set):
// a subscription to 8 queues with slow handlers holds up to 8000. Handlers run in
// the consumer's pools, as with every driver.
//
// # What is guarded here
//
// rocketmq-client-go does the following, and does not do it under this driver:
//
//   - A callback that returns an error beside the zero result acknowledges the
//     message. Here every path returns a result that is meant.
//   - A callback that panics leaves its message with neither an acknowledgement
//     nor another delivery, until a time-out of 15 to 30 minutes. Here a panic is
//     caught and the message retried.
//   - A message that takes longer than that time-out is given back while it is at
//     work. Here it is not.
//   - A consumer slower than 120 s for a batch loses its queue and gets it back,
//     with all it has not acknowledged. Here pulls stop before they block.
//   - When it gives up one queue it commits that one's offset and forgets the
//     others', as far as they were not committed. Here all are committed before.
//   - A consumer that starts before its topic exists fails for good. Here it waits,
//     and takes a topic that is made later, such as the retry topic at the first
//     greeting, within 2 s instead of 50.
//   - A retried message whose first topic the group does not subscribe to (any
//     more), such as a dead letter, is given back for ever. Here it is delivered.
//   - Shutdown puts pulled messages into channels that it has closed, which can
//     end the process, does not wait for callbacks, and gives up what they
//     acknowledge later. Here it has no queues any more when it is called.
//   - Shutdown loses the commits that it has just written when an answer comes in
//     as it closes the connection. Here the brokers have read them by then.
//   - A client is looked up by its instance name in a table of the process, and
//     the first one's credentials, group and transactions serve all. Here every
//     sender and subscription has a name of its own.
//   - A message that was compressed is sent with its old body again. Here every
//     attempt has a message of its own.
//   - An async send that times out ends the process (v2.1.2). Here sends are
//     synchronous, each in a goroutine.
//   - The deadline of one caller's ctx closes the connection of all (later
//     versions). Here ctx is not handed on.
//   - Unique ids repeat above 65,536 messages a second. Here they do not.
//   - A body whose compression it does not know is delivered as it is. Here it is
//     not delivered.
//   - A sharding key is written under a name that nobody reads, name servers must
//     be numbers, addresses of IPv6 are cut to four bytes.
//
// # What is not
//
// These remain, and are reasons to choose the native driver:
//
//   - A send-back that the broker refuses loses the message: the answer is not
//     read. So do not delete a group, or take its permissions, while it consumes.
//   - A message whose send-back could not be sent is delivered again after 5 s by
//     the same process, as often as that happens.
//   - While it connects to one broker that does not answer, nothing else connects
//     or finds its connection, up to 15 s.
//   - A connection that is lost fails its requests only when they time out.
//   - It races with itself on routes, offsets and flags (go test -race says so),
//     and calls on the same queue can overlap while a group is balanced anew.
//   - Queues that a topic gets while the group consumes it are found within 50 s.
//   - A new group that begins at a time gets all of a queue whose first message is
//     still there: it takes the broker's 0 for an offset that the group has.
//   - Nothing is unregistered: a broker forgets a member when its connection
//     closes.
//   - The whole group of processes must agree on one way of sharing queues; the
//     ctx of a queue does not end when all queues of its topic vanish, or when
//     the broker moves its offset.
//   - Orderly consumption loses messages and queues (a retry is acknowledged by
//     the next success, a panic ends the queue, lost locks go unnoticed), and
//     broadcasting keeps offsets under the process id: neither is offered.
//
// # What it leaves running
//
// Close and the ends of senders and subscriptions wait for everything that this
// package started. rocketmq-client-go leaves goroutines asleep, 15 of them for
// each subscription until the next full minute, hour and month: LeakedFunctions
// names them, for goleak. It logs to a variable of the process: see UseLogger.
package clientgo
