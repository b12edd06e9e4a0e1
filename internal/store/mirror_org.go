package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An OrgMirror keeps the repositories of an organization equal to those of a
// namespace of another registry.
type OrgMirror struct {
	ID         int64
	UUID       string // names the row of the secret
	Org        gantry.AccountID
	OrgName    string // read only
	Robot      gantry.AccountID
	RobotName  string // read only; "" = it is gone
	RobotLive  bool   // read only
	Enabled    bool   // runs by itself
	Kind       string // of the registry: how its repositories are listed
	URL        string // of the registry
	Upstream   string // the namespace there
	Visibility gantry.Visibility
	Secret     string          // sealed by the caller
	Options    json.RawMessage // the caller's; never a secret
	Interval   time.Duration
	Status     MirrorStatus // read only, as what follows but for Start
	Start      time.Time    // of the next run by itself
	Due        time.Time
	Expires    time.Time
	Retries    int
	Last       time.Time
	Message    string
	Created    time.Time
}

const orgMirrorColumns = `x.id, x.uuid, x.org_id, a.name, x.robot_id, COALESCE(b.name, ''), COALESCE(b.enabled, 0), x.enabled, x.kind, x.url, x.upstream,
	x.visibility, x.secret, x.options, x.interval_s, x.status, x.start_ms, x.due_ms, x.expires_ms, x.retries, x.last_ms, x.message, x.created_ms`

var errNoOrgMirror = gantry.Errorf(gantry.NotFound, "mirror", "The organization mirrors no other registry.")

func (t *tx) orgMirror(ctx context.Context, where string, args ...any) (m OrgMirror, err error) {
	var robot, enabled int
	var options string
	var interval, start, due, expires, last, created int64
	err = t.queryRow(ctx, `SELECT `+orgMirrorColumns+` FROM org_mirrors x JOIN accounts a ON a.id = x.org_id AND a.deleted_ms = 0
		LEFT JOIN accounts b ON b.id = x.robot_id AND b.deleted_ms = 0 WHERE `+where, args...).Scan(&m.ID, &m.UUID, &m.Org, &m.OrgName, &m.Robot, &m.RobotName,
		&robot, &enabled, &m.Kind, &m.URL, &m.Upstream, &m.Visibility, &m.Secret, &options, &interval, &m.Status, &start, &due, &expires, &m.Retries,
		&last, &m.Message, &created)
	m.RobotLive, m.Enabled, m.Options, m.Interval = robot != 0, enabled != 0, json.RawMessage(options), seconds(interval)
	m.Start, m.Due, m.Expires = gantry.FromMillis(start), gantry.FromMillis(due), gantry.FromMillis(expires)
	m.Last, m.Created = gantry.FromMillis(last), gantry.FromMillis(created)
	return m, notFound(err, errNoOrgMirror)
}

// OrgMirror returns the mirror of an organization; NotFound on "mirror".
func (db *DB) OrgMirror(ctx context.Context, org gantry.AccountID) (m OrgMirror, err error) {
	err = db.read(ctx, "read mirror of organization", func(ctx context.Context, t *tx) error {
		m, err = t.orgMirror(ctx, `x.org_id = ?`, org)
		return err
	})
	return m, err
}

// lockOrgMirror reads it once nobody else changes it.
func (t *tx) lockOrgMirror(ctx context.Context, org gantry.AccountID) (OrgMirror, error) {
	var id int64
	if err := t.queryRow(ctx, `SELECT id FROM org_mirrors WHERE org_id = ?`+t.d.excl, org).Scan(&id); err != nil {
		return OrgMirror{}, notFound(err, errNoOrgMirror)
	}
	return t.orgMirror(ctx, `x.id = ?`, id)
}

func orgMirrorEvent(kind string, m *OrgMirror, actor gantry.Actor, more map[string]any) Event {
	payload := map[string]any{"namespace": m.OrgName, "external_registry": m.URL, "external_namespace": m.Upstream}
	for k, v := range more {
		payload[k] = v
	}
	return Event{Kind: kind, Namespace: m.Org, Actor: actor, Payload: payload}
}

