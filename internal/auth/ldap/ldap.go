// Package ldap finds users, their passwords and their groups in an LDAP
// directory: AUTHENTICATION_TYPE LDAP.
package ldap

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Service is the name of the directory in federated logins, as in Quay.
const Service = "ldap"

// Options are the fields LDAP_… of config.yaml.
type Options struct {
	URIs             []string // ldap:// or ldaps://; the first that answers is used
	BaseDN           string
	AdminDN          string
	AdminPassword    string
	UserRDNs         []string // places of users, relative to BaseDN; none = BaseDN itself
	UIDAttr          string   // "" = uid
	EmailAttr        string   // "" = mail
	MemberOfAttr     string   // "" = memberOf
	UserFilter       string   // that users must pass; "" = none
	SuperuserFilter  string
	ReadOnlyFilter   string
	RestrictedFilter string
	Timeout          time.Duration // of one operation; 0 = 10 s
	NetworkTimeout   time.Duration // of connecting; 0 = 10 s
	FollowReferrals  bool
	InsecureFallback bool          // an ldap:// server without TLS is used all the same
	CacheLife        time.Duration // how long a found entry is remembered; 0 = it is not
	NoPool           bool          // a connection is used once
	PoolSize         int           // connections at once; 0 = 10
	PoolWait         time.Duration // for a free one; 0 = 5 s
	PoolLife         time.Duration // age at which one is replaced; 0 = 5 minutes
	RootCAs          *x509.CertPool
	Logger           *slog.Logger // nil = discard
}

// A Provider is a directory. It implements auth.Provider, auth.Directory,
// auth.GroupDirectory and auth.Ranker.
type Provider struct {
	o       Options
	places  []string // where users are
	filter  string   // that all users pass
	ranks   []rankFilter
	servers *servers
	cache   cache
}

type rankFilter struct {
	rank   auth.Rank
	filter string
}

