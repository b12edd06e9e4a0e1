package api

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/mirror"
	"github.com/gantry-registry/gantry/internal/store"
)

// MirrorOptions are those of mirrors, which are there with RepoMirror.
type MirrorOptions struct {
	Orgs     bool            // FEATURE_ORG_MIRROR
	Insecure bool            // not REPO_MIRROR_TLS_VERIFY: of mirrors that do not say verify_tls
	Service  *mirror.Service // asks other registries; nil = verify says that it cannot
}

// Mirrors of repositories are there with FEATURE_REPO_MIRROR, those of
// organizations with FEATURE_ORG_MIRROR. DELETE of a repository's mirror, verify
// of it, plan and runs are Gantry's own.
var mirrorRoutes = []route{
	{method: "GET", path: "repository/{repo}/mirror", access: repoAdmin, handle: (*server).getMirror},
	{method: "POST", path: "repository/{repo}/mirror", access: repoAdmin, handle: (*server).createMirror},
	{method: "PUT", path: "repository/{repo}/mirror", access: repoAdmin, handle: (*server).putMirror},
	{method: "DELETE", path: "repository/{repo}/mirror", access: repoAdmin, handle: (*server).deleteMirror},
	{method: "POST", path: "repository/{repo}/mirror/sync-now", access: repoAdmin, handle: (*server).syncMirror},
	{method: "POST", path: "repository/{repo}/mirror/sync-cancel", access: repoAdmin, handle: (*server).cancelMirror},
	{method: "POST", path: "repository/{repo}/mirror/verify", access: repoAdmin, handle: (*server).verifyMirror},
	{method: "POST", path: "repository/{repo}/mirror/plan", access: repoAdmin, handle: (*server).planMirror},
	{method: "GET", path: "repository/{repo}/mirror/runs", access: repoAdmin, handle: (*server).listMirrorRuns},
	{method: "GET", path: "repository/{repo}/mirror/runs/{uuid}", access: repoAdmin, handle: (*server).getMirrorRun},
	{method: "GET", path: "repository/{repo}/mirror/runs/{uuid}/tags", access: repoAdmin, handle: (*server).listMirrorOutcomes},
	{method: "GET", path: "repository/mirror/health", access: known, fresh: true, handle: (*server).mirrorHealth},
	{method: "GET", path: "superuser/mirror/health", access: superuser, fresh: true, handle: (*server).allMirrorHealth},
	{method: "GET", path: "organization/{org}/mirror", access: nsAdmin, handle: (*server).getOrgMirror},
	{method: "POST", path: "organization/{org}/mirror", access: nsAdmin, handle: (*server).createOrgMirror},
	{method: "PUT", path: "organization/{org}/mirror", access: nsAdmin, handle: (*server).putOrgMirror},
	{method: "DELETE", path: "organization/{org}/mirror", access: nsAdmin, handle: (*server).deleteOrgMirror},
	{method: "POST", path: "organization/{org}/mirror/sync-now", access: nsAdmin, handle: (*server).syncOrgMirror},
	{method: "POST", path: "organization/{org}/mirror/sync-cancel", access: nsAdmin, handle: (*server).cancelOrgMirror},
	{method: "POST", path: "organization/{org}/mirror/verify", access: nsAdmin, handle: (*server).verifyOrgMirror},
	{method: "GET", path: "organization/{org}/mirror/repositories", access: nsAdmin, handle: (*server).listOrgMirrorRepos},
}

const (
	mirrorDate     = "2006-01-02T15:04:05Z"
	maxInterval    = 10 * 365 * 24 * 3600 // seconds
	minTimeout     = 300                  // of a repository's mirror, as in Quay
	defaultTimeout = 300
	maxUpstream    = 600 // bytes
	maxCredential  = 4096
	verifyWithin   = time.Minute
	runPage        = 20
	outcomePage    = 100
)

