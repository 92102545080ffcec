package dbserver

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// haste ends PostgreSQL and MariaDB without waiting for their clients.
const haste = syscall.SIGQUIT

const nobody = 65534

func isRoot() bool { return os.Geteuid() == 0 }

// confine has a command end with the thread that starts it, and run as nobody where root
// is refused.
func confine(cmd *exec.Cmd, asNobody bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: haste} // a Ctrl-C is for the tests; they end the server
	if asNobody {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
}

// lock takes a file that no other process, and no other opening of it, holds.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// giveToNobody makes nobody the owner of folders.
func giveToNobody(dirs ...string) error {
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, os.Chown(dir, nobody, nobody))
	}
	return errors.Join(errs...)
}
