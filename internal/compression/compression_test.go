package compression

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kinds are Java's names.
var kinds = map[string]int32{"ZLIB": protocol.SysZlib, "LZ4": protocol.SysLZ4, "ZSTD": protocol.SysZstd}

func packer(t testing.TB, kind int32) *Packer {
	t.Helper()
	p, err := NewPacker(kind, 5)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bodies are worth packing.
func bodies() [][]byte {
	order := []byte(strings.Repeat(`{"order":17,"state":"paid"}`, 400))
	mixed := make([]byte, 300<<10)
	rnd := rand.NewChaCha8([32]byte{1})
	rnd.Read(mixed[:len(mixed)/2])
	return [][]byte{order, mixed, bytes.Repeat([]byte{0}, 4<<20)}
}

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		p := packer(t, kind)
		var wg sync.WaitGroup
		for range 4 { // encoders are shared
			wg.Go(func() {
				for _, body := range bodies() {
					packed, flags, err := p.Pack([]byte("before"), body)
					if err != nil || flags != protocol.SysCompressed|kind || !bytes.HasPrefix(packed, []byte("before")) || len(packed) >= len(body) {
						t.Errorf("%s: %d bytes of %d, flags %#x, %v", name, len(packed), len(body), flags, err)
						return
					}
					got, err := Unpack(packed[len("before"):], flags)
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("%s: %d bytes came back of %d, %v", name, len(got), len(body), err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestABodyThatDoesNotShrinkIsLeft(t *testing.T) {
	t.Parallel()
	body := make([]byte, 8<<10)
	rand.NewChaCha8([32]byte{2}).Read(body)
	for name, kind := range kinds {
		if got, flags, err := packer(t, kind).Pack([]byte("x"), body); string(got) != "x" || flags != 0 || err != nil {
			t.Errorf("%s: %d bytes, flags %#x, %v", name, len(got), flags, err)
		}
	}
}

func TestLevelsAndKindsThatAreNotAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind  int32
		level int
	}{{protocol.SysZlib, 0}, {protocol.SysZlib, 10}, {protocol.SysZstd, 23}, {protocol.SysLZ4, -1}, {5 << 8, 1}, {0, 1}} {
		if _, err := NewPacker(tt.kind, tt.level); err == nil {
			t.Errorf("kind %#x, level %d: no error", tt.kind, tt.level)
		}
	}
}

func TestBodiesThatCannotBeUnpacked(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		packed, _, err := packer(t, kind).Pack(nil, bodies()[0])
		if err != nil {
			t.Fatal(err)
		}
		for what, body := range map[string][]byte{"nothing": nil, "something else": []byte("plain text that is long enough"), "half of it": packed[:len(packed)/2]} {
			if got, err := Unpack(body, kind); err == nil {
				t.Errorf("%s: %s: no error, %d bytes", name, what, len(got))
			}
		}
		if got, err := unpack(packed, kind, 100); err == nil || len(got) != 0 {
			t.Errorf("%s: over the limit: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := Unpack([]byte("x"), 5<<8); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// Java's compressors read ours, and we read theirs.
func TestJavaReadsWhatIsPackedAndIsRead(t *testing.T) {
	apache.Require(t)
	var in strings.Builder
	var want [][]byte
	var unpack []int32 // the kind that a line of output is packed with, 0 for none
	for name, kind := range kinds {
		for _, body := range bodies() {
			packed, _, err := packer(t, kind).Pack(nil, body)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&in, "U %s %s\nP %s %s\n", name, base64.StdEncoding.EncodeToString(packed), name, base64.StdEncoding.EncodeToString(body))
			want, unpack = append(want, body, body), append(unpack, 0, kind)
		}
	}
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte(in.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := apache.Program{Main: "compress.Compress", Args: []string{file}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(out)
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, line := range lines {
		got, err := base64.StdEncoding.DecodeString(line)
		if err == nil && unpack[i] != 0 {
			got, err = Unpack(got, unpack[i])
		}
		if err != nil || !bytes.Equal(got, want[i]) {
			t.Errorf("line %d: %d bytes, want %d; %v", i, len(got), len(want[i]), err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	for _, kind := range kinds {
		packed, flags, err := packer(f, kind).Pack(nil, bodies()[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, flags)
	}
	f.Fuzz(func(t *testing.T, body []byte, flags int32) {
		const limit = 1 << 20
		if got, err := unpack(body, flags, limit); err == nil && len(got) > limit || err != nil && got != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	body := []byte(strings.Repeat(`{"order":17,"state":"paid","amount":12345}`, 200))
	for name, kind := range kinds {
		p := packer(b, kind)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, _, err = p.Pack(dst[:0], body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
