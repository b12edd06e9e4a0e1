package backup

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Whoever adds blobs to a vault, or reads them, must not have them taken away
// by who prunes. Both leave an object below locks/ before they look for those
// of others, so at least one of two sees the other. A holder writes its lock
// anew in a third of its life; a lock that was not is of a process that died.

const locks = "locks/"

// Kinds of locks: any number may use a vault at a time, or one prune it.
const (
	lockUse   = "use-"
	lockPrune = "prune-"
)

func newName() string { return strings.ToLower(rand.Text()) }

// lock takes a lock, and returns what gives it back. Conflict on "vault" names
// what the other is at.
func (v *Vault) lock(ctx context.Context, kind string) (release func(), err error) {
	key := locks + kind + newName()
	if err := v.write(ctx, key, []byte("{}")); err != nil {
		return nil, err
	}
	remove := func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := v.o.Engine.Delete(last, key); err != nil {
			v.log.WarnContext(last, "give back the lock of the backups; it ends by itself", "key", key, "error", err)
		}
	}
	other, err := v.others(ctx, key, kind == lockUse)
	if err == nil && other != "" {
		what := "a backup or a restore is under way"
		if kind == lockUse {
			what = "old backups are being removed"
		}
		err = gantry.Errorf(gantry.Conflict, "vault", "%s here (%s): try again when it is over; a lock that nobody renews ends after %d minutes", what, other, int(v.o.lockLife.Minutes()))
	}
	if err != nil {
		remove()
		return nil, err
	}
	stop := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(v.o.lockLife / 3)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := v.write(ctx, key, []byte("{}")); err != nil && ctx.Err() == nil {
				v.log.WarnContext(ctx, "renew the lock of the backups", "key", key, "error", err)
			}
		}
	})
	return func() { close(stop); renewing.Wait(); remove() }, nil
}

// others returns the key of a living lock that keeps this one away, or "". Its
// age is measured between two times of the storage's clock.
func (v *Vault) others(ctx context.Context, own string, pruneOnly bool) (string, error) {
	mine, err := v.o.Engine.Stat(ctx, own)
	if err != nil {
		return "", err
	}
	for i, err := range v.o.Engine.List(ctx, locks, "") {
		if err != nil {
			return "", err
		}
		if i.Key == own || pruneOnly && !strings.HasPrefix(i.Key, locks+lockPrune) {
			continue
		}
		if mine.Modified.Sub(i.Modified) < v.o.lockLife {
			return i.Key, nil
		}
		if err := v.o.Engine.Delete(ctx, i.Key); err != nil { // of a process that died
			return "", err
		}
	}
	return "", nil
}

func mustJSON(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // plain structs
	}
	return append(b, '\n')
}
