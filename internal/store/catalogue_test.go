package store_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestCatalogue holds that no hot statement of the registry, of its lists and
// of collection costs more in a large catalogue than in a small one: whatever
// it looks for, it reads a bounded number of rows, through an index, and sorts
// no more than a few. With GANTRY_CATALOGUE=large it does so on PostgreSQL with
// ten million links of manifests to blobs, and measures: see largeCatalogue.
func TestCatalogue(t *testing.T) {
	if os.Getenv("GANTRY_CATALOGUE") == "large" {
		largeCatalogue(t)
		return
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := newCatalogue(t, db, store.SeedOptions{Organizations: 100, Users: 3000, Repositories: 5000, Tags: 20_100, Images: 4, Layers: 4, Teams: 1, Logs: 45_000})
		c.fill(func(query string, args ...any) { storetest.Exec(t, db, query, args...) })
		c.look(storetest.SQL(t, db), 40)
		// A planner rightly reads the whole of a table that is small, which
		// says nothing of a large one.
		c.settings = []string{"SET LOCAL enable_seqscan = off"}
		for _, op := range operations() {
			t.Run(op.name, func(t *testing.T) { c.explain(t, op, 4) })
		}
	})
}

// A sent is a statement as the driver gets it.
type sent struct {
	query string
	args  []any
}

// A catalogue is a database that Seed filled, and places in it.
type catalogue struct {
	ctx      context.Context
	db       *store.DB
	pool     *sql.DB
	made     store.Seeded
	location int64
	user     gantry.AccountID // owns the first organization
	places   []*place
	large    map[string]bool // tables that no statement may read as a whole
	settings []string        // of the sessions that explain
	n        int             // operations run; what they make has a number of its own
}

// A place is an image of some repository, chosen at random.
type place struct {
	repo     gantry.RepoID
	name     gantry.RepoName
	ns       gantry.AccountID
	account  gantry.AccountID // may read the repository
	login    string           // its name
	manifest gantry.Digest
	id       int64 // of the manifest
	tag      string
	blobs    []gantry.Digest
	ids      []gantry.BlobID
	other    gantry.RepoID // another repository
	actor    gantry.Actor
}

// newCatalogue seeds the database.
func newCatalogue(t *testing.T, db *store.DB, o store.SeedOptions) *catalogue {
	t.Helper()
	c := &catalogue{ctx: t.Context(), db: db, large: map[string]bool{}}
	var err error
	if c.location, err = db.EnsureLocation(c.ctx, "default"); err != nil {
		t.Fatal(err)
	}
	o.Seed, o.Prefix, o.Location = 11, "seed", c.location
	if c.made, err = db.Seed(c.ctx, o); err != nil {
		t.Fatal(err)
	}
	return c
}

