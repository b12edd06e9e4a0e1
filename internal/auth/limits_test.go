package auth

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestMaxFresh holds that REGISTRY_JWT_AUTH_MAX_FRESH_S bounds the tokens that
// are issued, and those of others that are believed.
func TestMaxFresh(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	usual, strict := newService(t, db, nil), newService(t, db, func(o *Options) { o.MaxFresh = 10 * time.Minute })
	long := newService(t, db, func(o *Options) { o.MaxFresh = 24 * time.Hour })
	user(t, usual, "ann")
	for _, x := range []struct {
		by   *Service
		life time.Duration
		good bool // for strict
	}{{usual, time.Hour, false}, {strict, 10 * time.Minute, true}, {long, time.Hour, false}} {
		tok, err := x.by.Token(t.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host})
		if err != nil || tok.ExpiresIn != x.life {
			t.Fatal(tok.ExpiresIn, err)
		}
		if _, err := strict.Verify(t.Context(), tok.Token, host); (err == nil) != x.good {
			t.Errorf("a token for %v: %v", x.life, err)
		}
		if _, err := usual.Verify(t.Context(), tok.Token, host); err != nil {
			t.Error(err)
		}
	}
}

// TestNoTokens holds that a service of a command leaves no key behind.
func TestNoTokens(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	before := db.Statements()
	s := newService(t, db, func(o *Options) { o.NoTokens = true })
	if n := db.Statements() - before; n != 0 {
		t.Errorf("%d statements", n)
	}
	s.Tick(t.Context())
	user(t, s, "ann")
	if _, err := s.Token(t.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host}); err == nil {
		t.Error("a token without a key")
	}
	if _, err := s.Verify(t.Context(), "a.b.c", host); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error(err)
	}
}

// TestKeysOfInstances holds that an instance believes the tokens of another
// as long as that renews its key, of one that has ended until its key does,
// and that a key of another service signs nothing here.
func TestKeysOfInstances(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		clock := func() time.Time { return now }
		db = storetest.Another(t, db, store.Options{Now: clock})
		a, b := newService(t, db, nil), newService(t, storetest.Another(t, db, store.Options{Now: clock}), nil)
		user(t, a, "ann")
		token := func() string {
			t.Helper()
			tok, err := a.Token(t.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host})
			if err != nil {
				t.Fatal(err)
			}
			return tok.Token
		}
		for range 5 { // five hours, renewed every minute
			for range 60 {
				now = now.Add(time.Minute)
				a.Tick(t.Context())
			}
			if _, err := b.Verify(t.Context(), token(), host); err != nil {
				t.Fatal(err)
			}
		}
		// Without Run, the key is renewed before a token is signed that would
		// outlive it.
		now = now.Add(3 * time.Hour)
		last := token()
		now = now.Add(59 * time.Minute)
		if _, err := b.Verify(t.Context(), last, host); err != nil {
			t.Error(err)
		}
		key, err := db.ServiceKey(t.Context(), a.KeyID())
		if err != nil || !strings.Contains(key.JWK, `"n"`) || strings.Contains(key.JWK, `"d"`) {
			t.Errorf("the private half is in the table: %+v, %v", key, err)
		}
		// A key that is in the table for something else.
		key.ID, key.Service, key.Expires = "clair", "clair", time.Time{}
		if err := db.PutServiceKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		c := object{"iss": "quay", "aud": host, "sub": "ann", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Unix() + 60}
		if _, err := b.Verify(t.Context(), compact(t, object{"alg": "RS256", "kid": "clair"}, c, rs256(t, a.signing.key)), host); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error("a key of another service signs: ", err)
		}
	})
}

// TestRobots holds what ROBOTS_DISALLOW and ROBOTS_WHITELIST say, of every
// way in, and that names at the limit work.
func TestRobots(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db, nil)
		longest := strings.Repeat("a", 127)
		ann := user(t, s, longest)
		robot := func(short string) (name, token string) {
			t.Helper()
			uuid := NewUUID()
			token, sealed, err := s.NewRobotToken(uuid)
			if err != nil {
				t.Fatal(err)
			}
			a, err := db.CreateRobot(t.Context(), ann.ID, store.NewAccount{Name: longest + "+" + short, UUID: uuid, Secret: sealed}, gantry.Actor{})
			if err != nil {
				t.Fatal(err)
			}
			return a.Name, token
		}
		one, oneToken := robot("ci")
		two, twoToken := robot(strings.Repeat("b", 126)) // 254 in all
		refresh := func(name, token string) string {
			t.Helper()
			tok, err := s.Token(t.Context(), TokenRequest{Authorization: basicHeader(name, token), Host: host, Offline: true})
			if err != nil || tok.RefreshToken == "" {
				t.Fatal(err)
			}
			return tok.RefreshToken
		}
		oneRefresh, twoRefresh := refresh(one, oneToken), refresh(two, twoToken)
		for _, x := range []struct {
			disallow  bool
			whitelist []string
			one, two  bool
		}{{false, nil, true, true}, {true, nil, false, false}, {true, []string{two}, false, true}, {false, []string{two}, true, true}} {
			set := *s.Settings()
			set.RobotsDisallow, set.RobotsWhitelist = x.disallow, x.whitelist
			s.Configure(set)
			for _, r := range []struct {
				name, token, refresh string
				good                 bool
			}{{one, oneToken, oneRefresh, x.one}, {two, twoToken, twoRefresh, x.two}} {
				if _, err := s.Basic(t.Context(), r.name, r.token, gantry.Actor{}); (err == nil) != r.good {
					t.Errorf("%+v %.10s: %v", x, r.name, err)
				}
				if _, err := s.Token(t.Context(), TokenRequest{Refresh: r.refresh, Host: host}); (err == nil) != r.good {
					t.Errorf("%+v %.10s, refresh token: %v", x, r.name, err)
				}
			}
		}
		// A robot is told nothing about others, and a token opens its own only.
		_, a := s.Basic(t.Context(), longest+"+none", twoToken, gantry.Actor{})
		_, b := s.Basic(t.Context(), two, oneToken, gantry.Actor{})
		if a == nil || b == nil || strings.ReplaceAll(a.Error(), longest+"+none", two) != b.Error() {
			t.Errorf("%v; %v", a, b)
		}
	})
}

