//go:build !linux

package storetest

import "syscall"

// dieWithParent does nothing here: Main ends the servers.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
