package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/quaytest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A takeover is a registry that takes a Quay over.
type takeover struct {
	t       *testing.T
	q       *quaytest.Quay
	s       quaytest.Sample
	dir     string // of config.yaml
	data    string
	dialect string
	uri     string
	admin   *Admin
}

// newTakeover makes a filled Quay, and the configuration of who takes it over.
func newTakeover(t *testing.T, from string, release quaytest.Release, to string) *takeover {
	t.Helper()
	q := quaytest.New(t, storetest.EmptyURI(t, from), release)
	return takeoverOf(t, q, q.Fill(t), to)
}

// takeoverOf makes the configuration of who takes a Quay over.
func takeoverOf(t *testing.T, q *quaytest.Quay, s quaytest.Sample, to string) *takeover {
	t.Helper()
	v := &takeover{t: t, q: q, s: s, data: t.TempDir(), dialect: to, uri: storetest.EmptyURI(t, to)}
	v.dir = folder(t, map[string]string{"config.yaml": fmt.Sprintf(`
DB_URI: %q
DATABASE_SECRET_KEY: "a-key-of-our-own-that-is-not-the-quays"
SECRET_KEY: %q
SERVER_HOSTNAME: quay.example.com
FEATURE_RATE_LIMITS: false
FEATURE_REPO_MIRROR: true
FEATURE_PROXY_CACHE: true
FEATURE_APP_SPECIFIC_TOKENS: true
SUPER_USERS: [ann]
DISTRIBUTED_STORAGE_CONFIG:
  default: [LocalStorage, {storage_path: %q}]
DISTRIBUTED_STORAGE_PREFERENCE: [default]
`, v.uri, q.SecretKey, q.Storage)})
	v.admin = NewAdmin(Options{Config: v.dir, Data: v.data})
	return v
}

