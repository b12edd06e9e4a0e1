package fleet_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/fleet"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// lossy is a bus between instances that loses what it is told to lose.
type lossy struct {
	*bus.Local
	lose atomic.Pointer[string] // prefix of topics
}

func (b *lossy) Publish(ctx context.Context, topic string, payload []byte) error {
	if p := b.lose.Load(); p != nil && strings.HasPrefix(topic, *p) {
		return nil
	}
	return b.Local.Publish(ctx, topic, payload)
}

// TestRemovals: a change that takes away is answered when the other instance
// has forgotten, or after a second; an instance that is alone does not wait.
func TestRemovals(t *testing.T) {
	for _, dialect := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(dialect, func(t *testing.T) {
			a := storetest.Open(t, dialect, store.Options{})
			b := storetest.Another(t, a, store.Options{})
			shared := &lossy{Local: bus.New(bus.Options{})}
			t.Cleanup(func() { _ = shared.Close() })
			row, err := a.RepositoryByID(t.Context(), storetest.Repo(t, a))
			if err != nil {
				t.Fatal(err)
			}
			// change makes the repository public and private, and says how long
			// that took in all, and whether b had forgotten each time.
			change := func() (took time.Duration, forgot bool) {
				t.Helper()
				forgot = true
				began := time.Now()
				for _, v := range []gantry.Visibility{gantry.Public, gantry.Private} {
					repo, who, lasting := b.Generation(row.ID), b.AccountsGeneration(), b.LastingGeneration(row.ID)
					if err := a.SetVisibility(t.Context(), row, v, gantry.Actor{}); err != nil {
						t.Fatal(err)
					}
					forgot = forgot && b.Generation(row.ID) != repo && b.AccountsGeneration() != who && b.LastingGeneration(row.ID) != lasting
				}
				return time.Since(began), forgot
			}
			join := func(id string, db *store.DB, with bus.Bus) {
				f, err := fleet.New(fleet.Options{Store: db, Bus: with, ID: id})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = f.Close() })
				if err := db.Beat(t.Context(), store.Instance{ID: id, Started: db.Now()}); err != nil {
					t.Fatal(err)
				}
			}
			quickest := func(n int) time.Duration { // the machine is busy: the best of several
				best := time.Hour
				for range n {
					took, _ := change()
					best = min(best, took)
				}
				return best
			}
			join("a", a, shared)
			if took := quickest(5); took > 900*time.Millisecond {
				t.Errorf("alone it waits: %v", took)
			}
			join("b", b, shared)
			for range 10 {
				if took, forgot := change(); !forgot && took < 2*time.Second {
					t.Errorf("answered after %v, and the other has not forgotten", took)
				}
			}
			if took := quickest(5); took > 900*time.Millisecond {
				t.Errorf("with acknowledgements it takes %v", took)
			}
			for _, lost := range []string{"fleet/removed", "fleet/ack"} {
				shared.lose.Store(&lost)
				if took, _ := change(); took < 2*time.Second {
					t.Errorf("%s is lost: answered after %v", lost, took)
				}
			}
			shared.lose.Store(nil)
			// An instance that says nothing more is waited for, for a while.
			if err := b.Beat(t.Context(), store.Instance{ID: "dead", Started: b.Now()}); err != nil {
				t.Fatal(err)
			}
			if took, forgot := change(); took < 2*time.Second || !forgot {
				t.Errorf("one is dead: answered after %v, forgotten %v", took, forgot)
			}
			if err := b.RemoveInstance(t.Context(), "dead"); err != nil {
				t.Fatal(err)
			}
			if took := quickest(5); took > 900*time.Millisecond {
				t.Errorf("after it was forgotten it takes %v", took)
			}
		})
	}
}
