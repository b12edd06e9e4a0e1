package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
	"github.com/gantry-registry/gantry/internal/config"
)

func (c *cli) db() *cobra.Command {
	status := &cobra.Command{
		Use:   "status",
		Short: "Show whether the database is fit, and where its schema is",
		Long: `List the steps of the schema and which of them the database has; then what
else the registry needs of the database: its version, encoding, rights, clock,
TLS, what it promises at COMMIT and how many connections it takes, and whether
Redis answers. Each line is ok, warn or fail and says what to do. The exit code
is 1 when a line is fail or a step is missing.`,
		Example: "  gantry db status --config /etc/gantry\n  gantry db status --config /etc/gantry --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.admin().SchemaStatus(cmd.Context())
			return c.schema(s, err)
		},
	}
	migrate := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of the database up to this program's",
		Long: `Bring the schema of the database up to this program's; a database that is empty
gets all of it. "gantry serve" does the same at its start. It may be
interrupted and repeated, and several may do it at once.`,
		Example: "  gantry db migrate --config /etc/gantry",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.admin().Migrate(cmd.Context())
			return c.schema(s, err)
		},
	}
	c.waits(migrate)
	return group("db", "Look after the database", "Show whether the database is fit, bring its schema up to date, copy it\ninto another one, and fill it with what a Red Hat Quay holds.",
		"  gantry db status\n  gantry db migrate --config /etc/gantry\n  gantry db copy --to postgresql://gantry@db.example.com/gantry",
		c.where(status), c.where(migrate), c.where(c.dbCopy()), c.where(c.dbImport()))
}

func (c *cli) waits(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&c.opts.DatabaseWait, "database-wait", 0, "how long to wait for a database server that does not answer yet")
}

func (c *cli) dbCopy() *cobra.Command {
	var r app.CopyRequest
	cmd := &cobra.Command{
		Use:   "copy",
		Short: "Copy the database into another one, of any kind",
		Long: `Copy a whole database into an empty one: SQLite, PostgreSQL and MySQL or
MariaDB in any pair. Both are compared afterwards, row by row. The server may
run: the source is read as it was when the copy began, and what is written
later is not in the copy. So let it be read-only meanwhile, or stop it:

  1. set REGISTRY_STATE: readonly (pulls go on, pushes are refused)
  2. gantry db copy --to-config NEW, which takes minutes
  3. start the server with the configuration in NEW

A copy that was interrupted is run again and begins anew; nothing is served
from half of one. Secrets stay sealed, so the new configuration needs the same
DATABASE_SECRET_KEY and SECRET_KEY; those of a registry without configuration
are in keys/ of its data folder. Stored blobs are not copied: the new server
needs the same storage.`,
		Example: "  gantry db copy --to-config /etc/gantry\n  gantry db copy --data /var/lib/gantry --to postgresql://gantry@db.example.com/gantry\n  gantry db copy --config /etc/gantry --to-config /etc/gantry-new --check",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&r.From, "from", "", "`address` of the source, as DB_URI; that of --config or --data unless told")
	cmd.Flags().StringVar(&r.To, "to", "", "`address` of the target, as DB_URI")
	cmd.Flags().StringVar(&r.ToConfig, "to-config", "", "`folder` of the config.yaml that will serve the target: its DB_URI, DB_CONNECTION_ARGS and keys")
	cmd.Flags().BoolVar(&r.Check, "check", false, "compare the two databases and copy nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out, err := c.admin().CopyDatabase(cmd.Context(), r, func(t app.CopiedTable) {
			if t.Sum != "" && c.output == "text" {
				_, _ = fmt.Fprintf(c.err, "%s: %d rows\n", t.Name, t.Rows) // progress alone
			}
		})
		if err != nil {
			return err
		}
		err = c.answer(out, func(w io.Writer) {
			rows := int64(0)
			for _, t := range out.Tables {
				rows += t.Rows
				if !t.Equal {
					line(w, "%s\tdiffers\t%d rows here\t%d there", t.Name, t.Rows, t.Other)
				}
			}
			if !out.Equal {
				line(w, "The databases differ.")
				return
			}
			line(w, "Both databases have the same %d rows in %d tables, as of %s.", rows, len(out.Tables), out.Snapshot.UTC().Format("2006-01-02 15:04:05Z"))
			if len(out.SealedWith) > 0 {
				line(w, "Secrets in it need the DATABASE_SECRET_KEY with the id %s.", strings.Join(out.SealedWith, ", "))
			}
		})
		if err == nil && !out.Equal {
			err = errFailed
		}
		return err
	}
	return cmd
}

