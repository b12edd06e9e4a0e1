package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// MaxPolicies bounds the policies of one kind that a namespace has for all of
// its repositories, and those that a repository has.
const MaxPolicies = 50

// A PolicyOwner is what policies belong to: a namespace, or, where Repo is not
// 0, one repository of it.
type PolicyOwner struct {
	Namespace gantry.AccountID
	Repo      gantry.RepoID
	Name      gantry.RepoName // for the journal; of a namespace without the second part
}

// A PrunePolicy prunes the tags of a namespace or a repository.
type PrunePolicy struct {
	UUID string
	Repo gantry.RepoID // 0 = of the namespace
	gantry.PruneRule
}

// An ImmutabilityPolicy makes tags immutable when they are made or moved.
type ImmutabilityPolicy struct {
	UUID string
	Repo gantry.RepoID // 0 = of the namespace
	gantry.TagRule
}

var errNoPolicy = gantry.Errorf(gantry.NotFound, "policy", "Not Found")

// PrunePolicies returns those of a namespace itself, or of a repository
// itself, in the order in which they were made.
func (db *DB) PrunePolicies(ctx context.Context, of PolicyOwner) (all []PrunePolicy, err error) {
	err = db.read(ctx, "list prune policies", func(ctx context.Context, t *tx) error {
		all, err = t.prunePolicies(ctx, `ns_id = ? AND repo_id = ?`, of.Namespace, of.Repo)
		return err
	})
	return all, err
}

// AllPrunePolicies returns those of a namespace and of all its repositories.
func (db *DB) AllPrunePolicies(ctx context.Context, ns gantry.AccountID) (all []PrunePolicy, err error) {
	err = db.read(ctx, "list prune policies", func(ctx context.Context, t *tx) error {
		all, err = t.prunePolicies(ctx, `ns_id = ?`, ns)
		return err
	})
	return all, err
}

func (t *tx) prunePolicies(ctx context.Context, where string, args ...any) (all []PrunePolicy, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		var p PrunePolicy
		var matches int
		err := r.Scan(&p.UUID, &p.Repo, &p.Method, &p.Value, &p.Pattern, &matches)
		p.Matches = matches != 0
		all = append(all, p)
		return err
	}, `SELECT uuid, repo_id, method, value, pattern, matches FROM prune_policies WHERE `+where+` ORDER BY id`, args...)
	return all, err
}

