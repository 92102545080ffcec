//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package native

import (
	"errors"
	"os"
	"syscall"
)

// errLocked: another process, or another client of this one, has the file.
var errLocked = errors.New("in use")

// lockOffsets takes the file for this process until unlock is called or it ends.
func lockOffsets(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close()) }, nil
}
