package api

import (
	"crypto/rand"
	"strconv"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var superuserRoutes = []route{
	{method: "GET", path: "superuser/users", access: superuser, fresh: true, handle: (*server).listUsers},
	{method: "POST", path: "superuser/users", access: superuser, fresh: true, handle: (*server).createUser},
	{method: "GET", path: "superuser/users/{name}", access: superuser, fresh: true, handle: (*server).getAnyUser},
	{method: "PUT", path: "superuser/users/{name}", access: superuser, fresh: true, handle: (*server).changeAnyUser},
	{method: "DELETE", path: "superuser/users/{name}", access: superuser, fresh: true, handle: (*server).deleteAnyUser},
	{method: "GET", path: "superuser/organizations", access: superuser, fresh: true, handle: (*server).listOrganizations},
	{method: "PUT", path: "superuser/organizations/{org}", access: superuser, fresh: true, handle: (*server).changeAnyOrganization},
	{method: "DELETE", path: "superuser/organizations/{org}", access: superuser, fresh: true, handle: (*server).deleteAnyOrganization},
	{method: "POST", path: "superuser/takeownership/{name}", access: superuser, fresh: true, handle: (*server).takeOwnership},
	{method: "GET", path: "superuser/registrysize", access: superuser, fresh: true, handle: (*server).registrySize},
	{method: "POST", path: "superuser/registrysize", access: superuser, fresh: true, handle: (*server).countRegistrySize},
	{method: "GET", path: "superuser/apptokens", access: superuser, fresh: true, handle: (*server).listAllAppTokens},
	{method: "GET", path: "superuser/config", access: superuser, fresh: true, handle: (*server).dumpConfig},
}

// position reads where a page of a list begins and how many entries it has:
// those after the id, limit of the query or pageSize.
func (s *server) position(c *call, filter string) (after int64, n int, err error) {
	q := c.r.URL.Query()
	n = pageSize
	if text := q.Get("limit"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			return 0, 0, gantry.Errorf(gantry.Invalid, "query", "limit must be a number from 1 to %d", pageSize)
		}
		n = min(n, pageSize)
	}
	if token := q.Get("next_page"); token != "" {
		last, err := s.Auth.Keys().Pages().Open(c.route.path, filter, c.id.Account.Name, token)
		if err != nil {
			return 0, 0, err
		}
		after, err = strconv.ParseInt(last, 10, 64)
		return after, n, err
	}
	return 0, n, nil
}

// next is the token of the page after the id.
func (s *server) next(c *call, filter string, after int64) string {
	return s.Auth.Keys().Pages().Seal(c.route.path, filter, c.id.Account.Name, strconv.FormatInt(after, 10))
}

// accountPage answers a page of accounts under the name of what they are.
func (s *server) accountPage(c *call, q store.AccountQuery, what string, view func(store.Account) map[string]any) error {
	filter := strconv.FormatBool(q.Enabled)
	after, n, err := s.position(c, filter)
	if err != nil {
		return err
	}
	q.After, q.N = gantry.AccountID(after), n+1
	ctx := c.r.Context()
	list, err := s.Store.Accounts(ctx, q)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if len(list) > n {
		list = list[:n]
		out["next_page"] = s.next(c, filter, int64(list[n-1].ID))
	}
	var storages map[gantry.AccountID]store.Storage
	if s.Quota {
		ids := make([]gantry.AccountID, len(list))
		for i := range list {
			ids[i] = list[i].ID
		}
		if storages, err = s.Store.Storages(ctx, ids...); err != nil {
			return err
		}
	}
	views := make([]any, 0, len(list))
	for _, a := range list {
		v := view(a)
		s.addStorage(v, storages[a.ID])
		views = append(views, v)
	}
	out[what] = views
	return c.json(200, out)
}

func (s *server) userView(a store.Account) map[string]any {
	super, readOnly := s.Auth.Settings().Rank(a)
	return map[string]any{"kind": "user", "name": a.Name, "username": a.Name, "email": a.Email, "verified": a.Verified,
		"avatar": accountAvatar(a.Name, a.Kind), "super_user": super, "global_readonly_super_user": readOnly, "enabled": a.Enabled}
}

