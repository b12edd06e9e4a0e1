package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// The database of a Quay (domain-model.md), read in one snapshot and written
// into an empty one of ours. What a Quay gave an id keeps it. A mark in the
// target says that an import is under way: nothing is served from it, and one
// that was interrupted begins anew. The Quay's database is only read.

// QuaySecrets open what a Quay sealed, and seal it for our rows.
type QuaySecrets interface {
	// Open opens a sealed field of a Quay.
	Open(sealed string) (plain string, err error)
	// The others seal for the row of that uuid; an application's is its client
	// id.
	Robot(uuid, token string) (string, error)
	App(uuid, secret string) (string, error)
	Application(clientID, secret string) (string, error)
	Notification(uuid string, config json.RawMessage) (string, error)
	Proxy(uuid, username, password string) (string, error)
	// Mirror seals the credentials of a mirror, and of config, a Quay's
	// external_registry_config, what is secret.
	Mirror(uuid, username, password string, config json.RawMessage) (string, error)
}

// A QuayManifest is what a manifest's body says.
type QuayManifest struct {
	MediaType, ArtifactType, ConfigType string
	Subject                             gantry.Digest // "" = none
	LayersSize                          int64
}

// QuayImport is what ImportQuay needs.
type QuayImport struct {
	From, To Options
	Secrets  QuaySecrets
	// Read reads a manifest. An error has the manifest left out.
	Read func(mediaType string, body []byte) (QuayManifest, error)
	// MirrorOptions makes the options of a mirror from a Quay's: globs of tags,
	// architectures, external_registry_config, and the timeout in seconds.
	MirrorOptions func(tags, architectures []string, config json.RawMessage, timeout int64) (json.RawMessage, error)
	// Locations are the storage locations of the target's configuration.
	Locations []string
	// Hold is how long nothing that the Quay has is deleted from storage, so
	// that it can serve again; 0 = not at all.
	Hold time.Duration
	// Logs is how old the entries of the action log may be that come over; 0 =
	// none do. LogsModel is the Quay's LOGS_MODEL, as far as it is known.
	Logs      time.Duration
	LogsModel string
	// CheckOnly reads everything and writes nothing; To is not looked at.
	CheckOnly bool
	// Progress, if set, is told how many rows of a table are written.
	Progress func(table string, rows int)
}

// QuayImported is what ImportQuay did, or would do.
type QuayImported struct {
	From      string        `json:"from"`     // the kind of the Quay's database
	Revision  string        `json:"revision"` // of its schema
	To        string        `json:"to,omitempty"`
	Already   bool          `json:"already"`   // it was done before, at Snapshot; nothing was done now
	Restarted bool          `json:"restarted"` // an interrupted import was emptied first
	Snapshot  time.Time     `json:"snapshot"`  // what the Quay had then is here
	HeldUntil time.Time     `json:"held_until,omitzero"`
	Counts    []QuayCount   `json:"counts"`
	LeftOut   []QuayLeftOut `json:"left_out"`
}

// A QuayCount is how many of something came over.
type QuayCount struct {
	What string `json:"what"`
	N    int    `json:"n"`
}

// A QuayLeftOut is what did not come over, or not whole, and why.
type QuayLeftOut struct {
	What     string   `json:"what"`
	Why      string   `json:"why"`
	N        int      `json:"n"`        // 0 = it cannot be told how many
	Examples []string `json:"examples"` // the first of them
}

const quayExamples = 20

// quayDone is the setting that says that the database was filled from a Quay's.
const quayDone = "imported from a Quay"

// quayTables are what an import fills, and what must be empty before.
var quayTables = []string{"accounts", "teams", "team_members", "federated_logins", "robot_federations", "team_syncs", "team_invites", "repositories", "repository_words",
	"permissions", "prototypes", "stars", "app_tokens", "oauth_applications", "oauth_tokens", "oauth_token_titles", "oauth_assignments", "messages",
	"notifications", "repository_emails", "quotas", "quota_limits", "prune_policies", "immutability_policies", "proxy_caches", "repo_mirrors",
	"namespace_locations", "blobs", "placements", "manifests", "manifest_bodies", "manifest_children", "manifest_blobs", "manifest_labels", "tags",
	"repo_blobs", "ns_blobs", "usage_totals", "gc_reviews", "restore_points", "frozen_tags", "frozen_repositories"}

// ImportQuay reads the database of a Quay and fills an empty one with what it
// holds: accounts, teams, permissions, repositories, images and the
// settings of all of them, and its action log. The schema of the target is brought up first. Blobs
// stay where they are: the target's storage locations must be the Quay's.
//
// Errors: gantry.Invalid on "from" if that is no database of a Quay, and on
// "DISTRIBUTED_STORAGE_CONFIG" for a location that is not configured;
// gantry.Conflict on "database" for a target that holds something, or that an
// instance uses.
func ImportQuay(ctx context.Context, o QuayImport) (out QuayImported, err error) {
	i := &quayImport{o: o}
	if i.from, err = openQuay(ctx, o.From); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, i.from.close(ctx)) }()
	i.out.From, i.out.Revision, i.out.Snapshot = i.from.s.d.name, i.from.revision, i.from.now
	if err := i.from.checkLocations(ctx, o.Locations); err != nil {
		return i.out, err
	}
	if o.CheckOnly {
		return i.out, i.all(ctx)
	}
	end, err := i.begin(ctx)
	if err != nil || i.out.Already {
		return i.out, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := i.all(ctx); err != nil {
		return i.out, err
	}
	return i.out, i.end(ctx)
}

