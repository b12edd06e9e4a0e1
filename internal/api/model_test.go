package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// rightsModel is domain-model.md §2 in the plainest words: maps, and one look at
// all of them for each question.
type rightsModel struct {
	orgs    map[string]bool            // by name; whatever else is a namespace is a user
	off     map[string]bool            // users who are disabled
	teams   map[string]gantry.TeamRole // by org/team
	members map[string]bool            // by org/team/account
	repos   map[string]*repoModel      // by namespace/name
	protos  []protoModel               // oldest first
}

type repoModel struct {
	public   bool
	accounts map[string]gantry.Role
	teams    map[string]gantry.Role
}

type protoModel struct {
	id, org, activating, delegate string
	team                          bool
	role                          gantry.Role
}

func namespaceOf(repo string) string {
	ns, _, _ := strings.Cut(repo, "/")
	return ns
}

// teamRole is the highest role of an account in the teams of an organization.
func (m *rightsModel) teamRole(who, org string) (best gantry.TeamRole) {
	order := []gantry.TeamRole{"", gantry.TeamMember, gantry.TeamCreator, gantry.TeamAdmin}
	for team, role := range m.teams {
		if namespaceOf(team) == org && m.members[team+"/"+who] && slices.Index(order, role) > slices.Index(order, best) {
			best = role
		}
	}
	return best
}

// administers reports whether an account has everything in a namespace.
func (m *rightsModel) administers(who, ns string) bool {
	return who == ns || m.orgs[ns] && m.teamRole(who, ns) == gantry.TeamAdmin
}

// role is what a caller may do in a repository.
func (m *rightsModel) role(c caller, repo string) gantry.Role {
	r := m.repos[repo]
	if r == nil || m.off[c.name] {
		return gantry.NoRole
	}
	role := gantry.NoRole
	if c.name != "" {
		role = r.accounts[c.name]
		for team, given := range r.teams {
			if m.members[namespaceOf(repo)+"/"+team+"/"+c.name] {
				role = max(role, given)
			}
		}
		if m.administers(c.name, namespaceOf(repo)) || c.super {
			role = gantry.Admin
		}
		if c.auditor {
			role = gantry.Read
		}
	}
	if c.scopes != nil {
		most := gantry.NoRole
		for scope, r := range map[string]gantry.Role{auth.ScopeRepoRead: gantry.Read, auth.ScopeRepoWrite: gantry.Write, auth.ScopeRepoAdmin: gantry.Admin} {
			if slices.Contains(c.scopes, scope) {
				most = max(most, r)
			}
		}
		role = min(role, most)
	}
	if r.public {
		role = max(role, gantry.Read)
	}
	return role
}

// mayCreate reports whether a caller may create a repository in a namespace.
func (m *rightsModel) mayCreate(c caller, ns string) bool {
	if c.name == "" || m.off[c.name] || m.off[ns] || c.auditor || c.scopes != nil && !slices.Contains(c.scopes, auth.ScopeRepoCreate) {
		return false
	}
	role := m.teamRole(c.name, ns)
	return c.super || m.administers(c.name, ns) || role == gantry.TeamCreator
}

// create makes a repository, and gives what the prototypes say: for each
// delegate the one that names the creator goes before the one for anybody, and
// the older before the newer.
func (m *rightsModel) create(creator, repo string, public bool) {
	r := &repoModel{public: public, accounts: map[string]gantry.Role{creator: gantry.Admin}, teams: map[string]gantry.Role{}}
	m.repos[repo] = r
	for _, named := range []bool{true, false} {
		for _, p := range m.protos {
			if p.org != namespaceOf(repo) || p.activating != "" != named || named && p.activating != creator {
				continue
			}
			to := r.accounts
			if p.team {
				to = r.teams
			}
			if _, there := to[p.delegate]; !there {
				to[p.delegate] = p.role
			}
		}
	}
}

