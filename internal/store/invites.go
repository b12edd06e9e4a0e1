package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Invite asks a user, or whoever has its code, to join a team.
type Invite struct {
	ID           int64
	Organization gantry.AccountID
	OrgName      string
	Team         int64
	TeamName     string
	Account      gantry.AccountID // 0 = whoever has the code
	AccountName  string
	Email        string // where it went; "" = to the inbox alone
	Inviter      string
	Created      time.Time
}

const inviteColumns = `i.id, i.org_id, o.name, i.team_id, g.name, i.account_id, COALESCE(a.name, ''), i.email, i.inviter, i.created_ms
	FROM team_invites i JOIN accounts o ON o.id = i.org_id JOIN teams g ON g.id = i.team_id LEFT JOIN accounts a ON a.id = i.account_id`

func scanInvite(r interface{ Scan(...any) error }) (i Invite, err error) {
	var created int64
	err = r.Scan(&i.ID, &i.Organization, &i.OrgName, &i.Team, &i.TeamName, &i.Account, &i.AccountName, &i.Email, &i.Inviter, &created)
	i.Created = gantry.FromMillis(created)
	return i, err
}

// A NewInvite invites Who, or the address where Who is nil.
type NewInvite struct {
	Hash   string // of its code; see HashCode
	Who    *Account
	Email  string  // "" = no mail
	Notice Notice  // for the inbox of Who
	Mail   *NewJob // nil = none
}

// InviteKept is how long an invitation is good.
const InviteKept = 30 * 24 * time.Hour

const maxInvites = 1000 // of one team

var errNoInvite = gantry.Errorf(gantry.NotFound, "invite", "The invitation is not valid, was answered already, or is for somebody else")

// InviteToTeam invites somebody into a team; an invitation that there was is
// replaced. A user who is in any team of the organization is added at once:
// then added is true.
func (db *DB) InviteToTeam(ctx context.Context, g Team, n NewInvite, actor gantry.Actor) (added bool, err error) {
	n.Email = strings.ToLower(n.Email)
	err = db.update(ctx, "invite to team", func(ctx context.Context, t *tx) error {
		added = false
		if err := t.lockOrganization(ctx, g.Organization); err != nil {
			return err
		}
		if _, err := t.team(ctx, g.Organization, g.Name); err != nil {
			return err
		}
		payload := map[string]any{"team": g.Name, "inviter": actor.Name}
		var who gantry.AccountID
		if n.Who != nil {
			who, payload["member"] = n.Who.ID, n.Who.Name
			inside, err := t.exists(ctx, `SELECT 1 FROM team_members m JOIN teams g ON g.id = m.team_id WHERE g.org_id = ? AND m.account_id = ? LIMIT 1`, g.Organization, who)
			if err != nil {
				return err
			}
			if inside {
				added = true
				fresh, err := t.addTeamMember(ctx, g.ID, who)
				if err != nil || !fresh {
					return err
				}
				return t.event(ctx, Event{Kind: "org_add_team_member", Namespace: g.Organization, Actor: actor, Payload: map[string]any{"member": n.Who.Name, "team": g.Name}})
			}
		} else {
			payload["email"] = n.Email
		}
		if err := t.dropInvites(ctx, `team_id = ? AND created_ms <= ?`, g.ID, t.now.Add(-InviteKept).UnixMilli()); err != nil {
			return err
		}
		var have int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM team_invites WHERE team_id = ?`, g.ID).Scan(&have); err != nil {
			return err
		}
		if have >= maxInvites {
			return gantry.Errorf(gantry.Conflict, "invite", "A team can have %d open invitations", maxInvites)
		}
		if err := t.dropInvites(ctx, `team_id = ? AND account_id = ? AND email = ?`, g.ID, who, n.Email); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO team_invites (hash, org_id, team_id, account_id, email, inviter, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			n.Hash, g.Organization, g.ID, who, n.Email, cut(actor.Name, 255), t.now.UnixMilli()); err != nil {
			return err
		}
		if who != 0 {
			if _, err := t.addNotices(ctx, []int64{int64(who)}, inviteSource+n.Hash, n.Notice); err != nil {
				return err
			}
		}
		if n.Mail != nil {
			if _, err := t.enqueue(ctx, []NewJob{*n.Mail}); err != nil {
				return err
			}
		}
		return t.event(ctx, Event{Kind: "org_invite_team_member", Namespace: g.Organization, Actor: actor, Payload: payload})
	})
	return added, err
}

const inviteSource = "invite "

// dropInvites deletes invitations with their notices.
func (t *tx) dropInvites(ctx context.Context, where string, args ...any) error {
	type row struct {
		hash string
		who  int64
	}
	var gone []row
	if err := t.each(ctx, func(r *sql.Rows) error {
		var g row
		err := r.Scan(&g.hash, &g.who)
		gone = append(gone, g)
		return err
	}, `SELECT hash, account_id FROM team_invites WHERE `+where, args...); err != nil {
		return err
	}
	for _, g := range gone {
		if _, err := t.exec(ctx, `DELETE FROM team_invites WHERE hash = ?`, g.hash); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM notices WHERE account_id = ? AND source = ?`, g.who, inviteSource+g.hash); err != nil {
			return err
		}
	}
	return nil
}

