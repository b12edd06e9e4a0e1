package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Application is an OAuth application of an organization.
type Application struct {
	ID               int64
	Organization     gantry.AccountID
	OrganizationName string
	ClientID         string // names it for ever
	Secret           string // sealed
	Name             string
	Description      string
	URI              string
	RedirectURI      string
	AvatarEmail      string
}

// errNoApplication is for one that is not there, or is another organization's.
func errNoApplication() *gantry.Error { return errNoAccount("application") }

const applicationColumns = `x.id, x.org_id, o.name, x.client_id, x.secret, x.name, x.description, x.application_uri, x.redirect_uri, x.avatar_email
	FROM oauth_applications x JOIN accounts o ON o.id = x.org_id AND o.deleted_ms = 0`

func scanApplication(row interface{ Scan(...any) error }) (a Application, err error) {
	err = row.Scan(&a.ID, &a.Organization, &a.OrganizationName, &a.ClientID, &a.Secret, &a.Name, &a.Description, &a.URI, &a.RedirectURI, &a.AvatarEmail)
	return a, err
}

// Applications lists the applications of an organization, the oldest first, at
// most 10,000.
func (db *DB) Applications(ctx context.Context, org gantry.AccountID) (list []Application, err error) {
	err = db.read(ctx, "list applications", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			a, err := scanApplication(r)
			list = append(list, a)
			return err
		}, `SELECT `+applicationColumns+` WHERE x.org_id = ? ORDER BY x.id LIMIT `+limit(maxListed), org)
	})
	return list, err
}

// Application finds an application by its client id; else it is NotFound on
// "application".
func (db *DB) Application(ctx context.Context, clientID string) (a Application, err error) {
	err = db.read(ctx, "find application", func(ctx context.Context, t *tx) error {
		a, err = scanApplication(t.queryRow(ctx, `SELECT `+applicationColumns+` WHERE x.client_id = ?`, clientID))
		return notFound(err, errNoApplication())
	})
	return a, err
}

func (a *Application) event(kind string, actor gantry.Actor) Event {
	return Event{Kind: kind, Namespace: a.Organization, Actor: actor, Payload: map[string]any{"application_name": a.Name, "client_id": a.ClientID}}
}

// MaxApplications is how many applications an organization can have.
const MaxApplications = 1000

// CreateApplication stores an application. More than MaxApplications are
// Conflict on "application".
func (db *DB) CreateApplication(ctx context.Context, a Application, actor gantry.Actor) error {
	return db.update(ctx, "create application", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, a.Organization); err != nil {
			return err
		}
		var n int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM oauth_applications WHERE org_id = ?`, a.Organization).Scan(&n); err != nil {
			return err
		}
		if n >= MaxApplications {
			return gantry.Errorf(gantry.Conflict, "application", "The organization has %d applications, which is as many as it can have", n)
		}
		if _, err := t.insert(ctx, `INSERT INTO oauth_applications (org_id, client_id, secret, name, description, application_uri, redirect_uri, avatar_email, created_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, a.Organization, a.ClientID, a.Secret, a.Name, a.Description, a.URI, a.RedirectURI, a.AvatarEmail, t.now.UnixMilli()); err != nil {
			return err
		}
		return t.event(ctx, a.event("create_application", actor))
	})
}

// UpdateApplication changes the name, texts and addresses of a, as they are now,
// by change, which may be called more than once and whose error is returned. It
// returns what is stored then.
func (db *DB) UpdateApplication(ctx context.Context, a Application, change func(*Application) error, actor gantry.Actor) (now Application, err error) {
	err = db.update(ctx, "update application", func(ctx context.Context, t *tx) error {
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		if now, err = scanApplication(t.queryRow(ctx, `SELECT `+applicationColumns+` WHERE x.id = ?`, a.ID)); err != nil {
			return err
		}
		if err := change(&now); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE oauth_applications SET name = ?, description = ?, application_uri = ?, redirect_uri = ?, avatar_email = ?
			WHERE id = ?`, now.Name, now.Description, now.URI, now.RedirectURI, now.AvatarEmail, now.ID); err != nil {
			return err
		}
		return t.event(ctx, now.event("update_application", actor))
	})
	return now, err
}

// SetApplicationSecret stores another sealed secret. The old one ends; tokens
// that were made with it go on.
func (db *DB) SetApplicationSecret(ctx context.Context, a Application, sealed string, actor gantry.Actor) error {
	return db.changeApplication(ctx, a, "reset_application_client_secret", actor, `UPDATE oauth_applications SET secret = ? WHERE id = ? AND org_id = ?`, sealed)
}

func (db *DB) changeApplication(ctx context.Context, a Application, kind string, actor gantry.Actor, q string, values ...any) error {
	return db.update(ctx, kind, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, q, append(values[:len(values):len(values)], a.ID, a.Organization)...)
		if err != nil || n == 0 {
			return errors.Join(err, asError(errNoApplication(), err == nil))
		}
		return t.event(ctx, a.event(kind, actor))
	})
}

// DeleteApplication deletes an application. All tokens that were made for it
// end.
func (db *DB) DeleteApplication(ctx context.Context, a Application, actor gantry.Actor) error {
	return db.update(ctx, "delete application", func(ctx context.Context, t *tx) error {
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM oauth_codes WHERE application_id = ?`, `DELETE FROM oauth_assignments WHERE application_id = ?`,
			`DELETE FROM oauth_token_titles WHERE token_id IN (SELECT id FROM oauth_tokens WHERE application_id = ?)`,
			`DELETE FROM oauth_tokens WHERE application_id = ?`, `DELETE FROM oauth_applications WHERE id = ?`} {
			if _, err := t.exec(ctx, q, a.ID); err != nil {
				return err
			}
		}
		return t.event(ctx, a.event("delete_application", actor))
	})
}

