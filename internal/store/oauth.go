package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An OAuthCode is what an application exchanges for a token, once.
type OAuthCode struct {
	Account     gantry.AccountID // whom the token will let act
	AccountName string
	Name        string // the part of the code that finds it
	SecretHash  string // of the rest
	Scope       string // separated by blanks
	RedirectURI string // as it was asked for
	Challenge   string // PKCE S256; "" = made without
	Expires     time.Time
}

// maxOAuthCodes bounds the codes of an application that nobody has exchanged.
const maxOAuthCodes = 1000

// CreateOAuthCode stores a code for an application. With an assignment, it
// ends. More than 1000 codes that wait are Limited on "code".
func (db *DB) CreateOAuthCode(ctx context.Context, a Application, c OAuthCode, assignment string) error {
	return db.update(ctx, "create OAuth code", func(ctx context.Context, t *tx) error {
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		if err := t.endAssignment(ctx, a, c.Account, assignment); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM oauth_codes WHERE application_id = ? AND expires_ms <= ?`, a.ID, t.now.UnixMilli()); err != nil {
			return err
		}
		var n int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM oauth_codes WHERE application_id = ?`, a.ID).Scan(&n); err != nil {
			return err
		}
		if n >= maxOAuthCodes {
			return &gantry.Error{Code: gantry.Limited, Object: "code", Retry: time.Minute, Detail: "Too many codes of this application wait to be exchanged"}
		}
		_, err := t.exec(ctx, `INSERT INTO oauth_codes (application_id, account_id, name, secret_hash, scope, redirect_uri, challenge, token_uuid, created_ms, expires_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?)`, a.ID, c.Account, c.Name, c.SecretHash, c.Scope, c.RedirectURI, c.Challenge, t.now.UnixMilli(), c.Expires.UnixMilli())
		return err
	})
}

// RedeemOAuthCode exchanges a code of an application for a token, whose row is
// token but for the account and the scope, which the code has. check looks at
// the code first. Whatever it says, the code has ended then; and one that
// comes a second time takes the token along that was made with it: somebody
// else has the code, too. A code that is not there, has ended or whose account
// is disabled is NotFound on "code".
func (db *DB) RedeemOAuthCode(ctx context.Context, a Application, name string, check func(OAuthCode) error, token OAuthToken, actor gantry.Actor) (c OAuthCode, err error) {
	var refused error
	err = db.update(ctx, "redeem OAuth code", func(ctx context.Context, t *tx) error {
		c, refused = OAuthCode{Name: name}, nil
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		var id, expires int64
		var used string
		var enabled int
		err := t.queryRow(ctx, `SELECT c.id, c.account_id, u.name, u.enabled, c.secret_hash, c.scope, c.redirect_uri, c.challenge, c.token_uuid, c.expires_ms
			FROM oauth_codes c JOIN accounts u ON u.id = c.account_id AND u.deleted_ms = 0 WHERE c.name = ? AND c.application_id = ?`, name, a.ID).
			Scan(&id, &c.Account, &c.AccountName, &enabled, &c.SecretHash, &c.Scope, &c.RedirectURI, &c.Challenge, &used, &expires)
		if err != nil {
			return notFound(err, errNoAccount("code"))
		}
		c.Expires = gantry.FromMillis(expires)
		actor.Account, actor.Name, actor.Kind = c.Account, c.AccountName, gantry.ActorUser
		switch {
		case t.now.UnixMilli() >= expires || enabled == 0:
			refused = errNoAccount("code")
		default:
			refused = check(c)
		}
		if refused == nil && used == "" {
			token.Account, token.Scope = c.Account, c.Scope
			uuid, err := t.grantToken(ctx, a, "", token, 0, actor)
			if err != nil {
				return err
			}
			_, err = t.exec(ctx, `UPDATE oauth_codes SET token_uuid = ? WHERE id = ?`, uuid, id)
			return err
		}
		if refused == nil { // a second time
			refused = errNoAccount("code")
			err := t.endGrant(ctx, Event{Namespace: a.Organization, Actor: actor, Payload: map[string]any{"oauth_token_uuid": used,
				"application_name": a.Name, "client_id": a.ClientID, "reason": "its code was used twice"}}, `uuid = ? AND application_id = ?`, used, a.ID)
			if err != nil && !gantry.Is(err, gantry.NotFound) {
				return err
			}
		}
		_, err = t.exec(ctx, `DELETE FROM oauth_codes WHERE id = ?`, id)
		return err
	})
	return c, errors.Join(err, refused)
}

// GrantOAuthToken stores a token that o.Account lets an application have. With
// an assignment, it ends.
func (db *DB) GrantOAuthToken(ctx context.Context, a Application, o OAuthToken, assignment string, actor gantry.Actor) error {
	return db.update(ctx, "grant OAuth token", func(ctx context.Context, t *tx) error {
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		if err := t.endAssignment(ctx, a, o.Account, assignment); err != nil {
			return err
		}
		_, err := t.grantToken(ctx, a, "", o, 0, actor)
		return err
	})
}

