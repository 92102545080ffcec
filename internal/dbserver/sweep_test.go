package dbserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatAKilledRunLeavesIsDeletedByTheNext(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	folder := func() (string, *os.File) {
		t.Helper()
		dir, owner, err := own()
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err) // where there are no servers, either
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "data", "base"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir, owner
	}
	killed, owner := folder()
	if err := owner.Close(); err != nil { // as the end of a process does
		t.Fatal(err)
	}
	alive, owner := folder()
	defer owner.Close()
	others := filepath.Join(temp, "rocketkit-db-beginning")
	if err := os.Mkdir(others, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sweep(); err != nil {
		t.Error(err)
	}
	for dir, want := range map[string]bool{killed: false, alive: true, others: true} {
		if isDir(dir) != want {
			t.Errorf("%s is there: %v", dir, !want)
		}
	}
}