// fill puts rows into the queues that Seed leaves empty, as many as a registry
// of that size has in them: most of them are not due.
func (c *catalogue) fill(exec func(query string, args ...any)) {
	now := c.db.Now().UnixMilli()
	const hour, day = 3600_000, 24 * 3600_000
	// Of the reviews some are due: a hundred of each kind of blob that is used,
	// and those of manifests, half of which no tag keeps any more.
	exec(`UPDATE tags SET live = NULL, end_ms = 5, ended_by = 'delete' WHERE manifest_id % 40 = 2`)
	exec(`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'blob', id, 0, 1 FROM blobs WHERE id % 5 = 1 ORDER BY id LIMIT 100`)
	exec(`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'ns_blob', ns_id, blob_id, 2 FROM ns_blobs ORDER BY ns_id, blob_id LIMIT 100`)
	exec(`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'repo_blob', repo_id, blob_id, 3 FROM repo_blobs ORDER BY repo_id, blob_id LIMIT 100`)
	exec(`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'blob', id, 0, ? + id FROM blobs WHERE id % 5 = 0`, now+day)
	exec(`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'manifest', id, 0, ? + id FROM manifests WHERE id % 5 = 1`, now+day)
	exec(`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT 'manifest', id, 0, ? FROM manifests WHERE id % 20 = 2`, now-hour)
	for _, q := range []struct {
		rest        int
		after, done int64
	}{{1, now + day, 0}, {2, now - hour, 0}, {3, now - 30*hour, now - hour}, {4, now - 30*hour, now - 25*hour}} {
		exec(`INSERT INTO trash (location_id, path, engine_state, after_ms, done_ms) SELECT ?, CONCAT('uploads/gone-', id), NULL, ?, ? FROM blobs WHERE id % 20 = ?`,
			c.location, q.after, q.done, q.rest)
	}
	exec(`INSERT INTO uploads (uuid, repo_id, ns_id, actor_id, location_id, path, engine_state, algorithm, hash_state, received, version, holder, created_ms, touched_ms)
		SELECT CONCAT('upload-', id), id, ns_id, 1, ?, CONCAT('uploads/upload-', id), NULL, 'sha256', NULL, 0, 1, '', ?, ? FROM repositories WHERE id % 2 = 0`, c.location, now, now)
	// Blobs that wait for their manifest: leases that run, and some that are over.
	exec(`INSERT INTO repo_blobs (repo_id, blob_id, ns_id, size, linked, lease_until_ms, hidden_ms)
		SELECT r.id, b.id, r.ns_id, b.size, 0, ? + b.id, 0 FROM repositories r JOIN blobs b ON b.id = r.id * 3
		WHERE r.id % 20 < 2 AND NOT EXISTS (SELECT 1 FROM repo_blobs x WHERE x.repo_id = r.id AND x.blob_id = b.id)`, now+hour)
	exec(`UPDATE repo_blobs SET lease_until_ms = 5 WHERE linked = 0 AND repo_id % 20 = 0`)
	// One in ten tags ends some day; a few have.
	exec(`UPDATE tags SET end_ms = ? + id WHERE live = 1 AND id % 10 = 0`, now+day)
	exec(`UPDATE tags SET end_ms = ? WHERE live = 1 AND id % 100 = 1`, now-hour)
	exec(`INSERT INTO usage_deltas (ns_id, repo_id, bytes) SELECT ns_id, id, 0 FROM repositories`)
	exec(`INSERT INTO jobs (kind, dedupe, state, priority, run_after_ms, holder, fence, lease_until_ms, attempt, max_attempts, payload, checkpoint, done, total, unit, error, again, created_ms, started_ms, ended_ms)
		SELECT CASE WHEN id % 3 = 0 THEN 'notify' ELSE 'prune' END, NULL, 'done', 0, ? - id, '', 1, 0, 1, 5, '{}', '', 0, 0, '', '', 0, ? - id, ? - id, ? - id FROM manifests WHERE id % 4 = 0`, now, now, now, now)
	exec(`INSERT INTO jobs (kind, dedupe, state, priority, run_after_ms, holder, fence, lease_until_ms, attempt, max_attempts, payload, checkpoint, done, total, unit, error, again, created_ms, started_ms, ended_ms)
		SELECT CASE WHEN id % 3 = 0 THEN 'notify' ELSE 'prune' END, CONCAT('ns-', id), 'ready', 0, ? + id, '', 1, 0, 0, 5, '{}', '', 0, 0, '', '', 0, ?, 0, 0 FROM repositories WHERE id % 2 = 0`, now-10_000, now)
	// A few blobs are where they were uploaded, and not at their keys.
	exec(`UPDATE placements SET path = CONCAT('uploads/old-', blob_id) WHERE blob_id % 1000 = 3`)
	// A third of the blobs was verified, of late.
	exec(`UPDATE placements SET verified_ms = ? + blob_id WHERE blob_id % 3 = 0`, now-day)
	if a := map[string]string{"postgres": "ANALYZE", "sqlite": "ANALYZE",
		"mysql": "ANALYZE TABLE gc_reviews, trash, uploads, repo_blobs, ns_blobs, blobs, manifests, manifest_blobs, tags, usage_deltas, jobs, placements, repositories, permissions, team_members, teams, accounts"}[c.db.Dialect()]; a != "" && c.db.Dialect() != "sqlite" {
		exec(a)
	}
}

