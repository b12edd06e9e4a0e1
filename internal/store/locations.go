package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// States of a location.
const (
	// LocationActive is the state of a location that takes new objects.
	LocationActive = "active"
	// LocationDraining takes none: its objects are brought elsewhere.
	LocationDraining = "draining"
	// LocationRemoved has no object any more, and takes none.
	LocationRemoved = "removed"
)

// EnsureLocation returns the id of the storage location of that name (a key
// of DISTRIBUTED_STORAGE_CONFIG) and makes its row if there is none. Several
// processes may call it for the same name at once. The error is
// gantry.Invalid on "location" for a name that is empty or longer than 255
// bytes.
func (db *DB) EnsureLocation(ctx context.Context, name string) (id int64, err error) {
	if name == "" || len(name) > 255 {
		return 0, gantry.Errorf(gantry.Invalid, "location", "the name of a storage location must be 1 to 255 bytes long")
	}
	err = db.update(ctx, "ensure location", func(ctx context.Context, t *tx) error {
		const find = `SELECT id FROM locations WHERE name = ?`
		err := t.queryRow(ctx, find, name).Scan(&id)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if id, err = t.insert(ctx, `INSERT INTO locations (name, state) VALUES (?, ?)`+t.d.ignore("id"), name, LocationActive); err != nil || id != 0 {
			return err
		}
		return t.queryRow(ctx, find, name).Scan(&id) // another process was first
	})
	return id, err
}

// A StorageLocation is a row of the locations.
type StorageLocation struct {
	ID    int64
	Name  string
	State string
}

// StorageLocations returns all locations that were ever named, by id.
func (db *DB) StorageLocations(ctx context.Context) (all []StorageLocation, err error) {
	err = db.read(ctx, "locations", func(ctx context.Context, t *tx) error {
		all, err = t.locations(ctx)
		return err
	})
	return all, err
}

func (t *tx) locations(ctx context.Context) (all []StorageLocation, err error) {
	err = t.each(ctx, func(rows *sql.Rows) error {
		var l StorageLocation
		err := rows.Scan(&l.ID, &l.Name, &l.State)
		all = append(all, l)
		return err
	}, `SELECT id, name, state FROM locations ORDER BY id`)
	return all, err
}

// SetLocationState changes the state of a location; other instances follow
// within seconds, and the audit log has who did it. NotFound on "location".
func (db *DB) SetLocationState(ctx context.Context, id int64, state string, actor gantry.Actor) error {
	if state != LocationActive && state != LocationDraining && state != LocationRemoved {
		return gantry.Errorf(gantry.Invalid, "location", "a location is active, draining or removed, not %.20q", state)
	}
	return db.update(ctx, "set location state", func(ctx context.Context, t *tx) error {
		var name, was string
		if err := t.queryRow(ctx, `SELECT name, state FROM locations WHERE id = ?`+t.d.excl, id).Scan(&name, &was); err != nil {
			return notFound(err, errNoLocation)
		}
		if was == state {
			return nil
		}
		if _, err := t.exec(ctx, `UPDATE locations SET state = ? WHERE id = ?`, state, id); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "storage_location_change", Actor: actor, Payload: map[string]any{"location": name, "from": was, "to": state}})
	})
}

var errNoLocation = &gantry.Error{Code: gantry.NotFound, Object: "location", Detail: "there is no such storage location"}

// Wishes are where a namespace has its blobs kept.
type Wishes struct {
	Also []int64 // besides the default locations
	Not  []int64 // not there, for this namespace's sake
}

// StorageRules say where blobs belong. The zero value is: all locations are
// active, and no namespace has wishes.
type StorageRules struct {
	States map[int64]string // of locations; "" = active
	Wishes map[gantry.AccountID]Wishes
}

// maxWishes bounds the rows of wishes that are held in memory.
const maxWishes = 200_000

// StorageRules reads them.
func (db *DB) StorageRules(ctx context.Context) (r *StorageRules, err error) {
	err = db.read(ctx, "storage rules", func(ctx context.Context, t *tx) error {
		r = &StorageRules{States: map[int64]string{}, Wishes: map[gantry.AccountID]Wishes{}}
		all, err := t.locations(ctx)
		if err != nil {
			return err
		}
		for _, l := range all {
			r.States[l.ID] = l.State
		}
		return t.each(ctx, func(rows *sql.Rows) error {
			var ns gantry.AccountID
			var location int64
			var excluded int
			err := rows.Scan(&ns, &location, &excluded)
			w := r.Wishes[ns]
			if excluded != 0 {
				w.Not = append(w.Not, location)
			} else {
				w.Also = append(w.Also, location)
			}
			r.Wishes[ns] = w
			return err
		}, `SELECT ns_id, location_id, excluded FROM namespace_locations ORDER BY ns_id, location_id LIMIT `+limit(maxWishes))
	})
	return r, err
}

// Active reports whether a location takes new objects.
func (r *StorageRules) Active(location int64) bool {
	s := r.States[location]
	return s == "" || s == LocationActive
}

