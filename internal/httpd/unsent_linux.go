package httpd

import (
	"net"
	"syscall"
	"unsafe"
)

// unsent returns how many bytes of nc are in the kernel, not yet acknowledged
// by the other end; 0 when that is not known.
func unsent(nc net.Conn) int32 {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	var n int32
	err = rc.Control(func(fd uintptr) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 { // #nosec G103 -- the kernel writes one int
			n = 0
		}
	})
	if err != nil || n < 0 {
		return 0
	}
	return n
}
