package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// goldenCase is one entry of testdata/golden/manifest.json: bytes that Apache's
// own classes wrote, and the values that went in.
type goldenCase struct {
	Name    string          `json:"name"`
	File    string          `json:"file"`
	Version string          `json:"version"`
	Kind    string          `json:"kind"`
	Bytes   string          `json:"bytes"` // exact, logical or compressed
	Values  json.RawMessage `json:"values"`

	data []byte
}

// golden returns the cases of the manifest whose kind and name match; prefix ""
// matches all.
func golden(t testing.TB, kind, prefix string) []goldenCase {
	t.Helper()
	dir := filepath.Join("testdata", "golden")
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all, found []goldenCase
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Kind != kind || !strings.HasPrefix(c.Name, prefix) {
			continue
		}
		if c.data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.File))); err != nil {
			t.Fatal(err)
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		t.Fatalf("no golden case of kind %q named %q…", kind, prefix)
	}
	return found
}

// values reads what went into a case, numbers as json.Number.
func (c *goldenCase) values(t testing.TB, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(c.Values))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s %s: %v", c.Name, c.Version, err)
	}
}

// is5 reports whether Apache 5.x wrote the case.
func (c *goldenCase) is5() bool { return strings.HasPrefix(c.Version, "5.") }

// eachGolden runs test on each matching case as a parallel subtest.
func eachGolden(t *testing.T, kind, prefix string, test func(t *testing.T, c *goldenCase)) {
	t.Helper()
	for _, c := range golden(t, kind, prefix) {
		t.Run(c.Name+"-"+c.Version, func(t *testing.T) {
			t.Parallel()
			test(t, &c)
		})
	}
}

// goldenTable reads a table of rows that Apache's classes computed.
func goldenTable[Row any](t *testing.T, name string) []Row {
	t.Helper()
	var rows []Row
	for _, c := range golden(t, "table", name) {
		if c.Name != name || !c.is5() {
			continue
		}
		if err := json.Unmarshal(c.data, &rows); err != nil {
			t.Fatal(err)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("golden table %q has no rows", name)
	}
	return rows
}

// addGolden gives the bytes of a kind of case to a fuzz target as seeds.
func addGolden(f *testing.F, kind, prefix string) {
	f.Helper()
	for _, c := range golden(f, kind, prefix) {
		f.Add(c.data)
	}
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// boundAllocs fails the test when decode allocates more than a small multiple of
// n, the size of what it is given, and a constant. Parallel tests must not run
// beside it: fuzz targets do not.
func boundAllocs(t *testing.T, n int, decode func()) {
	t.Helper()
	const factor, constant = 48, 256 << 10
	var least uint64
	for range 2 { // the first time encoding/json may learn a type
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decode()
		runtime.ReadMemStats(&after)
		if least = after.TotalAlloc - before.TotalAlloc; least <= uint64(factor*n+constant) {
			return
		}
	}
	t.Errorf("decoding %d bytes allocated %d, more than %d times as much and %d", n, least, factor, constant)
}
