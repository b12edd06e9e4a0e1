package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Profile is what a user or an organization says of itself; "" = nothing.
type Profile struct {
	GivenName      string `json:"given_name,omitempty"`
	FamilyName     string `json:"family_name,omitempty"`
	Company        string `json:"company,omitempty"`
	Location       string `json:"location,omitempty"`
	InvoiceEmail   bool   `json:"invoice_email,omitempty"` // invoices go by e-mail
	InvoiceAddress string `json:"invoice_email_address,omitempty"`
	ContactEmail   string `json:"contact_email,omitempty"` // of an organization
}

// Details reads the profile of a user or an organization. That of a robot is
// its metadata and no Profile.
func (a *Account) Details() (p Profile, err error) {
	err = json.Unmarshal(a.Profile, &p)
	return p, err
}

// An AccountChange is what ChangeAccount changes; nil = it stays.
type AccountChange struct {
	PasswordHash   *string // of a user
	KeepSession    int64   // the session that goes on after another password; 0 = none
	Name           *string // the caller has checked its syntax
	Email          *string // "" = none
	Retention      *time.Duration
	InvoiceEmail   *bool
	InvoiceAddress *string
	ContactEmail   *string
	GivenName      *string
	FamilyName     *string
	Company        *string
	Location       *string
}

// ChangeAccount changes a user or an organization, with a row in the journal
// for each kind of change, and returns what it is now. A name that is taken is
// Conflict on "account", an e-mail address that is taken Conflict on "email".
// Robots are renamed with their owner.
func (db *DB) ChangeAccount(ctx context.Context, id gantry.AccountID, c AccountChange, actor gantry.Actor) (a Account, err error) {
	err = db.update(ctx, "change account", func(ctx context.Context, t *tx) error {
		var locked int64
		if err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND kind <> 'robot' AND deleted_ms = 0`+t.d.excl, id).Scan(&locked); err != nil {
			return notFound(err, errNoAccount("account"))
		}
		old, err := t.accountWhere(ctx, "a.id = ?", id)
		if err != nil {
			return err
		}
		events, err := t.changeAccount(ctx, &old, c)
		if err != nil || len(events) == 0 {
			a = old
			return err
		}
		t.who = true
		for _, e := range events {
			e.Namespace, e.Actor = id, actor
			if err := t.event(ctx, e); err != nil {
				return err
			}
		}
		a, err = t.accountWhere(ctx, "a.id = ?", id)
		return err
	})
	return a, err
}

// changeAccount does the work of ChangeAccount on a locked row and returns
// what is to be told of it.
func (t *tx) changeAccount(ctx context.Context, old *Account, c AccountChange) (events []Event, err error) {
	prefix := "user_change_"
	if old.Kind == gantry.Organization {
		prefix = "org_change_"
	}
	tell := func(kind string, payload map[string]any) {
		events = append(events, Event{Kind: kind, Payload: payload})
	}
	name, email, hash, retention := old.Name, old.Email, old.PasswordHash, old.Retention
	if c.PasswordHash != nil && old.Kind == gantry.User {
		hash = *c.PasswordHash
		if _, err := t.exec(ctx, `DELETE FROM sessions WHERE account_id = ? AND id <> ?`, old.ID, c.KeepSession); err != nil {
			return nil, err
		}
		tell("account_change_password", nil)
	}
	if c.Email != nil && strings.ToLower(*c.Email) != old.Email {
		if email, err = t.freeEmail(ctx, old.ID, *c.Email); err != nil {
			return nil, err
		}
		tell(prefix+"email", map[string]any{"email": email, "old_email": old.Email})
	}
	if c.Retention != nil && *c.Retention != old.Retention {
		retention = *c.Retention
		tell(prefix+"tag_expiration", map[string]any{"tag_expiration": int64(retention / time.Second), "namespace": old.Name})
	}
	profile, err := c.profile(old, prefix, tell)
	if err != nil {
		return nil, err
	}
	if c.Name != nil && *c.Name != old.Name {
		name = *c.Name
		if err := t.renameRobots(ctx, old, name); err != nil {
			return nil, err
		}
		tell(prefix+"name", map[string]any{"new_username": name, "old_username": old.Name})
	}
	if len(events) == 0 {
		return nil, nil
	}
	set := ""
	if hash != old.PasswordHash {
		set = ", failed_logins = 0, failed_login_ms = 0"
	}
	_, err = t.exec(ctx, `UPDATE accounts SET name = ?, email = ?, password_hash = ?, retention_s = ?, profile = ?`+set+` WHERE id = ?`,
		name, email, hash, int64(retention/time.Second), profile, old.ID)
	if uniqueViolation(err) {
		return nil, gantry.Errorf(gantry.Conflict, "account", "Username is already in use: %s", name)
	}
	if err == nil && (name != old.Name || retention != old.Retention) {
		err = t.touchNamespace(ctx, old.ID)
	}
	return events, err
}

// freeEmail returns the stored form of an address that no other account has.
func (t *tx) freeEmail(ctx context.Context, id gantry.AccountID, email string) (string, error) {
	email = strings.ToLower(email)
	if email == "" {
		return "", nil
	}
	taken, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE email = ? AND id <> ? AND deleted_ms = 0 LIMIT 1`, email, id)
	return email, errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "email", "E-mail address already used: %s", email), taken))
}

