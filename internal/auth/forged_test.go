package auth

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

type object = map[string]any

// compact makes a JWT; sign returns the signature of its first two parts.
func compact(t *testing.T, header, claims object, sign func([]byte) []byte) string {
	t.Helper()
	var parts []string
	for _, o := range []object{header, claims} {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	text := strings.Join(parts, ".")
	return text + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(text)))
}

func rs256(t *testing.T, key *rsa.PrivateKey) func([]byte) []byte {
	return func(b []byte) []byte {
		t.Helper()
		sum := sha256.Sum256(b)
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
}

// TestForged offers tokens that must not be taken, and then the one that each
// of them was made of, which is.
func TestForged(t *testing.T) {
	storetest.Each(t, testForged)
}

func testForged(t *testing.T, db *store.DB) {
	s := newService(t, db, nil)
	ann := user(t, s, "ann")
	other := newService(t, storetest.Open(t, storetest.SQLite, store.Options{}), nil) // another registry
	key, kid := s.signing.key, s.signing.kid
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs := func(secret []byte) func([]byte) []byte {
		return func(b []byte) []byte {
			m := hmac.New(sha256.New, secret)
			_, _ = m.Write(b) // never fails
			return m.Sum(nil)
		}
	}
	now := s.now().Unix()
	header := func(change object) object {
		h := object{"alg": "RS256", "typ": "JWT", "kid": kid}
		for k, v := range change {
			if h[k] = v; v == nil {
				delete(h, k)
			}
		}
		return h
	}
	body := func(change object) object {
		c := object{"iss": "quay", "aud": host, "sub": "ann", "iat": now, "nbf": now, "exp": now + 600,
			"access":  []object{{"type": "repository", "name": "ann/app", "actions": []string{"pull", "push", "*"}}},
			"context": object{"entity_kind": "user"}}
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	good := rs256(t, key)
	none := func([]byte) []byte { return nil }
	whole := compact(t, header(nil), body(nil), good)
	part := strings.Split(whole, ".")
	swapped, err := json.Marshal(body(object{"sub": "root"}))
	if err != nil {
		t.Fatal(err)
	}
	jwk := object{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(other.signing.key.N.Bytes()), "e": "AQAB"}
	for name, token := range map[string]string{
		"empty":                   "",
		"no token":                "abc",
		"alg none":                compact(t, header(object{"alg": "none"}), body(nil), none),
		"alg None":                compact(t, header(object{"alg": "None"}), body(nil), none),
		"alg none, signed":        compact(t, header(object{"alg": "none"}), body(nil), good),
		"no alg":                  compact(t, header(object{"alg": nil}), body(nil), good),
		"no signature":            part[0] + "." + part[1] + ".",
		"two parts":               part[0] + "." + part[1],
		"HS256 with the PEM":      compact(t, header(object{"alg": "HS256"}), body(nil), hs(public)),
		"HS256 with the DER":      compact(t, header(object{"alg": "HS256"}), body(nil), hs(der)),
		"HS256 with nothing":      compact(t, header(object{"alg": "HS256"}), body(nil), hs(nil)),
		"RS256 by HMAC":           compact(t, header(nil), body(nil), hs(public)),
		"RS512 named":             compact(t, header(object{"alg": "RS512"}), body(nil), good),
		"no kid":                  compact(t, header(object{"kid": nil}), body(nil), good),
		"unknown kid":             compact(t, header(object{"kid": "nobody"}), body(nil), good),
		"kid of SQL":              compact(t, header(object{"kid": "' OR 1=1 --"}), body(nil), good),
		"kid of a path":           compact(t, header(object{"kid": "../../../dev/null"}), body(nil), good),
		"kid with NUL":            compact(t, header(object{"kid": "a\x00b"}), body(nil), good),
		"long kid":                compact(t, header(object{"kid": strings.Repeat("k", 5000)}), body(nil), good),
		"key in the header":       compact(t, header(object{"jwk": jwk}), body(nil), rs256(t, other.signing.key)),
		"another registry's key":  compact(t, header(nil), body(nil), rs256(t, other.signing.key)),
		"another registry's kid":  compact(t, header(object{"kid": other.signing.kid}), body(nil), rs256(t, other.signing.key)),
		"unknown critical header": compact(t, header(object{"crit": []string{"exp"}, "exp": 1}), body(nil), good),
		"claims changed":          part[0] + "." + base64.RawURLEncoding.EncodeToString(swapped) + "." + part[2],
		"wrong audience":          compact(t, header(nil), body(object{"aud": "elsewhere.example.com"}), good),
		"audience as a prefix":    compact(t, header(nil), body(object{"aud": host + ".evil.example.com"}), good),
		"audiences":               compact(t, header(nil), body(object{"aud": []string{"elsewhere", host}}), good),
		"no audience":             compact(t, header(nil), body(object{"aud": nil}), good),
		"wrong issuer":            compact(t, header(nil), body(object{"iss": "evil"}), good),
		"no subject":              compact(t, header(nil), body(object{"sub": ""}), good),
		"expired":                 compact(t, header(nil), body(object{"iat": now - 700, "nbf": now - 700, "exp": now - 60}), good),
		"not valid yet":           compact(t, header(nil), body(object{"nbf": now + 120}), good),
		"issued in the future":    compact(t, header(nil), body(object{"iat": now + 120}), good),
		"lives too long":          compact(t, header(nil), body(object{"exp": now + 86400}), good),
		"lives for ever":          compact(t, header(nil), body(object{"exp": nil}), good),
		"issued at no time":       compact(t, header(nil), body(object{"iat": nil}), good),
		"claims of wrong types":   compact(t, header(nil), body(object{"exp": "tomorrow"}), good),
		"too long":                compact(t, header(nil), body(object{"context": object{"x": strings.Repeat("x", 1<<20)}}), good),
	} {
		if g, err := s.Verify(t.Context(), token, host); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%s: taken: %+v, %v", name, g, err)
		}
	}

	// The honest one has names only: what they mean is looked up.
	app := gantry.RepoName{Namespace: "ann", Name: "app"}
	if g, err := s.Verify(t.Context(), whole, host); err != nil || g.Actor.Account != ann.ID {
		t.Fatal(g, err)
	} else if id, role := g.Repo(app); id != 0 || role != gantry.NoRole {
		t.Fatal("a grant of what is not there", id, role)
	}
	id, err := db.CreateRepository(t.Context(), store.NewRepository{Name: app}, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	later := compact(t, header(nil), body(object{"exp": now + 601}), good)
	if g, err := s.Verify(t.Context(), later, host); err != nil {
		t.Fatal(err)
	} else if got, role := g.Repo(app); got != id || role != gantry.Admin {
		t.Fatal(got, role)
	}
	// A cached token is for its own registry only, and ends.
	if _, err := s.Verify(t.Context(), later, "elsewhere"); !gantry.Is(err, gantry.Unauthenticated) {
		t.Fatal(err)
	}
}

// TestTokenEnds holds that a token that was taken ends at its time.
func TestTokenEnds(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newService(t, storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }}), nil)
	user(t, s, "ann")
	tok, err := s.Token(t.Context(), TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		after time.Duration
		good  bool
	}{{0, true}, {time.Hour - time.Second, true}, {time.Minute, false}} {
		now = now.Add(x.after)
		if _, err := s.Verify(t.Context(), tok.Token, host); (err == nil) != x.good {
			t.Errorf("at %v: %v", now, err)
		}
	}
}