func (t *tx) robotOf(ctx context.Context, m *OrgMirror) error {
	ok, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE id = ? AND owner_id = ? AND kind = 'robot' AND deleted_ms = 0`+t.d.share, m.Robot, m.Org)
	if err == nil && !ok {
		err = gantry.Errorf(gantry.Invalid, "robot_username", "robot_username must be a robot of the organization %s", m.OrgName)
	}
	return err
}

// CreateOrgMirror makes an organization a mirror. m has all that is not read
// only. Conflict on "mirror" where there is one; Invalid on "robot_username".
func (db *DB) CreateOrgMirror(ctx context.Context, m OrgMirror, actor gantry.Actor) error {
	return db.update(ctx, "create mirror of organization", func(ctx context.Context, t *tx) error {
		if err := t.lockNamespace(ctx, m.Org); err != nil {
			return err
		}
		there, err := t.exists(ctx, `SELECT 1 FROM org_mirrors WHERE org_id = ?`, m.Org)
		if err != nil {
			return err
		}
		if there {
			return gantry.Errorf(gantry.Conflict, "mirror", "Mirror configuration already exists for organization %s", m.OrgName)
		}
		if err := t.robotOf(ctx, &m); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO org_mirrors (uuid, org_id, robot_id, enabled, kind, url, upstream, visibility, secret, options, interval_s,
			status, start_ms, due_ms, expires_ms, retries, last_ms, message, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, '', ?)`,
			m.UUID, m.Org, m.Robot, flag(m.Enabled), m.Kind, m.URL, m.Upstream, string(m.Visibility), m.Secret, string(m.Options),
			int64(m.Interval/time.Second), string(MirrorNeverRun), gantry.Millis(m.Start), dueOf(m.Enabled, m.Start), MirrorRetries, t.now.UnixMilli()); err != nil {
			return err
		}
		kind := "org_mirror_enabled"
		if !m.Enabled {
			kind = "org_mirror_config_changed"
		}
		return t.event(ctx, orgMirrorEvent(kind, &m, actor, nil))
	})
}

// ChangeOrgMirror runs change on the mirror of an organization and keeps what
// it made of what is not read only. Mirrors of its repositories follow at
// their next run. Errors as ChangeMirror.
func (db *DB) ChangeOrgMirror(ctx context.Context, org gantry.AccountID, actor gantry.Actor, change func(*OrgMirror) error) error {
	return db.update(ctx, "change mirror of organization", func(ctx context.Context, t *tx) error {
		m, err := t.lockOrgMirror(ctx, org)
		if err != nil {
			return err
		}
		was := m
		if err := change(&m); err != nil {
			return err
		}
		if m.Robot != was.Robot {
			if err := t.robotOf(ctx, &m); err != nil {
				return err
			}
		}
		status, due := m.Status, gantry.Millis(m.Due)
		switch {
		case status == MirrorSyncing || status == MirrorSyncNow:
		case status == MirrorCancel && (!m.Enabled || was.Enabled && m.Start.Equal(was.Start)):
		default:
			due = dueOf(m.Enabled, m.Start)
			if status == MirrorCancel {
				status = MirrorNeverRun
			}
		}
		if _, err := t.exec(ctx, `UPDATE org_mirrors SET robot_id = ?, enabled = ?, kind = ?, url = ?, upstream = ?, visibility = ?, secret = ?, options = ?,
			interval_s = ?, status = ?, start_ms = ?, due_ms = ? WHERE id = ?`, m.Robot, flag(m.Enabled), m.Kind, m.URL, m.Upstream, string(m.Visibility),
			m.Secret, string(m.Options), int64(m.Interval/time.Second), string(status), gantry.Millis(m.Start), due, m.ID); err != nil {
			return err
		}
		if m.Enabled != was.Enabled { // its repositories follow
			if _, err := t.exec(ctx, `UPDATE repo_mirrors SET enabled = ?, due_ms = CASE WHEN status IN ('SYNCING', 'SYNC_NOW') THEN due_ms WHEN ? = 1 AND status <> 'CANCEL' THEN CASE WHEN start_ms > 0 THEN start_ms ELSE 1 END ELSE 0 END
				WHERE org_mirror_id = ?`, flag(m.Enabled), flag(m.Enabled), m.ID); err != nil {
				return err
			}
		}
		if m.Robot != was.Robot {
			if _, err := t.exec(ctx, `INSERT INTO permissions (repo_id, account_id, role) SELECT x.repo_id, ?, `+big(int64(gantry.Write))+` FROM repo_mirrors x
				WHERE x.org_mirror_id = ? AND NOT EXISTS (SELECT 1 FROM permissions p WHERE p.repo_id = x.repo_id AND p.account_id = ?)`, m.Robot, m.ID, m.Robot); err != nil {
				return err
			}
			t.who = true
		}
		kind := "org_mirror_config_changed"
		switch {
		case m.Enabled && !was.Enabled:
			kind = "org_mirror_enabled"
		case !m.Enabled && was.Enabled:
			kind = "org_mirror_disabled"
		}
		return t.event(ctx, orgMirrorEvent(kind, &m, actor, nil))
	})
}

