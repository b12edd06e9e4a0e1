package app

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// documented returns the configurations that a page of docs shows, with what
// stands for the installation replaced.
func documented(t *testing.T, page string, replace ...string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../docs/deploy/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for i := 0; i < len(replace); i += 2 {
			if i == 0 && !strings.Contains(string(text), replace[i]) {
				t.Fatalf("%s does not have %q", page, replace[i])
			}
			m[1] = strings.ReplaceAll(m[1], replace[i], replace[i+1])
		}
		var fields map[string]any
		if err := yaml.Unmarshal([]byte(m[1]), &fields); err != nil {
			t.Fatalf("%s: %v\n%s", page, err, m[1])
		}
		all = append(all, fields)
	}
	if len(all) == 0 {
		t.Fatalf("%s shows no configuration", page)
	}
	return all
}

// instances starts n servers on one PostgreSQL database with the fields.
func instances(t *testing.T, n int, fields map[string]any) []*site {
	t.Helper()
	all := map[string]any{
		"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"FEATURE_USER_INITIALIZE": true, "SERVER_HOSTNAME": "fleet.example.com",
	}
	maps.Copy(all, fields)
	o := Options{leaseRetry: 20 * time.Millisecond, Environ: override(t, all)}
	list := make([]*site, n)
	for i := range list {
		list[i] = open(t, o)
	}
	return list
}

// A redirected is what testObjectStore expects of blobs.
type redirected struct {
	off     bool   // the engine has no URLs
	address string // host:port that URLs lead to
}

// testObjectStore pushes to two instances and pulls from them: by redirect and
// through the registry, whole and in part, in one request and in chunks to one
// instance after the other.
func testObjectStore(t *testing.T, fields map[string]any, want redirected) {
	t.Helper()
	for _, through := range []bool{false, true} {
		if through && !slices.ContainsFunc(config.Fields(), func(f config.Field) bool { return f.Name == "FEATURE_PROXY_STORAGE" && f.Used }) {
			continue
		}
		fields := maps.Clone(fields)
		fields["FEATURE_PROXY_STORAGE"] = through
		s := instances(t, 2, fields)
		s[0].initialize("ada")
		repo := "ada/app"
		auth, r := s[0].bearer("ada", password, "repository:"+repo+":pull,push")
		if auth == "" {
			t.Fatalf("token: %d %s", r.status, r.body)
		}
		i := newImage("object store")
		if r := s[0].push(auth, repo, "v1", i); r.status != 201 {
			t.Fatalf("push: %d %s\n%s", r.status, r.body, s[0].log)
		}
		if r := send(t, "GET", s[1].base+"/v2/"+repo+"/manifests/v1", "", "Authorization", auth, "Accept", manifestType); r.status != 200 || r.body != string(i.manifest) {
			t.Fatalf("pull from the other: %d %s\n%s", r.status, r.body, s[1].log)
		}
		for _, b := range [][]byte{i.config, i.layer} {
			if r := download(t, s[1].base+"/v2/"+repo+"/blobs/"+digestOf(b), auth); r.status != 200 || r.body != string(b) {
				t.Errorf("blob: %d, %d bytes", r.status, len(r.body))
			}
		}
		at := s[1].base + "/v2/" + repo + "/blobs/" + digestOf(i.layer)
		where := follow(t, at, auth)
		if through || want.off {
			if where != "" {
				t.Errorf("a blob is redirected to %s", where)
			}
		} else if !strings.Contains(where, "//"+want.address+"/") {
			t.Errorf("a blob is redirected to %q; want %s", where, want.address)
		}
		if r := download(t, at, auth, "Range", "bytes=7-99"); r.status != 206 || r.body != string(i.layer[7:100]) {
			t.Errorf("range: %d, %d bytes", r.status, len(r.body))
		}
		if r := send(t, "HEAD", at, "", "Authorization", auth); r.status != 200 && r.status != 302 && r.status != 307 || r.header.Get("Docker-Content-Digest") != digestOf(i.layer) {
			t.Errorf("HEAD: %d %v", r.status, r.header)
		}

		// Chunks, each to the other instance.
		blob := strings.Repeat("chunked upload ", 200_000)
		r = send(t, "POST", s[0].base+"/v2/"+repo+"/blobs/uploads/", "", "Authorization", auth)
		if r.status != 202 {
			t.Fatalf("begin: %d %s", r.status, r.body)
		}
		for n, from := 0, 0; from < len(blob); n++ {
			part := blob[from:min(len(blob), from+900_001)]
			at := s[n%2].base + pathOf(t, r.header.Get("Location"))
			if r = send(t, "PATCH", at, part, "Authorization", auth, "Content-Type", "application/octet-stream"); r.status != 202 {
				t.Fatalf("chunk %d: %d %s\n%s", n, r.status, r.body, s[n%2].log)
			}
			from += len(part)
		}
		last := s[1].base + pathOf(t, r.header.Get("Location"))
		if strings.Contains(last, "?") {
			last += "&digest=" + digestOf([]byte(blob))
		} else {
			last += "?digest=" + digestOf([]byte(blob))
		}
		if r = send(t, "PUT", last, "", "Authorization", auth); r.status != 201 {
			t.Fatalf("commit: %d %s\n%s", r.status, r.body, s[1].log)
		}
		if r := download(t, s[0].base+"/v2/"+repo+"/blobs/"+digestOf([]byte(blob)), auth); r.status != 200 || r.body != blob {
			t.Errorf("the blob of chunks: %d, %d bytes", r.status, len(r.body))
		}
		if r := send(t, "GET", s[0].base+"/health/endtoend", ""); r.status != 200 {
			t.Errorf("health: %d %s", r.status, r.body)
		}
		for _, x := range s {
			if text := x.log.String(); strings.Contains(text, `"ERROR"`) || strings.Contains(text, "level=ERROR") {
				t.Errorf("errors in the log:\n%s", text)
			}
		}
	}
}

