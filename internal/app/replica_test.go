package app

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/servertest"
)

// TestReadReplica kills PostgreSQL's primary for good: an instance that has a
// read replica logs in, and hands out what it has never handed out before;
// pushes are refused until the replica is promoted and named.
func TestReadReplica(t *testing.T) {
	primary := servertest.NewPostgres(t, servertest.PostgresOptions{})
	primary.SQL(t, "postgres", "CREATE DATABASE gantry")
	standby := primary.Standby(t)
	storage := t.TempDir()
	fields := map[string]any{
		"DB_URI": "postgresql://postgres@" + primary.Addr() + "/gantry", "SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"FEATURE_USER_INITIALIZE": true, "SERVER_HOSTNAME": "fleet.example.com",
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"default": []any{"LocalStorage", map[string]any{"storage_path": storage}}},
		"DB_READ_REPLICAS":           []any{map[string]any{"DB_URI": "postgresql://postgres@" + standby.Addr() + "/gantry"}},
	}
	start := func(more map[string]any) *site {
		all := maps.Clone(fields)
		maps.Copy(all, more)
		return open(t, Options{leaseRetry: 20 * time.Millisecond, Environ: override(t, all)})
	}
	a := start(nil)
	a.initialize("ada")
	b := start(nil)
	auth, r := a.bearer("ada", password, "repository:ada/app:pull,push")
	if auth == "" {
		t.Fatalf("token: %d %s", r.status, r.body)
	}
	i := newImage("replica")
	if r := a.push(auth, "ada/app", "v1", i); r.status != 201 {
		t.Fatalf("push: %d %s", r.status, r.body)
	}
	lsn := primary.SQL(t, "gantry", "SELECT pg_current_wal_lsn()")
	until(t, "the standby has it all", func() bool {
		return standby.SQL(t, "gantry", "SELECT pg_last_wal_replay_lsn() >= '"+lsn+"'") == "t"
	})
	primary.Kill()

	auth, r = b.bearer("ada", password, "repository:ada/app:pull,push")
	if auth == "" {
		t.Fatalf("a token while the primary is away: %d %s\n%s", r.status, r.body, b.log)
	}
	if r := send(t, "GET", b.base+"/v2/ada/app/manifests/v1", "", "Authorization", auth, "Accept", manifestType); r.status != 200 || r.body != string(i.manifest) {
		t.Errorf("pull while the primary is away: %d %s\n%s", r.status, r.body, b.log)
	}
	if r := download(t, b.base+"/v2/ada/app/blobs/"+digestOf(i.layer), auth); r.status != 200 || r.body != string(i.layer) {
		t.Errorf("blob while the primary is away: %d, %d bytes", r.status, len(r.body))
	}
	if r := b.push(auth, "ada/app", "v2", i); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("push while the primary is away: %d %s", r.status, r.body)
	}

	standby.Promote(t)
	c := start(map[string]any{"DB_URI": "postgresql://postgres@" + standby.Addr() + "/gantry"})
	if r := c.push(auth, "ada/app", "v2", i); r.status != 201 {
		t.Errorf("push to the promoted one: %d %s", r.status, r.body)
	}
}
