package mirror

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func (w *world) orgMirror(c Choice) {
	w.t.Helper()
	c.Insecure = true
	options, err := json.Marshal(c)
	w.must(err)
	id := uuid.NewString()
	sealed, err := Seal(w.keys, true, id, Secret{})
	w.must(err)
	w.must(w.db.CreateOrgMirror(w.t.Context(), store.OrgMirror{UUID: id, Org: w.org.ID, OrgName: w.org.Name, Robot: w.robot.ID, Enabled: false, Kind: KindCatalog,
		URL: w.up.URL, Upstream: "team", Visibility: gantry.Private, Secret: sealed, Options: options, Interval: time.Hour, Start: w.db.Now()}, gantry.Actor{}))
}

// syncOrg looks for repositories and waits until what it found has run.
func (w *world) syncOrg() (store.OrgMirror, map[string]store.OrgMirrorRepo) {
	w.t.Helper()
	ctx := w.t.Context()
	w.must(w.db.SyncOrgMirror(ctx, w.org.ID, gantry.Actor{}))
	for deadline := time.Now().Add(2 * time.Minute); ; {
		w.runner.Wake()
		m, err := w.db.OrgMirror(ctx, w.org.ID)
		w.must(err)
		list, _, err := w.db.OrgMirrorRepos(ctx, m.ID, "", 0, 100)
		w.must(err)
		all := map[string]store.OrgMirrorRepo{}
		busy := m.Status == store.MirrorSyncing || m.Status == store.MirrorSyncNow
		for _, o := range list {
			all[o.Name] = o
			busy = busy || o.Status == store.MirrorSyncing || o.Status == store.MirrorSyncNow || o.Status == store.MirrorNeverRun
		}
		if !busy {
			return m, all
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("it does not end: %+v %+v", m, all)
		}
		_, err = w.db.QueueMirrors(ctx, 100)
		w.must(err)
		time.Sleep(10 * time.Millisecond)
	}
}