func (c *cli) dbImport() *cobra.Command {
	var r app.ImportRequest
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Fill an empty database with what a Red Hat Quay holds",
		Long: `Read the database of a Red Hat Quay (3.3 or newer, PostgreSQL or MySQL) and
write what it holds into the registry's empty database: users with their
passwords, organizations, teams, robots with their tokens, permissions,
repositories, images, tags with their history, mirrors, proxy caches, quotas,
policies, notifications, OAuth applications and the action log. Blobs are not
copied: the registry reads them where they are, so its config.yaml has the
Quay's DISTRIBUTED_STORAGE_CONFIG.

The Quay's database is only read, in one snapshot: what is pushed to the Quay
later does not come over. So let it be read-only meanwhile:

  1. gantry db import --check ...        (while the Quay serves)
  2. set REGISTRY_STATE: readonly in the Quay's config.yaml
  3. gantry db import ...                (minutes)
  4. start the registry, and send its host name there

Of the action log comes over what is not older than --logs: 30 days unless told,
"all" for everything, 0 for nothing. Entries keep their time, performer, address
and metadata, and nobody is told of them again. A Quay that logs to
Elasticsearch or Splunk has none in its database.

Nothing is deleted from storage for --hold, so that the Quay can serve again:
only what was pushed to the registry meanwhile is then missing there. An import
that was interrupted is run again and begins anew; nothing is served from half
of one. One that was done is not done again.`,
		Example: "  gantry db import --config /etc/gantry --from-config /etc/quay --check\n  gantry db import --config /etc/gantry --from-config /etc/quay\n  gantry db import --config /etc/gantry --from-db postgresql://reader@db.example.com/quay",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&r.FromConfig, "from-config", "", "`folder` of the Quay's config.yaml: its DB_URI, DB_CONNECTION_ARGS and DATABASE_SECRET_KEY")
	cmd.Flags().StringVar(&r.From, "from-db", "", "`address` of the Quay's database, as DB_URI; that of --from-config unless told")
	cmd.Flags().DurationVar(&r.Hold, "hold", 14*24*time.Hour, "how long nothing that the Quay has is deleted from storage; 0 = not at all")
	r.Logs = 30 * 24 * time.Hour
	cmd.Flags().Var((*logAge)(&r.Logs), "logs", "`age` up to which entries of the action log come over, as 90d, 12h or all; 0 = none do")
	c.waits(cmd)
	cmd.Flags().BoolVar(&r.Check, "check", false, "read everything, tell what would come over, and write nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out, err := c.admin().ImportQuay(cmd.Context(), r, func(table string, rows int) {
			if c.output == "text" && rows > 0 {
				_, _ = fmt.Fprintf(c.err, "%s: %d rows\n", table, rows) // progress alone
			}
		})
		if err != nil {
			return err
		}
		return c.answer(out, func(w io.Writer) { tellImport(w, out, r.Check) })
	}
	return cmd
}

// logAge is how old log entries may be: a duration as Go or Quay write it, or
// "all".
type logAge time.Duration

func (a *logAge) Type() string { return "duration" }

func (a *logAge) String() string {
	const day = 24 * time.Hour
	switch d := time.Duration(*a); {
	case d == app.AllLogs:
		return "all"
	case d > 0 && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	default:
		return d.String()
	}
}

func (a *logAge) Set(text string) error {
	d, err := config.ParseAge(text)
	if err == nil {
		*a = logAge(d)
	}
	return err
}

func tellImport(w io.Writer, out app.QuayImported, check bool) {
	for _, n := range out.Counts {
		line(w, "%s\t%d", n.What, n.N)
	}
	for _, l := range out.LeftOut {
		n := "some"
		if l.N > 0 {
			n = fmt.Sprint(l.N)
		}
		line(w, "left out: %s\t%s\t%s", l.What, n, l.Why)
		for _, e := range l.Examples {
			line(w, "\t\t%s", e)
		}
	}
	at := out.Snapshot.UTC().Format("2006-01-02 15:04:05Z")
	switch {
	case out.Already:
		line(w, "The database was imported before, as of %s; nothing was done.", at)
	case check:
		line(w, "This is what would come over, as of %s; nothing was written.", at)
	default:
		line(w, "The database holds what the Quay had at %s.", at)
	}
	if !out.HeldUntil.IsZero() {
		line(w, "Nothing that the Quay has is deleted from storage before %s.", out.HeldUntil.UTC().Format("2006-01-02 15:04:05Z"))
	}
}

func (c *cli) schema(s app.Schema, err error) error {
	if err != nil {
		return err
	}
	err = c.answer(s, func(w io.Writer) {
		for _, m := range s.Steps {
			state := "missing"
			if m.Applied {
				state = "applied"
			}
			line(w, "%d\t%s\t%s", m.Version, m.Name, state)
		}
		for _, f := range s.Findings {
			line(w, "%s\t%s\t%s", f.State, f.Check, f.Saw)
			if f.Do != "" {
				line(w, "\t\t%s", f.Do)
			}
		}
		switch {
		case s.Dialect == "":
			line(w, "The database cannot be reached.")
		case s.Current:
			line(w, "The %s database is up to date.", s.Dialect)
		default:
			line(w, "The %s database is behind: gantry db migrate brings it up.", s.Dialect)
		}
	})
	if err == nil && !s.Fit() {
		err = errFailed
	}
	return err
}