// A mirrorBody is what POST and PUT take, of a repository or an organization.
// What is nil stays as it is.
type mirrorBody struct {
	Enabled   *bool            `json:"is_enabled"`
	Reference *string          `json:"external_reference"`
	Username  json.RawMessage  `json:"external_registry_username"`
	Password  json.RawMessage  `json:"external_registry_password"`
	Config    *mirrorConfig    `json:"external_registry_config"`
	Interval  *int64           `json:"sync_interval"`
	Start     *string          `json:"sync_start_date"`
	Robot     *string          `json:"robot_username"`
	Rule      *mirrorRule      `json:"root_rule"`
	Timeout   *int             `json:"skopeo_timeout_interval"`
	Filter    *json.RawMessage `json:"architecture_filter"`

	// Of an organization.
	Type       *string          `json:"external_registry_type"`
	URL        *string          `json:"external_registry_url"`
	Namespace  *string          `json:"external_namespace"`
	Visibility *string          `json:"visibility"`
	Repos      *json.RawMessage `json:"repository_filters"`
	OrgTimeout *int             `json:"skopeo_timeout"`
	Prune      *bool            `json:"delete_stale_repos"`
}

type mirrorConfig struct {
	VerifyTLS  *bool        `json:"verify_tls"`
	Unsigned   *bool        `json:"unsigned_images"`
	OnlySigned *bool        `json:"only_signed"`
	Referrers  *bool        `json:"referrers"`
	Keep       *bool        `json:"keep_removed_tags"`
	Proxy      *mirrorProxy `json:"proxy"`
}

type mirrorProxy struct {
	HTTP  *string `json:"http_proxy"`
	HTTPS *string `json:"https_proxy"`
	No    *string `json:"no_proxy"`
}

type mirrorRule struct {
	Kind  string          `json:"rule_kind"`
	Value json.RawMessage `json:"rule_value"`
}

func invalidMirror(field, format string, args ...any) error {
	return gantry.Errorf(gantry.Invalid, field, field+" "+format, args...)
}

// textOrNull reads a credential or null.
func textOrNull(field string, raw json.RawMessage) (string, error) {
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return "", invalidMirror(field, "is not a text")
	}
	if s == nil {
		return "", nil
	}
	if len(*s) > maxCredential {
		return "", invalidMirror(field, "is longer than %d bytes", maxCredential)
	}
	return *s, nil
}

// texts reads a list of texts, or null; a text alone is a list with commas.
func textList(field string, raw json.RawMessage) ([]string, error) {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list, nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil, invalidMirror(field, "is not a list of texts")
	}
	return []string{s}, nil
}

// change puts what is common to both kinds of mirrors into c and s.
func (in *mirrorBody) change(c *mirror.Choice, s *mirror.Secret, org bool) (err error) {
	if len(in.Username) > 0 {
		if s.Username, err = textOrNull("external_registry_username", in.Username); err != nil {
			return err
		}
	}
	if len(in.Password) > 0 {
		if s.Password, err = textOrNull("external_registry_password", in.Password); err != nil {
			return err
		}
	}
	if g := in.Config; g != nil {
		set := func(to *bool, from *bool, not bool) {
			if from != nil {
				*to = *from != not
			}
		}
		set(&c.Insecure, g.VerifyTLS, true)
		set(&c.Unsigned, g.Unsigned, false)
		set(&c.OnlySigned, g.OnlySigned, false)
		set(&c.NoReferrers, g.Referrers, true)
		set(&c.Keep, g.Keep, false)
		if p := g.Proxy; p != nil {
			for _, f := range []struct {
				to   *string
				from *string
			}{{&s.HTTPProxy, p.HTTP}, {&s.HTTPSProxy, p.HTTPS}, {&s.NoProxy, p.No}} {
				*f.to = ""
				if f.from == nil {
					continue
				}
				if len(*f.from) > maxCredential {
					return invalidMirror("proxy", "is longer than %d bytes", maxCredential)
				}
				*f.to = *f.from
			}
		}
	}
	if in.Rule != nil {
		if in.Rule.Kind != "" && !strings.EqualFold(in.Rule.Kind, "tag_glob_csv") {
			return invalidMirror("root_rule", "has the unknown kind %.40q; it is tag_glob_csv", in.Rule.Kind)
		}
		if c.Tags, err = textList("root_rule", in.Rule.Value); err != nil {
			return err
		}
	}
	if in.Filter != nil {
		if c.Architectures, err = textList("architecture_filter", *in.Filter); err != nil {
			return err
		}
	}
	if in.Timeout != nil && !org {
		if *in.Timeout < minTimeout || *in.Timeout > 43200 {
			return invalidMirror("skopeo_timeout_interval", "must be %d to 43200 seconds", minTimeout)
		}
		c.Timeout = *in.Timeout
	}
	if org {
		if in.OrgTimeout != nil {
			if *in.OrgTimeout < 30 || *in.OrgTimeout > 3600 {
				return invalidMirror("skopeo_timeout", "must be 30 to 3600 seconds")
			}
			c.Timeout = *in.OrgTimeout
		}
		if in.Repos != nil {
			if c.Repositories, err = textList("repository_filters", *in.Repos); err != nil {
				return err
			}
		}
		if in.Prune != nil {
			c.Prune = *in.Prune
		}
	}
	return c.Check(org)
}

