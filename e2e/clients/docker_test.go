package clients

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dockerd talks as Docker's engine does: it asks for a token with the scopes
// of a challenge, and sends layers in one PATCH of unknown length.
type dockerd struct {
	t     *testing.T
	token string // the Authorization header, or "" before login
}

var challengeParam = regexp.MustCompile(`(\w+)="([^"]*)"`)

// login does what `docker login` and the first request of a push do.
func (d *dockerd) login(scopes ...string) {
	d.t.Helper()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(reg.user+":"+reg.pass))
	a, err := fetch(d.t.Context(), http.MethodGet, reg.base+"/v2/", nil, nil)
	if err != nil || a.status != http.StatusUnauthorized {
		d.t.Fatalf("GET /v2/ without credentials: %d, %v", a.status, err)
	}
	if v := a.header.Get("Docker-Distribution-Api-Version"); v != "registry/2.0" {
		d.t.Errorf("Docker-Distribution-API-Version is %q", v)
	}
	challenge := a.header.Get("Www-Authenticate")
	if !strings.HasPrefix(challenge, "Bearer ") {
		d.token = basic
		return
	}
	p := map[string]string{}
	for _, m := range challengeParam.FindAllStringSubmatch(challenge, -1) {
		p[m[1]] = m[2]
	}
	q := url.Values{"service": {p["service"]}, "scope": scopes, "account": {reg.user}, "client_id": {"docker"}, "offline_token": {"true"}}
	a, err = fetch(d.t.Context(), http.MethodGet, p["realm"]+"?"+q.Encode(), http.Header{"Authorization": {basic}}, nil)
	if err != nil || a.status != http.StatusOK {
		d.t.Fatalf("token: %d %s, %v", a.status, a.body, err)
	}
	var token struct{ Token string }
	if err := json.Unmarshal(a.body, &token); err != nil || token.Token == "" {
		d.t.Fatalf("token: %s, %v", a.body, err)
	}
	d.token = "Bearer " + token.Token
}

