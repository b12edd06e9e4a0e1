package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A MirrorStatus is where a mirror is, as Quay's API names it.
type MirrorStatus string

// The states of a mirror.
const (
	MirrorNeverRun MirrorStatus = "NEVER_RUN"
	MirrorSuccess  MirrorStatus = "SUCCESS"
	MirrorFail     MirrorStatus = "FAIL"
	MirrorSyncing  MirrorStatus = "SYNCING"
	MirrorSyncNow  MirrorStatus = "SYNC_NOW" // asked for, and not begun yet
	MirrorCancel   MirrorStatus = "CANCEL"   // until somebody asks for a run
)

// The kinds of jobs that the store queues for mirrors. Their payload is a
// MirrorJob.
const (
	JobMirror   = "mirror.repository"
	JobDiscover = "mirror.organization"
)

// A MirrorJob is the payload of a job of mirrors.
type MirrorJob struct {
	Repo gantry.RepoID    `json:"repo,omitempty"` // of JobMirror
	Org  gantry.AccountID `json:"org,omitempty"`  // of JobDiscover
	Plan bool             `json:"plan,omitempty"` // say what would change, and change nothing
	Run  string           `json:"run,omitempty"`  // the uuid of the run; "" = one is made
	Deep bool             `json:"deep,omitempty"` // look also at what belongs to tags that did not move
}

const (
	// MirrorRetries is how often a run is tried again before the mirror waits
	// for its next turn.
	MirrorRetries = 3
	// MirrorMax bounds one run.
	MirrorMax = 12 * time.Hour
	// mirrorQueued is when a mirror whose job was queued is queued again if
	// nothing has come of that.
	mirrorQueued = 10 * time.Minute
	// mirrorAttempts is how often a run may lose its worker.
	mirrorAttempts = 50
	keepRuns       = 20 // of one mirror, without their tags
	keepOutcomes   = 5  // of one mirror, with their tags
)

// A Mirror keeps a repository equal to one of another registry.
type Mirror struct {
	ID        int64
	UUID      string // names the row of the secret
	Repo      gantry.RepoID
	Namespace gantry.AccountID
	Name      gantry.RepoName  // read only
	State     gantry.RepoState // of the repository; read only
	Live      bool             // the namespace is enabled; read only
	OrgMirror int64            // the organization's mirror that made it; 0 = none
	Org       *OrgMirror       // the same, with what holds for this one too; read only
	Robot     gantry.AccountID // in whose name tags are pushed
	RobotName string           // read only; "" = it is gone
	RobotLive bool             // read only
	Enabled   bool             // runs by itself
	Upstream  string           // host/path, without a tag
	Secret    string           // sealed by the caller
	Options   json.RawMessage  // the caller's; never a secret
	Interval  time.Duration    // between two runs
	Status    MirrorStatus     // read only, as what follows but for Start
	Start     time.Time        // of the next run by itself
	Due       time.Time        // of the next run; zero = none
	Expires   time.Time        // when a run that goes on counts as lost; zero = none goes on
	Retries   int              // that are left
	Deep      time.Time        // of the last run that looked at everything
	Last      time.Time        // end of the last run
	Message   string           // of the last run
	Created   time.Time
}

const mirrorColumns = `x.id, x.uuid, x.repo_id, x.ns_id, a.name, r.name, r.state, a.enabled, x.org_mirror_id, x.robot_id, COALESCE(b.name, ''),
	COALESCE(b.enabled, 0), x.enabled, x.upstream, x.secret, x.options, x.interval_s, x.status, x.start_ms, x.due_ms, x.expires_ms, x.retries,
	x.deep_ms, x.last_ms, x.message, x.created_ms`

const mirrorTables = ` FROM repo_mirrors x JOIN repositories r ON r.id = x.repo_id AND r.deleted_ms = 0
	JOIN accounts a ON a.id = x.ns_id AND a.deleted_ms = 0 LEFT JOIN accounts b ON b.id = x.robot_id AND b.deleted_ms = 0`

func scanMirror(row interface{ Scan(...any) error }) (m Mirror, err error) {
	var live, robot, enabled int
	var options string
	var interval, start, due, expires, deep, last, created int64
	err = row.Scan(&m.ID, &m.UUID, &m.Repo, &m.Namespace, &m.Name.Namespace, &m.Name.Name, &m.State, &live, &m.OrgMirror, &m.Robot, &m.RobotName,
		&robot, &enabled, &m.Upstream, &m.Secret, &options, &interval, &m.Status, &start, &due, &expires, &m.Retries, &deep, &last, &m.Message, &created)
	m.Live, m.RobotLive, m.Enabled, m.Options = live != 0, robot != 0, enabled != 0, json.RawMessage(options)
	m.Interval = seconds(interval)
	m.Start, m.Due, m.Expires = gantry.FromMillis(start), gantry.FromMillis(due), gantry.FromMillis(expires)
	m.Deep, m.Last, m.Created = gantry.FromMillis(deep), gantry.FromMillis(last), gantry.FromMillis(created)
	return m, err
}

var errNoMirror = gantry.Errorf(gantry.NotFound, "mirror", "Mirror config does not exist.")

// Mirror returns the mirror of a repository; NotFound on "mirror". Of one that
// an organization's mirror made, Robot and RobotName are that one's.
func (db *DB) Mirror(ctx context.Context, repo gantry.RepoID) (m Mirror, err error) {
	err = db.read(ctx, "read mirror", func(ctx context.Context, t *tx) error {
		m, err = t.mirror(ctx, repo, "")
		return err
	})
	return m, err
}

func (t *tx) mirror(ctx context.Context, repo gantry.RepoID, lock string) (m Mirror, err error) {
	if lock != "" {
		var id int64
		if err := t.queryRow(ctx, `SELECT id FROM repo_mirrors WHERE repo_id = ?`+lock, repo).Scan(&id); err != nil {
			return m, notFound(err, errNoMirror)
		}
	}
	if m, err = scanMirror(t.queryRow(ctx, `SELECT `+mirrorColumns+mirrorTables+` WHERE x.repo_id = ?`, repo)); err != nil {
		return m, notFound(err, errNoMirror)
	}
	if m.OrgMirror != 0 {
		o, err := t.orgMirror(ctx, `x.id = ?`, m.OrgMirror)
		if err != nil {
			return m, err
		}
		m.Org, m.Robot, m.RobotName, m.RobotLive = &o, o.Robot, o.RobotName, o.RobotLive
	}
	return m, nil
}

