// Package jwt asks a service of the administrator's own about users, which
// answers with signed JWTs: AUTHENTICATION_TYPE JWT.
package jwt

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/oidc"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Service is the name of such users in federated logins, as in Quay.
const Service = "jwtauthn"

// The audiences that answers are for.
const (
	audience = "quay.io/jwtauthn"
	forQuery = audience + "/query"
	forUser  = audience + "/getuser"
)

// Options are the fields JWT_… of config.yaml.
type Options struct {
	Verify    string // checks a name and password, given by HTTP Basic
	Query     string // searches users; "" = nobody is found
	GetUser   string // describes one user; "" = nobody is found
	Issuer    string
	MaxFresh  time.Duration // longest life of an answer; 0 = 5 minutes
	PublicKey []byte        // PEM: of the key, or of a certificate
	RootCAs   *x509.CertPool
	Timeout   time.Duration    // of one request; 0 = 10 s
	Now       func() time.Time // nil = time.Now
}

// A Provider is such a service. It implements auth.Provider and auth.Directory.
type Provider struct {
	o      Options
	key    crypto.PublicKey
	algs   []jose.SignatureAlgorithm
	client *http.Client
}

// New returns a provider. It does not connect.
func New(o Options) (*Provider, error) {
	o.MaxFresh = cmp.Or(o.MaxFresh, 5*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	key, err := publicKey(o.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("jwt-authn.cert: %w", err)
	}
	p := &Provider{o: o, key: key, client: oidc.Client(o.RootCAs, cmp.Or(o.Timeout, 10*time.Second))}
	switch key.(type) {
	case *rsa.PublicKey:
		p.algs = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		p.algs = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512}
	default:
		return nil, errors.New("jwt-authn.cert: it is neither an RSA nor an ECDSA key")
	}
	return p, nil
}

func publicKey(b []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("it is no PEM file")
	}
	if block.Type == "CERTIFICATE" {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	if k, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return k, nil
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// claims are those of an answer.
type claims struct {
	jwt.Claims
	Email   string `json:"email"`
	Results []struct {
		Username string `json:"username"`
		Email    string `json:"email"`
	} `json:"results"`
}

var errRefused = errors.New("refused")

const (
	maxAnswer = 1 << 20
	leeway    = 30 * time.Second
)

// ask calls an endpoint and verifies its answer; errRefused when it says no.
func (p *Provider) ask(ctx context.Context, endpoint, aud string, q url.Values, user, password string) (c claims, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return c, auth.Unreachable(err)
	}
	if len(q) > 0 {
		all := u.Query()
		for k, v := range q {
			all[k] = v
		}
		u.RawQuery = all.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return c, auth.Unreachable(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return c, auth.Unreachable(errors.New(strings.ReplaceAll(err.Error(), u.RawQuery, "…")))
	}
	defer func() { _ = res.Body.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c, auth.Unreachable(err)
	case res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestTimeout:
		return c, errRefused
	case res.StatusCode != http.StatusOK || len(b) > maxAnswer:
		return c, auth.Unreachable(fmt.Errorf("%s answers %s with %d bytes", endpoint, res.Status, len(b)))
	}
	bad := func(err error) (claims, error) {
		return claims{}, auth.Unreachable(fmt.Errorf("%s answers with a JWT that is not taken: %w", endpoint, err))
	}
	token, err := jwt.ParseSigned(strings.TrimSpace(string(b)), p.algs)
	if err != nil {
		return bad(err)
	}
	if err := token.Claims(p.key, &c); err != nil {
		return bad(err)
	}
	now := p.o.Now()
	if err := c.ValidateWithLeeway(jwt.Expected{Issuer: p.o.Issuer, AnyAudience: jwt.Audience{aud}, Time: now}, leeway); err != nil {
		return bad(err)
	}
	if c.Expiry == nil || c.Expiry.Time().Sub(now) > p.o.MaxFresh+leeway {
		return bad(fmt.Errorf("it lives longer than JWT_AUTH_MAX_FRESH_S, %s", p.o.MaxFresh))
	}
	return c, nil
}

// Service implements auth.Provider.
func (p *Provider) Service() string { return Service }

func external(name, email string) auth.External {
	return auth.External{Service: Service, Ident: name, Username: name, Email: email}
}

// VerifyPassword implements auth.Provider.
func (p *Provider) VerifyPassword(ctx context.Context, name, password string) (auth.External, error) {
	wrong := gantry.Errorf(gantry.Unauthenticated, "credentials", "Invalid Username or Password")
	if name == "" || password == "" || strings.Contains(name, ":") { // which HTTP Basic cannot tell
		return auth.External{}, wrong
	}
	c, err := p.ask(ctx, p.o.Verify, audience, nil, name, password)
	switch {
	case errors.Is(err, errRefused):
		return auth.External{}, wrong
	case err != nil:
		return auth.External{}, err
	case c.Subject == "":
		return auth.External{}, auth.Unreachable(errors.New("JWT_VERIFY_ENDPOINT names no sub"))
	}
	return external(c.Subject, c.Email), nil
}

// Ping implements auth.Provider: the service answers, whatever it says.
func (p *Provider) Ping(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.o.Verify, nil)
	if err != nil {
		return auth.Unreachable(err)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return auth.Unreachable(err)
	}
	_ = res.Body.Close() // nothing of it is read
	if res.StatusCode >= 500 {
		return auth.Unreachable(fmt.Errorf("%s answers %s", p.o.Verify, res.Status))
	}
	return nil
}

// Lookup implements auth.Directory.
func (p *Provider) Lookup(ctx context.Context, name string) (auth.External, error) {
	none := gantry.Errorf(gantry.NotFound, "account", "There is no user %.200s at the service that keeps the users", name)
	if p.o.GetUser == "" || name == "" {
		return auth.External{}, none
	}
	c, err := p.ask(ctx, p.o.GetUser, forUser, url.Values{"username": {name}}, "", "")
	if errors.Is(err, errRefused) || err == nil && c.Subject == "" {
		return auth.External{}, none
	}
	return external(c.Subject, c.Email), err
}

// Search implements auth.Directory.
func (p *Provider) Search(ctx context.Context, prefix string, n int) (list []auth.External, err error) {
	if p.o.Query == "" || prefix == "" {
		return nil, nil
	}
	c, err := p.ask(ctx, p.o.Query, forQuery, url.Values{"query": {prefix}, "limit": {strconv.Itoa(n)}}, "", "")
	if errors.Is(err, errRefused) {
		return nil, nil
	}
	for _, r := range c.Results[:min(len(c.Results), n)] {
		if r.Username != "" {
			list = append(list, external(r.Username, r.Email))
		}
	}
	return list, err
}
