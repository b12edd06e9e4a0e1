package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// An issuer is an identity provider over TLS, as OpenID Connect Discovery has
// it.
type issuer struct {
	t     *testing.T
	url   string
	pool  *x509.CertPool
	asked atomic.Int64 // for its discovery

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	extra    []string // more members of keys
	discover string   // in place of the document
	status   int      // of the keys; 0 = 200
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	is := &issuer{t: t}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		is.mu.Lock()
		defer is.mu.Unlock()
		if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("the issuer is asked with %s %v", r.Method, r.Header)
		}
		switch r.URL.Path {
		case "/tenant/.well-known/openid-configuration":
			is.asked.Add(1)
			doc := is.discover
			if doc == "" {
				doc = fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, is.url, is.url+"/keys")
			}
			_, _ = fmt.Fprint(w, doc)
		case "/tenant/keys":
			if is.status != 0 {
				w.Header().Set("Location", is.url+"/elsewhere")
				w.WriteHeader(is.status)
				return
			}
			parts := append([]string{}, is.extra...)
			for _, k := range is.keys {
				b, err := k.Public().MarshalJSON()
				if err != nil {
					t.Error(err)
				}
				parts = append(parts, string(b))
			}
			_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(parts, ","))
		default:
			t.Errorf("the issuer is asked for %s", r.URL)
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	is.url = srv.URL + "/tenant"
	is.pool = x509.NewCertPool()
	is.pool.AddCert(srv.Certificate())
	return is
}

// key adds a key and returns its private half.
func (is *issuer) key(kid string, private any) jose.JSONWebKey {
	is.mu.Lock()
	defer is.mu.Unlock()
	k := jose.JSONWebKey{Key: private, KeyID: kid, Use: "sig"}
	is.keys = append(is.keys, k)
	return k
}

