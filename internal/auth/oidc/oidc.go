// Package oidc signs people in through OpenID Connect providers: the blocks
// <NAME>_LOGIN_CONFIG, and AUTHENTICATION_TYPE OIDC.
package oidc

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Options are the keys of a block <NAME>_LOGIN_CONFIG.
type Options struct {
	ID                  string // NAME in lower case
	Server              string // issuer's URL, with or without the slash at the end
	ClientID            string
	ClientSecret        string
	ServiceName         string // "" = ID
	ServiceIcon         string
	Scopes              []string // none = openid, email, profile, and groups where the provider has that
	EmailClaim          string   // that holds a verified address; "" = email, if email_verified
	UsernameClaim       string   // "" = preferred_username, unique_name, upn, sub
	GroupClaim          string   // "" = groups
	BindingField        string   // sub, username or email; "" = none
	Issuer              string   // that tokens name; "" = Server
	Issuers             []string // further ones
	Audiences           []string // of tokens that the API takes; none = ClientID
	AllowedClients      []string // to whom such tokens were issued; none = any
	DisableUserEndpoint bool
	EndpointParams      map[string]map[string]string // by endpoint: authorization_endpoint, token_endpoint
	UsePKCE             bool                         // though the provider does not say that it has it
	NoPKCE              bool                         // though it says so
	PKCEMethod          string                       // "" = S256
	PublicClient        bool                         // there is no ClientSecret
	SuperuserGroup      string
	ReadOnlyGroup       string
	Debugging           bool
	RootCAs             *x509.CertPool
	Timeout             time.Duration    // of one request; 0 = 10 s
	Logger              *slog.Logger     // nil = discard
	Now                 func() time.Time // nil = time.Now
}

// A Provider is an OpenID Connect provider. It implements auth.Site,
// auth.Bearer, and for AUTHENTICATION_TYPE OIDC auth.Provider and
// auth.GroupDirectory.
type Provider struct {
	o      Options
	client *http.Client

	mu    sync.Mutex
	found *discovery
	at    time.Time
}

// A discovery is what a provider says of itself.
type discovery struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	UserInfo      string   `json:"userinfo_endpoint"`
	Keys          string   `json:"jwks_uri"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	Scopes        []string `json:"scopes_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	NamesIssuer   bool     `json:"authorization_response_iss_parameter_supported"`

	issuers []string // that tokens may name
	keys    oidc.KeySet
	bearers oidc.KeySet // the same, for tokens that anybody may send
}

const (
	maxAnswer     = 1 << 20
	discoveryLife = time.Hour
)

// algorithms are those of signatures that need no shared secret.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// New returns a provider. It does not connect.
func New(o Options) (*Provider, error) {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.ServiceName = cmp.Or(o.ServiceName, o.ID)
	o.GroupClaim = cmp.Or(o.GroupClaim, "groups")
	o.PKCEMethod = cmp.Or(o.PKCEMethod, "S256")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	field := strings.ToUpper(o.ID) + "_LOGIN_CONFIG"
	if !slices.Contains([]string{"", "sub", "username", "email"}, o.BindingField) {
		return nil, fmt.Errorf("%s.LOGIN_BINDING_FIELD: %q is not one of sub, username, email", field, o.BindingField)
	}
	if o.ClientSecret == "" && !o.PublicClient {
		return nil, fmt.Errorf("%s.CLIENT_SECRET: it is missing; a client without one says PUBLIC_CLIENT: true", field)
	}
	if o.PublicClient {
		o.ClientSecret = ""
	}
	if o.PublicClient && o.NoPKCE {
		return nil, fmt.Errorf("%s.USE_PKCE: a public client needs it", field)
	}
	return &Provider{o: o, client: Client(o.RootCAs, o.Timeout)}, nil
}

// Client is for addresses that the administrator's configuration gives. It
// follows no redirects: they would take secrets along.
func Client(roots *x509.CertPool, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: timeout, ForceAttemptHTTP2: true,
			MaxIdleConns: 16, IdleConnTimeout: 30 * time.Second, MaxConnsPerHost: 64, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// Get reads the JSON at an address that may be sent a bearer token.
func Get(ctx context.Context, client *http.Client, at, token string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s", at, res.Status)
	case len(b) > maxAnswer:
		return fmt.Errorf("%s answers with more than %d bytes", at, maxAnswer)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s does not answer as it should: %w", at, err)
	}
	return nil
}

