package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of a Finding.
const (
	FindingOK   = "ok"
	FindingWarn = "warn" // it works, and should be better
	FindingFail = "fail" // it does not work
)

// A Finding is what Examine saw of one thing.
type Finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Saw   string `json:"saw"`
	Do    string `json:"do,omitempty"` // what makes it ok
}

// Examine looks at what a database needs to be fit for the registry: its
// version, its rights, its clock, what it promises at COMMIT. It changes
// nothing.
func (db *DB) Examine(ctx context.Context) []Finding {
	var all []Finding
	add := func(check, state, do, saw string, args ...any) {
		f := Finding{Check: check, State: state, Saw: fmt.Sprintf(saw, args...)}
		if state != FindingOK {
			f.Do = do
		}
		all = append(all, f)
	}
	pick := func(good bool, otherwise string) string {
		if good {
			return FindingOK
		}
		return otherwise
	}
	add("database", FindingOK, "", "%s at %s answers", db.d.name, db.uri.where())
	err := db.read(ctx, "examine", func(ctx context.Context, t *tx) error {
		switch db.d.name {
		case "postgres":
			return examinePostgres(ctx, t, add, pick)
		case "mysql":
			return examineMySQL(ctx, t, add, pick)
		}
		var version, mode string
		if err := t.queryRow(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
			return err
		}
		add("version", FindingOK, "", "SQLite %s", version)
		if err := t.queryRow(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
			return err
		}
		add("journal", pick(mode == "wal", FindingWarn), "put the file on a local disk: network folders cannot share memory", "mode %s", mode)
		return nil
	})
	if err != nil {
		add("settings", FindingWarn, "give the account the right to see the server's settings", "they cannot be read: %v", err)
	}
	if db.server != nil {
		n := 1
		if list, err := db.Instances(ctx, db.Now().Add(-time.Minute)); err == nil {
			n = max(1, len(list))
		}
		if most := db.serverConns(ctx); most > 0 {
			need := n * db.MaxConns()
			add("connections", pick(need <= most, FindingWarn), "lower DB_CONNECTION_ARGS.max_connections, raise the server's limit, or put pgbouncer between",
				"%d instances open up to %d each, %d in all; the server takes %d", n, db.MaxConns(), need, most)
		}
	}
	return all
}

// serverConns is how many connections the server takes from such an account;
// 0 = not known.
func (db *DB) serverConns(ctx context.Context) (n int) {
	q := `SELECT @@max_connections`
	if db.d.name == "postgres" {
		q = `SELECT CAST(current_setting('max_connections') AS INTEGER) - CAST(current_setting('superuser_reserved_connections') AS INTEGER)`
	}
	_ = db.read(ctx, "examine", func(ctx context.Context, t *tx) error { return t.queryRow(ctx, q).Scan(&n) }) // 0 says it
	return n
}

type (
	addFinding  = func(check, state, do, saw string, args ...any)
	pickFinding = func(good bool, otherwise string) string
)

// skewed says how far the clock of a server is from ours.
func skewed(add addFinding, pick pickFinding, began time.Time, ms int64) {
	middle := began.Add(time.Since(began) / 2)
	off := time.UnixMilli(ms).Sub(middle).Round(time.Millisecond)
	add("clock", pick(off.Abs() <= max(2*time.Second, 2*time.Since(began)), FindingWarn), "let both machines follow the same time servers (chrony)", "the server is %v ahead of this machine", off)
}

