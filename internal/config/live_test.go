package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// certPair makes a self-signed certificate for host, as PEM.
func certPair(t testing.TB, host string, end time.Time) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	kd, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kd}))
}

// trusts reports whether cert, a PEM of its own authority, is believed.
func trusts(t testing.TB, c *Config, cert string) bool {
	t.Helper()
	block, _ := pem.Decode([]byte(cert))
	x, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	_, err = x.Verify(x509.VerifyOptions{Roots: c.RootCAs(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func TestBundle(t *testing.T) {
	year := time.Now().Add(365 * 24 * time.Hour)
	cert, key := certPair(t, "r.example.com", year)
	ca1, _ := certPair(t, "ca1", year)
	ca2, _ := certPair(t, "ca2", year)
	ca3, _ := certPair(t, "ca3", year)
	https := "SERVER_HOSTNAME: r.example.com:8443\nPREFERRED_URL_SCHEME: https\n"
	block, _ := pem.Decode([]byte(ca3))

	dir := folder(t, map[string]string{
		"config.yaml": https, "ssl.cert": cert, "ssl.key": key, "ldap.crt": ca1,
		"extra_ca_certs/one.crt": ca1, "extra_ca_certs/..data/one.crt": "no", "extra_ca_certs/three.pem": string(block.Bytes), // DER
		"extra_ca_certs/notes.txt": "hello", "extra_ca_cert_two": "# comment\n" + ca2,
	})
	c, ps, err := Load(Options{Dir: dir})
	if err != nil || len(ps) != 1 || !strings.HasSuffix(ps[0].File, "notes.txt") {
		t.Fatalf("%v, %v", ps, err)
	}
	if c.Bundle.CertFile != filepath.Join(dir, "ssl.cert") || c.Bundle.KeyFile != filepath.Join(dir, "ssl.key") || len(c.Bundle.ExtraCAs) != 3 {
		t.Errorf("bundle: %+v", c.Bundle.ExtraCAs)
	}
	if !trusts(t, c, ca1) || !trusts(t, c, ca2) || !trusts(t, c, ca3) || trusts(t, c, cert) {
		t.Error("the wrong authorities are believed")
	}
	c.RootCAs().AddCert(&x509.Certificate{Raw: []byte{1}}) // a copy
	if c.Bundle.Path("ldap.crt") == "" || c.Bundle.Path("no.crt") != "" || c.Bundle.Path("../x") != "" || c.Bundle.Path("extra_ca_certs") != "" {
		t.Error("Path")
	}

	// extra_ca_certs may be one file.
	c, _, err = Load(Options{Dir: folder(t, map[string]string{"extra_ca_certs": ca1 + ca2})})
	if err != nil || !trusts(t, c, ca1) || !trusts(t, c, ca2) {
		t.Errorf("one file of authorities: %v", err)
	}

	_, otherKey := certPair(t, "other", year)
	for name, tt := range map[string]struct {
		files map[string]string
		says  string
	}{
		"no key":       {map[string]string{"ssl.cert": cert}, "put ssl.key beside it"},
		"no cert":      {map[string]string{"ssl.key": key}, "put ssl.cert beside it"},
		"no pair":      {map[string]string{"ssl.cert": cert, "ssl.key": otherKey}, "not a pair"},
		"not PEM":      {map[string]string{"ssl.cert": "x", "ssl.key": key}, "not a pair"},
		"no authority": {map[string]string{"extra_ca_certs/a.crt": "x"}, "holds no certificate"},
		"broken":       {map[string]string{"extra_ca_certs/a.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "cannot be read"},
	} {
		_, ps, err := Load(Options{Dir: folder(t, tt.files)})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(ps[0].Message, tt.says) || ps[0].File == "" {
			t.Errorf("%s: %v", name, ps)
		}
	}
	soon, soonKey := certPair(t, "r.example.com", time.Now().Add(24*time.Hour))
	for name, tt := range map[string]struct {
		yaml, cert, key, says string
		now                   time.Time
	}{
		"host": {"SERVER_HOSTNAME: x.example.com\n", cert, key, "does not cover", time.Time{}},
		"old":  {https, soon, soonKey, "ended on", time.Now().Add(72 * time.Hour)},
		"soon": {https, soon, soonKey, "ends on", time.Time{}},
		"new":  {https, soon, soonKey, "begins on", time.Now().Add(-72 * time.Hour)},
	} {
		_, ps, err := Load(Options{Dir: folder(t, map[string]string{"config.yaml": tt.yaml, "ssl.cert": tt.cert, "ssl.key": tt.key}), Now: tt.now})
		if err != nil || len(ps) != 1 || ps[0].Severity != Warning || !strings.Contains(ps[0].Message, tt.says) {
			t.Errorf("%s: %v, %v", name, ps, err)
		}
	}
}

func TestReload(t *testing.T) {
	dir := folder(t, map[string]string{"config.yaml": "SERVER_HOSTNAME: a.example.com\nREGISTRY_TITLE: One\nREPO_MIRROR_SERVER_HOSTNAME: a.example.com\n"})
	file := filepath.Join(dir, "config.yaml")
	l, ps, err := OpenLive(Options{Dir: dir})
	if err != nil || len(only(ps, NotUsedYet)) != 1 {
		t.Fatal(ps, err)
	}
	var calls []string
	cancel := l.Subscribe(func(c *Config, ch Change) { calls = append(calls, c.UI.Title+" "+strings.Join(ch.Applied, ",")) })
	first := l.Current()

	// Live and restart-only fields change together.
	write(t, file, "SERVER_HOSTNAME: b.example.com\nREGISTRY_TITLE: Two\nMY_KEY: 1\n")
	ch, err := l.Reload()
	if err != nil || !slices.Equal(ch.Applied, []string{"REGISTRY_TITLE"}) || !slices.Equal(ch.Restart, []string{"SERVER_HOSTNAME"}) {
		t.Errorf("reload: %+v, %v", ch, err)
	}
	if c := l.Current(); c.UI.Title != "Two" || c.Server.Hostname != "a.example.com" || !c.Explicit("MY_KEY") {
		t.Errorf("after reload: %q %q", c.UI.Title, c.Server.Hostname)
	}
	if first.UI.Title != "One" || l.OnDisk().Server.Hostname != "b.example.com" {
		t.Error("a snapshot changed, or the folder's configuration is lost")
	}

	// A broken file keeps the old one and says where it is broken.
	write(t, file, "SERVER_HOSTNAME: b.example.com\nREGISTRY_TITLE: [\n")
	before := l.Current()
	ch, err = l.Reload()
	if !errors.Is(err, ErrInvalid) || len(ch.Problems) == 0 || ch.Problems[0].Line == 0 || l.Current() != before {
		t.Errorf("broken: %+v, %v", ch, err)
	}
	// So does a missing one: a half-mounted folder must not mean the defaults.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err = l.Reload(); err == nil || l.Current() != before {
		t.Errorf("config.yaml went, and the defaults came: %v", err)
	}

	// Mended; what waits for the restart is still told.
	write(t, file, "SERVER_HOSTNAME: b.example.com\n")
	ch, err = l.Reload()
	if err != nil || l.Current().UI.Title != "Gantry" || !slices.Equal(ch.Restart, []string{"SERVER_HOSTNAME"}) || l.Current().Explicit("REGISTRY_TITLE") {
		t.Errorf("mended: %+v, %v", ch, err)
	}
	// Certificates are taken at once.
	ca, _ := certPair(t, "ca", time.Now().Add(time.Hour))
	write(t, filepath.Join(dir, "extra_ca_certs", "a.crt"), ca)
	ch, err = l.Reload()
	if err != nil || !slices.Equal(ch.Applied, []string{"extra_ca_certs"}) || !trusts(t, l.Current(), ca) {
		t.Errorf("certificates: %+v, %v", ch, err)
	}
	cancel()
	write(t, file, "SERVER_HOSTNAME: a.example.com\nREGISTRY_TITLE: Three\n")
	if ch, err = l.Reload(); err != nil || len(ch.Restart) != 0 {
		t.Errorf("put back: %+v, %v", ch, err)
	}
	want := []string{"Two REGISTRY_TITLE", "Gantry REGISTRY_TITLE", "Gantry extra_ca_certs"}
	if !slices.Equal(calls, want) {
		t.Errorf("calls: %q", calls)
	}
}

// TestWatch swaps a folder as Kubernetes swaps a Secret.
func TestWatch(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "..1", "config.yaml"), "REGISTRY_TITLE: One\n")
	link := func(to string) {
		t.Helper()
		tmp := filepath.Join(root, "..tmp")
		if err := errors.Join(os.Symlink(to, tmp), os.Rename(tmp, filepath.Join(root, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	link("..1")
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), filepath.Join(root, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	l, _, err := OpenLive(Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan error, 10)
	var wg sync.WaitGroup
	wg.Go(func() { l.Watch(ctx, time.Millisecond, func(_ Change, err error) { reports <- err }) })

	write(t, filepath.Join(root, "..2", "config.yaml"), "REGISTRY_TITLE: Two\n")
	link("..2")
	if err := <-reports; err != nil || l.Current().UI.Title != "Two" {
		t.Errorf("%v: %q", err, l.Current().UI.Title)
	}
	write(t, filepath.Join(root, "..3", "config.yaml"), "REGISTRY_TITLE: {\n")
	link("..3")
	if err := <-reports; !errors.Is(err, ErrInvalid) || l.Current().UI.Title != "Two" {
		t.Errorf("%v: %q", err, l.Current().UI.Title)
	}
	cancel()
	wg.Wait()
	if n := len(reports); n != 0 {
		t.Errorf("%d more reloads, of a folder that did not change", n)
	}
}

// TestConcurrent reads while it reloads; for -race.
func TestConcurrent(t *testing.T) {
	dir := folder(t, map[string]string{"config.yaml": "REGISTRY_TITLE: t0\n"})
	l, _, err := OpenLive(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				c := l.Current()
				_, _ = c.Get("REGISTRY_TITLE")
				_ = c.RootCAs()
				l.Subscribe(func(*Config, Change) {})()
			}
		})
	}
	for i := range 5 {
		write(t, filepath.Join(dir, "config.yaml"), fmt.Sprintf("REGISTRY_TITLE: t%d\n", i+1))
		if _, err := l.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if l.Current().UI.Title != "t5" {
		t.Error(l.Current().UI.Title)
	}
}
