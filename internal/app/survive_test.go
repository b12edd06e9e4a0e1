package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth/ldap/ldaptest"
	"github.com/gantry-registry/gantry/internal/auth/oidc/oidctest"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A group is instances on one database server and one folder of blobs.
type group struct {
	t       *testing.T
	dialect string
	uri     string // beside every proxy
	fields  map[string]any
	db      *store.DB // beside the instances
}

// eachGroup runs f on each database server, with no instance yet.
func eachGroup(t *testing.T, f func(t *testing.T, g *group)) {
	for _, dialect := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(dialect, func(t *testing.T) {
			g := &group{t: t, dialect: dialect, uri: storetest.URI(t, dialect), fields: map[string]any{
				"SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
				"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"shared": []any{"LocalStorage", map[string]any{"storage_path": t.TempDir()}}},
				"FEATURE_USER_INITIALIZE":    true, "SERVER_HOSTNAME": "fleet.example.com", "FEATURE_RATE_LIMITS": false,
				"CREATE_PRIVATE_REPO_ON_PUSH": true,
			}}
			g.db = storetest.Open(t, dialect, store.Options{URI: g.uri})
			f(t, g)
		})
	}
}

// environ is the environment of an instance that reaches the database at uri.
func (g *group) environ(uri string, more ...string) []string {
	g.fields["DB_URI"] = uri
	return append(override(g.t, g.fields), more...)
}

// open starts an instance that reaches the database at uri.
func (g *group) open(uri string, o Options) *site {
	g.t.Helper()
	o.Environ = g.environ(uri, o.Environ...)
	return open(g.t, o)
}

// public makes a repository public.
func (s *site) visibility(token, repo, v string) reply {
	s.t.Helper()
	return send(s.t, "POST", s.base+"/api/v1/repository/"+repo+"/changevisibility", `{"visibility": "`+v+`"}`,
		"Authorization", "Bearer "+token, "Content-Type", "application/json")
}

// pushed pushes an image as ada.
func (s *site) pushed(repo string) image {
	s.t.Helper()
	auth, r := s.bearer("ada", password, "repository:"+repo+":pull,push")
	i := newImage(repo)
	if auth != "" {
		r = s.push(auth, repo, "v1", i)
	}
	if r.status != 201 {
		s.t.Fatalf("push to %s: %d %s", repo, r.status, r.body)
	}
	return i
}

// refused checks that an answer says that the database is away.
func refused(t *testing.T, what string, r reply) {
	t.Helper()
	if after, err := strconv.Atoi(r.header.Get("Retry-After")); r.status != 503 || err != nil || after < 1 || !strings.Contains(r.body, "database") || !strings.Contains(r.body, "UNAVAILABLE") {
		t.Errorf("%s: %d, Retry-After %q, %s", what, r.status, r.header.Get("Retry-After"), r.body)
	}
}

