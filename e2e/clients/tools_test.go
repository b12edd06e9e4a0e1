package clients

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// A box is a home for podman, buildah and skopeo: storage, locks, logins and
// temporary files below one folder, and nothing of the machine's but, as root,
// the list of where layers were seen, /var/lib/containers/cache.
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
	t.Cleanup(func() { // conmon has podman tidy up after a container; the folder goes when that is done
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			left := processesOf(dir)
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("still running: %q", left)
				return
			}
		}
	})
	for _, d := range []string{"root", "run", "tmp", "home"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b := &box{dir: dir}
	write(t, filepath.Join(dir, "storage.conf"), "[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+"/root\"\nrunroot = \""+dir+"/run\"\n")
	write(t, filepath.Join(dir, "containers.conf"), "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"runc\"\nlock_type = \"file\"\nstatic_dir = \""+dir+"/libpod\"\ntmp_dir = \""+dir+"/tmp\"\n")
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

// processesOf are the commands that run with a folder among their arguments.
func processesOf(dir string) []string {
	var all []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && bytes.Contains(line, []byte(dir)) { // or it has ended meanwhile
			all = append(all, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return all
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
	b.loginAs(t, program, reg.host, reg.user, reg.pass)
}

func (b *box) loginAs(t *testing.T, program, host, user, pass string, flags ...string) {
	t.Helper()
	if len(flags) == 0 {
		flags = []string{"--tls-verify=false"}
	}
	args := append(append([]string{"login", "-u", user, "--password-stdin"}, flags...), host)
	if _, errs, err := b.try(t.Context(), pass, program, args...); err != nil {
		t.Fatalf("%s login of %s: %v\n%s", program, user, err, errs)
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
	// No two images have a layer in common: podman remembers for all of the machine
	// how a layer was compressed where, and would push it in that form again.
	write(t, filepath.Join(dir, "note"), rand.Text())
	write(t, filepath.Join(dir, "Containerfile"), "FROM scratch\nCOPY hello note /\nENV IMAGE="+title+"\nENTRYPOINT [\"/hello\"]\n")
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
	b := newBox(t, "podman", "skopeo", "runc", "conmon")
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
	b.run(t, "podman", "logout", reg.host)
	b.run(t, "podman", "rmi", "--all", "--force")
	if errs := b.fails(t, "podman", "pull", "--tls-verify=false", image); reg.gantry && !strings.Contains(errs, "unauthorized") {
		t.Errorf("a pull of a private image without login says: %s", errs)
	}
}

// TestPodmanZstd pushes layers that no registry has seen, as zstd and as
// zstd:chunked. A layer that the registry has as gzip, podman would not send.
func TestPodmanZstd(t *testing.T) {
	b := newBox(t, "podman", "skopeo", "runc", "conmon")
	b.login(t, "podman")
	for format, holds := range map[string]string{"zstd": `"application/vnd.oci.image.layer.v1.tar+zstd"`, "zstd:chunked": "zstd-chunked.manifest-checksum"} {
		title := strings.ReplaceAll(format, ":", "-")
		image := reg.host + "/" + repo(t) + "-" + title + ":v1"
		b.run(t, "podman", "build", "--no-cache", "--isolation=chroot", "-t", image, b.context(t, title))
		b.run(t, "podman", "push", "--tls-verify=false", "--compression-format", format, "--format", "oci", image)
		if m := b.run(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+image); !strings.Contains(m, holds) {
			t.Errorf("%s: %s", format, m)
		}
		b.run(t, "podman", "rmi", "--all", "--force")
		b.run(t, "podman", "pull", "--tls-verify=false", image)
		if got := b.runImage(t, image); got != "hello from "+title {
			t.Errorf("the %s image says %q", format, got)
		}
	}
}

// TestPodmanManifest makes a list of two architectures.
func TestPodmanManifest(t *testing.T) {
	b := newBox(t, "podman", "skopeo")
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
	// Between repositories of the registry layers are mounted, and not sent.
	// The first copy teaches skopeo where the layer is. It never mounts
	// configurations.
	spy := newSpy(t)
	b.loginAs(t, "skopeo", spy.host, reg.user, reg.pass)
	over := "docker://" + spy.host + "/" + repo(t)
	for n, to := range []string{"-first:v1", "-mounted:v1"} {
		b.run(t, "skopeo", "copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", over+":v1", over+to)
		if spy.count(t, mounted) != n {
			t.Errorf("copy %d within the registry:\n%v", n, spy)
		}
	}
	var config struct {
		Config struct{ Env, Entrypoint []string }
	}
	if err := json.Unmarshal([]byte(b.run(t, "skopeo", "inspect", "--config", "--tls-verify=false", "docker://"+r+":v1")), &config); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Config.Env, []string{"IMAGE=skopeo"}) || !slices.Equal(config.Config.Entrypoint, []string{"/hello"}) {
		t.Errorf("inspect --config: %+v", config)
	}
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
	// A whole repository into a folder, from there back, and to another place of the registry.
	b.run(t, "skopeo", "sync", "--src", "docker", "--dest", "dir", "--src-tls-verify=false", r, b.dir+"/tmp")
	b.run(t, "skopeo", "sync", "--src", "dir", "--dest", "docker", "--dest-tls-verify=false", b.dir+"/tmp/", r+"-back")
	b.run(t, "skopeo", "sync", "--all", "--src", "docker", "--dest", "docker", "--src-tls-verify=false", "--dest-tls-verify=false", r, r+"-synced")
	for _, other := range []string{"-back/testskopeo", "-synced/testskopeo"} {
		for _, v := range []string{":v1", ":v2"} {
			if got := b.run(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+r+strings.Replace(other, "testskopeo", repo(t)[len(reg.user)+1:], 1)+v); got != want {
				t.Errorf("%s%s is %s, want %s", other, v, got, want)
			}
		}
	}
	// Delete takes every tag of the image.
	b.run(t, "skopeo", "delete", "--tls-verify=false", "docker://"+r+":v2")
	for _, gone := range []string{":v1", ":v2", "@" + want} {
		b.fails(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+r+gone)
	}
	b.fails(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+r+"-never:v1")
	// Another repository that has the same bytes keeps them.
	b.run(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+r+"-mounted:v1", "dir:"+b.dir+"/kept")
}

// TestSkopeoIndex copies an index whole, with an attestation of BuildKit's
// kind in it, whose platform is unknown/unknown, and one platform out of it.
func TestSkopeoIndex(t *testing.T) {
	b := newBox(t, "skopeo", "podman", "runc", "conmon")
	b.login(t, "skopeo")
	r := repo(t)
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"arm64", "amd64"} {
		img := helloImage(t, arch)
		if arch != "amd64" {
			img = platformed(t, img, arch)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: attestation(t), Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": imageDigest(t, img).String()},
		}})
	}
	if err := remote.WriteIndex(ref(t, r+":v1"), idx, craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	from := "docker://" + reg.host + "/" + r
	b.run(t, "skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", from+":v1", from+"-copy/nested:v1")
	got, err := remote.Index(ref(t, r+"-copy/nested:v1"), craneOpts(t.Context())...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := got.IndexManifest() // skopeo 1.9 writes an index anew, so that its digest differs
	if err != nil || len(m.Manifests) != 4 {
		t.Errorf("copied: %+v, %v", m, err)
	}
	for _, d := range m.Manifests {
		img, err := got.Image(d.Digest)
		if err == nil && d.Platform.OS == "linux" {
			err = validate.Image(img)
		} else if err == nil {
			_, err = img.RawConfigFile() // an attestation is no valid image
		}
		if err != nil {
			t.Error(err)
		}
	}
	b.run(t, "skopeo", "copy", "--override-arch", "arm64", "--src-tls-verify=false", from+":v1", "oci:"+b.dir+"/arm:v1")
	if arch := b.run(t, "skopeo", "inspect", "--override-arch", "arm64", "--format", "{{.Architecture}}", "oci:"+b.dir+"/arm:v1"); arch != "arm64" {
		t.Errorf("the copy of one platform is for %s", arch)
	}
	image := reg.host + "/" + r + ":v1"
	b.run(t, "podman", "pull", "--tls-verify=false", image)
	if got := b.runImage(t, image); got != "hello from amd64" {
		t.Errorf("the image of this machine says %q", got)
	}
}

// TestBrokenLine pulls with podman, skopeo and buildah through a line that
// breaks in the middle of a layer, and pushes through one.
func TestBrokenLine(t *testing.T) {
	b := newBox(t, "podman", "skopeo", "buildah", "runc", "conmon")
	line := newCutter(t)
	b.loginAs(t, "podman", line.host, reg.user, reg.pass)
	img := helloImage(t, "broken line")
	layer, err := random.Layer(12<<20, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	r := repo(t)
	if err := remote.Write(ref(t, r+":v1"), img, craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	image := line.host + "/" + r + ":v1"
	cut := func(what string) {
		t.Helper()
		if n := line.cuts.Swap(0); n != 1 {
			t.Errorf("%s: the line broke %d times, want once", what, n)
		}
	}
	line.cutAfter(6 << 20)
	b.run(t, "podman", "pull", "--tls-verify=false", image)
	cut("podman pull")
	if got := b.runImage(t, image); got != "hello from broken line" {
		t.Errorf("the image says %q", got)
	}
	line.cutAfter(6 << 20)
	b.run(t, "skopeo", "copy", "--retry-times", "3", "--src-tls-verify=false", "docker://"+image, "dir:"+b.dir+"/copy")
	cut("skopeo copy")

	// Upwards, with layers that the registry does not have. These clients begin
	// a layer anew, by themselves after some errors of a line, else when the
	// user types the command again.
	again := func(program string, args ...string) {
		t.Helper()
		if _, _, err := b.try(t.Context(), "", program, args...); err != nil {
			b.run(t, program, args...)
		}
	}
	for _, program := range []string{"podman", "skopeo"} {
		if layer, err = random.Layer(12<<20, types.OCILayer); err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(b.dir, program)
		writeLayout(t, dir, img)
		from, to := "oci:"+dir, "docker://"+line.host+"/"+r+"-"+program+":v1"
		if program == "podman" {
			b.run(t, "skopeo", "copy", from, "containers-storage:localhost/broken:v1")
			line.cutUploadAfter(6 << 20)
			again("podman", "push", "--tls-verify=false", "localhost/broken:v1", to)
		} else {
			line.cutUploadAfter(6 << 20)
			again("skopeo", "copy", "--retry-times", "3", "--dest-tls-verify=false", from, to)
		}
		cut(program + ", up")
		got, err := remote.Image(ref(t, r+"-"+program+":v1"), craneOpts(t.Context())...)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(got); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	}
	b.run(t, "podman", "rmi", "--all", "--force")
	line.cutAfter(6 << 20)
	b.run(t, "buildah", "pull", "--tls-verify=false", line.host+"/"+r+"-skopeo:v1")
	cut("buildah pull")
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

// TestBuildahManifest builds for two platforms at once, pushes the list with
// all that it names, and pulls each.
func TestBuildahManifest(t *testing.T) {
	b := newBox(t, "buildah", "podman", "runc", "conmon")
	b.login(t, "buildah")
	list := reg.host + "/" + repo(t) + ":multi"
	b.run(t, "buildah", "bud", "--platform", "linux/amd64,linux/arm64", "--manifest", list, b.context(t, "multi"))
	b.run(t, "buildah", "manifest", "push", "--all", "--tls-verify=false", list, "docker://"+list)
	b.run(t, "buildah", "manifest", "rm", list)
	b.run(t, "buildah", "rmi", "--all", "--force")
	idx, err := remote.Index(ref(t, repo(t)+":multi"), craneOpts(t.Context())...)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := idx.IndexManifest(); err != nil || len(m.Manifests) != 2 {
		t.Errorf("list: %+v, %v", m, err)
	}
	b.run(t, "buildah", "pull", "--tls-verify=false", "--arch", "arm64", list)
	if arch := b.run(t, "buildah", "inspect", "--type", "image", "--format", "{{.OCIv1.Architecture}}", list); arch != "arm64" {
		t.Errorf("architecture %s", arch)
	}
	b.run(t, "buildah", "rmi", "--all", "--force")
	b.run(t, "podman", "pull", "--tls-verify=false", list)
	if got := b.runImage(t, list); got != "hello from multi" {
		t.Errorf("the image says %q", got)
	}
}

// writeLayout writes an image into a folder, as an OCI layout.
func writeLayout(t *testing.T, dir string, img v1.Image) {
	t.Helper()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img); err != nil {
		t.Fatal(err)
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
