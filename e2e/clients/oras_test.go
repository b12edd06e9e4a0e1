package clients

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

func orasRepo(t *testing.T, name string) *remote.Repository {
	t.Helper()
	r, err := remote.NewRepository(reg.host + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	r.PlainHTTP = true
	r.Client = &auth.Client{
		Client:     &http.Client{},
		Cache:      auth.NewCache(),
		Credential: auth.StaticCredential(reg.host, auth.Credential{Username: reg.user, Password: reg.pass}),
	}
	return r
}

// pack makes an artifact of one file in memory.
func pack(t *testing.T, m *memory.Store, artifactType string, data []byte, subject *ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	blob := content.NewDescriptorFromBytes("application/vnd.example.weights", data)
	if err := m.Push(t.Context(), blob, bytes.NewReader(data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		t.Fatal(err)
	}
	d, err := oras.PackManifest(t.Context(), m, oras.PackManifestVersion1_1, artifactType, oras.PackManifestOptions{
		Layers: []ocispec.Descriptor{blob}, Subject: subject,
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: "2026-01-01T00:00:00Z"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOras pushes an artifact of its own type, attaches an SBOM to it, finds
// it by type, copies both elsewhere, and deletes.
func TestOras(t *testing.T) {
	ctx, r, m := t.Context(), orasRepo(t, repo(t)), memory.New()
	data := bytes.Repeat([]byte("weights "), 100_000)
	model := pack(t, m, "application/vnd.example.model", data, nil)
	if err := m.Tag(ctx, model, "v1"); err != nil {
		t.Fatal(err)
	}
	if _, err := oras.Copy(ctx, m, "v1", r, "v1", oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	sboms := []ocispec.Descriptor{
		pack(t, m, "application/spdx+json", []byte(`{"spdx":1}`), &model),
		pack(t, m, "application/vnd.cyclonedx+json", []byte(`{"cdx":1}`), &model),
	}
	for _, d := range sboms {
		if err := oras.CopyGraph(ctx, m, r, d, oras.DefaultCopyGraphOptions); err != nil {
			t.Fatal(err)
		}
	}
	back := memory.New()
	d, err := oras.Copy(ctx, r, "v1", back, "v1", oras.DefaultCopyOptions)
	if err != nil || d.Digest != model.Digest {
		t.Fatalf("pulled %v, %v", d, err)
	}

	var all []digest.Digest
	if err := r.Referrers(ctx, model, "", func(found []ocispec.Descriptor) error {
		for _, f := range found {
			all = append(all, f.Digest)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || !slices.Contains(all, sboms[0].Digest) || !slices.Contains(all, sboms[1].Digest) {
		t.Errorf("referrers: %v", all)
	}
	var spdx []ocispec.Descriptor
	if err := r.Referrers(ctx, model, "application/spdx+json", func(found []ocispec.Descriptor) error {
		spdx = append(spdx, found...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(spdx) != 1 || spdx[0].Digest != sboms[0].Digest || spdx[0].ArtifactType != "application/spdx+json" {
		t.Errorf("SPDX referrers: %+v", spdx)
	}

	other := orasRepo(t, repo(t)+"-copy")
	if _, err := oras.ExtendedCopy(ctx, r, "v1", other, "v1", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatal(err)
	}
	if ok, err := other.Exists(ctx, sboms[1]); err != nil || !ok {
		t.Errorf("the copy has no SBOM: %v", err)
	}

	if err := r.Manifests().Delete(ctx, sboms[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(ctx, sboms[0].Digest.String()); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("a deleted artifact: %v", err)
	}
	if _, err := r.Resolve(ctx, "never"); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("a tag that is not there: %v", err)
	}
}

// TestOrasRange reads parts of a blob, and mounts it elsewhere.
func TestOrasRange(t *testing.T) {
	ctx, r := t.Context(), orasRepo(t, repo(t))
	data := bytes.Repeat([]byte("0123456789"), 50_000)
	d := content.NewDescriptorFromBytes("application/octet-stream", data)
	if err := r.Blobs().Push(ctx, d, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	rc, err := r.Blobs().Fetch(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rc.Close() }() // read only
	seeker, ok := rc.(io.ReadSeeker)
	if !ok {
		t.Fatal("the registry does not say that it can send ranges")
	}
	if _, err := seeker.Seek(-7, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if end, err := io.ReadAll(seeker); err != nil || string(end) != "3456789" {
		t.Errorf("the last 7 bytes: %q, %v", end, err)
	}
	other := orasRepo(t, repo(t)+"-other")
	if err := other.Mount(ctx, d, repo(t), func() (io.ReadCloser, error) {
		return nil, errors.New("the registry did not mount")
	}); err != nil {
		t.Error(err)
	}
	if ok, err := other.Blobs().Exists(ctx, d); err != nil || !ok {
		t.Errorf("the mounted blob: %v, %v", ok, err)
	}
}

// TestOrasPages lists more tags than one page has.
func TestOrasPages(t *testing.T) {
	onlyGantry(t, "docker-registry 2.8 has no pages of tags")
	ctx, r, m := t.Context(), orasRepo(t, repo(t)), memory.New()
	d := pack(t, m, "application/vnd.example.model", []byte("x"), nil)
	if err := oras.CopyGraph(ctx, m, r, d, oras.DefaultCopyGraphOptions); err != nil {
		t.Fatal(err)
	}
	var want []string
	for c := 'a'; c <= 'k'; c++ {
		want = append(want, "v"+string(c))
	}
	if _, err := oras.TagN(ctx, r, d.Digest.String(), want, oras.DefaultTagNOptions); err != nil {
		t.Fatal(err)
	}
	r.TagListPageSize = 4
	var got []string
	pages := 0
	if err := r.Tags(ctx, "", func(tags []string) error {
		pages++
		got = append(got, tags...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) || pages < 3 {
		t.Errorf("%d pages: %v", pages, got)
	}
	got = nil
	if err := r.Tags(ctx, "vh", func(tags []string) error {
		got = append(got, tags...)
		return nil
	}); err != nil || !slices.Equal(got, want[8:]) {
		t.Errorf("after vh: %v, %v", got, err)
	}
}
