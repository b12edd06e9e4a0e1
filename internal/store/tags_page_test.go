package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// page is TagPage, as "name:digit of the manifest".
func (w *gcWorld) page(q store.TagQuery) (names []string, more bool) {
	w.t.Helper()
	if q.Repo == 0 {
		q.Repo = w.repo
	}
	spans, more, err := w.TagPage(w.t.Context(), q)
	w.must(err)
	for _, s := range spans {
		names = append(names, s.Name)
	}
	return names, more
}

func TestTagPage(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		other := storetest.RepoIn(t, w.DB, w.ns)
		w.manifest(other, store.ManifestPut{Tags: []string{"elsewhere"}})
		one := w.manifest(w.repo, store.ManifestPut{Tags: []string{"a_1"}, LayersSize: 7})
		for _, name := range []string{"ab1", "A_2", "gone", "a_1"} {
			w.advance(time.Second)
			w.manifest(w.repo, store.ManifestPut{Tags: []string{name}})
		}
		w.advance(time.Second)
		w.must(w.DeleteTag(t.Context(), w.repo, "gone", gcRetention, gantry.Actor{}))
		w.must(w.SetTagExpiry(t.Context(), w.repo, "ab1", w.Now().Add(time.Minute), gantry.Actor{}))
		all := []string{"a_1", "gone", "A_2", "ab1", "a_1"}
		for _, tt := range []struct {
			what string
			q    store.TagQuery
			want []string
			more bool
		}{
			{"history", store.TagQuery{N: 10}, all, false},
			{"just all", store.TagQuery{N: 5}, all, false},
			{"first page", store.TagQuery{N: 2}, all[:2], true},
			{"second page", store.TagQuery{N: 2, Offset: 2}, all[2:4], true},
			{"last page", store.TagQuery{N: 2, Offset: 4}, all[4:], false},
			{"beyond", store.TagQuery{N: 2, Offset: 6}, nil, false},
			{"live", store.TagQuery{N: 10, Live: true}, []string{"a_1", "A_2", "ab1"}, false},
			{"live page", store.TagQuery{N: 1, Live: true, Offset: 1}, []string{"A_2"}, true},
			{"one tag", store.TagQuery{N: 10, Name: "a_1"}, []string{"a_1", "a_1"}, false},
			{"one live tag", store.TagQuery{N: 10, Name: "a_1", Live: true}, []string{"a_1"}, false},
			{"no such tag", store.TagQuery{N: 10, Name: "A_1"}, nil, false},
			{"like", store.TagQuery{N: 10, Like: "A_"}, []string{"a_1", "A_2", "a_1"}, false}, // '_' is no wildcard, case does not count
			{"like, live", store.TagQuery{N: 1, Like: "a_", Live: true}, []string{"a_1"}, true},
			{"like nothing", store.TagQuery{N: 10, Like: "%"}, nil, false},
			{"like, page", store.TagQuery{N: 10, Like: "1", Offset: 1}, []string{"ab1", "a_1"}, false},
		} {
			if got, more := w.page(tt.q); !slices.Equal(got, tt.want) || more != tt.more {
				w.t.Errorf("%s: %v, %v; want %v, %v", tt.what, got, more, tt.want, tt.more)
			}
		}
		spans, _, err := w.TagPage(t.Context(), store.TagQuery{Repo: w.repo, N: 10})
		w.must(err)
		if s := spans[4]; s.Digest != one || s.LayersSize != 7 || s.Live || s.EndedBy != "move" || s.End.IsZero() || s.MediaType == "" {
			w.t.Errorf("the oldest span: %+v", s)
		}
		if !spans[0].Live || spans[1].Live || spans[1].EndedBy != "delete" || !spans[3].Live || spans[3].End.IsZero() {
			w.t.Errorf("spans: %+v", spans)
		}
		w.advance(time.Minute)
		if got, _ := w.page(store.TagQuery{N: 10, Live: true}); len(got) != 2 {
			w.t.Errorf("live tags %v, one of which has expired", got)
		}
	})
}