// times puts the interval and the start where they belong.
func (in *mirrorBody) times(least int64, interval *time.Duration, start *time.Time) error {
	if in.Interval != nil {
		if *in.Interval < least || *in.Interval > maxInterval {
			return invalidMirror("sync_interval", "must be %d to %d seconds", least, maxInterval)
		}
		*interval = time.Duration(*in.Interval) * time.Second
	}
	if in.Start != nil {
		at, err := time.Parse(time.RFC3339, *in.Start)
		if err != nil || at.Year() < 1971 || at.Year() > 9999 {
			return invalidMirror("sync_start_date", "must be of the form %s", mirrorDate)
		}
		*start = at.UTC()
	}
	return nil
}

// required fails with the name of the first field that is not there.
func required(fields ...any) error {
	for i := 0; i+1 < len(fields); i += 2 {
		missing := false
		switch v := fields[i+1].(type) {
		case *string:
			missing = v == nil || *v == ""
		case *int64:
			missing = v == nil
		case *mirrorRule:
			missing = v == nil
		}
		if missing {
			return gantry.Errorf(gantry.Invalid, "body", "%s is required", fields[i])
		}
	}
	return nil
}

// robotFor finds the robot that a mirror writes as.
func (s *server) robotFor(ctx context.Context, ns gantry.AccountID, namespace, name string) (gantry.AccountID, error) {
	a, err := s.Store.Account(ctx, name)
	if gantry.Is(err, gantry.NotFound) || err == nil && (a.Kind != gantry.Robot || a.Owner != ns) {
		return 0, invalidMirror("robot_username", "must be a robot of the namespace %s", namespace)
	}
	return a.ID, err
}

// place reads where a repository is in another registry.
func upstreamOf(text string) (string, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxUpstream {
		return "", invalidMirror("external_reference", "is longer than %d bytes", maxUpstream)
	}
	return mirror.Reference(text)
}

// aMirror is a mirror while it is changed.
type aMirror struct {
	store.Mirror
	choice mirror.Choice
	secret mirror.Secret
}

func (s *server) openMirror(m store.Mirror) (a aMirror, err error) {
	a.Mirror = m
	options, org, id, sealed := m.Options, false, m.UUID, m.Secret
	if m.Org != nil {
		options, org, id, sealed = m.Org.Options, true, m.Org.UUID, m.Org.Secret
	}
	if a.choice, err = mirror.ReadChoice(options); err != nil {
		return a, err
	}
	a.secret, err = mirror.OpenSecret(s.Auth.Keys(), org, id, sealed)
	return a, err
}

// apply puts what the body says into a mirror of the call's repository.
func (s *server) applyMirror(c *call, in *mirrorBody, a *aMirror) (err error) {
	r := c.rights.Repository
	if in.Reference != nil {
		was := a.Upstream
		if a.Upstream, err = upstreamOf(*in.Reference); err != nil {
			return err
		}
		if was != "" && mirror.HostOf(was) != mirror.HostOf(a.Upstream) && a.secret.Password != "" && len(in.Password) == 0 {
			return errPasswordAgain
		}
	}
	if in.Robot != nil {
		if a.Robot, err = s.robotFor(c.r.Context(), r.Namespace, r.Name.Namespace, *in.Robot); err != nil {
			return err
		}
	}
	if in.Enabled != nil {
		a.Enabled = *in.Enabled
	}
	if err := in.times(1, &a.Interval, &a.Start); err != nil {
		return err
	}
	if err := in.change(&a.choice, &a.secret, false); err != nil {
		return err
	}
	// Only who may act as any robot of the namespace vouches for what it reads.
	a.choice.Link = c.id.OrgAdmin(c.rights)
	return nil
}

