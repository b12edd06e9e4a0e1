package store

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// mysqlArgs are all that a MySQL address may have. The block ssl of
// DB_CONNECTION_ARGS stands here as ssl_ca, ssl_cert and so on, as SQLAlchemy
// writes it after "?".
var mysqlArgs = slices.Concat(dialArgs, poolArgs, []string{"ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_password", "ssl_check_hostname",
	"ssl_min_protocol_version", "ssl_max_protocol_version"})

// mysql returns how to connect. roots are the authorities that are believed
// where ssl.ca names none; nil = those of the system.
func (u *uri) mysql(roots *x509.CertPool, l limits) (*mysql.Config, error) {
	d, err := u.dialer()
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = u.user, u.password
	h := u.hosts[0]
	if strings.HasPrefix(h.name, "/") {
		cfg.Net, cfg.Addr = "unix", h.name
	} else {
		if h.port == "" {
			h.port = "3306"
		}
		cfg.Net, cfg.Addr = "tcp", h.String()
		if cfg.TLS, err = u.mysqlTLS(h.name, roots); err != nil {
			return nil, err
		}
	}
	cfg.DBName = u.name
	cfg.Collation = "utf8mb4_bin"
	cfg.InterpolateParams = true
	cfg.ParseTime = true // the table of migrations has a TIMESTAMP; ours have numbers
	cfg.ClientFoundRows = true
	cfg.Timeout = d.connect
	cfg.DialFunc = d.DialContext
	cfg.Logger = &mysql.NopLogger{} // what it would say is in the errors, too
	if l.statement > 0 {
		cfg.ReadTimeout, cfg.WriteTimeout = l.statement+slack, l.statement+slack
	}
	if l.lock == 0 {
		l.lock = most
	}
	// MariaDB and MySQL have other names for the limit of a statement, and
	// each reads only its own comment; MySQL's is for SELECT alone.
	cfg.Params = map[string]string{
		"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"innodb_lock_wait_timeout": fmt.Sprintf("%d /*M! , max_statement_time = %d */ /*!50708 , max_execution_time = %d */",
			max(1, int(l.lock/time.Second)), int(l.statement/time.Second), l.statement.Milliseconds()),
	}
	return cfg, nil
}

// mysqlTLS is nil where no block ssl asks for TLS. The server's certificate is
// checked where ca names its authority, and its name unless check_hostname
// says otherwise, as in Quay's driver.
func (u *uri) mysqlTLS(host string, roots *x509.CertPool) (*tls.Config, error) {
	asked := u.args["ssl"] != "" && u.args["ssl"] != "false"
	for _, name := range []string{"ssl_ca", "ssl_cert", "ssl_key"} {
		asked = asked || u.args[name] != ""
	}
	if !asked {
		return nil, nil
	}
	p := &tlsParts{roots: roots, sni: true}
	c := checkNothing
	var err error
	if ca := u.args["ssl_ca"]; ca != "" {
		if p.roots, err = readRoots("ssl.ca", ca); err != nil {
			return nil, err
		}
		c = checkHost
	}
	name, err := u.on("ssl_check_hostname", true)
	if err != nil {
		return nil, gantry.Errorf(gantry.Invalid, "DB_CONNECTION_ARGS.ssl.check_hostname", "DB_CONNECTION_ARGS.ssl.check_hostname: it must be true or false")
	}
	if c == checkHost && !name {
		c = checkAuthority
	}
	if p.min, err = u.tlsVersion("ssl_min_protocol_version", tls.VersionTLS12); err != nil {
		return nil, err
	}
	if p.max, err = u.tlsVersion("ssl_max_protocol_version", 0); err != nil {
		return nil, err
	}
	if p.cert, err = readPair("ssl.cert", u.args["ssl_cert"], "ssl.key", u.args["ssl_key"], u.args["ssl_password"]); err != nil {
		return nil, err
	}
	return p.config(host, c), nil
}
