package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

const quayAccountColumns = "id, kind, name, uuid, email, password_hash, secret, owner_id, description, enabled, verified, superuser, failed_logins, failed_login_ms, retention_s, profile, created_ms, last_used_ms, deleted_ms"

// uuidOr is the UUID that a row has, or a new one.
func uuidOr(s string) string {
	if s == "" || len(s) > 36 {
		return uuid.NewString()
	}
	return s
}

// open opens what the Quay sealed; ok is false for what cannot be opened. The
// first that cannot is an error: the key is wrong then.
func (i *quayImport) open(what, whose, sealed string) (plain string, ok bool, err error) {
	if sealed == "" {
		return "", true, nil
	}
	plain, err = i.o.Secrets.Open(sealed)
	switch {
	case err == nil:
		i.opened++
		return plain, true, nil
	case i.opened == 0:
		return "", false, gantry.Errorf(gantry.Invalid, "DATABASE_SECRET_KEY", "the %s of %s cannot be opened with the Quay's DATABASE_SECRET_KEY: take the key from the config.yaml of the Quay, by --from-config (%v)", what, whose, err)
	}
	i.leave(what, "sealed with another DATABASE_SECRET_KEY, or damaged", whose)
	return "", false, nil
}

// quayUsers are the rows of users, organizations and robots that are not about
// to be deleted.
func (q *quaySource) quayUsers(robots bool) string {
	cond := "NOT u.robot"
	if robots {
		cond = "u.robot"
	}
	if q.columns["deletednamespace"] != nil {
		cond += " AND NOT EXISTS (SELECT 1 FROM deletednamespace d WHERE d.namespace_id = u.id)"
	}
	return cond
}

func (i *quayImport) readAccounts(ctx context.Context) error {
	rows := i.table("accounts", strings.Split(quayAccountColumns, ", ")...)
	users, orgs, contact := 0, 0, "NULL"
	if i.from.has("organizationcontactemail", "contact_email") {
		contact = "(SELECT MAX(c.contact_email) FROM organizationcontactemail c WHERE c.organization_id = u.id)"
	}
	err := i.from.each(ctx, `SELECT u.id, u.uuid, u.username, u.password_hash, u.email, u.verified, u.organization, u.enabled, u.removed_tag_expiration_s,
			`+i.from.or("user", "u", "given_name", "NULL")+`, `+i.from.or("user", "u", "family_name", "NULL")+`, `+i.from.or("user", "u", "company", "NULL")+`,
			`+i.from.or("user", "u", "location", "NULL")+`, u.invoice_email, u.invoice_email_address, `+i.from.or("user", "u", "creation_date", "NULL")+`,
			`+i.from.or("user", "u", "last_accessed", "NULL")+`, `+contact+`
		FROM [user] u WHERE `+i.from.quayUsers(false)+` ORDER BY u.id`, func(r *quayRow) error {
		id, name, kind := r.int(0), r.text(2), gantry.User
		if r.flag(6) {
			kind = gantry.Organization
			orgs++
		} else {
			users++
		}
		i.accounts[id], i.names[name] = quayAccount{kind, name}, id
		profile, err := json.Marshal(Profile{GivenName: r.text(9), FamilyName: r.text(10), Company: r.text(11), Location: r.text(12),
			InvoiceEmail: r.flag(13), InvoiceAddress: r.text(14), ContactEmail: r.text(17)})
		if err != nil {
			return err
		}
		return rows.add(ctx, id, string(kind), name, uuidOr(r.text(1)), r.text(4), r.text(3), "", int64(0), "", flag(r.flag(7)), flag(r.flag(5)), 0,
			int64(0), int64(0), r.int(8), string(profile), r.millis(15), r.millis(16), int64(0))
	})
	i.counted("users", users)
	i.counted("organizations", orgs)
	if err != nil {
		return err
	}
	return rows.flush(ctx)
}

