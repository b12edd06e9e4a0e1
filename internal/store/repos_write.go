package store

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// NewRepository is what CreateRepository makes. The caller has checked the
// name's syntax and that the creator may.
type NewRepository struct {
	Name        gantry.RepoName
	Visibility  gantry.Visibility // "" = Private
	State       gantry.RepoState
	Description string
	Creator     gantry.AccountID // a user or a robot; 0 = the registry
	CreatorRole gantry.Role      // NoRole = Admin
	// MakeNamespace makes an organization, owned by the creator, where the
	// namespace is missing.
	MakeNamespace bool
	Email         string // of that organization
}

// CreateRepository makes a repository, with the creator's role and then the
// organization's default permissions. A missing namespace is NotFound on
// "namespace"; a name that is taken is Conflict on "repository".
func (db *DB) CreateRepository(ctx context.Context, n NewRepository, actor gantry.Actor) (id gantry.RepoID, err error) {
	if n.Visibility == "" {
		n.Visibility = gantry.Private
	}
	if n.CreatorRole == gantry.NoRole {
		n.CreatorRole = gantry.Admin
	}
	err = db.update(ctx, "create repository", func(ctx context.Context, t *tx) error {
		var ns gantry.AccountID
		var kind gantry.AccountKind
		err := t.queryRow(ctx, `SELECT id, kind FROM accounts WHERE name = ? AND kind <> 'robot' AND deleted_ms = 0`+t.d.share,
			n.Name.Namespace).Scan(&ns, &kind)
		if err == sql.ErrNoRows && n.MakeNamespace { //nolint:errorlint // database/sql returns it bare
			org, err := t.createOrganization(ctx, NewAccount{Name: n.Name.Namespace, Email: n.Email, Verified: true}, n.Creator, actor)
			if err != nil {
				return err
			}
			ns, kind = org.ID, org.Kind
		} else if err != nil {
			return notFound(err, errNoAccount("namespace"))
		}
		if err := t.mayHold(ctx, ns, kind, n.State); err != nil {
			return err
		}
		got, err := t.insert(ctx, `INSERT INTO repositories (ns_id, name, visibility, state, version, description, created_ms, deleted_ms)
			VALUES (?, ?, ?, ?, 1, ?, ?, 0)`+t.d.ignore("ns_id"), ns, n.Name.Name, string(n.Visibility), int(n.State), n.Description, t.now.UnixMilli())
		if err != nil {
			return err
		}
		if got == 0 {
			return gantry.Errorf(gantry.Conflict, "repository", "Repository already exists")
		}
		id = gantry.RepoID(got)
		if err := t.addWords(ctx, id, ns, n.Name.Name, n.Visibility); err != nil {
			return err
		}
		if n.Creator != 0 {
			if _, err := t.exec(ctx, `INSERT INTO permissions (repo_id, account_id, role) VALUES (?, ?, ?)`, id, n.Creator, int(n.CreatorRole)); err != nil {
				return err
			}
		}
		if kind == gantry.Organization {
			if err := t.applyPrototypes(ctx, id, ns, n.Creator); err != nil {
				return err
			}
		}
		t.grow(id)
		t.more = true
		return t.event(ctx, Event{Kind: "create_repo", Namespace: ns, Repo: id, Actor: actor,
			Payload: map[string]any{"repo": n.Name.Name, "namespace": n.Name.Namespace}})
	})
	return id, err
}

// applyPrototypes gives a new repository the default permissions of its
// organization: for each delegate, the entry that names the creator wins over
// the one for anybody. The creator keeps what he has.
func (t *tx) applyPrototypes(ctx context.Context, repo gantry.RepoID, org, creator gantry.AccountID) error {
	type delegate struct{ account, team int64 }
	roles := map[delegate]int{}
	var order []delegate
	err := t.each(ctx, func(r *sql.Rows) error {
		var d delegate
		var role int
		err := r.Scan(&d.account, &d.team, &role)
		if _, there := roles[d]; !there { // those that name the creator come first
			roles[d] = role
			order = append(order, d)
		}
		return err
	}, `SELECT account_id, team_id, role FROM prototypes WHERE org_id = ? AND activating_id IN (0, ?)
		ORDER BY CASE WHEN activating_id = 0 THEN 1 ELSE 0 END, id`, org, creator)
	if err != nil {
		return err
	}
	for _, d := range order {
		column, who := "account_id", d.account
		if d.team != 0 {
			column, who = "team_id", d.team
		} else if d.account == int64(creator) {
			continue
		}
		if _, err := t.exec(ctx, `INSERT INTO permissions (repo_id, `+column+`, role) VALUES (?, ?, ?)`, repo, who, roles[d]); err != nil {
			return err
		}
	}
	return nil
}