// do sends a request and wants a status. A body of unknown length is chunked.
func (d *dockerd) do(status int, method, target string, header http.Header, body io.Reader) answer {
	d.t.Helper()
	u, err := url.Parse(reg.base)
	if err != nil {
		d.t.Fatal(err)
	}
	if u, err = u.Parse(target); err != nil {
		d.t.Fatal(err)
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", d.token)
	header.Set("User-Agent", "docker/29.0.0 go/go1.25 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/29.0.0 (linux))")
	a, err := send(d.t.Context(), method, u.String(), header, body)
	if err != nil || a.status != status {
		d.t.Fatalf("%s %s: %d %s, %v; want %d", method, target, a.status, a.body, err, status)
	}
	return a
}

// with adds a query parameter to an upload's URL.
func with(t *testing.T, location, key, value string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// unsized hides the length of a reader, so that the request is chunked.
type unsized struct{ io.Reader }

// upload is how the engine sends a layer: HEAD, POST, PATCH of a stream, PUT.
func (d *dockerd) upload(r string, b []byte) {
	d.t.Helper()
	d.do(http.StatusNotFound, http.MethodHead, "/v2/"+r+"/blobs/"+sum(b), nil, nil)
	a := d.do(http.StatusAccepted, http.MethodPost, "/v2/"+r+"/blobs/uploads/", nil, nil)
	if a.header.Get("Docker-Upload-Uuid") == "" {
		d.t.Error("POST: no Docker-Upload-UUID")
	}
	a = d.do(http.StatusAccepted, http.MethodPatch, a.header.Get("Location"), nil, unsized{bytes.NewReader(b)})
	if got, want := a.header.Get("Range"), fmt.Sprintf("0-%d", len(b)-1); got != want {
		d.t.Errorf("PATCH: Range is %q, want %q", got, want)
	}
	a = d.do(http.StatusCreated, http.MethodPut, with(d.t, a.header.Get("Location"), "digest", sum(b)), nil, nil)
	if got := a.header.Get("Docker-Content-Digest"); got != sum(b) {
		d.t.Errorf("PUT: Docker-Content-Digest is %q, want %q", got, sum(b))
	}
	a = d.do(http.StatusOK, http.MethodHead, "/v2/"+r+"/blobs/"+sum(b), nil, nil)
	if got := a.header.Get("Content-Length"); got != fmt.Sprint(len(b)) {
		d.t.Errorf("HEAD: Content-Length is %q, want %d", got, len(b))
	}
}

// TestDocker is `docker push` and `docker pull` on the wire.
func TestDocker(t *testing.T) {
	r := repo(t)
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull,push")
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	layer := bytes.Repeat([]byte("a layer of the engine "), 100_000)
	d.upload(r, layer)
	d.upload(r, config)
	const media = "application/vnd.docker.distribution.manifest.v2+json"
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":%d,"digest":%q}]}`,
		media, len(config), sum(config), len(layer), sum(layer))
	a := d.do(http.StatusCreated, http.MethodPut, "/v2/"+r+"/manifests/v1", http.Header{"Content-Type": {media}}, bytes.NewReader(m))
	if got := a.header.Get("Docker-Content-Digest"); got != sum(m) {
		t.Errorf("PUT: Docker-Content-Digest is %q, want %q", got, sum(m))
	}

	d.login("repository:" + r + ":pull")
	accept := http.Header{"Accept": {
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.oci.image.manifest.v1+json", media, "application/vnd.docker.distribution.manifest.v1+prettyjws",
	}}
	a = d.do(http.StatusOK, http.MethodHead, "/v2/"+r+"/manifests/v1", accept.Clone(), nil)
	if a.header.Get("Content-Type") != media || a.header.Get("Docker-Content-Digest") != sum(m) {
		t.Errorf("HEAD: %v", a.header)
	}
	a = d.do(http.StatusOK, http.MethodGet, "/v2/"+r+"/manifests/"+sum(m), accept.Clone(), nil)
	if !bytes.Equal(a.body, m) {
		t.Errorf("the manifest came back as %s", a.body)
	}
	// A pull that broke goes on where it stopped.
	a = d.do(http.StatusPartialContent, http.MethodGet, "/v2/"+r+"/blobs/"+sum(layer), http.Header{"Range": {"bytes=1000-"}}, nil)
	if !bytes.Equal(a.body, layer[1000:]) {
		t.Errorf("the rest of the layer has %d bytes, want %d", len(a.body), len(layer)-1000)
	}
}

// TestDockerMount asks for a layer that another repository has, and for one
// that none has: then the answer is an upload.
func TestDockerMount(t *testing.T) {
	from, to := repo(t)+"-from", repo(t)+"-to"
	d := &dockerd{t: t}
	d.login("repository:"+from+":pull,push", "repository:"+to+":pull,push")
	layer := bytes.Repeat([]byte("shared "), 10_000)
	d.upload(from, layer)
	a := d.do(http.StatusCreated, http.MethodPost, "/v2/"+to+"/blobs/uploads/?mount="+sum(layer)+"&from="+from, nil, nil)
	if got := a.header.Get("Docker-Content-Digest"); got != sum(layer) {
		t.Errorf("mount: Docker-Content-Digest is %q", got)
	}
	d.do(http.StatusOK, http.MethodHead, "/v2/"+to+"/blobs/"+sum(layer), nil, nil)
	a = d.do(http.StatusAccepted, http.MethodPost, "/v2/"+to+"/blobs/uploads/?mount="+sum([]byte("nobody has this"))+"&from="+from, nil, nil)
	d.do(http.StatusNoContent, http.MethodDelete, a.header.Get("Location"), nil, nil)
}

// broken is a body that ends with an error.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the line breaks")
	}
	return n, err
}

