package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// install is what to do when a server is missing.
const install = "apt-get install --no-install-recommends -y postgresql-15 mariadb-server"

// Main runs the tests of a package and cleans up after them. It is worth
// having in a package with many of them:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	stop()
	os.Exit(code)
}

// The servers of this process and the folder they live in.
var running struct {
	mu    sync.Mutex
	procs []*process
	dir   string
	lock  *os.File
}

// stop ends the servers and removes their data.
func stop() {
	running.mu.Lock()
	defer running.mu.Unlock()
	for _, p := range running.procs {
		p.kill()
	}
	if running.dir != "" {
		_ = os.RemoveAll(running.dir) // the next process sweeps what is left
	}
}

const prefix = "gantry-storetest-"

// runDir returns the folder of this test process. A lock in it says that it
// is in use; folders whose process is gone are removed first.
func runDir() (string, error) {
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.dir != "" {
		return running.dir, nil
	}
	base := baseDir()
	sweep(base)
	dir, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", err
	}
	// Locked before it has its name, so that nobody sees it unlocked.
	f, err := os.Create(filepath.Join(dir, "locking"))
	if err != nil {
		return "", err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "", errors.Join(err, f.Close())
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, "lock")); err != nil {
		return "", errors.Join(err, f.Close())
	}
	running.dir, running.lock = dir, f
	return dir, nil
}

// baseDir returns where folders of test processes are: in memory if there is
// plenty, which makes a PostgreSQL database in a tenth of the time.
func baseDir() string {
	const memory = "/dev/shm"
	var st syscall.Statfs_t
	if err := syscall.Statfs(memory, &st); err == nil && st.Bavail*uint64(st.Bsize) > 3<<30 {
		if f, err := os.CreateTemp(memory, prefix); err == nil {
			if errors.Join(f.Close(), os.Remove(f.Name())) == nil {
				return memory
			}
		}
	}
	if base := os.TempDir(); len(base) <= 50 { // the path of a socket has at most 107 bytes
		return base
	}
	return "/tmp"
}

// sweep removes the folders of test processes that were killed.
func sweep(base string) {
	old, err := filepath.Glob(filepath.Join(base, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err != nil {
			// Not ours, or its process is just making it.
			if st, e := os.Stat(dir); e == nil && errors.Is(err, fs.ErrNotExist) && time.Since(st.ModTime()) > time.Hour {
				_ = os.RemoveAll(dir)
			}
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // best effort: the next process tries again
		}
		_ = f.Close() // nothing was written
	}
}

// A process is a server.
type process struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{}
}

// launch starts cmd; the kernel ends it with sig when this process dies.
func launch(cmd *exec.Cmd, log string, as *account, sig syscall.Signal) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the server has its own
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = as.attr(sig)
	p := &process{cmd: cmd, log: log, gone: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal comes when the thread that started the server ends, so
		// this one must last.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(p.gone)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	running.mu.Lock()
	running.procs = append(running.procs, p)
	running.mu.Unlock()
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // gone already is fine
	select {
	case <-p.gone:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// ready waits until the server answers.
func (p *process) ready(pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := pool.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.gone:
			return fmt.Errorf("the server ended:\n%s", tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w\n%s", err, tail(p.log))
		case <-tick.C:
		}
	}
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

// run runs a command of a database to its end.
func run(dir string, as *account, command string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), command, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = as.attr(syscall.SIGKILL)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out.String())
	}
	return nil
}

// An account is the user that a server runs as; nil = ours.
type account struct{ uid, gid uint32 }

func (a *account) attr(sig syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true} // a ^C for the tests is not one for the server
	dieWithParent(attr, sig)
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// unprivileged returns the user for a server that refuses to run as root.
func unprivileged(names ...string) (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, n := range names {
		u, err := user.Lookup(n)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &account{uint32(uid), uint32(gid)}, nil
	}
	return nil, fmt.Errorf("no user %s to run the server as", strings.Join(names, " or "))
}