// TestSurvival takes the database away: pulls of what is known go on, by tag
// and by digest, by tokens from before and by new ones; what writes is refused
// clearly; what was taken away before is not given. Then it comes back.
func TestSurvival(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		through, p := storetest.Proxied(t, g.uri)
		a, b := g.open(through, Options{}), g.open(g.uri, Options{})
		t.Cleanup(p.Heal)             // before they are stopped
		a.auth.LearnKeys(t.Context()) // as with every sign of life
		admin := b.initialize("ada")
		images := map[string]image{}
		for _, repo := range []string{"ada/open", "ada/closed", "ada/deleted", "ada/hidden"} {
			images[repo] = b.pushed(repo)
		}
		for _, repo := range []string{"ada/open", "ada/hidden"} {
			if r := b.visibility(admin, repo, "public"); r.status != 200 {
				t.Fatalf("%s: %d %s", repo, r.status, r.body)
			}
		}
		robot, err := NewAdmin(Options{Data: b.data}).RobotCreate(t.Context(), "ada+ci", "")
		if err != nil {
			t.Fatal(err)
		}
		if r := send(t, "PUT", b.base+"/api/v1/repository/ada/closed/permissions/user/ada+ci", `{"role": "read"}`,
			"Authorization", "Bearer "+admin, "Content-Type", "application/json"); r.status != 200 {
			t.Fatalf("permission: %d %s", r.status, r.body)
		}
		const scope = "repository:ada/%s:pull"
		old := map[string]string{} // tokens from before; those of b were never seen by a
		for _, repo := range []string{"closed", "deleted"} {
			old[repo], _ = b.bearer("ada", password, fmt.Sprintf(scope, repo))
		}
		know := func() {
			t.Helper()
			for repo := range images {
				auth, r := a.bearer("ada", password, "repository:"+repo+":pull")
				if r.status == 200 {
					r = a.pull(auth, repo, images[repo])
				}
				if r.status != 200 {
					t.Fatalf("pull of %s: %d %s", repo, r.status, r.body)
				}
				_, _ = a.bearer("", "", "repository:"+repo+":pull")
				if r := send(t, "GET", a.base+"/v2/"+repo+"/manifests/"+digestOf(images[repo].manifest), "", "Authorization", auth, "Accept", manifestType); r.status != 200 {
					t.Fatalf("by digest: %d", r.status)
				}
			}
			if _, r := a.bearer("ada+ci", robot.Token, fmt.Sprintf(scope, "closed")); r.status != 200 {
				t.Fatalf("robot: %d %s", r.status, r.body)
			}
		}
		know()
		if r := send(t, "DELETE", b.base+"/api/v1/repository/ada/deleted/tag/v1", "", "Authorization", "Bearer "+admin); r.status != 204 {
			t.Fatalf("delete: %d %s", r.status, r.body)
		}
		if r := b.visibility(admin, "ada/hidden", "private"); r.status != 200 {
			t.Fatalf("hide: %d %s", r.status, r.body)
		}
		auth, _ := a.bearer("ada", password, "repository:ada/open:pull,push")
		for name, fault := range map[string]func(){"cut": p.Cut, "stalled": p.Stall} {
			logged := storetest.Get(t, g.db, `SELECT COUNT(*) FROM access_log`)
			fault()
			pulls := int64(0)
			pull := func(what, auth, repo string) {
				t.Helper()
				if r := a.pull(auth, repo, images[repo]); r.status != 200 {
					t.Errorf("%s, %s: %d %s\n%s", name, what, r.status, r.body, a.log)
				}
				pulls++
			}
			// The first that comes finds out, and the server is away then.
			send(t, "GET", a.base+"/api/v1/repository?public=true", "")
			until(t, "the database is away", func() bool { return !a.db.Away().IsZero() })
			pull("by an old token of the other instance", old["closed"], "ada/closed")
			nobody, r := a.bearer("", "", fmt.Sprintf(scope, "open"))
			if nobody == "" {
				t.Errorf("%s: nobody's token: %d %s", name, r.status, r.body)
			}
			pull("as nobody", nobody, "ada/open")
			ci, r := a.bearer("ada+ci", robot.Token, fmt.Sprintf(scope, "closed"))
			if ci == "" {
				t.Errorf("%s: a robot's token: %d %s", name, r.status, r.body)
			}
			pull("as a robot", ci, "ada/closed")
			ada, r := a.bearer("ada", password, fmt.Sprintf(scope, "closed"))
			if ada == "" {
				t.Errorf("%s: the token of somebody who was here: %d %s", name, r.status, r.body)
			}
			if r := send(t, "GET", a.base+"/v2/ada/open/manifests/"+digestOf(images["ada/open"].manifest), "", "Authorization", nobody, "Accept", manifestType); r.status != 200 {
				t.Errorf("%s: by digest: %d %s", name, r.status, r.body)
			}
			pulls++
			if _, r := a.bearer("ada+ci", robot.Token+"x", fmt.Sprintf(scope, "closed")); r.status == 200 {
				t.Errorf("%s: a wrong token of a robot", name)
			}
			for _, pass := range []string{"wrong-horse-9", "wrong-horse-8"} {
				_, r := a.bearer("ada", pass, fmt.Sprintf(scope, "closed"))
				refused(t, name+": a wrong password", r)
			}
			_, r = a.bearer("ada", password, "repository:ada/open:pull,push")
			refused(t, name+": a token for a push", r)
			refused(t, name+": an upload", send(t, "POST", a.base+"/v2/ada/open/blobs/uploads/", "", "Authorization", auth))
			refused(t, name+": a manifest", send(t, "PUT", a.base+"/v2/ada/open/manifests/v2", string(images["ada/open"].manifest), "Authorization", auth, "Content-Type", manifestType))
			refused(t, name+": what is not known", send(t, "GET", a.base+"/v2/ada/open/manifests/v9", "", "Authorization", nobody))
			for what, r := range map[string]reply{
				"what was deleted": a.pull(old["deleted"], "ada/deleted", images["ada/deleted"]),
				"what was hidden":  a.pull("", "ada/hidden", images["ada/hidden"]),
			} {
				if r.status == 200 {
					t.Errorf("%s: %s is given", name, what)
				}
			}
			if status, list := services(t, a, "/health/instance"); status != 200 || list["database"] != false || list["pulls"] != true {
				t.Errorf("%s: health: %d %v", name, status, list)
			}
			if status, _ := services(t, a, "/health/endtoend"); status != 503 {
				t.Errorf("%s: end to end: %d", name, status)
			}
			p.Heal()
			until(t, "it pushes again", func() bool {
				auth, _ := a.bearer("ada", password, "repository:ada/open:pull,push")
				return auth != "" && a.push(auth, "ada/open", "again", images["ada/open"]).status == 201
			})
			until(t, name+": every pull is logged once", func() bool {
				n, _ := a.db.Spooled()
				return n == 0 && storetest.Get(t, g.db, `SELECT COUNT(*) FROM access_log`) == logged+pulls
			})
		}
	})
}

