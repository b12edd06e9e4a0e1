package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestPagesReadNoMore holds that a page of tags and a page of the catalog
// read about as many rows as they have, at any depth, beside any amount of
// history. GANTRY_PLAN_ROWS is the number of tags and of repositories.
func TestPagesReadNoMore(t *testing.T) {
	n := 20_000
	if s := os.Getenv("GANTRY_PLAN_ROWS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	const page = 100
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ns := storetest.Namespace(t, db)
		user := storetest.Account(t, db, gantry.User)
		repo := storetest.RepoIn(t, db, ns)
		storetest.RepoIn(t, db, user) // one of their own
		insert := `INSERT INTO `
		if db.Dialect() == "mysql" {
			insert = `SET STATEMENT max_recursive_iterations = 4294967295 FOR ` + insert
		}
		numbers := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)
		for _, live := range []string{"1", "NULL", "NULL"} {
			storetest.Exec(t, db, insert+`tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable) `+numbers+
				`SELECT `+fmt.Sprint(int64(repo))+`, CONCAT('t', i), 1, i, NULL, `+live+`, '', 0, 0 FROM n`)
		}
		for _, visibility := range []string{"private", "public"} {
			storetest.Exec(t, db, insert+`repositories (ns_id, name, visibility, state, version, description, created_ms, deleted_ms) `+numbers+
				`SELECT `+fmt.Sprint(int64(ns))+`, CONCAT('`+visibility+`', i), '`+visibility+`', 0, 1, '', 0, 0 FROM n`)
		}
		pool := storetest.SQL(t, db)
		if a := map[string]string{"postgres": "ANALYZE", "mysql": "ANALYZE TABLE tags, repositories, accounts, permissions, team_members"}[db.Dialect()]; a != "" {
			if _, err := pool.ExecContext(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		var query string
		var args []any
		statements := 0
		db.Trace(func(q string, a []any) { query, args = q, a; statements++ })
		check := func(what string, most int, f func() (int, error)) {
			t.Helper()
			statements = 0
			if got, err := f(); err != nil || got != page || statements != 1 {
				t.Errorf("%s: %d entries by %d statements, %v", what, got, statements, err)
				return
			}
			if why := readsMore(t, db.Dialect(), pool, most, query, args); why != "" {
				t.Errorf("%s: %s\n%s", what, why, query)
			}
		}
		for _, after := range []string{"", "t5", "t99"} {
			check("tags after "+after, 2*page, func() (int, error) {
				names, err := db.Tags(t.Context(), repo, after, page)
				return len(names), err
			})
		}
		last := gantry.RepoID(storetest.Get(t, db, `SELECT MAX(id) FROM repositories`))
		for _, after := range []gantry.RepoID{0, last - 1000} {
			for what, q := range map[string]store.CatalogQuery{
				"anonymous": {Public: true}, "user": {Public: true, Account: user}, "superuser": {Superuser: true},
				"user, the newest": {Public: true, Account: user, Newest: true}, "superuser, the newest": {Superuser: true, Newest: true},
			} {
				q.After, q.N = after, page
				check(fmt.Sprintf("catalog of %s after %d", what, after), 20*page, func() (int, error) {
					list, err := db.Catalog(t.Context(), q)
					return len(list), err
				})
			}
		}
	})
}

// readsMore says what a query does that costs more than reading that many
// rows; "" is nothing.
func readsMore(t *testing.T, dialect string, pool *sql.DB, most int, query string, args []any) string {
	t.Helper()
	ctx := t.Context()
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // only read
	for i, a := range args {            // plain values, for a plain connection
		switch v := a.(type) {
		case gantry.RepoID:
			args[i] = int64(v)
		case gantry.AccountID:
			args[i] = int64(v)
		}
	}
	switch dialect {
	case "sqlite":
		plan := strings.Join(texts(ctx, t, conn, 3, `EXPLAIN QUERY PLAN `+query, args...), "\n")
		for _, table := range []string{"tags", "repositories", "permissions", "accounts", "r", "a", "x", "p", "w", "s"} {
			if strings.Contains(plan, "CO-ROUTINE "+table+"\n") {
				continue // what another line of the plan gives, not a table
			}
			if strings.Contains(plan+"\n", "SCAN "+table+"\n") || strings.Contains(plan, "SCAN "+table+" ") {
				return "a whole table is read:\n" + plan
			}
		}
		if strings.Contains(query, "FROM tags") && strings.Contains(plan, "TEMP B-TREE") {
			return "it sorts:\n" + plan
		}
	case "postgres":
		var plans []struct{ Plan planNode }
		text := strings.Join(texts(ctx, t, conn, 0, `EXPLAIN (ANALYZE, FORMAT JSON) `+query, args...), "\n")
		if err := json.Unmarshal([]byte(text), &plans); err != nil {
			t.Fatal(err)
		}
		if n := plans[0].Plan.rows(); n > float64(most) {
			return fmt.Sprintf("%v rows are read:\n%s", n, strings.Join(texts(ctx, t, conn, 0, `EXPLAIN ANALYZE `+query, args...), "\n"))
		}
	case "mysql":
		if _, err := conn.ExecContext(ctx, `FLUSH STATUS`); err != nil {
			t.Fatal(err)
		}
		texts(ctx, t, conn, 0, query, args...)
		rows, err := conn.QueryContext(ctx, `SHOW SESSION STATUS LIKE 'Handler_read%'`)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }() // only read
		sum, all := 0, ""
		for rows.Next() {
			var name string
			var n int
			if err := rows.Scan(&name, &n); err != nil {
				t.Fatal(err)
			}
			sum += n
			all += fmt.Sprintf("%s %d\n", name, n)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if sum > most {
			return fmt.Sprintf("%d rows are read:\n%s", sum, all)
		}
	}
	return ""
}

// planNode is a step of a plan of PostgreSQL that was run.
type planNode struct {
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []planNode
}

func (p planNode) rows() float64 {
	if len(p.Plans) == 0 {
		return (p.Rows + p.Removed) * p.Loops
	}
	n := 0.0
	for _, q := range p.Plans {
		n += q.rows()
	}
	return n
}

// texts runs a query and returns one of its columns.
func texts(ctx context.Context, t *testing.T, conn *sql.Conn, column int, query string, args ...any) (all []string) {
	t.Helper()
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }() // only read
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		all = append(all, values[column].(*sql.NullString).String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
