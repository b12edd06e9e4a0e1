package clients

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"path/filepath"
	"slices"
	"testing"

	helm "helm.sh/helm/v4/pkg/registry"
)

// chart is a packaged chart.
func chart(t *testing.T, name, version string) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for _, f := range []struct{ name, text string }{
		{"Chart.yaml", "apiVersion: v2\nname: " + name + "\nversion: " + version + "\ndescription: A chart\n"},
		{"values.yaml", "replicas: 1\n"},
		{"templates/configmap.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n"},
	} {
		if err := w.WriteHeader(&tar.Header{Name: name + "/" + f.name, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestHelm logs in, pushes two versions with a provenance file, lists and
// pulls them, and logs out.
func TestHelm(t *testing.T) {
	c, err := helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard),
		helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
	if err != nil {
		t.Fatal(err)
	}
	// Of an account of its own: a wrong password makes the next try of the same account wait.
	if err := c.Login(reg.host, helm.LoginOptBasicAuth("mallory", "wrong"), helm.LoginOptPlainText(true)); err == nil {
		t.Error("a login with a wrong password works")
	}
	if err := c.Login(reg.host, helm.LoginOptBasicAuth(reg.user, reg.pass), helm.LoginOptPlainText(true)); err != nil {
		t.Fatal(err)
	}
	r := reg.host + "/" + repo(t) + "/web" // a nested name
	for _, v := range []string{"1.0.0", "1.1.0+build.5"} {
		data := chart(t, "web", v)
		pushed, err := c.Push(data, r+":"+v, helm.PushOptProvData([]byte("signed")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Pull(r+":"+v, helm.PullOptWithChart(true), helm.PullOptWithProv(true))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Chart.Data, data) || got.Manifest.Digest != pushed.Manifest.Digest || string(got.Prov.Data) != "signed" || got.Chart.Meta.Version != v {
			t.Errorf("%s: pulled %+v", v, got.Chart.Meta)
		}
	}
	tags, err := c.Tags(r)
	if err != nil || !slices.Equal(tags, []string{"1.1.0+build.5", "1.0.0"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	if err := c.Logout(reg.host); err != nil {
		t.Error(err)
	}
	stranger, err := helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard),
		helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Pull(r + ":1.0.0"); err == nil {
		t.Error("a private chart is pulled without login")
	}
}
