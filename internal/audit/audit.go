// Package audit takes the audit log out of the database: as exports that
// people ask for, as archives of old entries, and as a stream of lines for
// collectors.
package audit

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// Metadata is what an entry tells of itself, as Quay has it: a JSON object.
func Metadata(r *store.AuditRow, names store.AuditNames) any {
	if !r.Pull {
		if len(r.Payload) == 0 || string(r.Payload) == "null" || !json.Valid(r.Payload) {
			return map[string]any{}
		}
		return r.Payload
	}
	m := map[string]any{"mediaType": r.MediaType, "useragent": r.Actor.Agent}
	if repo, ok := names.Repositories[r.Repo]; ok {
		m["repo"], m["namespace"] = repo.Name, repo.Namespace
	}
	if strings.Contains(r.Ref, ":") {
		m["manifest_digest"] = r.Ref
	} else {
		m["tag"] = r.Ref
	}
	switch r.Actor.Kind {
	case gantry.ActorUser:
		m["username"] = r.Actor.Name
	case gantry.ActorRobot:
		m["robot"] = r.Actor.Name
	case gantry.ActorToken, gantry.ActorOAuth, gantry.ActorApp:
		m["username"], m["auth_type"] = r.Actor.Name, r.Actor.Kind
	}
	return m
}

// performer is who did something.
type performer struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Robot bool   `json:"is_robot"`
}

// exported is an entry as an export has it, which is as the API shows it.
type exported struct {
	Kind      string     `json:"kind"`
	Metadata  any        `json:"metadata"`
	IP        *string    `json:"ip"`
	Datetime  string     `json:"datetime"`
	Performer *performer `json:"performer,omitempty"`
}

func exportedOf(r *store.AuditRow, names store.AuditNames) exported {
	e := exported{Kind: r.Kind, Metadata: Metadata(r, names), Datetime: r.At.Format(time.RFC1123Z)}
	if r.Actor.IP != "" {
		e.IP = &r.Actor.IP
	}
	if r.Actor.Account != 0 && r.Actor.Name != "" {
		e.Performer = &performer{"user", r.Actor.Name, strings.Contains(r.Actor.Name, "+")}
	}
	return e
}

// A Line is an entry of the audit log as archives and the stream have it: one
// JSON object a line.
type Line struct {
	ID            string    `json:"id"` // e and the id of a change, p and the id of a pull
	Seq           int64     `json:"seq,omitempty"`
	Time          time.Time `json:"time"`
	Kind          string    `json:"kind"`
	Namespace     string    `json:"namespace,omitempty"` // as it is called now
	NamespaceID   int64     `json:"namespace_id,omitempty"`
	RepositoryID  int64     `json:"repository_id,omitempty"`
	Performer     string    `json:"performer,omitempty"`
	PerformerKind string    `json:"performer_kind"`
	IP            string    `json:"ip,omitempty"`
	Request       string    `json:"request_id,omitempty"`
	Metadata      any       `json:"metadata"`
}

// lines are rows as JSON, one a line.
func lines(ctx context.Context, db *store.DB, rows []store.AuditRow, seq func(i int) int64) ([]byte, error) {
	names, err := db.AuditNames(ctx, rows, true)
	if err != nil {
		return nil, err
	}
	var out []byte
	for i := range rows {
		r := &rows[i]
		l := Line{Seq: seq(i), Time: r.At.UTC(), Kind: r.Kind, Namespace: names.Namespaces[r.Namespace].Name, NamespaceID: int64(r.Namespace), RepositoryID: int64(r.Repo),
			Performer: r.Actor.Name, PerformerKind: r.Actor.Kind, IP: r.Actor.IP, Request: r.Actor.Request, Metadata: Metadata(r, names)}
		l.ID = "e" + itoa(r.ID)
		if r.Pull {
			l.ID = "p" + itoa(r.ID)
		}
		b, err := json.Marshal(l)
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	return out, nil
}