// errPasswordAgain keeps a stored password from being sent to a registry that
// somebody else chose.
var errPasswordAgain = gantry.Errorf(gantry.Invalid, "external_registry_password", "external_registry_password must be given again when the registry is another one")

// sealMirror puts choice and secret back into the row.
func (s *server) sealMirror(a *aMirror) (err error) {
	if a.Options, err = json.Marshal(a.choice); err != nil {
		return err
	}
	a.Mirror.Secret, err = mirror.Seal(s.Auth.Keys(), false, a.UUID, a.secret)
	return err
}

// mirrored is the mirror that a route is about.
func (s *server) mirrored(c *call) (a aMirror, err error) {
	m, err := s.Store.Mirror(c.r.Context(), c.rights.Repository.ID)
	if err == nil && !s.RepoMirror && (m.OrgMirror == 0 || !s.Mirrors.Orgs) || err != nil && !s.RepoMirror {
		return a, errMirrorsOff("FEATURE_REPO_MIRROR")
	}
	if err != nil {
		return a, err
	}
	return s.openMirror(m)
}

func errMirrorsOff(field string) error {
	return gantry.Errorf(gantry.NotFound, "route", "Not Found: the feature is off on this registry (%s)", field)
}

func isoOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(mirrorDate)
}

// configView is external_registry_config. Who may only read does not see
// proxies, which may hold passwords.
func configView(c *call, o *mirror.Choice, s *mirror.Secret) map[string]any {
	proxy := map[string]any{"http_proxy": orNull(s.HTTPProxy), "https_proxy": orNull(s.HTTPSProxy), "no_proxy": orNull(s.NoProxy)}
	if c.id.ReadOnlySuperuser {
		proxy = map[string]any{"http_proxy": nil, "https_proxy": nil, "no_proxy": nil}
	}
	return map[string]any{"verify_tls": !o.Insecure, "unsigned_images": o.Unsigned, "only_signed": o.OnlySigned, "referrers": !o.NoReferrers,
		"keep_removed_tags": o.Keep, "proxy": proxy}
}

func ruleView(tags []string) map[string]any {
	return map[string]any{"rule_kind": "tag_glob_csv", "rule_value": orEmpty(tags)}
}

func (s *server) getMirror(c *call) error {
	a, err := s.mirrored(c)
	if err != nil {
		return err
	}
	v := map[string]any{"is_enabled": a.Enabled, "mirror_type": "PULL", "external_reference": a.Upstream, "external_registry_username": orNull(a.secret.Username),
		"external_registry_config": configView(c, &a.choice, &a.secret), "sync_interval": int64(a.Interval / time.Second), "sync_start_date": isoOrNull(a.Start),
		"sync_expiration_date": isoOrNull(a.Expires), "sync_retries_remaining": a.Retries, "sync_status": a.Status, "root_rule": ruleView(a.choice.Tags),
		"robot_username": orNull(a.RobotName), "skopeo_timeout_interval": cmp.Or(a.choice.Timeout, defaultTimeout), "architecture_filter": orEmpty(a.choice.Architectures),
		"next_sync_date": isoOrNull(a.Due), "last_sync_date": isoOrNull(a.Last), "status_message": orNull(a.Message), "organization_mirror": a.OrgMirror != 0}
	return c.json(200, v)
}