// lockOwner keeps out others that change the policies of the same owner.
func (t *tx) lockOwner(ctx context.Context, of PolicyOwner) error {
	var id int64
	if of.Repo != 0 {
		err := t.queryRow(ctx, `SELECT id FROM repositories WHERE id = ? AND deleted_ms = 0`+t.d.excl, of.Repo).Scan(&id)
		return notFound(err, errNoRepository)
	}
	err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND deleted_ms = 0`+t.d.excl, of.Namespace).Scan(&id)
	return notFound(err, errNoAccount("namespace"))
}

// policyKind is the log kind of a change of prune policies.
func policyKind(act string, of PolicyOwner) string {
	if of.Repo != 0 {
		return act + "_repository_autoprune_policy"
	}
	return act + "_namespace_autoprune_policy"
}

func (of PolicyOwner) payload(uuid string, rule gantry.TagRule) map[string]any {
	m := map[string]any{"namespace": of.Name.Namespace, "policy_uuid": uuid, "tag_pattern": rule.Pattern, "tag_pattern_matches": rule.Matches}
	if of.Repo != 0 {
		m["repo"] = of.Name.Name
	}
	return m
}

func prunePayload(of PolicyOwner, uuid string, r gantry.PruneRule) map[string]any {
	m := of.payload(uuid, r.TagRule)
	m["method"], m["value"] = r.Method, r.Value
	return m
}

// SetPrunePolicy makes a policy, where id is "", or changes the one of that
// id. It returns the id. The rule has been checked. Conflict on "policy" for
// one that is there already, Invalid for one too many, NotFound on "policy".
func (db *DB) SetPrunePolicy(ctx context.Context, of PolicyOwner, id string, r gantry.PruneRule, actor gantry.Actor) (string, error) {
	made := id
	err := db.update(ctx, "set prune policy", func(ctx context.Context, t *tx) error {
		if err := t.lockOwner(ctx, of); err != nil {
			return err
		}
		all, err := t.prunePolicies(ctx, `ns_id = ? AND repo_id = ?`, of.Namespace, of.Repo)
		if err != nil {
			return err
		}
		there := false
		for _, p := range all {
			there = there || p.UUID == id
			if p.PruneRule == r && p.UUID != id {
				return gantry.Errorf(gantry.Conflict, "policy", "Existing policy with same values, cannot create duplicate policy")
			}
		}
		act := "update"
		switch {
		case id == "" && len(all) >= MaxPolicies:
			return tooManyPolicies
		case id == "":
			act, made = "create", uuid.NewString()
			_, err = t.exec(ctx, `INSERT INTO prune_policies (uuid, ns_id, repo_id, method, value, pattern, matches) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				made, of.Namespace, of.Repo, r.Method, r.Value, r.Pattern, flag(r.Matches))
		case !there:
			return errNoPolicy
		default:
			_, err = t.exec(ctx, `UPDATE prune_policies SET method = ?, value = ?, pattern = ?, matches = ? WHERE uuid = ?`,
				r.Method, r.Value, r.Pattern, flag(r.Matches), id)
		}
		if err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: policyKind(act, of), Namespace: of.Namespace, Repo: of.Repo, Actor: actor, Payload: prunePayload(of, made, r)})
	})
	return made, err
}

var tooManyPolicies = gantry.Errorf(gantry.Invalid, "policy", "There are %d policies already; change or delete one of them", MaxPolicies)

// DeletePrunePolicy deletes a policy. NotFound on "policy".
func (db *DB) DeletePrunePolicy(ctx context.Context, of PolicyOwner, id string, actor gantry.Actor) error {
	return db.update(ctx, "delete prune policy", func(ctx context.Context, t *tx) error {
		if err := t.lockOwner(ctx, of); err != nil {
			return err
		}
		all, err := t.prunePolicies(ctx, `uuid = ? AND ns_id = ? AND repo_id = ?`, id, of.Namespace, of.Repo)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errNoPolicy
		}
		if _, err := t.exec(ctx, `DELETE FROM prune_policies WHERE uuid = ?`, id); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: policyKind("delete", of), Namespace: of.Namespace, Repo: of.Repo, Actor: actor,
			Payload: prunePayload(of, id, all[0].PruneRule)})
	})
}

// PruneDue queues a job of that kind for up to n namespaces that have prune
// policies and were not pruned for so long, and returns how many. A namespace
// whose last job has not ended gets none.
func (db *DB) PruneDue(ctx context.Context, kind string, rest time.Duration, n int) (queued int, err error) {
	err = db.update(ctx, "queue pruning", func(ctx context.Context, t *tx) error {
		ids, err := t.ids(ctx, `SELECT p.ns_id FROM (SELECT DISTINCT ns_id FROM prune_policies) p JOIN accounts a ON a.id = p.ns_id
			LEFT JOIN prune_runs r ON r.ns_id = p.ns_id
			WHERE a.deleted_ms = 0 AND a.enabled = 1 AND COALESCE(r.ran_ms, 0) <= ? ORDER BY COALESCE(r.ran_ms, 0), p.ns_id LIMIT `+big(int64(n)),
			t.now.Add(-rest).UnixMilli())
		if err != nil {
			return err
		}
		jobs := make([]NewJob, 0, len(ids))
		for _, id := range ids {
			jobs = append(jobs, NewJob{Kind: kind, Dedupe: big(id), Priority: Idle, Payload: map[string]int64{"namespace": id}})
			if _, err := t.exec(ctx, `INSERT INTO prune_runs (ns_id, ran_ms) VALUES (?, ?)`+t.d.upsert("ns_id", "ran_ms = "+t.d.fresh("ran_ms")),
				id, t.now.UnixMilli()); err != nil {
				return err
			}
		}
		queued, err = t.enqueue(ctx, jobs)
		return err
	})
	return queued, err
}

