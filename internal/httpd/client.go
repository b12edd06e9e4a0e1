package httpd

import (
	"net/http"
	"net/netip"
	"strings"
)

// contains reports whether one of the prefixes holds a.
func contains(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// ParsePrefixes reads a list of CIDRs or single addresses, as TRUSTED_PROXY_CIDR
// has them.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		s = strings.TrimSpace(s)
		if a, err := netip.ParseAddr(s); err == nil {
			a = a.Unmap().WithZone("")
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// peerAddr is the address of the other end of r's connection; invalid when
// RemoteAddr is none, as in a test.
func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// clientAddr walks from peer through at most hops proxies towards the client:
// as long as the present address is trusted, the next one from the right of
// X-Forwarded-For counts. What is no address ends the walk. With no
// X-Forwarded-For at all, a trusted peer's X-Real-IP counts.
func clientAddr(h http.Header, peer netip.Addr, trusted []netip.Prefix, hops int) netip.Addr {
	lines := h["X-Forwarded-For"]
	if len(lines) == 0 {
		if hops > 0 {
			if a, ok := parseForwarded(h.Get("X-Real-Ip")); ok {
				return a
			}
		}
		return peer
	}
	at := peer
	for i := len(lines) - 1; i >= 0; i-- {
		rest, more := lines[i], true
		for more {
			if hops == 0 || !contains(trusted, at) {
				return at
			}
			var last string
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				rest, last = rest[:j], rest[j+1:]
			} else {
				last, more = rest, false
			}
			a, ok := parseForwarded(last)
			if !ok {
				return at
			}
			at = a
			hops--
		}
	}
	return at
}

// parseForwarded reads one entry of X-Forwarded-For: an address, maybe with a
// port, an IPv6 one maybe in brackets.
func parseForwarded(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t\"")
	if s == "" || len(s) > 64 {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : len(s)-1]); err == nil {
			return a.Unmap().WithZone(""), true
		}
	}
	return netip.Addr{}, false
}

// forwarded returns the entry of a comma-separated header that the outermost
// trusted proxy wrote, or "".
func forwarded(h http.Header, key string, hops int) string {
	lines := h[key]
	if len(lines) == 0 {
		return ""
	}
	parts := strings.Split(strings.Join(lines, ","), ",")
	return strings.TrimSpace(parts[max(0, len(parts)-hops)])
}

// forwardedScheme is the scheme that the client used: https on TLS or when a
// trusted proxy says so.
func forwardedScheme(r *http.Request, trusted bool, hops int) string {
	if r.TLS != nil {
		return "https"
	}
	if trusted && strings.EqualFold(forwarded(r.Header, "X-Forwarded-Proto", hops), "https") {
		return "https"
	}
	return "http"
}

// forwardedHost is the host[:port] that the client asked for.
func forwardedHost(r *http.Request, trusted bool, hops int) string {
	if trusted {
		if h := forwarded(r.Header, "X-Forwarded-Host", hops); h != "" && validHost(h) {
			return h
		}
	}
	return r.Host
}

func validHost(s string) bool {
	if len(s) > 260 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}