// TestStartBeforeDatabase: a server that is started with its database, or before
// it, waits; one whose database will never have it does not.
func TestStartBeforeDatabase(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		through, p := storetest.Proxied(t, g.uri)
		p.Cut()
		var log journal
		o := Options{Environ: g.environ(through), Data: t.TempDir(), Listen: "127.0.0.1:0", Metrics: Off, DatabaseWait: time.Minute,
			Log: log.logger()}
		healed := make(chan struct{})
		go func() {
			defer close(healed)
			for !strings.Contains(log.String(), "the database does not answer") {
				time.Sleep(10 * time.Millisecond)
			}
			p.Heal()
		}()
		s, err := Start(t.Context(), o)
		<-healed
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		p.Cut()
		gone, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := Start(gone, o); !errors.Is(err, context.Canceled) {
			t.Errorf("a start that is called off: %v", err)
		}
		p.Heal()
		u, err := url.Parse(g.uri)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/nowhere"
		o.Environ, o.DatabaseWait = g.environ(u.String()), 24*time.Hour
		if _, err := Start(t.Context(), o); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("a database that there is not: %v", err)
		}
	})
}

// TestSurvivalMoved: a blob that was moved to its key after the database went
// for one instance is found there; that it is nowhere does not say that it is
// lost.
func TestSurvivalMoved(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		at := memSites(t, "us")["us"].inner
		g.fields["DISTRIBUTED_STORAGE_CONFIG"] = map[string]any{"us": []any{"S3Storage", map[string]any{"s3_bucket": "us", "storage_path": "/"}}}
		through, p := storetest.Proxied(t, g.uri)
		a, b := g.open(through, Options{}), g.open(g.uri, Options{})
		t.Cleanup(p.Heal) // before they are stopped
		a.auth.LearnKeys(t.Context())
		b.initialize("ada")
		i := b.pushed("ada/app")
		time.Sleep(3 * time.Second) // a has heard of the push by then, and does not take what it reads for taken away
		auth, _ := a.bearer("ada", password, "repository:ada/app:pull")
		if r := a.pull(auth, "ada/app", i); r.status != 200 {
			t.Fatalf("pull: %d %s", r.status, r.body)
		}
		p.Cut()
		send(t, "GET", a.base+"/api/v1/repository?public=true", "")
		until(t, "the database is away", func() bool { return !a.db.Away().IsZero() })
		remove := func(prefix string) {
			t.Helper()
			keys := blobtest.Keys(t, at, prefix, "")
			if len(keys) < 2 {
				t.Fatalf("below %s is %v", prefix, keys)
			}
			for _, key := range keys {
				if err := at.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s, err := b.collector().RelocateAll(t.Context()); err != nil || s.Relocated != 2 {
			t.Fatalf("%+v, %v", s, err)
		}
		remove("uploads/")
		if r := a.pull(auth, "ada/app", i); r.status != 200 {
			t.Errorf("pull of what was moved: %d %s", r.status, r.body)
		}
		remove("sha256/")
		refused(t, "what is nowhere", a.pull(auth, "ada/app", i))
	})
}

