package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A uri is a parsed DB_URI with its connection arguments.
type uri struct {
	dialect string
	path    string // of an SQLite file
	url     *url.URL
	args    map[string]any
}

// parseURI reads Quay's DB_URI. The error names the field and never holds the
// password.
func parseURI(s string, args map[string]any) (*uri, error) {
	bad := func(format string, a ...any) error {
		return gantry.Errorf(gantry.Invalid, "DB_URI", "DB_URI: "+format, a...)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil, bad("it must look like postgresql://user:password@host:5432/name, mysql+pymysql://user:password@host/name or sqlite:///path")
	}
	kind, _, _ := strings.Cut(scheme, "+")
	u := &uri{args: args}
	switch kind {
	case "sqlite":
		u.dialect = "sqlite"
		path, _, _ := strings.Cut(rest, "?")
		path, ok := strings.CutPrefix(path, "/")
		if !ok || path == "" {
			return nil, bad("an SQLite address has three slashes before a relative path and four before an absolute one: sqlite:////var/lib/gantry/gantry.db")
		}
		u.path = path
		return u, nil
	case "postgresql", "postgres":
		u.dialect = "postgres"
	case "mysql", "mariadb":
		u.dialect = "mysql"
	default:
		return nil, bad("the scheme %q is not one of postgresql, mysql+pymysql, sqlite", scheme)
	}
	parsed, err := url.Parse(u.dialect + "://" + rest)
	if err != nil {
		// url.Error repeats the address, with the password.
		return nil, bad("the address cannot be read; percent-encode special characters of the password")
	}
	if parsed.Host == "" && parsed.Query().Get("host") == "" {
		return nil, bad("the address has no host")
	}
	if strings.Trim(parsed.Path, "/") == "" {
		return nil, bad("the address has no database name after the host")
	}
	u.url = parsed
	return u, nil
}

// openServer opens the pool for PostgreSQL or MySQL.
func (db *DB) openServer(ctx context.Context, u *uri) error {
	open := func(dials *atomic.Uint64) (*sql.DB, error) {
		if u.dialect == "postgres" {
			return openPostgres(u, db.opts.RootCAs, dials)
		}
		return openMySQL(u, dials)
	}
	pool, err := open(&db.dials)
	if err != nil {
		return err
	}
	most := db.opts.MaxConns
	if most == 0 {
		most = 20
	}
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(30 * time.Minute) // so that a moved name is found again
	db.pool = pool
	if err := pool.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to the %s database at %s: %w", u.dialect, u.url.Host, errors.Join(err, pool.Close()))
	}
	watch, err := open(new(atomic.Uint64))
	if err != nil {
		return err // as above, so not now
	}
	db.startWatch(watch)
	if !db.opts.SyncClock {
		return nil
	}
	if err := db.setClock(ctx); err != nil {
		return errors.Join(err, db.watch.close(), pool.Close())
	}
	return nil
}

func (u *uri) arg(name string) string {
	switch v := u.args[name].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// seconds returns a numeric argument as a duration; 0 if it is not given.
func (u *uri) seconds(name string) time.Duration {
	f, err := strconv.ParseFloat(u.arg(name), 64)
	if err != nil || f <= 0 || f > 86400 {
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

func openPostgres(u *uri, roots *x509.CertPool, dials *atomic.Uint64) (*sql.DB, error) {
	cfg, err := u.postgres(roots)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(counting{stdlib.GetConnector(*cfg), dials}), nil
}

// postgres returns how to connect. roots are the authorities that are
// believed where sslrootcert names none; nil = those of the system.
func (u *uri) postgres(roots *x509.CertPool) (*pgx.ConnConfig, error) {
	q := u.url.Query()
	for _, name := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "sslsni"} {
		if v := u.arg(name); v != "" {
			q.Set(name, v)
		}
	}
	q.Set("connect_timeout", strconv.Itoa(max(1, int(max(u.seconds("connect_timeout"), 10*time.Second)/time.Second))))
	for _, name := range []string{"charset"} {
		q.Del(name)
	}
	c := *u.url
	c.RawQuery = q.Encode()
	cfg, err := pgx.ParseConfig(c.String())
	if err != nil {
		var pe *pgconn.ParseConfigError
		if errors.As(err, &pe) {
			err = errors.Unwrap(err) // without the address
		}
		return nil, gantry.Errorf(gantry.Invalid, "DB_URI", "DB_URI or DB_CONNECTION_ARGS: %v", err)
	}
	cfg.RuntimeParams["application_name"] = "gantry"
	cfg.RuntimeParams["statement_timeout"] = "60000"
	cfg.RuntimeParams["lock_timeout"] = "20000"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "60000"
	all := []*tls.Config{cfg.TLSConfig}
	for _, f := range cfg.Fallbacks {
		all = append(all, f.TLSConfig)
	}
	for _, c := range all {
		if c != nil && c.RootCAs == nil {
			c.RootCAs = roots
		}
	}
	return cfg, nil
}

func openMySQL(u *uri, dials *atomic.Uint64) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User = u.url.User.Username()
	cfg.Passwd, _ = u.url.User.Password()
	cfg.Net, cfg.Addr = "tcp", u.url.Host
	if u.url.Port() == "" {
		cfg.Addr += ":3306"
	}
	if sock := u.url.Query().Get("unix_socket"); sock != "" {
		cfg.Net, cfg.Addr = "unix", sock
	}
	cfg.DBName = strings.Trim(u.url.Path, "/")
	cfg.Collation = "utf8mb4_bin"
	cfg.InterpolateParams = true
	cfg.ParseTime = true // the table of migrations has a TIMESTAMP; ours have numbers
	cfg.ClientFoundRows = true
	cfg.Timeout = max(u.seconds("connect_timeout"), 10*time.Second)
	cfg.ReadTimeout, cfg.WriteTimeout = 70*time.Second, 70*time.Second
	cfg.Params = map[string]string{"innodb_lock_wait_timeout": "20", "sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"}
	if ssl, ok := u.args["ssl"].(map[string]any); ok {
		if ca, _ := ssl["ca"].(string); ca != "" {
			pem, err := os.ReadFile(ca)
			if err != nil {
				return nil, gantry.Errorf(gantry.Invalid, "DB_CONNECTION_ARGS.ssl.ca", "DB_CONNECTION_ARGS.ssl.ca: %v", err)
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(pem) {
				return nil, gantry.Errorf(gantry.Invalid, "DB_CONNECTION_ARGS.ssl.ca", "DB_CONNECTION_ARGS.ssl.ca: %s holds no PEM certificate", ca)
			}
			cfg.TLS = &tls.Config{RootCAs: pool, ServerName: u.url.Hostname(), MinVersion: tls.VersionTLS12}
		}
	}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, gantry.Errorf(gantry.Invalid, "DB_URI", "DB_URI or DB_CONNECTION_ARGS: %v", err)
	}
	return sql.OpenDB(counting{conn, dials}), nil
}