// discover asks the provider about itself, once an hour.
func (p *Provider) discover(ctx context.Context) (*discovery, error) {
	p.mu.Lock()
	d, at := p.found, p.at
	p.mu.Unlock()
	if d != nil && p.o.Now().Sub(at) < discoveryLife {
		return d, nil
	}
	fresh, err := p.ask(ctx)
	if err != nil {
		if d != nil { // what was true goes on
			p.o.Logger.WarnContext(ctx, "ask the login provider about itself", "service", p.o.ID, "error", err)
			return d, nil
		}
		return nil, auth.Unreachable(err)
	}
	if d != nil && d.Keys == fresh.Keys {
		fresh.keys, fresh.bearers = d.keys, d.bearers // with what they have cached
	}
	p.mu.Lock()
	p.found, p.at = fresh, p.o.Now()
	p.mu.Unlock()
	return fresh, nil
}

func (p *Provider) ask(ctx context.Context) (*discovery, error) {
	server := strings.TrimSuffix(p.o.Server, "/")
	d := &discovery{}
	if err := Get(ctx, p.client, server+"/.well-known/openid-configuration", "", d); err != nil {
		return nil, err
	}
	for _, at := range []string{d.Authorization, d.Token, d.Keys} {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(server, "https:")) {
			return nil, fmt.Errorf("%s names an endpoint %q that is no https:// address", server, at)
		}
	}
	switch {
	case p.o.Issuer != "":
		d.issuers = []string{p.o.Issuer}
	case strings.TrimSuffix(d.Issuer, "/") == server:
		d.issuers = []string{d.Issuer}
	default:
		return nil, fmt.Errorf("%s says that its tokens are of the issuer %q: write that as OIDC_ISSUER if it is right", server, d.Issuer)
	}
	d.issuers = append(d.issuers, p.o.Issuers...)
	d.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), p.client), d.Keys)
	slow := *p.client
	slow.Transport = &paced{to: p.client.Transport, now: p.o.Now}
	d.bearers = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), &slow), d.Keys)
	return d, nil
}

// ID implements auth.Site.
func (p *Provider) ID() string { return p.o.ID }

// Title implements auth.Site.
func (p *Provider) Title() string { return p.o.ServiceName }

// Icon implements auth.Site.
func (p *Provider) Icon() string { return p.o.ServiceIcon }

// Binding implements auth.Site.
func (p *Provider) Binding() string { return p.o.BindingField }

// config is the client as the provider knows it.
func (p *Provider) config(d *discovery, redirect string) *oauth2.Config {
	scopes := p.o.Scopes
	if len(scopes) == 0 {
		scopes = []string{"email", "profile"}
		if slices.Contains(d.Scopes, "groups") {
			scopes = append(scopes, "groups")
		}
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		scopes = append([]string{oidc.ScopeOpenID}, scopes...)
	}
	style := oauth2.AuthStyleInHeader
	if p.o.PublicClient || len(d.AuthMethods) > 0 && !slices.Contains(d.AuthMethods, "client_secret_basic") && slices.Contains(d.AuthMethods, "client_secret_post") {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret, RedirectURL: redirect, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.Authorization, TokenURL: d.Token, AuthStyle: style}}
}

// pkce reports whether who begins a sign-in proves at its end who began it.
func (p *Provider) pkce(d *discovery) bool {
	return p.o.UsePKCE || p.o.PublicClient || !p.o.NoPKCE && slices.Contains(d.Challenges, p.o.PKCEMethod)
}

// A secret is what the browser keeps, sealed, while it is away.
type secret struct {
	Nonce    string `json:"n"`
	Verifier string `json:"v,omitempty"` // of PKCE
}

func (p *Provider) params(endpoint string) (list []oauth2.AuthCodeOption) {
	for k, v := range p.o.EndpointParams[endpoint] {
		list = append(list, oauth2.SetAuthURLParam(k, v))
	}
	return list
}

// Begin implements auth.Site.
func (p *Provider) Begin(ctx context.Context, redirect, state string) (to, kept string, err error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", "", err
	}
	s := secret{Nonce: oauth2.GenerateVerifier()}
	params := append(p.params("authorization_endpoint"), oidc.Nonce(s.Nonce))
	if p.pkce(d) {
		s.Verifier = oauth2.GenerateVerifier()
		if p.o.PKCEMethod == "plain" {
			params = append(params, oauth2.SetAuthURLParam("code_challenge", s.Verifier), oauth2.SetAuthURLParam("code_challenge_method", "plain"))
		} else {
			params = append(params, oauth2.S256ChallengeOption(s.Verifier))
		}
	}
	b, err := json.Marshal(s)
	return p.config(d, redirect).AuthCodeURL(state, params...), string(b), err
}

func denied(format string, args ...any) error {
	return gantry.Errorf(gantry.Unauthenticated, "credentials", format, args...)
}

