package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// About is what a database server says of itself.
type About struct {
	Dialect string // sqlite, postgres or mysql
	Version string
	Major   int    // of PostgreSQL; else 0
	TLS     string // version of the connection, such as TLSv1.3; "" = it is plain
	Trigram bool   // PostgreSQL has the extension pg_trgm in this database
}

// About asks the server for its version, and how we are connected. Of SQLite
// only the version is known.
func (db *DB) About(ctx context.Context) (a About, err error) {
	a.Dialect = db.d.name
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask the database about itself: %w", err)
		}
	}()
	conn, err := db.pool.Conn(ctx) // all of it is of one connection
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	one := func(query string, to ...any) error {
		err := conn.QueryRowContext(ctx, query).Scan(to...)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	}
	switch a.Dialect {
	case "postgres":
		var number int
		var encrypted sql.NullString
		err = one(`SELECT current_setting('server_version'), current_setting('server_version_num')::int,
			(SELECT count(*) > 0 FROM pg_extension WHERE extname = 'pg_trgm')`, &a.Version, &number, &a.Trigram)
		if err == nil {
			err = one(`SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl`, &encrypted)
		}
		a.Major, a.TLS = number/10_000, encrypted.String
	case "mysql":
		var name string
		err = one(`SELECT version()`, &a.Version)
		if err == nil {
			err = one(`SHOW SESSION STATUS LIKE 'Ssl_version'`, &name, &a.TLS)
		}
	default:
		err = one(`SELECT sqlite_version()`, &a.Version)
	}
	a.Version, _, _ = strings.Cut(a.Version, " ")
	return a, err
}
