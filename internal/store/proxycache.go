package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A ProxyCache says for which other registry an organization stands.
type ProxyCache struct {
	Namespace gantry.AccountID
	Name      string // of the organization
	UUID      string // names the row for ever, for sealing
	Upstream  string // "host[:port][/path]"
	Secret    string // the name and password for it, sealed; "" = nobody's
	Expiry    time.Duration
	Insecure  bool // plain http
	Created   time.Time
}

var errNoProxyCache = gantry.Errorf(gantry.NotFound, "proxy cache", "The organization has no proxy cache configuration")

// ProxyCaches lists all of them, oldest first.
func (db *DB) ProxyCaches(ctx context.Context) (all []ProxyCache, err error) {
	err = db.read(ctx, "list proxy caches", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var p ProxyCache
			var expiry, created int64
			var insecure int
			err := r.Scan(&p.Namespace, &p.Name, &p.UUID, &p.Upstream, &p.Secret, &expiry, &insecure, &created)
			p.Expiry, p.Insecure, p.Created = seconds(expiry), insecure != 0, gantry.FromMillis(created)
			all = append(all, p)
			return err
		}, `SELECT p.ns_id, a.name, p.uuid, p.upstream, p.secret, p.expiry_s, p.insecure, p.created_ms FROM proxy_caches p
			JOIN accounts a ON a.id = p.ns_id WHERE a.deleted_ms = 0 ORDER BY p.created_ms, p.ns_id`)
	})
	return all, err
}

// CreateProxyCache makes an organization stand for another registry. The
// caller sealed the secret for p.UUID. Errors: Conflict on "proxy cache" if it
// does already, or has tags that are immutable or policies that make them so;
// NotFound on "namespace".
func (db *DB) CreateProxyCache(ctx context.Context, p ProxyCache, actor gantry.Actor) error {
	return db.update(ctx, "create proxy cache", func(ctx context.Context, t *tx) error {
		if err := t.lockNamespace(ctx, p.Namespace); err != nil {
			return err
		}
		frozen, err := t.exists(ctx, `SELECT 1 FROM immutability_policies WHERE ns_id = ?`, p.Namespace)
		if err == nil && !frozen {
			frozen, err = t.exists(ctx, `SELECT 1 FROM repositories r JOIN tags g ON g.repo_id = r.id AND g.live = 1
				WHERE r.ns_id = ? AND r.deleted_ms = 0 AND g.immutable = 1`, p.Namespace)
		}
		if err != nil {
			return err
		}
		if frozen {
			return gantry.Errorf(gantry.Conflict, "proxy cache", "The organization has immutable tags, which a proxy cache could not renew; it cannot become one")
		}
		there, err := t.exists(ctx, `SELECT 1 FROM proxy_caches WHERE ns_id = ?`, p.Namespace) // its namespace is locked
		if err == nil && there {
			err = gantry.Errorf(gantry.Conflict, "proxy cache", "The organization has a proxy cache configuration already; delete it first")
		}
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO proxy_caches (ns_id, uuid, upstream, secret, expiry_s, insecure, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			p.Namespace, p.UUID, p.Upstream, p.Secret, int64(p.Expiry/time.Second), flag(p.Insecure), t.now.UnixMilli()); err != nil {
			return err
		}
		t.who = true // nobody pushes there from now on
		return t.event(ctx, Event{Kind: "create_proxy_cache_config", Namespace: p.Namespace, Actor: actor,
			Payload: map[string]any{"namespace": p.Name, "upstream_registry": p.Upstream}})
	})
}

// ChangeProxyCache makes a proxy cache what p says; p.UUID stays, for which the
// caller sealed the secret. was is what the caller has seen. Errors: NotFound on
// "proxy cache"; Conflict on it if it is another one by now.
func (db *DB) ChangeProxyCache(ctx context.Context, p, was ProxyCache, actor gantry.Actor) error {
	return db.update(ctx, "change proxy cache", func(ctx context.Context, t *tx) error {
		var id, upstream, secret string
		var expiry int64
		var insecure int
		if err := t.queryRow(ctx, `SELECT uuid, upstream, secret, expiry_s, insecure FROM proxy_caches WHERE ns_id = ?`+t.d.excl, p.Namespace).Scan(&id, &upstream, &secret, &expiry, &insecure); err != nil {
			return notFound(err, errNoProxyCache)
		}
		if id != was.UUID || id != p.UUID || upstream != was.Upstream || secret != was.Secret || seconds(expiry) != was.Expiry || (insecure != 0) != was.Insecure {
			return gantry.Errorf(gantry.Conflict, "proxy cache", "The proxy cache configuration was changed by somebody else meanwhile; look at it and try again")
		}
		if _, err := t.exec(ctx, `UPDATE proxy_caches SET upstream = ?, secret = ?, expiry_s = ?, insecure = ? WHERE ns_id = ?`,
			p.Upstream, p.Secret, int64(p.Expiry/time.Second), flag(p.Insecure), p.Namespace); err != nil {
			return err
		}
		t.who = true // caches read it again
		return t.event(ctx, Event{Kind: "change_proxy_cache_config", Namespace: p.Namespace, Actor: actor,
			Payload: map[string]any{"namespace": p.Name, "upstream_registry": p.Upstream, "previous_upstream_registry": was.Upstream, "credentials_changed": p.Secret != was.Secret}})
	})
}

