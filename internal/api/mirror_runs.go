package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

func (s *server) planMirror(c *call) error {
	if _, err := s.mirrored(c); err != nil {
		return err
	}
	id, err := s.Store.PlanMirror(c.r.Context(), c.rights.Repository)
	if err != nil {
		return err
	}
	return c.json(202, map[string]any{"run": id})
}

// runView shows a run; of one that goes on, how fast it is and how long it may
// still take.
func runView(r store.MirrorRun, now time.Time) map[string]any {
	end := now
	if !r.Ended.IsZero() {
		end = r.Ended
	}
	took := max(end.Sub(r.Started), 0)
	v := map[string]any{"id": r.UUID, "kind": r.Kind, "status": string(r.State), "started": isoOrNull(r.Started), "ended": isoOrNull(r.Ended),
		"message": orNull(r.Message), "reason": orNull(r.Reason),
		"tags": map[string]any{"total": r.Total, "done": r.Done, "copied": r.Copied, "unchanged": r.Unchanged, "removed": r.Removed,
			"skipped": r.Skipped, "failed": r.Failed},
		"blobs": map[string]any{"fetched": r.Fetched, "linked": r.Linked}, "bytes": r.Bytes, "bytes_per_second": 0, "eta_seconds": nil}
	if took > 0 {
		v["bytes_per_second"] = int64(float64(r.Bytes) / took.Seconds())
	}
	if r.State == store.RunRunning && r.Done > 0 && r.Total >= r.Done {
		v["eta_seconds"] = int64(took.Seconds() / float64(r.Done) * float64(r.Total-r.Done))
	}
	return v
}

func (s *server) listMirrorRuns(c *call) error {
	if _, err := s.mirrored(c); err != nil {
		return err
	}
	r := c.rights.Repository
	filter := "runs " + strconv.FormatInt(int64(r.ID), 10)
	before, count, err := s.position(c, filter)
	if err != nil {
		return err
	}
	count = min(count, runPage)
	list, err := s.Store.MirrorRuns(c.r.Context(), r.ID, before, count+1)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if len(list) > count {
		list = list[:count]
		out["next_page"] = s.next(c, filter, list[count-1].ID)
	}
	views := []any{}
	for _, run := range list {
		views = append(views, runView(run, s.Store.Now()))
	}
	out["runs"] = views
	return c.json(200, out)
}

func (s *server) getMirrorRun(c *call) error {
	if _, err := s.mirrored(c); err != nil {
		return err
	}
	run, err := s.Store.MirrorRun(c.r.Context(), c.rights.Repository.ID, c.params["uuid"])
	if err != nil {
		return err
	}
	return c.json(200, runView(run, s.Store.Now()))
}

// listMirrorOutcomes takes outcome, and last: the tag after which the page
// begins, which next_page says.
func (s *server) listMirrorOutcomes(c *call) error {
	if _, err := s.mirrored(c); err != nil {
		return err
	}
	ctx, q := c.r.Context(), c.r.URL.Query()
	run, err := s.Store.MirrorRun(ctx, c.rights.Repository.ID, c.params["uuid"])
	if err != nil {
		return err
	}
	outcome := q.Get("outcome")
	if known := []string{"", store.TagCopied, store.TagRemoved, store.TagSkipped, store.TagFailed, store.TagKept, store.TagBack}; !slices.Contains(known, outcome) {
		return gantry.Errorf(gantry.Invalid, "outcome", "outcome must be one of %s", strings.Join(known[1:], ", "))
	}
	last := q.Get("next_page")
	if last != "" && gantry.CheckTag(last) != nil {
		return gantry.Errorf(gantry.Invalid, "next_page", "next_page is none that this registry gave")
	}
	list, err := s.Store.MirrorOutcomes(ctx, run.ID, outcome, last, outcomePage+1)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if len(list) > outcomePage {
		list = list[:outcomePage]
		out["next_page"] = list[outcomePage-1].Tag
	}
	views := []any{}
	for _, o := range list {
		views = append(views, map[string]any{"tag": o.Tag, "outcome": o.Outcome, "manifest_digest": orNull(string(o.Digest)), "bytes": o.Bytes, "message": orNull(o.Message)})
	}
	out["tags"] = views
	return c.json(200, out)
}