// TestDockerBroken breaks the stream of a PATCH, asks how far the upload came,
// and goes on from there.
func TestDockerBroken(t *testing.T) {
	onlyGantry(t, "docker-registry forgets what a broken PATCH sent")
	r := repo(t)
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull,push")
	layer := make([]byte, 8<<20)
	if _, err := rand.Read(layer); err != nil {
		t.Fatal(err)
	}
	a := d.do(http.StatusAccepted, http.MethodPost, "/v2/"+r+"/blobs/uploads/", nil, nil)
	location := a.header.Get("Location")
	if _, err := send(t.Context(), http.MethodPatch, location, http.Header{"Authorization": {d.token}}, broken{bytes.NewReader(layer[:6<<20])}); err == nil {
		t.Fatal("the PATCH did not break")
	}
	// The registry has the end of the request to notice, and to write it down.
	end := -1
	for deadline := time.Now().Add(time.Minute); end <= 0; time.Sleep(50 * time.Millisecond) {
		a = d.do(http.StatusNoContent, http.MethodGet, location, nil, nil)
		if _, err := fmt.Sscanf(a.header.Get("Range"), "0-%d", &end); err != nil {
			t.Fatalf("Range is %q", a.header.Get("Range"))
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing of a broken PATCH is kept")
		}
	}
	if end >= 6<<20 {
		t.Fatalf("the upload stands at %d, and %d bytes were sent", end, 6<<20)
	}
	a = d.do(http.StatusAccepted, http.MethodPatch, a.header.Get("Location"), http.Header{"Content-Range": {fmt.Sprintf("%d-%d", end+1, len(layer)-1)}}, bytes.NewReader(layer[end+1:]))
	d.do(http.StatusCreated, http.MethodPut, with(t, a.header.Get("Location"), "digest", sum(layer)), nil, nil)
	a = d.do(http.StatusOK, http.MethodGet, "/v2/"+r+"/blobs/"+sum(layer), nil, nil)
	if !bytes.Equal(a.body, layer) {
		t.Errorf("%d bytes came back, want %d", len(a.body), len(layer))
	}
}

// TestDockerResume sends an upload in two chunks, and asks in between how far
// it came. A chunk that does not begin there is refused.
func TestDockerResume(t *testing.T) {
	r := repo(t)
	d := &dockerd{t: t}
	d.login("repository:" + r + ":pull,push")
	layer := bytes.Repeat([]byte("resumed "), 300_000)
	a := d.do(http.StatusAccepted, http.MethodPost, "/v2/"+r+"/blobs/uploads/", nil, nil)
	half := len(layer) / 2
	a = d.do(http.StatusAccepted, http.MethodPatch, a.header.Get("Location"), http.Header{"Content-Range": {fmt.Sprintf("0-%d", half-1)}}, bytes.NewReader(layer[:half]))
	a = d.do(http.StatusNoContent, http.MethodGet, a.header.Get("Location"), nil, nil)
	if got, want := a.header.Get("Range"), fmt.Sprintf("0-%d", half-1); got != want {
		t.Fatalf("the upload stands at %q, want %q", got, want)
	}
	if reg.gantry { // a chunk out of order is refused
		d.do(http.StatusRequestedRangeNotSatisfiable, http.MethodPatch, a.header.Get("Location"),
			http.Header{"Content-Range": {fmt.Sprintf("%d-%d", half+10, len(layer)-1)}}, bytes.NewReader(layer[half+10:]))
	}
	a = d.do(http.StatusAccepted, http.MethodPatch, a.header.Get("Location"), http.Header{"Content-Range": {fmt.Sprintf("%d-%d", half, len(layer)-1)}}, bytes.NewReader(layer[half:]))
	d.do(http.StatusCreated, http.MethodPut, with(t, a.header.Get("Location"), "digest", sum(layer)), nil, nil)
	a = d.do(http.StatusOK, http.MethodGet, "/v2/"+r+"/blobs/"+sum(layer), nil, nil)
	if !bytes.Equal(a.body, layer) {
		t.Errorf("%d bytes came back, want %d", len(a.body), len(layer))
	}
}