// look chooses n places, and finds out which tables are large.
func (c *catalogue) look(pool *sql.DB, n int) {
	c.pool = pool
	must := func(err error) {
		if err != nil {
			panic(err) // the catalogue is not what fill makes
		}
	}
	mark := strings.NewReplacer("?", "$1")
	bind := func(q string) string {
		if c.db.Dialect() == "postgres" {
			return mark.Replace(q)
		}
		return q
	}
	first, err := c.db.Account(c.ctx, c.made.User)
	must(err)
	c.user = first.ID
	for _, table := range []string{"accounts", "repositories", "permissions", "manifests", "manifest_bodies", "manifest_blobs", "tags", "blobs", "repo_blobs", "ns_blobs",
		"placements", "trash", "uploads", "gc_reviews", "events", "access_log", "jobs", "usage_deltas", "usage_totals"} {
		var rows int64
		must(pool.QueryRowContext(c.ctx, `SELECT COUNT(*) FROM (SELECT 1 AS one FROM `+table+` LIMIT 1000) x`).Scan(&rows))
		c.large[table] = rows == 1000
	}
	r := rand.New(rand.NewPCG(5, 9))
	for len(c.places) < n {
		id := 1 + r.Int64N(int64(c.made.Manifests))
		if len(c.places) < 2 { // in the largest repository
			id = 1 + r.Int64N(200)
		}
		p := &place{id: id, other: gantry.RepoID(1 + r.IntN(c.made.Repositories))}
		var digest []byte
		err := pool.QueryRowContext(c.ctx, bind(`SELECT m.repo_id, m.digest, r.ns_id, r.name, a.name, t.name, u.id, u.name FROM manifests m JOIN repositories r ON r.id = m.repo_id
			JOIN accounts a ON a.id = r.ns_id JOIN permissions p ON p.repo_id = r.id AND p.account_id IS NOT NULL JOIN accounts u ON u.id = p.account_id
			JOIN tags t ON t.manifest_id = m.id AND t.live = 1 AND t.end_ms IS NULL WHERE m.id = ? LIMIT 1`), p.id).Scan(
			&p.repo, &digest, &p.ns, &p.name.Name, &p.name.Namespace, &p.tag, &p.account, &p.login)
		if errors.Is(err, sql.ErrNoRows) {
			continue // its tag ends some day
		}
		must(err)
		p.manifest = gantry.DigestFromBytes(digest)
		p.actor = gantry.Actor{Account: p.account, Name: p.login, Kind: gantry.ActorUser, IP: "10.0.0.1", Agent: "test"}
		must(p.readBlobs(c.ctx, pool, bind(`SELECT b.id, b.digest FROM manifest_blobs x JOIN blobs b ON b.id = x.blob_id WHERE x.manifest_id = ? ORDER BY b.id`)))
		c.places = append(c.places, p)
	}
}

func (p *place) readBlobs(ctx context.Context, pool *sql.DB, query string) error {
	rows, err := pool.QueryContext(ctx, query, p.id)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only read
	for rows.Next() {
		var id gantry.BlobID
		var digest []byte
		if err := rows.Scan(&id, &digest); err != nil {
			return err
		}
		p.ids, p.blobs = append(p.ids, id), append(p.blobs, gantry.DigestFromBytes(digest))
	}
	return rows.Err()
}

// fresh is a digest that nothing has yet.
func (c *catalogue) fresh() gantry.Digest {
	c.n++
	return gantry.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Appendf(nil, "catalogue %d %d", c.db.Now().UnixNano(), c.n))))
}

// An operation is one use case of the store.
type operation struct {
	group string // of the table in docs/scaling.md
	name  string
	rows  int // that all its statements together may read, at any size of the catalogue
	run   func(c *catalogue, p *place) error
}