// A PruneQuery asks for repositories whose tags are to be pruned: those that
// take changes.
type PruneQuery struct {
	Namespace gantry.AccountID // 0 = of all namespaces
	// Bare: only those that have no prune policy, and whose namespace has none.
	Bare  bool
	After gantry.RepoID
	N     int
}

// A PruneRepository is a repository whose tags are to be pruned.
type PruneRepository struct {
	ID        gantry.RepoID
	Namespace gantry.AccountID
}

// PruneRepositories returns a page, in the order of ids.
func (db *DB) PruneRepositories(ctx context.Context, q PruneQuery) (page []PruneRepository, err error) {
	err = db.read(ctx, "list repositories to prune", func(ctx context.Context, t *tx) error {
		page = nil
		where, args := `r.id > ?`, []any{q.After}
		if q.Namespace != 0 {
			where, args = where+` AND r.ns_id = ?`, append(args, q.Namespace)
		}
		if q.Bare {
			where += ` AND NOT EXISTS (SELECT 1 FROM prune_policies p WHERE p.ns_id = r.ns_id AND p.repo_id IN (0, r.id))`
		}
		return t.each(ctx, func(rows *sql.Rows) error {
			var r PruneRepository
			err := rows.Scan(&r.ID, &r.Namespace)
			page = append(page, r)
			return err
		}, `SELECT r.id, r.ns_id FROM repositories r WHERE `+where+` AND r.state = `+big(int64(gantry.Normal))+` AND r.deleted_ms = 0 ORDER BY r.id LIMIT `+big(int64(q.N)), args...)
	})
	return page, err
}

// A PrunePlace is a place in the live tags of a repository, from the newest to
// the oldest: after the tag that began then and has that id. The zero value is
// before all.
type PrunePlace struct {
	Start time.Time
	ID    gantry.TagID
}

// A PruneTag is a live tag that may be pruned.
type PruneTag struct {
	ID        gantry.TagID
	Name      string
	Start     time.Time
	Immutable bool
}

// PruneTags returns up to n live tags after a place, the newest first. before,
// if not zero, leaves out those that began then or later. One statement at any
// depth.
func (db *DB) PruneTags(ctx context.Context, repo gantry.RepoID, after PrunePlace, before time.Time, n int) (page []PruneTag, err error) {
	err = db.read(ctx, "list tags to prune", func(ctx context.Context, t *tx) error {
		page = nil
		where, args := `repo_id = ? AND live = 1 AND (end_ms IS NULL OR end_ms > ?)`, []any{repo, t.now.UnixMilli()}
		if !before.IsZero() {
			where, args = where+` AND start_ms < ?`, append(args, before.UnixMilli())
		}
		if after.ID != 0 {
			ms := after.Start.UnixMilli()
			where, args = where+` AND start_ms <= ? AND (start_ms < ? OR id < ?)`, append(args, ms, ms, after.ID)
		}
		return t.each(ctx, func(rows *sql.Rows) error {
			var p PruneTag
			var start int64
			var immutable int
			err := rows.Scan(&p.ID, &p.Name, &start, &immutable)
			p.Start, p.Immutable = gantry.FromMillis(start), immutable != 0
			page = append(page, p)
			return err
		}, `SELECT id, name, start_ms, immutable FROM tags WHERE `+where+` ORDER BY start_ms DESC, id DESC LIMIT `+big(int64(n)), args...)
	})
	return page, err
}
