package servertest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nginx starts nginx with the text in its http block, until the test ends; it
// listens on addr. dir is where it may write, and holds its temporary files
// below temp/.
func Nginx(t testing.TB, addr, text string) (p *Process, dir string) {
	t.Helper()
	program, err := Find("nginx", "/usr/sbin")
	if err != nil {
		t.Fatal(err)
	}
	dir = balancerDir(t)
	// nginx opens files for bodies that it buffers, and changes its user as root.
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += "    " + kind + "_temp_path " + dir + "/temp/" + kind + ";\n"
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	if err := os.Mkdir(dir+"/temp", 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "nginx.conf")
	main := user + "daemon off;\nworker_processes 1;\npid " + dir + "/pid;\nerror_log stderr warn;\nevents { worker_connections 1024; }\nhttp {\n    access_log off;\n" + temp + text + "\n}\n"
	if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	// Not as a master with workers, which would outlive it when it is killed.
	cmd := exec.CommandContext(context.Background(), program, "-p", dir, "-c", file, "-g", "master_process off;")
	return balancer(t, cmd, dir, addr), dir
}

// HAProxy starts HAProxy with the text as its configuration, until the test
// ends; it listens on addr.
func HAProxy(t testing.TB, addr, text string) *Process {
	t.Helper()
	program, err := Find("haproxy", "/usr/sbin")
	if err != nil {
		t.Fatal(err)
	}
	dir := balancerDir(t)
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return balancer(t, exec.CommandContext(context.Background(), program, "-db", "-f", file), dir, addr)
}

func balancerDir(t testing.TB) string {
	t.Helper()
	top, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(top, "balancer-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func balancer(t testing.TB, cmd *exec.Cmd, dir, addr string) *Process {
	t.Helper()
	p, err := Launch(cmd, filepath.Join(dir, "log"), nil, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), strings.TrimSpace(p.Log()))
		}
	})
	if err := p.Ready(func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		t.Fatal(err)
	}
	return p
}
