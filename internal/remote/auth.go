package remote

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A challenge is what a 401 asks for.
type challenge struct {
	scheme                string // "bearer", "basic" or "" for none that is understood
	realm, service, scope string // of bearer
}

// parseChallenges reads the WWW-Authenticate headers of an answer. Bearer is
// preferred to Basic.
func parseChallenges(headers []string) challenge {
	var found challenge
	for _, h := range headers {
		if len(h) > maxLink {
			continue
		}
		for h != "" {
			var c challenge
			c, h = parseChallenge(h)
			if c.scheme == "bearer" && c.realm != "" || c.scheme == "basic" && found.scheme == "" {
				found = c
			}
			if found.scheme == "bearer" {
				return found
			}
		}
	}
	return found
}

// parseChallenge reads the first challenge of s and returns what follows it.
func parseChallenge(s string) (challenge, string) {
	s = strings.TrimLeft(s, " \t,")
	scheme, rest := token(s)
	if scheme == "" {
		return challenge{}, ""
	}
	c := challenge{scheme: strings.ToLower(scheme)}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		key, after := token(rest)
		after = strings.TrimLeft(after, " \t")
		if key == "" || !strings.HasPrefix(after, "=") {
			return c, rest // the next challenge, or the end
		}
		var v string
		v, after = value(strings.TrimLeft(after[1:], " \t"))
		switch strings.ToLower(key) {
		case "realm":
			c.realm = v
		case "service":
			c.service = v
		case "scope":
			c.scope = v
		}
		rest = after
	}
}

// token cuts an HTTP token off s.
func token(s string) (tok, rest string) {
	i := 0
	for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) >= 0) {
		i++
	}
	return s[:i], s[i:]
}

// value cuts a quoted string or a bare word off s.
func value(s string) (v, rest string) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ", \t")
		if i < 0 {
			return s, ""
		}
		return s[:i], s[i:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "" // not closed: taken as it is
}

// maxTokens bounds the tokens that one client keeps: one for each repository
// that it works on.
const maxTokens = 1024

// tokens are what authorizes requests, by scope.
type tokens struct {
	mu    sync.Mutex
	basic bool      // the registry wants Basic
	where challenge // who issues tokens, once that is known
	by    map[string]issued
	turns map[string]chan struct{} // of scopes whose token is being fetched
}

// issued is a token of one scope.
type issued struct {
	header string
	until  time.Time
}

// authorization returns the Authorization header for a scope; "" if none is
// known to be needed.
func (r *Registry) authorization(ctx context.Context, scope string) (string, error) {
	t := &r.tokens
	t.mu.Lock()
	i, ok := t.by[scope]
	where, basic := t.where, t.basic
	t.mu.Unlock()
	switch {
	case basic:
		return r.basicHeader(), nil
	case ok && time.Now().Before(i.until):
		return i.header, nil
	case where.realm == "" || scope == "":
		return "", nil
	}
	// Tokens are needed here; the round trip that would say so is saved.
	where.scope = ""
	if err := r.authenticate(ctx, where, scope); err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[scope].header, nil
}

// drop forgets a token that was refused.
func (t *tokens) drop(scope, header string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[scope].header == header {
		delete(t.by, scope)
	}
}

func (r *Registry) basicHeader() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(r.o.Username+":"+r.o.Password))
}

