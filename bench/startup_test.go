package main

import (
	"bytes"
	"testing"
)

// The command builds, starts, answers, and ends when it is told to.
func TestServerProcessStartsMeasuresAndStops(t *testing.T) {
	t.Parallel()
	binary, err := buildServer(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &lite{binary: binary, dir: t.TempDir() + "/lite", body: 128}
	if err := s.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if resident, err := residentBytes(s.process.pid()); hasProc && (err != nil || resident < 1<<20) {
		t.Errorf("%d bytes resident (%v)", resident, err)
	}
	if s.process.ready <= 0 {
		t.Errorf("ready after %v", s.process.ready)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestRunRefusesWhatItCannotMeasure(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"-servers", "none"}, &out, &errOut); code != 2 || !bytes.Contains(errOut.Bytes(), []byte(`"none" is none of`)) {
		t.Errorf("code %d, %s", code, &errOut)
	}
}
