// Package oidctest is a strict OpenID Connect provider for tests, over TLS: it
// refuses everything that is not right.
package oidctest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A Provider is a running provider. Its fields may be changed between calls,
// under Change.
type Provider struct {
	URL          string // the issuer, without a slash at the end
	Roots        *x509.CertPool
	PEM          string // its certificate, which is its own authority
	ClientID     string
	ClientSecret string // "" = a public client
	Redirects    []string
	Claims       map[string]any    // of who signs in; sub is among them
	UserInfo     map[string]any    // of the user endpoint; nil = Claims
	Passwords    map[string]string // of the password grant; nil = it is not there
	Issuer       string            // that documents and tokens name; "" = URL
	NoPKCE       bool              // it is not announced, and not asked for
	Forge        func(claims map[string]any)
	ForgeToken   func(token string) string
	Down         bool
	Refuse       string // the error that the browser comes back with

	t     testing.TB
	mu    sync.Mutex
	key   *rsa.PrivateKey
	kid   int
	codes map[string]grant
	live  map[string]bool // access tokens
	Log   []string        // what was refused
	Asked int             // how often for the keys
}

type grant struct{ redirect, nonce, challenge string }

// Start starts a provider with one client.
func Start(t testing.TB, redirects ...string) *Provider {
	t.Helper()
	p := &Provider{t: t, ClientID: "gantry", ClientSecret: "s3cret/+&", Redirects: redirects, codes: map[string]grant{}, live: map[string]bool{},
		Claims: map[string]any{"sub": "sub-ann", "preferred_username": "ann", "email": "ann@example.org", "email_verified": true}}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /auth", p.auth)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.Down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	p.URL, p.Roots = srv.URL, x509.NewCertPool()
	p.Roots.AddCert(srv.Certificate())
	p.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	return p
}

// Change runs f while nothing is answered.
func (p *Provider) Change(f func(*Provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// Rotate signs with another key from now on; the old one is gone. Inside of
// Change it is called on what f is given.
func (p *Provider) Rotate() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key, p.kid = key, p.kid+1
}

func (p *Provider) issuer() string {
	if p.Issuer != "" {
		return p.Issuer
	}
	return p.URL
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a test's client
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	v := map[string]any{"issuer": p.issuer(), "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256"}, "scopes_supported": []string{"openid", "email", "profile", "groups"},
		"authorization_response_iss_parameter_supported": true}
	if !p.NoPKCE {
		v["code_challenge_methods_supported"] = []string{"plain", "S256"}
	}
	write(w, 200, v)
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	p.Asked++
	write(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: fmt.Sprint(p.kid), Algorithm: "RS256", Use: "sig"}}})
}

// refuse notes why.
func (p *Provider) refuse(w http.ResponseWriter, status int, code, why string) {
	p.Log = append(p.Log, why)
	write(w, status, map[string]string{"error": code, "error_description": why})
}

func (p *Provider) auth(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	redirect := q.Get("redirect_uri")
	switch {
	case q.Get("client_id") != p.ClientID:
		p.refuse(w, 400, "invalid_client", "unknown client")
	case !slices.Contains(p.Redirects, redirect):
		p.refuse(w, 400, "invalid_request", "redirect_uri is not registered: "+redirect)
	case q.Get("response_type") != "code" || !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		p.refuse(w, 400, "invalid_request", "response_type or scope")
	case len(q.Get("state")) < 16 || len(q.Get("nonce")) < 16:
		p.refuse(w, 400, "invalid_request", "state or nonce are short")
	case !p.NoPKCE && (q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43):
		p.refuse(w, 400, "invalid_request", "PKCE is needed")
	default:
		to, err := url.Parse(redirect)
		if err != nil {
			p.t.Error(err)
			return
		}
		back := url.Values{"state": {q.Get("state")}, "iss": {p.issuer()}}
		if p.Refuse != "" {
			back.Set("error", p.Refuse)
			back.Set("error_description", "<script>no</script>")
		} else {
			code := rand.Text()
			p.codes[code] = grant{redirect, q.Get("nonce"), q.Get("code_challenge")}
			back.Set("code", code)
		}
		to.RawQuery = back.Encode()
		http.Redirect(w, r, to.String(), http.StatusFound) //nolint:gosec // one of Redirects
	}
}

// client checks who calls the token endpoint.
func (p *Provider) client(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if p.ClientSecret == "" {
		return !basic && r.PostForm.Get("client_id") == p.ClientID && !r.PostForm.Has("client_secret")
	}
	id, _ = url.QueryUnescape(id) // as RFC 6749 says
	secret, err := url.QueryUnescape(secret)
	return basic && err == nil && id == p.ClientID && secret == p.ClientSecret
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || !p.client(r) {
		p.refuse(w, 401, "invalid_client", "the client's secret is wrong")
		return
	}
	f := r.PostForm
	nonce := ""
	switch f.Get("grant_type") {
	case "password":
		if p.Passwords == nil {
			p.refuse(w, 400, "unauthorized_client", "no passwords")
			return
		}
		if want, ok := p.Passwords[f.Get("username")]; !ok || want != f.Get("password") {
			p.refuse(w, 400, "invalid_grant", "wrong password")
			return
		}
	case "authorization_code":
		g, ok := p.codes[f.Get("code")]
		delete(p.codes, f.Get("code")) // once
		sum := sha256.Sum256([]byte(f.Get("code_verifier")))
		switch {
		case !ok:
			p.refuse(w, 400, "invalid_grant", "the code is unknown or was used")
			return
		case g.redirect != f.Get("redirect_uri"):
			p.refuse(w, 400, "invalid_grant", "another redirect_uri")
			return
		case g.challenge != "" && g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]), g.challenge == "" && f.Has("code_verifier"):
			p.refuse(w, 400, "invalid_grant", "the verifier is wrong")
			return
		}
		nonce = g.nonce
	default:
		p.refuse(w, 400, "unsupported_grant_type", f.Get("grant_type"))
		return
	}
	access := rand.Text()
	p.live[access] = true
	write(w, 200, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": p.sign(nonce)})
}

// Token is a token of who signs in, as the API takes it.
func (p *Provider) Token() (token string) {
	p.Change(func(p *Provider) { token = p.sign("") })
	return token
}

func (p *Provider) sign(nonce string) string {
	now := time.Now().Unix()
	claims := map[string]any{"iss": p.issuer(), "aud": p.ClientID, "iat": now, "exp": now + 300}
	maps.Copy(claims, p.Claims)
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if p.Forge != nil {
		p.Forge(claims)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: fmt.Sprint(p.kid)}}, nil)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	jws, err := s.Sign(b)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		p.t.Error(err)
	}
	if p.ForgeToken != nil {
		raw = p.ForgeToken(raw)
	}
	return raw
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	if !p.live[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
		p.refuse(w, 401, "invalid_token", "the access token is unknown")
		return
	}
	if p.UserInfo != nil {
		write(w, 200, p.UserInfo)
		return
	}
	write(w, 200, p.Claims)
}

// Visit is a browser that goes where it is sent, where the user agrees to
// everything. It returns where the provider sends it.
func (p *Provider) Visit(to string) *url.URL {
	p.t.Helper()
	c := http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig(p.Roots)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(to) //nolint:noctx // a test
	if err != nil {
		p.t.Fatal(err)
	}
	_ = res.Body.Close() // nothing of it is read
	if res.StatusCode != http.StatusFound {
		p.t.Fatalf("the provider answers %d: %v", res.StatusCode, p.Log)
	}
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
