package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// TestDrainUnderLoad stops a server while clients push and pull over HTTP/1
// and HTTP/2, on kept connections and on new ones: each gets its whole answer
// or a closed door, and what was acknowledged is there after the restart.
func TestDrainUnderLoad(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Data: data})
	s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	big := bytes.Repeat([]byte("pulled"), 100_000)
	if r := send(t, "POST", s.base+"/v2/ada/app/blobs/uploads/?digest="+digestOf(big), string(big), "Authorization", auth, "Content-Type", "application/octet-stream"); r.status != 201 {
		t.Fatalf("push: %d %s", r.status, r.body)
	}
	var mu sync.Mutex
	var acknowledged [][]byte
	var answers atomic.Int64
	var clients sync.WaitGroup
	for mode := range 3 {
		tr := &http.Transport{MaxIdleConnsPerHost: 8, DisableKeepAlives: mode == 1, Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(mode != 2)
		tr.Protocols.SetUnencryptedHTTP2(mode == 2)
		defer tr.CloseIdleConnections()
		c := &http.Client{Transport: tr}
		do := func(method, path string, body []byte) (int, []byte, error) {
			req, err := http.NewRequestWithContext(t.Context(), method, s.base+path, bytes.NewReader(body))
			if err != nil {
				return 0, nil, err
			}
			req.Header.Set("Authorization", auth)
			req.Header.Set("Content-Type", "application/octet-stream")
			res, err := c.Do(req)
			if err != nil {
				return 0, nil, err
			}
			b, err := io.ReadAll(res.Body)
			return res.StatusCode, b, errors.Join(err, res.Body.Close())
		}
		for n := range 6 {
			clients.Go(func() {
				for i := 0; ; i++ {
					var status int
					var got []byte
					var err error
					blob := bytes.Repeat(fmt.Appendf(nil, "%d-%d-%d ", mode, n, i), 10_000)
					if push := n%2 == 0; push {
						if status, _, err = do("POST", "/v2/ada/app/blobs/uploads/?digest="+digestOf(blob), blob); err == nil && status == 201 {
							mu.Lock()
							acknowledged = append(acknowledged, blob[:20])
							mu.Unlock()
						}
					} else {
						status, got, err = do("GET", "/v2/ada/app/blobs/"+digestOf(big), nil)
						if err == nil && !bytes.Equal(got, big) {
							t.Errorf("%d of %d bytes are pulled", len(got), len(big))
						}
					}
					switch {
					case errors.Is(err, syscall.ECONNREFUSED):
						return
					case err != nil:
						t.Errorf("mode %d: a request was broken: %v", mode, err)
						return
					case status != 200 && status != 201:
						t.Errorf("mode %d: answer %d", mode, status)
						return
					}
					answers.Add(1)
				}
			})
		}
	}
	until(t, "answers", func() bool { return answers.Load() > 100 })
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Stop: %v", err)
	}
	clients.Wait()
	s = open(t, Options{Data: data})
	auth, _ = s.bearer("ada", password, "repository:ada/app:pull,push")
	for _, start := range acknowledged {
		word, _, _ := strings.Cut(string(start), " ")
		blob := bytes.Repeat([]byte(word+" "), 10_000)
		if r := send(t, "GET", s.base+"/v2/ada/app/blobs/"+digestOf(blob), "", "Authorization", auth); r.status != 200 || r.body != string(blob) {
			t.Errorf("the acknowledged blob %s: %d, %d bytes", word, r.status, len(r.body))
		}
	}
}

// services asks for a health answer.
func services(t *testing.T, s *site, path string) (status int, list map[string]any) {
	t.Helper()
	r := send(t, "GET", s.base+path, "")
	v := r.json(t)
	data, _ := v["data"].(map[string]any)
	list, _ = data["services"].(map[string]any)
	if code, _ := v["status_code"].(float64); int(code) != r.status || len(data) != 1 {
		t.Errorf("%s: %d %s", path, r.status, r.body)
	}
	return r.status, list
}