func (i *quayImport) readRobots(ctx context.Context) error {
	rows := i.table("accounts", strings.Split(quayAccountColumns, ", ")...)
	token, about, metadata, joins := "NULL", "NULL", "NULL", ""
	if i.from.has("robotaccounttoken", "token") {
		token, joins = "t.token", " LEFT JOIN robotaccounttoken t ON t.robot_account_id = u.id" //nolint:gosec // a column, not a secret
	}
	if i.from.has("robotaccountmetadata", "description") {
		about, metadata = "m.description", "m.unstructured_json"
		joins += " LEFT JOIN robotaccountmetadata m ON m.robot_account_id = u.id"
	}
	n := 0
	err := i.from.each(ctx, `SELECT u.id, u.uuid, u.username, u.enabled, `+token+`, `+about+`, `+metadata+`, `+i.from.or("user", "u", "creation_date", "NULL")+`,
			`+i.from.or("user", "u", "last_accessed", "NULL")+`
		FROM [user] u`+joins+` WHERE `+i.from.quayUsers(true)+` ORDER BY u.id`, func(r *quayRow) error {
		id, name := r.int(0), r.text(2)
		ns, _, _ := strings.Cut(name, "+")
		owner, ok := i.names[ns]
		if !ok {
			i.leave("robots", "their namespace is gone", name)
			return nil
		}
		uid := uuidOr(r.text(1))
		secret, err := i.robotSecret(uid, name, r.text(4))
		if err != nil {
			return err
		}
		i.accounts[id], i.names[name] = quayAccount{gantry.Robot, name}, id
		n++
		profile := r.json(6)
		if object := map[string]json.RawMessage(nil); json.Unmarshal(profile, &object) != nil {
			profile = json.RawMessage("{}")
		}
		return rows.add(ctx, id, string(gantry.Robot), name, uid, "", "", secret, owner, r.text(5), flag(r.flag(3)), 1, 0,
			int64(0), int64(0), int64(-1), string(profile), r.millis(7), r.millis(8), int64(0))
	})
	i.counted("robots", n)
	if err != nil {
		return err
	}
	return rows.flush(ctx)
}

// robotSecret is a robot's token, sealed for our row. One that cannot be opened
// is made anew.
func (i *quayImport) robotSecret(uid, name, sealed string) (string, error) {
	token, ok, err := i.open("robot tokens", name, sealed)
	if err != nil {
		return "", err
	}
	if token == "" {
		token = (rand.Text() + rand.Text() + rand.Text())[:64]
		if ok {
			i.leave("robot tokens", "the Quay has none; the robot has a new one", name)
		}
	}
	return i.o.Secrets.Robot(uid, token)
}

