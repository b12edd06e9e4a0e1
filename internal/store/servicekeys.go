package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// How a service key was approved.
const (
	ApprovedBySuperuser = "Super User API"
	ApprovedByRotation  = "Key Rotation"
	ApprovedByItself    = "Automatic"
)

// A ServiceKey is the public half of a key that signs tokens.
type ServiceKey struct {
	ID       string
	Name     string
	Service  string
	JWK      string
	Metadata json.RawMessage // an object; nil = {}
	Created  time.Time
	Expires  time.Time     // zero = never
	Rotation time.Duration // how often its owner replaces it; 0 = not said

	Approved     time.Time // zero = nobody has
	Approval     string    // how
	Approver     gantry.AccountID
	ApproverName string // "" = a machine, or an account that is gone
	Notes        string
}

const serviceKeyColumns = `k.kid, k.name, k.service, k.jwk, k.created_ms, k.expires_ms, k.approved_ms, COALESCE(d.metadata, '{}'), COALESCE(d.rotation_s, 0),
	COALESCE(d.approval, ''), COALESCE(d.approver_id, 0), COALESCE(a.name, ''), COALESCE(d.notes, '')
	FROM service_keys k LEFT JOIN service_key_details d ON d.kid = k.kid LEFT JOIN accounts a ON a.id = d.approver_id AND a.deleted_ms = 0`

func scanServiceKey(row interface{ Scan(...any) error }) (k ServiceKey, err error) {
	var created, expires, approved, rotation int64
	var metadata string
	err = row.Scan(&k.ID, &k.Name, &k.Service, &k.JWK, &created, &expires, &approved, &metadata, &rotation, &k.Approval, &k.Approver, &k.ApproverName, &k.Notes)
	k.Created, k.Expires, k.Approved = gantry.FromMillis(created), gantry.FromMillis(expires), gantry.FromMillis(approved)
	k.Metadata, k.Rotation = json.RawMessage(metadata), seconds(rotation)
	if approved > 0 && k.Approval == "" { // an instance's own
		k.Approval = ApprovedByItself
	}
	return k, err
}

func errNoKey() *gantry.Error { return gantry.Errorf(gantry.NotFound, "key", "no such key") }

// PutServiceKey stores an approved key of this instance, or moves the end of
// one that is there.
func (db *DB) PutServiceKey(ctx context.Context, k ServiceKey) error {
	return db.update(ctx, "put service key", func(ctx context.Context, t *tx) error {
		now := t.now.UnixMilli()
		_, err := t.exec(ctx, `INSERT INTO service_keys (kid, name, service, jwk, created_ms, expires_ms, approved_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`+
			t.d.upsert("kid", "expires_ms = "+t.d.fresh("expires_ms")), k.ID, k.Service, k.Service, k.JWK, now, gantry.Millis(k.Expires), now)
		return err
	})
}

// ServiceKey finds an approved key that has not expired; else it is NotFound
// on "key".
func (db *DB) ServiceKey(ctx context.Context, kid string) (k ServiceKey, err error) {
	k, err = db.AnyServiceKey(ctx, kid)
	if err == nil && !k.Valid(db.Now()) {
		err = errNoKey()
	}
	return k, err
}

