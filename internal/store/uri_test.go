package store

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// FuzzURI reads addresses of any kind; what is read has a server and a
// database, and no error tells the password.
func FuzzURI(f *testing.F) {
	for _, s := range []string{"postgresql://u:p@h:1,[::1]:2/d?sslmode=allow", "mysql+pymysql://u:p@h/d?unix_socket=/x", "sqlite:////a/b", "postgres://@/d?host=a,b&port=1,2", "x://", "postgresql://a:secret%zz@h/d", "a:secret@h://d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseURI(s, map[string]any{"timeout": 3, "ssl": map[string]any{"ca": "/x"}})
		if err != nil {
			if scheme, _, _ := strings.Cut(s, "://"); strings.Contains(err.Error(), "secret") && (!isScheme(scheme) || !strings.Contains(scheme, "secret")) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if u.dialect == "sqlite" {
			if u.path == "" {
				t.Error("no path")
			}
			return
		}
		if len(u.hosts) == 0 || len(u.hosts) > maxHosts || u.name == "" || u.hosts[0].name == "" || u.args["timeout"] != "3" {
			t.Errorf("%q: %+v", s, u)
		}
	})
}

// FuzzClientKey opens keys of any content.
func FuzzClientKey(f *testing.F) {
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"), "x")
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n"), "x")
	f.Fuzz(func(t *testing.T, text []byte, password string) {
		if out, err := openKey(text, password); err == nil && len(out) == 0 && len(text) > 0 {
			t.Error("a key became nothing")
		}
	})
}

// TestOldClientKey opens a key that OpenSSL encrypted before version 3.
func TestOldClientKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte("sesame"), x509.PEMCipherAES256) //nolint:staticcheck // what is read
	if err != nil {
		t.Fatal(err)
	}
	for password, good := range map[string]bool{"sesame": true, "": false, "open": false} {
		out, err := openKey(pem.EncodeToMemory(block), password)
		if b, _ := pem.Decode(out); (err == nil) != good || good && x509.IsEncryptedPEMBlock(b) { //nolint:staticcheck // see above
			t.Errorf("password %q: %v", password, err)
		}
	}
}
