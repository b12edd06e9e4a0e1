package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Collection is online and incremental: see docs/design/store.md, COLLECT. A
// row is deleted by a transaction that locks it for a change and finds, in a
// later statement, nothing that names it. Whoever makes an edge keeps the row
// that it points to locked for sharing until the edge is committed; so either
// the edge is seen, or its maker finds that the row is gone.
const (
	// MaxCollect is the most reviews that one transaction settles.
	MaxCollect = 100
	// maxCollectRows is about the most rows that one of them deletes from a
	// table.
	maxCollectRows = 500
	// pushPause is how long after a repository's last sign of an upload the
	// blobs that wait there for their manifest are kept.
	pushPause = time.Hour
	// purgeDelay is how long after its deletion a repository's row goes: a
	// push that found it alive has ended by then.
	purgeDelay = 15 * time.Minute
	// heldAgain is when a manifest that a restore point holds is looked at
	// again at the latest; the point may be released early.
	heldAgain = 24 * time.Hour
	// trashClaim is how long a worker has, from TrashDue, to begin to delete.
	trashClaim = 10 * time.Minute
	// trashFence is how long a key that was deleted is not used: no call of
	// Delete takes longer.
	trashFence = 24 * time.Hour
	// adoptGrace is how long an adopted blob waits for somebody who needs it.
	adoptGrace = 24 * time.Hour
)

// A Review asks collection to look at one thing.
type Review struct {
	id        int64
	Kind      string // "manifest", "repo_blob", "ns_blob", "blob", "repository" or "frozen"
	Ref, Ref2 int64  // what it is about, by ids; see review.go
}

// Collected counts what collection did: rows deleted, unless it says
// otherwise.
type Collected struct {
	Reviews       int   // settled, one way or another
	Early         int   // of these, queued again for a later time
	Tags          int64 // history that cannot be restored any more
	Manifests     int64
	ManifestBlobs int64
	Children      int64
	Labels        int64
	Uploads       int64
	RepoBlobs     int64
	NSBlobs       int64
	Blobs         int64
	Bytes         int64 // size of Blobs
	Placements    int64
	Repositories  int64
	Namespaces    int64 // deleted ones whose last repository went
}

// Add adds other to c.
func (c *Collected) Add(other Collected) {
	c.Reviews += other.Reviews
	c.Early += other.Early
	c.Tags += other.Tags
	c.Manifests += other.Manifests
	c.ManifestBlobs += other.ManifestBlobs
	c.Children += other.Children
	c.Labels += other.Labels
	c.Uploads += other.Uploads
	c.RepoBlobs += other.RepoBlobs
	c.NSBlobs += other.NSBlobs
	c.Blobs += other.Blobs
	c.Bytes += other.Bytes
	c.Placements += other.Placements
	c.Repositories += other.Repositories
	c.Namespaces += other.Namespaces
}

// Reviews returns up to n reviews that are due, the longest waiting first.
func (db *DB) Reviews(ctx context.Context, n int) (all []Review, err error) {
	err = db.read(ctx, "due reviews", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var r Review
			err := rows.Scan(&r.id, &r.Kind, &r.Ref, &r.Ref2)
			all = append(all, r)
			return err
		}, `SELECT id, kind, ref, ref2 FROM gc_reviews WHERE after_ms <= ? ORDER BY after_ms, id LIMIT ?`, t.now.UnixMilli(), n)
	})
	return all, err
}

// ReviewBacklog returns how many reviews are due, at most limit of them, and
// how many objects wait in the trash to be deleted.
func (db *DB) ReviewBacklog(ctx context.Context, limit int) (due, trashed int64, err error) {
	err = db.read(ctx, "review backlog", func(ctx context.Context, t *tx) error {
		return t.queryRow(ctx, `SELECT
			(SELECT COUNT(*) FROM (SELECT id FROM gc_reviews WHERE after_ms <= ? LIMIT ?) d),
			(SELECT COUNT(*) FROM (SELECT id FROM trash WHERE done_ms = 0 LIMIT ?) e)`,
			t.now.UnixMilli(), limit, limit).Scan(&due, &trashed)
	})
	return due, trashed, err
}

// DeferReviews puts reviews off that could not be settled, so that they do
// not keep others waiting.
func (db *DB) DeferReviews(ctx context.Context, reviews []Review, by time.Duration) error {
	if len(reviews) == 0 {
		return nil
	}
	return db.update(ctx, "defer reviews", func(ctx context.Context, t *tx) error {
		in, args := list(reviewIDs(reviews), []any{t.now.Add(by).UnixMilli()})
		_, err := t.exec(ctx, `UPDATE gc_reviews SET after_ms = ? WHERE id IN `+in, args...)
		return err
	})
}

