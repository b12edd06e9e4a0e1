package clients

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestKill pushes, kills the server with signal 9 as soon as the last push is
// acknowledged, and finds everything whole after the restart, three times on
// the same data.
func TestKill(t *testing.T) {
	onlyGantry(t, "it is not ours to kill")
	dir := t.TempDir()
	auth := remote.WithAuth(&authn.Basic{Username: user, Password: pass})
	at := func(s *server, i int) name.Reference {
		t.Helper()
		r, err := name.ParseReference(s.addr+"/"+user+"/app:v"+string(rune('0'+i)), name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var pushed []v1.Hash
	for round := range 3 {
		s, err := start(os.Getenv("GANTRY_BIN"), dir)
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			_, err = s.initialize()
		}
		for i, want := range pushed {
			if err != nil {
				break
			}
			var img v1.Image
			if img, err = remote.Image(at(s, i), auth, remote.WithContext(t.Context())); err != nil {
				break
			}
			if imageDigest(t, img) != want {
				t.Errorf("round %d: v%d is %v, want %v", round, i, imageDigest(t, img), want)
			}
			err = validate.Image(img) // reads every layer and compares it with its digest
		}
		var img v1.Image
		if err == nil {
			img, err = random.Image(200_000, 4)
		}
		if err == nil {
			err = remote.Write(at(s, round), img, auth, remote.WithContext(t.Context()))
		}
		if killed := s.kill(); err != nil || killed != nil {
			t.Fatal(s.tail(err), killed)
		}
		pushed = append(pushed, imageDigest(t, img))
	}
}

// TestOwnImage builds the image as "make image" does, starts it as the Quadlet
// does, without a capability and with a read-only root, looks into it as kubectl
// exec and kubectl cp do, has it do what Quay's words say, and stops it.
func TestOwnImage(t *testing.T) {
	onlyGantry(t, "it has no image here")
	b := newBox(t, "buildah", "podman", "runc", "conmon")
	script, err := filepath.Abs("../../scripts/image")
	if err != nil {
		t.Fatal(err)
	}
	b.env = append(b.env, "STORAGE="+b.dir)
	b.run(t, script, os.Getenv("GANTRY_BIN"), "localhost/gantry:test")
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	limits := []string{"--pull=never", "--network=host", "--cap-drop=all", "--security-opt=no-new-privileges", "--read-only",
		"--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:1024", "--volume", "data:/data"}
	id := b.run(t, "podman", append(append([]string{"run", "--detach"}, limits...), "localhost/gantry:test", "serve", "--data", "/data", "--listen", addr, "--metrics", "off")...)
	t.Cleanup(func() { // the test's context is over by then
		if _, errs, err := b.try(context.WithoutCancel(t.Context()), "", "podman", "rm", "--force", "--ignore", id); err != nil {
			t.Errorf("podman rm: %v\n%s", err, errs)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if a, err := fetch(t.Context(), http.MethodGet, "http://"+addr+"/health/instance", nil, nil); err == nil && a.status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			out, errs, _ := b.try(t.Context(), "", "podman", "logs", id) // it is only shown
			t.Fatalf("the container is not ready within 30 s\n%s%s", out, errs)
		}
	}
	if a, err := fetch(t.Context(), http.MethodGet, "http://"+addr+"/v2/", nil, nil); err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("GET /v2/: %d, %v", a.status, err)
	}
	if user := b.run(t, "podman", "inspect", "--format", "{{.Config.User}}", id); user != "1001:0" {
		t.Errorf("it runs as %s", user)
	}
	if got := b.run(t, "podman", "exec", id, "cat", "/etc/passwd"); !strings.HasPrefix(got, "gantry:x:1001:") {
		t.Errorf("cat: %q", got)
	}
	b.run(t, "podman", "exec", id, "test", "-d", "/conf/stack")
	archive, _, err := b.try(t.Context(), "", "podman", "exec", id, "tar", "cf", "-", "/etc")
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, err := b.try(t.Context(), archive, "tar", "tf", "-"); err != nil || !strings.Contains(out, "etc/ssl/certs/ca-certificates.crt") {
		t.Errorf("what it packs: %v\n%s%s", err, out, errs)
	}
	if _, errs, err := b.try(t.Context(), archive, "podman", "exec", "-i", id, "tar", "-xmf", "-", "-C", "/data"); err != nil {
		t.Errorf("a copy into it: %v\n%s", err, errs)
	}
	if got := b.run(t, "podman", "exec", id, "cat", "/data/etc/passwd"); !strings.HasPrefix(got, "gantry:x:1001:") {
		t.Errorf("what was copied into it: %q", got)
	}
	b.run(t, "podman", "stop", "--time", "40", id)
	if code := b.run(t, "podman", "inspect", "--format", "{{.State.ExitCode}}", id); strings.TrimSpace(code) != "0" {
		t.Errorf("it ended with code %s", code)
	}
	once := func(args ...string) (string, error) {
		out, errs, err := b.try(t.Context(), "", "podman", append(append([]string{"run", "--rm", "--env", "QUAY_OVERRIDE_CONFIG={\"DB_URI\": \"sqlite:////data/quay.db\"}"}, limits...), append([]string{"localhost/gantry:test"}, args...)...)...)
		return out + errs, err
	}
	if text, err := once("registry-nomigrate"); err == nil || !strings.Contains(text, "gantry db migrate") {
		t.Errorf("without a schema: %v\n%s", err, text)
	}
	if text, err := once("migrate", "head"); err != nil {
		t.Errorf("migrate head: %v\n%s", err, text)
	}
}
