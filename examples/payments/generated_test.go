package main

import (
	"testing"

	"github.com/rocketkit/rocketkit/internal/generate"
)

func TestTheGeneratedHandlersAreUpToDate(t *testing.T) {
	t.Parallel()
	files, err := generate.Files(t.Context(), ".", ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Stale() {
			t.Errorf("%s is not up to date; run go generate", f.Path)
		}
	}
}
