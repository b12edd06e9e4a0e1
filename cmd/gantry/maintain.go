package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) gc() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Collect garbage now",
		Long: `Do now what garbage collection would do by itself: end tags whose time is over,
remove what nothing needs, sweep uploads that nobody went on with, delete what
has waited long enough in the trash. It never stops pushes and pulls, and
removes nothing early: what a time machine or a lease keeps stays, and deleted
objects wait 15 minutes in the trash.`,
		Example: "  gantry gc\n  gantry gc --data /var/lib/gantry --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.admin().GC(cmd.Context())
			if err != nil {
				return err
			}
			return c.answer(r, func(w io.Writer) {
				line(w, "tags that ended\t%d", r.Tags)
				line(w, "manifests removed\t%d", r.Manifests)
				line(w, "blobs removed\t%d\t%d bytes", r.Blobs, r.Bytes)
				line(w, "uploads swept\t%d", r.Uploads)
				line(w, "repositories purged\t%d", r.Repositories)
				line(w, "objects deleted\t%d", r.Objects)
				line(w, "objects in the trash\t%d", r.Trashed)
				if r.Failed > 0 {
					line(w, "put off after an error\t%d\tthe server's log has them", r.Failed)
				}
			})
		},
	}
	return c.where(cmd)
}

func (c *cli) verify() *cobra.Command {
	req := app.VerifyRequest{Rate: -1}
	var rate string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every blob and compare it with its digest",
		Long: `Prove that every edge of the database leads somewhere and that usage is exact;
then read every stored blob, those that were verified longest ago first, and
compare it with its digest. What is damaged or missing is listed with the
repositories that hold it, and is not served any more; pushing the image again
heals it. The exit code is 1 when something is wrong.

It reads at the rate of GANTRY_SCRUB_RATE (10 MiB a second) unless told:
1 TiB takes a day then.`,
		Example: `  gantry verify --data /var/lib/gantry --rate 200MiB
  gantry verify --database-only
  gantry verify --repair --quarantine --output json`,
		Args: cobra.NoArgs,
	}
	c.where(cmd)
	cmd.Flags().StringVar(&rate, "rate", "", "`bytes` to read a second, such as 50MiB; 0 = as fast as the disk")
	cmd.Flags().BoolVar(&req.Repair, "repair", false, "replace damaged bytes by good ones of another storage location")
	cmd.Flags().BoolVar(&req.Quarantine, "quarantine", false, "keep a copy of damaged bytes under damaged/ in the storage")
	cmd.Flags().BoolVar(&req.DatabaseOnly, "database-only", false, "leave the blobs out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if rate != "" {
			n, err := app.ParseRate(rate)
			if err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			req.Rate = n
		}
		r, err := c.admin().Verify(cmd.Context(), req)
		if err != nil {
			return err
		}
		if err := c.answer(r, func(w io.Writer) { showVerified(w, r) }); err != nil {
			return err
		}
		if !r.Sound() {
			return errFailed
		}
		return nil
	}
	return cmd
}

func showVerified(w io.Writer, r app.Verified) {
	for _, f := range r.Database.Flaws {
		line(w, "database: %s: %d rows, for example %s", f.Check, f.Count, f.Sample)
	}
	if b := r.Blobs; b != nil {
		for _, d := range b.Damages {
			what := "damaged"
			switch {
			case d.Missing:
				what = "missing"
			case d.Repaired:
				what = "repaired"
			}
			if d.Lost {
				what += ", no good copy is left"
			}
			line(w, "%s in %s: %s, needed by %v", d.Digest, d.Location, what, d.Holders)
		}
		line(w, "%d objects read, %d bytes; %d damaged, %d repaired, %d lost, %d could not be read", b.Objects, b.Bytes, b.Damaged, b.Repaired, b.Lost, b.Failed)
	}
	if r.Sound() {
		line(w, "Everything is whole.")
	} else {
		line(w, "Something is wrong: see above.")
	}
}
