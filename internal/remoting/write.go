package remoting

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	// chunkSize is the unit that frames are gathered in.
	chunkSize = 64 << 10
	// largeFrame is from where a frame is queued in the buffer that it was built
	// in, instead of being copied.
	largeFrame = 16 << 10
	// maxWrite is the most that one system call is given, so that the write
	// deadline is about progress and not about the size of what is queued.
	maxWrite = 512 << 10
)

// outbox is what is queued for the writer. Its Conn's mu guards it.
type outbox struct {
	chunks    [][]byte
	unwritten int           // bytes in chunks and with the writer
	queued    uint64        // bytes ever queued
	sent      uint64        // bytes ever written
	idle      bool          // the writer waits for a token
	frames    int           // in chunks
	burst     bool          // several frames gathered last time
	room      chan struct{} // closed when unwritten has fallen; nil: nobody waits
}

// append queues a frame: a copy of it, or, when it is large, e's buffer.
func (o *outbox) append(s *shared, e *encoder) {
	frame := e.buf
	o.unwritten += len(frame)
	o.queued += uint64(len(frame))
	o.frames++
	if n := len(o.chunks); n > 0 && cap(o.chunks[n-1])-len(o.chunks[n-1]) >= len(frame) {
		o.chunks[n-1] = append(o.chunks[n-1], frame...)
		return
	}
	if len(frame) >= largeFrame {
		o.chunks = append(o.chunks, frame)
		e.buf = nil
		return
	}
	chunk, ok := s.chunks.Get().(*[chunkSize]byte)
	if !ok {
		chunk = new([chunkSize]byte)
	}
	o.chunks = append(o.chunks, append(chunk[:0], frame...))
}

// openRoom wakes who waits for room.
func (o *outbox) openRoom() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// waitRoom returns a channel that closes when there may be room.
func (o *outbox) waitRoom() <-chan struct{} {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// encode builds a frame, signed unless sign is nil. The body is cmd.Body unless pieces
// are given.
func (c *Conn) encode(cmd *protocol.Command, h protocol.Header, sign *protocol.Signer, body [][]byte) (*encoder, error) {
	e := c.encoder()
	var err error
	if len(body) == 0 {
		e.buf = slices.Grow(e.buf[:0], 512+len(cmd.Body))
		e.buf, err = e.AppendSigned(e.buf, cmd, h, sign, cmd.Body)
	} else {
		size := 512
		for _, b := range body {
			size += len(b)
		}
		e.buf = slices.Grow(e.buf[:0], size)
		e.buf, err = e.AppendSigned(e.buf, cmd, h, sign, body...)
	}
	if err != nil {
		c.release(e)
		return nil, err
	}
	return e, nil
}

// awaitRoom waits until less than MaxUnwritten is queued. c.mu is held when it
// is called and when it returns, and not while it waits. It returns ctx's end;
// the connection's end shows in c.down.
func (c *Conn) awaitRoom(ctx context.Context) error {
	for !c.down && c.out.unwritten >= c.MaxUnwritten {
		room := c.out.waitRoom()
		c.mu.Unlock()
		err := wait(ctx, room)
		c.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// wait waits for ready or ctx's end.
func wait(ctx context.Context, ready <-chan struct{}) error {
	var expired <-chan time.Time
	if at, ok := ctx.Deadline(); ok {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return contextEnd(ctx)
	case <-expired:
		return context.DeadlineExceeded
	}
}

// queue appends e's frame and reports whether the writer must be woken. c.mu is
// held.
func (c *Conn) queue(e *encoder) (wake bool) {
	c.out.append(c.shared, e)
	wake, c.out.idle = c.out.idle, false
	return wake
}

func (c *Conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default: // it has a token already
	}
}

// writeLoop writes what gathers, until the connection is down.
func (c *Conn) writeLoop() {
	defer c.helpers.Done()
	var batch [][]byte
	broken := false
	for !broken {
		var ok bool
		if batch, ok = c.takeBatch(batch); !ok {
			break
		}
		if err := c.writeBatch(batch); err != nil {
			c.writeFailed(err)
			broken = true
		}
	}
	close(c.wrote)
	c.mu.Lock()
	broken = broken || c.flushBy.IsZero()
	c.mu.Unlock()
	c.closeNet(broken)
}

// takeBatch waits for frames and takes all of them; false: there is nothing
// left to do. The slice of the batch before is used again.
func (c *Conn) takeBatch(before [][]byte) ([][]byte, bool) {
	clear(before)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out.chunks) == 0 && !c.down {
		c.out.idle = true
		c.mu.Unlock()
		<-c.wake
		c.mu.Lock()
		if c.out.burst || c.pending.count > 1 {
			// Whoever woke the writer is one of several: it lets the others queue
			// theirs. A lone caller would only lose time by that.
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		}
	}
	if len(c.out.chunks) == 0 || (c.down && c.flushBy.IsZero()) {
		return nil, false
	}
	batch := c.out.chunks
	c.out.chunks = before[:0]
	c.out.burst, c.out.frames = c.out.frames > 1, 0
	return batch, true
}

// writeBatch writes chunks in as few system calls as maxWrite allows.
func (c *Conn) writeBatch(batch [][]byte) error {
	for i, offset := 0, 0; i < len(batch); {
		vec, size := c.vec[:0], 0
		for j, from := i, offset; j < len(batch) && size < maxWrite; j, from = j+1, 0 {
			b := batch[j][from:]
			b = b[:min(len(b), maxWrite-size)]
			vec = append(vec, b)
			size += len(b)
		}
		n, err := c.write(vec)
		c.account(n)
		if err != nil {
			return err
		}
		for n > 0 {
			if left := len(batch[i]) - offset; n < left {
				offset += n
				break
			} else {
				n -= left
			}
			if cap(batch[i]) == chunkSize {
				c.chunks.Put((*[chunkSize]byte)(batch[i][:chunkSize]))
			}
			i, offset = i+1, 0
		}
	}
	return nil
}

// write gives the network one piece.
func (c *Conn) write(vec net.Buffers) (int, error) {
	if at, ok := c.writeBy.move(c.WriteTimeout); ok {
		if err := c.nc.SetWriteDeadline(at); err != nil {
			return 0, err
		}
	}
	if c.isDown() { // shut may have set its deadline just before
		c.mu.Lock()
		by := c.flushBy
		c.mu.Unlock()
		if by.IsZero() {
			return 0, errLocal
		}
		if err := c.nc.SetWriteDeadline(by); err != nil {
			return 0, err
		}
	}
	c.vec = vec
	if len(vec) == 1 {
		return c.nc.Write(vec[0])
	}
	n, err := c.vec.WriteTo(c.nc)
	c.vec = vec[:0]
	return int(n), err
}

// account notes that n bytes left.
func (c *Conn) account(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.sent += uint64(n)
	c.out.unwritten -= n
	if c.out.unwritten <= c.MaxUnwritten/2 {
		c.out.openRoom()
	}
}

func (c *Conn) writeFailed(err error) {
	if c.isDown() {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Logger.Warn("closing a connection: its peer takes no bytes", "peer", c.addr, "for", c.WriteTimeout)
		err = fmt.Errorf("peer took no byte for %v: %w", c.WriteTimeout, err)
	}
	c.shut(fmt.Errorf("%w: %w", ErrClosed, err), false)
}
