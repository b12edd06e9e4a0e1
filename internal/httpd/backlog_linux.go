package httpd

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// onlyOpening is a socket filter that drops the first packet of a connection,
// SYN without ACK, and lets all others pass. A TCP socket's filter sees the
// packet from its TCP header on.
var onlyOpening = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
}

const (
	// handshake is the time for the handshakes that are on their way.
	handshake = 100 * time.Millisecond
	// backlogWait bounds the wait for the accept loop.
	backlogWait = 2 * time.Second
)

// emptyBacklog returns when the accept loop has taken every connection that
// the kernel has opened for ln, and the kernel opens no more. Closing a
// listener resets what it still holds, and to a client such a connection is
// as good as any. A client that comes now finds no answer, and a second later
// a closed port. Where that cannot be done it returns at once.
func emptyBacklog(ctx context.Context, ln net.Listener) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	err = rc.Control(func(fd uintptr) {
		ok = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(onlyOpening)), Filter: &onlyOpening[0]}) == nil //nolint:gosec // five
	})
	if err != nil || !ok {
		return
	}
	wait(ctx, handshake, nil)
	wait(ctx, backlogWait, func() bool {
		waiting := false
		err := rc.Control(func(fd uintptr) {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor
			waiting = n > 0 && err == nil
		})
		return err != nil || !waiting
	})
}
