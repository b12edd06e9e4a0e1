package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestVisibleRepositories holds who sees what of all namespaces, and in which
// order.
func TestVisibleRepositories(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorldOn(t, db)
		annAccount, ann := w.user("ann", false)
		_, bob := w.user("bob", false)
		_, eve := w.user("eve", false)
		_, root := w.user("root", true)
		w.want(201, "POST", "/api/v1/organization/", ann, `{"name":"acme"}`)
		w.want(200, "PUT", "/api/v1/organization/acme/team/ops", ann, `{"role":"member"}`)
		w.want(200, "PUT", "/api/v1/organization/acme/team/ops/members/bob", ann, "")
		for _, x := range []string{"acme/zoo", "acme/app", "ann/own", "bob/own", "eve/own"} {
			ns, name, _ := strings.Cut(x, "/")
			w.want(201, "POST", "/api/v1/repository", map[string]string{"acme": ann, "ann": ann, "bob": bob, "eve": eve}[ns], `{"namespace":"`+ns+`","repository":"`+name+`","visibility":"private"}`)
		}
		w.want(201, "POST", "/api/v1/repository", eve, `{"namespace":"eve","repository":"open","visibility":"public"}`)
		w.want(200, "PUT", "/api/v1/repository/acme/app/permissions/team/ops", ann, `{"role":"read"}`)
		w.want(200, "PUT", "/api/v1/repository/ann/own/permissions/user/bob", ann, `{"role":"write"}`)
		w.want(200, "PUT", "/api/v1/repository/bob/own/permissions/user/ann", bob, `{"role":"read"}`)
		type answer struct {
			Repositories []struct {
				Namespace, Name string
				LastModified    *int64 `json:"last_modified"`
			}
			Order    string
			NextPage string `json:"next_page"`
		}
		list := func(query, token string) (names []string, last answer) {
			t.Helper()
			for next := ""; ; {
				last = answer{}
				if err := json.Unmarshal([]byte(w.want(200, "GET", "/api/v1/repository?visible=true"+query+next, token, "")), &last); err != nil {
					t.Fatal(err)
				}
				for _, r := range last.Repositories {
					names = append(names, r.Namespace+"/"+r.Name)
				}
				if last.NextPage == "" {
					return names, last
				}
				next = "&next_page=" + last.NextPage
			}
		}
		for _, x := range []struct{ query, token, want string }{
			{"", ann, "bob/own ann/own acme/app acme/zoo"},
			{"&sort=name", ann, "acme/app acme/zoo ann/own bob/own"},
			{"", bob, "bob/own ann/own acme/app"}, // by a team, by a role, and their own
			{"&public=true", bob, "eve/open bob/own ann/own acme/app"},
			{"", eve, "eve/open eve/own"},
			{"", "", ""},
			{"&public=true", "", "eve/open"},
		} {
			if got, _ := list(x.query, x.token); strings.Join(got, " ") != x.want {
				t.Errorf("%s: %s; want %s", x.query, got, x.want)
			}
		}
		if all, _ := list("", root); len(all) != 0 && len(all) != 6 {
			t.Errorf("a superuser sees %s", all)
		}
		// The order of pushes: who was never pushed to comes last.
		id := func(name string) int64 {
			ns, repo, _ := strings.Cut(name, "/")
			r, err := db.Repository(t.Context(), gantry.RepoName{Namespace: ns, Name: repo})
			if err != nil {
				t.Fatal(err)
			}
			return int64(r.ID)
		}
		for i, name := range []string{"acme/zoo", "bob/own"} {
			storetest.Exec(t, db, `INSERT INTO tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable) VALUES (`+fmt.Sprint(id(name))+
				`, 'v1', 1, `+fmt.Sprint(1_700_000_000_000+int64(i)*5000)+`, NULL, 1, '', 0, 0)`)
		}
		got, last := list("&sort=pushed&last_modified=true", ann)
		if strings.Join(got, " ") != "bob/own acme/zoo ann/own acme/app" || last.Order != "pushed" || *last.Repositories[0].LastModified != 1_700_000_005 || last.Repositories[2].LastModified != nil {
			t.Errorf("by pushes: %s, %+v", got, last)
		}
		// Pages of each order; beyond the bound the newest come first.
		names := map[string]bool{}
		for i := range maxSorted - 4 {
			if _, err := db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "ann", Name: fmt.Sprintf("many-%04d", i)}, Visibility: gantry.Private, Creator: annAccount.ID}, gantry.Actor{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, sort := range []string{"created", "name", "pushed"} {
			got, last := list("&sort="+sort, ann)
			clear(names)
			for _, n := range got {
				names[n] = true
			}
			if len(got) != maxSorted || len(names) != maxSorted || last.Order != sort || sort == "name" && !slices.IsSorted(got) {
				t.Errorf("%s: %d names, %d different, in the order %s", sort, len(got), len(names), last.Order)
			}
		}
		if _, err := db.CreateRepository(t.Context(), store.NewRepository{Name: gantry.RepoName{Namespace: "ann", Name: "one-more"}, Visibility: gantry.Private, Creator: annAccount.ID}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if got, last := list("&sort=name", ann); len(got) != maxSorted+1 || got[0] != "ann/one-more" || last.Order != "created" {
			t.Errorf("more than are sorted: %d names, %s first, in the order %s", len(got), got[0], last.Order)
		}
		// One namespace, in each order, to those who may see it.
		inside := func(query, token string) (names []string, order string) {
			t.Helper()
			for next := ""; ; {
				var a answer
				if err := json.Unmarshal([]byte(w.want(200, "GET", "/api/v1/repository?"+query+next, token, "")), &a); err != nil {
					t.Fatal(err)
				}
				for _, r := range a.Repositories {
					names = append(names, r.Namespace+"/"+r.Name)
				}
				if order = a.Order; a.NextPage == "" {
					return names, order
				}
				next = "&next_page=" + a.NextPage
			}
		}
		for _, x := range []struct{ query, token, want string }{
			{"namespace=acme&sort=name", ann, "acme/app acme/zoo"},
			{"namespace=acme&sort=created", ann, "acme/app acme/zoo"},
			{"namespace=acme&sort=pushed", ann, "acme/zoo acme/app"},
			{"namespace=acme", ann, "acme/zoo acme/app"}, // as Quay
			{"namespace=acme&sort=name", bob, "acme/app"},
			{"namespace=acme&sort=name", "", ""},
			{"namespace=eve&sort=name", "", "eve/open"},
			{"namespace=eve&sort=name", eve, "eve/open eve/own"},
			{"namespace=eve&public=true&sort=name", eve, "eve/open"},
			{"namespace=nobody&sort=name", ann, ""},
		} {
			if got, _ := inside(x.query, x.token); strings.Join(got, " ") != x.want {
				t.Errorf("%s: %s; want %s", x.query, got, x.want)
			}
		}
		if got, order := inside("namespace=ann&sort=name", ann); len(got) != maxSorted-2 || !slices.IsSorted(got) || order != "name" {
			t.Errorf("of one namespace: %d names, in the order %s", len(got), order)
		}
		for _, bad := range []string{"namespace=ann&sort=size", "starred=true&namespace=ann&sort=name"} {
			w.want(400, "GET", "/api/v1/repository?"+bad, ann, "")
		}
		for _, bad := range []string{"&sort=size", "&namespace=ann", "&starred=true", "&next_page=x"} {
			w.want(400, "GET", "/api/v1/repository?visible=true"+bad, ann, "")
		}
	})
}
