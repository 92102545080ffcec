package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// services are the names that Apache's mqshutdown gives the servers.
func services() map[string]string {
	return map[string]string{"broker": "mqbroker", "namesrv": "mqnamesrv"}
}

func newServerStop(f *serverFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "stop [broker|namesrv]",
		Short: "Stop a server that rocketkit started, as Apache's mqshutdown does",
		Long: `Stop a server that "rocketkit server" started with the same --data-dir or broker.conf,
and wait until it has ended. Without an argument it is all that run there.

It finds the process by the file <data-dir>/broker.pid or namesrv.pid, and ends it
only if it is a rocketkit server. A process that runs both servers ends with either.`,
		Example: `  rocketkit server stop
  rocketkit server stop broker --data-dir /var/lib/rocketmq`,
		ValidArgs: slices.Sorted(maps.Keys(services())),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && services()[args[0]] == "" {
				return usageError(cmd, fmt.Errorf("unknown server %q: want broker or namesrv", args[0]))
			}
			return upTo(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := f.dirOptions()
			if err != nil {
				return err
			}
			dir, err := brokerlite.DirOf(opts...)
			if err != nil {
				return err
			}
			if runtime.GOOS == "windows" {
				return fmt.Errorf("no signal ends a server in order on Windows: press Ctrl-C in its window, or kill the process that %s names", pidPath(dir, "broker"))
			}
			return stop(cmd, dir, args)
		},
	}
}

// stop ends the processes of the servers, of all when none is named.
func stop(cmd *cobra.Command, dir string, names []string) error {
	running, err := runningIn(dir)
	if err != nil {
		return err
	}
	if len(running) == 0 {
		return fmt.Errorf("no server of rocketkit runs with the data directory %s; another is named by --data-dir or -c", dir)
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(running))
	}
	for name, pid := range running {
		if i := slices.IndexFunc(names, func(n string) bool { return running[n] == pid }); i >= 0 && !slices.Contains(names, name) {
			fmt.Fprintf(cmd.ErrOrStderr(), "the %s is in the same process as the %s and ends too\n", services()[name], services()[names[i]])
		}
	}
	var ended []int // in the names' order: a broker can still leave its name server
	for _, name := range names {
		pid, service := running[name], services()[name]
		if pid == 0 {
			return fmt.Errorf("no %s runs with the data directory %s", service, dir)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "The %s(%d) is running...\n", service, pid)
		if !slices.Contains(ended, pid) {
			if err := terminate(pid); err != nil {
				return fmt.Errorf("end process %d: %w", pid, err)
			}
			if err := awaitEnd(cmd.Context(), pid); err != nil {
				return err
			}
			ended = append(ended, pid)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Send shutdown request to %s(%d) OK\n", service, pid)
	}
	return nil
}

// runningIn are the processes of the servers that run with a directory.
func runningIn(dir string) (map[string]int, error) {
	running := make(map[string]int)
	var errs []error
	for name := range services() {
		pid, err := readPID(dir, name)
		if pid != 0 {
			running[name] = pid
		}
		errs = append(errs, err)
	}
	return running, errors.Join(errs...)
}

// terminate asks a process to end.
func terminate(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return errors.Join(p.Signal(syscall.SIGTERM), p.Release())
}

// awaitEnd waits for a process to end, longer than it waits for others.
func awaitEnd(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*stopTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for isServer(pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d was asked to end and has not yet: %w", pid, ctx.Err())
		}
	}
	return nil
}

func pidPath(dir, name string) string { return filepath.Join(dir, name+".pid") }

// pidNames are the services that a role runs.
func pidNames(role string) []string {
	if role == string(brokerlite.RoleAll) {
		return []string{"broker", "namesrv"}
	}
	return []string{role}
}

// checkPIDs refuses a directory that a server of the same kind runs with.
func checkPIDs(dir, role string) error {
	for _, name := range pidNames(role) {
		if pid, err := readPID(dir, name); err == nil && pid != 0 {
			return fmt.Errorf("process %d is %s with the data directory %s already: stop it (rocketkit server stop), or choose another with --data-dir", pid, services()[name], dir)
		}
	}
	return nil
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
	if err != nil || pid == os.Getpid() {
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
