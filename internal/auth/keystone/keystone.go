// Package keystone finds users, their passwords and their groups in OpenStack
// Keystone, by its interface of version 3: AUTHENTICATION_TYPE Keystone.
package keystone

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/oidc"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Service is the name of such users in federated logins, as in Quay.
const Service = "keystone"

// domain is that of users, groups and the administrator, as in Quay.
const domain = "default"

// Options are the fields KEYSTONE_… of config.yaml.
type Options struct {
	URL           string // with or without /v3 at its end
	AdminUsername string
	AdminPassword string
	AdminTenant   string
	RootCAs       *x509.CertPool
	Timeout       time.Duration    // of one request; 0 = 10 s
	Now           func() time.Time // nil = time.Now
}

// A Provider is a Keystone. It implements auth.Provider, auth.Directory and
// auth.GroupDirectory.
type Provider struct {
	o      Options
	base   string
	client *http.Client

	mu    sync.Mutex // held while the administrator signs in
	token string     // of the administrator; "" = none
	ends  time.Time
}

// New returns a provider. It does not connect.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	base := strings.TrimSuffix(o.URL, "/")
	if !strings.HasSuffix(base, "/v3") {
		base += "/v3"
	}
	return &Provider{o: o, base: base, client: oidc.Client(o.RootCAs, cmp.Or(o.Timeout, 10*time.Second))}
}

// maxAnswer bounds an answer, maxPages those of one list.
const (
	maxAnswer = 8 << 20
	maxPages  = 200
	maxUsers  = 50_000
)

// call makes a request and reads the JSON of its answer into v. A status that
// is no success is returned without an error.
func (p *Provider) call(ctx context.Context, method, at, token string, in, v any) (status int, h http.Header, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return 0, nil, auth.Unreachable(err)
	}
	r.Header.Set("Accept", "application/json")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return 0, nil, auth.Unreachable(err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil || len(b) > maxAnswer {
		return 0, nil, auth.Unreachable(fmt.Errorf("%s answers with more than can be read: %w", method, err))
	}
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 300 && res.StatusCode < 400 {
		return 0, nil, auth.Unreachable(fmt.Errorf("keystone answers %s", res.Status))
	}
	if res.StatusCode < 300 {
		if err := json.Unmarshal(b, v); err != nil {
			return 0, nil, auth.Unreachable(fmt.Errorf("keystone does not answer as it should: %w", err))
		}
	}
	return res.StatusCode, res.Header, nil
}

type user struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Enabled *bool  `json:"enabled"`
	Domain  string `json:"domain_id"`
}

func (u *user) external() auth.External {
	return auth.External{Service: Service, Ident: u.Name, Username: u.Name, Email: u.Email}
}

func (u *user) active() bool { return u.Name != "" && (u.Enabled == nil || *u.Enabled) }

// signIn is the body of POST auth/tokens.
func signIn(name, password, tenant string) map[string]any {
	in := map[string]any{"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
		"user": map[string]any{"name": name, "password": password, "domain": map[string]string{"id": domain}}}}}
	if tenant != "" {
		in["scope"] = map[string]any{"project": map[string]any{"name": tenant, "domain": map[string]string{"id": domain}}}
	}
	return map[string]any{"auth": in}
}

type grant struct {
	Token struct {
		User    user      `json:"user"`
		Expires time.Time `json:"expires_at"`
	} `json:"token"`
}

// admin returns a token of the administrator, a new one where old does not
// work any more.
func (p *Provider) admin(ctx context.Context, old string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token != "" && p.token != old && p.o.Now().Before(p.ends) {
		return p.token, nil
	}
	var g grant
	status, h, err := p.call(ctx, http.MethodPost, p.base+"/auth/tokens", "", signIn(p.o.AdminUsername, p.o.AdminPassword, p.o.AdminTenant), &g)
	if err != nil {
		return "", err
	}
	token := h.Get("X-Subject-Token")
	if status != http.StatusCreated || token == "" {
		return "", auth.Unreachable(fmt.Errorf("keystone does not let KEYSTONE_ADMIN_USERNAME in: %d", status))
	}
	p.token, p.ends = token, g.Token.Expires.Add(-time.Minute)
	return token, nil
}

// get reads as the administrator.
func (p *Provider) get(ctx context.Context, at string, v any) (status int, err error) {
	token := ""
	for range 2 {
		if token, err = p.admin(ctx, token); err != nil {
			return 0, err
		}
		if status, _, err = p.call(ctx, http.MethodGet, at, token, nil, v); err != nil || status != http.StatusUnauthorized {
			break
		}
	}
	switch {
	case err != nil:
		return 0, err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return 0, auth.Unreachable(fmt.Errorf("keystone does not let KEYSTONE_ADMIN_USERNAME look: %d", status))
	}
	return status, nil
}

// Service implements auth.Provider.
func (p *Provider) Service() string { return Service }

var errWrong = gantry.Errorf(gantry.Unauthenticated, "credentials", "Invalid Username or Password")

