// Package vfs is the file system that the store and the broker's state files
// use: a small interface with three implementations.
//
//   - OS is the real one.
//   - Mem keeps everything in memory, and knows for every page and every
//     directory entry whether it would survive a power cut.
//   - Faulty wraps another file system and makes chosen calls fail, stall or
//     write only in part.
//
// # What survives
//
// All code in this module is written for the rules that POSIX gives, not for
// the kinder ones of one kernel, and Mem.Crash plays by them:
//
//   - File content is durable after File.Sync. Content that was not synced may
//     be lost, kept, or torn at any 512-byte sector, each page by itself, and
//     the file may have its old size, its new one, or one in between.
//   - A directory entry (create, remove, rename) is durable after SyncDir of
//     its directory, whether or not the file itself was synced. Entries that
//     were not synced are kept or lost each by itself, but a rename happens as
//     a whole or not at all.
//   - An operation on a directory whose own entry is lost, is lost too.
//
// With Mem.WriteBack, content may also become durable before it is synced, and
// come back after a power cut though it was overwritten or cut off since.
//
// A process that is killed loses nothing that it wrote: Mem.Clone is that.
package vfs
