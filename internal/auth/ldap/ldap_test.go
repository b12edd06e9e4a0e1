package ldap

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/ldap/ldaptest"
	"github.com/gantry-registry/gantry/internal/gantry"
)

func provider(t testing.TB, s *ldaptest.Server, change func(*Options)) *Provider {
	t.Helper()
	o := Options{URIs: []string{s.LDAPS}, BaseDN: ldaptest.Base, AdminDN: ldaptest.AdminDN, AdminPassword: ldaptest.AdminPassword,
		UserRDNs: []string{"ou=people"}, RootCAs: s.Roots, Timeout: 5 * time.Second, NetworkTimeout: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// code is that of an error, "" for none.
func code(t testing.TB, err error) gantry.Code {
	t.Helper()
	for _, c := range gantry.Codes {
		if gantry.Is(err, c) {
			return c
		}
	}
	if err != nil {
		t.Fatalf("an error without code: %v", err)
	}
	return ""
}

func TestDirectory(t *testing.T) {
	s := ldaptest.Start(t, false, "")
	p := provider(t, s, nil)
	for _, c := range []struct {
		name, password string
		want           gantry.Code
		ident          string
	}{
		{"ann", "ann-password", "", "ann"},
		{"ANN", "ann-password", "", "ann"}, // the directory does not care for case, and the ident is one
		{"ann@example.org", "ann-password", "", "ann"},
		{"ann", "bob-password", gantry.Unauthenticated, ""},
		{"ann", "", gantry.Unauthenticated, ""}, // a directory takes it for an anonymous bind
		{"", "ann-password", gantry.Unauthenticated, ""},
		{"nobody", "x", gantry.Unauthenticated, ""},
		{"cat", "cat-password", gantry.Unauthenticated, ""}, // in another place
		{"ann@example.com", "ann-password", gantry.Unauthenticated, ""},
		{"Jürgen (x)*", "odd-password", "", "Jürgen (x)*"},
		// What is no filter but a name.
		{"*", "ann-password", gantry.Unauthenticated, ""},
		{"an*", "ann-password", gantry.Unauthenticated, ""},
		{"ann)(uid=*", "ann-password", gantry.Unauthenticated, ""},
		{"*)(|(uid=ann", "ann-password", gantry.Unauthenticated, ""},
		{"x@y)(uid=ann", "ann-password", gantry.Unauthenticated, ""},
		{`\61nn`, "ann-password", gantry.Unauthenticated, ""},
		{"ann\x00", "ann-password", gantry.Unauthenticated, ""},
		{"uid=ann,ou=people,dc=example,dc=org", "ann-password", gantry.Unauthenticated, ""},
		{strings.Repeat("x", 256), "x", gantry.Unauthenticated, ""},
		// Who writes another's name as his own address does not become him.
		{"ann", "mallory-password", gantry.Unauthenticated, ""},
		{"mallory", "mallory-password", "", "mallory"},
	} {
		x, err := p.VerifyPassword(t.Context(), c.name, c.password)
		if code(t, err) != c.want || x.Ident != c.ident {
			t.Errorf("%q with %q: %+v, %v; want %q, %q", c.name, c.password, x, err, c.ident, c.want)
		}
	}
	x, err := p.Lookup(t.Context(), "ann")
	if err != nil || x.Service != "ldap" || x.Username != "ann" || x.Email != "ann@example.org" || x.Ranked {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := p.Lookup(t.Context(), "nobody"); !gantry.Is(err, gantry.NotFound) {
		t.Error(err)
	}
	search := func(prefix string, n int, want ...string) {
		t.Helper()
		list, err := p.Search(t.Context(), prefix, n)
		var got []string
		for _, x := range list {
			got = append(got, x.Username)
		}
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("search for %q: %q, %v", prefix, got, err)
		}
	}
	search("bo", 10, "bob")
	search("ann@ex", 10, "ann")
	search("", 10)
	search("*", 10)
	search("a)(uid=*", 10)
	if list, err := p.Search(t.Context(), "a", 1); err != nil || len(list) != 1 {
		t.Errorf("more than the limit: %v, %v", list, err)
	}
	if err := p.Ping(t.Context()); err != nil {
		t.Error(err)
	}

	// More places, a filter of users, and ranks.
	ranked := provider(t, s, func(o *Options) {
		o.UserRDNs = append(o.UserRDNs, "ou=staff", "ou=missing")
		o.UserFilter = "!(employeeType=gone)" // Quay takes it without parentheses, too
		o.SuperuserFilter, o.ReadOnlyFilter, o.RestrictedFilter = "(employeeType=boss)", "employeeType=auditor", "(memberOf=cn=none,dc=example,dc=org)"
	})
	for name, want := range map[string]auth.Rank{"ann": auth.RankSuperuser, "bob": 0, "cat": auth.RankReadOnly} {
		x, err := ranked.VerifyPassword(t.Context(), name, name+"-password")
		if err != nil || x.Rank != want || !x.Ranked {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	if _, err := ranked.VerifyPassword(t.Context(), "out", "out-password"); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("the filter of users is not obeyed", err)
	}
	if ranks, err := ranked.Ranks(t.Context()); err != nil || !ranked.Ranked() || fmt.Sprint(ranks) != "map[ann:1 cat:2]" {
		t.Error(ranks, err)
	}
	if p.Ranked() {
		t.Error("ranks without a filter")
	}

	// Groups.
	members := func(dn string, want ...string) {
		t.Helper()
		list, told, err := ranked.Members(t.Context(), map[string]string{"group_dn": dn})
		var got []string
		for _, x := range list {
			got = append(got, x.Ident)
		}
		if slices.Sort(got); err != nil || !told || !slices.Equal(got, want) {
			t.Errorf("members of %s: %q, %v, %v", dn, got, told, err)
		}
	}
	members("cn=developers,ou=groups", "ann", "cat")
	members("cn=developers,ou=groups,dc=example,dc=org", "ann", "cat")
	members("cn=empty,ou=groups")
	if _, _, err := ranked.Members(t.Context(), map[string]string{"group_dn": "cn=gone,ou=groups"}); !gantry.Is(err, gantry.NotFound) {
		t.Error("a group that is gone is not an empty one", err)
	}
	for dn, want := range map[string]gantry.Code{"cn=developers,ou=groups": "", "cn=gone,ou=groups": gantry.Invalid, "": gantry.Invalid,
		"no dn": gantry.Invalid, "*": gantry.Invalid, "cn=developers)(uid=*": gantry.Invalid} {
		if _, err := ranked.Group(t.Context(), map[string]string{"group_dn": dn}); code(t, err) != want {
			t.Errorf("group %q: %v", dn, err)
		}
	}
	s.Modify("dn: cn=developers,ou=groups,dc=example,dc=org\nchangetype: modify\ndelete: member\nmember: uid=cat,ou=staff,dc=example,dc=org\n")
	members("cn=developers,ou=groups", "ann")
}

// TestTransport is about TLS, servers that are away, and connections.
func TestTransport(t *testing.T) {
	s := ldaptest.Start(t, false, "")
	plain := ldaptest.Start(t, true, "")
	login := func(p *Provider) error {
		_, err := p.VerifyPassword(t.Context(), "ann", "ann-password")
		return err
	}
	// dead accepts connections and says nothing.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	dead := "ldap://" + l.Addr().String()

	if err := login(provider(t, s, func(o *Options) { o.URIs = []string{s.LDAP} })); err != nil {
		t.Errorf("StartTLS: %v", err)
	}
	for _, uri := range []string{s.LDAP, s.LDAPS} { // a certificate of somebody else is no wish for plain text
		if err := login(provider(t, s, func(o *Options) { o.URIs, o.RootCAs = []string{uri}, plain.Roots })); !gantry.Is(err, gantry.Unavailable) {
			t.Errorf("%s with an unknown authority: %v", uri, err)
		}
	}
	if err := login(provider(t, plain, func(o *Options) { o.URIs = []string{plain.LDAP} })); err != nil {
		t.Errorf("without TLS on this machine: %v", err)
	}
	if err := login(provider(t, s, func(o *Options) {
		o.URIs = []string{dead, "ldap://127.0.0.1:1", s.LDAPS}
		o.Timeout = 200 * time.Millisecond
	})); err != nil {
		t.Errorf("the third server: %v", err)
	}
	if onThisMachine("ldap.example.org") || onThisMachine("10.0.0.1") || !onThisMachine("::1") {
		t.Error("which machine is this?")
	}
	for name, change := range map[string]func(*Options){
		"nothing listens":             func(o *Options) { o.URIs = []string{"ldap://127.0.0.1:1"} },
		"nobody answers":              func(o *Options) { o.URIs, o.Timeout = []string{dead}, 200*time.Millisecond },
		"the administrator is wrong":  func(o *Options) { o.AdminPassword = "wrong" },
		"the administrator has none":  func(o *Options) { o.AdminPassword = "" },
		"the administrator is nobody": func(o *Options) { o.AdminDN = "cn=nobody,dc=example,dc=org" },
	} {
		p := provider(t, s, change)
		if err := login(p); !gantry.Is(err, gantry.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Ping(t.Context()); !gantry.Is(err, gantry.Unavailable) {
			t.Errorf("%s: ping: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := provider(t, s, nil).VerifyPassword(ctx, "ann", "ann-password"); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("a caller who left: %v", err)
	}

	// A kept connection that died is replaced.
	p := provider(t, s, func(o *Options) { o.PoolSize = 3 })
	if err := login(p); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := login(p); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("the directory is away: %v", err)
	}
	s.Restart()
	if err := login(p); err != nil {
		t.Errorf("the directory is back: %v", err)
	}

	// Many at once, over few connections, each as himself.
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			name, password, want := "ann", "ann-password", gantry.Code("")
			switch i % 3 {
			case 1:
				name, password = "bob", "bob-password"
			case 2:
				password, want = "bob-password", gantry.Unauthenticated
			}
			x, err := p.VerifyPassword(t.Context(), name, password)
			if code(t, err) != want || want == "" && x.Ident != name {
				t.Errorf("%s: %+v, %v", name, x, err)
			}
		})
	}
	wg.Wait()
	if n := len(p.servers.idle); n > 3 {
		t.Errorf("%d connections are kept", n)
	}
	full := provider(t, s, func(o *Options) { o.PoolSize, o.PoolWait = 1, time.Millisecond })
	full.servers.slots <- struct{}{}
	if err := login(full); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("no connection is free: %v", err)
	}
	once := provider(t, s, func(o *Options) { o.NoPool = true })
	if err := login(once); err != nil || len(once.servers.idle) != 0 {
		t.Errorf("without a pool: %v, %d kept", err, len(once.servers.idle))
	}

	// What is remembered is where a user is, never the password.
	cached := provider(t, s, func(o *Options) { o.CacheLife = time.Hour })
	for range 2 {
		if err := login(cached); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cached.VerifyPassword(t.Context(), "ann", "wrong"); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("the cache takes any password", err)
	}
	s.Modify("dn: uid=ann,ou=people,dc=example,dc=org\nchangetype: modrdn\nnewrdn: uid=anna\ndeleteoldrdn: 1\n")
	if err := login(cached); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("a user who is gone", err)
	}
}

