package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/fleet"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

// pullSpool is the file in the data folder that takes the log of pulls while
// the database is away.
const pullSpool = "pulls.spool"

// clockOffset sets this process's clock, as a machine's may be set wrongly. It
// is for tests.
const clockOffset = "GANTRY_TEST_CLOCK_OFFSET"

// clock returns the machine's clock, nil for the usual one, and whether the
// store goes by the database's in its place.
func (c *core) clock(ctx context.Context, o coreOptions) (now func() time.Time, sync bool, err error) {
	if o.now != nil {
		return o.now, false, nil
	}
	for _, e := range o.Environ {
		text, ok := strings.CutPrefix(e, clockOffset+"=")
		if !ok || text == "" {
			continue
		}
		offset, err := time.ParseDuration(text)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w: write it like 10m or -90s", clockOffset, err)
		}
		c.log.WarnContext(ctx, clockOffset+" sets this process's clock wrongly, for tests; take it out of the environment of a registry that is used", "offset", offset.String())
		now = func() time.Time { return time.Now().Add(offset) }
	}
	return now, true, nil
}

// databasePause is the time between two tries to reach a database server.
const databasePause = time.Second

// openDatabase opens the database, for which it waits as long as DatabaseWait says.
func (c *core) openDatabase(ctx context.Context, o coreOptions, so store.Options) (*store.DB, error) {
	began, told := time.Now(), time.Time{}
	for {
		db, err := store.Open(ctx, so)
		if err == nil || !store.NotThere(err) || time.Since(began)+databasePause > o.DatabaseWait {
			return db, err
		}
		if time.Since(told) >= 10*time.Second {
			told = time.Now()
			c.log.WarnContext(ctx, "the database does not answer; it is tried again", "error", err, "until", began.Add(o.DatabaseWait).UTC().Format(time.RFC3339))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(databasePause):
		}
	}
}

// shared is the bus that reaches the other instances; nil = there is none, and
// changes that take away wait for a second where there are others.
func (s *Server) shared() bus.Bus {
	if s.opts.bus == nil && s.redis != nil {
		return s.redis
	}
	return s.opts.bus
}

// joinFleet says that this instance lives, before it answers anything, and has
// it do its part among the others.
func (s *Server) joinFleet(ctx context.Context) error {
	f, err := fleet.New(fleet.Options{Store: s.db, Bus: s.shared(), ID: s.id, Logger: s.log, Metrics: s.metrics})
	if err != nil {
		return err
	}
	s.later(func(context.Context) error { return f.Close() })
	return s.beat(ctx)
}

// beat says that this instance lives.
func (s *Server) beat(ctx context.Context) error {
	if s.live.Current().Server.ReadOnly() {
		return nil
	}
	return s.db.Beat(ctx, store.Instance{ID: s.id, Started: s.started, Roles: s.roles.String(), Build: s.opts.Version})
}

// databaseChecks are the lines of the health answers that ask the database. An
// instance that answers pulls from memory stays in rotation while the database
// is away, for all of them have lost it: without them nobody would pull.
func (s *Server) databaseChecks() []httpd.Check {
	ask := func(ctx context.Context) error {
		_, err := s.db.HasUsers(ctx)
		return err
	}
	key := func(ctx context.Context) error {
		if _, err := s.db.ServiceKey(ctx, s.auth.KeyID()); err != nil && s.db.Away().IsZero() {
			return err
		}
		return nil
	}
	return []httpd.Check{
		{Name: "database", Sets: httpd.HealthEndToEnd, Run: ask},
		{Name: "database", Sets: httpd.HealthInstance, Advisory: true, Run: ask},
		{Name: "pulls", Sets: httpd.HealthInstance, Run: func(ctx context.Context) error {
			err := ask(ctx)
			if _, may := s.db.StaleFrom(); err != nil && may && !s.live.Current().Health.NeedsDatabase {
				return nil
			}
			return err
		}},
		{Name: "service_key", Sets: httpd.HealthInstance, Run: key},
		{Name: "pull_log", Sets: httpd.HealthWarning, Run: func(context.Context) error {
			if rows, _ := s.db.Spooled(); rows > 0 {
				return fmt.Errorf("%d pulls wait in %s for the database", rows, pullSpool)
			}
			return nil
		}},
		{Name: "clock", Sets: httpd.HealthWarning, Run: func(context.Context) error {
			if d := s.db.ClockOffset(); d.Abs() > maxClockOffset {
				return errors.New("this machine's clock and the database's differ by " + d.Abs().Round(time.Millisecond).String() + ": set it (NTP)")
			}
			return nil
		}},
	}
}

// maxClockOffset is the difference of clocks above which the health warns.
const maxClockOffset = 5 * time.Second