// Takes reports whether a location takes new objects of a namespace.
func (r *StorageRules) Takes(ns gantry.AccountID, location int64) bool {
	return r.Active(location) && !slices.Contains(r.Wishes[ns].Not, location)
}

// Required returns where the blobs of a namespace must be: at the default
// locations and those that it asked for, without those that it excludes and
// those that take nothing.
func (r *StorageRules) Required(ns gantry.AccountID, defaults []int64) (at []int64) {
	for _, l := range union(slices.Clone(defaults), r.Wishes[ns].Also) {
		if r.Takes(ns, l) {
			at = append(at, l)
		}
	}
	return at
}

// NamespaceLocations returns the wishes of a namespace.
func (db *DB) NamespaceLocations(ctx context.Context, ns gantry.AccountID) (w Wishes, err error) {
	err = db.read(ctx, "locations of a namespace", func(ctx context.Context, t *tx) error {
		w = Wishes{}
		return t.each(ctx, func(rows *sql.Rows) error {
			var location int64
			var excluded int
			err := rows.Scan(&location, &excluded)
			if excluded != 0 {
				w.Not = append(w.Not, location)
			} else {
				w.Also = append(w.Also, location)
			}
			return err
		}, `SELECT location_id, excluded FROM namespace_locations WHERE ns_id = ? ORDER BY location_id`, ns)
	})
	return w, err
}

// SetNamespaceLocations changes the wishes of a namespace; the audit log has who
// did it. What has been pushed follows with WantMissing.
func (db *DB) SetNamespaceLocations(ctx context.Context, ns gantry.AccountID, w Wishes, actor gantry.Actor) error {
	for _, l := range w.Also {
		if slices.Contains(w.Not, l) {
			return gantry.Errorf(gantry.Invalid, "location", "a location is asked for or excluded, not both")
		}
	}
	return db.update(ctx, "set locations of a namespace", func(ctx context.Context, t *tx) error {
		var name string
		if err := t.queryRow(ctx, `SELECT name FROM accounts WHERE id = ? AND deleted_ms = 0`+t.d.excl, ns).Scan(&name); err != nil {
			return notFound(err, &gantry.Error{Code: gantry.NotFound, Object: "namespace", Detail: "there is no such namespace"})
		}
		if _, err := t.exec(ctx, `DELETE FROM namespace_locations WHERE ns_id = ?`, ns); err != nil {
			return err
		}
		var rows []any
		n := 0
		for excluded, locations := range [][]int64{w.Also, w.Not} {
			for _, l := range slices.Compact(slices.Sorted(slices.Values(locations))) {
				rows = append(rows, ns, l, excluded)
				n++
			}
		}
		if n > 0 {
			if _, err := t.exec(ctx, `INSERT INTO namespace_locations (ns_id, location_id, excluded) VALUES `+tuples(n, 3), rows...); err != nil {
				return err
			}
		}
		all, err := t.locations(ctx)
		if err != nil {
			return err
		}
		names := func(ids []int64) []string {
			list := []string{}
			for _, l := range all {
				if slices.Contains(ids, l.ID) {
					list = append(list, l.Name)
				}
			}
			return list
		}
		return t.event(ctx, Event{Kind: "namespace_storage_change", Namespace: ns, Actor: actor,
			Payload: map[string]any{"namespace": name, "locations": names(w.Also), "excluded": names(w.Not)}})
	})
}

// An Evacuation is a step of emptying a location.
type Evacuation struct {
	Location int64
	// Targets take what has no other copy, the first that has none.
	Targets []int64
	// Gone: the objects are lost; they are forgotten, not put into the trash.
	Gone bool
	// Lose forgets blobs of which there is no whole copy.
	Lose bool
}

// Evacuated is what a step of Evacuate did.
type Evacuated struct {
	Last    gantry.BlobID // where to go on; that of the call at the end
	Seen    int           // placements looked at
	Left    int           // that left the location
	Bytes   int64         // of these
	Waiting int           // blobs that wait for their copy elsewhere
	Lost    int           // of which there is no whole copy: forgotten with Lose, else still there
}

// Evacuate looks at up to n placements of a location, of blobs with ids
// greater than after. One of which there is a whole copy at an active location
// leaves; a blob without one becomes wanted at a target first.
func (db *DB) Evacuate(ctx context.Context, e Evacuation, after gantry.BlobID, n int) (out Evacuated, err error) {
	err = db.update(ctx, "evacuate", func(ctx context.Context, t *tx) error {
		out, err = t.evacuate(ctx, e, after, min(n, 200))
		return err
	})
	return out, err
}