// DeleteOrgMirror ends the mirror of an organization. Its repositories stay,
// with what they have; their state becomes NORMAL.
func (db *DB) DeleteOrgMirror(ctx context.Context, org gantry.AccountID, actor gantry.Actor) error {
	return db.update(ctx, "delete mirror of organization", func(ctx context.Context, t *tx) error {
		m, err := t.lockOrgMirror(ctx, org)
		if err != nil {
			return err
		}
		if err := t.cancelJobs(ctx, JobDiscover, big(int64(org))); err != nil {
			return err
		}
		repos, err := t.ids(ctx, `SELECT repo_id FROM repo_mirrors WHERE org_mirror_id = ? ORDER BY repo_id`, m.ID)
		if err != nil {
			return err
		}
		for _, id := range repos {
			if err := t.endRuns(ctx, gantry.RepoID(id), "the mirror was deleted"); err != nil {
				return err
			}
			if err := t.setRepoState(ctx, gantry.RepoID(id), gantry.Normal); err != nil {
				return err
			}
		}
		if err := t.dropOrgMirror(ctx, m.ID); err != nil {
			return err
		}
		return t.event(ctx, orgMirrorEvent("org_mirror_disabled", &m, actor, nil))
	})
}

func (t *tx) dropOrgMirror(ctx context.Context, id int64) error {
	for _, q := range []string{`DELETE FROM repo_mirrors WHERE org_mirror_id = ?`, `DELETE FROM org_mirror_repos WHERE org_mirror_id = ?`,
		`DELETE FROM org_mirrors WHERE id = ?`} {
		if _, err := t.exec(ctx, q, id); err != nil {
			return err
		}
	}
	return nil
}

// SyncOrgMirror asks for a discovery, and a run of all repositories, now.
// NotFound on "mirror" where there is none, or one goes on already.
func (db *DB) SyncOrgMirror(ctx context.Context, org gantry.AccountID, actor gantry.Actor) error {
	return db.update(ctx, "sync mirror of organization", func(ctx context.Context, t *tx) error {
		m, err := t.lockOrgMirror(ctx, org)
		if err != nil {
			return err
		}
		if m.Status == MirrorSyncing && m.Expires.After(t.now) {
			return gantry.Errorf(gantry.NotFound, "mirror", "The organization is being synchronized already.")
		}
		if _, err := t.exec(ctx, `UPDATE org_mirrors SET status = ?, due_ms = ?, expires_ms = 0, retries = ? WHERE id = ?`,
			string(MirrorSyncNow), t.now.Add(mirrorQueued).UnixMilli(), MirrorRetries, m.ID); err != nil {
			return err
		}
		if _, err := t.enqueue(ctx, []NewJob{{Kind: JobDiscover, Dedupe: big(int64(org)), Rerun: true, Priority: Urgent, MaxAttempts: mirrorAttempts,
			Payload: MirrorJob{Org: org, Deep: true}}}); err != nil {
			return err
		}
		return t.event(ctx, orgMirrorEvent("org_mirror_sync_now_requested", &m, actor, nil))
	})
}

