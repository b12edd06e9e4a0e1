package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Quota bounds what a namespace stores. Without limits it refuses nothing.
type Quota struct {
	ID     int64
	Bytes  int64
	Limits []QuotaLimit // by id
}

// Kinds of QuotaLimit.
const (
	QuotaWarning = "Warning" // the administrators should know
	QuotaReject  = "Reject"  // pushes that pass it are refused
)

// A QuotaLimit says what happens at a share of a quota.
type QuotaLimit struct {
	ID      int64
	Kind    string
	Percent int // 1 to 100
}

// MaxQuotaLimits bounds the limits of one quota.
const MaxQuotaLimits = 100

// Storage is what a namespace stores, and its quota.
type Storage struct {
	Bytes int64  // each blob once
	Quota *Quota // nil: it has none of its own
}

// usedBytes is what a namespace (a.id) uses: see Usage.
const usedBytes = `COALESCE((SELECT u.bytes FROM usage_totals u WHERE u.ns_id = a.id AND u.repo_id = 0), 0) +
	COALESCE((SELECT SUM(d.bytes) FROM usage_deltas d WHERE d.ns_id = a.id AND d.repo_id = 0), 0)`

// Storages returns what each namespace stores and its quota, in two
// statements.
func (db *DB) Storages(ctx context.Context, namespaces ...gantry.AccountID) (all map[gantry.AccountID]Storage, err error) {
	all = make(map[gantry.AccountID]Storage, len(namespaces))
	if len(namespaces) == 0 {
		return all, nil
	}
	err = db.read(ctx, "read storage", func(ctx context.Context, t *tx) error {
		in, args := list(namespaces, nil)
		if err := t.each(ctx, func(r *sql.Rows) error {
			var ns gantry.AccountID
			var s Storage
			err := r.Scan(&ns, &s.Bytes)
			all[ns] = s
			return err
		}, `SELECT a.id, `+usedBytes+` FROM accounts a WHERE a.id IN `+in, args...); err != nil {
			return err
		}
		quotas, err := t.quotas(ctx, namespaces)
		for ns, q := range quotas {
			s := all[ns]
			s.Quota = q
			all[ns] = s
		}
		return err
	})
	return all, err
}

func (t *tx) quotas(ctx context.Context, namespaces []gantry.AccountID) (map[gantry.AccountID]*Quota, error) {
	all := map[gantry.AccountID]*Quota{}
	in, args := list(namespaces, nil)
	err := t.each(ctx, func(r *sql.Rows) error {
		var (
			ns          gantry.AccountID
			q           Quota
			id, percent sql.NullInt64
			kind        sql.NullString
		)
		if err := r.Scan(&ns, &q.ID, &q.Bytes, &id, &kind, &percent); err != nil {
			return err
		}
		if all[ns] == nil {
			all[ns] = &q
		}
		if id.Valid {
			all[ns].Limits = append(all[ns].Limits, QuotaLimit{id.Int64, kind.String, int(percent.Int64)})
		}
		return nil
	}, `SELECT q.ns_id, q.id, q.bytes, l.id, l.kind, l.percent FROM quotas q LEFT JOIN quota_limits l ON l.quota_id = q.id
		WHERE q.ns_id IN `+in+` ORDER BY q.ns_id, l.id`, args...)
	return all, err
}

// A RepositoryStorage is what a repository stores.
type RepositoryStorage struct {
	Bytes int64 // each blob once
	Quota int64 // bytes of its namespace's own quota; 0 = it has none
}