// TestLoginsWithoutDatabase: who logs in by a directory, a provider or an OAuth
// application while the database is away is told so, and can do it afterwards.
func TestLoginsWithoutDatabase(t *testing.T) {
	proxied := func(t *testing.T) (database string, p *servertest.Proxy) {
		t.Helper()
		through, p := storetest.Proxied(t, storetest.EmptyURI(t, storetest.Postgres))
		return fmt.Sprintf("DB_URI: %s\nSECRET_KEY: %032d\nDATABASE_SECRET_KEY: %032d", through, 1, 2), p
	}
	outage := func(s *site, p *servertest.Proxy, during func()) {
		t.Helper()
		t.Cleanup(p.Heal)
		p.Cut()
		send(t, "GET", s.base+"/api/v1/repository?public=true", "")
		until(t, "the database is away", func() bool { return !s.db.Away().IsZero() })
		during()
		p.Heal()
		until(t, "the database is back", func() bool { return s.db.Away().IsZero() })
	}
	clear := func(what string, r reply) {
		t.Helper()
		if after, err := strconv.Atoi(r.header.Get("Retry-After")); r.status != 503 || err != nil || after < 1 || !strings.Contains(r.body, "database") {
			t.Errorf("%s: %d, Retry-After %q, %.300s", what, r.status, r.header.Get("Retry-After"), r.body)
		}
	}
	t.Run("LDAP", func(t *testing.T) {
		dir := ldaptest.Start(t, false, "")
		database, p := proxied(t)
		s := open(t, Options{Config: folder(t, map[string]string{"ldap.crt": dir.PEM(), "config.yaml": fmt.Sprintf(`%s
AUTHENTICATION_TYPE: LDAP
LDAP_URI: %s
LDAP_BASE_DN: [dc=example, dc=org]
LDAP_ADMIN_DN: %s
LDAP_ADMIN_PASSWD: %s
LDAP_USER_RDN: [ou=people]
BROWSER_API_CALLS_XHR_ONLY: false
`, database, dir.LDAPS, ldaptest.AdminDN, ldaptest.AdminPassword)})})
		signin := func() reply {
			return send(t, "POST", s.base+"/api/v1/signin", `{"username":"ann","password":"ann-password"}`, "Content-Type", "application/json")
		}
		if r := signin(); r.status != 200 {
			t.Fatal(r.status, r.body)
		}
		outage(s, p, func() {
			clear("a sign-in", signin())
			_, r := s.bearer("ann", "ann-password", "repository:ann/app:pull,push")
			clear("a docker login for a push", r)
			_, r = s.bearer("bob", "bob-password", "repository:bob/app:pull")
			clear("a docker login of somebody who was never here", r)
		})
		until(t, "ann signs in", func() bool { return signin().status == 200 })
	})
	t.Run("OIDC", func(t *testing.T) {
		at := oidctest.Start(t, "http://registry.example.com/oauth2/corp/callback")
		database, p := proxied(t)
		s := open(t, Options{Config: folder(t, map[string]string{"extra_ca_certs": at.PEM, "config.yaml": fmt.Sprintf(`%s
AUTHENTICATION_TYPE: OIDC
SERVER_HOSTNAME: registry.example.com
CORP_LOGIN_CONFIG:
  OIDC_SERVER: %s/
  CLIENT_ID: %s
  CLIENT_SECRET: %s
  SERVICE_NAME: Corp
`, database, at.URL, at.ClientID, at.ClientSecret)})})
		begin := func() reply {
			return send(t, "POST", s.base+"/api/v1/externallogin/corp", `{"kind":"login"}`, "Content-Type", "application/json")
		}
		back := func(r reply) reply { // the browser comes back from the provider
			t.Helper()
			to, _ := r.json(t)["auth_url"].(string)
			return send(t, "GET", s.base+at.Visit(to).RequestURI(), "", "Cookie", strings.Split(r.header.Get("Set-Cookie"), ";")[0])
		}
		r := begin()
		if r.status != 200 {
			t.Fatal(r.status, r.body)
		}
		outage(s, p, func() {
			clear("the way back from the provider", back(r))
			clear("a token of the provider", send(t, "GET", s.base+"/api/v1/user/", "", "Authorization", "Bearer "+at.Token()))
			clear("an application's code", send(t, "POST", s.base+"/oauth/access_token", "grant_type=authorization_code&code=c&client_id=i&client_secret=s&redirect_uri=http://x/",
				"Content-Type", "application/x-www-form-urlencoded"))
		})
		until(t, "a login", func() bool {
			r := begin()
			return r.status == 200 && back(r).status == 302
		})
	})
}

