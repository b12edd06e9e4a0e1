package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// What superusers do with the whole registry.

// An AccountQuery asks for a page of accounts.
type AccountQuery struct {
	Kind    gantry.AccountKind
	Enabled bool             // only those that are
	After   gantry.AccountID // exclusive; 0 = from the start
	N       int              // at most this many
}

// Accounts lists the accounts of one kind, in the order in which they were
// made, in one statement whose cost does not grow with After.
func (db *DB) Accounts(ctx context.Context, q AccountQuery) (list []Account, err error) {
	where := `a.kind = ? AND a.deleted_ms = 0 AND a.id > ?`
	if q.Enabled {
		where += ` AND a.enabled = 1`
	}
	err = db.read(ctx, "list accounts", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			a, err := scanAccount(r)
			list = append(list, a)
			return err
		}, `SELECT `+accountColumns+` FROM accounts a`+accountOwner+` WHERE `+where+` ORDER BY a.id LIMIT ?`, string(q.Kind), q.After, q.N)
	})
	return list, err
}

// A UserChange is what ChangeUser changes; nil leaves it.
type UserChange struct {
	PasswordHash, Email *string
	Enabled             *bool
}

// ChangeUser changes a user as somebody else wants it. A new password and a
// disabled account end all of its sessions. NotFound on "account"; an address
// that another user or organization has is Conflict on "email".
func (db *DB) ChangeUser(ctx context.Context, id gantry.AccountID, c UserChange, actor gantry.Actor) error {
	return db.update(ctx, "change user", func(ctx context.Context, t *tx) error {
		a, err := t.accountWhere(ctx, "a.id = ? AND a.kind = 'user'", id)
		if err != nil {
			return err
		}
		if c.PasswordHash != nil {
			if err := t.setPassword(ctx, id, *c.PasswordHash, 0, actor); err != nil {
				return err
			}
		}
		if c.Email != nil {
			if err := t.setEmail(ctx, a, *c.Email, "user_change_email", actor); err != nil {
				return err
			}
		}
		if c.Enabled != nil {
			return t.setEnabled(ctx, a, *c.Enabled, actor)
		}
		return nil
	})
}

