package clients

import (
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

func imageSystem(t *testing.T, host string) *types.SystemContext {
	t.Helper()
	return &types.SystemContext{
		DockerInsecureSkipTLSVerify:       types.OptionalBoolTrue,
		DockerAuthConfig:                  &types.DockerAuthConfig{Username: reg.user, Password: reg.pass},
		BlobInfoCacheDir:                  t.TempDir(),
		SystemRegistriesConfPath:          "/dev/null",
		SystemRegistriesConfDirPath:       t.TempDir(),
		RegistriesDirPath:                 t.TempDir(),
		DockerRegistryUserAgent:           "gantry-clients " + host,
		BigFilesTemporaryDir:              t.TempDir(),
		OCISharedBlobDirPath:              "",
		DockerDisableDestSchema1MIMETypes: true,
	}
}

func anyPolicy(t *testing.T) *signature.PolicyContext {
	t.Helper()
	p, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Destroy() }) // nothing is held
	return p
}

func dockerRef(t *testing.T, host, r string) types.ImageReference {
	t.Helper()
	ref, err := docker.ParseReference("//" + host + "/" + r)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestContainersImage copies with the library of podman, buildah, skopeo and
// CRI-O, in its newest version: into a layout, back with zstd, and through a
// line that breaks in the middle of a layer.
func TestContainersImage(t *testing.T) {
	ctx, r := t.Context(), repo(t)
	img, err := random.Image(5<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref(t, r+":v1"), img, craneOpts(ctx)...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	local, err := layout.ParseReference(dir + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	line := newCutter(t)
	line.cutAfter(3 << 20)
	sys := imageSystem(t, line.host)
	if _, err := copy.Image(ctx, anyPolicy(t), local, dockerRef(t, line.host, r+":v1"), &copy.Options{SourceCtx: sys, DestinationCtx: sys, ReportWriter: io.Discard, MaxParallelDownloads: 1}); err != nil {
		t.Fatalf("a pull through a broken line: %v", err)
	}
	if line.cuts.Load() != 1 {
		t.Errorf("the line broke %d times, want once", line.cuts.Load())
	}
	sys = imageSystem(t, reg.host)
	if _, err := copy.Image(ctx, anyPolicy(t), dockerRef(t, reg.host, r+":v2"), local, &copy.Options{SourceCtx: sys, DestinationCtx: sys, ForceManifestMIMEType: manifest.DockerV2Schema2MediaType}); err != nil {
		t.Fatal(err)
	}
	if got := manifestType(t, r+":v2"); got != manifest.DockerV2Schema2MediaType {
		t.Errorf("media type %s", got)
	}
	tags, err := docker.GetRepositoryTags(ctx, sys, dockerRef(t, reg.host, r))
	if err != nil || len(tags) != 2 {
		t.Errorf("tags %v, %v", tags, err)
	}
	if err := dockerRef(t, reg.host, r+":v2").DeleteImage(ctx, sys); err != nil {
		t.Error(err)
	}
	if _, err := remote.Head(ref(t, r+":v2"), craneOpts(ctx)...); err == nil {
		t.Error("a deleted image is still there")
	}
}
