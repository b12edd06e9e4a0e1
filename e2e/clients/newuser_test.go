package clients

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMakeRun is a newcomer's first quarter of an hour: make run, the first
// account, podman login, push; then the machine crashes; pull and run.
func TestMakeRun(t *testing.T) {
	onlyGantry(t, "it is Gantry's Makefile")
	b := newBox(t, "podman", "make", "runc", "conmon")
	dir := t.TempDir()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{base: "http://" + addr, addr: addr, client: plain}
	serve := func() {
		t.Helper()
		// The binary is there, or no test would run: it need not be built again.
		cmd := exec.CommandContext(context.Background(), "make", "-C", "../..", "--old-file=build", "run", "LISTEN="+addr, "DATA="+filepath.Join(dir, "data"))
		if err := s.run(dir, cmd); err != nil {
			t.Fatal(err)
		}
	}
	serve()
	alive := true
	t.Cleanup(func() {
		if alive {
			if err := s.kill(); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := s.initialize(); err != nil {
		t.Fatal(err)
	}
	image := addr + "/" + user + "/hello:1"
	b.loginAs(t, "podman", addr, user, pass)
	b.run(t, "podman", "build", "--isolation=chroot", "-t", image, b.context(t, "newcomer"))
	b.run(t, "podman", "push", "--tls-verify=false", image)
	if err := s.kill(); err != nil {
		t.Fatal(err)
	}
	alive = false
	serve()
	alive = true
	b.run(t, "podman", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--tls-verify=false", image) // still signed in
	if got := b.runImage(t, image); got != "hello from newcomer" {
		t.Errorf("the image says %q", got)
	}
	if a, err := s.fetch(t.Context(), http.MethodPost, "/api/v1/user/initialize", http.Header{"Content-Type": {"application/json"}}, []byte(`{"username":"eve","password":"correct-horse-9"}`)); err != nil || a.status != http.StatusBadRequest {
		t.Errorf("a second first account: %d %s, %v", a.status, a.body, err)
	}
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// section returns the shell commands below a heading of a page.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, below, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", page, heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	var all strings.Builder
	for _, m := range shellBlock.FindAllStringSubmatch(below, -1) {
		all.WriteString(m[1])
	}
	if all.Len() == 0 {
		t.Fatalf("%s, %q: no commands", page, heading)
	}
	return all.String()
}

// TestPages types what README and docs/push-and-pull.md tell to type, up to
// the clients that are libraries here. What comes from the Internet is made
// here instead, passwords are typed, and the tools are told of plain HTTP, as
// the page says.
func TestPages(t *testing.T) {
	b := newBox(t, "podman", "skopeo", "buildah", "curl", "bash")
	onlyGantry(t, "the pages are of Gantry")
	s, err := start(os.Getenv("GANTRY_BIN"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	dir := b.context(t, "alpine")
	b.run(t, "podman", "build", "--isolation=chroot", "-t", "docker.io/library/alpine", dir)
	b.run(t, "podman", "push", "docker.io/library/alpine", "dir:"+b.dir+"/alpine")
	write(t, b.dir+"/registries.conf", "unqualified-search-registries = [\"docker.io\"]\n")

	readme := section(t, "README.md", "First push")
	_, password, _ := strings.Cut(readme, `"password": "`)
	password, _, _ = strings.Cut(password, `"`)
	page, _, ok := strings.Cut(section(t, "docs/push-and-pull.md", "Clients"), "# helm")
	if !ok || password == "" {
		t.Fatalf("the pages are not as this test knows them: %q", password)
	}
	typed := strings.NewReplacer(
		"localhost:8080", s.addr, "HOST", s.addr,
		"podman pull docker.io/library/alpine\n", "",
		"docker://docker.io/library/alpine", "dir:"+b.dir+"/alpine",
		"podman login ", "podman login --password-stdin ", "skopeo login ", "skopeo login --password-stdin ",
		"buildah bud ", "buildah bud --isolation chroot ",
	).Replace(readme + page)
	script := "set -eu -o pipefail\nPASSWORD=" + password + "\n"
	for _, p := range []string{"podman", "skopeo", "buildah"} {
		script += p + `() {
	local c=$1; shift
	echo "$ ` + p + ` $c $*" >&2
	case $c in
	login) set -- login -u ada --tls-verify=false "$@" ;;
	copy) set -- copy --src-tls-verify=false --dest-tls-verify=false "$@" ;;
	push | pull | inspect | list-tags | delete) set -- "$c" --tls-verify=false "$@" ;;
	*) set -- "$c" "$@" ;;
	esac
	command ` + strings.Join(append([]string{p}, b.flags(p, nil)...), " ") + ` "$@" <<<"$PASSWORD"
}
`
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script+typed)
	cmd.Env, cmd.Dir = b.env, dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "Login Succeeded!"); n != 3 {
		t.Errorf("%d logins, want 3\n%s", n, out)
	}
}
