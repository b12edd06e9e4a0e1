package mirror

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// BenchmarkBesideSkopeo mirrors Debian's docker-registry, first and again, and
// has skopeo sync do the same from it into another docker-registry, in turn. Its
// figures are of one pass: -benchtime=1x.
func BenchmarkBesideSkopeo(b *testing.B) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		b.Fatal(err)
	}
	const images, layers, tags = 200, 5, 2000
	up, target := servertest.Distribution(b), servertest.Distribution(b)
	w := newWorld(b, storetest.SQLite, remotetest.Options{}, content.Settings{})
	put := func(method, path, mediaType string, body []byte) string {
		b.Helper()
		q, err := http.NewRequestWithContext(b.Context(), method, "http://"+up.Host+path, bytes.NewReader(body))
		w.must(err)
		q.Header.Set("Content-Type", mediaType)
		res, err := http.DefaultClient.Do(q)
		w.must(err)
		w.must(res.Body.Close())
		if res.StatusCode >= 300 {
			b.Fatalf("%s %s: %d", method, path, res.StatusCode)
		}
		return res.Header.Get("Location")
	}
	blob := func(body []byte) string {
		at, err := http.NewRequestWithContext(b.Context(), http.MethodPost, put(http.MethodPost, "/v2/"+src+"/blobs/uploads/", "", nil), nil)
		w.must(err)
		d := gantry.FromBytes(body)
		put(http.MethodPut, at.URL.RequestURI()+"&digest="+string(d), "application/octet-stream", body)
		return fmt.Sprintf(`"digest":%q,"size":%d`, d, len(body))
	}
	manifest := func() []byte {
		doc := `{"schemaVersion":2,"mediaType":"` + remotetest.TypeManifest + `","config":{"mediaType":"` + remotetest.TypeConfig + `",` +
			blob([]byte(`{"architecture":"amd64","os":"linux","x":"`+uuid.NewString()+`","rootfs":{"type":"layers","diff_ids":[]}}`)) + `},"layers":[`
		for i := range layers {
			if i > 0 {
				doc += ","
			}
			doc += `{"mediaType":"` + remotetest.TypeLayer + `",` + blob(layer(64<<10)) + "}"
		}
		return []byte(doc + "]}")
	}
	var last []byte
	for i := range images {
		last = manifest()
		put(http.MethodPut, fmt.Sprintf("/v2/%s/manifests/i%05d", src, i), remotetest.TypeManifest, last)
	}
	w.must(w.db.CreateMirror(b.Context(), w.repo, w.plain(up.Host+"/"+src), gantry.Actor{}))
	auth := filepath.Join(b.TempDir(), "auth.json")
	w.must(os.WriteFile(auth, []byte("{}"), 0o600))
	beside := func() time.Duration {
		cmd := exec.CommandContext(b.Context(), skopeo, "sync", "--all", "--authfile", auth, "--src", "docker", "--dest", "docker", "--src-tls-verify=false", "--dest-tls-verify=false",
			up.Host+"/"+src, target.Host+"/copy")
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("skopeo: %v\n%s", err, out)
		}
		return time.Since(began)
	}
	for b.Loop() {
		began := time.Now()
		if run := w.good(); run.Copied != images {
			b.Fatalf("%+v", run)
		}
		ours := time.Since(began)
		theirs := beside()
		b.ReportMetric(ours.Seconds(), "first-s")
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-skopeo-first")
		for i := images; i < tags; i++ {
			put(http.MethodPut, fmt.Sprintf("/v2/%s/manifests/t%05d", src, i), remotetest.TypeManifest, last)
		}
		w.good()
		beside()
		began = time.Now()
		if run := w.good(); run.Unchanged != tags {
			b.Fatalf("%+v", run)
		}
		ours, theirs = time.Since(began), beside()
		b.ReportMetric(ours.Seconds(), "again-s")
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-skopeo-again")
	}
}

// plain is a mirror of everything at a place.
func (w *world) plain(upstream string) store.Mirror {
	id := uuid.NewString()
	sealed, err := Seal(w.keys, false, id, Secret{})
	w.must(err)
	return store.Mirror{UUID: id, Robot: w.robot.ID, Upstream: upstream, Secret: sealed, Options: []byte(`{"tags":["*"],"insecure":true}`), Interval: time.Hour, Start: w.db.Now()}
}