// MirrorRobot returns the robot that may push to a mirrored repository; 0
// where there is none.
func (db *DB) MirrorRobot(ctx context.Context, repo gantry.RepoID) (robot gantry.AccountID, err error) {
	err = db.read(ctx, "find robot of mirror", func(ctx context.Context, t *tx) error {
		err := t.queryRow(ctx, `SELECT CASE WHEN x.org_mirror_id = 0 THEN x.robot_id ELSE COALESCE(o.robot_id, 0) END
			FROM repo_mirrors x LEFT JOIN org_mirrors o ON o.id = x.org_mirror_id WHERE x.repo_id = ?`, repo).Scan(&robot)
		if errors.Is(err, sql.ErrNoRows) {
			robot, err = 0, nil
		}
		return err
	})
	return robot, err
}

// mirrorEvent is a row of the journal about a mirror.
func mirrorEvent(kind string, m *Mirror, actor gantry.Actor, more map[string]any) Event {
	payload := map[string]any{"repo": m.Name.Name, "namespace": m.Name.Namespace, "external_reference": m.Upstream}
	for k, v := range more {
		payload[k] = v
	}
	return Event{Kind: kind, Namespace: m.Namespace, Repo: m.Repo, Actor: actor, Payload: payload}
}

// giveRobot lets a robot of the namespace write, unless it may do more.
func (t *tx) giveRobot(ctx context.Context, m *Mirror) error {
	ok, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE id = ? AND owner_id = ? AND kind = 'robot' AND deleted_ms = 0`+t.d.share, m.Robot, m.Namespace)
	if err != nil {
		return err
	}
	if !ok {
		return gantry.Errorf(gantry.Invalid, "robot_username", "robot_username must be a robot of the namespace %s", m.Name.Namespace)
	}
	_, err = t.exec(ctx, `INSERT INTO permissions (repo_id, account_id, role) VALUES (?, ?, ?)`+
		t.d.upsert("repo_id, account_id", "role = CASE WHEN permissions.role > "+t.d.fresh("role")+" THEN permissions.role ELSE "+t.d.fresh("role")+" END"),
		m.Repo, m.Robot, int(gantry.Write))
	t.who = true
	return err
}

// dueOf is when a mirror that no run is at is due.
func dueOf(enabled bool, start time.Time) int64 {
	if !enabled {
		return 0
	}
	return max(gantry.Millis(start), 1)
}

// CreateMirror makes r a mirror: its state becomes MIRROR, and the robot may
// write. m has UUID, Robot, Enabled, Upstream, Secret, Options, Interval and
// Start. Conflict on "mirror" where there is one; Invalid on "robot_username".
func (db *DB) CreateMirror(ctx context.Context, r Repository, m Mirror, actor gantry.Actor) error {
	m.Repo, m.Namespace, m.Name = r.ID, r.Namespace, r.Name
	return db.update(ctx, "create mirror", func(ctx context.Context, t *tx) error {
		if err := t.aliveRepository(ctx, r.ID); err != nil {
			return err
		}
		there, err := t.exists(ctx, `SELECT 1 FROM repo_mirrors WHERE repo_id = ?`, r.ID)
		if err != nil {
			return err
		}
		if there {
			return gantry.Errorf(gantry.Conflict, "mirror", "Mirror configuration already exists for repository %s", r.Name)
		}
		if err := t.giveRobot(ctx, &m); err != nil {
			return err
		}
		if err := t.insertMirror(ctx, &m); err != nil {
			return err
		}
		if err := t.setRepoState(ctx, r.ID, gantry.Mirror); err != nil {
			return err
		}
		if err := t.event(ctx, Event{Kind: "change_repo_state", Namespace: r.Namespace, Repo: r.ID, Actor: actor,
			Payload: map[string]any{"repo": r.Name.Name, "namespace": r.Name.Namespace, "state_changed": gantry.Mirror.String()}}); err != nil {
			return err
		}
		kind := "repo_mirror_enabled"
		if !m.Enabled {
			kind = "repo_mirror_config_changed"
		}
		return t.event(ctx, mirrorEvent(kind, &m, actor, nil))
	})
}

func (t *tx) insertMirror(ctx context.Context, m *Mirror) error {
	_, err := t.exec(ctx, `INSERT INTO repo_mirrors (uuid, repo_id, ns_id, org_mirror_id, robot_id, enabled, upstream, secret, options, interval_s, status,
		start_ms, due_ms, expires_ms, retries, deep_ms, last_ms, message, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, 0, '', ?)`,
		m.UUID, m.Repo, m.Namespace, m.OrgMirror, m.Robot, flag(m.Enabled), m.Upstream, m.Secret, string(m.Options), int64(m.Interval/time.Second),
		string(MirrorNeverRun), gantry.Millis(m.Start), dueOf(m.Enabled, m.Start), MirrorRetries, t.now.UnixMilli())
	return err
}

func (t *tx) setRepoState(ctx context.Context, repo gantry.RepoID, state gantry.RepoState) error {
	if _, err := t.exec(ctx, `UPDATE repositories SET version = version + 1, state = ? WHERE id = ? AND deleted_ms = 0`, int(state), repo); err != nil {
		return err
	}
	t.touch(repo)
	return t.freezeRepository(ctx, repo, state)
}

// ChangeMirror runs change on the mirror of r and keeps what it made of Robot,
// Enabled, Upstream, Secret, Options, Interval and Start. A run that goes on
// ends with what it began with. NotFound on "mirror"; Invalid on
// "robot_username"; what change returns. One that an organization's mirror
// made is Invalid on "mirror".
func (db *DB) ChangeMirror(ctx context.Context, r Repository, actor gantry.Actor, change func(*Mirror) error) error {
	return db.update(ctx, "change mirror", func(ctx context.Context, t *tx) error {
		m, err := t.mirror(ctx, r.ID, t.d.excl)
		if err != nil {
			return err
		}
		if m.OrgMirror != 0 {
			return gantry.Errorf(gantry.Invalid, "mirror", "the mirror of this repository is that of its organization; change it there")
		}
		was := m
		if err := change(&m); err != nil {
			return err
		}
		if m.Robot != was.Robot {
			if err := t.giveRobot(ctx, &m); err != nil {
				return err
			}
		}
		due := gantry.Millis(m.Due)
		switch m.Status {
		case MirrorSyncing, MirrorSyncNow:
		case MirrorCancel:
			// Switched on, or given another start, it is no longer cancelled.
			if m.Enabled && (!was.Enabled || !m.Start.Equal(was.Start)) {
				due = dueOf(true, m.Start)
			}
		default:
			due = dueOf(m.Enabled, m.Start)
		}
		status, retries := m.Status, m.Retries
		if status == MirrorCancel && due != 0 {
			status = MirrorNeverRun
		}
		if retries == 0 {
			retries = MirrorRetries
		}
		if _, err := t.exec(ctx, `UPDATE repo_mirrors SET robot_id = ?, enabled = ?, upstream = ?, secret = ?, options = ?, interval_s = ?, status = ?,
			start_ms = ?, due_ms = ?, retries = ?, deep_ms = 0 WHERE id = ?`, m.Robot, flag(m.Enabled), m.Upstream, m.Secret, string(m.Options),
			int64(m.Interval/time.Second), string(status), gantry.Millis(m.Start), due, retries, m.ID); err != nil {
			return err
		}
		kind := "repo_mirror_config_changed"
		switch {
		case m.Enabled && !was.Enabled:
			kind = "repo_mirror_enabled"
		case !m.Enabled && was.Enabled:
			kind = "repo_mirror_disabled"
		}
		return t.event(ctx, mirrorEvent(kind, &m, actor, nil))
	})
}

// DeleteMirror ends the mirror of r, whose state becomes NORMAL. What was
// mirrored stays. NotFound on "mirror"; one that an organization's mirror made
// is Invalid on "mirror".
func (db *DB) DeleteMirror(ctx context.Context, r Repository, actor gantry.Actor) error {
	return db.update(ctx, "delete mirror", func(ctx context.Context, t *tx) error {
		m, err := t.mirror(ctx, r.ID, t.d.excl)
		if err != nil {
			return err
		}
		if m.OrgMirror != 0 {
			return gantry.Errorf(gantry.Invalid, "mirror", "the mirror of this repository is that of its organization; change it there")
		}
		if err := t.endRuns(ctx, m.Repo, "the mirror was deleted"); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM repo_mirrors WHERE id = ?`, m.ID); err != nil {
			return err
		}
		if err := t.setRepoState(ctx, m.Repo, gantry.Normal); err != nil {
			return err
		}
		return t.event(ctx, mirrorEvent("repo_mirror_disabled", &m, actor, nil))
	})
}

