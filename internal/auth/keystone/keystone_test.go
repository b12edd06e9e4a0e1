package keystone

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A keystone is a strict one, with the users admin, ann and bob, and the group
// g1; its lists have one entry a page.
type keystone struct {
	*httptest.Server
	tokens  int  // of the administrator that were given
	revoked int  // that do not work any more
	down    bool //
	evil    string
}

func start(t *testing.T) *keystone {
	t.Helper()
	k := &keystone{}
	write := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // a test's client
	}
	people := []map[string]any{{"id": "1", "name": "ann", "email": "ann@x.org", "domain_id": "default", "enabled": true},
		{"id": "2", "name": "annoff", "domain_id": "default", "enabled": false}, {"id": "3/x", "name": "bob", "domain_id": "default", "enabled": true}}
	page := func(w http.ResponseWriter, r *http.Request, list []map[string]any) {
		at := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("marker"), &at) // 0 without one
		links := map[string]any{"self": r.URL.String(), "next": nil}
		if at+1 < len(list) {
			q := r.URL.Query()
			q.Set("marker", fmt.Sprint(at+1))
			links["next"] = k.URL + r.URL.Path + "?" + q.Encode()
			if k.evil != "" {
				links["next"] = k.evil
			}
		}
		write(w, 200, map[string]any{"users": list[min(at, len(list)):min(at+1, len(list))], "links": links})
	}
	admin := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n := 0
			if _, err := fmt.Sscanf(r.Header.Get("X-Auth-Token"), "admin-%d", &n); err != nil || n <= k.revoked {
				write(w, 401, map[string]any{"error": map[string]any{"code": 401}})
				return
			}
			f(w, r)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v3", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, map[string]any{"version": map[string]any{"id": "v3.14"}})
	})
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Auth struct {
				Identity struct {
					Methods  []string
					Password struct {
						User struct {
							Name, Password string
							Domain         struct{ ID string }
						}
					}
				}
				Scope *struct {
					Project struct {
						Name   string
						Domain struct{ ID string }
					}
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !slices.Equal(in.Auth.Identity.Methods, []string{"password"}) {
			write(w, 400, map[string]any{})
			return
		}
		u := in.Auth.Identity.Password.User
		i := slices.IndexFunc(people, func(p map[string]any) bool { return p["name"] == u.Name && p["enabled"] == true })
		expires := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z")
		switch {
		case u.Domain.ID != "default":
			write(w, 401, map[string]any{})
		case u.Name == "admin" && u.Password == "secret" && in.Auth.Scope != nil && in.Auth.Scope.Project.Name == "ops" && in.Auth.Scope.Project.Domain.ID == "default":
			k.tokens++
			w.Header().Set("X-Subject-Token", fmt.Sprintf("admin-%d", k.tokens))
			write(w, 201, map[string]any{"token": map[string]any{"expires_at": expires, "user": map[string]any{"id": "0", "name": "admin"}}})
		case i >= 0 && u.Password == u.Name+"-password" && in.Auth.Scope == nil:
			w.Header().Set("X-Subject-Token", "user")
			write(w, 201, map[string]any{"token": map[string]any{"expires_at": expires, "user": map[string]any{"id": people[i]["id"], "name": u.Name}}})
		default:
			write(w, 401, map[string]any{"error": map[string]any{"code": 401}})
		}
	})
	mux.HandleFunc("GET /v3/users", admin(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		page(w, r, slices.DeleteFunc(slices.Clone(people), func(p map[string]any) bool {
			name, _ := p["name"].(string)
			return q.Get("domain_id") != "default" || q.Has("name") && name != q.Get("name") || !strings.HasPrefix(name, q.Get("name__startswith"))
		}))
	}))
	mux.HandleFunc("GET /v3/users/{id}", admin(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range people {
			if p["id"] == r.PathValue("id") {
				write(w, 200, map[string]any{"user": p})
				return
			}
		}
		write(w, 404, map[string]any{})
	}))
	mux.HandleFunc("GET /v3/groups/g1", admin(func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, map[string]any{"group": map[string]any{"id": "g1"}})
	}))
	mux.HandleFunc("GET /v3/groups/g1/users", admin(func(w http.ResponseWriter, r *http.Request) { page(w, r, people) }))
	mux.HandleFunc("GET /v3/groups/", admin(func(w http.ResponseWriter, _ *http.Request) { write(w, 404, map[string]any{}) }))
	k.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keystone) provider(change func(*Options)) *Provider {
	roots := x509.NewCertPool()
	roots.AddCert(k.Certificate())
	o := Options{URL: k.URL + "/v3/", AdminUsername: "admin", AdminPassword: "secret", AdminTenant: "ops", RootCAs: roots}
	if change != nil {
		change(&o)
	}
	return New(o)
}

func TestKeystone(t *testing.T) {
	k := start(t)
	p := k.provider(nil)
	for name, email := range map[string]string{"ann": "ann@x.org", "bob": ""} {
		x, err := p.VerifyPassword(t.Context(), name, name+"-password")
		if err != nil || x.Service != "keystone" || x.Ident != name || x.Email != email {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	for _, c := range [][2]string{{"ann", "wrong"}, {"nobody", "x"}, {"ann", ""}, {"", "x"}, {"annoff", "annoff-password"}} {
		if _, err := p.VerifyPassword(t.Context(), c[0], c[1]); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%q: %v", c, err)
		}
	}
	if k.tokens != 1 {
		t.Errorf("the administrator signed in %d times", k.tokens)
	}
	k.revoked = k.tokens // his token does not work any more
	if x, err := p.Lookup(t.Context(), "ann"); err != nil || x.Ident != "ann" || k.tokens != 2 {
		t.Errorf("%+v, %v, %d", x, err, k.tokens)
	}
	for _, name := range []string{"nobody", "annoff", "ann&name=bob", ""} {
		if _, err := p.Lookup(t.Context(), name); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if list, err := p.Search(t.Context(), "an", 5); err != nil || len(list) != 1 || list[0].Username != "ann" {
		t.Error(list, err)
	}
	group := map[string]string{"group_id": "g1"}
	if c, err := p.Group(t.Context(), group); err != nil || c["group_id"] != "g1" {
		t.Error(c, err)
	}
	for _, id := range []string{"", "none", "../users", "g1/users"} {
		if _, err := p.Group(t.Context(), map[string]string{"group_id": id}); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
	list, told, err := p.Members(t.Context(), group)
	if err != nil || !told || len(list) != 2 || list[0].Ident != "ann" || list[1].Ident != "bob" {
		t.Error(list, told, err)
	}
	if _, _, err := p.Members(t.Context(), map[string]string{"group_id": "none"}); !gantry.Is(err, gantry.NotFound) {
		t.Error(err)
	}
	k.evil = "https://evil.example.com/v3/users"
	if _, _, err := p.Members(t.Context(), group); !gantry.Is(err, gantry.Unavailable) {
		t.Error("the token of the administrator is sent elsewhere", err)
	}
	if err := p.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := k.provider(func(o *Options) { o.AdminPassword = "wrong" }).VerifyPassword(t.Context(), "ann", "ann-password"); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	k.down = true
	if _, err := p.VerifyPassword(t.Context(), "ann", "wrong"); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	if err := p.Ping(t.Context()); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
}