// Collect settles up to MaxCollect reviews of one kind in one transaction:
// what nothing needs goes, and what it alone kept is reviewed in its turn;
// what is too early is queued again for its time; what is gone or needed is
// forgotten. retention is how long an ended tag can be restored where the
// namespace made no choice.
//
// A review of a repository is one step of its emptying, or of freezing its
// tags; it stays queued until nothing is left.
func (db *DB) Collect(ctx context.Context, reviews []Review, retention time.Duration) (c Collected, err error) {
	if len(reviews) == 0 {
		return c, nil
	}
	if len(reviews) > MaxCollect {
		reviews = reviews[:MaxCollect]
	}
	kind := reviews[0].Kind
	for _, r := range reviews {
		if r.Kind != kind {
			return c, errors.New("collect: reviews of different kinds")
		}
	}
	err = db.update(ctx, "collect "+kind, func(ctx context.Context, t *tx) error {
		c = Collected{Reviews: len(reviews)}
		switch kind {
		case reviewManifest:
			ids := make([]gantry.ManifestID, 0, len(reviews))
			for _, r := range reviews {
				ids = append(ids, gantry.ManifestID(r.Ref))
			}
			return t.collectManifests(ctx, ids, reviews, retention, &c)
		case reviewRepoBlob:
			return t.collectRepoBlobs(ctx, reviewPairs(reviews), reviews, &c)
		case reviewNSBlob:
			return t.collectNSBlobs(ctx, reviewPairs(reviews), reviews, &c)
		case reviewBlob:
			ids := make([]gantry.BlobID, 0, len(reviews))
			for _, r := range reviews {
				ids = append(ids, gantry.BlobID(r.Ref))
			}
			return t.collectBlobs(ctx, ids, reviews, &c)
		case reviewRepository:
			c.Reviews = 1
			return t.purgeRepository(ctx, gantry.RepoID(reviews[0].Ref), retention, &c)
		case reviewFrozen:
			c.Reviews = 1
			return t.refreeze(ctx, reviews[0])
		}
		return t.settle(ctx, reviews) // of a kind that no release of this schema makes
	})
	if err != nil {
		return Collected{}, err
	}
	return c, nil
}

// settle removes reviews. It comes after the lock and before the look: who
// takes an edge away meanwhile queues the review anew, in its own
// transaction, and waits for this one if the row is still there.
func (t *tx) settle(ctx context.Context, reviews []Review) error {
	if len(reviews) == 0 {
		return nil
	}
	in, args := list(reviewIDs(reviews), nil)
	_, err := t.exec(ctx, `DELETE FROM gc_reviews WHERE id IN `+in, args...)
	return err
}

func reviewIDs(reviews []Review) []int64 {
	ids := make([]int64, 0, len(reviews))
	for _, r := range reviews {
		ids = append(ids, r.id)
	}
	slices.Sort(ids)
	return ids
}

// A pair is the key of a repo_blob or an ns_blob.
type pair struct{ first, second int64 }

func comparePairs(a, b pair) int {
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second))
}

func reviewPairs(reviews []Review) []pair {
	all := make([]pair, 0, len(reviews))
	for _, r := range reviews {
		all = append(all, pair{r.Ref, r.Ref2})
	}
	slices.SortFunc(all, comparePairs)
	return slices.Compact(all)
}

// pairs is the condition that two columns are one of these keys, padded as
// list is, with its arguments. Each database looks the key up once for each
// pair, which is not so for row values. Where all have the same first half it
// is not ORs, from which planners take that half out, to read all rows that
// have it; nor, for PostgreSQL, anything else that shows the half.
func (t *tx) pairs(a, b string, of []pair) (where string, args []any) {
	if t.d.name == "postgres" {
		first, second := make([]int64, 0, len(of)), make([]int64, 0, len(of))
		for _, p := range of {
			first, second = append(first, p.first), append(second, p.second)
		}
		return "(" + a + ", " + b + ") IN (SELECT * FROM unnest(CAST(? AS BIGINT[]), CAST(? AS BIGINT[])))", []any{first, second}
	}
	if !slices.ContainsFunc(of, func(p pair) bool { return p.first != of[0].first }) {
		second := make([]int64, 0, len(of))
		for _, p := range of {
			second = append(second, p.second)
		}
		in, args := list(second, []any{of[0].first})
		return "(" + a + " = ? AND " + b + " IN " + in + ")", args
	}
	n := 1
	for n < len(of) {
		n *= 2
	}
	one := "(" + a + " = ? AND " + b + " = ?)"
	for i := range n {
		p := of[min(i, len(of)-1)]
		args = append(args, p.first, p.second)
	}
	return "(" + one + strings.Repeat(" OR "+one, n-1) + ")", args
}

