// Package pop knows which messages are invisible: popped by a group, and neither
// acknowledged nor visible again (Apache's PopBufferMergeService, PopReviveService
// and ConsumerOrderInfoManager). It reads no requests; package broker does.
//
// # Who does what
//
// A pop claims a queue, reads from the claim's offset, takes what it found, and
// answers when that is in the journal. An acknowledgement takes a message out. A
// message whose time is up is appended to the group's retry topic by the clock's
// alarm, one reconsumeTimes higher, and then taken out. Nothing in memory belongs
// to a message that is visible or settled.
//
// Popped in order, the messages of an answer lock their queue for their group until
// all are acknowledged or their time is up; then the queue is read again from the
// first that is not acknowledged. They never go to a retry topic.
//
// # What is kept
//
// Every change is an entry of the journal: a record in queue 0 of
// rmq_sys_REVIVE_LOG_<cluster>, with entries side by side in its body. Entries are
// entered in the order in which they change the tables, and one append at a time
// takes all that have gathered. A pop or an acknowledgement is answered when its
// entry is stored, so what was answered outlives the process, and under synchronous
// flush a power cut.
//
//	byte kind | text topic | text group | varint queue | varint… (see entry.go)
//
// pop/state has the tables as they were at one moment, and the offset in the journal
// behind the last entry they include: Open reads it, and the journal from there on.
// It is written some seconds after a change, and on Close, after the log is synced.
// An entry that is applied twice does no harm.
//
// The group's consumer offset is behind the last message that was popped, as on
// Apache. It is committed within a second, when the entry that says what is
// invisible before it is durable: a power cut may show messages twice, but loses
// none. When somebody else moves it, the queue goes on from there, and invisible
// messages behind the new offset are forgotten.
//
// # Limits
//
// Options.MaxPerQueue bounds the invisible messages of a queue and group, maxTotal
// all of them. A queue that has reached its limit has nothing to pop.
package pop