// CancelOrgMirror ends the discovery and all runs of the repositories. There
// is no next one until somebody asks. NotFound on "mirror" where nothing goes
// on.
func (db *DB) CancelOrgMirror(ctx context.Context, org gantry.AccountID, actor gantry.Actor) error {
	return db.update(ctx, "cancel mirror of organization", func(ctx context.Context, t *tx) error {
		m, err := t.lockOrgMirror(ctx, org)
		if err != nil {
			return err
		}
		repos, err := t.ids(ctx, `SELECT repo_id FROM repo_mirrors WHERE org_mirror_id = ? AND status IN ('SYNCING', 'SYNC_NOW') ORDER BY repo_id`, m.ID)
		if err != nil {
			return err
		}
		if m.Status != MirrorSyncing && m.Status != MirrorSyncNow && len(repos) == 0 {
			return gantry.Errorf(gantry.NotFound, "mirror", "The organization is not being synchronized.")
		}
		if err := t.cancelJobs(ctx, JobDiscover, big(int64(org))); err != nil {
			return err
		}
		for _, id := range repos {
			one, err := t.mirror(ctx, gantry.RepoID(id), "")
			if err != nil {
				return err
			}
			if err := t.cancelMirror(ctx, &one, actor); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `UPDATE org_mirrors SET status = ?, due_ms = 0, expires_ms = 0, last_ms = ?, message = ? WHERE id = ?`, string(MirrorCancel),
			t.now.UnixMilli(), "the synchronization was cancelled", m.ID); err != nil {
			return err
		}
		return t.event(ctx, orgMirrorEvent("org_mirror_sync_cancelled", &m, actor, nil))
	})
}

// discoveryMax bounds a discovery whatever the configuration says.
const discoveryMax = 2 * time.Hour

// BeginDiscovery begins the discovery of an organization's mirror. Conflict on
// "run" where there is nothing to do.
func (db *DB) BeginDiscovery(ctx context.Context, org gantry.AccountID) (m OrgMirror, err error) {
	err = db.update(ctx, "begin discovery", func(ctx context.Context, t *tx) error {
		if m, err = t.lockOrgMirror(ctx, org); err != nil {
			if gantry.Is(err, gantry.NotFound) {
				err = errRunOver
			}
			return err
		}
		again := m.Status == MirrorSyncing
		if m.Status != MirrorSyncNow && !again && m.Due.After(t.now.Add(mirrorQueued)) {
			return errRunOver // its turn was taken by the one before
		}
		if m.Status == MirrorCancel || !m.Enabled && m.Status != MirrorSyncNow && !again {
			_, _ = t.exec(ctx, `UPDATE org_mirrors SET due_ms = 0 WHERE id = ?`, m.ID) // it is tried again if that fails
			return errRunOver
		}
		until := t.now.Add(discoveryMax).UnixMilli()
		if _, err := t.exec(ctx, `UPDATE org_mirrors SET status = ?, due_ms = ?, expires_ms = ? WHERE id = ?`, string(MirrorSyncing), until, until, m.ID); err != nil {
			return err
		}
		if again {
			return nil
		}
		return t.event(ctx, orgMirrorEvent("org_mirror_sync_started", &m, gantry.Actor{Account: m.Robot, Name: m.RobotName, Kind: gantry.ActorRobot}, nil))
	})
	return m, err
}

// discovering fails where the discovery of m was ended by somebody else.
func (t *tx) discovering(ctx context.Context, m *OrgMirror) error {
	var id int64
	return notFound(t.queryRow(ctx, `SELECT id FROM org_mirrors WHERE id = ? AND status = ?`+t.d.excl, m.ID, string(MirrorSyncing)).Scan(&id), errRunOver)
}

