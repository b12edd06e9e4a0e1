package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Bundle is the files beside config.yaml.
type Bundle struct {
	Dir      string   // the folder; "" = there is none
	File     string   // path of config.yaml or config.json; "" = there is none
	CertFile string   // path of ssl.cert; "" = not there
	KeyFile  string   // path of ssl.key; "" = not there
	ExtraCAs []string // paths of extra_ca_certs, a file or the files in it, and of extra_ca_cert_*
	cert     []byte   // of ssl.cert
	key      []byte   // of ssl.key
	cas      []byte   // PEM of ExtraCAs
	files    source
}

// Path returns the path of a file of the folder, for example "ldap.crt"; ""
// where it is not there. A name with a separator has none.
func (b *Bundle) Path(name string) string {
	if b.Dir == "" || name == "" || filepath.Base(name) != name {
		return ""
	}
	p := filepath.Join(b.Dir, name)
	if st, err := b.files.stat(p); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	return p
}

// Read returns a file of the folder, for example "ldap.crt", wherever its files
// are; fs.ErrNotExist where it is not there.
func (b *Bundle) Read(name string) ([]byte, error) {
	path := b.Path(name)
	if path == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return b.files.read(path)
}

// maxCAs bounds the files of extra_ca_certs.
const maxCAs = 1000

var errTooLarge = fmt.Errorf("it is larger than %d KiB", maxFile>>10)

// readBounded reads a regular file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() { // opening a pipe would wait for its other end
		return nil, errors.New("it is not a file")
	}
	f, err := os.Open(path) // #nosec G304 -- the administrator names the folder
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, errTooLarge
	}
	return data, nil
}

// reason is err without the path, which a Problem names already.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// bundle reads the certificates of dir. What is wrong is reported.
func (c *checker) bundle(dir string) (Bundle, *x509.CertPool) {
	b := Bundle{Dir: dir, files: c.files}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if dir == "" {
		return b, roots
	}
	at := func(path string, format string, args ...any) {
		c.problem(Problem{Severity: Error, File: path, Message: fmt.Sprintf(format, args...), ignorable: true})
	}
	read := func(path string) []byte {
		data, err := c.files.read(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			at(path, "cannot be read: %s", reason(err))
		}
		return data
	}
	b.cert, b.key = read(filepath.Join(dir, "ssl.cert")), read(filepath.Join(dir, "ssl.key"))
	if b.cert != nil {
		b.CertFile = filepath.Join(dir, "ssl.cert")
	}
	if b.key != nil {
		b.KeyFile = filepath.Join(dir, "ssl.key")
	}
	switch {
	case b.cert != nil && b.key == nil:
		at(b.CertFile, "its key is missing: put ssl.key beside it, or remove ssl.cert")
	case b.cert == nil && b.key != nil:
		at(b.KeyFile, "its certificate is missing: put ssl.cert beside it, or remove ssl.key")
	case b.cert != nil:
		if _, err := tls.X509KeyPair(b.cert, b.key); err != nil {
			at(b.CertFile, "it and ssl.key are not a pair of PEM files: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}

	for _, path := range c.caFiles(dir, at) {
		data := read(path)
		if data == nil {
			continue
		}
		certs, err := parseCerts(data)
		if err != nil {
			at(path, "%s; remove it, or put PEM certificates (BEGIN CERTIFICATE) into it", err)
			continue
		}
		for _, cert := range certs {
			roots.AddCert(cert)
		}
		b.ExtraCAs = append(b.ExtraCAs, path)
		b.cas = append(append(b.cas, data...), '\n')
	}
	return b, roots
}

// caFiles lists the files of further certificate authorities: extra_ca_certs
// may be a folder or one file, and the keys extra_ca_cert_* of a Secret are
// files of the folder itself.
func (c *checker) caFiles(dir string, at func(path, format string, args ...any)) []string {
	var out []string
	extra := filepath.Join(dir, "extra_ca_certs")
	if st, err := c.files.stat(extra); err == nil && !st.IsDir() {
		out = append(out, extra)
	} else if err == nil {
		names, err := c.files.list(extra)
		if err != nil {
			at(extra, "cannot be listed: %s", reason(err))
		}
		for _, name := range names {
			path := filepath.Join(extra, name)
			st, err := c.files.stat(path)
			switch {
			case strings.HasPrefix(name, "."): // Kubernetes' ..data and its like
			case err != nil:
				at(path, "cannot be read: %s", reason(err))
			case st.IsDir():
			case slices.Contains([]string{".crt", ".cert", ".pem", ".cer", ".ca", ".ca-bundle", ""}, filepath.Ext(name)):
				out = append(out, path)
			default:
				c.problem(Problem{Severity: Warning, File: path, Message: "is not read: the name of a certificate authority's file ends in .crt, .cert or .pem"})
			}
		}
	}
	names, err := c.files.list(dir)
	if err != nil {
		at(dir, "cannot be listed: %s", reason(err))
	}
	for _, name := range names {
		if strings.HasPrefix(name, "extra_ca_cert_") {
			out = append(out, filepath.Join(dir, name))
		}
	}
	if len(out) > maxCAs {
		at(extra, "holds more than %d files", maxCAs)
		out = out[:maxCAs]
	}
	return out
}

// parseCerts reads PEM, or one certificate in DER.
func parseCerts(data []byte) ([]*x509.Certificate, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		certs, err := x509.ParseCertificates(data)
		if err != nil || len(certs) == 0 {
			return nil, errors.New("it holds no certificate")
		}
		return certs, nil
	}
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate %d cannot be read", len(out)+1)
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return out, nil
}
