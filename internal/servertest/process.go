// Package servertest starts the real servers that tests need: as processes of
// their own, on free ports of the loopback address or on sockets, with their
// data in a folder of the test process. They die with that, however it ends;
// their data is removed by Main, or else by the next test process.
//
// This file has what every server needs; each server has a file of its own.
package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Main runs the tests of a package and cleans up after them. It is worth
// having in a package with many of them:
//
//	func TestMain(m *testing.M) { servertest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// The servers of this process and the folder they live in.
var running struct {
	mu    sync.Mutex
	procs []*Process
	dir   string
	lock  *os.File
}

// Stop ends the servers and removes their data.
func Stop() {
	running.mu.Lock()
	defer running.mu.Unlock()
	for _, p := range running.procs {
		p.kill()
	}
	if running.dir != "" {
		_ = os.RemoveAll(running.dir) // the next process sweeps what is left
	}
}

const prefix = "gantry-servertest-"

// Dir returns the folder of this test process. A lock in it says that it
// is in use; folders whose process is gone are removed first.
func Dir() (string, error) {
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

// baseDir returns where folders of test processes are: GANTRY_TEST_DIR, whose
// path has at most 50 bytes, or else in memory if there is plenty, which makes
// a PostgreSQL database in a tenth of the time.
func baseDir() string {
	if dir := os.Getenv("GANTRY_TEST_DIR"); dir != "" {
		return dir
	}
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

// A Process is a server that Launch started.
type Process struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{}
}

// Launch starts cmd; the kernel ends it with sig when this process dies. What
// tunes the tests' own collector (GOGC) is not what a server runs with.
func Launch(cmd *exec.Cmd, log string, as *Account, sig syscall.Signal) (*Process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the server has its own
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = as.attr(sig)
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOGC=") })
	p := &Process{cmd: cmd, log: log, gone: make(chan struct{})}
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

// Kill ends the server as a power failure would, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // gone already is fine
	<-p.gone
}

// Signal sends a signal; a server that is gone is an error.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Gone is closed when the server has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Log returns the end of what the server has printed.
func (p *Process) Log() string { return tail(p.log) }

func (p *Process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // gone already is fine
	select {
	case <-p.gone:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// Ready waits until answers returns nil, for up to a minute. The error holds
// the end of the server's log.
func (p *Process) Ready(answers func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := answers(ctx)
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

// Port returns a port of 127.0.0.1 that is free now. Another process may take
// it before the server does: Ready then fails, and the test may try again.
func Port() (int, error) {
	l, err := listen()
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// listen listens on a free port of 127.0.0.1.
func listen() (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
}

// Tool returns the path of a program that "make deps" built or installed
// below build/tools of the repository, such as versitygw.
func Tool(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "test-deps")); err == nil {
			path := filepath.Join(dir, "build", "tools", name)
			if _, err := os.Stat(path); err != nil {
				return "", fmt.Errorf("%s is not there; \"make deps\" makes it", path)
			}
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("these tests run inside the repository")
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

// Run runs a command of a database to its end.
func Run(dir string, as *Account, command string, args ...string) error {
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

// An Account is the user that a server runs as; nil = ours.
type Account struct{ uid, gid uint32 }

func (a *Account) attr(sig syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true} // a ^C for the tests is not one for the server
	dieWithParent(attr, sig)
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// Own gives a file or folder to the account.
func (a *Account) Own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// Unprivileged returns the user for a server that refuses to run as root.
func Unprivileged(names ...string) (*Account, error) {
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
		return &Account{uint32(uid), uint32(gid)}, nil
	}
	return nil, fmt.Errorf("no user %s to run the server as", strings.Join(names, " or "))
}

// Find returns the first command that exists, on the PATH or at a pattern;
// of several matches the last, which is the newest.
func Find(command string, patterns ...string) (string, error) {
	if p, err := exec.LookPath(command); err == nil {
		return p, nil
	}
	for _, pattern := range patterns {
		all, err := filepath.Glob(filepath.Join(pattern, command))
		if err == nil && len(all) > 0 {
			return all[len(all)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not installed; these tests need it: run \"make deps\"", command)
}

// DataDir makes the data folder of a server, to: a copy of one that is kept
// in the user's cache folder for this key, or a new one made by initialize.
func DataDir(to, key string, as *Account, initialize func(dir string) error) error {
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
		return CopyTree(to, kept, as)
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
		return CopyTree(to, kept, as)
	}
	if err := newDir(to, as, initialize); err != nil {
		return err
	}
	part, err := os.MkdirTemp(cache, key+".part-")
	if err != nil {
		return err
	}
	if err := CopyTree(filepath.Join(part, "data"), to, nil); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return errors.Join(os.Rename(filepath.Join(part, "data"), kept), os.RemoveAll(part))
}

func newDir(dir string, as *Account, initialize func(dir string) error) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := as.Own(dir); err != nil {
		return err
	}
	return initialize(dir)
}

// CopyTree copies folders and files with their modes to a new folder that
// belongs to as.
func CopyTree(to, from string, as *Account) error {
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
			err = CopyFile(target, path, info.Mode().Perm())
		default:
			return nil // sockets
		}
		if err != nil {
			return err
		}
		return as.Own(target)
	})
}

// Version returns the first line of "command --version", as a file name.
func Version(command string) (string, error) {
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

// CopyFile copies the bytes of a file that nobody writes.
func CopyFile(to, from string, mode os.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, mode)
}
