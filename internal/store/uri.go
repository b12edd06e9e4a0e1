package store

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A uri is a parsed DB_URI with its connection arguments.
type uri struct {
	dialect        string
	path           string // of an SQLite file
	hosts          []host // of a server; a host may be the folder of a Unix socket
	user, password string
	name           string            // of the database
	args           map[string]string // what follows "?", and over it DB_CONNECTION_ARGS; values as they were written
}

// A host is one server of a database; port "" is the dialect's own.
type host struct{ name, port string }

func (h host) String() string {
	if h.port == "" {
		return h.name
	}
	return net.JoinHostPort(h.name, h.port)
}

// maxHosts bounds the servers that one address may name.
const maxHosts = 16

// ignored are arguments without effect here, which Quay's database layer or
// driver takes.
var ignored = []string{"threadlocals", "autorollback", "sslcompression", "gssencmode", "krbsrvname", "gsslib", "gssdelegation",
	"requirepeer", "client_encoding", "charset", "load_balance_hosts", "cursor_factory", "async", "use_unicode", "binary_prefix",
	"check_same_thread", "pragmas", "journal_mode"}

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
	if !isScheme(scheme) {
		scheme = "…" // it may be anything, also a password
	}
	kind, _, _ := strings.Cut(scheme, "+")
	u := &uri{args: map[string]string{}}
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
	// net/url takes one host, so the hosts are read here and it reads the rest.
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	hosts := rest[at:end]
	parsed, err := url.Parse("db://" + rest[:at] + "x" + rest[end:])
	if err != nil { // whose text repeats the address, with the password
		return nil, bad("the address cannot be read; percent-encode special characters of the password")
	}
	u.user = parsed.User.Username()
	u.password, _ = parsed.User.Password()
	if u.name = strings.Trim(parsed.Path, "/"); u.name == "" {
		return nil, bad("the address has no database name after the host")
	}
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return nil, bad("what follows '?' cannot be read as name=value&…")
	}
	for name, values := range query {
		u.args[name] = strings.Join(values, ",") // of host there may be several
	}
	u.take("", args)
	if u.hosts, err = parseHosts(hosts, u.args["host"], u.args["port"]); err != nil {
		return nil, bad("%v", err)
	}
	if socket := u.args["unix_socket"]; socket != "" {
		u.hosts = []host{{name: socket}}
	}
	if len(u.hosts) == 0 {
		return nil, bad("the address has no host")
	}
	if u.dialect == "mysql" && len(u.hosts) > 1 {
		return nil, bad("several hosts are for PostgreSQL alone; put a proxy or a name that moves in front of MySQL")
	}
	for _, name := range append([]string{"host", "port", "unix_socket"}, ignored...) {
		delete(u.args, name)
	}
	return u, nil
}

// isScheme reports whether s could be the scheme of a URL (RFC 3986, 3.1).
func isScheme(s string) bool {
	return len(s) <= 40 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	})
}

// take adds arguments over those that are there; those of a block, such as
// MySQL's ssl, get its name as a prefix.
func (u *uri) take(prefix string, args map[string]any) {
	for name, v := range args {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			if prefix == "" && len(v) > 0 {
				u.args[name] = "true"
				u.take(name+"_", v)
			}
		default:
			u.args[prefix+name] = fmt.Sprint(v)
		}
	}
}

// parseHosts reads "host:port,host:port", or, as libpq and SQLAlchemy have it,
// the parameters host and port, which win.
func parseHosts(list, params, ports string) ([]host, error) {
	if params != "" {
		list = params
	}
	if list == "" {
		return nil, nil
	}
	parts := strings.Split(list, ",")
	if len(parts) > maxHosts {
		return nil, fmt.Errorf("it names more than %d hosts", maxHosts)
	}
	each := strings.Split(ports, ",")
	if ports == "" {
		each = nil
	} else if len(each) != 1 && len(each) != len(parts) {
		return nil, fmt.Errorf("it names %d hosts and %d ports", len(parts), len(each))
	}
	hosts := make([]host, 0, len(parts))
	for i, part := range parts {
		h := host{name: part}
		if !strings.HasPrefix(part, "/") { // the folder of a socket
			if j := strings.LastIndexByte(part, ':'); j >= 0 && (strings.Count(part, ":") == 1 || strings.Contains(part[:j], "]")) {
				h = host{part[:j], part[j+1:]}
			}
			h.name = strings.Trim(h.name, "[]")
		}
		if h.port == "" && each != nil {
			h.port = each[min(i, len(each)-1)]
		}
		if h.name == "" {
			return nil, fmt.Errorf("one of its hosts has no name")
		}
		if h.port != "" {
			if n, err := strconv.ParseUint(h.port, 10, 16); err != nil || n == 0 {
				return nil, fmt.Errorf("a port is a number from 1 to 65535")
			}
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// where names the servers, for messages.
func (u *uri) where() string {
	if u.dialect == "sqlite" {
		return u.path
	}
	names := make([]string, 0, len(u.hosts))
	for _, h := range u.hosts {
		names = append(names, h.String())
	}
	return strings.Join(names, ",")
}

// seconds returns an argument in seconds as a duration, or the default if it
// is not there.
func (u *uri) seconds(name string, def, least, most time.Duration) (time.Duration, error) {
	text := u.args[name]
	if text == "" {
		return def, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	d := time.Duration(f * float64(time.Second))
	if err != nil || d < least || d > most {
		return 0, badArg(name, "it must be a number of seconds from %v to %v", least.Seconds(), most.Seconds())
	}
	return d, nil
}

// number returns an argument that is a whole number, or the default if it is
// not there.
func (u *uri) number(name string, def, least, most int) (int, error) {
	text := u.args[name]
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badArg(name, "it must be a number from %d to %d", least, most)
	}
	return n, nil
}

// on returns an argument that is yes or no, or the default if it is not there.
func (u *uri) on(name string, def bool) (bool, error) {
	text := u.args[name]
	if text == "" {
		return def, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, badArg(name, "it must be true or false")
	}
	return on, nil
}

// strip takes away the arguments that are not known and returns their names.
func (u *uri) strip(known ...string) (unknown []string) {
	for _, name := range slices.Sorted(maps.Keys(u.args)) {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
			delete(u.args, name)
		}
	}
	return unknown
}

// badArg is an error of one argument.
func badArg(name, format string, a ...any) error {
	field := "DB_CONNECTION_ARGS." + name
	return gantry.Errorf(gantry.Invalid, field, field+": "+format, a...)
}
