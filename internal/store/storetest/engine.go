package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
)

// An engine makes databases of one kind. engines holds the servers of this
// test process: they are shared state because starting one per test would
// take seconds each.
type engine struct {
	once   sync.Once
	failed error
	launch func() error // starts the server and makes the migrated template

	mu     sync.Mutex // one database is made at a time
	create func(tempDir func() string, migrated bool) (uri string, drop func(context.Context) error, err error)
}

func (e *engine) start() error {
	e.once.Do(func() { e.failed = e.launch() })
	return e.failed
}

var engines = map[string]*engine{
	SQLite:   newSQLite(),
	Postgres: newPostgres(),
	MariaDB:  newMariaDB(),
}

// migrate makes the tables of the newest schema.
func migrate(uri string) (err error) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URI: uri})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Migrate(ctx)
}

// name is one for a new database; statements may hold it as it is.
func name() string { return "t_" + strings.ToLower(rand.Text()) }

func newSQLite() *engine {
	e := &engine{}
	var template string
	e.launch = func() error {
		dir, err := servertest.Dir()
		if err != nil {
			return err
		}
		template = filepath.Join(dir, "template.db")
		return migrate("sqlite:///" + template)
	}
	e.create = func(tempDir func() string, migrated bool) (string, func(context.Context) error, error) {
		path := filepath.Join(tempDir(), "gantry.db")
		if migrated {
			if err := servertest.CopyFile(path, template, 0o600); err != nil {
				return "", nil, err
			}
		}
		return "sqlite:///" + path, func(context.Context) error { return nil }, nil
	}
	return e
}

func newPostgres() *engine {
	e := &engine{}
	var admin *sql.DB
	var dir, pooler string
	address := func(database string) string {
		return "postgresql://postgres@/" + database + "?host=" + url.QueryEscape(dir)
	}
	e.launch = func() (err error) {
		if dir, err = startPostgres(); err != nil {
			return err
		}
		if admin, err = sql.Open("pgx", address("postgres")); err != nil {
			return err
		}
		admin.SetMaxOpenConns(1)
		if _, err := admin.ExecContext(context.Background(), "CREATE DATABASE gantry_template TEMPLATE template0"); err != nil {
			return err
		}
		if err := migrate(address("gantry_template")); err != nil || os.Getenv(ThroughPgBouncer) == "" {
			return err
		}
		pooler, _, err = servertest.StartPgBouncer(dir, 5432)
		return err
	}
	e.create = func(_ func() string, migrated bool) (string, func(context.Context) error, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		n, from := name(), "template0"
		if migrated {
			from = "gantry_template"
		}
		if _, err := admin.ExecContext(context.Background(), "CREATE DATABASE "+n+" TEMPLATE "+from); err != nil {
			return "", nil, err
		}
		uri := address(n)
		if pooler != "" {
			uri = "postgresql://postgres@" + pooler + "/" + n + "?transaction_pooling=true"
		}
		return uri, func(ctx context.Context) error {
			_, err := admin.ExecContext(ctx, "DROP DATABASE "+n+" WITH (FORCE)")
			return err
		}, nil
	}
	return e
}

func newMariaDB() *engine {
	e := &engine{}
	var admin *sql.DB
	var socket string
	var tables []string
	address := func(database string) string {
		return "mysql+pymysql://root@localhost/" + database + "?unix_socket=" + url.QueryEscape(socket)
	}
	e.launch = func() (err error) {
		ctx := context.Background()
		if socket, err = startMariaDB(); err != nil {
			return err
		}
		if admin, err = raw(address("")); err != nil {
			return err
		}
		admin.SetMaxOpenConns(1)
		if _, err := admin.ExecContext(ctx, "CREATE DATABASE gantry_template"); err != nil {
			return err
		}
		if err := migrate(address("gantry_template")); err != nil {
			return err
		}
		tables, err = names(ctx, admin, "SHOW TABLES IN gantry_template")
		return err
	}
	e.create = func(_ func() string, migrated bool) (string, func(context.Context) error, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		n := name()
		q := []string{"CREATE DATABASE " + n}
		if migrated {
			for _, table := range tables {
				q = append(q, "CREATE TABLE "+n+"."+table+" LIKE gantry_template."+table)
			}
			q = append(q, "INSERT INTO "+n+".schema_version SELECT * FROM gantry_template.schema_version")
		}
		if _, err := admin.ExecContext(context.Background(), strings.Join(q, "; ")); err != nil {
			return "", nil, err
		}
		return address(n), func(ctx context.Context) error {
			_, err := admin.ExecContext(ctx, "DROP DATABASE "+n)
			return err
		}, nil
	}
	return e
}

func names(ctx context.Context, pool *sql.DB, q string) (all []string, err error) {
	rows, err := pool.QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// raw opens a plain pool on an address that this package made.
func raw(address string) (*sql.DB, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "sqlite":
		return sql.Open("sqlite", "file:"+(&url.URL{Path: strings.TrimPrefix(address, "sqlite:///")}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	case "postgresql":
		return sql.Open("pgx", strings.Replace(address, "transaction_pooling=true", "default_query_exec_mode=exec", 1))
	case "mysql+pymysql":
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr = u.User.Username(), "unix", u.Query().Get("unix_socket")
		cfg.DBName = strings.Trim(u.Path, "/")
		cfg.MultiStatements, cfg.ClientFoundRows, cfg.InterpolateParams = true, true, true
		conn, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(conn), nil
	}
	return nil, fmt.Errorf("no database of storetest: %s", address)
}
