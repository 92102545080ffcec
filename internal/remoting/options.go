package remoting

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Handler serves one request on the connection's reader goroutine. It must not
// block; what takes longer starts a goroutine with a copy. cmd and cmd.Body are
// valid only until it returns; the strings in cmd stay valid.
//
// A panic in it is logged and answered with SYSTEM_ERROR.
type Handler func(c *Conn, cmd *protocol.Command)

// Completion takes a call's outcome, exactly once: a response, whatever its
// code, or an error, mostly a *CallError. It runs on the connection's reader,
// on the caller's goroutine or on a timer's, and must not block. resp and
// resp.Body are valid only during the call; the strings in resp stay valid.
type Completion interface {
	Complete(resp *protocol.Command, err error)
}

// CompletionFunc is a function as a Completion.
type CompletionFunc func(resp *protocol.Command, err error)

// Complete implements Completion.
func (f CompletionFunc) Complete(resp *protocol.Command, err error) { f(resp, err) }

// Options are what clients and servers have in common. Zero values take the
// defaults.
type Options struct {
	// Logger; nil discards.
	Logger *slog.Logger
	// Handler serves the peer's requests; without one they are answered with
	// REQUEST_CODE_NOT_SUPPORTED.
	Handler Handler
	// OnClose is called once for each connection, after its last Handler and
	// after its pending calls have ended. It must not block.
	OnClose func(c *Conn, err error)
	// Signer signs requests, not answers; nil sends them unsigned.
	Signer *protocol.Signer
	// MaxFrame limits a received frame, in bytes. At most and by default
	// protocol.MaxFrameSize, 16 MiB.
	MaxFrame int
	// MaxUnwritten limits the bytes queued on one connection; 8 MiB.
	MaxUnwritten int
	// WriteTimeout ends a connection whose peer takes no byte for so long; 30 s.
	WriteTimeout time.Duration
	// IdleTimeout ends a connection that receives no byte for so long; 0 never.
	// Apache's servers use 120 s.
	IdleTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxFrame <= 0 || o.MaxFrame > protocol.MaxFrameSize {
		o.MaxFrame = protocol.MaxFrameSize
	}
	if o.MaxUnwritten <= 0 {
		o.MaxUnwritten = 8 << 20
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 30 * time.Second
	}
	return o
}

// shared is what the connections of one Client or Server have in common.
type shared struct {
	Options
	serving bool // the connections are a Server's: see Conn.waitToServe
	ids     atomic.Uint64

	encoders sync.Pool // of *encoder
	waiters  sync.Pool // of *waiter
	chunks   sync.Pool // of *[chunkSize]byte
	large    sync.Pool // of *[]byte, for frames that do not fit a read buffer
}

func newShared(o Options) *shared { return &shared{Options: o.withDefaults()} }

// encoder is a place to build one frame in.
type encoder struct {
	protocol.Encoder
	buf []byte
}

func (s *shared) encoder() *encoder {
	if e, ok := s.encoders.Get().(*encoder); ok {
		return e
	}
	return new(encoder)
}

func (s *shared) release(e *encoder) {
	if cap(e.buf) > chunkSize {
		e.buf = nil
	}
	s.encoders.Put(e)
}
