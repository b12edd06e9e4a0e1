package registry_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// discard is a ResponseWriter that keeps its header.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// TestAllocations holds the budget of the hot paths: 40 allocations with
// net/http. This package, the middleware and the fakes behind them make 7 of
// them, for HEAD of a blob 11 and for GET 12; a few are to spare.
func TestAllocations(t *testing.T) {
	e := newEnv(t)
	_, d := e.pushImage(app, "v1")
	b := e.pushBlob(app, []byte("blob"))
	e.mem.pulls = make([]string, 0, 1<<20)
	h := httpd.Middleware(httpd.MiddlewareOptions{Metrics: e.metrics, Logger: slog.New(slog.DiscardHandler)}, e.reg)
	for _, tt := range []struct {
		method, path string
		most         float64
	}{
		{"HEAD", "/v2/" + app + "/manifests/" + string(d), 11},
		{"HEAD", "/v2/" + app + "/manifests/v1", 11},
		{"HEAD", "/v2/" + app + "/blobs/" + string(b), 15},
		{"GET", "/v2/" + app + "/manifests/" + string(d), 16},
	} {
		r := httptest.NewRequestWithContext(context.Background(), tt.method, tt.path, nil)
		r.Header.Set("Authorization", "Bearer reader")
		r.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
		w := &discard{http.Header{}}
		n := testing.AllocsPerRun(200, func() {
			clear(w.h)
			h.ServeHTTP(w, r)
		})
		t.Logf("%s %s: %.0f allocations", tt.method, tt.path[:24], n)
		if n > tt.most {
			t.Errorf("%s %s: %.0f allocations, want at most %.0f", tt.method, tt.path, n, tt.most)
		}
	}
}

// BenchmarkManifest measures requests over one connection, with net/http and
// the middleware; the client costs next to nothing.
func BenchmarkManifest(b *testing.B) {
	for _, method := range []string{"HEAD", "GET"} {
		b.Run(method, func(b *testing.B) {
			e := newEnv(b)
			_, d := e.pushImage(app, "v1")
			e.mem.pulls = make([]string, 0, 1<<20)
			var dialer net.Dialer
			conn, err := dialer.DialContext(b.Context(), "tcp", strings.TrimPrefix(e.url, "http://"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			req := []byte(method + " /v2/" + app + "/manifests/" + string(d) + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer reader\r\n\r\n")
			br := bufio.NewReader(conn)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(req); err != nil {
					b.Fatal(err)
				}
				length := 0
				for {
					line, err := br.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
					if s := string(line); strings.HasPrefix(s, "Content-Length: ") {
						for _, c := range strings.TrimSpace(s[16:]) {
							length = length*10 + int(c-'0')
						}
					}
				}
				if method == "GET" {
					if _, err := io.CopyN(io.Discard, br, int64(length)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
