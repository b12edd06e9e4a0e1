package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Account is a user, an organization or a robot.
type Account struct {
	ID           gantry.AccountID
	Kind         gantry.AccountKind
	Name         string // of a robot: "namespace+short"
	UUID         string
	Email        string // "" = none
	PasswordHash string // bcrypt; "" = no password
	Secret       string // of a robot: its token, sealed
	Description  string
	Enabled      bool
	Verified     bool // the e-mail address is confirmed, or needs not be
	Superuser    bool // marked so here; SUPER_USERS comes on top
	FailedLogins int  // in a row
	FailedLogin  time.Time
	Retention    time.Duration // as Repository.Retention
	Profile      json.RawMessage
	Created      time.Time
	LastUsed     time.Time // zero = never; may lag by minutes

	// Of a robot: the namespace that it belongs to.
	Owner        gantry.AccountID
	OwnerName    string
	OwnerKind    gantry.AccountKind
	OwnerEnabled bool
}

// Short is the name of a robot without its namespace, else the Name.
func (a *Account) Short() string {
	if _, short, ok := strings.Cut(a.Name, "+"); ok && a.Kind == gantry.Robot {
		return short
	}
	return a.Name
}

// Active reports whether the account, and for a robot its owner, is enabled.
func (a *Account) Active() bool { return a.Enabled && (a.Kind != gantry.Robot || a.OwnerEnabled) }

// accountColumns are those of scanAccount; "a" is the account and "o" its
// owner, joined by accountOwner.
const (
	accountColumns = `a.id, a.kind, a.name, a.uuid, a.email, a.password_hash, a.secret, a.description, a.enabled, a.verified,
	a.superuser, a.failed_logins, a.failed_login_ms, a.retention_s, a.profile, a.created_ms, a.last_used_ms,
	a.owner_id, COALESCE(o.name, ''), COALESCE(o.kind, ''), COALESCE(o.enabled, 0)`
	accountOwner = ` LEFT JOIN accounts o ON o.id = a.owner_id AND o.deleted_ms = 0`
)

// scanAccount reads accountColumns, and more after them.
func scanAccount(row interface{ Scan(...any) error }, more ...any) (Account, error) {
	var (
		a                                   Account
		enabled, verified, super, ownerOn   int
		failed, retention, created, lastUse int64
		profile                             string
	)
	err := row.Scan(append([]any{&a.ID, &a.Kind, &a.Name, &a.UUID, &a.Email, &a.PasswordHash, &a.Secret, &a.Description,
		&enabled, &verified, &super, &a.FailedLogins, &failed, &retention, &profile, &created, &lastUse,
		&a.Owner, &a.OwnerName, &a.OwnerKind, &ownerOn}, more...)...)
	a.Enabled, a.Verified, a.Superuser, a.OwnerEnabled = enabled == 1, verified == 1, super == 1, ownerOn == 1
	a.FailedLogin, a.Created, a.LastUsed = gantry.FromMillis(failed), gantry.FromMillis(created), gantry.FromMillis(lastUse)
	a.Retention = time.Duration(retention) * time.Second
	a.Profile = json.RawMessage(profile)
	return a, err
}

func errNoAccount(object string) *gantry.Error {
	return gantry.Errorf(gantry.NotFound, object, "no such %s", object)
}

// Account finds an account by its name. A deleted one is NotFound on
// "account".
func (db *DB) Account(ctx context.Context, name string) (a Account, err error) {
	err = db.read(ctx, "find account", func(ctx context.Context, t *tx) error {
		a, err = t.accountWhere(ctx, "a.name = ?", name)
		return err
	})
	return a, err
}

// AccountByID is Account for a known id.
func (db *DB) AccountByID(ctx context.Context, id gantry.AccountID) (a Account, err error) {
	err = db.read(ctx, "read account", func(ctx context.Context, t *tx) error {
		a, err = t.accountWhere(ctx, "a.id = ?", id)
		return err
	})
	return a, err
}

// UserByEmail finds a user by e-mail address. Of several, which a race can
// leave, it is the oldest.
func (db *DB) UserByEmail(ctx context.Context, email string) (a Account, err error) {
	err = db.read(ctx, "find account", func(ctx context.Context, t *tx) error {
		a, err = t.accountWhere(ctx, "a.email = ? AND a.kind = 'user'", strings.ToLower(email))
		return err
	})
	return a, err
}

