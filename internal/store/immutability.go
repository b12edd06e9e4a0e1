package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An ImmutabilityRule says whether immutability policies are held. The zero
// value holds none.
type ImmutabilityRule struct {
	On        bool
	MayExpire bool // an immutable tag may have an end
}

// span is the span s of a tag, which a policy makes immutable, or not. What a
// label says of its end does not count then, unless immutable tags may have
// one: else a label would get around the policy.
func (r ImmutabilityRule) span(s tagSpan, freezes bool) tagSpan {
	if s.immutable = freezes; freezes && !r.MayExpire {
		s.expires = 0
	}
	return s
}

// immutability returns what tells whether a tag of the repository becomes
// immutable when it is made or moved: no statement where there are no
// policies, and one where there are.
func (t *tx) immutability(ctx context.Context, rule ImmutabilityRule, r target, repo gantry.RepoID) (func(tag string) bool, error) {
	if !rule.On || !r.policies {
		return func(string) bool { return false }, nil
	}
	all, err := t.immutabilityPolicies(ctx, `ns_id = ? AND repo_id IN (0, ?)`, r.ns, repo)
	if err != nil {
		return nil, err
	}
	choosers := make([]func(string) bool, 0, len(all))
	for _, p := range all {
		f, err := p.Chooser(true)
		if err != nil { // it compiled when it was made
			return nil, err
		}
		choosers = append(choosers, f)
	}
	return func(tag string) bool {
		for _, f := range choosers {
			if f(tag) {
				return true
			}
		}
		return false
	}, nil
}

// frozenByPolicy tells the journal that a policy made a tag immutable.
func (t *tx) frozenByPolicy(ctx context.Context, r target, repo gantry.RepoID, tag string, d gantry.Digest, actor gantry.Actor) error {
	return t.event(ctx, Event{Kind: "tag_made_immutable_by_policy", Namespace: r.ns, Repo: repo, Actor: actor,
		Payload: tagPayload{r.name.Name, r.name.Namespace, tag, d}})
}

func (t *tx) immutabilityPolicies(ctx context.Context, where string, args ...any) (all []ImmutabilityPolicy, err error) {
	err = t.each(ctx, func(r *sql.Rows) error {
		var p ImmutabilityPolicy
		var matches int
		err := r.Scan(&p.UUID, &p.Repo, &p.Pattern, &matches)
		p.Matches = matches != 0
		all = append(all, p)
		return err
	}, `SELECT uuid, repo_id, pattern, matches FROM immutability_policies WHERE `+where+` ORDER BY id`, args...)
	return all, err
}

// ImmutabilityPolicies returns those of a namespace itself, or of a repository
// itself, in the order in which they were made.
func (db *DB) ImmutabilityPolicies(ctx context.Context, of PolicyOwner) (all []ImmutabilityPolicy, err error) {
	err = db.read(ctx, "list immutability policies", func(ctx context.Context, t *tx) error {
		all, err = t.immutabilityPolicies(ctx, `ns_id = ? AND repo_id = ?`, of.Namespace, of.Repo)
		return err
	})
	return all, err
}

// JobMark is the kind of the jobs that mark existing tags; their payload is a
// MarkJob.
const JobMark = "tags.mark-immutable"

// A MarkJob marks the tags that a policy chooses.
type MarkJob struct {
	Policy  string `json:"policy"`
	SinceMS int64  `json:"since_ms"` // only tags that began then or later; 0 = all
}

// markAgain is how long after a change of policies tags are looked at again
// that pushes made which had not seen it.
const markAgain = 5 * time.Minute

