package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack returns the pages of the program itself that the start has touched:
// its code and its tables are read once by the runtime and by the packages'
// initializers, those of the operator among them, and most of it never again.
// The pages are only those of the file that cannot be written to: what is still
// needed is mapped again from the page cache, at the first touch. Where it
// cannot be done, nothing happens.
func giveBack() {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // only read
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		from, to, ok := fixed(lines.Text(), program)
		if !ok {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // a hint
	}
}

// fixed reads a line of /proc/self/maps: the addresses of a part of the program
// that cannot be written to.
func fixed(line, program string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 6 || fields[5] != program || fields[1] != "r-xp" && fields[1] != "r--p" {
		return 0, 0, false
	}
	a, b, _ := strings.Cut(fields[0], "-")
	x, err1 := strconv.ParseUint(a, 16, 64)
	y, err2 := strconv.ParseUint(b, 16, 64)
	return uintptr(x), uintptr(y), err1 == nil && err2 == nil && x < y
}
