package store

import (
	"context"
	"database/sql"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// quayStored holds of the row s of a blob that some location has whole. The
// others are uploads, and what a proxy cache has yet to fetch.
const quayStored = `s.content_checksum IS NOT NULL AND s.image_size IS NOT NULL AND (s.uploading IS NULL OR NOT s.uploading)
	AND EXISTS (SELECT 1 FROM imagestorageplacement p WHERE p.storage_id = s.id)`

func (i *quayImport) readBlobs(ctx context.Context) error {
	rows := i.table("blobs", "id", "digest", "size", "created_ms")
	var last string
	var first int64
	err := i.from.each(ctx, `SELECT s.id, s.content_checksum, s.image_size FROM imagestorage s WHERE `+quayStored+` ORDER BY s.content_checksum, s.id`, func(r *quayRow) error {
		id, text := r.int(0), r.text(1)
		if text == last {
			i.blobs[id] = first
			return nil
		}
		last, first = text, id
		d, err := gantry.ParseDigest(text)
		if err != nil {
			i.leave("blobs", "their digest is none", text)
			i.blobs[id], first = 0, 0
			return nil
		}
		return rows.add(ctx, id, d.Bytes(), r.int(2), i.from.now.UnixMilli())
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("blobs", rows.done)
	return err
}

func (i *quayImport) readPlacements(ctx context.Context) error {
	rows := i.table("placements", "blob_id", "location_id", "path", "state", "since_ms", "verified_ms")
	err := i.from.each(ctx, `SELECT s.id, g.location_id, s.uuid, `+i.from.or("imagestorage", "s", "cas_path", "TRUE")+`
		FROM imagestorage s JOIN imagestorageplacement g ON g.storage_id = s.id WHERE `+quayStored, func(r *quayRow) error {
		if _, ok := i.blobs[r.int(0)]; ok { // another row has the blob
			return nil
		}
		path := "" // the key of its digest
		if !r.flag(3) {
			path = "sharedimages/" + r.text(2) + "/layer"
		}
		return rows.add(ctx, r.int(0), i.locations[r.int(1)], path, placePresent, i.from.now.UnixMilli(), int64(0))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("placements", rows.done)
	return err
}

// findPartial finds the manifests of which the Quay has not all blobs. Where that
// is a proxy cache, it had yet to fetch them.
func (i *quayImport) findPartial(ctx context.Context) error {
	return i.from.each(ctx, `SELECT l.manifest_id, l.repository_id, s.content_checksum FROM manifestblob l JOIN imagestorage s ON s.id = l.blob_id
		WHERE NOT (`+quayStored+`) ORDER BY l.manifest_id`, func(r *quayRow) error {
		repo, ok := i.repos[r.int(1)]
		if !ok || i.partial[r.int(0)] {
			return nil
		}
		i.partial[r.int(0)] = true
		if !i.caches[repo.ns] {
			i.leave("images", "the Quay does not have all of their blobs, so they cannot be pulled whole there either", repo.name+": "+r.text(2))
		}
		return nil
	})
}

func (i *quayImport) readManifests(ctx context.Context) error {
	rows := i.table("manifests", "id", "repo_id", "digest", "media_type", "artifact_type", "config_type", "subject", "size", "layers_size",
		"created_ms", "lease_until_ms", "hidden_ms", "blobs_hidden")
	bodies := i.table("manifest_bodies", "manifest_id", "body")
	now := i.from.now.UnixMilli()
	err := i.from.each(ctx, `SELECT m.id, m.repository_id, m.digest, t.name, m.manifest_bytes FROM manifest m JOIN mediatype t ON t.id = m.media_type_id ORDER BY m.id`, func(r *quayRow) error {
		id, repo := r.int(0), r.int(1)
		name := i.repos[repo].name
		if name == "" {
			i.manifests[id] = struct{}{}
			return nil
		}
		d, m, why := i.manifest(r.text(2), r.text(3), r.text(4))
		if why == "" && i.partial[id] && i.caches[i.repos[repo].ns] {
			why = notFetched
		}
		if why != "" {
			i.manifests[id] = struct{}{}
			i.leave("manifests", why, name+"@"+r.text(2))
			return nil
		}
		var subject any
		if m.Subject != "" {
			subject = m.Subject.Bytes()
		}
		body := r.text(4)
		if err := rows.add(ctx, id, repo, d.Bytes(), m.MediaType, m.ArtifactType, m.ConfigType, subject, int64(len(body)), m.LayersSize, now, int64(0), int64(0), 0); err != nil {
			return err
		}
		return bodies.add(ctx, id, []byte(body))
	})
	if err != nil {
		return err
	}
	err = flushAll(ctx, rows, bodies)
	i.counted("manifests", rows.done)
	return err
}

const notFetched = "a proxy cache had yet to fetch them; the next pull does"

// manifest reads a manifest; why is not "" for one that is left out.
func (i *quayImport) manifest(digest, mediaType, body string) (d gantry.Digest, m QuayManifest, why string) {
	d, err := gantry.ParseDigest(digest)
	switch {
	case err != nil:
		return d, m, "their digest is none"
	case body == "":
		return d, m, notFetched
	case mediaType == "application/vnd.docker.distribution.manifest.v1+json", mediaType == "application/vnd.docker.distribution.manifest.v1+prettyjws":
		return d, m, "Docker schema 1 is obsolete: copy them with skopeo before, which converts them"
	case textDigest(d.Algorithm(), body) != d:
		return d, m, "their bytes are not those of their digest"
	}
	if m, err = i.o.Read(mediaType, []byte(body)); err != nil {
		return d, m, err.Error()
	}
	return d, m, ""
}

// textDigest is the digest of a text by an algorithm that a digest has.
func textDigest(algorithm, text string) gantry.Digest {
	h := gantry.NewHash(algorithm)
	_, _ = io.WriteString(h, text) // never fails
	return gantry.DigestOf(algorithm, h)
}

// here reports whether a manifest comes over.
func (i *quayImport) here(manifest int64) bool {
	_, out := i.manifests[manifest]
	return !out
}

// readLinks brings over which blobs and which other manifests a manifest has.
func (i *quayImport) readLinks(ctx context.Context) error {
	blobs, children := i.table("manifest_blobs", "manifest_id", "blob_id", "repo_id"), i.table("manifest_children", "parent_id", "child_id", "repo_id")
	var at int64
	var done []int64 // of that manifest
	err := i.from.each(ctx, `SELECT l.manifest_id, l.blob_id, l.repository_id, CASE WHEN `+quayStored+` THEN 1 ELSE 0 END
		FROM manifestblob l JOIN imagestorage s ON s.id = l.blob_id ORDER BY l.manifest_id`, func(r *quayRow) error {
		m, blob := r.int(0), r.int(1)
		if !i.here(m) || !i.has(r.int(2)) {
			return nil
		}
		if other, ok := i.blobs[blob]; ok {
			blob = other
		}
		if !r.flag(3) || blob == 0 {
			return nil // see findPartial
		}
		if m != at {
			at, done = m, done[:0]
		}
		if slices.Contains(done, blob) {
			return nil
		}
		done = append(done, blob)
		return blobs.add(ctx, m, blob, r.int(2))
	})
	if err != nil {
		return err
	}
	if i.from.columns["manifestchild"] != nil {
		err = i.from.each(ctx, `SELECT DISTINCT manifest_id, child_manifest_id, repository_id FROM manifestchild`, func(r *quayRow) error {
			if !i.here(r.int(0)) || !i.here(r.int(1)) || !i.has(r.int(2)) {
				return nil
			}
			return children.add(ctx, r.int(0), r.int(1), r.int(2))
		})
		if err != nil {
			return err
		}
	}
	return flushAll(ctx, blobs, children)
}

func (i *quayImport) readLabels(ctx context.Context) error {
	if i.from.columns["manifestlabel"] == nil {
		return nil
	}
	rows := i.table("manifest_labels", "manifest_id", "uuid", "label", "value", "source", "media_type")
	err := i.from.each(ctx, `SELECT m.manifest_id, l.uuid, l.[key], l.value, s.name, t.name,
			CASE WHEN EXISTS (SELECT 1 FROM manifestlabel o WHERE o.label_id = m.label_id AND o.id < m.id) THEN 1 ELSE 0 END, m.repository_id
		FROM manifestlabel m JOIN label l ON l.id = m.label_id JOIN labelsourcetype s ON s.id = l.source_type_id JOIN mediatype t ON t.id = l.media_type_id
		ORDER BY m.id`, func(r *quayRow) error {
		if !i.here(r.int(0)) || !i.has(r.int(7)) {
			return nil
		}
		id := uuidOr(r.text(1))
		if r.flag(6) { // another manifest has the same one
			id = uuid.NewString()
		}
		return rows.add(ctx, r.int(0), id, r.text(2), r.text(3), r.text(4), r.text(5))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("labels", rows.done)
	return err
}

// findDoubles finds the names that more than one tag of a repository is alive
// under, which a Quay's own index does not rule out: the newest counts.
func (i *quayImport) findDoubles(ctx context.Context) error {
	i.tagged = map[quayTagName]int64{}
	group := "name"
	if i.from.s.d.name == "mysql" {
		group = "BINARY name" // whatever its collation
	}
	return i.from.each(ctx, `SELECT repository_id, MAX(name), MAX(id) FROM tag WHERE NOT hidden AND manifest_id IS NOT NULL AND (lifetime_end_ms IS NULL OR lifetime_end_ms > ?)
		GROUP BY repository_id, `+group+` HAVING COUNT(*) > 1`, func(r *quayRow) error {
		i.tagged[quayTagName{r.int(0), r.text(1)}] = r.int(2)
		return nil
	}, i.from.now.UnixMilli())
}

func (i *quayImport) readTags(ctx context.Context) error {
	if err := i.findDoubles(ctx); err != nil {
		return err
	}
	rows := i.table("tags", "id", "repo_id", "name", "manifest_id", "start_ms", "end_ms", "live", "ended_by", "reversion", "immutable")
	now := i.from.now.UnixMilli()
	alive, ended := 0, 0
	err := i.from.each(ctx, `SELECT t.id, t.repository_id, t.name, t.manifest_id, t.lifetime_start_ms, t.lifetime_end_ms, t.hidden, t.reversion, `+i.from.or("tag", "t", "immutable", "FALSE")+`,
			CASE WHEN t.lifetime_end_ms IS NOT NULL AND EXISTS (SELECT 1 FROM tag n WHERE n.repository_id = t.repository_id AND n.name = t.name AND n.id <> t.id
				AND n.lifetime_start_ms BETWEEN t.lifetime_end_ms AND t.lifetime_end_ms + 1000) THEN 1 ELSE 0 END
		FROM tag t WHERE t.manifest_id IS NOT NULL ORDER BY t.id`, func(r *quayRow) error {
		id, repo, name, manifest := r.int(0), r.int(1), r.text(2), r.int(3)
		if !i.has(repo) || !i.here(manifest) {
			return nil
		}
		over := !r.null(5) && r.int(5) <= now
		if r.flag(6) { // it keeps a manifest that no name keeps
			if !over {
				i.leases[manifest] = max(i.leases[manifest], r.int(5), now+orphanLease.Milliseconds())
			}
			return nil
		}
		if len(name) > 128 {
			i.leave("tags", "their names are too long", i.repos[repo].name+":"+name)
			return nil
		}
		var end, live any
		by, immutable := "", 0
		if !r.null(5) {
			end = r.int(5)
		}
		newest, double := i.tagged[quayTagName{repo, name}]
		switch {
		case !over && double && newest != id:
			end, by = now, endedByMove
		case !over:
			live, immutable = 1, flag(r.flag(8))
		case r.flag(9):
			by = endedByMove
		default:
			by = endedByDelete
		}
		if live == nil {
			ended++
		} else {
			alive++
		}
		return rows.add(ctx, id, repo, name, manifest, r.int(4), end, live, by, flag(r.flag(7)), immutable)
	})
	if err != nil {
		return err
	}
	i.counted("tags", alive)
	i.counted("ended tags that can be restored", ended)
	return rows.flush(ctx)
}

// orphanLease is how long a manifest that a hidden tag keeps stays at least: a
// signature that came before its image.
const orphanLease = 14 * 24 * time.Hour

// deriveStep is of how many repositories one transaction of derive is.
const deriveStep = 200

// derive makes the rows that follow from others: which blobs repositories and
// namespaces hold and how much that is, when they began, and what collection
// has to look at.
func (i *quayImport) derive(ctx context.Context) error {
	ids := make([]int64, 0, len(i.repos))
	spaces := map[int64]bool{}
	for id, r := range i.repos {
		ids = append(ids, id)
		spaces[r.ns] = true
	}
	slices.Sort(ids)
	after := i.from.now.Add(max(i.o.Hold, 24*time.Hour)).UnixMilli()
	for chunk := range slices.Chunk(ids, deriveStep) {
		in, args := list(chunk, nil)
		if err := i.run(ctx,
			dml{`INSERT INTO repo_blobs (repo_id, blob_id, ns_id, size, linked, lease_until_ms, hidden_ms)
				SELECT l.repo_id, l.blob_id, r.ns_id, b.size, MIN(l.manifest_id), 0, 0 FROM manifest_blobs l JOIN repositories r ON r.id = l.repo_id JOIN blobs b ON b.id = l.blob_id
				WHERE l.repo_id IN ` + in + ` GROUP BY l.repo_id, l.blob_id, r.ns_id, b.size`, args},
			dml{`INSERT INTO usage_totals (ns_id, repo_id, bytes) SELECT ns_id, repo_id, SUM(size) FROM repo_blobs WHERE repo_id IN ` + in + ` GROUP BY ns_id, repo_id`, args},
			dml{`UPDATE repositories SET created_ms = COALESCE((SELECT MIN(g.start_ms) FROM tags g WHERE g.repo_id = repositories.id), created_ms) WHERE id IN ` + in, args},
			dml{`UPDATE manifests SET created_ms = COALESCE((SELECT MIN(g.start_ms) FROM tags g WHERE g.manifest_id = manifests.id), created_ms) WHERE repo_id IN ` + in, args},
			dml{`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT '` + reviewManifest + `', m.id, 0, ` + big(after) + ` FROM manifests m
				WHERE m.repo_id IN ` + in + ` AND NOT EXISTS (SELECT 1 FROM tags g WHERE g.manifest_id = m.id AND g.live = 1)`, args},
		); err != nil {
			return err
		}
	}
	for ns := range spaces {
		if err := i.run(ctx,
			dml{`INSERT INTO ns_blobs (ns_id, blob_id, size, added_by) SELECT ns_id, blob_id, MAX(size), MIN(linked) FROM repo_blobs WHERE ns_id = ? GROUP BY ns_id, blob_id`, []any{ns}},
			dml{`INSERT INTO usage_totals (ns_id, repo_id, bytes) SELECT ns_id, 0, SUM(size) FROM ns_blobs WHERE ns_id = ? GROUP BY ns_id`, []any{ns}},
		); err != nil {
			return err
		}
	}
	if err := i.keepLeased(ctx); err != nil {
		return err
	}
	for id := int64(0); ; {
		var last sql.NullInt64
		if err := i.db.read(ctx, "next blobs", func(ctx context.Context, t *tx) error {
			return t.queryRow(ctx, `SELECT MAX(x.id) FROM (SELECT id FROM blobs WHERE id > ? ORDER BY id LIMIT ?) x`, id, bulkRows).Scan(&last)
		}); err != nil || !last.Valid {
			return err
		}
		if err := i.run(ctx, dml{`INSERT INTO gc_reviews (kind, ref, ref2, after_ms) SELECT '` + reviewBlob + `', b.id, 0, ` + big(after) + ` FROM blobs b
			WHERE b.id > ? AND b.id <= ? AND NOT EXISTS (SELECT 1 FROM repo_blobs h WHERE h.blob_id = b.id)`, []any{id, last.Int64}}); err != nil {
			return err
		}
		id = last.Int64
	}
}

// A dml is a statement and its arguments.
type dml struct {
	q    string
	args []any
}

// run runs statements in one transaction.
func (i *quayImport) run(ctx context.Context, all ...dml) error {
	return i.db.update(ctx, "derive", func(ctx context.Context, t *tx) error {
		for _, s := range all {
			if _, err := t.exec(ctx, s.q, s.args...); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// keepLeased has the manifests stay that hidden tags kept.
func (i *quayImport) keepLeased(ctx context.Context) error {
	until := map[int64][]int64{}
	for m, ms := range i.leases {
		until[ms] = append(until[ms], m)
	}
	for ms, manifests := range until {
		slices.Sort(manifests)
		for chunk := range slices.Chunk(manifests, 500) {
			in, args := list(chunk, []any{ms})
			if err := i.run(ctx, dml{`UPDATE manifests SET lease_until_ms = ? WHERE id IN ` + in, args}); err != nil {
				return err
			}
		}
	}
	return nil
}