// gone forgets an account, or a team.
func (m *rightsModel) gone(name string, team bool) {
	m.protos = slices.DeleteFunc(m.protos, func(p protoModel) bool {
		if team {
			return p.team && p.org+"/"+p.delegate == name
		}
		return !p.team && p.delegate == name || p.activating == name
	})
	for repo, r := range m.repos {
		if team {
			if org, short, _ := strings.Cut(name, "/"); namespaceOf(repo) == org {
				delete(r.teams, short)
			}
		} else {
			delete(r.accounts, name)
		}
	}
	maps.DeleteFunc(m.members, func(k string, _ bool) bool {
		if team {
			return strings.HasPrefix(k, name+"/")
		}
		return strings.HasSuffix(k, "/"+name)
	})
}

// A caller is somebody who asks: with a token at the API, with name and
// password, or the token, at /v2.
type caller struct {
	name           string // "" = nobody
	label          string
	token          string // "" = a robot, or nobody
	user, password string
	scopes         []string // nil = a user's own, uncapped
	super, auditor bool
}

// TestRightsModel changes accounts, teams, permissions, default permissions and
// repositories by the API at random, and holds that everybody may do exactly
// what the model says, at the API and at /v2. GANTRY_MODEL_STEPS makes it
// longer.
func TestRightsModel(t *testing.T) { storetest.Each(t, testRightsModel) }