func (s *server) listUsers(c *call) error {
	q := store.AccountQuery{Kind: gantry.User}
	switch text := c.r.URL.Query().Get("disabled"); text {
	case "", "true", "1":
	case "false", "0":
		q.Enabled = true
	default:
		return gantry.Errorf(gantry.Invalid, "query", "disabled must be true or false")
	}
	return s.accountPage(c, q, "users", s.userView)
}

func (s *server) listOrganizations(c *call) error {
	return s.accountPage(c, store.AccountQuery{Kind: gantry.Organization}, "organizations", func(a store.Account) map[string]any {
		return map[string]any{"name": a.Name, "email": a.Email, "avatar": accountAvatar(a.Name, a.Kind)}
	})
}

// createUser makes a user with a password that the superuser hands over.
func (s *server) createUser(c *call) error {
	var in struct{ Username, Email string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if !s.Auth.Passwords() {
		return s.errKept()
	}
	if err := checkUsername(in.Username); err != nil {
		return err
	}
	if err := checkEmail(in.Email); err != nil {
		return err
	}
	password := rand.Text()
	ctx := c.r.Context()
	hash, err := s.Auth.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	sealed, err := s.Auth.Keys().EncryptPassword(password)
	if err != nil {
		return err
	}
	a, err := s.Store.CreateUser(ctx, store.NewAccount{Name: in.Username, Email: in.Email, PasswordHash: hash, Verified: true, UniqueEmail: true}, c.id.Actor)
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"username": a.Name, "email": a.Email, "password": password, "encrypted_password": sealed})
}

// namedUser finds the user that a route names.
func (s *server) namedUser(c *call) (store.Account, error) {
	a, err := s.namespaceOf(c)
	if err == nil && a.Kind != gantry.User {
		err = errNotFound
	}
	return a, err
}

// commonUser is namedUser for one who is no superuser: those are changed by the
// configuration, and by the command line.
func (s *server) commonUser(c *call, doing string) (store.Account, error) {
	a, err := s.namedUser(c)
	if err != nil {
		return a, err
	}
	if super, readOnly := s.Auth.Settings().Rank(a); super || readOnly {
		return a, gantry.Errorf(gantry.Invalid, "account", "Cannot %s a superuser", doing)
	}
	return a, nil
}

func (s *server) answerUser(c *call) error {
	a, err := s.namedUser(c)
	if err != nil {
		return err
	}
	v := s.userView(a)
	if err := s.readStorage(c, v, a.ID); err != nil {
		return err
	}
	return c.json(200, v)
}

func (s *server) getAnyUser(c *call) error { return s.answerUser(c) }