func (is *issuer) sign(alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	is.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		is.t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		is.t.Fatal(err)
	}
	jws, err := s.Sign(b)
	if err != nil {
		is.t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		is.t.Fatal(err)
	}
	return out
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestFederation: a token of another issuer becomes a robot's password, which
// works wherever the robot signs in, until it ends or the identity may no
// longer act as the robot.
func TestFederation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		db = storetest.Another(t, db, store.Options{Now: func() time.Time { return now }})
		ctx := t.Context()
		s := newService(t, db, nil)
		ann := user(t, s, "ann")
		robot, err := db.CreateRobot(ctx, ann.ID, store.NewAccount{Name: "ann+ci", UUID: NewUUID(), Secret: ""}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		_, sealed, err := s.NewRobotToken(robot.UUID)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.RegenerateRobot(ctx, robot, sealed, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		is := newIssuer(t)
		key := is.key("one", rsaKey(t))
		f := NewFederation(s, httpd.Outgoing(httpd.OutgoingOptions{RootCAs: is.pool, Allowed: []string{"127.0.0.1"}}))
		const subject = "repo:acme/app:ref:refs/heads/main"
		claims := func(more ...any) map[string]any {
			c := map[string]any{"iss": is.url, "sub": subject, "exp": now.Add(time.Minute).Unix(), "nbf": now.Unix(), "iat": now.Unix(), "aud": "x"}
			for i := 0; i+1 < len(more); i += 2 {
				if c[more[i].(string)] = more[i+1]; more[i+1] == nil {
					delete(c, more[i].(string))
				}
			}
			return c
		}
		good := is.sign(jose.RS256, key, claims())
		refused := func(what, name, token string) {
			t.Helper()
			if out, err := f.Exchange(ctx, name, token, gantry.Actor{}); out != "" || !gantry.Is(err, gantry.Unauthenticated) {
				t.Errorf("%s: %v", what, err)
			}
		}
		refused("nobody may act as the robot", "ann+ci", good)
		if is.asked.Load() != 0 {
			t.Error("an issuer that nobody named was asked")
		}
		list := []store.FederatedIdentity{{Issuer: "https://other.example", Subject: subject}, {Issuer: is.url, Subject: subject}}
		if err := db.SetRobotFederation(ctx, robot, list, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		password, err := f.Exchange(ctx, "ann+ci", good, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.Basic(ctx, "ann+ci", password, gantry.Actor{})
		if err != nil || id.Account.ID != robot.ID || id.Actor.Kind != gantry.ActorRobot {
			t.Fatal(id, err)
		}
		if g, err := ask(t, s, "ann+ci", password, "repository:ann/app:pull"); err != nil || g.Anonymous { // as podman login and pull do
			t.Fatal(g, err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM events WHERE kind = 'federated_robot_token_exchange' AND payload LIKE '%repo:acme%'`); n != 1 {
			t.Errorf("%d rows in the journal", n)
		}
		// The robot's password is no bearer token, nor the other way round, and
		// no other robot's.
		if _, err := s.Verify(ctx, password, host); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error(err)
		}
		bearer, err := s.Token(ctx, TokenRequest{Service: host, Host: host, Authorization: basicHeader("ann+ci", password), Offline: true})
		if err != nil || bearer.RefreshToken != "" { // which would live for a month
			t.Fatal(err)
		}
		other, err := db.CreateRobot(ctx, ann.ID, store.NewAccount{Name: "ann+cd", UUID: robot.UUID[:35] + "x", Secret: sealed}, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SetRobotFederation(ctx, other, list, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		for name, pw := range map[string]string{"a bearer token": bearer.Token, "the external token": good, "cut": password[:len(password)-4], "without signature": password[:strings.LastIndex(password, ".")+1]} {
			if _, err := s.Basic(ctx, "ann+ci", pw, gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.checkRobotToken(ctx, other, password); err != nil {
			t.Error(err)
		}
		if ok, _ := s.checkRobotToken(ctx, other, password); ok {
			t.Error("a password of another robot")
		}

		ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		alien := jose.JSONWebKey{Key: rsaKey(t), KeyID: "one"}
		is.mu.Lock()
		public, err := is.keys[0].Public().MarshalJSON()
		is.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		for what, token := range map[string]string{
			"another key":       is.sign(jose.RS256, alien, claims()),
			"a shared secret":   is.sign(jose.HS256, public, claims()),
			"no algorithm":      "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
			"no end":            is.sign(jose.RS256, key, claims("exp", nil)),
			"an end long ago":   is.sign(jose.RS256, key, claims("exp", now.Add(-time.Minute).Unix())),
			"an end of text":    is.sign(jose.RS256, key, claims("exp", "soon")),
			"an end too far":    is.sign(jose.RS256, key, claims("exp", 1e30)),
			"not yet":           is.sign(jose.RS256, key, claims("nbf", now.Add(time.Hour).Unix())),
			"from the future":   is.sign(jose.RS256, key, claims("iat", now.Add(time.Hour).Unix())),
			"another subject":   is.sign(jose.RS256, key, claims("sub", subject+"x")),
			"no subject":        is.sign(jose.RS256, key, claims("sub", nil)),
			"another issuer":    is.sign(jose.RS256, key, claims("iss", "https://nobody.example")),
			"issuer of a list":  is.sign(jose.RS256, key, claims("iss", []string{is.url})),
			"nothing":           "",
			"no token":          "x.y.z",
			"too much":          strings.Repeat("x", maxExternal+1),
			"other claims":      strings.Split(good, ".")[0] + "." + strings.Split(password, ".")[1] + "." + strings.Split(good, ".")[2],
			"a robot's own one": password,
		} {
			refused(what, "ann+ci", token)
		}
		refused("no such robot", "ann+none", good)
		refused("a user", "ann", good)
		refused("NUL", "ann+ci\x00", good)
		for _, more := range [][]any{{"nbf", nil, "iat", nil}, {"exp", float64(now.Unix()) + 10.5}} {
			if _, err := f.Exchange(ctx, "ann+ci", is.sign(jose.RS256, key, claims(more...)), gantry.Actor{}); err != nil {
				t.Error(more, err)
			}
		}
		asked := is.asked.Load()
		if asked != 1 {
			t.Errorf("the issuer was asked %d times", asked)
		}

		// It changes its keys: they are found, but not more often than every 10 s.
		is.mu.Lock()
		is.extra = []string{`{"kty":"XX"}`, `{"kty":"oct","k":"AAAA","kid":"two"}`, `7`}
		is.mu.Unlock()
		two := is.key("two", ec)
		fresh := is.sign(jose.ES256, two, claims())
		refused("a key that is not known yet", "ann+ci", fresh)
		now = now.Add(issuerAgain)
		if _, err := f.Exchange(ctx, "ann+ci", fresh, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			refused("an unknown key", "ann+ci", is.sign(jose.RS256, jose.JSONWebKey{Key: rsaKey(t), KeyID: "three"}, claims()))
		}
		if n := is.asked.Load(); n != asked+1 {
			t.Errorf("the issuer was asked %d times", n)
		}
		// The issuer is away for a while: those who are known go on.
		is.mu.Lock()
		is.status = 503
		is.mu.Unlock()
		now = now.Add(issuerAgain)
		refused("an unknown key", "ann+ci", is.sign(jose.RS256, jose.JSONWebKey{Key: rsaKey(t), KeyID: "three"}, claims()))
		if _, err := f.Exchange(ctx, "ann+ci", is.sign(jose.ES256, two, claims()), gantry.Actor{}); err != nil {
			t.Error(err)
		}

		// An end to it.
		if _, err := s.Basic(ctx, "ann+ci", password, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		set := *s.Settings()
		set.RobotsDisallow = true
		s.Configure(set)
		refused("robots are off", "ann+ci", is.sign(jose.ES256, two, claims()))
		set.RobotsDisallow = false
		s.Configure(set)
		if err := db.SetRobotFederation(ctx, robot, list[:1], gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Basic(ctx, "ann+ci", password, gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error("the identity may no longer act as the robot: ", err)
		}
		if err := db.SetRobotFederation(ctx, robot, list, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
		if _, err := s.Basic(ctx, "ann+ci", password, gantry.Actor{}); !gantry.Is(err, gantry.Unauthenticated) {
			t.Error("an hour later: ", err)
		}
		if err := db.DeleteRobot(ctx, robot, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM robot_federations`); n != 2 { // of the other
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestFederationIssuers: an issuer that does not do as it should is Unavailable,
// and not asked again at once; one in the registry's own network is not asked
// at all.
func TestFederationIssuers(t *testing.T) {
	now := time.Now()
	db := storetest.Open(t, storetest.SQLite, store.Options{Now: func() time.Time { return now }})
	ctx := t.Context()
	s := newService(t, db, nil)
	ann := user(t, s, "ann")
	robot, err := db.CreateRobot(ctx, ann.ID, store.NewAccount{Name: "ann+ci"}, gantry.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	is := newIssuer(t)
	key := is.key("one", rsaKey(t))
	if err := db.SetRobotFederation(ctx, robot, []store.FederatedIdentity{{Issuer: is.url, Subject: "x"}}, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	token := is.sign(jose.RS256, key, map[string]any{"iss": is.url, "sub": "x", "exp": now.Add(time.Hour).Unix()})
	guarded := NewFederation(s, httpd.Outgoing(httpd.OutgoingOptions{RootCAs: is.pool}))
	if _, err := guarded.Exchange(ctx, "ann+ci", token, gantry.Actor{}); !gantry.Is(err, gantry.Unavailable) || is.asked.Load() != 0 {
		t.Error("loopback was reached: ", err)
	}
	f := NewFederation(s, httpd.Outgoing(httpd.OutgoingOptions{RootCAs: is.pool, Allowed: []string{"127.0.0.1"}}))
	for what, doc := range map[string]string{
		"another issuer":   `{"issuer":"https://other.example","jwks_uri":"` + is.url + `/keys"}`,
		"no JSON":          `<html>`,
		"plain keys":       `{"issuer":"` + is.url + `","jwks_uri":"http://127.0.0.1/keys"}`,
		"a file":           `{"issuer":"` + is.url + `","jwks_uri":"file:///etc/passwd"}`,
		"no keys":          `{"issuer":"` + is.url + `"}`,
		"too much":         `{"x":"` + strings.Repeat("x", maxDiscovery) + `"}`,
		"the cloud's keys": `{"issuer":"` + is.url + `","jwks_uri":"https://169.254.169.254/latest"}`,
	} {
		is.mu.Lock()
		is.discover = doc
		is.mu.Unlock()
		before := is.asked.Load()
		for range 3 {
			if _, err := f.Exchange(ctx, "ann+ci", token, gantry.Actor{}); !gantry.Is(err, gantry.Unavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := is.asked.Load() - before; n != 1 {
			t.Errorf("%s: asked %d times", what, n)
		}
		now = now.Add(issuerAgain)
	}
	is.mu.Lock()
	is.discover, is.status = "", 302 // redirects are not followed
	is.mu.Unlock()
	if _, err := f.Exchange(ctx, "ann+ci", token, gantry.Actor{}); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	now = now.Add(issuerAgain)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.Exchange(gone, "ann+ci", token, gantry.Actor{}); err == nil {
		t.Error("no error")
	}
	is.mu.Lock()
	is.status = 0
	is.mu.Unlock()
	if _, err := f.Exchange(ctx, "ann+ci", token, gantry.Actor{}); err != nil { // who left has spoiled nothing
		t.Error(err)
	}
	for _, bad := range []string{"", "http://a.example", "https://", "https://a.example?x", "https://a.example#x", "https://u:p@a.example", "https://a.example/ x", "ftp://a", strings.Repeat("https://a.example/", 20)} {
		if err := CheckIssuer(bad); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzExternalToken: no token of a stranger panics or gets through.
func FuzzExternalToken(f *testing.F) {
	db := storetest.Open(f, storetest.SQLite, store.Options{})
	s := newService(f, db, nil)
	ann := user(f, s, "ann")
	robot, err := db.CreateRobot(f.Context(), ann.ID, store.NewAccount{Name: "ann+ci"}, gantry.Actor{})
	if err != nil {
		f.Fatal(err)
	}
	if err := db.SetRobotFederation(f.Context(), robot, []store.FederatedIdentity{{Issuer: "https://a.invalid", Subject: "x"}}, gantry.Actor{}); err != nil {
		f.Fatal(err)
	}
	fed := NewFederation(s, &http.Client{Transport: http.NewFileTransport(http.Dir(f.TempDir()))})
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2EuaW52YWxpZCIsInN1YiI6IngiLCJleHAiOjR9.AAAA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if out, err := fed.Exchange(context.Background(), "ann+ci", token, gantry.Actor{}); err == nil || out != "" {
			t.Fatal(out)
		}
		if ok, err := s.checkRobotToken(context.Background(), robot, token); ok || err != nil {
			t.Fatal(ok, err)
		}
	})
}

// FuzzServiceJWK: what is taken as a service's key is a public one that can be
// read again.
func FuzzServiceJWK(f *testing.F) {
	k, err := MakeServiceKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(k.JWK), k.ID)
	f.Add([]byte(`{"kty":"oct","k":"AAAA"}`), "x")
	f.Add([]byte(`{}`), "x")
	f.Fuzz(func(t *testing.T, raw []byte, kid string) {
		out, err := CheckServiceJWK(raw, kid)
		if err != nil {
			return
		}
		var back jose.JSONWebKey
		if err := back.UnmarshalJSON([]byte(out)); err != nil || !back.IsPublic() || back.KeyID == "" {
			t.Fatal(out, err)
		}
	})
}
