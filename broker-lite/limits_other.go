//go:build !(linux || darwin)

package brokerlite

// openFiles is not known here.
func openFiles() (int, bool) { return 0, false }