type robotFederation struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// federations are the other identities that may act as a robot.
func federations(metadata json.RawMessage) (list []robotFederation) {
	var m struct {
		List []robotFederation `json:"federation_config"`
	}
	if err := json.Unmarshal(metadata, &m); err != nil {
		return nil // it says nothing that could be read
	}
	for _, f := range m.List {
		if f.Issuer != "" && f.Subject != "" && len(f.Issuer) < 256 && len(f.Subject) < 256 && !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

func (i *quayImport) readLogins(ctx context.Context) error {
	if i.from.columns["federatedlogin"] == nil {
		return nil
	}
	rows := i.table("federated_logins", "account_id", "service", "ident", "metadata", "created_ms")
	robots := i.table("robot_federations", "account_id", "issuer", "subject")
	err := i.from.each(ctx, `SELECT f.user_id, s.name, f.service_ident, f.metadata_json FROM federatedlogin f JOIN loginservice s ON s.id = f.service_id ORDER BY f.id`, func(r *quayRow) error {
		a, ok := i.accounts[r.int(0)]
		if !ok {
			return nil
		}
		metadata := r.json(3)
		if r.text(1) == "quayrobot" {
			if a.kind != gantry.Robot {
				return nil
			}
			for _, f := range federations(metadata) {
				if err := robots.add(ctx, r.int(0), f.Issuer, f.Subject); err != nil {
					return err
				}
			}
			return nil
		}
		if !json.Valid(metadata) {
			metadata = json.RawMessage("{}")
		}
		return rows.add(ctx, r.int(0), r.text(1), r.text(2), string(metadata), i.from.now.UnixMilli())
	})
	if err != nil {
		return err
	}
	err = flushAll(ctx, rows, robots)
	i.counted("logins by other services", rows.done)
	i.counted("federations of robots", robots.done)
	return err
}

func (i *quayImport) readTeams(ctx context.Context) error {
	rows, members := i.table("teams", "id", "org_id", "name", "role", "description"), i.table("team_members", "team_id", "account_id")
	err := i.from.each(ctx, `SELECT t.id, t.organization_id, t.name, x.name, t.description FROM team t JOIN teamrole x ON x.id = t.role_id ORDER BY t.id`, func(r *quayRow) error {
		if i.accounts[r.int(1)].kind != gantry.Organization {
			return nil
		}
		i.teams[r.int(0)] = r.text(2)
		return rows.add(ctx, r.int(0), r.int(1), r.text(2), r.text(3), r.text(4))
	})
	if err != nil {
		return err
	}
	err = i.from.each(ctx, `SELECT DISTINCT team_id, user_id FROM teammember`, func(r *quayRow) error {
		if _, ok := i.accounts[r.int(1)]; !ok || i.teams[r.int(0)] == "" {
			return nil
		}
		return members.add(ctx, r.int(0), r.int(1))
	})
	if err != nil {
		return err
	}
	syncs := i.table("team_syncs", "team_id", "service", "config", "updated_ms", "checked_ms", "transaction_id")
	if i.from.columns["teamsync"] != nil {
		err = i.from.each(ctx, `SELECT s.team_id, l.name, s.config FROM teamsync s JOIN loginservice l ON l.id = s.service_id ORDER BY s.id`, func(r *quayRow) error {
			config := r.json(2)
			if i.teams[r.int(0)] == "" || !json.Valid(config) {
				return nil
			}
			return syncs.add(ctx, r.int(0), r.text(1), string(config), int64(0), int64(0), uuid.NewString())
		})
		if err != nil {
			return err
		}
	}
	if err := i.readInvites(ctx); err != nil {
		return err
	}
	err = flushAll(ctx, rows, members, syncs)
	i.counted("teams", rows.done)
	i.counted("members of teams", members.done)
	return err
}

// readInvites brings over the invitations to teams: the codes in their letters
// hold.
func (i *quayImport) readInvites(ctx context.Context) error {
	if i.from.columns["teammemberinvite"] == nil {
		return nil
	}
	rows := i.table("team_invites", "hash", "org_id", "team_id", "account_id", "email", "inviter", "created_ms")
	type who struct {
		team, account int64
		email         string
	}
	there := map[who]bool{}
	err := i.from.each(ctx, `SELECT v.team_id, t.organization_id, v.user_id, v.email, v.inviter_id, v.invite_token FROM teammemberinvite v JOIN team t ON t.id = v.team_id ORDER BY v.id`, func(r *quayRow) error {
		w := who{r.int(0), r.int(2), r.text(3)}
		_, known := i.accounts[w.account]
		if i.teams[w.team] == "" || there[w] || !known && w.account != 0 {
			return nil
		}
		there[w] = true
		return rows.add(ctx, HashCode(r.text(5)), r.int(1), w.team, w.account, w.email, i.accounts[r.int(4)].name, i.from.now.UnixMilli())
	})
	if err != nil {
		return err
	}
	return rows.flush(ctx)
}

func (i *quayImport) readRepositories(ctx context.Context) error {
	rows := i.table("repositories", "id", "ns_id", "name", "visibility", "state", "version", "description", "created_ms", "deleted_ms")
	words := i.table("repository_words", "repo_id", "word", "ns_id", "visibility")
	stars := i.table("stars", "account_id", "repo_id", "created_ms")
	kind, join := "'image'", ""
	if i.from.has("repository", "kind_id") {
		kind, join = "k.name", " JOIN repositorykind k ON k.id = r.kind_id"
	}
	now := i.from.now.UnixMilli()
	err := i.from.each(ctx, `SELECT r.id, r.namespace_user_id, r.name, v.name, r.description, `+kind+`, `+i.from.or("repository", "r", "state", "0")+`
		FROM repository r JOIN visibility v ON v.id = r.visibility_id`+join+` ORDER BY r.id`, func(r *quayRow) error {
		id, ns, state := r.int(0), r.int(1), gantry.RepoState(r.int(6)) //nolint:gosec // it is looked at below
		owner, ok := i.accounts[ns]
		if !ok || state == gantry.MarkedForDeletion {
			return nil // it is about to be deleted
		}
		full := owner.name + "/" + r.text(2)
		if r.text(5) != "image" {
			i.leave("repositories", "they hold applications of the App Registry, which Quay has given up", full)
			return nil
		}
		visibility := gantry.Private
		if r.text(3) == string(gantry.Public) {
			visibility = gantry.Public
		}
		switch state {
		case gantry.Normal, gantry.Mirror:
		case gantry.ReadOnlyState:
			i.frozen = append(i.frozen, id)
			state = gantry.Normal // until all of it is here
		default:
			if state == gantry.OrgMirror {
				i.leave("mirrors of organizations", "their repositories are ordinary ones now; set the mirror up anew", full)
			}
			state = gantry.Normal
		}
		i.repos[id] = quayRepo{ns, full, visibility}
		for _, w := range searchWords(r.text(2)) {
			if err := words.add(ctx, id, w, ns, string(visibility)); err != nil {
				return err
			}
		}
		return rows.add(ctx, id, ns, r.text(2), string(visibility), int64(state), int64(1), r.text(4), now, int64(0))
	})
	if err != nil {
		return err
	}
	if i.from.columns["star"] != nil {
		err = i.from.each(ctx, `SELECT user_id, repository_id, MIN(created) FROM star GROUP BY user_id, repository_id`, func(r *quayRow) error {
			if _, ok := i.accounts[r.int(0)]; !ok || !i.has(r.int(1)) {
				return nil
			}
			return stars.add(ctx, r.int(0), r.int(1), r.millis(2))
		})
		if err != nil {
			return err
		}
	}
	err = flushAll(ctx, rows, words, stars)
	i.counted("repositories", rows.done)
	i.counted("stars", stars.done)
	return err
}

// has reports whether the repository comes over.
func (i *quayImport) has(repo int64) bool {
	_, ok := i.repos[repo]
	return ok
}

var quayRoles = map[string]gantry.Role{"read": gantry.Read, "write": gantry.Write, "admin": gantry.Admin}

func (i *quayImport) readPermissions(ctx context.Context) error {
	rows := i.table("permissions", "repo_id", "account_id", "team_id", "role")
	err := i.from.each(ctx, `SELECT p.repository_id, p.user_id, p.team_id, r.name FROM repositorypermission p JOIN role r ON r.id = p.role_id ORDER BY p.id`, func(r *quayRow) error {
		role, ok := quayRoles[r.text(3)]
		if !ok || !i.has(r.int(0)) {
			return nil
		}
		if r.null(2) {
			if _, ok := i.accounts[r.int(1)]; !ok {
				return nil
			}
			return rows.add(ctx, r.int(0), r.int(1), nil, int64(role))
		}
		if i.teams[r.int(2)] == "" {
			return nil
		}
		return rows.add(ctx, r.int(0), nil, r.int(2), int64(role))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("permissions", rows.done)
	return err
}

func (i *quayImport) readPrototypes(ctx context.Context) error {
	rows := i.table("prototypes", "org_id", "uuid", "activating_id", "account_id", "team_id", "role")
	err := i.from.each(ctx, `SELECT p.org_id, p.uuid, p.activating_user_id, p.delegate_user_id, p.delegate_team_id, r.name
		FROM permissionprototype p JOIN role r ON r.id = p.role_id ORDER BY p.id`, func(r *quayRow) error {
		role, ok := quayRoles[r.text(5)]
		_, user := i.accounts[r.int(3)]
		_, by := i.accounts[r.int(2)]
		if !ok || i.accounts[r.int(0)].kind != gantry.Organization || !r.null(2) && !by || !user && i.teams[r.int(4)] == "" {
			return nil
		}
		account, team := r.int(3), r.int(4)
		if user {
			team = 0
		} else {
			account = 0
		}
		return rows.add(ctx, r.int(0), uuidOr(r.text(1)), r.int(2), account, team, int64(role))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("default permissions", rows.done)
	return err
}

// readTokens brings the application tokens of users over.
func (i *quayImport) readTokens(ctx context.Context) error {
	if i.from.columns["appspecificauthtoken"] == nil {
		return nil
	}
	rows := i.table("app_tokens", "account_id", "uuid", "title", "name", "secret", "created_ms", "expires_ms", "last_used_ms")
	err := i.from.each(ctx, `SELECT a.user_id, a.uuid, a.title, a.token_name, a.token_secret, a.created, a.expiration, a.last_accessed
		FROM appspecificauthtoken a ORDER BY a.id`, func(r *quayRow) error {
		owner, ok := i.accounts[r.int(0)]
		if end := r.millis(6); !ok || end != 0 && end <= i.from.now.UnixMilli() {
			return nil
		}
		secret, ok, err := i.open("application tokens", fmt.Sprintf("%q of %s", r.text(2), owner.name), r.text(4))
		if err != nil || !ok {
			return err
		}
		id := uuidOr(r.text(1))
		sealed, err := i.o.Secrets.App(id, secret)
		if err != nil {
			return err
		}
		return rows.add(ctx, r.int(0), id, r.text(2), r.text(3), sealed, r.millis(5), r.millis(6), r.millis(7))
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("application tokens", rows.done)
	return err
}

// readApplications brings OAuth applications over, with their tokens.
func (i *quayImport) readApplications(ctx context.Context) error {
	apps := i.table("oauth_applications", "id", "org_id", "client_id", "secret", "name", "description", "application_uri", "redirect_uri", "avatar_email", "created_ms")
	tokens := i.table("oauth_tokens", "account_id", "application_id", "uuid", "name", "secret_hash", "scope", "created_ms", "expires_ms", "last_used_ms")
	ids, there := map[int64]bool{}, map[string]bool{}
	now := i.from.now.UnixMilli()
	err := i.from.each(ctx, `SELECT a.id, a.organization_id, a.client_id, a.secure_client_secret, a.name, a.description, a.application_uri, a.redirect_uri, a.gravatar_email
		FROM oauthapplication a ORDER BY a.id`, func(r *quayRow) error {
		org, ok := i.accounts[r.int(1)]
		if !ok {
			return nil
		}
		name := org.name + ": " + r.text(4)
		if there[r.text(2)] {
			i.leave("OAuth applications", "two have the same client id", name)
			return nil
		}
		secret, ok, err := i.open("secrets of OAuth applications", name, r.text(3))
		if err != nil {
			return err
		}
		if secret == "" {
			secret = (rand.Text() + rand.Text())[:40]
			if ok {
				i.leave("secrets of OAuth applications", "the Quay has none; the application has a new one", name)
			}
		}
		sealed, err := i.o.Secrets.Application(r.text(2), secret)
		if err != nil {
			return err
		}
		ids[r.int(0)], there[r.text(2)] = true, true
		return apps.add(ctx, r.int(0), r.int(1), r.text(2), sealed, r.text(4), r.text(5), r.text(6), r.text(7), r.text(8), now)
	})
	if err != nil {
		return err
	}
	created, used := i.from.or("oauthaccesstoken", "t", "created", "NULL"), i.from.or("oauthaccesstoken", "t", "last_accessed", "NULL")
	err = i.from.each(ctx, `SELECT t.authorized_user_id, t.application_id, t.uuid, t.token_name, t.token_code, t.scope, t.expires_at, `+created+`, `+used+`
		FROM oauthaccesstoken t WHERE t.token_name IS NOT NULL ORDER BY t.id`, func(r *quayRow) error {
		_, ok := i.accounts[r.int(0)]
		if !ok || !ids[r.int(1)] || r.millis(6) <= now {
			return nil
		}
		at := r.millis(7)
		if at == 0 {
			at = now
		}
		return tokens.add(ctx, r.int(0), r.int(1), uuidOr(r.text(2)), r.text(3), r.text(4), r.text(5), at, r.millis(6), r.millis(8))
	})
	if err != nil {
		return err
	}
	given := i.table("oauth_assignments", "uuid", "application_id", "account_id", "scope", "redirect_uri", "response_type", "created_ms")
	if i.from.columns["oauthassignedtoken"] != nil {
		err = i.from.each(ctx, `SELECT g.uuid, g.application_id, g.assigned_user_id, g.scope, g.redirect_uri, g.response_type FROM oauthassignedtoken g ORDER BY g.id`, func(r *quayRow) error {
			if _, ok := i.accounts[r.int(2)]; !ok || !ids[r.int(1)] {
				return nil
			}
			return given.add(ctx, uuidOr(r.text(0)), r.int(1), r.int(2), r.text(3), r.text(4), r.text(5), now)
		})
		if err != nil {
			return err
		}
	}
	err = flushAll(ctx, apps, tokens, given)
	i.counted("OAuth applications", apps.done)
	i.counted("OAuth tokens", tokens.done)
	return err
}
