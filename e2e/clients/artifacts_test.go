package clients

import (
	"archive/tar"
	"bytes"
	_ "crypto/sha512" // for digest.SHA512
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
)

// TestArtifacts pushes what is no image: with the media types that its tools
// give it, and bytes that come back as they were.
func TestArtifacts(t *testing.T) {
	for name, a := range map[string]struct {
		config, layer types.MediaType
		data          string
	}{
		"wasm":            {"application/vnd.wasm.config.v0+json", "application/wasm", "\x00asm\x01\x00\x00\x00"},
		"spdx":            {"application/vnd.oci.empty.v1+json", "application/spdx+json", `{"spdxVersion":"SPDX-2.3"}`},
		"cyclonedx":       {"application/vnd.oci.empty.v1+json", "application/vnd.cyclonedx+json", `{"bomFormat":"CycloneDX"}`},
		"sigstore bundle": {"application/vnd.oci.empty.v1+json", "application/vnd.dev.sigstore.bundle.v0.3+json", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`},
		"dsse":            {types.OCIConfigJSON, "application/vnd.dsse.envelope.v1+json", `{"payloadType":"application/vnd.in-toto+json"}`},
		"opa":             {"application/vnd.cncf.openpolicyagent.config.v1+json", "application/vnd.cncf.openpolicyagent.policy.layer.v1+rego", "package main\n"},
		"model":           {"application/vnd.ollama.model", "application/vnd.ollama.image.model", "GGUF"},
		"empty":           {"application/vnd.example.config", "application/vnd.example.nothing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := mutate.Append(mutate.MediaType(mutate.ConfigMediaType(empty.Image, a.config), types.OCIManifestSchema1),
				mutate.Addendum{Layer: static.NewLayer([]byte(a.data), a.layer), Annotations: map[string]string{"org.opencontainers.image.title": name}})
			if err != nil {
				t.Fatal(err)
			}
			r := ref(t, repo(t)+":v1")
			if err := remote.Write(r, img, craneOpts(t.Context())...); err != nil {
				t.Fatal(err)
			}
			got, err := remote.Image(r, craneOpts(t.Context())...)
			if err != nil {
				t.Fatal(err)
			}
			sent, err := img.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			if back, err := got.RawManifest(); err != nil || !bytes.Equal(back, sent) {
				t.Errorf("%s, %v; want %s", back, err, sent)
			}
			layers, err := got.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers, %v", len(layers), err)
			}
			rc, err := layers[0].Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(rc); err != nil || string(b) != a.data {
				t.Errorf("%q, %v; want %q", b, err, a.data)
			}
			_ = rc.Close() // read to its end
		})
	}
}

// tarOf is a layer of files of which each has the same text.
func tarOf(t *testing.T, text string, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rangesOf reads a blob of the registry by ranges, as lazy pullers do.
type rangesOf struct {
	d    *dockerd
	blob string // path
	n    int    // bytes that were read
}

func (r *rangesOf) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	a := r.d.do(http.StatusPartialContent, http.MethodGet, r.blob, http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)}}, nil)
	n := copy(p, a.body)
	r.n += n
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// TestLazy pushes an eStargz layer and reads one file of it in place, as the
// stargz snapshotter does: table of contents, its digest, and the file's part.
func TestLazy(t *testing.T) {
	r := repo(t)
	text := strings.Repeat("a file that is large enough to be worth the while\n", 20_000)
	layer := tarOf(t, text, "one", "two", "three")
	blob, err := estargz.Build(io.NewSectionReader(bytes.NewReader(layer), 0, int64(len(layer))), estargz.WithCompressionLevel(0))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := io.ReadAll(blob)
	if err := errors.Join(err, blob.Close()); err != nil {
		t.Fatal(err)
	}
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull,push")
	d.upload(r, packed)
	remoteBlob := &rangesOf{d: d, blob: "/v2/" + r + "/blobs/" + sum(packed)}
	toc, err := estargz.Open(io.NewSectionReader(remoteBlob, 0, int64(len(packed))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := toc.VerifyTOC(blob.TOCDigest()); err != nil {
		t.Error(err)
	}
	f, err := toc.OpenFile("two")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, f.Size())
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(text))
	}
	if remoteBlob.n > len(packed)*2/3 {
		t.Errorf("%d of %d bytes were read for one of three files", remoteBlob.n, len(packed))
	}
}

// TestLayerKinds pushes an image with a zstd layer, an empty one, and one that
// lies elsewhere and is never sent.
func TestLayerKinds(t *testing.T) {
	r := repo(t)
	data := tarOf(t, "zstd", "file")
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	zstd, err := tarball.LayerFromOpener(open, tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		t.Fatal(err)
	}
	none, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tarOf(t, ""))), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	foreign := static.NewLayer([]byte("Windows"), types.OCIRestrictedLayer)
	img, err := mutate.Append(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1),
		mutate.Addendum{Layer: zstd}, mutate.Addendum{Layer: none},
		mutate.Addendum{Layer: foreign, URLs: []string{"https://example.com/layer"}, MediaType: types.OCIRestrictedLayer})
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref(t, r+":v1"), img, craneOpts(t.Context())...); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref(t, r+":v1"), craneOpts(t.Context())...)
	if err != nil {
		t.Fatal(err)
	}
	if imageDigest(t, got) != imageDigest(t, img) {
		t.Errorf("digest %v, want %v", imageDigest(t, got), imageDigest(t, img))
	}
	layers, err := got.Layers()
	if err != nil || len(layers) != 3 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	rc, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, data) {
		t.Errorf("zstd: %d bytes, %v; want %d", len(b), err, len(data))
	}
	_ = rc.Close() // read to its end
	h, err := foreign.Digest()
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull")
	d.do(http.StatusNotFound, http.MethodHead, "/v2/"+r+"/blobs/"+h.String(), nil, nil)
}

// TestSHA512 pushes an artifact whose digests are all sha512, with the one
// client library that can, and pulls it with another.
func TestSHA512(t *testing.T) {
	onlyGantry(t, "docker-registry 2.8 checks sha256 alone")
	ctx, r := t.Context(), orasRepo(t, repo(t))
	describe := func(media string, b []byte) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: media, Digest: digest.SHA512.FromBytes(b), Size: int64(len(b))}
	}
	data, config := bytes.Repeat([]byte("sha512 "), 100_000), []byte("{}")
	dd, cd := describe("application/vnd.example.data", data), describe(ocispec.MediaTypeEmptyJSON, config)
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest, cd.MediaType, cd.Digest, cd.Size, dd.MediaType, dd.Digest, dd.Size)
	md := describe(ocispec.MediaTypeImageManifest, m)
	from := memory.New()
	for _, o := range []struct {
		d ocispec.Descriptor
		b []byte
	}{{dd, data}, {cd, config}, {md, m}} {
		if err := from.Push(ctx, o.d, bytes.NewReader(o.b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := oras.CopyGraph(ctx, from, r, md, oras.DefaultCopyGraphOptions); err != nil {
		t.Fatal(err)
	}
	back := memory.New()
	if err := oras.CopyGraph(ctx, r, back, md, oras.DefaultCopyGraphOptions); err != nil {
		t.Fatal(err)
	}
	if got, err := content.FetchAll(ctx, back, dd); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(data))
	}
	if got := pullContainerd(t, resolver(reg.user, reg.pass), reg.host+"/"+repo(t)+"@"+md.Digest.String()); got.Digest != md.Digest {
		t.Errorf("containerd: %v, want %v", got.Digest, md.Digest)
	}
}

// TestSameLayers pushes one image from many clients at a time, into one
// repository and into others.
func TestSameLayers(t *testing.T) {
	b := newBox(t, "skopeo")
	b.login(t, "skopeo")
	r := repo(t)
	img, err := random.Image(3<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.dir, "layout")
	writeLayout(t, dir, img)
	var (
		wg      sync.WaitGroup
		targets []string
	)
	for i := range 4 {
		one, two := fmt.Sprintf("%s:v%d", r, i), fmt.Sprintf("%s-%d:v1", r, i/2)
		targets = append(targets, one, two)
		wg.Go(func() {
			if err := remote.Write(ref(t, one), img, craneOpts(t.Context())...); err != nil {
				t.Errorf("%s: %v", one, err)
			}
		})
		wg.Go(func() {
			if _, errs, err := b.try(t.Context(), "", "skopeo", "copy", "--dest-tls-verify=false", "oci:"+dir, "docker://"+reg.host+"/"+two); err != nil {
				t.Errorf("%s: %v\n%s", two, err, errs)
			}
		})
	}
	wg.Wait()
	for _, target := range targets {
		got, err := remote.Image(ref(t, target), craneOpts(t.Context())...)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if err := validate.Image(got); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}