// find returns the first command that exists, on the PATH or at a pattern;
// of several matches the last, which is the newest.
func find(command string, patterns ...string) (string, error) {
	if p, err := exec.LookPath(command); err == nil {
		return p, nil
	}
	for _, pattern := range patterns {
		all, err := filepath.Glob(filepath.Join(pattern, command))
		if err == nil && len(all) > 0 {
			return all[len(all)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not installed; these tests need it: %s", command, install)
}

// dataDir makes the data folder of a server, to: a copy of one that is kept
// in the user's cache folder for this key, or a new one made by initialize.
func dataDir(to, key string, as *account, initialize func(dir string) error) error {
	cache, err := os.UserCacheDir()
	if err != nil { // no home: do without
		return newDir(to, as, initialize)
	}
	cache = filepath.Join(cache, "gantry-test")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return newDir(to, as, initialize)
	}
	kept := filepath.Join(cache, key)
	if _, err := os.Stat(kept); err == nil {
		return copyTree(to, kept, as)
	}
	lock, err := os.OpenFile(kept+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // releases it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(kept); err == nil { // another process made it meanwhile
		return copyTree(to, kept, as)
	}
	if err := newDir(to, as, initialize); err != nil {
		return err
	}
	part, err := os.MkdirTemp(cache, key+".part-")
	if err != nil {
		return err
	}
	if err := copyTree(filepath.Join(part, "data"), to, nil); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return errors.Join(os.Rename(filepath.Join(part, "data"), kept), os.RemoveAll(part))
}

func newDir(dir string, as *account, initialize func(dir string) error) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := as.own(dir); err != nil {
		return err
	}
	return initialize(dir)
}

// copyTree copies folders and files with their modes to a new folder that
// belongs to as.
func copyTree(to, from string, as *account) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			err = os.Mkdir(target, info.Mode().Perm())
		case d.Type().IsRegular():
			err = copyFile(target, path, info.Mode().Perm())
		default:
			return nil // sockets
		}
		if err != nil {
			return err
		}
		return as.own(target)
	})
}

// version returns the first line of "command --version", as a file name.
func version(command string) (string, error) {
	out, err := exec.CommandContext(context.Background(), command, "--version").Output()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, strings.ToLower(filepath.Base(line))), nil
}

// startPostgres starts PostgreSQL and returns the folder of its socket. The
// superuser is postgres, without a password.
func startPostgres() (socketDir string, err error) {
	const where = "/usr/lib/postgresql/*/bin"
	server, err := find("postgres", where)
	if err != nil {
		return "", err
	}
	initdb, err := find("initdb", filepath.Dir(server), where)
	if err != nil {
		return "", err
	}
	as, err := unprivileged("postgres", "nobody")
	if err != nil {
		return "", err
	}
	v, err := version(server)
	if err != nil {
		return "", err
	}
	dir, err := runDir()
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "postgres")
	err = dataDir(data, "1-"+v, as, func(data string) error {
		return run("/", as, initdb, "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
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
	p, err := launch(cmd, filepath.Join(dir, "postgres.log"), as, syscall.SIGQUIT)
	if err != nil {
		return "", err
	}
	pool, err := raw("postgresql://postgres@/postgres?host=" + data)
	if err != nil {
		return "", err
	}
	return data, errors.Join(p.ready(pool), pool.Close())
}

// startMariaDB starts MariaDB and returns its socket. The user root needs no
// password.
func startMariaDB() (socket string, err error) {
	server, err := find("mariadbd", "/usr/sbin", "/usr/libexec", "/usr/local/sbin")
	if err != nil {
		return "", err
	}
	installDB, err := find("mariadb-install-db", "/usr/bin", "/usr/scripts")
	if err != nil {
		return "", err
	}
	v, err := version(server)
	if err != nil {
		return "", err
	}
	dir, err := runDir()
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
	err = dataDir(data, "1-"+v, nil, func(data string) error {
		return run("/", nil, installDB, "--defaults-file="+cnf, "--datadir="+data, "--auth-root-authentication-method=normal",
			"--skip-test-db", "--skip-name-resolve")
	})
	if err != nil {
		return "", err
	}
	socket = filepath.Join(dir, "mariadb.sock")
	cmd := exec.CommandContext(context.Background(), server, "--defaults-file="+cnf, "--datadir="+data, "--socket="+socket,
		"--pid-file="+filepath.Join(dir, "mariadb.pid"))
	cmd.Dir = "/"
	p, err := launch(cmd, filepath.Join(dir, "mariadb.log"), nil, syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	pool, err := raw("mysql+pymysql://root@localhost/?unix_socket=" + socket)
	if err != nil {
		return "", err
	}
	return socket, errors.Join(p.ready(pool), pool.Close())
}
