package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// CopiesReader is the name under which WantPushed reads the journal.
const CopiesReader = "copies"

// JobFill is the kind of the job that makes wanted what is missing anywhere.
// Its payload is not used.
const JobFill = "storage.fill"

// Priorities of copies.
const (
	copyFresh = 0 // of what was just pushed
	copyOld   = 1 // of what has been there
)

// want makes the blobs wanted at locations that have no placement of them, and
// returns how many placements that made. The blob rows are locked so that they
// stay. A wanted placement names the canonical key, whatever is in the trash:
// CopyDone looks at that.
func (t *tx) want(ctx context.Context, wanted map[gantry.BlobID][]int64, priority int) (made int, err error) {
	ids := make([]gantry.BlobID, 0, len(wanted))
	for id, at := range wanted {
		if len(at) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ms := t.now.UnixMilli()
	for chunk := range slices.Chunk(ids, 200) {
		in, args := list(chunk, nil)
		sizes := map[gantry.BlobID]int64{}
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id gantry.BlobID
			var size int64
			err := rows.Scan(&id, &size)
			sizes[id] = size
			return err
		}, `SELECT id, size FROM blobs WHERE id IN `+in+` ORDER BY id`+t.d.share, args...); err != nil {
			return made, err
		}
		type at struct {
			blob     gantry.BlobID
			location int64
		}
		has := map[at]bool{}
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var a at
			err := rows.Scan(&a.blob, &a.location)
			has[a] = true
			return err
		}, `SELECT blob_id, location_id FROM placements WHERE blob_id IN `+in, args...); err != nil {
			return made, err
		}
		var places, work []any
		n := 0
		for _, id := range chunk {
			size, there := sizes[id]
			if !there {
				continue // collected meanwhile
			}
			for _, l := range wanted[id] {
				if has[at{id, l}] {
					continue
				}
				places = append(places, id, l, "", placeWanted, ms, 0)
				work = append(work, id, l, size, priority, ms, ms, 0, 0, "")
				n++
			}
		}
		if n == 0 {
			continue
		}
		if _, err := t.exec(ctx, `INSERT INTO placements (blob_id, location_id, path, state, since_ms, verified_ms) VALUES `+
			tuples(n, 6)+t.d.ignore("path"), places...); err != nil {
			return made, err
		}
		if _, err := t.exec(ctx, `INSERT INTO copies (blob_id, location_id, size, priority, wanted_ms, after_ms, claim, attempts, error) VALUES `+
			tuples(n, 9)+t.d.ignore("size"), work...); err != nil {
			return made, err
		}
		made += n
	}
	return made, nil
}