// Valid reports whether k may sign at the time now.
func (k *ServiceKey) Valid(now time.Time) bool {
	return !k.Approved.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// AnyServiceKey finds a key, also one that has expired or is not approved.
func (db *DB) AnyServiceKey(ctx context.Context, kid string) (k ServiceKey, err error) {
	err = db.read(ctx, "find service key", func(ctx context.Context, t *tx) error {
		k, err = scanServiceKey(t.queryRow(ctx, `SELECT `+serviceKeyColumns+` WHERE k.kid = ?`, kid))
		return notFound(err, errNoKey())
	})
	return k, err
}

// ServiceKeys lists the keys of a service that may sign now; "" lists all keys
// of all services. It lists at most 10,000, by their ids.
func (db *DB) ServiceKeys(ctx context.Context, service string) (list []ServiceKey, err error) {
	err = db.read(ctx, "list service keys", func(ctx context.Context, t *tx) error {
		list = nil
		where, args := ``, []any{}
		if service != "" {
			where, args = ` WHERE k.service = ? AND k.approved_ms > 0 AND (k.expires_ms = 0 OR k.expires_ms > ?)`, []any{service, t.now.UnixMilli()}
		}
		return t.each(ctx, func(r *sql.Rows) error {
			k, err := scanServiceKey(r)
			list = append(list, k)
			return err
		}, `SELECT `+serviceKeyColumns+where+` ORDER BY k.kid LIMIT `+limit(maxListed), args...)
	})
	return list, err
}

const (
	maxUnapprovedKeys = 100 // that wait for an approval: anybody may submit one
	maxServiceKeys    = 5000
)

func keyEvent(kind string, k ServiceKey, actor gantry.Actor) Event {
	p := map[string]any{"kid": k.ID, "service": k.Service, "name": k.Name, "expiration_date": nil}
	if !k.Expires.IsZero() {
		p["expiration_date"] = k.Expires.UTC().Format(time.RFC1123Z)
	}
	return Event{Kind: kind, Actor: actor, Payload: p}
}

// CreateServiceKey stores a key, approved where k.Approval is set. A kid that
// is taken is Conflict on "key"; too many keys are Limited.
func (db *DB) CreateServiceKey(ctx context.Context, k ServiceKey, actor gantry.Actor) error {
	return db.update(ctx, "create service key", func(ctx context.Context, t *tx) error {
		return t.createServiceKey(ctx, k, "service_key_create", actor)
	})
}

func (t *tx) createServiceKey(ctx context.Context, k ServiceKey, kind string, actor gantry.Actor) error {
	if _, err := t.counter(ctx, "service keys"); err != nil { // one at a time: they are counted
		return err
	}
	var all, waiting int
	if err := t.queryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN approved_ms = 0 THEN 1 ELSE 0 END), 0) FROM service_keys`).Scan(&all, &waiting); err != nil {
		return err
	}
	if all >= maxServiceKeys || k.Approval == "" && waiting >= maxUnapprovedKeys {
		return &gantry.Error{Code: gantry.Limited, Object: "key", Retry: time.Hour, Detail: "Too many service keys are stored, or wait to be approved"}
	}
	if there, err := t.exists(ctx, `SELECT 1 FROM service_keys WHERE kid = ?`, k.ID); err != nil || there {
		return errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "key", "There is a key with this id already"), there))
	}
	approved := int64(0)
	if k.Approval != "" {
		approved = t.now.UnixMilli()
	}
	if _, err := t.exec(ctx, `INSERT INTO service_keys (kid, name, service, jwk, created_ms, expires_ms, approved_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		k.ID, k.Name, k.Service, k.JWK, t.now.UnixMilli(), gantry.Millis(k.Expires), approved); err != nil {
		return err
	}
	if err := t.keyDetails(ctx, k); err != nil {
		return err
	}
	return t.event(ctx, keyEvent(kind, k, actor))
}

// keyDetails stores what is known of a key beside it.
func (t *tx) keyDetails(ctx context.Context, k ServiceKey) error {
	metadata := string(k.Metadata)
	if metadata == "" {
		metadata = "{}"
	}
	set := ""
	for _, col := range []string{"metadata", "rotation_s", "approver_id", "approval", "notes"} {
		set += ", " + col + " = " + t.d.fresh(col)
	}
	_, err := t.exec(ctx, `INSERT INTO service_key_details (kid, metadata, rotation_s, approver_id, approval, notes) VALUES (?, ?, ?, ?, ?, ?)`+
		t.d.upsert("kid", set[2:]), k.ID, metadata, int64(k.Rotation/time.Second), k.Approver, k.Approval, k.Notes)
	return err
}

// lockServiceKey reads a key that is to be changed.
func (t *tx) lockServiceKey(ctx context.Context, kid string) (k ServiceKey, err error) {
	if err := t.queryRow(ctx, `SELECT kid FROM service_keys WHERE kid = ?`+t.d.excl, kid).Scan(&k.ID); err != nil {
		return k, notFound(err, errNoKey())
	}
	return scanServiceKey(t.queryRow(ctx, `SELECT `+serviceKeyColumns+` WHERE k.kid = ?`, kid))
}

