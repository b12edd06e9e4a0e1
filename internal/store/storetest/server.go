package storetest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gantry-registry/gantry/internal/servertest"
)

// Main is servertest.Main, for packages whose tests need databases alone:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
func Main(m *testing.M) { servertest.Main(m) }

// startPostgres starts PostgreSQL and returns the folder of its socket. The
// superuser is postgres, without a password.
func startPostgres() (socketDir string, err error) {
	const where = "/usr/lib/postgresql/*/bin"
	server, err := servertest.Find("postgres", where)
	if err != nil {
		return "", err
	}
	initdb, err := servertest.Find("initdb", filepath.Dir(server), where)
	if err != nil {
		return "", err
	}
	as, err := servertest.Unprivileged("postgres", "nobody")
	if err != nil {
		return "", err
	}
	v, err := servertest.Version(server)
	if err != nil {
		return "", err
	}
	dir, err := servertest.Dir()
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "postgres")
	err = servertest.DataDir(data, "1-"+v, as, func(data string) error {
		return servertest.Run("/", as, initdb, "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
			"--wal-segsize=4", "--no-instructions")
	})
	if err != nil {
		return "", err
	}
	args := []string{"-D", data}
	for _, o := range []string{
		"listen_addresses=", "unix_socket_directories=" + data, "fsync=off", "full_page_writes=off", "max_connections=300",
		"shared_buffers=32MB", "min_wal_size=8MB", "max_wal_size=512MB", "checkpoint_timeout=1h", "autovacuum_naptime=5min",
		"wal_level=minimal", "dynamic_shared_memory_type=mmap", "max_wal_senders=0", "logging_collector=off", "deadlock_timeout=100ms",
	} {
		args = append(args, "-c", o)
	}
	cmd := exec.CommandContext(context.Background(), server, args...)
	cmd.Dir = "/"
	p, err := servertest.Launch(cmd, filepath.Join(dir, "postgres.log"), as, syscall.SIGQUIT)
	if err != nil {
		return "", err
	}
	pool, err := raw("postgresql://postgres@/postgres?host=" + data)
	if err != nil {
		return "", err
	}
	return data, errors.Join(p.Ready(pool.PingContext), pool.Close())
}

// startMariaDB starts MariaDB and returns its socket. The user root needs no
// password.
func startMariaDB() (socket string, err error) {
	server, err := servertest.Find("mariadbd", "/usr/sbin", "/usr/libexec", "/usr/local/sbin")
	if err != nil {
		return "", err
	}
	installDB, err := servertest.Find("mariadb-install-db", "/usr/bin", "/usr/scripts")
	if err != nil {
		return "", err
	}
	v, err := servertest.Version(server)
	if err != nil {
		return "", err
	}
	dir, err := servertest.Dir()
	if err != nil {
		return "", err
	}
	settings := []string{
		"[mysqld]", "innodb_log_file_size=16M", "innodb_buffer_pool_size=64M", "innodb_flush_method=nosync",
		"innodb_flush_log_at_trx_commit=0", "innodb_doublewrite=0", "innodb_stats_persistent=0", "innodb_file_per_table=1", "skip_networking", "skip_log_bin",
		"max_connections=600", "performance_schema=off", "skip_name_resolve", "aria_log_file_size=8M", "key_buffer_size=1M",
		"table_open_cache=4000", "open_files_limit=8000",
	}
	if os.Getuid() == 0 {
		settings = append(settings, "user=root") // it refuses unless told
	}
	cnf := filepath.Join(dir, "mariadb.cnf")
	if err := os.WriteFile(cnf, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		return "", err
	}
	data := filepath.Join(dir, "mariadb")
	err = servertest.DataDir(data, "1-"+v, nil, func(data string) error {
		return servertest.Run("/", nil, installDB, "--defaults-file="+cnf, "--datadir="+data, "--auth-root-authentication-method=normal",
			"--skip-test-db", "--skip-name-resolve")
	})
	if err != nil {
		return "", err
	}
	socket = filepath.Join(dir, "mariadb.sock")
	cmd := exec.CommandContext(context.Background(), server, "--defaults-file="+cnf, "--datadir="+data, "--socket="+socket,
		"--pid-file="+filepath.Join(dir, "mariadb.pid"))
	cmd.Dir = "/"
	p, err := servertest.Launch(cmd, filepath.Join(dir, "mariadb.log"), nil, syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	pool, err := raw("mysql+pymysql://root@localhost/?unix_socket=" + socket)
	if err != nil {
		return "", err
	}
	return socket, errors.Join(p.Ready(pool.PingContext), pool.Close())
}
