package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
)

// The kinds of registries: how their repositories are listed.
const (
	KindQuay    = "quay"      // and Gantry: /api/v1, with an OAuth token or for everybody; else the catalog
	KindHarbor  = "harbor"    // /api/v2.0
	KindHub     = "dockerhub" // hub.docker.com
	KindGitLab  = "gitlab"    // /api/v4
	KindCatalog = "catalog"   // /v2/_catalog, of any registry that has it
)

// Kinds lists them. "gantry" is another word for KindQuay.
var Kinds = []string{KindQuay, KindHarbor, KindHub, KindGitLab, KindCatalog}

const (
	// maxFound bounds the repositories of a namespace, and maxListed the names
	// of a catalog that are looked through for them.
	maxFound  = 50_000
	maxListed = 1_000_000
	maxPage   = 8 << 20 // bytes of one answer
	pageOf    = 100
	// oauthUser is the name with which Quay's OAuth tokens log in.
	oauthUser = "$oauthtoken"
)

// A Found is a repository of another registry.
type Found struct {
	Name     string // below the namespace
	Upstream string // host/path
}

// errEnough ends a listing of which no more is wanted.
var errEnough = errors.New("enough")

// Discover lists the repositories of the namespace m.Upstream, at most n of
// them; 0 = all. The errors are *remote.Error or gantry.Error.
func (s *Service) Discover(ctx context.Context, m store.OrgMirror, c Choice, secret Secret, n int) ([]Found, error) {
	d, err := s.discovery(m, c, secret)
	if err != nil {
		return nil, err
	}
	d.most = n
	list := map[string]func(context.Context) error{KindQuay: d.quay, KindHarbor: d.harbor, KindHub: d.hub, KindGitLab: d.gitlab, KindCatalog: d.catalog}[m.Kind]
	if list == nil {
		return nil, gantry.Errorf(gantry.Invalid, "external_registry_type", "external_registry_type %.40q is not known; choose from %s", m.Kind, strings.Join(Kinds, ", "))
	}
	if err := list(ctx); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	slices.SortFunc(d.found, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(d.found, func(a, b Found) bool { return a.Name == b.Name }), nil
}

// CheckURL reads the address of a registry: https://host[:port], or without
// the scheme. Plain http is only for choices that are Insecure.
func CheckURL(address string, insecure bool) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, gantry.Errorf(gantry.Invalid, "external_registry_url", "external_registry_url must be of the form https://registry.example")
	}
	if u.Scheme == "http" && !insecure {
		return nil, gantry.Errorf(gantry.Invalid, "external_registry_url", "external_registry_url is plain http; that needs verify_tls: false")
	}
	if _, err := remote.ParsePlace(u.Host); err != nil {
		return nil, gantry.Errorf(gantry.Invalid, "external_registry_url", "external_registry_url: %s", Explain(err))
	}
	u.Path = ""
	return u, nil
}

// A discovery lists the repositories of one namespace.
type discovery struct {
	s      *Service
	base   *url.URL
	host   string // of the registry
	ns     string
	choice Choice
	secret Secret
	client *http.Client
	found  []Found
	most   int
}

func (s *Service) discovery(m store.OrgMirror, c Choice, secret Secret) (*discovery, error) {
	u, err := CheckURL(m.URL, c.Insecure)
	if err != nil {
		return nil, err
	}
	d := &discovery{s: s, base: u, host: u.Host, ns: strings.Trim(m.Upstream, "/"), choice: c, secret: secret}
	if m.Kind == KindHub && isHub(u.Host) {
		d.base, d.host = &url.URL{Scheme: "https", Host: "hub.docker.com"}, "docker.io"
	}
	o := s.o.Remote(remote.Options{Host: d.host})
	out := httpd.OutgoingOptions{RootCAs: o.Roots, Timeout: 30 * time.Second, Insecure: c.Insecure}
	if secret.HTTPProxy != "" || secret.HTTPSProxy != "" || secret.NoProxy != "" {
		find := (&httpproxy.Config{HTTPProxy: secret.HTTPProxy, HTTPSProxy: secret.HTTPSProxy, NoProxy: secret.NoProxy}).ProxyFunc()
		out.Proxy, out.UserProxy = func(r *http.Request) (*url.URL, error) { return find(r.URL) }, true
	}
	if d.client = httpd.Outgoing(out); o.Client != nil {
		d.client = o.Client(out)
	}
	return d, nil
}

func isHub(host string) bool {
	return slices.Contains([]string{"docker.io", "hub.docker.com", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}, host)
}

