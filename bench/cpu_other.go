//go:build !linux

package main

import (
	"runtime"
	"time"
)

// hasProc: CPU times and memory are read from Linux's /proc, and are 0 without.
const hasProc = false

func ownCPU() (time.Duration, error)        { return 0, nil }
func processCPU(int) (time.Duration, error) { return 0, nil }
func machineCPU() (time.Duration, error)    { return 0, nil }
func residentBytes(int) (int64, error)      { return 0, nil }
func memoryMiB() int64                      { return 0 }
func machine() string                       { return runtime.GOOS + "/" + runtime.GOARCH }
