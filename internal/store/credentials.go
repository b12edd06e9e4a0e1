package store

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An OAuthToken lets its bearer act as an account, within a scope.
type OAuthToken struct {
	ID         int64
	Account    gantry.AccountID
	UUID       string
	Name       string // the part of the token that finds it
	SecretHash string // of the rest
	Scope      string // separated by blanks
	Expires    time.Time
}

// CreateOAuthToken stores a token; a UUID is given to it.
func (db *DB) CreateOAuthToken(ctx context.Context, o OAuthToken, actor gantry.Actor) error {
	return db.update(ctx, "create OAuth token", func(ctx context.Context, t *tx) error {
		return t.createOAuthToken(ctx, o, actor)
	})
}

func (t *tx) createOAuthToken(ctx context.Context, o OAuthToken, actor gantry.Actor) error {
	id := uuid.NewString()
	if _, err := t.exec(ctx, `INSERT INTO oauth_tokens (account_id, application_id, uuid, name, secret_hash, scope, created_ms, expires_ms, last_used_ms)
		VALUES (?, 0, ?, ?, ?, ?, ?, ?, 0)`, o.Account, id, o.Name, o.SecretHash, o.Scope, t.now.UnixMilli(), gantry.Millis(o.Expires)); err != nil {
		return err
	}
	return t.event(ctx, Event{Kind: "create_oauth_api_token", Namespace: o.Account, Actor: actor,
		Payload: map[string]any{"oauth_token_uuid": id, "scope": o.Scope}})
}

// OAuthToken finds a token and its account by the token's name, in one
// statement. An expired one is found too.
func (db *DB) OAuthToken(ctx context.Context, name string) (o OAuthToken, a Account, err error) {
	err = db.read(ctx, "find OAuth token", func(ctx context.Context, t *tx) error {
		var expires int64
		a, err = scanAccount(t.queryRow(ctx, `SELECT `+accountColumns+`, k.id, k.uuid, k.name, k.secret_hash, k.scope, k.expires_ms
			FROM oauth_tokens k JOIN accounts a ON a.id = k.account_id`+accountOwner+` WHERE k.name = ? AND a.deleted_ms = 0`, name),
			&o.ID, &o.UUID, &o.Name, &o.SecretHash, &o.Scope, &expires)
		o.Account, o.Expires = a.ID, gantry.FromMillis(expires)
		return notFound(err, errNoAccount("token"))
	})
	return o, a, err
}

// An AppToken is a password for clients that stands for its user.
type AppToken struct {
	ID       int64
	Account  gantry.AccountID
	UUID     string
	Title    string
	Name     string // the part of the token that finds it
	Secret   string // the rest, sealed
	Created  time.Time
	Expires  time.Time // zero = never
	LastUsed time.Time
}