// Finish implements auth.Site.
func (p *Provider) Finish(ctx context.Context, answer url.Values, redirect, kept string) (auth.External, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return auth.External{}, err
	}
	var s secret
	if err := json.Unmarshal([]byte(kept), &s); err != nil || s.Nonce == "" {
		return auth.External{}, errors.New("the secret of a sign-in is lost")
	}
	// Another provider's answer must not be taken for this one's (RFC 9207).
	if iss := answer.Get("iss"); (d.NamesIssuer || iss != "") && iss != d.issuers[0] && iss != d.Issuer {
		return auth.External{}, denied("The answer is of another login service than %s", p.o.ServiceName)
	}
	code := answer.Get("code")
	if code == "" || len(code) > 4096 {
		return auth.External{}, denied("%s did not say who you are", p.o.ServiceName)
	}
	params := p.params("token_endpoint")
	if s.Verifier != "" {
		params = append(params, oauth2.VerifierOption(s.Verifier))
	}
	token, err := p.config(d, redirect).Exchange(oidc.ClientContext(ctx, p.client), code, params...)
	if err != nil {
		return auth.External{}, p.refused(ctx, err, denied("%s does not take its own answer any more. Please begin again.", p.o.ServiceName))
	}
	return p.who(ctx, d, token, s.Nonce)
}

// refused is the error of a token endpoint: wrong where it means what it was
// given.
func (p *Provider) refused(ctx context.Context, err, wrong error) error {
	e, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return auth.Unreachable(fmt.Errorf("the token endpoint: %w", err))
	}
	p.o.Logger.WarnContext(ctx, "the login provider refused", "service", p.o.ID, "code", e.ErrorCode, "description", clip(e.ErrorDescription), "status", e.Response.StatusCode)
	if e.ErrorCode == "invalid_grant" {
		return wrong
	}
	return auth.Unreachable(fmt.Errorf("the token endpoint answers %d %s", e.Response.StatusCode, clip(e.ErrorCode)))
}

func clip(s string) string { return s[:min(len(s), 200)] }

// who verifies an ID token and reads who it is about. With a nonce, the token
// must name it.
func (p *Provider) who(ctx context.Context, d *discovery, token *oauth2.Token, nonce string) (auth.External, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return auth.External{}, auth.Unreachable(fmt.Errorf("%s gave no ID token: LOGIN_SCOPES must hold openid", p.o.ID))
	}
	id, err := p.verify(ctx, d, d.keys, raw)
	if err != nil {
		return auth.External{}, err
	}
	bad := func(why string) (auth.External, error) {
		p.o.Logger.WarnContext(ctx, "an ID token is refused", "service", p.o.ID, "why", why)
		return auth.External{}, denied("%s did not prove who you are", p.o.ServiceName)
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return bad("its claims are no object")
	}
	switch azp, _ := claims["azp"].(string); {
	case !slices.Contains(id.Audience, p.o.ClientID):
		return bad("it is for another client")
	case len(id.Audience) > 1 && azp != p.o.ClientID, azp != "" && azp != p.o.ClientID:
		return bad("it was issued to another client")
	case nonce != "" && id.Nonce != nonce:
		return bad("it has the nonce of another sign-in")
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return bad("it belongs to another access token")
	}
	if !p.o.DisableUserEndpoint && d.UserInfo != "" {
		more := map[string]any{}
		if err := Get(ctx, p.client, d.UserInfo, token.AccessToken, &more); err != nil {
			return auth.External{}, auth.Unreachable(fmt.Errorf("the user endpoint (OIDC_DISABLE_USER_ENDPOINT: true goes without it): %w", err))
		}
		if more["sub"] != id.Subject {
			return bad("the user endpoint tells of somebody else")
		}
		for k, v := range more {
			if _, there := claims[k]; !there { // what is signed comes first
				claims[k] = v
			}
		}
	}
	return p.external(ctx, id.Subject, claims), nil
}

// verify checks a token's signature, issuer and times.
func (p *Provider) verify(ctx context.Context, d *discovery, keys oidc.KeySet, raw string) (*oidc.IDToken, error) {
	taken := algorithms
	if len(d.Algorithms) > 0 {
		taken = slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return !slices.Contains(d.Algorithms, a) })
	}
	v := oidc.NewVerifier("", keys, &oidc.Config{SkipClientIDCheck: true, SkipIssuerCheck: true, SupportedSigningAlgs: taken, Now: p.o.Now})
	id, err := v.Verify(oidc.ClientContext(ctx, p.client), raw)
	switch {
	case err != nil && strings.Contains(err.Error(), errEarly.Error()):
		return nil, denied("The token of %s is signed with a key that is not known", p.o.ServiceName)
	case err != nil && strings.Contains(err.Error(), "fetching keys"):
		return nil, auth.Unreachable(err)
	case err != nil:
		p.o.Logger.WarnContext(ctx, "a token is refused", "service", p.o.ID, "error", err)
		return nil, denied("The token of %s is not valid", p.o.ServiceName)
	case !slices.Contains(d.issuers, id.Issuer) || id.Subject == "":
		p.o.Logger.WarnContext(ctx, "a token is refused", "service", p.o.ID, "issuer", clip(id.Issuer))
		return nil, denied("The token of %s is of another issuer", p.o.ServiceName)
	}
	return id, nil
}