// add notes a repository by its path in the registry, with the namespace. It
// is errEnough when there are enough.
func (d *discovery) add(path, upstream string) error {
	name := path
	if d.ns != "" {
		var below bool
		if name, below = strings.CutPrefix(path, d.ns+"/"); !below {
			return nil
		}
	}
	if name == "" {
		return nil
	}
	if upstream == "" {
		upstream = d.host + "/" + path
	}
	if _, err := remote.ParseReference(upstream); err != nil {
		return nil // a name that no client could ask for
	}
	if d.found = append(d.found, Found{name, upstream}); len(d.found) > maxFound {
		return gantry.Errorf(gantry.Invalid, "external_namespace", "there are more than %d repositories in %s, which are not taken; mirror a smaller namespace", maxFound, d.ns)
	}
	if d.most > 0 && len(d.found) >= d.most {
		return errEnough
	}
	return nil
}

// get asks for a page of JSON.
func (d *discovery) get(ctx context.Context, path string, query url.Values, header http.Header, to any) (http.Header, error) {
	u := *d.base
	return d.ask(ctx, http.MethodGet, u.JoinPath(path), query, header, nil, to)
}

func (d *discovery) ask(ctx context.Context, method string, u *url.URL, query url.Values, header http.Header, body []byte, to any) (http.Header, error) {
	u.RawQuery = query.Encode()
	bad := func(kind remote.Kind, status int, format string, args ...any) error {
		return &remote.Error{Kind: kind, Host: u.Host, Status: status, Text: u.Host + fmt.Sprintf(format, args...)}
	}
	q, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, bad(remote.Invalid, 0, ": the address cannot be used")
	}
	for k, v := range header {
		q.Header[k] = v
	}
	q.Header.Set("Accept", "application/json")
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	res, err := d.client.Do(q)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, httpd.ErrForbiddenTarget):
		return nil, bad(remote.Blocked, 0, " is at an address of the registry's own network, which is not given to users; an administrator can list it in SSRF_ALLOWED_HOSTS")
	case err != nil:
		// What exactly it is, the registry's own address tells better.
		if r, wrong := d.s.Client(d.host, d.choice, d.secret); wrong == nil {
			defer r.Close()
			if wrong := r.Verify(ctx); wrong != nil {
				return nil, wrong
			}
		}
		return nil, &remote.Error{Kind: remote.Connect, Host: u.Host, Text: u.Host + " cannot be connected to; check the address, the port, the certificate and the proxy", Err: err}
	}
	defer func() { _ = res.Body.Close() }() // only read
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, bad(remote.Unavailable, 0, " broke its answer off")
	case len(raw) > maxPage:
		return nil, bad(remote.Invalid, 0, " sent a list of more than %d MiB", maxPage>>20)
	case res.StatusCode == http.StatusUnauthorized:
		return nil, bad(remote.Credentials, res.StatusCode, " does not take the credentials for its list of repositories")
	case res.StatusCode == http.StatusForbidden:
		return nil, bad(remote.Denied, res.StatusCode, ": these credentials may not list the repositories of %s", d.ns)
	case res.StatusCode == http.StatusNotFound:
		return nil, bad(remote.NotFound, res.StatusCode, " has no namespace %s, or no such API; check external_namespace and external_registry_type", d.ns)
	case res.StatusCode == http.StatusTooManyRequests:
		e := &remote.Error{Kind: remote.Limited, Host: u.Host, Status: res.StatusCode, Retry: time.Minute, Text: u.Host + " has had too many requests; it is asked again later"}
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 && n < 24*3600 {
			e.Retry = time.Duration(n) * time.Second
		}
		return nil, e
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return nil, bad(remote.NotRegistry, res.StatusCode, " answers with a redirect; give the address to which it leads")
	case res.StatusCode >= 500:
		return nil, bad(remote.Unavailable, res.StatusCode, " answers with an error (%d); it is asked again later", res.StatusCode)
	case res.StatusCode >= 300:
		return nil, bad(remote.Invalid, res.StatusCode, " does not understand the question (%d); check external_registry_type", res.StatusCode)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return nil, bad(remote.NotRegistry, res.StatusCode, " answers with something else than a list; check external_registry_url and external_registry_type")
	}
	return res.Header, nil
}

func basic(user, password string) http.Header {
	r := http.Request{Header: http.Header{}}
	if user != "" || password != "" {
		r.SetBasicAuth(user, password)
	}
	return r.Header
}

// maxPages bounds a listing.
const maxPages = maxListed / pageOf

var errPages = gantry.Errorf(gantry.Invalid, "external_registry_url", "the list of repositories has no end")