// Discovered notes that a repository is there upstream. repo is the one that
// mirrors it here, or 0 and message why there is none. A repository that is
// new gets its mirror, whose first run is due at once. One that is not this
// mirror's is Conflict on "repository". Conflict on "run" as SaveRun.
func (db *DB) Discovered(ctx context.Context, m OrgMirror, name string, repo gantry.RepoID, upstream, message string, made bool) error {
	return db.update(ctx, "note repository of mirror", func(ctx context.Context, t *tx) error {
		if err := t.discovering(ctx, &m); err != nil {
			return err
		}
		if repo != 0 {
			var state gantry.RepoState
			if err := t.queryRow(ctx, `SELECT state FROM repositories WHERE id = ? AND ns_id = ? AND deleted_ms = 0`+t.d.excl, repo, m.Org).Scan(&state); err != nil {
				return notFound(err, errNoRepository)
			}
			var of int64
			err := t.queryRow(ctx, `SELECT org_mirror_id FROM repo_mirrors WHERE repo_id = ?`, repo).Scan(&of)
			switch {
			case errors.Is(err, sql.ErrNoRows) && state == gantry.OrgMirror:
				one := Mirror{UUID: uuid.NewString(), Repo: repo, Namespace: m.Org, OrgMirror: m.ID, Enabled: true, Upstream: upstream,
					Options: json.RawMessage("{}"), Interval: m.Interval, Start: t.now}
				if err := t.insertMirror(ctx, &one); err != nil {
					return err
				}
				if made {
					if err := t.event(ctx, orgMirrorEvent("org_mirror_repo_created", &m, gantry.Actor{Account: m.Robot, Name: m.RobotName, Kind: gantry.ActorRobot},
						map[string]any{"repo": name})); err != nil {
						return err
					}
				}
			case err != nil && !errors.Is(err, sql.ErrNoRows):
				return err
			case of != m.ID:
				return gantry.Errorf(gantry.Conflict, "repository", "there is a repository of that name that is none of this mirror")
			default:
				if _, err := t.exec(ctx, `UPDATE repo_mirrors SET upstream = ?, interval_s = ? WHERE repo_id = ?`, upstream, int64(m.Interval/time.Second), repo); err != nil {
					return err
				}
			}
		}
		_, err := t.exec(ctx, `INSERT INTO org_mirror_repos (org_mirror_id, repo_id, name, message, found_ms, gone_ms) VALUES (?, ?, ?, ?, ?, 0)`+
			t.d.upsert("org_mirror_id, name", "repo_id = "+t.d.fresh("repo_id")+", message = "+t.d.fresh("message")+", gone_ms = 0"),
			m.ID, repo, name, cut(message, 1000), t.now.UnixMilli())
		return err
	})
}

// An OrgMirrorRepo is a repository that a discovery found.
type OrgMirrorRepo struct {
	ID      int64
	Name    string          // upstream, below the namespace
	Repo    gantry.RepoID   // here; 0 = none
	Local   gantry.RepoName // here
	Status  MirrorStatus    // of the mirror here; "SKIP" where there is none, or it is gone upstream
	Message string
	Found   time.Time
	Gone    time.Time // zero: it is there
	Last    time.Time // end of the last run
}

// MirrorSkip is the status of a repository that is not mirrored.
const MirrorSkip MirrorStatus = "SKIP"

// OrgMirrorRepos lists what discoveries found, by name: a page of n after
// skip, and how many there are in all. status "" is any.
func (db *DB) OrgMirrorRepos(ctx context.Context, mirror int64, status MirrorStatus, skip, n int) (page []OrgMirrorRepo, total int, err error) {
	err = db.read(ctx, "list repositories of mirror", func(ctx context.Context, t *tx) error {
		page = nil
		const is = `CASE WHEN f.gone_ms > 0 OR x.id IS NULL THEN 'SKIP' ELSE x.status END`
		from := ` FROM org_mirror_repos f LEFT JOIN repo_mirrors x ON x.repo_id = f.repo_id LEFT JOIN repositories r ON r.id = f.repo_id AND r.deleted_ms = 0
			LEFT JOIN accounts a ON a.id = r.ns_id WHERE f.org_mirror_id = ?`
		args := []any{mirror}
		if status != "" {
			from, args = from+` AND `+is+` = ?`, append(args, string(status))
		}
		if err := t.queryRow(ctx, `SELECT COUNT(*)`+from, args...).Scan(&total); err != nil {
			return err
		}
		return t.each(ctx, func(r *sql.Rows) error {
			var o OrgMirrorRepo
			var found, gone, last int64
			var own, message string
			err := r.Scan(&o.ID, &o.Name, &o.Repo, &o.Local.Namespace, &o.Local.Name, &o.Status, &own, &message, &found, &gone, &last)
			o.Message = message
			if own != "" {
				o.Message = own
			}
			o.Found, o.Gone, o.Last = gantry.FromMillis(found), gantry.FromMillis(gone), gantry.FromMillis(last)
			page = append(page, o)
			return err
		}, `SELECT f.id, f.name, f.repo_id, COALESCE(a.name, ''), COALESCE(r.name, ''), `+is+`, f.message, COALESCE(x.message, ''), f.found_ms, f.gone_ms,
			COALESCE(x.last_ms, 0)`+from+` ORDER BY f.name LIMIT `+limit(n)+` OFFSET `+limit(skip), args...)
	})
	return page, total, err
}