// SetImmutabilityPolicy makes a policy, where id is "", or changes the one of
// that id, and queues the marking of tags that it chooses. It returns the id.
// The rule has been checked. Conflict on "policy" for one that is there
// already, Invalid for one too many, NotFound on "policy".
func (db *DB) SetImmutabilityPolicy(ctx context.Context, of PolicyOwner, id string, r gantry.TagRule, actor gantry.Actor) (string, error) {
	made := id
	err := db.update(ctx, "set immutability policy", func(ctx context.Context, t *tx) error {
		if err := t.lockOwner(ctx, of); err != nil {
			return err
		}
		all, err := t.immutabilityPolicies(ctx, `ns_id = ? AND repo_id = ?`, of.Namespace, of.Repo)
		if err != nil {
			return err
		}
		there := false
		for _, p := range all {
			there = there || p.UUID == id
			if p.TagRule == r && p.UUID != id {
				return gantry.Errorf(gantry.Conflict, "policy", "A policy with the same tagPattern and tagPatternMatches already exists")
			}
		}
		act := "update"
		switch {
		case id == "" && len(all) >= MaxPolicies:
			return tooManyPolicies
		case id == "":
			act, made = "create", uuid.NewString()
			_, err = t.exec(ctx, `INSERT INTO immutability_policies (uuid, ns_id, repo_id, pattern, matches) VALUES (?, ?, ?, ?, ?)`,
				made, of.Namespace, of.Repo, r.Pattern, flag(r.Matches))
		case !there:
			return errNoPolicy
		default:
			_, err = t.exec(ctx, `UPDATE immutability_policies SET pattern = ?, matches = ? WHERE uuid = ?`, r.Pattern, flag(r.Matches), id)
		}
		if err != nil {
			return err
		}
		if _, err := t.enqueue(ctx, []NewJob{
			{Kind: JobMark, Dedupe: made, Rerun: true, Payload: MarkJob{Policy: made}},
			{Kind: JobMark, Dedupe: made + " " + big(t.now.UnixMilli()), After: t.now.Add(markAgain), Priority: Idle,
				Payload: MarkJob{made, t.now.Add(-time.Minute).UnixMilli()}},
		}); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: act + "_immutability_policy", Namespace: of.Namespace, Repo: of.Repo, Actor: actor, Payload: of.payload(made, r)})
	})
	return made, err
}

// DeleteImmutabilityPolicy deletes a policy; what it made immutable stays so.
// NotFound on "policy".
func (db *DB) DeleteImmutabilityPolicy(ctx context.Context, of PolicyOwner, id string, actor gantry.Actor) error {
	return db.update(ctx, "delete immutability policy", func(ctx context.Context, t *tx) error {
		if err := t.lockOwner(ctx, of); err != nil {
			return err
		}
		all, err := t.immutabilityPolicies(ctx, `uuid = ? AND ns_id = ? AND repo_id = ?`, id, of.Namespace, of.Repo)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errNoPolicy
		}
		if _, err := t.exec(ctx, `DELETE FROM immutability_policies WHERE uuid = ?`, id); err != nil {
			return err
		}
		return t.event(ctx, Event{Kind: "delete_immutability_policy", Namespace: of.Namespace, Repo: of.Repo, Actor: actor,
			Payload: of.payload(id, all[0].TagRule)})
	})
}

// A MarkPlace is how far the marking of tags is. The zero value is the start.
type MarkPlace struct {
	Repo    gantry.RepoID `json:"repo"`
	StartMS int64         `json:"start_ms"`
	Tag     int64         `json:"tag"`
}

const (
	markTags  = 500 // that one step looks at
	markRepos = 100 // that one step goes through
)