// TestForeignAccount holds that a token ends neither with another's account
// nor with the same name made anew: ids, not names, are compared.
func TestForeignAccount(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	s := newService(t, db, nil)
	ann := user(t, s, "ann")
	tok, err := s.Token(t.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.DeleteNamespace(t.Context(), ann.ID, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	anew := user(t, s, "ann") // with the same password
	if _, err := s.Token(t.Context(), TokenRequest{Refresh: tok.RefreshToken, Host: host}); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("an old refresh token opens the new account: ", err)
	}
	if g, err := s.Verify(t.Context(), tok.Token, host); err != nil || g.Actor.Account == anew.ID {
		t.Errorf("an old token is the new account's: %+v, %v", g, err)
	}
}

// FuzzBasic holds that no header makes ParseBasic panic, or yields a name with
// a colon, and that no credentials are more than refused.
func FuzzBasic(f *testing.F) {
	for _, s := range []string{"", "Basic", "Basic ", "Basic YW5uOmFubi1wYXNzd29yZA==", "basic  YTpi", "Bearer x", "Basic " + base64.StdEncoding.EncodeToString([]byte("$app:\xff:\x00")), "Basic !!", "Basic Og=="} {
		f.Add(s)
	}
	db := storetest.Open(f, storetest.SQLite, store.Options{})
	s := newService(f, db, func(o *Options) { o.AuditLoginFailures = true })
	user(f, s, "ann")
	f.Fuzz(func(t *testing.T, header string) {
		name, password, ok := ParseBasic(header)
		if !ok {
			return
		}
		if strings.Contains(name, ":") {
			t.Fatalf("%q has the name %q", header, name)
		}
		_, err := s.Basic(t.Context(), name, password, gantry.Actor{})
		if good := name == "ann" && password == "ann-password"; (err == nil) != good && gantry.ReasonOf(err) != gantry.LoginBackoff || err != nil && !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatalf("%q, %q: %v", name, password, err)
		}
	})
}

// FuzzSecrets holds that what was not sealed here does not open, and that
// what opens as an encrypted password is one.
func FuzzSecrets(f *testing.F) {
	k := testKeys(f)
	secret, err := k.EncryptPassword("pass word")
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := k.Seal("a.b", "1", "hidden")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", secret, sealed, "g1$", "g1$$", "v0$$", "v0$$AAECAwQFBgcICQoLDO0qd6jIU3w+JKIIWahsaag=", strings.Repeat("A", 44)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := k.DecryptPassword(s); ok {
			if !looksEncrypted(s) {
				t.Fatalf("%q opens as %q without its form", s, p)
			}
			again, err := k.EncryptPassword(p)
			if err != nil {
				t.Fatal(err)
			}
			if q, ok := k.DecryptPassword(again); !ok || q != p {
				t.Fatalf("%q, then %q", p, q)
			}
		}
		if p, err := k.Open("a.b", "1", s); err == nil && p != "hidden" && !strings.HasPrefix(s, quayPrefix) {
			t.Fatalf("%q opens as %q", s, p)
		}
		if last, err := k.Pages().Open("r", "f", "s", s); err == nil {
			t.Fatalf("%q is the page %q", s, last)
		}
	})
}

// FuzzVerify holds that nothing but a token of ours is taken, as a bearer
// token or as a refresh token.
func FuzzVerify(f *testing.F) {
	db := storetest.Open(f, storetest.SQLite, store.Options{})
	s := newService(f, db, nil)
	user(f, s, "ann")
	tok, err := s.Token(f.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host, Offline: true, Scopes: []string{"repository:ann/app:push"}})
	if err != nil {
		f.Fatal(err)
	}
	part := strings.Split(tok.Token, ".")
	for _, x := range []string{"", ".", "..", "...", tok.Token, tok.RefreshToken, part[0] + ".." + part[2], part[0] + "." + part[1] + ".",
		"eyJhbGciOiJub25lIn0." + part[1] + ".", part[0] + ".e30." + part[2], tok.Token + "=", " " + tok.Token} {
		f.Add(x)
	}
	// The same token may be written in more than one way: base64 has bits to
	// spare, and its reader skips line ends.
	read := func(text string) (out [3]string) {
		for i, p := range strings.SplitN(text, ".", 3) {
			b, err := base64.RawURLEncoding.DecodeString(p)
			if err == nil {
				out[i] = string(b)
			}
		}
		return out
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := s.Verify(t.Context(), text, host)
		if err != nil && !gantry.Is(err, gantry.Unauthenticated) || err == nil && read(text) != read(tok.Token) {
			t.Fatalf("%q: %+v, %v", text, g, err)
		}
		id, err := s.caller(t.Context(), TokenRequest{Refresh: text + "x", Host: host})
		if !gantry.Is(err, gantry.Unauthenticated) {
			t.Fatalf("%q: %+v, %v", text, id, err)
		}
	})
}
