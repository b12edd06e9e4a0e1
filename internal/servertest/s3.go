package servertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An S3Server is versitygw, which speaks S3 over folders.
type S3Server struct {
	*Process
	Addr      string // host:port
	AccessKey string
	SecretKey string
	CA        []byte // PEM of the certificate's authority; nil = without TLS

	dir     string
	mu      sync.Mutex
	buckets int
}

// Region is the one of an S3Server.
const Region = "us-east-1"

var s3servers struct {
	mu         sync.Mutex
	plain, tls *S3Server
}

// S3 returns the S3 server of this test process.
func S3(t testing.TB) *S3Server {
	t.Helper()
	s3servers.mu.Lock()
	defer s3servers.mu.Unlock()
	if s3servers.plain == nil {
		s3servers.plain = startS3(t, false)
	}
	return s3servers.plain
}

// S3TLS returns the S3 server with TLS of this test process.
func S3TLS(t testing.TB) *S3Server {
	t.Helper()
	s3servers.mu.Lock()
	defer s3servers.mu.Unlock()
	if s3servers.tls == nil {
		s3servers.tls = startS3(t, true)
	}
	return s3servers.tls
}

// NewS3 starts an S3 server that the test may kill and Start again. It ends
// with the test process.
func NewS3(t testing.TB) *S3Server {
	t.Helper()
	return startS3(t, false)
}

func startS3(t testing.TB, secure bool) *S3Server {
	t.Helper()
	base, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	s := &S3Server{AccessKey: "gantry-test", SecretKey: "secret of the tests"}
	if s.dir, err = os.MkdirTemp(base, "s3-"); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if secure {
		if s.CA, err = selfSigned(s.dir); err != nil {
			t.Fatal(err)
		}
	}
	for try := 1; ; try++ { // another process may take the port
		port, err := Port()
		if err != nil {
			t.Fatal(err)
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = s.Start(); err == nil {
			return s
		}
		if try == 3 {
			t.Fatal(err)
		}
	}
}

// Start starts a server that was killed again, with its data, at its address.
func (s *S3Server) Start() error {
	tool, err := Tool("versitygw")
	if err != nil {
		return err
	}
	args := []string{"--port", s.Addr, "--keep-alive", "--quiet", "--region", Region}
	if s.CA != nil {
		args = append(args, "--cert", filepath.Join(s.dir, "cert.pem"), "--key", filepath.Join(s.dir, "key.pem"))
	}
	cmd := exec.CommandContext(context.Background(), tool, append(args, "posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"))...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	if s.Process, err = Launch(cmd, filepath.Join(s.dir, "log"), nil, syscall.SIGKILL); err != nil {
		return err
	}
	return s.Ready(func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", s.Addr)
		if err != nil || s.CA != nil {
			if err == nil {
				err = conn.Close()
			}
			return err
		}
		if err := conn.Close(); err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL(), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// URL is the server's, without a slash at its end.
func (s *S3Server) URL() string {
	if s.CA != nil {
		return "https://" + s.Addr
	}
	return "http://" + s.Addr
}

// Bucket makes an empty bucket, which lasts as long as the server.
func (s *S3Server) Bucket(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	s.buckets++
	name := fmt.Sprintf("bucket-%d", s.buckets)
	s.mu.Unlock()
	if err := os.Mkdir(filepath.Join(s.dir, "data", name), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // of what it holds: memory is scarce
		for _, sub := range []string{"data", "meta"} {
			_ = os.RemoveAll(filepath.Join(s.dir, sub, name)) // Stop does it otherwise
		}
	})
	return name
}

// selfSigned writes cert.pem and key.pem for 127.0.0.1 and localhost, and
// returns the certificate, which is its own authority.
func selfSigned(dir string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gantry servertest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return nil, err
	}
	return cert, os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600)
}
