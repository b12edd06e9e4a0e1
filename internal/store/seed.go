package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// SeedOptions say what Seed makes. The same options on an empty database make
// the same rows, but for their times, which end at the store's clock.
type SeedOptions struct {
	Seed     uint64
	Prefix   string // of the names of accounts, so that they are nobody's; a namespace by itself
	Location int64  // that the blobs are said to be in
	Existing bool   // also beside what is there

	Organizations, Users int // at least one of each
	Repositories, Tags   int
	Teams                int // of each organization, beside its owners
	Logs                 int // entries: a third of changes, the rest pulls

	// Images bounds the manifests of each repository but the first, which has
	// at most 1,000; there are no more than tags. 0 = 2. Otherwise every tenth
	// of them refers to the one before it.
	Images int
	// Layers bounds the layers of a manifest. 0 = 3, which others share.
	// Otherwise every second one is the manifest's own.
	Layers int

	// Progress, if set, is told now and then how many of how many rows of a
	// table are written.
	Progress func(table string, done, total int)
}

// Seeded is what Seed made. A tenth of the repositories and of the log is in
// the first organization, and a hundredth of the tags and of the log in its
// first repository, so that there is one of each that is large.
type Seeded struct {
	Organization string `json:"largest_organization"`
	Repository   string `json:"largest_repository"`
	User         string `json:"first_user"` // who owns the first organization
	Accounts     int    `json:"accounts"`
	Teams        int    `json:"teams"`
	Repositories int    `json:"repositories"`
	Manifests    int    `json:"manifests"`
	Blobs        int    `json:"blobs"`
	Links        int    `json:"blob_links"` // of manifests to their blobs
	Tags         int    `json:"tags"`
	Events       int    `json:"events"`
	Pulls        int    `json:"pulls"`
}

// maxSeed bounds each number of SeedOptions.
const maxSeed = 1_000_000_000

// Seed fills the database with accounts, teams, repositories, tags, quotas and
// log entries, in bulk: for tests of size, never for a registry that people
// use. Everything that holds of a registry's rows holds of these, but no
// blob's bytes are stored. Nothing else may write meanwhile, and one that is
// interrupted leaves a part: start over with an empty database. It is
// gantry.Conflict where there is something already, unless that is allowed.
func (db *DB) Seed(ctx context.Context, o SeedOptions) (Seeded, error) {
	for _, n := range []int{o.Organizations, o.Users, o.Repositories, o.Tags, o.Teams, o.Logs, o.Images, o.Layers} {
		if n < 0 || n > maxSeed {
			return Seeded{}, gantry.Errorf(gantry.Invalid, "seed", "each number is from 0 to %d", maxSeed)
		}
	}
	if o.Organizations < 1 || o.Users < 1 || o.Repositories < 1 && (o.Tags > 0 || o.Logs > 0) {
		return Seeded{}, gantry.Errorf(gantry.Invalid, "seed", "there is at least one organization and one user, and a repository where there are tags or log entries")
	}
	if gantry.CheckNamespace(o.Prefix) != nil || len(o.Prefix) > 100 {
		return Seeded{}, gantry.Errorf(gantry.Invalid, "seed", "the prefix %.40q is not a name", o.Prefix)
	}
	s := &seeder{db: db, o: o, now: db.Now().UnixMilli(), rng: rand.New(rand.NewPCG(o.Seed, prefixSum(o.Prefix)))} //nolint:gosec // the same rows each time
	if err := s.begin(ctx); err != nil {
		return s.made, err
	}
	for _, f := range []func(context.Context) error{s.accounts, s.repositories, s.logs, s.end} {
		if err := f(ctx); err != nil {
			return s.made, db.wrap("seed", err)
		}
	}
	return s.made, nil
}

// prefixSum is another number for another prefix: two lots of rows have no
// UUID in common.
func prefixSum(prefix string) uint64 {
	sum := sha256.Sum256([]byte(prefix))
	return binary.BigEndian.Uint64(sum[:])
}

