//go:build !unix

package apache

import (
	"errors"
	"os"
	"os/exec"
)

var errLocked = errors.New("locked by another process")

// tryLock does not lock here: two test binaries that resolve the jars at once
// each fill a directory of their own, and the first rename wins.
func tryLock(*os.File) error { return nil }

func ownGroup(*exec.Cmd) {}

func signalGroup(cmd *exec.Cmd, _ bool) error {
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
