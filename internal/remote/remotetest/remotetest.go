// Package remotetest is another registry for tests: in process, in the manner
// of Docker Hub, Quay, GitHub, GitLab or one with Basic, and as badly behaved
// as a test asks.
package remotetest

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// A Flavor is whose manners a registry has.
type Flavor string

// The flavors.
const (
	Open   Flavor = ""       // no credentials at all
	Hub    Flavor = "hub"    // Docker Hub: tokens for everybody, budgets of pulls
	Quay   Flavor = "quay"   // {"token"} alone; pages by next_page
	GHCR   Flavor = "ghcr"   // tokens for everybody, no catalog
	GitLab Flavor = "gitlab" // 403 from the token service for what is denied
	Basic  Flavor = "basic"
)

// Flavors lists every Flavor.
var Flavors = []Flavor{Open, Hub, Quay, GHCR, GitLab, Basic}

// Options of an Upstream. The zero value is open, without TLS.
type Options struct {
	Flavor             Flavor
	Username, Password string        // the one account; "" is none
	Private            bool          // all repositories need the account
	TLS                bool          // with a certificate that Roots trusts
	TokenLife          time.Duration // 0 is 5 min; what the token says
	NoReferrers        bool          // 404 for referrers
	Page               int           // most names in a page; 0 is as many as asked for
}

// Upstream is the registry. Its methods may be called while it serves.
type Upstream struct {
	Host  string // "127.0.0.1:port"
	URL   string
	Roots *x509.CertPool // nil without TLS

	o   Options
	srv *httptest.Server

	mu     sync.Mutex
	repos  map[string]*repo
	tokens map[string]grant
	faults []*fault
	asked  []Asked
	sent   map[string]int64
}

// Asked is a request that came.
type Asked struct {
	Method, Path, Query string
	Authorization       string
	Range               string
}

type repo struct {
	manifests map[gantry.Digest]manifest
	tags      map[string]gantry.Digest
	sorted    []string // the tags' names; nil = to be made anew
	blobs     map[gantry.Digest][]byte
}

type manifest struct {
	mediaType string
	bytes     []byte
}

type grant struct {
	scope string
	until time.Time
}

// New starts a registry, which ends with the test.
func New(t testing.TB, o Options) *Upstream {
	t.Helper()
	if o.TokenLife == 0 {
		o.TokenLife = 5 * time.Minute
	}
	u := &Upstream{o: o, repos: map[string]*repo{}, tokens: map[string]grant{}, sent: map[string]int64{}}
	u.srv = httptest.NewUnstartedServer(u)
	if o.TLS {
		u.srv.EnableHTTP2 = true
		u.srv.StartTLS()
		u.Roots = x509.NewCertPool()
		u.Roots.AddCert(u.srv.Certificate())
	} else {
		u.srv.Start()
	}
	t.Cleanup(func() {
		u.srv.CloseClientConnections()
		u.srv.Close()
	})
	u.URL = u.srv.URL
	u.Host = strings.SplitN(u.URL, "://", 2)[1]
	return u
}

// Client reaches loopback addresses, as remote.Options.Client.
func Client(o httpd.OutgoingOptions) *http.Client {
	o.Allowed = append(o.Allowed, "127.0.0.1/32")
	return httpd.Outgoing(o)
}

// in calls f with the repository, which is made.
func (u *Upstream) in(name string, f func(*repo)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := u.repos[name]
	if r == nil {
		r = &repo{manifests: map[gantry.Digest]manifest{}, tags: map[string]gantry.Digest{}, blobs: map[gantry.Digest][]byte{}}
		u.repos[name] = r
	}
	f(r)
}

// AddBlob puts a blob into a repository.
func (u *Upstream) AddBlob(name string, b []byte) gantry.Digest {
	d := gantry.FromBytes(b)
	u.in(name, func(r *repo) { r.blobs[d] = b })
	return d
}

// AddManifest puts a manifest into a repository and points tag at it, if it
// is not "".
func (u *Upstream) AddManifest(name, tag, mediaType string, b []byte) gantry.Digest {
	d := gantry.FromBytes(b)
	u.in(name, func(r *repo) {
		r.manifests[d] = manifest{mediaType, b}
		if tag != "" {
			r.tags[tag], r.sorted = d, nil
		}
	})
	return d
}