// queued is a review to be asked for.
type queued struct {
	kind      string
	ref, ref2 int64
	after     int64 // ms
}

// reviews is review for many.
func (t *tx) reviews(ctx context.Context, all []queued) error {
	slices.SortFunc(all, func(a, b queued) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.ref, b.ref), cmp.Compare(a.ref2, b.ref2), cmp.Compare(a.after, b.after))
	})
	all = slices.CompactFunc(all, func(a, b queued) bool { return a.kind == b.kind && a.ref == b.ref && a.ref2 == b.ref2 })
	for len(all) > 0 {
		n := 1
		for 2*n <= len(all) && n < 256 {
			n *= 2
		}
		args := make([]any, 0, 4*n)
		for _, q := range all[:n] {
			args = append(args, q.kind, q.ref, q.ref2, q.after)
		}
		if _, err := t.exec(ctx, `INSERT INTO gc_reviews (kind, ref, ref2, after_ms) VALUES `+tuples(n, 4)+t.sooner(), args...); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// sooner ends an INSERT of reviews: one that waits keeps the earlier time.
func (t *tx) sooner() string {
	fresh := t.d.fresh("after_ms")
	return t.d.upsert("kind, ref, ref2", "after_ms = CASE WHEN gc_reviews.after_ms < "+fresh+" THEN gc_reviews.after_ms ELSE "+fresh+" END")
}

// manifestState is all that decides whether a manifest may go.
type manifestState struct {
	id        gantry.ManifestID
	repo      gantry.RepoID
	lease     int64 // ms
	rows      int64 // what goes with it
	live      bool  // a tag points at it
	ended     int64 // when the last tag that did so ended, ms; 0 = none
	parent    bool  // an index names it
	subject   bool  // what it refers to is here, and nobody deleted it
	retention int64 // s; negative: the namespace made no choice
	orphan    bool  // its repository is deleted
	frozen    bool  // its repository is read-only
}

// manifestFate says whether a manifest may go now, and if not, when to look
// again, in ms; 0 = not before something that keeps it goes.
func manifestFate(m manifestState, now time.Time, retention time.Duration, h hold) (gone bool, again int64) {
	if m.orphan {
		return true, 0
	}
	if m.live || m.parent || m.subject {
		return false, 0
	}
	if m.frozen {
		return false, now.Add(frozenAgain).UnixMilli()
	}
	ms := now.UnixMilli()
	if m.ended != 0 {
		if due := m.ended + pick(m.retention, retention).Milliseconds(); due > ms {
			again = due
		}
		if h.oldest != 0 && m.ended > h.oldest {
			again = max(again, min(h.until, now.Add(heldAgain).UnixMilli()))
		}
	}
	if m.lease > ms {
		again = max(again, m.lease)
	}
	return again == 0, again
}

// collectManifests is G1.
func (t *tx) collectManifests(ctx context.Context, ids []gantry.ManifestID, reviews []Review, retention time.Duration, c *Collected) error {
	slices.Sort(ids)
	in, args := list(ids, nil)
	if !t.d.serial {
		if err := t.each(ctx, func(*sql.Rows) error { return nil },
			`SELECT id FROM manifests WHERE id IN `+in+` ORDER BY id`+t.d.excl, args...); err != nil {
			return err
		}
	}
	if err := t.settle(ctx, reviews); err != nil {
		return err
	}
	h, err := t.hold(ctx)
	if err != nil {
		return err
	}
	var gone []gantry.ManifestID
	var later []queued
	var repos []gantry.RepoID
	rows := int64(0)
	if err := t.each(ctx, func(r *sql.Rows) error {
		var m manifestState
		var live, parent, subject, orphan, frozen int
		if err := r.Scan(&m.id, &m.repo, &m.lease, &m.rows, &live, &m.ended, &parent, &subject, &m.retention, &orphan, &frozen); err != nil {
			return err
		}
		m.live, m.parent, m.subject, m.orphan, m.frozen = live != 0, parent != 0, subject != 0, orphan != 0, frozen != 0
		ok, again := manifestFate(m, t.now, retention, h)
		switch {
		case ok && rows > 0 && rows+m.rows > maxCollectRows:
			later = append(later, queued{reviewManifest, int64(m.id), 0, t.now.UnixMilli()})
		case ok:
			rows += m.rows
			gone = append(gone, m.id)
			repos = append(repos, m.repo)
		case again != 0:
			later = append(later, queued{reviewManifest, int64(m.id), 0, again})
		}
		return nil
	}, `SELECT m.id, m.repo_id, m.lease_until_ms,
		(SELECT COUNT(*) FROM manifest_blobs b WHERE b.manifest_id = m.id) + (SELECT COUNT(*) FROM manifest_children d WHERE d.parent_id = m.id)
			+ (SELECT COUNT(*) FROM tags u WHERE u.manifest_id = m.id),
		CASE WHEN EXISTS (SELECT 1 FROM tags g WHERE g.manifest_id = m.id AND g.live = 1) THEN 1 ELSE 0 END,
		COALESCE((SELECT MAX(e.end_ms) FROM tags e WHERE e.manifest_id = m.id AND e.live IS NULL), 0),
		CASE WHEN EXISTS (SELECT 1 FROM manifest_children p WHERE p.child_id = m.id) THEN 1 ELSE 0 END,
		CASE WHEN m.hidden_ms = 0 AND EXISTS (SELECT 1 FROM manifests s WHERE s.repo_id = m.repo_id AND s.digest = m.subject) THEN 1 ELSE 0 END,
		COALESCE(a.retention_s, -1), CASE WHEN r.id IS NULL OR r.deleted_ms <> 0 THEN 1 ELSE 0 END,
		CASE WHEN r.state = `+big(int64(gantry.ReadOnlyState))+` THEN 1 ELSE 0 END
		FROM manifests m LEFT JOIN repositories r ON r.id = m.repo_id LEFT JOIN accounts a ON a.id = r.ns_id
		WHERE m.id IN `+in+` ORDER BY m.id`, args...); err != nil {
		return err
	}
	c.Early += len(later)
	if err := t.reviews(ctx, later); err != nil {
		return err
	}
	for _, r := range repos {
		t.grow(r)
	}
	return t.deleteManifests(ctx, gone, c)
}

// deleteManifests removes manifests that are locked and that nothing names,
// and queues what they kept.
func (t *tx) deleteManifests(ctx context.Context, ids []gantry.ManifestID, c *Collected) error {
	if len(ids) == 0 {
		return nil
	}
	in, args := list(ids, nil)
	now := t.now.UnixMilli()
	// Not INSERT … SELECT: in MySQL that holds the table's auto-increment lock
	// while it waits for rows.
	var next []queued
	for _, q := range []struct{ kind, from string }{
		{reviewManifest, `SELECT child_id, 0 FROM manifest_children WHERE parent_id IN ` + in},
		{reviewManifest, `SELECT f.id, 0 FROM manifests s JOIN manifests f ON f.repo_id = s.repo_id AND f.subject = s.digest WHERE s.id IN ` + in},
		{reviewRepoBlob, `SELECT DISTINCT repo_id, blob_id FROM manifest_blobs WHERE manifest_id IN ` + in},
	} {
		if err := t.each(ctx, func(rows *sql.Rows) error {
			l := queued{kind: q.kind, after: now}
			err := rows.Scan(&l.ref, &l.ref2)
			next = append(next, l)
			return err
		}, q.from, args...); err != nil {
			return err
		}
	}
	if err := t.reviews(ctx, next); err != nil {
		return err
	}
	for _, d := range []struct {
		from string
		n    *int64
	}{
		{"tags WHERE manifest_id", &c.Tags},
		{"manifest_labels WHERE manifest_id", &c.Labels},
		{"manifest_children WHERE parent_id", &c.Children},
		{"manifest_children WHERE child_id", &c.Children}, // only where the repository is deleted
		{"manifest_blobs WHERE manifest_id", &c.ManifestBlobs},
		{"manifest_bodies WHERE manifest_id", new(int64)},
		{"manifests WHERE id", &c.Manifests},
	} {
		n, err := t.exec(ctx, `DELETE FROM `+d.from+` IN `+in, args...)
		if err != nil {
			return err
		}
		*d.n += n
	}
	return nil
}

// repoBlobRow is a locked repo_blob.
type repoBlobRow struct {
	key         pair
	ns          gantry.AccountID
	size        int64
	linked      int64
	lease       int64
	hidden      bool
	used, alone bool // by a manifest; without a live repository
}

// collectRepoBlobs is the first half of G2. keys are sorted.
func (t *tx) collectRepoBlobs(ctx context.Context, keys []pair, reviews []Review, c *Collected) error {
	where, args := t.pairs("rb.repo_id", "rb.blob_id", keys)
	if !t.d.serial {
		if err := t.each(ctx, func(*sql.Rows) error { return nil },
			`SELECT rb.repo_id FROM repo_blobs rb WHERE `+where+` ORDER BY rb.repo_id, rb.blob_id`+t.d.excl, args...); err != nil {
			return err
		}
	}
	if err := t.settle(ctx, reviews); err != nil {
		return err
	}
	var idle []repoBlobRow // no manifest uses them
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var r repoBlobRow
		var hidden int64
		var used, alone int
		if err := rows.Scan(&r.key.first, &r.key.second, &r.ns, &r.size, &r.linked, &r.lease, &hidden, &used, &alone); err != nil {
			return err
		}
		r.hidden, r.used, r.alone = hidden != 0, used != 0, alone != 0
		if !r.used {
			idle = append(idle, r)
		}
		return nil
	}, `SELECT rb.repo_id, rb.blob_id, rb.ns_id, rb.size, rb.linked, rb.lease_until_ms, rb.hidden_ms,
		CASE WHEN EXISTS (SELECT 1 FROM manifest_blobs mb WHERE mb.repo_id = rb.repo_id AND mb.blob_id = rb.blob_id) THEN 1 ELSE 0 END,
		CASE WHEN r.id IS NULL OR r.deleted_ms <> 0 THEN 1 ELSE 0 END
		FROM repo_blobs rb LEFT JOIN repositories r ON r.id = rb.repo_id WHERE `+where+` ORDER BY rb.repo_id, rb.blob_id`, args...); err != nil {
		return err
	}
	if len(idle) == 0 {
		return nil
	}
	busy, err := t.pushing(ctx, idle)
	if err != nil {
		return err
	}
	now := t.now.UnixMilli()
	var unlink, gone []pair
	var deltas []any
	var next []queued
	longer := map[pair]int64{}
	for _, r := range idle {
		t.grow(gantry.RepoID(r.key.first))
		if r.linked != 0 {
			deltas = append(deltas, r.ns, r.key.first, -r.size)
			next = append(next, queued{reviewNSBlob, int64(r.ns), r.key.second, now})
		}
		switch until := busy[r.key.first]; {
		case r.hidden, r.alone, r.lease <= now && until <= now:
			gone = append(gone, r.key)
			next = append(next, queued{reviewBlob, r.key.second, 0, now})
			continue
		case r.lease <= now:
			longer[r.key] = until
		}
		if r.linked != 0 {
			unlink = append(unlink, r.key) // CollectLeases finds it when its time is over
		}
	}
	if len(unlink) > 0 {
		where, args := t.pairs("repo_id", "blob_id", unlink)
		if _, err := t.exec(ctx, `UPDATE repo_blobs SET linked = 0 WHERE `+where, args...); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if until := longer[k]; until != 0 {
			if _, err := t.exec(ctx, `UPDATE repo_blobs SET lease_until_ms = ? WHERE repo_id = ? AND blob_id = ?`, until, k.first, k.second); err != nil {
				return err
			}
		}
	}
	if len(gone) > 0 {
		where, args := t.pairs("repo_id", "blob_id", gone)
		n, err := t.exec(ctx, `DELETE FROM repo_blobs WHERE `+where, args...)
		if err != nil {
			return err
		}
		c.RepoBlobs += n
	}
	c.Early += len(idle) - len(gone)
	if err := t.usage(ctx, deltas); err != nil {
		return err
	}
	return t.reviews(ctx, next)
}

