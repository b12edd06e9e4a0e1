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
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// PostgresOptions say how a Postgres is started. The zero value is one for
// speed: nothing is synced, and everybody on 127.0.0.1 is believed.
type PostgresOptions struct {
	// HBA are the lines of pg_hba.conf for TCP; none = all of 127.0.0.1 is
	// trusted. Whoever comes by the socket is trusted either way.
	HBA []string
	// Settings are lines of postgresql.conf.
	Settings []string
	// Authority and Certificate turn TLS on.
	Authority   *Authority
	Certificate Certificate
}

// A Postgres is a PostgreSQL server of its own, for a test that breaks it.
// Tests that only need a database take one of package storetest.
type Postgres struct {
	Port int
	Dir  string // of its data and its socket

	bin  string
	as   *Account
	proc *Process
	logs int
}

var clusters atomic.Int64

// NewPostgres starts a PostgreSQL server, until the test ends. Its superuser
// is postgres, without a password where pg_hba.conf lets it.
func NewPostgres(t testing.TB, o PostgresOptions) *Postgres {
	t.Helper()
	p, err := newPostgres()
	if err != nil {
		t.Fatal(err)
	}
	v, err := Version(p.tool("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	err = DataDir(p.Dir, "1-"+v, p.as, func(data string) error {
		return Run("/", p.as, p.tool("initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
			"--wal-segsize=4", "--no-instructions")
	})
	if err != nil {
		t.Fatal(err)
	}
	hba := o.HBA
	if len(hba) == 0 {
		hba = []string{"host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"}
	}
	p.write(t, "pg_hba.conf", append([]string{"local all all trust", "local replication all trust"}, hba...))
	settings := append([]string{
		"fsync = off", "full_page_writes = off", "max_connections = 60", "shared_buffers = 16MB", "min_wal_size = 8MB",
		"dynamic_shared_memory_type = mmap", "logging_collector = off", "wal_level = replica", "max_wal_senders = 4", "hot_standby = on",
		"wal_keep_size = 64MB", "wal_receiver_status_interval = 1s",
	}, o.Settings...)
	if o.Authority != nil {
		for name, from := range map[string]string{"server.crt": o.Certificate.CertFile, "server.key": o.Certificate.KeyFile, "ca.crt": o.Authority.File} {
			if err := errors.Join(CopyFile(filepath.Join(p.Dir, name), from, 0o600), p.as.Own(filepath.Join(p.Dir, name))); err != nil {
				t.Fatal(err)
			}
		}
		settings = append(settings, "ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl_ca_file = 'ca.crt'")
	}
	p.write(t, "test.conf", settings)
	p.write(t, "postgresql.conf", []string{"include 'test.conf'"})
	p.run(t)
	return p
}

func newPostgres() (*Postgres, error) {
	const where = "/usr/lib/postgresql/*/bin"
	server, err := Find("postgres", where)
	if err == nil {
		server, err = filepath.EvalSymlinks(server) // its tools are beside it
	}
	if err != nil {
		return nil, err
	}
	as, err := Unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	port, err := Port()
	if err != nil {
		return nil, err
	}
	return &Postgres{Port: port, Dir: filepath.Join(dir, fmt.Sprintf("pg%d", clusters.Add(1))), bin: filepath.Dir(server), as: as}, nil
}

func (p *Postgres) tool(name string) string { return filepath.Join(p.bin, name) }

func (p *Postgres) write(t testing.TB, name string, lines []string) {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600), p.as.Own(path)); err != nil {
		t.Fatal(err)
	}
}

// run starts the server for the first time.
func (p *Postgres) run(t testing.TB) {
	t.Helper()
	p.Start(t)
	t.Cleanup(func() {
		p.Kill()
		_ = os.RemoveAll(p.Dir) // Stop does, too
	})
}

// Start starts the server again, after Kill or Stop, on its port.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	p.logs++
	cmd := exec.CommandContext(context.Background(), p.tool("postgres"), "-D", p.Dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(p.Port), "-c", "unix_socket_directories="+p.Dir)
	cmd.Dir = "/"
	var err error
	if p.proc, err = Launch(cmd, fmt.Sprintf("%s.%d.log", p.Dir, p.logs), p.as, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	err = p.proc.Ready(func(ctx context.Context) error {
		return exec.CommandContext(ctx, p.tool("pg_isready"), "-q", "-h", p.Dir, "-p", strconv.Itoa(p.Port), "-d", "postgres", "-U", "postgres").Run()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as a power failure would: kill -9 of all its processes.
func (p *Postgres) Kill() {
	sessions := children(p.proc.PID())
	_ = syscall.Kill(p.proc.PID(), syscall.SIGKILL) // gone already is fine
	for _, pid := range sessions {                  // which would end their work first
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.proc.Gone()
	_ = os.Remove(filepath.Join(p.Dir, "postmaster.pid")) // which a new one could take for a running server
}

// children are the processes that a process has started.
func children(pid int) (list []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // ended meanwhile
		}
		for id := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(id); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// Stop ends the server at once, but in order: sessions are told.
func (p *Postgres) Stop(t testing.TB) {
	t.Helper()
	if err := p.proc.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-p.proc.Gone()
}

// Log returns the end of what the server has printed.
func (p *Postgres) Log() string { return p.proc.Log() }

// Addr is where the server listens, as host:port.
func (p *Postgres) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)) }

// SQL runs statements as the superuser in a database and returns the rows, a
// line each, with "|" between their columns.
func (p *Postgres) SQL(t testing.TB, database, statements string) string {
	t.Helper()
	out, err := p.sql(t.Context(), database, statements)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *Postgres) sql(ctx context.Context, database, statements string) (string, error) {
	psql, err := Find("psql", p.bin)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", p.Dir, "-p", strconv.Itoa(p.Port), "-U", "postgres", "-d", database, "-f", "-")
	cmd.Stdin = strings.NewReader(statements)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, bad.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// Standby starts a server that follows this one by streaming replication, as
// "standby" in pg_stat_replication, until the test ends.
func (p *Postgres) Standby(t testing.TB) *Postgres {
	t.Helper()
	s, err := newPostgres()
	if err != nil {
		t.Fatal(err)
	}
	backup := p.tool("pg_basebackup")
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.as.Own(s.Dir); err != nil {
		t.Fatal(err)
	}
	err = Run("/", s.as, backup, "-D", s.Dir, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-h", p.Dir, "-p", strconv.Itoa(p.Port), "-U", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "postgresql.auto.conf", []string{fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=standby'", p.Port)})
	s.run(t)
	s.wait(t, func() bool { return p.SQL(t, "postgres", "SELECT state FROM pg_stat_replication") == "streaming" })
	return s
}

// Synchronous has the server answer a COMMIT once its standby has it, too.
func (p *Postgres) Synchronous(t testing.TB) {
	t.Helper()
	p.SQL(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*';\nSELECT pg_reload_conf();")
	p.wait(t, func() bool { return p.SQL(t, "postgres", "SELECT sync_state FROM pg_stat_replication") == "sync" })
}

// Promote makes the standby the primary.
func (p *Postgres) Promote(t testing.TB) {
	t.Helper()
	p.SQL(t, "postgres", "SELECT pg_promote(true, 60)")
	p.wait(t, func() bool { return p.SQL(t, "postgres", "SELECT pg_is_in_recovery()") == "f" })
}

func (p *Postgres) wait(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("PostgreSQL does not get there\n%s", p.Log())
		}
	}
}
