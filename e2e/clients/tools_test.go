package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A box is a home for podman, buildah and skopeo: storage, logins and
// temporary files below one folder, and nothing of the machine's.
type box struct {
	dir string
	env []string
}

// newBox makes one. The test is left out when a program is not here, unless
// Gantry is tested: then scripts/test-deps has installed them.
func newBox(t *testing.T, programs ...string) *box {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if reg.gantry {
				t.Fatalf("%v: run scripts/test-deps", err)
			}
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	for _, d := range []string{"root", "run", "tmp", "home"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b := &box{dir: dir}
	write(t, filepath.Join(dir, "storage.conf"), "[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+"/root\"\nrunroot = \""+dir+"/run\"\n")
	write(t, filepath.Join(dir, "containers.conf"), "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"runc\"\nstatic_dir = \""+dir+"/libpod\"\ntmp_dir = \""+dir+"/tmp\"\n")
	write(t, filepath.Join(dir, "policy.json"), `{"default": [{"type": "insecureAcceptAnything"}]}`)
	write(t, filepath.Join(dir, "auth.json"), "{}")
	write(t, filepath.Join(dir, "registries.conf"), "unqualified-search-registries = []\n")
	b.env = append(os.Environ(),
		"HOME="+dir+"/home", "TMPDIR="+dir+"/tmp", "XDG_RUNTIME_DIR="+dir+"/run",
		"REGISTRY_AUTH_FILE="+dir+"/auth.json",
		"CONTAINERS_STORAGE_CONF="+dir+"/storage.conf",
		"CONTAINERS_CONF="+dir+"/containers.conf",
		"CONTAINERS_REGISTRIES_CONF="+dir+"/registries.conf",
		"BUILDAH_ISOLATION=chroot")
	return b
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// try runs a program and returns what it wrote.
func (b *box) try(ctx context.Context, stdin, program string, args ...string) (stdout, stderr string, err error) {
	// A bound, so that a client that waits for ever fails with its name.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, b.flags(program, args)...)
	cmd.Env = b.env
	cmd.Dir = b.dir
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// flags puts the program's global flags before its arguments.
func (b *box) flags(program string, args []string) []string {
	switch program {
	case "podman":
		return append([]string{"--root", b.dir + "/root", "--runroot", b.dir + "/run", "--tmpdir", b.dir + "/tmp", "--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}, args...)
	case "buildah":
		return append([]string{"--root", b.dir + "/root", "--runroot", b.dir + "/run", "--storage-driver", "vfs"}, args...)
	case "skopeo":
		return append([]string{"--policy", b.dir + "/policy.json", "--tmpdir", b.dir + "/tmp"}, args...)
	}
	return args
}

// run is try for what must work.
func (b *box) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, errs, err := b.try(t.Context(), "", program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, errs)
	}
	return strings.TrimSpace(out)
}

// fails is try for what must not work.
func (b *box) fails(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, errs, err := b.try(t.Context(), "", program, args...)
	if err == nil {
		t.Errorf("%s %s works\n%s", program, strings.Join(args, " "), out)
	}
	return errs
}

func (b *box) login(t *testing.T, program string) {
	t.Helper()
	if _, errs, err := b.try(t.Context(), reg.pass, program, "login", "--tls-verify=false", "-u", reg.user, "--password-stdin", reg.host); err != nil {
		t.Fatalf("%s login: %v\n%s", program, err, errs)
	}
}

// context writes a folder that an image is built from.
func (b *box) context(t *testing.T, title string) string {
	t.Helper()
	bin, err := helloBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.dir, "context-"+title)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello"), bin, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "Containerfile"), "FROM scratch\nCOPY hello /hello\nENV IMAGE="+title+"\nENTRYPOINT [\"/hello\"]\n")
	return dir
}

// runImage runs an image with podman and returns what it says. Machines that
// are containers themselves lack the right to raise limits: hence --ulimit.
func (b *box) runImage(t *testing.T, image string) string {
	t.Helper()
	return b.run(t, "podman", "run", "--rm", "--pull=never", "--network=none", "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:1024", image)
}

// TestPodman is the first hour of a user: log in, build, push, remove, pull,
// run, log out.
func TestPodman(t *testing.T) {
	b := newBox(t, "podman", "runc", "conmon")
	image := reg.host + "/" + repo(t) + ":v1"
	if _, errs, err := b.try(t.Context(), "wrong", "podman", "login", "--tls-verify=false", "-u", "mallory", "--password-stdin", reg.host); err == nil {
		t.Errorf("podman login with a wrong password works: %s", errs)
	}
	b.login(t, "podman")
	b.run(t, "podman", "build", "--isolation=chroot", "-t", image, b.context(t, "podman"))
	b.run(t, "podman", "push", "--tls-verify=false", "--digestfile", b.dir+"/digest", image)
	pushed, err := os.ReadFile(b.dir + "/digest")
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, "podman", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--tls-verify=false", image)
	if got := b.runImage(t, image); got != "hello from podman" {
		t.Errorf("the image says %q", got)
	}
	// By digest, and with Docker's manifest format.
	b.run(t, "podman", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--tls-verify=false", reg.host+"/"+repo(t)+"@"+string(pushed))
	b.run(t, "podman", "tag", reg.host+"/"+repo(t)+"@"+string(pushed), image+"-docker")
	b.run(t, "podman", "push", "--tls-verify=false", "--format", "v2s2", image+"-docker")
	if media := manifestType(t, repo(t)+":v1-docker"); !strings.Contains(media, "docker.distribution.manifest.v2") {
		t.Errorf("media type %s", media)
	}
	b.run(t, "podman", "push", "--tls-verify=false", "--compression-format", "zstd", "--format", "oci", image+"-docker", "docker://"+image+"-zstd")
	b.run(t, "podman", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--tls-verify=false", image+"-zstd")
	if got := b.runImage(t, image+"-zstd"); got != "hello from podman" {
		t.Errorf("the zstd image says %q", got)
	}
	b.run(t, "podman", "logout", reg.host)
	b.run(t, "podman", "rmi", "--all", "--force")
	if errs := b.fails(t, "podman", "pull", "--tls-verify=false", image); reg.gantry && !strings.Contains(errs, "unauthorized") {
		t.Errorf("a pull of a private image without login says: %s", errs)
	}
}

// TestPodmanManifest makes a list of two architectures.
func TestPodmanManifest(t *testing.T) {
	b := newBox(t, "podman")
	b.login(t, "podman")
	dir := b.context(t, "multi")
	list := reg.host + "/" + repo(t) + ":multi"
	b.run(t, "podman", "manifest", "create", list)
	for _, arch := range []string{"amd64", "arm64"} {
		one := list + "-" + arch
		b.run(t, "podman", "build", "--no-cache", "--isolation=chroot", "--platform", "linux/"+arch, "-t", one, dir)
		b.run(t, "podman", "manifest", "add", "--arch", arch, list, "containers-storage:"+one)
	}
	b.run(t, "podman", "manifest", "push", "--tls-verify=false", "--all", list, "docker://"+list)
	var m struct {
		Manifests []struct {
			Platform struct{ Architecture string }
		}
	}
	text := b.run(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+list)
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 2 || m.Manifests[0].Platform.Architecture == m.Manifests[1].Platform.Architecture {
		t.Errorf("list: %s", text)
	}
	b.run(t, "podman", "manifest", "rm", list)
	b.run(t, "podman", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--tls-verify=false", "--platform", "linux/arm64", list)
	if arch := b.run(t, "podman", "image", "inspect", "--format", "{{.Architecture}}", list); arch != "arm64" {
		t.Errorf("architecture %s", arch)
	}
}

// TestSkopeo copies, inspects, lists, syncs and deletes.
func TestSkopeo(t *testing.T) {
	b := newBox(t, "skopeo")
	b.login(t, "skopeo")
	r := reg.host + "/" + repo(t)
	img := helloImage(t, "skopeo")
	if err := remote.Write(ref(t, repo(t)+":v1"), img, craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	want := imageDigest(t, img).String()

	type inspected struct {
		Name, Digest, Architecture string
		RepoTags                   []string
		Env                        []string
	}
	var i inspected
	if err := json.Unmarshal([]byte(b.run(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+r+":v1")), &i); err != nil {
		t.Fatal(err)
	}
	if i.Digest != want || !slices.Equal(i.RepoTags, []string{"v1"}) || !slices.Contains(i.Env, "IMAGE=skopeo") {
		t.Errorf("inspect: %+v", i)
	}
	b.run(t, "skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+r+":v1", "docker://"+r+":v2")
	b.run(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+r+":v1", "oci:"+b.dir+"/layout:v1")
	b.run(t, "skopeo", "copy", "--dest-tls-verify=false", "oci:"+b.dir+"/layout:v1", "docker://"+r+"-copy:v1")
	// Between repositories of the registry blobs are mounted.
	b.run(t, "skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+r+":v1", "docker://"+r+"-mounted:v1")
	for _, other := range []string{"-copy:v1", "-mounted:v1"} {
		if got := b.run(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+r+other); got != want {
			t.Errorf("%s is %s, want %s", other, got, want)
		}
	}
	var tags struct{ Tags []string }
	if err := json.Unmarshal([]byte(b.run(t, "skopeo", "list-tags", "--tls-verify=false", "docker://"+r)), &tags); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tags.Tags, []string{"v1", "v2"}) {
		t.Errorf("tags: %v", tags.Tags)
	}
	b.run(t, "skopeo", "sync", "--src", "docker", "--dest", "dir", "--src-tls-verify=false", r, b.dir+"/tmp")
	b.run(t, "skopeo", "delete", "--tls-verify=false", "docker://"+r+":v2")
	b.fails(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+r+":v2")
	b.fails(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+r+"-never:v1")
}

// TestBuildah builds, pushes and pulls.
func TestBuildah(t *testing.T) {
	b := newBox(t, "buildah", "podman")
	b.login(t, "buildah")
	image := reg.host + "/" + repo(t) + ":v1"
	b.run(t, "buildah", "bud", "-t", image, b.context(t, "buildah"))
	b.run(t, "buildah", "push", "--tls-verify=false", image)
	b.run(t, "buildah", "rmi", "--all", "--force")
	c := b.run(t, "buildah", "from", "--tls-verify=false", image) // pulls
	b.run(t, "buildah", "config", "--env", "IMAGE=another", c)
	b.run(t, "buildah", "commit", c, image+"-next")
	b.run(t, "buildah", "rm", c)
	b.run(t, "buildah", "push", "--tls-verify=false", image+"-next")
	b.run(t, "buildah", "rmi", "--all", "--force")
	b.run(t, "buildah", "pull", "--tls-verify=false", image+"-next")
	if got := b.runImage(t, image+"-next"); got != "hello from another" {
		t.Errorf("the image says %q", got)
	}
}

// manifestType is the media type that the registry has for a manifest.
func manifestType(t *testing.T, r string) string {
	t.Helper()
	d, err := remote.Head(ref(t, r), craneOpts(t.Context())...)
	if err != nil {
		t.Fatal(err)
	}
	return string(d.MediaType)
}
