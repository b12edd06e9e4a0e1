package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestPolicyRoutes walks through the policies of an organization, a repository
// and a user, as everybody who may and who may not.
func TestPolicyRoutes(t *testing.T) {
	storetest.Each(t, testPolicyRoutes)
}

func testPolicyRoutes(t *testing.T, db *store.DB) {
	plain := newWorldOn(t, db)
	_, ann := plain.user("ann", false)
	_, bob := plain.user("bob", false)
	plain.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
	plain.want(201, "POST", "/api/v1/repository", ann, `{"namespace":"acme","repository":"app","visibility":"public","description":""}`)
	plain.want(201, "POST", "/api/v1/repository", ann, `{"repository":"own","visibility":"private","description":""}`)
	w := plain.with(Options{Policies: PolicyOptions{AutoPrune: true}, Tags: TagOptions{Immutable: true}})
	for _, kind := range []struct{ path, good, better, view, feature string }{
		{"autoprunepolicy", `{"method":"number_of_tags","value":7}`, `{"method":"creation_date","value":"7d","tagPattern":"^v","tagPatternMatches":false}`,
			`"method":"creation_date","tagPattern":"^v","tagPatternMatches":false`, "autoprune_policy"},
		{"immutabilitypolicy", `{"tagPattern":"^v"}`, `{"tagPattern":"^v","tagPatternMatches":false}`, `"tagPattern":"^v","tagPatternMatches":false`, "immutability_policy"},
	} {
		for _, prefix := range []string{"organization/acme", "repository/acme/app", "repository/ann/own", "user"} {
			base := "/api/v1/" + prefix + "/" + kind.path
			if prefix == "user" && kind.path == "immutabilitypolicy" {
				w.want(404, "GET", base, ann, "")
				continue
			}
			t.Run(base[8:], func(t *testing.T) {
				plain.want(404, "GET", base, ann, "")
				plain.want(404, "POST", base, ann, kind.good)
				w.want(401, "GET", base, "", "")
				if prefix != "user" {
					w.want(403, "GET", base, bob, "")
					w.want(403, "POST", base, bob, kind.good)
				}
				if b := w.want(200, "GET", base+"/", ann, ""); b != `{"policies":[]}`+"\n" {
					t.Error(b)
				}
				var made struct{ UUID string }
				if err := json.Unmarshal([]byte(w.want(201, "POST", base+"/", ann, kind.good)), &made); err != nil || made.UUID == "" {
					t.Fatal(made, err)
				}
				holds(t, w.want(400, "POST", base, ann, kind.good), "xist")
				one := base + "/" + made.UUID
				if prefix != "user" {
					w.want(403, "PUT", one, bob, kind.better)
					w.want(403, "DELETE", one, bob, "")
				} else {
					w.want(404, "PUT", one, bob, kind.better) // his own has none of that id
				}
				w.want(204, "PUT", one, ann, kind.better)
				w.want(204, "PUT", one, ann, kind.better)
				for _, b := range []string{w.want(200, "GET", one, ann, ""), w.want(200, "GET", base, ann, "")} {
					holds(t, b, kind.view, made.UUID)
				}
				for _, bad := range []string{``, `null`, `[]`, `{"tagPattern":"["}`, `{"tagPattern":"(?=x)","method":"number_of_tags","value":1}`,
					`{"tagPattern":"` + strings.Repeat("a", gantry.MaxTagPattern+1) + `","method":"number_of_tags","value":1}`, `{"tagPattern":5,"method":"number_of_tags","value":1}`} {
					w.want(400, "POST", base, ann, bad)
					w.want(400, "PUT", one, ann, bad)
				}
				w.want(404, "PUT", base+"/none", ann, kind.good)
				w.want(404, "GET", base+"/none", ann, "")
				w.want(404, "DELETE", base+"/none", ann, "")
				holds(t, w.want(200, "DELETE", one, ann, ""), made.UUID)
				w.want(404, "DELETE", one, ann, "")
			})
		}
	}
	for _, bad := range []string{`{"method":"x","value":1}`, `{"method":"number_of_tags"}`, `{"method":"number_of_tags","value":0}`, `{"method":"number_of_tags","value":1.5}`,
		`{"method":"number_of_tags","value":"7d"}`, `{"method":"creation_date","value":7}`, `{"method":"creation_date","value":"7"}`, `{"method":"creation_date","value":{}}`, `{"value":1}`} {
		w.want(400, "POST", "/api/v1/user/autoprunepolicy", ann, bad)
	}
	// A policy of one owner is nothing to another.
	var made struct{ UUID string }
	if err := json.Unmarshal([]byte(w.want(201, "POST", "/api/v1/user/autoprunepolicy/", ann, `{"method":"number_of_tags","value":"07"}`)), &made); err != nil {
		t.Fatal(err)
	}
	holds(t, w.want(200, "GET", "/api/v1/user/autoprunepolicy/"+made.UUID, ann, ""), `"value":7`, `"tagPattern":null`)
	for _, other := range []string{"organization/acme", "repository/ann/own", "repository/acme/app"} {
		w.want(404, "GET", fmt.Sprintf("/api/v1/%s/autoprunepolicy/%s", other, made.UUID), ann, "")
		w.want(404, "DELETE", fmt.Sprintf("/api/v1/%s/autoprunepolicy/%s", other, made.UUID), ann, "")
	}
	log := w.logs("/api/v1/organization/acme/logs", ann)
	kinds := map[string]int{}
	for _, e := range log.Logs {
		kinds[e.Kind]++
	}
	for kind, want := range map[string]int{"create_namespace_autoprune_policy": 1, "update_namespace_autoprune_policy": 2, "delete_namespace_autoprune_policy": 1,
		"create_repository_autoprune_policy": 1, "create_immutability_policy": 2, "update_immutability_policy": 4, "delete_immutability_policy": 2} {
		if kinds[kind] != want {
			t.Errorf("%d rows of %s, want %d", kinds[kind], kind, want)
		}
	}
}
