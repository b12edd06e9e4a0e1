package main

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func runApplet(t *testing.T, name string, in []byte, args ...string) (out []byte, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code, ok := applet("/bin/"+name, args, bytes.NewReader(in), &stdout, &stderr)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	if code > 1 {
		t.Logf("%s %q: %s", name, args, stderr.String())
	}
	return stdout.Bytes(), code
}

func TestApplets(t *testing.T) {
	if _, ok := applet("/usr/local/bin/gantry", nil, nil, nil, nil); ok {
		t.Error("gantry is an applet")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("A: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := runApplet(t, "cat", []byte("input"), file, "-"); string(out) != "A: 1\ninput" || code != 0 {
		t.Errorf("cat: %q, %d", out, code)
	}
	if _, code := runApplet(t, "cat", nil, dir+"/none"); code != 2 {
		t.Errorf("cat of nothing ends with %d", code)
	}
	for _, c := range []struct {
		args []string
		code int
	}{{[]string{"-d", dir}, 0}, {[]string{"-d", file}, 1}, {[]string{"-f", file}, 0}, {[]string{"-e", dir + "/none"}, 1}, {[]string{"-x", file}, 2}, {[]string{file}, 2}} {
		if _, code := runApplet(t, "test", nil, c.args...); code != c.code {
			t.Errorf("test %q ends with %d; want %d", c.args, code, c.code)
		}
	}
}

// TestTarApplet has the real tar read what ours writes, and the other way round.
func TestTarApplet(t *testing.T) {
	theirs, err := exec.LookPath("tar")
	if err != nil {
		t.Fatal(err)
	}
	from := t.TempDir()
	for name, text := range map[string]string{"a": "one", "sub/b": strings.Repeat("two", 10_000)} {
		if err := os.MkdirAll(filepath.Join(from, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", from+"/link"); err != nil {
		t.Fatal(err)
	}
	same := func(what, dir string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "diff", "-r", from, dir).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	archive, code := runApplet(t, "tar", nil, "cf", "-", from)
	if code != 0 {
		t.Fatal("it packs nothing")
	}
	to := t.TempDir()
	cmd := exec.CommandContext(t.Context(), theirs, "xf", "-", "-C", to)
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	same("ours, read by tar", filepath.Join(to, from))
	archive, err = exec.CommandContext(t.Context(), theirs, "cf", "-", "-C", from, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-xmf", "-", "-C", ""}, {"--no-same-permissions", "--no-same-owner", "-xmf", "-", "-C", ""}} { // as kubectl cp calls it
		to := t.TempDir()
		args[len(args)-1] = to
		for range 2 { // files that are there are replaced
			if _, code := runApplet(t, "tar", archive, args...); code != 0 {
				t.Errorf("%q ends with %d", args, code)
			}
		}
		same("tar's, read by ours", to)
	}
	for _, args := range [][]string{{}, {"cf", "-"}, {"cf", "file", "."}, {"xf"}, {"zxf", "-"}, {"xf", "-", "path"}, {"--sparse", "-xf", "-"}} {
		if _, code := runApplet(t, "tar", nil, args...); code != 2 {
			t.Errorf("tar %q ends with %d", args, code)
		}
	}
}

// TestTarStaysInside: an archive writes nothing outside the folder.
func TestTarStaysInside(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"above":        {{Name: "../out", Typeflag: tar.TypeReg}},
		"by a link":    {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/out", Typeflag: tar.TypeReg}},
		"an old link":  {{Name: "there/out", Typeflag: tar.TypeReg}},
		"a whole path": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}, {Name: "l/tmp/out", Typeflag: tar.TypeReg}},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "dir")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("..", dir+"/there"); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := range headers {
			if err := w.WriteHeader(&headers[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, code := runApplet(t, "tar", b.Bytes(), "xf", "-", "-C", dir); code != 2 {
			t.Errorf("%s: it ends with %d", name, code)
		}
		if left, _ := filepath.Glob(outer + "/out"); len(left) > 0 {
			t.Errorf("%s: %v", name, left)
		}
	}
}

func FuzzTar(f *testing.F) {
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = unpack(bytes.NewReader(b), t.TempDir()) // no panic, and nothing outside
	})
}

func TestTranslate(t *testing.T) {
	conf := t.TempDir()
	if err := os.MkdirAll(conf+"/tls/stack", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ssl.cert", "ssl.key"} {
		if err := os.WriteFile(filepath.Join(conf, "tls/stack", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"":                                    "",
		"serve --data x":                      "serve --data x",
		"registry":                            "serve --listen 0.0.0.0:8080 --data /data --metrics 0.0.0.0:9091",
		"registry-nomigrate":                  "serve --listen 0.0.0.0:8080 --data /data --metrics 0.0.0.0:9091 --no-migrate",
		"QUAYCONF=tls registry":               "serve --listen 0.0.0.0:8443 --data /data --metrics 0.0.0.0:9091",
		"ENSURE_NO_MIGRATION=true repomirror": "worker --only mirror --data /data --metrics 0.0.0.0:9091 --no-migrate",
		"repomirror-nomigrate --v":            "worker --only mirror --data /data --metrics 0.0.0.0:9091 --no-migrate --v",
		"migrate head":                        "db migrate --data /data --database-wait 1m",
		"migrate":                             "db migrate --data /data --database-wait 1m",
		"migrate 0123":                        "error",
		"migrate head now":                    "error",
	} {
		var environ, args []string
		for _, w := range strings.Fields(line) {
			if name, value, ok := strings.Cut(w, "="); ok {
				if name == "QUAYCONF" {
					value = filepath.Join(conf, value)
				}
				environ = append(environ, name+"="+value)
			} else {
				args = append(args, w)
			}
		}
		got, err := translate(args, environ)
		if text := strings.Join(got, " "); (err != nil) != (want == "error") || err == nil && text != want {
			t.Errorf("%s: %s, %v; want %s", line, text, err, want)
		}
	}
}
