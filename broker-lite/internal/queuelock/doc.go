// Package queuelock keeps the locks that members of a consumer group take on queues
// to consume them in order (Apache's RebalanceLockManager).
//
// A lock is a client's for 60 s from when it was last taken; clients take theirs
// again every 20 s. It ends by that or when the client gives it back; that its
// connection closes does not end it, so that a member which comes back still has its
// queues. Locks are in memory only, as on Apache.
//
// Liveness is by package time. One mutex guards the table.
package queuelock