// New returns a provider. It does not connect; the error names the field that
// is wrong.
func New(o Options) (*Provider, error) {
	defaultTo(&o.UIDAttr, "uid")
	defaultTo(&o.EmailAttr, "mail")
	defaultTo(&o.MemberOfAttr, "memberOf")
	defaultTo(&o.Timeout, 10*time.Second)
	defaultTo(&o.NetworkTimeout, 10*time.Second)
	defaultTo(&o.PoolSize, 10)
	defaultTo(&o.PoolWait, 5*time.Second)
	defaultTo(&o.PoolLife, 5*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Provider{o: o, cache: cache{life: o.CacheLife}}
	for field, dn := range map[string]string{"LDAP_BASE_DN": o.BaseDN, "LDAP_ADMIN_DN": o.AdminDN} {
		if _, err := ldap.ParseDN(dn); err != nil {
			return nil, fmt.Errorf("%s: %q is no distinguished name: %w", field, dn, err)
		}
	}
	for _, rdn := range o.UserRDNs {
		place := join(rdn, o.BaseDN)
		if _, err := ldap.ParseDN(place); err != nil {
			return nil, fmt.Errorf("LDAP_USER_RDN, LDAP_SECONDARY_USER_RDNS: %q is no distinguished name: %w", rdn, err)
		}
		p.places = append(p.places, place)
	}
	if len(p.places) == 0 {
		p.places = []string{o.BaseDN}
	}
	for field, attr := range map[string]string{"LDAP_UID_ATTR": o.UIDAttr, "LDAP_EMAIL_ATTR": o.EmailAttr, "LDAP_MEMBEROF_ATTR": o.MemberOfAttr} {
		if strings.Trim(attr, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;") != "" {
			return nil, fmt.Errorf("%s: %q is no attribute", field, attr)
		}
	}
	var err error
	if p.filter, err = parens("LDAP_USER_FILTER", o.UserFilter); err != nil {
		return nil, err
	}
	for _, r := range []struct {
		field, filter string
		rank          auth.Rank
	}{
		{"LDAP_SUPERUSER_FILTER", o.SuperuserFilter, auth.RankSuperuser},
		{"LDAP_GLOBAL_READONLY_SUPERUSER_FILTER", o.ReadOnlyFilter, auth.RankReadOnly},
		{"LDAP_RESTRICTED_USER_FILTER", o.RestrictedFilter, auth.RankRestricted},
	} {
		f, err := parens(r.field, r.filter)
		if err != nil {
			return nil, err
		}
		if f != "" {
			p.ranks = append(p.ranks, rankFilter{r.rank, f})
		}
	}
	p.servers, err = newServers(o)
	return p, err
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// join puts an RDN before a DN; either may be empty.
func join(rdn, dn string) string {
	rdn, dn = strings.Trim(rdn, ", "), strings.Trim(dn, ", ")
	switch {
	case rdn == "":
		return dn
	case dn == "":
		return rdn
	}
	return rdn + "," + dn
}

// parens checks a filter and puts it in parentheses.
func parens(field, f string) (string, error) {
	f = strings.TrimSpace(f)
	if f == "" {
		return "", nil
	}
	if !strings.HasPrefix(f, "(") {
		f = "(" + f + ")"
	}
	if _, err := ldap.CompileFilter(f); err != nil {
		return "", fmt.Errorf("%s: %q is no LDAP filter: %w", field, f, err)
	}
	return f, nil
}

// An entry is a user as the directory has him.
type entry struct {
	uri   string // of the server that has it
	dn    string
	uid   string
	email string
}

func (p *Provider) external(e entry) auth.External {
	return auth.External{Service: Service, Ident: e.uid, Username: e.uid, Email: e.email, Ranked: p.Ranked()}
}

// Service implements auth.Provider.
func (p *Provider) Service() string { return Service }

var errWrong = gantry.Errorf(gantry.Unauthenticated, "credentials", "Invalid Username or Password")

// maxName is how long a name or address may be that is looked for.
const maxName = 255

// VerifyPassword implements auth.Provider: it finds the user as the
// administrator and binds as the user. An empty password never reaches the
// directory, which would take it for an anonymous visit.
func (p *Provider) VerifyPassword(ctx context.Context, name, password string) (auth.External, error) {
	if password == "" || name == "" || len(name) > maxName {
		return auth.External{}, errWrong
	}
	e, err := p.find(ctx, name)
	if gantry.Is(err, gantry.NotFound) {
		return auth.External{}, errWrong
	}
	if err != nil {
		return auth.External{}, err
	}
	err = p.servers.use(ctx, e.uri, false, func(c *conn) error {
		c.admin = false
		return c.Bind(e.dn, password)
	})
	if refusedBind(err) {
		p.o.Logger.DebugContext(ctx, "the directory refused a password", "dn", e.dn, "error", err)
		return auth.External{}, errWrong
	}
	if err != nil {
		return auth.External{}, auth.Unreachable(fmt.Errorf("bind as the user: %w", err))
	}
	x := p.external(e)
	x.Rank, err = p.rank(ctx, e)
	return x, err
}

// refusedBind reports whether a directory means the credentials, not itself.
func refusedBind(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation,
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultInsufficientAccessRights)
}

// find finds one user by name, or by address where it is one. A name wins over
// an address; of several it is none.
func (p *Provider) find(ctx context.Context, name string) (entry, error) {
	if e, ok := p.cache.get(name); ok {
		return e, nil
	}
	esc := ldap.EscapeFilter(name)
	by := "(" + p.o.UIDAttr + "=" + esc + ")"
	if strings.Contains(name, "@") {
		by = "(|" + by + "(" + p.o.EmailAttr + "=" + esc + "))"
	}
	list, err := p.search(ctx, "(&"+by+p.filter+")", 10)
	if err != nil {
		return entry{}, err
	}
	var named []entry
	for _, e := range list {
		if strings.EqualFold(e.uid, name) {
			named = append(named, e)
		}
	}
	if len(named) > 0 {
		list = named
	}
	if len(list) != 1 {
		if len(list) > 1 {
			p.o.Logger.WarnContext(ctx, "the directory has several users of one name; none of them can sign in by it", "name", name, "first", list[0].dn, "second", list[1].dn)
		}
		return entry{}, gantry.Errorf(gantry.NotFound, "account", "There is no user %.200s in the directory", name)
	}
	p.cache.put(name, list[0])
	return list[0], nil
}

// search finds at most n users that pass a filter, in all places; n = 0 is
// all, up to maxFound.
func (p *Provider) search(ctx context.Context, filter string, n int) ([]entry, error) {
	var list []entry
	for _, place := range p.places {
		found, err := p.searchIn(ctx, "", place, ldap.ScopeWholeSubtree, filter, n, maxHops)
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			p.o.Logger.WarnContext(ctx, "a place of users is not in the directory", "dn", place)
			continue
		}
		if err != nil {
			return nil, auth.Unreachable(fmt.Errorf("search %s: %w", place, err))
		}
		list = append(list, found...)
	}
	return list, nil
}