// operations are those that a registry under load runs. What reads whole
// tables by its nature is not among them: see docs/scaling.md.
func operations() []operation {
	some := func(n int, err error) error {
		if err == nil && n == 0 {
			err = errors.New("nothing was found")
		}
		return err
	}
	const page = 100
	retention := 14 * 24 * time.Hour
	put := func(c *catalogue, p *place, d gantry.Digest, body, tag string) error {
		_, err := c.db.PutManifest(c.ctx, store.ManifestPut{Repo: p.repo, Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json", Body: []byte(body), Blobs: p.blobs,
			Tags: []string{tag}, Actor: p.actor, Lease: time.Hour, Retention: retention, Quota: store.QuotaRule{On: true}})
		return err
	}
	return []operation{
		{"pull", "token: the account", 10, func(c *catalogue, p *place) error {
			_, err := c.db.Account(c.ctx, p.login)
			return err
		}},
		{"pull", "token: rights in a repository", 60, func(c *catalogue, p *place) error {
			r, err := c.db.RepositoryAccess(c.ctx, p.account, p.name)
			if err == nil && r.Role < gantry.Read {
				err = fmt.Errorf("the role is %v", r.Role)
			}
			return err
		}},
		{"pull", "repository by name", 10, func(c *catalogue, p *place) error {
			_, err := c.db.Repository(c.ctx, p.name)
			return err
		}},
		// PostgreSQL takes tags_history for as good as tags_live, and reads all
		// spans of the tag that collection has not taken yet.
		{"pull", "manifest by tag", 100, func(c *catalogue, p *place) error {
			_, _, err := c.db.ManifestByTag(c.ctx, p.repo, p.tag)
			return err
		}},
		{"pull", "manifest by digest", 60, func(c *catalogue, p *place) error {
			_, _, err := c.db.ManifestByDigest(c.ctx, p.repo, p.manifest, retention)
			return err
		}},
		{"pull", "blob of a repository", 10, func(c *catalogue, p *place) error {
			_, err := c.db.RepoBlob(c.ctx, p.repo, p.blobs[c.n%len(p.blobs)])
			return err
		}},
		{"pull", "row of the pull log", 10, func(c *catalogue, p *place) error {
			return c.db.LogAccess(c.ctx, store.Access{Kind: "pull_repo", Namespace: p.ns, Repo: p.repo, Actor: p.actor, Ref: p.tag, MediaType: "application/vnd.oci.image.manifest.v1+json"})
		}},
		{"push", "plan a commit", 10, func(c *catalogue, p *place) error {
			_, err := c.db.PlanCommit(c.ctx, p.blobs[0], c.location)
			return err
		}},
		{"push", "commit a new blob", 30, func(c *catalogue, p *place) error {
			_, err := c.db.CommitBlob(c.ctx, store.BlobCommit{Repo: p.repo, Digest: c.fresh(), Size: 1000, Location: c.location, Lease: time.Hour})
			return err
		}},
		{"push", "commit a known blob", 30, func(c *catalogue, p *place) error {
			_, err := c.db.CommitBlob(c.ctx, store.BlobCommit{Repo: p.other, Digest: p.blobs[len(p.blobs)-1], Size: 1000, Location: c.location, Lease: time.Hour})
			return err
		}},
		{"push", "mount a blob", 40, func(c *catalogue, p *place) error {
			_, ok, err := c.db.MountBlob(c.ctx, store.Mount{Repo: p.other, Digest: p.blobs[0], Sources: []gantry.RepoID{p.repo}, Lease: time.Hour})
			if err == nil && !ok {
				err = errors.New("no source holds it")
			}
			return err
		}},
		{"push", "mount from any public repository", 1200, func(c *catalogue, p *place) error {
			_, _, err := c.db.MountBlob(c.ctx, store.Mount{Repo: p.other, Digest: p.blobs[len(p.blobs)-1], Public: true, Lease: time.Hour})
			return err
		}},
		{"push", "renew a blob's lease", 10, func(c *catalogue, p *place) error { return c.db.RenewBlob(c.ctx, p.repo, p.ids[0], time.Hour) }},
		{"push", "start and end an upload", 20, func(c *catalogue, p *place) error {
			c.n++
			u := store.Upload{UUID: fmt.Sprintf("%d-%d", c.db.Now().UnixNano(), c.n), Repo: p.repo, Actor: p.account, Location: c.location, Path: fmt.Sprint("uploads/", c.n), Algorithm: "sha256", Holder: "x"}
			if _, err := c.db.CreateUpload(c.ctx, u); err != nil {
				return err
			}
			got, err := c.db.Upload(c.ctx, p.repo, u.UUID)
			if err != nil {
				return err
			}
			_, err = c.db.DeleteUpload(c.ctx, u.UUID, got.Version)
			return err
		}},
		{"push", "put a new manifest", 400, func(c *catalogue, p *place) error {
			d := c.fresh()
			return put(c, p, d, "body of "+string(d), "new")
		}},
		{"push", "put a known manifest at another tag", 200, func(c *catalogue, p *place) error {
			return put(c, p, p.manifest, "", fmt.Sprint("again-", c.n%3))
		}},
		{"push", "point a tag at another manifest", 200, func(c *catalogue, p *place) error {
			return c.db.ChangeTag(c.ctx, store.TagChange{Repo: p.repo, Name: "moved", Digest: p.manifest, Actor: p.actor, Retention: retention})
		}},
		{"push", "make and delete a tag", 400, func(c *catalogue, p *place) error {
			if err := c.db.ChangeTag(c.ctx, store.TagChange{Repo: p.repo, Name: "short-lived", Digest: p.manifest, Actor: p.actor, Retention: retention}); err != nil {
				return err
			}
			return c.db.DeleteTag(c.ctx, p.repo, "short-lived", retention, p.actor)
		}},
		{"push", "quota of a namespace", 5000, func(c *catalogue, p *place) error {
			_, err := c.db.QuotaState(c.ctx, p.ns, store.QuotaRule{On: true})
			return err
		}},
		{"list", "page of tags", 5 * page, func(c *catalogue, p *place) error {
			list, err := c.db.Tags(c.ctx, p.repo, "", page)
			return some(len(list), err)
		}},
		{"list", "page of tags with history", 10 * page, func(c *catalogue, p *place) error {
			list, _, err := c.db.TagPage(c.ctx, store.TagQuery{Repo: p.repo, N: page})
			return some(len(list), err)
		}},
		{"list", "page of the catalog, of a user", 40 * page, func(c *catalogue, p *place) error {
			list, err := c.db.Catalog(c.ctx, store.CatalogQuery{Account: p.account, Public: true, After: p.other / 2, N: page})
			return some(len(list), err)
		}},
		{"list", "page of the catalog, of anybody", 20 * page, func(c *catalogue, p *place) error {
			list, err := c.db.Catalog(c.ctx, store.CatalogQuery{Public: true, After: p.other / 2, N: page})
			return some(len(list), err)
		}},
		{"list", "referrers", 100, func(c *catalogue, p *place) error {
			_, _, err := c.db.Referrers(c.ctx, store.ReferrersQuery{Repo: p.repo, Subject: p.manifest, N: page, Bytes: 1 << 20, Retention: retention})
			return err
		}},
		{"list", "page of a repository's log", 10 * page, func(c *catalogue, p *place) error {
			_, err := c.db.Audit(c.ctx, store.AuditQuery{Repo: p.repo, From: c.db.Now().AddDate(0, 0, -90), To: c.db.Now(), Limit: page})
			return err
		}},
		{"list", "page of a namespace's log", 50 * page, func(c *catalogue, p *place) error {
			list, err := c.db.Audit(c.ctx, store.AuditQuery{Namespace: p.ns, From: c.db.Now().AddDate(0, 0, -90), To: c.db.Now(), Limit: page})
			return some(len(list), err)
		}},
		{"list", "sizes of 100 repositories", 20 * page, func(c *catalogue, p *place) error {
			var ids []gantry.RepoID
			for i := range page {
				ids = append(ids, 1+(p.repo+gantry.RepoID(37*i))%gantry.RepoID(c.made.Repositories))
			}
			_, err := c.db.RepositoryStorages(c.ctx, ids)
			return err
		}},
		{"collect", "due reviews", 2 * store.MaxCollect, func(c *catalogue, _ *place) error {
			list, err := c.db.Reviews(c.ctx, store.MaxCollect)
			return some(len(list), err)
		}},
		{"collect", "settle 100 due reviews", 60 * store.MaxCollect, func(c *catalogue, _ *place) error {
			list, err := c.db.Reviews(c.ctx, store.MaxCollect)
			if err != nil {
				return err
			}
			got, err := c.db.Collect(c.ctx, sameKind(list), retention)
			return some(got.Reviews, err)
		}},
		{"collect", "delete a manifest", 600, func(c *catalogue, p *place) error {
			d := c.fresh()
			if err := put(c, p, d, "body of "+string(d), "short-lived"); err != nil {
				return err
			}
			return c.db.DeleteManifest(c.ctx, p.repo, d, retention, p.actor)
		}},
		{"collect", "leases that are over", 60 * store.MaxCollect, func(c *catalogue, _ *place) error {
			_, err := c.db.CollectLeases(c.ctx, store.MaxCollect)
			return err
		}},
		{"collect", "100 tags that end", 60 * page, func(c *catalogue, _ *place) error {
			_, err := c.db.ExpireTags(c.ctx, page, retention)
			return err
		}},
		{"collect", "backlog", 4 * 1001, func(c *catalogue, _ *place) error {
			_, _, err := c.db.ReviewBacklog(c.ctx, 1000)
			return err
		}},
		{"collect", "claim 100 objects of the trash, and be done", 20 * page, func(c *catalogue, _ *place) error {
			list, err := c.db.TrashDue(c.ctx, []int64{c.location}, page)
			if err := some(len(list), err); err != nil {
				return err
			}
			return c.db.TrashDone(c.ctx, list)
		}},
		{"collect", "forget 100 keys", 10 * page, func(c *catalogue, _ *place) error {
			_, err := c.db.PurgeTrash(c.ctx, page)
			return err
		}},
		{"collect", "uploads without a sign of life", 10, func(c *catalogue, _ *place) error {
			_, err := c.db.SweepUploads(c.ctx, 24*time.Hour)
			return err
		}},
		{"collect", "fold 100 changes of usage", 60 * page, func(c *catalogue, _ *place) error {
			_, err := c.db.FoldUsage(c.ctx, page)
			return err
		}},
		{"storage", "100 placements to verify", 10 * page, func(c *catalogue, _ *place) error {
			list, err := c.db.PlacementsToVerify(c.ctx, c.location, c.db.Now().Add(-48*time.Hour), page)
			return some(len(list), err)
		}},
		{"storage", "a placement was verified", 6000, func(c *catalogue, _ *place) error {
			list, err := c.db.PlacementsToVerify(c.ctx, c.location, c.db.Now().Add(-48*time.Hour), 1)
			if err := some(len(list), err); err != nil {
				return err
			}
			_, err = c.db.SetVerified(c.ctx, list[0], true)
			return err
		}},
		{"storage", "100 blobs to relocate", 10 * page, func(c *catalogue, p *place) error {
			_, _, err := c.db.Relocations(c.ctx, c.location, fmt.Sprint("uploads/old-", p.ids[0]), page)
			return err
		}},
		{"storage", "which of 500 keys are unknown", 5000, func(c *catalogue, p *place) error {
			keys := make([]string, 0, 500)
			for i := range 250 {
				keys = append(keys, c.places[i%len(c.places)].blobs[0].Key(), fmt.Sprint("uploads/upload-", int(p.repo)+i))
			}
			_, err := c.db.UnknownKeys(c.ctx, c.location, keys)
			return err
		}},
		{"storage", "adopt an object", 30, func(c *catalogue, _ *place) error {
			d := c.fresh()
			_, err := c.db.Adopt(c.ctx, c.location, d.Key(), d, 1000)
			return err
		}},
		{"storage", "places and holders of a blob", 1500, func(c *catalogue, p *place) error {
			if _, err := c.db.BlobPlaces(c.ctx, p.ids[0]); err != nil {
				return err
			}
			_, err := c.db.BlobHolders(c.ctx, p.ids[0], 10)
			return err
		}},
		{"journal", "number new events", 4000, func(c *catalogue, _ *place) error {
			_, err := c.db.Sequence(c.ctx)
			return err
		}},
		{"journal", "100 events from a place on", 2 * page, func(c *catalogue, _ *place) error {
			_, err := c.db.Events(c.ctx, int64(c.made.Events/2), page)
			return err
		}},
		{"journal", "100 old events", 5 * page, func(c *catalogue, _ *place) error {
			_, err := c.db.OldEvents(c.ctx, c.db.Now().AddDate(0, 0, -30), page)
			return err
		}},
		{"journal", "100 old pulls", 5 * page, func(c *catalogue, _ *place) error {
			list, err := c.db.OldPulls(c.ctx, c.db.Now().AddDate(0, 0, -30), page)
			return some(len(list), err)
		}},
		{"journal", "delete 100 old pulls", 5 * page, func(c *catalogue, _ *place) error {
			_, err := c.db.TrimPulls(c.ctx, c.db.Now().AddDate(0, 0, -30), page)
			return err
		}},
		{"jobs", "queue a job", 20, func(c *catalogue, p *place) error {
			_, err := c.db.Enqueue(c.ctx, store.NewJob{Kind: "notify", Dedupe: fmt.Sprint("place-", p.id), Payload: map[string]int{"n": 1}})
			return err
		}},
		{"jobs", "claim a job, save and end it", 300, func(c *catalogue, _ *place) error {
			jobs, err := c.db.ClaimJobs(c.ctx, "holder", map[string]int{"notify": 4, "prune": 4}, 1, time.Minute)
			if err := some(len(jobs), err); err != nil {
				return err
			}
			if err := c.db.SaveJob(c.ctx, jobs[0], time.Minute, store.Progress{Done: 1}, json.RawMessage(`{}`)); err != nil {
				return err
			}
			return c.db.FinishJob(c.ctx, jobs[0], store.Progress{Done: 1})
		}},
		{"jobs", "jobs whose lease is over", 10, func(c *catalogue, _ *place) error {
			_, err := c.db.ExpireJobs(c.ctx, page)
			return err
		}},
	}
}

