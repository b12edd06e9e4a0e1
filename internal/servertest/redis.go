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
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisOptions say what kind of Redis is started. The zero value asks for
// nothing and listens in the clear.
type RedisOptions struct {
	Password   string   // of the account "default"; "" = none is asked for
	Users      []string // lines of the access list, such as "user ann on >secret ~* &* +@all"
	TLS        bool     // TLS alone
	ClientCert bool     // with TLS: who connects shows a certificate

	extra []string // lines of the configuration
	mode  string   // "sentinel" or ""
}

// A RedisServer is a Redis of its own, without anything on disk.
type RedisServer struct {
	Addr string // host:port
	// Certs is the folder of ca.crt, server.crt and .key, client.crt and .key,
	// with TLS.
	Certs string

	t    testing.TB
	o    RedisOptions
	dir  string
	proc *Process
}

// NewRedis starts a Redis until the test ends.
func NewRedis(t testing.TB, o RedisOptions) *RedisServer {
	t.Helper()
	dir, err := Dir()
	if err == nil {
		dir, err = os.MkdirTemp(dir, "redis-")
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &RedisServer{t: t, o: o, dir: dir}
	if o.TLS {
		s.Certs = dir
		if err := writeCerts(dir); err != nil {
			t.Fatal(err)
		}
	}
	port, err := Port()
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.Start()
	t.Cleanup(func() { s.proc.Kill(); _ = os.RemoveAll(dir) }) // or the next process sweeps it
	return s
}

// Start starts the server after Kill, on the same port, empty.
func (s *RedisServer) Start() {
	s.t.Helper()
	command := "redis-server"
	if s.o.mode == "sentinel" {
		command = "redis-sentinel"
	}
	bin, err := Find(command)
	if err != nil {
		s.t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := []string{"bind 127.0.0.1", "dir " + s.dir, "daemonize no"}
	if s.o.mode == "" {
		lines = append(lines, `save ""`, "appendonly no", "repl-diskless-sync-delay 0", "timeout 0")
	}
	if s.o.TLS {
		auth := "no"
		if s.o.ClientCert {
			auth = "yes"
		}
		lines = append(lines, "port 0", "tls-port "+port, "tls-auth-clients "+auth, "tls-replication yes",
			"tls-ca-cert-file "+s.dir+"/ca.crt", "tls-cert-file "+s.dir+"/server.crt", "tls-key-file "+s.dir+"/server.key")
	} else {
		lines = append(lines, "port "+port)
	}
	if s.o.Password != "" {
		lines = append(lines, "requirepass "+strconv.Quote(s.o.Password))
	}
	lines = append(append(lines, s.o.Users...), s.o.extra...)
	conf := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), bin, conf)
	cmd.Dir = s.dir
	if s.proc, err = Launch(cmd, filepath.Join(s.dir, "log"), nil, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	if err := s.proc.Ready(func(ctx context.Context) error { return s.ping(ctx) }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *RedisServer) ping(ctx context.Context) error {
	out, err := s.cli(ctx, "ping")
	// NOAUTH, too, is an answer of a server that is up.
	if strings.Contains(out, "PONG") || strings.Contains(out, "NOAUTH") {
		return nil
	}
	return fmt.Errorf("%s: %w", out, err)
}

func (s *RedisServer) cli(ctx context.Context, args ...string) (string, error) {
	bin, err := Find("redis-cli")
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return "", err
	}
	all := []string{"-h", host, "-p", port, "--no-auth-warning"}
	if s.o.TLS {
		all = append(all, "--tls", "--cacert", s.dir+"/ca.crt", "--cert", s.dir+"/client.crt", "--key", s.dir+"/client.key")
	}
	if s.o.Password != "" {
		all = append(all, "-a", s.o.Password)
	}
	out, err := exec.CommandContext(ctx, bin, append(all, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Do runs one command and returns what redis-cli prints of the answer.
func (s *RedisServer) Do(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := s.cli(ctx, args...)
	if err != nil {
		s.t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return out
}

// Kill ends the server as a power failure would.
func (s *RedisServer) Kill() { s.proc.Kill() }

// A RedisSentinels is a master with a replica and three Sentinels.
type RedisSentinels struct {
	Addrs  []string // of the Sentinels
	Name   string   // of the master
	Master *RedisServer
}

// NewRedisSentinels starts them until the test ends.
func NewRedisSentinels(t testing.TB) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{Name: "gantry", Master: NewRedis(t, RedisOptions{})}
	host, port, err := net.SplitHostPort(s.Master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica := NewRedis(t, RedisOptions{extra: []string{"replicaof " + host + " " + port}})
	wait(t, "the replica has its master", func() bool { return strings.Contains(replica.Do("info", "replication"), "master_link_status:up") })
	for range 3 {
		one := NewRedis(t, RedisOptions{mode: "sentinel", extra: []string{
			"sentinel monitor " + s.Name + " " + host + " " + port + " 2",
			"sentinel down-after-milliseconds " + s.Name + " 500",
			"sentinel failover-timeout " + s.Name + " 3000",
		}})
		s.Addrs = append(s.Addrs, one.Addr)
		defer func() {
			wait(t, "the Sentinels know each other and the replica", func() bool {
				out := one.Do("sentinel", "master", s.Name)
				return after(out, "num-other-sentinels") == "2" && after(out, "num-slaves") == "1"
			})
		}()
	}
	return s
}

// after is the line after the line name.
func after(text, name string) string {
	_, rest, _ := strings.Cut("\n"+text+"\n", "\n"+name+"\n")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// NewRedisCluster starts a Cluster of three masters until the test ends, and
// returns its nodes.
func NewRedisCluster(t testing.TB) []*RedisServer {
	t.Helper()
	var nodes []*RedisServer
	args := []string{"--cluster", "create"}
	for range 3 {
		bus, err := Port()
		if err != nil {
			t.Fatal(err)
		}
		n := NewRedis(t, RedisOptions{extra: []string{"cluster-enabled yes", "cluster-node-timeout 2000", fmt.Sprint("cluster-port ", bus)}})
		nodes = append(nodes, n)
		args = append(args, n.Addr)
	}
	nodes[0].Do(append(args, "--cluster-yes")...)
	for _, n := range nodes {
		wait(t, "the Cluster is whole", func() bool { return strings.Contains(n.Do("cluster", "info"), "cluster_state:ok") })
	}
	return nodes
}

// wait polls a condition for up to a minute.
func wait(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// writeCerts makes an authority, and certificates of it for the server
// 127.0.0.1 and for a client.
func writeCerts(dir string) error {
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, err := writeCert(dir, "ca", ca, ca, nil)
	if err != nil {
		return err
	}
	for i, name := range []string{"server", "client"} {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		if _, err := writeCert(dir, name, c, ca, caKey); err != nil {
			return err
		}
	}
	return nil
}

// writeCert writes NAME.crt and NAME.key; without a parent's key it signs
// itself.
func writeCert(dir, name string, c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	for ext, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name+ext), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	return key, nil
}
