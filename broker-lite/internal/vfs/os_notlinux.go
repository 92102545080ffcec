//go:build !linux

package vfs

import "os"

// syncFile is fsync, and F_FULLFSYNC on Darwin.
func syncFile(f *os.File) error { return f.Sync() }
