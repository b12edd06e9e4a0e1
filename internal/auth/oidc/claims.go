package oidc

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/auth"
)

func text(claims map[string]any, names ...string) string {
	for _, n := range names {
		if s, _ := claims[n].(string); n != "" && s != "" {
			return s
		}
	}
	return ""
}

// external reads claims.
func (p *Provider) external(ctx context.Context, subject string, claims map[string]any) auth.External {
	x := auth.External{Service: p.o.ID, Ident: subject}
	if p.o.Debugging {
		names := make([]string, 0, len(claims))
		for n := range claims {
			names = append(names, n)
		}
		slices.Sort(names)
		p.o.Logger.InfoContext(ctx, "the login provider told", "service", p.o.ID, "claims", names)
	}
	x.Username = text(claims, p.o.UsernameClaim)
	if x.Username == "" {
		x.Username = cmp.Or(text(claims, "preferred_username", "unique_name", "upn"), subject)
	}
	switch {
	case p.o.EmailClaim != "":
		x.Email = text(claims, p.o.EmailClaim)
	case claims["email_verified"] == true || claims["email_verified"] == "true":
		x.Email = text(claims, "email")
	}
	x.Groups, x.Grouped = p.groups(ctx, claims)
	if x.Ranked = p.Ranked(); x.Ranked {
		if p.o.SuperuserGroup != "" && slices.Contains(x.Groups, p.o.SuperuserGroup) {
			x.Rank |= auth.RankSuperuser
		}
		if p.o.ReadOnlyGroup != "" && slices.Contains(x.Groups, p.o.ReadOnlyGroup) {
			x.Rank |= auth.RankReadOnly
		}
	}
	return x
}

// maxGroups bounds the groups of one user.
const maxGroups = 10_000

// groups reads the groups of somebody. told is false where there are too many
// for a token, as Entra ID says it: then nobody knows. No claim is no group.
func (p *Provider) groups(ctx context.Context, claims map[string]any) (list []string, told bool) {
	elsewhere, _ := claims["_claim_names"].(map[string]any)
	_, over := elsewhere[p.o.GroupClaim]
	if over || claims["hasgroups"] == true || claims["hasgroups"] == "true" {
		p.o.Logger.WarnContext(ctx, "a user is in too many groups for a token; have the provider send those of the application only", "service", p.o.ID)
		return nil, false
	}
	switch v := claims[p.o.GroupClaim].(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, g := range v[:min(len(v), maxGroups)] {
			if s, ok := g.(string); ok {
				list = append(list, s)
				if path := strings.TrimPrefix(s, "/"); path != s { // Keycloak's full path
					list = append(list, path)
				}
			}
		}
	}
	return list, true
}
