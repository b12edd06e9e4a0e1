package registry_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestBudgets holds the SQL statements of whole requests (docs/design,
// "Budgets"), on each database. The log of pulls is off: its rows share a
// commit, at a moment of its own. The clock stands still, so that what is kept
// for a second is kept.
func TestBudgets(t *testing.T) {
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			now := time.Now()
			e := realWith(dialect, store.Options{Now: func() time.Time { return now }})(t)
			e.content.(*real).Configure(content.Settings{NoPullLog: true})
			count := func(most uint64, who, method, path string, body any, headers ...string) *answer {
				t.Helper()
				before := e.db.Statements()
				a := e.do(who, method, path, body, headers...)
				if a.status >= 400 {
					t.Fatalf("%s: status %d: %s", a.what, a.status, a.body)
				}
				if n := e.db.Statements() - before; n > most {
					t.Errorf("%s: %d statements, at most %d", a.what, n, most)
				}
				return a
			}
			base := "/v2/" + app
			b := []byte("a blob")
			d := gantry.FromBytes(b)
			e.do("writer", "GET", base+"/tags/list", nil).is(200) // knows the repository
			count(7, "writer", "POST", base+"/blobs/uploads/?digest="+string(d), b)
			count(1, "reader", "HEAD", base+"/blobs/"+string(d), nil)
			count(0, "reader", "HEAD", base+"/blobs/"+string(d), nil)
			count(0, "reader", "GET", base+"/blobs/"+string(d), nil)
			count(1, "writer", "HEAD", base+"/blobs/"+string(d), nil) // renews
			image := func(layers int) string {
				var list []string
				for i := range layers {
					l := []byte("layer " + strconv.Itoa(i))
					e.do("writer", "POST", base+"/blobs/uploads/?digest="+string(gantry.FromBytes(l)), l).is(201)
					list = append(list, fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":%d}`, gantry.FromBytes(l), len(l)))
				}
				return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/x","digest":%q,"size":6},"layers":[%s]}`, typeImage, d, strings.Join(list, ","))
			}
			small, large := image(1), image(40)
			count(12, "writer", "PUT", base+"/manifests/small", small, "Content-Type: "+typeImage)
			count(12, "writer", "PUT", base+"/manifests/large", large, "Content-Type: "+typeImage) // independent of the layers
			count(6, "writer", "PUT", base+"/manifests/again", small, "Content-Type: "+typeImage)
			m := gantry.FromBytes([]byte(small))
			e.do("reader", "HEAD", base+"/tags/list", nil).is(200)
			count(1, "reader", "HEAD", base+"/manifests/small", nil)
			count(1, "reader", "HEAD", base+"/manifests/"+string(m), nil)
			count(0, "reader", "HEAD", base+"/manifests/"+string(m), nil)
			if e.db.Exclusive() {
				count(0, "reader", "HEAD", base+"/manifests/small", nil)
			}
			count(0, "reader", "GET", base+"/manifests/"+string(m), nil)
			count(1, "reader", "GET", base+"/tags/list?n=1&last=large", nil)
			count(1, "super", "GET", "/v2/_catalog?n=2", nil)
			none := base + "/referrers/" + string(gantry.FromBytes([]byte("x")))
			count(3, "reader", "GET", none, nil) // rows, and the fallback tag, live or once
			count(0, "reader", "GET", none, nil)
			for i := range 50 {
				body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"a/b","annotations":{"i":"%d"},"config":{"mediaType":"application/x","digest":%q,"size":6},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":1}}`, typeImage, i, d, typeImage, m)
				e.do("writer", "PUT", base+"/manifests/"+string(gantry.FromBytes([]byte(body))), body, "Content-Type: "+typeImage).is(201)
			}
			if a := count(7, "reader", "GET", base+"/referrers/"+string(m), nil); strings.Count(string(a.body), `"digest"`) != 50 {
				t.Errorf("referrers %.300s", a.body)
			}
		})
	}
}

// readFrom is a ResponseWriter that says what was given to ReadFrom.
type readFrom struct {
	httptest.ResponseRecorder
	files, others, copied int64
}

func (w *readFrom) Write(p []byte) (int, error) {
	w.copied += int64(len(p))
	return w.ResponseRecorder.Write(p)
}

// ReadFrom is what net/http's own writer has: a file behind at most a limit
// goes out by sendfile.
func (w *readFrom) ReadFrom(r io.Reader) (int64, error) {
	inner := r
	if l, ok := inner.(*io.LimitedReader); ok {
		inner = l.R
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(r)
	if _, ok := inner.(*os.File); ok {
		w.files += n
	} else {
		w.others += n
	}
	_, _ = w.ResponseRecorder.Write(b.Bytes())
	return n, err
}

// Blobs reach the socket's writer as files, with the product's own content and
// middleware: none of their bytes is copied here. That the writer below uses
// sendfile then, httpd and blob/fs test.
func TestBlobsAreSentAsFiles(t *testing.T) {
	e := realOn(storetest.SQLite)(t)
	data := make([]byte, 1<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	d := e.pushBlob(app, data)
	h := httpd.Middleware(httpd.MiddlewareOptions{Metrics: e.metrics, Logger: slog.New(slog.DiscardHandler)}, e.reg)
	for _, tt := range []struct {
		ranges   string
		from, to int
		parts    bool
	}{{"", 0, len(data), false}, {"bytes=1000-500000", 1000, 500001, false}, {"bytes=-7", len(data) - 7, len(data), false}, {"bytes=0-99,200-299", 0, 200, true}} {
		w := &readFrom{ResponseRecorder: *httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/"+app+"/blobs/"+string(d), nil)
		r.Header.Set("Authorization", "Bearer reader")
		if tt.ranges != "" {
			r.Header.Set("Range", tt.ranges)
		}
		h.ServeHTTP(w, r)
		if w.files != int64(tt.to-tt.from) || w.others != 0 || !tt.parts && w.copied != 0 {
			t.Errorf("%q: %d bytes as files, %d by ReadFrom of something else, %d copied", tt.ranges, w.files, w.others, w.copied)
		}
		if !tt.parts && !bytes.Equal(w.Body.Bytes(), data[tt.from:tt.to]) {
			t.Errorf("%q: wrong bytes", tt.ranges)
		}
	}
}
