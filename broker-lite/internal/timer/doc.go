// Package timer delivers messages at any moment, to the millisecond (Apache's
// TimerMessageStore, which is exact to a second).
//
// A timer message waits in queue 0 of rmq_sys_wheel_timer, with the moment of
// delivery in its consume queue entry. That queue is in the order of arrival; what
// brings it into the order of delivery are slot files, one for each minute or hour
// that has deliveries, with entries of 20 bytes, big endian:
//
//	int64 offset in the timer queue | int64 moment, ms since 1970 | uint32 CRC-32 of both
//
// A message that is due within two hours goes to its minute's file, any other to
// its hour's, which is split into minutes an hour before it begins. Only the
// minutes that have begun are in memory: what is kept in memory does not grow with
// the number of messages that wait.
//
// # What is kept, and what a crash does
//
// The timer queue is the truth. Slot files (timer/m-<ms>, timer/h-<ms>) are made
// from it; timer/checkpoint says how far:
//
//	filed      entries of the queue before this one are in slot files that are synced
//	seen, at   of the entries before seen, those due up to at are delivered
//
// After a clean stop nothing is delivered twice and nothing is read again. After a
// crash the queue is read again from filed on, which may file an entry twice; loading
// a slot drops duplicates, entries that are torn, and entries that do not agree with
// the queue. Deliveries of the last second before a crash may be repeated; none is
// lost.
//
// # Recall
//
// A message with TIMER_DEL_UNIQKEY recalls another: its entry has a negative moment,
// the second in which the other is due, rounded down. From then on, for a second,
// messages with that unique key are dropped instead of delivered. After a restart it
// counts again as long as its second lasts.
//
// # What is left
//
// A record must stay in the commit log until it is delivered. When old commit log
// files are deleted one day, messages that wait must be appended again before.
package timer