// usage appends deltas: namespace, repository or 0, bytes, and so on.
func (t *tx) usage(ctx context.Context, deltas []any) error {
	if len(deltas) == 0 {
		return nil
	}
	_, err := t.exec(ctx, `INSERT INTO usage_deltas (ns_id, repo_id, bytes) VALUES `+tuples(len(deltas)/3, 3), deltas...)
	return err
}

// pushing returns until when, in ms, the repositories of those rows look as if
// a push went on there: for pushPause after the last sign of an upload, and
// while another blob that no manifest uses yet has a lease.
func (t *tx) pushing(ctx context.Context, of []repoBlobRow) (map[int64]int64, error) {
	now := t.now.UnixMilli()
	var repos []int64
	for _, r := range of {
		if r.lease <= now && !r.hidden && !r.alone && !slices.Contains(repos, r.key.first) {
			repos = append(repos, r.key.first)
		}
	}
	until := map[int64]int64{}
	if len(repos) == 0 {
		return until, nil
	}
	scan := func(rows *sql.Rows) error {
		var repo, ms int64
		err := rows.Scan(&repo, &ms)
		until[repo] = max(until[repo], ms)
		return err
	}
	in, args := list(repos, nil)
	if err := t.each(ctx, scan, `SELECT repo_id, MAX(touched_ms) + `+big(pushPause.Milliseconds())+` FROM uploads WHERE repo_id IN `+in+
		` GROUP BY repo_id`, args...); err != nil {
		return nil, err
	}
	return until, t.each(ctx, scan, `SELECT repo_id, MAX(lease_until_ms) FROM repo_blobs
		WHERE linked = 0 AND lease_until_ms > ? AND hidden_ms = 0 AND repo_id IN `+in+` GROUP BY repo_id`, append([]any{now}, args...)...)
}