// fill inserts n spans of the manifest, one a millisecond from 1970 on: live
// ones, or history.
func (w *gcWorld) fill(n int, m gantry.Digest, live string) {
	w.t.Helper()
	insert, end := `INSERT INTO `, "NULL"
	if w.Dialect() == "mysql" {
		insert = `SET STATEMENT max_recursive_iterations = 4294967295 FOR ` + insert
	}
	if live == "NULL" {
		end = "i + 1"
	}
	id := storetest.Get(w.t, w.DB, `SELECT id FROM manifests WHERE repo_id = ? AND digest = ?`, int64(w.repo), m.Bytes())
	storetest.Exec(w.t, w.DB, insert+`tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable) `+
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)+
		fmt.Sprintf(`SELECT %d, CONCAT('t', i), %d, i, %s, %s, '', 0, 0 FROM n`, int64(w.repo), id, end, live))
}

// TestTagPageDeep compares pages at any depth, by any instance, with those of
// a list that is read as a whole, while tags come and go.
func TestTagPageDeep(t *testing.T) {
	eachGC(t, func(w *gcWorld) {
		const n = 3000
		m := w.manifest(w.repo, store.ManifestPut{Tags: []string{"first"}})
		w.fill(n, m, "1")
		w.fill(n, m, "NULL")
		another := storetest.Another(t, w.DB, store.Options{Now: w.Now})
		lists := map[string]store.TagQuery{"live": {Live: true}, "history": {}, "one tag": {Name: "t7"}}
		ids := func(db *store.DB, q store.TagQuery) (all []gantry.TagID, more bool) {
			t.Helper()
			spans, more, err := db.TagPage(t.Context(), q)
			w.must(err)
			for _, s := range spans {
				all = append(all, s.ID)
			}
			return all, more
		}
		check := func(what string) {
			t.Helper()
			for name, q := range lists {
				q.Repo, q.N = w.repo, 4*n
				whole, _ := ids(w.DB, q)
				for _, offset := range []int{0, 900, 2998, 1023, 1024, 1025, 1500, 2047, 2048, 2049, 2950, len(whole) - 1, len(whole), len(whole) + 1000} {
					for _, db := range []*store.DB{w.DB, another} {
						q.N, q.Offset = 50, int64(max(offset, 0))
						got, more := ids(db, q)
						from, to := min(int(q.Offset), len(whole)), min(int(q.Offset)+50, len(whole))
						if !slices.Equal(got, whole[from:to]) || more != (to < len(whole)) {
							w.t.Fatalf("%s: %s from %d: %d spans, more %v; want %d of %d", what, name, offset, len(got), more, to-from, len(whole))
						}
					}
				}
			}
		}
		w.advance(time.Minute)
		check("at rest")
		for i := range 20 {
			w.manifest(w.repo, store.ManifestPut{Tags: []string{fmt.Sprintf("new%d", i)}})
		}
		check("after pushes")
		w.advance(time.Minute)
		w.manifest(w.repo, store.ManifestPut{Tags: []string{"new1", "new21"}})
		check("after a move, which nothing deep has seen")
		w.advance(time.Hour)
		check("long after")

		// Who walks through the list while it shrinks sees all that stays.
		for _, name := range []string{"t2990", "t1500", "t500"} {
			w.must(w.DeleteTag(t.Context(), w.repo, name, gcRetention, gantry.Actor{}))
		}
		q := store.TagQuery{Repo: w.repo, Live: true, N: 4 * n}
		stays, _ := ids(w.DB, q)
		seen := map[gantry.TagID]bool{}
		q.N = 64
		for more := true; more; q.Offset += 64 {
			var got []gantry.TagID
			got, more = ids(w.DB, q)
			for _, id := range got {
				seen[id] = true
			}
		}
		for i, id := range stays {
			if !seen[id] {
				w.t.Fatalf("tag %d of %d was missed", i, len(stays))
			}
		}
	})
}