func (t *tx) accountWhere(ctx context.Context, cond string, args ...any) (Account, error) {
	a, err := scanAccount(t.queryRow(ctx, `SELECT `+accountColumns+` FROM accounts a`+accountOwner+
		` WHERE `+cond+` AND a.deleted_ms = 0 ORDER BY a.id LIMIT 1`, args...))
	return a, notFound(err, errNoAccount("account"))
}

// HasUsers reports whether there is any user or organization, also a deleted
// one.
func (db *DB) HasUsers(ctx context.Context) (any bool, err error) {
	err = db.read(ctx, "look for accounts", func(ctx context.Context, t *tx) error {
		any, err = t.exists(ctx, `SELECT 1 FROM accounts WHERE kind IN ('user', 'organization') LIMIT 1`)
		return err
	})
	return any, err
}

// exists reports whether a SELECT of one number has a row.
func (t *tx) exists(ctx context.Context, q string, args ...any) (bool, error) {
	var n int
	err := t.queryRow(ctx, q, args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// NewAccount is what CreateUser, CreateOrganization and CreateRobot make. The
// caller has checked the name's syntax.
type NewAccount struct {
	Name         string
	UUID         string // "" = a new one; given where Secret is bound to it
	Email        string
	PasswordHash string
	Secret       string // of a robot: its token, sealed
	Verified     bool
	Superuser    bool
	Description  string
	Profile      json.RawMessage // nil = {}
	// First refuses, with Conflict on "database", when there is an account
	// already.
	First bool
	// UniqueEmail refuses an address that another user or organization has.
	UniqueEmail bool
	// Token is a user's first OAuth token, for the account that is made; nil =
	// none.
	Token *OAuthToken
	// Invite is the hash of an invitation by mail, which the account accepts;
	// it has to be good. "" = none.
	Invite string
	// Code is a code for the account's address, with the mail that brings it;
	// nil = none.
	Code *NewCode
}

// CreateUser makes a user. A name that is taken, by any account, is Conflict
// on "account"; an e-mail address that is taken is Conflict on "email".
func (db *DB) CreateUser(ctx context.Context, n NewAccount, actor gantry.Actor) (a Account, err error) {
	err = db.update(ctx, "create user", func(ctx context.Context, t *tx) error {
		if n.First {
			if err := t.first(ctx); err != nil {
				return err
			}
		}
		if a, err = t.createAccount(ctx, gantry.User, n, 0); err != nil {
			return err
		}
		by := actor
		if by.Account == 0 { // signed up
			by.Account, by.Name, by.Kind = a.ID, a.Name, gantry.ActorUser
		}
		if err := t.event(ctx, Event{Kind: "user_create", Namespace: a.ID, Actor: by,
			Payload: map[string]any{"username": a.Name, "email": a.Email}}); err != nil {
			return err
		}
		if n.Invite != "" {
			if _, err := t.answerInvite(ctx, n.Invite, a, true, by); err != nil {
				return err
			}
		}
		if n.Code != nil {
			code := *n.Code
			code.Account = a.ID
			if _, err := t.createCode(ctx, code); err != nil {
				return err
			}
		}
		if n.Token == nil {
			return nil
		}
		token := *n.Token
		token.Account = a.ID
		return t.createOAuthToken(ctx, token, by)
	})
	return a, err
}

// first holds that there never was an account, also against another
// transaction that checks the same at this time.
func (t *tx) first(ctx context.Context) error {
	taken := gantry.Errorf(gantry.Conflict, "database", "Cannot initialize user in a non-empty database")
	if any, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE kind IN ('user', 'organization') LIMIT 1`); err != nil || any {
		return errors.Join(err, asError(taken, any))
	}
	n, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES ('first account', '1')`+t.d.ignore("name"))
	if err != nil {
		return err
	}
	if any, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE kind IN ('user', 'organization') LIMIT 1`); err != nil || any {
		return errors.Join(err, asError(taken, any))
	}
	_ = n // the row may be there from a transaction that made no account in the end
	return nil
}

// asError returns e as an error when there is one; a nil *gantry.Error in an
// error would not be nil.
func asError(e *gantry.Error, there bool) error {
	if !there {
		return nil
	}
	return e
}

// createAccount inserts an account of any kind.
func (t *tx) createAccount(ctx context.Context, kind gantry.AccountKind, n NewAccount, owner gantry.AccountID) (Account, error) {
	n.Email = strings.ToLower(n.Email)
	if n.UUID == "" {
		n.UUID = uuid.NewString()
	}
	if n.Profile == nil {
		n.Profile = json.RawMessage("{}")
	}
	if n.UniqueEmail && n.Email != "" {
		taken, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE email = ? AND deleted_ms = 0 LIMIT 1`, n.Email)
		if err != nil || taken {
			return Account{}, errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "email", "Email has already been used: %s", n.Email), taken))
		}
	}
	id, err := t.insert(ctx, `INSERT INTO accounts (kind, name, uuid, email, password_hash, secret, owner_id, description, enabled,
		verified, superuser, failed_logins, failed_login_ms, retention_s, profile, created_ms, last_used_ms, deleted_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, 0, 0, -1, ?, ?, 0, 0)`+t.d.ignore("name"),
		string(kind), n.Name, n.UUID, n.Email, n.PasswordHash, n.Secret, owner, n.Description,
		flag(n.Verified), flag(n.Superuser), string(n.Profile), t.now.UnixMilli())
	if err != nil {
		return Account{}, err
	}
	a, err := t.accountWhere(ctx, "a.uuid = ?", n.UUID)
	if id == 0 || gantry.Is(err, gantry.NotFound) {
		return Account{}, gantry.Errorf(gantry.Conflict, "account", "Username has already been taken: %s", n.Name)
	}
	t.more = true
	return a, err
}

