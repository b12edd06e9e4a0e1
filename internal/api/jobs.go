package api

import (
	"slices"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// Jobs are Gantry's own: what is done in the background, by any instance.
var jobRoutes = []route{
	{method: "GET", path: "superuser/jobs", access: superuser, fresh: true, handle: (*server).listJobs},
	{method: "GET", path: "superuser/jobs/{job}", access: superuser, fresh: true, handle: (*server).getJob},
	{method: "POST", path: "superuser/jobs/{job}/cancel", access: superuser, fresh: true, handle: (*server).cancelJob},
	{method: "POST", path: "superuser/jobs/{job}/retry", access: superuser, fresh: true, handle: (*server).retryJob},
}

// jobView shows neither payload nor checkpoint, which may hold what is nobody's
// to read.
func jobView(j store.Job) map[string]any {
	at := func(t time.Time) any {
		if t.IsZero() || t.UnixMilli() <= 0 {
			return nil
		}
		return t.UTC().Format(time.RFC3339)
	}
	v := map[string]any{"id": j.ID, "kind": j.Kind, "key": orNull(j.Dedupe), "state": string(j.State), "attempt": j.Attempt, "max_attempts": j.MaxAttempts,
		"done": j.Progress.Done, "total": j.Progress.Total, "unit": j.Progress.Unit, "error": orNull(j.Error), "holder": orNull(j.Holder),
		"created": at(j.Created), "due": nil, "started": at(j.Started), "ended": at(j.Ended)}
	if j.State == store.JobReady {
		v["due"] = at(j.After)
	}
	return v
}

// listJobs lists jobs, the newest first.
func (s *server) listJobs(c *call) error {
	q := c.r.URL.Query()
	f := store.JobFilter{Kind: q.Get("kind"), State: store.JobState(q.Get("state"))}
	if states := []store.JobState{"", store.JobReady, store.JobRunning, store.JobDone, store.JobFailed, store.JobCancelled}; !slices.Contains(states, f.State) {
		return gantry.Errorf(gantry.Invalid, "query", "state must be one of ready, running, done, failed and cancelled")
	}
	if len(f.Kind) > 64 {
		return gantry.Errorf(gantry.Invalid, "query", "kind is longer than 64 bytes")
	}
	filter := f.Kind + " " + string(f.State)
	before, n, err := s.position(c, filter)
	if err != nil {
		return err
	}
	f.Before, f.Limit = before, n+1
	list, err := s.Store.Jobs(c.r.Context(), f)
	if err != nil {
		return err
	}
	out := map[string]any{}
	if len(list) > n {
		list = list[:n]
		out["next_page"] = s.next(c, filter, list[n-1].ID)
	}
	views := []any{}
	for _, j := range list {
		views = append(views, jobView(j))
	}
	out["jobs"] = views
	return c.json(200, out)
}

// job is the one that a route is about.
func (s *server) job(c *call) (store.Job, error) {
	id, err := strconv.ParseInt(c.params["job"], 10, 64)
	if err != nil {
		return store.Job{}, gantry.Errorf(gantry.NotFound, "job", "there is no such job")
	}
	return s.Store.Job(c.r.Context(), id)
}

func (s *server) getJob(c *call) error {
	j, err := s.job(c)
	if err != nil {
		return err
	}
	return c.json(200, jobView(j))
}

// cancelJob ends a job that has not ended. Its worker stops when it next renews
// its lease.
func (s *server) cancelJob(c *call) error {
	j, err := s.job(c)
	if err != nil {
		return err
	}
	err = s.Store.CancelJob(c.r.Context(), j.ID, c.id.Actor)
	if gantry.Is(err, gantry.NotFound) {
		return s.conflict(c, gantry.Errorf(gantry.Conflict, "job", "the job has ended already: it is %s", j.State))
	}
	if err != nil {
		return err
	}
	return s.getJob(c)
}

// retryJob queues a job that failed or was cancelled again.
func (s *server) retryJob(c *call) error {
	j, err := s.job(c)
	if err != nil {
		return err
	}
	err = s.Store.RestartJob(c.r.Context(), j.ID, c.id.Actor)
	if gantry.Is(err, gantry.Conflict) {
		return s.conflict(c, err)
	}
	if err != nil {
		return err
	}
	return s.getJob(c)
}
