package apache

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// process is one JVM. Its goroutine, started by startProcess, awaits it and
// closes done; err is written before that and read only after it.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // path of its standard output and error
	done chan struct{}
	err  error
}

func startProcess(name string, cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd)
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with this thread
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("apache: start %s: %w", name, err)
	}
	return p, nil
}

// stop asks the process to end, kills it after grace, and waits until it is
// gone. A grace of zero kills at once.
func (p *process) stop(grace time.Duration) error {
	if grace > 0 {
		if err := signalGroup(p.cmd, false); err != nil {
			return fmt.Errorf("apache: stop %s: %w", p.name, err)
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			return nil
		case <-timer.C:
		}
	}
	if err := signalGroup(p.cmd, true); err != nil {
		return fmt.Errorf("apache: kill %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("apache: %s (pid %d) outlives SIGKILL", p.name, p.cmd.Process.Pid)
	}
}

// logTail returns the end of what the process printed.
func (p *process) logTail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(tail(b, 4000))
}
