package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestAudit reads the merged view in pages, where many rows share a
// millisecond, and trims it.
func TestAudit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const day = 86_400_000
		for i := range 30 {
			at := day + int64(i/7)
			storetest.Exec(t, db, `INSERT INTO events (seq, at_ms, kind, ns_id, repo_id, actor_id, actor, actor_kind, ip, request, payload)
				VALUES (?, ?, 'push_repo', 1, ?, 5, 'ann', 'user', '', '', '{}')`, i+1, at, i%2+1)
			ok(t, db.LogAccess(t.Context(), store.Access{At: time.UnixMilli(at), Kind: "pull_repo", Namespace: 1, Repo: 1, Ref: "v1"}))
		}
		for _, c := range []struct {
			name string
			q    store.AuditQuery
			want int
		}{
			{"all", store.AuditQuery{}, 60},
			{"namespace", store.AuditQuery{Namespace: 1}, 60},
			{"other namespace", store.AuditQuery{Namespace: 2}, 0},
			{"repository", store.AuditQuery{Repo: 1}, 45},
			{"actor", store.AuditQuery{Actor: 5, Namespace: 1}, 30},
			{"kinds", store.AuditQuery{Kinds: []string{"pull_repo", "x", "y"}}, 30},
			{"time", store.AuditQuery{From: time.UnixMilli(day + 1), To: time.UnixMilli(day + 2)}, 14},
		} {
			q, seen := c.q, map[string]bool{}
			q.Limit = 4
			last := int64(1 << 60)
			for {
				rows, err := db.Audit(t.Context(), q)
				ok(t, err)
				for _, r := range rows {
					k := fmt.Sprint(r.Pull, r.ID)
					if seen[k] || r.At.UnixMilli() > last {
						t.Errorf("%s: row %s again or out of order", c.name, k)
					}
					seen[k], last = true, r.At.UnixMilli()
				}
				if len(rows) < 4 {
					break
				}
				q.After = &rows[3]
			}
			if len(seen) != c.want {
				t.Errorf("%s: %d rows, want %d", c.name, len(seen), c.want)
			}
		}
		counts, err := db.AuditCounts(t.Context(), store.AuditQuery{Repo: 1})
		if err != nil || len(counts) != 2 || counts[0].Count != 30 || counts[1].Count != 15 || counts[0].Day.UnixMilli() != day {
			t.Errorf("AuditCounts = %v, %v", counts, err)
		}
		old, err := db.OldPulls(t.Context(), time.UnixMilli(day+1), 3)
		if err != nil || len(old) != 3 {
			t.Fatalf("OldPulls = %v, %v", old, err)
		}
		ok(t, db.DeletePulls(t.Context(), []int64{old[0].ID, old[1].ID, old[2].ID}))
		if n, err := db.TrimPulls(t.Context(), time.UnixMilli(day+1), 100); n != 4 || err != nil {
			t.Errorf("TrimPulls = %d, %v", n, err)
		}
	})
}

// TestNoDetails: an event of which there is nothing to tell has an empty object,
// also where its map is nil, as that of a sign-out.
func TestNoDetails(t *testing.T) {
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			db := storetest.Open(t, d, store.Options{})
			ns := storetest.Namespace(t, db)
			if err := db.LogLogin(t.Context(), "logout_success", ns, gantry.Actor{}, nil); err != nil {
				t.Fatal(err)
			}
			if n := storetest.Get(t, db, `SELECT COUNT(*) FROM events WHERE kind = 'logout_success' AND payload = '{}'`); n != 1 {
				t.Errorf("%d events with an empty object; want 1", n)
			}
		})
	}
}