// TestCreateOnPush walks through CREATE_NAMESPACE_ON_PUSH,
// CREATE_PRIVATE_REPO_ON_PUSH, default permissions and restricted users.
func TestCreateOnPush(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db, nil)
		ctx := t.Context()
		ann, bob := user(t, s, "ann"), user(t, s, "bob")
		push := func(who, repo string, want gantry.Role) {
			t.Helper()
			g, err := ask(t, s, who, who+"-password", "repository:"+repo+":pull,push")
			if err != nil {
				t.Fatal(err)
			}
			ns, name, _ := strings.Cut(repo, "/")
			if _, got := g.Repo(gantry.RepoName{Namespace: ns, Name: name}); got != want {
				t.Fatalf("%s pushing %s has role %q, want %q", who, repo, got, want)
			}
		}
		visible := func(ns, name string, want gantry.Visibility) {
			t.Helper()
			if r, err := db.Repository(ctx, gantry.RepoName{Namespace: ns, Name: name}); err != nil || r.Visibility != want {
				t.Fatal(r, err)
			}
		}
		change := func(f func(*Settings)) {
			set := *s.Settings()
			f(&set)
			s.Configure(set)
		}
		push("ann", "ann/one", gantry.Write)
		visible("ann", "one", gantry.Private)
		change(func(c *Settings) { c.CreatePublicRepoOnPush = true })
		push("ann", "ann/two", gantry.Write)
		visible("ann", "two", gantry.Public)
		push("bob", "ann/two", gantry.Read)
		push("ann", "acme/app", gantry.NoRole)
		if _, err := db.Account(ctx, "acme"); !gantry.Is(err, gantry.NotFound) {
			t.Fatal("a namespace was made: ", err)
		}
		change(func(c *Settings) { c.CreateNamespaceOnPush, c.CreatePublicRepoOnPush = true, false })
		push("ann", "acme/app", gantry.Write)
		org, err := db.Account(ctx, "acme")
		if err != nil || org.Kind != gantry.Organization {
			t.Fatal(org, err)
		}
		push("bob", "acme/app", gantry.NoRole)
		push("bob", "acme/other", gantry.NoRole)
		push("bob", "ann/app", gantry.NoRole) // a user's namespace is no free one
		if _, err := db.CreatePrototype(ctx, org.ID, 0, bob.ID, 0, gantry.Read, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreatePrototype(ctx, org.ID, ann.ID, bob.ID, 0, gantry.Write, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		push("ann", "acme/next", gantry.Write)
		push("bob", "acme/next", gantry.Write)
		change(func(c *Settings) { c.OrgBySuperuser = true })
		push("ann", "other/app", gantry.NoRole)
		change(func(c *Settings) { c.OrgBySuperuser = false })
		change(func(c *Settings) { c.RestrictedUsers, c.RestrictedUsersWhitelist = true, []string{"bob"} })
		push("ann", "ann/three", gantry.NoRole)
		push("ann", "fresh/app", gantry.NoRole)
		push("bob", "bob/three", gantry.Write)
		change(func(c *Settings) { c.ReadOnly = true })
		push("bob", "bob/four", gantry.Read) // he may know that it is not there
		if _, err := db.Repository(ctx, gantry.RepoName{Namespace: "bob", Name: "four"}); !gantry.Is(err, gantry.NotFound) {
			t.Fatal("a repository was made in a read-only registry: ", err)
		}
	})
}