// TestHealthTellsTheTruth takes away what a server stands on, and gives it
// back: the lines of the health answers follow. How much of this machine's
// disk is free does not matter to it: the thresholds are the test's.
func TestHealthTellsTheTruth(t *testing.T) {
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true,
		"DISKSPACE_HEALTH_THRESHOLD": 0, "DISKSPACE_HEALTH_WARNING_THRESHOLD": 0})})
	follows := func(path, name string, want bool, status int) {
		t.Helper()
		until(t, fmt.Sprintf("%s of %s is %v", name, path, want), func() bool {
			code, list := services(t, s, path)
			return list[name] == want && code == status
		})
	}
	for _, all := range []struct {
		path  string
		names []string
	}{
		{"/health/instance", []string{"registry_gunicorn", "web_gunicorn", "service_key", "disk_space", "database", "auth", "pulls"}},
		{"/health/endtoend", []string{"database", "storage", "auth"}},
		{"/health/warning", []string{"disk_space_warning", "pull_log", "clock"}},
	} {
		status, list := services(t, s, all.path)
		if status != 200 || len(list) != len(all.names) {
			t.Errorf("%s: %d %v", all.path, status, list)
		}
		for _, name := range all.names {
			if list[name] != true {
				t.Errorf("%s: %s is %v", all.path, name, list[name])
			}
		}
	}

	if err := s.diskAbove(1); err == nil || !strings.Contains(err.Error(), "MiB are free") { // more than any disk has
		t.Errorf("a whole disk free: %v", err)
	}
	kid := s.auth.KeyID()
	key, err := s.db.ServiceKey(t.Context(), kid)
	if err != nil {
		t.Fatal(err)
	}
	over := key
	over.Expires = s.db.Now().Add(-1)
	if err := s.db.PutServiceKey(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	follows("/health/instance", "service_key", false, 503)
	if err := s.db.PutServiceKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	follows("/health/instance", "service_key", true, 200)

	storage := filepath.Join(s.data, storageFolder)
	if err := os.Rename(storage, storage+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(storage, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	follows("/health/endtoend", "storage", false, 503)
	follows("/health/instance", "database", true, 200) // an instance is not taken out for it
	if err := errors.Join(os.Remove(storage), os.Rename(storage+".away", storage)); err != nil {
		t.Fatal(err)
	}
	follows("/health/endtoend", "storage", true, 200)

	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	follows("/health/instance", "database", false, 503)
	follows("/health/endtoend", "database", false, 503)
}

// TestRateLimitClasses meets the limit of each class with 429 and Retry-After,
// by the client's address behind the trusted proxy, and spares the namespaces
// that are exempt.
func TestRateLimitClasses(t *testing.T) {
	s := open(t, Options{Metrics: "127.0.0.1:0", Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "FEATURE_RATE_LIMITS": true,
		"NON_RATE_LIMITED_NAMESPACES": []string{"free"}, "TRUSTED_PROXY_CIDR": []string{"127.0.0.1/32"}, "PROXY_COUNT": 1})})
	h := s.edges.outer(s.live.Current())
	// ask is a request of the proxy at peer; it returns the status.
	ask := func(peer, forwarded, path string) reply {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		r.RemoteAddr = peer + ":1"
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return reply{w.Code, w.Header(), w.Body.String()}
	}
	limited := func(what string, n int, one func(i int) reply) bool {
		t.Helper()
		for i := range n {
			if r := one(i); r.status == 429 {
				if after := r.header.Get("Retry-After"); after == "" || after == "0" {
					t.Errorf("%s: Retry-After %q", what, after)
				}
				if !json.Valid([]byte(r.body)) {
					t.Errorf("%s: %q", what, r.body)
				}
				return true
			}
		}
		return false
	}
	for what, path := range map[string]string{"very_light": "/v2/", "light": "/v2/busy/app/manifests/x", "heavy": "/v2/busy/app/tags/list",
		"heavy, catalog": "/v2/_catalog", "heavy, API": "/api/v1/user/", "auth": "/v2/auth?scope=repository:busy/app:pull"} {
		address := "10.1.1." + itoa(len(what)) // of its own
		if !limited(what, 5000, func(int) reply { return ask("127.0.0.1", address, path) }) {
			t.Errorf("%s has no limit", what)
		}
		if what != "auth" {
			if r := ask("127.0.0.1", "10.9.9.9", path); r.status == 429 {
				t.Errorf("%s: another client is limited, too", what)
			}
		}
	}
	if limited("exempt", 400, func(int) reply { return ask("127.0.0.1", "10.2.2.2", "/v2/free/app/tags/list") }) {
		t.Error("an exempt namespace is limited")
	}
	// What a client writes before the proxy's own entry is not believed.
	if !limited("spoofed", 400, func(i int) reply {
		return ask("127.0.0.1", fmt.Sprintf("10.3.%d.%d, 10.4.4.4", i/250, i%250), "/v2/busy/app/tags/list")
	}) {
		t.Error("a client evades its limit with X-Forwarded-For")
	}
	// Nor is anything of one that is no proxy.
	if !limited("no proxy", 400, func(i int) reply {
		return ask("192.0.2.1", fmt.Sprintf("10.5.%d.%d", i/250, i%250), "/v2/busy/app/tags/list")
	}) {
		t.Error("anybody is taken for a proxy")
	}
	v := scrapeOf(t, s)
	for _, class := range []string{"very_light", "light", "heavy", "auth"} {
		if n := v.sum("gantry_rate_limited_total", `class="`+class+`"`); n == 0 {
			t.Errorf("refusals of the class %s are not counted", class)
		}
	}
}