// setEmail gives an account another address, "" for none.
func (t *tx) setEmail(ctx context.Context, a Account, email, kind string, actor gantry.Actor) error {
	email = strings.ToLower(email)
	if email == a.Email {
		return nil
	}
	if email != "" {
		taken, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE email = ? AND deleted_ms = 0 AND id <> ? LIMIT 1`, email, a.ID)
		if err != nil || taken {
			return errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "email", "Email has already been used: %s", email), taken))
		}
	}
	if _, err := t.exec(ctx, `UPDATE accounts SET email = ? WHERE id = ?`, email, a.ID); err != nil {
		return err
	}
	t.more = true
	return t.event(ctx, Event{Kind: kind, Namespace: a.ID, Actor: actor,
		Payload: map[string]any{"username": a.Name, "namespace": a.Name, "email": email, "old_email": a.Email}})
}

// An OrganizationChange is what ChangeOrganization changes; nil leaves it.
type OrganizationChange struct {
	Name  *string // whose syntax the caller has checked
	Email *string
}

// ChangeOrganization changes an organization as a superuser wants it. With the
// name go those of its robots. NotFound on "account"; Conflict on "account"
// and on "email" for what is taken; Invalid on "account" where a robot's name
// would become too long.
func (db *DB) ChangeOrganization(ctx context.Context, id gantry.AccountID, c OrganizationChange, actor gantry.Actor) error {
	err := db.update(ctx, "change organization", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, id); err != nil {
			return err
		}
		a, err := t.accountWhere(ctx, "a.id = ?", id)
		if err != nil {
			return err
		}
		if c.Email != nil {
			if err := t.setEmail(ctx, a, *c.Email, "org_change_email", actor); err != nil {
				return err
			}
		}
		if c.Name == nil || *c.Name == a.Name {
			return nil
		}
		return t.rename(ctx, a, *c.Name, actor)
	})
	if _, told := errors.AsType[*gantry.Error](err); err != nil && !told && c.Name != nil {
		if _, there := db.Account(ctx, *c.Name); there == nil { // somebody took it between the look and the change
			return errTaken(*c.Name)
		}
	}
	return err
}

func errTaken(name string) error {
	return gantry.Errorf(gantry.Conflict, "account", "Username has already been taken: %s", name)
}

func (t *tx) rename(ctx context.Context, a Account, name string, actor gantry.Actor) error {
	if taken, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE name = ?`, name); err != nil || taken {
		return errors.Join(err, asTaken(name, taken))
	}
	const mine = ` FROM accounts WHERE owner_id = ? AND kind = 'robot' AND deleted_ms = 0`
	long, err := t.exists(ctx, `SELECT 1`+mine+` AND LENGTH(name) > ? LIMIT 1`, a.ID, 255-len(name)+len(a.Name))
	if err != nil || long {
		return errors.Join(err, asError(gantry.Errorf(gantry.Invalid, "account", "With this name the names of some robots would be longer than 255 characters"), long))
	}
	if taken, err := t.exists(ctx, `SELECT 1 FROM accounts b WHERE b.name IN (SELECT REPLACE(name, ?, ?)`+mine+`) LIMIT 1`,
		a.Name+"+", name+"+", a.ID); err != nil || taken {
		return errors.Join(err, asTaken(name, taken))
	}
	if _, err := t.exec(ctx, `UPDATE accounts SET name = ? WHERE id = ?`, name, a.ID); err != nil {
		return err
	}
	// A name has one plus sign: what stands before it is there once.
	if _, err := t.exec(ctx, `UPDATE accounts SET name = REPLACE(name, ?, ?) WHERE owner_id = ? AND kind = 'robot' AND deleted_ms = 0`,
		a.Name+"+", name+"+", a.ID); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE repositories SET version = version + 1 WHERE ns_id = ? AND deleted_ms = 0`, a.ID); err != nil {
		return err
	}
	if err := t.touchNamespace(ctx, a.ID); err != nil {
		return err
	}
	return t.event(ctx, Event{Kind: "org_change_name", Namespace: a.ID, Actor: actor,
		Payload: map[string]any{"namespace": name, "old_name": a.Name, "new_name": name}})
}

func asTaken(name string, taken bool) error {
	if !taken {
		return nil
	}
	return errTaken(name)
}

// TakeOwnership makes by, a user, an administrator of a namespace. A user's
// namespace becomes an organization for that: nobody can sign in to it any
// more, and it loses its places in teams and its permissions elsewhere.
// NotFound on "namespace"; Conflict on "organization" if that user is the last
// administrator of one.
func (db *DB) TakeOwnership(ctx context.Context, ns, by gantry.AccountID, actor gantry.Actor) error {
	return db.update(ctx, "take ownership", func(ctx context.Context, t *tx) error {
		if err := t.lockNamespace(ctx, ns); err != nil {
			return err
		}
		a, err := t.accountWhere(ctx, "a.id = ?", ns)
		if err != nil {
			return err
		}
		if a.Kind == gantry.User {
			if err := t.makeOrganization(ctx, a); err != nil {
				return err
			}
		}
		team, err := t.adminTeam(ctx, ns)
		if err != nil {
			return err
		}
		there, err := t.exists(ctx, `SELECT 1 FROM team_members WHERE team_id = ? AND account_id = ?`, team, by)
		if err == nil && !there {
			_, err = t.exec(ctx, `INSERT INTO team_members (team_id, account_id) VALUES (?, ?)`, team, by)
		}
		if err != nil {
			return err
		}
		if err := t.touchNamespace(ctx, ns); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "take_ownership", Namespace: ns, Actor: actor,
			Payload: map[string]any{"namespace": a.Name, "entity_id": a.UUID, "was_user": a.Kind == gantry.User}})
	})
}

// makeOrganization makes an organization without teams of a user.
func (t *tx) makeOrganization(ctx context.Context, a Account) error {
	if err := t.mayLeaveAll(ctx, a.ID); err != nil {
		return err
	}
	for _, q := range []string{
		`UPDATE accounts SET kind = 'organization', password_hash = '', secret = '', superuser = 0, failed_logins = 0 WHERE id = ?`,
		`DELETE FROM permissions WHERE account_id = ?`, `DELETE FROM team_members WHERE account_id = ?`, `DELETE FROM prototypes WHERE account_id = ?`,
		`DELETE FROM prototypes WHERE activating_id = ?`, `DELETE FROM app_tokens WHERE account_id = ?`, `DELETE FROM oauth_tokens WHERE account_id = ?`,
		`DELETE FROM sessions WHERE account_id = ?`, `DELETE FROM federated_logins WHERE account_id = ?`, `DELETE FROM provider_ranks WHERE account_id = ?`,
	} {
		if _, err := t.exec(ctx, q, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// adminTeam returns the team of an organization whose members administer it,
// and makes it if there is none.
func (t *tx) adminTeam(ctx context.Context, org gantry.AccountID) (id int64, err error) {
	err = t.queryRow(ctx, `SELECT id FROM teams WHERE org_id = ? AND role = 'admin'
		ORDER BY CASE WHEN name = '`+OwnersTeam+`' THEN 0 ELSE 1 END, id LIMIT 1`, org).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	name := OwnersTeam
	if there, err := t.exists(ctx, `SELECT 1 FROM teams WHERE org_id = ? AND name = ?`, org, name); err != nil {
		return 0, err
	} else if there { // of another role
		name += "-" + uuid.NewString()[:8]
	}
	return t.insert(ctx, `INSERT INTO teams (org_id, name, role, description) VALUES (?, ?, ?, '')`, org, name, string(gantry.TeamAdmin))
}

// A RegistrySize is what all blobs together were once counted to have.
type RegistrySize struct {
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"` // zero = never
}