// dropMirrors deletes the mirrors of repositories that are deleted.
func (t *tx) dropMirrors(ctx context.Context, where string, arg any) error {
	const of = ` IN (SELECT id FROM repositories WHERE `
	for _, q := range []string{`DELETE FROM mirror_outcomes WHERE repo_id` + of + where + `)`, `DELETE FROM mirror_runs WHERE repo_id` + of + where + `)`,
		`DELETE FROM repo_mirrors WHERE repo_id` + of + where + `)`, `UPDATE org_mirror_repos SET repo_id = 0, message = 'its repository was deleted' WHERE repo_id` + of + where + `)`} {
		if _, err := t.exec(ctx, q, arg); err != nil {
			return err
		}
	}
	return nil
}

// mirrorKey is the dedupe key of the runs of one mirror. Dry runs have none:
// each is named by its job.
func mirrorKey(repo gantry.RepoID) string { return big(int64(repo)) }

// cancelJobs ends the job of that kind and key, if there is one.
func (t *tx) cancelJobs(ctx context.Context, kind, key string) error {
	_, err := t.exec(ctx, `UPDATE jobs SET state = 'cancelled', dedupe = NULL, lease_until_ms = 0, ended_ms = ?
		WHERE kind = ? AND dedupe = ? AND state IN ('ready', 'running')`, t.now.UnixMilli(), kind, key)
	return err
}

// endRuns ends what runs of a repository's mirror, and its jobs.
func (t *tx) endRuns(ctx context.Context, repo gantry.RepoID, why string) error {
	if err := t.cancelJobs(ctx, JobMirror, mirrorKey(repo)); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE mirror_runs SET state = ?, ended_ms = ?, message = ? WHERE repo_id = ? AND state = ?`,
		string(RunCancelled), t.now.UnixMilli(), why, repo, string(RunRunning))
	return err
}

// SyncMirror asks for a run now. NotFound on "mirror" where there is none, or
// a run goes on already.
func (db *DB) SyncMirror(ctx context.Context, r Repository, actor gantry.Actor) error {
	return db.update(ctx, "sync mirror", func(ctx context.Context, t *tx) error {
		m, err := t.mirror(ctx, r.ID, t.d.excl)
		if err != nil {
			return err
		}
		switch {
		case m.Status == MirrorSyncing && m.Expires.After(t.now):
			return gantry.Errorf(gantry.NotFound, "mirror", "The repository is being synchronized already.")
		case m.State != gantry.Mirror && m.State != gantry.OrgMirror:
			return gantry.Errorf(gantry.NotFound, "mirror", "The repository's state is %s; set it to MIRROR first.", m.State)
		}
		if _, err := t.exec(ctx, `UPDATE repo_mirrors SET status = ?, due_ms = ?, expires_ms = 0, retries = ? WHERE id = ?`,
			string(MirrorSyncNow), t.now.Add(mirrorQueued).UnixMilli(), MirrorRetries, m.ID); err != nil {
			return err
		}
		if _, err := t.enqueue(ctx, []NewJob{{Kind: JobMirror, Dedupe: mirrorKey(m.Repo), Rerun: true, Priority: Urgent, MaxAttempts: mirrorAttempts,
			Payload: MirrorJob{Repo: m.Repo, Deep: true}}}); err != nil {
			return err
		}
		return t.event(ctx, mirrorEvent("repo_mirror_sync_now_requested", &m, actor, nil))
	})
}

// PlanMirror asks for a dry run and returns its uuid. NotFound on "mirror".
func (db *DB) PlanMirror(ctx context.Context, r Repository) (run string, err error) {
	err = db.update(ctx, "plan mirror", func(ctx context.Context, t *tx) error {
		m, err := t.mirror(ctx, r.ID, t.d.excl)
		if err != nil {
			return err
		}
		err = t.queryRow(ctx, `SELECT uuid FROM mirror_runs WHERE repo_id = ? AND kind = ? AND state = ?`, m.Repo, RunPlan, string(RunRunning)).Scan(&run)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return err // one is on its way
		}
		run = uuid.NewString()
		if err := t.insertRun(ctx, m.Repo, RunPlan, run); err != nil {
			return err
		}
		_, err = t.enqueue(ctx, []NewJob{{Kind: JobMirror, Priority: Urgent, MaxAttempts: 3,
			Payload: MirrorJob{Repo: m.Repo, Plan: true, Run: run}}})
		return err
	})
	return run, err
}

// CancelMirror ends the run that goes on or waits; there is no next one until
// somebody asks for it. NotFound on "mirror" where there is none.
func (db *DB) CancelMirror(ctx context.Context, r Repository, actor gantry.Actor) error {
	return db.update(ctx, "cancel mirror", func(ctx context.Context, t *tx) error {
		m, err := t.mirror(ctx, r.ID, t.d.excl)
		if err != nil {
			return err
		}
		if m.Status != MirrorSyncing && m.Status != MirrorSyncNow {
			return gantry.Errorf(gantry.NotFound, "mirror", "The repository is not being synchronized.")
		}
		return t.cancelMirror(ctx, &m, actor)
	})
}

func (t *tx) cancelMirror(ctx context.Context, m *Mirror, actor gantry.Actor) error {
	if err := t.endRuns(ctx, m.Repo, "the run was cancelled"); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE repo_mirrors SET status = ?, due_ms = 0, expires_ms = 0, message = ?, last_ms = ? WHERE id = ?`,
		string(MirrorCancel), "the run was cancelled", t.now.UnixMilli(), m.ID); err != nil {
		return err
	}
	return t.event(ctx, mirrorEvent("repo_mirror_sync_failed", m, actor, map[string]any{"message": "the run was cancelled"}))
}

