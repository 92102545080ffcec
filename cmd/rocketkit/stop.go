package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// services are the servers that can be stopped, with the names that mqshutdown
// gives them.
var services = map[string]string{"broker": "mqbroker", "namesrv": "mqnamesrv"}

func newServerStop(f *serverFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "stop [broker|namesrv]",
		Short: "Stop a server that rocketkit started, as Apache's mqshutdown does",
		Long: `Stop a server that "rocketkit server" started with the same --data-dir. It finds the
process by the file <data-dir>/broker.pid or namesrv.pid, and ends it only if it is
a rocketkit server. A process that runs both servers ends with either.`,
		ValidArgs: []string{"broker", "namesrv"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"broker", "namesrv"}
			}
			opts, err := f.options(cmd)
			if err != nil {
				return err
			}
			dir, err := brokerlite.DirOf(opts...)
			if err != nil {
				return err
			}
			return stop(cmd, dir, args)
		},
	}
}

// stop ends the processes of the services.
func stop(cmd *cobra.Command, dir string, names []string) error {
	out := cmd.OutOrStdout()
	running := map[int]bool{}
	var errs []error
	for _, name := range names {
		service := services[name]
		pid, err := readPID(dir, name)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case pid == 0:
			if len(names) == 1 {
				errs = append(errs, fmt.Errorf("no %s running", service))
			}
			continue
		}
		fmt.Fprintf(out, "The %s(%d) is running...\n", service, pid)
		if !running[pid] {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				errs = append(errs, fmt.Errorf("end process %d: %w", pid, err))
				continue
			}
		}
		running[pid] = true
		fmt.Fprintf(out, "Send shutdown request to %s(%d) OK\n", service, pid)
	}
	if len(running) == 0 && len(errs) == 0 {
		return fmt.Errorf("no server of rocketkit runs with the data directory %s", dir)
	}
	for pid := range running {
		if !gone(cmd, pid) {
			errs = append(errs, fmt.Errorf("process %d has not ended after %v", pid, 2*stopTimeout))
		}
	}
	return errors.Join(errs...)
}

// gone waits for a process to end.
func gone(cmd *cobra.Command, pid int) bool {
	deadline := time.NewTimer(2 * stopTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if !isServer(pid) {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-cmd.Context().Done():
			return false
		}
	}
}

func pidPath(dir, name string) string { return filepath.Join(dir, name+".pid") }

// pidNames are the services that a role runs.
func pidNames(role string) []string {
	if role == string(brokerlite.RoleAll) {
		return []string{"broker", "namesrv"}
	}
	return []string{role}
}

func writePIDs(dir, role string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("note the process id: %w", err)
	}
	for _, name := range pidNames(role) {
		if err := os.WriteFile(pidPath(dir, name), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			return fmt.Errorf("note the process id, for \"rocketkit server stop\": %w", err)
		}
	}
	return nil
}

// removePIDs removes the files, unless another process has written its own.
func removePIDs(dir, role string) error {
	var errs []error
	for _, name := range pidNames(role) {
		text, err := os.ReadFile(pidPath(dir, name))
		if err == nil && strings.TrimSpace(string(text)) == strconv.Itoa(os.Getpid()) {
			err = os.Remove(pidPath(dir, name))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readPID returns the process of a service, 0 when none runs.
func readPID(dir, name string) (int, error) {
	path := pidPath(dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s has no process id: %q", path, bytes.TrimSpace(text))
	}
	if !isServer(pid) {
		return 0, nil // it was killed, and the number may be another's by now
	}
	return pid, nil
}

// isServer reports whether a process is a server of this program.
func isServer(pid int) bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(string(args), "\x00")
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat("/proc/self"); statErr == nil {
			return false // there is a /proc, and the process is not in it
		}
		// No /proc: ask ps, as on macOS.
		var text []byte
		text, err = exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
		words = strings.Fields(string(text))
	}
	if err != nil || len(words) < 2 || filepath.Base(words[0]) != filepath.Base(self) {
		return false
	}
	for _, w := range words[1:] {
		if w == "server" {
			return true
		}
	}
	return false
}
