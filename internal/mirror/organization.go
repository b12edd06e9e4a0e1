package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/remote"
	"github.com/gantry-registry/gantry/internal/store"
)

// ChooseRepositories returns those of found that one of the globs chooses; no
// globs choose all. In a glob * stands also for slashes.
func ChooseRepositories(found []Found, globs []string) []Found {
	if len(globs) == 0 {
		return found
	}
	var out []Found
	for _, f := range found {
		if slices.ContainsFunc(globs, func(g string) bool { return glob(g, f.Name) }) {
			out = append(out, f)
		}
	}
	return out
}

// organization is the job that finds out what an organization's mirror has to
// mirror. The repositories run by themselves.
func (s *Service) organization(ctx context.Context, r *jobs.Run) error {
	var j store.MirrorJob
	if err := r.Payload(&j); err != nil {
		return err
	}
	set := s.o.Settings()
	if !set.OrgsOn {
		return nil
	}
	m, err := s.o.Store.BeginDiscovery(ctx, j.Org)
	if over(err) {
		return nil
	}
	if err != nil {
		return err
	}
	changed := func(ctx context.Context) {
		s.told(ctx, bus.Tell(ctx, s.o.Bus, &bus.Beat{Changed: true}, bus.LiveOrgMirror(m.Org)))
	}
	changed(ctx)
	defer changed(context.WithoutCancel(ctx))
	began := time.Now()
	limit, cancel := context.WithTimeout(ctx, cmp.Or(max(set.MaxDiscovery, 0), 30*time.Minute))
	defer cancel()
	d, err := s.discover(limit, r, m, set)
	if over(err) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := s.o.Store.Now()
	end := store.RunEnd{State: store.RunSuccess, Message: d.message, Next: nextTurn(m.Start, now, m.Interval)}
	if err != nil {
		end.State, end.Reason, end.Message = store.RunFailed, reasonOf(err), Explain(err)
		if end.Message == "internal error" {
			s.o.Logger.ErrorContext(ctx, "discovery of an organization's mirror", "organization", m.OrgName, "error", err)
		}
		wait := s.o.Retry << max(store.MirrorRetries-m.Retries, 0)
		if e, ok := errors.AsType[*remote.Error](err); ok {
			wait = max(wait, e.Retry)
		}
		end.Retry = now.Add(wait)
	}
	s.o.Metrics.MirrorDiscovered(err == nil, d.made, time.Since(began))
	if err := s.o.Store.EndDiscovery(ctx, m, end, j.Deep); err != nil && !over(err) {
		return err
	}
	s.o.Logger.InfoContext(ctx, "an organization's mirror was looked at", "organization", m.OrgName, "from", m.URL, "state", string(end.State), "message", end.Message)
	return nil
}

// discovered is what a discovery did.
type discovered struct {
	made    int
	message string
}

func (s *Service) discover(ctx context.Context, r *jobs.Run, m store.OrgMirror, set Settings) (d discovered, err error) {
	choice, err := ReadChoice(m.Options)
	if err != nil {
		return d, err
	}
	secret, err := OpenSecret(s.o.Keys, true, m.UUID, m.Secret)
	if err != nil {
		return d, err
	}
	if m.RobotName == "" || !m.RobotLive {
		return d, gantry.Errorf(gantry.Denied, "robot", "the mirror's robot is gone or disabled; give the mirror another one")
	}
	found, err := s.Discover(ctx, m, choice, secret, 0)
	if err != nil {
		return d, err
	}
	all := len(found)
	found = ChooseRepositories(found, choice.Repositories)
	names := make(map[string]bool, len(found))
	skipped := 0
	for i, f := range found {
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		names[f.Name] = true
		made, ok, err := s.adopt(ctx, m, set, f)
		if err != nil {
			return d, err
		}
		if made {
			d.made++
		}
		if !ok {
			skipped++
		}
		r.Report(store.Progress{Done: int64(i + 1), Total: int64(len(found)), Unit: "repositories"})
		s.told(ctx, bus.Tell(ctx, s.o.Bus, &bus.Beat{Name: &gantry.RepoName{Namespace: m.OrgName, Name: f.Name}, Done: int64(i + 1), Total: int64(len(found)), Unit: "repositories", Left: -1}, bus.LiveOrgMirror(m.Org)))
	}
	gone, pruned, err := s.gone(ctx, m, choice, names)
	if err != nil {
		return d, err
	}
	d.message = fmt.Sprintf("%d repositories upstream, %d chosen, %d new", all, len(found), d.made)
	for _, p := range []struct {
		n    int
		what string
	}{{skipped, "cannot be mirrored"}, {gone, "gone"}, {pruned, "deleted here"}} {
		if p.n > 0 {
			d.message += fmt.Sprintf(", %d %s", p.n, p.what)
		}
	}
	if all == 0 {
		d.message = fmt.Sprintf("there are no repositories in %s, or none that these credentials see; nothing was deleted", m.Upstream)
	}
	return d, nil
}