// pathOf is a Location's path and query.
func pathOf(t *testing.T, location string) string {
	t.Helper()
	if _, rest, ok := strings.Cut(location, "://"); ok {
		return rest[strings.Index(rest, "/"):]
	}
	return location
}

// follow returns where a GET is redirected to, or "".
func follow(t *testing.T, at, auth string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", auth)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("Location")
}

// download gets a blob, from where it is redirected to if it is.
func download(t *testing.T, at, auth string, header ...string) reply {
	t.Helper()
	r := send(t, "GET", at, "", append(header, "Authorization", auth)...)
	if where := r.header.Get("Location"); where != "" {
		return send(t, "GET", where, "", header...)
	}
	return r
}

// startsWithout starts a server whose store is away: it starts, answers what
// needs no blob, and says in its health what is wrong.
func startsWithout(t *testing.T, fields map[string]any, secrets ...string) {
	t.Helper()
	all := map[string]any{"FEATURE_USER_INITIALIZE": true}
	maps.Copy(all, fields)
	s := open(t, Options{Environ: override(t, all)})
	s.initialize("ada")
	if r := send(t, "GET", s.base+"/health/endtoend", ""); r.status != 503 {
		t.Errorf("health: %d %s", r.status, r.body)
	}
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := try(ctx, "POST", s.base+"/v2/ada/app/blobs/uploads/?digest="+digestOf([]byte("x")), strings.NewReader("x"), "Authorization", auth, "Content-Type", "application/octet-stream")
	if err != nil || r.status < 500 {
		t.Errorf("push: %d %s, %v", r.status, r.body, err)
	}
	for _, secret := range secrets {
		if strings.Contains(s.log.String(), secret) || strings.Contains(r.body, secret) {
			t.Error("a secret is in the log or the answer")
		}
	}
}
