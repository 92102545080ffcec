package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hasProc: CPU times and memory are measured.
const hasProc = true

// ticks is USER_HZ, the unit of /proc's times: 100 on every Linux that Go runs
// on.
const ticks = 100

// ownCPU is what this process has used.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// processCPU is what a process has used, all its threads.
func processCPU(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: %q", path, b)
	}
	return sumTicks(path, fields[11:13]) // utime and stime
}

// machineCPU is what all processors have worked, for whomever.
func machineCPU() (time.Duration, error) {
	const path = "/proc/stat"
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 {
		return 0, fmt.Errorf("%s: %q", path, line)
	}
	// user nice system, irq softirq steal; idle and iowait are not work.
	return sumTicks(path, [][]byte{fields[1], fields[2], fields[3], fields[6], fields[7], fields[8]})
}

func sumTicks(path string, fields [][]byte) (time.Duration, error) {
	sum := int64(0)
	for _, f := range fields {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

// residentBytes is the memory that a process holds.
func residentBytes(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			fields := bytes.Fields(rest)
			if len(fields) == 2 && string(fields[1]) == "kB" {
				kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
				return kb << 10, err
			}
		}
	}
	return 0, fmt.Errorf("%s has no VmRSS", path)
}

// machine describes the hardware and the system.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(b) {
			if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
				model = string(bytes.TrimSpace(value))
				break
			}
		}
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return model
	}
	version := strings.SplitN(strings.TrimSpace(string(release)), ".", 3) // the rest is the distribution's
	return model + ", Linux " + strings.Join(version[:min(len(version), 2)], ".")
}

// memoryMiB is the machine's memory, 0 when it is not known.
func memoryMiB() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	var kb int64
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err != nil {
		return 0
	}
	return kb >> 10
}
