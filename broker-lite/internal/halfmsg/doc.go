// Package halfmsg looks after half messages: transactional messages between their
// send and their commit or rollback (Apache's TransactionalMessageServiceImpl).
//
// A half message is stored in queue 0 of RMQ_SYS_TRANS_HALF_TOPIC, with its own
// topic and queue in its properties. When it is committed, a copy goes to these.
// Either way its end is noted by a record in queue 0 of
// RMQ_SYS_TRANS_OP_HALF_TOPIC, tag "d", whose body has the queue offsets of the
// half messages that are done with: "12,15,".
//
// # Check-back
//
// Every transactionCheckInterval, on a grid that begins with the broker, the half
// messages that are older than their immunity (transactionTimeOut, or the
// message's CHECK_IMMUNITY_TIME_IN_SECONDS) are checked: each is appended again,
// with TRANSACTION_CHECK_TIMES one higher, and a member of its producer group is
// asked for the outcome (code 39). One that was checked transactionCheckMax times
// goes to TRANS_CHECK_MAX_TIME_TOPIC instead. While nothing is old enough nothing
// runs.
//
// # What differs from Apache
//
//   - The half messages that are open are known, in memory: some hundred bytes for
//     each. A commit that comes twice delivers once, and a commit that names a half
//     message from before its last check ends the checked copy too. Apache delivers
//     twice in both cases.
//   - Ends are noted at once, not collected for 3 s, and so is the move of a half
//     message that is appended again.
//   - Immunity is measured from the moment at which the broker stored a message, so
//     that a producer's clock does not matter.
//   - A half message with an immunity of its own waits in its place instead of being
//     appended again and again.
//
// # What is kept
//
// The offsets of the group CID_RMQ_SYS_TRANS, as on Apache: that of the oldest open
// half message, and one in the op queue from where its end, and those of all later
// ones, would be found. Open reads both queues from there, and the log from the last
// ends on: a commit or a copy that was stored at the last moment before a crash, and
// not noted any more, is found there and noted. Only when more than a record's worth
// of ends (400) waited to be noted, or the disk had refused them, may a committed half
// message be checked again, and be delivered twice.
package halfmsg
