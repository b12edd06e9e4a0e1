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
	if err := db.notQuays(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := db.migrate(ctx); err != nil {
		return err
	}
	return db.notACopy(ctx)
}

func (db *DB) migrate(ctx context.Context) error {
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
	if db.watch == nil {
		return nil
	}
	return db.lookForRemovals(ctx)
}

// CheckSchema is for a process that does not migrate. It returns an error
// unless the schema is one that this program serves: its newest version, the
// one before, or the one after, so that releases can be rolled out and back
// one at a time.
func (db *DB) CheckSchema(ctx context.Context) error {
	if err := db.notQuays(ctx); err != nil {
		return fmt.Errorf("check schema: %w", err)
	}
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
	before := int64(1) // the version before the newest: numbers may be left out
	for _, s := range p.ListSources() {
		if s.Version < newest {
			before = max(before, s.Version)
		}
	}
	if has < before {
		return fmt.Errorf("check schema: the database has version %d and this program needs %d: gantry db migrate brings it up", has, before)
	}
	return db.notACopy(ctx)
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
	// The pool of SQLite reads only; that of a server ends what takes long,
	// such as an index of a large table.
	var pool *sql.DB
	if db.writer != nil {
		pool, err = sql.Open("sqlite", db.writer.dsn)
	} else {
		pool, err = db.maintenance()
	}
	if err != nil {
		return nil, nil, err
	}
	done = func() {
		if err := pool.Close(); err != nil {
			db.log.Warn("close after migrating", "error", err)
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

// migrationLock keeps other processes from migrating at the same time. With
// PostgreSQL it is held by a transaction, which a pooler leaves on one
// session.
func (db *DB) migrationLock(ctx context.Context) (unlock func(), err error) {
	if db.server == nil {
		return func() {}, nil // the data folder is locked, and SQLite locks the file
	}
	pool, err := db.maintenance()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pool.Close())
		}
	}()
	if db.d.name == "postgres" {
		t, err := pool.BeginTx(context.WithoutCancel(ctx), nil) // which ends in unlock, not with ctx
		if err != nil {
			return nil, err
		}
		const take = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(7201948356)"
		if _, err := t.ExecContext(ctx, take); err != nil {
			return nil, errors.Join(err, t.Rollback())
		}
		return db.unlocking(ctx, func(context.Context) error { return errors.Join(t.Rollback(), pool.Close()) }), nil
	}
	const name = "'gantry_migrate'"
	c, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = c.ExecContext(ctx, "SELECT GET_LOCK("+name+", 600)"); myCode(1105, 1235)(err) {
		// A cluster that forbids such locks (pxc_strict_mode). Every step can
		// run twice, so two at once do no harm.
		db.log.WarnContext(ctx, "this database has no locks by name: let one instance at a time migrate", "error", err)
		err = nil
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return db.unlocking(ctx, func(ctx context.Context) error {
		_, err := c.ExecContext(ctx, "SELECT RELEASE_LOCK("+name+")")
		return errors.Join(err, c.Close(), pool.Close())
	}), nil
}

func (db *DB) unlocking(ctx context.Context, unlock func(context.Context) error) func() {
	ctx = context.WithoutCancel(ctx)
	return func() {
		if err := unlock(ctx); err != nil {
			db.log.WarnContext(ctx, "release the migration lock", "error", err)
		}
	}
}

// has reports whether there is a table of that name.
func (db *DB) has(ctx context.Context, table string) (ok bool, err error) {
	q := map[string]string{
		"sqlite":   `SELECT COUNT(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?`,
		"postgres": `SELECT to_regclass(CAST(? AS text)) IS NOT NULL`,
		"mysql":    `SELECT COUNT(*) > 0 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?`,
	}[db.d.name]
	err = db.read(ctx, "look for a table", func(ctx context.Context, t *tx) error {
		return t.queryRow(ctx, q, table).Scan(&ok)
	})
	return ok, err
}

// notQuays refuses a database with the tables of a Quay: they stay as they are,
// and ImportQuay reads them.
// Some names are the same, and mean others.
func (db *DB) notQuays(ctx context.Context) error {
	theirs, err := db.has(ctx, "alembic_version")
	if err != nil || !theirs {
		return err
	}
	ours, err := db.has(ctx, "repo_blobs")
	if err != nil || ours {
		return err
	}
	return errors.New("this database holds the tables of a Quay: nothing was changed. " +
		"Let DB_URI name an empty database, and bring what the Quay holds over with gantry db import --from-config and the folder of the Quay's config.yaml")
}