// MirrorGone notes that repositories are not there upstream any more. Their
// mirrors stop. Conflict on "run" as SaveRun.
func (db *DB) MirrorGone(ctx context.Context, m OrgMirror, ids []int64) error {
	return db.update(ctx, "note repositories that are gone", func(ctx context.Context, t *tx) error {
		if err := t.discovering(ctx, &m); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := t.exec(ctx, `UPDATE org_mirror_repos SET gone_ms = ?, message = ? WHERE id = ? AND org_mirror_id = ? AND gone_ms = 0`,
				t.now.UnixMilli(), "it is not there upstream, or no filter chooses it", id, m.ID); err != nil {
				return err
			}
			if _, err := t.exec(ctx, `UPDATE repo_mirrors SET due_ms = 0 WHERE org_mirror_id = ? AND status <> 'SYNCING'
				AND repo_id IN (SELECT repo_id FROM org_mirror_repos WHERE id = ? AND repo_id <> 0)`, m.ID, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndDiscovery ends a discovery. After one that went well the repositories'
// mirrors that are not cancelled are due at once, where all is asked for, and
// otherwise by themselves. Conflict on "run" as SaveRun.
func (db *DB) EndDiscovery(ctx context.Context, m OrgMirror, end RunEnd, all bool) error {
	return db.update(ctx, "end discovery", func(ctx context.Context, t *tx) error {
		if err := t.discovering(ctx, &m); err != nil {
			return err
		}
		m, err := t.orgMirror(ctx, `x.id = ?`, m.ID)
		if err != nil {
			return err
		}
		status, retries, start, kind := MirrorSuccess, MirrorRetries, end.Next, "org_mirror_sync_success"
		due := dueOf(m.Enabled, start)
		if end.State != RunSuccess {
			status, retries, kind = MirrorFail, m.Retries-1, "org_mirror_sync_failed"
			if retries > 0 {
				due, start = dueOf(m.Enabled, end.Retry), m.Start
			} else {
				retries = MirrorRetries
			}
		}
		if _, err := t.exec(ctx, `UPDATE org_mirrors SET status = ?, start_ms = ?, due_ms = ?, expires_ms = 0, retries = ?, last_ms = ?, message = ? WHERE id = ?`,
			string(status), gantry.Millis(start), due, retries, t.now.UnixMilli(), cut(end.Message, 4000), m.ID); err != nil {
			return err
		}
		if end.State == RunSuccess && all {
			if _, err := t.exec(ctx, `UPDATE repo_mirrors SET status = 'SYNC_NOW', due_ms = ?, retries = ? WHERE org_mirror_id = ? AND status <> 'SYNCING'
				AND repo_id IN (SELECT repo_id FROM org_mirror_repos WHERE org_mirror_id = ? AND gone_ms = 0)`,
				t.now.UnixMilli(), MirrorRetries, m.ID, m.ID); err != nil {
				return err
			}
		}
		return t.event(ctx, orgMirrorEvent(kind, &m, gantry.Actor{Account: m.Robot, Name: m.RobotName, Kind: gantry.ActorRobot},
			map[string]any{"message": cut(end.Message, 1000)}))
	})
}

// mayHold refuses to make a repository in an organization whose repositories
// are those of another registry.
func (t *tx) mayHold(ctx context.Context, ns gantry.AccountID, kind gantry.AccountKind, state gantry.RepoState) error {
	if kind != gantry.Organization || state == gantry.OrgMirror {
		return nil
	}
	mirrors, err := t.exists(ctx, `SELECT 1 FROM org_mirrors WHERE org_id = ?`, ns)
	if err == nil && mirrors {
		err = gantry.Errorf(gantry.Denied, "namespace", "the organization mirrors another registry: its repositories are made by that; use another namespace")
	}
	return err
}

// robotFree refuses to delete a robot that a mirror uses.
func (t *tx) robotFree(ctx context.Context, robot Account) error {
	var what string
	err := t.queryRow(ctx, `SELECT r.name FROM repo_mirrors x JOIN repositories r ON r.id = x.repo_id WHERE x.robot_id = ? AND r.deleted_ms = 0 ORDER BY x.id LIMIT 1`, robot.ID).Scan(&what)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.queryRow(ctx, `SELECT a.name FROM org_mirrors x JOIN accounts a ON a.id = x.org_id WHERE x.robot_id = ? LIMIT 1`, robot.ID).Scan(&what)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = gantry.Errorf(gantry.Invalid, "robot", "the robot is used by the mirror of %s; give that another robot first", what)
	}
	return err
}
