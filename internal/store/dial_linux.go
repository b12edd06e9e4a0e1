package store

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout bounds how long sent data may stay unanswered, in milliseconds.
func userTimeout(c syscall.RawConn, ms int) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	})
	return errors.Join(err, set)
}
