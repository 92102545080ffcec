package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is how much a stream holds before its writer waits, about what a
// kernel gives a loopback socket.
const bufferSize = 256 << 10

// stream is one direction of a connection. mu guards everything in it, the two
// deadlines included; cond wakes its reader and its writer.
type stream struct {
	mu   sync.Mutex
	cond sync.Cond

	buf     []byte // what was written and not read
	ended   bool   // the writer is done: io.EOF after buf
	closedW bool   // the writing end is closed
	closedR bool   // the reading end is closed
	broken  bool   // reset
	frozen  bool   // nothing arrives

	reader, writer deadline
}

func newStream() *stream {
	s := &stream{}
	s.cond.L = &s.mu
	s.reader.s, s.writer.s = s, s
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closedR:
			return 0, net.ErrClosed
		case s.broken:
			return 0, syscall.ECONNRESET
		case s.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.frozen:
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			if s.buf = s.buf[n:]; len(s.buf) == 0 {
				s.buf = nil
			}
			s.cond.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.cond.Wait()
	}
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.closedW:
			return written, net.ErrClosed
		case s.broken:
			return written, syscall.ECONNRESET
		case s.writer.expired:
			return written, os.ErrDeadlineExceeded
		case s.ended || (s.closedR && !s.frozen):
			return written, syscall.EPIPE
		}
		if n := min(len(b)-written, bufferSize-len(s.buf)); n > 0 {
			s.buf = append(s.buf, b[written:written+n]...)
			written += n
			s.cond.Broadcast()
		}
		if written == len(b) {
			return written, nil
		}
		s.cond.Wait()
	}
}

// change runs f under the lock and wakes who waits.
func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.cond.Broadcast()
}

func (s *stream) endWrite() { s.change(func() { s.ended = true }) }

func (s *stream) closeWrite() {
	s.change(func() {
		s.ended, s.closedW = true, true
		s.writer.closed = true
		s.writer.stop()
	})
}

func (s *stream) closeRead() {
	s.change(func() {
		s.closedR = true
		s.buf = nil
		s.reader.closed = true
		s.reader.stop()
	})
}

func (s *stream) reset() {
	s.change(func() {
		s.broken = true
		s.buf = nil
	})
}

func (s *stream) freeze(on bool) { s.change(func() { s.frozen = on }) }

// deadline is one end's time limit on a stream, guarded by the stream's mu.
type deadline struct {
	s       *stream
	expired bool
	closed  bool // this end is closed: deadlines no longer matter
	timer   *time.Timer
	changes uint64 // how often it was set: tells a timer that came too late
}

// set moves the deadline; the zero time takes it away.
func (d *deadline) set(t time.Time) {
	d.s.change(func() {
		d.stop()
		d.expired = false
		if t.IsZero() || d.closed {
			return
		}
		left := time.Until(t)
		if left <= 0 {
			d.expired = true
			return
		}
		now := d.changes
		d.timer = time.AfterFunc(left, func() {
			d.s.change(func() { d.expired = d.expired || d.changes == now })
		})
	})
}

// stop ends the timer. The stream's mu is held.
func (d *deadline) stop() {
	d.changes++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
