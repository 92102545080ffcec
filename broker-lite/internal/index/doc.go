// Package index finds messages by their keys, their unique key or their tags
// (Apache's IndexService).
//
// It is made when it is first needed: until the first Query it does nothing and has
// no files. The first one starts a goroutine, the builder, that reads the commit log
// from its start and then follows it. A broker that finds an index begins to follow
// at once.
//
// # Files
//
// All is derived from the commit log: while the broker is stopped, the files may be
// deleted. A file covers a stretch of the log, from one physical offset to another,
// and is named by the first, with 20 digits; the stretches follow each other without
// gaps. It is written once, sorted, and never changed, but for the last, which is
// replaced by one that covers more. All integers are big endian:
//
//	uint32 "RKIX", uint32 version 1
//	int64 from, int64 to              the stretch
//	int64 first, int64 last           store times of its records, ms since 1970
//	int64 lastOffset, int64 lastTime  of its last record; -1 without any
//	int64 count                       of entries
//	uint64 × ⌈count/1024⌉             fences: the hash of every 1024th entry
//	uint32                            CRC-32 of all the above
//	count × 20 bytes                  entries by hash, then by offset:
//	    uint64 hash, int64 physical offset, uint32 store time in s since 1970
//
// The hash is the 64-bit FNV-1a of topic#key, or topic#T#tags: the names that
// Apache's index has. Two keys with one hash do no harm, for a record is looked at
// before it is given out.
//
// The header and the fences are in memory, about 2 KiB for 260,000 entries, and so
// are the entries that are in no file yet, about Options.FileEntries. A query reads
// one block of 1024 entries of each file in its time range, as a rule.
//
// # What a crash does
//
// What is not in a file is read again from the log. Files are not in step with the
// log: a power cut may take from it what a file covers, and it may be another one
// altogether. So Open drops the files that end behind the log, or whose last record
// is not where they say. Files of records that are deleted from the log are deleted
// when the next record comes or the broker next starts.
package index
