package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) storage() *cobra.Command {
	return group("storage", "Look after storage locations",
		`Show the storage locations and how far each is behind, empty one, fill a new
one, and verify and repair what they hold. docs/geo-replication.md has the
procedures. The work is done by the running server, or by any instance on the
same database; a command that is interrupted goes on when it is given again.`,
		"  gantry storage status\n  gantry storage backfill eu\n  gantry storage evacuate us",
		c.storageStatus(), c.storageEvacuate(), c.storageBackfill(), c.storageVerify(), c.storageRepair(), c.storageNamespace())
}

func (c *cli) storageStatus() *cobra.Command {
	return c.where(&cobra.Command{
		Use:   "status",
		Short: "Show the storage locations and how far each is behind",
		Long: `Show each storage location: its state, whether this instance reads and writes
it (a breaker that is open keeps it from that), and what is still to be copied
to it: blobs, bytes, and since when the oldest waits. A site whose storage is
lost loses what no other location has; what waits here is that, at most.`,
		Example: "  gantry storage status\n  gantry storage status --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.admin().StorageStatus(cmd.Context())
			if err != nil {
				return err
			}
			return c.answer(s, func(w io.Writer) {
				line(w, "LOCATION\tSTATE\tREADS\tWRITES\tLATENCY\tTO COPY\tBYTES\tOLDEST")
				for _, l := range s.Locations {
					name, oldest := l.Name, "-"
					if !l.Configured {
						name += " (not configured)"
					}
					if l.LagBlobs > 0 {
						oldest = (time.Duration(l.LagSeconds) * time.Second).String()
					}
					line(w, "%s\t%s\t%s\t%s\t%.1f ms\t%d\t%s\t%s", name, l.State, l.Reads, l.Writes, l.LatencyMS, l.LagBlobs, size(l.LagBytes), oldest)
				}
				for _, j := range s.Jobs {
					line(w, "%s", progress(j, 0))
				}
			})
		},
	})
}

func (c *cli) storageEvacuate() *cobra.Command {
	r := app.StorageRequest{Kind: "evacuate"}
	yes := false
	cmd := &cobra.Command{
		Use:   "evacuate LOCATION",
		Short: "Empty a storage location, so that it can be removed",
		Long: `Empty a storage location. From now on nothing new goes there; what has no copy
elsewhere is copied first, then each object goes through the trash. Pulls and
pushes go on. At the end the location is removed: wait until the trash has
emptied it (15 minutes) before taking it out of DISTRIBUTED_STORAGE_CONFIG.

With --gone the location is lost: nothing is read there or deleted, and what
has a copy elsewhere is forgotten there. Blobs without a copy keep the command
from ending well; --lose-data gives them up, and pulls of them fail until they
are pushed again.`,
		Example: "  gantry storage evacuate us\n  gantry storage evacuate us --gone --lose-data --yes",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&r.Gone, "gone", false, "the location is lost for good: forget what it held")
	cmd.Flags().BoolVar(&r.Lose, "lose-data", false, "give up blobs of which there is no whole copy anywhere")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, with --gone or --lose-data")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.Location = args[0]
		if (r.Gone || r.Lose) && !yes {
			return errors.New("this forgets data for good: add --yes to say that you mean it")
		}
		return c.storageWork(cmd, r)
	}
	return c.where(cmd)
}

func (c *cli) storageBackfill() *cobra.Command {
	return c.where(&cobra.Command{
		Use:   "backfill [LOCATION]",
		Short: "Have everything copied to where it belongs",
		Long: `Look at every blob and have it copied to the default locations and to those
that its namespaces ask for, wherever it is missing. A LOCATION that was
emptied takes objects again. The command ends when all copies are queued:
"gantry storage status" shows how many are left. The server does the same once
a day while FEATURE_STORAGE_REPLICATION is on.`,
		Example: "  gantry storage backfill\n  gantry storage backfill eu",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := app.StorageRequest{Kind: "fill"}
			if len(args) == 1 {
				r.Location = args[0]
			}
			return c.storageWork(cmd, r)
		},
	})
}

func (c *cli) storageVerify() *cobra.Command {
	r := app.StorageRequest{Kind: "verify"}
	rate := ""
	cmd := &cobra.Command{
		Use:   "verify [LOCATION]",
		Short: "Compare the objects of a location with their digests",
		Long: `Read every object of a storage location, or of all, and compare it with its
digest. What is damaged or missing is not served any more; with --repair it is
brought back from another location at once. The exit code is 1 when something
is damaged and was not repaired.`,
		Example: "  gantry storage verify eu --repair --rate 200MiB",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&r.Repair, "repair", false, "replace damaged bytes by good ones of another location")
	cmd.Flags().StringVar(&rate, "rate", "", "`bytes` to read a second, such as 50MiB; 0 = as fast as it goes; GANTRY_SCRUB_RATE unless told")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			r.Location = args[0]
		}
		if rate != "" {
			n, err := app.ParseRate(rate)
			if err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			if r.Rate = n; n == 0 {
				r.Rate = -1
			}
		}
		return c.storageWork(cmd, r)
	}
	return c.where(cmd)
}

