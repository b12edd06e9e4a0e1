package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/auth/ldap/ldaptest"
	"github.com/gantry-registry/gantry/internal/auth/oidc/oidctest"
)

// TestLDAP runs a registry on a directory: the only users are there.
func TestLDAP(t *testing.T) {
	t.Parallel() // most of it is waiting
	dir := ldaptest.Start(t, false, "")
	s := open(t, Options{Config: folder(t, map[string]string{"ldap.crt": dir.PEM(), "config.yaml": fmt.Sprintf(`
AUTHENTICATION_TYPE: LDAP
LDAP_URI: ldap://127.0.0.1:1 %s
LDAP_BASE_DN: [dc=example, dc=org]
LDAP_ADMIN_DN: %s
LDAP_ADMIN_PASSWD: %s
LDAP_USER_RDN: [ou=people]
LDAP_SECONDARY_USER_RDNS: [ou=staff]
LDAP_SUPERUSER_FILTER: (employeeType=boss)
LDAP_RESTRICTED_USER_FILTER: (employeeType=guest)
FEATURE_RESTRICTED_USERS: true
FEATURE_TEAM_SYNCING: true
TEAM_RESYNC_STALE_TIME: 1s
TEAM_SYNC_WORKER_FREQUENCY: 1
FEATURE_USER_CREATION: true
BROWSER_API_CALLS_XHR_ONLY: false
`, dir.LDAPS, ldaptest.AdminDN, ldaptest.AdminPassword)})})
	if r := send(t, "GET", s.base+"/health/endtoend", ""); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	// A push by a password of the directory.
	push, r := s.bearer("ann", "ann-password", "repository:ann/app:pull,push")
	if push == "" {
		t.Fatal(r.status, r.body)
	}
	i := newImage("ldap")
	if r := s.push(push, "ann/app", "v1", i); r.status != 201 {
		t.Fatal(r.status, r.body)
	}
	if r := s.pull(push, "ann/app", i); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	for _, c := range [][2]string{{"ann", "wrong"}, {"out", ""}} {
		if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic(c[0], c[1])); r.status != 401 {
			t.Errorf("%q: %d %s", c, r.status, r.body)
		}
	}
	// Who is restricted owns nothing.
	if push, r := s.bearer("bob", "bob-password", "repository:bob/app:pull,push"); push == "" {
		t.Error(r.status, r.body)
	} else if r := s.push(push, "bob/app", "v1", i); r.status == 201 {
		t.Error("a restricted user owns content")
	}
	in := func(name string) []string {
		t.Helper()
		r := send(t, "POST", s.base+"/api/v1/signin", `{"username":"`+name+`","password":"`+name+`-password"}`, "Content-Type", "application/json")
		if r.status != 200 {
			t.Fatal(r.status, r.body)
		}
		return []string{"Cookie", strings.Split(r.header.Get("Set-Cookie"), ";")[0], "X-CSRF-Token", r.header.Get("X-Next-CSRF-Token"), "Content-Type", "application/json"}
	}
	cat := in("cat")
	if r := send(t, "GET", s.base+"/api/v1/superuser/users/", "", cat...); r.status != 403 {
		t.Error(r.status, r.body)
	}
	// A filter makes superusers; the job sees that the directory changed.
	dir.Modify("dn: uid=cat,ou=staff,dc=example,dc=org\nchangetype: modify\nreplace: employeeType\nemployeeType: boss\n")
	until(t, "cat is a superuser", func() bool { return send(t, "GET", s.base+"/api/v1/superuser/users/", "", cat...).status == 200 })
	// And it makes teams follow their groups.
	for _, c := range [][3]string{{"POST", "organization/", `{"name":"acme"}`}, {"PUT", "organization/acme/team/devs", `{"role":"member"}`},
		{"POST", "organization/acme/team/devs/syncing", `{"group_dn":"cn=developers,ou=groups"}`}} {
		if r := send(t, c[0], s.base+"/api/v1/"+c[1], c[2], cat...); r.status >= 300 {
			t.Fatal(c, r.status, r.body)
		}
	}
	members := func() string {
		return send(t, "GET", s.base+"/api/v1/organization/acme/team/devs/members", "", cat...).body
	}
	until(t, "the team is the group", func() bool {
		return strings.Contains(members(), `"name":"ann"`) && strings.Contains(members(), `"name":"cat"`)
	})
	dir.Modify("dn: cn=developers,ou=groups,dc=example,dc=org\nchangetype: modify\ndelete: member\nmember: uid=ann,ou=people,dc=example,dc=org\n")
	until(t, "who left the group left the team", func() bool { return !strings.Contains(members(), `"name":"ann"`) })

	// The directory is away.
	dir.Stop()
	until(t, "health tells", func() bool { return send(t, "GET", s.base+"/health/endtoend", "").status == 503 })
	if r := send(t, "GET", s.base+"/health/instance", ""); r.status != 200 {
		t.Errorf("an instance that pulls well is taken out: %s", r.body)
	}
	if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("mallory", "mallory-password")); r.status != 503 || strings.Contains(r.body, "127.0.0.1") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.pull(push, "ann/app", i); r.status != 200 {
		t.Errorf("a token: %d %s", r.status, r.body)
	}
	if r := send(t, "GET", s.base+"/api/v1/user/", "", cat...); r.status != 200 {
		t.Errorf("a session: %d %s", r.status, r.body)
	}
	dir.Restart()
	until(t, "the directory is back", func() bool {
		return send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("mallory", "mallory-password")).status == 200
	})
	if strings.Contains(s.log.String(), "-password") {
		t.Error("a password is in the log")
	}
}

