//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"path/filepath"
	"syscall"
	"testing"
)

// A child has copies of all files between its fork and its exec.
func TestAForkedCopyOfALockDoesNotHoldIt(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "lock")
	l, err := OS().Lock(name)
	must(t, err)
	held, err := syscall.Dup(int(l.(osLock).f.Fd()))
	must(t, err)
	t.Cleanup(func() { must(t, syscall.Close(held)) })
	must(t, l.Close())
	again, err := OS().Lock(name)
	must(t, err)
	must(t, again.Close())
}
