package remoting

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func newPool() *sync.Pool { return new(sync.Pool) }

// allocated is how much the process has allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// pieces reads a stream in pieces of given sizes, again and again.
type pieces struct {
	data  []byte
	sizes []byte
	i     int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := len(p.data)
	if len(p.sizes) > 0 {
		n = int(p.sizes[p.i%len(p.sizes)]) + 1
		p.i++
	}
	n = copy(b, p.data[:min(n, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}

// cut is what frameReader must do, said simply: the frames at the start of a
// stream, and whether the stream ends between frames.
func cut(stream []byte, limit int) (frames [][]byte, clean bool) {
	for len(stream) > 0 {
		size, err := protocol.FrameSize(stream)
		if err != nil || size == 0 || size > limit || size > len(stream) {
			return frames, false
		}
		frames = append(frames, stream[:size])
		stream = stream[size:]
	}
	return frames, true
}

func readAll(f *frameReader) (frames [][]byte, err error) {
	for {
		b, err := f.next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, bytes.Clone(b))
	}
}

func FuzzFramesDoNotDependOnHowTheyArrive(f *testing.F) {
	small := frame(f, request(1), nil)
	large := frame(f, &protocol.Command{Codec: protocol.Binary, Body: make([]byte, maxReadBuffer)}, nil)
	edge := frame(f, &protocol.Command{Codec: protocol.Binary, Body: make([]byte, maxReadBuffer-len(small))}, nil)
	f.Add(small, []byte{})
	f.Add(bytes.Repeat(small, 30), []byte{0})
	f.Add(bytes.Join([][]byte{small, large, small, edge, small}, nil), []byte{255, 0, 7})
	f.Add(edge[:1000], []byte{200})
	f.Add([]byte{0, 0, 0, 3}, []byte{1})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		const limit = 1 << 20
		want, clean := cut(stream, limit)
		before := allocated()
		r := frameReader{src: &pieces{data: stream, sizes: sizes}, max: limit, pool: newPool()}
		got, err := readAll(&r)
		used := allocated() - before
		if !slices.EqualFunc(want, got, bytes.Equal) {
			t.Errorf("read %d frames, want %d", len(got), len(want))
		}
		if clean != errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		// Twice what arrived for growing buffers, once for the copies here.
		if used > uint64(8*len(stream))+2*largeStep+maxReadBuffer*2 {
			t.Errorf("%d bytes allocated for %d", used, len(stream))
		}
	})
}

// TestALengthAloneCostsLittle: thousands of connections may announce a large frame
// and send nothing of it.
func TestALengthAloneCostsLittle(t *testing.T) {
	stream := []byte{0, 0xf0, 0, 0, 0, 0, 0, 1, 0} // 15 MiB
	before := allocated()
	r := frameReader{src: &pieces{data: stream}, max: protocol.MaxFrameSize, pool: newPool()}
	if _, err := r.next(); !errors.Is(err, errTruncated) {
		t.Error(err)
	}
	if used := allocated() - before; used > 32<<10 {
		t.Errorf("%d bytes allocated for %d", used, len(stream))
	}
}

func TestReadBuffersStayWithinTheirLimits(t *testing.T) {
	small := frame(t, request(1), nil)
	r := frameReader{src: &pieces{data: small}, max: protocol.MaxFrameSize, pool: newPool()}
	if _, err := readAll(&r); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(r.buf) != minReadBuffer {
		t.Errorf("a single small frame made a buffer of %d", len(r.buf))
	}
	r.src = &pieces{data: bytes.Repeat(small, 100_000)}
	if _, err := readAll(&r); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(r.buf) != maxReadBuffer {
		t.Errorf("a burst made a buffer of %d", len(r.buf))
	}
}