// A quayImport is one run of ImportQuay.
type quayImport struct {
	o    QuayImport
	from *quaySource
	to   *side // nil while it is only checked
	db   *DB   // the same database
	out  QuayImported

	locations map[int64]int64 // a Quay's to ours
	accounts  map[int64]quayAccount
	names     map[string]int64 // of accounts
	teams     map[int64]string // their names; those that are there
	repos     map[int64]quayRepo
	frozen    []int64               // repositories that are read-only
	caches    map[int64]bool        // organizations that are proxy caches
	partial   map[int64]bool        // manifests of which the Quay has not all blobs
	blobs     map[int64]int64       // to the one with the same digest; 0 = left out; absent = itself
	manifests map[int64]struct{}    // those that are left out
	tagged    map[quayTagName]int64 // the live one of several with one name
	opened    int                   // secrets, so far
	leases    map[int64]int64       // of manifests that no name keeps: until when, in ms
}

type quayAccount struct {
	kind gantry.AccountKind
	name string
}

type quayRepo struct {
	ns         int64
	name       string // with its namespace
	visibility gantry.Visibility
}

type quayTagName struct {
	repo int64
	name string
}

// begin opens the target, refuses one with content, and marks it.
func (i *quayImport) begin(ctx context.Context) (end func() error, err error) {
	var ends []func() error
	all := func() (err error) {
		for _, f := range slices.Backward(ends) {
			err = errors.Join(err, f())
		}
		return err
	}
	defer func() {
		if err != nil || i.out.Already {
			err = errors.Join(err, all())
		}
	}()
	wrong := func(err error) (func() error, error) { return nil, fmt.Errorf("the target: %w", err) }
	if i.db, err = Open(ctx, i.o.To); err != nil {
		return wrong(err)
	}
	ends = append(ends, i.db.Close)
	if err := i.db.notQuays(ctx); err != nil {
		return wrong(err)
	}
	if err := i.db.migrate(ctx); err != nil {
		return wrong(err)
	}
	if i.to, err = openSide(ctx, i.o.To); err != nil {
		return wrong(err)
	}
	ends = append(ends, i.to.pool.Close)
	unlock, err := i.to.copyLock(ctx)
	if err != nil {
		return wrong(err)
	}
	ends = append(ends, func() error { unlock(); return nil })
	i.out.To = i.to.d.name
	if err := i.take(ctx); err != nil {
		return wrong(err)
	}
	return all, nil
}

// take marks the target, and empties what an interrupted import left.
func (i *quayImport) take(ctx context.Context) error {
	var done string
	err := i.db.read(ctx, "look for an import", func(ctx context.Context, t *tx) error {
		return t.each(ctx, func(rows *sql.Rows) error { return rows.Scan(&done) }, `SELECT value FROM settings WHERE name = '`+quayDone+`'`)
	})
	if err != nil {
		return err
	}
	if done != "" {
		i.out.Already = true
		was := quayMark{}
		err := json.Unmarshal([]byte(done), &was)
		i.out.Snapshot, i.out.Counts, i.out.LeftOut, i.out.HeldUntil = was.At, was.Counts, was.LeftOut, was.HeldUntil
		return err
	}
	if i.out.Restarted, err = i.to.mark(ctx); err != nil {
		return err
	}
	if i.out.Restarted {
		empty := map[string]string{"sqlite": "DELETE FROM ", "postgres": "TRUNCATE ", "mysql": "TRUNCATE TABLE "}[i.to.d.name]
		for _, t := range quayTables {
			if _, err := i.to.pool.ExecContext(ctx, empty+t); err != nil {
				return err
			}
		}
		return i.to.dropImportedLogs(ctx)
	}
	if err := i.to.free(ctx); err != nil {
		return err
	}
	tables := make([]table, 0, len(quayTables))
	for _, t := range quayTables {
		tables = append(tables, table{name: t})
	}
	if err := i.to.empty(ctx, tables); err != nil {
		return err
	}
	return i.to.setMark(ctx)
}

// A quayMark is what quayDone says.
type quayMark struct {
	At        time.Time     `json:"at"`
	HeldUntil time.Time     `json:"held_until,omitzero"`
	Counts    []QuayCount   `json:"counts"`
	LeftOut   []QuayLeftOut `json:"left_out"`
}