// ApproveServiceKey approves a key, as actor; one that is approved stays as it
// is.
func (db *DB) ApproveServiceKey(ctx context.Context, kid, notes string, actor gantry.Actor) error {
	return db.update(ctx, "approve service key", func(ctx context.Context, t *tx) error {
		k, err := t.lockServiceKey(ctx, kid)
		if err != nil || !k.Approved.IsZero() {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE service_keys SET approved_ms = ? WHERE kid = ?`, t.now.UnixMilli(), kid); err != nil {
			return err
		}
		k.Approval, k.Approver, k.Notes = ApprovedBySuperuser, actor.Account, notes
		if err := t.keyDetails(ctx, k); err != nil {
			return err
		}
		return t.event(ctx, keyEvent("service_key_approve", k, actor))
	})
}

// A ServiceKeyChange says what of a key changes; nil stays.
type ServiceKeyChange struct {
	Name     *string
	Metadata json.RawMessage
	Expires  *time.Time // zero = never
}

// ChangeServiceKey changes a key and returns it.
func (db *DB) ChangeServiceKey(ctx context.Context, kid string, c ServiceKeyChange, actor gantry.Actor) (k ServiceKey, err error) {
	err = db.update(ctx, "change service key", func(ctx context.Context, t *tx) error {
		if k, err = t.lockServiceKey(ctx, kid); err != nil {
			return err
		}
		if c.Name != nil || c.Metadata != nil {
			if c.Name != nil {
				k.Name = *c.Name
			}
			if c.Metadata != nil {
				k.Metadata = c.Metadata
			}
			if err := t.event(ctx, keyEvent("service_key_modify", k, actor)); err != nil {
				return err
			}
		}
		if c.Expires != nil {
			old := k.Expires
			k.Expires = *c.Expires
			e := keyEvent("service_key_extend", k, actor)
			e.Payload.(map[string]any)["old_expiration_date"] = nil
			if !old.IsZero() {
				e.Payload.(map[string]any)["old_expiration_date"] = old.UTC().Format(time.RFC1123Z)
			}
			if err := t.event(ctx, e); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `UPDATE service_keys SET name = ?, expires_ms = ? WHERE kid = ?`, k.Name, gantry.Millis(k.Expires), kid); err != nil {
			return err
		}
		return t.keyDetails(ctx, k)
	})
	return k, err
}

// RotateServiceKey stores k, approved, in place of the key old of the same
// service, which goes on for overlap at most. An old key that may not sign any
// more is NotFound on "key".
func (db *DB) RotateServiceKey(ctx context.Context, old string, k ServiceKey, overlap time.Duration, actor gantry.Actor) error {
	return db.update(ctx, "rotate service key", func(ctx context.Context, t *tx) error {
		was, err := t.lockServiceKey(ctx, old)
		if err != nil {
			return err
		}
		if !was.Valid(t.now) || was.Service != k.Service {
			return errNoKey()
		}
		k.Approval = ApprovedByRotation
		if err := t.createServiceKey(ctx, k, "service_key_rotate", actor); err != nil {
			return err
		}
		end := t.now.Add(overlap)
		if !was.Expires.IsZero() && was.Expires.Before(end) {
			return nil
		}
		_, err = t.exec(ctx, `UPDATE service_keys SET expires_ms = ? WHERE kid = ?`, end.UnixMilli(), old)
		return err
	})
}

// DeleteServiceKey removes a key. What it signed is refused at once here, and
// within minutes by instances that have it in memory.
func (db *DB) DeleteServiceKey(ctx context.Context, kid string, actor gantry.Actor) (k ServiceKey, err error) {
	err = db.update(ctx, "delete service key", func(ctx context.Context, t *tx) error {
		if k, err = t.lockServiceKey(ctx, kid); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM service_key_details WHERE kid = ?`, `DELETE FROM service_keys WHERE kid = ?`} {
			if _, err := t.exec(ctx, q, kid); err != nil {
				return err
			}
		}
		return t.event(ctx, keyEvent("service_key_delete", k, actor))
	})
	return k, err
}

// forgetKeys removes keys that expired before one time, and those that nobody
// approved since before another.
func (t *tx) forgetKeys(ctx context.Context, expired, submitted time.Time) error {
	const which = `expires_ms > 0 AND expires_ms < ? OR approved_ms = 0 AND created_ms < ?`
	for _, q := range []string{`DELETE FROM service_key_details WHERE kid IN (SELECT kid FROM service_keys WHERE ` + which + `)`, `DELETE FROM service_keys WHERE ` + which} {
		if _, err := t.exec(ctx, q, expired.UnixMilli(), submitted.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}
