package store_test

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
)

// tryOpen opens a store, migrates it and closes it again.
func tryOpen(t *testing.T, o store.Options) error {
	t.Helper()
	db, err := store.Open(t.Context(), o)
	if err != nil {
		return err
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Errorf("migrate: %v", err)
	}
	return db.Close()
}

// TestPostgresTLS connects with every sslmode to a server that has TLS and to
// one that has none, with good and bad certificates on both sides.
func TestPostgresTLS(t *testing.T) {
	ca, other := servertest.NewAuthority(t), servertest.NewAuthority(t)
	server := ca.Sign(t, "db.example.com", "127.0.0.1", "localhost")
	client, stranger := ca.Sign(t, "gantry"), other.Sign(t, "gantry")
	pg := servertest.NewPostgres(t, servertest.PostgresOptions{Authority: ca, Certificate: server, HBA: []string{
		"hostssl all gantry 127.0.0.1/32 cert",
		"hostssl all tls 127.0.0.1/32 scram-sha-256",
		"hostnossl all plain 127.0.0.1/32 scram-sha-256",
		"host all any1 127.0.0.1/32 scram-sha-256",
	}})
	const password = "p@ss/w:rd %'\\é"
	for _, user := range []string{"gantry", "tls", "plain", "any1"} {
		pg.SQL(t, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s';\nCREATE DATABASE %s OWNER %s;", user, strings.ReplaceAll(password, "'", "''"), user, user))
	}
	plain := servertest.NewPostgres(t, servertest.PostgresOptions{})
	plain.SQL(t, "postgres", "CREATE ROLE any1 LOGIN SUPERUSER;\nCREATE DATABASE any1;")
	encrypted := encryptKey(t, client.KeyFile, "sesame")
	revoked, sound := ca.Revoke(t, server), ca.Revoke(t, client)
	crls := t.TempDir()
	if err := servertest.CopyFile(filepath.Join(crls, "a.crl"), sound, 0o600); err != nil {
		t.Fatal(err)
	}
	type args = map[string]any
	tests := map[string]struct {
		to   *servertest.Postgres
		user string
		host string // "" = 127.0.0.1
		args args
		bad  string // in the error; "" = it connects
	}{
		"disable":                                {pg, "plain", "", args{"sslmode": "disable"}, ""},
		"disable, TLS wanted":                    {pg, "tls", "", args{"sslmode": "disable"}, "no pg_hba.conf entry"},
		"allow takes plain":                      {pg, "plain", "", args{"sslmode": "allow"}, ""},
		"allow takes TLS":                        {pg, "tls", "", args{"sslmode": "allow"}, ""},
		"prefer is the default":                  {pg, "tls", "", nil, ""},
		"prefer takes plain":                     {pg, "plain", "", args{"sslmode": "prefer"}, ""},
		"prefer, a server without TLS":           {plain, "any1", "", args{"sslmode": "prefer"}, ""},
		"require":                                {pg, "any1", "", args{"sslmode": "require"}, ""},
		"require, a server without TLS":          {plain, "any1", "", args{"sslmode": "require"}, "refused TLS"},
		"require, plain wanted":                  {pg, "plain", "", args{"sslmode": "require"}, "no pg_hba.conf entry"},
		"require with an authority checks it":    {pg, "any1", "", args{"sslmode": "require", "sslrootcert": other.File}, "unknown authority"},
		"verify-ca":                              {pg, "any1", "", args{"sslmode": "verify-ca", "sslrootcert": ca.File}, ""},
		"verify-ca, another authority":           {pg, "any1", "", args{"sslmode": "verify-ca", "sslrootcert": other.File}, "unknown authority"},
		"verify-full":                            {pg, "any1", "", args{"sslmode": "verify-full", "sslrootcert": ca.File}, ""},
		"verify-full by name":                    {pg, "any1", "localhost", args{"sslmode": "verify-full", "sslrootcert": ca.File, "sslsni": "0"}, ""},
		"verify-full, another authority":         {pg, "any1", "", args{"sslmode": "verify-full", "sslrootcert": other.File}, "unknown authority"},
		"verify-full, authorities of the system": {pg, "any1", "", args{"sslmode": "verify-full", "sslrootcert": "system"}, "unknown authority"},
		"verify-ca with system":                  {pg, "any1", "", args{"sslmode": "verify-ca", "sslrootcert": "system"}, "verify-full alone"},
		"client certificate":                     {pg, "gantry", "", args{"sslmode": "verify-full", "sslrootcert": ca.File, "sslcert": client.CertFile, "sslkey": client.KeyFile}, ""},
		"client certificate, encrypted key":      {pg, "gantry", "", args{"sslcert": client.CertFile, "sslkey": encrypted, "sslpassword": "sesame"}, ""},
		"encrypted key, wrong password":          {pg, "gantry", "", args{"sslcert": client.CertFile, "sslkey": encrypted, "sslpassword": "open"}, "sslpassword"},
		"encrypted key, no password":             {pg, "gantry", "", args{"sslcert": client.CertFile, "sslkey": encrypted}, "sslpassword"},
		"client certificate of a stranger":       {pg, "gantry", "", args{"sslmode": "require", "sslcert": stranger.CertFile, "sslkey": stranger.KeyFile}, "authority"},
		"no client certificate":                  {pg, "gantry", "", args{"sslmode": "require"}, "certificate"},
		"key without certificate":                {pg, "gantry", "", args{"sslkey": client.KeyFile}, "go together"},
		"TLS 1.3":                                {pg, "any1", "", args{"sslmode": "require", "ssl_min_protocol_version": "TLSv1.3"}, ""},
		"TLS 1.1 is too old for the server":      {pg, "any1", "", args{"sslmode": "require", "ssl_min_protocol_version": "TLSv1", "ssl_max_protocol_version": "TLSv1.1"}, "protocol version"},
		"highest below lowest":                   {pg, "any1", "", args{"ssl_max_protocol_version": "TLSv1.1"}, "ssl_max_protocol_version"},
		"revoked":                                {pg, "any1", "", args{"sslmode": "verify-ca", "sslrootcert": ca.File, "sslcrl": revoked}, "was revoked"},
		"not revoked":                            {pg, "any1", "", args{"sslmode": "verify-full", "sslrootcert": ca.File, "sslcrl": sound}, ""},
		"not revoked, by a folder":               {pg, "any1", "", args{"sslmode": "verify-full", "sslrootcert": ca.File, "sslcrldir": crls}, ""},
		"the list of another authority":          {pg, "any1", "", args{"sslmode": "verify-ca", "sslrootcert": ca.File, "sslcrl": other.Revoke(t)}, "no revocation list"},
		"a list that nobody looks at":            {pg, "any1", "", args{"sslmode": "require", "sslcrl": sound}, "verify-ca or verify-full"},
		"no such authority file":                 {pg, "any1", "", args{"sslmode": "verify-ca", "sslrootcert": "/nonexistent"}, "sslrootcert"},
		"no sslmode":                             {pg, "any1", "", args{"sslmode": "often"}, "sslmode"},
		"keep-alive and time-outs": {pg, "any1", "", args{"keepalives": true, "keepalives_idle": 5, "keepalives_interval": 5.0, "keepalives_count": 2,
			"tcp_user_timeout": 20000, "connect_timeout": 5, "stale_timeout": 30, "timeout": 3, "max_connections": 3, "threadlocals": true, "autorollback": true, "ssl": args{"ca": "/x"}}, ""},
		"keepalives off":    {pg, "any1", "", args{"keepalives": 0}, ""},
		"a bad number":      {pg, "any1", "", args{"tcp_user_timeout": "soon"}, "tcp_user_timeout"},
		"a bad time":        {pg, "any1", "", args{"connect_timeout": -1}, "connect_timeout"},
		"no yes and no no":  {pg, "any1", "", args{"keepalives": "perhaps"}, "keepalives"},
		"an unknown option": {pg, "any1", "", args{"zero_downtime": true}, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			host := c.host
			if host == "" {
				host = "127.0.0.1"
			}
			u := url.URL{Scheme: "postgresql+psycopg2", User: url.UserPassword(c.user, password), Host: fmt.Sprintf("%s:%d", host, c.to.Port), Path: "/" + c.user}
			o := store.Options{URI: u.String(), Args: maps.Clone(c.args)}
			err := tryOpen(t, o)
			// A server that refuses a certificate may be gone before its reason is read.
			for try := 0; try < 20 && err != nil && strings.Contains(err.Error(), "connection reset by peer"); try++ {
				err = tryOpen(t, o)
			}
			switch {
			case c.bad == "" && err != nil:
				t.Error(err)
			case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)):
				t.Errorf("%v, wanted one that says %q", err, c.bad)
			case err != nil && strings.Contains(err.Error(), password):
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	// The same by what follows "?", as libpq has it; and a wrong name, which
	// verify-ca takes.
	short := ca.Sign(t, "db.example.com", "db.example.com")
	named := servertest.NewPostgres(t, servertest.PostgresOptions{Authority: ca, Certificate: short})
	named.SQL(t, "postgres", "CREATE DATABASE d")
	for mode, bad := range map[string]string{"verify-ca": "", "verify-full": "valid for db.example.com"} {
		err := tryOpen(t, store.Options{URI: fmt.Sprintf("postgresql://postgres@localhost:%d/d?sslmode=%s&sslrootcert=%s", named.Port, mode, url.QueryEscape(ca.File))})
		if (err == nil) != (bad == "") || err != nil && !strings.Contains(err.Error(), bad) {
			t.Errorf("%s with another name: %v", mode, err)
		}
	}
	// libpq takes the common name of a certificate that has no other.
	old := ca.Sign(t, "localhost")
	common := servertest.NewPostgres(t, servertest.PostgresOptions{Authority: ca, Certificate: old})
	common.SQL(t, "postgres", "CREATE DATABASE d")
	for host, good := range map[string]bool{"localhost": true, "127.0.0.1": false} {
		err := tryOpen(t, store.Options{URI: fmt.Sprintf("postgresql://postgres@%s:%d/d", host, common.Port), Args: args{"sslmode": "verify-full"}, RootCAs: ca.Pool})
		if (err == nil) != good {
			t.Errorf("the common name for %s: %v", host, err)
		}
	}
}

// TestPostgresAddresses connects by the forms that an address may have.
func TestPostgresAddresses(t *testing.T) {
	pg := servertest.NewPostgres(t, servertest.PostgresOptions{})
	pg.SQL(t, "postgres", "CREATE DATABASE \"a b%c\"")
	dead, err := servertest.Port()
	if err != nil {
		t.Fatal(err)
	}
	const name = "a%20b%25c"
	for _, c := range []struct{ uri, bad string }{
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/%s", pg.Port, name), ""},
		{fmt.Sprintf("postgres://postgres:x@localhost:%d/%s?application_name=quay", pg.Port, name), ""},
		{fmt.Sprintf("postgresql://postgres@/%s?host=%s&port=%d", name, url.QueryEscape(pg.Dir), pg.Port), ""},
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/%s", dead, pg.Port, name), ""},
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=read-write", pg.Port, dead, name), ""},
		{fmt.Sprintf("postgresql://postgres@/%s?host=127.0.0.1:%d&host=127.0.0.1:%d", name, dead, pg.Port), ""},
		{fmt.Sprintf("postgresql://postgres@/%s?host=127.0.0.1,localhost&port=%d,%d&options=-c%%20work_mem%%3D2MB", name, dead, pg.Port), ""},
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/%s?target_session_attrs=standby", pg.Port, name), "hot standby"},
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/%s", dead, name), "connect to the postgres database at 127.0.0.1"},
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d", pg.Port), "no database name"},
		{fmt.Sprintf("postgresql://postgres@127.0.0.1:%d,/d", pg.Port), "no name"},
		{"postgresql:///d", "no host"},
		{"postgresql://a@b:99999/d", "port"},
		{"oracle://a@b/d", "oracle"},
		{"mysql://a@b,c/d", "PostgreSQL alone"},
	} {
		err := tryOpen(t, store.Options{URI: c.uri, Args: map[string]any{"connect_timeout": 5.0}})
		if c.bad == "" && err != nil || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)) {
			t.Errorf("%s: %v, wanted %q", c.uri, err, c.bad)
		}
	}
}

