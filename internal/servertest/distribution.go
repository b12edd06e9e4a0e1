package servertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// DistributionServer is Debian's docker-registry: Docker's own registry, open
// to everybody, over plain http.
type DistributionServer struct {
	Host string // "127.0.0.1:port"
	proc *Process
}

// Distribution starts a docker-registry with an empty folder, which ends with
// the test.
func Distribution(t testing.TB) *DistributionServer {
	t.Helper()
	bin, err := Find("docker-registry")
	if err != nil {
		t.Fatal(err)
	}
	base, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(base, "distribution-")
	if err != nil {
		t.Fatal(err)
	}
	port, err := Port()
	if err != nil {
		t.Fatal(err)
	}
	s := &DistributionServer{Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	conf := filepath.Join(dir, "config.yml")
	lines := []string{
		"version: 0.1", "log: {level: error, accesslog: {disabled: true}}",
		"storage: {filesystem: {rootdirectory: " + dir + "/data}, delete: {enabled: true}, cache: {blobdescriptor: inmemory}}",
		"http: {addr: '" + s.Host + "'}",
	}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), bin, "serve", conf)
	cmd.Dir = dir
	if s.proc, err = Launch(cmd, filepath.Join(dir, "log"), nil, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.proc.Kill(); _ = os.RemoveAll(dir) }) // or the next process sweeps it
	err = s.proc.Ready(func(ctx context.Context) error {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Host+"/v2/", http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }() // the status is all
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("answers %d", res.StatusCode)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("docker-registry: %v\n%s", err, s.proc.Log())
	}
	return s
}

// Kill ends the server at once, as a crash does.
func (s *DistributionServer) Kill() { s.proc.Kill() }

// PID is the server's process.
func (s *DistributionServer) PID() int { return s.proc.PID() }
