package bench

import (
	"syscall"
	"unsafe"
)

// dropSize is the most that one recvTrunc asks for. The kernel never writes
// to the buffer, so it may be larger than the buffer is.
const dropSize = 4 << 20

// recvTrunc moves past up to n received bytes of the TCP socket fd without
// copying them. The kernel only looks at buf's address.
func recvTrunc(fd int, buf []byte, n int) (int, error) {
	got, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), //nolint:gosec // the kernel does not write there: MSG_TRUNC
		uintptr(n), syscall.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}