// A price is what an operation costs the database.
type price struct{ statements, rows int } // the most of one run

// explain runs an operation at n places and looks at the plan of each of its
// statements, until one is bad.
func (c *catalogue) explain(t *testing.T, op operation, n int) (p price) {
	t.Helper()
	var all []sent
	c.db.Trace(func(q string, a []any) { all = append(all, sent{q, slices.Clone(a)}) })
	defer c.db.Trace(nil)
	for i := range n {
		all = all[:0]
		if err := op.run(c, c.places[i]); err != nil {
			t.Fatal(err)
		}
		sum := 0
		var each []string
		seen := map[string]bool{}
		for _, s := range all {
			k := s.query
			if seen[k] && len(all) > 50 {
				continue // one of many that are alike
			}
			seen[k] = true
			rows, steps, flaws := c.cost(t, s, op.rows)
			sum += rows
			each = append(each, fmt.Sprintf("%d rows: %.250s %v", rows, s.query, steps))
			for _, f := range flaws {
				t.Errorf("%s\n%.1000s", f, s.query)
			}
		}
		p.statements, p.rows = max(p.statements, len(all)), max(p.rows, sum)
		if sum > op.rows {
			t.Errorf("%d rows are read, and not %d at most:\n%s", sum, op.rows, strings.Join(each, "\n"))
		}
		if t.Failed() {
			return p
		}
	}
	return p
}