func (v *takeover) imported(r ImportRequest) QuayImported {
	v.t.Helper()
	r.FromConfig = v.q.Dir
	out, err := v.admin.ImportQuay(v.t.Context(), r, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return out
}

func (v *takeover) get(query string, args ...any) int64 {
	v.t.Helper()
	return storetest.Get(v.t, storetest.Open(v.t, v.dialect, store.Options{URI: v.uri}), query, args...)
}

func counted(out QuayImported, what string) int {
	i := slices.IndexFunc(out.Counts, func(c store.QuayCount) bool { return c.What == what })
	if i < 0 {
		return 0
	}
	return out.Counts[i].N
}

// TestImportQuay takes typical Quays over, and then does what their users do.
func TestImportQuay(t *testing.T) {
	for _, c := range []struct {
		from    string
		release quaytest.Release
		to      string
	}{
		{storetest.Postgres, quaytest.V37, storetest.SQLite},
		{storetest.MariaDB, quaytest.Latest, storetest.Postgres},
		{storetest.Postgres, quaytest.Latest, storetest.MariaDB},
	} {
		t.Run(fmt.Sprintf("%s/%v/%s", c.from, c.release, c.to), func(t *testing.T) {
			t.Parallel()
			v := newTakeover(t, c.from, c.release, c.to)
			checked := v.imported(ImportRequest{Check: true, Logs: month})
			out := v.imported(ImportRequest{Hold: 24 * time.Hour, Logs: month})
			if a, b := fmt.Sprint(checked.Counts, checked.LeftOut), fmt.Sprint(out.Counts, out.LeftOut); a != b {
				t.Errorf("--check tells\n%s\nand the import does\n%s", a, b)
			}
			v.counts(out)
			v.whole()
			if again := v.imported(ImportRequest{}); !again.Already || !again.Snapshot.Equal(out.Snapshot) {
				t.Errorf("again: %+v", again)
			}
			v.live()
		})
	}
}

// counts compares what came over with what was there.
func (v *takeover) counts(out QuayImported) {
	v.t.Helper()
	alive, ended, manifests := 0, 0, 0
	left := map[string]bool{} // "repo@digest"
	for _, m := range v.s.Manifests {
		whole := len(m.Bytes) > 0 && !strings.Contains(m.MediaType, "v1+prettyjws")
		for _, b := range m.Blobs {
			whole = whole && !slices.Contains(v.s.Absent, b)
		}
		if whole {
			manifests++
		} else {
			left[m.Repo+"@"+m.Digest] = true
		}
	}
	now := out.Snapshot.UnixMilli()
	for _, tag := range v.s.Tags {
		switch {
		case tag.Hidden || left[tag.Repo+"@"+tag.Digest]:
		case tag.End == 0 || tag.End > now:
			alive++
		default:
			ended++
		}
	}
	for what, want := range map[string]int{"users": len(v.s.Users), "organizations": len(v.s.Orgs), "robots": len(v.s.Robots), "teams": len(v.s.Teams),
		"repositories": len(v.s.Repos), "permissions": len(v.s.Permissions), "default permissions": len(v.s.Prototypes), "stars": len(v.s.Stars),
		"manifests": manifests, "tags": alive, "ended tags that can be restored": ended, "blobs": len(v.s.Blobs), "labels": len(v.s.Labels), "mirrors": 1, "proxy caches": 1,
		"application tokens": 1, "OAuth applications": 1, "OAuth tokens": 1, "quotas": len(v.s.Quotas), "auto-prune policies": len(v.s.Prune),
		"immutability policies": len(v.s.Immutable), "messages": len(v.s.Messages), "log entries": len(v.young())} {
		if got := counted(out, what); got != want {
			v.t.Errorf("%d %s came over, not %d", got, what, want)
		}
	}
	text := fmt.Sprint(out.LeftOut)
	for _, want := range []string{"schema 1", "had yet to fetch", "App Registry", "older than was asked for", "counts of actions", "build triggers", "access tokens of repositories"} {
		if !strings.Contains(text, want) {
			v.t.Errorf("%q is not among what was left out: %s", want, text)
		}
	}
	for _, name := range v.s.SkippedNamespaces {
		if n := v.get(`SELECT COUNT(*) FROM accounts WHERE name = ?`, name); n != 0 {
			v.t.Errorf("the deleted namespace %s is here", name)
		}
	}
	if n := v.get(`SELECT COUNT(*) FROM restore_points`); n != 1 {
		v.t.Errorf("there are %d restore points", n)
	}
	for _, secret := range []string{v.s.Mirror.Password, v.s.Cache.Password, v.s.Application.Secret, v.s.Robots[0].Token, v.s.AppToken.Token[60:], "v0$$"} {
		if n := v.get(`SELECT (SELECT COUNT(*) FROM accounts WHERE secret LIKE ?) + (SELECT COUNT(*) FROM repo_mirrors WHERE secret LIKE ?) + (SELECT COUNT(*) FROM proxy_caches WHERE secret LIKE ?) +
			(SELECT COUNT(*) FROM oauth_applications WHERE secret LIKE ?) + (SELECT COUNT(*) FROM app_tokens WHERE secret LIKE ?) + (SELECT COUNT(*) FROM notifications WHERE config LIKE ?)`,
			"%"+secret+"%", "%"+secret+"%", "%"+secret+"%", "%"+secret+"%", "%"+secret+"%", "%"+secret+"%"); n != 0 {
			v.t.Errorf("a secret is not sealed with our key: %.4s…", secret)
		}
	}
}

// whole checks what has to hold of every database.
func (v *takeover) whole() {
	v.t.Helper()
	db := storetest.Open(v.t, v.dialect, store.Options{URI: v.uri})
	flaws, err := db.VerifyEdges(v.t.Context())
	if err != nil || len(flaws) > 0 {
		v.t.Errorf("%v %+v", err, flaws)
	}
}

// live starts the registry on what came over.
func (v *takeover) live() {
	t := v.t
	s := open(t, Options{Config: v.dir, Data: v.data})
	token := func(user, password, scope string) string {
		r := send(t, "GET", s.base+"/v2/auth?service=quay.example.com&scope="+scope, "", "Authorization", basic(user, password))
		if r.status != 200 {
			t.Errorf("%s: %d %s", user, r.status, r.body)
			return ""
		}
		return fmt.Sprint("Bearer ", r.json(t)["token"])
	}
	v.logs(s)
	// Every manifest and blob that came over is pulled, by who may.
	ann := v.s.Users[0]
	readers := map[string]string{}
	for _, name := range v.s.Orgs {
		readers[name] = ann.Name // owns all of them
	}
	now := time.Now().UnixMilli()
	for _, tag := range v.s.Tags {
		m := v.manifest(tag.Repo, tag.Digest)
		if tag.Hidden || tag.End != 0 && tag.End <= now || strings.HasPrefix(tag.Repo, "cache/") || strings.Contains(m.MediaType, "prettyjws") {
			continue
		}
		bearer := token(ann.Name, ann.Password, "repository:"+tag.Repo+":pull")
		r := send(t, "GET", s.base+"/v2/"+tag.Repo+"/manifests/"+tag.Name, "", "Authorization", bearer, "Accept", m.MediaType)
		if r.status != 200 || r.body != string(m.Bytes) || r.header.Get("Docker-Content-Digest") != m.Digest || r.header.Get("Content-Type") != m.MediaType {
			t.Errorf("%s:%s: %d %s", tag.Repo, tag.Name, r.status, r.body)
		}
		for _, child := range m.Children {
			if r := send(t, "GET", s.base+"/v2/"+tag.Repo+"/manifests/"+child, "", "Authorization", bearer); r.status != 200 {
				t.Errorf("%s@%s: %d %s", tag.Repo, child, r.status, r.body)
			}
		}
		for _, d := range m.Blobs {
			if r := send(t, "GET", s.base+"/v2/"+tag.Repo+"/blobs/"+d, "", "Authorization", bearer); r.status != 200 || r.body != string(v.s.Blobs[d]) {
				t.Errorf("blob %s of %s: %d", d, tag.Repo, r.status)
			}
		}
	}
	v.referrers(s, token(ann.Name, ann.Password, "repository:acme/tools/build/base:pull"))
	v.signIn(s, token)
	v.push(s, token)
	v.newer(s)
}

func (v *takeover) manifest(repo, digest string) quaytest.Manifest {
	i := slices.IndexFunc(v.s.Manifests, func(m quaytest.Manifest) bool { return m.Repo == repo && m.Digest == digest })
	return v.s.Manifests[i]
}

func (v *takeover) referrers(s *site, bearer string) {
	for _, m := range v.s.Manifests {
		if m.Subject == "" {
			continue
		}
		r := send(v.t, "GET", s.base+"/v2/"+m.Repo+"/referrers/"+m.Subject, "", "Authorization", bearer)
		if r.status != 200 || !strings.Contains(r.body, m.Digest) || !strings.Contains(r.body, m.ArtifactType) {
			v.t.Errorf("referrers: %d %s", r.status, r.body)
		}
	}
}

// signIn has everybody sign in that could there.
func (v *takeover) signIn(s *site, token func(user, password, scope string) string) {
	t := v.t
	for _, r := range v.s.Robots {
		token(r.Name, r.Token, "repository:acme/app:pull")
	}
	token("$app", v.s.AppToken.Token, "repository:acme/app:pull")
	for _, u := range v.s.Users {
		r := send(t, "GET", s.base+"/v2/auth?service=quay.example.com", "", "Authorization", basic(u.Name, u.Password))
		if ok := u.Password != "" && !u.Disabled; u.LDAP == "" && ok != (r.status == 200) {
			t.Errorf("%s signs in: %d", u.Name, r.status)
		}
	}
	r := send(t, "GET", s.base+"/api/v1/repository/acme/app?includeTags=true", "", "Authorization", "Bearer "+v.s.OAuthToken.Token)
	if r.status != 200 || !strings.Contains(r.body, "The app") {
		t.Errorf("OAuth token: %d %s", r.status, r.body)
	}
	all, err := v.admin.UserToken(t.Context(), v.s.Users[0].Name, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	api := func(path string) map[string]any {
		r := send(t, "GET", s.base+"/api/v1/"+path, "", "Authorization", "Bearer "+all.Token)
		if r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		return r.json(t)
	}
	history := api("repository/acme/app/tag/?specificTag=latest&onlyActiveTags=false")["tags"].([]any)
	want := 0
	for _, tag := range v.s.Tags {
		if tag.Repo == "acme/app" && tag.Name == "latest" {
			want++
		}
	}
	if len(history) != want {
		t.Errorf("the history of latest has %d entries, not %d: %v", len(history), want, history)
	}
	m := api("repository/acme/mirrored/mirror")
	if m["external_reference"] != v.s.Mirror.Reference || m["external_registry_username"] != v.s.Mirror.Username || m["robot_username"] != v.s.Mirror.Robot {
		t.Errorf("mirror: %v", m)
	}
	for _, f := range []struct{ query string }{
		{`SELECT COUNT(*) FROM repositories WHERE name = 'frozen' AND state = 1`},
		{`SELECT COUNT(*) FROM repositories WHERE name = 'mirrored' AND state = 2`},
		{`SELECT COUNT(*) FROM team_syncs WHERE service = 'ldap' AND config LIKE '%group_dn%'`},
		{`SELECT COUNT(*) FROM namespace_locations`},
		{`SELECT COUNT(*) FROM team_invites WHERE email = 'guest@example.com'`},
		{`SELECT COUNT(*) FROM federated_logins WHERE service = 'ldap' AND ident = 'carl.l'`},
	} {
		if n := v.get(f.query); n != 1 {
			t.Errorf("%s: %d", f.query, n)
		}
	}
	if v.q.Release == quaytest.Latest {
		for _, q := range []string{`SELECT COUNT(*) FROM robot_federations WHERE issuer = 'https://issuer.example.com'`, `SELECT COUNT(*) FROM tags WHERE immutable = 1 AND name = 'v1'`,
			`SELECT COUNT(*) FROM oauth_assignments`, `SELECT COUNT(*) FROM notifications WHERE repo_id = 0 AND event = 'quota_warning'`} {
			if n := v.get(q); n != 1 {
				t.Errorf("%s: %d", q, n)
			}
		}
	}
}

// push puts something new beside what came over, and restores what had ended.
func (v *takeover) push(s *site, token func(user, password, scope string) string) {
	t := v.t
	bearer := token("acme+ci", v.robot("acme+ci"), "repository:acme/app:pull,push")
	body := "a new layer"
	d := quaytest.Digest([]byte(body))
	if r := send(t, "POST", s.base+"/v2/acme/app/blobs/uploads/?digest="+d, body, "Authorization", bearer, "Content-Type", "application/octet-stream"); r.status != 201 {
		t.Fatalf("push a blob: %d %s", r.status, r.body)
	}
	m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":%d},"layers":[]}`, d, len(body))
	if r := send(t, "PUT", s.base+"/v2/acme/app/manifests/new", m, "Authorization", bearer, "Content-Type", "application/vnd.oci.image.manifest.v1+json"); r.status != 201 {
		t.Errorf("push a manifest: %d %s", r.status, r.body)
	}
	i := slices.IndexFunc(v.s.Tags, func(g quaytest.Tag) bool { return g.Name == "deleted" })
	in, err := json.Marshal(map[string]string{"manifest_digest": v.s.Tags[i].Digest})
	if err != nil {
		t.Fatal(err)
	}
	if r := send(t, "POST", s.base+"/api/v1/repository/acme/app/tag/deleted/restore", string(in), "Authorization", "Bearer "+v.s.OAuthToken.Token, "Content-Type", "application/json"); r.status != 200 {
		t.Errorf("restore: %d %s", r.status, r.body)
	}
	v.whole()
}

func (v *takeover) robot(name string) string {
	i := slices.IndexFunc(v.s.Robots, func(r quaytest.Robot) bool { return r.Name == name })
	return v.s.Robots[i].Token
}

// TestImportInterrupted: an import that broke off serves nothing, and begins
// anew.
func TestImportInterrupted(t *testing.T) {
	for _, to := range []string{storetest.SQLite, storetest.Postgres, storetest.MariaDB} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			v := newTakeover(t, storetest.Postgres, quaytest.Latest, to)
			for _, table := range []string{"teams", "manifests", "tags", "events"} {
				ctx, stop := context.WithCancel(t.Context())
				_, err := v.admin.ImportQuay(ctx, ImportRequest{FromConfig: v.q.Dir, Logs: month}, func(name string, _ int) {
					if name == table {
						stop()
					}
				})
				stop()
				if err == nil {
					t.Fatalf("it went on after %s", table)
				}
				if _, _, err := launch(t, Options{Config: v.dir, Data: v.data}); err == nil || !strings.Contains(err.Error(), "has not ended") {
					t.Fatalf("half an import is served: %v", err)
				}
			}
			if out := v.imported(ImportRequest{Logs: month}); !out.Restarted {
				t.Errorf("%+v", out)
			}
			if n := v.get(`SELECT COUNT(*) FROM events WHERE seq < 0`); n != int64(len(v.young())) {
				t.Errorf("there are %d log entries", n)
			}
			v.whole()
			if n := v.get(`SELECT COUNT(*) FROM accounts`); n != int64(len(v.s.Users)+len(v.s.Orgs)+len(v.s.Robots)) {
				t.Errorf("there are %d accounts", n)
			}
		})
	}
}