// TestTakenAway: when the answer to a change that takes away has come, the other
// instance refuses, with a bus that reaches it and without.
func TestTakenAway(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		for _, reached := range []bool{true, false} {
			var shared bus.Bus
			if reached {
				local := bus.New(bus.Options{})
				t.Cleanup(func() { _ = local.Close() })
				shared = local
			}
			a, b := g.open(g.uri, Options{bus: shared}), g.open(g.uri, Options{bus: shared})
			admin := ""
			if reached {
				admin = a.initialize("ada")
			} else {
				id := storetest.Get(t, g.db, `SELECT id FROM accounts WHERE name = 'ada'`)
				if id == 0 {
					t.Fatal("no account")
				}
			}
			repo := fmt.Sprintf("ada/gone-%v", reached)
			i := a.pushed(repo)
			auth, _ := b.bearer("ada", password, "repository:"+repo+":pull,push")
			get := func() int {
				return send(t, "GET", b.base+"/v2/"+repo+"/manifests/"+digestOf(i.manifest), "", "Authorization", auth, "Accept", manifestType).status
			}
			for range 3 {
				if r := a.push(auth, repo, "v1", i); r.status != 201 {
					t.Fatalf("push: %d %s", r.status, r.body)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var pulls sync.WaitGroup
				pulls.Go(func() { // keeps it in b's memory
					for ctx.Err() == nil {
						get()
					}
				})
				until(t, "b has it", func() bool { return get() == 200 })
				if r := send(t, "DELETE", a.base+"/v2/"+repo+"/manifests/"+digestOf(i.manifest), "", "Authorization", auth); r.status != 202 {
					t.Errorf("delete: %d %s", r.status, r.body)
				}
				if status := get(); status != 404 {
					t.Errorf("reached %v: after the answer the other gives %d", reached, status)
				}
				cancel()
				pulls.Wait()
			}
			if admin == "" {
				continue
			}
			if r := a.visibility(admin, repo, "public"); r.status != 200 {
				t.Errorf("public: %d %s", r.status, r.body)
			}
			i = a.pushed(repo)
			until(t, "nobody may pull", func() bool { return b.pull("", repo, i).status == 200 })
			if r := a.visibility(admin, repo, "private"); r.status != 200 {
				t.Errorf("private: %d %s", r.status, r.body)
			}
			if r := b.pull("", repo, i); r.status == 200 {
				t.Error("after the answer the other gives what is private")
			}
		}
	})
}

