package api

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/mirror"
	"github.com/gantry-registry/gantry/internal/store"
)

const (
	minOrgInterval    = 60 // seconds
	defaultOrgTimeout = 300
	maxOrgNamespace   = 255
	orgRepoPage       = 100
)

// anOrgMirror is an organization's mirror while it is changed.
type anOrgMirror struct {
	store.OrgMirror
	choice mirror.Choice
	secret mirror.Secret
}

func (s *server) openOrgMirror(m store.OrgMirror) (a anOrgMirror, err error) {
	a.OrgMirror = m
	if a.choice, err = mirror.ReadChoice(m.Options); err != nil {
		return a, err
	}
	a.secret, err = mirror.OpenSecret(s.Auth.Keys(), true, m.UUID, m.Secret)
	return a, err
}

// orgMirrored is the mirror that a route is about.
func (s *server) orgMirrored(c *call) (a anOrgMirror, err error) {
	if !s.Mirrors.Orgs {
		return a, errMirrorsOff("FEATURE_ORG_MIRROR")
	}
	m, err := s.Store.OrgMirror(c.r.Context(), c.rights.Repository.Namespace)
	if err != nil {
		return a, err
	}
	return s.openOrgMirror(m)
}

// applyOrgMirror puts what the body says into the mirror of an organization.
func (s *server) applyOrgMirror(c *call, in *mirrorBody, a *anOrgMirror) (err error) {
	if in.Type != nil {
		a.Kind = strings.ToLower(*in.Type)
		if a.Kind == "gantry" {
			a.Kind = mirror.KindQuay
		}
		if !slices.Contains(mirror.Kinds, a.Kind) {
			return invalidMirror("external_registry_type", "%.40q is not known; choose from %s", *in.Type, strings.Join(mirror.Kinds, ", "))
		}
	}
	if in.Namespace != nil {
		a.Upstream = strings.Trim(strings.TrimSpace(*in.Namespace), "/")
		if a.Upstream == "" || len(a.Upstream) > maxOrgNamespace || strings.ContainsAny(a.Upstream, " ?#\\:@") {
			return invalidMirror("external_namespace", "must be the name of a namespace of the other registry, of at most %d bytes", maxOrgNamespace)
		}
	}
	if in.Visibility != nil {
		if a.Visibility, err = visibility(*in.Visibility); err != nil {
			return err
		}
	}
	if in.Robot != nil {
		if a.Robot, err = s.robotFor(c.r.Context(), c.rights.Repository.Namespace, c.params["org"], *in.Robot); err != nil {
			return err
		}
	}
	if in.Enabled != nil {
		a.Enabled = *in.Enabled
	}
	if err := in.times(minOrgInterval, &a.Interval, &a.Start); err != nil {
		return err
	}
	if err := in.change(&a.choice, &a.secret, true); err != nil {
		return err
	}
	if in.URL != nil || in.Config != nil {
		was := a.URL
		if in.URL != nil {
			a.URL = strings.TrimSuffix(strings.TrimSpace(*in.URL), "/")
		}
		u, err := mirror.CheckURL(a.URL, a.choice.Insecure)
		if err != nil {
			return err
		}
		if a.URL = u.String(); was != "" && was != a.URL && a.secret.Password != "" && len(in.Password) == 0 {
			return errPasswordAgain
		}
	}
	a.choice.Link = true // an administrator of the organization may act as any of its robots
	return nil
}

func (s *server) sealOrgMirror(a *anOrgMirror) (err error) {
	if a.Options, err = json.Marshal(a.choice); err != nil {
		return err
	}
	a.OrgMirror.Secret, err = mirror.Seal(s.Auth.Keys(), true, a.UUID, a.secret)
	return err
}

func (s *server) getOrgMirror(c *call) error {
	a, err := s.orgMirrored(c)
	if err != nil {
		return err
	}
	tags := a.choice.Tags
	if len(tags) == 0 {
		tags = []string{"*"}
	}
	return c.json(200, map[string]any{"is_enabled": a.Enabled, "external_registry_type": a.Kind, "external_registry_url": a.URL, "external_namespace": a.Upstream,
		"external_registry_username": orNull(a.secret.Username), "external_registry_config": configView(c, &a.choice, &a.secret),
		"repository_filters": orEmpty(a.choice.Repositories), "root_rule": ruleView(tags), "architecture_filter": orEmpty(a.choice.Architectures),
		"robot_username": orNull(a.RobotName), "visibility": string(a.Visibility), "sync_interval": int64(a.Interval / time.Second), "sync_start_date": isoOrNull(a.Start),
		"sync_expiration_date": isoOrNull(a.Expires), "sync_status": a.Status, "sync_retries_remaining": a.Retries, "next_sync_date": isoOrNull(a.Due),
		"last_sync_date": isoOrNull(a.Last), "status_message": orNull(a.Message), "skopeo_timeout": cmp.Or(a.choice.Timeout, defaultOrgTimeout),
		"delete_stale_repos": a.choice.Prune, "creation_date": isoOrNull(a.Created)})
}

