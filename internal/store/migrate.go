package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"text/template"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql.tmpl
var migrationFiles embed.FS

// Migrate brings the schema to the newest version. Each statement can run
// again, so an interrupted migration is simply repeated. Several processes
// may call it at once: one works, the others wait. A schema that is more than
// one version newer than this program's newest is refused; see CheckSchema.
func (db *DB) Migrate(ctx context.Context) error {
	unlock, err := db.migrationLock(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer unlock()
	p, done, err := db.migrations()
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer done()
	if err := tooNew(ctx, p); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// CheckSchema is for a process that does not migrate. It returns an error
// unless the schema is one that this program serves: its newest version, the
// one before, or the one after, so that releases can be rolled out and back
// one at a time.
func (db *DB) CheckSchema(ctx context.Context) error {
	p, done, err := db.migrations()
	if err != nil {
		return fmt.Errorf("check schema: %w", err)
	}
	defer done()
	if err := tooNew(ctx, p); err != nil {
		return fmt.Errorf("check schema: %w", err)
	}
	has, newest, err := versions(ctx, p)
	if err != nil {
		return fmt.Errorf("check schema: %w", err)
	}
	if has == 0 || has < newest-1 {
		return fmt.Errorf("check schema: the database has version %d and this program needs %d: migrate it first", has, max(newest-1, 1))
	}
	return nil
}

func tooNew(ctx context.Context, p *goose.Provider) error {
	has, newest, err := versions(ctx, p)
	if err == nil && has > newest+1 {
		err = fmt.Errorf("the database has version %d and this program knows none above %d: start a newer release", has, newest)
	}
	return err
}

// versions returns the version of the schema, 0 for none, and the newest one
// that this program knows.
func versions(ctx context.Context, p *goose.Provider) (has, newest int64, err error) {
	has, err = p.GetDBVersion(ctx)
	for _, s := range p.ListSources() {
		newest = max(newest, s.Version)
	}
	return has, newest, err
}

// A Migration is one step of the schema.
type Migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

// Migrations lists the steps and which of them the database has.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	p, done, err := db.migrations()
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	defer done()
	status, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	all := make([]Migration, len(status))
	names, err := fs.Glob(migrationFiles, "migrations/*.sql.tmpl")
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	for i, s := range status {
		all[i] = Migration{s.Source.Version, strings.TrimSuffix(path.Base(names[i]), ".sql.tmpl"), s.State == goose.StateApplied}
	}
	return all, nil
}

// migrations returns the steps for this dialect; done releases what they hold.
func (db *DB) migrations() (p *goose.Provider, done func(), err error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql.tmpl")
	if err != nil {
		return nil, nil, err
	}
	var steps []*goose.Migration
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		sqls, err := db.d.render(name)
		if err != nil {
			return nil, nil, err
		}
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{
			Mode: goose.TransactionDisabled,
			RunDB: func(ctx context.Context, c *sql.DB) error {
				for _, q := range sqls {
					if _, err := c.ExecContext(ctx, q); err != nil && !exists(err) {
						return fmt.Errorf("%w in: %s", err, q)
					}
				}
				return nil
			},
		}, nil))
	}
	pool, done := db.pool, func() {}
	if db.writer != nil { // the pool reads only
		pool, err = sql.Open("sqlite", db.writer.dsn)
		if err != nil {
			return nil, nil, err
		}
		done = func() {
			if err := pool.Close(); err != nil {
				db.log.Warn("close after migrating", "error", err)
			}
		}
	}
	s, err := database.NewStore(database.Dialect(db.d.goose), "schema_version")
	if err != nil {
		done()
		return nil, nil, err
	}
	p, err = goose.NewProvider("", pool, nil, goose.WithStore(s), goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		done()
		return nil, nil, err
	}
	return p, done, nil
}

// exists reports MySQL's "there is an index of that name": it has no CREATE
// INDEX IF NOT EXISTS.
func exists(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == 1061
}

// render returns the statements of a migration file in this dialect.
func (d *dialect) render(name string) ([]string, error) {
	funcs := template.FuncMap{}
	for k, f := range d.types {
		funcs[k] = func(n ...int) string {
			if len(n) == 0 {
				return f("")
			}
			return f(strconv.Itoa(n[0]))
		}
	}
	index := func(kind string) func(name, table, cols string) string {
		return func(name, table, cols string) string {
			guard := "IF NOT EXISTS "
			if d.name == "mysql" {
				guard = ""
			}
			return "CREATE " + kind + " " + guard + name + " ON " + table + " (" + cols + ")"
		}
	}
	funcs["index"], funcs["unique"] = index("INDEX"), index("UNIQUE INDEX")
	t, err := template.New(path.Base(name)).Funcs(funcs).ParseFS(migrationFiles, name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, err
	}
	var plain strings.Builder
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "--") {
			plain.WriteString(line)
		}
	}
	var sqls []string
	for q := range strings.SplitSeq(plain.String(), ";\n") {
		if q = strings.TrimSpace(q); q != "" {
			sqls = append(sqls, q)
		}
	}
	return sqls, nil
}

// migrationLock keeps other processes from migrating at the same time.
func (db *DB) migrationLock(ctx context.Context) (unlock func(), err error) {
	const name = "gantry_migrate"
	var take, give string
	switch db.d.name {
	case "postgres":
		take, give = "SELECT pg_advisory_lock(7201948356)", "SELECT pg_advisory_unlock(7201948356)"
	case "mysql":
		take, give = "SELECT GET_LOCK('"+name+"', 600)", "SELECT RELEASE_LOCK('"+name+"')"
	default:
		return func() {}, nil // the data folder is locked, and SQLite locks the file
	}
	c, err := db.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if db.d.name == "postgres" {
		_, err = c.ExecContext(ctx, "SET statement_timeout = 0; SET lock_timeout = 0")
	}
	if err == nil {
		_, err = c.ExecContext(ctx, take)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return func() {
		bg := context.WithoutCancel(ctx)
		_, err := c.ExecContext(bg, give)
		if db.d.name == "postgres" {
			_, e := c.ExecContext(bg, "SET statement_timeout = 60000; SET lock_timeout = 20000")
			err = errors.Join(err, e)
		}
		if err := errors.Join(err, c.Close()); err != nil {
			db.log.WarnContext(bg, "release the migration lock", "error", err)
		}
	}, nil
}

// has reports whether there is a table of that name. SQLite only.
func (db *DB) has(ctx context.Context, table string) (ok bool, err error) {
	err = db.read(ctx, "look for a table", func(ctx context.Context, t *tx) error {
		return t.queryRow(ctx, `SELECT COUNT(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?`, table).Scan(&ok)
	})
	return ok, err
}
