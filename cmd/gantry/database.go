package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
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
	migrate.Flags().DurationVar(&c.opts.DatabaseWait, "database-wait", 0, "how long to wait for a database server that does not answer yet")
	return group("db", "Look after the database", "Show whether the database is fit, bring its schema up to date, and copy it\ninto another one.",
		"  gantry db status\n  gantry db migrate --config /etc/gantry\n  gantry db copy --to postgresql://gantry@db.example.com/gantry",
		c.where(status), c.where(migrate), c.where(c.dbCopy()))
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
