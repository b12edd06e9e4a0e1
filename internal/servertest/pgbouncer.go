package servertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// NewPgBouncer starts pgbouncer in transaction mode in front of the PostgreSQL
// whose socket is in the folder, until the test ends, and returns its address,
// as host:port. Everybody is let in, as postgres, to every
// database. settings are lines of
// its [pgbouncer] section, over those that are there.
func NewPgBouncer(t testing.TB, socketDir string, port int, settings ...string) (addr string) {
	t.Helper()
	addr, p, err := StartPgBouncer(socketDir, port, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return addr
}

// StartPgBouncer is NewPgBouncer for the life of the test process.
func StartPgBouncer(socketDir string, port int, settings ...string) (addr string, p *Process, err error) {
	command, err := Find("pgbouncer", "/usr/sbin", "/usr/local/sbin")
	if err != nil {
		return "", nil, err
	}
	as, err := Unprivileged("postgres", "nobody")
	if err != nil {
		return "", nil, err
	}
	base, err := Dir()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp(base, "pgbouncer-")
	if err != nil {
		return "", nil, err
	}
	listen, err := Port()
	if err != nil {
		return "", nil, err
	}
	lines := append([]string{
		"[databases]", fmt.Sprintf("* = host=%s port=%d user=postgres", socketDir, port),
		"[pgbouncer]", "listen_addr = 127.0.0.1", "listen_port = " + strconv.Itoa(listen), "unix_socket_dir =", "auth_type = any",
		"pool_mode = transaction", "default_pool_size = 10", "max_client_conn = 500", "server_reset_query_always = 0",
	}, settings...)
	ini := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return "", nil, err
	}
	if err := errors.Join(as.Own(dir), as.Own(ini)); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(context.Background(), command, ini)
	cmd.Dir = "/"
	if p, err = Launch(cmd, filepath.Join(base, filepath.Base(dir)+".log"), as, syscall.SIGKILL); err != nil {
		return "", nil, err
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(listen))
	return addr, p, p.Ready(func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
