// Package store is the broker's message store: a commit log with all records in
// the order they came, and consume queues that say where the records of each
// topic's queues are. A stored record is byte for byte what a pull returns.
//
// # Who does what
//
// Store.Append puts a request into the intake. One appender goroutine takes all
// that has gathered there, gives records their offsets, writes them with one
// write, and then makes the consume queue entries readable, calls OnArrive, and
// answers, in the order of the log. The flusher syncs the log for it, so that
// under SyncFlush one sync serves all appends of a batch (group commit) while
// the next batch is written. The indexer moves consume queue entries from
// memory to their files and makes checkpoints. Readers use no goroutine: they
// copy from the tail of the log in memory, or read the file.
//
// No lock is held across I/O or a callback. The lock order is that of the
// sources: none is taken while another of this package is held.
//
// # When an append is answered
//
// Without SyncFlush: after the write. It survives the end of the process; a
// power cut may take the last FlushInterval.
//
// With SyncFlush: after the sync, and no reader sees it before. When the sync
// takes longer than SyncFlushTimeout, the append is answered
// StatusFlushDiskTimeout: it is stored, and becomes readable when the sync has
// ended. The appender answers it itself, with one timer for the oldest that
// waits, because the sync runs on the flusher; a write that hangs holds
// everything up and is answered late.
//
// A write that fails (no space) fails the appends of that write with a
// *WriteError. What it has left in the file is cut off, and the cut synced,
// before anything else is written there. The next append tries again.
//
// A sync that fails is final: the kernel may have dropped the pages and report
// success the next time. The appends that wait for it, and all later ones, get a
// *FailedError; reading goes on. After a restart recovery finds out what is
// there, which may include appends that were answered with the error.
//
// # Files
//
//	lock                               held while the store is open
//	commitlog.lock                     the same, beside the commit log
//	commitlog/00000000000000000000     records; named by its first physical offset;
//	                                   elsewhere with Options.CommitLogDir
//	consumequeue/<topic>/<queueId>/00000000000000000000
//	                                   entries; named by its first byte's offset
//	checkpoint                         JSON, replaced atomically; .bak is the one before
//	flushed                            how far the log was synced
//
// All but commitlog and the locks are derived: deleted while the store is closed,
// they are built anew. Records of topic "*" are the store's own: notes of deletions
// and of what a repair has cut out.
//
// # Commit log
//
// The log is one sequence of bytes, cut into files; a byte's place in it is its
// physical offset. A file holds records as package protocol describes them, one
// behind the other, never across two files. A file ends, when the next append
// does not fit with 8 bytes to spare, with a blank record: int32 size of the
// rest of the file, uint32 0xCBD43194, and then anything (a hole). A file that
// is full is as long as the options' SegmentSize was when it was made; the last
// file is as long as what was written. The next file is made after the full one
// is durable: so only the last file can ever be torn.
//
// The records of one Append lie in one file, with consecutive queue offsets.
// The offsets of a queue have no gaps.
//
// # Consume queue
//
// An entry is 28 bytes, big endian: int64 physical offset, int32 size, int64 tags
// code, uint32 CRC-32C of the whole stored record, uint32 CRC-32C of the 24 bytes
// before. Entry n of a queue is at byte 28 n of its files put together. The tags
// code is given with the append, and by Options.TagsCode when an entry is
// built anew. Entries stay in memory until there are about 200 of a queue, or a
// checkpoint is made.
//
// Every read compares a record, from memory or from the disk, with its entry, byte
// for byte by the checksum, and an entry from a file with its own. Damage is a
// *CorruptionError or a *QueueCorruptionError, and what comes before it is read. A
// record that no entry vouches for cannot be read. The checksum is made by the
// appender, and made anew from the log only where entries are: damage from before
// that shows in the body's CRC alone.
//
// # Checkpoint and flushed
//
// checkpoint has a format version, 2 since entries have 28 bytes; with another one
// the queues are built anew. It has a physical offset and a number of entries: the log is durable
// up to the offset, and so are the queue entries of all records before it; the
// maximum offsets of all queues add up to that number, with those entries.
//
// flushed has two slots of 24 bytes at 0 and 512, written in turn after each
// sync: uint32 "RKFM", uint64 sequence, uint64 physical offset, uint32 CRC-32 of
// the 20 bytes before. The newer valid one counts. It is never synced, so it
// can be older than the truth, but is never ahead of it. It is made, durably,
// before the log's first file.
//
// # Deletion of old log
//
// DeleteExpired deletes commit log files from the front, never the last. The
// indexer does it, in this order: a checkpoint behind all that goes; the queues'
// minimum offsets, in memory; each file, its directory synced before the next;
// then consume queue files. A queue keeps the last file with an entry before its
// minimum: it says where the queue ends when all its records are gone. Minimum
// offsets are stored nowhere: Open finds the first entry that points into the log.
//
// # Recovery
//
// Open takes the queues as they were at the checkpoint: entries of later
// records are cut off. If the number of entries that are left is not the
// checkpoint's, or there is none, then the queues are removed and built anew
// from the whole log. When log and queues end exactly at the checkpoint, as
// after Close, nothing is read.
//
// From the checkpoint on (from the start without one) every record is read:
// size, magic number, the sum of its parts, the CRC of the body, its own
// physical offset, and its queue offset must be right, and there must be no NUL
// in its topic, and in its properties none at the end and no sector of them. (The
// CRC does not cover those. A torn write leaves zeros, and appends that look like it
// are refused, so that it shows.) At the first that is not right, this decides:
//
//   - In a file that is not the last: a *CorruptionError. It was durable before
//     the next file was made.
//   - In the last file, at or behind the flushed offset: the torn end of a write
//     that was interrupted before its sync had ended. It is cut off, whatever
//     follows: of writes that were not synced, a disk may keep the later and
//     lose the earlier.
//   - Before the flushed offset, or when neither flushed nor checkpoint is
//     there: if a whole record follows anywhere in the file, the damage is in
//     the middle of data: a *CorruptionError. A record is whole when all its
//     checks pass, its own physical offset among them, so that a message that
//     contains a record is not taken for one. If none follows, the file has
//     lost its end, and it is cut off; when that end had been synced, this is
//     logged as an error, for the disk has lost messages.
//
// A cut is synced before Open returns, and so is all that recovery has found:
// what was cut never comes back, and what can be read does not go away.
//
// # Repair
//
// Inspect compares a closed store's log and queues, and changes nothing. A log that
// ends before what had been synced, on its own or because its last file is gone, is
// damage too, though Open takes the former with an error in the log. Repair copies
// what it changes to a directory beside the store; when that fails it removes the
// copy and changes nothing. It may be interrupted and repeated.
//
// A torn end, and queues, are mended by the recovery that Open makes. Damage in the
// middle of the log takes a cut: notes of topic "*" are written over it, so that
// physical offsets stay what they were; a file that is missing is made anew with
// them, and a file's end gets its blank record. The first note's body is a JSON list
// of the queue offsets that the consume queues knew of in there, {"topic", "queue",
// "from", "to"} with to behind the last, and spaces; a note has 4 MiB at most, and
// one where there is room for nothing more says nothing.
//
// When recovery comes by a note it gives what is lost entries of size 0 that point
// to the note, with tags code and checksum 0. Behind a note it also takes a gap in a
// queue's offsets for lost, since not all that is lost is known, up to 16 Mi records;
// without a note a gap is damage. Readers pass over entries of size 0. Lost records
// at a queue's end that no entry knew of leave no trace: their offsets are used again.
// Where a cut takes the note of a deletion, that topic may come back.
//
// # Deletion of topics
//
// DeleteTopic first writes and syncs a note into the log: a record of topic "*"
// whose body is "deleted " and the topic's name. Then the queues go, and a
// checkpoint does not count them. Where recovery comes by a note it removes the
// topic's queues, so that what was deleted stays so, and a deletion that was
// interrupted is ended, whatever is built anew. A note has no entry and cannot be
// read; it goes when old log is deleted, and all that it speaks of has gone before.
//
// Older versions wrote no notes. Of their logs a queue offset of 0 where more is
// expected means that the topic was deleted and made anew in between; and queues of
// topics that they deleted do come back when everything is built anew.
package store