// Tag points a tag at a manifest.
func (u *Upstream) Tag(name, tag string, d gantry.Digest) {
	u.in(name, func(r *repo) { r.tags[tag], r.sorted = d, nil })
}

// DeleteTag takes a tag away.
func (u *Upstream) DeleteTag(name, tag string) {
	u.in(name, func(r *repo) {
		delete(r.tags, tag)
		r.sorted = nil
	})
}

// DeleteBlob takes a blob away.
func (u *Upstream) DeleteBlob(name string, d gantry.Digest) {
	u.in(name, func(r *repo) { delete(r.blobs, d) })
}

// DeleteManifest takes a manifest away, and leaves tags that point at it.
func (u *Upstream) DeleteManifest(name string, d gantry.Digest) {
	u.in(name, func(r *repo) { delete(r.manifests, d) })
}

// Descriptor is what a document names.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       gantry.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Platform     map[string]string `json:"platform,omitempty"`
}

// The media types that AddImage and AddIndex make.
const (
	TypeManifest = "application/vnd.oci.image.manifest.v1+json"
	TypeIndex    = "application/vnd.oci.image.index.v1+json"
	TypeConfig   = "application/vnd.oci.image.config.v1+json"
	TypeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// AddImage puts an image of these layers into a repository. Its platform is
// linux/amd64.
func (u *Upstream) AddImage(name, tag string, layers ...[]byte) Descriptor {
	return u.AddPlatform(name, tag, "amd64", layers...)
}

// AddPlatform is AddImage for another architecture.
func (u *Upstream) AddPlatform(name, tag, arch string, layers ...[]byte) Descriptor {
	var list []Descriptor
	var diff []gantry.Digest
	for _, l := range layers {
		list = append(list, Descriptor{MediaType: TypeLayer, Digest: u.AddBlob(name, l), Size: int64(len(l))})
		diff = append(diff, gantry.FromBytes(l))
	}
	config := mustJSON(map[string]any{"architecture": arch, "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": diff}})
	doc := mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": TypeManifest, "layers": list,
		"config": Descriptor{MediaType: TypeConfig, Digest: u.AddBlob(name, config), Size: int64(len(config))},
	})
	d := u.AddManifest(name, tag, TypeManifest, doc)
	return Descriptor{MediaType: TypeManifest, Digest: d, Size: int64(len(doc)), Platform: map[string]string{"os": "linux", "architecture": arch}}
}

// AddIndex puts an index of these manifests into a repository.
func (u *Upstream) AddIndex(name, tag string, children ...Descriptor) Descriptor {
	doc := mustJSON(map[string]any{"schemaVersion": 2, "mediaType": TypeIndex, "manifests": children})
	return Descriptor{MediaType: TypeIndex, Digest: u.AddManifest(name, tag, TypeIndex, doc), Size: int64(len(doc))}
}

// AddReferrer puts an artifact with this subject into a repository: a
// signature, say.
func (u *Upstream) AddReferrer(name string, subject Descriptor, artifactType string, content []byte) Descriptor {
	empty := []byte("{}")
	doc := mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": TypeManifest, "artifactType": artifactType,
		"config":  Descriptor{MediaType: "application/vnd.oci.empty.v1+json", Digest: u.AddBlob(name, empty), Size: 2},
		"layers":  []Descriptor{{MediaType: artifactType, Digest: u.AddBlob(name, content), Size: int64(len(content))}},
		"subject": Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
	})
	return Descriptor{MediaType: TypeManifest, Digest: u.AddManifest(name, "", TypeManifest, doc), Size: int64(len(doc)), ArtifactType: artifactType}
}

// mustJSON marshals what always can be.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// ExpireTokens makes every token that was issued invalid.
func (u *Upstream) ExpireTokens() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens = map[string]grant{}
}

// Asked lists the requests that came.
func (u *Upstream) Asked() []Asked {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.asked)
}

// Count counts the requests with a method ("" is any) whose path holds part.
func (u *Upstream) Count(method, part string) int {
	n := 0
	for _, a := range u.Asked() {
		if (method == "" || a.Method == method) && strings.Contains(a.Path, part) {
			n++
		}
	}
	return n
}