// DeleteRepository hides a repository, whose name is free at once, and leaves
// its data to collection.
func (db *DB) DeleteRepository(ctx context.Context, r Repository, actor gantry.Actor) error {
	return db.update(ctx, "delete repository", func(ctx context.Context, t *tx) error {
		if err := t.aliveRepository(ctx, r.ID); err != nil {
			return err
		}
		// Deleted repositories are never public: lists of public ones need not look.
		if _, err := t.exec(ctx, `UPDATE repositories SET name = ?, visibility = 'private', state = ?, version = version + 1, deleted_ms = ?
			WHERE id = ?`, uuid.NewString(), int(gantry.MarkedForDeletion), t.now.UnixMilli(), r.ID); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM permissions WHERE repo_id = ?`, `DELETE FROM stars WHERE repo_id = ?`, `DELETE FROM repository_words WHERE repo_id = ?`,
			`DELETE FROM repository_emails WHERE repo_id = ?`, `DELETE FROM codes WHERE repo_id = ?`} {
			if _, err := t.exec(ctx, q, r.ID); err != nil {
				return err
			}
		}
		if err := t.dropNotifications(ctx, `n.repo_id = ?`, r.ID); err != nil {
			return err
		}
		if err := t.dropMirrors(ctx, `id = ?`, r.ID); err != nil {
			return err
		}
		if err := t.review(ctx, reviewRepository, int64(r.ID), 0, t.now); err != nil {
			return err
		}
		t.touch(r.ID)
		t.who = true
		return t.event(ctx, Event{Kind: "delete_repo", Namespace: r.Namespace, Repo: r.ID, Actor: actor,
			Payload: map[string]any{"repo": r.Name.Name, "namespace": r.Name.Namespace}})
	})
}

// SetVisibility makes a repository public or private.
func (db *DB) SetVisibility(ctx context.Context, r Repository, v gantry.Visibility, actor gantry.Actor) error {
	return db.changeRepository(ctx, r, "visibility = ?", string(v), "change_repo_visibility", "visibility", string(v), actor)
}

// SetState changes what may be written to a repository. A read-only one is
// frozen: see frozen.go.
func (db *DB) SetState(ctx context.Context, r Repository, s gantry.RepoState, actor gantry.Actor) error {
	return db.changeRepository(ctx, r, "state = ?", s, "change_repo_state", "state_changed", s.String(), actor)
}

// SetDescription changes the text that describes a repository.
func (db *DB) SetDescription(ctx context.Context, r Repository, text string, actor gantry.Actor) error {
	return db.changeRepository(ctx, r, "description = ?", text, "set_repo_description", "description", text, actor)
}

func (db *DB) changeRepository(ctx context.Context, r Repository, set string, value any, kind, key, text string, actor gantry.Actor) error {
	state, frozen := value.(gantry.RepoState)
	if frozen {
		value = int(state)
	}
	return db.update(ctx, kind, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE repositories SET version = version + 1, `+set+` WHERE id = ? AND deleted_ms = 0`, value, r.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoRepository
		}
		if key == "visibility" {
			if _, err := t.exec(ctx, `UPDATE repository_words SET visibility = ? WHERE repo_id = ?`, text, r.ID); err != nil {
				return err
			}
		}
		if frozen {
			if err := t.freezeRepository(ctx, r.ID, state); err != nil {
				return err
			}
		}
		t.touch(r.ID)
		return t.event(ctx, Event{Kind: kind, Namespace: r.Namespace, Repo: r.ID, Actor: actor,
			Payload: map[string]any{"repo": r.Name.Name, "namespace": r.Name.Namespace, key: text}})
	})
}

// A CatalogQuery asks for the repositories that somebody may see.
type CatalogQuery struct {
	Account   gantry.AccountID // 0 = nobody's
	Superuser bool             // sees all
	Public    bool             // public ones too
	Newest    bool             // the newest first, not the oldest
	After     gantry.RepoID    // exclusive; 0 = from the start
	N         int              // at most this many
}

// A CatalogEntry is one repository of a Catalog.
type CatalogEntry struct {
	ID   gantry.RepoID
	Name gantry.RepoName
}

