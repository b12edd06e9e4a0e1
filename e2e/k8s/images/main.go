// Command images is the entry point of the PostgreSQL and the Redis of cluster
// tests, which are made of a machine's own packages. They take the variables,
// and keep data in the folder, that the images of Software Collections do:
//
//	images postgres   POSTGRESQL_USER, _PASSWORD, _DATABASE, _ADMIN_PASSWORD,
//	                  _SHARED_BUFFERS, _MAX_CONNECTIONS; /var/lib/pgsql/data
//	images redis      REDIS_PASSWORD; nothing is kept
//
// Any user will do, and the root file system may be read-only: /tmp is not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var err error
	switch {
	case len(os.Args) < 2:
		err = errors.New("which: postgres, or redis?")
	case os.Args[1] == "postgres":
		err = postgres()
	case os.Args[1] == "redis":
		err = redis()
	default:
		err = fmt.Errorf("there is no %q: postgres, or redis", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// redis becomes redis-server. The password comes by standard input, where
// nobody sees it.
func redis() error {
	conf := "bind * -::*\nport 6379\nsave \"\"\nappendonly no\nprotected-mode no\ndir /tmp\n"
	if p := os.Getenv("REDIS_PASSWORD"); p != "" {
		if strings.ContainsAny(p, "\"\\\n") {
			return errors.New("REDIS_PASSWORD has a quote, a backslash or a line break")
		}
		conf += "requirepass \"" + p + "\"\n"
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if _, err := w.WriteString(conf); err != nil { // it fits the pipe
		return err
	}
	if err := errors.Join(w.Close(), syscall.Dup3(int(r.Fd()), 0, 0)); err != nil {
		return err
	}
	const program = "/usr/bin/redis-server"
	return syscall.Exec(program, []string{program, "-"}, os.Environ())
}

const (
	bin      = "/usr/lib/postgresql/15/bin/"
	template = "/usr/share/gantry-postgres"        // a new cluster of databases
	data     = "/var/lib/pgsql/data/userdata"      // where the images of Software Collections have it
	part     = "/var/lib/pgsql/data/userdata.part" // and while it is being made
)

// postgres makes the data folder if there is none, sets roles and passwords as
// the environment says, and serves until it is asked to end.
func postgres() error {
	env := make(map[string]string)
	for _, name := range []string{"USER", "PASSWORD", "DATABASE", "ADMIN_PASSWORD"} {
		if env[name] = os.Getenv("POSTGRESQL_" + name); env[name] == "" {
			return fmt.Errorf("POSTGRESQL_%s is not set", name)
		}
	}
	for _, name := range []string{"SHARED_BUFFERS", "MAX_CONNECTIONS"} {
		env[name] = os.Getenv("POSTGRESQL_" + name)
	}
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		// One that was killed in the middle starts anew; nothing was served from it.
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		if err := copyTree(part, template); err != nil {
			return err
		}
		if err := os.Rename(part, data); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	// A server that was killed with its pod left this; process numbers of pods
	// are small, and another server may seem to have the one in it.
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	const sockets = "/tmp"
	settings := []string{"-D", data, "-c", "unix_socket_directories=" + sockets, "-c", "huge_pages=off", "-c", "jit=off", "-c", "log_timezone=UTC", "-c", "timezone=UTC"}
	for name, value := range map[string]string{"shared_buffers": env["SHARED_BUFFERS"], "max_connections": env["MAX_CONNECTIONS"]} {
		if value != "" {
			settings = append(settings, "-c", name+"="+value)
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	alone, err := start(append(settings, "-c", "listen_addresses="))
	if err != nil {
		return err
	}
	if err := setUp(sockets, env, alone.gone); err != nil {
		return err
	}
	if err := alone.end(); err != nil {
		return err
	}
	server, err := start(append(settings, "-c", "listen_addresses=*"))
	if err != nil {
		return err
	}
	select {
	case <-stop:
		return server.end()
	case <-server.gone:
		return fmt.Errorf("the server ended: %w", server.err)
	}
}

// setUp makes role, database and extension, and sets the passwords: of those
// that are there too, so that a new password in the environment counts.
func setUp(sockets string, env map[string]string, gone <-chan struct{}) error {
	sql := func(db, text string) error {
		cmd := exec.CommandContext(context.Background(), bin+"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", sockets, "-U", "postgres", "-d", db)
		cmd.Stdin = strings.NewReader(text) // passwords are not arguments
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("psql: %w: %s", err, out)
		}
		return nil
	}
	for deadline := time.Now().Add(10 * time.Minute); ; { // recovery of a large log takes its time
		err := sql("postgres", "SELECT 1")
		if err == nil {
			break
		}
		select {
		case <-gone:
			return errors.New("the server ended while it was set up")
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return err
		}
	}
	user, db := name(env["USER"]), name(env["DATABASE"])
	role := "CREATE ROLE " + user + ";"
	if user != `"postgres"` {
		if err := sql("postgres", "SELECT "+text("CREATE ROLE "+user)+" WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = "+text(env["USER"])+") \\gexec\n"); err != nil {
			return fmt.Errorf("%s %w", role, err)
		}
	}
	if err := sql("postgres", "ALTER ROLE "+user+" LOGIN PASSWORD "+text(env["PASSWORD"])+";\n"+
		"ALTER ROLE postgres PASSWORD "+text(env["ADMIN_PASSWORD"])+";\n"+
		"SELECT "+text("CREATE DATABASE "+db+" OWNER "+user)+" WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = "+text(env["DATABASE"])+") \\gexec\n"); err != nil {
		return err
	}
	return sql(env["DATABASE"], "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS pg_trgm;")
}

// name and text quote for SQL.
func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func text(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
}

type server struct {
	cmd  *exec.Cmd
	gone chan struct{}
	err  error
}

func start(args []string) (*server, error) {
	s := &server{cmd: exec.CommandContext(context.Background(), bin+"postgres", args...), gone: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = os.Stdout, os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.gone)
	}()
	return s, nil
}

// end has the server end its sessions, write what is to be written and go.
func (s *server) end() error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.gone
	return s.err
}

// copyTree copies folders and files, for this user alone.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.Mkdir(target, 0o700)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, raw, 0o600)
	})
}
