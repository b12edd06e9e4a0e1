package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/api"
	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/auth/github"
	"github.com/gantry-registry/gantry/internal/auth/jwt"
	"github.com/gantry-registry/gantry/internal/auth/keystone"
	"github.com/gantry-registry/gantry/internal/auth/ldap"
	"github.com/gantry-registry/gantry/internal/auth/oidc"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// Who keeps the users and their passwords, and where else people sign in.

func ldapOptions(c *config.Config) ldap.Options {
	l := &c.LDAP
	o := ldap.Options{
		URIs:             strings.Fields(l.URI),
		BaseDN:           strings.Join(l.BaseDN, ","),
		AdminDN:          l.AdminDN,
		AdminPassword:    l.AdminPassword,
		UserRDNs:         append([]string{strings.Join(l.UserRDN, ",")}, l.SecondaryUserRDNs...),
		UIDAttr:          l.UIDAttr,
		EmailAttr:        l.EmailAttr,
		MemberOfAttr:     l.MemberOfAttr,
		UserFilter:       l.UserFilter,
		SuperuserFilter:  l.SuperuserFilter,
		ReadOnlyFilter:   l.GlobalReadonlySuperuserFilter,
		RestrictedFilter: l.RestrictedUserFilter,
		Timeout:          l.Timeout,
		NetworkTimeout:   l.NetworkTimeout,
		FollowReferrals:  l.FollowReferrals,
		InsecureFallback: l.AllowInsecureFallback,
		NoPool:           !l.ConnectionPooling,
		PoolSize:         l.PoolSize,
		PoolWait:         l.PoolMaxWait,
		PoolLife:         l.PoolConnectionLifetime,
	}
	if c.Features.LDAPCaching {
		o.CacheLife = l.CacheTTL
	}
	return o
}

func jwtOptions(c *config.Config) jwt.Options {
	return jwt.Options{Verify: c.JWT.VerifyEndpoint, Query: c.JWT.QueryEndpoint, GetUser: c.JWT.GetUserEndpoint, Issuer: c.JWT.AuthIssuer, MaxFresh: c.JWT.AuthMaxFresh}
}

func keystoneOptions(c *config.Config) keystone.Options {
	k := &c.Keystone
	return keystone.Options{URL: k.AuthURL, AdminUsername: k.AdminUsername, AdminPassword: k.AdminPassword, AdminTenant: k.AdminTenant, Timeout: k.AuthTimeout}
}

// google is the OpenID Connect provider of FEATURE_GOOGLE_LOGIN.
const google = "https://accounts.google.com"

func oidcOptions(c *config.Config) (list []oidc.Options) {
	for _, p := range c.Login.OIDC {
		list = append(list, oidc.Options{
			ID:                  p.ID,
			Server:              p.Server,
			ClientID:            p.ClientID,
			ClientSecret:        p.ClientSecret,
			ServiceName:         p.ServiceName,
			ServiceIcon:         p.ServiceIcon,
			Scopes:              p.Scopes,
			EmailClaim:          p.EmailClaim,
			UsernameClaim:       p.UsernameClaim,
			GroupClaim:          p.GroupClaim,
			BindingField:        p.BindingField,
			Issuer:              p.Issuer,
			Issuers:             p.Issuers,
			Audiences:           p.Audiences,
			AllowedClients:      p.AllowedClients,
			DisableUserEndpoint: p.DisableUserEndpoint,
			EndpointParams:      p.EndpointParams,
			UsePKCE:             p.UsePKCE,
			NoPKCE:              p.NoPKCE,
			PKCEMethod:          p.PKCEMethod,
			PublicClient:        p.PublicClient,
			SuperuserGroup:      p.SuperUserGroup,
			ReadOnlyGroup:       p.ReadOnlySuperGroup,
			Debugging:           p.Debugging,
		})
	}
	if c.Features.GoogleLogin {
		g := &c.Login.Google
		list = append(list, oidc.Options{ID: "google", Server: google, ClientID: g.ClientID, ClientSecret: g.ClientSecret, ServiceName: "Google",
			ServiceIcon: "fa-google", BindingField: g.BindingField, Issuers: []string{"accounts.google.com"}, DisableUserEndpoint: true})
	}
	return list
}

// githubOptions is nil without FEATURE_GITHUB_LOGIN.
func githubOptions(c *config.Config) *github.Options {
	if !c.Features.GitHubLogin {
		return nil
	}
	g := &c.Login.GitHub
	o := &github.Options{Endpoint: g.Endpoint, API: g.APIEndpoint, ClientID: g.ClientID, ClientSecret: g.ClientSecret, BindingField: g.BindingField}
	if g.OrgRestrict {
		o.Organizations = g.AllowedOrganizations
	}
	return o
}