// OwnersTeam is the team that every organization starts with.
const OwnersTeam = "owners"

// CreateOrganization makes an organization with a team "owners" that owner is
// the first member of. The errors are those of CreateUser.
func (db *DB) CreateOrganization(ctx context.Context, n NewAccount, owner gantry.AccountID, actor gantry.Actor) (a Account, err error) {
	err = db.update(ctx, "create organization", func(ctx context.Context, t *tx) error {
		a, err = t.createOrganization(ctx, n, owner, actor)
		return err
	})
	return a, err
}

func (t *tx) createOrganization(ctx context.Context, n NewAccount, owner gantry.AccountID, actor gantry.Actor) (Account, error) {
	a, err := t.createAccount(ctx, gantry.Organization, n, 0)
	if err != nil {
		return a, err
	}
	team, err := t.insert(ctx, `INSERT INTO teams (org_id, name, role, description) VALUES (?, ?, ?, '')`,
		a.ID, OwnersTeam, string(gantry.TeamAdmin))
	if err != nil {
		return a, err
	}
	if _, err := t.exec(ctx, `INSERT INTO team_members (team_id, account_id) VALUES (?, ?)`, team, owner); err != nil {
		return a, err
	}
	return a, t.event(ctx, Event{Kind: "org_create", Namespace: a.ID, Actor: actor,
		Payload: map[string]any{"namespace": a.Name, "email": a.Email}})
}

// SetPassword gives a user another password hash and ends all its sessions but
// keep (an id of a session; 0 = none is kept). Failed logins are forgotten.
func (db *DB) SetPassword(ctx context.Context, id gantry.AccountID, hash string, keep int64, actor gantry.Actor) error {
	return db.update(ctx, "set password", func(ctx context.Context, t *tx) error {
		return t.setPassword(ctx, id, hash, keep, actor)
	})
}

func (t *tx) setPassword(ctx context.Context, id gantry.AccountID, hash string, keep int64, actor gantry.Actor) error {
	n, err := t.exec(ctx, `UPDATE accounts SET password_hash = ?, failed_logins = 0, failed_login_ms = 0
		WHERE id = ? AND kind = 'user' AND deleted_ms = 0`, hash, id)
	if err != nil || n == 0 {
		return errors.Join(err, asError(errNoAccount("user"), err == nil && n == 0))
	}
	if _, err := t.exec(ctx, `DELETE FROM sessions WHERE account_id = ? AND id <> ?`, id, keep); err != nil {
		return err
	}
	t.who = true
	return t.event(ctx, Event{Kind: "account_change_password", Namespace: id, Actor: actor})
}