// Ranked implements auth.Ranking.
func (p *Provider) Ranked() bool { return p.o.SuperuserGroup != "" || p.o.ReadOnlyGroup != "" }

// Issued implements auth.Bearer.
func (p *Provider) Issued(issuer string) bool {
	if issuer == "" {
		return false
	}
	server := strings.TrimSuffix(p.o.Server, "/")
	return p.o.Issuer == "" && (issuer == server || issuer == server+"/") || issuer == p.o.Issuer || slices.Contains(p.o.Issuers, issuer)
}

// VerifyBearer implements auth.Bearer.
func (p *Provider) VerifyBearer(ctx context.Context, raw string) (auth.External, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return auth.External{}, err
	}
	id, err := p.verify(ctx, d, d.bearers, raw)
	if err != nil {
		return auth.External{}, err
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return auth.External{}, denied("The token of %s is not valid", p.o.ServiceName)
	}
	audiences := p.o.Audiences
	if len(audiences) == 0 {
		audiences = []string{p.o.ClientID}
	}
	if !slices.ContainsFunc(id.Audience, func(a string) bool { return slices.Contains(audiences, a) }) {
		return auth.External{}, denied("The token of %s is for another audience (OIDC_AUDIENCES)", p.o.ServiceName)
	}
	if client := text(claims, "azp", "client_id", "appid"); len(p.o.AllowedClients) > 0 && !slices.Contains(p.o.AllowedClients, client) {
		return auth.External{}, denied("The token of %s was issued to another client (OIDC_ALLOWED_CLIENTS)", p.o.ServiceName)
	}
	return p.external(ctx, id.Subject, claims), nil
}

// Service implements auth.Provider.
func (p *Provider) Service() string { return p.o.ID }

// VerifyPassword implements auth.Provider by the password grant, which many
// providers do not have, or only for clients that they are told to.
func (p *Provider) VerifyPassword(ctx context.Context, name, password string) (auth.External, error) {
	if name == "" || password == "" {
		return auth.External{}, denied("Invalid Username or Password")
	}
	d, err := p.discover(ctx)
	if err != nil {
		return auth.External{}, err
	}
	token, err := p.config(d, "").PasswordCredentialsToken(oidc.ClientContext(ctx, p.client), name, password)
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && slices.Contains([]string{"unauthorized_client", "unsupported_grant_type"}, e.ErrorCode) {
		return auth.External{}, denied("%s takes no passwords from this registry: sign in with the browser, and use an application token here", p.o.ServiceName)
	}
	if err != nil {
		return auth.External{}, p.refused(ctx, err, denied("Invalid Username or Password"))
	}
	return p.who(ctx, d, token, "")
}

// Ping implements auth.Provider.
func (p *Provider) Ping(ctx context.Context) error {
	if _, err := p.ask(ctx); err != nil {
		return auth.Unreachable(err)
	}
	return nil
}

// SyncInfo implements auth.GroupDirectory.
func (p *Provider) SyncInfo() map[string]string {
	u, err := url.Parse(p.o.Server)
	if err != nil {
		return nil
	}
	return map[string]string{"issuer_domain": u.Host}
}

// Group implements auth.GroupDirectory. Whether there is such a group, nobody
// tells.
func (p *Provider) Group(_ context.Context, config map[string]string) (map[string]string, error) {
	name := strings.TrimSpace(config["group_name"])
	if name == "" || len(name) > 255 {
		return nil, gantry.Errorf(gantry.Invalid, "group_name", "group_name must be the name of a group, as the claim %s has it", p.o.GroupClaim)
	}
	return map[string]string{"group_name": name}, nil
}

// Members implements auth.GroupDirectory: people tell their groups when they
// sign in.
func (p *Provider) Members(context.Context, map[string]string) ([]auth.External, bool, error) {
	return nil, false, nil
}

// Follows implements auth.GroupDirectory.
func (p *Provider) Follows(config map[string]string, groups []string) bool {
	return slices.Contains(groups, config["group_name"])
}
