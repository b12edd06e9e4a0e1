package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A service is a strict one: it knows ann alone.
type service struct {
	*httptest.Server
	key   *rsa.PrivateKey
	alg   jose.SignatureAlgorithm
	with  any // signs in place of key; nil = key
	forge func(map[string]any)
	down  bool
}

func start(t *testing.T) *service {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{key: key, alg: jose.RS256}
	answer := func(w http.ResponseWriter, claims map[string]any) {
		now := time.Now().Unix()
		for k, v := range map[string]any{"iss": "acme", "iat": now, "nbf": now, "exp": now + 300} {
			claims[k] = v
		}
		if s.forge != nil {
			s.forge(claims)
		}
		b, err := json.Marshal(claims)
		if err != nil {
			t.Error(err)
		}
		var with any = s.key
		if s.with != nil {
			with = s.with
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: with}, nil)
		if err != nil {
			t.Error(err)
			return
		}
		jws, err := signer.Sign(b)
		if err != nil {
			t.Error(err)
			return
		}
		raw, err := jws.CompactSerialize()
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte(raw + "\n")) // a test's client
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /verify", func(w http.ResponseWriter, r *http.Request) {
		if name, password, ok := r.BasicAuth(); !ok || name != "ann" && name != "ann@x.org" || password != "right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, map[string]any{"aud": "quay.io/jwtauthn", "sub": "ann", "email": "ann@x.org"})
	})
	mux.HandleFunc("GET /getuser", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("username") != "ann" || r.URL.Query().Get("tenant") != "7" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answer(w, map[string]any{"aud": "quay.io/jwtauthn/getuser", "sub": "ann", "email": "ann@x.org"})
	})
	mux.HandleFunc("GET /query", func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]string{}
		if strings.HasPrefix("ann", r.URL.Query().Get("query")) {
			list = append(list, map[string]string{"username": "ann", "email": "ann@x.org"}, map[string]string{"username": "anna"}, map[string]string{"username": "annb"})
		}
		answer(w, map[string]any{"aud": "quay.io/jwtauthn/query", "results": list})
	})
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func public(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})
}

func (s *service) provider(t *testing.T) *Provider {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p, err := New(Options{Verify: s.URL + "/verify", Query: s.URL + "/query", GetUser: s.URL + "/getuser?tenant=7", Issuer: "acme", RootCAs: roots,
		PublicKey: public(t, s.key.Public())})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestJWT(t *testing.T) {
	s := start(t)
	p := s.provider(t)
	for _, name := range []string{"ann", "ann@x.org"} {
		x, err := p.VerifyPassword(t.Context(), name, "right")
		if err != nil || x.Service != "jwtauthn" || x.Ident != "ann" || x.Username != "ann" || x.Email != "ann@x.org" {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	for _, c := range [][2]string{{"ann", "wrong"}, {"bob", "right"}, {"ann", ""}, {"", "right"}, {"ann:right", "x"}} {
		if _, err := p.VerifyPassword(t.Context(), c[0], c[1]); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%q: %v", c, err)
		}
	}
	if x, err := p.Lookup(t.Context(), "ann"); err != nil || x.Ident != "ann" {
		t.Errorf("%+v, %v", x, err)
	}
	for _, name := range []string{"bob", "", "ann&tenant=8"} {
		if _, err := p.Lookup(t.Context(), name); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if list, err := p.Search(t.Context(), "an", 2); err != nil || len(list) != 2 || list[0].Username != "ann" {
		t.Error(list, err)
	}
	if list, err := p.Search(t.Context(), "zz", 2); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	if err := p.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	s.down = true
	if _, err := p.VerifyPassword(t.Context(), "ann", "wrong"); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	if err := p.Ping(t.Context()); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	if _, err := New(Options{PublicKey: []byte("x")}); err == nil {
		t.Error("a key that is none")
	}
}

// TestForged has the answers spoiled: nobody is let in by them, and nobody is
// told that the password is wrong.
func TestForged(t *testing.T) {
	now := time.Now().Unix()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*service){
		"another issuer":   func(s *service) { s.forge = func(c map[string]any) { c["iss"] = "evil" } },
		"another audience": func(s *service) { s.forge = func(c map[string]any) { c["aud"] = "quay.io/jwtauthn/query" } },
		"expired":          func(s *service) { s.forge = func(c map[string]any) { c["exp"] = now - 60 } },
		"not yet":          func(s *service) { s.forge = func(c map[string]any) { c["nbf"] = now + 600 } },
		"no end":           func(s *service) { s.forge = func(c map[string]any) { delete(c, "exp") } },
		"lives too long":   func(s *service) { s.forge = func(c map[string]any) { c["exp"] = now + 4000 } },
		"nobody":           func(s *service) { s.forge = func(c map[string]any) { delete(c, "sub") } },
		"another key":      func(s *service) { s.with = other },
		"the public key as a secret": func(s *service) {
			s.alg, s.with = jose.HS256, public(t, s.key.Public())
		},
		"a curve": func(s *service) {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Error(err)
			}
			s.alg, s.with = jose.ES256, k
		},
	} {
		s := start(t)
		change(s)
		if x, err := s.provider(t).VerifyPassword(context.Background(), "ann", "right"); !gantry.Is(err, gantry.Unavailable) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
}