// DeleteProxyCache makes a proxy cache an organization like any other. What is
// cached stays, until its time is over. NotFound on "proxy cache".
func (db *DB) DeleteProxyCache(ctx context.Context, ns Account, actor gantry.Actor) error {
	return db.update(ctx, "delete proxy cache", func(ctx context.Context, t *tx) error {
		var upstream string
		if err := t.queryRow(ctx, `SELECT upstream FROM proxy_caches WHERE ns_id = ?`+t.d.excl, ns.ID).Scan(&upstream); err != nil {
			return notFound(err, errNoProxyCache)
		}
		if _, err := t.exec(ctx, `DELETE FROM proxy_caches WHERE ns_id = ?`, ns.ID); err != nil {
			return err
		}
		t.who = true // its members read by it
		return t.event(ctx, Event{Kind: "delete_proxy_cache_config", Namespace: ns.ID, Actor: actor,
			Payload: map[string]any{"namespace": ns.Name, "upstream_registry": upstream}})
	})
}

// NewProxyCacheUUID returns what names a new row.
func NewProxyCacheUUID() string { return uuid.NewString() }

// A ProxyBlob is a blob that a pending manifest names.
type ProxyBlob struct {
	Digest gantry.Digest
	Size   int64
}

// A ProxyManifest is a manifest of upstream some of whose blobs are not here.
type ProxyManifest struct {
	ID        int64
	Repo      gantry.RepoID
	Digest    gantry.Digest
	MediaType string
	Body      []byte
	Blobs     []ProxyBlob // in no order
	Tags      []string    // that it will have
	Until     time.Time   // when it is forgotten
}

var errNoProxyManifest = &gantry.Error{Code: gantry.NotFound, Object: "manifest", Detail: "manifest unknown"}