// workerSeen is how lately an instance has to have shown that it lives.
const workerSeen = time.Minute

func (s *server) mirrorHealth(c *call) error {
	if !s.RepoMirror && !s.Mirrors.Orgs {
		return errMirrorsOff("FEATURE_REPO_MIRROR")
	}
	orgs, err := s.Store.Administered(c.r.Context(), c.id.Account.ID)
	if err != nil {
		return err
	}
	return s.answerMirrorHealth(c, append(orgs, c.id.Account.ID))
}

func (s *server) allMirrorHealth(c *call) error {
	if !s.RepoMirror && !s.Mirrors.Orgs {
		return errMirrorsOff("FEATURE_REPO_MIRROR")
	}
	return s.answerMirrorHealth(c, nil)
}

// answerMirrorHealth says how the mirrors of namespaces are; nil = of all.
// detailed=true lists them, in pages.
func (s *server) answerMirrorHealth(c *call, ns []gantry.AccountID) error {
	ctx, q := c.r.Context(), c.r.URL.Query()
	after, limit, err := s.position(c, "mirrors")
	if err != nil {
		return err
	}
	n, err := s.Store.MirrorCounts(ctx, ns)
	if err != nil {
		return err
	}
	now := s.Store.Now()
	instances, err := s.Store.Instances(ctx, now.Add(-workerSeen))
	if err != nil {
		return err
	}
	workers := 0
	for _, i := range instances {
		if slices.Contains(strings.Split(i.Roles, ","), "mirror") {
			workers++
		}
	}
	total := int64(0)
	for _, k := range n.ByStatus {
		total += k
	}
	failed, syncing := n.ByStatus[store.MirrorFail], n.ByStatus[store.MirrorSyncing]
	issues, healthy, status := []any{}, true, "healthy"
	issue := func(severity, message string) {
		issues = append(issues, map[string]any{"severity": severity, "message": message, "timestamp": isoOrNull(now)})
		healthy = healthy && severity != "error"
	}
	if workers == 0 {
		status = "unavailable"
		if total > 0 {
			issue("error", "No instance runs mirrors: start one with the role mirror.")
		}
	}
	if failed > 0 {
		severity := "warning"
		if 5*failed >= total {
			severity = "error"
		}
		issue(severity, strconv.FormatInt(failed, 10)+" of "+strconv.FormatInt(total, 10)+" mirrors failed in their last run.")
	}
	repos := map[string]any{"total": total, "syncing": syncing, "completed": n.ByStatus[store.MirrorSuccess], "failed": failed,
		"never_run": n.ByStatus[store.MirrorNeverRun], "waiting": n.Waiting}
	if q.Get("detailed") == "true" {
		list, err := s.Store.MirrorStandings(ctx, ns, gantry.RepoID(after), limit+1)
		if err != nil {
			return err
		}
		page := map[string]any{"limit": limit, "has_more": len(list) > limit, "next_page": nil}
		if len(list) > limit {
			list = list[:limit]
			page["next_page"] = s.next(c, "mirrors", int64(list[limit-1].Repo))
		}
		details := []any{}
		for _, m := range list {
			details = append(details, map[string]any{"namespace": m.Name.Namespace, "repository": m.Name.Name, "sync_status": m.Status, "is_enabled": m.Enabled,
				"last_sync_date": isoOrNull(m.Last), "status_message": orNull(m.Message), "tags_pending": m.Pending})
		}
		repos["details"], repos["pagination"] = details, page
	}
	code := http.StatusOK
	if !healthy {
		code = http.StatusServiceUnavailable
	}
	return c.json(code, map[string]any{"healthy": healthy, "workers": map[string]any{"active": workers, "configured": workers, "status": status},
		"repositories": repos, "tags_pending": n.Pending, "last_check": isoOrNull(now), "issues": issues})
}
