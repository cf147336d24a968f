//go:build !linux

package devredis

import "syscall"

// private keeps the child out of our process group, so that a Ctrl-C reaches us alone and the
// child ends last.
func private() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