// QueueMirrors queues jobs for up to n mirrors of repositories, and up to n of
// organizations, that are due, and returns how many.
func (db *DB) QueueMirrors(ctx context.Context, n int) (queued int, err error) {
	err = db.update(ctx, "queue mirrors", func(ctx context.Context, t *tx) error {
		now := t.now.UnixMilli()
		queued = 0
		type due struct{ id, of int64 }
		find := func(q string) (all []due, err error) {
			err = t.each(ctx, func(r *sql.Rows) error {
				var d due
				err := r.Scan(&d.id, &d.of)
				all = append(all, d)
				return err
			}, q+` LIMIT `+limit(n), now)
			return all, err
		}
		repos, err := find(`SELECT x.id, x.repo_id FROM repo_mirrors x JOIN repositories r ON r.id = x.repo_id JOIN accounts a ON a.id = x.ns_id
			WHERE x.due_ms > 0 AND x.due_ms <= ? AND r.deleted_ms = 0 AND r.state IN (` + big(int64(gantry.Mirror)) + `, ` + big(int64(gantry.OrgMirror)) + `)
			AND a.enabled = 1 AND a.deleted_ms = 0 ORDER BY x.due_ms, x.id`)
		if err != nil {
			return err
		}
		orgs, err := find(`SELECT x.id, x.org_id FROM org_mirrors x JOIN accounts a ON a.id = x.org_id
			WHERE x.due_ms > 0 AND x.due_ms <= ? AND a.enabled = 1 AND a.deleted_ms = 0 ORDER BY x.due_ms, x.id`)
		if err != nil {
			return err
		}
		var jobs []NewJob
		later := t.now.Add(mirrorQueued).UnixMilli()
		for _, d := range repos {
			jobs = append(jobs, NewJob{Kind: JobMirror, Dedupe: mirrorKey(gantry.RepoID(d.of)), Rerun: true, MaxAttempts: mirrorAttempts, Payload: MirrorJob{Repo: gantry.RepoID(d.of)}})
			if _, err := t.exec(ctx, `UPDATE repo_mirrors SET due_ms = ? WHERE id = ? AND due_ms > 0 AND due_ms <= ?`, later, d.id, now); err != nil {
				return err
			}
		}
		for _, d := range orgs {
			jobs = append(jobs, NewJob{Kind: JobDiscover, Dedupe: big(d.of), Rerun: true, MaxAttempts: mirrorAttempts, Payload: MirrorJob{Org: gantry.AccountID(d.of)}})
			if _, err := t.exec(ctx, `UPDATE org_mirrors SET due_ms = ? WHERE id = ? AND due_ms > 0 AND due_ms <= ?`, later, d.id, now); err != nil {
				return err
			}
		}
		queued, err = t.enqueue(ctx, jobs)
		return err
	})
	return queued, err
}

// A RunState is where a run is.
type RunState string

// The states of a run.
const (
	RunRunning   RunState = "running"
	RunSuccess   RunState = "success"
	RunFailed    RunState = "failed"
	RunCancelled RunState = "cancelled"
)

// The kinds of runs.
const (
	RunSync = "sync"
	RunPlan = "plan" // a dry run
)

// A MirrorRun is one run of a mirror.
type MirrorRun struct {
	ID      int64
	UUID    string
	Repo    gantry.RepoID
	Kind    string // RunSync or RunPlan
	State   RunState
	Started time.Time
	Ended   time.Time // zero: it goes on
	MirrorFigures
	Reason  string // of a failure: one word, for a metric; else ""
	Message string
}

// MirrorFigures are how far a run is.
type MirrorFigures struct {
	Total     int64 // tags to look at; 0 = not known yet
	Done      int64 // tags that were looked at
	Copied    int64 // made or moved; of a dry run: would be
	Unchanged int64
	Removed   int64
	Skipped   int64 // left out on purpose
	Failed    int64
	Fetched   int64 // blobs that came from upstream
	Linked    int64 // blobs that were here already, in another repository
	Bytes     int64 // that came from upstream
}

func (f *MirrorFigures) all() []any {
	return []any{&f.Total, &f.Done, &f.Copied, &f.Unchanged, &f.Removed, &f.Skipped, &f.Failed, &f.Fetched, &f.Linked, &f.Bytes}
}

const runFigures = `total, done, copied, unchanged, removed, skipped, failed, fetched, linked, bytes`

const runColumns = `id, uuid, repo_id, kind, state, started_ms, ended_ms, ` + runFigures + `, reason, message`

func scanRun(row interface{ Scan(...any) error }) (r MirrorRun, err error) {
	var started, ended int64
	to := append([]any{&r.ID, &r.UUID, &r.Repo, &r.Kind, &r.State, &started, &ended}, r.all()...)
	err = row.Scan(append(to, &r.Reason, &r.Message)...)
	r.Started, r.Ended = gantry.FromMillis(started), gantry.FromMillis(ended)
	return r, err
}

func (t *tx) insertRun(ctx context.Context, repo gantry.RepoID, kind, id string) error {
	_, err := t.exec(ctx, `INSERT INTO mirror_runs (uuid, repo_id, kind, state, started_ms, ended_ms, `+runFigures+`, reason, message)
		VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '')`, id, repo, kind, string(RunRunning), t.now.UnixMilli())
	return err
}

var errNoRun = gantry.Errorf(gantry.NotFound, "run", "There is no such run of this mirror.")

// errRunOver is what a worker gets whose run was ended by somebody else.
var errRunOver = &gantry.Error{Code: gantry.Conflict, Object: "run", Detail: "the run was cancelled"}