func testRightsModel(t *testing.T, db *store.DB) {
	steps, seed := 80, rand.Uint64()
	if s := os.Getenv("GANTRY_MODEL_STEPS"); s != "" {
		var err error
		if steps, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	w := newWorldOn(t, db)
	set := *w.svc.Settings()
	set.ReadOnlySuperusers = []string{"auditor"}
	w.svc.Configure(set)
	m := &rightsModel{orgs: map[string]bool{}, off: map[string]bool{}, teams: map[string]gantry.TeamRole{}, members: map[string]bool{}, repos: map[string]*repoModel{}}

	users := []string{"una", "udo", "uli", "uma"}
	_, root := w.user("root", true)
	_, audit := w.user("auditor", false)
	callers := []caller{{label: "nobody"},
		{name: "root", label: "the superuser", token: root, user: "root", password: "root-password", super: true},
		{name: "auditor", label: "the auditor", token: audit, user: "auditor", password: "auditor-password", auditor: true}}
	for _, u := range users {
		a, token := w.user(u, false)
		callers = append(callers, caller{name: u, label: u, token: token, user: u, password: u + "-password"})
		if u == "una" || u == "udo" {
			for _, scopes := range []string{auth.ScopeRepoRead, auth.ScopeRepoWrite, auth.ScopeRepoCreate + " " + auth.ScopeUserAdmin} {
				token := w.narrow(a, scopes)
				callers = append(callers, caller{name: u, label: u + " with " + scopes, token: token, user: "$oauthtoken", password: token, scopes: strings.Fields(scopes)})
			}
		}
	}
	orgs := []string{"oak", "elm"}
	teams := []string{"red", "blue"}
	for _, org := range orgs {
		w.want(201, "POST", "/api/v1/organization/", root, `{"name":"`+org+`"}`)
		m.orgs[org] = true
		m.teams[org+"/owners"], m.members[org+"/owners/root"] = gantry.TeamAdmin, true
	}
	robot := func(name string) {
		owner, short, _ := strings.Cut(name, "+")
		path := "/api/v1/organization/" + owner + "/robots/" + short
		if !m.orgs[owner] {
			path = "/api/v1/user/robots/" + short
		}
		token := root
		if i := slices.IndexFunc(callers, func(c caller) bool { return c.name == owner }); i >= 0 {
			token = callers[i].token
		}
		var out struct{ Token string }
		if err := json.Unmarshal([]byte(w.want(201, "PUT", path, token, "")), &out); err != nil {
			t.Fatal(err)
		}
		callers = slices.DeleteFunc(callers, func(c caller) bool { return c.name == name })
		callers = append(callers, caller{name: name, label: name, user: name, password: out.Token})
	}
	robots := []string{"oak+ci", "elm+ci", "una+ci"}
	for _, r := range robots {
		robot(r)
	}
	everybody := slices.Concat(users, robots)
	names := []string{"app", "lib/deep"}
	namespaces := append([]string{"una", "udo"}, orgs...)

	// One change; false: there was nothing to change.
	change := func() bool {
		org, team, who := pick(orgs), pick(teams), pick(everybody)
		repo := pick(namespaces) + "/" + pick(names)
		role := gantry.Role(rnd.IntN(3)) + gantry.Read
		theirs := strings.HasPrefix(who, org+"+") || !strings.Contains(who, "+") // who may be given something in org
		ns := namespaceOf(repo)
		may := strings.HasPrefix(who, ns+"+") || !strings.Contains(who, "+")
		switch rnd.IntN(14) {
		case 0, 1: // anybody may try to create
			c := callers[rnd.IntN(len(callers))]
			if c.token == "" || m.repos[repo] != nil {
				return false
			}
			want, public := 201, rnd.IntN(3) == 0
			switch {
			case !m.mayCreate(c, ns) && m.off[c.name]:
				want = 401
			case !m.mayCreate(c, ns):
				want = 403
			}
			w.want(want, "POST", "/api/v1/repository", c.token, fmt.Sprintf(`{"namespace":%q,"repository":%q,"visibility":%q,"description":""}`,
				ns, repo[len(ns)+1:], map[bool]string{true: "public", false: "private"}[public]))
			if want == 201 {
				m.create(c.name, repo, public)
			}
		case 2:
			if m.repos[repo] == nil || rnd.IntN(3) > 0 {
				return false
			}
			w.want(204, "DELETE", "/api/v1/repository/"+repo, root, "")
			delete(m.repos, repo)
		case 3:
			if m.repos[repo] == nil {
				return false
			}
			m.repos[repo].public = !m.repos[repo].public
			w.want(200, "POST", "/api/v1/repository/"+repo+"/changevisibility", root, `{"visibility":"`+map[bool]string{true: "public", false: "private"}[m.repos[repo].public]+`"}`)
		case 4, 5:
			if m.repos[repo] == nil || !may {
				return false
			}
			w.want(200, "PUT", "/api/v1/repository/"+repo+"/permissions/user/"+who, root, `{"role":"`+role.String()+`"}`)
			m.repos[repo].accounts[who] = role
		case 6:
			if m.repos[repo] == nil || m.repos[repo].accounts[who] == gantry.NoRole {
				return false
			}
			w.want(204, "DELETE", "/api/v1/repository/"+repo+"/permissions/user/"+who, root, "")
			delete(m.repos[repo].accounts, who)
		case 7:
			if m.repos[repo] == nil || m.teams[ns+"/"+team] == "" {
				return false
			}
			if m.repos[repo].teams[team] != gantry.NoRole && rnd.IntN(2) == 0 {
				w.want(204, "DELETE", "/api/v1/repository/"+repo+"/permissions/team/"+team, root, "")
				delete(m.repos[repo].teams, team)
				break
			}
			w.want(200, "PUT", "/api/v1/repository/"+repo+"/permissions/team/"+team, root, `{"role":"`+role.String()+`"}`)
			m.repos[repo].teams[team] = role
		case 8:
			to := []gantry.TeamRole{gantry.TeamMember, gantry.TeamCreator, gantry.TeamAdmin}[rnd.IntN(3)]
			w.want(200, "PUT", "/api/v1/organization/"+org+"/team/"+team, root, `{"role":"`+string(to)+`"}`)
			m.teams[org+"/"+team] = to
		case 9:
			if m.teams[org+"/"+team] == "" || rnd.IntN(3) > 0 {
				return false
			}
			w.want(204, "DELETE", "/api/v1/organization/"+org+"/team/"+team, root, "")
			delete(m.teams, org+"/"+team)
			m.gone(org+"/"+team, true)
		case 10:
			key := org + "/" + team + "/" + who
			switch {
			case m.teams[org+"/"+team] == "" || !theirs:
				return false
			case m.members[key]:
				w.want(204, "DELETE", "/api/v1/organization/"+org+"/team/"+team+"/members/"+who, root, "")
				delete(m.members, key)
			default:
				w.want(200, "PUT", "/api/v1/organization/"+org+"/team/"+team+"/members/"+who, root, "")
				m.members[key] = true
			}
		case 11:
			p := protoModel{org: org, role: role, delegate: who}
			if rnd.IntN(2) == 0 {
				p.activating = pick(users)
			}
			kind := "user"
			if p.team = rnd.IntN(2) == 0; p.team {
				kind, p.delegate = "team", team
			}
			if p.team && m.teams[org+"/"+team] == "" || !p.team && !theirs || len(m.protos) > 8 {
				return false
			}
			body := fmt.Sprintf(`{"role":%q,"delegate":{"name":%q,"kind":%q}`, p.role.String(), p.delegate, kind)
			if p.activating != "" {
				body += fmt.Sprintf(`,"activating_user":{"name":%q}`, p.activating)
			}
			status, answer, _ := w.call("POST", "/api/v1/organization/"+org+"/prototypes", root, body+"}")
			if slices.ContainsFunc(m.protos, func(q protoModel) bool { q.id, q.role = "", p.role; return q == p }) && status == 400 {
				return false // there is one for that already
			}
			var out struct{ ID string }
			if err := json.Unmarshal([]byte(answer), &out); err != nil || status != 200 {
				t.Fatal(status, answer, err)
			}
			p.id = out.ID
			m.protos = append(m.protos, p)
		case 12:
			if len(m.protos) == 0 {
				return false
			}
			i := rnd.IntN(len(m.protos))
			p := &m.protos[i]
			at := "/api/v1/organization/" + p.org + "/prototypes/" + p.id
			if rnd.IntN(2) == 0 {
				p.role = role
				w.want(200, "PUT", at, root, `{"role":"`+role.String()+`"}`)
				break
			}
			w.want(204, "DELETE", at, root, "")
			m.protos = slices.Delete(m.protos, i, i+1)
		case 13:
			switch rnd.IntN(3) {
			case 0: // a robot goes, and another of the same name comes
				if strings.HasPrefix(who, "una+") && m.off["una"] || !strings.Contains(who, "+") {
					return false
				}
				owner, short, _ := strings.Cut(who, "+")
				if m.orgs[owner] {
					w.want(204, "DELETE", "/api/v1/organization/"+owner+"/robots/"+short, root, "")
				} else {
					w.want(204, "DELETE", "/api/v1/user/robots/"+short, callers[slices.IndexFunc(callers, func(c caller) bool { return c.label == owner })].token, "")
				}
				m.gone(who, false)
				robot(who)
			case 1: // somebody leaves an organization
				if !slices.ContainsFunc(teams, func(team string) bool { return m.members[org+"/"+team+"/"+who] }) {
					return false
				}
				w.want(204, "DELETE", "/api/v1/organization/"+org+"/members/"+who, root, "")
				for _, team := range teams {
					delete(m.members, org+"/"+team+"/"+who)
				}
				m.protos = slices.DeleteFunc(m.protos, func(p protoModel) bool { return p.org == org && !p.team && p.delegate == who })
				for repo, r := range m.repos {
					if namespaceOf(repo) == org {
						delete(r.accounts, who)
					}
				}
			case 2:
				if strings.Contains(who, "+") {
					return false
				}
				m.off[who] = !m.off[who]
				w.want(200, "PUT", "/api/v1/superuser/users/"+who, root, fmt.Sprintf(`{"enabled":%t}`, !m.off[who]))
			}
		}
		return true
	}
	check := func(step int) {
		for _, c := range callers {
			for _, ns := range namespaces {
				for _, name := range names {
					repo := ns + "/" + name
					want := m.role(c, repo)
					at := fmt.Sprintf("step %d: %s in %s", step, c.label, repo)
					if c.token != "" || c.name == "" {
						w.asks(at, c, repo, want, m)
					}
					w.grants(at, c, repo, want, m)
				}
			}
		}
	}
	for step := 0; step < steps; {
		if !change() {
			continue
		}
		if step++; step%10 == 0 || step == steps {
			check(step)
		}
		if t.Failed() {
			return
		}
	}
}

// asks holds that the API lets c do in repo what want says, and no more.
func (w *world) asks(at string, c caller, repo string, want gantry.Role, m *rightsModel) {
	w.t.Helper()
	refused := http.StatusForbidden
	if c.name == "" || m.off[c.name] {
		refused = http.StatusUnauthorized
	}
	there := m.repos[repo] != nil
	missing := refused
	// Who administers the namespace may know what is not there.
	if !there && refused == http.StatusForbidden && c.scopes == nil && !c.auditor && (c.super || m.administers(c.name, namespaceOf(repo))) {
		missing = http.StatusNotFound
	}
	for _, probe := range []struct {
		method, path, body string
		needs              gantry.Role
	}{{"GET", "", "", gantry.Read}, {"PUT", "", `{"description":""}`, gantry.Write}, {"PUT", "/permissions/user/no-such-user", `{"role":"read"}`, gantry.Admin}} {
		got, body, _ := w.call(probe.method, "/api/v1/repository/"+repo+probe.path, c.token, probe.body)
		expect := http.StatusOK
		switch {
		case !there:
			expect = missing
		case want < probe.needs:
			expect = refused
		case probe.needs == gantry.Admin:
			expect = http.StatusBadRequest // there is no such user
		}
		// A token of somebody who is disabled is no token, also where all may read.
		if m.off[c.name] {
			expect = http.StatusUnauthorized
		}
		if got != expect {
			w.t.Errorf("%s: %s %s: %d, want %d (the model has %q): %s", at, probe.method, probe.path, got, expect, want, body)
		}
	}
}

// grants holds the same of a token for /v2.
func (w *world) grants(at string, c caller, repo string, want gantry.Role, m *rightsModel) {
	w.t.Helper()
	if m.repos[repo] == nil {
		return // pushing would create it
	}
	const host = "registry.example.com"
	ctx := w.t.Context()
	token, err := w.svc.Token(ctx, auth.TokenRequest{Service: host, Host: host, Scopes: []string{"repository:" + repo + ":pull,push,*"}, Username: c.user, Password: c.password})
	if m.off[c.name] {
		if !gantry.Is(err, gantry.Unauthenticated) {
			w.t.Errorf("%s: somebody who is disabled: %v", at, err)
		}
		return
	}
	owner, _, robot := strings.Cut(c.name, "+")
	switch ns := namespaceOf(repo); {
	case robot && m.off[owner]:
		if !gantry.Is(err, gantry.Unauthenticated) {
			w.t.Errorf("%s: the robot of somebody who is disabled: %v", at, err)
		}
		return
	case m.off[ns]: // nobody pulls or pushes there, whoever he is
		if gantry.ReasonOf(err) != gantry.NamespaceDisabled {
			w.t.Errorf("%s: a namespace that is disabled: %v", at, err)
		}
		return
	}
	if err != nil {
		w.t.Errorf("%s: %v", at, err)
		return
	}
	g, err := w.svc.Verify(ctx, token.Token, host)
	if err != nil {
		w.t.Errorf("%s: %v", at, err)
		return
	}
	ns, name, _ := strings.Cut(repo, "/")
	_, got := g.Repo(gantry.RepoName{Namespace: ns, Name: name})
	if got != want {
		w.t.Errorf("%s: a token for /v2 has %q, the model %q", at, got, want)
	}
}
