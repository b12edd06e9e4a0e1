package httpd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// maxProxyHeader bounds a PROXY header; version 2 headers carry extras that we
// skip.
const maxProxyHeader = 4096

// maxProxyV1 is the longest header of version 1, its line end included.
const maxProxyV1 = 107

var proxyV2Signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// readProxyHeader reads a PROXY protocol header, version 1 or 2, and nothing
// after it. The source is invalid where the header names none (UNKNOWN,
// LOCAL, a Unix socket): the connection speaks for itself then. br must hold
// maxProxyHeader bytes.
func readProxyHeader(br *bufio.Reader) (src netip.AddrPort, err error) {
	first, err := br.Peek(1)
	if err != nil {
		return src, err
	}
	switch first[0] {
	case 'P':
		return readProxyV1(br)
	case '\r':
		return readProxyV2(br)
	}
	return src, errors.New("missing")
}

func readProxyV1(br *bufio.Reader) (src netip.AddrPort, err error) {
	var line []byte
	for {
		c, err := br.ReadByte()
		if err != nil {
			return src, err
		}
		if line = append(line, c); c == '\n' {
			break
		}
		if len(line) == maxProxyV1 {
			return src, errors.New("line is too long")
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return src, errors.New("line does not end in CR LF")
	}
	f := strings.Split(text, " ")
	if f[0] != "PROXY" || len(f) < 2 {
		return src, errors.New("bad line")
	}
	if f[1] == "UNKNOWN" {
		return src, nil
	}
	if len(f) != 6 || (f[1] != "TCP4" && f[1] != "TCP6") {
		return src, errors.New("bad line")
	}
	for i := range 2 { // source, destination
		addr, err := netip.ParseAddr(f[2+i])
		if err != nil || addr.Zone() != "" || addr.Is4() != (f[1] == "TCP4") {
			return netip.AddrPort{}, errors.New("bad address")
		}
		port, err := strconv.ParseUint(f[4+i], 10, 16)
		if err != nil || f[4+i][0] == '+' {
			return netip.AddrPort{}, errors.New("bad port")
		}
		if i == 0 {
			src = netip.AddrPortFrom(addr.Unmap(), uint16(port))
		}
	}
	return src, nil
}

func readProxyV2(br *bufio.Reader) (src netip.AddrPort, err error) {
	var head [16]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return src, err
	}
	if !bytes.Equal(head[:12], proxyV2Signature) {
		return src, errors.New("bad signature")
	}
	if head[12]>>4 != 2 {
		return src, fmt.Errorf("version %d", head[12]>>4)
	}
	size := int(binary.BigEndian.Uint16(head[14:]))
	if size > maxProxyHeader-len(head) {
		return src, fmt.Errorf("header of %d bytes is too long", size)
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(br, rest); err != nil {
		return src, err
	}
	switch head[12] & 15 {
	case 0: // LOCAL: the proxy's own connection, a health check
		return src, nil
	case 1:
	default:
		return src, fmt.Errorf("command %d", head[12]&15)
	}
	switch head[13] >> 4 {
	case 1: // IPv4: two addresses, two ports
		if size < 12 {
			return src, errors.New("header is too short")
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest[:4])), binary.BigEndian.Uint16(rest[8:])), nil
	case 2: // IPv6
		if size < 36 {
			return src, errors.New("header is too short")
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest[:16])).Unmap(), binary.BigEndian.Uint16(rest[32:])), nil
	}
	return src, nil
}