// TestOIDC runs a registry whose users are those of a provider; its authority
// is in extra_ca_certs.
func TestOIDC(t *testing.T) {
	const back = "http://registry.example.com/oauth2/corp/callback"
	at := oidctest.Start(t, back)
	s := open(t, Options{Config: folder(t, map[string]string{"extra_ca_certs": at.PEM, "config.yaml": fmt.Sprintf(`
AUTHENTICATION_TYPE: OIDC
SERVER_HOSTNAME: registry.example.com
SUPER_USERS: [ann]
CORP_LOGIN_CONFIG:
  OIDC_SERVER: %s/
  CLIENT_ID: %s
  CLIENT_SECRET: %s
  SERVICE_NAME: Corp
`, at.URL, at.ClientID, at.ClientSecret)})})
	r := send(t, "POST", s.base+"/api/v1/externallogin/corp", `{"kind":"login"}`, "Content-Type", "application/json")
	if r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	to, _ := r.json(t)["auth_url"].(string)
	u := at.Visit(to)
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+u.RequestURI(), nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Cookie", strings.Split(r.header.Get("Set-Cookie"), ";")[0])
	res, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // nothing of it is read
	session := ""
	for _, k := range res.Cookies() {
		if k.Name == "session" {
			session = k.Name + "=" + k.Value
		}
	}
	if res.StatusCode != 302 || session == "" {
		t.Fatal(res.StatusCode, res.Header)
	}
	if r := send(t, "GET", s.base+"/api/v1/user/", "", "Cookie", session); !strings.Contains(r.body, `"username":"ann"`) || !strings.Contains(r.body, `"super_user":true`) {
		t.Error(r.status, r.body)
	}
	if r := send(t, "GET", s.base+"/api/v1/user/", "", "Authorization", "Bearer "+at.Token()); r.status != 200 {
		t.Error(r.status, r.body)
	}
	at.Change(func(p *oidctest.Provider) { p.Passwords = map[string]string{"ann": "right"} })
	if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("ann", "right")); r.status != 200 {
		t.Error(r.status, r.body)
	}
	if log := s.log.String(); strings.Contains(log, at.ClientSecret) || strings.Contains(log, u.Query().Get("code")) {
		t.Error("a secret is in the log")
	}
}

// TestAppToken takes no passwords.
func TestAppToken(t *testing.T) {
	s := open(t, Options{Environ: override(t, map[string]any{"AUTHENTICATION_TYPE": "AppToken", "FEATURE_DIRECT_LOGIN": false})})
	if r := send(t, "GET", s.base+"/v2/auth", "", "Authorization", basic("ann", "right")); r.status != 401 || !strings.Contains(r.body, "$app") {
		t.Error(r.status, r.body)
	}
	if r := send(t, "POST", s.base+"/api/v1/signin", `{"username":"ann","password":"x"}`, "Content-Type", "application/json"); r.status != 404 {
		t.Error(r.status, r.body)
	}
}
