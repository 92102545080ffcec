// Package remoting carries RocketMQ's frames: connections that many callers
// share, the client's cache of them, and the server's accept loop.
//
// # A connection
//
// A Conn has one reader and one writer goroutine. Callers encode their frame on
// their own goroutine, append it to what is queued for the writer, and go on;
// the writer takes everything that has gathered and writes it with one system
// call. The reader decodes frames in its buffer, runs the Handler for requests,
// and completes the pending call for responses. Neither does anything that can
// take long, and so must Handlers and Completions.
//
// Pending calls belong to their connection and end with it, at once. A call
// ends exactly once, whatever comes first: its response, its context's deadline
// or cancellation, or the connection's end. Contexts are looked at before a byte
// is queued, and never harm the connection, which other callers share: the
// response to a call that was given up is dropped.
//
// # Limits
//
//   - A frame: Options.MaxFrame, checked before anything is allocated; the buffer
//     of a large frame grows as its bytes arrive.
//   - What is queued and not written: Options.MaxUnwritten. Callers wait for room,
//     as long as their context lets them. A server reads no further request while
//     half of it is taken, and a Reply that finds all of it taken ends the
//     connection: its peer sends but does not read. (A client, whose requests may
//     take all of it, answers until twice as much is queued.)
//   - A peer that takes no byte for Options.WriteTimeout, or sends none for
//     Options.IdleTimeout, is closed; so is one whose frame is not complete after
//     that, and a second more for each 16 KiB of it.
//   - An idle connection keeps a read buffer of 4 to 64 KiB, and nothing of the
//     frames that came. Strings of a header over 8 KiB have memory of their own.
//
// # Locks
//
// Conn.mu guards the pending table and the queue to the writer; it is held for
// some tens of nanoseconds, never while encoding, calling back, or in I/O.
// Client.mu and Server.mu guard their sets of connections and are not held
// while a Conn is used.
package remoting