// TestBusy answers one request too many in the words of its protocol.
func TestBusy(t *testing.T) {
	for path, want := range map[string]string{"/v2/x/y/tags/list": `"code":"UNAVAILABLE"`, "/api/v1/user": `"status":503`} {
		w := httptest.NewRecorder()
		busy(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		if w.Code != 503 || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for files, want := range map[uint64]int{0: 8, 128: 21, 1024: 320, 1 << 20: mostAtOnce, 1<<64 - 1: mostAtOnce} {
		if got := maxClients(files); got != want {
			t.Errorf("maxClients(%d) = %d, want %d", files, got, want)
		}
	}
}

// held counts what a process holds.
func held(t *testing.T) (goroutines, files int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(list)
}

// returns waits until the process holds no more than it did.
func returns(t *testing.T, goroutines, files int) {
	t.Helper()
	var g, f int
	until(t, "what was held is given back", func() bool {
		if g, f = held(t); g <= goroutines+1 && f <= files+1 { // one of the runtime's own may come
			return true
		}
		runtime.GC()
		return false
	})
}

// TestNoLeaks starts and stops many times, and breaks many transfers off:
// neither goroutines nor files are left.
func TestNoLeaks(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	once := func() {
		s, _, err := launch(t, Options{Data: data, Metrics: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		if r := send(t, "GET", "http://"+s.Addr().String()+"/v2/", ""); r.status != 401 {
			t.Error(r.status)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	once()
	goroutines, files := held(t)
	for range 6 {
		once()
	}
	returns(t, goroutines, files)

	s := open(t, Options{Data: data})
	s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	big := bytes.Repeat([]byte("large"), 4<<20)
	if r := send(t, "POST", s.base+"/v2/ada/app/blobs/uploads/?digest="+digestOf(big), string(big), "Authorization", auth, "Content-Type", "application/octet-stream"); r.status != 201 {
		t.Fatalf("push: %d %s", r.status, r.body)
	}
	broken := func() {
		for _, head := range []string{
			"POST /v2/ada/app/blobs/uploads/?digest=" + digestOf(big) + " HTTP/1.1\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n",
			"POST /v2/ada/app/blobs/uploads/?digest=" + digestOf(big) + " HTTP/1.1\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n",
			"GET /v2/ada/app/blobs/" + digestOf(big) + " HTTP/1.1\r\n",
		} {
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, head+"Host: "+s.Addr().String()+"\r\nAuthorization: "+auth+"\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if strings.HasPrefix(head, "GET") {
				start := make([]byte, 1000)
				if _, err := io.ReadFull(c, start); err != nil || !bytes.HasPrefix(start, []byte("HTTP/1.1 200")) {
					t.Fatalf("%.100q, %v", start, err)
				}
			} else if _, err := io.WriteString(c, "400\r\n"+strings.Repeat("x", 0x400)); err != nil {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	idle := func() bool { return s.edges.active.Load() == 0 }
	broken()
	until(t, "the first transfers have ended", idle)
	goroutines, files = held(t)
	for range 30 {
		broken()
	}
	until(t, "the transfers have ended", idle)
	returns(t, goroutines, files)
}

// TestCertificateAlone is refused: passwords would go over plain HTTP.
func TestCertificateAlone(t *testing.T) {
	cert, key := certificate(t, "one.example.com")
	for name, text := range map[string]string{"ssl.cert": cert, "ssl.key": key} {
		if _, _, err := launch(t, Options{Config: folder(t, map[string]string{"config.yaml": "", name: text})}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s alone: %v", name, err)
		}
	}
}

// TestQueueIsMeasured holds that the queue of jobs is measured.
func TestQueueIsMeasured(t *testing.T) {
	s := open(t, Options{Roles: Roles{Registry: true}}) // nobody takes jobs
	if _, err := s.db.Enqueue(t.Context(), store.NewJob{Kind: "a"}, store.NewJob{Kind: "a"}, store.NewJob{Kind: "b", After: s.db.Now().Add(1 << 40)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.ClaimJobs(t.Context(), "me", map[string]int{"a": 1}, 1, 1<<40); err != nil {
		t.Fatal(err)
	}
	list, err := s.db.JobBacklog(t.Context())
	if err != nil || len(list) != 1 || list[0] != (store.JobBacklog{Kind: "a", Running: 1, Due: 1}) {
		t.Errorf("backlog %+v, %v", list, err)
	}
}

// TestPlatformsOfOldImages holds that a job notes what was not noted when it
// was pushed, and goes on where the last one ended.
func TestPlatformsOfOldImages(t *testing.T) {
	s := open(t, Options{})
	s.initialize("ada")
	ada, err := s.db.Account(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	name := gantry.RepoName{Namespace: "ada", Name: "app"}
	if _, err := s.db.CreateRepository(t.Context(), store.NewRepository{Name: name, Visibility: gantry.Private, Creator: ada.ID}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	repo, err := s.db.Repository(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	push := func(architecture string) {
		body := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` +
			string(gantry.FromBytes([]byte(architecture))) + `","size":1,"platform":{"os":"linux","architecture":"` + architecture + `"}}]}`)
		if _, err := s.db.PutManifest(t.Context(), store.ManifestPut{Repo: repo.ID, Digest: gantry.FromBytes(body), MediaType: "application/vnd.oci.image.index.v1+json", Body: body, Tags: []string{architecture}}); err != nil {
			t.Fatal(err)
		}
	}
	noted := func(n int) func() bool { // all of n, and it is known how far that came
		return func() bool {
			bare, last, err := s.db.BareManifests(t.Context(), 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			at, err := s.db.Setting(t.Context(), platformsKnown)
			return err == nil && len(bare) == 0 && last >= gantry.ManifestID(n) && at == strconv.FormatInt(int64(last), 10)
		}
	}
	run := func() {
		if _, err := s.db.Enqueue(t.Context(), store.NewJob{Kind: jobPlatforms}); err != nil {
			t.Fatal(err)
		}
	}
	push("amd64")
	run()
	until(t, "the platform is noted", noted(1))
	push("arm64")
	run()
	until(t, "the other one is noted", noted(2))
}