// RepositoryStorages returns what each repository stores, in one statement.
func (db *DB) RepositoryStorages(ctx context.Context, repos []gantry.RepoID) (all map[gantry.RepoID]RepositoryStorage, err error) {
	all = make(map[gantry.RepoID]RepositoryStorage, len(repos))
	if len(repos) == 0 {
		return all, nil
	}
	err = db.read(ctx, "read storage of repositories", func(ctx context.Context, t *tx) error {
		in, args := list(repos, nil)
		return t.each(ctx, func(r *sql.Rows) error {
			var id gantry.RepoID
			var s RepositoryStorage
			err := r.Scan(&id, &s.Bytes, &s.Quota)
			all[id] = s
			return err
		}, `SELECT r.id, COALESCE((SELECT u.bytes FROM usage_totals u WHERE u.ns_id = r.ns_id AND u.repo_id = r.id), 0) +
			COALESCE((SELECT SUM(d.bytes) FROM usage_deltas d WHERE d.ns_id = r.ns_id AND d.repo_id = r.id), 0),
			COALESCE((SELECT q.bytes FROM quotas q WHERE q.ns_id = r.ns_id), 0) FROM repositories r WHERE r.id IN `+in, args...)
	})
	return all, err
}

// freedBlobs is how many blobs of a repository Freed looks at.
const freedBlobs = 20_000

// Freed returns how many bytes a namespace stores less when a repository of it
// is deleted and collected: those of blobs that no other repository of the
// namespace uses. Of a repository with more than 20,000 blobs it looks at so
// many, and all is false: at least so much is freed. One statement.
func (db *DB) Freed(ctx context.Context, repo gantry.RepoID) (bytes int64, all bool, err error) {
	err = db.read(ctx, "what a repository alone stores", func(ctx context.Context, t *tx) error {
		var n int64
		// One other repository is enough: layers that all share cost no more.
		err := t.queryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN b.linked > 0 AND (SELECT o.repo_id FROM repo_blobs o WHERE o.ns_id = b.ns_id AND o.blob_id = b.blob_id AND o.linked > 0 AND o.repo_id <> b.repo_id LIMIT 1) IS NULL
			THEN b.size ELSE 0 END), 0) FROM (SELECT repo_id, blob_id, ns_id, size, linked FROM repo_blobs WHERE repo_id = ? ORDER BY blob_id LIMIT `+limit(freedBlobs)+`) b`, repo).Scan(&n, &bytes)
		if err != nil {
			return err
		}
		all = n < freedBlobs
		return nil
	})
	return bytes, all, err
}

// What FreedByTags looks at, at most.
const (
	MaxFreedTags  = 100
	freedChildren = 64   // of one tag; of several as many for each, up to freedParents
	freedParents  = 2000 // indexes that hold what the tags point at, and images of theirs
	freedByTag    = 1000 // blobs of one tag
	freedByTags   = 10_000
)

// FreedByTags returns how many bytes a namespace stores less when live tags of
// a repository, at most MaxFreedTags, are deleted, their past is given up, too,
// and all is collected: those of blobs of their images, and of the images of
// indexes, that nothing else holds and no other manifest of the namespace uses.
// Of an index with more than 64 images, or one of indexes, or with more than
// 1,000 blobs (10,000 of several tags) it looks at so many, and all is false: at
// least so much is freed. NotFound on "tag". Four statements at most, three of
// one tag.
func (db *DB) FreedByTags(ctx context.Context, repo gantry.RepoID, names ...string) (bytes int64, all bool, err error) {
	if len(names) == 0 || len(names) > MaxFreedTags {
		return 0, false, gantry.Errorf(gantry.Invalid, "tag", "%d tags are not 1 to %d", len(names), MaxFreedTags)
	}
	err = db.read(ctx, "what tags alone store", func(ctx context.Context, t *tx) error {
		of, whole, err := t.freedRoots(ctx, repo, names)
		if bytes, all = 0, whole; err != nil || len(of) == 0 {
			return err
		}
		if of, whole, err = t.freedChildren(ctx, of); err != nil {
			return err
		}
		all = all && whole
		most := freedByTag
		if len(names) > 1 {
			most = freedByTags
		}
		in, args := list(of, nil)
		values := append(append(append([]any{repo}, args...), args...), repo)
		var n int64
		err = t.queryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN (SELECT o.manifest_id FROM manifest_blobs o WHERE o.repo_id = ? AND o.blob_id = b.blob_id AND o.manifest_id NOT IN `+in+` LIMIT 1) IS NULL
			AND (SELECT x.repo_id FROM repo_blobs x WHERE x.ns_id = rb.ns_id AND x.blob_id = rb.blob_id AND x.linked > 0 AND x.repo_id <> rb.repo_id LIMIT 1) IS NULL THEN rb.size ELSE 0 END), 0)
			FROM (SELECT DISTINCT blob_id FROM manifest_blobs WHERE manifest_id IN `+in+` ORDER BY blob_id LIMIT `+limit(most)+`) b
			JOIN repo_blobs rb ON rb.repo_id = ? AND rb.blob_id = b.blob_id`, values...).Scan(&n, &bytes)
		all = all && n < int64(most)
		return err
	})
	return bytes, all, err
}