// SetSuperuser marks a user as a superuser, or takes the mark away.
func (db *DB) SetSuperuser(ctx context.Context, id gantry.AccountID, super bool, actor gantry.Actor) error {
	return db.update(ctx, "mark superuser", func(ctx context.Context, t *tx) error {
		a, err := t.accountWhere(ctx, "a.id = ? AND a.kind = 'user'", id)
		if err != nil {
			return err
		}
		if a.Superuser == super {
			return nil
		}
		if _, err := t.exec(ctx, `UPDATE accounts SET superuser = ? WHERE id = ?`, flag(super), id); err != nil {
			return err
		}
		t.who = true
		return t.event(ctx, Event{Kind: "user_change_metadata", Namespace: id, Actor: actor,
			Payload: map[string]any{"username": a.Name, "superuser": super}})
	})
}

// SetEnabled switches an account on or off. A disabled one loses its sessions.
func (db *DB) SetEnabled(ctx context.Context, id gantry.AccountID, enabled bool, actor gantry.Actor) error {
	return db.update(ctx, "enable account", func(ctx context.Context, t *tx) error {
		a, err := t.accountWhere(ctx, "a.id = ?", id)
		if err != nil {
			return err
		}
		return t.setEnabled(ctx, a, enabled, actor)
	})
}

func (t *tx) setEnabled(ctx context.Context, a Account, enabled bool, actor gantry.Actor) error {
	if a.Enabled == enabled {
		return nil
	}
	if _, err := t.exec(ctx, `UPDATE accounts SET enabled = ? WHERE id = ?`, flag(enabled), a.ID); err != nil {
		return err
	}
	kind := "user_enable"
	if !enabled {
		kind = "user_disable"
		if _, err := t.exec(ctx, `DELETE FROM sessions WHERE account_id = ?`, a.ID); err != nil {
			return err
		}
	}
	if err := t.touchNamespace(ctx, a.ID); err != nil {
		return err
	}
	return t.event(ctx, Event{Kind: kind, Namespace: a.ID, Actor: actor, Payload: map[string]any{"username": a.Name}})
}

// touchNamespace notes every repository of a namespace, and who may use it, as
// changed.
func (t *tx) touchNamespace(ctx context.Context, ns gantry.AccountID) error {
	t.who = true
	return t.each(ctx, func(r *sql.Rows) error {
		var repo gantry.RepoID
		err := r.Scan(&repo)
		t.touch(repo)
		return err
	}, `SELECT id FROM repositories WHERE ns_id = ? AND deleted_ms = 0`, ns)
}

// LoginFailed counts a wrong password. With id 0, of a name that is nobody's,
// it only writes as much, so that the time it takes does not tell.
func (db *DB) LoginFailed(ctx context.Context, id gantry.AccountID) error {
	return db.update(ctx, "count failed login", func(ctx context.Context, t *tx) error {
		if id == 0 {
			_, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES ('failed login of nobody', ?)`+
				t.d.upsert("name", "value = "+t.d.fresh("value")), strconv.FormatInt(t.now.UnixMilli(), 10))
			return err
		}
		_, err := t.exec(ctx, `UPDATE accounts SET failed_logins = failed_logins + 1, failed_login_ms = ? WHERE id = ?`,
			t.now.UnixMilli(), id)
		t.more = true
		return err
	})
}

// LoginSucceeded forgets failed logins.
func (db *DB) LoginSucceeded(ctx context.Context, id gantry.AccountID) error {
	return db.update(ctx, "forget failed logins", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE accounts SET failed_logins = 0, failed_login_ms = 0 WHERE id = ?`, id)
		t.more = true
		return err
	})
}