// child is an instance in a process of its own.
func (g *group) child(more ...string) *life {
	g.t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(g.t.Context()), os.Args[0])
	cmd.Env = append(append(os.Environ(), g.environ(g.uri, more...)...), "GANTRY_KILL_DATA="+g.t.TempDir())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	l := (&killWorld{t: g.t}).begin(cmd, stdin)
	g.t.Cleanup(l.kill)
	return l
}

// TestUploadsElsewhere: chunks of an upload go to any instance, one is killed in
// the middle of a request, and the other goes on; a clock that is ten minutes
// wrong changes nothing.
func TestUploadsElsewhere(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		a := g.open(g.uri, Options{Environ: []string{clockOffset + "=-10m"}})
		_ = a.initialize("ada")
		other := g.child(clockOffset + "=10m")
		auth, r := a.bearer("ada", password, "repository:ada/app:pull,push")
		if auth == "" {
			t.Fatalf("token: %d %s", r.status, r.body)
		}
		bases := []string{a.base, other.base}
		blob := make([]byte, 0, 1<<20)
		for i := range 1 << 17 {
			blob = fmt.Appendf(blob, "%08d", i)
		}
		begin := func() string {
			t.Helper()
			r := send(t, "POST", a.base+"/v2/ada/app/blobs/uploads/", "", "Authorization", auth)
			if r.status != 202 {
				t.Fatalf("begin: %d %s", r.status, r.body)
			}
			return r.header.Get("Docker-Upload-Uuid")
		}
		patch := func(base, id string, from, to int) reply {
			return send(t, "PATCH", base+"/v2/ada/app/blobs/uploads/"+id, string(blob[from:to]), "Authorization", auth,
				"Content-Range", fmt.Sprintf("%d-%d", from, to-1), "Content-Type", "application/octet-stream")
		}
		finish := func(base, id string) reply {
			return send(t, "PUT", base+"/v2/ada/app/blobs/uploads/"+id+"?digest="+digestOf(blob), "", "Authorization", auth)
		}
		const piece = 1 << 17
		id := begin()
		for n := range len(blob) / piece {
			if r := patch(bases[n%2], id, n*piece, (n+1)*piece); r.status != 202 {
				t.Fatalf("chunk %d: %d %s", n, r.status, r.body)
			}
		}
		if r := finish(other.base, id); r.status != 201 {
			t.Fatalf("finish: %d %s", r.status, r.body)
		}
		if r := send(t, "GET", a.base+"/v2/ada/app/blobs/"+digestOf(blob), "", "Authorization", auth); r.body != string(blob) {
			t.Errorf("the blob: %d, %d bytes", r.status, len(r.body))
		}
		// The second upload: the other instance is killed in the middle of a
		// chunk.
		blob = append(blob, "second"...)
		id = begin()
		if r := patch(other.base, id, 0, piece); r.status != 202 {
			t.Fatalf("chunk: %d %s", r.status, r.body)
		}
		body, w := io.Pipe()
		broken := make(chan error, 1)
		go func() {
			req, err := http.NewRequestWithContext(t.Context(), "PATCH", other.base+"/v2/ada/app/blobs/uploads/"+id, body)
			if err == nil {
				req.Header.Set("Authorization", auth)
				req.ContentLength = int64(len(blob) - piece)
				var res *http.Response
				if res, err = plain.Do(req); err == nil {
					err = errors.Join(fmt.Errorf("answered %d", res.StatusCode), res.Body.Close())
				}
			}
			broken <- err
		}()
		if _, err := w.Write(blob[piece : 2*piece]); err != nil {
			t.Fatal(err)
		}
		held := func() bool {
			return storetest.Get(t, g.db, `SELECT COUNT(*) FROM uploads WHERE uuid = ? AND holder <> ''`, id) == 1
		}
		until(t, "the other holds it", held)
		if r := patch(a.base, id, piece, len(blob)); r.status != 409 || !strings.Contains(r.body, "another request") {
			t.Errorf("while the other is at it: %d %s", r.status, r.body)
		}
		other.kill()
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
		if err := <-broken; err == nil {
			t.Error("the broken chunk was answered")
		}
		// It is dead when it has shown nothing for a minute.
		storetest.Exec(t, g.db, `UPDATE uploads SET touched_ms = touched_ms - 70000 WHERE uuid = ?`, id)
		r = send(t, "GET", a.base+"/v2/ada/app/blobs/uploads/"+id, "", "Authorization", auth)
		if r.status != 204 || r.header.Get("Range") != fmt.Sprintf("0-%d", piece-1) {
			t.Errorf("state: %d %s", r.status, r.header.Get("Range"))
		}
		if r := patch(a.base, id, piece, len(blob)); r.status != 202 {
			t.Fatalf("the rest: %d %s", r.status, r.body)
		}
		if r := finish(a.base, id); r.status != 201 {
			t.Fatalf("finish: %d %s", r.status, r.body)
		}
		if r := send(t, "GET", a.base+"/v2/ada/app/blobs/"+digestOf(blob), "", "Authorization", auth); r.body != string(blob) {
			t.Errorf("the blob: %d, %d bytes", r.status, len(r.body))
		}
	})
}