// PutProxyManifest notes a manifest with its blobs and points its tags, which
// may have pointed at another, at it. fill is when its blobs may be fetched
// without a client. NotFound on "repository".
func (db *DB) PutProxyManifest(ctx context.Context, m ProxyManifest, fill time.Time) error {
	return db.update(ctx, "note a manifest of upstream", func(ctx context.Context, t *tx) error {
		var one int
		if err := t.queryRow(ctx, `SELECT 1 FROM repositories WHERE id = ? AND deleted_ms = 0`+t.d.share, m.Repo).Scan(&one); err != nil {
			return notFound(err, errNoRepository)
		}
		id, err := t.insertIgnore(ctx, `INSERT INTO proxy_manifests (repo_id, digest, media_type, body, came_ms, until_ms, fill_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			m.Repo, m.Digest.Bytes(), m.MediaType, m.Body, t.now.UnixMilli(), m.Until.UnixMilli(), fill.UnixMilli())
		if err != nil {
			return err
		}
		fresh := id != 0
		if !fresh {
			if err := t.queryRow(ctx, `SELECT id FROM proxy_manifests WHERE repo_id = ? AND digest = ?`+t.d.excl, m.Repo, m.Digest.Bytes()).Scan(&id); err != nil {
				if errors.Is(err, sql.ErrNoRows) {
					return errRaced
				}
				return err
			}
			if _, err := t.exec(ctx, `UPDATE proxy_manifests SET until_ms = ? WHERE id = ?`, m.Until.UnixMilli(), id); err != nil {
				return err
			}
		}
		if fresh {
			for chunk := range slices.Chunk(m.Blobs, 250) {
				args := make([]any, 0, 4*len(chunk))
				for _, b := range chunk {
					args = append(args, id, b.Digest.Bytes(), m.Repo, b.Size)
				}
				if _, err := t.exec(ctx, `INSERT INTO proxy_blobs (pending_id, digest, repo_id, size) VALUES `+tuples(len(chunk), 4)+t.d.ignore("size"), args...); err != nil {
					return err
				}
			}
		}
		for _, name := range m.Tags {
			if _, err := t.exec(ctx, `INSERT INTO proxy_tags (repo_id, name, pending_id) VALUES (?, ?, ?)`+
				t.d.upsert("repo_id, name", "pending_id = "+t.d.fresh("pending_id")), m.Repo, name, id); err != nil {
				return err
			}
		}
		return nil
	})
}

const proxyManifestColumns = `p.id, p.repo_id, p.digest, p.media_type, p.body, p.until_ms`

// proxyManifests reads those that match, with their blobs and tags.
func (t *tx) proxyManifests(ctx context.Context, where string, args ...any) (all []ProxyManifest, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		var m ProxyManifest
		var digest []byte
		var until int64
		err := r.Scan(&m.ID, &m.Repo, &digest, &m.MediaType, &m.Body, &until)
		m.Digest, m.Until = gantry.DigestFromBytes(digest), gantry.FromMillis(until)
		all = append(all, m)
		return err
	}, `SELECT `+proxyManifestColumns+` FROM proxy_manifests p WHERE `+where, args...)
	if err != nil || len(all) == 0 {
		return all, err
	}
	ids, at := make([]int64, len(all)), make(map[int64]*ProxyManifest, len(all))
	for i := range all {
		ids[i], at[all[i].ID] = all[i].ID, &all[i]
	}
	in, vals := list(ids, nil)
	if err := t.each(ctx, func(r *sql.Rows) error {
		var id int64
		var b ProxyBlob
		var digest []byte
		err := r.Scan(&id, &digest, &b.Size)
		b.Digest = gantry.DigestFromBytes(digest)
		if m := at[id]; m != nil {
			m.Blobs = append(m.Blobs, b)
		}
		return err
	}, `SELECT pending_id, digest, size FROM proxy_blobs WHERE pending_id IN `+in, vals...); err != nil {
		return nil, err
	}
	return all, t.each(ctx, func(r *sql.Rows) error {
		var id int64
		var name string
		err := r.Scan(&id, &name)
		if m := at[id]; m != nil {
			m.Tags = append(m.Tags, name)
		}
		return err
	}, `SELECT pending_id, name FROM proxy_tags WHERE pending_id IN `+in+` ORDER BY name`, vals...)
}

// ProxyManifest finds a pending manifest by tag or digest, whose time is not
// over. NotFound on "manifest".
func (db *DB) ProxyManifest(ctx context.Context, repo gantry.RepoID, ref gantry.Reference) (m ProxyManifest, err error) {
	err = db.read(ctx, "find a manifest of upstream", func(ctx context.Context, t *tx) error {
		where, arg := `p.repo_id = ? AND p.digest = ?`, any(ref.Digest.Bytes())
		if ref.Tag != "" {
			where, arg = `p.id = (SELECT g.pending_id FROM proxy_tags g WHERE g.repo_id = ? AND g.name = ?)`, ref.Tag
		}
		all, err := t.proxyManifests(ctx, where+` AND p.until_ms > ?`, repo, arg, t.now.UnixMilli())
		if err == nil && len(all) == 0 {
			err = errNoProxyManifest
		}
		if err == nil {
			m = all[0]
		}
		return err
	})
	return m, err
}

// maxProxied bounds the pending manifests that are read at once.
const maxProxied = 32

// ProxyManifestsWith lists pending manifests of a repository that name a blob,
// at most 32.
func (db *DB) ProxyManifestsWith(ctx context.Context, repo gantry.RepoID, d gantry.Digest) (all []ProxyManifest, err error) {
	err = db.read(ctx, "find manifests of upstream", func(ctx context.Context, t *tx) error {
		all, err = t.proxyManifests(ctx, `p.until_ms > ? AND p.id IN (SELECT b.pending_id FROM proxy_blobs b WHERE b.repo_id = ? AND b.digest = ?)
			ORDER BY p.id LIMIT `+limit(maxProxied), t.now.UnixMilli(), repo, d.Bytes())
		return err
	})
	return all, err
}

// TakeProxyFill lists up to n pending manifests whose blobs may be fetched now,
// and puts them off by d, so that no other instance takes them meanwhile.
func (db *DB) TakeProxyFill(ctx context.Context, n int, d time.Duration) (all []ProxyManifest, err error) {
	err = db.update(ctx, "take manifests of upstream", func(ctx context.Context, t *tx) error {
		ids, err := t.ids(ctx, `SELECT id FROM proxy_manifests WHERE fill_ms <= ? ORDER BY fill_ms, id LIMIT `+limit(min(n, maxProxied))+t.d.excl, t.now.UnixMilli())
		if err != nil || len(ids) == 0 {
			all = nil
			return err
		}
		in, args := list(ids, []any{t.now.Add(d).UnixMilli()})
		if _, err := t.exec(ctx, `UPDATE proxy_manifests SET fill_ms = ? WHERE id IN `+in, args...); err != nil {
			return err
		}
		in, args = list(ids, nil)
		all, err = t.proxyManifests(ctx, `p.id IN `+in+` ORDER BY p.id`, args...)
		return err
	})
	return all, err
}

// ProxyBlob returns the size of a blob that a pending manifest of the
// repository names. NotFound on "blob".
func (db *DB) ProxyBlob(ctx context.Context, repo gantry.RepoID, d gantry.Digest) (size int64, err error) {
	err = db.read(ctx, "find a blob of upstream", func(ctx context.Context, t *tx) error {
		return notFound(t.queryRow(ctx, `SELECT MIN(size) FROM proxy_blobs WHERE repo_id = ? AND digest = ? GROUP BY digest`, repo, d.Bytes()).Scan(&size), errNoBlob)
	})
	return size, err
}

// DropProxyTag forgets that a pending manifest will have a tag.
func (db *DB) DropProxyTag(ctx context.Context, repo gantry.RepoID, name string) error {
	return db.update(ctx, "forget a tag of upstream", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM proxy_tags WHERE repo_id = ? AND name = ?`, repo, name)
		return err
	})
}