const (
	maxFound = 50_000 // users in one answer
	maxPage  = 500
	maxHops  = 3  // from one directory to the next
	maxRefer = 10 // that one answer points to
)

// searchIn searches below a DN of a server and, as far as hops go, where that
// points to.
func (p *Provider) searchIn(ctx context.Context, uri, base string, scope int, filter string, n, hops int) (list []entry, err error) {
	var refer []string
	err = p.servers.use(ctx, uri, true, func(c *conn) error {
		list, refer = nil, nil
		r := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, n, int(p.o.Timeout/time.Second), false,
			filter, []string{p.o.UIDAttr, p.o.EmailAttr}, nil)
		var res *ldap.SearchResult
		var err error
		if n > 0 {
			res, err = c.Search(r)
		} else {
			res, err = c.SearchWithPaging(r, maxPage)
		}
		if e, ok := errors.AsType[*ldap.Error](err); ok && e.ResultCode == ldap.LDAPResultReferral {
			refer = referralsOf(e)
			return nil
		}
		if err != nil && !(n > 0 && res != nil && ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded)) {
			return err
		}
		if len(res.Entries) > maxFound {
			return fmt.Errorf("the directory found more than %d users", maxFound)
		}
		for _, e := range res.Entries {
			uid := e.GetEqualFoldAttributeValue(p.o.UIDAttr)
			if uid == "" || len(uid) > maxName {
				continue
			}
			list = append(list, entry{uri: c.uri, dn: e.DN, uid: uid, email: e.GetEqualFoldAttributeValue(p.o.EmailAttr)})
		}
		refer = append(refer, res.Referrals...)
		return nil
	})
	if err != nil || !p.o.FollowReferrals || hops == 0 {
		return list, err
	}
	for _, to := range refer[:min(len(refer), maxRefer)] {
		u, err := url.Parse(to)
		if err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
			continue
		}
		below := base
		if dn := strings.TrimPrefix(u.Path, "/"); dn != "" {
			below = dn
		}
		found, err := p.searchIn(ctx, u.Scheme+"://"+u.Host, below, scope, filter, n, hops-1)
		if err != nil { // the rest of the directory goes on
			p.o.Logger.WarnContext(ctx, "a referral could not be followed", "uri", u.Scheme+"://"+u.Host, "dn", below, "error", err)
			continue
		}
		list = append(list, found...)
	}
	return list, nil
}

// referralsOf reads where a result of another server points to.
func referralsOf(e *ldap.Error) []string {
	if e.Packet == nil || len(e.Packet.Children) < 2 {
		return nil
	}
	var list []string
	for _, part := range e.Packet.Children[1].Children {
		if part.Tag != 3 {
			continue
		}
		for _, to := range part.Children {
			if s, ok := to.Value.(string); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// rank asks which of the filters a user passes.
func (p *Provider) rank(ctx context.Context, e entry) (r auth.Rank, err error) {
	for _, f := range p.ranks {
		found, err := p.searchIn(ctx, e.uri, e.dn, ldap.ScopeBaseObject, f.filter, 1, 0)
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			continue
		}
		if err != nil {
			return 0, auth.Unreachable(fmt.Errorf("look for the rank of %s: %w", e.dn, err))
		}
		if len(found) > 0 {
			r |= f.rank
		}
	}
	return r, nil
}

// Ranks implements auth.Ranker.
func (p *Provider) Ranks(ctx context.Context) (map[string]auth.Rank, error) {
	ranks := map[string]auth.Rank{}
	for _, f := range p.ranks {
		list, err := p.search(ctx, "(&"+f.filter+p.filter+")", 0)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			ranks[e.uid] |= f.rank
		}
	}
	return ranks, nil
}

// Ranked implements auth.Ranking.
func (p *Provider) Ranked() bool { return len(p.ranks) > 0 }

// Ping implements auth.Provider.
func (p *Provider) Ping(ctx context.Context) error {
	err := p.servers.use(ctx, "", true, func(c *conn) error {
		_, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, int(p.o.Timeout/time.Second), false,
			"(objectClass=*)", []string{"supportedLDAPVersion"}, nil))
		return err
	})
	if err != nil {
		return auth.Unreachable(err)
	}
	return nil
}

