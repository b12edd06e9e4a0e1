package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// An Event is a row of the journal before it is written: one state change,
// told in the transaction that makes it. The caller's Actor comes with it.
type Event struct {
	Kind      string // log kind, as in Quay: "push_repo", "delete_tag", "create_repo", …
	Namespace gantry.AccountID
	Repo      gantry.RepoID // 0 = not about a repository
	Actor     gantry.Actor
	// Payload becomes a JSON object; nil = {}. It never holds a secret. Its
	// keys are those of Quay's log metadata (registry-protocol.md §15).
	Payload any
}

// event appends a row to the journal. Where writers are serial, the row gets
// its number at once; elsewhere the sequencer numbers it once it is committed,
// because ids are not given in the order of commits. Numbers begin with 1; what
// was brought from another registry has smaller ones, which no reader gets.
func (t *tx) event(ctx context.Context, e Event) error {
	payload := []byte("{}")
	if e.Payload != nil {
		var err error
		if payload, err = json.Marshal(e.Payload); err != nil {
			return fmt.Errorf("journal %s: %w", e.Kind, err)
		}
		if string(payload) == "null" { // of a map that is nil
			payload = []byte("{}")
		}
	}
	t.told = true
	seq := "NULL"
	if t.d.serial {
		seq = "(SELECT COALESCE(MAX(seq), 0) + 1 FROM events WHERE seq > 0)" // the newest row is never trimmed
	}
	_, err := t.exec(ctx, `INSERT INTO events (seq, at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, request, payload)
		VALUES (`+seq+`, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.now.UnixMilli(), e.Kind, e.Namespace, e.Repo, e.Actor.Account, cut(e.Actor.Name, 255), actorKind(e.Actor),
		cut(e.Actor.IP, 64), cut(e.Actor.Request, 128), string(payload))
	return err
}