// WantPushed reads up to n rows of the journal and makes the blobs of the
// manifests that were pushed wanted wherever their namespace needs them. The
// first call begins at the end of the journal: what was there before is for
// WantMissing. more is true when there may be more rows.
func (db *DB) WantPushed(ctx context.Context, defaults []int64, n int) (wanted int, more bool, err error) {
	rules, err := db.StorageRules(ctx)
	if err != nil {
		return 0, false, err
	}
	err = db.update(ctx, "want what was pushed", func(ctx context.Context, t *tx) error {
		wanted, more = 0, false
		var from int64
		err := t.queryRow(ctx, `SELECT seq FROM readers WHERE name = ?`+t.d.excl, CopiesReader).Scan(&from)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = t.exec(ctx, `INSERT INTO readers (name, seq) VALUES (?, (SELECT COALESCE(MAX(seq), 0) FROM events WHERE seq > 0))`+t.d.ignore("name"), CopiesReader)
			return err
		}
		if err != nil {
			return err
		}
		entries, err := t.entries(ctx, `seq > ? ORDER BY seq LIMIT `+limit(n), from)
		if err != nil || len(entries) == 0 {
			return err
		}
		more = len(entries) == n
		pushed := map[gantry.RepoID][][]byte{}
		spaces := map[gantry.RepoID]gantry.AccountID{}
		for _, e := range entries {
			var p struct {
				Digest gantry.Digest `json:"manifest_digest"`
			}
			if e.Kind != "push_repo" || json.Unmarshal(e.Payload, &p) != nil || p.Digest == "" {
				continue
			}
			pushed[e.Repo] = append(pushed[e.Repo], p.Digest.Bytes())
			spaces[e.Repo] = e.Namespace
		}
		at := map[gantry.BlobID][]int64{}
		for repo, digests := range pushed {
			need := rules.Required(spaces[repo], defaults)
			if len(need) == 0 {
				continue
			}
			in, args := list(digests, []any{repo})
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var id gantry.BlobID
				err := rows.Scan(&id)
				at[id] = union(at[id], need)
				return err
			}, `SELECT DISTINCT b.blob_id FROM manifests m JOIN manifest_blobs b ON b.manifest_id = m.id
				WHERE m.repo_id = ? AND m.digest IN `+in, args...); err != nil {
				return err
			}
		}
		if wanted, err = t.want(ctx, at, copyFresh); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE readers SET seq = ? WHERE name = ?`, entries[len(entries)-1].Seq, CopiesReader)
		return err
	})
	return wanted, more, err
}

// union is a and what of b is not in it.
func union(a, b []int64) []int64 {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a[:len(a):len(a)], x)
		}
	}
	return a
}

// A Fill is what a step of WantMissing did.
type Fill struct {
	Last   gantry.BlobID // where to go on; that of the call at the end
	Blobs  int           // looked at
	Wanted int           // copies that are to be made now
}

// WantMissing looks at up to n blobs with ids greater than after, and makes
// those that a manifest uses wanted wherever a namespace that holds them needs
// them.
func (db *DB) WantMissing(ctx context.Context, defaults []int64, after gantry.BlobID, n int) (f Fill, err error) {
	rules, err := db.StorageRules(ctx)
	if err != nil {
		return f, err
	}
	err = db.update(ctx, "want what is missing", func(ctx context.Context, t *tx) error {
		f = Fill{Last: after}
		var ids []gantry.BlobID
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id gantry.BlobID
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT id FROM blobs WHERE id > ? ORDER BY id LIMIT `+limit(min(n, maxCollectRows)), after); err != nil || len(ids) == 0 {
			return err
		}
		f.Last, f.Blobs = ids[len(ids)-1], len(ids)
		at := map[gantry.BlobID][]int64{}
		in, args := list(ids, nil)
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id gantry.BlobID
			var ns gantry.AccountID
			err := rows.Scan(&id, &ns)
			at[id] = union(at[id], rules.Required(ns, defaults))
			return err
		}, `SELECT DISTINCT blob_id, ns_id FROM repo_blobs WHERE blob_id IN `+in+` AND linked <> 0`, args...); err != nil {
			return err
		}
		f.Wanted, err = t.want(ctx, at, copyOld)
		return err
	})
	return f, err
}

// LastBlob returns the greatest id of a blob, or 0.
func (db *DB) LastBlob(ctx context.Context) (id gantry.BlobID, err error) {
	err = db.read(ctx, "last blob", func(ctx context.Context, t *tx) error {
		return t.queryRow(ctx, `SELECT COALESCE(MAX(id), 0) FROM blobs`).Scan(&id)
	})
	return id, err
}

// A Copy is a blob that is to be copied to a location.
type Copy struct {
	Blob     gantry.BlobID
	Digest   gantry.Digest
	Size     int64
	Location int64
	Attempts int       // that failed
	Wanted   time.Time // since when
	Fenced   bool      // the canonical key is in the trash: it cannot be used
	Places   []Place   // where the bytes are
	claim    int64
}

