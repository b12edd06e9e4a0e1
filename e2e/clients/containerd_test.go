package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
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