// freedRoots are the manifests that the tags point at, without those that
// another tag, or an index that stays, holds.
func (t *tx) freedRoots(ctx context.Context, repo gantry.RepoID, names []string) (of []gantry.ManifestID, all bool, err error) {
	in, args := list(names, nil)
	found, roots := map[string]bool{}, map[gantry.ManifestID]bool{} // true: it goes
	var children []gantry.ManifestID
	err = t.each(ctx, func(rows *sql.Rows) error {
		var name string
		var id gantry.ManifestID
		var tagged, parent sql.NullInt64
		err := rows.Scan(&name, &id, &tagged, &parent)
		if _, twice := roots[id]; !twice && parent.Valid {
			children = append(children, id)
		}
		found[name], roots[id] = true, !tagged.Valid
		return err
	}, `SELECT g.name, g.manifest_id, (SELECT o.id FROM tags o WHERE o.manifest_id = g.manifest_id AND o.live = 1 AND o.name NOT IN `+in+` LIMIT 1),
		(SELECT c.parent_id FROM manifest_children c WHERE c.child_id = g.manifest_id LIMIT 1)
		FROM tags g WHERE g.repo_id = ? AND g.live = 1 AND g.name IN `+in, append(append(slices.Clone(args), repo), args...)...)
	if err != nil {
		return nil, false, err
	}
	for _, name := range names {
		if !found[name] {
			return nil, false, &gantry.Error{Code: gantry.NotFound, Object: "tag", Detail: "there is no tag " + name + " in this repository"}
		}
	}
	all = true
	parents := map[gantry.ManifestID][]gantry.ManifestID{}
	if len(roots) > 1 && len(children) > 0 {
		in, args := list(children, nil)
		n := 0
		err := t.each(ctx, func(rows *sql.Rows) error {
			var child, parent gantry.ManifestID
			err := rows.Scan(&child, &parent)
			n++
			parents[child] = append(parents[child], parent)
			return err
		}, `SELECT child_id, parent_id FROM manifest_children WHERE child_id IN `+in+` LIMIT `+limit(freedParents+1), args...)
		if err != nil {
			return nil, false, err
		}
		if n > freedParents { // somebody else holds what is not known
			all, parents = false, nil
		}
	}
	for again := true; again; { // what an index holds that stays, stays
		again = false
		for _, id := range children {
			if roots[id] && (len(parents[id]) == 0 || slices.ContainsFunc(parents[id], func(p gantry.ManifestID) bool { return !roots[p] })) {
				roots[id], again = false, true
			}
		}
	}
	for id, goes := range roots {
		if goes {
			of = append(of, id)
		}
	}
	slices.Sort(of)
	return of, all, nil
}

// freedChildren adds to manifests the images of theirs that nothing else holds.
func (t *tx) freedChildren(ctx context.Context, roots []gantry.ManifestID) (of []gantry.ManifestID, all bool, err error) {
	most, n := min(freedChildren*len(roots), freedParents), 0
	in, args := list(roots, nil)
	all, of = true, slices.Clone(roots)
	err = t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.ManifestID
		var parent, tagged, below sql.NullInt64
		err := rows.Scan(&id, &parent, &tagged, &below)
		if n++; n > most {
			all = false
			return err
		}
		if !parent.Valid && !tagged.Valid && !slices.Contains(of, id) {
			of = append(of, id)
			all = all && !below.Valid
		}
		return err
	}, `SELECT c.child_id, (SELECT p.parent_id FROM manifest_children p WHERE p.child_id = c.child_id AND p.parent_id NOT IN `+in+` LIMIT 1),
		(SELECT g.id FROM tags g WHERE g.manifest_id = c.child_id AND g.live = 1 LIMIT 1),
		(SELECT b.child_id FROM manifest_children b WHERE b.parent_id = c.child_id LIMIT 1)
		FROM manifest_children c WHERE c.parent_id IN `+in+` ORDER BY c.child_id LIMIT `+limit(most+1), append(args, args...)...)
	return of, all, err
}

