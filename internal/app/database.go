package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/bus/redis"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A databaseError is a database that cannot be opened.
type databaseError struct{ err error }

func (e *databaseError) Error() string { return "database: " + e.err.Error() }
func (e *databaseError) Unwrap() error { return e.err }

// SchemaStatus says where the schema of the database is, and whether the
// database is fit. One that cannot be reached is a finding, too.
func (a *Admin) SchemaStatus(ctx context.Context) (Schema, error) {
	s, err := run[Schema](ctx, a, "db.status", nil)
	if e, ok := errors.AsType[*databaseError](err); ok {
		return Schema{Steps: []store.Migration{}, Findings: []store.Finding{{Check: "database", State: store.FindingFail, Saw: e.err.Error(),
			Do: "see that DB_URI and DB_CONNECTION_ARGS are right, that the database is there, and that the network lets this machine through"}}}, nil
	}
	return s, err
}

// Fit reports whether nothing was found that does not work.
func (s *Schema) Fit() bool {
	return s.Current && !slices.ContainsFunc(s.Findings, func(f store.Finding) bool { return f.State == store.FindingFail })
}

func databaseStatus(ctx context.Context, c *core, _ nothing) (any, error) {
	out, err := schemaOf(ctx, c)
	if err != nil {
		return nil, err
	}
	out.Findings = c.db.Examine(ctx)
	cfg := c.live.Current()
	done := map[string]bool{}
	for _, one := range []struct {
		field string
		r     config.RedisServer
	}{{"USER_EVENTS_REDIS", cfg.Redis.UserEvents}, {"BUILDLOGS_REDIS", cfg.Redis.BuildLogs}} {
		if !one.r.On() {
			continue
		}
		o, err := redisOptions(one.r, cfg.RootCAs())
		where := strings.Join(o.Addrs, ", ")
		if err == nil {
			if done[where] {
				continue
			}
			done[where] = true
			err = redis.Ping(ctx, o)
		}
		f := store.Finding{Check: "Redis", State: store.FindingOK, Saw: where + " answers"}
		if err != nil {
			f.State, f.Saw, f.Do = store.FindingWarn, err.Error(), "see that "+one.field+" is right; without Redis everything works, later"
		}
		out.Findings = append(out.Findings, f)
	}
	return out, nil
}

// registry is the configuration that Options names, as it will be served, and
// the data folder.
func (a *Admin) registry() (cfg *config.Config, data string, err error) {
	if cfg, _, err = config.Load(config.Options{Dir: a.o.Config, Environ: a.o.Environ}); err != nil {
		return nil, "", err
	}
	data, err = filepath.Abs(a.o.data())
	return cfg, data, err
}

// A CopiedTable is how far CopyDatabase is with one table.
type CopiedTable = store.CopiedTable

// CopyRequest says which database is copied where.
type CopyRequest struct {
	From string // DB_URI of the source; "" = the registry's that Options names
	// To is the DB_URI of the target; "" = that of ToConfig.
	To string
	// ToConfig is the folder of the configuration that will serve the target,
	// for its DB_CONNECTION_ARGS and its keys; "" = none.
	ToConfig string
	Check    bool // compare, and copy nothing
}

// A DatabaseCopy is what CopyDatabase did.
type DatabaseCopy struct {
	store.Copied
	// SealedWith are the ids of the DATABASE_SECRET_KEYs that secrets in the
	// database need.
	SealedWith []string `json:"sealed_with"`
}

// CopyDatabase copies a database into an empty one and compares both; progress
// is told of each table.
func (a *Admin) CopyDatabase(ctx context.Context, r CopyRequest, progress func(CopiedTable)) (out DatabaseCopy, err error) {
	cfg, data, err := a.registry()
	if err != nil {
		return out, err
	}
	from, to := store.Options{RootCAs: cfg.RootCAs()}, store.Options{RootCAs: cfg.RootCAs()}
	if from.URI, err = plainURI("--from", r.From); err != nil {
		return out, err
	}
	if from.URI == "" {
		from.URI, from.Args = databaseURI(cfg, data), cfg.DB.Args
	}
	if to.URI, err = plainURI("--to", r.To); err != nil {
		return out, err
	}
	var served *config.Config
	if r.ToConfig != "" {
		if served, _, err = config.Load(config.Options{Dir: r.ToConfig, Environ: a.o.Environ}); err != nil {
			return out, fmt.Errorf("--to-config: %w", err)
		}
		to.RootCAs = served.RootCAs()
		if to.URI == "" {
			to.URI, to.Args = served.DB.URI, served.DB.Args
		}
	}
	if to.URI == "" {
		return out, errors.New("name the target: --to with its DB_URI, or --to-config with the folder of a config.yaml that has one")
	}
	if from.URI == to.URI {
		return out, errors.New("source and target are the same database")
	}
	if path := sqlitePath(from.URI); path != "" {
		if _, err := os.Stat(path); err != nil {
			return out, fmt.Errorf("there is no registry at %s: name its data folder with --data, its configuration with --config, or its database with --from", path)
		}
	}
	if out.SealedWith, err = store.SealedWith(ctx, from, 1000); err != nil {
		return out, fmt.Errorf("the source: %w", err)
	}
	if served != nil && served.Keys.DatabaseSecret != "" {
		if err := knowsKeys(served, out.SealedWith); err != nil {
			return out, err
		}
	}
	if !r.Check {
		release, err := lockFile(to.URI)
		if err != nil {
			return out, err
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	out.Copied, err = store.CopyDatabase(ctx, store.CopyOptions{From: from, To: to, CheckOnly: r.Check, Progress: progress})
	return out, err
}

// plainURI is a DB_URI of the command line as the store takes it.
func plainURI(flag, uri string) (string, error) {
	if uri == "" {
		return "", nil
	}
	d, err := config.ParseDBURI(uri)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	return d.String(), nil
}

// knowsKeys is an error unless the configuration has the keys by these ids.
func knowsKeys(c *config.Config, ids []string) error {
	k, err := auth.NewKeys(auth.KeyOptions{SecretKey: cmp.Or(c.Keys.Secret, c.Keys.DatabaseSecret), DatabaseSecretKey: c.Keys.DatabaseSecret})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.Contains(k.DatabaseKeyIDs(), id) {
			return gantry.Errorf(gantry.Invalid, "DATABASE_SECRET_KEY", "DATABASE_SECRET_KEY of --to-config does not open the secrets of the source, which need the key with id %.64s: "+
				"take it from the source's config.yaml, or from keys/database_secret_key of its data folder", id)
		}
	}
	return nil
}
