// Package github signs people in through GitHub or GitHub Enterprise:
// GITHUB_LOGIN_CONFIG.
package github

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/oidc"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Options are the keys of GITHUB_LOGIN_CONFIG.
type Options struct {
	Endpoint      string // "" = https://github.com/
	API           string // "" = that of Endpoint
	ClientID      string
	ClientSecret  string
	Organizations []string // whose members may sign in; none = anybody
	BindingField  string
	RootCAs       *x509.CertPool
	Timeout       time.Duration // of one request; 0 = 10 s
}

// A Site is a GitHub. It implements auth.Site.
type Site struct {
	o      Options
	client *http.Client
}

// New returns a site. It does not connect.
func New(o Options) *Site {
	o.Endpoint = strings.TrimSuffix(cmp.Or(o.Endpoint, "https://github.com"), "/")
	if o.API == "" {
		o.API = o.Endpoint + "/api/v3"
		if o.Endpoint == "https://github.com" {
			o.API = "https://api.github.com"
		}
	}
	o.API = strings.TrimSuffix(o.API, "/")
	return &Site{o, oidc.Client(o.RootCAs, cmp.Or(o.Timeout, 10*time.Second))}
}

// ID implements auth.Site.
func (s *Site) ID() string { return "github" }

// Title implements auth.Site.
func (s *Site) Title() string {
	if s.o.Endpoint == "https://github.com" {
		return "GitHub"
	}
	return "GitHub Enterprise"
}

// Icon implements auth.Site.
func (s *Site) Icon() string { return "fa-github" }

// Binding implements auth.Site.
func (s *Site) Binding() string { return s.o.BindingField }

func (s *Site) config(redirect string) *oauth2.Config {
	scopes := []string{"user:email"}
	if len(s.o.Organizations) > 0 {
		scopes = append(scopes, "read:org")
	}
	return &oauth2.Config{ClientID: s.o.ClientID, ClientSecret: s.o.ClientSecret, RedirectURL: redirect, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: s.o.Endpoint + "/login/oauth/authorize", TokenURL: s.o.Endpoint + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams}}
}

// Begin implements auth.Site.
func (s *Site) Begin(_ context.Context, redirect, state string) (to, secret string, err error) {
	verifier := oauth2.GenerateVerifier()
	return s.config(redirect).AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), verifier, nil
}

func denied(format string, args ...any) error {
	return gantry.Errorf(gantry.Unauthenticated, "credentials", format, args...)
}

// Finish implements auth.Site.
func (s *Site) Finish(ctx context.Context, answer url.Values, redirect, secret string) (auth.External, error) {
	code := answer.Get("code")
	if code == "" || len(code) > 4096 {
		return auth.External{}, denied("%s did not say who you are", s.Title())
	}
	token, err := s.config(redirect).Exchange(context.WithValue(ctx, oauth2.HTTPClient, s.client), code, oauth2.VerifierOption(secret))
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.ErrorCode == "bad_verification_code" {
		return auth.External{}, denied("%s does not take its own answer any more. Please begin again.", s.Title())
	}
	if err != nil {
		e, ok := errors.AsType[*oauth2.RetrieveError](err)
		if ok {
			err = fmt.Errorf("the token endpoint answers %d %.100s", e.Response.StatusCode, e.ErrorCode)
		}
		return auth.External{}, auth.Unreachable(err)
	}
	var user struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
	}
	if err := s.get(ctx, "/user", token, &user); err != nil {
		return auth.External{}, err
	}
	if user.ID <= 0 || user.Login == "" {
		return auth.External{}, auth.Unreachable(errors.New("GitHub does not say who it is"))
	}
	if err := s.belongs(ctx, token); err != nil {
		return auth.External{}, err
	}
	x := auth.External{Service: s.ID(), Ident: strconv.FormatInt(user.ID, 10), Username: user.Login}
	var emails []struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	if err := s.get(ctx, "/user/emails?per_page=100", token, &emails); err != nil {
		return auth.External{}, err
	}
	for _, e := range emails {
		if e.Verified && (e.Primary || x.Email == "") {
			x.Email = e.Email
		}
	}
	return x, nil
}

// belongs refuses who is in none of the organizations that may sign in.
func (s *Site) belongs(ctx context.Context, token *oauth2.Token) error {
	if len(s.o.Organizations) == 0 {
		return nil
	}
	for page := 1; page <= 10; page++ {
		var orgs []struct {
			Login string `json:"login"`
		}
		if err := s.get(ctx, fmt.Sprintf("/user/orgs?per_page=100&page=%d", page), token, &orgs); err != nil {
			return err
		}
		for _, o := range orgs {
			if slices.ContainsFunc(s.o.Organizations, func(name string) bool { return strings.EqualFold(name, o.Login) }) {
				return nil
			}
		}
		if len(orgs) < 100 {
			break
		}
	}
	return denied("You are in no organization at %s whose members may use this registry", s.Title())
}

func (s *Site) get(ctx context.Context, path string, token *oauth2.Token, v any) error {
	if err := oidc.Get(ctx, s.client, s.o.API+path, token.AccessToken, v); err != nil {
		return auth.Unreachable(err)
	}
	return nil
}
