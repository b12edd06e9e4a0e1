package servertest

import (
	"bytes"
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

// MariaDBOptions say how a MariaDB is started.
type MariaDBOptions struct {
	// Settings are lines of the section [mysqld].
	Settings []string
	// Authority and Certificate turn TLS on.
	Authority   *Authority
	Certificate Certificate
}

// A MariaDB is a MariaDB server of its own, for a test that breaks it. Tests
// that only need a database take one of package storetest.
type MariaDB struct {
	Port   int
	Socket string

	dir, cnf, server string
	proc             *Process
	logs             int
}

// NewMariaDB starts a MariaDB server, until the test ends. Its superuser is
// root, without a password, by its socket; SQL makes others.
func NewMariaDB(t testing.TB, o MariaDBOptions) *MariaDB {
	t.Helper()
	server, err := Find("mariadbd", "/usr/sbin", "/usr/libexec", "/usr/local/sbin")
	if err != nil {
		t.Fatal(err)
	}
	install, err := Find("mariadb-install-db", "/usr/bin", "/usr/scripts")
	if err != nil {
		t.Fatal(err)
	}
	v, err := Version(server)
	if err != nil {
		t.Fatal(err)
	}
	base, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	port, err := Port()
	if err != nil {
		t.Fatal(err)
	}
	m := &MariaDB{Port: port, dir: filepath.Join(base, fmt.Sprintf("maria%d", clusters.Add(1))), server: server}
	m.Socket, m.cnf = m.dir+".sock", m.dir+".cnf"
	settings := append([]string{
		"[mysqld]", "innodb_log_file_size=16M", "innodb_buffer_pool_size=32M", "innodb_flush_method=nosync", "innodb_doublewrite=0",
		"skip_log_bin", "performance_schema=off", "skip_name_resolve", "aria_log_file_size=8M", "key_buffer_size=1M",
		"bind_address=127.0.0.1", "port=" + strconv.Itoa(port),
	}, o.Settings...)
	if os.Getuid() == 0 {
		settings = append(settings, "user=root") // it refuses unless told
	}
	if o.Authority != nil {
		settings = append(settings, "ssl_ca="+o.Authority.File, "ssl_cert="+o.Certificate.CertFile, "ssl_key="+o.Certificate.KeyFile)
	}
	if err := os.WriteFile(m.cnf, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = DataDir(m.dir, "1-"+v, nil, func(data string) error {
		return Run("/", nil, install, "--defaults-file="+m.cnf, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Start(t)
	t.Cleanup(func() {
		m.Kill()
		_ = os.RemoveAll(m.dir) // Stop does, too
	})
	return m
}

// Start starts the server again, after Kill.
func (m *MariaDB) Start(t testing.TB) {
	t.Helper()
	m.logs++
	cmd := exec.CommandContext(context.Background(), m.server, "--defaults-file="+m.cnf, "--datadir="+m.dir, "--socket="+m.Socket, "--pid-file="+m.dir+".pid")
	cmd.Dir = "/"
	var err error
	if m.proc, err = Launch(cmd, fmt.Sprintf("%s.%d.log", m.dir, m.logs), nil, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := m.proc.Ready(func(ctx context.Context) error { _, err := m.sql(ctx, "SELECT 1"); return err }); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as a power failure would.
func (m *MariaDB) Kill() { m.proc.Kill() }

// Addr is where the server listens, as host:port.
func (m *MariaDB) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port)) }

// SQL runs statements as root and returns the rows, a line each, with a tab
// between their columns.
func (m *MariaDB) SQL(t testing.TB, statements string) string {
	t.Helper()
	out, err := m.sql(t.Context(), statements)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *MariaDB) sql(ctx context.Context, statements string) (string, error) {
	client, err := Find("mariadb", "/usr/bin", "/usr/local/bin")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, client, "--no-defaults", "-N", "-B", "-S", m.Socket, "-u", "root")
	cmd.Stdin = strings.NewReader(statements)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, errors.New(bad.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
