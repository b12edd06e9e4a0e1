package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// profileRoutes are for the caller's own account, and for what it marked and
// let others do.
var profileRoutes = []route{
	{method: "PUT", path: "user", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).changeUser},
	{method: "DELETE", path: "user", access: signedIn, scope: auth.ScopeUserAdmin, fresh: true, handle: (*server).deleteUser},
	{method: "POST", path: "user/convert", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).convertUser},
	{method: "GET", path: "users/{username}", access: known, handle: (*server).getUser},
	{method: "GET", path: "user/starred", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).listStarred},
	{method: "POST", path: "user/starred", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).star},
	{method: "DELETE", path: "user/starred/{repo}", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).unstar},
}

// maxProfile is how long each text of a profile may be, in bytes.
const maxProfile = 255

// orNull is s for an answer, where Quay has null for no text.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// orEmpty is a list for an answer, which is never null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// lasting is how long a namespace's ended tags can be restored; d is negative
// where it chose nothing.
func (s *server) lasting(d time.Duration) time.Duration {
	if d < 0 {
		return s.Retention
	}
	return d
}

// retention is how long a namespace can restore a tag, in seconds. d is its
// own choice, negative = none.
func (s *server) retention(d time.Duration) int64 {
	return int64(s.lasting(d) / time.Second)
}

// A namespaceChange is what PUT user and PUT organization have in common.
type namespaceChange struct {
	Email          *string `json:"email"`
	InvoiceEmail   *bool   `json:"invoice_email"`
	InvoiceAddress *string `json:"invoice_email_address"`
	Retention      *int64  `json:"tag_expiration_s"`
}

// into checks the change and adds it to a.
func (s *server) into(in namespaceChange, a *store.AccountChange) error {
	for _, e := range []*string{in.Email, in.InvoiceAddress} {
		if e == nil {
			continue
		}
		if err := checkEmail(*e); err != nil {
			return err
		}
	}
	if in.Email != nil && s.blockedDomain(*in.Email) {
		return gantry.Errorf(gantry.Invalid, "email", "Email domain is not allowed on this registry")
	}
	a.Email, a.InvoiceEmail, a.InvoiceAddress = in.Email, in.InvoiceEmail, in.InvoiceAddress
	if in.Retention == nil {
		return nil
	}
	if s.FixedRetention {
		return gantry.Errorf(gantry.Invalid, "tag_expiration_s", "tag_expiration_s cannot be changed on this registry (FEATURE_CHANGE_TAG_EXPIRATION)")
	}
	if !slices.ContainsFunc(s.Retentions, func(d time.Duration) bool { return int64(d/time.Second) == *in.Retention }) {
		var options []string
		for _, d := range s.Retentions {
			options = append(options, strconv.FormatInt(int64(d/time.Second), 10))
		}
		return gantry.Errorf(gantry.Invalid, "tag_expiration_s", "tag_expiration_s must be one of %s", strings.Join(options, ", "))
	}
	d := time.Duration(*in.Retention) * time.Second
	a.Retention = &d
	return nil
}