// Catalog lists repositories in the order of their ids, or of Newest in the
// other one, in one statement whose cost does not grow with After.
func (db *DB) Catalog(ctx context.Context, q CatalogQuery) (list []CatalogEntry, err error) {
	if q.N <= 0 {
		return nil, nil
	}
	past, order := "> ?", ""
	if q.Newest {
		past, order = "< ?", " DESC"
		if q.After == 0 {
			q.After = math.MaxInt64
		}
	}
	var text string
	var args []any
	branch := func(q2 string, a ...any) {
		if text != "" {
			text += " UNION "
		}
		text += `SELECT id FROM (` + q2 + ` LIMIT ?) b` + string(rune('a'+len(args)%20))
		args = append(args, append(a, q.N)...)
	}
	switch {
	case q.Superuser:
		branch(`SELECT id FROM repositories`+db.d.by("PRIMARY")+` WHERE id `+past+` AND deleted_ms = 0 ORDER BY id`+order, q.After)
	default:
		if q.Public {
			branch(`SELECT id FROM repositories`+db.d.by("repositories_public")+` WHERE visibility = 'public' AND id `+past+` ORDER BY id`+order, q.After)
		}
		if q.Account != 0 {
			branch(`SELECT id FROM repositories`+db.d.by("repositories_ns")+` WHERE ns_id = ? AND id `+past+` AND deleted_ms = 0 ORDER BY id`+order, q.Account, q.After)
			branch(`SELECT repo_id AS id FROM permissions`+db.d.by("permissions_by_account")+` WHERE account_id = ? AND repo_id `+past+` ORDER BY repo_id`+order, q.Account, q.After)
			if db.d.lateral {
				branch(`SELECT DISTINCT x.repo_id AS id FROM team_members m
					CROSS JOIN LATERAL (SELECT y.repo_id FROM permissions y WHERE y.team_id = m.team_id AND y.repo_id `+past+`
					ORDER BY y.repo_id`+order+` LIMIT ?) x WHERE m.account_id = ? ORDER BY x.repo_id`+order, q.After, q.N, q.Account)
				branch(`SELECT DISTINCT x.id AS id FROM team_members m JOIN teams g ON g.id = m.team_id AND g.role = 'admin'
					CROSS JOIN LATERAL (SELECT y.id FROM repositories y WHERE y.ns_id = g.org_id AND y.id `+past+` AND y.deleted_ms = 0
					ORDER BY y.id`+order+` LIMIT ?) x WHERE m.account_id = ? ORDER BY x.id`+order, q.After, q.N, q.Account)
			} else {
				branch(`SELECT DISTINCT p.repo_id AS id FROM team_members m `+db.d.then+` permissions p`+db.d.by("permissions_by_team")+` ON p.team_id = m.team_id
					WHERE m.account_id = ? AND p.repo_id `+past+` ORDER BY p.repo_id`+order, q.Account, q.After)
				branch(`SELECT DISTINCT x.id AS id FROM team_members m `+db.d.then+` teams g ON g.id = m.team_id AND g.role = 'admin'
					`+db.d.then+` repositories x`+db.d.by("repositories_ns")+` ON x.ns_id = g.org_id WHERE m.account_id = ? AND x.id `+past+` AND x.deleted_ms = 0 ORDER BY x.id`+order, q.Account, q.After)
			}
		}
	}
	if text == "" {
		return nil, nil
	}
	args = append(args, q.N)
	if db.d.serial { // SQLite joins in the order of a CROSS JOIN, and computes a subquery for each use of it
		text = `SELECT r.id, a.name, r.name FROM (` + text + `) u CROSS JOIN repositories r CROSS JOIN accounts a
			WHERE r.id = u.id AND a.id = r.ns_id AND r.deleted_ms = 0 AND a.deleted_ms = 0 ORDER BY u.id` + order + ` LIMIT ?`
	} else { // the names by subqueries: a join is planned as a walk over all repositories
		text = `SELECT id, ns, name FROM (SELECT u.id AS id,
			(SELECT a.name FROM repositories s JOIN accounts a ON a.id = s.ns_id WHERE s.id = u.id AND a.deleted_ms = 0) AS ns,
			(SELECT r.name FROM repositories r WHERE r.id = u.id AND r.deleted_ms = 0) AS name
			FROM (` + text + `) u) v WHERE ns IS NOT NULL AND name IS NOT NULL ORDER BY id` + order + ` LIMIT ?`
	}
	err = db.read(ctx, "catalog", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(r *sql.Rows) error {
			var e CatalogEntry
			err := r.Scan(&e.ID, &e.Name.Namespace, &e.Name.Name)
			list = append(list, e)
			return err
		}, text, args...)
	})
	return list, err
}