// profile returns the JSON of the changed profile and tells of what changed.
func (c *AccountChange) profile(old *Account, prefix string, tell func(kind string, payload map[string]any)) (string, error) {
	p, err := old.Details()
	if err != nil {
		return "", err
	}
	was := p
	set := func(to *string, v *string) {
		if v != nil {
			*to = *v
		}
	}
	if c.InvoiceEmail != nil {
		p.InvoiceEmail = *c.InvoiceEmail
	}
	set(&p.InvoiceAddress, c.InvoiceAddress)
	if p != was {
		tell(prefix+"invoicing", map[string]any{"invoice_email": p.InvoiceEmail, "invoice_email_address": p.InvoiceAddress})
	}
	invoiced := p
	set(&p.ContactEmail, c.ContactEmail)
	if p != invoiced {
		tell(prefix+"email", map[string]any{"contact_email": p.ContactEmail})
	}
	contact := p
	set(&p.GivenName, c.GivenName)
	set(&p.FamilyName, c.FamilyName)
	set(&p.Company, c.Company)
	set(&p.Location, c.Location)
	if p != contact {
		tell("user_change_metadata", map[string]any{"given_name": p.GivenName, "family_name": p.FamilyName, "company": p.Company, "location": p.Location})
	}
	if p == was {
		return string(old.Profile), nil
	}
	b, err := json.Marshal(p)
	return string(b), err
}

// renameRobots gives the robots of an account their owner's new name.
func (t *tx) renameRobots(ctx context.Context, owner *Account, name string) error {
	taken, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE name = ?`, name)
	if err != nil || taken {
		return errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "account", "Username is already in use: %s", name), taken))
	}
	var longest sql.NullInt64
	const robots = ` FROM accounts WHERE owner_id = ? AND kind = 'robot' AND deleted_ms = 0`
	if err := t.queryRow(ctx, `SELECT MAX(LENGTH(name))`+robots, owner.ID).Scan(&longest); err != nil {
		return err
	}
	if longest.Int64+int64(len(name)-len(owner.Name)) > 255 {
		return gantry.Errorf(gantry.Conflict, "account", "The new name is too long for the names of the robots of %s", owner.Name)
	}
	// A plus sign is in the name of a robot once, behind its owner's.
	_, err = t.exec(ctx, `UPDATE accounts SET name = REPLACE(name, ?, ?) WHERE owner_id = ? AND kind = 'robot' AND deleted_ms = 0`,
		owner.Name+"+", name+"+", owner.ID)
	return err
}

// uniqueViolation reports whether a row with an equal key was there.
func uniqueViolation(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == 2067 || e.Code() == 1555 // of an index, of a primary key
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505"
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == 1062
}

// ConvertUser makes an organization of a user, with a team of owners that
// admin, another user, is in. Who was the user cannot sign in any more: its
// password, sessions, tokens, teams and permissions go; its repositories and
// robots stay. A user who is the last admin of an organization is refused with
// Conflict on "organization".
func (db *DB) ConvertUser(ctx context.Context, id, admin gantry.AccountID, actor gantry.Actor) error {
	return db.update(ctx, "convert user", func(ctx context.Context, t *tx) error {
		locked := 0
		if err := t.each(ctx, func(r *sql.Rows) error {
			locked++
			return r.Scan(new(int64))
		}, `SELECT id FROM accounts WHERE id IN (?, ?) AND kind = 'user' AND deleted_ms = 0 ORDER BY id`+t.d.excl, id, admin); err != nil {
			return err
		}
		if locked != 2 {
			return errNoAccount("user")
		}
		if err := t.mayLeaveAll(ctx, id); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM sessions WHERE account_id = ?`, `DELETE FROM app_tokens WHERE account_id = ?`,
			`DELETE FROM notices WHERE account_id = ?`, `DELETE FROM codes WHERE account_id = ?`, `DELETE FROM team_invites WHERE account_id = ?`,
			`DELETE FROM oauth_token_titles WHERE token_id IN (SELECT id FROM oauth_tokens WHERE account_id = ?)`,
			`DELETE FROM oauth_tokens WHERE account_id = ?`, `DELETE FROM permissions WHERE account_id = ?`,
			`DELETE FROM oauth_codes WHERE account_id = ?`, `DELETE FROM oauth_assignments WHERE account_id = ?`,
			`DELETE FROM team_members WHERE account_id = ?`, `DELETE FROM prototypes WHERE account_id = ?`,
			`DELETE FROM prototypes WHERE activating_id = ?`, `DELETE FROM stars WHERE account_id = ?`,
			`DELETE FROM federated_logins WHERE account_id = ?`, `DELETE FROM provider_ranks WHERE account_id = ?`,
			`UPDATE accounts SET kind = 'organization', password_hash = '', superuser = 0, failed_logins = 0, failed_login_ms = 0 WHERE id = ?`} {
			if _, err := t.exec(ctx, q, id); err != nil {
				return err
			}
		}
		team, err := t.insert(ctx, `INSERT INTO teams (org_id, name, role, description) VALUES (?, ?, ?, '')`, id, OwnersTeam, string(gantry.TeamAdmin))
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO team_members (team_id, account_id) VALUES (?, ?)`, team, admin); err != nil {
			return err
		}
		t.who = true
		if err := t.touchNamespace(ctx, id); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "account_convert", Namespace: id, Actor: actor})
	})
}