// collectNSBlobs is the second half of G2. keys are sorted.
func (t *tx) collectNSBlobs(ctx context.Context, keys []pair, reviews []Review, c *Collected) error {
	where, args := t.pairs("nb.ns_id", "nb.blob_id", keys)
	if !t.d.serial {
		if err := t.each(ctx, func(*sql.Rows) error { return nil },
			`SELECT nb.ns_id FROM ns_blobs nb WHERE `+where+` ORDER BY nb.ns_id, nb.blob_id`+t.d.excl, args...); err != nil {
			return err
		}
	}
	if err := t.settle(ctx, reviews); err != nil {
		return err
	}
	var gone []pair
	var deltas []any
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var k pair
		var size int64
		err := rows.Scan(&k.first, &k.second, &size)
		gone = append(gone, k)
		deltas = append(deltas, k.first, 0, -size)
		return err
	}, `SELECT nb.ns_id, nb.blob_id, nb.size FROM ns_blobs nb WHERE `+where+` AND NOT EXISTS
		(SELECT 1 FROM repo_blobs rb WHERE rb.ns_id = nb.ns_id AND rb.blob_id = nb.blob_id AND rb.linked > 0)`, args...); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	where, args = t.pairs("ns_id", "blob_id", gone)
	n, err := t.exec(ctx, `DELETE FROM ns_blobs WHERE `+where, args...)
	if err != nil {
		return err
	}
	c.NSBlobs += n
	return t.usage(ctx, deltas)
}

