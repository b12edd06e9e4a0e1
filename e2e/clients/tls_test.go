package clients

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	helm "helm.sh/helm/v4/pkg/registry"
)

// authority makes a certificate authority and, signed by it, a certificate for
// this machine, as PEM.
func authority(t *testing.T) (ca, cert, key []byte) {
	t.Helper()
	type pair struct {
		cert *x509.Certificate
		key  *ecdsa.PrivateKey
	}
	sign := func(c *x509.Certificate, by *pair) (pair, []byte) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour)
		parent, signer := c, key
		if by != nil {
			parent, signer = by.cert, by.key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		return pair{c, key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	root, ca := sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority of our own"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	leaf, cert := sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "registry"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, &root)
	der, err := x509.MarshalPKCS8PrivateKey(leaf.key)
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestTLS serves HTTPS with a certificate of an authority that only its users
// know, and pushes and pulls with clients that are told of it, and none else.
func TestTLS(t *testing.T) {
	onlyGantry(t, "it needs a certificate")
	b := newBox(t, "podman", "skopeo", "buildah", "runc", "conmon")
	ca, cert, key := authority(t)
	conf, certs := t.TempDir(), t.TempDir()
	for file, text := range map[string][]byte{
		conf + "/ssl.cert": cert, conf + "/ssl.key": key, certs + "/ca.crt": ca,
		conf + "/config.yaml": []byte("FEATURE_USER_INITIALIZE: true\n"),
	} {
		write(t, file, string(text))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{base: "https://" + addr, addr: addr, client: &http.Client{Transport: transport}}
	if err := s.serve(os.Getenv("GANTRY_BIN"), t.TempDir(), "--config", conf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.initialize(); err != nil {
		t.Fatal(err)
	}

	image := addr + "/" + user + "/app:v1"
	if _, errs, err := b.try(t.Context(), pass, "podman", "login", "-u", user, "--password-stdin", addr); err == nil || !strings.Contains(errs, "x509") {
		t.Errorf("podman login without the authority: %v %s", err, errs)
	}
	b.loginAs(t, "podman", addr, user, pass, "--cert-dir", certs)
	b.run(t, "podman", "build", "--isolation=chroot", "-t", image, b.context(t, "tls"))
	b.run(t, "podman", "push", "--cert-dir", certs, image)
	b.run(t, "podman", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--cert-dir", certs, image)
	if got := b.runImage(t, image); got != "hello from tls" {
		t.Errorf("the image says %q", got)
	}
	b.run(t, "buildah", "pull", "--policy=always", "--cert-dir", certs, image)
	b.run(t, "skopeo", "copy", "--src-cert-dir", certs, "--dest-cert-dir", certs, "docker://"+image, "docker://"+addr+"/"+user+"/copy:v1")

	r, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	opts := []remote.Option{remote.WithContext(t.Context()), remote.WithTransport(transport), remote.WithAuth(&authn.Basic{Username: user, Password: pass})}
	desc, err := remote.Get(r, opts...)
	if err != nil {
		t.Fatal(err)
	}

	// containerd is told by a folder of the registry's name. The first host of
	// its list is down; the one that answers is not the name of the image.
	down, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	hosts := t.TempDir()
	if err := os.Mkdir(hosts+"/registry.example", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, hosts+"/registry.example/hosts.toml", fmt.Sprintf("server = \"https://registry.example\"\n[host.\"https://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n[host.\"https://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %q\n", down, addr, certs+"/ca.crt"))
	res := docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(t.Context(), config.HostOptions{
		HostDir:     config.HostDirFromRoot(hosts),
		Credentials: func(string) (string, string, error) { return user, pass, nil },
	})})
	if got := pullContainerd(t, res, "registry.example/"+user+"/app:v1"); got.Digest.String() != desc.Digest.String() {
		t.Errorf("containerd: %v, want %v", got.Digest, desc.Digest)
	}

	c, err := helm.NewClient(helm.ClientOptWriter(io.Discard), helm.ClientOptHTTPClient(&http.Client{Transport: transport}), helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(addr, helm.LoginOptBasicAuth(user, pass), helm.LoginOptTLSClientConfig("", "", certs+"/ca.crt")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Push(chart(t, "web", "1.0.0"), addr+"/"+user+"/web:1.0.0"); err != nil {
		t.Error(err)
	}
	if a, err := fetch(t.Context(), http.MethodGet, "http://"+addr+"/v2/", nil, nil); err != nil || a.status != http.StatusBadRequest {
		t.Errorf("plain HTTP to the port of HTTPS: %d, %v", a.status, err)
	}
}