// cost runs a statement again, undoes it, and returns the rows that it reads
// and what is wrong with its plan. An INSERT of values reads nothing.
func (c *catalogue) cost(t *testing.T, s sent, most int) (rows int, steps, flaws []string) {
	t.Helper()
	if strings.HasPrefix(s.query, "INSERT") && !strings.Contains(s.query, "SELECT") {
		return 0, nil, nil
	}
	conn, err := c.pool.Conn(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // undone
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := conn.ExecContext(c.ctx, q, args...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	args := plainArgs(s.args)
	switch c.db.Dialect() {
	case "sqlite":
		plan := texts(c.ctx, t, conn, 3, `EXPLAIN QUERY PLAN `+s.query, args...)
		return 0, nil, c.scans(s.query, plan)
	case "mysql":
		exec("BEGIN")
		exec("FLUSH STATUS")
		if strings.HasPrefix(s.query, "SELECT") || strings.HasPrefix(s.query, "(SELECT") {
			texts(c.ctx, t, conn, 0, s.query, args...)
		} else {
			exec(s.query, args...)
		}
		all := texts(c.ctx, t, conn, 1, `SHOW SESSION STATUS LIKE 'Handler_read%'`)
		exec("ROLLBACK")
		for _, n := range all {
			var k int
			if _, err := fmt.Sscan(n, &k); err != nil {
				t.Fatal(err)
			}
			rows += k
		}
		return rows, nil, nil
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		exec("BEGIN")
		exec("SET LOCAL plan_cache_mode = " + mode)
		for _, q := range c.settings {
			exec(q)
		}
		exec("PREPARE judged AS " + s.query)
		run := "EXECUTE judged"
		if len(args) > 0 {
			run += "(" + literals(args) + ")"
		}
		text := strings.Join(texts(c.ctx, t, conn, 0, `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+run), "\n")
		exec("ROLLBACK")
		exec("DEALLOCATE judged")
		var plans []struct{ Plan catalogueNode }
		if err := json.Unmarshal([]byte(text), &plans); err != nil {
			t.Fatal(err)
		}
		p := plans[0].Plan
		rows = max(rows, int(p.read()))
		steps = append(steps, p.steps()...)
		for _, f := range p.flaws(c.large, float64(most)) {
			flaws = append(flaws, fmt.Sprintf("%s: %s: %v", mode, f, steps))
		}
		// An index walk that skips what it does not look for shows as pages.
		if pages := p.Hit + p.Read; pages > float64(8*most+200) {
			flaws = append(flaws, fmt.Sprintf("%s: %.0f pages are read: %v", mode, pages, steps))
		}
	}
	return rows, steps, flaws
}

// catalogueNode is a step of a plan of PostgreSQL that was run.
type catalogueNode struct {
	Kind    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Index   string  `json:"Index Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Recheck float64 `json:"Rows Removed by Index Recheck"`
	Hit     float64 `json:"Shared Hit Blocks"`
	Read    float64 `json:"Shared Read Blocks"`
	Plans   []catalogueNode
}

// read is the rows that the plan's leaves read.
func (p catalogueNode) read() float64 {
	n := 0.0
	if len(p.Plans) == 0 {
		n = (p.Rows + p.Removed + p.Recheck) * p.Loops
	}
	for _, q := range p.Plans {
		n += q.read()
	}
	return n
}

// flaws are the steps that cost more in a larger catalogue.
func (p catalogueNode) flaws(large map[string]bool, most float64) (all []string) {
	if p.Kind == "Seq Scan" && large[p.Table] && p.Loops > 0 {
		all = append(all, "the whole of "+p.Table+" is read")
	}
	if strings.HasSuffix(p.Kind, "Sort") {
		for _, q := range p.Plans {
			if q.Rows*q.Loops > most {
				all = append(all, fmt.Sprintf("%.0f rows are sorted", q.Rows*q.Loops))
			}
		}
	}
	for _, q := range p.Plans {
		all = append(all, q.flaws(large, most)...)
	}
	return all
}

// steps are the ways in which the plan reaches tables, with the rows of each:
// an index and its table, an index alone, or all of a table.
func (p catalogueNode) steps() (all []string) {
	switch p.Kind {
	case "Index Only Scan":
		all = append(all, fmt.Sprintf("%s alone: %.0f", p.Index, p.Loops*(p.Rows+p.Removed)))
	case "Index Scan", "Bitmap Index Scan":
		all = append(all, fmt.Sprintf("%s: %.0f", p.Index, p.Loops*(p.Rows+p.Removed)))
	case "Seq Scan":
		all = append(all, "all of "+p.Table)
	}
	for _, q := range p.Plans {
		all = append(all, q.steps()...)
	}
	return all
}

var (
	aliases = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|INTO)\s+([a-z_]+)(?:\s+(?:AS\s+)?([a-z]+))?`)
	scanned = regexp.MustCompile(`^SCAN ([a-z_]+)( USING [A-Z ]*INDEX ([a-z_]+))?`)
)

// scans tells which large tables a plan of SQLite walks through from one end.
// With an index, or in the order of ids, and a LIMIT, that is how the first
// page of a list is read.
func (c *catalogue) scans(query string, plan []string) (flaws []string) {
	table := map[string]string{}
	for _, m := range aliases.FindAllStringSubmatch(query, -1) {
		table[m[1]] = m[1]
		if m[2] != "" {
			table[m[2]] = m[1]
		}
	}
	for _, line := range plan {
		m := scanned.FindStringSubmatch(line)
		if m == nil || !c.large[table[m[1]]] || strings.Contains(query, "LIMIT") && (m[2] != "" || strings.Contains(query, "ORDER BY id LIMIT")) {
			continue
		}
		flaws = append(flaws, "the whole of "+table[m[1]]+" is read:\n"+strings.Join(plan, "\n"))
	}
	return flaws
}

// plainArgs are args as a driver that knows nothing of the store takes them.
func plainArgs(args []any) []any {
	all := make([]any, len(args))
	for i, a := range args {
		v := reflect.ValueOf(a)
		switch {
		case !v.IsValid():
		case v.CanInt():
			all[i] = v.Int()
		case v.Kind() == reflect.String:
			all[i] = v.String()
		default:
			all[i] = a
		}
	}
	return all
}

// literals are plain values in the SQL of PostgreSQL.
func literals(args []any) string {
	text := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	all := make([]string, 0, len(args))
	for _, a := range args {
		switch v := a.(type) {
		case nil:
			all = append(all, "NULL")
		case string:
			all = append(all, text(v))
		case []byte:
			if v == nil {
				all = append(all, "NULL")
				break
			}
			all = append(all, fmt.Sprintf(`'\x%x'`, v))
		case []int64:
			all = append(all, "'{"+strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]")+"}'")
		case sql.NullInt64:
			if !v.Valid {
				all = append(all, "NULL")
				break
			}
			all = append(all, fmt.Sprint(v.Int64))
		default:
			all = append(all, text(fmt.Sprint(v)))
		}
	}
	return strings.Join(all, ", ")
}

// sameKind are the reviews of the kind of the first one.
func sameKind(list []store.Review) (all []store.Review) {
	for _, r := range list {
		if r.Kind == list[0].Kind {
			all = append(all, r)
		}
	}
	return all
}