func TestOrganization(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	for _, name := range []string{"team/web", "team/db", "team/tools/cli", "team/secret", "other/app"} {
		w.up.AddImage(name, "v1", layer(100))
	}
	taken := gantry.RepoName{Namespace: w.org.Name, Name: "db"}
	_, err := w.db.CreateRepository(t.Context(), store.NewRepository{Name: taken}, gantry.Actor{})
	w.must(err)
	w.orgMirror(Choice{Repositories: []string{"web", "d*", "tools/*"}, Prune: true})
	m, all := w.syncOrg()
	if m.Status != store.MirrorSuccess || len(all) != 3 || all["web"].Status != store.MirrorSuccess || all["tools/cli"].Status != store.MirrorSuccess ||
		all["db"].Status != store.MirrorSkip || !strings.Contains(all["db"].Message, "none of this mirror") {
		t.Fatalf("%+v %+v", m, all)
	}
	repo, err := w.db.Repository(t.Context(), gantry.RepoName{Namespace: w.org.Name, Name: "tools/cli"})
	w.must(err)
	if repo.State != gantry.OrgMirror {
		t.Error(repo.State)
	}
	if _, err := w.content.Manifest(t.Context(), repo.ID, gantry.Reference{Tag: "v1"}); err != nil {
		t.Error(err)
	}
	// New ones come, and what no filter chooses any more is deleted here: but
	// never what was there before, and never all at once.
	w.up.AddImage("team/dev", "v1", layer(100))
	change := func(globs ...string) {
		w.must(w.db.ChangeOrgMirror(t.Context(), w.org.ID, gantry.Actor{}, func(o *store.OrgMirror) error {
			options, err := json.Marshal(Choice{Insecure: true, Prune: true, Repositories: globs})
			o.Options = options
			return err
		}))
	}
	change("web", "d*")
	if m, all = w.syncOrg(); all["dev"].Status != store.MirrorSuccess || all["tools/cli"].Status != store.MirrorSkip || !strings.Contains(m.Message, "1 deleted here") {
		t.Fatalf("%+v %+v", m, all)
	}
	if _, err := w.db.Repository(t.Context(), repo.Name); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("it was not deleted: %v", err)
	}
	change("nothing")
	w.syncOrg()
	for _, name := range []string{"web", "db"} {
		if _, err := w.db.Repository(t.Context(), gantry.RepoName{Namespace: w.org.Name, Name: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Away: nothing is noted as gone.
	change("web", "d*")
	w.up.Break("", "/_catalog", -1, remotetest.Status(500))
	if m, all = w.syncOrg(); m.Status != store.MirrorFail || m.Message == "" || all["web"].Gone.IsZero() && all["web"].Status == "" {
		t.Fatalf("%+v %+v", m, all)
	}
}

// TestDiscover lists namespaces as the registries that have an API for it do.
func TestDiscover(t *testing.T) {
	w := newWorld(t, storetest.SQLite, remotetest.Options{}, content.Settings{})
	mux := http.NewServeMux()
	page := func(r *http.Request, key string) int {
		n := 1
		_, _ = fmt.Sscan(r.URL.Query().Get(key), &n)
		return n
	}
	answer := func(rw http.ResponseWriter, v any) {
		if err := json.NewEncoder(rw).Encode(v); err != nil {
			t.Error(err)
		}
	}
	names := func(from, n int, key, prefix string) (list []map[string]string) {
		for i := range n {
			list = append(list, map[string]string{key: fmt.Sprintf("%srepo%03d", prefix, from+i), "namespace": "team"})
		}
		return list
	}
	mux.HandleFunc("GET /api/v1/repository", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" || r.URL.Query().Get("namespace") != "team" {
			http.Error(rw, "{}", http.StatusUnauthorized)
			return
		}
		if r.URL.Query().Get("next_page") == "" {
			answer(rw, map[string]any{"repositories": names(0, 100, "name", ""), "next_page": "more"})
			return
		}
		answer(rw, map[string]any{"repositories": names(100, 20, "name", "")})
	})
	mux.HandleFunc("GET /api/v2.0/projects/team/repositories", func(rw http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != "token" {
			http.Error(rw, "{}", http.StatusForbidden)
			return
		}
		answer(rw, names(100*(page(r, "page")-1), map[int]int{1: 100, 2: 20}[page(r, "page")], "name", "team/"))
	})
	mux.HandleFunc("POST /v2/users/login", func(rw http.ResponseWriter, _ *http.Request) { answer(rw, map[string]string{"token": "jwt"}) })
	mux.HandleFunc("GET /v2/namespaces/team/repositories", func(rw http.ResponseWriter, r *http.Request) {
		v := map[string]any{"results": names(100*(page(r, "page")-1), map[int]int{1: 100, 2: 20}[page(r, "page")], "name", "")}
		if page(r, "page") == 1 {
			v["next"] = "https://hub/x"
		}
		if r.Header.Get("Authorization") != "Bearer jwt" {
			http.Error(rw, "{}", http.StatusUnauthorized)
			return
		}
		answer(rw, v)
	})
	mux.HandleFunc("GET /api/v4/projects/team/registry/repositories", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Private-Token") != "token" {
			http.Error(rw, "{}", http.StatusUnauthorized)
			return
		}
		answer(rw, names(100*(page(r, "page")-1), map[int]int{1: 100, 2: 20}[page(r, "page")], "path", "team/"))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	for kind, user := range map[string]string{KindQuay: oauthUser, KindHarbor: "robot", KindHub: "robot", KindGitLab: "robot"} {
		m := store.OrgMirror{Kind: kind, URL: srv.URL, Upstream: "team"}
		found, err := w.svc.Discover(t.Context(), m, Choice{Insecure: true}, Secret{Username: user, Password: "token"}, 0)
		if err != nil || len(found) != 120 || found[119].Name != "repo119" || found[0].Upstream != srv.URL[len("http://"):]+"/team/repo000" {
			t.Errorf("%s: %d %v", kind, len(found), err)
		}
		if found, err = w.svc.Discover(t.Context(), m, Choice{Insecure: true}, Secret{Username: user, Password: "token"}, 1); err != nil || len(found) != 1 {
			t.Errorf("%s: one: %d %v", kind, len(found), err)
		}
		if kind != KindHub {
			_, err = w.svc.Discover(t.Context(), m, Choice{Insecure: true}, Secret{Username: user, Password: "wrong"}, 0)
			if k := remote.KindOf(err); k != remote.Credentials && k != remote.Denied || strings.Contains(Explain(err), "wrong") {
				t.Errorf("%s: wrong credentials: %v", kind, err)
			}
		}
		m.Upstream = "none"
		if _, err = w.svc.Discover(t.Context(), m, Choice{Insecure: true}, Secret{Username: user, Password: "token"}, 0); err == nil {
			t.Errorf("%s: a namespace that is not there", kind)
		}
	}
	for _, u := range []string{"", "ftp://x", "https://u:p@x", "https://x/path", "http://x", "https://x?y"} {
		if _, err := CheckURL(u, false); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%q: %v", u, err)
		}
	}
}
