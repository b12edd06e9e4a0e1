package store

import (
	"context"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Session is a signed-in browser.
type Session struct {
	ID      int64
	CSRF    string
	Created time.Time
	Fresh   time.Time // when the password was last given
	Expires time.Time
}

// CreateSession stores a session of an account; hash is SHA-256 of the cookie.
func (db *DB) CreateSession(ctx context.Context, hash []byte, account gantry.AccountID, csrf string, expires time.Time, actor gantry.Actor) error {
	return db.update(ctx, "create session", func(ctx context.Context, t *tx) error {
		now := t.now.UnixMilli()
		_, err := t.exec(ctx, `INSERT INTO sessions (token_hash, account_id, csrf, created_ms, seen_ms, fresh_ms, expires_ms, ip, agent)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, hash, account, csrf, now, now, now, expires.UnixMilli(), cut(actor.IP, 64), cut(actor.Agent, 255))
		return err
	})
}

// Session finds a session that has not ended, and its account, in one
// statement; else it is NotFound on "session".
func (db *DB) Session(ctx context.Context, hash []byte) (s Session, a Account, err error) {
	err = db.read(ctx, "find session", func(ctx context.Context, t *tx) error {
		var created, fresh, expires int64
		a, err = scanAccount(t.queryRow(ctx, `SELECT `+accountColumns+`, s.id, s.csrf, s.created_ms, s.fresh_ms, s.expires_ms
			FROM sessions s JOIN accounts a ON a.id = s.account_id`+accountOwner+`
			WHERE s.token_hash = ? AND s.expires_ms > ? AND a.deleted_ms = 0`, hash, t.now.UnixMilli()), &s.ID, &s.CSRF, &created, &fresh, &expires)
		s.Created, s.Fresh, s.Expires = gantry.FromMillis(created), gantry.FromMillis(fresh), gantry.FromMillis(expires)
		return notFound(err, errNoAccount("session"))
	})
	return s, a, err
}

// DeleteSession ends a session.
func (db *DB) DeleteSession(ctx context.Context, id int64) error {
	return db.update(ctx, "end session", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM sessions WHERE id = ?`, id)
		return err
	})
}