func examinePostgres(ctx context.Context, t *tx, add addFinding, pick pickFinding) error {
	var version int
	var text, encoding, readOnly, fsync, commit string
	var schema sql.NullString
	var create sql.NullBool
	var standby bool
	err := t.queryRow(ctx, `SELECT CAST(current_setting('server_version_num') AS INTEGER), current_setting('server_version'), current_setting('server_encoding'),
		current_setting('transaction_read_only'), current_setting('fsync'), current_setting('synchronous_commit'),
		current_schema(), has_schema_privilege(current_schema(), 'CREATE'), pg_is_in_recovery()`).
		Scan(&version, &text, &encoding, &readOnly, &fsync, &commit, &schema, &create, &standby)
	if err != nil {
		return err
	}
	state := FindingOK
	switch {
	case version < 130000:
		state = FindingFail
	case version >= 190000:
		state = FindingWarn
	}
	add("version", state, "Gantry is made for PostgreSQL 13 to 18", "PostgreSQL %s", text)
	add("encoding", pick(encoding == "UTF8", FindingFail), "make the database with ENCODING 'UTF8' TEMPLATE template0", "%s", encoding)
	add("rights", pick(create.Bool, FindingFail), "GRANT CREATE ON SCHEMA "+schema.String+" TO the account, or make it the owner of the database", "tables are made in the schema %q: %v", schema.String, create.Bool)
	add("writes", pick(readOnly == "off" && !standby, FindingFail), "name the primary in DB_URI, or all hosts", "read-only %s, standby %v", readOnly, standby)
	add("durability", pick(fsync == "on" && commit != "off", FindingWarn), "turn fsync and synchronous_commit on, or a crash loses pushes that were acknowledged", "fsync %s, synchronous_commit %s", fsync, commit)
	add("extensions", FindingOK, "", "none is needed: search has an index of its own")
	var tls sql.NullBool
	var name sql.NullString
	if err := t.queryRow(ctx, `SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&tls, &name); err != nil {
		return err
	}
	local := strings.HasPrefix(t.db.uri.hosts[0].name, "/")
	add("TLS", pick(tls.Bool || local, FindingWarn), "set DB_CONNECTION_ARGS.sslmode to verify-full, with sslrootcert", "%s", map[bool]string{true: name.String, false: "the connection is not encrypted"}[tls.Bool])
	began := time.Now()
	var ms int64
	if err := t.queryRow(ctx, `SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`).Scan(&ms); err != nil {
		return err
	}
	skewed(add, pick, began, ms)
	return nil
}

func examineMySQL(ctx context.Context, t *tx, add addFinding, pick pickFinding) error {
	var version, charset string
	var readOnly, flush int
	began := time.Now()
	var ms int64
	err := t.queryRow(ctx, `SELECT VERSION(), @@character_set_database, @@global.read_only, @@innodb_flush_log_at_trx_commit, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)`).
		Scan(&version, &charset, &readOnly, &flush, &ms)
	if err != nil {
		return err
	}
	skewed(add, pick, began, ms)
	add("version", pick(mysqlFits(version), FindingWarn), "Gantry is made for MySQL 8 and MariaDB 10.6 to 11", "%s", version)
	add("encoding", FindingOK, "", "the database has %s, the tables have utf8mb4_bin of their own", charset)
	add("writes", pick(readOnly == 0, FindingFail), "name the primary in DB_URI", "read_only %d", readOnly)
	add("durability", pick(flush == 1, FindingWarn), "set innodb_flush_log_at_trx_commit to 1, or a crash loses pushes that were acknowledged", "innodb_flush_log_at_trx_commit %d", flush)
	add("extensions", FindingOK, "", "none is needed: search has an index of its own")
	var has []string
	err = t.each(ctx, func(r *sql.Rows) error {
		var p string
		err := r.Scan(&p)
		has = append(has, p)
		return err
	}, `SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')
		UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND DATABASE() LIKE table_schema`)
	if err != nil {
		return err
	}
	var missing []string
	for _, p := range []string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "INDEX", "DROP"} {
		if !slices.Contains(has, p) {
			missing = append(missing, p)
		}
	}
	add("rights", pick(len(missing) == 0, FindingWarn), "GRANT ALL on the database to the account; rights by a role are not seen here", "missing: %s", strings.Join(append(missing, map[bool]string{true: "none"}[len(missing) == 0]), " "))
	var name, tls string
	if err := t.queryRow(ctx, `SHOW STATUS LIKE 'Ssl_version'`).Scan(&name, &tls); err != nil {
		return err
	}
	local := strings.HasPrefix(t.db.uri.hosts[0].name, "/")
	add("TLS", pick(tls != "" || local, FindingWarn), "set DB_CONNECTION_ARGS.ssl.ca", "%s", map[bool]string{true: tls, false: "the connection is not encrypted"}[tls != ""])
	return nil
}

// mysqlFits reports whether the version is one that Gantry is made for.
func mysqlFits(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if err1 != nil || err2 != nil {
		return false
	}
	if strings.Contains(version, "MariaDB") {
		return a == 10 && b >= 6 || a == 11
	}
	return a == 8
}
