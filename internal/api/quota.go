package api

import (
	"cmp"
	"strconv"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// Quotas are there with FEATURE_QUOTA_MANAGEMENT and FEATURE_EDIT_QUOTA. Who
// stores something may see his; superusers change them.
var quotaRoutes = []route{
	{method: "GET", path: "organization/{org}/quota", access: nsOrSuper, handle: (*server).listQuotas},
	{method: "POST", path: "organization/{org}/quota", access: superuser, handle: (*server).createQuota},
	{method: "GET", path: "organization/{org}/quota/{id}", access: nsOrSuper, handle: (*server).getQuota},
	{method: "PUT", path: "organization/{org}/quota/{id}", access: superuser, handle: (*server).putQuota},
	{method: "DELETE", path: "organization/{org}/quota/{id}", access: superuser, handle: (*server).deleteQuota},
	{method: "GET", path: "organization/{org}/quota/{id}/limit", access: nsOrSuper, handle: (*server).listQuotaLimits},
	{method: "POST", path: "organization/{org}/quota/{id}/limit", access: superuser, handle: (*server).createQuotaLimit},
	{method: "GET", path: "organization/{org}/quota/{id}/limit/{limit}", access: nsOrSuper, handle: (*server).getQuotaLimit},
	{method: "PUT", path: "organization/{org}/quota/{id}/limit/{limit}", access: superuser, handle: (*server).putQuotaLimit},
	{method: "DELETE", path: "organization/{org}/quota/{id}/limit/{limit}", access: superuser, handle: (*server).deleteQuotaLimit},
	{method: "GET", path: "user/quota", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listQuotas},
	{method: "GET", path: "user/quota/{id}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getQuota},
	{method: "GET", path: "user/quota/{id}/limit", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listQuotaLimits},
	{method: "GET", path: "user/quota/{id}/limit/{limit}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).getQuotaLimit},
	{method: "GET", path: "superuser/organization/{org}/quota", access: superuser, fresh: true, handle: (*server).listQuotas},
	{method: "POST", path: "superuser/organization/{org}/quota", access: superuser, fresh: true, handle: (*server).createQuota},
	{method: "PUT", path: "superuser/organization/{org}/quota/{id}", access: superuser, fresh: true, handle: (*server).putQuota},
	{method: "DELETE", path: "superuser/organization/{org}/quota/{id}", access: superuser, fresh: true, handle: (*server).deleteQuota},
	{method: "GET", path: "superuser/users/{name}/quota", access: superuser, fresh: true, handle: (*server).listQuotas},
	{method: "POST", path: "superuser/users/{name}/quota", access: superuser, fresh: true, handle: (*server).createQuota},
	{method: "PUT", path: "superuser/users/{name}/quota/{id}", access: superuser, fresh: true, handle: (*server).putQuota},
	{method: "DELETE", path: "superuser/users/{name}/quota/{id}", access: superuser, fresh: true, handle: (*server).deleteQuota},
}

var errNotFound = gantry.Errorf(gantry.NotFound, "route", "Not Found")

// namespaceOf finds the user or organization that a route names; without one
// it is the caller.
func (s *server) namespaceOf(c *call) (store.Account, error) {
	name := cmp.Or(c.params["org"], c.params["name"])
	if name == "" {
		return c.id.Account, nil
	}
	a, err := s.Store.Account(c.r.Context(), name)
	if gantry.Is(err, gantry.NotFound) || err == nil && a.Kind == gantry.Robot {
		return a, errNotFound
	}
	return a, err
}

// quotaOf finds the namespace of a route and its quota, which is nil if it has
// none of its own. A route with an {id} is about that quota and no other.
func (s *server) quotaOf(c *call) (store.Account, *store.Quota, error) {
	if !s.Quota || !s.EditQuota {
		return store.Account{}, nil, errNotFound
	}
	a, err := s.namespaceOf(c)
	if err != nil {
		return a, nil, err
	}
	all, err := s.Store.Storages(c.r.Context(), a.ID)
	if err != nil {
		return a, nil, err
	}
	q := all[a.ID].Quota
	if id, ok := c.params["id"]; ok && (q == nil || strconv.FormatInt(q.ID, 10) != id) {
		return a, nil, errNotFound
	}
	return a, q, nil
}

// quotaLimitOf is quotaOf for the limit that a route names.
func (s *server) quotaLimitOf(c *call) (a store.Account, q *store.Quota, l store.QuotaLimit, err error) {
	if a, q, err = s.quotaOf(c); err != nil {
		return a, nil, l, err
	}
	for _, l := range q.Limits {
		if strconv.FormatInt(l.ID, 10) == c.params["limit"] {
			return a, q, l, nil
		}
	}
	return a, nil, l, errNotFound
}

func limitView(l store.QuotaLimit) map[string]any {
	return map[string]any{"id": l.ID, "type": l.Kind, "limit_percent": l.Percent}
}

func limitViews(q *store.Quota) []any {
	list := []any{}
	for _, l := range q.Limits {
		list = append(list, limitView(l))
	}
	return list
}

func (s *server) quotaView(q *store.Quota) map[string]any {
	return map[string]any{"id": q.ID, "limit_bytes": q.Bytes, "limit": gantry.FormatBytes(q.Bytes), "default_config": false,
		"limits": limitViews(q), "default_config_exists": s.DefaultQuota > 0}
}

// quotaViews are a namespace's own quota, or else the default one, which has
// no id.
func (s *server) quotaViews(q *store.Quota) []any {
	if q != nil {
		return []any{s.quotaView(q)}
	}
	if s.DefaultQuota <= 0 {
		return []any{}
	}
	v := s.quotaView(&store.Quota{Bytes: s.DefaultQuota})
	v["id"], v["default_config"] = nil, true
	return []any{v}
}

// addStorage tells in the view of a namespace what it stores and may.
func (s *server) addStorage(v map[string]any, of store.Storage) {
	if !s.Quota {
		return
	}
	var configured any
	if of.Quota != nil {
		configured = of.Quota.Bytes
	} else if s.DefaultQuota > 0 {
		configured = s.DefaultQuota
	}
	v["quotas"] = s.quotaViews(of.Quota)
	// What is stored is counted with every push: there is nothing to fill in.
	v["quota_report"] = map[string]any{"quota_bytes": of.Bytes, "configured_quota": configured, "running_backfill": false, "backfill_status": "complete"}
}

// readStorage is addStorage for one namespace.
func (s *server) readStorage(c *call, v map[string]any, ns gantry.AccountID) error {
	if !s.Quota {
		return nil
	}
	all, err := s.Store.Storages(c.r.Context(), ns)
	if err == nil {
		s.addStorage(v, all[ns])
	}
	return err
}

// addRepositoryStorage tells in the views of a page of repositories what each
// of them stores.
func (s *server) addRepositoryStorage(c *call, list []store.Repository, views []any) error {
	if !s.Quota {
		return nil
	}
	ids := make([]gantry.RepoID, len(list))
	for i, r := range list {
		ids[i] = r.ID
	}
	all, err := s.Store.RepositoryStorages(c.r.Context(), ids)
	if err != nil {
		return err
	}
	for i, r := range list {
		var configured any
		if n := cmp.Or(all[r.ID].Quota, s.DefaultQuota); n > 0 {
			configured = n
		}
		views[i].(map[string]any)["quota_report"] = map[string]any{"quota_bytes": all[r.ID].Bytes, "configured_quota": configured}
	}
	return nil
}

func (s *server) listQuotas(c *call) error {
	_, q, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	return c.json(200, s.quotaViews(q))
}

func (s *server) getQuota(c *call) error {
	_, q, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	return c.json(200, s.quotaView(q))
}

// maxQuota is the largest quota, in bytes: an EiB.
const maxQuota = 1 << 60

// quotaBytes reads the size of a quota from the body: limit, with a unit, or
// limit_bytes.
func (c *call) quotaBytes() (int64, error) {
	var in struct {
		Limit string
		Bytes *int64 `json:"limit_bytes"`
	}
	if err := c.body(&in, false); err != nil {
		return 0, err
	}
	var n int64
	switch {
	case in.Limit != "":
		var ok bool
		if n, ok = gantry.ParseBytes(in.Limit); !ok {
			return 0, gantry.Errorf(gantry.Invalid, "limit", "Invalid limit %.40q: use a number followed by a unit, such as 10GiB", in.Limit)
		}
	case in.Bytes != nil:
		n = *in.Bytes
	default:
		return 0, gantry.Errorf(gantry.Invalid, "limit", "No limit provided: limit or limit_bytes is required")
	}
	if n < 1 || n > maxQuota {
		return 0, gantry.Errorf(gantry.Invalid, "limit", "A quota must be from 1 byte to 1 EiB; delete it to have none")
	}
	return n, nil
}

func (s *server) createQuota(c *call) error {
	a, _, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	n, err := c.quotaBytes()
	if err != nil {
		return err
	}
	if err := s.Store.CreateQuota(c.r.Context(), a, n, c.id.Actor); err != nil {
		return err
	}
	return c.json(201, "Created")
}

func (s *server) putQuota(c *call) error {
	a, q, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	n, err := c.quotaBytes()
	if err != nil {
		return err
	}
	if err := s.Store.SetQuota(c.r.Context(), a, q.ID, n, c.id.Actor); err != nil {
		return err
	}
	return s.getQuota(c)
}

func (s *server) deleteQuota(c *call) error {
	a, q, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteQuota(c.r.Context(), a, q.ID, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) listQuotaLimits(c *call) error {
	_, q, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	return c.json(200, limitViews(q))
}

func (s *server) getQuotaLimit(c *call) error {
	_, _, l, err := s.quotaLimitOf(c)
	if err != nil {
		return err
	}
	return c.json(200, limitView(l))
}

// quotaLimit reads a limit from the body.
func (c *call) quotaLimit() (kind string, percent int, err error) {
	var in struct {
		Type    string
		Percent int `json:"threshold_percent"`
	}
	if err := c.body(&in, false); err != nil {
		return "", 0, err
	}
	if in.Type != store.QuotaWarning && in.Type != store.QuotaReject {
		return "", 0, gantry.Errorf(gantry.Invalid, "type", "type %.40q is not one of Warning, Reject", in.Type)
	}
	if in.Percent < 1 || in.Percent > 100 {
		return "", 0, gantry.Errorf(gantry.Invalid, "threshold_percent", "threshold_percent must be from 1 to 100")
	}
	return in.Type, in.Percent, nil
}

func (s *server) createQuotaLimit(c *call) error {
	a, q, err := s.quotaOf(c)
	if err != nil {
		return err
	}
	kind, percent, err := c.quotaLimit()
	if err != nil {
		return err
	}
	if err := s.Store.CreateQuotaLimit(c.r.Context(), a, q.ID, kind, percent, c.id.Actor); err != nil {
		return err
	}
	return c.json(201, "Created")
}

func (s *server) putQuotaLimit(c *call) error {
	a, q, l, err := s.quotaLimitOf(c)
	if err != nil {
		return err
	}
	kind, percent, err := c.quotaLimit()
	if err != nil {
		return err
	}
	if err := s.Store.SetQuotaLimit(c.r.Context(), a, q.ID, l.ID, kind, percent, c.id.Actor); err != nil {
		return err
	}
	return s.getQuota(c)
}

func (s *server) deleteQuotaLimit(c *call) error {
	a, q, l, err := s.quotaLimitOf(c)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteQuotaLimit(c.r.Context(), a, q.ID, l.ID, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}
