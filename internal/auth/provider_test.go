package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A directory is a provider in memory.
type directory struct {
	mu       sync.Mutex
	people   map[string]External // by name
	password map[string]string
	groups   map[string][]string // names
	down     error
	unranked bool // it gives no ranks any more
	asked    int
}

func newDirectory(names ...string) *directory {
	d := &directory{people: map[string]External{}, password: map[string]string{}, groups: map[string][]string{}}
	for _, n := range names {
		d.people[n] = External{Service: "dir", Ident: "id-" + n, Username: n, Email: n + "@example.org", Ranked: true}
		d.password[n] = n + "-password"
	}
	return d
}

func (d *directory) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *directory) Service() string { return "dir" }

func (d *directory) VerifyPassword(_ context.Context, name, password string) (External, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	switch x, ok := d.people[name]; {
	case d.down != nil:
		return External{}, d.down
	case ok && d.password[name] == password:
		return x, nil
	}
	return External{}, errWrong
}

func (d *directory) Ping(context.Context) error { return d.down }

func (d *directory) Lookup(_ context.Context, name string) (External, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x, ok := d.people[name]; ok {
		return x, nil
	}
	return External{}, gantry.Errorf(gantry.NotFound, "account", "none")
}

func (d *directory) Search(context.Context, string, int) ([]External, error) { return nil, nil }

func (d *directory) SyncInfo() map[string]string { return nil }

func (d *directory) Group(_ context.Context, c map[string]string) (map[string]string, error) {
	return c, nil
}

func (d *directory) Members(_ context.Context, c map[string]string) (list []External, told bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	names, ok := d.groups[c["group"]]
	if !ok {
		return nil, false, gantry.Errorf(gantry.NotFound, "group", "none")
	}
	for _, n := range names {
		list = append(list, d.people[n])
	}
	return list, true, d.down
}

func (d *directory) Follows(c map[string]string, groups []string) bool {
	return slices.Contains(groups, c["group"])
}

func (d *directory) Ranked() bool { return !d.unranked }

func (d *directory) Ranks(context.Context) (map[string]Rank, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ranks := map[string]Rank{}
	for _, x := range d.people {
		if x.Rank != 0 {
			ranks[x.Ident] = x.Rank
		}
	}
	return ranks, d.down
}

// outside is a service with a provider and a clock that the test turns.
func outside(t *testing.T, db *store.DB, d *directory, change func(*Options)) (s *Service, advance func(time.Duration)) {
	t.Helper()
	var mu sync.Mutex
	now := time.Now()
	s = newService(t, db, func(o *Options) {
		o.Provider, o.UserCreation, o.TeamSyncing = d, true, true
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
		if change != nil {
			change(o)
		}
	})
	return s, func(by time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(by)
	}
}

