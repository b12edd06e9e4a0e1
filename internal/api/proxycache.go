package api

import (
	"encoding/json"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/proxycache"
	"github.com/gantry-registry/gantry/internal/store"
)

// Proxy caches are there with FEATURE_PROXY_CACHE.
var proxyCacheRoutes = []route{
	{method: "GET", path: "organization/{org}/proxycache", access: nsMember, handle: (*server).getProxyCache},
	{method: "POST", path: "organization/{org}/proxycache", access: nsAdmin, handle: (*server).createProxyCache},
	{method: "PUT", path: "organization/{org}/proxycache", access: nsAdmin, handle: (*server).changeProxyCache},
	{method: "DELETE", path: "organization/{org}/proxycache", access: nsAdmin, handle: (*server).deleteProxyCache},
	{method: "POST", path: "organization/{org}/validateproxycache", access: nsAdmin, handle: (*server).validateProxyCache},
}

// proxyOrganization finds the organization of a route of proxy caches.
func (s *server) proxyOrganization(c *call) (store.Account, error) {
	if s.ProxyCache == nil {
		return store.Account{}, gantry.Errorf(gantry.NotFound, "route", "Not Found: the feature is off on this registry (FEATURE_PROXY_CACHE)")
	}
	a, err := s.namespaceOf(c)
	if err == nil && a.Kind != gantry.Organization {
		err = errNotFound
	}
	return a, err
}

// proxyCacheOf is the configuration of an organization; nil if it has none.
func (s *server) proxyCacheOf(c *call, ns gantry.AccountID) (*store.ProxyCache, error) {
	all, err := s.Store.ProxyCaches(c.r.Context())
	for i := range all {
		if all[i].Namespace == ns {
			return &all[i], err
		}
	}
	return nil, err
}

// getProxyCache never returns the credentials.
func (s *server) getProxyCache(c *call) error {
	a, err := s.proxyOrganization(c)
	if err != nil {
		return err
	}
	p, err := s.proxyCacheOf(c, a.ID)
	if err != nil {
		return err
	}
	out := map[string]any{"upstream_registry": "", "expiration_s": "", "insecure": ""}
	if p != nil {
		out = map[string]any{"upstream_registry": p.Upstream, "expiration_s": int64(p.Expiry / time.Second), "insecure": p.Insecure}
	}
	return c.json(200, out)
}

// proxyConfig reads and checks a configuration, and asks upstream about it.
func (s *server) proxyConfig(c *call) (p proxycache.Config, err error) {
	var in struct {
		Upstream string  `json:"upstream_registry"`
		Username *string `json:"upstream_registry_username"`
		Password *string `json:"upstream_registry_password"`
		Expiry   *int64  `json:"expiration_s"`
		Insecure bool    `json:"insecure"`
		OrgName  string  `json:"org_name"` // Quay's console sends it; the path says the same
	}
	if err := c.body(&in, false); err != nil {
		return p, err
	}
	p = proxycache.Config{Upstream: in.Upstream, Insecure: in.Insecure}
	if in.Username != nil {
		p.Username = *in.Username
	}
	if in.Password != nil {
		p.Password = *in.Password
	}
	if in.Expiry != nil {
		if p.Expiry, err = proxyExpiry(*in.Expiry); err != nil {
			return p, err
		}
	}
	if err := p.Check(); err != nil {
		return p, err
	}
	return p, s.ProxyCache.Verify(c.r.Context(), p)
}

var errHasProxyCache = gantry.Errorf(gantry.Invalid, "proxy cache", "Proxy Cache Configuration already exists")

func (s *server) createProxyCache(c *call) error {
	a, err := s.proxyOrganization(c)
	if err != nil {
		return err
	}
	if p, err := s.proxyCacheOf(c, a.ID); err != nil || p != nil { // before upstream is asked
		if err == nil {
			err = errHasProxyCache
		}
		return err
	}
	p, err := s.proxyConfig(c)
	if err != nil {
		return err
	}
	row := store.ProxyCache{Namespace: a.ID, Name: a.Name, UUID: store.NewProxyCacheUUID(), Upstream: p.Upstream, Expiry: p.Expiry, Insecure: p.Insecure}
	if row.Secret, err = proxycache.Seal(s.Auth.Keys(), row.UUID, p.Credentials); err != nil {
		return err
	}
	if err := s.Store.CreateProxyCache(c.r.Context(), row, c.id.Actor); err != nil {
		return asInvalid(err)
	}
	return c.json(201, "Created")
}

