package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// PolicyOptions are those of policies about tags. The zero value has none.
// Immutability policies are there with TagOptions.Immutable.
type PolicyOptions struct {
	AutoPrune bool // FEATURE_AUTO_PRUNE
}

// Policies that prune are there with FEATURE_AUTO_PRUNE, those that make tags
// immutable with FEATURE_IMMUTABLE_TAGS.
var policyRoutes = policies("organization/{org}", "repository/{repo}", "user")

func policies(prefixes ...string) (all []route) {
	whose := map[string]access{"organization/{org}": nsAdmin, "repository/{repo}": repoAdmin, "user": signedIn}
	for _, p := range prefixes {
		add := func(method, path string, h func(*server, *call) error) {
			rt := route{method: method, path: p + path, access: whose[p], handle: h}
			if rt.access == signedIn {
				rt.scope = auth.ScopeUserAdmin
			}
			all = append(all, rt)
		}
		add("GET", "/autoprunepolicy", (*server).listPrunePolicies)
		add("POST", "/autoprunepolicy", (*server).createPrunePolicy)
		add("GET", "/autoprunepolicy/{uuid}", (*server).getPrunePolicy)
		add("PUT", "/autoprunepolicy/{uuid}", (*server).putPrunePolicy)
		add("DELETE", "/autoprunepolicy/{uuid}", (*server).deletePrunePolicy)
		if p == "user" { // Quay has none of them for users
			continue
		}
		add("GET", "/immutabilitypolicy", (*server).listImmutabilityPolicies)
		add("POST", "/immutabilitypolicy", (*server).createImmutabilityPolicy)
		add("GET", "/immutabilitypolicy/{uuid}", (*server).getImmutabilityPolicy)
		add("PUT", "/immutabilitypolicy/{uuid}", (*server).putImmutabilityPolicy)
		add("DELETE", "/immutabilitypolicy/{uuid}", (*server).deleteImmutabilityPolicy)
	}
	return all
}

// policyOwner is what a route of policies is about.
func (c *call) policyOwner() store.PolicyOwner {
	if r := c.rights.Repository; r.ID != 0 {
		return store.PolicyOwner{Namespace: r.Namespace, Repo: r.ID, Name: r.Name}
	}
	id, _ := c.owner()
	return store.PolicyOwner{Namespace: id, Name: gantry.RepoName{Namespace: cmp.Or(c.params["org"], c.id.Account.Name)}}
}

// tagRule is the part of a policy's body that chooses tags.
type tagRule struct {
	Pattern *string `json:"tagPattern"`
	Matches *bool   `json:"tagPatternMatches"`
}

func (in tagRule) rule() gantry.TagRule {
	r := gantry.TagRule{Matches: in.Matches == nil || *in.Matches}
	if in.Pattern != nil {
		r.Pattern = *in.Pattern
	}
	if r.Pattern == "" {
		r.Matches = true // all tags
	}
	return r
}

func (s *server) prunePolicies(c *call) (store.PolicyOwner, error) {
	if !s.Policies.AutoPrune {
		return store.PolicyOwner{}, errNotFound
	}
	return c.policyOwner(), nil
}

func prunePolicyView(p store.PrunePolicy) map[string]any {
	v := map[string]any{"uuid": p.UUID, "method": p.Method, "value": p.Value, "tagPattern": nil, "tagPatternMatches": p.Matches}
	if keep, age, err := p.Limits(); err == nil && age == 0 {
		v["value"] = keep
	}
	if p.Pattern != "" {
		v["tagPattern"] = p.Pattern
	}
	return v
}

func (s *server) listPrunePolicies(c *call) error {
	of, err := s.prunePolicies(c)
	if err != nil {
		return err
	}
	all, err := s.Store.PrunePolicies(c.r.Context(), of)
	return answerPolicies(c, all, err, prunePolicyView)
}

func (s *server) getPrunePolicy(c *call) error {
	of, err := s.prunePolicies(c)
	if err != nil {
		return err
	}
	all, err := s.Store.PrunePolicies(c.r.Context(), of)
	return answerPolicy(c, all, err, prunePolicyView)
}

