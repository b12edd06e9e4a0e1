package registry_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// layout writes an OCI layout with one image and returns the image's digest.
func layout(t *testing.T, dir string) gantry.Digest {
	t.Helper()
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(b []byte) gantry.Digest {
		d := gantry.FromBytes(b)
		write("blobs/sha256/"+d.Hex(), b)
		return d
	}
	layer := bytes.Repeat([]byte("not really a tar "), 20_000)
	l := blob(layer)
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["` + string(l) + `"]},"config":{}}`)
	c := blob(config)
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		typeImage, c, len(config), l, len(layer))
	d := blob(m)
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write("index.json", fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, typeImage, d, len(m)))
	return d
}

// TestSkopeo pushes, inspects, lists, pulls and deletes with a client that
// others wrote.
func TestSkopeo(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed")
	}
	e := newEnv(t)
	e.auth.grants["issued"] = e.auth.grants["admin"]
	dir := t.TempDir()
	d := layout(t, filepath.Join(dir, "in"))
	skopeo := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "skopeo", append([]string{"--insecure-policy"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("skopeo %s: %v\n%s", args, err, stderr.Bytes())
		}
		return strings.TrimSpace(string(out))
	}
	ref := "docker://" + strings.TrimPrefix(e.url, "http://") + "/" + app
	skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds=u:p", "oci:"+filepath.Join(dir, "in"), ref+":v1")
	if r := e.auth.asked(); r.Authorization == "" || r.Scopes[0] != "repository:"+app+":pull,push" {
		t.Errorf("token request %+v", r)
	}
	if got := skopeo("inspect", "--tls-verify=false", "--creds=u:p", "--format={{.Digest}}", ref+":v1"); got != string(d) {
		t.Errorf("inspect: %s, want %s", got, d)
	}
	if got := skopeo("list-tags", "--tls-verify=false", "--creds=u:p", ref); !strings.Contains(got, `"v1"`) {
		t.Errorf("list-tags: %s", got)
	}
	skopeo("copy", "--preserve-digests", "--src-tls-verify=false", "--src-creds=u:p", ref+"@"+string(d), "oci:"+filepath.Join(dir, "out"))
	if _, err := os.Stat(filepath.Join(dir, "out", "blobs", "sha256", d.Hex())); err != nil {
		t.Errorf("pulled image: %v", err)
	}
	skopeo("copy", "--src-tls-verify=false", "--src-creds=u:p", "--dest-tls-verify=false", "--dest-creds=u:p", ref+":v1",
		"docker://"+strings.TrimPrefix(e.url, "http://")+"/"+public+":copied") // mounts
	skopeo("delete", "--tls-verify=false", "--creds=u:p", ref+":v1")
	e.do("reader", "GET", "/v2/"+app+"/manifests/v1", nil).is(404)
}