// Sent is how many bytes went out in answer to requests for a path that holds
// part.
func (u *Upstream) Sent(part string) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := int64(0)
	for p, s := range u.sent {
		if strings.Contains(p, part) {
			n += s
		}
	}
	return n
}

// Forget clears what Asked and Sent tell.
func (u *Upstream) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked, u.sent = nil, map[string]int64{}
}

// counted counts what is sent.
type counted struct {
	http.ResponseWriter
	u    *Upstream
	path string
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.u.mu.Lock()
	c.u.sent[c.path] += int64(n)
	c.u.mu.Unlock()
	return n, err
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// ServeHTTP answers as the registry.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.asked = append(u.asked, Asked{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("Range")})
	var with Fault
	for _, f := range u.faults {
		if f.times != 0 && f.match(r) {
			f.times--
			with = f.do
			break
		}
	}
	u.mu.Unlock()
	c := &counted{w, u, r.URL.Path}
	if with != nil {
		with(c, r, http.HandlerFunc(u.answer))
		return
	}
	u.answer(c, r)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(mustJSON(map[string]any{"errors": []any{map[string]any{"code": code, "message": "as asked"}}})) // the client may be gone
}

// realm is where tokens are.
func (u *Upstream) realm() (path, service string) {
	switch u.o.Flavor {
	case Hub:
		return "/token", "registry.docker.io"
	case Quay:
		return "/v2/auth", u.Host
	case GHCR:
		return "/token", "ghcr.io"
	case GitLab:
		return "/jwt/auth", "container_registry"
	}
	return "", ""
}