// TestDisabled holds that nothing of a disabled account works, that its robots
// end with it, and that a wrong password does not tell.
func TestDisabled(t *testing.T) {
	storetest.Each(t, testDisabled)
}

func testDisabled(t *testing.T, db *store.DB) {
	s := newService(t, db, nil)
	ctx := t.Context()
	ann := user(t, s, "ann")
	id, err := s.Basic(ctx, "ann", "ann-password", gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	_, app, err := s.NewAppToken(ctx, &id, "laptop", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	oauth, err := s.NewOAuthToken(ctx, ann.ID, AllScopes, time.Hour, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	uuid := NewUUID()
	robot, sealed, err := s.NewRobotToken(uuid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateRobot(ctx, ann.ID, store.NewAccount{Name: "ann+ci", UUID: uuid, Secret: sealed}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	secret, err := s.Keys().EncryptPassword("ann-password")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := s.Token(ctx, TokenRequest{Authorization: basicHeader("ann", "ann-password"), Host: host, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"ann": "ann-password", "$app": app, "$oauthtoken": oauth, "ann+ci": robot}
	try := func(good bool) {
		t.Helper()
		for name, password := range all {
			if _, err := s.Basic(ctx, name, password, gantry.Actor{}); good != (err == nil) || err != nil && !gantry.Is(err, gantry.Unauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.Basic(ctx, "ann", secret, gantry.Actor{}); good != (err == nil) {
			t.Errorf("encrypted password: %v", err)
		}
		if _, err := s.Token(ctx, TokenRequest{Refresh: tok.RefreshToken, Host: host}); good != (err == nil) {
			t.Errorf("refresh token: %v", err)
		}
	}
	try(true)
	for _, enabled := range []bool{false, true} {
		if err := db.SetEnabled(ctx, ann.ID, enabled, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		try(enabled)
	}
	if err := db.SetEnabled(ctx, ann.ID, false, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	_, a := s.Basic(ctx, "ann", "wrong", gantry.Actor{})
	_, b := s.Basic(ctx, "nobody", "wrong", gantry.Actor{})
	if a == nil || b == nil || a.Error() != b.Error() {
		t.Errorf("the answer tells which accounts there are: %v, %v", a, b)
	}
	for _, name := range []string{"$app", "$oauthtoken", "$token"} {
		for _, secret := range []string{"", strings.Repeat("\xff", 40), strings.Repeat("\xff", 120), strings.Repeat("\x00", 40)} {
			if _, err := s.Basic(ctx, name, secret, gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"ann\x00", "\xff\xfe", strings.Repeat("a", 10_000), "ann@\x00", "+", "a+b+c", ""} {
		if _, err := s.Login(ctx, name, "x", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%.20q: %v", name, err)
		}
		if _, err := s.Basic(ctx, name, "x", gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}