// pruneRule reads a rule from the body.
func (c *call) pruneRule() (r gantry.PruneRule, err error) {
	var in struct {
		Method string
		Value  json.RawMessage
		tagRule
	}
	if err := c.body(&in, false); err != nil {
		return r, err
	}
	r = gantry.PruneRule{Method: in.Method, TagRule: in.rule()}
	var text string
	switch n, wrong := strconv.ParseInt(string(bytes.TrimSpace(in.Value)), 10, 64); {
	case wrong == nil:
		r.Value = strconv.FormatInt(n, 10)
	case json.Unmarshal(in.Value, &text) == nil:
		r.Value = text
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			r.Value = strconv.FormatInt(n, 10) // "007" is 7
		}
	}
	if _, _, err := r.Limits(); err != nil {
		return r, err
	}
	_, err = r.Chooser(false)
	return r, err
}

func (s *server) createPrunePolicy(c *call) error { return s.setPrunePolicy(c, 201) }
func (s *server) putPrunePolicy(c *call) error    { return s.setPrunePolicy(c, 204) }

func (s *server) setPrunePolicy(c *call, status int) error {
	of, err := s.prunePolicies(c)
	if err != nil {
		return err
	}
	r, err := c.pruneRule()
	if err != nil {
		return err
	}
	id, err := s.Store.SetPrunePolicy(c.r.Context(), of, c.params["uuid"], r, c.id.Actor)
	return c.policySet(status, id, err)
}

// answerPolicies lists all that there are.
func answerPolicies[P any](c *call, all []P, err error, view func(P) map[string]any) error {
	if err != nil {
		return err
	}
	list := make([]any, 0, len(all))
	for _, p := range all {
		list = append(list, view(p))
	}
	return c.json(200, map[string]any{"policies": list})
}

// answerPolicy shows the one of all that the route names.
func answerPolicy[P any](c *call, all []P, err error, view func(P) map[string]any) error {
	if err != nil {
		return err
	}
	for _, p := range all {
		if v := view(p); v["uuid"] == c.params["uuid"] {
			return c.json(200, v)
		}
	}
	return errNotFound
}

func (c *call) policySet(status int, id string, err error) error {
	switch {
	case err != nil:
		return err
	case status == 204:
		return c.empty()
	}
	return c.json(status, map[string]any{"uuid": id})
}

func (s *server) deletePrunePolicy(c *call) error {
	of, err := s.prunePolicies(c)
	if err != nil {
		return err
	}
	id := c.params["uuid"]
	return c.policySet(200, id, s.Store.DeletePrunePolicy(c.r.Context(), of, id, c.id.Actor))
}

func (s *server) immutabilityPolicies(c *call) (store.PolicyOwner, error) {
	if !s.Tags.Immutable {
		return store.PolicyOwner{}, errNotFound
	}
	return c.policyOwner(), nil
}

func immutabilityPolicyView(p store.ImmutabilityPolicy) map[string]any {
	return map[string]any{"uuid": p.UUID, "tagPattern": p.Pattern, "tagPatternMatches": p.Matches}
}

func (s *server) listImmutabilityPolicies(c *call) error {
	of, err := s.immutabilityPolicies(c)
	if err != nil {
		return err
	}
	all, err := s.Store.ImmutabilityPolicies(c.r.Context(), of)
	return answerPolicies(c, all, err, immutabilityPolicyView)
}

func (s *server) getImmutabilityPolicy(c *call) error {
	of, err := s.immutabilityPolicies(c)
	if err != nil {
		return err
	}
	all, err := s.Store.ImmutabilityPolicies(c.r.Context(), of)
	return answerPolicy(c, all, err, immutabilityPolicyView)
}

func (s *server) createImmutabilityPolicy(c *call) error { return s.setImmutabilityPolicy(c, 201) }
func (s *server) putImmutabilityPolicy(c *call) error    { return s.setImmutabilityPolicy(c, 204) }

func (s *server) setImmutabilityPolicy(c *call, status int) error {
	of, err := s.immutabilityPolicies(c)
	if err != nil {
		return err
	}
	var in tagRule
	if err := c.body(&in, false); err != nil {
		return err
	}
	r := in.rule()
	if strings.TrimSpace(r.Pattern) == "" {
		return gantry.Errorf(gantry.Invalid, "tagPattern", "tagPattern is required and must not be empty; .* is every tag")
	}
	if _, err := r.Chooser(true); err != nil {
		return err
	}
	id, err := s.Store.SetImmutabilityPolicy(c.r.Context(), of, c.params["uuid"], r, c.id.Actor)
	return c.policySet(status, id, err)
}

func (s *server) deleteImmutabilityPolicy(c *call) error {
	of, err := s.immutabilityPolicies(c)
	if err != nil {
		return err
	}
	id := c.params["uuid"]
	return c.policySet(200, id, s.Store.DeleteImmutabilityPolicy(c.r.Context(), of, id, c.id.Actor))
}