func (t *tx) evacuate(ctx context.Context, e Evacuation, after gantry.BlobID, n int) (out Evacuated, err error) {
	out.Last = after
	var ids []gantry.BlobID
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.BlobID
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT blob_id FROM placements WHERE location_id = ? AND blob_id > ? ORDER BY blob_id LIMIT `+limit(n), e.Location, after); err != nil || len(ids) == 0 {
		return out, err
	}
	out.Last, out.Seen = ids[len(ids)-1], len(ids)
	in, args := list(ids, nil)
	type row struct {
		digest gantry.Digest
		size   int64
	}
	blobs := map[gantry.BlobID]row{}
	// Keys may go to the trash: only under EXCL.
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.BlobID
		var d []byte
		var r row
		err := rows.Scan(&id, &d, &r.size)
		r.digest = gantry.DigestFromBytes(d)
		blobs[id] = r
		return err
	}, `SELECT id, digest, size FROM blobs WHERE id IN `+in+` ORDER BY id`+t.d.excl, args...); err != nil {
		return out, err
	}
	active := map[int64]bool{}
	all, err := t.locations(ctx)
	if err != nil {
		return out, err
	}
	for _, l := range all {
		active[l.ID] = l.State == LocationActive
	}
	type here struct{ path, state string }
	at := map[gantry.BlobID]here{}
	safe := map[gantry.BlobID]bool{}
	elsewhere := map[gantry.BlobID][]int64{}
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var id gantry.BlobID
		var location int64
		var h here
		err := rows.Scan(&id, &location, &h.path, &h.state)
		switch {
		case location == e.Location:
			at[id] = h
		case active[location] && h.state == placePresent:
			safe[id] = true
		}
		elsewhere[id] = append(elsewhere[id], location)
		return err
	}, `SELECT blob_id, location_id, path, state FROM placements WHERE blob_id IN `+in, args...); err != nil {
		return out, err
	}
	wanted := map[gantry.BlobID][]int64{}
	var gone []gantry.BlobID
	var objects []object
	for _, id := range ids {
		h, there := at[id]
		b := blobs[id]
		if !there {
			continue
		}
		lost := false
		if !safe[id] && h.state != placeWanted {
			switch {
			case h.state == placeDamaged, e.Gone: // nothing to copy from
				if out.Lost++; !e.Lose {
					continue
				}
				lost = true
			default:
				out.Waiting++
				for _, l := range e.Targets {
					if !slices.Contains(elsewhere[id], l) {
						wanted[id] = []int64{l}
						break
					}
				}
				continue
			}
		}
		gone = append(gone, id)
		if !lost {
			out.Bytes += b.size
		}
		if !e.Gone {
			objects = append(objects, object{location: e.Location, path: orCanonical(h.path, b.digest)})
		}
	}
	out.Left = len(gone)
	if len(gone) > 0 {
		if err := t.discard(ctx, objects, trashDelay); err != nil {
			return out, err
		}
		in, args := list(gone, []any{e.Location})
		for _, table := range []string{"placements", "copies"} {
			if _, err := t.exec(ctx, `DELETE FROM `+table+` WHERE location_id = ? AND blob_id IN `+in, args...); err != nil {
				return out, err
			}
		}
		for _, id := range gone {
			if err := t.touchHolders(ctx, id); err != nil {
				return out, err
			}
		}
	}
	_, err = t.want(ctx, wanted, copyFresh)
	return out, err
}

// A LocationUse is what a location is still needed for.
type LocationUse struct {
	Placements int64 // at most the bound of the question
	Uploads    int64
	Trash      int64 // objects that are still to be deleted
}

// LocationUse counts, up to most of each, what a location is needed for.
func (db *DB) LocationUse(ctx context.Context, id int64, most int) (u LocationUse, err error) {
	err = db.read(ctx, "use of a location", func(ctx context.Context, t *tx) error {
		of := func(from string) string {
			return `(SELECT COUNT(*) FROM (SELECT 1 AS one FROM ` + from + ` LIMIT ` + limit(most) + `) x` + limit(len(from)) + `)`
		}
		return t.queryRow(ctx, `SELECT `+of(`placements WHERE location_id = ?`)+`, `+of(`uploads WHERE location_id = ?`)+`, `+
			of(`trash WHERE location_id = ? AND done_ms = 0`), id, id, id).Scan(&u.Placements, &u.Uploads, &u.Trash)
	})
	return u, err
}

// ForgetTrash forgets up to n objects in the trash of a location that is gone
// for good, and its uploads; it returns how many.
func (db *DB) ForgetTrash(ctx context.Context, location int64, n int) (forgotten int64, err error) {
	err = db.update(ctx, "forget trash", func(ctx context.Context, t *tx) error {
		forgotten = 0
		ids, err := t.ids(ctx, `SELECT id FROM trash WHERE location_id = ? ORDER BY path LIMIT `+limit(min(n, maxCollectRows)), location)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			in, args := list(ids, nil)
			if forgotten, err = t.exec(ctx, `DELETE FROM trash WHERE id IN `+in, args...); err != nil {
				return err
			}
		}
		n, err := t.exec(ctx, `DELETE FROM uploads WHERE location_id = ?`, location)
		forgotten += n
		return err
	})
	return forgotten, err
}