func TestExternalLogin(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDirectory("ann", "bob", "Root", "Zoë Ångström")
		s, advance := outside(t, db, d, func(o *Options) { o.Superusers = []string{"root", "ghost"} })
		ctx := t.Context()
		local := user(t, s, "local")

		id, err := s.Basic(ctx, "ann", "ann-password", gantry.Actor{})
		if err != nil || id.Account.Name != "ann" || id.Account.Email != "ann@example.org" || id.Account.PasswordHash != "" || id.Actor.Kind != gantry.ActorUser {
			t.Fatalf("%+v, %v", id, err)
		}
		// The password is not asked about for a minute, and then it is.
		for range 3 {
			if again, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{}); err != nil || again.Account.ID != id.Account.ID {
				t.Fatal(again, err)
			}
		}
		if d.asked != 1 {
			t.Errorf("asked %d times", d.asked)
		}
		d.change(func() { d.password["ann"] = "another" })
		advance(externalLife + time.Second)
		if _, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error("a password that was changed is taken", err)
		}
		advance(time.Minute)
		if _, err := s.Login(ctx, "ann", "another", gantry.Actor{}); err != nil {
			t.Error(err)
		}

		// Encrypted passwords are those of clients.
		sealed, err := s.keys.EncryptPassword("another")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Basic(ctx, "ann", sealed, gantry.Actor{}); err != nil {
			t.Error("an encrypted password", err)
		}
		if _, err := s.Login(ctx, "ann", sealed, gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error("an encrypted password of a person", err)
		}

		// Passwords of the database are none, and accounts of it are nobody's.
		if _, err := s.Login(ctx, "local", "local-password", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error(err)
		}
		d.change(func() {
			d.people["local"], d.password["local"] = External{Service: "dir", Ident: "x", Username: "local"}, "p"
		})
		advance(time.Minute)
		if id, err := s.Login(ctx, "local", "p", gantry.Actor{}); err != nil || id.Account.ID == local.ID || id.Account.Name != "local1" {
			t.Errorf("%+v, %v", id.Account, err)
		} else if err := s.Confirm(ctx, id.Account, "p", gantry.Actor{}); err != nil { // by the name there
			t.Error(err)
		} else if err := s.Confirm(ctx, local, "p", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error("an account is confirmed by somebody else's password", err)
		}

		// Names.
		for name, want := range map[string]string{"Root": "root", "Zoë Ångström": "zoe_angstrom"} {
			if id, err := s.Login(ctx, name, name+"-password", gantry.Actor{}); err != nil || id.Account.Name != want || id.Superuser != (want == "root") {
				t.Errorf("%s: %+v, %v", name, id, err)
			}
		}
		d.change(func() {
			d.people["g.h"], d.password["g.h"] = External{Service: "dir", Ident: "y", Username: "g h\u00f6st"}, "p"
			d.people["gh"], d.password["gh"] = External{Service: "dir", Ident: "z", Username: "ghöst"}, "p"
		})
		if id, err := s.Login(ctx, "gh", "p", gantry.Actor{}); err != nil || id.Account.Name != "ghost1" || id.Superuser {
			t.Errorf("who merely looks like a superuser: %+v, %v", id, err)
		}

		// Empty passwords never reach the provider.
		n := d.asked
		for _, c := range [][2]string{{"ann", ""}, {"", "x"}, {"ann", "a\x00b"}, {"ann", strings.Repeat("x", 5000)}} {
			if _, err := s.Basic(ctx, c[0], c[1], gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
				t.Errorf("%q: %v", c, err)
			}
		}
		if d.asked != n {
			t.Error("the provider was asked about what is no password")
		}

		// An account that is disabled.
		if err := db.SetEnabled(ctx, id.Account.ID, false, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Login(ctx, "ann", "another", gantry.Actor{}); !errors.Is(err, errDisabled) {
			t.Error(err)
		}
	})
}

