package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A tagWorld is a world with content, and a repository ann/app in it.
type tagWorld struct {
	*world
	content *content.Store
	repo    store.Repository
	ann     string // who administers the repository
	reader  string
	writer  string
	ahead   *atomic.Int64 // the clock
}

// eachTagWorld runs f on each database.
func eachTagWorld(t *testing.T, o TagOptions, f func(t *testing.T, w *tagWorld)) {
	t.Helper()
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) { f(t, newTagWorld(t, d, o)) })
	}
}

func (w *tagWorld) advance(d time.Duration) { w.ahead.Add(int64(d)) }

const app = "/api/v1/repository/ann/app"

func newTagWorld(t *testing.T, dialect string, o TagOptions) *tagWorld {
	t.Helper()
	ctx := t.Context()
	w := &tagWorld{ahead: new(atomic.Int64)}
	db := storetest.Open(t, dialect, store.Options{Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
	w.world = newWorldOn(t, db)
	location, err := db.EnsureLocation(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	if w.content, err = content.New(content.Options{Store: db, Locations: []content.Location{{ID: location, Name: "default", Engine: mem.New()}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.content.Close(); err != nil {
			t.Error(err)
		}
	})
	srv := httptest.NewServer(checked(t, New(Options{Store: db, Auth: w.svc, Content: w.content, Tags: o})))
	t.Cleanup(srv.Close)
	w.url = srv.URL

	ann, token := w.user("ann", false)
	w.ann = token
	name := gantry.RepoName{Namespace: "ann", Name: "app"}
	if _, err := db.CreateRepository(ctx, store.NewRepository{Name: name, Creator: ann.ID}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	if w.repo, err = db.Repository(ctx, name); err != nil {
		t.Fatal(err)
	}
	for who, role := range map[string]gantry.Role{"reader": gantry.Read, "writer": gantry.Write} {
		a, token := w.user(who, false)
		if err := db.SetPermission(ctx, w.repo, a, role, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if role == gantry.Read {
			w.reader = token
		} else {
			w.writer = token
		}
	}
	return w
}

// blob pushes bytes into the repository.
func (w *tagWorld) blob(b []byte) string {
	w.t.Helper()
	d := gantry.FromBytes(b)
	if _, err := w.content.Push(w.t.Context(), w.repo.ID, int64(len(b)), bytes.NewReader(b), d, gantry.Actor{}); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf(`"digest":%q,"size":%d`, d, len(b))
}

// push pushes a manifest under tags.
func (w *tagWorld) push(body string, tags ...string) string {
	w.t.Helper()
	p, err := w.content.PutManifest(w.t.Context(), content.Put{Repo: w.repo.ID, Body: []byte(body), Tags: tags})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(p.Digest)
}

const ociManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`

// image pushes an image with one layer of that text.
func (w *tagWorld) image(layer string, tags ...string) string {
	w.t.Helper()
	config := w.blob([]byte(`{"architecture":"amd64","os":"linux","config":{"Labels":{"built.in":"` + layer + `"}}}`))
	return w.push(ociManifest+`"config":{"mediaType":"application/vnd.oci.image.config.v1+json",`+config+
		`},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",`+w.blob([]byte(layer))+`}]}`, tags...)
}

// A tagPage is an answer of the list of tags.
type tagPage struct {
	Tags []struct {
		Name       string
		Digest     string `json:"manifest_digest"`
		Size       *int64
		Start, End int64
		Reversion  bool
		Immutable  bool
		List       bool   `json:"is_manifest_list"`
		EndTS      *int64 `json:"end_ts"`
		Platforms  []string
		Signed     *bool
	}
	Next string `json:"next_page"`
	Page int
	More bool `json:"has_additional"`
}

func (w *tagWorld) list(token, query string) (p tagPage, names string) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.want(200, "GET", app+"/tag/?"+query, token, "")), &p); err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, t := range p.Tags {
		all = append(all, t.Name)
	}
	return p, strings.Join(all, " ")
}

func TestListTags(t *testing.T) {
	eachTagWorld(t, TagOptions{}, func(t *testing.T, w *tagWorld) {
		one := w.image("layer one", "v1")
		w.advance(time.Second)
		w.image("two", "v1")
		w.advance(time.Second)
		index := w.push(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+one+`","size":10}]}`, "list_1")
		for _, tt := range []struct {
			query, want string
			page        int
			more        bool
		}{
			{"", "list_1 v1 v1", 1, false},
			{"onlyActiveTags=true", "list_1 v1", 1, false},
			{"onlyActiveTags=false", "list_1 v1 v1", 1, false},
			{"limit=2", "list_1 v1", 1, true},
			{"limit=2&page=2", "v1", 2, false},
			{"limit=2&page=3", "", 3, false},
			{"limit=0&page=-1", "list_1", 1, true},
			{"limit=1000", "list_1 v1 v1", 1, false},
			{"specificTag=v1", "v1 v1", 1, false},
			{"specificTag=v1&onlyActiveTags=true", "v1", 1, false},
			{"specificTag=v2", "", 1, false},
			{"specificTag=" + url.QueryEscape("no tag \x00"), "", 1, false},
			{"filter_tag_name=eq:v1", "v1 v1", 1, false},
			{"filter_tag_name=eq:V1", "", 1, false},
			{"filter_tag_name=like:T_", "list_1", 1, false},
			{"filter_tag_name=like:" + url.QueryEscape("%"), "", 1, false},
			{"filter_tag_name=like:%ff", "", 1, false},
			{"filter_tag_name=eq:v1&specificTag=list_1", "", 1, false},
		} {
			before := w.db.Statements()
			p, names := w.list(w.reader, tt.query)
			if names != tt.want || p.Page != tt.page || p.More != tt.more {
				t.Errorf("%s: %q, page %d, more %v; want %q, %d, %v", tt.query, names, p.Page, p.More, tt.want, tt.page, tt.more)
			}
			if n := w.db.Statements() - before; n > 6 {
				t.Errorf("%s: %d statements", tt.query, n)
			}
		}
		p, _ := w.list(w.reader, "")
		if l, v, old := p.Tags[0], p.Tags[1], p.Tags[2]; l.Digest != index || !l.List || l.Size != nil || l.EndTS != nil || *v.Size != 3 || v.List || old.Digest != one || old.EndTS == nil {
			t.Errorf("%+v", p.Tags)
		}
		for _, query := range []string{"limit=x", "page=1.5", "page=99999999999999", "filter_tag_name=v1", "filter_tag_name=ilike:v1", "filter_tag_name=eq:"} {
			w.want(400, "GET", app+"/tag?"+query, w.reader, "")
		}
		w.want(401, "GET", app+"/tag/", "", "")
	})
}

// TestListTagsOn turns pages by their tokens, with filters of what images are.
func TestListTagsOn(t *testing.T) {
	eachTagWorld(t, TagOptions{}, func(t *testing.T, w *tagWorld) {
		one := w.image("layer one", "v1")
		w.advance(time.Minute)
		index := w.push(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+one+
			`","size":10,"platform":{"os":"linux","architecture":"amd64"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+one+
			`","size":10,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}]}`, "multi")
		w.advance(time.Minute)
		w.image("three", "v3")
		w.push(ociManifest + `"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":{"mediaType":"application/vnd.oci.empty.v1+json",` + w.blob([]byte("{}")) +
			`},"layers":[],"subject":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + index + `","size":10}}`)
		walk := func(query string) string {
			t.Helper()
			var all []string
			for next := ""; ; {
				p, names := w.list(w.reader, query+"&next_page="+next)
				if names != "" {
					all = append(all, names)
				}
				if p.Page != 1 || p.More != (p.Next != "") {
					t.Errorf("%s: page %d, more %v, next %q", query, p.Page, p.More, p.Next)
				}
				if next = p.Next; next == "" {
					return strings.Join(all, " | ")
				}
			}
		}
		for query, want := range map[string]string{
			"limit=2": "v3 multi | v1", "limit=1&onlyActiveTags=true": "v3 | multi | v1", "architecture=arm64": "multi", "architecture=amd64&limit=2": "v3 multi | v1",
			"signed=true": "multi", "signed=false": "v3 v1", "signed=false&filter_tag_name=like:3": "v3", "architecture=vax": "", "filter_tag_name=like:%ff": "", "specificTag=v1": "v1",
		} {
			if got := walk(query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		p, _ := w.list(w.reader, "includeImage=true")
		if m := p.Tags[1]; !*m.Signed || len(m.Platforms) != 2 || m.Platforms[1] != "linux/arm64/v8" || *p.Tags[0].Signed || p.Tags[0].Platforms[0] != "linux/amd64" {
			t.Errorf("%+v", p.Tags)
		}
		p, _ = w.list(w.reader, "limit=1&next_page=")
		if p.Tags[0].Platforms != nil || p.Tags[0].Signed != nil {
			t.Errorf("what was not asked for: %+v", p.Tags)
		}
		for _, query := range []string{"limit=1&signed=true&next_page=" + p.Next, "next_page=x", "signed=yes", "architecture=" + strings.Repeat("x", 65)} {
			w.want(400, "GET", app+"/tag?"+query, w.reader, "")
		}
		w.want(400, "GET", app+"/tag?limit=1&next_page="+p.Next, w.writer, "")
	})
}

// TestFillPlatforms notes the platforms of what was pushed before they were
// noted with each push.
func TestFillPlatforms(t *testing.T) {
	eachTagWorld(t, TagOptions{}, func(t *testing.T, w *tagWorld) {
		one := w.image("layer one", "v1")
		w.advance(time.Minute)
		w.push(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+one+
			`","size":10,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}]}`, "multi")
		w.push(ociManifest+`"artifactType":"application/x","config":{"mediaType":"application/vnd.oci.empty.v1+json",`+w.blob([]byte("{}"))+`},"layers":[]}`, "no-image")
		platforms := func() string {
			p, _ := w.list(w.reader, "includeImage=true")
			var all []string
			for _, g := range p.Tags {
				all = append(all, g.Name+" "+strings.Join(g.Platforms, ","))
			}
			slices.Sort(all)
			return strings.Join(all, " | ")
		}
		const want = "multi linux/arm64/v8 | no-image  | v1 linux/amd64"
		if got := platforms(); got != want {
			t.Fatal(got)
		}
		storetest.Exec(t, w.db, `DELETE FROM manifest_labels WHERE label = 'gantry.platforms'`)
		if got := platforms(); got != "multi  | no-image  | v1 " {
			t.Fatal("without labels:", got)
		}
		noted, next, err := w.content.FillPlatforms(t.Context(), 0)
		if err != nil || noted != 2 || next == 0 || platforms() != want {
			t.Errorf("%d noted up to %d, %v: %s", noted, next, err, platforms())
		}
		for after, last := range map[gantry.ManifestID]gantry.ManifestID{0: next, next: 0} { // nothing is left to do
			if noted, got, err := w.content.FillPlatforms(t.Context(), after); err != nil || noted != 0 || got != last {
				t.Errorf("again after %d: %d noted up to %d, %v", after, noted, got, err)
			}
		}
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM manifest_labels WHERE label = 'gantry.platforms'`); n != 2 {
			t.Errorf("%d labels", n)
		}
	})
}

// TestFreed tells who administers a repository what deleting it frees.
func TestFreed(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{})
	w.image("layer", "v1")
	holds(t, w.want(200, "GET", app+"?includeFreed=true", w.ann, ""), `"freed":{"bytes":`, `"complete":true}`)
	holds(t, w.want(200, "GET", app+"?includeTags=false&includeFreed=true&tag=v1", w.writer, ""), `"freed":{"bytes":`, `"complete":true}`)
	w.want(404, "GET", app+"?includeFreed=true&tag=v2", w.writer, "")
	for query, token := range map[string]string{"?includeFreed=true": w.writer, "?includeFreed=true&tag=v1": w.reader, "": w.ann} {
		if b := w.want(200, "GET", app+query, token, ""); strings.Contains(b, "freed") {
			t.Errorf("%q: %s", query, b)
		}
	}
}

// TestRepositoryTags shows a repository with its tags, and without.
func TestRepositoryTags(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{})
	d := w.image("layer", "v1", "v2")
	b := w.want(200, "GET", app, w.reader, "")
	holds(t, b, `"tags":{"v1":{`, `"v2":{`, `"manifest_digest":"`+d+`"`, `"size":5`)
	if b := w.want(200, "GET", app+"?includeTags=false", w.reader, ""); strings.Contains(b, "tags") {
		t.Error(b)
	}
	for i := range 600 {
		w.push(ociManifest+`"config":{"mediaType":"a/b",`+w.blob([]byte("{}"))+`},"layers":[]}`, fmt.Sprintf("t%d", i))
	}
	var v struct{ Tags map[string]any }
	if err := json.Unmarshal([]byte(w.want(200, "GET", app+"?includeTags=true&includeStats=true", w.reader, "")), &v); err != nil || len(v.Tags) != 500 || v.Tags["t599"] == nil {
		t.Errorf("%d tags, %v", len(v.Tags), err)
	}
}

func TestChangeTag(t *testing.T) {
	eachTagWorld(t, TagOptions{Immutable: true, MinLife: time.Hour}, func(t *testing.T, w *tagWorld) {
		one, two := w.image("one", "v1"), w.image("two", "v2")
		digest := func(d string) string { return `{"manifest_digest":"` + d + `"}` }
		if b := w.want(201, "PUT", app+"/tag/new", w.writer, digest(one)); b != "\"Updated\"\n" {
			t.Errorf("%q", b)
		}
		w.want(201, "PUT", app+"/tag/v1", w.writer, digest(two))
		if p, _ := w.list(w.reader, "specificTag=v1"); p.Tags[0].Digest != two || p.Tags[1].Digest != one {
			t.Errorf("%+v", p)
		}
		none := "sha256:" + strings.Repeat("0", 64)
		later := w.db.Now().Add(24 * time.Hour).Unix()
		for _, tt := range []struct {
			path, token, body string
			want              int
		}{
			{"/tag/new", w.reader, digest(one), 403},
			{"/tag/new", "", digest(one), 401},
			{"/tag/new", w.writer, digest(none), 404},
			{"/tag/new", w.writer, digest("v1"), 400},
			{"/tag/" + url.PathEscape("-bad"), w.writer, digest(one), 400},
			{"/tag/v1", w.writer, `{}`, 400},
			{"/tag/v1", w.writer, `{"manifest_digest":null}`, 400},
			{"/tag/v1", w.writer, ``, 400},
			{"/tag/v1", w.writer, `{"expiration":5}`, 400},
			{"/tag/v1", w.writer, `{"expiration":-1}`, 400},
			{"/tag/v1", w.writer, `{"expiration":1e300}`, 400},
			{"/tag/v1", w.writer, `{"expiration":"soon"}`, 400},
			{"/tag/none", w.writer, `{"expiration":null}`, 404},
			{"/tag/v1", w.writer, fmt.Sprintf(`{"expiration":%d.5}`, later), 201},
			{"/tag/v1", w.writer, `{"immutable":true}`, 400}, // it has an end
			{"/tag/v1", w.writer, `{"expiration":null,"immutable":true}`, 201},
			{"/tag/v1", w.writer, digest(one), 409},
			{"/tag/v1", w.writer, fmt.Sprintf(`{"expiration":%d}`, later), 409},
			{"/tag/v1", w.writer, `{"immutable":"yes"}`, 400},
			{"/tag/v1", w.writer, `{"immutable":false}`, 403},
			{"/tag/v2", w.writer, fmt.Sprintf(`{"expiration":%d}`, later), 201},
		} {
			b := w.want(tt.want, "PUT", app+tt.path, tt.token, tt.body)
			if tt.want == 409 {
				holds(t, b, `"error_type":"tag_immutable"`, `"status":409`)
			}
		}
		if p, _ := w.list(w.reader, "specificTag=v2"); p.Tags[0].EndTS == nil || *p.Tags[0].EndTS != later {
			t.Errorf("%+v", p)
		}
		holds(t, w.want(409, "DELETE", app+"/tag/v1", w.ann, ""), `"tag_immutable"`)
		w.want(409, "POST", app+"/tag/v1/restore", w.ann, digest(one))
		if p, _ := w.list(w.reader, "onlyActiveTags=true&specificTag=v1"); !p.Tags[0].Immutable {
			t.Errorf("%+v", p)
		}
		w.want(201, "PUT", app+"/tag/v1", w.ann, `{"immutable":false}`)
		w.want(204, "DELETE", app+"/tag/v1", w.writer, "")

		off := w.withTags(t, TagOptions{})
		off.want(400, "PUT", app+"/tag/v2", w.ann, `{"immutable":true}`)
	})
}

// withTags serves the world with other options.
func (w *tagWorld) withTags(t *testing.T, o TagOptions) *tagWorld {
	return w.serve(t, Options{Tags: o})
}

func (w *tagWorld) serve(t *testing.T, o Options) *tagWorld {
	o.Store, o.Auth, o.Content = w.db, w.svc, w.content
	srv := httptest.NewServer(checked(t, New(o)))
	t.Cleanup(srv.Close)
	n, inner := *w, *w.world
	inner.url, n.world = srv.URL, &inner
	return &n
}

func TestDeleteAndRestoreTag(t *testing.T) {
	eachTagWorld(t, TagOptions{}, func(t *testing.T, w *tagWorld) {
		d := w.image("one", "v1")
		body := `{"manifest_digest":"` + d + `"}`
		w.want(403, "DELETE", app+"/tag/v1", w.reader, "")
		w.want(404, "DELETE", app+"/tag/none", w.writer, "")
		w.want(404, "DELETE", app+"/tag/"+url.PathEscape("-bad"), w.writer, "")
		w.want(204, "DELETE", app+"/tag/v1", w.writer, "")
		w.want(404, "DELETE", app+"/tag/v1", w.writer, "")
		w.want(404, "GET", app+"/manifest/"+d, w.reader, "")
		w.want(403, "POST", app+"/tag/v1/restore", w.reader, body)
		w.want(404, "POST", app+"/tag/other/restore", w.writer, body)
		w.want(400, "POST", app+"/tag/v1/restore", w.writer, `{}`)
		w.want(404, "POST", app+"/tag/v1/restore", w.writer, `{"manifest_digest":"sha256:`+strings.Repeat("0", 64)+`"}`)
		if b := w.want(200, "POST", app+"/tag/v1/restore", w.writer, body); b != "{}\n" {
			t.Errorf("%q", b)
		}
		if p, _ := w.list(w.reader, ""); len(p.Tags) != 2 || !p.Tags[0].Reversion || p.Tags[1].Reversion {
			t.Errorf("%+v", p)
		}
		w.want(200, "GET", app+"/manifest/"+d, w.reader, "")
		// Where nothing can be restored, nothing is.
		none := w.serve(t, Options{Retention: -1})
		none.want(204, "DELETE", app+"/tag/v1", w.writer, "")
		w.advance(time.Second)
		none.want(404, "POST", app+"/tag/v1/restore", w.writer, body)
	})
}

func TestForgetTag(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{})
	one, two := w.image("one", "v1"), w.image("two", "v1")
	const path = app + "/tag/v1/expire"
	w.want(404, "POST", path, w.writer, `{"is_alive":true}`) // switched off
	w = w.withTags(t, TagOptions{Forget: true})
	w.want(403, "POST", path, w.reader, `{"is_alive":true}`)
	w.want(400, "POST", path, w.writer, `{}`)
	w.want(400, "POST", path, w.writer, `{"manifest_digest":"x"}`)
	w.want(404, "POST", path, w.writer, `{"manifest_digest":"`+two+`"}`)
	w.want(200, "POST", path, w.writer, `{"manifest_digest":"`+one+`","include_submanifests":true}`)
	if _, names := w.list(w.reader, ""); names != "v1" {
		t.Error(names)
	}
	w.want(404, "POST", app+"/tag/v1/restore", w.writer, `{"manifest_digest":"`+one+`"}`)
	w.want(200, "POST", path, w.writer, `{"is_alive":true}`)
	w.want(404, "POST", path, w.writer, `{"is_alive":true}`)
	if _, names := w.list(w.reader, ""); names != "" {
		t.Error(names)
	}
}

func TestGetManifest(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{})
	config := w.blob([]byte(`{"history":[{"created":"2021-01-05T00:00:00Z","created_by":"ADD base"},{"created_by":"ENV x","empty_layer":true,"author":"ada"},{"created_by":"RUN y","comment":"c"}]}`))
	layers := `"layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","urls":["https://example.com/x"],` + w.blob([]byte("base")) + `},{"mediaType":"a/b",` + w.blob([]byte("second")) + `}]}`
	d := w.push(ociManifest+`"config":{"mediaType":"application/vnd.oci.image.config.v1+json",`+config+`},`+layers, "v1")
	b := w.want(200, "GET", app+"/manifest/"+d, w.reader, "")
	holds(t, b, `"is_manifest_list":false`, `"layers_compressed_size":10`, `"config_media_type":"application/vnd.oci.image.config.v1+json"`,
		`"command":["ADD base"]`, `"created_datetime":"Tue, 05 Jan 2021 00:00:00 +0000"`, `"urls":["https://example.com/x"]`, `"is_remote":true`,
		`"author":"ada"`, emptyLayerDigest, `"comment":"c"`, `"index":2`, `"manifest_data":"{\"schemaVersion\":2`)

	// What is no image, or has no history, has layers all the same.
	chart := w.push(ociManifest+`"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json",`+w.blob([]byte(`[]`))+`},`+layers, "chart")
	holds(t, w.want(200, "GET", app+"/manifest/"+chart, w.reader, ""), `"index":1`, `"command":null`)
	holds(t, w.want(200, "GET", app+"/manifest/"+chart+"?includeConfig=true&includeReferrers=true", w.reader, ""), `"config":null`, `"referrers":[]`)
	index := w.push(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, "list")
	holds(t, w.want(200, "GET", app+"/manifest/"+index, w.reader, ""), `"is_manifest_list":true`, `"layers":null`)

	// The configuration, and what refers to a manifest, come when they are asked for.
	sbom := w.push(ociManifest + `"artifactType":"application/spdx+json","config":{"mediaType":"application/vnd.oci.empty.v1+json",` + w.blob([]byte(`{}`)) +
		`},"layers":[],"annotations":{"made.by":"ada"},"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + d + `","size":` + strconv.Itoa(len(d)) + `}}`)
	holds(t, w.want(200, "GET", app+"/manifest/"+d+"?includeConfig=true&includeReferrers=true", w.reader, ""), `"config":{"history":[{"created"`,
		`"digest":"`+sbom+`"`, `"artifactType":"application/spdx+json"`, `"annotations":{"made.by":"ada"}`)
	if strings.Contains(b, `"referrers"`) || strings.Contains(b, `"config":`) {
		t.Errorf("neither was asked for: %s", b)
	}

	w.want(404, "GET", app+"/manifest/v1", w.reader, "")
	w.want(404, "GET", app+"/manifest/sha256:"+strings.Repeat("0", 64), w.reader, "")
	w.want(401, "GET", app+"/manifest/"+d, "", "")
}

func TestLabels(t *testing.T) {
	eachTagWorld(t, TagOptions{ReservedLabels: []string{"acme."}}, func(t *testing.T, w *tagWorld) {
		path := app + "/manifest/" + w.image("one", "v1") + "/labels"
		holds(t, w.want(200, "GET", path, w.reader, ""), `"key":"built.in"`, `"source_type":"manifest"`)
		var got struct {
			Label  struct{ ID string }
			Labels []struct{ ID, Key, Value string }
		}
		b := w.want(201, "POST", path, w.writer, `{"key":"stage","value":"test","media_type":null}`)
		holds(t, b, `"source_type":"api"`, `"media_type":"text/plain"`, `"value":"test"`)
		if err := json.Unmarshal([]byte(b), &got); err != nil {
			t.Fatal(err)
		}
		w.want(201, "POST", path, w.writer, `{"key":"more","value":"{}","media_type":"application/json"}`)
		holds(t, w.want(200, "GET", path+"/"+got.Label.ID, w.reader, ""), `"key":"stage"`)
		if err := json.Unmarshal([]byte(w.want(200, "GET", path+"?filter=st", w.reader, "")), &got); err != nil || len(got.Labels) != 1 || got.Labels[0].Key != "stage" {
			t.Errorf("%+v, %v", got, err)
		}
		for _, tt := range []struct {
			token, body string
			want        int
		}{
			{w.reader, `{"key":"x","value":"y","media_type":null}`, 403},
			{"", `{"key":"x","value":"y","media_type":null}`, 401},
			{w.writer, `{"key":"x","media_type":null}`, 400},
			{w.writer, `{"value":"x","media_type":null}`, 400},
			{w.writer, `{"key":"quay.expires-after","value":"1d","media_type":null}`, 400},
			{w.writer, `{"key":"com.docker.x","value":"1d","media_type":null}`, 400},
			{w.writer, `{"key":"acme.x","value":"1d","media_type":null}`, 400},
			{w.writer, `{"key":"Big","value":"y","media_type":null}`, 400},
			{w.writer, `{"key":"a..b","value":"y","media_type":null}`, 400},
			{w.writer, `{"key":"","value":"y","media_type":null}`, 400},
			{w.writer, `{"key":"` + strings.Repeat("k", 256) + `","value":"y","media_type":null}`, 400},
			{w.writer, `{"key":"x","value":"` + strings.Repeat("v", maxLabelValue+1) + `","media_type":null}`, 400},
			{w.writer, `{"key":"x","value":"y","media_type":"text/html"}`, 400},
			{w.writer, `{"key":"x","value":"y\u0000","media_type":null}`, 400},
		} {
			w.want(tt.want, "POST", path, tt.token, tt.body)
		}
		w.want(403, "DELETE", path+"/"+got.Label.ID, w.reader, "")
		w.want(404, "DELETE", path+"/none", w.writer, "")
		w.want(204, "DELETE", path+"/"+got.Label.ID, w.writer, "")
		w.want(404, "GET", path+"/"+got.Label.ID, w.reader, "")
		if err := json.Unmarshal([]byte(w.want(200, "GET", path+"?filter=built", w.reader, "")), &got); err != nil {
			t.Fatal(err)
		}
		holds(t, w.want(400, "DELETE", path+"/"+got.Labels[0].ID, w.writer, ""), "part of the image")
		w.want(404, "GET", app+"/manifest/sha256:"+strings.Repeat("0", 64)+"/labels", w.reader, "")
	})
}

// TestTagsThatDoNotChange calls every route that writes where nothing may be
// written: by tokens for less, in a repository that is closed, and in a
// registry that is.
func TestTagsThatDoNotChange(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{Immutable: true, Forget: true})
	d := w.image("one", "v1")
	w.image("two", "v1")
	manifest := app + "/manifest/" + d
	writes := []struct{ method, path, body string }{
		{"PUT", app + "/tag/v1", `{"manifest_digest":"` + d + `"}`},
		{"PUT", app + "/tag/v1", `{"expiration":null}`},
		{"PUT", app + "/tag/v1", `{"immutable":true}`},
		{"DELETE", app + "/tag/v1", ""},
		{"POST", app + "/tag/v1/restore", `{"manifest_digest":"` + d + `"}`},
		{"POST", app + "/tag/v1/expire", `{"is_alive":true}`},
		{"POST", manifest + "/labels", `{"key":"x","value":"y","media_type":null}`},
		{"DELETE", manifest + "/labels/x", ""},
	}
	refused := func(token string, status int) (last string) {
		t.Helper()
		for _, x := range writes {
			last = w.want(status, x.method, x.path, token, x.body)
		}
		return last
	}
	reads, err := w.svc.NewOAuthToken(t.Context(), w.repo.Namespace, auth.ScopeRepoRead, 1e12, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	refused(reads, 403)
	w.list(reads, "")
	for _, state := range []gantry.RepoState{gantry.ReadOnlyState, gantry.Mirror} {
		if err := w.db.SetState(t.Context(), w.repo, state, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if b := refused(w.ann, 503); strings.Contains(b, "is_readonly") {
			t.Error("the registry is not read-only, a repository is: ", b)
		}
		w.list(w.ann, "")
		w.want(200, "GET", manifest, w.ann, "")
	}
	if err := w.db.SetState(t.Context(), w.repo, gantry.Normal, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	set := *w.svc.Settings()
	set.ReadOnly = true
	w.svc.Configure(set)
	holds(t, refused(w.ann, 503), `"is_readonly":true`)
	w.list(w.ann, "")
}

// TestHostileTags names tags, manifests and labels as no honest client does.
func TestHostileTags(t *testing.T) {
	w := newTagWorld(t, storetest.SQLite, TagOptions{Immutable: true, Forget: true})
	d := w.image("one", "v1")
	for _, rt := range tagRoutes {
		for _, x := range []string{"%00", "%ff", "..", "a%0d%0aX:%20y", "%C3%A4nn", "v1%20", strings.Repeat("a", 5000), "sha256:" + strings.Repeat("A", 64)} {
			path := "/api/v1/" + strings.NewReplacer("{repo}", "ann/app", "{tag}", x, "{digest}", x, "{id}", x).Replace(rt.path)
			for _, body := range []string{"", "null", "[]", `{"manifest_digest":"` + d + `","expiration":[],"immutable":{}}`, `{"manifest_digest":"sha256:","expiration":null}`, `{"key":"` + strings.Repeat("a", 10_000) + `","value":"x"}`} {
				if s, b, h := w.call(rt.method, path, w.ann, body); s >= 500 || len(b) > 10_000 || h.Get("X") != "" || s < 300 && !strings.HasSuffix(path, "/tag") {
					t.Errorf("%s %.80s with %.40q: %d %.300s", rt.method, path, body, s, b)
				}
			}
		}
	}
	if _, names := w.list(w.ann, ""); names != "v1" {
		t.Error(names)
	}
}
