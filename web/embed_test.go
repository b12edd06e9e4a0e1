package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// built is a site such as the build makes.
func built(t *testing.T) fs.FS {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write([]byte("plain")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"index.html": {Data: []byte("<!doctype html>page")}, "favicon.svg": {Data: []byte("<svg/>")},
		"assets/main-1.js.br": {Data: []byte("brotli")}, "assets/main-1.js.gz": {Data: z.Bytes()}}
}

func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestConsole(t *testing.T) {
	h := newConsole(built(t))
	for _, path := range []string{"/", "/repository/acme/app?tab=tags", "/organization/acme"} {
		w := ask(h, "GET", path, "Accept", "text/html")
		if w.Code != 200 || w.Body.String() != "<!doctype html>page" || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %q %v", path, w.Code, w.Body, w.Header())
		}
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
	}
	for accept, want := range map[string]string{"gzip, br": "brotli", "": "plain", "br;q=0": "plain", "identity": "plain"} {
		w := ask(h, "GET", "/assets/main-1.js", "Accept-Encoding", accept)
		if w.Body.String() != want || w.Header().Get("Cache-Control") != forever || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("Accept-Encoding %q: %q %v", accept, w.Body, w.Header())
		}
	}
	gz := ask(h, "GET", "/assets/main-1.js", "Accept-Encoding", "gzip")
	if gz.Header().Get("Content-Encoding") != "gzip" || gz.Body.Len() == 0 {
		t.Errorf("gzip: %v", gz.Header())
	}
	if w := ask(h, "GET", "/assets/main-1.js", "Accept-Encoding", "gzip", "If-None-Match", gz.Header().Get("ETag")); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("the same again: %d", w.Code)
	}
	if w := ask(h, "GET", "/assets/gone.js", "Accept", "text/html"); w.Code != 404 {
		t.Errorf("a script of another release: %d", w.Code)
	}
	if w := ask(h, "HEAD", "/", "Accept", "text/html"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

// TestUnbuilt: without a build there is a page that says how to make one.
func TestUnbuilt(t *testing.T) {
	w := ask(newConsole(fstest.MapFS{}), "GET", "/", "Accept", "text/html")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestEditorsPage: the registry does not serve the page of the configuration
// editor, whose server serves nothing else.
func TestEditorsPage(t *testing.T) {
	console, editor := ask(New(), "GET", "/", "Accept", "text/html"), ask(NewEditor(), "GET", "/", "Accept", "text/html")
	if w := ask(New(), "GET", "/editor.html", "Accept", "text/html"); w.Body.String() != console.Body.String() || w.Header().Get("Content-Security-Policy") != policy {
		t.Errorf("the registry's /editor.html: %d %v", w.Code, w.Header())
	}
	if w := ask(NewEditor(), "GET", "/index.html", "Accept", "text/html"); w.Body.String() != editor.Body.String() || w.Header().Get("Content-Security-Policy") != policy || editor.Body.String() == console.Body.String() {
		t.Errorf("the editor's /index.html: %d %v", w.Code, w.Header())
	}
}

func TestServes(t *testing.T) {
	for _, c := range []struct {
		method, path, accept string
		want                 bool
	}{
		{"GET", "/", "text/html,*/*", true}, {"GET", "/", "*/*", false}, {"GET", "/assets/x.js", "*/*", true}, {"GET", "/favicon.svg", "", true}, {"GET", "/early.js", "*/*", true},
		{"GET", "/no/such", "application/json", false}, {"POST", "/", "text/html", false}, {"HEAD", "/organization/acme", "text/html", true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
		r.Header.Set("Accept", c.accept)
		if got := Serves(r); got != c.want {
			t.Errorf("%s %s for %q: %v", c.method, c.path, c.accept, got)
		}
	}
}

// TestEditor: the page of the configuration editor is served for every page,
// with the same policy, and a text where it is not built.
func TestEditor(t *testing.T) {
	site := built(t).(fstest.MapFS)
	site["editor.html"] = &fstest.MapFile{Data: []byte("<!doctype html>editor")}
	h := newEditor(site)
	for _, path := range []string{"/", "/time-machine", "/editor.html", "/index.html"} {
		w := ask(h, "GET", path)
		if w.Code != 200 || w.Body.String() != "<!doctype html>editor" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %q %v", path, w.Code, w.Body, w.Header())
		}
	}
	if w := ask(h, "GET", "/assets/main-1.js"); w.Body.String() != "plain" {
		t.Errorf("a chunk: %d %q", w.Code, w.Body)
	}
	if w := ask(newEditor(fstest.MapFS{}), "GET", "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "/api/v1/config") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("not built: %d %q", w.Code, w.Body)
	}
}
