// Package ldaptest starts a real slapd for tests, on a free port of this
// machine, with a few users and groups below dc=example,dc=org.
package ldaptest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What every server has.
const (
	Base          = "dc=example,dc=org"
	AdminDN       = "cn=admin,dc=example,dc=org"
	AdminPassword = "admin-password"
)

// LDIF is what is in a server unless other data is given: ann, bob, a user
// whose name is special, and groups; the password of each is NAME-password.
const LDIF = `
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=staff,dc=example,dc=org
objectClass: organizationalUnit
ou: staff

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: Lee
mail: ann@example.org
employeeType: boss
userPassword: ann-password

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Ray
mail: bob@example.org
employeeType: guest
userPassword: bob-password

dn: uid=cat,ou=staff,dc=example,dc=org
objectClass: inetOrgPerson
uid: cat
cn: Cat
sn: Poe
mail: cat@example.org
employeeType: auditor
userPassword: cat-password

dn: uid=J\C3\BCrgen \28x\29*,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: Jürgen (x)*
cn: Jurgen
sn: X
userPassword: odd-password

dn: uid=mallory,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: mallory
cn: Mallory
sn: M
mail: ann
userPassword: mallory-password

dn: uid=out,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: out
cn: Out
sn: Out
employeeType: gone
userPassword: out-password

dn: cn=developers,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: developers
member: uid=ann,ou=people,dc=example,dc=org
member: uid=cat,ou=staff,dc=example,dc=org

dn: cn=empty,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: empty
member: cn=nobody,dc=example,dc=org
`

// A Server is a running slapd.
type Server struct {
	LDAP  string         // its address without TLS
	LDAPS string         // and with
	Roots *x509.CertPool // who signed its certificate
	cert  *x509.Certificate
	t     testing.TB
	dir   string
	cmd   *exec.Cmd
}

// Start starts a server with LDIF and more; the end of the test ends it. With
// plain it has no TLS at all.
func Start(t testing.TB, plain bool, more string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir()}
	t.Cleanup(s.Stop)
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile ` + s.dir + `/pid
argsfile ` + s.dir + `/args
`
	if !plain {
		cert, key, pool := certificate(t)
		s.cert, s.Roots = pool, x509.NewCertPool()
		s.Roots.AddCert(s.cert)
		for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
			if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		conf += "TLSCertificateFile " + s.dir + "/cert.pem\nTLSCertificateKeyFile " + s.dir + "/key.pem\n"
	}
	conf += `database mdb
suffix "` + Base + `"
rootdn "` + AdminDN + `"
rootpw ` + AdminPassword + `
directory ` + s.dir + `/db
index objectClass,uid,mail eq
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="` + AdminDN + `" read by * none
`
	if err := os.WriteFile(filepath.Join(s.dir, "slapd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.LDAP, s.LDAPS = "ldap://"+free(t), "ldaps://"+free(t)
	s.Restart()
	s.Add(LDIF + more)
	return s
}

// Roots are the authorities of several servers.
func Roots(servers ...*Server) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, s := range servers {
		pool.AddCert(s.cert)
	}
	return pool
}

// PEM is its certificate, which is its own authority.
func (s *Server) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}))
}

// Stop ends the server; its data stays.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it has ended already
	_ = s.cmd.Wait()         // killed
	s.cmd = nil
}

// Restart starts the server again where it was.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	urls := []string{s.LDAP}
	if s.Roots != nil {
		urls = append(urls, s.LDAPS)
	}
	s.cmd = exec.Command("/usr/sbin/slapd", "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", strings.Join(urls, "/ ")+"/") //nolint:gosec,noctx // ended by Stop
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}                                                             // however the test ends
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start slapd, of the Debian package slapd (scripts/test-deps): %v", err)
	}
	began := time.Now()
	for _, u := range urls { // slapd opens them one after the other
		_, addr, _ := strings.Cut(u, "://")
		for ; ; time.Sleep(5 * time.Millisecond) {
			c, err := net.Dial("tcp", addr) //nolint:noctx // this machine
			if err == nil {
				_ = c.Close() // it answers
				break
			}
			if time.Since(began) > 30*time.Second {
				s.t.Fatalf("slapd does not answer at %s: %v\n%s", u, err, out.String())
			}
		}
	}
}

// Add adds entries; Modify changes some. Both take LDIF.
func (s *Server) Add(ldif string) { s.t.Helper(); s.run("ldapadd", ldif) }

// Modify changes entries as LDIF says.
func (s *Server) Modify(ldif string) { s.t.Helper(); s.run("ldapmodify", ldif) }

func (s *Server) run(tool, ldif string) {
	s.t.Helper()
	cmd := exec.Command(tool, "-x", "-M", "-H", s.LDAP, "-D", AdminDN, "-w", AdminPassword) //nolint:gosec,noctx // a test's own server
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s, of the Debian package ldap-utils: %v\n%s", tool, err, out)
	}
}

// free is an address of this machine that nothing listens on.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // this machine
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // somebody else takes it next
	return l.Addr().String()
}

func certificate(t testing.TB) (cert, key []byte, parsed *x509.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "slapd"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), parsed
}