// RenewProxyManifest prolongs the life of a pending manifest.
func (db *DB) RenewProxyManifest(ctx context.Context, id int64, until time.Time) error {
	return db.update(ctx, "renew a manifest of upstream", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE proxy_manifests SET until_ms = ? WHERE id = ? AND until_ms < ?`, until.UnixMilli(), id, until.UnixMilli())
		return err
	})
}

// DropProxyManifests forgets pending manifests.
func (db *DB) DropProxyManifests(ctx context.Context, ids ...int64) error {
	return db.update(ctx, "forget manifests of upstream", func(ctx context.Context, t *tx) error {
		return t.dropProxyManifests(ctx, ids)
	})
}

func (t *tx) dropProxyManifests(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	in, args := list(ids, nil)
	for _, q := range []string{`DELETE FROM proxy_manifests WHERE id IN `, `DELETE FROM proxy_tags WHERE pending_id IN `, `DELETE FROM proxy_blobs WHERE pending_id IN `} {
		if _, err := t.exec(ctx, q+in, args...); err != nil {
			return err
		}
	}
	return nil
}

// SweepProxyManifests forgets up to n pending manifests whose time is over, or
// whose repository is gone, and returns how many.
func (db *DB) SweepProxyManifests(ctx context.Context, n int) (done int, err error) {
	err = db.update(ctx, "sweep manifests of upstream", func(ctx context.Context, t *tx) error {
		ids, err := t.ids(ctx, `SELECT id FROM proxy_manifests WHERE until_ms <= ? ORDER BY until_ms, id LIMIT `+limit(n), t.now.UnixMilli())
		done = len(ids)
		if err != nil {
			return err
		}
		return t.dropProxyManifests(ctx, ids)
	})
	return done, err
}

// RenewCached prolongs the life of a manifest in a proxy cache: the end of the
// tag, if one is named and points at it, or else its own lease and the ends of
// all tags that point at it. The journal is not told: a pull is no change.
func (db *DB) RenewCached(ctx context.Context, repo gantry.RepoID, m gantry.ManifestID, tag string, until time.Time) error {
	return db.update(ctx, "renew what is cached", func(ctx context.Context, t *tx) error {
		ms := until.UnixMilli()
		var n int64
		var err error
		if tag != "" {
			n, err = t.exec(ctx, `UPDATE tags SET end_ms = ? WHERE repo_id = ? AND live = 1 AND name = ? AND manifest_id = ? AND immutable = 0
				AND end_ms IS NOT NULL AND end_ms < ?`, ms, repo, tag, m, ms)
		} else {
			// A lease of 0 is that of a manifest that a tag keeps.
			n, err = t.exec(ctx, `UPDATE manifests SET lease_until_ms = ? WHERE id = ? AND repo_id = ? AND lease_until_ms > 0 AND lease_until_ms < ?`, ms, m, repo, ms)
			if err == nil {
				var tags int64
				tags, err = t.exec(ctx, `UPDATE tags SET end_ms = ? WHERE manifest_id = ? AND live = 1 AND immutable = 0 AND end_ms IS NOT NULL AND end_ms < ?`, ms, m, ms)
				n += tags
			}
		}
		if n > 0 {
			t.grow(repo)
		}
		return err
	})
}

// A CachedItem is what a proxy cache can do without: a tag, or a manifest that
// no tag keeps.
type CachedItem struct {
	Repo     gantry.RepoID
	Tag      string
	Manifest gantry.ManifestID
	Until    time.Time
}

// LeastUsed lists the n things of a proxy cache whose time is over soonest:
// what was used last the longest ago.
func (db *DB) LeastUsed(ctx context.Context, ns gantry.AccountID, n int) (all []CachedItem, err error) {
	err = db.read(ctx, "find what is used least", func(ctx context.Context, t *tx) error {
		all = nil
		add := func(r *sql.Rows) error {
			var c CachedItem
			var until int64
			err := r.Scan(&c.Repo, &c.Tag, &c.Manifest, &until)
			c.Until = gantry.FromMillis(until)
			all = append(all, c)
			return err
		}
		if err := t.each(ctx, add, `SELECT r.id, g.name, g.manifest_id, g.end_ms FROM repositories r JOIN tags g ON g.repo_id = r.id AND g.live = 1
			WHERE r.ns_id = ? AND r.deleted_ms = 0 AND g.end_ms IS NOT NULL AND g.immutable = 0 ORDER BY g.end_ms, g.id LIMIT `+limit(n), ns); err != nil {
			return err
		}
		return t.each(ctx, add, `SELECT r.id, '', m.id, m.lease_until_ms FROM repositories r JOIN manifests m ON m.repo_id = r.id
			WHERE r.ns_id = ? AND r.deleted_ms = 0 AND m.lease_until_ms > 0 ORDER BY m.lease_until_ms, m.id LIMIT `+limit(n), ns)
	})
	slices.SortStableFunc(all, func(a, b CachedItem) int { return a.Until.Compare(b.Until) })
	return all[:min(n, len(all))], err
}

// Evict takes something out of a proxy cache for good. What is gone already is
// no error.
func (db *DB) Evict(ctx context.Context, c CachedItem) error {
	if c.Tag != "" {
		err := db.ForgetTag(ctx, TagForget{Repo: c.Repo, Name: c.Tag, Live: true, Actor: gantry.Actor{Kind: gantry.ActorSystem}})
		if gantry.Is(err, gantry.NotFound) {
			err = nil
		}
		return err
	}
	return db.update(ctx, "evict", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE manifests SET lease_until_ms = 0 WHERE id = ? AND repo_id = ? AND lease_until_ms > 0 AND lease_until_ms <= ?`,
			c.Manifest, c.Repo, c.Until.UnixMilli())
		if err != nil || n == 0 {
			return err
		}
		t.touch(c.Repo)
		return t.review(ctx, reviewManifest, int64(c.Manifest), 0, t.now)
	})
}

