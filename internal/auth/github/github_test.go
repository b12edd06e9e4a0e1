package github

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// TestGitHub signs in at a GitHub that knows one user, with one code.
func TestGitHub(t *testing.T) {
	const redirect = "https://registry.example.com/oauth2/github/callback"
	challenge, orgs, down := "", `[{"login":"Acme"}]`, false
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if r.PostFormValue("client_id") != "id" || r.PostFormValue("client_secret") != "secret" || r.PostFormValue("redirect_uri") != redirect ||
			r.PostFormValue("code") != "good" || base64.RawURLEncoding.EncodeToString(sum[:]) != challenge {
			_, _ = w.Write([]byte(`{"error":"bad_verification_code","error_description":"expired"}`)) // GitHub's 200
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"gho_x","token_type":"bearer","scope":"user:email"}`))
	})
	mux.HandleFunc("GET /api/v3/{what...}", func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]string{"user": `{"id":42,"login":"Ann-Lee"}`, "user/orgs": orgs,
			"user/emails": `[{"email":"old@x.org","verified":true},{"email":"fake@x.org","primary":false,"verified":false},{"email":"ann@x.org","primary":true,"verified":true}]`}[r.PathValue("what")]
		if down || r.Header.Get("Authorization") != "Bearer gho_x" || !json.Valid([]byte(answer)) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(answer))
	})
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	o := Options{Endpoint: srv.URL + "/", ClientID: "id", ClientSecret: "secret", RootCAs: roots}
	finish := func(o Options, code string) (string, error) {
		t.Helper()
		s := New(o)
		to, secret, err := s.Begin(t.Context(), redirect, "the-state")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil || u.Path != "/login/oauth/authorize" || u.Query().Get("state") != "the-state" {
			t.Fatal(to, err)
		}
		challenge = u.Query().Get("code_challenge")
		x, err := s.Finish(t.Context(), url.Values{"code": {code}}, redirect, secret)
		return x.Service + " " + x.Ident + " " + x.Username + " " + x.Email, err
	}
	if got, err := finish(o, "good"); err != nil || got != "github 42 Ann-Lee ann@x.org" {
		t.Error(got, err)
	}
	for _, code := range []string{"bad", ""} {
		if _, err := finish(o, code); !gantry.Is(err, gantry.Unauthenticated) {
			t.Errorf("%q: %v", code, err)
		}
	}
	o.Organizations = []string{"acme"}
	if _, err := finish(o, "good"); err != nil {
		t.Error(err)
	}
	orgs = `[{"login":"acme-friends"}]`
	if _, err := finish(o, "good"); !gantry.Is(err, gantry.Unauthenticated) {
		t.Error("a member of no organization", err)
	}
	down = true
	if _, err := finish(o, "good"); !gantry.Is(err, gantry.Unavailable) {
		t.Error(err)
	}
	if s := New(Options{}); s.o.API != "https://api.github.com" || s.Title() != "GitHub" {
		t.Error(s.o.API)
	}
}