// TestReferrals has a part of the directory on another server.
func TestReferrals(t *testing.T) {
	other := ldaptest.Start(t, false, "")
	s := ldaptest.Start(t, false, "\ndn: ou=far,ou=people,dc=example,dc=org\nobjectClass: referral\nobjectClass: extensibleObject\nou: far\nref: "+
		other.LDAPS+"/ou=staff,dc=example,dc=org\n")
	follow := provider(t, s, func(o *Options) { o.FollowReferrals = true; o.RootCAs = ldaptest.Roots(s, other) })
	if x, err := follow.VerifyPassword(t.Context(), "cat", "cat-password"); err != nil || x.Ident != "cat" {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := follow.VerifyPassword(t.Context(), "cat", "wrong"); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error(err)
	}
	if _, err := provider(t, s, nil).VerifyPassword(t.Context(), "cat", "cat-password"); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("a referral is followed though it shall not be", err)
	}
	other.Stop() // what is here goes on
	if _, err := follow.VerifyPassword(t.Context(), "ann", "ann-password"); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	good := Options{URIs: []string{"ldaps://x"}, BaseDN: "dc=x", AdminDN: "cn=a,dc=x", AdminPassword: "p"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Options){
		"LDAP_URI":              func(o *Options) { o.URIs = []string{"http://x"} },
		"LDAP_BASE_DN":          func(o *Options) { o.BaseDN = "nonsense" },
		"LDAP_ADMIN_DN":         func(o *Options) { o.AdminDN = "nonsense" },
		"LDAP_USER_RDN":         func(o *Options) { o.UserRDNs = []string{"people"} },
		"LDAP_UID_ATTR":         func(o *Options) { o.UIDAttr = "uid)(x" },
		"LDAP_USER_FILTER":      func(o *Options) { o.UserFilter = "(a=b" },
		"LDAP_SUPERUSER_FILTER": func(o *Options) { o.SuperuserFilter = "a" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