// A QuotaRule says how quotas are held. The zero value holds none.
type QuotaRule struct {
	On bool // pushes that would pass a Reject limit are refused
	// Default is the quota, in bytes, of a namespace that has none of its own,
	// which no push may pass; 0 = no limit.
	Default int64
}

// A QuotaState is how much of its quota a namespace has used up.
type QuotaState struct {
	Used  int64 // bytes
	Limit int64 // bytes that no push may pass; math.MaxInt64 = there is no limit
}

// Exceeded is the refusal of a push that would have the namespace of that
// name store so many bytes.
func (q QuotaState) Exceeded(namespace string, bytes int64) error {
	return &gantry.Error{Code: gantry.Denied, Object: "quota", Reason: gantry.QuotaExceeded, Detail: "Quota has been exceeded on namespace " + namespace +
		": with this push it would store " + formatExactly(bytes) + " of " + formatExactly(q.Limit) + "; delete tags that are not needed, or ask a superuser for a larger quota"}
}

// QuotaState reads how much of its quota a namespace has used up, in one
// statement.
func (db *DB) QuotaState(ctx context.Context, ns gantry.AccountID, rule QuotaRule) (q QuotaState, err error) {
	err = db.read(ctx, "read quota", func(ctx context.Context, t *tx) error {
		q, err = t.quotaState(ctx, ns, rule)
		return err
	})
	return q, err
}

// quotaState is QuotaState with what this transaction did.
func (t *tx) quotaState(ctx context.Context, ns gantry.AccountID, rule QuotaRule) (q QuotaState, err error) {
	var own, percent sql.NullInt64
	err = t.queryRow(ctx, `SELECT `+usedBytes+`,
		(SELECT q.bytes FROM quotas q WHERE q.ns_id = a.id),
		(SELECT MIN(l.percent) FROM quotas q JOIN quota_limits l ON l.quota_id = q.id WHERE q.ns_id = a.id AND l.kind = '`+QuotaReject+`')
		FROM accounts a WHERE a.id = ?`, ns).Scan(&q.Used, &own, &percent)
	q.Limit = math.MaxInt64
	switch {
	case percent.Valid:
		q.Limit = own.Int64/100*percent.Int64 + own.Int64%100*percent.Int64/100
	case !own.Valid && rule.Default > 0:
		q.Limit = rule.Default
	}
	return q, notFound(err, errNoAccount("namespace"))
}

// holdQuota refuses what this transaction added to a namespace, gained bytes
// or less, if that passes its quota. It comes last before the commit.
//
// Pushes into one namespace do not wait for each other as long as there is
// room for many more of the same size. Near the limit they go one after the
// other: each then sees what the one before it added. It does not see what
// those that do not wait are about to commit: each of them adds less than a
// 64th of the room that it saw, and so much may be too many.
func (t *tx) holdQuota(ctx context.Context, rule QuotaRule, r target, gained int64) error {
	if !rule.On || gained == 0 {
		return nil
	}
	q, err := t.quotaState(ctx, r.ns, rule)
	if err == nil && !t.d.serial && q.Used <= q.Limit && q.Limit-q.Used < max(q.Limit/20, pushesAtOnce*min(gained, math.MaxInt64/pushesAtOnce)) {
		if err := t.lockNamespace(ctx, r.ns); err != nil {
			return err
		}
		q, err = t.quotaState(ctx, r.ns, rule) // a later statement: it sees who had the lock before
	}
	if err == nil && q.Used > q.Limit {
		return q.Exceeded(r.name.Namespace, q.Used)
	}
	return err
}