// TestImportRefused: what cannot be right is refused before anything is
// written.
func TestImportRefused(t *testing.T) {
	v := newTakeover(t, storetest.Postgres, quaytest.V37, storetest.SQLite)
	refused := func(what string, a *Admin, r ImportRequest, want string) {
		t.Helper()
		_, err := a.ImportQuay(t.Context(), r, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("no source", v.admin, ImportRequest{}, "--from-config")
	refused("no folder", v.admin, ImportRequest{FromConfig: filepath.Join(v.data, "none")}, "--from-config")
	refused("a database that is none of a Quay", v.admin, ImportRequest{FromConfig: v.q.Dir, From: storetest.EmptyURI(t, storetest.Postgres)}, "is not a Quay's")
	refused("itself", v.admin, ImportRequest{From: v.uri}, "are the same")

	other := folder(t, map[string]string{"config.yaml": fmt.Sprintf("DB_URI: %q\nDATABASE_SECRET_KEY: not-the-key\nSECRET_KEY: neither\n", v.q.URI)})
	refused("another key", v.admin, ImportRequest{FromConfig: other, Check: true}, "cannot be opened with the Quay's DATABASE_SECRET_KEY")

	text, err := os.ReadFile(filepath.Join(v.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := folder(t, map[string]string{"config.yaml": strings.ReplaceAll(string(text), "default", "elsewhere")})
	refused("another location", NewAdmin(Options{Config: elsewhere, Data: v.data}), ImportRequest{FromConfig: v.q.Dir}, "the Quay keeps blobs in default")

	theirs := folder(t, map[string]string{"config.yaml": strings.Replace(string(text), v.uri, storetest.EmptyURI(t, storetest.Postgres), 1)})
	quays := quaytest.New(t, storetest.EmptyURI(t, storetest.Postgres), quaytest.V37)
	onto := folder(t, map[string]string{"config.yaml": strings.Replace(string(text), v.uri, quays.URI, 1)})
	refused("onto a Quay's", NewAdmin(Options{Config: onto, Data: v.data}), ImportRequest{FromConfig: v.q.Dir}, "holds the tables of a Quay")

	s := open(t, Options{Config: theirs, Data: v.data})
	refused("a running registry", NewAdmin(Options{Config: theirs, Data: v.data}), ImportRequest{FromConfig: v.q.Dir}, "stop all instances")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	full := NewAdmin(Options{Config: v.dir, Data: v.data})
	if _, err := full.UserCreate(t.Context(), NewUser{Name: "ada", Password: password}); err != nil {
		t.Fatal(err)
	}
	refused("a registry with users", full, ImportRequest{FromConfig: v.q.Dir}, "not empty")
	if n := v.get(`SELECT COUNT(*) FROM accounts`); n != 1 {
		t.Errorf("there are %d accounts", n)
	}
	// The Quay is as it was.
	if n := v.q.Get(t, "SELECT COUNT(*) FROM "+v.q.Quoted("user")); n == 0 {
		t.Error("the Quay is empty")
	}
}

// TestImportFlaws: what is broken in a Quay is told, and does not keep the rest
// from coming over.
func TestImportFlaws(t *testing.T) {
	for _, from := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			v := newTakeover(t, from, quaytest.V37, storetest.SQLite)
			app, one := v.q.Get(t, "SELECT id FROM repository WHERE name = 'app'"), v.manifest("acme/app", v.tag("acme/app", "V1").Digest)
			manifest := v.q.Get(t, "SELECT id FROM manifest WHERE repository_id = ? AND digest = ?", app, one.Digest)

			// Two live tags of one name, which the index of old releases allows.
			v.q.Insert(t, "tag", quaytest.Row{"name": "V1", "repository_id": app, "manifest_id": manifest, "lifetime_start_ms": time.Now().UnixMilli() - 1000})
			// Two rows for one blob, and a manifest that uses both.
			blob := v.q.Get(t, "SELECT blob_id FROM manifestblob WHERE manifest_id = ? ORDER BY blob_id LIMIT 1", manifest)
			twin := v.q.Insert(t, "imagestorage", quaytest.Row{"content_checksum": one.Blobs[0], "image_size": len(v.s.Blobs[one.Blobs[0]]), "uploading": false})
			v.q.Insert(t, "imagestorageplacement", quaytest.Row{"storage_id": twin, "location_id": "default"})
			v.q.Insert(t, "manifestblob", quaytest.Row{"repository_id": app, "manifest_id": manifest, "blob_id": twin})
			if blob == 0 {
				t.Fatal("the manifest has no blob")
			}
			// A robot whose token was sealed with a key that is gone, and one without.
			for _, name := range []string{"zz+damaged", "zz+bare"} {
				v.q.Insert(t, "user", quaytest.Row{"username": name, "robot": true})
			}
			v.q.Insert(t, "user", quaytest.Row{"username": "zz"})
			v.q.Insert(t, "robotaccounttoken", quaytest.Row{"robot_account_id": v.q.Get(t, "SELECT id FROM "+v.q.Quoted("user")+" WHERE username = 'zz+damaged'"), "token": "v0$$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
			// A robot of nobody.
			v.q.Insert(t, "user", quaytest.Row{"username": "nobody+ci", "robot": true})
			// A manifest with other bytes, and one that is none.
			for _, bytes := range []string{one.Digest, "{}"} {
				d := quaytest.Digest([]byte(bytes))
				if bytes != "{}" {
					d = quaytest.Digest([]byte("other"))
				}
				v.q.Insert(t, "tag", quaytest.Row{"name": "broken" + bytes[:2], "repository_id": app, "tag_kind_id": "tag",
					"manifest_id": v.q.Insert(t, "manifest", quaytest.Row{"repository_id": app, "digest": d, "media_type_id": one.MediaType, "manifest_bytes": bytes})})
			}
			// An image whose blob is gone.
			gone := v.q.Insert(t, "imagestorage", quaytest.Row{"content_checksum": quaytest.Digest([]byte("gone")), "image_size": 4, "uploading": false})
			v.q.Insert(t, "manifestblob", quaytest.Row{"repository_id": app, "manifest_id": manifest, "blob_id": gone})

			out := v.imported(ImportRequest{})
			v.whole()
			text := fmt.Sprint(out.LeftOut)
			for _, want := range []string{"zz+damaged", "zz+bare", "nobody+ci", "not those of their digest", "manifest invalid", "does not have all of their blobs", "acme/app@"} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not among what was left out: %s", want, text)
				}
			}
			if n := v.get(`SELECT COUNT(*) FROM tags WHERE name = 'V1' AND live = 1`); n != 1 {
				t.Errorf("V1 is alive %d times", n)
			}
			if n := v.get(`SELECT COUNT(*) FROM tags WHERE name = 'v1' AND live = 1`); n != 1 {
				t.Errorf("v1 is alive %d times", n)
			}
			if n := v.get(`SELECT COUNT(*) FROM accounts WHERE name LIKE 'zz+%' AND secret LIKE 'g1$%'`); n != 2 {
				t.Errorf("%d robots of zz have tokens", n)
			}
		})
	}
}

func (v *takeover) tag(repo, name string) quaytest.Tag {
	i := slices.IndexFunc(v.s.Tags, func(g quaytest.Tag) bool { return g.Repo == repo && g.Name == name })
	return v.s.Tags[i]
}

// TestImportOld: a Quay of before 3.7 has neither quotas nor proxy caches.
func TestImportOld(t *testing.T) {
	v := newTakeover(t, storetest.Postgres, quaytest.V37, storetest.SQLite)
	for _, table := range []string{"quotalimits", "userorganizationquota", "quotatype", "proxycacheconfig", "uploadedblob", "userregion"} {
		v.q.Exec(t, "DROP TABLE "+table)
	}
	out := v.imported(ImportRequest{})
	if counted(out, "robots") != len(v.s.Robots) || counted(out, "proxy caches") != 0 {
		t.Errorf("%+v", out.Counts)
	}
	v.whole()
}