// VerifyPassword implements auth.Provider.
func (p *Provider) VerifyPassword(ctx context.Context, name, password string) (auth.External, error) {
	if name == "" || password == "" || len(name) > 255 {
		return auth.External{}, errWrong
	}
	var g grant
	status, _, err := p.call(ctx, http.MethodPost, p.base+"/auth/tokens", "", signIn(name, password, ""), &g)
	if err != nil {
		return auth.External{}, err
	}
	if status != http.StatusCreated || g.Token.User.ID == "" || g.Token.User.Name == "" {
		return auth.External{}, errWrong
	}
	// The token names the user; the address is among the user's data.
	var one struct {
		User user `json:"user"`
	}
	if _, err := p.get(ctx, p.base+"/users/"+url.PathEscape(g.Token.User.ID), &one); err != nil {
		return auth.External{}, err
	}
	u := g.Token.User
	u.Email = one.User.Email
	return u.external(), nil
}

// Ping implements auth.Provider.
func (p *Provider) Ping(ctx context.Context) error {
	var v any
	status, _, err := p.call(ctx, http.MethodGet, p.base, "", nil, &v)
	if err == nil && status != http.StatusOK {
		err = auth.Unreachable(fmt.Errorf("keystone answers %d", status))
	}
	return err
}

// list reads the users of a list, up to n.
func (p *Provider) list(ctx context.Context, at string, n int) (all []user, status int, err error) {
	for range maxPages {
		var page struct {
			Users []user `json:"users"`
			Links struct {
				Next string `json:"next"`
			} `json:"links"`
		}
		if status, err = p.get(ctx, at, &page); err != nil || status != http.StatusOK {
			return nil, status, err
		}
		all = append(all, page.Users...)
		switch {
		case len(all) >= n:
			return all[:n], status, nil
		case page.Links.Next == "":
			return all, status, nil
		case !strings.HasPrefix(page.Links.Next, p.base+"/"): // the administrator's token goes nowhere else
			return nil, 0, auth.Unreachable(fmt.Errorf("keystone points to %.200s", page.Links.Next))
		}
		at = page.Links.Next
	}
	return nil, 0, auth.Unreachable(fmt.Errorf("keystone answers with more than %d pages", maxPages))
}

// Lookup implements auth.Directory.
func (p *Provider) Lookup(ctx context.Context, name string) (auth.External, error) {
	list, _, err := p.list(ctx, p.base+"/users?"+url.Values{"domain_id": {domain}, "name": {name}}.Encode(), 10)
	if err != nil {
		return auth.External{}, err
	}
	for _, u := range list {
		if u.Name == name && u.active() {
			return u.external(), nil
		}
	}
	return auth.External{}, gantry.Errorf(gantry.NotFound, "account", "There is no user %.200s in Keystone", name)
}

// Search implements auth.Directory.
func (p *Provider) Search(ctx context.Context, prefix string, n int) (found []auth.External, err error) {
	if prefix == "" {
		return nil, nil
	}
	list, _, err := p.list(ctx, p.base+"/users?"+url.Values{"domain_id": {domain}, "name__startswith": {prefix}, "limit": {strconv.Itoa(10 * n)}}.Encode(), 10*n)
	for _, u := range list {
		if len(found) < n && u.active() && strings.HasPrefix(strings.ToLower(u.Name), strings.ToLower(prefix)) {
			found = append(found, u.external())
		}
	}
	return found, err
}

// SyncInfo implements auth.GroupDirectory.
func (p *Provider) SyncInfo() map[string]string { return map[string]string{"issuer_url": p.o.URL} }

func (p *Provider) group(config map[string]string) string {
	return p.base + "/groups/" + url.PathEscape(config["group_id"])
}

// Group implements auth.GroupDirectory.
func (p *Provider) Group(ctx context.Context, config map[string]string) (map[string]string, error) {
	id := config["group_id"]
	if id == "" || len(id) > 64 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return nil, gantry.Errorf(gantry.Invalid, "group_id", "group_id must be the id of a group in Keystone")
	}
	var v any
	status, err := p.get(ctx, p.group(config), &v)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, gantry.Errorf(gantry.Invalid, "group_id", "There is no group %s in Keystone", id)
	}
	return map[string]string{"group_id": id}, nil
}

// Members implements auth.GroupDirectory.
func (p *Provider) Members(ctx context.Context, config map[string]string) (members []auth.External, told bool, err error) {
	list, status, err := p.list(ctx, p.group(config)+"/users", maxUsers)
	if err != nil {
		return nil, false, err
	}
	if status != http.StatusOK {
		return nil, false, gantry.Errorf(gantry.NotFound, "group", "There is no group %.64s in Keystone", config["group_id"])
	}
	for _, u := range list {
		if u.active() {
			members = append(members, u.external())
		}
	}
	return members, true, nil
}

// Follows implements auth.GroupDirectory. Logins tell no groups.
func (p *Provider) Follows(map[string]string, []string) bool { return false }