// TestTagPagesReadNoMore is TestPagesReadNoMore for pages by number.
func TestTagPagesReadNoMore(t *testing.T) {
	const n, page = 20_000, 100
	eachGC(t, func(w *gcWorld) {
		m := w.manifest(w.repo, store.ManifestPut{Tags: []string{"first"}})
		w.fill(n, m, "1")
		for range 2 {
			w.fill(n, m, "NULL")
		}
		w.advance(time.Minute)
		pool := storetest.SQL(t, w.DB)
		if a := map[string]string{"postgres": "ANALYZE", "mysql": "ANALYZE TABLE tags, manifests"}[w.Dialect()]; a != "" {
			_, err := pool.ExecContext(t.Context(), a)
			w.must(err)
		}
		type sent struct {
			query string
			args  []any
		}
		var all []sent
		w.Trace(func(q string, a []any) { all = append(all, sent{q, a}) })
		for name, q := range map[string]store.TagQuery{"live": {Live: true}, "history": {}} {
			q.Repo, q.N, q.Offset = w.repo, page, n-page
			if _, _, err := w.TagPage(t.Context(), q); err != nil { // finds the places
				w.t.Fatal(err)
			}
			for offset, most := range map[int64]int{0: 1, 900: 1, 5000: 2, n - page: 2} {
				all, q.Offset = nil, offset
				got, _, err := w.TagPage(t.Context(), q)
				if err != nil || len(got) != page || len(all) > most {
					w.t.Errorf("%s from %d: %d spans by %d statements, %v", name, offset, len(got), len(all), err)
				}
				for _, s := range all {
					if why := readsMore(t, w.Dialect(), pool, 20*page, s.query, s.args); why != "" {
						w.t.Errorf("%s from %d: %s\n%s", name, offset, why, s.query)
					}
				}
			}
		}
		for live, want := range map[bool]int{true: 1, false: 3} {
			all = nil
			got, _, err := w.TagPage(t.Context(), store.TagQuery{Repo: w.repo, Live: live, Name: "t7", N: page})
			if err != nil || len(got) != want || len(all) != 1 {
				w.t.Fatalf("one tag: %d spans by %d statements, %v", len(got), len(all), err)
			}
			if why := readsMore(t, w.Dialect(), pool, page, all[0].query, all[0].args); why != "" {
				w.t.Errorf("one tag: %s\n%s", why, all[0].query)
			}
		}
	})
}

// BenchmarkTagPage turns pages of a million tags.
func BenchmarkTagPage(b *testing.B) {
	const n = 1_000_000
	for _, d := range storetest.Dialects() {
		b.Run(d, func(b *testing.B) {
			db := storetest.Open(b, d, store.Options{})
			repo := storetest.Repo(b, db)
			digest := randomDigest()
			put, err := db.PutManifest(b.Context(), store.ManifestPut{Repo: repo, Digest: digest, MediaType: "a/b", Body: []byte("{}"), Tags: []string{"first"}})
			if err != nil {
				b.Fatal(err)
			}
			insert := `INSERT INTO `
			if db.Dialect() == "mysql" {
				insert = `SET STATEMENT max_recursive_iterations = 4294967295 FOR ` + insert
			}
			storetest.Exec(b, db, insert+`tags (repo_id, name, manifest_id, start_ms, end_ms, live, ended_by, reversion, immutable) `+
				fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)+
				fmt.Sprintf(`SELECT %d, CONCAT('t', i), %d, i, NULL, 1, '', 0, 0 FROM n`, int64(repo), int64(put.ID)))
			if d == storetest.Postgres {
				storetest.Exec(b, db, `VACUUM ANALYZE tags`)
			}
			for _, c := range []struct {
				name string
				q    store.TagQuery
			}{{"first", store.TagQuery{Live: true}}, {"page 10", store.TagQuery{Live: true, Offset: 900}}, {"last", store.TagQuery{Live: true, Offset: n - 100}},
				{"last of history", store.TagQuery{Offset: n - 100}}, {"like", store.TagQuery{Live: true, Like: "t99999"}}} {
				c.q.Repo, c.q.N = repo, 100
				b.Run(c.name, func(b *testing.B) {
					for range 2 { // the first one looks for places
						began := time.Now()
						if _, _, err := db.TagPage(b.Context(), c.q); err != nil {
							b.Fatal(err)
						}
						b.Log(time.Since(began))
					}
					for b.Loop() {
						if _, _, err := db.TagPage(b.Context(), c.q); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
