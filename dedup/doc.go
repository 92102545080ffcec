// Package dedup remembers which messages were handled, so that one that comes again is
// not handled again:
//
//	consumer.Handle(mux, "payments", onPaid, consumer.Deduplicate(dedup.NewMemory()))
//
// A Store is asked before the handler runs and told afterwards. Memory is one process's;
// dedup/sql and dedup/redis are for all members of a group.
//
// # What it guarantees
//
// Delivery stays at least once, and so does handling: a store narrows the gap, and does
// not close it. A message whose handler has returned nil is passed over, and
// acknowledged, for the time that it is remembered. While one member is at work with it
// the others get it again later. It is handled again when
//
//   - the handler had failed, or its process ended before it returned;
//   - its process ended, or the store failed, after the handler returned and before that
//     was noted;
//   - the handler went on for a minute after its ctx had ended, and the claim with it, which
//     is not renewed;
//   - it comes again after the store has forgotten it.
//
// A member that ends with a message in its hands holds it up for as long as the claim
// lasts: a minute longer than the handler's consume time-out. Effects that must happen once
// belong into one transaction with a note of the message's id in the same database.
package dedup
