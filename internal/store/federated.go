package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A FederatedLogin says that an account is that of somebody at a service
// outside: a directory or a login provider.
type FederatedLogin struct {
	Account  gantry.AccountID
	Service  string            // "ldap", "github", …
	Ident    string            // who it is there: unique, and never somebody else's
	Metadata map[string]string // what the user is shown, such as service_username; nil = none
	Created  time.Time
}

// The limits of a FederatedLogin, in bytes.
const (
	maxService = 64
	maxIdent   = 255
)

func (l *FederatedLogin) check() error {
	if l.Service == "" || len(l.Service) > maxService || l.Ident == "" || len(l.Ident) > maxIdent {
		return gantry.Errorf(gantry.Invalid, "login", "The service names the user in a way that cannot be stored: it must be 1 to %d bytes", maxIdent)
	}
	return nil
}

// FederatedAccount finds the account of somebody at a service; else it is
// NotFound on "account".
func (db *DB) FederatedAccount(ctx context.Context, service, ident string) (a Account, err error) {
	err = db.read(ctx, "find federated account", func(ctx context.Context, t *tx) error {
		a, err = t.federatedAccount(ctx, service, ident)
		return err
	})
	return a, err
}

func (t *tx) federatedAccount(ctx context.Context, service, ident string) (Account, error) {
	return t.accountWhere(ctx, `a.id = (SELECT f.account_id FROM federated_logins f WHERE f.service = ? AND f.ident = ?)`, service, ident)
}

// FederatedAccounts finds the accounts of many at a service, by their idents.
// Who has none is not in the answer.
func (db *DB) FederatedAccounts(ctx context.Context, service string, idents []string) (all map[string]Account, err error) {
	all = map[string]Account{}
	for len(idents) > 0 && err == nil {
		n := min(len(idents), 500)
		in, args := list(idents[:n], []any{service})
		idents = idents[n:]
		err = db.read(ctx, "find federated accounts", func(ctx context.Context, t *tx) error {
			return t.each(ctx, func(r *sql.Rows) error {
				var ident string
				a, err := scanAccount(r, &ident)
				all[ident] = a
				return err
			}, `SELECT `+accountColumns+`, f.ident FROM federated_logins f JOIN accounts a ON a.id = f.account_id`+accountOwner+`
				WHERE f.service = ? AND f.ident IN `+in+` AND a.deleted_ms = 0`, args...)
		})
	}
	return all, err
}

// FederatedLogins lists who an account is at services outside, at most 100.
func (db *DB) FederatedLogins(ctx context.Context, account gantry.AccountID) (logins []FederatedLogin, err error) {
	err = db.read(ctx, "list federated logins", func(ctx context.Context, t *tx) error {
		logins = nil
		return t.each(ctx, func(r *sql.Rows) error {
			l := FederatedLogin{Account: account}
			var metadata string
			var created int64
			if err := r.Scan(&l.Service, &l.Ident, &metadata, &created); err != nil {
				return err
			}
			l.Created = gantry.FromMillis(created)
			logins = append(logins, l)
			return json.Unmarshal([]byte(metadata), &logins[len(logins)-1].Metadata)
		}, `SELECT service, ident, metadata, created_ms FROM federated_logins WHERE account_id = ? ORDER BY service LIMIT 100`, account)
	})
	return logins, err
}

// CreateFederatedUser makes a user of n for somebody at a service and ties the
// two together, in one step. Of names, the first one that is free is taken;
// when none is, it is Conflict on "account". Who has an account already is
// given that one: made tells which. An e-mail address that is taken is
// Conflict on "email".
func (db *DB) CreateFederatedUser(ctx context.Context, n NewAccount, names []string, l FederatedLogin, actor gantry.Actor) (a Account, made bool, err error) {
	if err := l.check(); err != nil {
		return a, false, err
	}
	err = db.update(ctx, "create federated user", func(ctx context.Context, t *tx) error {
		made = false
		a, err = t.federatedAccount(ctx, l.Service, l.Ident)
		if !gantry.Is(err, gantry.NotFound) {
			return err
		}
		for _, name := range names {
			n.Name = name
			if a, err = t.createAccount(ctx, gantry.User, n, 0); !isTaken(err) {
				break
			}
		}
		if err != nil {
			return err
		}
		l.Account = a.ID
		if err := t.addLogin(ctx, l); err != nil {
			return err
		}
		made = true
		by := actor
		if by.Account == 0 {
			by.Account, by.Name, by.Kind = a.ID, a.Name, gantry.ActorUser
		}
		return t.event(ctx, Event{Kind: "user_create", Namespace: a.ID, Actor: by,
			Payload: map[string]any{"username": a.Name, "email": a.Email, "service": l.Service}})
	})
	return a, made, err
}

