// Package broker serves the requests that clients and tools send to a broker, one
// file for each family of request codes. It knows nothing of listeners: its Handle,
// ConnOpened and ConnClosed are what a remoting.Server calls.
//
// # Who does what
//
// A connection's reader goroutine decodes a request in place, checks it, and
// answers it, or hands it on:
//
//   - A send is encoded into its final record there, in a pooled sendOp that is
//     also the store's append and its completion. The store's appender answers it,
//     in the order of the log. Nothing is allocated for a message on the way but
//     its header's text, and no goroutine or timer is started.
//   - A pull is read and answered at once. One that finds nothing is parked in the
//     holder, without a goroutine; the store's OnArrive wakes it when a message
//     arrives that its filter takes, the holder's one timer when its time is up,
//     and its connection's end drops it.
//   - A pop is read and its messages are made invisible there too; package pop
//     answers when that is stored. One that finds nothing waits in popWaits, as
//     pulls do in the holder.
//   - What waits for somebody else (a topic that must be registered first, code 40
//     to the members of a group) runs on a goroutine of its own, which Close waits
//     for.
//
// # State
//
// Topics, groups and offsets belong to package meta, clients to package session,
// queue locks to package queuelock, messages to package store, delayed ones to
// packages schedule and timer, half messages to package halfmsg, invisible ones to
// package pop. What is here is per connection (peer, the reader's own but for its byte
// counts) and the tables of parked pulls and pops.
//
// # Limits
//
// Appends of one connection that are not answered yet are bounded in bytes; its
// reader waits for room, so that a client that floods is read no faster than the
// disk takes its messages. A pull's answer is bounded by maxTransferBytes… and
// maxTransferCount…, whatever it asks for.
package broker