// TestMariaDBTLS connects to a server with TLS as the block ssl has it.
func TestMariaDBTLS(t *testing.T) {
	ca, other := servertest.NewAuthority(t), servertest.NewAuthority(t)
	db := servertest.NewMariaDB(t, servertest.MariaDBOptions{Authority: ca, Certificate: ca.Sign(t, "db", "127.0.0.1")})
	client := ca.Sign(t, "gantry")
	const password = "p@ss/w:rd %"
	for user, require := range map[string]string{"open": "NONE", "safe": "SSL", "known": "X509"} {
		db.SQL(t, fmt.Sprintf("CREATE DATABASE %s; CREATE USER %s@'%%' IDENTIFIED BY '%s' REQUIRE %s; GRANT ALL ON %s.* TO %s@'%%';", user, user, password, require, user, user))
	}
	type args = map[string]any
	for name, c := range map[string]struct {
		user, host string
		ssl        args
		bad        string
	}{
		"none":                      {"open", "127.0.0.1", nil, ""},
		"none, TLS wanted":          {"safe", "127.0.0.1", nil, "Access denied"},
		"an empty block is none":    {"safe", "127.0.0.1", args{}, "Access denied"},
		"ca":                        {"safe", "127.0.0.1", args{"ca": ca.File}, ""},
		"ca of another":             {"safe", "127.0.0.1", args{"ca": other.File}, "unknown authority"},
		"another name":              {"safe", "localhost", args{"ca": ca.File}, "not valid for"},
		"another name, not checked": {"safe", "localhost", args{"ca": ca.File, "check_hostname": false}, ""},
		"client certificate":        {"known", "127.0.0.1", args{"ca": ca.File, "cert": client.CertFile, "key": client.KeyFile}, ""},
		"no client certificate":     {"known", "127.0.0.1", args{"ca": ca.File}, "Access denied"},
		"no such file":              {"safe", "127.0.0.1", args{"ca": "/nonexistent"}, "ssl.ca"},
		"cert without key":          {"known", "127.0.0.1", args{"cert": client.CertFile}, "go together"},
	} {
		t.Run(name, func(t *testing.T) {
			u := url.URL{Scheme: "mysql+pymysql", User: url.UserPassword(c.user, password), Host: fmt.Sprintf("%s:%d", c.host, db.Port), Path: "/" + c.user, RawQuery: "charset=utf8mb4"}
			o := store.Options{URI: u.String(), Args: args{"keepalives_idle": 5, "sslmode": "verify-full", "connect_timeout": 5}}
			if c.ssl != nil {
				o.Args["ssl"] = c.ssl
			}
			err := tryOpen(t, o)
			if c.bad == "" && err != nil || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)) {
				t.Errorf("%v, wanted %q", err, c.bad)
			}
		})
	}
	u := fmt.Sprintf("mysql+pymysql://safe:%s@127.0.0.1:%d/safe?ssl_ca=%s", url.QueryEscape(password), db.Port, url.QueryEscape(ca.File))
	if err := tryOpen(t, store.Options{URI: strings.ReplaceAll(u, "+%", "%20%")}); err != nil {
		t.Errorf("ssl_ca in the address: %v", err)
	}
}

// encryptKey writes a key anew, encrypted as OpenSSL 3 does, and returns its
// file.
func encryptKey(t *testing.T, file, password string) string {
	t.Helper()
	openssl, err := servertest.Find("openssl")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "key.pem")
	if err := servertest.Run("/", nil, openssl, "pkcs8", "-topk8", "-v2", "aes256", "-in", file, "-out", out, "-passout", "pass:"+password); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil {
		t.Fatal(err)
	} else if b, _ := pem.Decode(text); b == nil || b.Type != "ENCRYPTED PRIVATE KEY" {
		t.Fatalf("openssl wrote %s", text)
	}
	return out
}
