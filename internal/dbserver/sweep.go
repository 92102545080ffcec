package dbserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// owned is the file in a server's folder that its process holds a lock on.
const owned = "owner"

// own makes a server's folder, and says that it is this process's until the file is closed.
func own() (dir string, owner *os.File, err error) {
	if dir, err = os.MkdirTemp("", "rocketkit-db-*"); err != nil {
		return "", nil, err
	}
	// Only a locked file has the name that sweep looks for.
	temp := filepath.Join(dir, owned+".new")
	if owner, err = os.Create(temp); err == nil {
		if err = errors.Join(lock(owner), os.Rename(temp, filepath.Join(dir, owned))); err == nil {
			return dir, owner, nil
		}
		err = errors.Join(err, owner.Close())
	}
	return "", nil, errors.Join(err, os.RemoveAll(dir))
}

// sweep deletes what processes have left behind that were killed: their servers ended with
// them, and nobody deleted the data.
func sweep() error {
	files, err := filepath.Glob(filepath.Join(os.TempDir(), "rocketkit-db-*", owned))
	for _, name := range files {
		f, oerr := os.Open(name)
		if oerr != nil {
			continue // another user's, or gone
		}
		if lock(f) == nil {
			if derr := os.RemoveAll(filepath.Dir(name)); derr != nil {
				err = errors.Join(err, fmt.Errorf("delete what a killed run has left: %w", derr))
			}
		}
		err = errors.Join(err, f.Close())
	}
	return err
}