// all brings everything over.
func (i *quayImport) all(ctx context.Context) error {
	i.accounts, i.names, i.teams, i.repos = map[int64]quayAccount{}, map[string]int64{}, map[int64]string{}, map[int64]quayRepo{}
	i.caches, i.partial = map[int64]bool{}, map[int64]bool{}
	i.blobs, i.manifests, i.leases = map[int64]int64{}, map[int64]struct{}{}, map[int64]int64{}
	for _, step := range []struct {
		what string
		f    func(context.Context) error
	}{
		{"locations", i.ensureLocations},
		{"accounts", i.readAccounts}, {"robots", i.readRobots}, {"logins", i.readLogins}, {"teams", i.readTeams},
		{"repositories", i.readRepositories}, {"permissions", i.readPermissions}, {"default permissions", i.readPrototypes},
		{"tokens", i.readTokens}, {"applications", i.readApplications}, {"settings of namespaces", i.readNamespaces},
		{"notifications", i.readNotifications}, {"mirrors", i.readMirrors},
		{"blobs", i.readBlobs}, {"placements", i.readPlacements}, {"manifests", i.findPartial}, {"manifests", i.readManifests}, {"links", i.readLinks},
		{"labels", i.readLabels}, {"tags", i.readTags}, {"action log", i.readLogs}, {"what else there is", i.countOthers},
	} {
		if err := step.f(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// ensureLocations names the locations in the target.
func (i *quayImport) ensureLocations(ctx context.Context) error {
	i.locations = map[int64]int64{}
	for id, l := range i.from.locations {
		if !slices.Contains(i.o.Locations, l.name) {
			continue // it holds nothing
		}
		i.locations[id] = id
		if i.db == nil {
			continue
		}
		ours, err := i.db.EnsureLocation(ctx, l.name)
		if err != nil {
			return err
		}
		i.locations[id] = ours
	}
	return nil
}

// table is where rows of a table go.
func (i *quayImport) table(name string, cols ...string) *bulk {
	b := newBulk(i.db, name, cols...)
	if i.o.Progress != nil {
		b.told = func(done int) { i.o.Progress(name, done) }
	}
	return b
}

// counted notes how many of something came over.
func (i *quayImport) counted(what string, n int) {
	i.out.Counts = append(i.out.Counts, QuayCount{what, n})
}

// leave notes something that does not come over.
func (i *quayImport) leave(what, why, example string) {
	at := slices.IndexFunc(i.out.LeftOut, func(l QuayLeftOut) bool { return l.What == what && l.Why == why })
	if at < 0 {
		at = len(i.out.LeftOut)
		i.out.LeftOut = append(i.out.LeftOut, QuayLeftOut{What: what, Why: why, Examples: []string{}})
	}
	l := &i.out.LeftOut[at]
	l.N++
	if len(l.Examples) < quayExamples {
		l.Examples = append(l.Examples, example)
	}
}

// end makes what follows from the rows, lets new ids go on behind the Quay's,
// and takes the mark away.
func (i *quayImport) end(ctx context.Context) error {
	if err := i.sequences(ctx); err != nil {
		return err
	}
	if err := i.db.statistics(ctx); err != nil { // for what follows
		return err
	}
	if err := i.derive(ctx); err != nil {
		return err
	}
	for _, id := range i.frozen {
		r, ok := i.repos[id]
		if !ok {
			continue
		}
		ns, name, _ := strings.Cut(r.name, "/")
		if err := i.db.SetState(ctx, Repository{ID: gantry.RepoID(id), Namespace: gantry.AccountID(r.ns), Name: gantry.RepoName{Namespace: ns, Name: name}}, gantry.ReadOnlyState, gantry.Actor{}); err != nil {
			return err
		}
	}
	if i.o.Hold > 0 {
		i.out.HeldUntil = i.db.Now().Add(i.o.Hold).UTC().Truncate(time.Second)
		if _, err := i.db.CreateRestorePoint(ctx, i.out.HeldUntil); err != nil {
			return err
		}
	}
	if err := i.db.statistics(ctx); err != nil {
		return err
	}
	text, err := json.Marshal(quayMark{i.out.Snapshot, i.out.HeldUntil, i.out.Counts, i.out.LeftOut})
	if err != nil {
		return err
	}
	return i.db.update(ctx, "end of an import", func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?)`, quayDone, string(text)); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM settings WHERE name = '`+copyMark+`'`)
		return err
	})
}

// sequences lets the ids of new rows go on behind those that are there.
func (i *quayImport) sequences(ctx context.Context) error {
	if i.db.d.name != "postgres" {
		return nil // they do so by themselves
	}
	return i.db.update(ctx, "pass ids on", func(ctx context.Context, t *tx) error {
		for _, name := range []string{"accounts", "teams", "repositories", "blobs", "manifests", "tags", "oauth_applications", "quotas"} {
			if _, err := t.exec(ctx, `SELECT setval(pg_get_serial_sequence('`+name+`', 'id'), (SELECT MAX(id) FROM `+name+`)) FROM `+name+` LIMIT 1`); err != nil {
				return err
			}
		}
		t.more = true
		return nil
	})
}
