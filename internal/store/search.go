package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// above is greater than every character of a name: the names that begin with
// p are those from p to p + above.
const above = "~"

const separators = "/._-"

// maxWords bounds the words of a name that it is found by.
const maxWords = 32

// searchWords returns the name of a repository from each of its words on; see
// the table repository_words.
func searchWords(name string) (words []string) {
	start := true
	for i := range len(name) {
		sep := strings.IndexByte(separators, name[i]) >= 0
		if start && !sep && len(words) < maxWords {
			words = append(words, name[i:])
		}
		start = sep
	}
	return words
}

// addWords makes a new repository one that search finds.
func (t *tx) addWords(ctx context.Context, repo gantry.RepoID, ns gantry.AccountID, name string, v gantry.Visibility) error {
	words := searchWords(name)
	var args []any
	for _, w := range words {
		args = append(args, repo, w, ns, string(v))
	}
	_, err := t.exec(ctx, `INSERT INTO repository_words (repo_id, word, ns_id, visibility) VALUES `+tuples(len(words), 4), args...)
	return err
}

// A SearchQuery asks for repositories by the beginning of a word of their
// name.
type SearchQuery struct {
	Prefix    string           // lower case
	Namespace string           // what begins with Rest in this namespace is found too; "" = in none
	Rest      string           // lower case
	Account   gantry.AccountID // who asks; 0 = nobody
	Public    bool             // what is public is found
	All       bool             // and everything else, too
}

// A Hit is a repository that a search found.
type Hit struct {
	Repository
	Word  string // the part of the name, to its end, that begins with the prefix
	Stars int
}

// searchWindow is how many names one search looks at in each of the places
// where it looks, and in all; searchGrants is how many permissions.
const (
	searchWindow = 300
	searchGrants = 1000
)

// searchOrgs is how many organizations that somebody administers are places of
// their own.
const searchOrgs = 16

// Search finds repositories that somebody may see, at most 300, in the order
// of Word. Names that are exactly the prefix come first, so they are always
// among them.
//
// What is public, what is in the account's own namespace and in 16 of the
// organizations that it administers is found by an index whatever else there
// is. Of what it may see by permissions of its own or of its teams, the search
// looks at the 1,000 newest permissions, and at the first 300 private names
// of the registry, and of Namespace, that begin so. What one search costs does not depend on how
// many repositories there are.
func (db *DB) Search(ctx context.Context, q SearchQuery) (hits []Hit, err error) {
	if q.Prefix == "" {
		return nil, nil
	}
	err = db.read(ctx, "search repositories", func(ctx context.Context, t *tx) error {
		hits = nil
		namespaces, err := t.searchNamespaces(ctx, q)
		if err != nil {
			return err
		}
		text, args := q.candidates(t.d, namespaces)
		if text == "" {
			return nil
		}
		found := map[gantry.RepoID]*Hit{}
		right := map[gantry.RepoID]bool{} // seen by a right, not because it is public
		var ids []gantry.RepoID
		if err := t.each(ctx, func(r *sql.Rows) error {
			var id gantry.RepoID
			var word string
			var how int
			if err := r.Scan(&id, &word, &how); err != nil {
				return err
			}
			if found[id] == nil { // the least word counts
				found[id] = &Hit{Word: word}
				ids = append(ids, id)
			}
			right[id] = right[id] || how == byRight
			return nil
		}, text, args...); err != nil || len(ids) == 0 {
			return err
		}
		in, args := list(ids, nil)
		if err := t.each(ctx, func(r *sql.Rows) error {
			var stars int
			x, err := scanRepository(r, &stars)
			if err == nil {
				found[x.ID].Repository, found[x.ID].Stars = x, stars
			}
			return err
		}, `SELECT `+repositoryColumns+`, (SELECT COUNT(*) FROM stars s WHERE s.repo_id = r.id) FROM repositories r JOIN accounts a ON a.id = r.ns_id
			WHERE r.id IN `+in+` AND r.deleted_ms = 0 AND a.deleted_ms = 0`, args...); err != nil {
			return err
		}
		for _, id := range ids {
			// What search reads may lag behind the repository by another
			// release's doing; that one counts.
			if h := found[id]; h.ID != 0 && (right[id] || h.Visibility == gantry.Public) {
				hits = append(hits, *h)
			}
		}
		return nil
	})
	return hits, err
}

// How a candidate may be seen.
const (
	byPublic = 1
	byRight  = 2
)