// MarkImmutable does one step of marking the live tags that a policy chooses:
// it looks at some hundred of them, at those without an end unless mayExpire,
// and returns where to go on. Done is true at the end, and when the policy is
// gone.
func (db *DB) MarkImmutable(ctx context.Context, j MarkJob, at MarkPlace, mayExpire bool) (next MarkPlace, marked int, done bool, err error) {
	err = db.update(ctx, "mark tags immutable", func(ctx context.Context, t *tx) error {
		next, marked, done = at, 0, false
		var p ImmutabilityPolicy
		var ns gantry.AccountID
		var matches int
		err := t.queryRow(ctx, `SELECT uuid, ns_id, repo_id, pattern, matches FROM immutability_policies WHERE uuid = ?`, j.Policy).
			Scan(&p.UUID, &ns, &p.Repo, &p.Pattern, &matches)
		if errors.Is(err, sql.ErrNoRows) {
			done = true
			return nil
		} else if err != nil {
			return err
		}
		p.Matches = matches != 0
		freezes, err := p.Chooser(true)
		if err != nil {
			return err
		}
		seen := 0
		for range markRepos {
			var r target
			var repo gantry.RepoID
			err := t.queryRow(ctx, `SELECT r.id, r.ns_id, a.name, r.name FROM repositories r JOIN accounts a ON a.id = r.ns_id
				WHERE r.ns_id = ? AND r.id >= ? AND (? = 0 OR r.id = ?) AND r.deleted_ms = 0 ORDER BY r.id LIMIT 1`,
				ns, next.Repo, p.Repo, p.Repo).Scan(&repo, &r.ns, &r.name.Namespace, &r.name.Name)
			if errors.Is(err, sql.ErrNoRows) {
				done = true
				return nil
			} else if err != nil {
				return err
			}
			if repo != next.Repo {
				next = MarkPlace{Repo: repo, StartMS: j.SinceMS}
			}
			n, m, err := t.markRepository(ctx, &p, r, &next, freezes, mayExpire, markTags-seen)
			if err != nil {
				return err
			}
			seen, marked = seen+n, marked+m
			if seen >= markTags {
				return nil
			}
			next = MarkPlace{Repo: repo + 1, StartMS: j.SinceMS}
		}
		return nil
	})
	return next, marked, done, err
}

// markRepository looks at up to n tags of a repository after a place, which it
// moves, and returns how many it saw and marked.
func (t *tx) markRepository(ctx context.Context, p *ImmutabilityPolicy, r target, at *MarkPlace, freezes func(string) bool, mayExpire bool, n int) (seen, marked int, err error) {
	const most = 20 // names that the journal lists
	var ids []int64
	var names []string
	if err := t.each(ctx, func(rows *sql.Rows) error {
		var name string
		var immutable int
		err := rows.Scan(&at.Tag, &at.StartMS, &name, &immutable)
		seen++
		if immutable == 0 && freezes(name) {
			ids, names = append(ids, at.Tag), append(names, name)
		}
		return err
	}, `SELECT id, start_ms, name, immutable FROM tags WHERE repo_id = ? AND live = 1 AND start_ms >= ? AND (start_ms > ? OR id > ?)
		ORDER BY start_ms, id LIMIT `+big(int64(n)), at.Repo, at.StartMS, at.StartMS, at.Tag); err != nil || len(ids) == 0 {
		return seen, 0, err
	}
	guard := ""
	if !mayExpire {
		guard = ` AND end_ms IS NULL AND NOT EXISTS (SELECT 1 FROM frozen_tags f WHERE f.tag_id = tags.id)`
	}
	in, args := list(ids, []any{t.now.UnixMilli()})
	changed, err := t.exec(ctx, `UPDATE tags SET immutable = 1 WHERE live = 1 AND immutable = 0 AND (end_ms IS NULL OR end_ms > ?) AND id IN `+in+guard, args...)
	if err != nil || changed == 0 {
		return seen, 0, err
	}
	if int(changed) != len(names) {
		names = nil // which of them, nobody knows
	}
	t.grow(at.Repo)
	return seen, int(changed), t.event(ctx, Event{Kind: "tags_made_immutable_by_policy", Namespace: r.ns, Repo: at.Repo, Actor: pruneActor,
		Payload: map[string]any{"namespace": r.name.Namespace, "repo": r.name.Name, "count": changed, "policy_uuid": p.UUID,
			"tag_pattern": p.Pattern, "tag_pattern_matches": p.Matches, "tags": names[:min(len(names), most)]}})
}
