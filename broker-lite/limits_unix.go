//go:build linux || darwin

package brokerlite

import (
	"math"
	"syscall"
)

// openFiles is how many files this process may have open. Go's runtime has raised
// the soft limit to the hard one.
func openFiles() (int, bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return int(min(uint64(r.Cur), math.MaxInt32)), true
}