// Invites lists the open invitations into a team, the oldest first.
func (db *DB) Invites(ctx context.Context, team int64) (all []Invite, err error) {
	err = db.read(ctx, "list invitations", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			i, err := scanInvite(r)
			all = append(all, i)
			return err
		}, `SELECT `+inviteColumns+` WHERE i.team_id = ? AND i.created_ms > ? ORDER BY i.id`, team, t.now.Add(-InviteKept).UnixMilli())
	})
	return all, err
}

// Invite finds an invitation that is good; NotFound on "invite".
func (db *DB) Invite(ctx context.Context, hash string) (i Invite, err error) {
	err = db.read(ctx, "find invitation", func(ctx context.Context, t *tx) error {
		i, err = t.invite(ctx, hash)
		return err
	})
	return i, err
}

func (t *tx) invite(ctx context.Context, hash string) (Invite, error) {
	i, err := scanInvite(t.queryRow(ctx, `SELECT `+inviteColumns+` WHERE i.hash = ? AND i.created_ms > ?`, hash, t.now.Add(-InviteKept).UnixMilli()))
	return i, notFound(err, errNoInvite)
}

// WithdrawInvite takes back the invitation of a user, or else of an address.
// NotFound on "invite".
func (db *DB) WithdrawInvite(ctx context.Context, g Team, who *Account, email string, actor gantry.Actor) error {
	email = strings.ToLower(email)
	return db.update(ctx, "withdraw invitation", func(ctx context.Context, t *tx) error {
		where, args, payload := `team_id = ? AND email = ?`, []any{g.ID, email}, map[string]any{"team": g.Name, "email": email}
		if who != nil {
			where, args, payload = `team_id = ? AND account_id = ?`, []any{g.ID, who.ID}, map[string]any{"team": g.Name, "member": who.Name}
		}
		there, err := t.exists(ctx, `SELECT 1 FROM team_invites WHERE `+where+` LIMIT 1`, args...)
		if err != nil || !there {
			return errors.Join(err, asError(errNoInvite, err == nil && !there))
		}
		if err := t.dropInvites(ctx, where, args...); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "org_delete_team_member_invite", Namespace: g.Organization, Actor: actor, Payload: payload})
	})
}

// AnswerInvite accepts or declines an invitation for who. NotFound on "invite".
func (db *DB) AnswerInvite(ctx context.Context, hash string, who Account, accept bool, actor gantry.Actor) (i Invite, err error) {
	err = db.update(ctx, "answer invitation", func(ctx context.Context, t *tx) error {
		i, err = t.answerInvite(ctx, hash, who, accept, actor)
		return err
	})
	return i, err
}

func (t *tx) answerInvite(ctx context.Context, hash string, who Account, accept bool, actor gantry.Actor) (Invite, error) {
	i, err := t.invite(ctx, hash)
	if err == nil && i.Account != 0 && i.Account != who.ID {
		err = errNoInvite
	}
	if err != nil {
		return i, err
	}
	if err := t.lockOrganization(ctx, i.Organization); err != nil {
		return i, err
	}
	n, err := t.exec(ctx, `DELETE FROM team_invites WHERE hash = ?`, hash)
	if err != nil || n == 0 { // somebody was faster
		return i, errors.Join(err, asError(errNoInvite, err == nil && n == 0))
	}
	if _, err := t.exec(ctx, `DELETE FROM notices WHERE account_id = ? AND source = ?`, who.ID, inviteSource+hash); err != nil {
		return i, err
	}
	kind := "org_team_member_invite_declined"
	if accept {
		kind = "org_team_member_invite_accepted"
		if _, err := t.addTeamMember(ctx, i.Team, who.ID); err != nil {
			return i, err
		}
	}
	return i, t.event(ctx, Event{Kind: kind, Namespace: i.Organization, Actor: actor,
		Payload: map[string]any{"member": who.Name, "team": i.TeamName, "inviter": i.Inviter}})
}