func (c *cli) storageRepair() *cobra.Command {
	return c.where(&cobra.Command{
		Use:   "repair",
		Short: "Bring back what is known to be damaged or missing",
		Long: `Verify what is in doubt or was found damaged or missing, and bring it back from
another location. The server does so by itself every few minutes. The exit code
is 1 when something could not be repaired.`,
		Example: "  gantry storage repair",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.storageWork(cmd, app.StorageRequest{Kind: "repair"})
		},
	})
}

func (c *cli) storageNamespace() *cobra.Command {
	n := app.NamespaceStorage{}
	clearAll := false
	cmd := &cobra.Command{
		Use:   "namespace NAMESPACE",
		Short: "Show or change where a namespace has its blobs kept",
		Long: `Show where the blobs of a user or an organization are kept besides the default
locations, and where they are not. --also and --exclude replace what was said
before; --clear leaves the default locations alone. What was pushed before is
copied by the next backfill, which this queues; what is at a location that is
excluded now stays there.`,
		Example: "  gantry storage namespace acme\n  gantry storage namespace acme --also eu --exclude us",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringSliceVar(&n.Locations, "also", nil, "`locations` besides the default ones")
	cmd.Flags().StringSliceVar(&n.Excluded, "exclude", nil, "`locations` that hold nothing for this namespace")
	cmd.Flags().BoolVar(&clearAll, "clear", false, "the default locations alone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n.Namespace = args[0]
		n.Set = clearAll || cmd.Flags().Changed("also") || cmd.Flags().Changed("exclude")
		v, err := c.admin().NamespaceStorage(cmd.Context(), n)
		if err != nil {
			return err
		}
		return c.answer(v, func(w io.Writer) {
			line(w, "namespace\t%s", v.Namespace)
			line(w, "also kept at\t%v", v.Locations)
			line(w, "not kept at\t%v", v.Excluded)
		})
	}
	return c.where(cmd)
}

// storageWork has work done and shows how far it is: one line that changes on
// a terminal, else a line every ten seconds.
func (c *cli) storageWork(cmd *cobra.Command, r app.StorageRequest) error {
	f, live := c.err.(*os.File)
	live = live && isTerminal(f)
	began := time.Now()
	var shown time.Time
	var first *app.StorageJob
	j, err := c.admin().Storage(cmd.Context(), r, func(j app.StorageJob) {
		if c.output != "text" || !live && time.Since(shown) < 10*time.Second && !j.Over() {
			return
		}
		shown = time.Now()
		if first == nil {
			first = &j
		}
		rate := float64(j.Bytes-first.Bytes) / max(time.Since(began).Seconds(), 1)
		text := progress(j, rate)
		if j.Total > j.Done && j.Done > first.Done {
			left := time.Duration(float64(j.Total-j.Done) / float64(j.Done-first.Done) * float64(time.Since(began)))
			text += ", about " + left.Round(time.Second).String() + " left"
		}
		if live {
			_, _ = fmt.Fprintf(c.err, "\r\x1b[K%s", text) // nowhere else to tell it
		} else {
			_, _ = fmt.Fprintln(c.err, text) // nowhere else to tell it
		}
	})
	if live && !shown.IsZero() {
		_, _ = fmt.Fprintln(c.err) // nowhere else to tell it
	}
	if err != nil {
		return err
	}
	if err := c.answer(j, func(w io.Writer) { line(w, "%s", progress(j, 0)) }); err != nil {
		return err
	}
	if j.State != "done" || j.Damaged > j.Repaired {
		return errFailed
	}
	return nil
}

// progress says in a line how far a job is; a rate of 0 is not said.
func progress(j app.StorageJob, rate float64) string {
	text := j.Kind
	if j.Location != "" {
		text += " " + j.Location
	}
	text += ": " + j.State
	if j.Total > 0 {
		text += fmt.Sprintf(", %d of %d %s", j.Done, j.Total, j.Unit)
	} else if j.Unit != "" {
		text += fmt.Sprintf(", %d %s", j.Done, j.Unit)
	}
	if j.Bytes > 0 {
		text += ", " + size(j.Bytes)
	}
	if rate > 0 {
		text += ", " + size(int64(rate)) + "/s"
	}
	for _, n := range []struct {
		n    int64
		what string
	}{{j.Waiting, "wait for their copy"}, {j.Lost, "without a whole copy"}, {j.Damaged, "damaged"}, {j.Repaired, "repaired"}} {
		if n.n > 0 {
			text += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	if j.Error != "" {
		text += "; the last attempt: " + j.Error
	}
	return text
}
