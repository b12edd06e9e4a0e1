package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// resolver is containerd's, with the way of Kubernetes' pull secrets.
func resolver(user, pass string) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(
			docker.WithPlainHTTP(docker.MatchAllHosts),
			docker.WithClient(&http.Client{Transport: docker.DefaultHTTPTransport(nil)}),
			docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(func(string) (string, string, error) { return user, pass, nil }))),
		),
	})
}

func containerdFetch(t *testing.T, f remotes.Fetcher, d ocispec.Descriptor) []byte {
	t.Helper()
	rc, err := f.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(rc)
	if err := errors.Join(err, rc.Close()); err != nil {
		t.Fatal(err)
	}
	if digest.FromBytes(b) != d.Digest {
		t.Fatalf("%s: %d bytes with digest %s", d.Digest, len(b), digest.FromBytes(b))
	}
	return b
}

// pullContainerd pulls an image with all that it names into a content store,
// as containerd does, layers in parts of 1 MiB at once.
func pullContainerd(t *testing.T, res remotes.Resolver, image string) ocispec.Descriptor {
	t.Helper()
	ctx := t.Context()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name, desc, err := res.Resolve(ctx, image)
	if err != nil {
		t.Fatal(err)
	}
	f, err := res.Fetcher(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := images.Dispatch(ctx, images.Handlers(remotes.FetchHandler(store, f), images.ChildrenHandler(store)), nil, desc); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := store.Walk(ctx, func(i content.Info) error { // the store has compared each with its digest
		n++
		return nil
	}); err != nil || n < 3 {
		t.Fatalf("%d objects, %v", n, err)
	}
	return desc
}

// TestContainerd pulls as Kubernetes' containerd does, also through a line
// that breaks in the middle of a layer, and pushes.
func TestContainerd(t *testing.T) {
	ctx, r := t.Context(), repo(t)
	img, err := random.Image(2<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref(t, r+":v1"), img, craneOpts(ctx)...); err != nil {
		t.Fatal(err)
	}
	line := newCutter(t)
	line.fin = true // containerd takes up a body that ends early, not one that was reset
	res := resolver(reg.user, reg.pass)
	name, desc, err := res.Resolve(ctx, line.host+"/"+r+":v1")
	if err != nil || desc.Digest.String() != imageDigest(t, img).String() {
		t.Fatalf("resolve: %s %v, %v", name, desc, err)
	}
	f, err := res.Fetcher(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(containerdFetch(t, f, desc), &m); err != nil {
		t.Fatal(err)
	}
	containerdFetch(t, f, m.Config)
	line.cutAfter(1 << 20)
	for _, l := range m.Layers {
		containerdFetch(t, f, l)
	}
	if line.cuts.Load() != 1 {
		t.Errorf("the line broke %d times, want once", line.cuts.Load())
	}

	if _, _, err := resolver("", "").Resolve(ctx, reg.host+"/"+r+":v1"); err == nil {
		t.Error("a private image is resolved without credentials")
	}
	if _, _, err := resolver(reg.user, reg.pass).Resolve(ctx, reg.host+"/"+r+":never"); !errdefs.IsNotFound(err) {
		t.Errorf("a tag that is not there: %v", err)
	}

	// A whole pull, layers in parts that are asked for at once.
	spy := newSpy(t)
	res = resolver(reg.user, reg.pass)
	if tr, ok := res.(remotes.ResolverWithOptions); ok {
		tr.SetOptions(transfer.WithConcurrentLayerFetchBuffer(1<<20), transfer.WithMaxConcurrentDownloads(3))
	} else {
		t.Error("containerd's resolver takes no options")
	}
	if got := pullContainerd(t, res, spy.host+"/"+r+":v1"); got.Digest != desc.Digest {
		t.Errorf("a whole pull: %v, want %v", got.Digest, desc.Digest)
	}
	if spy.count(t, `^206 GET \S*/blobs/`) < 2 {
		t.Errorf("layers in parts:\n%v", spy)
	}

	res = resolver(reg.user, reg.pass)
	p, err := res.Pusher(ctx, reg.host+"/"+r+"-pushed:v1")
	if err != nil {
		t.Fatal(err)
	}
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	push := func(mediaType string, b []byte) ocispec.Descriptor {
		t.Helper()
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		w, err := p.Push(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Commit(ctx, d.Size, d.Digest), w.Close()); err != nil {
			t.Fatal(err)
		}
		return d
	}
	cd := push(ocispec.MediaTypeImageConfig, config)
	m = ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: cd, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	md := push(ocispec.MediaTypeImageManifest, text)
	if _, got, err := resolver(reg.user, reg.pass).Resolve(ctx, reg.host+"/"+r+"-pushed:v1"); err != nil || got.Digest != md.Digest || !images.IsManifestType(got.MediaType) {
		t.Errorf("pushed: %v, %v", got, err)
	}
}

// TestContainerdMount pushes as BuildKit and nerdctl do: a layer whose origin
// is known is mounted from there, with a token for both repositories.
func TestContainerdMount(t *testing.T) {
	ctx, r := t.Context(), repo(t)
	layer := []byte("a layer of " + r)
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull,push")
	d.upload(r, layer)
	spy := newSpy(t)
	p, err := resolver(reg.user, reg.pass).Pusher(ctx, spy.host+"/"+r+"-mounted:v1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Push(ctx, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: int64(len(layer)),
		Annotations: map[string]string{"containerd.io/distribution.source.127.0.0.1": r}})
	if !errdefs.IsAlreadyExists(err) || spy.count(t, mounted) != 1 {
		t.Errorf("mount: %v\n%v", err, spy)
	}
}

// TestCtr pulls, runs and pushes with the daemon of Debian's containerd.
func TestCtr(t *testing.T) {
	b := newBox(t, "containerd", "ctr", "runc")
	image := reg.host + "/" + repo(t) + ":v1"
	if err := remote.Write(ref(t, repo(t)+":v1"), helloImage(t, "containerd"), craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	sock := b.dir + "/sock"
	if len(sock) > 100 {
		t.Fatalf("%s is too long for a socket", sock)
	}
	write(t, b.dir+"/config.toml", fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\"]\n[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n",
		b.dir+"/root", b.dir+"/run", sock, sock+".ttrpc"))
	var log bytes.Buffer
	daemon := exec.CommandContext(context.WithoutCancel(t.Context()), "containerd", "--config", b.dir+"/config.toml")
	daemon.Env, daemon.Stdout, daemon.Stderr = b.env, &log, &log
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM) // Wait says what became of it
		if err := daemon.Wait(); err != nil || t.Failed() {
			t.Errorf("containerd: %v\n%s", err, log.String())
		}
	})
	ctr := func(args ...string) []string { return append([]string{"--address", sock}, args...) }
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(50 * time.Millisecond) {
		_, errs, err := b.try(t.Context(), "", "ctr", ctr("version")...)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("containerd does not answer: %s", errs)
		}
	}
	creds := reg.user + ":" + reg.pass
	if errs := b.fails(t, "ctr", ctr("images", "pull", "--plain-http", "--snapshotter", "native", image)...); !strings.Contains(errs, "401 Unauthorized") {
		t.Errorf("a pull without login says: %s", errs)
	}
	if errs := b.fails(t, "ctr", ctr("images", "pull", "--plain-http", "--snapshotter", "native", "--user", creds, image+"-never")...); !strings.Contains(errs, "not found") {
		t.Errorf("a pull of a tag that is not there says: %s", errs)
	}
	b.run(t, "ctr", ctr("images", "pull", "--plain-http", "--snapshotter", "native", "--user", creds, image)...)
	if got := b.run(t, "ctr", ctr("run", "--rm", "--snapshotter", "native", image, "hello")...); got != "hello from containerd" {
		t.Errorf("the image says %q", got)
	}
	b.run(t, "ctr", ctr("images", "tag", image, image+"-pushed")...)
	b.run(t, "ctr", ctr("images", "push", "--plain-http", "--user", creds, image+"-pushed")...)
	if media := manifestType(t, repo(t)+":v1-pushed"); media != ocispec.MediaTypeImageManifest {
		t.Errorf("media type %s", media)
	}
}
