package store

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A check says how far a server's certificate is checked.
type check int

const (
	checkNothing check = iota
	checkAuthority
	checkHost
)

// tlsParts are what the TLS connections to one database have in common.
type tlsParts struct {
	roots    *x509.CertPool // nil = those of the system
	cert     []tls.Certificate
	min, max uint16
	sni      bool
	// commonName: a certificate without any alternative name may name the
	// host as its subject, as libpq has it.
	commonName bool
	// revoked are the files and the folder of revocation lists, which are read
	// at each connection; "" = none.
	crlFile, crlDir string
}

// config returns the configuration for one server.
func (p *tlsParts) config(host string, c check) *tls.Config {
	name := ""
	if p.sni && net.ParseIP(host) == nil {
		name = host
	}
	return &tls.Config{
		ServerName: name, Certificates: p.cert, MinVersion: p.min, MaxVersion: p.max,
		InsecureSkipVerify: true, //nolint:gosec // verify does it, as sslmode has it
		VerifyConnection:   func(s tls.ConnectionState) error { return p.verify(s, host, c) },
	}
}

func (p *tlsParts) verify(s tls.ConnectionState, host string, c check) error {
	if c == checkNothing {
		return nil
	}
	leaf := s.PeerCertificates[0]
	o := x509.VerifyOptions{Roots: p.roots, Intermediates: x509.NewCertPool()}
	for _, more := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(more)
	}
	if c == checkHost && !(p.commonName && commonNameOf(leaf, host)) {
		o.DNSName = host
	}
	chains, err := leaf.Verify(o)
	if err != nil {
		return fmt.Errorf("the certificate of the database: %w", err)
	}
	if p.crlFile == "" && p.crlDir == "" {
		return nil
	}
	lists, err := readRevoked(p.crlFile, p.crlDir)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if err = lists.check(chain, time.Now()); err == nil {
			return nil
		}
	}
	return err
}

// commonNameOf reports whether a certificate without alternative names has
// the host as its subject's name.
func commonNameOf(c *x509.Certificate, host string) bool {
	if len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) > 0 {
		return false
	}
	name := c.Subject.CommonName
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		_, parent, ok := strings.Cut(host, ".")
		return ok && net.ParseIP(host) == nil && strings.EqualFold(parent, rest)
	}
	return name != "" && strings.EqualFold(name, host)
}

// revocations are the lists that authorities have signed.
type revocations []*x509.RevocationList

// maxPEM bounds a file of certificates or of revocation lists.
const maxPEM = 16 << 20

// readRevoked reads a file of lists, and all files of a folder.
func readRevoked(file, dir string) (lists revocations, err error) {
	var files []string
	if file != "" {
		files = append(files, file)
	}
	if dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("sslcrldir: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	for _, f := range files {
		text, err := readBounded(f)
		if err != nil {
			return nil, fmt.Errorf("revocation lists: %w", err)
		}
		more, err := parseRevoked(text)
		if err != nil {
			return nil, fmt.Errorf("revocation lists: %s: %w", f, err)
		}
		lists = append(lists, more...)
	}
	return lists, nil
}

// parseRevoked reads lists in PEM, or one in DER.
func parseRevoked(text []byte) (lists revocations, err error) {
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		l, err := x509.ParseRevocationList(text)
		return revocations{l}, err
	}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return lists, nil
		}
		text = rest
		if block.Type != "X509 CRL" {
			continue
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
}

// check refuses a chain of which one certificate was revoked, or for one of
// which its authority has no list that is in force, as OpenSSL does.
func (r revocations) check(chain []*x509.Certificate, now time.Time) error {
	for i := range len(chain) - 1 {
		c, by := chain[i], chain[i+1]
		known := false
		for _, l := range r {
			if !bytes.Equal(l.RawIssuer, by.RawSubject) || l.CheckSignatureFrom(by) != nil {
				continue
			}
			if !l.NextUpdate.IsZero() && now.After(l.NextUpdate) {
				return fmt.Errorf("the revocation list of %s has ended on %s", by.Subject, l.NextUpdate.Format(time.DateOnly))
			}
			known = true
			for _, e := range l.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return fmt.Errorf("the certificate of the database: %s was revoked", c.Subject)
				}
			}
		}
		if !known {
			return fmt.Errorf("there is no revocation list of %s", by.Subject)
		}
	}
	return nil
}

// readRoots reads a file of authorities; "system" is those of the system.
func readRoots(arg, file string) (*x509.CertPool, error) {
	text, err := readBounded(file)
	if err != nil {
		return nil, badArg(arg, "%v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, badArg(arg, "%s holds no PEM certificate", file)
	}
	return pool, nil
}

// readPair reads the certificate and the key of the client; password opens an
// encrypted key. Both names are those of arguments.
func readPair(certArg, certFile, keyArg, keyFile, password string) ([]tls.Certificate, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, badArg(certArg, "%s and %s go together: write both, or none", certArg, keyArg)
	}
	cert, err := readBounded(certFile)
	if err != nil {
		return nil, badArg(certArg, "%v", err)
	}
	key, err := readBounded(keyFile)
	if err != nil {
		return nil, badArg(keyArg, "%v", err)
	}
	if key, err = openKey(key, password); err != nil {
		return nil, badArg(keyArg, "%s: %v", keyFile, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, badArg(certArg, "%v", err)
	}
	return []tls.Certificate{pair}, nil
}

// readBounded reads a file of at most maxPEM bytes.
func readBounded(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxPEM {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxPEM)
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	return os.ReadFile(path)
}

// versions of TLS by their names in the configuration.
var tlsVersions = map[string]uint16{
	"": 0, "TLSv1": tls.VersionTLS10, "TLSv1.0": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
}

// tlsVersion returns a version that an argument names; def where there is none.
func (u *uri) tlsVersion(name string, def uint16) (uint16, error) {
	v, ok := tlsVersions[u.args[name]]
	if !ok {
		return 0, badArg(name, "it must be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")
	}
	if v == 0 {
		v = def
	}
	return v, nil
}

// errNoPassword is what an encrypted key without sslpassword is.
var errNoPassword = errors.New("the key is encrypted: write its password as sslpassword")
