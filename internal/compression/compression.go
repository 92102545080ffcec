package compression

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ErrUnknown: a body is packed in a way that this package does not know.
var ErrUnknown = errors.New("unknown compression")

// MaxUnpacked bounds an unpacked body, in bytes, so that a few bytes cannot take
// all memory. Servers take bodies of 4 MiB by default.
const MaxUnpacked = 64 << 20

// Packer packs bodies of one kind at one level. It may be used by several
// goroutines.
type Packer struct {
	kind int32     // protocol.SysZlib and so on
	pool sync.Pool // of writer
}

// writer is what the three packages' writers have in common.
type writer interface {
	io.WriteCloser
	Reset(io.Writer)
}

// NewPacker makes a Packer. kind is protocol.SysZlib, SysLZ4 or SysZstd; level is
// the format's own, as Java's clients take it: 1 (fast) to 9 (small), for
// Zstandard to 22; LZ4 takes no notice of it, as in Java.
func NewPacker(kind int32, level int) (*Packer, error) {
	make, err := maker(kind, level)
	if err != nil {
		return nil, err
	}
	p := &Packer{kind: kind}
	first, err := make()
	if err != nil {
		return nil, fmt.Errorf("compression: level %d: %w", level, err)
	}
	p.pool.New = func() any {
		w, err := make()
		if err != nil { // not with the arguments of the first
			return nil
		}
		return w
	}
	p.pool.Put(first)
	return p, nil
}

func maker(kind int32, level int) (func() (writer, error), error) {
	most := 9
	if kind == protocol.SysZstd {
		most = 22
	}
	if level < 1 || level > most {
		return nil, fmt.Errorf("compression: level %d: want 1 to %d", level, most)
	}
	switch kind {
	case protocol.SysZlib:
		return func() (writer, error) { return zlib.NewWriterLevel(io.Discard, level) }, nil
	case protocol.SysLZ4:
		return func() (writer, error) {
			w := lz4.NewWriter(io.Discard)
			return w, w.Apply(lz4.ConcurrencyOption(1))
		}, nil
	case protocol.SysZstd:
		return func() (writer, error) {
			return zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
		}, nil
	}
	return nil, fmt.Errorf("compression: %w: %#x", ErrUnknown, kind)
}

// Pack appends the packed body to dst. The flags are those of the message's
// sysFlag; 0 means that packing gains nothing, and dst is as it was.
func (p *Packer) Pack(dst, body []byte) (packed []byte, flags int32, err error) {
	w, ok := p.pool.Get().(writer)
	if !ok {
		return dst, 0, fmt.Errorf("compression: %w: no encoder", ErrUnknown)
	}
	out := buffer{b: dst}
	w.Reset(&out)
	_, err = w.Write(body)
	if closing := w.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return dst, 0, fmt.Errorf("compression: %w", err)
	}
	w.Reset(io.Discard)
	p.pool.Put(w)
	if len(out.b)-len(dst) >= len(body) {
		return out.b[:len(dst)], 0, nil
	}
	return out.b, protocol.SysCompressed | p.kind, nil
}

// buffer appends what is written.
type buffer struct{ b []byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	return len(p), nil
}

// Unpack unpacks a body by the message's sysFlag. 0 in place of a kind is zlib:
// clients before there was a choice.
func Unpack(body []byte, sysFlag int32) ([]byte, error) { return unpack(body, sysFlag, MaxUnpacked) }

func unpack(body []byte, sysFlag int32, limit int64) (out []byte, err error) {
	var r io.Reader
	switch kind := sysFlag & protocol.SysCompressionMask; kind {
	case 0, protocol.SysZlib:
		r, err = zlib.NewReader(bytes.NewReader(body))
	case protocol.SysLZ4:
		r = lz4.NewReader(bytes.NewReader(body))
	case protocol.SysZstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderLowmem(true))
		if err == nil {
			defer d.Close()
			r = d
		}
	default:
		return nil, fmt.Errorf("%w: number %d in sysFlag %#x", ErrUnknown, kind>>8, sysFlag)
	}
	if err != nil {
		return nil, fmt.Errorf("compressed body: %w", err)
	}
	if len(body) == 0 { // lz4 takes it for a body of nothing
		return nil, fmt.Errorf("compressed body: %w", io.ErrUnexpectedEOF)
	}
	if out, err = io.ReadAll(io.LimitReader(r, limit+1)); err != nil {
		return nil, fmt.Errorf("compressed body: %w", err)
	}
	if int64(len(out)) > limit {
		return nil, fmt.Errorf("compressed body: over %d bytes when unpacked", limit)
	}
	return out, nil
}