// lockApplication keeps an application from being deleted, and two changes of
// its tokens apart.
func (t *tx) lockApplication(ctx context.Context, a Application) error {
	var id int64
	err := t.queryRow(ctx, `SELECT id FROM oauth_applications WHERE id = ? AND org_id = ?`+t.d.excl, a.ID, a.Organization).Scan(&id)
	return notFound(err, errNoApplication())
}

// A Grant is an OAuth token as lists show it.
type Grant struct {
	UUID        string
	Title       string // of a token that was made by hand
	Account     string // whom it lets act
	Scope       string // separated by blanks
	Created     time.Time
	Expires     time.Time    // zero = never
	LastUsed    time.Time    // zero = never, or not known
	Application *Application // nil: it was made without one
}

// ApplicationTokens lists the tokens that were made for an application and
// have not ended, the newest first, at most 10,000.
func (db *DB) ApplicationTokens(ctx context.Context, a Application) ([]Grant, error) {
	return db.grants(ctx, `k.application_id = ?`, a.ID)
}

// Authorizations lists the tokens that act as an account and have not ended,
// the newest first, at most 10,000.
func (db *DB) Authorizations(ctx context.Context, account gantry.AccountID) ([]Grant, error) {
	return db.grants(ctx, `k.account_id = ?`, account)
}

func (db *DB) grants(ctx context.Context, where string, arg any) (list []Grant, err error) {
	err = db.read(ctx, "list OAuth tokens", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var g Grant
			var x Application
			var created, expires, used int64
			err := r.Scan(&g.UUID, &g.Title, &g.Account, &g.Scope, &created, &expires, &used, &x.ID, &x.ClientID, &x.Name, &x.Description, &x.URI,
				&x.AvatarEmail, &x.Organization, &x.OrganizationName)
			g.Created, g.Expires, g.LastUsed = gantry.FromMillis(created), gantry.FromMillis(expires), gantry.FromMillis(used)
			if x.ID != 0 {
				g.Application = &x
			}
			list = append(list, g)
			return err
		}, `SELECT k.uuid, COALESCE(n.title, ''), a.name, k.scope, k.created_ms, k.expires_ms, k.last_used_ms, COALESCE(x.id, 0), COALESCE(x.client_id, ''),
			COALESCE(x.name, ''), COALESCE(x.description, ''), COALESCE(x.application_uri, ''), COALESCE(x.avatar_email, ''), COALESCE(x.org_id, 0), COALESCE(o.name, '')
			FROM oauth_tokens k JOIN accounts a ON a.id = k.account_id LEFT JOIN oauth_token_titles n ON n.token_id = k.id
			LEFT JOIN oauth_applications x ON x.id = k.application_id LEFT JOIN accounts o ON o.id = x.org_id
			WHERE `+where+` AND a.deleted_ms = 0 AND (k.expires_ms = 0 OR k.expires_ms > ?) ORDER BY k.id DESC LIMIT `+limit(maxListed), arg, t.now.UnixMilli())
	})
	return list, err
}

// maxApplicationTokens bounds the tokens of an application that has no other
// bound.
const maxApplicationTokens = maxListed

// CreateApplicationToken stores a token that was made by hand for an
// application, and returns its uuid. More than most of them, 0 = 10,000, are
// Conflict on "token".
func (db *DB) CreateApplicationToken(ctx context.Context, a Application, title string, o OAuthToken, most int, actor gantry.Actor) (id string, err error) {
	err = db.update(ctx, "create application token", func(ctx context.Context, t *tx) error {
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		id, err = t.grantToken(ctx, a, title, o, most, actor)
		return err
	})
	return id, err
}

// DeleteApplicationToken ends a token of an application; NotFound on "token"
// if it has no such.
func (db *DB) DeleteApplicationToken(ctx context.Context, a Application, id string, actor gantry.Actor) error {
	return db.deleteGrant(ctx, Event{Namespace: a.Organization, Actor: actor, Payload: map[string]any{
		"oauth_token_uuid": id, "application_name": a.Name, "client_id": a.ClientID}}, `uuid = ? AND application_id = ?`, id, a.ID)
}

// DeleteAuthorization ends a token that acts as an account; NotFound on
// "token" if there is no such.
func (db *DB) DeleteAuthorization(ctx context.Context, account gantry.AccountID, id string, actor gantry.Actor) error {
	return db.deleteGrant(ctx, Event{Namespace: account, Actor: actor, Payload: map[string]any{"oauth_token_uuid": id}},
		`uuid = ? AND account_id = ?`, id, account)
}

func (db *DB) deleteGrant(ctx context.Context, e Event, where string, args ...any) error {
	return db.update(ctx, "delete OAuth token", func(ctx context.Context, t *tx) error {
		return t.endGrant(ctx, e, where, args...)
	})
}

// endGrant ends the token that where finds, with the event of it; NotFound on
// "token" if there is none.
func (t *tx) endGrant(ctx context.Context, e Event, where string, args ...any) error {
	if _, err := t.exec(ctx, `DELETE FROM oauth_token_titles WHERE token_id IN (SELECT id FROM oauth_tokens WHERE `+where+`)`, args...); err != nil {
		return err
	}
	n, err := t.exec(ctx, `DELETE FROM oauth_tokens WHERE `+where, args...)
	if err != nil || n == 0 {
		return errors.Join(err, asError(errNoAccount("token"), err == nil))
	}
	e.Kind = "revoke_oauth_api_token"
	return t.event(ctx, e)
}