// TestExternalGuess has somebody guess: each wrong one makes the next wait,
// and who has the right password goes on.
func TestExternalGuess(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	d := newDirectory("ann")
	s, advance := outside(t, db, d, nil)
	if _, err := s.Login(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	n := d.asked
	for range 20 {
		if _, err := s.Login(t.Context(), "ann", "wrong", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
	}
	if d.asked != n+1 {
		t.Errorf("%d guesses reached the provider", d.asked-n)
	}
	advance(externalLife + time.Second)
	for range 8 {
		_, _ = s.Login(t.Context(), "ann", "wrong", gantry.Actor{}) // wrong
		advance(90 * time.Second)
	}
	_, _ = s.Login(t.Context(), "ann", "wrong", gantry.Actor{}) // wrong
	if _, err := s.Login(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Error("the guesser locks out who he guesses at", err)
	}
	if _, err := s.Login(t.Context(), "ann", "other guess", gantry.Actor{}); gantry.ReasonOf(err) != gantry.LoginBackoff {
		t.Error("his guesses do not wait any more", err)
	}
}

// TestExternalDown takes the provider away: that is said, and what does not
// need it goes on.
func TestExternalDown(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	d := newDirectory("ann")
	s, advance := outside(t, db, d, nil)
	ctx := t.Context()
	id, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	_, app, err := s.NewAppToken(ctx, &id, "ci", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s.Configure(func() Settings { c := *s.Settings(); c.AppSpecificTokens = true; return c }())
	oauth, err := s.NewOAuthToken(ctx, id.Account.ID, AllScopes, time.Hour, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	uuid := NewUUID()
	token, sealed, err := s.NewRobotToken(uuid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateRobot(ctx, id.Account.ID, store.NewAccount{Name: "ann+ci", UUID: uuid, Secret: sealed}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	cookie, _, err := s.NewSession(ctx, &id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d.change(func() { d.down = errors.New("secret of the network") })
	if _, err := s.Basic(ctx, "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Error("within the minute", err)
	}
	advance(externalLife + time.Second)
	for range 3 { // which are no wrong passwords
		_, err = s.Basic(ctx, "ann", "ann-password", gantry.Actor{})
		e, ok := errors.AsType[*gantry.Error](err)
		if !ok || e.Code != gantry.Unavailable || e.Retry == 0 || strings.Contains(e.Detail, "secret") {
			t.Fatal(err)
		}
	}
	for name, password := range map[string]string{"$app": app, "$oauthtoken": oauth, "ann+ci": token} {
		if _, err := s.Basic(ctx, name, password, gantry.Actor{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.Session(ctx, cookie, gantry.Actor{}); err != nil {
		t.Error(err)
	}
	d.change(func() { d.down = nil })
	if _, err := s.Basic(ctx, "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Error(err)
	}

	// No token outlives the password here.
	tok, err := s.Token(ctx, TokenRequest{Authorization: basicHeader("ann", "ann-password"), Service: host, Host: host, Offline: true})
	if err != nil || tok.RefreshToken != "" {
		t.Errorf("a refresh token %q, %v", tok.RefreshToken, err)
	}
	if _, err := s.openRefresh(ctx, s.sealRefresh(&id.Account, s.now()), gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("a refresh token of before is taken", err)
	}
}

// TestExternalRules is about who gets an account.
func TestExternalRules(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Settings)
		want   gantry.Code
	}{
		"anybody":        {func(*Settings) {}, ""},
		"nobody new":     {func(c *Settings) { c.UserCreation = false }, gantry.Unauthenticated},
		"who is invited": {func(c *Settings) { c.InviteOnly = true }, gantry.Unauthenticated},
		"no such domain": {func(c *Settings) {
			c.BlockedEmail = func(e string) bool { return strings.HasSuffix(e, "@example.org") }
		}, gantry.Unauthenticated},
		"read only": {func(c *Settings) { c.ReadOnly = true }, gantry.ReadOnly},
	} {
		db := storetest.Open(t, storetest.SQLite, store.Options{})
		s, _ := outside(t, db, newDirectory("ann"), func(o *Options) { c.change(&o.Settings) })
		_, err := s.Login(t.Context(), "ann", "ann-password", gantry.Actor{})
		if !gantry.Is(err, c.want) && (c.want != "" || err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if there, err := db.HasUsers(t.Context()); err != nil || there != (c.want == "") {
			t.Errorf("%s: there is an account: %v, %v", name, there, err)
		}
		// Who is in a group, or given a right, gets one all the same.
		if c.want == gantry.Unauthenticated {
			if a, err := s.Link(t.Context(), "ann", gantry.Actor{}); err != nil || a.Name != "ann" {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := s.Login(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
				t.Errorf("%s: who has an account: %v", name, err)
			}
		}
	}
	// Nobody becomes somebody else by an address.
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	s, _ := outside(t, db, newDirectory("ann"), nil)
	if _, err := db.CreateUser(t.Context(), store.NewAccount{Name: "boss", Email: "ann@example.org"}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(t.Context(), "ann", "ann-password", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) || !strings.Contains(err.Error(), "is used by another account") {
		t.Error(err)
	}
}

func TestExternalRanks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDirectory("ann", "bob")
		d.people["ann"] = func() External { x := d.people["ann"]; x.Rank = RankSuperuser; return x }()
		s, advance := outside(t, db, d, func(o *Options) { o.RestrictedUsers, o.RestrictedByRank = true, true })
		ctx := t.Context()
		ann, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{})
		if err != nil || !ann.Superuser || ann.ReadOnlySuperuser || ann.Restricted {
			t.Fatalf("%+v, %v", ann, err)
		}
		cookie, _, err := s.NewSession(ctx, &ann, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		session := func(super, readOnly, restricted bool) {
			t.Helper()
			id, _, err := s.Session(ctx, cookie, gantry.Actor{})
			if err != nil || id.Superuser != super || id.ReadOnlySuperuser != readOnly || id.Restricted != restricted {
				t.Errorf("%+v, %v", id, err)
			}
		}
		session(true, false, false)
		if bob, err := s.Login(ctx, "bob", "bob-password", gantry.Actor{}); err != nil || bob.Superuser || bob.Restricted {
			t.Errorf("%+v, %v", bob, err)
		}
		// What changes at the provider changes the sessions that there are.
		give := func(r Rank) {
			t.Helper()
			d.change(func() { x := d.people["ann"]; x.Rank = r; d.people["ann"] = x })
			if _, err := s.SyncStale(ctx, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		give(RankReadOnly | RankSuperuser)
		session(false, true, false) // reading alone wins
		give(RankRestricted)
		session(false, false, true)
		give(0)
		session(false, false, false)
		give(RankSuperuser)
		// With the provider away nothing is taken.
		d.change(func() { d.down = Unreachable(errors.New("x")) })
		if _, err := s.SyncStale(ctx, time.Hour); err == nil {
			t.Error("no error")
		}
		session(true, false, false)
		d.change(func() { d.down = nil })
		// By a login, too.
		d.change(func() { x := d.people["ann"]; x.Rank = 0; d.people["ann"] = x })
		advance(externalLife + time.Second)
		if _, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{}); err != nil {
			t.Error(err)
		}
		session(false, false, false)
		// Another process knows the ranks from the start, and only those of
		// the services that it is configured with.
		give(RankSuperuser)
		other, _ := outside(t, db, d, nil)
		if id, _, err := other.Session(ctx, cookie, gantry.Actor{}); err != nil || !id.Superuser {
			t.Error(id, err)
		}
		d.unranked = true
		without, _ := outside(t, db, d, nil)
		for _, s := range []*Service{without, newService(t, db, nil)} {
			if id, _, err := s.Session(ctx, cookie, gantry.Actor{}); err != nil || id.Superuser {
				t.Error("the rank of a provider that is gone, or gives none, counts", id, err)
			}
		}
	})
}

func TestSyncStale(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDirectory("ann", "bob", "cat")
		s, advance := outside(t, db, d, func(o *Options) { o.UserCreation = false })
		ctx := t.Context()
		owner := storetest.Account(t, db, gantry.User)
		org, err := db.CreateOrganization(ctx, store.NewAccount{Name: "acme"}, owner, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		g, _, err := db.PutTeam(ctx, org.ID, "devs", gantry.TeamMember, nil, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SetTeamSync(ctx, g, "dir", map[string]string{"group": "devs"}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		const none = -1 // no comparison is made
		run := func(compared int, want ...string) {
			t.Helper()
			if compared != none {
				if n, err := s.SyncStale(ctx, time.Hour); err != nil || n != compared {
					t.Errorf("%d teams were compared, want %d: %v", n, compared, err)
				}
			}
			members, err := db.TeamMembers(ctx, g.ID)
			var got []string
			for _, a := range members {
				got = append(got, a.Name)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("members %q, want %q: %v", got, want, err)
			}
		}
		d.change(func() { d.groups["devs"] = []string{"ann", "bob"} })
		run(1, "ann", "bob") // whose accounts are made, though nobody may sign up
		d.change(func() { d.groups["devs"] = []string{"cat"} })
		run(0, "ann", "bob") // not stale yet
		advance(2 * time.Hour)
		run(1, "cat")
		d.change(func() { delete(d.groups, "devs") })
		advance(2 * time.Hour)
		run(0, "cat") // a group that is gone empties nothing
		d.change(func() { d.groups["devs"] = nil })
		advance(2 * time.Hour)
		run(1)

		// Groups that a login tells.
		d.change(func() { x := d.people["ann"]; x.Groups, x.Grouped = []string{"devs"}, true; d.people["ann"] = x })
		if _, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		run(none, "ann")
		d.change(func() { x := d.people["ann"]; x.Groups = nil; d.people["ann"] = x })
		advance(externalLife + time.Second)
		if _, err := s.Login(ctx, "ann", "ann-password", gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		run(none)
		off := *s.Settings()
		off.TeamSyncing = false
		s.Configure(off)
		d.change(func() { d.groups["devs"] = []string{"bob"} })
		advance(2 * time.Hour)
		run(0)
	})
}

func TestValidUsername(t *testing.T) {
	for text, want := range map[string]string{"ann": "ann", "Ann Lee": "ann_lee", "ann@example.org": "ann", `CORP\Ann`: "ann", "": "user", "@": "user", "x": "x0",
		"..a..b--": "a.b", "Ünï": "uni", "ﬁx": "fix", "日本": "user", "a+b": "a_b", strings.Repeat("a", 300): strings.Repeat("a", 240)} {
		if got := ValidUsername(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func FuzzValidUsername(f *testing.F) {
	f.Add("Ann Lee")
	f.Add("\xff@@..")
	f.Fuzz(func(t *testing.T, text string) {
		if name := ValidUsername(text); gantry.CheckNamespace(name) != nil || len(name) > maxUsername {
			t.Errorf("%q is %q", text, name)
		}
	})
}