func (u *Upstream) answer(w http.ResponseWriter, r *http.Request) {
	realm, service := u.realm()
	if realm != "" && r.URL.Path == realm {
		u.token(w, r)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	name, kind, ref := split(rest)
	scope := ""
	switch {
	case rest == "_catalog":
		scope = "registry:catalog:*"
	case name != "":
		scope = "repository:" + name + ":pull"
	}
	if !u.allowed(r, scope) {
		switch u.o.Flavor {
		case Basic:
			w.Header().Set("WWW-Authenticate", `Basic realm="registry, of \"ours\""`)
		default:
			c := fmt.Sprintf(`Bearer realm="%s%s",service="%s"`, u.URL, realm, service)
			if scope != "" {
				c += fmt.Sprintf(`,scope="%s"`, scope)
			}
			w.Header().Set("WWW-Authenticate", c)
		}
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	switch {
	case rest == "":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	case rest == "_catalog":
		if u.o.Flavor == GHCR {
			fail(w, http.StatusForbidden, "DENIED")
			return
		}
		u.mu.Lock()
		var names []string
		for n := range u.repos {
			names = append(names, n)
		}
		u.mu.Unlock()
		slices.Sort(names)
		u.list(w, r, "repositories", "", names)
	default:
		u.repository(w, r, name, kind, ref)
	}
}

// split cuts "a/b/manifests/v1".
func split(rest string) (name, kind, ref string) {
	for _, k := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
		if i := strings.LastIndex(rest, k); i > 0 {
			return rest[:i], strings.Trim(k, "/"), rest[i+len(k):]
		}
	}
	return "", "", ""
}

func (u *Upstream) account(r *http.Request) bool {
	n, p, ok := r.BasicAuth()
	return ok && u.o.Username != "" && n == u.o.Username && p == u.o.Password
}

func (u *Upstream) allowed(r *http.Request, scope string) bool {
	switch u.o.Flavor {
	case Open:
		return true
	case Basic:
		return u.account(r)
	}
	t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	u.mu.Lock()
	defer u.mu.Unlock()
	g, known := u.tokens[t]
	return ok && known && time.Now().Before(g.until) && (scope == "" || g.scope == scope)
}

func (u *Upstream) token(w http.ResponseWriter, r *http.Request) {
	_, _, sent := r.BasicAuth()
	who := u.account(r)
	scope := r.URL.Query().Get("scope")
	_, service := u.realm()
	switch {
	case r.URL.Query().Get("service") != service:
		fail(w, http.StatusBadRequest, "UNSUPPORTED")
		return
	case sent && !who:
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	case !who && scope == "" && u.o.Flavor == Quay:
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	case !who && u.o.Private && scope != "":
		if u.o.Flavor == GitLab {
			fail(w, http.StatusForbidden, "DENIED")
			return
		}
		scope = "none" // a token that opens nothing
	}
	t := rand.Text()
	u.mu.Lock()
	u.tokens[t] = grant{scope, time.Now().Add(u.o.TokenLife)}
	u.mu.Unlock()
	doc := map[string]any{"token": t}
	switch u.o.Flavor {
	case Hub:
		doc["access_token"], doc["expires_in"], doc["issued_at"] = t, int(u.o.TokenLife.Seconds()), time.Now().UTC().Format(time.RFC3339)
	case GitLab:
		doc["expires_in"] = int(u.o.TokenLife.Seconds())
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(mustJSON(doc))
}

// list answers a page of names.
func (u *Upstream) list(w http.ResponseWriter, r *http.Request, field, name string, names []string) {
	q := r.URL.Query()
	last := q.Get("last")
	if u.o.Flavor == Quay {
		last = strings.TrimPrefix(q.Get("next_page"), "after-")
	}
	if last != "" {
		i, found := slices.BinarySearch(names, last)
		if found {
			i++
		}
		names = names[i:]
	}
	n, err := strconv.Atoi(q.Get("n"))
	if err != nil || n <= 0 {
		n = len(names)
	}
	if u.o.Page > 0 {
		n = min(n, u.o.Page)
	}
	if len(names) > n {
		names = names[:n]
		next := url.Values{"n": {strconv.Itoa(n)}}
		if u.o.Flavor == Quay {
			next.Set("next_page", "after-"+names[n-1])
		} else {
			next.Set("last", names[n-1])
		}
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.Path, next.Encode()))
	}
	if names == nil {
		names = []string{}
	}
	doc := map[string]any{field: names}
	if name != "" {
		doc["name"] = name
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(mustJSON(doc))
}

func (u *Upstream) repository(w http.ResponseWriter, r *http.Request, name, kind, ref string) {
	u.mu.Lock()
	repo := u.repos[name]
	if repo == nil {
		u.mu.Unlock()
		fail(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	switch kind {
	case "tags":
		if repo.sorted == nil {
			repo.sorted = slices.Sorted(maps.Keys(repo.tags))
		}
		names := repo.sorted
		u.mu.Unlock()
		u.list(w, r, "tags", name, names)
	case "manifests":
		d, isTag := repo.tags[ref]
		if !isTag {
			d = gantry.Digest(ref)
		}
		m, ok := repo.manifests[d]
		u.mu.Unlock()
		if !ok {
			fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
			return
		}
		if u.o.Flavor == Hub {
			w.Header().Set("Ratelimit-Limit", "100;w=21600")
			w.Header().Set("Ratelimit-Remaining", "99;w=21600")
		}
		w.Header().Set("Docker-Content-Digest", string(d))
		if u.o.Flavor == Open && r.Header.Get("If-None-Match") == `"`+string(d)+`"` { // as Docker's own registry does
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", m.mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(m.bytes)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(m.bytes)
		}
	case "blobs":
		b, ok := repo.blobs[gantry.Digest(ref)]
		u.mu.Unlock()
		if !ok {
			fail(w, http.StatusNotFound, "BLOB_UNKNOWN")
			return
		}
		w.Header().Set("Docker-Content-Digest", ref)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	case "referrers":
		list := []Descriptor{}
		for d, m := range repo.manifests {
			var doc struct {
				ArtifactType string      `json:"artifactType"`
				Subject      *Descriptor `json:"subject"`
			}
			if json.Unmarshal(m.bytes, &doc) == nil && doc.Subject != nil && string(doc.Subject.Digest) == ref {
				list = append(list, Descriptor{MediaType: m.mediaType, Digest: d, Size: int64(len(m.bytes)), ArtifactType: doc.ArtifactType})
			}
		}
		u.mu.Unlock()
		if u.o.NoReferrers {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", TypeIndex)
		_, _ = w.Write(mustJSON(map[string]any{"schemaVersion": 2, "mediaType": TypeIndex, "manifests": list}))
	default:
		u.mu.Unlock()
		http.NotFound(w, r)
	}
}
