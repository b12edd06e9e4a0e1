package storetest

import (
	"net/url"
	"path/filepath"
	"testing"

	"github.com/gantry-registry/gantry/internal/servertest"
)

// Proxied returns the DB_URI of the database server at uri, one of URI or
// EmptyURI, through a proxy that can cut and stall its connections.
func Proxied(t testing.TB, uri string) (through string, p *servertest.Proxy) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	socket := u.Query().Get("unix_socket")
	if dir := u.Query().Get("host"); dir != "" {
		socket = filepath.Join(dir, ".s.PGSQL.5432")
	}
	if socket == "" {
		t.Fatalf("storetest: %s is no database server", uri)
	}
	p = servertest.NewProxy(t, socket)
	u.RawQuery, u.Host = "", p.Addr()
	if u.Scheme == "postgresql" {
		u.RawQuery = "sslmode=disable"
	}
	return u.String(), p
}