const sizeSetting = "registry size"

// RegistrySize returns the last count.
func (db *DB) RegistrySize(ctx context.Context) (n RegistrySize, err error) {
	text, err := db.Setting(ctx, sizeSetting)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &n)
	}
	return n, err
}

// CountRegistrySize adds the sizes of all blobs up, each one once, and keeps
// the sum. It reads every row.
func (db *DB) CountRegistrySize(ctx context.Context) (n RegistrySize, err error) {
	if err := db.read(ctx, "count the registry's size", func(ctx context.Context, t *tx) error {
		n = RegistrySize{At: t.now}
		return t.queryRow(ctx, `SELECT COALESCE(SUM(size), 0) FROM blobs`).Scan(&n.Bytes)
	}); err != nil {
		return n, err
	}
	text, err := json.Marshal(n)
	if err != nil {
		return n, err
	}
	return n, db.SetSetting(ctx, sizeSetting, string(text))
}

// AllAppTokens lists the application tokens of all accounts, in the order in
// which they were made: up to n with ids after that one. owners has the names
// of their accounts.
func (db *DB) AllAppTokens(ctx context.Context, after int64, n int) (list []AppToken, owners map[gantry.AccountID]string, err error) {
	owners = map[gantry.AccountID]string{}
	err = db.read(ctx, "list all app tokens", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var k AppToken
			var created, expires, used int64
			var owner string
			err := r.Scan(&k.ID, &k.Account, &owner, &k.UUID, &k.Title, &created, &expires, &used)
			k.Created, k.Expires, k.LastUsed = gantry.FromMillis(created), gantry.FromMillis(expires), gantry.FromMillis(used)
			list, owners[k.Account] = append(list, k), owner
			return err
		}, `SELECT k.id, k.account_id, a.name, k.uuid, k.title, k.created_ms, k.expires_ms, k.last_used_ms FROM app_tokens k
			JOIN accounts a ON a.id = k.account_id WHERE k.id > ? ORDER BY k.id LIMIT ?`, after, n)
	})
	return list, owners, err
}

// A NamedAccount is what rows of the audit view are said to be about.
type NamedAccount struct {
	Name string
	Kind gantry.AccountKind
}