func (s *server) createMirror(c *call) error {
	if !s.RepoMirror {
		return errMirrorsOff("FEATURE_REPO_MIRROR")
	}
	var in mirrorBody
	if err := c.body(&in, false); err != nil {
		return err
	}
	if err := required("external_reference", in.Reference, "sync_interval", in.Interval, "sync_start_date", in.Start, "root_rule", in.Rule, "robot_username", in.Robot); err != nil {
		return err
	}
	a := aMirror{Mirror: store.Mirror{UUID: uuid.NewString(), Enabled: true}, choice: mirror.Choice{Timeout: defaultTimeout, Insecure: s.Mirrors.Insecure}}
	if err := s.applyMirror(c, &in, &a); err != nil {
		return err
	}
	if err := s.sealMirror(&a); err != nil {
		return err
	}
	err := s.Store.CreateMirror(c.r.Context(), c.rights.Repository, a.Mirror, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return s.conflict(c, err)
	}
	if err != nil {
		return err
	}
	return c.json(201, "")
}

// conflict answers 409, as Quay does for a mirror that is there already.
func (s *server) conflict(c *call, err error) error {
	return c.json(409, problem(c.r, answer{409, "invalid_request"}, detail(err)))
}

func (s *server) putMirror(c *call) error {
	if _, err := s.mirrored(c); err != nil {
		return err
	}
	var in mirrorBody
	if err := c.body(&in, false); err != nil {
		return err
	}
	err := s.Store.ChangeMirror(c.r.Context(), c.rights.Repository, c.id.Actor, func(m *store.Mirror) error {
		a, err := s.openMirror(*m)
		if err != nil {
			return err
		}
		if err := s.applyMirror(c, &in, &a); err != nil {
			return err
		}
		if err := s.sealMirror(&a); err != nil {
			return err
		}
		*m = a.Mirror
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(201, "")
}

func (s *server) deleteMirror(c *call) error {
	if _, err := s.mirrored(c); err != nil {
		return err
	}
	if err := s.Store.DeleteMirror(c.r.Context(), c.rights.Repository, c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) syncMirror(c *call) error {
	return s.mirrorCommand(c, func(ctx context.Context) error { return s.Store.SyncMirror(ctx, c.rights.Repository, c.id.Actor) })
}

func (s *server) cancelMirror(c *call) error {
	return s.mirrorCommand(c, func(ctx context.Context) error { return s.Store.CancelMirror(ctx, c.rights.Repository, c.id.Actor) })
}

func (s *server) mirrorCommand(c *call, do func(context.Context) error) error {
	_, err := s.mirrored(c)
	if err == nil {
		err = do(c.r.Context())
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// verifyMirror asks the other registry, with what the body says, or else with
// what is stored; an absent field of the body is the stored one's.
func (s *server) verifyMirror(c *call) error {
	a, err := s.mirrored(c)
	fresh := gantry.Is(err, gantry.NotFound) && s.RepoMirror
	if err != nil && !fresh {
		return err
	}
	var in mirrorBody
	if err := c.body(&in, true); err != nil {
		return err
	}
	if fresh {
		if err := required("external_reference", in.Reference); err != nil {
			return err
		}
		a.choice = mirror.Choice{Insecure: s.Mirrors.Insecure}
		if in.Rule == nil {
			a.choice.Tags = []string{"*"}
		}
	}
	if in.Reference != nil {
		to, err := upstreamOf(*in.Reference)
		if err != nil {
			return err
		}
		// A stored password is not for another registry.
		if !fresh && mirror.HostOf(to) != mirror.HostOf(a.Upstream) && len(in.Password) == 0 {
			a.secret.Username, a.secret.Password = "", ""
		}
		a.Upstream = to
	}
	if err := in.change(&a.choice, &a.secret, a.OrgMirror != 0); err != nil {
		return err
	}
	return s.answerVerify(c, func(ctx context.Context, m *mirror.Service) (string, error) {
		return "The repository can be mirrored.", m.Verify(ctx, a.Upstream, a.choice, a.secret)
	})
}

func (s *server) answerVerify(c *call, ask func(context.Context, *mirror.Service) (string, error)) error {
	if s.Mirrors.Service == nil {
		return gantry.Errorf(gantry.Unavailable, "mirror", "this instance asks no other registries")
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), verifyWithin)
	defer cancel()
	message, err := ask(ctx, s.Mirrors.Service)
	if err != nil {
		message = mirror.Explain(err)
		if message == "internal error" {
			return err
		}
	}
	return c.json(200, map[string]any{"success": err == nil, "message": message})
}
