// Package meta is what a broker knows besides messages: its topics, its
// subscription groups and the consumers' offsets.
//
// The three tables are independent of each other. Each has one mutex, under
// which no I/O happens, and one goroutine, the only one that writes its file.
// The files are Apache's own, so that its tools can read them and a store can
// change hands in both directions:
//
//	config/topics.json             topics with their data version
//	config/subscriptionGroup.json  groups
//	config/consumerOffset.json     {"offsetTable":{"topic@group":{0:123}}}
//
// A changed topic or group is written at once, many changes that come together
// in one write; offsets are written 5 s after the first change. A write
// replaces the file as a whole (vfs.WriteFileAtomic) and leaves the previous
// one as .bak, which is read when the first is missing or damaged. A write that
// fails is logged once and repeated every 5 s.
//
// Offsets that were chosen by hand and wait for a client, and those up to which
// groups have pulled, are in memory only.
//
// A process that is killed can lose the offsets of the last 5 s (their messages
// are delivered again) and, at worst, a topic that was made a moment before.
// WaitSaved is for those who must not answer before a change is durable.
package meta
