package remoting

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// maxKeptFields is how much room for header fields a connection keeps between
// frames; a hostile header can have millions.
const maxKeptFields = 256

// readLoop serves what arrives, until the connection is down.
func (c *Conn) readLoop() {
	defer c.end()
	var cmd protocol.Command
	for {
		forget(&cmd)
		frame, err := c.in.next()
		if err != nil {
			c.readFailed(err)
			return
		}
		if err := protocol.DecodeFrame(frame, &cmd); err != nil {
			c.refuse(err, frame)
			return
		}
		if cmd.IsResponse() {
			c.respond(&cmd)
		} else if !c.waitToServe() {
			return
		} else {
			c.serve(&cmd)
		}
		if c.isDown() {
			return
		}
	}
}

// forget keeps of a command the room for its fields only: header and body can
// have megabytes each, and the next frame may be long in coming.
func forget(cmd *protocol.Command) {
	fields := cmd.Fields
	clear(fields)
	if cap(fields) > maxKeptFields {
		fields = nil
	}
	*cmd = protocol.Command{Fields: fields[:0]}
}

// respond completes the call that a response belongs to.
func (c *Conn) respond(cmd *protocol.Command) {
	c.mu.Lock()
	s, ok := c.pending.take(cmd.Opaque)
	c.mu.Unlock()
	if !ok {
		c.late.Add(1)
		c.Logger.Debug("dropping a response that no call waits for", "peer", c.addr, "opaque", cmd.Opaque)
		return
	}
	c.finish(s, cmd, nil)
}

// finish completes a call that was taken from the table.
func (c *Conn) finish(s slot, resp *protocol.Command, err error) {
	if s.stop != nil && s.stop() {
		c.helpers.Done()
	}
	defer c.recovered("Completion")
	s.done.Complete(resp, err)
}

// waitToServe holds a server's reader back while its peer does not read the
// answers; false: the connection is down. A client's reader never waits: it
// could be its responses that the server waits for.
func (c *Conn) waitToServe() bool {
	if !c.serving {
		return true
	}
	c.mu.Lock()
	for !c.down && c.out.unwritten > c.MaxUnwritten/2 {
		room := c.out.waitRoom()
		c.mu.Unlock()
		<-room
		c.mu.Lock()
	}
	down := c.down
	c.mu.Unlock()
	return !down
}

// serve runs the Handler.
func (c *Conn) serve(cmd *protocol.Command) {
	if c.Handler == nil {
		c.replyError(cmd, protocol.CodeNotSupported, fmt.Sprintf("request type %d not supported", cmd.Code))
		return
	}
	defer func() {
		if r := recover(); r != nil {
			c.logPanic("Handler", r, "request", protocol.RequestName(cmd.Code))
			c.replyError(cmd, protocol.SystemError, fmt.Sprintf("%s: panic: %v", protocol.RequestName(cmd.Code), r))
		}
	}()
	c.Handler(c, cmd)
}

// replyError answers a request that expects an answer.
func (c *Conn) replyError(cmd *protocol.Command, code protocol.Code, remark string) {
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(code, remark)
	if err := c.Reply(&resp, nil); err != nil {
		c.Logger.Debug("cannot answer", "peer", c.addr, "error", err)
	}
}

// guard runs a callback that must not end the reader.
func (c *Conn) guard(what string, f func()) {
	defer c.recovered(what)
	f()
}

// recovered, deferred, keeps a panic in a callback from ending the process.
func (c *Conn) recovered(what string) {
	if r := recover(); r != nil {
		c.logPanic(what, r)
	}
}

func (c *Conn) logPanic(what string, r any, args ...any) {
	c.Logger.Error("panic in a "+what, append(args, "peer", c.addr, "panic", r, "stack", string(debug.Stack()))...)
}

// readFailed takes the connection down for an error of the stream.
func (c *Conn) readFailed(err error) {
	switch {
	case c.isDown():
	case errors.Is(err, io.EOF):
		c.shut(errRemote, false)
	case errors.Is(err, errTruncated), errors.Is(err, protocol.ErrFrameTooLarge), errors.Is(err, protocol.ErrMalformedFrame):
		c.refuse(err, c.in.buf[c.in.r:c.in.w])
	case errors.Is(err, errSlowFrame):
		c.Logger.Warn("closing a connection: "+err.Error(), "peer", c.addr)
		c.shut(fmt.Errorf("%w: %w", ErrClosed, err), false)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.Logger.Info("closing an idle connection", "peer", c.addr, "after", c.IdleTimeout)
		c.shut(fmt.Errorf("%w: nothing came for %v", ErrClosed, c.IdleTimeout), false)
	default:
		c.Logger.Debug("connection lost", "peer", c.addr, "error", err)
		c.shut(fmt.Errorf("%w: %w", ErrClosed, err), false)
	}
}

// shownBytes is how much of a bad frame is logged.
const shownBytes = 32

// refuse takes the connection down for bytes that are not frames.
func (c *Conn) refuse(err error, b []byte) {
	c.Logger.Warn("closing a connection: "+err.Error()+hint(b), "peer", c.addr, "bytes", hex.EncodeToString(b[:min(len(b), shownBytes)]))
	c.shut(fmt.Errorf("%w: %w", ErrClosed, err), false)
}

// hint guesses which protocol the bytes are of.
func hint(b []byte) string {
	if len(b) < 4 {
		return ""
	}
	switch string(b[:4]) {
	case "GET ", "POST", "PUT ", "HEAD", "PRI ", "OPTI", "DELE":
		return " (this looks like HTTP: the port speaks RocketMQ's remoting protocol)"
	}
	if b[0] == tlsRecord {
		return " (this looks like TLS: the server has no certificate configured)"
	}
	return ""
}