type seeder struct {
	db   *DB
	o    SeedOptions
	now  int64 // in milliseconds
	rng  *rand.Rand
	made Seeded

	// What stands before the first row of ours.
	account, team, repo, manifest, blob, seq int64
}

// seeded are the tables whose ids Seed gives itself.
var seeded = []string{"accounts", "teams", "repositories", "manifests", "blobs"}

// begin looks at what is there.
func (s *seeder) begin(ctx context.Context) error {
	bases := []*int64{&s.account, &s.team, &s.repo, &s.manifest, &s.blob}
	return s.db.update(ctx, "seed", func(ctx context.Context, t *tx) error {
		for i, table := range seeded {
			if err := t.queryRow(ctx, `SELECT COALESCE(MAX(id), 0) FROM `+table).Scan(bases[i]); err != nil {
				return err
			}
			if *bases[i] > 0 && !s.o.Existing {
				return gantry.Errorf(gantry.Conflict, "seed", "the database is not empty: there are %s; seed an empty one", table)
			}
		}
		there, err := t.exists(ctx, `SELECT 1 FROM accounts WHERE name IN (?, ?) LIMIT 1`, s.org(0), s.user(0))
		if err != nil {
			return err
		}
		if there {
			return gantry.Errorf(gantry.Conflict, "seed", "there are accounts with the prefix %s already; take another one", s.o.Prefix)
		}
		if s.seq, err = t.counter(ctx, "events"); err != nil {
			return err
		}
		var last int64 // where writers are serial, rows go on from it
		err = t.queryRow(ctx, `SELECT COALESCE(MAX(seq), 0) FROM events WHERE seq > 0`).Scan(&last)
		s.seq = max(s.seq, last)
		return err
	})
}

func (s *seeder) org(i int) string  { return fmt.Sprintf("%s-org-%05d", s.o.Prefix, i) }
func (s *seeder) user(i int) string { return fmt.Sprintf("%s-user-%05d", s.o.Prefix, i) }

func (s *seeder) orgID(i int) int64  { return s.account + 1 + int64(s.o.Users) + int64(i) }
func (s *seeder) userID(i int) int64 { return s.account + 1 + int64(i) }

// teamID is the id of a team of an organization; 0 is that of its owners.
func (s *seeder) teamID(org, i int) int64 { return s.team + 1 + int64(org*(s.o.Teams+1)+i) }

// orgOf is the organization of a repository: the first one has a tenth.
func (s *seeder) orgOf(repo int) int {
	if first := max(1, s.o.Repositories/10); repo < first || s.o.Organizations == 1 {
		return 0
	}
	return 1 + repo%(s.o.Organizations-1)
}

var seedWords = []string{"api", "web", "nginx", "proxy", "worker", "billing", "search", "redis", "mail", "auth", "batch", "cache", "ui", "docs", "tools", "base"}

func (s *seeder) repoName(i int) string {
	a, b := seedWords[i%len(seedWords)], seedWords[i/len(seedWords)%len(seedWords)]
	sep := "-"
	if i%5 == 0 {
		sep = "/"
	}
	return fmt.Sprintf("%s%s%s-%06d", a, sep, b, i)
}