// CreateAppToken stores an application token.
func (db *DB) CreateAppToken(ctx context.Context, k AppToken, actor gantry.Actor) error {
	return db.update(ctx, "create app token", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO app_tokens (account_id, uuid, title, name, secret, created_ms, expires_ms, last_used_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, 0)`, k.Account, k.UUID, k.Title, k.Name, k.Secret, t.now.UnixMilli(), gantry.Millis(k.Expires))
		if err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "create_app_specific_token", Namespace: k.Account, Actor: actor,
			Payload: map[string]any{"app_specific_token_title": k.Title, "app_specific_token": k.UUID}})
	})
}

// AppToken finds a token and its account by the token's name, in one
// statement. An expired one is found too.
func (db *DB) AppToken(ctx context.Context, name string) (k AppToken, a Account, err error) {
	err = db.read(ctx, "find app token", func(ctx context.Context, t *tx) error {
		var expires int64
		a, err = scanAccount(t.queryRow(ctx, `SELECT `+accountColumns+`, k.id, k.uuid, k.title, k.name, k.secret, k.expires_ms
			FROM app_tokens k JOIN accounts a ON a.id = k.account_id`+accountOwner+` WHERE k.name = ? AND a.deleted_ms = 0`, name),
			&k.ID, &k.UUID, &k.Title, &k.Name, &k.Secret, &expires)
		k.Account, k.Expires = a.ID, gantry.FromMillis(expires)
		return notFound(err, errNoAccount("token"))
	})
	return k, a, err
}

// Forget says how long after their end things are kept.
type Forget struct {
	AppTokens   time.Duration // 0 = for good
	ServiceKeys time.Duration // 0 = a week
	// UnapprovedKeys is how long after it was made a service key waits for
	// its approval; 0 = a day.
	UnapprovedKeys time.Duration
}

// ForgetExpired removes sessions that ended, OAuth tokens a week after their
// end, codes that nobody exchanged, and application tokens and service keys as
// o says.
func (db *DB) ForgetExpired(ctx context.Context, o Forget) error {
	return db.update(ctx, "remove what has expired", func(ctx context.Context, t *tx) error {
		now := t.now.UnixMilli()
		week := t.now.Add(-7 * 24 * time.Hour).UnixMilli()
		if o.AppTokens > 0 {
			if _, err := t.exec(ctx, `DELETE FROM app_tokens WHERE expires_ms > 0 AND expires_ms < ?`, t.now.Add(-o.AppTokens).UnixMilli()); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `DELETE FROM sessions WHERE expires_ms < ?`, now); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM oauth_codes WHERE expires_ms < ?`, now); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM oauth_token_titles WHERE token_id IN (SELECT id FROM oauth_tokens WHERE expires_ms > 0 AND expires_ms < ?)`, week); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM oauth_tokens WHERE expires_ms > 0 AND expires_ms < ?`, week); err != nil {
			return err
		}
		return t.forgetKeys(ctx, t.now.Add(-cmp.Or(o.ServiceKeys, 7*24*time.Hour)), t.now.Add(-cmp.Or(o.UnapprovedKeys, 24*time.Hour)))
	})
}

// Setting reads a setting of the whole registry; "" if it was never set.
func (db *DB) Setting(ctx context.Context, name string) (value string, err error) {
	err = db.read(ctx, "read setting", func(ctx context.Context, t *tx) error {
		err := t.queryRow(ctx, `SELECT value FROM settings WHERE name = ?`, name).Scan(&value)
		if err == sql.ErrNoRows { //nolint:errorlint // database/sql returns it bare
			return nil
		}
		return err
	})
	return value, err
}

// SetSetting writes a setting.
func (db *DB) SetSetting(ctx context.Context, name, value string) error {
	return db.update(ctx, "write setting", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?)`+
			t.d.upsert("name", "value = "+t.d.fresh("value")), name, value)
		return err
	})
}

// AppTokens lists an account's tokens, the newest first.
func (db *DB) AppTokens(ctx context.Context, account gantry.AccountID) (list []AppToken, err error) {
	err = db.read(ctx, "list app tokens", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			k := AppToken{Account: account}
			var created, expires, used int64
			err := r.Scan(&k.ID, &k.UUID, &k.Title, &k.Name, &k.Secret, &created, &expires, &used)
			k.Created, k.Expires, k.LastUsed = gantry.FromMillis(created), gantry.FromMillis(expires), gantry.FromMillis(used)
			list = append(list, k)
			return err
		}, `SELECT id, uuid, title, name, secret, created_ms, expires_ms, last_used_ms FROM app_tokens
			WHERE account_id = ? ORDER BY id DESC LIMIT 10000`, account)
	})
	return list, err
}

// DeleteAppToken ends one of an account's tokens; NotFound on "token" if it
// has no such.
func (db *DB) DeleteAppToken(ctx context.Context, account gantry.AccountID, uuid string, actor gantry.Actor) error {
	return db.update(ctx, "delete app token", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM app_tokens WHERE account_id = ? AND uuid = ?`, account, uuid)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoAccount("token")
		}
		t.who = true
		return t.event(ctx, Event{Kind: "revoke_app_specific_token", Namespace: account, Actor: actor,
			Payload: map[string]any{"app_specific_token": uuid}})
	})
}