func (s *server) createOrgMirror(c *call) error {
	if !s.Mirrors.Orgs {
		return errMirrorsOff("FEATURE_ORG_MIRROR")
	}
	var in mirrorBody
	if err := c.body(&in, false); err != nil {
		return err
	}
	if err := required("external_registry_type", in.Type, "external_registry_url", in.URL, "external_namespace", in.Namespace, "robot_username", in.Robot,
		"visibility", in.Visibility, "sync_interval", in.Interval, "sync_start_date", in.Start); err != nil {
		return err
	}
	a := anOrgMirror{OrgMirror: store.OrgMirror{UUID: uuid.NewString(), Org: c.rights.Repository.Namespace, OrgName: c.params["org"], Enabled: true},
		choice: mirror.Choice{Timeout: defaultOrgTimeout, Insecure: s.Mirrors.Insecure}}
	if err := s.applyOrgMirror(c, &in, &a); err != nil {
		return err
	}
	if err := s.sealOrgMirror(&a); err != nil {
		return err
	}
	err := s.Store.CreateOrgMirror(c.r.Context(), a.OrgMirror, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return s.conflict(c, err)
	}
	if err != nil {
		return err
	}
	return c.json(201, "")
}

func (s *server) putOrgMirror(c *call) error {
	if _, err := s.orgMirrored(c); err != nil {
		return err
	}
	var in mirrorBody
	if err := c.body(&in, false); err != nil {
		return err
	}
	err := s.Store.ChangeOrgMirror(c.r.Context(), c.rights.Repository.Namespace, c.id.Actor, func(m *store.OrgMirror) error {
		a, err := s.openOrgMirror(*m)
		if err != nil {
			return err
		}
		if err := s.applyOrgMirror(c, &in, &a); err != nil {
			return err
		}
		if err := s.sealOrgMirror(&a); err != nil {
			return err
		}
		*m = a.OrgMirror
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(200, "")
}

func (s *server) deleteOrgMirror(c *call) error {
	return s.orgMirrorCommand(c, s.Store.DeleteOrgMirror)
}

func (s *server) syncOrgMirror(c *call) error { return s.orgMirrorCommand(c, s.Store.SyncOrgMirror) }

func (s *server) cancelOrgMirror(c *call) error {
	return s.orgMirrorCommand(c, s.Store.CancelOrgMirror)
}

func (s *server) orgMirrorCommand(c *call, do func(context.Context, gantry.AccountID, gantry.Actor) error) error {
	_, err := s.orgMirrored(c)
	if err == nil {
		err = do(c.r.Context(), c.rights.Repository.Namespace, c.id.Actor)
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// verifyOrgMirror lists one repository of the other registry, with what the
// body says, or else with what is stored.
func (s *server) verifyOrgMirror(c *call) error {
	a, err := s.orgMirrored(c)
	fresh := gantry.Is(err, gantry.NotFound) && s.Mirrors.Orgs
	if err != nil && !fresh {
		return err
	}
	var in mirrorBody
	if err := c.body(&in, true); err != nil {
		return err
	}
	in.Robot = nil // it is not asked about
	if fresh {
		if err := required("external_registry_type", in.Type, "external_registry_url", in.URL, "external_namespace", in.Namespace); err != nil {
			return err
		}
		a.choice.Insecure = s.Mirrors.Insecure
	}
	if err := s.applyOrgMirror(c, &in, &a); err != nil {
		return err
	}
	return s.answerVerify(c, func(ctx context.Context, m *mirror.Service) (string, error) {
		found, err := m.Discover(ctx, a.OrgMirror, a.choice, a.secret, 1)
		if err == nil && len(found) == 0 {
			return "The registry answers; it has no repositories in " + a.Upstream + ", or none that these credentials see.", nil
		}
		return "The repositories of " + a.Upstream + " can be listed.", err
	})
}

// listOrgMirrorRepos takes page (from 1), limit and status.
func (s *server) listOrgMirrorRepos(c *call) error {
	a, err := s.orgMirrored(c)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	number := func(name string, def, most int) (int, error) {
		if q.Get(name) == "" {
			return def, nil
		}
		n, err := strconv.Atoi(q.Get(name))
		if err != nil || n < 1 || n > most {
			return 0, gantry.Errorf(gantry.Invalid, name, "%s must be a number from 1 to %d", name, most)
		}
		return n, nil
	}
	page, err := number("page", 1, 1_000_000)
	if err != nil {
		return err
	}
	limit, err := number("limit", orgRepoPage, 500)
	if err != nil {
		return err
	}
	status := store.MirrorStatus(strings.ToUpper(q.Get("status")))
	if known := []store.MirrorStatus{"", store.MirrorNeverRun, store.MirrorSuccess, store.MirrorFail, store.MirrorSyncing, store.MirrorSyncNow, store.MirrorCancel, store.MirrorSkip}; !slices.Contains(known, status) {
		return gantry.Errorf(gantry.Invalid, "status", "status must be one of NEVER_RUN, SUCCESS, FAIL, SYNCING, SYNC_NOW, CANCEL, SKIP")
	}
	list, total, err := s.Store.OrgMirrorRepos(c.r.Context(), a.ID, status, (page-1)*limit, limit)
	if err != nil {
		return err
	}
	views := []any{}
	for _, o := range list {
		local := any(nil)
		if o.Local.Name != "" {
			local = o.Local.String()
		}
		views = append(views, map[string]any{"name": o.Name, "sync_status": o.Status, "discovery_date": isoOrNull(o.Found), "last_sync_date": isoOrNull(o.Last),
			"status_message": orNull(o.Message), "quay_repository": local})
	}
	return c.json(200, map[string]any{"repositories": views, "page": page, "limit": limit, "total": total, "has_next": page*limit < total})
}
