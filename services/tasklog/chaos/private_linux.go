package main

import "syscall"

// private keeps a child out of our process group, so that a Ctrl-C reaches us alone, and ends it when
// we are killed.
func private() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