// AuditNames are the names, as they are now, of what rows of the audit view
// are about. What was deleted has none.
type AuditNames struct {
	Namespaces   map[gantry.AccountID]NamedAccount
	Repositories map[gantry.RepoID]gantry.RepoName // of pulls: the journal has the names of its time
}

// AuditNames reads the names of rows, in two statements at most. Those of the
// namespaces are read if they are wanted.
func (db *DB) AuditNames(ctx context.Context, rows []AuditRow, namespaces bool) (n AuditNames, err error) {
	n = AuditNames{map[gantry.AccountID]NamedAccount{}, map[gantry.RepoID]gantry.RepoName{}}
	var accounts []gantry.AccountID
	var repos []gantry.RepoID
	for _, r := range rows {
		if namespaces && r.Namespace != 0 {
			accounts = append(accounts, r.Namespace)
		}
		if r.Pull && r.Repo != 0 {
			repos = append(repos, r.Repo)
		}
	}
	err = db.read(ctx, "read names for the audit log", func(ctx context.Context, t *tx) error {
		if len(accounts) > 0 {
			in, args := list(accounts, nil)
			if err := t.each(ctx, func(r *sql.Rows) error {
				var id gantry.AccountID
				var a NamedAccount
				err := r.Scan(&id, &a.Name, &a.Kind)
				n.Namespaces[id] = a
				return err
			}, `SELECT id, name, kind FROM accounts WHERE deleted_ms = 0 AND id IN `+in, args...); err != nil {
				return err
			}
		}
		if len(repos) == 0 {
			return nil
		}
		in, args := list(repos, nil)
		return t.each(ctx, func(r *sql.Rows) error {
			var id gantry.RepoID
			var name gantry.RepoName
			err := r.Scan(&id, &name.Namespace, &name.Name)
			n.Repositories[id] = name
			return err
		}, `SELECT r.id, a.name, r.name FROM repositories r JOIN accounts a ON a.id = r.ns_id
			WHERE r.deleted_ms = 0 AND a.deleted_ms = 0 AND r.id IN `+in, args...)
	})
	return n, err
}

// A Message is shown to everybody.
type Message struct {
	UUID, Content       string
	Severity, MediaType string
	Created             time.Time
}

// MaxMessages bounds how many messages there are.
const MaxMessages = 100

// Messages lists the messages, the newest first.
func (db *DB) Messages(ctx context.Context) (list []Message, err error) {
	err = db.read(ctx, "list messages", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var m Message
			var created int64
			err := r.Scan(&m.UUID, &m.Content, &m.Severity, &m.MediaType, &created)
			m.Created = gantry.FromMillis(created)
			list = append(list, m)
			return err
		}, `SELECT uuid, content, severity, media_type, created_ms FROM messages ORDER BY id DESC LIMIT `+limit(2*MaxMessages))
	})
	return list, err
}

// CreateMessage shows a message from now on and returns its uuid. One that is
// too many is Conflict on "message". Quay has no kind of log for it.
func (db *DB) CreateMessage(ctx context.Context, m Message) (id string, err error) {
	err = db.update(ctx, "create message", func(ctx context.Context, t *tx) error {
		var n int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM messages`).Scan(&n); err != nil {
			return err
		}
		if n >= MaxMessages {
			return gantry.Errorf(gantry.Conflict, "message", "There are %d messages already; delete one first", n)
		}
		id = uuid.NewString()
		_, err := t.exec(ctx, `INSERT INTO messages (uuid, content, severity, media_type, created_ms) VALUES (?, ?, ?, ?, ?)`,
			id, m.Content, m.Severity, m.MediaType, t.now.UnixMilli())
		return err
	})
	return id, err
}

// DeleteMessage takes a message away; NotFound on "message".
func (db *DB) DeleteMessage(ctx context.Context, uuid string) error {
	return db.update(ctx, "delete message", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM messages WHERE uuid = ?`, uuid)
		if err == nil && n == 0 {
			return gantry.Errorf(gantry.NotFound, "message", "Not Found")
		}
		return err
	})
}