// authenticate does what a challenge asks for, so that authorization answers
// for scope. One fetches, others with the same scope wait for it.
func (r *Registry) authenticate(ctx context.Context, c challenge, scope string) error {
	t := &r.tokens
	if c.scheme == "basic" {
		if r.anonymous() {
			return &Error{Kind: Credentials, Host: r.host, Status: http.StatusUnauthorized, challenged: true, Text: r.host + " needs a user name and a password"}
		}
		t.mu.Lock()
		t.basic = true
		t.mu.Unlock()
		return nil
	}
	if c.scheme != "bearer" {
		return &Error{Kind: Invalid, Host: r.host, Status: http.StatusUnauthorized, Text: r.host + " asks for a kind of credentials that is not known here"}
	}
	for {
		t.mu.Lock()
		if i, ok := t.by[scope]; ok && time.Now().Before(i.until) {
			t.mu.Unlock()
			return nil
		}
		turn, taken := t.turns[scope]
		if !taken {
			turn = make(chan struct{})
			if t.turns == nil {
				t.turns = map[string]chan struct{}{}
			}
			t.turns[scope] = turn
		}
		t.mu.Unlock()
		if taken {
			select {
			case <-turn:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		i, err := r.fetchToken(ctx, c, scope)
		t.mu.Lock()
		delete(t.turns, scope)
		if err == nil {
			t.where = challenge{scheme: c.scheme, realm: c.realm, service: c.service}
			if t.by == nil || len(t.by) >= maxTokens {
				t.by = map[string]issued{}
			}
			t.by[scope] = i
		}
		t.mu.Unlock()
		close(turn)
		return err
	}
}

// fetchToken gets a token of the realm that a challenge names.
func (r *Registry) fetchToken(ctx context.Context, c challenge, scope string) (issued, error) {
	u, err := url.Parse(c.realm)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return issued{}, &Error{Kind: Invalid, Host: r.host, Text: r.host + " names an address for tokens that cannot be read"}
	}
	if u.Scheme == "http" && r.currentScheme() == "https" && r.o.VerifyTLS {
		return issued{}, &Error{Kind: Blocked, Host: r.host, Text: r.host + " wants its tokens fetched over plain http, which is refused"}
	}
	q := u.Query()
	if c.service != "" {
		q.Set("service", c.service)
	}
	if scope == "" {
		scope = c.scope
	}
	if scope != "" {
		q.Set("scope", scope)
	}
	auth := ""
	if !r.anonymous() {
		auth = r.basicHeader()
		q.Set("account", r.o.Username)
	}
	get := *u
	get.RawQuery = q.Encode()
	i, err := r.tokenOf(ctx, tokenAsk{u: &get, auth: auth})
	if e, ok := errors.AsType[*Error](err); !ok || e.Host == "" || auth == "" || e.Status != http.StatusNotFound && e.Status != http.StatusMethodNotAllowed {
		return i, err
	}
	// It knows OAuth2's way alone, which needs somebody to give the token to.
	form := url.Values{"grant_type": {"password"}, "client_id": {"gantry"}, "username": {r.o.Username}, "password": {r.o.Password}}
	if r.o.Username == identityUser {
		form = url.Values{"grant_type": {"refresh_token"}, "client_id": {"gantry"}, "refresh_token": {r.o.Password}}
	}
	for _, k := range []string{"service", "scope"} {
		if v := q.Get(k); v != "" {
			form.Set(k, v)
		}
	}
	return r.tokenOf(ctx, tokenAsk{u: u, form: form})
}

// identityUser is the name of who has an identity token in place of a
// password, as docker's files of credentials have it.
const identityUser = "<token>"

// A tokenAsk is a question for a token: with a form that is posted, or else
// with an Authorization.
type tokenAsk struct {
	u    *url.URL
	auth string
	form url.Values
}

// tokenOf asks for a token, again if that may help.
func (r *Registry) tokenOf(ctx context.Context, a tokenAsk) (issued, error) {
	for try := 0; ; try++ {
		i, err := r.fetchOnce(ctx, a)
		e, ok := errors.AsType[*Error](err)
		if !ok || !e.again || try+1 >= attempts {
			return i, err
		}
		if err := sleep(ctx, r.o.Backoff<<try); err != nil {
			return issued{}, err
		}
	}
}

func (r *Registry) fetchOnce(ctx context.Context, a tokenAsk) (issued, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Stall)
	defer cancel()
	asked := time.Now()
	method, header := http.MethodGet, http.Header{"Accept": {"application/json"}}
	if a.form != nil {
		method = http.MethodPost
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := r.send(ctx, method, a.u, header, a.auth, a.form.Encode())
	if err != nil {
		return issued{}, err
	}
	defer drop(res)
	shown := r.shown(a.u)
	e := &Error{Host: shown, Status: res.StatusCode}
	switch s := res.StatusCode; {
	case s == http.StatusOK:
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusBadRequest:
		e.Kind, e.challenged = Credentials, true
		e.Text = fmt.Sprintf("%s answered %d: the user name or the password is wrong", shown, s)
		if r.anonymous() {
			e.Kind, e.Text = Denied, fmt.Sprintf("%s answered %d: it gives nothing without a user name and a password", shown, s)
		}
		return issued{}, e
	case s == http.StatusTooManyRequests:
		e.Kind, e.Retry = Limited, retryAfter(res.Header.Get("Retry-After"), asked)
		e.Text = shown + " answered 429: too many requests for tokens"
		return issued{}, e
	case s >= 500:
		e.Kind, e.again, e.Text = Unavailable, true, fmt.Sprintf("%s answered %d: it gives no tokens at the moment", shown, s)
		return issued{}, e
	default:
		e.Kind, e.Text = Invalid, fmt.Sprintf("%s answered %d where tokens are given", shown, s)
		return issued{}, e
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxTokenBody))
	if err != nil {
		return issued{}, r.broken(ctx, err)
	}
	tok, life, err := parseToken(b)
	if err != nil {
		e.Kind, e.Text, e.Err = Invalid, shown+" answered with no token", err
		return issued{}, e
	}
	return issued{header: "Bearer " + tok, until: asked.Add(life - life/10)}, nil
}

// parseToken reads the answer of a token service. A token that does not say
// how long it is valid is so for a minute.
func parseToken(b []byte) (tok string, life time.Duration, err error) {
	var doc struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return "", 0, fmt.Errorf("no JSON: %w", err)
	}
	tok = doc.Token
	if tok == "" {
		tok = doc.AccessToken
	}
	if tok == "" {
		return "", 0, errors.New("no token in it")
	}
	for i := range len(tok) {
		if tok[i] <= ' ' || tok[i] > '~' {
			return "", 0, errors.New("a character that no token has")
		}
	}
	life = time.Minute
	if doc.ExpiresIn > 0 {
		life = time.Duration(min(doc.ExpiresIn, 3600)) * time.Second
	}
	return tok, life, nil
}