// collectBlobs is G3.
func (t *tx) collectBlobs(ctx context.Context, ids []gantry.BlobID, reviews []Review, c *Collected) error {
	slices.Sort(ids)
	in, args := list(ids, nil)
	if !t.d.serial {
		if err := t.each(ctx, func(*sql.Rows) error { return nil },
			`SELECT id FROM blobs WHERE id IN `+in+` ORDER BY id`+t.d.excl, args...); err != nil {
			return err
		}
	}
	if err := t.settle(ctx, reviews); err != nil {
		return err
	}
	digests := map[gantry.BlobID]gantry.Digest{}
	var gone []gantry.BlobID
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.BlobID
		var d []byte
		var size int64
		err := rows.Scan(&id, &d, &size)
		gone = append(gone, id)
		digests[id] = gantry.DigestFromBytes(d)
		c.Bytes += size
		return err
	}, `SELECT b.id, b.digest, b.size FROM blobs b WHERE b.id IN `+in+` AND NOT EXISTS (SELECT 1 FROM repo_blobs rb WHERE rb.blob_id = b.id)
		ORDER BY b.id`, args...); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	in, args = list(gone, nil)
	var objects []object
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.BlobID
		var o object
		err := rows.Scan(&id, &o.location, &o.path)
		o.path = orCanonical(o.path, digests[id])
		objects = append(objects, o)
		return err
	}, `SELECT blob_id, location_id, path FROM placements WHERE blob_id IN `+in, args...); err != nil {
		return err
	}
	if err := t.discard(ctx, objects, trashDelay); err != nil {
		return err
	}
	n, err := t.exec(ctx, `DELETE FROM placements WHERE blob_id IN `+in, args...)
	if err != nil {
		return err
	}
	c.Placements += n
	if _, err := t.exec(ctx, `DELETE FROM copies WHERE blob_id IN `+in, args...); err != nil {
		return err
	}
	n, err = t.exec(ctx, `DELETE FROM blobs WHERE id IN `+in, args...)
	c.Blobs += n
	return err
}

// CollectLeases reviews up to n blobs that were uploaded or mounted, whose
// lease is over, and that no manifest uses. While a push goes on in their
// repository, their lease is prolonged. It returns how many it settled.
func (db *DB) CollectLeases(ctx context.Context, n int) (c Collected, err error) {
	err = db.update(ctx, "collect leases", func(ctx context.Context, t *tx) error {
		c = Collected{}
		var keys []pair
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var k pair
			err := rows.Scan(&k.first, &k.second)
			keys = append(keys, k)
			return err
		}, `SELECT repo_id, blob_id FROM repo_blobs WHERE linked = 0 AND lease_until_ms <= ? ORDER BY lease_until_ms LIMIT ?`,
			t.now.UnixMilli(), min(n, MaxCollect)); err != nil {
			return err
		}
		if len(keys) == 0 {
			return nil
		}
		slices.SortFunc(keys, comparePairs)
		c.Reviews = len(keys)
		return t.collectRepoBlobs(ctx, keys, nil, &c)
	})
	return c, err
}