// ClaimCopies takes up to n copies to a location that have been due for at
// least behind: what was pushed first, then what was there before. The caller
// copies, renews before lease has passed, and tells how it ended.
func (db *DB) ClaimCopies(ctx context.Context, location int64, lease, behind time.Duration, n int) (all []Copy, err error) {
	n = min(n, maxCollectRows)
	err = db.update(ctx, "claim copies", func(ctx context.Context, t *tx) error {
		all = nil
		due := t.now.Add(-behind).UnixMilli()
		var ids []gantry.BlobID
		for _, priority := range []int{copyFresh, copyOld} {
			if len(ids) >= n {
				break
			}
			if err := t.each(ctx, func(rows *sql.Rows) error {
				var id gantry.BlobID
				err := rows.Scan(&id)
				ids = append(ids, id)
				return err
			}, `SELECT blob_id FROM copies WHERE location_id = ? AND priority = ? AND after_ms <= ? ORDER BY after_ms, blob_id LIMIT `+limit(n-len(ids)),
				location, priority, due); err != nil {
				return err
			}
		}
		if len(ids) == 0 {
			return nil
		}
		slices.Sort(ids)
		in, args := list(ids, []any{location})
		claims := map[gantry.BlobID]Copy{}
		if err := t.each(ctx, func(rows *sql.Rows) error {
			c := Copy{Location: location}
			var wanted int64
			err := rows.Scan(&c.Blob, &c.Size, &c.Attempts, &c.claim, &wanted)
			c.claim++
			c.Wanted = gantry.FromMillis(wanted)
			claims[c.Blob] = c
			return err
		}, `SELECT blob_id, size, attempts, claim, wanted_ms FROM copies WHERE location_id = ? AND blob_id IN `+in+` AND after_ms <= `+big(due)+
			` ORDER BY blob_id`+t.d.excl, args...); err != nil || len(claims) == 0 {
			return err
		}
		ids = ids[:0]
		for id := range claims {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		in, args = list(ids, nil)
		wanted := map[gantry.BlobID]bool{}
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var id gantry.BlobID
			var d []byte
			var p Place
			var state string
			err := rows.Scan(&id, &d, &p.Location, &p.Path, &state)
			c := claims[id]
			c.Digest = gantry.DigestFromBytes(d)
			p.Suspect = state == placeSuspect
			switch {
			case p.Location == location:
				wanted[id] = state == placeWanted
			case state == placePresent || state == placeSuspect:
				c.Places = append(c.Places, p)
			}
			claims[id] = c
			return err
		}, `SELECT p.blob_id, b.digest, p.location_id, p.path, p.state FROM placements p JOIN blobs b ON b.id = p.blob_id
			WHERE p.blob_id IN `+in+` ORDER BY p.blob_id, p.location_id`, args...); err != nil {
			return err
		}
		var take, drop []gantry.BlobID
		var keys []string
		for _, id := range ids {
			if wanted[id] {
				take, keys = append(take, id), append(keys, claims[id].Digest.Key())
			} else { // collected, or there already
				drop = append(drop, id)
			}
		}
		if len(drop) > 0 {
			in, args := list(drop, []any{location})
			if _, err := t.exec(ctx, `DELETE FROM copies WHERE location_id = ? AND blob_id IN `+in, args...); err != nil {
				return err
			}
		}
		if len(take) == 0 {
			return nil
		}
		fenced := map[string]bool{}
		in, args = list(keys, []any{location})
		if err := t.each(ctx, func(rows *sql.Rows) error {
			var k string
			err := rows.Scan(&k)
			fenced[k] = true
			return err
		}, `SELECT path FROM trash WHERE location_id = ? AND path IN `+in, args...); err != nil {
			return err
		}
		for _, id := range take {
			c := claims[id]
			c.Fenced = fenced[c.Digest.Key()]
			all = append(all, c)
		}
		in, args = list(take, []any{t.now.Add(lease).UnixMilli(), location})
		_, err := t.exec(ctx, `UPDATE copies SET after_ms = ?, claim = claim + 1 WHERE location_id = ? AND blob_id IN `+in, args...)
		return err
	})
	return all, err
}

// errCopyLost is what a copier gets whose claim passed to another.
var errCopyLost = &gantry.Error{Code: gantry.Conflict, Object: "copy", Detail: "the copy is another worker's now"}

