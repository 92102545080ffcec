// Package schedule delivers the messages that were sent with a delay level
// (Apache's ScheduleMessageService).
//
// Level n waits in queue n-1 of SCHEDULE_TOPIC_XXXX. Its consume queue has the
// moment of delivery where others have the tags' hash. All messages of a level
// have the same delay, so that a queue is in the order of its deliveries, and the
// service needs to know only how far it has come in each. One alarm, set to the
// earliest of the queues' next moments, serves all levels.
//
// A message that is due is appended to its real topic and queue, with its
// properties as they are, DELAY included: Apache clears that in memory only.
//
// # What is kept
//
// config/delayOffset.json has, in Apache's form, the next queue offset of each
// level. It is written a second after a delivery, and on Close. After a clean stop
// nothing is delivered twice. After a crash the deliveries of the last second may
// be repeated; none is lost, for an offset is noted only when the message behind
// it is stored.
package schedule