// LetRead gives somebody the permission to read a repository, unless they have
// one there already, whichever it is. A repository that is gone is no error.
func (db *DB) LetRead(ctx context.Context, repo Repository, who, actor gantry.Actor) error {
	err := db.update(ctx, "let read", func(ctx context.Context, t *tx) error {
		if err := t.aliveRepository(ctx, repo.ID); err != nil {
			return err
		}
		var has int64
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM permissions WHERE repo_id = ? AND account_id = ?`, repo.ID, who.Account).Scan(&has); err != nil || has > 0 {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO permissions (repo_id, account_id, role) VALUES (?, ?, ?)`+t.d.ignore("repo_id"), repo.ID, who.Account, int(gantry.Read)); err != nil {
			return err
		}
		t.touch(repo.ID)
		t.who = true
		return t.event(ctx, Event{Kind: "change_repo_permission", Namespace: repo.Namespace, Repo: repo.ID, Actor: actor, Payload: map[string]any{
			"username": who.Name, "repo": repo.Name.Name, "namespace": repo.Name.Namespace, "role": gantry.Read.String()}})
	})
	if gantry.Is(err, gantry.NotFound) {
		return nil
	}
	return err
}

// RepositoriesHolding lists up to n repositories of a namespace that hold a
// blob.
func (db *DB) RepositoriesHolding(ctx context.Context, ns gantry.AccountID, d gantry.Digest, n int) (all []gantry.RepoID, err error) {
	err = db.read(ctx, "find a blob in a namespace", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var id gantry.RepoID
			err := r.Scan(&id)
			all = append(all, id)
			return err
		}, `SELECT rb.repo_id FROM blobs b JOIN repo_blobs rb ON rb.blob_id = b.id AND rb.ns_id = ? WHERE b.digest = ? AND rb.hidden_ms = 0
			ORDER BY rb.repo_id LIMIT `+limit(n), ns, d.Bytes())
	})
	return all, err
}