// adopt makes the repository that mirrors f, where it is not there. ok is
// false where there can be none.
func (s *Service) adopt(ctx context.Context, m store.OrgMirror, set Settings, f Found) (made, ok bool, err error) {
	db, name := s.o.Store, gantry.RepoName{Namespace: m.OrgName, Name: f.Name}
	if err := (gantry.NameRules{Nested: set.Nested}).CheckRepoName(f.Name); err != nil {
		return false, false, db.Discovered(ctx, m, f.Name, 0, "", Explain(err), false)
	}
	repo, err := db.Repository(ctx, name)
	id := repo.ID
	if gantry.Is(err, gantry.NotFound) {
		id, err = db.CreateRepository(ctx, store.NewRepository{Name: name, Visibility: m.Visibility, State: gantry.OrgMirror, Creator: m.Robot, CreatorRole: gantry.Write}, gantry.Actor{
			Account: m.Robot, Name: m.RobotName, Kind: gantry.ActorRobot})
		made = err == nil
	}
	if err == nil {
		err = db.Discovered(ctx, m, f.Name, id, f.Upstream, "", made)
	}
	e, told := errors.AsType[*gantry.Error](err)
	switch {
	case err == nil:
		return made, true, nil
	case told && e.Code == gantry.Conflict && e.Object == "repository":
		return false, false, db.Discovered(ctx, m, f.Name, 0, "", "there is a repository of that name that is none of this mirror; rename or delete it", false)
	}
	return made, false, err
}

// gone notes the repositories that are not among names any more, and deletes
// those here where that is asked for; but never all at once: a registry that
// shows nothing may have lost its mind, or its credentials their rights.
func (s *Service) gone(ctx context.Context, m store.OrgMirror, choice Choice, names map[string]bool) (gone, pruned int, err error) {
	var all []store.OrgMirrorRepo
	for {
		page, _, err := s.o.Store.OrgMirrorRepos(ctx, m.ID, "", len(all), 500)
		if err != nil {
			return 0, 0, err
		}
		if all = append(all, page...); len(page) < 500 {
			break
		}
	}
	var ids []int64
	for _, o := range all {
		if !names[o.Name] && o.Gone.IsZero() {
			ids = append(ids, o.ID)
		}
	}
	for chunk := range slices.Chunk(ids, 100) {
		if err := s.o.Store.MirrorGone(ctx, m, chunk); err != nil {
			return 0, 0, err
		}
	}
	if !choice.Prune || len(names) == 0 {
		return len(ids), 0, nil
	}
	for _, o := range all {
		if names[o.Name] || o.Repo == 0 || o.Local.Name == "" {
			continue
		}
		repo, err := s.o.Store.RepositoryByID(ctx, o.Repo)
		if err == nil && repo.State == gantry.OrgMirror {
			err = s.o.Store.DeleteRepository(ctx, repo, gantry.Actor{Account: m.Robot, Name: m.RobotName, Kind: gantry.ActorRobot})
			pruned++
		}
		if err != nil && !gantry.Is(err, gantry.NotFound) {
			return len(ids), pruned, err
		}
	}
	return len(ids), pruned, nil
}
