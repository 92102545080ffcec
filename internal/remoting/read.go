package remoting

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	// Read buffers start small and double while reads fill them, so that idle
	// connections cost little.
	minReadBuffer = 4 << 10
	maxReadBuffer = 64 << 10
	// A large frame's first buffer is four times what has come of it, within these
	// limits; each further step doubles that, once it is full. So a length alone
	// costs little.
	minLarge  = 16 << 10
	largeStep = 256 << 10
	// maxPooled is the largest buffer of a large frame that is kept for reuse.
	maxPooled = 1 << 20
)

// frameReader cuts a stream into frames. It belongs to one goroutine.
type frameReader struct {
	src  io.Reader
	max  int
	pool *sync.Pool // of *[]byte

	buf   []byte
	r, w  int    // unread bytes are buf[r:w]
	full  bool   // the last read filled the buffer
	large []byte // the current frame, when it does not fit buf

	partial int       // the size of the frame that has begun, at least 1; 0: none has
	since   time.Time // the source's: when it first waited for the rest; zero: it has not
}

// next returns the next frame, its length field included, valid until the
// following call. The error is io.EOF between frames.
func (f *frameReader) next() ([]byte, error) {
	f.recycle()
	for {
		size, err := protocol.FrameSize(f.buf[f.r:f.w])
		if err != nil {
			return nil, err
		}
		if size > f.max {
			return nil, fmt.Errorf("%w: %d bytes, at most %d", protocol.ErrFrameTooLarge, size, f.max)
		}
		switch have := f.w - f.r; {
		case size > 0 && size <= have:
			frame := f.buf[f.r : f.r+size : f.r+size]
			f.r += size
			f.partial, f.since = 0, time.Time{}
			return frame, nil
		case size > maxReadBuffer:
			f.partial = size
			return f.readLarge(size)
		default:
			if have > 0 {
				f.partial = max(size, 1)
			}
			if err := f.fill(size); err != nil {
				return nil, f.truncated(err, have, size)
			}
		}
	}
}

// fill reads more. The frame that is being read has size bytes, 0 when that is
// not known yet.
func (f *frameReader) fill(size int) error {
	want := max(len(f.buf), size, minReadBuffer)
	if f.full {
		want = max(want, min(2*len(f.buf), maxReadBuffer))
	}
	switch {
	case want > len(f.buf):
		bigger := make([]byte, min(roundUp(want), maxReadBuffer))
		f.w = copy(bigger, f.buf[f.r:f.w])
		f.r, f.buf = 0, bigger
	case f.r == f.w:
		f.r, f.w = 0, 0
	case len(f.buf)-f.r < max(size, len(f.buf)/2):
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	n, err := f.src.Read(f.buf[f.w:])
	f.w += n
	f.full = f.w == len(f.buf)
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// readLarge reads a frame into a buffer of its own, which grows no faster than
// the bytes arrive.
func (f *frameReader) readLarge(size int) ([]byte, error) {
	var b []byte
	if p, ok := f.pool.Get().(*[]byte); ok {
		b = *p
	}
	have := f.w - f.r
	if cap(b) < have {
		b = make([]byte, min(size, max(4*have, minLarge), largeStep))
	}
	b = b[:min(size, cap(b))]
	copy(b, f.buf[f.r:f.w])
	f.r, f.w = 0, 0
	for {
		for have < len(b) {
			n, err := f.src.Read(b[have:])
			have += n
			if n == 0 && err == nil {
				err = io.ErrNoProgress
			}
			if n == 0 {
				return nil, f.truncated(err, have, size)
			}
		}
		if have == size {
			f.large = b
			f.partial, f.since = 0, time.Time{}
			return b, nil
		}
		bigger := make([]byte, min(size, 2*len(b)))
		copy(bigger, b)
		b = bigger
	}
}

// recycle gives the buffer of a large frame back.
func (f *frameReader) recycle() {
	if f.large != nil {
		if cap(f.large) <= maxPooled {
			b := f.large[:cap(f.large)]
			f.pool.Put(&b)
		}
		f.large = nil
	}
}

// detach leaves the current frame's buffer to whoever got the frame, if it is
// one that can be left.
func (f *frameReader) detach() bool {
	kept := f.large != nil
	f.large = nil
	return kept
}

// truncated makes the end of the stream inside a frame an error that says so.
func (f *frameReader) truncated(err error, have, size int) error {
	if have == 0 || !errors.Is(err, io.EOF) {
		return err
	}
	if size == 0 {
		return fmt.Errorf("%w: the stream ends after %d bytes of a length field", errTruncated, have)
	}
	return fmt.Errorf("%w: the stream ends after %d of a frame's %d bytes", errTruncated, have, size)
}

var errTruncated = errors.New("truncated frame")

// roundUp returns the next power of two.
func roundUp(n int) int {
	p := minReadBuffer
	for p < n {
		p *= 2
	}
	return p
}

// minFrameRate is how fast a frame must come after its IdleTimeout, in bytes a
// second: slower than any network in use.
const minFrameRate = 16 << 10

var errSlowFrame = errors.New("a frame comes too slowly")

// source reads from the network and keeps the idle deadline.
type source struct {
	c      *Conn
	readBy lazyDeadline
}

func (s *source) Read(b []byte) (int, error) {
	c := s.c
	if c.IdleTimeout > 0 {
		if c.in.partial > 0 {
			if err := s.waitsFor(&c.in); err != nil {
				return 0, err
			}
		}
		if at, ok := s.readBy.move(c.IdleTimeout); ok {
			if err := c.nc.SetReadDeadline(at); err != nil {
				return 0, err
			}
		}
		if c.isDown() { // shut may have set its deadline just before
			return 0, ErrClosed
		}
	}
	n, err := c.nc.Read(b)
	// A TLS 1.3 server refuses a client after the client's side of the handshake.
	if err != nil && !c.serving && tlsAlert(err) {
		err = fmt.Errorf("%w; %s", err, tlsRemedy(err))
	}
	return n, err
}

// waitsFor ends a connection whose peer sends a frame byte by byte, none late
// enough for the idle deadline. A large frame has longer.
func (s *source) waitsFor(f *frameReader) error {
	now := time.Now()
	if f.since.IsZero() {
		f.since = now
		return nil
	}
	limit := s.c.IdleTimeout + time.Duration(f.partial)*time.Second/minFrameRate
	if took := now.Sub(f.since); took > limit {
		return fmt.Errorf("%w: one of %d bytes is not complete after %v", errSlowFrame, f.partial, took.Round(time.Second))
	}
	return nil
}
