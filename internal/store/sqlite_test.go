package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// queue lets all closures of fns into one group of the writer: they wait
// while another one holds it. It returns their errors.
func queue(t *testing.T, db *store.DB, fns ...func(exec func(string, ...any) error) error) []error {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	first := async(func() error {
		return db.Update(t.Context(), func(func(string, ...any) error) error {
			close(held)
			<-release
			return nil
		})
	})
	<-held
	var waiting []func() error
	for i, fn := range fns {
		waiting = append(waiting, async(func() error { return db.Update(t.Context(), fn) }))
		for deadline := time.Now().Add(30 * time.Second); db.Queued() != i+1; time.Sleep(time.Millisecond) { // in this order
			if time.Now().After(deadline) {
				t.Fatal("a closure is not queued")
			}
		}
	}
	close(release)
	if err := first(); err != nil {
		t.Error(err)
	}
	var errs []error
	for _, w := range waiting {
		errs = append(errs, w())
	}
	return errs
}

func setting(exec func(string, ...any) error, name, value string) error {
	return exec(`INSERT INTO settings (name, value) VALUES (?, ?)`, name, value)
}

// One that fails, or panics, in a group takes nobody along and leaves nothing.
func TestGroupCommit(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	wrong := errors.New("wrong")
	errs := queue(t, db,
		func(exec func(string, ...any) error) error { return setting(exec, "one", "") },
		func(exec func(string, ...any) error) error { return errors.Join(setting(exec, "two", ""), wrong) },
		func(exec func(string, ...any) error) error { _ = setting(exec, "three", ""); panic("at the disco") },
		func(exec func(string, ...any) error) error { return setting(exec, "four", "") },
	)
	if errs[0] != nil || errs[3] != nil || !errors.Is(errs[1], wrong) || errs[2] == nil || !strings.Contains(errs[2].Error(), "at the disco") {
		t.Errorf("errors %v", errs)
	}
	if n := storetest.Get(t, db, `SELECT COUNT(*) FROM settings WHERE name IN ('one', 'four')`); n != 2 {
		t.Errorf("%d of 2 rows", n)
	}
	if n := storetest.Get(t, db, `SELECT COUNT(*) FROM settings WHERE name IN ('two', 'three')`); n != 0 {
		t.Errorf("%d rows of closures that failed", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Update(ctx, func(exec func(string, ...any) error) error { return setting(exec, "five", "") }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A full disk is an error that says so, for the whole group at worst; nothing
// of it is left, and it is over when there is room.
func TestDatabaseDiskFull(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	pages := storetest.Get(t, db, `PRAGMA page_count`)
	limit := func(n int64) {
		t.Helper()
		if err := db.LimitPages(n); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 1)
	errs := queue(t, db,
		func(exec func(string, ...any) error) error { return setting(exec, "small", "") },
		func(exec func(string, ...any) error) error { return setting(exec, "large", strings.Repeat("x", 1<<20)) },
		func(exec func(string, ...any) error) error { return setting(exec, "small too", "") },
	)
	if !gantry.Is(errs[1], gantry.Unavailable) || gantry.ReasonOf(errs[1]) != gantry.DiskFull {
		t.Errorf("the large one: %v", errs[1])
	}
	for i, name := range map[int]string{0: "small", 1: "large", 2: "small too"} {
		n := storetest.Get(t, db, `SELECT COUNT(*) FROM settings WHERE name = ?`, name)
		if (errs[i] == nil) != (n == 1) {
			t.Errorf("%s: error %v, %d rows", name, errs[i], n)
		}
	}
	limit(1 << 30)
	if err := db.Update(t.Context(), func(exec func(string, ...any) error) error {
		return setting(exec, "later", strings.Repeat("x", 1<<20))
	}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if flaws, err := db.VerifyEdges(t.Context()); err != nil || len(flaws) > 0 {
		t.Errorf("VerifyEdges = %v, %v", flaws, err)
	}
}
