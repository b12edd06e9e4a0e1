package app

import (
	"context"
	"errors"

	"github.com/gantry-registry/gantry/internal/store"
)

// SeedOptions and Seeded are what Seed takes and gives; Location is filled in.
type (
	SeedOptions = store.SeedOptions
	Seeded      = store.Seeded
)

// Seed fills the database that o names with made-up content, of which no blob
// is stored. An SQLite database must not be in use by a server; beside others
// nothing else may write meanwhile.
func Seed(ctx context.Context, o Options, s SeedOptions) (made Seeded, err error) {
	c, err := openCore(ctx, coreOptions{Options: o, migrate: true})
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	s.Location = c.places[0].ID
	return c.db.Seed(ctx, s)
}
