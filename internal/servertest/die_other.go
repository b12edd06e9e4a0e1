//go:build !linux

package servertest

import "syscall"

// dieWithParent does nothing here: Main ends the servers.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