// BeginRun begins the run of a job of that name, or goes on with the one that
// j.Run names. id is the uuid of a new one. Conflict on "run" where there is
// nothing to do: the mirror was deleted, switched off, or its run cancelled.
func (db *DB) BeginRun(ctx context.Context, j MirrorJob, id string) (m Mirror, run MirrorRun, err error) {
	err = db.update(ctx, "begin run of mirror", func(ctx context.Context, t *tx) error {
		if m, err = t.mirror(ctx, j.Repo, t.d.excl); err != nil {
			if gantry.Is(err, gantry.NotFound) {
				err = errRunOver
			}
			return err
		}
		if j.Run != "" {
			run, err = scanRun(t.queryRow(ctx, `SELECT `+runColumns+` FROM mirror_runs WHERE uuid = ? AND repo_id = ?`, j.Run, j.Repo))
			if err != nil {
				return notFound(err, errRunOver)
			}
			if run.State != RunRunning {
				return errRunOver
			}
		}
		if j.Plan {
			return nil
		}
		asked := m.Status == MirrorSyncNow
		switch {
		case !asked && j.Run == "" && m.Due.After(t.now.Add(mirrorQueued)):
			return errRunOver // its turn was taken by the run before
		case m.State != gantry.Mirror && m.State != gantry.OrgMirror, !m.Live,
			m.Status == MirrorCancel, !m.Enabled && !asked && j.Run == "":
			if _, err := t.exec(ctx, `UPDATE repo_mirrors SET due_ms = CASE WHEN enabled = 1 AND status <> ? THEN due_ms ELSE 0 END WHERE id = ?`, string(MirrorCancel), m.ID); err != nil {
				return err
			}
			return errRunOver
		}
		until := t.now.Add(MirrorMax).UnixMilli()
		if _, err := t.exec(ctx, `UPDATE repo_mirrors SET status = ?, due_ms = ?, expires_ms = ? WHERE id = ?`, string(MirrorSyncing), until, until, m.ID); err != nil {
			return err
		}
		m.Expires = gantry.FromMillis(until)
		if j.Run != "" {
			return nil
		}
		// What a worker left that was lost for good.
		if _, err := t.exec(ctx, `UPDATE mirror_runs SET state = ?, ended_ms = ?, message = ? WHERE repo_id = ? AND kind = ? AND state = ?`,
			string(RunFailed), t.now.UnixMilli(), "the worker was lost", m.Repo, RunSync, string(RunRunning)); err != nil {
			return err
		}
		if err := t.insertRun(ctx, m.Repo, RunSync, id); err != nil {
			return err
		}
		if run, err = scanRun(t.queryRow(ctx, `SELECT `+runColumns+` FROM mirror_runs WHERE uuid = ?`, id)); err != nil {
			return err
		}
		if err := t.trimRuns(ctx, m.Repo); err != nil {
			return err
		}
		return t.event(ctx, mirrorEvent("repo_mirror_sync_started", &m, m.actor(), map[string]any{"message": "The mirror begins to synchronize with " + m.Upstream}))
	})
	return m, run, err
}

// actor is in whose name a mirror writes.
func (m *Mirror) actor() gantry.Actor {
	return gantry.Actor{Account: m.Robot, Name: m.RobotName, Kind: gantry.ActorRobot}
}

// Actor is in whose name a mirror writes: its robot.
func (m *Mirror) Actor() gantry.Actor { return m.actor() }

