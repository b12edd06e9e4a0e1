package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// AllLogs are all entries of a Quay's action log, however old.
const AllLogs = time.Duration(math.MaxInt64)

// quayLogTables hold a Quay's action log. Old releases wrote the first two; an
// entry is in one of them.
var quayLogTables = []string{"logentry", "logentry2", "logentry3"}

// quayServiceKinds are of the registry itself, whatever namespace a Quay
// writes beside them: only superusers see them.
var quayServiceKinds = []string{"service_key_create", "service_key_approve", "service_key_delete", "service_key_modify", "service_key_extend", "service_key_rotate"}

// quayLogWindow is about how many entries of a table are asked for at once.
const quayLogWindow = 20_000

// readLogs brings the action log over, from the oldest entry on, into the
// journal: pulls, too, for their metadata says more than the log of pulls
// keeps. The entries have numbers below 0, which no reader of the journal ever
// gets, so nobody is told of them.
func (i *quayImport) readLogs(ctx context.Context) error {
	if m := i.o.LogsModel; m != "" && m != "database" {
		i.out.LeftOut = append(i.out.LeftOut, QuayLeftOut{What: "log entries", Examples: []string{},
			Why: fmt.Sprintf("the Quay's LOGS_MODEL is %.40s: what it wrote there stays there, and only what is in its database comes over", m)})
	}
	since := time.Unix(0, 0)
	if age := i.o.Logs; age < i.from.now.Sub(since) {
		since = i.from.now.Add(-age)
	}
	tables, wanted, err := i.countLogs(ctx, quayTime(since))
	if err != nil || wanted == 0 {
		return err
	}
	kinds := map[int64]string{}
	err = i.from.each(ctx, `SELECT id, name FROM logentrykind`, func(r *quayRow) error {
		if name := r.text(1); name != "" && len(name) <= 64 {
			kinds[r.int(0)] = name
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows := i.table("events", "seq", "at_ms", "kind", "ns_id", "repo_id", "actor_id", "actor", "actor_kind", "ip", "request", "payload")
	seq := -wanted
	err = i.from.eachLog(ctx, tables, quayTime(since), func(r *quayRow) error {
		kind, ok := kinds[r.int(3)]
		if !ok {
			i.leave("log entries", "their kind has no name, or a very long one", fmt.Sprintf("kind %d", r.int(3)))
			return nil
		}
		payload, ok := quayMetadata(r.text(8))
		if !ok {
			i.leave("metadata of log entries", "not a JSON object, or larger than 1 MiB", fmt.Sprintf("%s %d", quayLogTables[r.int(1)], r.int(2)))
		}
		ns, repo := r.int(4), r.int(6)
		if _, ok := i.accounts[ns]; !ok || slices.Contains(quayServiceKinds, kind) {
			ns = 0 // its id may be given anew
		}
		if !i.has(repo) {
			repo = 0
		}
		actor := i.logActor(r.int(5), kind, payload)
		at := seq
		seq++
		return rows.add(ctx, at, r.millis(0), kind, ns, repo, int64(actor.Account), cut(actor.Name, 255), actor.Kind, cut(cleanText(r.text(7)), 64), "", payload)
	})
	if err != nil {
		return err
	}
	err = rows.flush(ctx)
	i.counted("log entries", rows.done)
	return err
}

// countLogs counts the entries since a time, and tells of the others. tables
// are those that have some.
func (i *quayImport) countLogs(ctx context.Context, since string) (tables []string, wanted int64, err error) {
	const most = 1_000_000 // of those that stay behind
	older := int64(0)
	for _, table := range quayLogTables {
		if i.from.columns[table] == nil {
			continue
		}
		stay, args := "", []any(nil)
		if i.o.Logs > 0 {
			stay, args = " WHERE [datetime] < ?", []any{since}
			err := i.from.each(ctx, `SELECT COUNT(*) FROM `+table+` WHERE [datetime] >= ?`, func(r *quayRow) error {
				if r.int(0) > 0 {
					tables = append(tables, table)
				}
				wanted += r.int(0)
				return nil
			}, since)
			if err != nil {
				return nil, 0, err
			}
		}
		err := i.from.each(ctx, `SELECT COUNT(*) FROM (SELECT 1 AS one FROM `+table+stay+` LIMIT `+big(most)+`) x`, func(r *quayRow) error {
			older += r.int(0)
			return nil
		}, args...)
		if err != nil {
			return nil, 0, err
		}
	}
	if older == 0 {
		return tables, wanted, nil
	}
	why := "older than was asked for (--logs)"
	if i.o.Logs <= 0 {
		why = "the action log was not asked for (--logs)"
	}
	if older >= most {
		why += "; there may be more"
	}
	i.out.LeftOut = append(i.out.LeftOut, QuayLeftOut{What: "log entries", Why: why + ": keep the Quay's database, or export them there", N: int(older), Examples: []string{}})
	return tables, wanted, nil
}

// logActor is who did what an entry tells.
func (i *quayImport) logActor(id int64, kind, payload string) gantry.Actor {
	a, ok := i.accounts[id]
	switch {
	case ok && a.kind == gantry.Robot:
		return gantry.Actor{Account: gantry.AccountID(id), Name: a.name, Kind: gantry.ActorRobot}
	case ok:
		return gantry.Actor{Account: gantry.AccountID(id), Name: a.name, Kind: gantry.ActorUser}
	case id != 0: // who is gone; a Quay names nobody then
		return gantry.Actor{Kind: gantry.ActorUser}
	case !strings.HasPrefix(kind, "pull_"):
		return gantry.Actor{Kind: gantry.ActorSystem}
	}
	var by struct {
		Token json.RawMessage `json:"token"`
	}
	if json.Unmarshal([]byte(payload), &by) == nil && len(by.Token) > 0 { // an access token of a repository
		return gantry.Actor{Kind: gantry.ActorToken}
	}
	return gantry.Actor{Kind: gantry.ActorAnonymous}
}

// quayTime is a time as a Quay's columns are compared with: they are in UTC.
func quayTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }

// eachLog hands on the entries of tables since a time, in order of time: the
// time, which of quayLogTables, id, kind, account, performer, repository, ip
// and metadata. They are asked for in windows of time, so that no database has
// to sort all of them.
func (q *quaySource) eachLog(ctx context.Context, tables []string, since string, f func(*quayRow) error) error {
	for from, to := since, ""; ; from = to {
		// The window ends before a time that many entries further is, or if all
		// of these have one time, before the next time.
		var err error
		to, err = q.logTime(ctx, tables, `[datetime] >= ? ORDER BY [datetime] LIMIT 1 OFFSET `+big(quayLogWindow), from)
		if err == nil && to == from {
			to, err = q.logTime(ctx, tables, `[datetime] > ? ORDER BY [datetime] LIMIT 1`, from)
		}
		if err != nil {
			return err
		}
		var selects []string
		var args []any
		for n, table := range quayLogTables {
			if !slices.Contains(tables, table) {
				continue
			}
			s := fmt.Sprintf(`SELECT [datetime] AS at_time, %d AS of_table, id, kind_id, account_id, performer_id, repository_id, ip, metadata_json FROM %s WHERE [datetime] >= ?`, n, table)
			args = append(args, from)
			if to != "" {
				s, args = s+` AND [datetime] < ?`, append(args, to)
			}
			selects = append(selects, s)
		}
		if err := q.each(ctx, strings.Join(selects, " UNION ALL ")+` ORDER BY at_time, of_table, id`, f, args...); err != nil || to == "" {
			return err
		}
	}
}

// logTime is the earliest time that a condition finds in one of tables; "" if
// there is none.
func (q *quaySource) logTime(ctx context.Context, tables []string, cond, from string) (first string, err error) {
	for _, table := range tables {
		if err := q.each(ctx, `SELECT [datetime] FROM `+table+` WHERE `+cond, func(r *quayRow) error {
			if at := quayTime(r.time(0)); first == "" || at < first {
				first = at
			}
			return nil
		}, from); err != nil {
			return "", err
		}
	}
	return first, nil
}

// quayMetadata is the metadata of an entry as a payload of the journal, a JSON
// object. A Quay may have encoded it twice. ok is false for what is none, or
// too large: it is empty here.
func quayMetadata(text string) (payload string, ok bool) {
	const blank, empty = " \t\r\n", "{}"
	text = strings.Trim(text, blank)
	if strings.HasPrefix(text, `"`) {
		var inner string
		if json.Unmarshal([]byte(text), &inner) != nil {
			return empty, false
		}
		text = strings.Trim(inner, blank)
	}
	switch {
	case text == "" || text == "null":
		return empty, true
	case text[0] != '{' || len(text) > bulkText || !json.Valid([]byte(text)):
		return empty, false
	}
	return strings.ToValidUTF8(text, "\ufffd"), true
}

// cleanText is text that every database takes.
func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}

// dropImportedLogs deletes what an interrupted import wrote into the journal.
// What else is there stays, for its readers know its numbers.
func (s *side) dropImportedLogs(ctx context.Context) error {
	for {
		var first sql.NullInt64
		if err := s.pool.QueryRowContext(ctx, `SELECT MIN(seq) FROM events WHERE seq < 0`).Scan(&first); err != nil || !first.Valid {
			return err
		}
		if _, err := s.pool.ExecContext(ctx, s.d.bind(`DELETE FROM events WHERE seq < 0 AND seq < ?`), first.Int64+bulkRows); err != nil {
			return err
		}
	}
}
