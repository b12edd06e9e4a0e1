//go:build !linux

package store

import (
	"errors"
	"syscall"
)

// userTimeout cannot be had here.
func userTimeout(syscall.RawConn, int) error {
	return errors.New("tcp_user_timeout is an option of Linux")
}