// pushesAtOnce is how many pushes of one size into one namespace may be in
// their last statements at once before they could pass a quota together.
const pushesAtOnce = 64

// lockNamespace keeps other changes of a namespace's quota, and pushes that
// come near it, out until this transaction ends. NotFound on "namespace".
func (t *tx) lockNamespace(ctx context.Context, ns gantry.AccountID) error {
	var id int64
	err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND kind <> 'robot' AND deleted_ms = 0`+t.d.excl, ns).Scan(&id)
	return notFound(err, errNoAccount("namespace"))
}

// changeQuota runs change, which returns what happened, and writes it down.
func (db *DB) changeQuota(ctx context.Context, ns Account, kind string, actor gantry.Actor, change func(ctx context.Context, t *tx) (map[string]any, error)) error {
	return db.update(ctx, kind, func(ctx context.Context, t *tx) error {
		if err := t.lockNamespace(ctx, ns.ID); err != nil {
			return err
		}
		payload, err := change(ctx, t)
		if err != nil {
			return err
		}
		t.more = true // what is kept of the quota is old now
		payload["namespace"] = ns.Name
		return t.event(ctx, Event{Kind: kind, Namespace: ns.ID, Actor: actor, Payload: payload})
	})
}

// formatExactly is a number of bytes for people who compare two of them.
func formatExactly(n int64) string { return fmt.Sprintf("%d bytes (%s)", n, gantry.FormatBytes(n)) }

var (
	errNoQuota = gantry.Errorf(gantry.NotFound, "quota", "Not Found")
	errLimits  = gantry.Errorf(gantry.Conflict, "quota", "A quota has at most %d limits; delete one first", MaxQuotaLimits)
)

// ownQuota finds the quota of that id if the namespace has it, with its
// limits.
func (t *tx) ownQuota(ctx context.Context, ns Account, id int64) (*Quota, error) {
	all, err := t.quotas(ctx, []gantry.AccountID{ns.ID})
	if err != nil {
		return nil, err
	}
	if q := all[ns.ID]; q != nil && q.ID == id {
		return q, nil
	}
	return nil, errNoQuota
}

// CreateQuota gives a namespace a quota. One that has a quota already is
// Conflict on "quota".
func (db *DB) CreateQuota(ctx context.Context, ns Account, bytes int64, actor gantry.Actor) error {
	return db.changeQuota(ctx, ns, "org_create_quota", actor, func(ctx context.Context, t *tx) (map[string]any, error) {
		id, err := t.insertIgnore(ctx, `INSERT INTO quotas (ns_id, bytes) VALUES (?, ?)`, ns.ID, bytes)
		if err == nil && id == 0 {
			err = gantry.Errorf(gantry.Conflict, "quota", "Organization quota for '%s' already exists", ns.Name)
		}
		return map[string]any{"quota_id": id, "limit_bytes": bytes}, err
	})
}

// SetQuota changes the size of a namespace's quota; NotFound on "quota" if it
// has none of that id.
func (db *DB) SetQuota(ctx context.Context, ns Account, id, bytes int64, actor gantry.Actor) error {
	return db.changeQuota(ctx, ns, "org_change_quota", actor, func(ctx context.Context, t *tx) (map[string]any, error) {
		q, err := t.ownQuota(ctx, ns, id)
		if err != nil {
			return nil, err
		}
		_, err = t.exec(ctx, `UPDATE quotas SET bytes = ? WHERE id = ?`, bytes, id)
		return map[string]any{"quota_id": id, "limit_bytes": bytes, "previous_limit_bytes": q.Bytes}, err
	})
}

// DeleteQuota takes the quota of a namespace away, with its limits; NotFound
// on "quota" if it has none of that id.
func (db *DB) DeleteQuota(ctx context.Context, ns Account, id int64, actor gantry.Actor) error {
	return db.changeQuota(ctx, ns, "org_delete_quota", actor, func(ctx context.Context, t *tx) (map[string]any, error) {
		q, err := t.ownQuota(ctx, ns, id)
		if err != nil {
			return nil, err
		}
		if _, err := t.exec(ctx, `DELETE FROM quota_limits WHERE quota_id = ?`, id); err != nil {
			return nil, err
		}
		_, err = t.exec(ctx, `DELETE FROM quotas WHERE id = ?`, id)
		return map[string]any{"quota_id": id, "limit_bytes": q.Bytes}, err
	})
}

// fits refuses a limit that there is, and a second Reject. other is a limit
// that does not count, because it is the one that changes.
func (q *Quota) fits(kind string, percent int, other int64) error {
	for _, l := range q.Limits {
		switch {
		case l.ID == other:
		case l.Kind == kind && l.Percent == percent:
			return gantry.Errorf(gantry.Conflict, "quota", "The quota has a limit of type '%s' at %d percent already", kind, percent)
		case l.Kind == kind && kind == QuotaReject:
			return gantry.Errorf(gantry.Conflict, "quota", "Only one quota limit of type 'Reject' allowed.")
		}
	}
	return nil
}

// find returns the limit of that id.
func (q *Quota) find(id int64) (QuotaLimit, error) {
	for _, l := range q.Limits {
		if l.ID == id {
			return l, nil
		}
	}
	return QuotaLimit{}, errNoQuota
}

// CreateQuotaLimit adds a limit to a namespace's quota. NotFound on "quota" if
// it has none of that id; Conflict on "quota" if it has that limit, a Reject
// already, or MaxQuotaLimits.
func (db *DB) CreateQuotaLimit(ctx context.Context, ns Account, quota int64, kind string, percent int, actor gantry.Actor) error {
	return db.changeQuota(ctx, ns, "org_create_quota_limit", actor, func(ctx context.Context, t *tx) (map[string]any, error) {
		q, err := t.ownQuota(ctx, ns, quota)
		if err != nil {
			return nil, err
		}
		if err := q.fits(kind, percent, 0); err != nil {
			return nil, err
		}
		if len(q.Limits) >= MaxQuotaLimits {
			return nil, errLimits
		}
		id, err := t.insert(ctx, `INSERT INTO quota_limits (quota_id, kind, percent) VALUES (?, ?, ?)`, quota, kind, percent)
		return map[string]any{"quota_id": quota, "limit_id": id, "type": kind, "threshold_percent": percent}, err
	})
}

// SetQuotaLimit changes a limit. Errors as of CreateQuotaLimit.
func (db *DB) SetQuotaLimit(ctx context.Context, ns Account, quota, limit int64, kind string, percent int, actor gantry.Actor) error {
	return db.changeQuota(ctx, ns, "org_change_quota_limit", actor, func(ctx context.Context, t *tx) (map[string]any, error) {
		q, err := t.ownQuota(ctx, ns, quota)
		if err != nil {
			return nil, err
		}
		old, err := q.find(limit)
		if err != nil {
			return nil, err
		}
		if err := q.fits(kind, percent, limit); err != nil {
			return nil, err
		}
		_, err = t.exec(ctx, `UPDATE quota_limits SET kind = ?, percent = ? WHERE id = ?`, kind, percent, limit)
		return map[string]any{"quota_id": quota, "limit_id": limit, "type": kind, "threshold_percent": percent,
			"previous_type": old.Kind, "previous_threshold_percent": old.Percent}, err
	})
}

// DeleteQuotaLimit takes a limit away; NotFound on "quota" if there is no
// such.
func (db *DB) DeleteQuotaLimit(ctx context.Context, ns Account, quota, limit int64, actor gantry.Actor) error {
	return db.changeQuota(ctx, ns, "org_delete_quota_limit", actor, func(ctx context.Context, t *tx) (map[string]any, error) {
		q, err := t.ownQuota(ctx, ns, quota)
		if err != nil {
			return nil, err
		}
		old, err := q.find(limit)
		if err != nil {
			return nil, err
		}
		_, err = t.exec(ctx, `DELETE FROM quota_limits WHERE id = ?`, limit)
		return map[string]any{"quota_id": quota, "limit_id": limit, "type": old.Kind, "threshold_percent": old.Percent}, err
	})
}
