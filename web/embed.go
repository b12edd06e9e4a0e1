// Package web serves the web console: the React application of this folder,
// which `make build` builds into dist/site and the binary carries.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// dist holds what was built: unbuilt.html, which is always there, and the
// folder site, which is not where only Go was built. Its files are compressed:
// X.br and X.gz stand for X.
//
//go:embed all:dist
var dist embed.FS

// policy is the Content-Security-Policy of the console: everything comes from
// the registry itself, no script stands in a page, and nobody frames it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// forever is the Cache-Control of a file that has its hash in its name.
const forever = "public, max-age=31536000, immutable"

// New returns the handler of the console. It answers what Serves says.
func New() http.Handler {
	site, err := fs.Sub(dist, "dist/site")
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	c := newConsole(site)
	delete(c.files, "/editor.html") // another server's page, see NewEditor
	return c
}

// NewEditor returns the handler of the page of the configuration editor, which
// another server than the registry's serves.
func NewEditor() http.Handler {
	site, err := fs.Sub(dist, "dist/site")
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	return newEditor(site)
}

func newEditor(site fs.FS) *console {
	c := newConsole(site)
	delete(c.files, "/index.html")
	if c.index = c.files["/editor.html"]; c.index == nil {
		c.index = &file{kind: "text/plain; charset=utf-8", etag: "none",
			plain: []byte("This binary has no page of the configuration editor: it was built without the web console. The API is at /api/v1/config.\n")}
	}
	return c
}

type console struct {
	files map[string]*file // by path, as "/assets/main-1a2b3c.js"
	index *file            // every other page
}

// A file is one of the console's, in the encodings that there are. plain may
// be nil where gzip is not.
type file struct {
	kind, etag          string
	plain, gzip, brotli []byte
	forever             bool
}

func newConsole(site fs.FS) *console {
	c := &console{files: map[string]*file{}}
	// Nothing here fails but for a bug: the files are in the binary.
	err := fs.WalkDir(site, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(site, name)
		if err == nil {
			c.add("/"+name, body)
		}
		return err
	})
	c.index = c.files["/index.html"]
	if err != nil || c.index == nil { // there is no site
		body, err := dist.ReadFile("dist/unbuilt.html")
		if err != nil {
			panic(err)
		}
		c.add("/index.html", body)
		c.index = c.files["/index.html"]
	}
	return c
}

func (c *console) add(name string, body []byte) {
	suffix := path.Ext(name)
	if suffix == ".br" || suffix == ".gz" {
		name = strings.TrimSuffix(name, suffix)
	}
	f := c.files[name]
	if f == nil {
		f = &file{kind: kindOf(name), forever: strings.HasPrefix(name, "/assets/")}
		c.files[name] = f
	}
	switch suffix {
	case ".br":
		f.brotli = body
	case ".gz":
		f.gzip = body
	default:
		f.plain = body
	}
	sum := sha256.Sum256(body)
	f.etag = hex.EncodeToString(sum[:8])
}

// kindOf is the media type of a file, whatever the machine has in its tables.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// Serves reports whether the console answers a request that no other part of
// the registry does: a file below /assets/, its icon or first script, or a page that a browser
// asks for, which is every path. Programs, which do not ask for text/html, get
// no page for a path that they have got wrong.
func Serves(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	p := r.URL.Path
	return strings.HasPrefix(p, "/assets/") || p == "/favicon.svg" || p == "/early.js" || strings.Contains(r.Header.Get("Accept"), "text/html")
}

// ServeHTTP implements http.Handler.
func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	p := r.URL.Path
	f := c.files[p]
	switch {
	case strings.HasPrefix(p, "/assets/") && f == nil:
		// Of another release. A page in its place would be taken for a script.
		httpd.SetRoute(r.Context(), "web.unknown")
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	case f == nil:
		f = c.index
	}
	httpd.SetRoute(r.Context(), "web.console")
	if f == c.index {
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Add("Vary", "Accept")
	}
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	if f.forever {
		h.Set("Cache-Control", forever)
	}
	body, encoding := f.pick(r.Header.Get("Accept-Encoding"))
	tag := `"` + f.etag + encoding + `"`
	h.Set("ETag", tag)
	if f.gzip != nil || f.brotli != nil {
		h.Add("Vary", "Accept-Encoding")
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that left is not told
	}
}

// pick returns the smallest form of a file that a client takes, and its
// Content-Encoding.
func (f *file) pick(accepted string) (body []byte, encoding string) {
	if f.brotli != nil && httpd.Accepts(accepted, "br") {
		return f.brotli, "br"
	}
	if f.gzip != nil && httpd.Accepts(accepted, "gzip") {
		return f.gzip, "gzip"
	}
	if f.plain != nil {
		return f.plain, ""
	}
	z, err := gzip.NewReader(bytes.NewReader(f.gzip))
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(z, 16<<20)) // of our own making
	}
	if err != nil {
		return nil, ""
	}
	return body, ""
}