// TestWrongClocks: instances whose clocks are 20 minutes apart believe each
// other's tokens, see the same tags live, and hold one lease.
func TestWrongClocks(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		early := g.open(g.uri, Options{Environ: []string{clockOffset + "=-10m"}, leaseRetry: 20 * time.Millisecond})
		late := g.open(g.uri, Options{Environ: []string{clockOffset + "=10m"}, leaseRetry: 20 * time.Millisecond})
		admin := early.initialize("ada")
		if !strings.Contains(early.log.String(), clockOffset) || !strings.Contains(early.log.String(), "clock is not the database's") {
			t.Error("the log does not tell of the clock")
		}
		i := early.pushed("ada/app")
		for _, way := range [][2]*site{{early, late}, {late, early}} {
			auth, _ := way[0].bearer("ada", password, "repository:ada/app:pull")
			if r := way[1].pull(auth, "ada/app", i); r.status != 200 {
				t.Errorf("a token of the other: %d %s", r.status, r.body)
			}
			if r := way[1].pull(auth, "ada/app", i); r.status != 200 {
				t.Errorf("again: %d %s", r.status, r.body)
			}
		}
		// A tag that ends in two minutes lives at both, one that ended at none.
		end := time.Now().Add(2 * time.Minute).Unix()
		if r := send(t, "PUT", early.base+"/api/v1/repository/ada/app/tag/v1", fmt.Sprintf(`{"expiration": %d}`, end),
			"Authorization", "Bearer "+admin, "Content-Type", "application/json"); r.status != 201 {
			t.Fatalf("expiration: %d %s", r.status, r.body)
		}
		for _, s := range []*site{early, late} {
			auth, _ := s.bearer("ada", password, "repository:ada/app:pull")
			if r := s.pull(auth, "ada/app", i); r.status != 200 {
				t.Errorf("before its end: %d %s", r.status, r.body)
			}
		}
		if n := storetest.Get(t, g.db, `SELECT COUNT(*) FROM leases WHERE name = '`+gcLease+`' AND fence = 1`); n != 1 {
			t.Errorf("the collector's lease went from hand to hand")
		}
		storetest.Exec(t, g.db, `UPDATE tags SET end_ms = ? WHERE name = 'v1' AND live = 1`, time.Now().Add(-time.Minute).UnixMilli())
		for _, s := range []*site{early, late} {
			auth, _ := s.bearer("ada", password, "repository:ada/app:pull")
			until(t, "it has ended", func() bool { return s.pull(auth, "ada/app", i).status == 404 })
		}
	})
}

// TestMigrateWaits: a migration waits for a database server as long as it may.
func TestMigrateWaits(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		through, p := storetest.Proxied(t, g.uri)
		p.Cut()
		o := Options{Environ: g.environ(through), Data: t.TempDir()}
		if _, err := NewAdmin(o).Migrate(t.Context()); err == nil {
			t.Error("a database that is away is migrated")
		}
		time.AfterFunc(1500*time.Millisecond, p.Heal)
		o.DatabaseWait = time.Minute
		if s, err := NewAdmin(o).Migrate(t.Context()); err != nil || !s.Current {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
