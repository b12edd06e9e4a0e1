package clients

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"archive/tar"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func craneOpts(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuth(&authn.Basic{Username: reg.user, Password: reg.pass})}
}

func ref(t *testing.T, s string) name.Reference {
	t.Helper()
	return refAt(t, reg.host, s)
}

// refAt is ref for another address of the registry.
func refAt(t *testing.T, host, s string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(host+"/"+s, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// helloBinary is a static program, built once.
var helloBinary = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hello-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	out := filepath.Join(dir, "hello")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
})

// helloImage is an image that prints its name and ends.
func helloImage(t *testing.T, title string) v1.Image {
	t.Helper()
	bin, err := helloBinary()
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(bin))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bin); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	if img, err = mutate.AppendLayers(img, l); err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config.Entrypoint = []string{"/hello"}
	cfg.Config.Env = []string{"IMAGE=" + title}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// platformed is an image with another architecture in its configuration.
func platformed(t *testing.T, img v1.Image, arch string) v1.Image {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Architecture = arch
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// attestation is what BuildKit puts beside an image: an in-toto statement in a
// manifest whose configuration says nothing.
func attestation(t *testing.T) v1.Image {
	t.Helper()
	img, err := mutate.Append(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer([]byte(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v1"}`), "application/vnd.in-toto+json"),
		Annotations: map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func imageDigest(t *testing.T, i interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestCrane pushes, reads, lists, moves and deletes with
// go-containerregistry, the library of crane, ko and kaniko.
func TestCrane(t *testing.T) {
	r, opts := repo(t), craneOpts(t.Context())
	img, err := random.Image(100_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref(t, r+":v1"), img, opts...); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref(t, r+":v1"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	if imageDigest(t, got) != imageDigest(t, img) {
		t.Errorf("digest %v, want %v", imageDigest(t, got), imageDigest(t, img))
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rc); err != nil { // the reader checks size and digest
			t.Error(err)
		}
		_ = rc.Close() // read to its end
	}
	desc, err := remote.Head(ref(t, r+":v1"), opts...)
	if err != nil || desc.Digest != imageDigest(t, img) {
		t.Fatalf("head: %v, %v", desc, err)
	}
	if err := remote.Tag(ref(t, r+":v2").(name.Tag), got, opts...); err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(ref(t, r+":x").Context(), opts...)
	if err != nil || !slices.Equal(tags, []string{"v1", "v2"}) {
		t.Errorf("tags %v, %v", tags, err)
	}

	// The layers of another repository of ours are mounted, not sent: with a
	// token for both repositories. Only the configuration is new.
	spy := newSpy(t)
	layer, err := remote.Layer(refAt(t, spy.host, r+":v1").Context().Digest(imageDigest(t, layers[0]).String()), opts...)
	if err != nil {
		t.Fatal(err)
	}
	other, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(refAt(t, spy.host, r+"-mounted:v1"), other, opts...); err != nil {
		t.Errorf("mount: %v", err)
	}
	if spy.count(t, mounted) != 1 || spy.count(t, `^201 PUT \S*/blobs/`) != 1 {
		t.Errorf("an image with a layer of another repository:\n%v", spy)
	}

	if err := remote.Delete(ref(t, r+"@"+imageDigest(t, img).String()), opts...); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref(t, r+":v1"), opts...); err == nil {
		t.Error("a deleted image is still there")
	}
}

// TestCraneStream pushes a layer whose digest is not known at the start.
func TestCraneStream(t *testing.T) {
	r, opts := repo(t), craneOpts(t.Context())
	data := make([]byte, 3<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	layer := stream.NewLayer(io.NopCloser(bytes.NewReader(data)))
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref(t, r+":v1"), img, opts...); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref(t, r+":v1"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(rc)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d bytes, %v; want %d", len(back), err, len(data))
	}
	_ = rc.Close() // read to its end
}

// TestCraneIndex pushes an index within an index, with platforms that nobody
// knows.
func TestCraneIndex(t *testing.T) {
	r, opts := repo(t), craneOpts(t.Context())
	inner := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "pdp11"} {
		img, err := random.Image(1000, 1)
		if err != nil {
			t.Fatal(err)
		}
		img = mutate.MediaType(img, types.OCIManifestSchema1)
		inner = mutate.AppendManifests(inner, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	outer := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: inner})
	if err := remote.WriteIndex(ref(t, r+":multi"), outer, opts...); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(ref(t, r+":multi"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	if imageDigest(t, got) != imageDigest(t, outer) {
		t.Errorf("digest %v, want %v", imageDigest(t, got), imageDigest(t, outer))
	}
	nested, err := got.ImageIndex(imageDigest(t, inner))
	if err != nil {
		t.Fatal(err)
	}
	m, err := nested.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 2 || m.Manifests[1].Platform.Architecture != "pdp11" {
		t.Errorf("index: %+v", m)
	}
	if img, err := nested.Image(m.Manifests[1].Digest); err != nil {
		t.Error(err)
	} else if _, err := img.RawConfigFile(); err != nil {
		t.Error(err)
	}
}

// TestSignatures attaches signatures as cosign does: to a tag made of the
// digest, and as a referrer (OCI 1.1).
func TestSignatures(t *testing.T) {
	r, opts := repo(t), craneOpts(t.Context())
	img := helloImage(t, "signed")
	if err := remote.Write(ref(t, r+":v1"), img, opts...); err != nil {
		t.Fatal(err)
	}
	d := imageDigest(t, img)
	payload, err := json.Marshal(map[string]any{"critical": map[string]any{"image": map[string]string{"docker-manifest-digest": d.String()}}})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := mutate.Append(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer(payload, "application/vnd.dev.cosign.simplesigning.v1+json"),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": "MEUCIQ=="},
	})
	if err != nil {
		t.Fatal(err)
	}
	tag := r + ":" + d.Algorithm + "-" + d.Hex + ".sig"
	if err := remote.Write(ref(t, tag), sig, opts...); err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(ref(t, tag), opts...)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := back.Manifest(); err != nil || m.Layers[0].Annotations["dev.cosignproject.cosign/signature"] == "" {
		t.Errorf("signature by tag: %+v, %v", m, err)
	}

	desc, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	att := mutate.Subject(sig, *desc).(v1.Image)
	if err := remote.Write(ref(t, r+"@"+imageDigest(t, att).String()), att, opts...); err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Referrers(ref(t, r+"@"+d.String()).(name.Digest), opts...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 || m.Manifests[0].Digest != imageDigest(t, att) {
		t.Errorf("referrers: %+v", m.Manifests)
	}
	if reg.gantry { // and it is the registry that keeps the list, not a tag that the client wrote
		if tags, err := remote.List(ref(t, r+":x").Context(), opts...); err != nil || slices.Contains(tags, d.Algorithm+"-"+d.Hex) {
			t.Errorf("tags %v, %v", tags, err)
		}
	}
}