// searchNamespaces returns the namespaces of which the caller sees everything.
func (t *tx) searchNamespaces(ctx context.Context, q SearchQuery) (ids []gantry.AccountID, err error) {
	if q.Account == 0 || q.All {
		return nil, nil
	}
	ids = append(ids, q.Account)
	err = t.each(ctx, func(r *sql.Rows) error {
		var id gantry.AccountID
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT DISTINCT g.org_id FROM team_members m JOIN teams g ON g.id = m.team_id AND g.role = 'admin'
		WHERE m.account_id = ? ORDER BY g.org_id LIMIT `+limit(searchOrgs-1), q.Account)
	return ids, err
}

// candidates returns a query for repositories with the word by which each was
// found and how it may be seen.
func (q SearchQuery) candidates(d *dialect, namespaces []gantry.AccountID) (text string, args []any) {
	var parts []string
	window, grants := ` LIMIT `+limit(searchWindow), ` LIMIT `+limit(searchGrants)
	// Each part looks at the words of from, where a are its values, that
	// begin so; of those it keeps what passes the filter.
	part := func(how int, prefix, from, filter string, a ...any) {
		tail := ` ORDER BY w.word, w.repo_id` + window
		if strings.Contains(from, " JOIN ") { // bounded by itself
			tail = ""
		}
		parts = append(parts, `SELECT c.id AS id, c.word AS word, `+limit(how)+` AS how FROM (SELECT w.repo_id AS id, w.word AS word, w.ns_id AS ns FROM `+
			from+` w.word >= ? AND w.word < ?`+tail+`) c `+filter)
		args = append(args, append(a, prefix, prefix+above)...)
	}
	const (
		public  = `repository_words w WHERE w.visibility = 'public' AND`
		private = `repository_words w WHERE w.visibility = 'private' AND`
		within  = ` w.ns_id = (SELECT a.id FROM accounts a WHERE a.name = ? AND a.deleted_ms = 0) AND`
		// No EXISTS: PostgreSQL would read all permissions of the account.
		granted = `WHERE ((SELECT MAX(g.role) FROM permissions g WHERE g.repo_id = c.id AND g.account_id = ?) > 0
			OR (SELECT MAX(g.role) FROM permissions g JOIN team_members m ON m.team_id = g.team_id WHERE g.repo_id = c.id AND m.account_id = ?) > 0
			OR c.ns = ? OR (SELECT MAX(g.id) FROM teams g JOIN team_members m ON m.team_id = g.id WHERE g.org_id = c.ns AND g.role = 'admin' AND m.account_id = ?) > 0)`
	)
	inside := q.Namespace != "" && q.Rest != ""
	if q.Public || q.All {
		part(byPublic, q.Prefix, public, ``)
		if inside {
			part(byPublic, q.Rest, public+within, ``, q.Namespace)
		}
	}
	switch {
	case q.All:
		part(byRight, q.Prefix, private, ``)
		if inside {
			part(byRight, q.Rest, private+within, ``, q.Namespace)
		}
	case q.Account != 0:
		for i := 0; len(namespaces) > 0 && i < ceilPower(len(namespaces)); i++ { // so that few different statements arise
			part(byRight, q.Prefix, private+` w.ns_id = ? AND`, ``, namespaces[min(i, len(namespaces)-1)])
		}
		part(byRight, q.Prefix, private, granted)
		args = append(args, q.Account, q.Account, q.Account, q.Account)
		if inside {
			part(byRight, q.Rest, private+within, granted, q.Namespace)
			args = append(args, q.Account, q.Account, q.Account, q.Account)
		}
		// From the permissions to the words, never the other way.
		words := ` CROSS JOIN repository_words w WHERE w.repo_id = h.repo_id AND` // SQLite joins in this order
		if d.lateral {
			words = ` CROSS JOIN LATERAL (SELECT x.repo_id, x.word, x.ns_id FROM repository_words x WHERE x.repo_id = h.repo_id LIMIT ` + limit(maxWords) + `) w WHERE`
		}
		part(byRight, q.Prefix, `(SELECT g.repo_id AS repo_id FROM permissions g WHERE g.account_id = ? ORDER BY g.repo_id DESC`+grants+`) h`+words, ``, q.Account)
		part(byRight, q.Prefix, `(SELECT g.repo_id AS repo_id FROM team_members m `+d.then+` permissions g ON g.team_id = m.team_id WHERE m.account_id = ?`+grants+`) h`+words, ``, q.Account)
	}
	if len(parts) == 0 {
		return "", nil
	}
	return strings.Join(parts, ` UNION ALL `) + ` ORDER BY word, id, how` + window, args
}

// ceilPower is the least power of two that is not below n > 0.
func ceilPower(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// An Entity is an account or a team that a search found.
type Entity struct {
	Name   string
	Kind   gantry.AccountKind // "" = a team
	Member bool               // of the organization of the query
}

// An EntityQuery asks for accounts and teams by the beginning of their names.
type EntityQuery struct {
	Prefix        string           // lower case
	Exact         bool             // users only by their whole name
	Organizations bool             // organizations too
	Namespace     gantry.AccountID // its robots and teams too; 0 = none
	NamespaceName string
	Teams         bool // of Namespace
	N             int  // at most this many of each kind
}

// Entities finds teams, then organizations, users and robots, each by name, in
// one statement. Disabled accounts are not found.
func (db *DB) Entities(ctx context.Context, q EntityQuery) (found []Entity, err error) {
	if q.Prefix == "" || q.N <= 0 {
		return nil, nil
	}
	var parts []string
	var args []any
	part := func(text string, a ...any) {
		n := limit(len(parts))
		parts = append(parts, `SELECT `+n+` AS rank_, c.name AS name, c.kind AS kind, c.member AS member FROM (`+text+` LIMIT ?) c`)
		args = append(args, append(a, q.N)...)
	}
	accounts := func(kind gantry.AccountKind, from, to string) {
		part(`SELECT a.name AS name, a.kind AS kind, CASE WHEN EXISTS (SELECT 1 FROM team_members m JOIN teams g ON g.id = m.team_id
			WHERE m.account_id = a.id AND g.org_id = ?) THEN 1 ELSE 0 END AS member FROM accounts a
			WHERE a.kind = '`+string(kind)+`' AND a.deleted_ms = 0 AND a.name >= ? AND a.name < ? AND a.enabled = 1 ORDER BY a.name`, q.Namespace, from, to)
	}
	end := q.Prefix + above
	if q.Teams && q.Namespace != 0 {
		part(`SELECT g.name AS name, '' AS kind, 0 AS member FROM teams g WHERE g.org_id = ? AND g.name >= ? AND g.name < ? ORDER BY g.name`, q.Namespace, q.Prefix, end)
	}
	if q.Organizations {
		accounts(gantry.Organization, q.Prefix, end)
	}
	if q.Exact {
		end = q.Prefix + "!" // nothing longer is a name; MySQL compares as if blanks followed
	}
	accounts(gantry.User, q.Prefix, end)
	if q.Namespace != 0 { // a robot is found by its short name, and by its whole one
		short := q.NamespaceName + "+" + strings.TrimPrefix(q.Prefix, q.NamespaceName+"+")
		accounts(gantry.Robot, short, short+above)
	}
	err = db.read(ctx, "search accounts", func(ctx context.Context, t *tx) error {
		found = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var e Entity
			var rank, member int
			err := r.Scan(&rank, &e.Name, &e.Kind, &member)
			e.Member = member == 1
			found = append(found, e)
			return err
		}, strings.Join(parts, ` UNION ALL `)+` ORDER BY rank_, name`, args...)
	})
	return found, err
}

// A FoundTeam is a team with the name of its organization.
type FoundTeam struct{ Name, Organization string }

// TeamsNamed finds teams, by the beginning of their name, of organizations
// that an account is in a team of, at most n.
func (db *DB) TeamsNamed(ctx context.Context, account gantry.AccountID, prefix string, n int) (list []FoundTeam, err error) {
	if prefix == "" {
		return nil, nil
	}
	err = db.read(ctx, "search teams", func(ctx context.Context, t *tx) error {
		list = nil
		return t.each(ctx, func(r *sql.Rows) error {
			var g FoundTeam
			err := r.Scan(&g.Name, &g.Organization)
			list = append(list, g)
			return err
		}, `SELECT g.name, o.name FROM (SELECT DISTINCT x.org_id AS org_id FROM team_members m JOIN teams x ON x.id = m.team_id WHERE m.account_id = ?) mine
			JOIN teams g ON g.org_id = mine.org_id JOIN accounts o ON o.id = g.org_id
			WHERE g.name >= ? AND g.name < ? AND o.deleted_ms = 0 ORDER BY g.name, o.name LIMIT ?`, account, prefix, prefix+above, n)
	})
	return list, err
}
