package apache

import "syscall"

// dieWithParent has the kernel kill the JVM when the thread that started it
// ends; [startProcess] keeps that thread for as long as the process lives.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