// RenewCopy keeps a claimed copy for another lease; Conflict on "copy" when
// the claim is lost.
func (db *DB) RenewCopy(ctx context.Context, c Copy, lease time.Duration) error {
	return db.update(ctx, "renew copy", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE copies SET after_ms = ? WHERE blob_id = ? AND location_id = ? AND claim = ?`,
			t.now.Add(lease).UnixMilli(), c.Blob, c.Location, c.claim)
		if err == nil && n == 0 {
			return errCopyLost
		}
		return err
	})
}

// FailCopy gives a claimed copy back, to be tried again after a while. text
// says why; it is shown to superusers.
func (db *DB) FailCopy(ctx context.Context, c Copy, after time.Duration, text string) error {
	return db.update(ctx, "fail copy", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE copies SET after_ms = ?, attempts = attempts + 1, error = ? WHERE blob_id = ? AND location_id = ? AND claim = ?`,
			t.now.Add(after).UnixMilli(), cut(text, 255), c.Blob, c.Location, c.claim)
		return err
	})
}

// CopyDone makes a copy known, whose bytes have the digest and are on stable
// storage at path ("" = the canonical key). It is for copies that began less
// than an hour ago, or whose path nobody used before. done is false when the
// blob was collected meanwhile, or the location has it from elsewhere: the
// object at path is of no use then. The error is ErrKeyFenced when path is
// canonical and that key is in the trash.
func (db *DB) CopyDone(ctx context.Context, c Copy, path string) (done bool, err error) {
	err = db.update(ctx, "copy done", func(ctx context.Context, t *tx) error {
		done = false
		var id gantry.BlobID
		err := t.queryRow(ctx, `SELECT id FROM blobs WHERE id = ?`+t.d.share, c.Blob).Scan(&id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil {
			var fenced int
			if err := t.queryRow(ctx, `SELECT COUNT(*) FROM trash WHERE location_id = ? AND path = ?`, c.Location, orCanonical(path, c.Digest)).Scan(&fenced); err != nil {
				return err
			}
			if fenced > 0 {
				return ErrKeyFenced
			}
			ms := t.now.UnixMilli()
			n, err := t.exec(ctx, `UPDATE placements SET path = ?, state = '`+placePresent+`', since_ms = ?, verified_ms = ?
				WHERE blob_id = ? AND location_id = ? AND state = '`+placeWanted+`'`, path, ms, ms, c.Blob, c.Location)
			if err != nil {
				return err
			}
			if done = n > 0; done {
				if err := t.touchHolders(ctx, c.Blob); err != nil {
					return err
				}
			} else if wanted, err := t.wantedAgain(ctx, c); err != nil || wanted {
				return err
			}
		}
		_, err = t.exec(ctx, `DELETE FROM copies WHERE blob_id = ? AND location_id = ?`, c.Blob, c.Location)
		return err
	})
	return done, err
}

// wantedAgain reports whether the placement of a copy is wanted, which was not
// a moment ago: it left the location, and then it was asked for anew, both
// beside a copier that knew of neither. With the row of the copy locked, its
// placement is committed and seen; under the lock on the blob's row, which the
// caller has, it stays.
func (t *tx) wantedAgain(ctx context.Context, c Copy) (wanted bool, err error) {
	if t.d.serial {
		return false, nil
	}
	var id gantry.BlobID
	if err := t.queryRow(ctx, `SELECT blob_id FROM copies WHERE blob_id = ? AND location_id = ?`+t.d.excl, c.Blob, c.Location).Scan(&id); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return false, err
	}
	err = t.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM placements WHERE blob_id = ? AND location_id = ? AND state = '`+placeWanted+`')`,
		c.Blob, c.Location).Scan(&wanted)
	return wanted, err
}

// A Lag is how far a location is behind.
type Lag struct {
	Location int64
	Copies   int64
	Bytes    int64
	Oldest   time.Time // since when the oldest is wanted
	Failed   int64     // of the copies, those that failed before
}

// Lags returns how far each location is behind that is; it reads an index of
// what is to be copied.
func (db *DB) Lags(ctx context.Context) (all []Lag, err error) {
	err = db.read(ctx, "lag of locations", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var l Lag
			var oldest int64
			err := rows.Scan(&l.Location, &l.Copies, &l.Bytes, &oldest)
			l.Oldest = gantry.FromMillis(oldest)
			all = append(all, l)
			return err
		}, `SELECT location_id, COUNT(*), SUM(size), MIN(wanted_ms) FROM copies GROUP BY location_id ORDER BY location_id`)
	})
	return all, err
}

// A FailedCopy is a copy that failed and is tried again.
type FailedCopy struct {
	Digest   gantry.Digest
	Location int64
	Size     int64
	Attempts int64
	Wanted   time.Time
	Next     time.Time // when it is tried again, at the earliest
	Error    string
}

// OldestCopies returns up to n copies to a location that have been wanted for
// longest.
func (db *DB) OldestCopies(ctx context.Context, location int64, n int) (all []FailedCopy, err error) {
	err = db.read(ctx, "oldest copies", func(ctx context.Context, t *tx) error {
		all = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			f := FailedCopy{Location: location}
			var d []byte
			var wanted, next int64
			err := rows.Scan(&d, &f.Size, &f.Attempts, &wanted, &next, &f.Error)
			f.Digest, f.Wanted, f.Next = gantry.DigestFromBytes(d), gantry.FromMillis(wanted), gantry.FromMillis(next)
			all = append(all, f)
			return err
		}, `SELECT b.digest, c.size, c.attempts, c.wanted_ms, c.after_ms, c.error FROM copies c JOIN blobs b ON b.id = c.blob_id
			WHERE c.location_id = ? ORDER BY c.wanted_ms LIMIT `+limit(min(n, 1000)), location)
	})
	return all, err
}

// Doubt marks the object of a placement, which a read found missing or
// damaged: it is verified soon, and read only if there is no other. Nothing
// happens if the placement is another now.
func (db *DB) Doubt(ctx context.Context, d gantry.Digest, location int64, path string) error {
	return db.update(ctx, "doubt placement", func(ctx context.Context, t *tx) error {
		var id gantry.BlobID
		err := t.queryRow(ctx, `SELECT id FROM blobs WHERE digest = ?`, d.Bytes()).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, `UPDATE placements SET state = '`+placeSuspect+`', since_ms = ? WHERE blob_id = ? AND location_id = ? AND path = ?
			AND state = '`+placePresent+`'`, t.now.UnixMilli(), id, location, path)
		if err != nil || n == 0 {
			return err
		}
		return t.touchHolders(ctx, id)
	})
}

// SuspectPlacements returns up to n placements at the locations that are in
// doubt, for longest first, or damaged and not repaired yet, those that were
// looked at longest ago first.
func (db *DB) SuspectPlacements(ctx context.Context, locations []int64, damaged bool, n int) (all []Placement, err error) {
	state := placeSuspect
	if damaged {
		state = placeDamaged
	}
	err = db.read(ctx, "suspect placements", func(ctx context.Context, t *tx) error {
		all = nil
		in, args := list(locations, []any{state})
		return t.each(ctx, func(rows *sql.Rows) error {
			var p Placement
			var d []byte
			err := rows.Scan(&p.Blob, &p.Location, &d, &p.Size, &p.Path, &p.State, &p.verified)
			p.Digest = gantry.DigestFromBytes(d)
			all = append(all, p)
			return err
		}, `SELECT p.blob_id, p.location_id, b.digest, b.size, p.path, p.state, p.verified_ms FROM placements p JOIN blobs b ON b.id = p.blob_id
			WHERE p.state = ? AND p.location_id IN `+in+` ORDER BY p.since_ms LIMIT `+limit(n), args...)
	})
	return all, err
}
