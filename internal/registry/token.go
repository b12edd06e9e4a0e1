package registry

import (
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// Limits of a token request.
const (
	maxScopes    = 100
	maxTokenForm = 64 << 10
)

// A tokenAnswer is the document of the Docker token specification and of
// OAuth2, both at once: readers take the fields that they know.
type tokenAnswer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	Type         string `json:"token_type,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	IssuedAt     string `json:"issued_at"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// getToken answers GET /v2/auth with a token for the scopes that are asked
// for, cut down to what the credentials allow.
func (c *call) getToken() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	req := c.tokenRequest(q)
	req.Account = q.Get("account")
	req.Offline = q.Get("offline_token") == "true" || q.Get("offline_token") == "1"
	return c.sendToken(req, tokenAnswer{})
}

// postToken answers POST /v2/auth, the OAuth2 form of the same.
func (c *call) postToken() error {
	t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || t != "application/x-www-form-urlencoded" {
		return gantry.Errorf(gantry.Invalid, "", "the body of a token request must be of type application/x-www-form-urlencoded")
	}
	body, err := c.readBody(maxTokenForm, "token request")
	if err != nil {
		return err
	}
	q, err := parseForm(string(body))
	if err != nil {
		return err
	}
	req := c.tokenRequest(q)
	req.Offline = q.Get("access_type") == "offline"
	switch q.Get("grant_type") {
	case "password":
		req.Username, req.Password = q.Get("username"), q.Get("password")
		if req.Username == "" {
			return gantry.Errorf(gantry.Invalid, "", "grant_type=password needs a username")
		}
	case "refresh_token":
		if req.Refresh = q.Get("refresh_token"); req.Refresh == "" {
			return gantry.Errorf(gantry.Invalid, "", "grant_type=refresh_token needs a refresh_token")
		}
	default:
		return gantry.Errorf(gantry.Invalid, "", "grant_type must be password or refresh_token")
	}
	return c.sendToken(req, tokenAnswer{Type: "Bearer"})
}

// tokenRequest reads what both forms share.
func (c *call) tokenRequest(q url.Values) auth.TokenRequest {
	req := auth.TokenRequest{
		Authorization: c.r.Header.Get("Authorization"),
		Service:       q.Get("service"),
		Client:        q.Get("client_id"),
		Actor:         c.actor(),
		Host:          c.info.Host,
	}
	for _, v := range q["scope"] {
		req.Scopes = append(req.Scopes, strings.Fields(v)...)
	}
	return req
}

// sendToken asks auth for the token and answers.
func (c *call) sendToken(req auth.TokenRequest, a tokenAnswer) error {
	h := c.w.Header()
	h["Cache-Control"] = headerNoStore
	if len(req.Scopes) > maxScopes {
		return gantry.Errorf(gantry.TooLarge, "scope", "a token is for at most %d scopes; ask for several tokens", maxScopes)
	}
	c.limitNamespace(req.Scopes)
	if err := c.limit(httpd.ClassAuth, req.Authorization); err != nil {
		return err
	}
	c.name = gantry.RepoName{} // a challenge names no repository here
	t, err := c.s.auth.Token(c.r.Context(), req)
	if err != nil {
		return err
	}
	if c.s.tell != nil && t.User != 0 {
		action := "login"
		switch {
		case slices.Contains(t.Actions, "push"):
			action = "push_start"
		case slices.Contains(t.Actions, "pull"):
			action = "pull_start"
		}
		c.s.tell(c.r.Context(), t.User, action, t.Repo)
	}
	a.Token, a.AccessToken, a.RefreshToken = t.Token, t.Token, t.RefreshToken
	if a.Type != "" { // what was granted, which may be less than was asked for
		a.Scope = strings.Join(t.Scopes, " ")
	}
	a.ExpiresIn = int(t.ExpiresIn / time.Second)
	a.IssuedAt = t.IssuedAt.UTC().Format(time.RFC3339)
	return c.sendJSON(headerJSON, a)
}

// limitNamespace finds the namespace of the first scope, which may be exempt
// from rate limits.
func (c *call) limitNamespace(scopes []string) {
	for _, s := range scopes {
		if path, ok := strings.CutPrefix(s, "repository:"); ok {
			path, _, _ = strings.Cut(path, ":")
			if name, err := c.set.Names.ParseRepoName(path); err == nil {
				c.name = name
			}
			return
		}
	}
}
