package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestReplica takes the primary away: what only reads is answered by a replica,
// all else is refused; and what it said is forgotten when the primary is back.
func TestReplica(t *testing.T) {
	for _, dialect := range servers {
		t.Run(dialect, func(t *testing.T) {
			uri := storetest.URI(t, dialect)
			direct := storetest.Open(t, dialect, store.Options{URI: uri})
			if err := direct.SetSetting(t.Context(), "colour", "red"); err != nil {
				t.Fatal(err)
			}
			dead, cut := storetest.Proxied(t, uri)
			cut.Cut()
			o := store.Options{Replicas: []string{dead, uri}}
			var p *servertest.Proxy
			o.URI, p = storetest.Proxied(t, uri)
			db := storetest.Open(t, dialect, o)
			t.Cleanup(p.Heal)
			reads := store.FromReplicas(t.Context())
			get := func(ctx context.Context, want string) {
				t.Helper()
				if got, err := db.Setting(ctx, "colour"); err != nil || got != want {
					t.Errorf("the setting is %q, %v; want %q", got, err, want)
				}
			}
			get(reads, "red")
			if n := db.ReplicaReads(); n != 0 {
				t.Errorf("%d reads went to a replica while the primary answers", n)
			}

			p.Cut()
			get(reads, "red") // before it is known to be away
			eventually(t, "the database is away", func() bool { return !db.Away().IsZero() })
			get(reads, "red")
			if n := db.ReplicaReads(); n != 2 {
				t.Errorf("%d reads went to a replica; want 2", n)
			}
			if _, err := db.Setting(t.Context(), "colour"); !away(err) {
				t.Errorf("a read that a replica must not answer: %v", err)
			}
			if err := db.SetSetting(reads, "colour", "blue"); !away(err) {
				t.Errorf("a write: %v", err)
			}
			if v, err := db.Setting(reads, "none"); v != "" || err != nil {
				t.Errorf("what is not there: %q, %v", v, err)
			}

			before := db.AccountsGeneration()
			p.Heal()
			eventually(t, "the database is back", func() bool { return db.Away().IsZero() })
			if db.AccountsGeneration() == before {
				t.Error("what the replica said is not forgotten")
			}
			get(t.Context(), "red")
		})
	}
}

// TestReplicaURI: what cannot be a replica is refused, naming the field and no
// secret.
func TestReplicaURI(t *testing.T) {
	uri := storetest.URI(t, storetest.Postgres)
	for _, bad := range []string{"mysql+pymysql://u:very-secret@127.0.0.1/x", "postgresql://u:very-secret@127.0.0.1/x?sslmode=sometimes", "oracle://u:very-secret@h/x"} {
		db, err := store.Open(t.Context(), store.Options{URI: uri, Replicas: []string{bad}})
		if err == nil {
			_ = db.Close() // the failure is said below
		}
		if err == nil || !strings.Contains(err.Error(), "DB_READ_REPLICAS[0]") || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v", strings.ReplaceAll(bad, "very-secret", "…"), err)
		}
	}
}