// Lookup implements auth.Directory.
func (p *Provider) Lookup(ctx context.Context, name string) (auth.External, error) {
	if name == "" || len(name) > maxName {
		return auth.External{}, gantry.Errorf(gantry.NotFound, "account", "There is no such user in the directory")
	}
	e, err := p.find(ctx, name)
	if err != nil {
		return auth.External{}, err
	}
	x := p.external(e)
	x.Rank, err = p.rank(ctx, e)
	return x, err
}

// Search implements auth.Directory.
func (p *Provider) Search(ctx context.Context, prefix string, n int) ([]auth.External, error) {
	if prefix == "" || len(prefix) > maxName {
		return nil, nil
	}
	esc := ldap.EscapeFilter(prefix)
	found, err := p.search(ctx, "(&(|("+p.o.UIDAttr+"="+esc+"*)("+p.o.EmailAttr+"="+esc+"*))"+p.filter+")", n)
	if err != nil {
		return nil, err
	}
	var list []auth.External
	for _, e := range found[:min(len(found), n)] {
		list = append(list, p.external(e))
	}
	return list, nil
}

// SyncInfo implements auth.GroupDirectory.
func (p *Provider) SyncInfo() map[string]string { return map[string]string{"base_dn": p.o.BaseDN} }

// groupDN is the whole name of a group, which may be given relative to the
// base, as Quay has it.
func (p *Provider) groupDN(config map[string]string) (string, error) {
	given := strings.TrimSpace(config["group_dn"])
	dn, err := ldap.ParseDN(given)
	if given == "" || err != nil || len(given) > 2048 {
		return "", gantry.Errorf(gantry.Invalid, "group_dn", "group_dn must be the distinguished name of a group, such as cn=developers,ou=groups")
	}
	base, err := ldap.ParseDN(p.o.BaseDN)
	if err == nil && p.o.BaseDN != "" && !base.EqualFold(dn) && !base.AncestorOfFold(dn) {
		return join(given, p.o.BaseDN), nil
	}
	return given, nil
}

// Group implements auth.GroupDirectory.
func (p *Provider) Group(ctx context.Context, config map[string]string) (map[string]string, error) {
	dn, err := p.groupDN(config)
	if err != nil {
		return nil, err
	}
	there, err := p.exists(ctx, dn)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, gantry.Errorf(gantry.Invalid, "group_dn", "There is no group %.300s in the directory", dn)
	}
	return map[string]string{"group_dn": strings.TrimSpace(config["group_dn"])}, nil
}

// Missing returns those of the places in which users are looked for that are
// not there.
func (p *Provider) Missing(ctx context.Context) (places []string, err error) {
	for _, place := range p.places {
		there, err := p.exists(ctx, place)
		if err != nil {
			return nil, err
		}
		if !there {
			places = append(places, place)
		}
	}
	return places, nil
}

func (p *Provider) exists(ctx context.Context, dn string) (there bool, err error) {
	err = p.servers.use(ctx, "", true, func(c *conn) error {
		res, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, int(p.o.Timeout/time.Second), false,
			"(objectClass=*)", []string{"1.1"}, nil))
		there = err == nil && len(res.Entries) == 1
		return err
	})
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultReferral) {
		return false, nil
	}
	if err != nil {
		return false, auth.Unreachable(fmt.Errorf("look for %s: %w", dn, err))
	}
	return there, nil
}

// Members implements auth.GroupDirectory: the users that have the group in
// LDAP_MEMBEROF_ATTR. A group that is not there is not one without members.
func (p *Provider) Members(ctx context.Context, config map[string]string) (list []auth.External, told bool, err error) {
	dn, err := p.groupDN(config)
	if err != nil {
		return nil, false, err
	}
	there, err := p.exists(ctx, dn)
	if err != nil {
		return nil, false, err
	}
	if !there {
		return nil, false, gantry.Errorf(gantry.NotFound, "group", "There is no group %.300s in the directory", dn)
	}
	found, err := p.search(ctx, "(&("+p.o.MemberOfAttr+"="+ldap.EscapeFilter(dn)+")"+p.filter+")", 0)
	for _, e := range found {
		list = append(list, p.external(e))
	}
	return list, err == nil, err
}

// Follows implements auth.GroupDirectory. Logins tell no groups.
func (p *Provider) Follows(map[string]string, []string) bool { return false }