// SetSecret puts another sealed form of the same secret in place of old, and
// does nothing if old is not there any more.
func (db *DB) SetSecret(ctx context.Context, id gantry.AccountID, old, sealed string) error {
	return db.update(ctx, "seal secret anew", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE accounts SET secret = ? WHERE id = ? AND secret = ?`, sealed, id, old)
		t.more = true
		return err
	})
}

// Used writes down when accounts were last seen. It does not count as a
// change of them.
func (db *DB) Used(ctx context.Context, seen map[gantry.AccountID]time.Time) error {
	if len(seen) == 0 {
		return nil
	}
	return db.update(ctx, "note accounts in use", func(ctx context.Context, t *tx) error {
		for id, at := range seen {
			if _, err := t.exec(ctx, `UPDATE accounts SET last_used_ms = ? WHERE id = ? AND last_used_ms < ?`,
				at.UnixMilli(), id, at.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteNamespace deletes a user or an organization with all that is in it.
// Its name is free at once; the repositories' data goes later, by collection.
// A user who is the last admin of an organization is refused with Conflict on
// "organization".
func (db *DB) DeleteNamespace(ctx context.Context, id gantry.AccountID, actor gantry.Actor) error {
	return db.update(ctx, "delete namespace", func(ctx context.Context, t *tx) error {
		var locked int64
		err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND kind <> 'robot' AND deleted_ms = 0`+t.d.excl, id).Scan(&locked)
		if err != nil {
			return notFound(err, errNoAccount("namespace"))
		}
		a, err := t.accountWhere(ctx, "a.id = ?", id)
		if err != nil {
			return err
		}
		if a.Kind == gantry.User {
			if err := t.mayLeaveAll(ctx, id); err != nil {
				return err
			}
		}
		if err := t.dropNotifications(ctx, `n.ns_id = ?`, id); err != nil {
			return err
		}
		now := t.now.UnixMilli()
		var repos []gantry.RepoID
		err = t.each(ctx, func(r *sql.Rows) error {
			var repo gantry.RepoID
			err := r.Scan(&repo)
			repos = append(repos, repo)
			return err
		}, `SELECT id FROM repositories WHERE ns_id = ? AND deleted_ms = 0 ORDER BY id`, id)
		if err != nil {
			return err
		}
		for _, repo := range repos {
			t.touch(repo)
			if err := t.review(ctx, reviewRepository, int64(repo), 0, t.now); err != nil {
				return err
			}
		}
		mine := `(SELECT id FROM accounts WHERE owner_id = ? OR id = ?)`
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{`DELETE FROM permissions WHERE repo_id IN (SELECT id FROM repositories WHERE ns_id = ?)`, []any{id}},
			{`DELETE FROM permissions WHERE account_id IN ` + mine, []any{id, id}},
			{`DELETE FROM permissions WHERE team_id IN (SELECT id FROM teams WHERE org_id = ?)`, []any{id}},
			{`DELETE FROM team_members WHERE account_id IN ` + mine, []any{id, id}},
			{`DELETE FROM team_members WHERE team_id IN (SELECT id FROM teams WHERE org_id = ?)`, []any{id}},
			{`DELETE FROM team_syncs WHERE team_id IN (SELECT id FROM teams WHERE org_id = ?)`, []any{id}},
			{`DELETE FROM teams WHERE org_id = ?`, []any{id}},
			{`DELETE FROM federated_logins WHERE account_id = ?`, []any{id}},
			{`DELETE FROM provider_ranks WHERE account_id = ?`, []any{id}},
			{`DELETE FROM prototypes WHERE org_id = ?`, []any{id}},
			{`DELETE FROM prototypes WHERE account_id IN ` + mine, []any{id, id}},
			{`DELETE FROM stars WHERE account_id = ?`, []any{id}},
			{`DELETE FROM repository_words WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM oauth_token_titles WHERE token_id IN (SELECT id FROM oauth_tokens WHERE account_id = ?)`, []any{id}},
			{`DELETE FROM oauth_token_titles WHERE token_id IN (SELECT k.id FROM oauth_tokens k JOIN oauth_applications x ON x.id = k.application_id
				WHERE x.org_id = ?)`, []any{id}},
			{`DELETE FROM oauth_tokens WHERE application_id IN (SELECT id FROM oauth_applications WHERE org_id = ?)`, []any{id}},
			{`DELETE FROM oauth_codes WHERE application_id IN (SELECT id FROM oauth_applications WHERE org_id = ?)`, []any{id}},
			{`DELETE FROM oauth_codes WHERE account_id = ?`, []any{id}},
			{`DELETE FROM oauth_assignments WHERE application_id IN (SELECT id FROM oauth_applications WHERE org_id = ?)`, []any{id}},
			{`DELETE FROM oauth_assignments WHERE account_id = ?`, []any{id}},
			{`DELETE FROM robot_federations WHERE account_id IN ` + mine, []any{id, id}},
			{`DELETE FROM oauth_applications WHERE org_id = ?`, []any{id}},
			{`DELETE FROM app_tokens WHERE account_id = ?`, []any{id}},
			{`DELETE FROM oauth_tokens WHERE account_id = ?`, []any{id}},
			{`DELETE FROM sessions WHERE account_id = ?`, []any{id}},
			{`DELETE FROM quota_limits WHERE quota_id IN (SELECT id FROM quotas WHERE ns_id = ?)`, []any{id}},
			{`DELETE FROM quotas WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM prune_policies WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM proxy_caches WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM namespace_locations WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM prune_runs WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM immutability_policies WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM quota_states WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM notices WHERE account_id = ?`, []any{id}},
			{`DELETE FROM codes WHERE account_id = ?`, []any{id}},
			{`DELETE FROM team_invites WHERE org_id = ?`, []any{id}},
			{`DELETE FROM team_invites WHERE account_id = ?`, []any{id}},
			{`DELETE FROM repository_emails WHERE repo_id IN (SELECT id FROM repositories WHERE ns_id = ?)`, []any{id}},
			{`DELETE FROM mirror_outcomes WHERE repo_id IN (SELECT repo_id FROM repo_mirrors WHERE ns_id = ?)`, []any{id}},
			{`DELETE FROM mirror_runs WHERE repo_id IN (SELECT repo_id FROM repo_mirrors WHERE ns_id = ?)`, []any{id}},
			{`DELETE FROM repo_mirrors WHERE ns_id = ?`, []any{id}},
			{`DELETE FROM org_mirror_repos WHERE org_mirror_id IN (SELECT x.id FROM org_mirrors x WHERE x.org_id = ?)`, []any{id}},
			{`DELETE FROM org_mirrors WHERE org_id = ?`, []any{id}},
			// Deleted repositories are never public: lists of public ones need not look.
			{`UPDATE repositories SET deleted_ms = ?, visibility = 'private', state = ?, version = version + 1
				WHERE ns_id = ? AND deleted_ms = 0`, []any{now, int(gantry.MarkedForDeletion), id}},
			{`UPDATE accounts SET name = uuid, email = '', password_hash = '', secret = '', enabled = 0, deleted_ms = ?
				WHERE (id = ? OR owner_id = ?) AND deleted_ms = 0`, []any{now, id, id}},
		} {
			if _, err := t.exec(ctx, q.sql, q.args...); err != nil {
				return err
			}
		}
		t.who = true
		kind := "org_delete"
		payload := map[string]any{"namespace": a.Name}
		if a.Kind == gantry.User {
			kind, payload = "user_delete", map[string]any{"username": a.Name}
		}
		return t.event(ctx, Event{Kind: kind, Namespace: id, Actor: actor, Payload: payload})
	})
}