func (s *seeder) uuid() string {
	a, b := s.rng.Uint64(), s.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

// ago is a time up to so many days ago.
func (s *seeder) ago(days int) int64 { return s.now - s.rng.Int64N(int64(days)*24*3600*1000) }

func (s *seeder) accounts(ctx context.Context) error {
	accounts := s.table("accounts", s.o.Users+s.o.Organizations, "id", "kind", "name", "uuid", "email", "password_hash", "secret", "owner_id", "description",
		"enabled", "verified", "superuser", "failed_logins", "failed_login_ms", "retention_s", "profile", "created_ms", "last_used_ms", "deleted_ms")
	add := func(id int64, kind gantry.AccountKind, name string) error {
		return accounts.add(ctx, id, string(kind), name, s.uuid(), name+"@example.com", "", "", int64(0), "", 1, 1, 0, int64(0), int64(0), int64(-1), "{}", s.ago(700), int64(0), int64(0))
	}
	for i := range s.o.Users {
		if err := add(s.userID(i), gantry.User, s.user(i)); err != nil {
			return err
		}
	}
	for i := range s.o.Organizations {
		if err := add(s.orgID(i), gantry.Organization, s.org(i)); err != nil {
			return err
		}
	}
	s.made.Accounts, s.made.Organization, s.made.User = s.o.Users+s.o.Organizations, s.org(0), s.user(0)
	if err := accounts.flush(ctx); err != nil {
		return err
	}
	return s.teams(ctx)
}

// teams makes the owners and the other teams of each organization. A thousand
// users are in the first one, a few in each other.
func (s *seeder) teams(ctx context.Context) error {
	teams := s.table("teams", s.o.Organizations*(s.o.Teams+1), "id", "org_id", "name", "role", "description")
	members := s.table("team_members", 0, "team_id", "account_id")
	quotas := s.table("quotas", 0, "ns_id", "bytes")
	for org := range s.o.Organizations {
		for i := range s.o.Teams + 1 {
			name, role, n := fmt.Sprintf("team-%d", i), gantry.TeamMember, min(4, s.o.Users)
			if i == 0 {
				name, role, n = "owners", gantry.TeamAdmin, 1
			} else if org == 0 {
				n = min(1000, s.o.Users)
			}
			if err := teams.add(ctx, s.teamID(org, i), s.orgID(org), name, string(role), ""); err != nil {
				return err
			}
			for k := range n {
				if err := members.add(ctx, s.teamID(org, i), s.userID((org+k)%s.o.Users)); err != nil {
					return err
				}
			}
			s.made.Teams++
		}
		if org%10 == 0 {
			if err := quotas.add(ctx, s.orgID(org), int64(1)<<50); err != nil {
				return err
			}
		}
	}
	return flushAll(ctx, teams, members, quotas)
}

// tagsOf is how many tags a repository has: the first one a hundredth.
func (s *seeder) tagsOf(repo int) int {
	if s.o.Repositories == 1 {
		return s.o.Tags
	}
	first := s.o.Tags / 100
	if repo == 0 {
		return first
	}
	rest, others := s.o.Tags-first, s.o.Repositories-1
	n := rest / others
	if repo-1 < rest%others {
		n++
	}
	return n
}

// A seededLayer is a blob of an image, or a manifest; other images have it too
// if it is shared.
type seededLayer struct {
	id, size int64
	digest   gantry.Digest
	shared   bool
}

// seededRepo is where the rows of repositories go.
type seededRepo struct {
	repositories, words, permissions, manifests, bodies, uses, blobs, placements, held, counted, tags, totals *bulk
	layers                                                                                                    map[int]seededLayer
	inOrg                                                                                                     map[[2]int64]bool // organization and layer
	usage                                                                                                     map[int64]int64
}

func (s *seeder) repositories(ctx context.Context) error {
	r := &seededRepo{layers: map[int]seededLayer{}, inOrg: map[[2]int64]bool{}, usage: map[int64]int64{},
		repositories: s.table("repositories", s.o.Repositories, "id", "ns_id", "name", "visibility", "state", "version", "description", "created_ms", "deleted_ms"),
		words:        s.table("repository_words", 0, "repo_id", "word", "ns_id", "visibility"),
		permissions:  s.table("permissions", 0, "repo_id", "account_id", "team_id", "role"),
		manifests: s.table("manifests", 0, "id", "repo_id", "digest", "media_type", "artifact_type", "config_type", "subject", "size", "layers_size",
			"created_ms", "lease_until_ms", "hidden_ms", "blobs_hidden"),
		bodies:     s.table("manifest_bodies", 0, "manifest_id", "body"),
		uses:       s.table("manifest_blobs", 0, "manifest_id", "blob_id", "repo_id"),
		blobs:      s.table("blobs", 0, "id", "digest", "size", "created_ms"),
		placements: s.table("placements", 0, "blob_id", "location_id", "path", "state", "since_ms", "verified_ms"),
		held:       s.table("repo_blobs", 0, "repo_id", "blob_id", "ns_id", "size", "linked", "lease_until_ms", "hidden_ms"),
		counted:    s.table("ns_blobs", 0, "ns_id", "blob_id", "size", "added_by"),
		tags:       s.table("tags", s.o.Tags, "repo_id", "name", "manifest_id", "start_ms", "end_ms", "live", "ended_by", "reversion", "immutable"),
		totals:     s.table("usage_totals", 0, "ns_id", "repo_id", "bytes"),
	}
	for i := range s.o.Repositories {
		if err := s.repository(ctx, r, i); err != nil {
			return err
		}
	}
	for org := range s.o.Organizations {
		if n := r.usage[s.orgID(org)]; n > 0 {
			if err := r.totals.add(ctx, s.orgID(org), int64(0), n); err != nil {
				return err
			}
		}
	}
	if s.o.Repositories > 0 {
		s.made.Repository = s.org(0) + "/" + s.repoName(0)
	}
	s.made.Repositories = s.o.Repositories
	return flushAll(ctx, r.repositories, r.words, r.permissions, r.blobs, r.placements, r.manifests, r.bodies, r.uses, r.held, r.counted, r.tags, r.totals)
}

func (s *seeder) repository(ctx context.Context, r *seededRepo, i int) error {
	id, org, name, visibility := s.repo+1+int64(i), s.orgOf(i), s.repoName(i), gantry.Private
	if i%10 == 3 {
		visibility = gantry.Public
	}
	ns := s.orgID(org)
	if err := r.repositories.add(ctx, id, ns, name, string(visibility), int64(gantry.Normal), int64(1), "", s.ago(600), int64(0)); err != nil {
		return err
	}
	for _, w := range searchWords(name) {
		if err := r.words.add(ctx, id, w, ns, string(visibility)); err != nil {
			return err
		}
	}
	if err := r.permissions.add(ctx, id, s.userID(i%s.o.Users), nil, int64(gantry.Read)); err != nil {
		return err
	}
	if s.o.Teams > 0 {
		if err := r.permissions.add(ctx, id, nil, s.teamID(org, 1), int64(gantry.Write)); err != nil {
			return err
		}
	}
	tags := s.tagsOf(i)
	most := 2
	switch {
	case i == 0:
		most = 1000
	case s.o.Images > 0:
		most = s.o.Images
	}
	images := min(tags, most)
	first := s.manifest + 1 + int64(s.made.Manifests)
	held := map[int64]bool{}
	var usage int64
	var last *seededLayer // the image before
	for k := range images {
		subject := last
		if s.o.Images == 0 || k%10 != 9 {
			subject = nil
		}
		n, made, err := s.image(ctx, r, id, ns, held, subject)
		if err != nil {
			return err
		}
		usage, last = usage+n, &made
	}
	if usage > 0 {
		if err := r.totals.add(ctx, ns, id, usage); err != nil {
			return err
		}
	}
	for k := range tags {
		tag, start, m := fmt.Sprintf("v%d.%d.%d", k/100, k/10%10, k%10), s.ago(365), first+int64(k%images)
		if k%20 == 7 { // it was another one before
			if err := r.tags.add(ctx, id, tag, first+int64((k+1)%images), start-3600_000, max(start, s.now-9*24*3600*1000), nil, endedByMove, 0, 0); err != nil {
				return err
			}
			start = max(start, s.now-9*24*3600*1000)
		}
		if err := r.tags.add(ctx, id, tag, m, start, nil, 1, "", 0, 0); err != nil {
			return err
		}
		s.made.Tags++
	}
	return nil
}

// image makes a manifest of a repository with a configuration of its own and
// some layers. held are the blobs of the repository; subject is what the
// manifest refers to, or nil. It returns by how much the repository has grown,
// and the manifest.
func (s *seeder) image(ctx context.Context, r *seededRepo, repo, ns int64, held map[int64]bool, subject *seededLayer) (grown int64, made seededLayer, err error) {
	id := s.manifest + 1 + int64(s.made.Manifests)
	s.made.Manifests++
	blob := func(what string, n int, size int64) (seededLayer, error) {
		s.made.Blobs++
		l := seededLayer{id: s.blob + int64(s.made.Blobs), size: size, digest: digestOf(fmt.Appendf(nil, "%s %d %s %d", s.o.Prefix, s.o.Seed, what, n))}
		if err := r.blobs.add(ctx, l.id, l.digest.Bytes(), size, s.now); err != nil {
			return l, err
		}
		return l, r.placements.add(ctx, l.id, s.o.Location, "", placePresent, s.now, int64(0))
	}
	config, err := blob("config", s.made.Manifests, 1000+s.rng.Int64N(9000))
	if err != nil {
		return 0, made, err
	}
	all := []seededLayer{config}
	most := 3
	if s.o.Layers > 0 {
		most = s.o.Layers
	}
	for k := range 1 + s.rng.IntN(most) {
		if s.o.Layers > 0 && k%2 == 1 {
			l, err := blob("own layer", s.made.Manifests*1000+k, 1+s.rng.Int64N(20<<20))
			if err != nil {
				return 0, made, err
			}
			all = append(all, l)
			continue
		}
		n := s.rng.IntN(max(10, s.o.Repositories/10))
		l, ok := r.layers[n]
		if !ok {
			if l, err = blob("layer", n, 1+s.rng.Int64N(100<<20)); err != nil {
				return 0, made, err
			}
			l.shared = true
			r.layers[n] = l
		}
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	var layers []string
	var layersSize int64
	for i, l := range all {
		s.made.Links++
		if i > 0 {
			layers = append(layers, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}`, l.digest, l.size))
			layersSize += l.size
		}
		if err := r.uses.add(ctx, id, l.id, repo); err != nil {
			return 0, made, err
		}
		if held[l.id] {
			continue
		}
		held[l.id] = true
		grown += l.size
		if err := r.held.add(ctx, repo, l.id, ns, l.size, id, int64(0), int64(0)); err != nil {
			return 0, made, err
		}
		if key := [2]int64{ns, l.id}; !r.inOrg[key] {
			if l.shared {
				r.inOrg[key] = true
			}
			r.usage[ns] += l.size
			if err := r.counted.add(ctx, ns, l.id, l.size, id); err != nil {
				return 0, made, err
			}
		}
	}
	const configType = "application/vnd.oci.image.config.v1+json"
	refers, subjectDigest := "", any(nil)
	if subject != nil {
		refers = fmt.Sprintf(`,"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d}`, subject.digest, subject.size)
		subjectDigest = subject.digest.Bytes()
	}
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[%s]%s}`,
		configType, config.digest, config.size, strings.Join(layers, ","), refers)
	digest := digestOf(body)
	if err := r.manifests.add(ctx, id, repo, digest.Bytes(), "application/vnd.oci.image.manifest.v1+json", configType, configType, subjectDigest, int64(len(body)), layersSize,
		s.ago(365), int64(0), int64(0), 0); err != nil {
		return 0, made, err
	}
	return grown, seededLayer{id: id, size: int64(len(body)), digest: digest}, r.bodies.add(ctx, id, body)
}

func digestOf(b []byte) gantry.Digest {
	return gantry.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(b)))
}

// seedKinds are the kinds of events, each as often as it stands here.
var seedKinds = []string{"push_repo", "push_repo", "push_repo", "create_tag", "move_tag", "delete_tag", "create_repo", "change_repo_permission", "change_repo_visibility", "manifest_label_add"}

// logDays is how far back the log reaches.
const logDays = 90

func (s *seeder) logs(ctx context.Context) error {
	events := s.table("events", s.o.Logs/3, "seq", "at_ms", "kind", "ns_id", "repo_id", "actor_id", "actor", "actor_kind", "ip", "request", "payload")
	pulls := s.table("access_log", s.o.Logs-s.o.Logs/3, "at_ms", "kind", "ns_id", "repo_id", "actor_id", "actor", "actor_kind", "ip", "ref", "media_type", "agent")
	span := int64(logDays) * 24 * 3600 * 1000
	for i := range s.o.Logs {
		repo := s.rng.IntN(s.o.Repositories)
		if s.rng.IntN(100) == 0 {
			repo = 0
		}
		user, org := s.rng.IntN(s.o.Users), s.orgOf(repo)
		at := s.now - span + span*int64(i)/int64(s.o.Logs)
		ip := fmt.Sprintf("10.%d.%d.%d", s.rng.IntN(256), s.rng.IntN(256), s.rng.IntN(256))
		id, tag := s.repo+1+int64(repo), fmt.Sprintf("v%d.%d.%d", s.rng.IntN(10), s.rng.IntN(10), s.rng.IntN(10))
		var err error
		if i%3 == 2 && s.made.Events < s.o.Logs/3 {
			s.made.Events++
			err = events.add(ctx, s.seq+int64(s.made.Events), at, seedKinds[s.rng.IntN(len(seedKinds))], s.orgID(org), id, s.userID(user), s.user(user), gantry.ActorUser, ip, "",
				fmt.Sprintf(`{"namespace":%q,"repo":%q,"tag":%q,"username":%q}`, s.org(org), s.repoName(repo), tag, s.user(user)))
		} else {
			s.made.Pulls++
			err = pulls.add(ctx, at, "pull_repo", s.orgID(org), id, s.userID(user), s.user(user), gantry.ActorUser, ip, tag, "application/vnd.oci.image.manifest.v1+json", "containers/5.34.0")
		}
		if err != nil {
			return err
		}
	}
	return flushAll(ctx, events, pulls)
}

// end makes what numbers the next rows go on behind ours, and lets the
// database count what it has.
func (s *seeder) end(ctx context.Context) error {
	err := s.db.update(ctx, "seed", func(ctx context.Context, t *tx) error {
		last := s.seq + int64(s.made.Events)
		if _, err := t.exec(ctx, `UPDATE sequences SET n = ? WHERE name = 'events'`, last); err != nil {
			return err
		}
		// Nobody is to be told of what never happened.
		if _, err := t.exec(ctx, `UPDATE readers SET seq = ?`, last); err != nil {
			return err
		}
		if t.d.name == "postgres" {
			for _, table := range seeded {
				if _, err := t.exec(ctx, `SELECT setval(pg_get_serial_sequence('`+table+`', 'id'), (SELECT MAX(id) FROM `+table+`)) FROM `+table+` LIMIT 1`); err != nil {
					return err
				}
			}
		}
		t.more = true
		return nil
	})
	if err != nil {
		return err
	}
	s.progress("statistics", 0, 0)
	return s.db.statistics(ctx)
}

// table is where the rows of a table go; total, if not 0, is how many Progress
// is told that there will be.
func (s *seeder) table(name string, total int, cols ...string) *bulk {
	b := newBulk(s.db, name, cols...)
	if total > 0 {
		b.told = func(done int) { s.progress(name, done, total) }
	}
	return b
}

func (s *seeder) progress(table string, done, total int) {
	if s.o.Progress != nil {
		s.o.Progress(table, done, total)
	}
}
