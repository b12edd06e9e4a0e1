package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority signs certificates for servers and clients of a test.
type Authority struct {
	Pool *x509.CertPool // of its own certificate
	File string         // the same, in PEM
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// A Certificate is one that an Authority has signed, in files that every user
// of this machine may read.
type Certificate struct {
	CertFile, KeyFile string // PEM
	Serial            *big.Int
}

// NewAuthority makes a certificate authority, whose files go when the test
// ends.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	base, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(base, "ca-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })  // Stop does, too
	if err := os.Chmod(dir, 0o755); err != nil { // a server may run as another user
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{dir: dir, key: key, Pool: x509.NewCertPool(), File: filepath.Join(dir, "ca.pem"), next: 1}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Pool.AddCert(a.cert)
	writePEM(t, a.File, "CERTIFICATE", der)
	return a
}

// Sign makes a certificate with a subject's name, for hosts and addresses. It
// serves servers and clients.
func (a *Authority) Sign(t testing.TB, commonName string, hosts ...string) Certificate {
	t.Helper()
	a.next++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(a.dir, c.SerialNumber.String())
	out := Certificate{CertFile: base + ".pem", KeyFile: base + ".key", Serial: c.SerialNumber}
	writePEM(t, out.CertFile, "CERTIFICATE", der)
	writePEM(t, out.KeyFile, "PRIVATE KEY", secret)
	return out
}

// Revoke writes a revocation list of the certificates and returns its file.
func (a *Authority) Revoke(t testing.TB, list ...Certificate) (file string) {
	t.Helper()
	a.next++
	l := &x509.RevocationList{Number: big.NewInt(a.next), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range list {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Serial, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(a.dir, l.Number.String()+".crl")
	writePEM(t, file, "X509 CRL", der)
	return file
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
}