// mayLeaveAll refuses when the user is the last admin of an organization.
func (t *tx) mayLeaveAll(ctx context.Context, user gantry.AccountID) error {
	var orgs []string
	err := t.each(ctx, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		orgs = append(orgs, name)
		return err
	}, `SELECT DISTINCT o.name FROM team_members m JOIN teams t ON t.id = m.team_id AND t.role = 'admin'
		JOIN accounts o ON o.id = t.org_id
		WHERE m.account_id = ? AND o.deleted_ms = 0 AND NOT EXISTS (
			SELECT 1 FROM teams t2 JOIN team_members m2 ON m2.team_id = t2.id JOIN accounts u ON u.id = m2.account_id
			WHERE t2.org_id = t.org_id AND t2.role = 'admin' AND m2.account_id <> ? AND u.kind = 'user' AND u.deleted_ms = 0)
		ORDER BY o.name`, user, user)
	if err != nil {
		return err
	}
	if len(orgs) > 0 {
		return gantry.Errorf(gantry.Conflict, "organization", "the user is the only admin of %s", strings.Join(orgs, ", "))
	}
	return nil
}

// LogLogin writes login_success, login_failure or logout_success to the
// journal. namespace may be 0.
func (db *DB) LogLogin(ctx context.Context, kind string, namespace gantry.AccountID, actor gantry.Actor, payload map[string]any) error {
	return db.update(ctx, "log "+kind, func(ctx context.Context, t *tx) error {
		return t.event(ctx, Event{Kind: kind, Namespace: namespace, Actor: actor, Payload: payload})
	})
}

// Record writes a journal row that no other method of the store writes: for
// what leaves no other trace, such as a client key that was shown.
func (db *DB) Record(ctx context.Context, e Event) error {
	return db.update(ctx, "record event", func(ctx context.Context, t *tx) error {
		if e.Kind == "" {
			return fmt.Errorf("event without kind")
		}
		return t.event(ctx, e)
	})
}