// changeProxyCache is Gantry's own. What is not given stays; the credentials
// stay only for the registry that they were given for.
func (s *server) changeProxyCache(c *call) error {
	a, err := s.proxyOrganization(c)
	if err != nil {
		return err
	}
	was, err := s.proxyCacheOf(c, a.ID)
	if err == nil && was == nil {
		err = gantry.Errorf(gantry.NotFound, "proxy cache", "The organization has no proxy cache configuration; POST makes one")
	}
	if err != nil {
		return err
	}
	var in struct {
		Upstream *string         `json:"upstream_registry"`
		Username json.RawMessage `json:"upstream_registry_username"`
		Password json.RawMessage `json:"upstream_registry_password"`
		Expiry   *int64          `json:"expiration_s"`
		Insecure *bool           `json:"insecure"`
		OrgName  string          `json:"org_name"` // as for POST
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	old := proxycache.Config{Upstream: was.Upstream, Insecure: was.Insecure}
	p := proxycache.Config{Upstream: was.Upstream, Expiry: was.Expiry, Insecure: was.Insecure}
	if in.Upstream != nil {
		p.Upstream = *in.Upstream
	}
	if in.Insecure != nil {
		p.Insecure = *in.Insecure
	}
	if in.Expiry != nil {
		if p.Expiry, err = proxyExpiry(*in.Expiry); err != nil {
			return err
		}
	}
	kept := in.Username == nil && in.Password == nil
	if kept {
		if p.Credentials, err = proxycache.Unseal(s.Auth.Keys(), was.UUID, was.Secret); err != nil {
			s.Logger.ErrorContext(c.r.Context(), "credentials of a proxy cache", "organization", a.Name, "error", err)
			return gantry.Errorf(gantry.Invalid, "proxy cache", "The stored credentials cannot be read: give upstream_registry_username and upstream_registry_password again")
		}
	}
	if in.Username != nil {
		if p.Username, err = textOrNull("upstream_registry_username", in.Username); err != nil {
			return err
		}
	}
	if in.Password != nil {
		if p.Password, err = textOrNull("upstream_registry_password", in.Password); err != nil {
			return err
		}
	}
	if err := p.Check(); err != nil {
		return err
	}
	if kept && was.Secret != "" && !old.SameRegistry(&p) {
		return gantry.Errorf(gantry.Invalid, "proxy cache", "The credentials are for %s: give upstream_registry_username and upstream_registry_password again, or null for none, "+
			"where the registry is another one or insecure", was.Upstream)
	}
	if err := s.ProxyCache.Verify(c.r.Context(), p); err != nil {
		return err
	}
	row := *was
	row.Name, row.Upstream, row.Expiry, row.Insecure = a.Name, p.Upstream, p.Expiry, p.Insecure
	if !kept {
		if row.Secret, err = proxycache.Seal(s.Auth.Keys(), row.UUID, p.Credentials); err != nil {
			return err
		}
	}
	if err := s.Store.ChangeProxyCache(c.r.Context(), row, *was, c.id.Actor); err != nil {
		return asInvalid(err)
	}
	return s.getProxyCache(c)
}

// proxyExpiry checks expiration_s.
func proxyExpiry(given int64) (time.Duration, error) {
	least, most := int64(proxycache.MinExpiry/time.Second), int64(proxycache.MaxExpiry/time.Second)
	if given < least || given > most {
		return 0, gantry.Errorf(gantry.Invalid, "proxy cache", "expiration_s must be %d to %d seconds", least, most)
	}
	return time.Duration(given) * time.Second, nil
}

// asInvalid makes a conflict a 400, as Quay answers.
func asInvalid(err error) error {
	if e, ok := err.(*gantry.Error); ok && e.Code == gantry.Conflict { //nolint:errorlint // made by store, not wrapped
		return gantry.Errorf(gantry.Invalid, e.Object, "%s", e.Detail)
	}
	return err
}

func (s *server) deleteProxyCache(c *call) error {
	a, err := s.proxyOrganization(c)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteProxyCache(c.r.Context(), a, c.id.Actor); err != nil {
		return err
	}
	return c.json(201, "Deleted") // as Quay answers
}

func (s *server) validateProxyCache(c *call) error {
	a, err := s.proxyOrganization(c)
	if err != nil {
		return err
	}
	if p, err := s.proxyCacheOf(c, a.ID); err != nil || p != nil {
		if err == nil {
			err = errHasProxyCache
		}
		return err
	}
	if _, err := s.proxyConfig(c); err != nil {
		return err
	}
	return c.json(202, "Valid")
}
