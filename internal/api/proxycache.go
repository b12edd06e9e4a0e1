package api

import (
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/proxycache"
	"github.com/gantry-registry/gantry/internal/store"
)

// Proxy caches are there with FEATURE_PROXY_CACHE.
var proxyCacheRoutes = []route{
	{method: "GET", path: "organization/{org}/proxycache", access: nsMember, handle: (*server).getProxyCache},
	{method: "POST", path: "organization/{org}/proxycache", access: nsAdmin, handle: (*server).createProxyCache},
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
		most := int64(proxycache.MaxExpiry / time.Second)
		if *in.Expiry < int64(proxycache.MinExpiry/time.Second) || *in.Expiry > most {
			return p, gantry.Errorf(gantry.Invalid, "proxy cache", "expiration_s must be %d to %d seconds", int64(proxycache.MinExpiry/time.Second), most)
		}
		p.Expiry = time.Duration(*in.Expiry) * time.Second
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
