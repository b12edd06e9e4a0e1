package auth

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const host = "registry.example.com"

func testKeys(t testing.TB) *Keys {
	t.Helper()
	k, err := NewKeys(KeyOptions{SecretKey: "secret", DatabaseSecretKey: "database"})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newService(t testing.TB, db *store.DB, change func(*Options)) *Service {
	t.Helper()
	o := Options{Store: db, Keys: testKeys(t), BcryptCost: 4, Settings: Settings{AnonymousAccess: true, SuperUsers: true,
		AppSpecificTokens: true, Names: gantry.NameRules{Nested: true, Library: "library"}}}
	if change != nil {
		change(&o)
	}
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func user(t testing.TB, s *Service, name string) store.Account {
	t.Helper()
	hash, err := s.HashPassword(t.Context(), name+"-password")
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.store.CreateUser(t.Context(), store.NewAccount{Name: name, PasswordHash: hash, Verified: true}, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func basicHeader(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func ask(t testing.TB, s *Service, name, password string, scopes ...string) (*Grants, error) {
	t.Helper()
	r := TokenRequest{Service: host, Scopes: scopes, Host: host}
	if name != "" {
		r.Authorization = basicHeader(name, password)
	}
	tok, err := s.Token(t.Context(), r)
	if err != nil {
		return nil, err
	}
	return s.Verify(t.Context(), tok.Token, host)
}

// TestTokens walks through what a token is granted: create on push, a
// stranger, a robot, the public, and a repository created anew.
func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db, nil)
		ctx := t.Context()
		ann, _ := user(t, s, "ann"), user(t, s, "bob")
		app := gantry.RepoName{Namespace: "ann", Name: "app"}

		role := func(name, password, scope string, want gantry.Role) *Grants {
			t.Helper()
			g, err := ask(t, s, name, password, scope)
			if err != nil {
				t.Fatal(err)
			}
			if _, got := g.Repo(app); got != want {
				t.Fatalf("%s with %s has role %q, want %q", name, scope, got, want)
			}
			return g
		}
		// Who owns the namespace may know that nothing is there, which is no
		// right to what somebody may put there.
		early := role("ann", "ann-password", "repository:ann/app:pull", gantry.Read)
		if id, _ := early.Repo(app); id != 0 || len(early.Readable()) != 0 {
			t.Fatalf("a grant of a repository that is not there: %d, %v", id, early.Readable())
		}
		role("", "", "repository:ann/app:pull", gantry.NoRole)
		role("bob", "bob-password", "repository:ann/app:pull,push", gantry.NoRole)
		if r, err := db.Repository(ctx, app); !gantry.Is(err, gantry.NotFound) {
			t.Fatalf("a stranger made %v, %v", r, err)
		}
		old := role("ann", "ann-password", "repository:ann/app:pull,push", gantry.Write)
		role("ann", "ann-password", "repository:"+host+"/ann/app:*,delete", gantry.Admin)
		role("bob", "bob-password", "repository:ann/app:pull,push", gantry.NoRole)
		role("", "", "repository:ann/app:pull", gantry.NoRole)

		repo, err := db.Repository(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		uuid := NewUUID()
		token, sealed, err := s.NewRobotToken(uuid)
		if err != nil {
			t.Fatal(err)
		}
		robot, err := db.CreateRobot(ctx, ann.ID, store.NewAccount{Name: "ann+ci", UUID: uuid, Secret: sealed}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		role("ann+ci", token, "repository:ann/app:pull,push", gantry.NoRole)
		for _, r := range []gantry.Role{gantry.Admin, gantry.Read} {
			if err := db.SetPermission(ctx, repo, robot, r, gantry.Actor{}); err != nil {
				t.Fatal(err)
			}
		}
		role("ann+ci", token, "repository:ann/app:pull,push", gantry.Read)
		if _, err := ask(t, s, "ann+ci", token+"x"); !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}

		id, err := s.Basic(ctx, "ann", "ann-password", gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		k, code, err := s.NewAppToken(ctx, &id, "laptop", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		role("$app", code, "repository:ann/app:push", gantry.Write)
		if err := db.DeleteAppToken(ctx, ann.ID, k.UUID, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, s, "$app", code); !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
		narrow, err := s.NewOAuthToken(ctx, ann.ID, ScopeRepoRead, time.Hour, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		role("$oauthtoken", narrow, "repository:ann/app:pull,push,*", gantry.Read)

		if err := db.SetVisibility(ctx, repo, gantry.Public, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		role("", "", "repository:ann/app:pull,push", gantry.Read)
		if list, err := db.Catalog(ctx, store.CatalogQuery{Account: robot.ID, Public: true, N: 10}); err != nil || len(list) != 1 || list[0].Name != app {
			t.Fatalf("catalog %v, %v", list, err)
		}
		if list, err := db.Catalog(ctx, store.CatalogQuery{N: 10, Superuser: true, After: repo.ID}); err != nil || len(list) != 0 {
			t.Fatalf("catalog %v, %v", list, err)
		}
		if err := db.DeleteRepository(ctx, repo, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		fresh := role("ann", "ann-password", "repository:ann/app:push", gantry.Write)
		a, _ := old.Repo(app)
		if b, _ := fresh.Repo(app); a == b || a != repo.ID {
			t.Fatalf("ids %d and %d: an old token opens the new repository", a, b)
		}
		other := newService(t, db, nil) // another instance
		tok, err := s.Token(ctx, TokenRequest{Authorization: basicHeader("ann", "ann-password"), Service: host, Host: host, Offline: true})
		if err != nil {
			t.Fatal(err)
		}
		if g, err := other.Verify(ctx, tok.Token, host); err != nil || g.Actor.Account != ann.ID || g.Actor.Kind != gantry.ActorUser {
			t.Fatalf("%+v, %v", g, err)
		}
		if _, err := other.Verify(ctx, tok.Token, "elsewhere"); !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
		if _, err := s.Token(ctx, TokenRequest{Refresh: tok.RefreshToken, Host: host}); err != nil {
			t.Fatal(err)
		}
		if err := db.SetPassword(ctx, ann.ID, "x", 0, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Token(ctx, TokenRequest{Refresh: tok.RefreshToken, Host: host}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
		if err := db.DeleteNamespace(ctx, ann.ID, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Account(ctx, "ann+ci"); !gantry.Is(err, gantry.NotFound) {
			t.Fatal(err)
		}
	})
}

// TestBudget holds the number of statements for one token.
func TestBudget(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	s := newService(t, db, nil)
	user(t, s, "ann")
	const scope = "repository:ann/app:pull,push"
	count := func(most uint64) {
		t.Helper()
		before := db.Statements()
		if _, err := ask(t, s, "ann", "ann-password", scope); err != nil {
			t.Fatal(err)
		}
		if n := db.Statements() - before; n > most {
			t.Errorf("%d statements, want at most %d", n, most)
		}
	}
	count(20) // creates
	count(3)
	count(1)
}

// TestBackoff holds that wrong passwords make the next try wait, also for the
// right one and for names that are not there.
func TestBackoff(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	db := storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }})
	s := newService(t, db, nil)
	user(t, s, "ann")
	for _, name := range []string{"ann", "nobody"} {
		if _, err := s.Basic(context.Background(), name, "wrong", gantry.Actor{}); gantry.ReasonOf(err) != "" || !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
		if _, err := s.Basic(context.Background(), name, name+"-password", gantry.Actor{}); gantry.ReasonOf(err) != gantry.LoginBackoff {
			t.Fatalf("%s: %v, want back-off", name, err)
		}
	}
	now = now.Add(time.Second)
	if _, err := s.Basic(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	secret, err := s.keys.EncryptPassword("ann-password")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Basic(t.Context(), "ann", secret, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	// Who was in a moment ago is not locked out by somebody who guesses, and
	// does not help them.
	for range 3 {
		if _, err := s.Basic(t.Context(), "ann", "guess", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatal(err)
		}
		if _, err := s.Basic(t.Context(), "ann", "ann-password", gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Basic(t.Context(), "ann", "guess", gantry.Actor{}); gantry.ReasonOf(err) != gantry.LoginBackoff {
			t.Fatalf("a guess right after another: %v", err)
		}
		now = now.Add(time.Minute)
	}
}

// FuzzParseScopes holds that no text makes the parser panic or grant a name
// that is not one.
func FuzzParseScopes(f *testing.F) {
	for _, s := range []string{"repository:a/b:pull", "repository:localhost:5000/ann/app:push,*", "registry:catalog:*", "::", "repository::", "x:y:z repository:ann/app:pull"} {
		f.Add(s)
	}
	rules := gantry.NameRules{Nested: true, Library: "library"}
	f.Fuzz(func(t *testing.T, s string) {
		list, _, err := ParseScopes([]string{s}, "localhost:5000", rules)
		if err != nil {
			return
		}
		for _, x := range list {
			if n, err := rules.ParseRepoName(x.Repo.String()); err != nil || n != x.Repo {
				t.Fatalf("%q gives %+v", s, x)
			}
		}
	})
}