// ExpireTags looks at up to n tags whose time is over, and returns at how
// many: it ends them, each with a row in the journal, but for those of
// read-only repositories, which it freezes. retention is as in Collect.
func (db *DB) ExpireTags(ctx context.Context, n int, retention time.Duration) (expired int, err error) {
	type span struct {
		id, manifest, end int64
		repo              gantry.RepoID
		ns                gantry.AccountID
		keep              int64
		frozen            int
		tag               tagPayload
	}
	err = db.update(ctx, "expire tags", func(ctx context.Context, t *tx) error {
		now := t.now.UnixMilli()
		n := min(n, maxCollectRows)
		var ids []int64
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT id FROM tags WHERE live = 1 AND end_ms <= ? ORDER BY end_ms, id LIMIT ?`, now, n); err != nil {
			return err
		}
		if expired = 0; len(ids) == 0 {
			return nil
		}
		slices.Sort(ids)
		in, args := list(ids, nil)
		if !t.d.serial {
			if err := t.each(ctx, func(*sql.Rows) error { return nil }, `SELECT id FROM tags WHERE id IN `+in+` ORDER BY id`+t.d.excl, args...); err != nil {
				return err
			}
		}
		var spans []span
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var s span
			var digest []byte
			if err := rows.Scan(&s.id, &s.repo, &s.manifest, &s.end, &s.tag.Tag, &digest, &s.ns, &s.keep, &s.frozen, &s.tag.Repo, &s.tag.Namespace); err != nil {
				return err
			}
			s.tag.Digest = gantry.DigestFromBytes(digest)
			spans = append(spans, s)
			return nil
		}, `SELECT g.id, g.repo_id, g.manifest_id, g.end_ms, g.name, m.digest, COALESCE(r.ns_id, 0), COALESCE(a.retention_s, -1),
			CASE WHEN r.state = `+big(int64(gantry.ReadOnlyState))+` AND COALESCE((SELECT f.since_ms FROM frozen_repositories f WHERE f.repo_id = r.id), 0) < g.end_ms
				THEN 1 ELSE 0 END, COALESCE(r.name, ''), COALESCE(a.name, '')
			FROM tags g LEFT JOIN manifests m ON m.id = g.manifest_id LEFT JOIN repositories r ON r.id = g.repo_id LEFT JOIN accounts a ON a.id = r.ns_id
			WHERE g.id IN `+in+` AND g.live = 1 AND g.end_ms <= ? ORDER BY g.id`, append(slices.Clone(args), now)...); err != nil {
			return err
		}
		expired = len(spans)
		frozen := map[gantry.RepoID][]frozenTag{}
		spans = slices.DeleteFunc(spans, func(s span) bool {
			if s.frozen != 0 {
				t.grow(s.repo)
				frozen[s.repo] = append(frozen[s.repo], frozenTag{s.id, s.end})
			}
			return s.frozen != 0
		})
		for repo, tags := range frozen {
			if err := t.freezeTags(ctx, repo, tags); err != nil {
				return err
			}
		}
		if len(spans) == 0 {
			return nil
		}
		ids = ids[:0]
		for _, s := range spans {
			ids = append(ids, s.id)
		}
		in, args = list(ids, nil)
		if _, err := t.exec(ctx, `UPDATE tags SET live = NULL, ended_by = '`+endedByExpiry+`' WHERE id IN `+in+` AND live = 1 AND end_ms <= ?`,
			append(slices.Clone(args), now)...); err != nil {
			return err
		}
		var next []queued
		for _, s := range spans {
			t.grow(s.repo)
			next = append(next, queued{reviewManifest, s.manifest, 0, s.end + pick(s.keep, retention).Milliseconds()})
			if err := t.event(ctx, Event{Kind: "delete_tag", Namespace: s.ns, Repo: s.repo, Payload: struct {
				tagPayload
				Expired bool `json:"expired"`
			}{s.tag, true}}); err != nil {
				return err
			}
		}
		return t.reviews(ctx, next)
	})
	return expired, err
}

// repositoryTables are the tables whose rows go with their repository, by
// their column repo_id, beside those that collection empties in order.
var repositoryTables = []string{"permissions", "tags", "usage_deltas", "usage_totals", "stars", "repository_words",
	"frozen_tags", "frozen_repositories", "prune_policies", "immutability_policies", "proxy_manifests", "proxy_blobs", "proxy_tags",
	"repo_mirrors", "mirror_runs", "mirror_outcomes"}

// purgeRepository does one step of emptying a deleted repository. Its row goes
// last, some time after the deletion, when no push that saw it alive can add
// anything.
func (t *tx) purgeRepository(ctx context.Context, repo gantry.RepoID, retention time.Duration, c *Collected) error {
	var deleted int64
	var ns gantry.AccountID
	err := t.queryRow(ctx, `SELECT deleted_ms, ns_id FROM repositories WHERE id = ?`+t.d.excl, repo).Scan(&deleted, &ns)
	forget := func() error {
		_, err := t.exec(ctx, `DELETE FROM gc_reviews WHERE kind = '`+reviewRepository+`' AND ref = ?`, repo)
		return err
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return forget()
	case err != nil:
		return err
	case deleted == 0:
		return forget()
	}
	if n, err := t.dropUploads(ctx, `repo_id = ?`, repo); err != nil || n > 0 {
		c.Uploads += n
		return err
	}
	var manifests []gantry.ManifestID
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.ManifestID
		err := rows.Scan(&id)
		manifests = append(manifests, id)
		return err
	}, `SELECT id FROM manifests WHERE repo_id = ? ORDER BY id LIMIT ?`, repo, MaxCollect); err != nil {
		return err
	}
	if len(manifests) > 0 {
		if err := t.collectManifests(ctx, manifests, nil, retention, c); err != nil {
			return err
		}
		return nil
	}
	var blobs []pair
	if err := t.each(ctx, func(rows *sql.Rows) error {
		k := pair{first: int64(repo)}
		err := rows.Scan(&k.second)
		blobs = append(blobs, k)
		return err
	}, `SELECT blob_id FROM repo_blobs WHERE repo_id = ? ORDER BY blob_id LIMIT ?`, repo, MaxCollect); err != nil {
		return err
	}
	if len(blobs) > 0 {
		return t.collectRepoBlobs(ctx, blobs, nil, c)
	}
	if at := deleted + purgeDelay.Milliseconds(); at > t.now.UnixMilli() {
		c.Early++
		_, err := t.exec(ctx, `UPDATE gc_reviews SET after_ms = ? WHERE kind = '`+reviewRepository+`' AND ref = ?`, at, repo)
		return err
	}
	for _, table := range repositoryTables {
		if _, err := t.exec(ctx, `DELETE FROM `+table+` WHERE repo_id = ?`, repo); err != nil {
			return err
		}
	}
	n, err := t.exec(ctx, `DELETE FROM repositories WHERE id = ?`, repo)
	if err != nil {
		return err
	}
	c.Repositories += n
	var last int64
	if err := t.queryRow(ctx, `SELECT COUNT(*) FROM accounts a WHERE a.id = ? AND a.deleted_ms > 0
		AND NOT EXISTS (SELECT 1 FROM repositories r WHERE r.ns_id = a.id)`, ns).Scan(&last); err != nil {
		return err
	}
	c.Namespaces += last
	t.grow(repo)
	t.more = true
	return forget()
}

// SweepUploads ends up to n uploads that showed no sign of life for so long;
// what they stored is queued for deletion. It returns how many.
func (db *DB) SweepUploads(ctx context.Context, idle time.Duration) (n int64, err error) {
	err = db.update(ctx, "sweep uploads", func(ctx context.Context, t *tx) error {
		n, err = t.dropUploads(ctx, `touched_ms <= ?`, t.now.Add(-idle).UnixMilli())
		return err
	})
	return n, err
}

// dropUploads ends up to maxCollectRows uploads that fit and queues their
// objects for deletion. A commit of such an upload finds its row gone.
func (t *tx) dropUploads(ctx context.Context, where string, arg any) (int64, error) {
	var ids []string
	var objects []object
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id string
		var o object
		err := rows.Scan(&id, &o.location, &o.path, &o.state)
		if o.state == nil {
			o.state = []byte{}
		}
		ids, objects = append(ids, id), append(objects, o)
		return err
	}, `SELECT uuid, location_id, path, engine_state FROM uploads WHERE `+where+` ORDER BY touched_ms, uuid LIMIT `+big(maxCollectRows)+t.d.excl, arg); err != nil || len(ids) == 0 {
		return 0, err
	}
	in, args := list(ids, nil)
	n, err := t.exec(ctx, `DELETE FROM uploads WHERE uuid IN `+in, args...)
	if err != nil {
		return 0, err
	}
	return n, t.discard(ctx, objects, 0)
}

// big is n as SQL.
func big(n int64) string { return strconv.FormatInt(n, 10) }