// grantToken stores a token of a locked application and returns its uuid;
// title is "" where it was not made by hand, most as CreateApplicationToken
// has it.
func (t *tx) grantToken(ctx context.Context, a Application, title string, o OAuthToken, most int, actor gantry.Actor) (id string, err error) {
	if most <= 0 || most > maxApplicationTokens {
		most = maxApplicationTokens
	}
	var n int
	if err := t.queryRow(ctx, `SELECT COUNT(*) FROM oauth_tokens WHERE application_id = ? AND (expires_ms = 0 OR expires_ms > ?)`,
		a.ID, t.now.UnixMilli()).Scan(&n); err != nil {
		return "", err
	}
	if n >= most {
		return "", gantry.Errorf(gantry.Conflict, "token", "The application has %d tokens, which is as many as it can have; delete one first", n)
	}
	id = uuid.NewString()
	row, err := t.insert(ctx, `INSERT INTO oauth_tokens (account_id, application_id, uuid, name, secret_hash, scope, created_ms, expires_ms, last_used_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)`, o.Account, a.ID, id, o.Name, o.SecretHash, o.Scope, t.now.UnixMilli(), gantry.Millis(o.Expires))
	if err != nil {
		return "", err
	}
	if title != "" {
		if _, err := t.exec(ctx, `INSERT INTO oauth_token_titles (token_id, title) VALUES (?, ?)`, row, title); err != nil {
			return "", err
		}
	}
	return id, t.event(ctx, Event{Kind: "create_oauth_api_token", Namespace: a.Organization, Actor: actor, Payload: map[string]any{
		"oauth_token_uuid": id, "oauth_token_name": title, "scope": o.Scope, "application_name": a.Name, "client_id": a.ClientID}})
}

// An Assignment asks a user to let an application have a token of his.
type Assignment struct {
	UUID         string
	Application  Application
	Account      gantry.AccountID
	AccountName  string
	Scope        string
	RedirectURI  string
	ResponseType string // code or token
}

// MaxAssignments is how many assignments of an application may wait.
const MaxAssignments = 1000

// CreateAssignment stores an assignment and returns its uuid. Too many are
// Conflict on "assignment".
func (db *DB) CreateAssignment(ctx context.Context, s Assignment, actor gantry.Actor) (id string, err error) {
	id = uuid.NewString()
	a := s.Application
	err = db.update(ctx, "assign OAuth token", func(ctx context.Context, t *tx) error {
		if err := t.lockApplication(ctx, a); err != nil {
			return err
		}
		var n int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM oauth_assignments WHERE application_id = ?`, a.ID).Scan(&n); err != nil {
			return err
		}
		if n >= MaxAssignments {
			return gantry.Errorf(gantry.Conflict, "assignment", "%d assignments of the application wait for their users, which is as many as there can be", n)
		}
		if _, err := t.exec(ctx, `INSERT INTO oauth_assignments (uuid, application_id, account_id, scope, redirect_uri, response_type, created_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, id, a.ID, s.Account, s.Scope, s.RedirectURI, s.ResponseType, t.now.UnixMilli()); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "oauth_token_assigned", Namespace: a.Organization, Actor: actor, Payload: map[string]any{
			"assigning_user": actor.Name, "assigned_user": s.AccountName, "application": a.Name, "client_id": a.ClientID}})
	})
	return id, err
}

// Assignments lists what an account was asked for and has not answered, the
// newest first, at most 10,000.
func (db *DB) Assignments(ctx context.Context, account gantry.AccountID) (list []Assignment, err error) {
	err = db.read(ctx, "list assignments", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			s := Assignment{Account: account}
			x := &s.Application
			err := r.Scan(&s.UUID, &s.Scope, &s.RedirectURI, &s.ResponseType, &s.AccountName, &x.ID, &x.Organization, &x.OrganizationName, &x.ClientID,
				&x.Name, &x.Description, &x.URI, &x.RedirectURI, &x.AvatarEmail)
			list = append(list, s)
			return err
		}, `SELECT s.uuid, s.scope, s.redirect_uri, s.response_type, u.name, x.id, x.org_id, o.name, x.client_id, x.name, x.description,
			x.application_uri, x.redirect_uri, x.avatar_email
			FROM oauth_assignments s JOIN accounts u ON u.id = s.account_id JOIN oauth_applications x ON x.id = s.application_id
			JOIN accounts o ON o.id = x.org_id AND o.deleted_ms = 0
			WHERE s.account_id = ? ORDER BY s.id DESC LIMIT `+limit(maxListed), account)
	})
	return list, err
}

// DeleteAssignment is an account's refusal of an assignment; NotFound on
// "assignment" if it has no such.
func (db *DB) DeleteAssignment(ctx context.Context, s Assignment, actor gantry.Actor) error {
	return db.update(ctx, "delete assignment", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM oauth_assignments WHERE uuid = ? AND account_id = ?`, s.UUID, s.Account)
		if err != nil || n == 0 {
			return errors.Join(err, asError(errNoAccount("assignment"), err == nil))
		}
		return t.event(ctx, Event{Kind: "oauth_token_revoked", Namespace: s.Application.Organization, Actor: actor, Payload: map[string]any{
			"assigned_user": s.AccountName, "application": s.Application.Name, "client_id": s.Application.ClientID}})
	})
}

// endAssignment removes an assignment that was answered; "" is none. One that
// is not there any more is NotFound on "assignment".
func (t *tx) endAssignment(ctx context.Context, a Application, account gantry.AccountID, uuid string) error {
	if uuid == "" {
		return nil
	}
	n, err := t.exec(ctx, `DELETE FROM oauth_assignments WHERE uuid = ? AND account_id = ? AND application_id = ?`, uuid, account, a.ID)
	if err == nil && n == 0 {
		return errNoAccount("assignment")
	}
	return err
}

// OAuthTokensUsed notes when tokens were used last, by id.
func (db *DB) OAuthTokensUsed(ctx context.Context, used map[int64]time.Time) error {
	ids := slices.Sorted(maps.Keys(used)) // in one order, so that two processes do not wait for each other
	for chunk := range slices.Chunk(ids, 500) {
		err := db.update(ctx, "note OAuth tokens in use", func(ctx context.Context, t *tx) error {
			for _, id := range chunk {
				at := used[id].UnixMilli()
				if _, err := t.exec(ctx, `UPDATE oauth_tokens SET last_used_ms = ? WHERE id = ? AND last_used_ms < ?`, at, id, at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
