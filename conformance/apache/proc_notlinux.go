//go:build unix && !linux

package apache

import "syscall"

func dieWithParent(*syscall.SysProcAttr) {}