// quay lists by the API where an OAuth token or nobody asks: it knows no other
// credentials. A robot's are for the catalog, which shows what it may read.
func (d *discovery) quay(ctx context.Context) error {
	header, query := http.Header{}, url.Values{"namespace": {d.ns}}
	switch {
	case d.secret.Username == oauthUser || d.secret.Username == "" && d.secret.Password != "":
		header.Set("Authorization", "Bearer "+d.secret.Password)
	case d.secret.Username != "":
		return d.catalog(ctx)
	default:
		query.Set("public", "true")
	}
	for range maxPages {
		var page struct {
			Repositories []struct {
				Namespace, Name, State string
			}
			Next string `json:"next_page"`
		}
		if _, err := d.get(ctx, "/api/v1/repository", query, header, &page); err != nil {
			return err
		}
		for _, r := range page.Repositories {
			if r.State == gantry.MarkedForDeletion.String() {
				continue
			}
			if err := d.add(r.Namespace+"/"+r.Name, ""); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		query.Set("next_page", page.Next)
	}
	return errPages
}

func (d *discovery) harbor(ctx context.Context) error {
	header := basic(d.secret.Username, d.secret.Password)
	for n := 1; n <= maxPages; n++ {
		var page []struct{ Name string }
		if _, err := d.get(ctx, "/api/v2.0/projects/"+url.PathEscape(d.ns)+"/repositories", pageQuery("page_size", n), header, &page); err != nil {
			return err
		}
		for _, r := range page {
			if err := d.add(r.Name, ""); err != nil {
				return err
			}
		}
		if len(page) < pageOf {
			return nil
		}
	}
	return errPages
}

func pageQuery(size string, n int) url.Values {
	return url.Values{"page": {strconv.Itoa(n)}, size: {strconv.Itoa(pageOf)}}
}

func (d *discovery) hub(ctx context.Context) error {
	header := http.Header{}
	if d.secret.Username != "" {
		body, err := json.Marshal(map[string]string{"username": d.secret.Username, "password": d.secret.Password})
		if err != nil {
			return err
		}
		var login struct{ Token string }
		u := *d.base
		if _, err := d.ask(ctx, http.MethodPost, u.JoinPath("/v2/users/login"), nil, nil, body, &login); err != nil {
			return err
		}
		header.Set("Authorization", "Bearer "+login.Token)
	}
	for n := 1; n <= maxPages; n++ {
		var page struct {
			Next    string
			Results []struct{ Name string }
		}
		if _, err := d.get(ctx, "/v2/namespaces/"+url.PathEscape(d.ns)+"/repositories", pageQuery("page_size", n), header, &page); err != nil {
			return err
		}
		for _, r := range page.Results {
			if err := d.add(d.ns+"/"+r.Name, ""); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
	}
	return errPages
}

// gitlab lists the registries of a group and its projects, or of one project.
func (d *discovery) gitlab(ctx context.Context) error {
	header := http.Header{}
	if d.secret.Password != "" {
		header.Set("PRIVATE-TOKEN", d.secret.Password)
	}
	of := "groups"
	for n := 1; n <= maxPages; n++ {
		var page []struct{ Path, Location string }
		u := *d.base
		at := u.JoinPath("/api/v4/", of, "/", url.PathEscape(d.ns), "/registry/repositories")
		_, err := d.ask(ctx, http.MethodGet, at, pageQuery("per_page", n), header, nil, &page)
		if n == 1 && of == "groups" && remote.KindOf(err) == remote.NotFound {
			of, n = "projects", 0
			continue
		}
		if err != nil {
			return err
		}
		for _, r := range page {
			path := r.Path
			if path == d.ns { // the registry of a project itself
				path = d.ns + "/" + d.ns[strings.LastIndexByte(d.ns, '/')+1:]
			}
			if err := d.add(path, r.Location); err != nil {
				return err
			}
		}
		if len(page) < pageOf {
			return nil
		}
	}
	return errPages
}

func (d *discovery) catalog(ctx context.Context) error {
	r, err := d.s.Client(d.host, d.choice, d.secret)
	if err != nil {
		return err
	}
	defer r.Close()
	last, seen, empty := "", 0, 0
	for {
		names, next, err := r.Catalog(ctx, last, tagPage)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			if empty++; empty > maxEmpty {
				return errPages
			}
		}
		for _, n := range names {
			if err := d.add(n, ""); err != nil {
				return err
			}
		}
		if seen += len(names); seen > maxListed {
			return errPages
		}
		if next == "" {
			return nil
		}
		last = next
	}
}
