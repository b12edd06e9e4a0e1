package httpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
)

// TLSOptions says how a Server speaks TLS. Versions below 1.2 are never
// spoken.
type TLSOptions struct {
	CertFile, KeyFile string   // PEM
	Protocols         []string // SSL_PROTOCOLS: TLSv1.2, TLSv1.3; empty is both; older ones are ignored
	Ciphers           []string // SSL_CIPHERS, OpenSSL names of TLS 1.2 suites; empty is Go's choice
	Ciphersuites      []string // SSL_CIPHERSUITES, TLS 1.3; checked only: Go offers all three always
}

// openSSLNames maps OpenSSL's cipher names to the TLS 1.2 suites that we can
// speak. Their order does not matter: Go prefers by security and hardware.
var openSSLNames = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// CipherSuites turns OpenSSL names, each maybe a list with colons, into suite
// ids, and returns the names that we do not speak: other key exchanges,
// exclusions and keywords such as HIGH. It fails when names are given and none
// is left.
func CipherSuites(names []string) (ids []uint16, ignored []string, err error) {
	for _, list := range names {
		for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
			if id, ok := openSSLNames[strings.ToUpper(name)]; ok {
				ids = append(ids, id)
			} else {
				ignored = append(ignored, name)
			}
		}
	}
	if len(ids) == 0 && len(ignored) > 0 {
		return nil, ignored, fmt.Errorf("SSL_CIPHERS names no cipher that is spoken here: %.200s", strings.Join(ignored, ":"))
	}
	return ids, ignored, nil
}

func tlsVersions(names []string) (lo, hi uint16, err error) {
	if len(names) == 0 {
		return tls.VersionTLS12, tls.VersionTLS13, nil
	}
	for _, list := range names {
		for _, name := range strings.Fields(list) {
			var v uint16
			switch strings.ToLower(name) {
			case "tlsv1.3":
				v = tls.VersionTLS13
			case "tlsv1.2":
				v = tls.VersionTLS12
			case "tlsv1.1", "tlsv1", "tlsv1.0", "sslv3", "sslv2":
				continue
			default:
				return 0, 0, fmt.Errorf("SSL_PROTOCOLS: %q is not one of TLSv1.2, TLSv1.3", name)
			}
			if lo == 0 || v < lo {
				lo = v
			}
			hi = max(hi, v)
		}
	}
	if lo == 0 {
		return 0, 0, errors.New("SSL_PROTOCOLS allows neither TLSv1.2 nor TLSv1.3")
	}
	return lo, hi, nil
}

// tlsConfig makes the configuration; certificates are read by s.cert.
func (s *Server) tlsConfig(o TLSOptions) (*tls.Config, error) {
	lo, hi, err := tlsVersions(o.Protocols)
	if err != nil {
		return nil, err
	}
	ids, ignored, err := CipherSuites(o.Ciphers)
	if err != nil {
		return nil, err
	}
	if len(ignored) > 0 {
		s.opt.Logger.Warn("ciphers that are not spoken here are left out", "ciphers", strings.Join(ignored, ":"))
	}
	for _, name := range o.Ciphersuites {
		for n := range strings.SplitSeq(name, ":") {
			switch strings.ToUpper(n) {
			case "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256":
			default:
				s.opt.Logger.Warn("a TLS 1.3 cipher suite is not spoken here", "ciphersuite", n)
			}
		}
	}
	return &tls.Config{ // #nosec G402 -- lo is 1.2 at least
		MinVersion:   lo,
		MaxVersion:   hi,
		CipherSuites: ids,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.cert.Load(), nil
		},
	}, nil
}

// ReloadCertificate reads the certificate and key anew. When that fails the
// old pair stays in use. Without TLS it does nothing.
func (s *Server) ReloadCertificate() error {
	if s.opt.TLS == nil {
		return nil
	}
	c, err := tls.LoadX509KeyPair(s.opt.TLS.CertFile, s.opt.TLS.KeyFile)
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	s.cert.Store(&c)
	return nil
}