func externalOptions(c *config.Config) api.ExternalOptions {
	return api.ExternalOptions{Hostname: c.Server.Hostname, Scheme: linkScheme(c), TeamSyncing: c.Features.TeamSyncing, AnybodySyncs: c.Features.NonsuperuserTeamSyncingSetup}
}

// outside are the services of a configuration.
type outside struct {
	provider auth.Provider // nil: the database
	sites    []auth.Site
	close    func()
}

// openOutside makes the services of a configuration. None is connected to; an
// error begins with the field that is wrong.
func openOutside(c *config.Config, o *core) (out outside, err error) {
	out.close = func() {}
	roots := c.RootCAs()
	logger := o.log
	var first auth.Provider
	for _, x := range oidcOptions(c) {
		x.RootCAs, x.Logger = roots, logger
		p, err := oidc.New(x)
		if err != nil {
			return out, err
		}
		if first == nil && x.ID != "google" {
			first = p
		}
		out.sites = append(out.sites, p)
	}
	if x := githubOptions(c); x != nil {
		x.RootCAs = roots
		out.sites = append(out.sites, github.New(*x))
	}
	switch c.Auth.Type {
	case "LDAP":
		x := ldapOptions(c)
		x.Logger, x.RootCAs = logger, roots
		if c.Bundle.Path("ldap.crt") != "" {
			b, err := c.Bundle.Read("ldap.crt")
			if err != nil {
				return out, fmt.Errorf("LDAP_URI: %w", err)
			}
			x.RootCAs.AppendCertsFromPEM(b)
		}
		p, err := ldap.New(x)
		if err != nil {
			return out, err
		}
		out.provider, out.close = p, p.Close
	case "JWT":
		x := jwtOptions(c)
		x.RootCAs = roots
		if x.PublicKey, err = c.Bundle.Read("jwt-authn.cert"); err != nil {
			return out, fmt.Errorf("AUTHENTICATION_TYPE: %w", err)
		}
		if out.provider, err = jwt.New(x); err != nil {
			return out, fmt.Errorf("AUTHENTICATION_TYPE: %w", err)
		}
	case "Keystone":
		if c.Keystone.AuthVersion != 3 {
			return out, fmt.Errorf("KEYSTONE_AUTH_VERSION: version %d of Keystone's interface is gone from OpenStack since 2018; write 3", c.Keystone.AuthVersion)
		}
		x := keystoneOptions(c)
		x.RootCAs = roots
		out.provider = keystone.New(x)
	case "OIDC":
		if first == nil {
			return out, fmt.Errorf("AUTHENTICATION_TYPE: it is OIDC, and there is no OpenID Connect provider")
		}
		out.provider = first
	case "AppToken":
		out.provider = auth.AppTokens{}
	}
	return out, nil
}

// refusedOutside returns the field that is wrong of the services of a
// configuration, and why; "" where none is.
func refusedOutside(c *config.Config) (field, why string) {
	out, err := openOutside(c, &core{})
	if err == nil {
		out.close()
		return "", ""
	}
	field, why, _ = strings.Cut(err.Error(), ": ")
	field, _, _ = strings.Cut(field, ".")
	field, _, _ = strings.Cut(field, ",")
	if strings.HasPrefix(field, "jwt-authn") {
		field, why = "AUTHENTICATION_TYPE", err.Error()
	}
	return field, why
}

// blockedEmail is nil where every domain is allowed.
func blockedEmail(c *config.Config) func(string) bool {
	if !c.Features.BlacklistedEmails || len(c.Auth.BlacklistedEmailDomains) == 0 {
		return nil
	}
	domains := c.Auth.BlacklistedEmailDomains
	return func(email string) bool {
		_, domain, _ := strings.Cut(strings.ToLower(email), "@")
		domain = strings.TrimSuffix(domain, ".")
		return slices.ContainsFunc(domains, func(b string) bool {
			b = strings.Trim(strings.ToLower(b), ".")
			return domain == b || strings.HasSuffix(domain, "."+b)
		})
	}
}

const jobIdentity = "identity.sync"

// identitySchedules compare teams with their groups, and take over ranks.
func identitySchedules(c *config.Config) []jobs.Schedule {
	if !c.Features.TeamSyncing && c.Auth.Type != "LDAP" {
		return nil
	}
	return []jobs.Schedule{{Every: c.Auth.TeamSyncWorkerFrequency, Job: store.NewJob{Kind: jobIdentity, MaxAttempts: 1}}}
}

func (s *Server) syncIdentities(ctx context.Context, _ *jobs.Run) error {
	_, err := s.auth.SyncStale(ctx, s.live.Current().Auth.TeamResyncStaleTime)
	return err
}

// pingProvider is the health check "auth".
func (s *Server) pingProvider(ctx context.Context) error {
	if p := s.auth.Provider(); p != nil {
		return p.Ping(ctx)
	}
	return nil // accounts are in the database, which has a check of its own
}
