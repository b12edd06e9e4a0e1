package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A DBURI is a parsed DB_URI.
type DBURI struct {
	Dialect  string     // "sqlite", "postgres" or "mysql"
	Host     string     // "" for sqlite
	Port     int        // 0 = the dialect's own
	Others   []DBHost   // of PostgreSQL: further servers, to be tried in this order
	User     string     // decoded
	Password string     // decoded
	Name     string     // the database; for sqlite the path of the file
	Params   url.Values // what follows '?'
}

// A DBHost is one of several servers of a database.
type DBHost struct {
	Host string
	Port int // 0 = the dialect's own
}

// maxDBHosts bounds the servers that one address may name.
const maxDBHosts = 16

// ParseDBURI reads a database address as Quay (SQLAlchemy) writes it. Its
// error says what is wrong and holds nothing of s.
func ParseDBURI(s string) (DBURI, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return DBURI{}, errors.New("it must be an address such as postgresql://user:password@host:5432/name, mysql+pymysql://… or sqlite:///path")
	}
	var d DBURI
	base, driver, _ := strings.Cut(scheme, "+")
	switch {
	case base == "postgresql" && (driver == "" || strings.HasPrefix(driver, "psycopg") || driver == "asyncpg"), base == "postgres" && driver == "":
		d.Dialect = "postgres"
	case base == "mysql" && (driver == "" || driver == "pymysql" || driver == "mysqldb"), base == "mariadb" && (driver == "" || driver == "pymysql"):
		d.Dialect = "mysql"
	case base == "sqlite" && (driver == "" || driver == "pysqlite"):
		d.Dialect = "sqlite"
	default:
		return DBURI{}, errors.New("its scheme must be postgresql, postgresql+psycopg2, mysql+pymysql or sqlite")
	}
	if i := strings.LastIndexByte(rest, '?'); i >= 0 && i > strings.LastIndexByte(rest, '@') {
		q, err := url.ParseQuery(rest[i+1:])
		if err != nil {
			return DBURI{}, errors.New("what follows '?' cannot be read as name=value&…")
		}
		d.Params, rest = q, rest[:i]
	}
	if d.Dialect == "sqlite" {
		path, ok := strings.CutPrefix(rest, "/")
		if !ok || path == "" || strings.Contains(path, ":memory:") {
			return DBURI{}, errors.New("a SQLite address names a file: sqlite:///relative/path, or sqlite:////absolute/path")
		}
		d.Name = path
		return d, nil
	}
	// A password may hold any character, so the last '@' ends it.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		var err error
		if d.User, err = url.PathUnescape(user); err != nil {
			d.User = user
		}
		if d.Password, err = url.PathUnescape(password); err != nil {
			d.Password = password // a bare '%': the text is what was meant
		}
		rest = rest[at+1:]
	}
	hostport, name, _ := strings.Cut(rest, "/")
	for i, part := range strings.Split(hostport, ",") {
		host, err := parseDBHost(part, i == 0 && part == hostport && (d.Params.Has("host") || d.Params.Has("unix_socket")))
		switch {
		case err != nil:
			return DBURI{}, err
		case i == 0:
			d.Host, d.Port = host.Host, host.Port
		case d.Dialect != "postgres":
			return DBURI{}, errors.New("it names several hosts, which is for PostgreSQL alone; put a proxy or a name that moves in front of MySQL")
		case i == maxDBHosts:
			return DBURI{}, fmt.Errorf("it names more than %d hosts", maxDBHosts)
		default:
			d.Others = append(d.Others, host)
		}
	}
	var err error
	if d.Name, err = url.PathUnescape(name); err != nil || name == "" {
		return DBURI{}, errors.New("it names no database: it must end in /name")
	}
	return d, nil
}

// String returns the address in a form that net/url reads, whatever characters
// its password is made of. It holds the password.
func (d DBURI) String() string {
	var query string
	if len(d.Params) > 0 {
		query = "?" + d.Params.Encode()
	}
	if d.Dialect == "sqlite" {
		return "sqlite:///" + d.Name + query
	}
	u := url.URL{Scheme: "postgresql", Host: DBHost{d.Host, d.Port}.String(), Path: "/" + d.Name}
	if d.Dialect == "mysql" {
		u.Scheme = "mysql+pymysql"
	}
	for _, h := range d.Others {
		u.Host += "," + h.String()
	}
	if d.User != "" || d.Password != "" {
		u.User = url.UserPassword(d.User, d.Password)
		if d.Password == "" {
			u.User = url.User(d.User)
		}
	}
	return u.String() + query
}

// String returns the host as an address writes it.
func (h DBHost) String() string {
	text := h.Host
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if h.Port != 0 {
		text += ":" + strconv.Itoa(h.Port)
	}
	return text
}

// parseDBHost reads a host with an optional port; elsewhere: a parameter names
// the host, so it may be empty.
func parseDBHost(s string, elsewhere bool) (DBHost, error) {
	host, p := splitHostPort(s)
	if host == "" && !elsewhere {
		return DBHost{}, errors.New("it names no host")
	}
	var h DBHost
	if p != "" || strings.HasSuffix(s, ":") {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > port {
			return DBHost{}, errors.New("its port must be a number from 1 to 65535")
		}
		h.Port = n
	}
	if host != "" && checkHost(host) != nil {
		return DBHost{}, errors.New("its host is not a host name or an IP address; write special characters of the password as %XX")
	}
	h.Host = strings.Trim(host, "[]")
	return h, nil
}

func checkDBURI(s string) error {
	_, err := ParseDBURI(s)
	return err
}
