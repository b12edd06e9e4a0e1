package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// How PostgreSQL is reached: with libpq's parameters, as Quay's driver
// (psycopg2) has them.

// passed are parameters that the driver itself knows.
var passed = []string{"target_session_attrs", "application_name", "options", "search_path", "passfile", "channel_binding", "require_auth", "sslnegotiation",
	"fallback_application_name"}

// postgresArgs are all that a PostgreSQL address may have.
var postgresArgs = slices.Concat(dialArgs, passed, poolArgs, []string{
	"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version",
	"sslcrl", "sslcrldir", "transaction_pooling",
})

// postgres returns how to connect. roots are the authorities that are believed
// where sslrootcert names none; nil = those of the system.
func (u *uri) postgres(roots *x509.CertPool, l limits) (*pgx.ConnConfig, error) {
	d, err := u.dialer()
	if err != nil {
		return nil, err
	}
	set := map[string]string{"user": u.user, "password": u.password, "dbname": u.name,
		"sslmode": "disable", "sslrootcert": "", "sslcert": "", "sslkey": ""} // TLS is set below
	for _, name := range passed {
		if v := u.args[name]; v != "" {
			set[name] = v
		}
	}
	if set["application_name"] == "" {
		set["application_name"] = "gantry"
	}
	delete(set, "fallback_application_name")
	// Of several servers one takes writes, and connections belong there.
	if len(u.hosts) > 1 && set["target_session_attrs"] == "" {
		set["target_session_attrs"] = "read-write"
	}
	if set["password"] == "" {
		delete(set, "password") // PGPASSWORD or a password file
	}
	var names, ports []string
	for _, h := range u.hosts {
		names, ports = append(names, h.name), append(ports, h.port)
		if h.port == "" {
			ports[len(ports)-1] = "5432"
		}
	}
	set["host"], set["port"] = strings.Join(names, ","), strings.Join(ports, ",")
	var text strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		text.WriteString(name + "='" + quote.Replace(set[name]) + "' ")
	}
	cfg, err := pgx.ParseConfig(text.String())
	if err != nil {
		if pe, ok := errors.AsType[*pgconn.ParseConfigError](err); ok && errors.Unwrap(pe) != nil {
			err = errors.Unwrap(pe) // without the address
		}
		return nil, gantry.Errorf(gantry.Invalid, "DB_URI", "DB_URI or DB_CONNECTION_ARGS: %s", hide(err.Error(), u.password))
	}
	cfg.ConnectTimeout = d.connect
	cfg.DialFunc = d.DialContext
	pooled, err := u.on("transaction_pooling", false)
	if err != nil {
		return nil, err
	}
	if pooled {
		// Another session may run the next statement, so nothing is prepared;
		// what a session would be told here, transactions are told by once.
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
		cfg.StatementCacheCapacity, cfg.DescriptionCacheCapacity = 0, 0
	} else {
		maps.Copy(cfg.RuntimeParams, l.postgres())
	}
	return cfg, u.postgresTLS(cfg, roots)
}

// hide takes a secret out of a text.
func hide(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, "***")
}

// limits are those that a server keeps for each connection; 0 is none.
type limits struct{ statement, lock, idle time.Duration }

func (l limits) postgres() map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]string{"statement_timeout": ms(l.statement), "lock_timeout": ms(l.lock), "idle_in_transaction_session_timeout": ms(l.idle)}
}

// local is what tells one transaction of PostgreSQL the limits.
func (l limits) local() string {
	var b strings.Builder
	params := l.postgres()
	for _, name := range slices.Sorted(maps.Keys(params)) {
		b.WriteString("SET LOCAL " + name + " = " + params[name] + "; ")
	}
	return b.String()
}

// postgresTLS makes of each server the attempts that sslmode asks for.
func (u *uri) postgresTLS(cfg *pgx.ConnConfig, roots *x509.CertPool) error {
	p := &tlsParts{roots: roots, commonName: true, crlFile: u.args["sslcrl"], crlDir: u.args["sslcrldir"]}
	mode, c := u.args["sslmode"], checkNothing
	var err error
	switch file := u.args["sslrootcert"]; file {
	case "":
	case "system":
		if p.roots, err = x509.SystemCertPool(); err != nil {
			return badArg("sslrootcert", "%v", err)
		}
		if mode != "" && mode != "verify-full" {
			return badArg("sslrootcert", "system goes with sslmode verify-full alone")
		}
		mode = "verify-full"
	default:
		if p.roots, err = readRoots("sslrootcert", file); err != nil {
			return err
		}
		if mode == "require" { // as libpq has it
			mode = "verify-ca"
		}
	}
	switch mode {
	case "", "prefer", "allow", "disable", "require":
	case "verify-ca":
		c = checkAuthority
	case "verify-full":
		c = checkHost
	default:
		return badArg("sslmode", "it must be one of disable, allow, prefer, require, verify-ca, verify-full")
	}
	if (p.crlFile != "" || p.crlDir != "") && c == checkNothing {
		return badArg("sslcrl", "revoked certificates are looked for with sslmode verify-ca or verify-full alone")
	}
	if p.sni, err = u.on("sslsni", true); err != nil {
		return err
	}
	if p.min, err = u.tlsVersion("ssl_min_protocol_version", tls.VersionTLS12); err != nil {
		return err
	}
	if p.max, err = u.tlsVersion("ssl_max_protocol_version", 0); err != nil {
		return err
	}
	if p.max != 0 && p.max < p.min {
		return badArg("ssl_max_protocol_version", "it is below ssl_min_protocol_version, which is TLSv1.2 unless it is written")
	}
	if p.cert, err = readPair("sslcert", u.args["sslcert"], "sslkey", u.args["sslkey"], u.args["sslpassword"]); err != nil {
		return err
	}
	if _, err := readRevoked(p.crlFile, p.crlDir); err != nil {
		return badArg("sslcrl", "%v", err)
	}
	var tries []*pgconn.FallbackConfig
	for _, f := range append([]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port}}, cfg.Fallbacks...) {
		plain := &pgconn.FallbackConfig{Host: f.Host, Port: f.Port}
		safe := &pgconn.FallbackConfig{Host: f.Host, Port: f.Port, TLSConfig: p.config(f.Host, c)}
		if u.args["sslnegotiation"] == "direct" {
			safe.TLSConfig.NextProtos = []string{"postgresql"}
		}
		switch {
		case mode == "disable" || strings.HasPrefix(f.Host, "/"): // a socket needs none
			tries = append(tries, plain)
		case mode == "allow":
			tries = append(tries, plain, safe)
		case mode == "" || mode == "prefer":
			tries = append(tries, safe, plain)
		default:
			tries = append(tries, safe)
		}
	}
	cfg.Host, cfg.Port, cfg.TLSConfig, cfg.Fallbacks = tries[0].Host, tries[0].Port, tries[0].TLSConfig, tries[1:]
	return nil
}

// connectHint says what to do about a failure to connect; "" = nothing.
func connectHint(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "unsupported startup parameter"):
		return "this is a connection pooler: set DB_CONNECTION_ARGS.transaction_pooling to true"
	case errors.Is(err, context.DeadlineExceeded):
		return "nothing answers in time: is the address right, and does the network let it through?"
	}
	return ""
}