// isTaken reports whether err says that the name of a new account is taken.
func isTaken(err error) bool {
	e, ok := errors.AsType[*gantry.Error](err)
	return ok && e.Code == gantry.Conflict && e.Object == "account"
}

// addLogin ties an account to somebody at a service. When another writer did
// the same meanwhile, the transaction runs again.
func (t *tx) addLogin(ctx context.Context, l FederatedLogin) error {
	if l.Metadata == nil {
		l.Metadata = map[string]string{}
	}
	metadata, err := json.Marshal(l.Metadata)
	if err != nil {
		return err
	}
	id, err := t.insertIgnore(ctx, `INSERT INTO federated_logins (account_id, service, ident, metadata, created_ms) VALUES (?, ?, ?, ?, ?)`,
		l.Account, l.Service, l.Ident, string(metadata), t.now.UnixMilli())
	if err == nil && id == 0 {
		return errRaced
	}
	return err
}

// AttachLogin ties an account to somebody at a service. Who has an account
// already is Conflict on "login", and so is an account that is tied to
// somebody else there; doing it again changes nothing.
func (db *DB) AttachLogin(ctx context.Context, l FederatedLogin, actor gantry.Actor) error {
	if err := l.check(); err != nil {
		return err
	}
	return db.update(ctx, "attach login", func(ctx context.Context, t *tx) error {
		a, err := t.accountWhere(ctx, "a.id = ? AND a.kind = 'user'", l.Account)
		if err != nil {
			return err
		}
		other, err := t.federatedAccount(ctx, l.Service, l.Ident)
		switch {
		case err == nil && other.ID == l.Account:
			return nil
		case err == nil:
			return gantry.Errorf(gantry.Conflict, "login", "This login at %s belongs to another account here", l.Service)
		case !gantry.Is(err, gantry.NotFound):
			return err
		}
		if there, err := t.exists(ctx, `SELECT 1 FROM federated_logins WHERE service = ? AND account_id = ?`, l.Service, l.Account); err != nil || there {
			return errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "login", "The account has another login at %s: detach that one first", l.Service), there))
		}
		if err := t.addLogin(ctx, l); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "user_change_metadata", Namespace: a.ID, Actor: actor,
			Payload: map[string]any{"username": a.Name, "attached": l.Service}})
	})
}

// DetachLogin unties an account from a service, with the rank that it gave;
// NotFound on "login" where they are not tied.
func (db *DB) DetachLogin(ctx context.Context, account gantry.AccountID, service string, actor gantry.Actor) error {
	return db.update(ctx, "detach login", func(ctx context.Context, t *tx) error {
		a, err := t.accountWhere(ctx, "a.id = ?", account)
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, `DELETE FROM federated_logins WHERE service = ? AND account_id = ?`, service, account)
		if err != nil || n == 0 {
			return errors.Join(err, asError(errNoAccount("login"), err == nil && n == 0))
		}
		if _, err := t.exec(ctx, `DELETE FROM provider_ranks WHERE service = ? AND account_id = ?`, service, account); err != nil {
			return err
		}
		t.who = true
		return t.event(ctx, Event{Kind: "user_change_metadata", Namespace: a.ID, Actor: actor,
			Payload: map[string]any{"username": a.Name, "detached": service}})
	})
}

// A ProviderRank is what a service outside says that an account may; its bits
// are the caller's.
type ProviderRank struct {
	Account gantry.AccountID
	Service string
	Bits    int
}

// maxRanks bounds the ranks that one service gives.
const maxRanks = 100_000

