package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) dev() *cobra.Command {
	return group("dev", "Tools for who develops or measures Gantry",
		"Tools for who develops or measures Gantry. A registry that people use needs none\nof them.",
		"  gantry dev seed --data /tmp/large --scale 0.1", c.devSeed())
}

func (c *cli) devSeed() *cobra.Command {
	s := app.SeedOptions{}
	scale := 1.0
	cmd := &cobra.Command{
		Use:   "seed",
		Short: "Fill an empty database with made-up content",
		Long: `Fill an empty database with organizations, users, teams, repositories, tags,
quotas and log entries, for tests and figures of size. A tenth of the
repositories is in the first organization, a hundredth of the tags and of the
log in its first repository. The same flags make the same rows, but for times.

No blob's bytes are stored: lists and searches work, pulls do not, and "gantry
verify" is sound with --database-only. No account has a password: "gantry user
token" gives one a token. Stop the server first, and keep everything else from
writing. What was interrupted cannot go on: start over with an empty database.`,
		Example: `  gantry dev seed --data /tmp/large
  gantry dev seed --config conf/stack --scale 0.01
  gantry dev seed --data /tmp/mixed --existing --prefix more --orgs 5 --repos 100 --tags 1000 --logs 0`,
		Args: cobra.NoArgs,
	}
	c.where(cmd)
	f := cmd.Flags()
	f.IntVar(&s.Organizations, "orgs", 10_000, "`number` of organizations")
	f.IntVar(&s.Users, "users", 10_000, "`number` of users")
	f.IntVar(&s.Teams, "teams", 2, "`number` of teams of each organization, beside its owners")
	f.IntVar(&s.Repositories, "repos", 100_000, "`number` of repositories")
	f.IntVar(&s.Tags, "tags", 1_000_000, "`number` of tags")
	f.IntVar(&s.Logs, "logs", 10_000_000, "`number` of log entries, of the last 90 days")
	f.Float64Var(&scale, "scale", 1, "`factor` of all numbers but --teams")
	f.Uint64Var(&s.Seed, "seed", 1, "`number` that the rows are made of")
	f.StringVar(&s.Prefix, "prefix", "seed", "`text` that the names of accounts begin with")
	f.BoolVar(&s.Existing, "existing", false, "also beside what the database holds")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !(scale > 0 && scale <= 100) {
			return errors.New("--scale is above 0, and 100 at most")
		}
		for _, n := range []*int{&s.Organizations, &s.Users, &s.Repositories, &s.Tags, &s.Logs} {
			if *n > 0 {
				*n = max(1, int(float64(*n)*scale))
			}
		}
		show := c.progress()
		began := time.Now()
		s.Progress = func(table string, done, total int) {
			if total == 0 {
				show(fmt.Sprintf("%s … %s", table, time.Since(began).Round(time.Second)))
				return
			}
			show(fmt.Sprintf("%s: %d of %d … %s", table, done, total, time.Since(began).Round(time.Second)))
		}
		made, err := app.Seed(cmd.Context(), c.options(), s)
		show("")
		if err != nil {
			return err
		}
		return c.answer(made, func(w io.Writer) {
			line(w, "accounts\t%d", made.Accounts)
			line(w, "teams\t%d", made.Teams)
			line(w, "repositories\t%d", made.Repositories)
			line(w, "manifests\t%d", made.Manifests)
			line(w, "tags\t%d", made.Tags)
			line(w, "changes in the log\t%d", made.Events)
			line(w, "pulls in the log\t%d", made.Pulls)
			line(w, "largest organization\t%s", made.Organization)
			line(w, "largest repository\t%s", made.Repository)
			line(w, "its owner\t%s", made.User)
			line(w, "took\t%s", time.Since(began).Round(100*time.Millisecond))
		})
	}
	return cmd
}