// changeUser changes the caller's account and answers what it is now.
func (s *server) changeUser(c *call) error {
	var in struct {
		namespaceChange
		Password *string `json:"password"`
		Username *string `json:"username"`
		Given    *string `json:"given_name"`
		Family   *string `json:"family_name"`
		Company  *string `json:"company"`
		Location *string `json:"location"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	change := store.AccountChange{GivenName: in.Given, FamilyName: in.Family, Company: in.Company, Location: in.Location}
	if err := s.into(in.namespaceChange, &change); err != nil {
		return err
	}
	for field, text := range map[string]*string{"given_name": in.Given, "family_name": in.Family, "company": in.Company, "location": in.Location} {
		switch {
		case text == nil:
		case !s.UserMetadata:
			return gantry.Errorf(gantry.Invalid, field, "%s cannot be changed on this registry (FEATURE_USER_METADATA)", field)
		case len(*text) > maxProfile:
			return gantry.Errorf(gantry.Invalid, field, "%s is longer than %d bytes", field, maxProfile)
		}
	}
	if in.Username != nil && *in.Username != c.id.Account.Name {
		if err := s.mayBeCalled(*in.Username); err != nil {
			return err
		}
		change.Name = in.Username
	}
	ctx := c.r.Context()
	if s.Tell.Mail != nil && change.Email != nil { // it changes when the new address is confirmed
		if err := s.changeEmail(c, *change.Email); err != nil {
			return err
		}
		change.Email = nil
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
		if c.session != nil {
			change.KeepSession = c.session.ID
		}
	}
	a, err := s.Store.ChangeAccount(ctx, c.id.Account.ID, change, c.id.Actor)
	if err != nil {
		return err
	}
	c.id.Account = a
	return s.me(c)
}

// mayBeCalled reports whether a user may take a name. Those that the
// configuration gives rights to are given out by who writes it.
func (s *server) mayBeCalled(name string) error {
	if !s.UserRename {
		return gantry.Errorf(gantry.Invalid, "username", "username cannot be changed on this registry (FEATURE_USER_RENAME)")
	}
	if err := checkUsername(name); err != nil {
		return err
	}
	set := s.Auth.Settings()
	if slices.Contains(slices.Concat(set.Superusers, set.ReadOnlySuperusers, set.RestrictedUsersWhitelist), name) {
		return gantry.Errorf(gantry.Invalid, "username", "Username is already in use: %s", name)
	}
	return nil
}

func (s *server) deleteUser(c *call) error {
	if !s.Auth.Passwords() { // the next sign-in would make the account again
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	if err := s.Store.DeleteNamespace(c.r.Context(), c.id.Account.ID, c.id.Actor); err != nil {
		return err
	}
	if c.session != nil {
		s.setCookie(c, "", -1)
	}
	return c.empty()
}

// convertUser makes an organization of the caller, whom another user, whose
// password is given, then administers.
func (s *server) convertUser(c *call) error {
	var in struct {
		User     string `json:"adminUser"`
		Password string `json:"adminPassword"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	invalid := func(text string) error {
		v := problem(c.r, answers[gantry.Invalid], text)
		v["reason"] = "invaliduser"
		return c.json(400, v)
	}
	if !s.Auth.Settings().MayCreateOrganization(&c.id) {
		return errDenied
	}
	if in.User == "" || in.User == c.id.Account.Name {
		return invalid("The admin user is not valid")
	}
	ctx := c.r.Context()
	admin, err := s.Auth.Login(ctx, in.User, in.Password, actorOf(c.r))
	if gantry.Is(err, gantry.Unauthenticated) && gantry.ReasonOf(err) != gantry.LoginBackoff {
		return invalid("The admin user credentials are not valid")
	}
	if err != nil {
		return err
	}
	if admin.Account.ID == c.id.Account.ID { // by the e-mail address
		return invalid("The admin user is not valid")
	}
	if err := s.Store.ConvertUser(ctx, c.id.Account.ID, admin.Account.ID, c.id.Actor); err != nil {
		return err
	}
	if c.session != nil { // which has ended: the browser goes on as the admin
		if err := s.startSession(c, &admin); err != nil {
			return err
		}
	}
	return c.json(200, map[string]bool{"success": true})
}

// getUser is what everybody who has signed in may know of a user.
func (s *server) getUser(c *call) error {
	a, err := s.Store.Account(c.r.Context(), c.params["username"])
	if gantry.Is(err, gantry.NotFound) || err == nil && a.Kind != gantry.User {
		return gantry.Errorf(gantry.NotFound, "account", "Not Found")
	}
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"anonymous": false, "username": a.Name, "avatar": accountAvatar(a.Name, a.Kind), "is_me": a.ID == c.id.Account.ID})
}

// listStarred is listRepositories of what the caller has marked.
func (s *server) listStarred(c *call) error {
	const route = "user/starred"
	want := store.RepositoryQuery{Account: c.id.Account.ID, Public: true, Starred: true, N: pageSize + 1, All: c.id.FullAccess || c.id.ReadOnlySuperuser}
	pages := s.Auth.Keys().Pages()
	if token := c.r.URL.Query().Get("next_page"); token != "" {
		last, err := pages.Open(route, "", c.id.Account.Name, token)
		if err != nil {
			return err
		}
		after, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			return err
		}
		want.After = gantry.RepoID(after)
	}
	list, err := s.Store.Repositories(c.r.Context(), want)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if len(list) > pageSize {
		list = list[:pageSize]
		out["next_page"] = pages.Seal(route, "", c.id.Account.Name, strconv.FormatInt(int64(list[pageSize-1].ID), 10))
	}
	if out["repositories"], err = s.repositoryViews(c, list); err != nil {
		return err
	}
	return c.json(200, out)
}

// star marks a repository that the caller may read. One that is hidden is as
// one that is not there.
func (s *server) star(c *call) error {
	var in struct{ Namespace, Repository string }
	if err := c.body(&in, false); err != nil {
		return err
	}
	if in.Namespace == "" || in.Repository == "" {
		return gantry.Errorf(gantry.Invalid, "body", "namespace and repository are required")
	}
	ctx := c.r.Context()
	rights, err := s.Store.RepositoryAccess(ctx, c.id.Account.ID, gantry.RepoName{Namespace: in.Namespace, Name: in.Repository})
	if err != nil {
		return err
	}
	seer := c.id
	seer.Scopes = nil // a mark tells nothing of the repository: the scope of the account is enough
	if seer.Role(rights, s.Auth.Settings().AnonymousAccess) < gantry.Read {
		return gantry.Errorf(gantry.NotFound, "repository", "Not Found")
	}
	if err := s.Store.Star(ctx, c.id.Account.ID, rights.Repository.ID); err != nil {
		return err
	}
	return c.json(201, map[string]string{"namespace": in.Namespace, "repository": in.Repository})
}

func (s *server) unstar(c *call) error {
	ns, name, _ := strings.Cut(c.params["repo"], "/")
	if err := s.Store.Unstar(c.r.Context(), c.id.Account.ID, gantry.RepoName{Namespace: ns, Name: name}); err != nil {
		return err
	}
	return c.empty()
}

// checkAddress takes an address of a web page, or "" for none.
func checkAddress(field, text string) error {
	if len(text) > 2000 {
		return gantry.Errorf(gantry.Invalid, field, "%s is longer than 2000 bytes", field)
	}
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return gantry.Errorf(gantry.Invalid, field, "%s must be an address that begins with http:// or https://", field)
	}
	return nil
}
