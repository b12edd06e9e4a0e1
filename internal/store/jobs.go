package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Priority orders jobs that are due. There are three.
type Priority int

// The priorities; the zero value is the usual one.
const (
	Urgent Priority = -1
	Usual  Priority = 0
	Idle   Priority = 1
)

// A JobState says where a job is.
type JobState string

// The states of a job. A ready job may be due later.
const (
	JobReady     JobState = "ready"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Limits of a job.
const (
	MaxJobPayload    = 256 << 10 // bytes of its JSON
	MaxJobCheckpoint = 1 << 20
	defaultAttempts  = 5
	maxJobError      = 4096
)

// A NewJob is a job to be queued. Kind is required.
type NewJob struct {
	Kind string
	// Dedupe makes a second job of this kind and this key, queued before the
	// first one ended, no job of its own; "" = never. See Enqueue.
	Dedupe string
	// Rerun: if an equal job runs when this one is queued, it runs once more
	// after its end, for it may have read what was there before.
	Rerun       bool
	Priority    Priority
	After       time.Time // not before this time; zero = now
	MaxAttempts int       // 0 = 5
	Payload     any       // becomes JSON; nil = {}
	// Delivery is put into the line of a notification in the same transaction,
	// also where an equal job is queued already; nil = none.
	Delivery *NewDelivery
}

// A Job is a row of the queue.
type Job struct {
	ID          int64
	Kind        string
	Dedupe      string // "" also once the job ended
	State       JobState
	Priority    Priority
	After       time.Time
	Holder      string // who runs it, or ran it last
	Fence       int64  // grows with every claim; writes of an older one are refused
	LeaseUntil  time.Time
	Attempt     int // number of claims that count; 1 in the first run
	MaxAttempts int
	Payload     json.RawMessage
	Checkpoint  json.RawMessage // what the handler saved last; nil = nothing
	Progress    Progress
	Error       string // of the last attempt that failed
	Created     time.Time
	Started     time.Time // of the last claim
	Ended       time.Time // zero until then
}

// Progress is how far a job is.
type Progress struct {
	Done, Total int64 // Total 0 = not known
	Unit        string
}

// errLostJob is what a worker gets that no longer holds its job.
var errLostJob = &gantry.Error{Code: gantry.Conflict, Object: "job", Detail: "the job is no longer held by this worker"}

var errNoJob = &gantry.Error{Code: gantry.NotFound, Object: "job", Detail: "there is no such job"}

const jobColumns = `id, kind, dedupe, state, priority, run_after_ms, holder, fence, lease_until_ms, attempt, max_attempts,
	payload, checkpoint, done, total, unit, error, created_ms, started_ms, ended_ms`

func scanJob(row interface{ Scan(...any) error }) (j Job, err error) {
	var dedupe sql.NullString
	var after, lease, created, started, ended int64
	var payload, checkpoint string
	err = row.Scan(&j.ID, &j.Kind, &dedupe, &j.State, &j.Priority, &after, &j.Holder, &j.Fence, &lease, &j.Attempt,
		&j.MaxAttempts, &payload, &checkpoint, &j.Progress.Done, &j.Progress.Total, &j.Progress.Unit, &j.Error, &created, &started, &ended)
	j.Dedupe, j.Payload = dedupe.String, json.RawMessage(payload)
	if checkpoint != "" {
		j.Checkpoint = json.RawMessage(checkpoint)
	}
	j.After, j.LeaseUntil, j.Created = gantry.FromMillis(after), gantry.FromMillis(lease), gantry.FromMillis(created)
	j.Started, j.Ended = gantry.FromMillis(started), gantry.FromMillis(ended)
	return j, err
}

// Enqueue queues jobs in one transaction and returns how many are new. A job
// whose Dedupe meets one that has not ended brings that one forward to its
// own time; the payload stays the first one's.
func (db *DB) Enqueue(ctx context.Context, jobs ...NewJob) (n int, err error) {
	err = db.update(ctx, "queue jobs", func(ctx context.Context, t *tx) error {
		n, err = t.enqueue(ctx, jobs)
		return err
	})
	return n, err
}

// enqueue is Enqueue within a transaction.
func (t *tx) enqueue(ctx context.Context, jobs []NewJob) (added int, err error) {
	for _, j := range jobs {
		payload := []byte("{}")
		if j.Payload != nil {
			if payload, err = json.Marshal(j.Payload); err != nil {
				return 0, fmt.Errorf("job %s: %w", j.Kind, err)
			}
		}
		switch {
		case j.Kind == "" || len(j.Kind) > 64 || len(j.Dedupe) > 255:
			return 0, gantry.Errorf(gantry.Invalid, "job", "a job has a kind of 1 to 64 bytes and a dedupe key of at most 255")
		case len(payload) > MaxJobPayload:
			return 0, gantry.Errorf(gantry.TooLarge, "job", "the payload of a %s job is larger than %d bytes", j.Kind, MaxJobPayload)
		case j.Priority < Urgent || j.Priority > Idle:
			return 0, gantry.Errorf(gantry.Invalid, "job", "a job has a priority of %d to %d", Urgent, Idle)
		}
		after := max(gantry.Millis(j.After), 0)
		if after == 0 {
			after = t.now.UnixMilli()
		}
		t.due = t.due || after <= t.now.UnixMilli()
		attempts := j.MaxAttempts
		if attempts <= 0 {
			attempts = defaultAttempts
		}
		if j.Delivery != nil {
			if err := t.addDelivery(ctx, j.Delivery); err != nil {
				return 0, err
			}
		}
		if j.Dedupe != "" {
			found, err := t.joinJob(ctx, j, after)
			if err != nil {
				return 0, err
			}
			if found {
				continue
			}
		}
		q := `INSERT INTO jobs (kind, dedupe, state, priority, run_after_ms, holder, fence, lease_until_ms, attempt, max_attempts,
			payload, checkpoint, done, total, unit, error, again, created_ms, started_ms, ended_ms)
			VALUES (?, ?, 'ready', ?, ?, '', 0, 0, 0, ?, ?, '', 0, 0, '', '', 0, ?, 0, 0)`
		var dedupe any
		if j.Dedupe != "" {
			dedupe = j.Dedupe
			// Not "ignore": whether MySQL had the row already cannot be told.
			q += t.d.upsert("kind, dedupe", "run_after_ms = CASE WHEN jobs.state = 'ready' AND jobs.run_after_ms > "+t.d.fresh("run_after_ms")+
				" THEN "+t.d.fresh("run_after_ms")+" ELSE jobs.run_after_ms END, again = CASE WHEN jobs.state = 'running' THEN "+
				fmt.Sprint(flag(j.Rerun))+" ELSE jobs.again END")
		}
		if _, err := t.exec(ctx, q, j.Kind, dedupe, int(j.Priority), after, attempts, string(payload), t.now.UnixMilli()); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

// joinJob finds an equal job that has not ended, and brings it forward.
func (t *tx) joinJob(ctx context.Context, j NewJob, after int64) (found bool, err error) {
	var id, runAfter int64
	var state JobState
	err = t.queryRow(ctx, `SELECT id, state, run_after_ms FROM jobs WHERE kind = ? AND dedupe = ?`+t.d.excl, j.Kind, j.Dedupe).
		Scan(&id, &state, &runAfter)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch {
	case state == JobReady && after < runAfter:
		_, err = t.exec(ctx, `UPDATE jobs SET run_after_ms = ? WHERE id = ?`, after, id)
	case state == JobRunning && j.Rerun:
		_, err = t.exec(ctx, `UPDATE jobs SET again = 1 WHERE id = ?`, id)
	}
	return true, err
}

// ClaimJobs takes due jobs for holder, at most most[kind] of each kind and n
// in all: urgent ones first, then those that have been due for longest. The
// caller renews them before lease has passed, or somebody else gets them.
func (db *DB) ClaimJobs(ctx context.Context, holder string, most map[string]int, n int, lease time.Duration) (jobs []Job, err error) {
	type candidate struct {
		id       int64
		priority Priority
		after    int64
	}
	var found []candidate
	var parts []string
	var args []any
	kinds := make([]string, 0, len(most))
	for k, m := range most {
		if m > 0 {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 || n <= 0 {
		return nil, nil
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		for p := Urgent; p <= Idle; p++ {
			parts = append(parts, fmt.Sprintf(`SELECT * FROM (SELECT id, priority, run_after_ms FROM jobs WHERE state = 'ready' AND kind = ?
				AND priority = %d AND run_after_ms <= ? ORDER BY run_after_ms, id LIMIT %d) x%d`, p, min(most[k], n), len(parts)))
			args = append(args, k, db.now().UnixMilli())
		}
	}
	err = db.read(ctx, "find jobs", func(ctx context.Context, t *tx) error {
		found = found[:0]
		return t.each(ctx, func(r *sql.Rows) error {
			var c candidate
			err := r.Scan(&c.id, &c.priority, &c.after)
			found = append(found, c)
			return err
		}, strings.Join(parts, " UNION ALL "), args...)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.after, b.after), cmp.Compare(a.id, b.id))
	})
	ids := make([]int64, 0, len(found))
	for _, c := range found {
		ids = append(ids, c.id)
	}
	err = db.update(ctx, "claim jobs", func(ctx context.Context, t *tx) error {
		jobs = nil
		in, args := list(ids, nil)
		var locked []Job
		err := t.each(ctx, func(r *sql.Rows) error {
			j, err := scanJob(r)
			locked = append(locked, j)
			return err
		}, `SELECT `+jobColumns+` FROM jobs WHERE id IN `+in+` AND state = 'ready' ORDER BY id`+t.d.excl, args...)
		if err != nil {
			return err
		}
		slices.SortFunc(locked, func(a, b Job) int { return cmp.Compare(slices.Index(ids, a.ID), slices.Index(ids, b.ID)) })
		got := map[string]int{}
		var take []int64
		for _, j := range locked {
			// A retry may have moved it into the future meanwhile.
			if len(jobs) == n || got[j.Kind] == most[j.Kind] || j.After.UnixMilli() > t.now.UnixMilli() {
				continue
			}
			got[j.Kind]++
			j.State, j.Holder, j.Fence, j.Attempt = JobRunning, holder, j.Fence+1, j.Attempt+1
			j.Started, j.LeaseUntil = t.now.UTC(), t.now.Add(lease).UTC()
			jobs, take = append(jobs, j), append(take, j.ID)
		}
		if len(take) == 0 {
			return nil
		}
		in, args = list(take, []any{holder, t.now.Add(lease).UnixMilli(), t.now.UnixMilli()})
		_, err = t.exec(ctx, `UPDATE jobs SET state = 'running', holder = ?, fence = fence + 1, attempt = attempt + 1, again = 0,
			lease_until_ms = ?, started_ms = ? WHERE id IN `+in, args...)
		return err
	})
	return jobs, err
}

// held is the condition, with its arguments, under which a claim still holds.
const held = ` WHERE id = ? AND fence = ? AND holder = ? AND state = 'running'`

// SaveJob renews the lease of a claimed job and writes its progress, and its
// checkpoint unless that is nil. It is gantry.Conflict on "job" when the job
// was lost to another worker or cancelled.
func (db *DB) SaveJob(ctx context.Context, j Job, lease time.Duration, p Progress, checkpoint json.RawMessage) error {
	if len(checkpoint) > MaxJobCheckpoint {
		return gantry.Errorf(gantry.TooLarge, "job", "the checkpoint of a %s job is larger than %d bytes", j.Kind, MaxJobCheckpoint)
	}
	return db.update(ctx, "save job", func(ctx context.Context, t *tx) error {
		set, args := `lease_until_ms = ?, done = ?, total = ?, unit = ?`, []any{t.now.Add(lease).UnixMilli(), p.Done, p.Total, cut(p.Unit, 32)}
		if checkpoint != nil {
			set, args = set+`, checkpoint = ?`, append(args, string(checkpoint))
		}
		return t.endJob(ctx, set, append(args, j.ID, j.Fence, j.Holder))
	})
}

// endJob changes a claimed job, if the claim still holds.
func (t *tx) endJob(ctx context.Context, set string, args []any) error {
	n, err := t.exec(ctx, `UPDATE jobs SET `+set+held, args...)
	if err == nil && n == 0 {
		return errLostJob
	}
	return err
}

// FinishJob ends a claimed job well. If an equal one was queued with Rerun
// meanwhile, it is ready again from the start. Lost: as SaveJob.
func (db *DB) FinishJob(ctx context.Context, j Job, p Progress) error {
	return db.update(ctx, "finish job", func(ctx context.Context, t *tx) error {
		var again int
		err := t.queryRow(ctx, `SELECT again FROM jobs`+held+t.d.excl, j.ID, j.Fence, j.Holder).Scan(&again)
		if err != nil {
			return notFound(err, errLostJob)
		}
		now := t.now.UnixMilli()
		if again == 1 {
			return t.endJob(ctx, `state = 'ready', again = 0, attempt = 0, checkpoint = '', done = 0, total = 0, error = '',
				run_after_ms = ?, lease_until_ms = 0`, []any{now, j.ID, j.Fence, j.Holder})
		}
		return t.endJob(ctx, `state = 'done', dedupe = NULL, done = ?, total = ?, unit = ?, error = '', lease_until_ms = 0, ended_ms = ?`,
			[]any{p.Done, p.Total, cut(p.Unit, 32), now, j.ID, j.Fence, j.Holder})
	})
}

// RetryJob gives a claimed job back after a failure, to be run again after
// the delay from its checkpoint, or ends it as failed when that was its last
// attempt. Lost: as SaveJob.
func (db *DB) RetryJob(ctx context.Context, j Job, delay time.Duration, reason string) error {
	if j.Attempt >= j.MaxAttempts {
		return db.FailJob(ctx, j, reason)
	}
	return db.update(ctx, "retry job", func(ctx context.Context, t *tx) error {
		return t.endJob(ctx, `state = 'ready', run_after_ms = ?, lease_until_ms = 0, error = ?`,
			[]any{t.now.Add(delay).UnixMilli(), cut(reason, maxJobError), j.ID, j.Fence, j.Holder})
	})
}

// ReleaseJob gives a claimed job back, to be continued after the delay; this
// claim does not count as an attempt. Lost: as SaveJob.
func (db *DB) ReleaseJob(ctx context.Context, j Job, delay time.Duration) error {
	return db.update(ctx, "release job", func(ctx context.Context, t *tx) error {
		return t.endJob(ctx, `state = 'ready', attempt = attempt - 1, run_after_ms = ?, lease_until_ms = 0`,
			[]any{t.now.Add(delay).UnixMilli(), j.ID, j.Fence, j.Holder})
	})
}

// FailJob ends a claimed job as failed. Lost: as SaveJob.
func (db *DB) FailJob(ctx context.Context, j Job, reason string) error {
	return db.update(ctx, "fail job", func(ctx context.Context, t *tx) error {
		return t.endJob(ctx, `state = 'failed', dedupe = NULL, lease_until_ms = 0, error = ?, ended_ms = ?`,
			[]any{cut(reason, maxJobError), t.now.UnixMilli(), j.ID, j.Fence, j.Holder})
	})
}

// CancelJob ends a job that has not ended; the audit log has who did it. A worker
// that runs it learns of it when it next renews its lease. No such job: NotFound
// on "job".
func (db *DB) CancelJob(ctx context.Context, id int64, actor gantry.Actor) error {
	return db.update(ctx, "cancel job", func(ctx context.Context, t *tx) error {
		j, err := scanJob(t.queryRow(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = ?`+t.d.excl, id))
		if err != nil {
			return notFound(err, errNoJob)
		}
		n, err := t.exec(ctx, `UPDATE jobs SET state = 'cancelled', dedupe = NULL, lease_until_ms = 0, ended_ms = ?
			WHERE id = ? AND state IN ('ready', 'running')`, t.now.UnixMilli(), id)
		if err == nil && n == 0 {
			err = errNoJob
		}
		if err != nil {
			return err
		}
		return t.event(ctx, jobEvent("job_cancel", j, actor))
	})
}

func jobEvent(kind string, j Job, actor gantry.Actor) Event {
	return Event{Kind: kind, Actor: actor, Payload: map[string]any{"job": j.ID, "kind": j.Kind}}
}

// RestartJob queues a job that failed or was cancelled again, with all of its
// attempts before it; it goes on from its checkpoint, and the audit log has who
// did it. It is gantry.Conflict on
// "job" when it ended well or has not ended, or when an equal one, of the same
// kind and payload, has not ended. No such job: NotFound on "job".
func (db *DB) RestartJob(ctx context.Context, id int64, actor gantry.Actor) error {
	return db.update(ctx, "restart job", func(ctx context.Context, t *tx) error {
		j, err := scanJob(t.queryRow(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = ?`+t.d.excl, id))
		if err != nil {
			return notFound(err, errNoJob)
		}
		if j.State != JobFailed && j.State != JobCancelled {
			return gantry.Errorf(gantry.Conflict, "job", "only a job that failed or was cancelled can be tried again; this one is %s", j.State)
		}
		var equal int64
		err = t.queryRow(ctx, `SELECT COUNT(*) FROM jobs WHERE state IN ('ready', 'running') AND kind = ? AND payload = ?`, j.Kind, string(j.Payload)).Scan(&equal)
		if err != nil {
			return err
		}
		if equal > 0 {
			return gantry.Errorf(gantry.Conflict, "job", "an equal job waits or runs already")
		}
		now := t.now.UnixMilli()
		t.due = true
		if _, err = t.exec(ctx, `UPDATE jobs SET state = 'ready', run_after_ms = ?, attempt = 0, again = 0, error = '', lease_until_ms = 0, ended_ms = 0 WHERE id = ?`, now, id); err != nil {
			return err
		}
		return t.event(ctx, jobEvent("job_retry", j, actor))
	})
}

// ExpireJobs makes up to n running jobs whose lease has passed ready again,
// or failed where that was the last attempt, and returns their number. The
// death of a worker counts as an attempt: a job that kills its worker ends.
func (db *DB) ExpireJobs(ctx context.Context, n int) (expired int, err error) {
	type lost struct {
		id   int64
		last bool
	}
	err = db.update(ctx, "expire jobs", func(ctx context.Context, t *tx) error {
		expired = 0
		var all []lost
		err := t.each(ctx, func(r *sql.Rows) error {
			var id, attempt, most int64
			err := r.Scan(&id, &attempt, &most)
			all = append(all, lost{id, attempt >= most})
			return err
		}, fmt.Sprintf(`SELECT id, attempt, max_attempts FROM jobs WHERE state = 'running' AND lease_until_ms < ?
			ORDER BY lease_until_ms LIMIT %d`, n), t.now.UnixMilli())
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b lost) int { return cmp.Compare(a.id, b.id) })
		for _, l := range all {
			set, args := `state = 'ready', run_after_ms = ?`, []any{t.now.UnixMilli()}
			if l.last {
				set, args = `state = 'failed', dedupe = NULL, ended_ms = ?`, []any{t.now.UnixMilli()}
			}
			m, err := t.exec(ctx, `UPDATE jobs SET `+set+`, lease_until_ms = 0, error = ? WHERE id = ? AND state = 'running' AND lease_until_ms < ?`,
				append(args, "the worker was lost", l.id, t.now.UnixMilli())...)
			if err != nil {
				return err
			}
			expired += int(m)
		}
		return nil
	})
	return expired, err
}

// A JobFilter chooses jobs for a list; zero fields choose all.
type JobFilter struct {
	Kind   string
	State  JobState
	Before int64 // only ids below this one: the last one of the page before
	Limit  int   // 0 = 100; at most 1000
}

// Jobs lists jobs, the newest first.
func (db *DB) Jobs(ctx context.Context, f JobFilter) (jobs []Job, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	where, args := "1 = 1", []any{}
	add := func(cond string, v any) { where, args = where+" AND "+cond, append(args, v) }
	if f.Kind != "" {
		add("kind = ?", f.Kind)
	}
	if f.State != "" {
		add("state = ?", string(f.State))
	}
	if f.Before > 0 {
		add("id < ?", f.Before)
	}
	err = db.read(ctx, "list jobs", func(ctx context.Context, t *tx) error {
		jobs = nil
		return t.each(ctx, func(r *sql.Rows) error {
			j, err := scanJob(r)
			jobs = append(jobs, j)
			return err
		}, fmt.Sprintf(`SELECT `+jobColumns+` FROM jobs WHERE `+where+` ORDER BY id DESC LIMIT %d`, min(f.Limit, 1000)), args...)
	})
	return jobs, err
}

// Job reads one job; NotFound on "job" if there is none.
func (db *DB) Job(ctx context.Context, id int64) (j Job, err error) {
	err = db.read(ctx, "read job", func(ctx context.Context, t *tx) error {
		j, err = scanJob(t.queryRow(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = ?`, id))
		return notFound(err, errNoJob)
	})
	return j, err
}

// A JobBacklog is how many jobs of a kind there are to do.
type JobBacklog struct {
	Kind    string
	Running int64
	Due     int64 // ready, and their time has come
}

// JobBacklog counts the jobs that run and that are due, by kind.
func (db *DB) JobBacklog(ctx context.Context) (list []JobBacklog, err error) {
	err = db.read(ctx, "count jobs", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var b JobBacklog
			err := r.Scan(&b.Kind, &b.Running, &b.Due)
			list = append(list, b)
			return err
		}, `SELECT kind, SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END), SUM(CASE WHEN state = 'ready' THEN 1 ELSE 0 END)
			FROM jobs WHERE state = 'running' OR state = 'ready' AND run_after_ms <= ? GROUP BY kind`, t.now.UnixMilli())
	})
	return list, err
}

// TrimJobs deletes up to n jobs that ended before a time and returns their
// number. With kinds it is only jobs of these that ended well.
func (db *DB) TrimJobs(ctx context.Context, before time.Time, n int, kinds ...string) (deleted int64, err error) {
	where, of := "", []any{before.UnixMilli()}
	if len(kinds) > 0 {
		where = ` AND state = 'done' AND kind IN (?` + strings.Repeat(", ?", len(kinds)-1) + `)`
		for _, k := range kinds {
			of = append(of, k)
		}
	}
	err = db.update(ctx, "trim jobs", func(ctx context.Context, t *tx) error {
		deleted = 0
		ids, err := t.ids(ctx, fmt.Sprintf(`SELECT id FROM jobs WHERE ended_ms > 0 AND ended_ms < ?`+where+` ORDER BY ended_ms, id LIMIT %d`, n), of...)
		if err != nil || len(ids) == 0 {
			return err
		}
		in, args := list(ids, nil)
		deleted, err = t.exec(ctx, `DELETE FROM jobs WHERE id IN `+in, args...)
		return err
	})
	return deleted, err
}

// ids runs a SELECT of one number a row.
func (t *tx) ids(ctx context.Context, q string, args ...any) (ids []int64, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, q, args...)
	return ids, err
}

// ScheduleJob queues a job if its schedule is due, and says when it is due
// next: after every, measured from now, plus later, the caller's jitter. Of
// several instances one queues it. A schedule that is new is due at first;
// one that lies further ahead than every + later, because it was made more
// frequent, moves there.
func (db *DB) ScheduleJob(ctx context.Context, name string, first time.Time, every, later time.Duration, j NewJob) (queued bool, err error) {
	err = db.update(ctx, "schedule job", func(ctx context.Context, t *tx) error {
		queued = false
		now := t.now.UnixMilli()
		var next int64
		err := t.queryRow(ctx, `SELECT next_ms FROM schedules WHERE name = ?`+t.d.excl, name).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			next = gantry.Millis(first)
			if _, err := t.exec(ctx, `INSERT INTO schedules (name, next_ms) VALUES (?, ?)`+t.d.ignore("name"), name, next); err != nil {
				return err
			}
			// Another instance may have made it, with another first time.
			err = t.queryRow(ctx, `SELECT next_ms FROM schedules WHERE name = ?`+t.d.excl, name).Scan(&next)
		}
		if err != nil {
			return err
		}
		ahead := now + (every + later).Milliseconds()
		if next > now && next <= ahead {
			return nil
		}
		if _, err := t.exec(ctx, `UPDATE schedules SET next_ms = ? WHERE name = ?`, ahead, name); err != nil {
			return err
		}
		if next > ahead {
			return nil
		}
		queued = true
		_, err = t.enqueue(ctx, []NewJob{j})
		return err
	})
	return queued, err
}

// Schedules returns when each schedule is due next.
func (db *DB) Schedules(ctx context.Context) (next map[string]time.Time, err error) {
	err = db.read(ctx, "read schedules", func(ctx context.Context, t *tx) error {
		next = map[string]time.Time{}
		return t.each(ctx, func(r *sql.Rows) error {
			var name string
			var ms int64
			err := r.Scan(&name, &ms)
			next[name] = gantry.FromMillis(ms)
			return err
		}, `SELECT name, next_ms FROM schedules`)
	})
	return next, err
}