func (s *server) changeAnyUser(c *call) error {
	a, err := s.commonUser(c, "update")
	if err != nil {
		return err
	}
	var in struct {
		Password, Email *string
		Enabled         *bool
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	change := store.UserChange{Email: in.Email, Enabled: in.Enabled}
	ctx := c.r.Context()
	if in.Email != nil {
		if err := checkEmail(*in.Email); err != nil {
			return err
		}
	}
	if in.Password != nil {
		if !s.Auth.Passwords() {
			return s.errKept()
		}
		if err := auth.CheckPassword(*in.Password); err != nil {
			return err
		}
		hash, err := s.Auth.HashPassword(ctx, *in.Password)
		if err != nil {
			return err
		}
		change.PasswordHash = &hash
	}
	if err := s.Store.ChangeUser(ctx, a.ID, change, c.id.Actor); err != nil {
		return err
	}
	return s.answerUser(c)
}

func (s *server) deleteAnyUser(c *call) error {
	a, err := s.commonUser(c, "delete")
	if err == nil {
		err = s.Store.DeleteNamespace(c.r.Context(), a.ID, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// namedOrganization finds the organization that a route names.
func (s *server) namedOrganization(c *call) (store.Account, error) {
	a, err := s.namespaceOf(c)
	if err == nil && a.Kind != gantry.Organization {
		err = errNotFound
	}
	return a, err
}

func (s *server) changeAnyOrganization(c *call) error {
	a, err := s.namedOrganization(c)
	if err != nil {
		return err
	}
	var in struct{ Name, Email *string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Name != nil {
		if err := checkUsername(*in.Name); err != nil {
			return err
		}
	}
	if in.Email != nil {
		if err := checkEmail(*in.Email); err != nil {
			return err
		}
	}
	ctx := c.r.Context()
	if err := s.Store.ChangeOrganization(ctx, a.ID, store.OrganizationChange{Name: in.Name, Email: in.Email}, c.id.Actor); err != nil {
		return err
	}
	if a, err = s.Store.AccountByID(ctx, a.ID); err != nil {
		return err
	}
	v := map[string]any{"name": a.Name, "email": a.Email, "avatar": accountAvatar(a.Name, a.Kind)}
	if err := s.readStorage(c, v, a.ID); err != nil {
		return err
	}
	return c.json(200, v)
}

func (s *server) deleteAnyOrganization(c *call) error {
	a, err := s.namedOrganization(c)
	if err == nil {
		err = s.Store.DeleteNamespace(c.r.Context(), a.ID, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// takeOwnership makes the caller an administrator of a namespace.
func (s *server) takeOwnership(c *call) error {
	a, err := s.namespaceOf(c)
	if err != nil {
		return err
	}
	if a.ID == c.id.Account.ID {
		return gantry.Errorf(gantry.Invalid, "account", "The namespace is yours already")
	}
	if a.Kind == gantry.User {
		if _, err := s.commonUser(c, "take ownership of the namespace of"); err != nil {
			return err
		}
	}
	if err := s.Store.TakeOwnership(c.r.Context(), a.ID, c.id.Account.ID, c.id.Actor); err != nil {
		return err
	}
	return c.json(200, map[string]string{"namespace": a.Name})
}

// registrySize is the last count: a new one is made when it is asked for.
func (s *server) registrySize(c *call) error {
	n, err := s.Store.RegistrySize(c.r.Context())
	if err != nil {
		return err
	}
	var at any
	if !n.At.IsZero() {
		at = n.At.UnixMilli()
	}
	running := !s.sizing.TryLock()
	if !running {
		s.sizing.Unlock()
	}
	return c.json(200, map[string]any{"size_bytes": n.Bytes, "last_ran": at, "queued": false, "running": running})
}

// countRegistrySize counts at once, for all who ask meanwhile.
func (s *server) countRegistrySize(c *call) error {
	if !s.sizing.TryLock() {
		return c.json(202, "")
	}
	defer s.sizing.Unlock()
	if _, err := s.Store.CountRegistrySize(c.r.Context()); err != nil {
		return err
	}
	return c.json(201, "")
}

func (s *server) listAllAppTokens(c *call) error {
	if err := s.appTokensOn(); err != nil {
		return err
	}
	after, n, err := s.position(c, "")
	if err != nil {
		return err
	}
	all, owners, err := s.Store.AllAppTokens(c.r.Context(), after, n+1)
	if err != nil {
		return err
	}
	out := map[string]any{"only_expiring": false}
	if len(all) > n {
		all = all[:n]
		out["next_page"] = s.next(c, "", all[n-1].ID)
	}
	list := make([]any, 0, len(all))
	for _, k := range all {
		v := appTokenView(k)
		v["username"] = owners[k.Account]
		list = append(list, v)
	}
	out["tokens"] = list
	return c.json(200, out)
}

// dumpConfig shows the configuration in effect, secrets masked. Of the
// environment it shows nothing: anything may stand there.
func (s *server) dumpConfig(c *call) error {
	if s.ConfigDump == nil {
		return errNotFound
	}
	none := map[string]any{}
	return c.json(200, map[string]any{"config": s.ConfigDump(), "warning": none, "env": none, "schema": none})
}
