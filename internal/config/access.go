package config

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// URL returns scheme and host of the registry as clients reach it, such as
// "https://registry.example.com"; "" = they follow the Host of each request.
func (s Server) URL() string {
	if s.Hostname == "" {
		return ""
	}
	return s.Scheme + "://" + s.Hostname
}

// ReadOnly reports whether REGISTRY_STATE refuses every change.
func (s Server) ReadOnly() bool { return s.State == "readonly" }

// Network returns what net.Listen takes for FEATURE_LISTEN_IP_VERSION.
func (s Server) Network() string {
	switch s.ListenIPVersion {
	case "IPv6":
		return "tcp6"
	case "dual-stack":
		return "tcp"
	}
	return "tcp4"
}

// TrustedProxies returns the networks of TRUSTED_PROXY_CIDR; nil = every peer.
func (s Server) TrustedProxies() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range s.TrustedProxyCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
		} else if a, err := netip.ParseAddr(text); err == nil { // one of the two: Load checked it
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}

// Slog returns the level as log/slog has it.
func (l Log) Slog() slog.Level {
	switch strings.ToUpper(l.Level) {
	case "DEBUG":
		return slog.LevelDebug
	case "WARN", "WARNING":
		return slog.LevelWarn
	case "ERROR", "CRITICAL", "FATAL":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// TagExpirations returns the lengths of TagExpirationOptions, in their order.
func (r Registry) TagExpirations() []time.Duration {
	out := make([]time.Duration, 0, len(r.TagExpirationOptions))
	for _, s := range r.TagExpirationOptions {
		if d, err := ParseDuration(s); err == nil { // Load checked it
			out = append(out, d)
		}
	}
	return out
}