// trimRuns deletes the oldest runs of a mirror, and the outcomes of old ones.
func (t *tx) trimRuns(ctx context.Context, repo gantry.RepoID) error {
	at := func(n int) (id int64, err error) {
		err = t.queryRow(ctx, `SELECT id FROM mirror_runs WHERE repo_id = ? ORDER BY id DESC LIMIT 1 OFFSET `+limit(n), repo).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, nil
		}
		return id, err
	}
	last, err := at(keepOutcomes)
	if err != nil || last == 0 {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM mirror_outcomes WHERE repo_id = ? AND run_id <= ?`, repo, last); err != nil {
		return err
	}
	if last, err = at(keepRuns); err != nil || last == 0 {
		return err
	}
	_, err = t.exec(ctx, `DELETE FROM mirror_runs WHERE repo_id = ? AND id <= ?`, repo, last)
	return err
}

// What became of a tag. What a dry run says of it would become of it.
const (
	TagCopied  = "copied" // made, or moved
	TagRemoved = "removed"
	TagSkipped = "skipped"
	TagFailed  = "failed"
	TagKept    = "kept" // gone upstream, but it may not be removed here
	TagBack    = "rolled back"
)

// A MirrorOutcome is what became of one tag.
type MirrorOutcome struct {
	Tag     string
	Outcome string
	Digest  gantry.Digest // that upstream has; "" = none is known
	Bytes   int64         // that came from upstream for it
	Message string
}

// SaveRun writes how far a run is, and outcomes, of which the last one of a
// tag counts. Conflict on "run" where the run was ended by somebody else, or
// the repository is no mirror any more: the caller stops.
func (db *DB) SaveRun(ctx context.Context, run MirrorRun, outcomes []MirrorOutcome) error {
	return db.update(ctx, "save run of mirror", func(ctx context.Context, t *tx) error {
		return t.saveRun(ctx, &run, outcomes)
	})
}

func (t *tx) saveRun(ctx context.Context, run *MirrorRun, outcomes []MirrorOutcome) error {
	states := `(` + big(int64(gantry.Mirror)) + `, ` + big(int64(gantry.OrgMirror)) + `)`
	if run.Kind == RunPlan {
		states = `(0, 1, 2, 4)`
	}
	var id int64
	err := t.queryRow(ctx, `SELECT x.id FROM mirror_runs x JOIN repositories r ON r.id = x.repo_id
		WHERE x.id = ? AND x.state = ? AND r.deleted_ms = 0 AND r.state IN `+states, run.ID, string(RunRunning)).Scan(&id)
	if err != nil {
		return notFound(err, errRunOver)
	}
	f := run.MirrorFigures
	n, err := t.exec(ctx, `UPDATE mirror_runs SET total = ?, done = ?, copied = ?, unchanged = ?, removed = ?, skipped = ?, failed = ?, fetched = ?,
		linked = ?, bytes = ? WHERE id = ? AND state = ?`, f.Total, f.Done, f.Copied, f.Unchanged, f.Removed, f.Skipped, f.Failed, f.Fetched, f.Linked,
		f.Bytes, run.ID, string(RunRunning))
	if err != nil {
		return err
	}
	_ = n // MySQL counts only rows that it changed
	outcomes = lastOutcomes(outcomes)
	for chunk := range slices.Chunk(outcomes, 200) {
		args := make([]any, 0, 7*len(chunk))
		for _, o := range chunk {
			args = append(args, run.ID, run.Repo, cut(o.Tag, 128), o.Outcome, string(o.Digest), o.Bytes, cut(o.Message, 1000))
		}
		set := ""
		for i, col := range []string{"outcome", "digest", "bytes", "message"} {
			if i > 0 {
				set += ", "
			}
			set += col + " = " + t.d.fresh(col)
		}
		if _, err := t.exec(ctx, `INSERT INTO mirror_outcomes (run_id, repo_id, tag, outcome, digest, bytes, message) VALUES `+tuples(len(chunk), 7)+
			t.d.upsert("run_id, tag", set), args...); err != nil {
			return err
		}
	}
	return nil
}

// lastOutcomes keeps the last one of each tag.
func lastOutcomes(all []MirrorOutcome) []MirrorOutcome {
	seen := make(map[string]bool, len(all))
	var out []MirrorOutcome
	for _, o := range slices.Backward(all) {
		if !seen[o.Tag] {
			seen[o.Tag] = true
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b MirrorOutcome) int { return cmp.Compare(a.Tag, b.Tag) })
	return out
}

// A RunEnd is how a run ended.
type RunEnd struct {
	State   RunState
	Reason  string
	Message string
	Next    time.Time // of the next run by itself; zero = none
	Retry   time.Time // earlier than Next, while there are retries; zero = none
	Deep    bool      // it looked at everything
}

// EndRun ends a run. Of a failure one retry is taken; the next run is at
// end.Retry while there are any, else at end.Next. Conflict on "run" as
// SaveRun.
func (db *DB) EndRun(ctx context.Context, run MirrorRun, outcomes []MirrorOutcome, end RunEnd) error {
	return db.update(ctx, "end run of mirror", func(ctx context.Context, t *tx) error {
		if err := t.saveRun(ctx, &run, outcomes); err != nil {
			return err
		}
		now := t.now.UnixMilli()
		if _, err := t.exec(ctx, `UPDATE mirror_runs SET state = ?, ended_ms = ?, reason = ?, message = ? WHERE id = ?`,
			string(end.State), now, cut(end.Reason, 32), cut(end.Message, 4000), run.ID); err != nil {
			return err
		}
		if run.Kind == RunPlan {
			return nil
		}
		m, err := t.mirror(ctx, run.Repo, t.d.excl)
		if err != nil {
			return notFound(err, errRunOver)
		}
		status, retries, start, kind := MirrorSuccess, MirrorRetries, end.Next, "repo_mirror_sync_success"
		due := dueOf(m.Enabled, start)
		if end.State != RunSuccess {
			status, retries, kind = MirrorFail, m.Retries-1, "repo_mirror_sync_failed"
			if retries > 0 {
				due = dueOf(m.Enabled, end.Retry)
				start = m.Start
			} else {
				retries = MirrorRetries
			}
		}
		deep := m.Deep
		if end.Deep && end.State == RunSuccess {
			deep = t.now
		}
		if _, err := t.exec(ctx, `UPDATE repo_mirrors SET status = ?, start_ms = ?, due_ms = ?, expires_ms = 0, retries = ?, deep_ms = ?, last_ms = ?,
			message = ? WHERE id = ?`, string(status), gantry.Millis(start), due, retries, gantry.Millis(deep), now, cut(end.Message, 4000), m.ID); err != nil {
			return err
		}
		return t.event(ctx, mirrorEvent(kind, &m, m.actor(), map[string]any{"message": cut(end.Message, 1000), "run": run.UUID,
			"tags_copied": run.Copied, "tags_failed": run.Failed, "tags_removed": run.Removed, "bytes": run.Bytes}))
	})
}

// MirrorRuns lists the runs of a repository's mirror, the newest first: at
// most n with an id below before; 0 = from the newest.
func (db *DB) MirrorRuns(ctx context.Context, repo gantry.RepoID, before int64, n int) (all []MirrorRun, err error) {
	err = db.read(ctx, "list runs of mirror", func(ctx context.Context, t *tx) error {
		all = nil
		where, args := `repo_id = ?`, []any{repo}
		if before > 0 {
			where, args = where+` AND id < ?`, append(args, before)
		}
		return t.each(ctx, func(r *sql.Rows) error {
			run, err := scanRun(r)
			all = append(all, run)
			return err
		}, `SELECT `+runColumns+` FROM mirror_runs WHERE `+where+` ORDER BY id DESC LIMIT `+limit(n), args...)
	})
	return all, err
}

// MirrorRun finds one run of a repository's mirror; NotFound on "run".
func (db *DB) MirrorRun(ctx context.Context, repo gantry.RepoID, id string) (run MirrorRun, err error) {
	err = db.read(ctx, "find run of mirror", func(ctx context.Context, t *tx) error {
		run, err = scanRun(t.queryRow(ctx, `SELECT `+runColumns+` FROM mirror_runs WHERE uuid = ? AND repo_id = ?`, id, repo))
		return notFound(err, errNoRun)
	})
	return run, err
}

// MirrorOutcomes lists what became of tags in a run, by tag: at most n with a
// tag above after, and only of that outcome, unless it is "".
func (db *DB) MirrorOutcomes(ctx context.Context, run int64, outcome, after string, n int) (all []MirrorOutcome, err error) {
	err = db.read(ctx, "list outcomes of run", func(ctx context.Context, t *tx) error {
		all = nil
		where, args := `run_id = ? AND tag > ?`, []any{run, after}
		if outcome != "" {
			where, args = where+` AND outcome = ?`, append(args, outcome)
		}
		return t.each(ctx, func(r *sql.Rows) error {
			var o MirrorOutcome
			err := r.Scan(&o.Tag, &o.Outcome, &o.Digest, &o.Bytes, &o.Message)
			all = append(all, o)
			return err
		}, `SELECT tag, outcome, digest, bytes, message FROM mirror_outcomes WHERE `+where+` ORDER BY tag LIMIT `+limit(n), args...)
	})
	return all, err
}

// A MirrorTag is a live tag of a mirrored repository.
type MirrorTag struct {
	Name      string
	Digest    gantry.Digest
	Start     time.Time
	Immutable bool
}

// MirrorTags returns up to n live tags with a name above after, by name.
func (db *DB) MirrorTags(ctx context.Context, repo gantry.RepoID, after string, n int) (page []MirrorTag, err error) {
	err = db.read(ctx, "list tags of mirror", func(ctx context.Context, t *tx) error {
		page = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var m MirrorTag
			var digest []byte
			var start int64
			var immutable int
			err := r.Scan(&m.Name, &digest, &start, &immutable)
			m.Digest, m.Start, m.Immutable = gantry.DigestFromBytes(digest), gantry.FromMillis(start), immutable != 0
			page = append(page, m)
			return err
		}, `SELECT g.name, m.digest, g.start_ms, g.immutable FROM (SELECT name, manifest_id, start_ms, immutable FROM tags
			WHERE repo_id = ? AND live = 1 AND name > ? AND (end_ms IS NULL OR end_ms > ?) ORDER BY name LIMIT `+limit(n)+`) g
			JOIN manifests m ON m.id = g.manifest_id ORDER BY g.name`, repo, after, t.now.UnixMilli())
	})
	return page, err
}

// HeldManifests returns which of the digests are manifests of the repository,
// whether a tag shows them or not. At most 500 are asked for at once.
func (db *DB) HeldManifests(ctx context.Context, repo gantry.RepoID, digests []gantry.Digest) (held map[gantry.Digest]bool, err error) {
	err = db.read(ctx, "find manifests", func(ctx context.Context, t *tx) error {
		held = make(map[gantry.Digest]bool, len(digests))
		raw := make([][]byte, len(digests))
		for i, d := range digests {
			raw[i] = d.Bytes()
		}
		in, args := list(raw, []any{repo})
		return t.each(ctx, func(r *sql.Rows) error {
			var b []byte
			err := r.Scan(&b)
			held[gantry.DigestFromBytes(b)] = true
			return err
		}, `SELECT digest FROM manifests WHERE repo_id = ? AND digest IN `+in, args...)
	})
	return held, err
}

// ManifestChildren returns the digests of the manifests that an index of a
// repository names and that are here.
func (db *DB) ManifestChildren(ctx context.Context, repo gantry.RepoID, index gantry.Digest) (children []gantry.Digest, err error) {
	err = db.read(ctx, "list manifests of index", func(ctx context.Context, t *tx) error {
		children = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var b []byte
			err := r.Scan(&b)
			children = append(children, gantry.DigestFromBytes(b))
			return err
		}, `SELECT c.digest FROM manifests m JOIN manifest_children x ON x.parent_id = m.id JOIN manifests c ON c.id = x.child_id
			WHERE m.repo_id = ? AND m.digest = ?`, repo, index.Bytes())
	})
	return children, err
}

// LinkChildren makes those manifests of a repository that are here part of an
// index that was put without them, so that it keeps them.
func (db *DB) LinkChildren(ctx context.Context, repo gantry.RepoID, index gantry.Digest, children []gantry.Digest) error {
	return db.update(ctx, "link manifests of index", func(ctx context.Context, t *tx) error {
		var parent int64
		if err := t.queryRow(ctx, `SELECT id FROM manifests WHERE repo_id = ? AND digest = ?`+t.d.share, repo, index.Bytes()).Scan(&parent); err != nil {
			return notFound(err, errNoManifest)
		}
		for chunk := range slices.Chunk(children, 500) {
			raw := make([][]byte, len(chunk))
			for i, d := range chunk {
				raw[i] = d.Bytes()
			}
			in, args := list(raw, []any{repo})
			ids, err := t.ids(ctx, `SELECT id FROM manifests WHERE repo_id = ? AND digest IN `+in+` ORDER BY id`+t.d.share, args...)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if _, err := t.exec(ctx, `INSERT INTO manifest_children (parent_id, child_id, repo_id) VALUES (?, ?, ?)`+t.d.ignore("parent_id"), parent, id, repo); err != nil {
					return err
				}
			}
		}
		t.grow(repo)
		return nil
	})
}

// MirrorSources returns whether the registry has a blob at all, and up to 8
// repositories that hold it and that the account may read by a permission of
// its own or of one of its teams. A digest alone is no right: a registry that
// is mirrored may name any.
func (db *DB) MirrorSources(ctx context.Context, account gantry.AccountID, d gantry.Digest) (here bool, repos []gantry.RepoID, err error) {
	err = db.read(ctx, "find sources of blob", func(ctx context.Context, t *tx) error {
		repos = nil
		var id int64
		err := t.queryRow(ctx, `SELECT id FROM blobs WHERE digest = ?`, d.Bytes()).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		here = true
		return t.each(ctx, func(r *sql.Rows) error {
			var id gantry.RepoID
			err := r.Scan(&id)
			repos = append(repos, id)
			return err
		}, `SELECT f.repo_id FROM (SELECT repo_id FROM repo_blobs WHERE blob_id = ? AND hidden_ms = 0 ORDER BY repo_id LIMIT `+limit(maxMountSources)+`) f
			WHERE EXISTS (SELECT 1 FROM permissions p WHERE p.repo_id = f.repo_id AND p.account_id = ?)
			OR EXISTS (SELECT 1 FROM permissions p JOIN team_members m ON m.team_id = p.team_id WHERE p.repo_id = f.repo_id AND m.account_id = ?)
			ORDER BY f.repo_id LIMIT 8`, id, account, account)
	})
	return here, repos, err
}

// A TouchedTag is a tag that changed since a time, and what it was then.
type TouchedTag struct {
	Name   string
	Live   bool
	Digest gantry.Digest // that a live one points at
	Before gantry.Digest // that it pointed at; "" = there was no such tag
}

// TouchedTags returns up to n tags of a repository, by name above after, that
// were made, moved or deleted since a time.
func (db *DB) TouchedTags(ctx context.Context, repo gantry.RepoID, since time.Time, after string, n int) (page []TouchedTag, err error) {
	err = db.read(ctx, "list changed tags", func(ctx context.Context, t *tx) error {
		page = nil
		ms := since.UnixMilli()
		if err := t.each(ctx, func(r *sql.Rows) error {
			var x TouchedTag
			var live int
			err := r.Scan(&x.Name, &live)
			x.Live = live != 0
			page = append(page, x)
			return err
		}, `SELECT name, MAX(CASE WHEN live = 1 AND (end_ms IS NULL OR end_ms > ?) THEN 1 ELSE 0 END) FROM tags WHERE repo_id = ? AND name > ?
			AND (start_ms >= ? OR live IS NULL AND ended_by = '`+endedByDelete+`' AND end_ms >= ?)
			GROUP BY name ORDER BY name LIMIT `+limit(n), t.now.UnixMilli(), repo, after, ms, ms); err != nil {
			return err
		}
		for i := range page {
			var b []byte
			err := t.queryRow(ctx, `SELECT m.digest FROM tags g JOIN manifests m ON m.id = g.manifest_id
				WHERE g.repo_id = ? AND g.name = ? AND g.start_ms < ? AND (g.end_ms IS NULL OR g.end_ms >= ?) ORDER BY g.start_ms DESC LIMIT 1`,
				repo, page[i].Name, ms, ms).Scan(&b)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil {
				page[i].Before = gantry.DigestFromBytes(b)
			}
			if !page[i].Live {
				continue
			}
			if err := t.queryRow(ctx, `SELECT m.digest FROM tags g JOIN manifests m ON m.id = g.manifest_id WHERE g.repo_id = ? AND g.name = ? AND g.live = 1`,
				repo, page[i].Name).Scan(&b); err != nil {
				return err
			}
			page[i].Digest = gantry.DigestFromBytes(b)
		}
		return nil
	})
	return page, err
}

// Administered returns the organizations that an account administers, at most
// 10,000.
func (db *DB) Administered(ctx context.Context, account gantry.AccountID) (orgs []gantry.AccountID, err error) {
	err = db.read(ctx, "list administered organizations", func(ctx context.Context, t *tx) error {
		orgs = nil
		ids, err := t.ids(ctx, `SELECT DISTINCT g.org_id FROM team_members m JOIN teams g ON g.id = m.team_id WHERE m.account_id = ? AND g.role = 'admin'
			ORDER BY g.org_id LIMIT 10000`, account)
		for _, id := range ids {
			orgs = append(orgs, gantry.AccountID(id))
		}
		return err
	})
	return orgs, err
}

// A MirrorStanding is how a mirror stands, for health and metrics.
type MirrorStanding struct {
	Repo    gantry.RepoID
	Name    gantry.RepoName
	Status  MirrorStatus
	Enabled bool
	Last    time.Time
	Message string
	Reason  string // of the last run that ended, if that failed
	Pending int64  // tags that a run that goes on has not looked at yet
}

// MirrorStandings lists up to n mirrors of namespaces that account may
// administer (0 = of all), in the order of their ids above after.
func (db *DB) MirrorStandings(ctx context.Context, ns []gantry.AccountID, after gantry.RepoID, n int) (all []MirrorStanding, err error) {
	err = db.read(ctx, "list mirrors", func(ctx context.Context, t *tx) error {
		all = nil
		where, args := `x.repo_id > ?`, []any{after}
		if ns != nil {
			var in string
			in, args = list(ns, args)
			where += ` AND x.ns_id IN ` + in
		}
		return t.each(ctx, func(r *sql.Rows) error {
			var m MirrorStanding
			var enabled int
			var last int64
			err := r.Scan(&m.Repo, &m.Name.Namespace, &m.Name.Name, &m.Status, &enabled, &last, &m.Message, &m.Reason, &m.Pending)
			m.Enabled, m.Last = enabled != 0, gantry.FromMillis(last)
			all = append(all, m)
			return err
		}, `SELECT x.repo_id, a.name, r.name, x.status, x.enabled, x.last_ms, x.message,
			COALESCE((SELECT u.reason FROM mirror_runs u WHERE u.id = (SELECT MAX(v.id) FROM mirror_runs v WHERE v.repo_id = x.repo_id AND v.kind = 'sync' AND v.ended_ms > 0)), ''),
			COALESCE((SELECT MAX(u.total - u.done) FROM mirror_runs u WHERE u.repo_id = x.repo_id AND u.kind = 'sync' AND u.state = 'running'), 0)
			FROM repo_mirrors x JOIN repositories r ON r.id = x.repo_id AND r.deleted_ms = 0 JOIN accounts a ON a.id = x.ns_id AND a.deleted_ms = 0
			WHERE `+where+` ORDER BY x.repo_id LIMIT `+limit(n), args...)
	})
	return all, err
}

// MirrorCounts are how many mirrors there are.
type MirrorCounts struct {
	ByStatus map[MirrorStatus]int64 // of repositories
	Waiting  int64                  // repositories whose run is due and has not begun
	Pending  int64                  // tags that runs have not looked at yet
	Orgs     int64                  // organizations
	OrgsOn   int64                  // that run by themselves
	OrgsDue  int64                  // whose discovery is due
	Found    int64                  // repositories that organizations' mirrors have found upstream
	OrgWait  int64                  // repositories of organizations' mirrors whose run is due
}

// MirrorCounts counts the mirrors of some namespaces; nil = of all.
func (db *DB) MirrorCounts(ctx context.Context, ns []gantry.AccountID) (c MirrorCounts, err error) {
	err = db.read(ctx, "count mirrors", func(ctx context.Context, t *tx) error {
		c = MirrorCounts{ByStatus: map[MirrorStatus]int64{}}
		now := t.now.UnixMilli()
		soon := t.now.Add(mirrorQueued).UnixMilli() // a job is queued, and has not begun
		where, args, orgs := `1 = 1`, []any{soon, soon}, `1 = 1`
		var only []any
		if ns != nil {
			in, all := list(ns, nil)
			where, orgs, only = `x.ns_id IN `+in, `x.org_id IN `+in, all
			args = append(args, all...)
		}
		waits := `x.due_ms > 0 AND x.due_ms <= ? AND x.status <> '` + string(MirrorSyncing) + `'`
		if err := t.each(ctx, func(r *sql.Rows) error {
			var s MirrorStatus
			var n, due, orgDue int64
			err := r.Scan(&s, &n, &due, &orgDue)
			c.ByStatus[s] += n
			c.Waiting, c.OrgWait = c.Waiting+due, c.OrgWait+orgDue
			return err
		}, `SELECT x.status, COUNT(*), SUM(CASE WHEN `+waits+` THEN 1 ELSE 0 END), SUM(CASE WHEN x.org_mirror_id <> 0 AND `+waits+` THEN 1 ELSE 0 END)
			FROM repo_mirrors x JOIN repositories r ON r.id = x.repo_id AND r.deleted_ms = 0 WHERE `+where+` GROUP BY x.status`, args...); err != nil {
			return err
		}
		if err := t.queryRow(ctx, `SELECT COALESCE(SUM(u.total - u.done), 0) FROM mirror_runs u JOIN repo_mirrors x ON x.repo_id = u.repo_id
			WHERE u.state = 'running' AND u.kind = 'sync' AND `+where, only...).Scan(&c.Pending); err != nil {
			return err
		}
		if err := t.queryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(x.enabled), 0), COALESCE(SUM(CASE WHEN x.due_ms > 0 AND x.due_ms <= ? THEN 1 ELSE 0 END), 0)
			FROM org_mirrors x WHERE `+orgs, append([]any{now}, only...)...).Scan(&c.Orgs, &c.OrgsOn, &c.OrgsDue); err != nil {
			return err
		}
		return t.queryRow(ctx, `SELECT COUNT(*) FROM org_mirror_repos f JOIN org_mirrors x ON x.id = f.org_mirror_id WHERE f.gone_ms = 0 AND `+orgs, only...).Scan(&c.Found)
	})
	return c, err
}