// ProviderRanks lists all ranks of some services, at most 100,000.
func (db *DB) ProviderRanks(ctx context.Context, services []string) (ranks []ProviderRank, err error) {
	if len(services) == 0 {
		return nil, nil
	}
	in, args := list(services, nil)
	err = db.read(ctx, "list ranks", func(ctx context.Context, t *tx) error {
		ranks = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var p ProviderRank
			err := r.Scan(&p.Account, &p.Service, &p.Bits)
			ranks = append(ranks, p)
			return err
		}, `SELECT account_id, service, bits FROM provider_ranks WHERE service IN `+in+` ORDER BY service, account_id LIMIT `+limit(maxRanks), args...)
	})
	return ranks, err
}

// SetProviderRanks puts the ranks that a service gives in place of those it
// gave: of the accounts in bits, or, with all, of every account. 0 is none.
func (db *DB) SetProviderRanks(ctx context.Context, service string, bits map[gantry.AccountID]int, all bool) error {
	return db.update(ctx, "set ranks", func(ctx context.Context, t *tx) error {
		old := map[gantry.AccountID]int{}
		where, args := ` WHERE service = ?`, []any{service}
		if !all {
			var ids []gantry.AccountID
			for id := range bits {
				ids = append(ids, id)
			}
			in, more := list(ids, args)
			where, args = where+` AND account_id IN `+in, more
		}
		err := t.each(ctx, func(r *sql.Rows) error {
			var id gantry.AccountID
			var b int
			err := r.Scan(&id, &b)
			old[id] = b
			return err
		}, `SELECT account_id, bits FROM provider_ranks`+where, args...)
		if err != nil {
			return err
		}
		for id, b := range old {
			if bits[id] == 0 {
				if err := t.rankChanged(ctx, id, service, b, 0, `DELETE FROM provider_ranks WHERE account_id = ? AND service = ?`, id, service); err != nil {
					return err
				}
			}
		}
		for id, b := range bits {
			if b == 0 || b == old[id] {
				continue
			}
			if err := t.rankChanged(ctx, id, service, old[id], b, `INSERT INTO provider_ranks (account_id, service, bits) VALUES (?, ?, ?)`+
				t.d.upsert("account_id, service", "bits = "+t.d.fresh("bits")), id, service, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// rankChanged runs the statement that changes a rank, and tells of it.
func (t *tx) rankChanged(ctx context.Context, id gantry.AccountID, service string, from, to int, q string, args ...any) error {
	if _, err := t.exec(ctx, q, args...); err != nil {
		return err
	}
	t.who = true
	return t.event(ctx, Event{Kind: "user_change_metadata", Namespace: id,
		Payload: map[string]any{"service": service, "rank": strconv.Itoa(to), "old_rank": strconv.Itoa(from)}})
}

// A TeamSync ties a team to a group of a service.
type TeamSync struct {
	Team        Team
	Service     string
	Config      map[string]string // which group, in the words of the service
	Updated     time.Time         // of the last successful comparison; zero = never
	Checked     time.Time         // of the last try
	Transaction string            // changes with every change of the row
}

const syncColumns = `, y.service, y.config, y.updated_ms, y.checked_ms, y.transaction_id`

func scanSync(row interface{ Scan(...any) error }) (y TeamSync, err error) {
	var config string
	var updated, checked int64
	g := &y.Team
	if err := row.Scan(&g.ID, &g.Organization, &g.Name, &g.Role, &g.Description, &g.Members, &g.Repositories, &g.Synced,
		&y.Service, &config, &updated, &checked, &y.Transaction); err != nil {
		return y, err
	}
	y.Updated, y.Checked = gantry.FromMillis(updated), gantry.FromMillis(checked)
	return y, json.Unmarshal([]byte(config), &y.Config)
}

// TeamSync finds what a team follows; NotFound on "sync" if it follows
// nothing.
func (db *DB) TeamSync(ctx context.Context, team int64) (y TeamSync, err error) {
	err = db.read(ctx, "find team sync", func(ctx context.Context, t *tx) error {
		y, err = scanSync(t.queryRow(ctx, `SELECT `+teamColumns+syncColumns+` FROM team_syncs y JOIN teams g ON g.id = y.team_id WHERE y.team_id = ?`, team))
		return notFound(err, errNoAccount("sync"))
	})
	return y, err
}

// StaleTeamSyncs lists what follows a service and was not looked at since a
// time, the oldest first.
func (db *DB) StaleTeamSyncs(ctx context.Context, service string, since time.Time, n int) (syncs []TeamSync, err error) {
	err = db.read(ctx, "list stale team syncs", func(ctx context.Context, t *tx) error {
		syncs = nil
		return t.each(ctx, func(r *sql.Rows) error {
			y, err := scanSync(r)
			syncs = append(syncs, y)
			return err
		}, `SELECT `+teamColumns+syncColumns+` FROM team_syncs y JOIN teams g ON g.id = y.team_id
			WHERE y.service = ? AND y.checked_ms < ? ORDER BY y.checked_ms, y.team_id LIMIT ?`, service, since.UnixMilli(), n)
	})
	return syncs, err
}

// TeamSyncs lists what follows a service, at most 10,000.
func (db *DB) TeamSyncs(ctx context.Context, service string) ([]TeamSync, error) {
	return db.StaleTeamSyncs(ctx, service, time.UnixMilli(1<<52), 10_000)
}

// SetTeamSync ties a team to a group. A team that follows something already
// is Conflict on "sync".
func (db *DB) SetTeamSync(ctx context.Context, g Team, service string, config map[string]string, actor gantry.Actor) error {
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return db.update(ctx, "set team sync", func(ctx context.Context, t *tx) error {
		if err := t.lockOrganization(ctx, g.Organization); err != nil {
			return err
		}
		if _, err := t.team(ctx, g.Organization, g.Name); err != nil {
			return err
		}
		there, err := t.exists(ctx, `SELECT 1 FROM team_syncs WHERE team_id = ?`, g.ID)
		if err != nil || there {
			return errors.Join(err, asError(gantry.Errorf(gantry.Conflict, "sync", "The team is synchronized with a group already"), there))
		}
		if _, err := t.exec(ctx, `INSERT INTO team_syncs (team_id, service, config, updated_ms, checked_ms, transaction_id) VALUES (?, ?, ?, 0, 0, ?)`,
			g.ID, service, string(text), uuid.NewString()); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "enable_team_sync", Namespace: g.Organization, Actor: actor,
			Payload: map[string]any{"team": g.Name, "service": service, "config": config}})
	})
}

// RemoveTeamSync ends that a team follows a group; its members stay. NotFound
// on "sync".
func (db *DB) RemoveTeamSync(ctx context.Context, g Team, actor gantry.Actor) error {
	return db.update(ctx, "remove team sync", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM team_syncs WHERE team_id = ?`, g.ID)
		if err != nil || n == 0 {
			return errors.Join(err, asError(errNoAccount("sync"), err == nil && n == 0))
		}
		return t.event(ctx, Event{Kind: "disable_team_sync", Namespace: g.Organization, Actor: actor, Payload: map[string]any{"team": g.Name}})
	})
}

// TeamSyncFailed notes that a group could not be read; the team stays as it
// is.
func (db *DB) TeamSyncFailed(ctx context.Context, y TeamSync) error {
	return db.update(ctx, "note failed team sync", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE team_syncs SET checked_ms = ? WHERE team_id = ? AND transaction_id = ?`, t.now.UnixMilli(), y.Team.ID, y.Transaction)
		return err
	})
}

// ApplyTeamSync makes members, users who are tied to the service, those of a
// team. Robots stay, and users who are not tied to it. done is false, and
// nothing is changed, when somebody else changed the row since y was read.
func (db *DB) ApplyTeamSync(ctx context.Context, y TeamSync, members []gantry.AccountID) (done bool, err error) {
	err = db.update(ctx, "apply team sync", func(ctx context.Context, t *tx) error {
		done = false
		err := t.lockOrganization(ctx, y.Team.Organization)
		if gantry.Is(err, gantry.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now := t.now.UnixMilli()
		n, err := t.exec(ctx, `UPDATE team_syncs SET transaction_id = ?, updated_ms = ?, checked_ms = ? WHERE team_id = ? AND transaction_id = ?`,
			uuid.NewString(), now, now, y.Team.ID, y.Transaction)
		if err != nil || n == 0 {
			return err
		}
		done = true
		has := map[gantry.AccountID]bool{} // a member; true: one that follows the group
		err = t.each(ctx, func(r *sql.Rows) error {
			var id gantry.AccountID
			var follows int
			err := r.Scan(&id, &follows)
			has[id] = follows == 1
			return err
		}, `SELECT m.account_id, CASE WHEN f.id IS NOT NULL AND a.kind = 'user' THEN 1 ELSE 0 END FROM team_members m JOIN accounts a ON a.id = m.account_id
			LEFT JOIN federated_logins f ON f.account_id = m.account_id AND f.service = ? WHERE m.team_id = ?`, y.Service, y.Team.ID)
		if err != nil {
			return err
		}
		want := map[gantry.AccountID]bool{}
		for _, id := range members {
			want[id] = true
			if _, there := has[id]; there {
				continue
			}
			if err := t.syncMember(ctx, y, id, true); err != nil {
				return err
			}
			has[id] = true
		}
		for id, follows := range has {
			if !follows || want[id] {
				continue
			}
			if err := t.syncMember(ctx, y, id, false); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// syncMember puts a user into a team that follows a group, or takes him out.
func (t *tx) syncMember(ctx context.Context, y TeamSync, id gantry.AccountID, add bool) error {
	a, err := t.accountWhere(ctx, "a.id = ? AND a.kind = 'user'", id)
	if gantry.Is(err, gantry.NotFound) {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	kind := "org_add_team_member"
	if add {
		_, err = t.exec(ctx, `INSERT INTO team_members (team_id, account_id) VALUES (?, ?)`+t.d.ignore("team_id"), y.Team.ID, id)
	} else {
		kind = "org_remove_team_member"
		if _, err = t.exec(ctx, `DELETE FROM team_members WHERE team_id = ? AND account_id = ?`, y.Team.ID, id); err == nil {
			err = t.touchTeam(ctx, y.Team.ID)
		}
	}
	if err != nil {
		return err
	}
	t.who, t.quiet = true, true // the group was left a while ago anyway
	return t.event(ctx, Event{Kind: kind, Namespace: y.Team.Organization,
		Payload: map[string]any{"member": a.Name, "team": y.Team.Name, "service": y.Service}})
}

// SyncMemberships makes a user a member of the teams that follow a group of
// the service which wants takes, and of no other that follows one of it. It
// returns how many memberships changed.
func (db *DB) SyncMemberships(ctx context.Context, user gantry.AccountID, service string, wants func(config map[string]string) bool) (changed int, err error) {
	syncs, err := db.TeamSyncs(ctx, service)
	if err != nil || len(syncs) == 0 {
		return 0, err
	}
	member := map[int64]bool{}
	err = db.read(ctx, "list memberships", func(ctx context.Context, t *tx) error {
		clear(member)
		return t.each(ctx, func(r *sql.Rows) error {
			var team int64
			err := r.Scan(&team)
			member[team] = true
			return err
		}, `SELECT m.team_id FROM team_members m JOIN team_syncs y ON y.team_id = m.team_id WHERE m.account_id = ? AND y.service = ?`, user, service)
	})
	if err != nil {
		return 0, err
	}
	for _, y := range syncs {
		add := wants(y.Config)
		if add == member[y.Team.ID] {
			continue
		}
		err := db.update(ctx, "sync membership", func(ctx context.Context, t *tx) error {
			if err := t.lockOrganization(ctx, y.Team.Organization); err != nil {
				return err
			}
			// The team may have ceased to follow the group meanwhile.
			n, err := t.exec(ctx, `UPDATE team_syncs SET updated_ms = ?, checked_ms = ? WHERE team_id = ? AND service = ?`,
				t.now.UnixMilli(), t.now.UnixMilli(), y.Team.ID, service)
			if err != nil || n == 0 {
				return err
			}
			return t.syncMember(ctx, y, user, add)
		})
		if gantry.Is(err, gantry.NotFound) {
			continue // the organization is gone
		}
		if err != nil {
			return changed, err
		}
		changed++
	}
	return changed, nil
}
