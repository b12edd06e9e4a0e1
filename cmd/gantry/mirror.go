package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) mirror() *cobra.Command {
	return group("mirror", "Look after repositories that mirror other registries",
		"Show how mirrors are, run them, and see what a run would change, through the API\nof the server that you are signed in to.",
		"  gantry mirror status acme/app\n  gantry mirror plan acme/app",
		c.mirrorStatus(), c.mirrorSync(), c.mirrorPlan(), c.mirrorCancel(), c.mirrorRuns())
}

// mirrorPoll is how often a run is asked about that is waited for.
const mirrorPoll = time.Second

// mirrorProgress is how far a run is.
func mirrorProgress(run object) string {
	tags := run.object("tags")
	s := fmt.Sprintf("%d of %d tags, %d copied, %d failed, %s", tags.number("done"), tags.number("total"), tags.number("copied"), tags.number("failed"), size(run.number("bytes")))
	if run.text("status") == "running" {
		s += fmt.Sprintf(", %s/s", size(run.number("bytes_per_second")))
		if run["eta_seconds"] != nil {
			s += fmt.Sprintf(", about %s left", time.Duration(run.number("eta_seconds"))*time.Second)
		}
	}
	return s
}

func (c *cli) mirrorStatus() *cobra.Command {
	return c.through(verb{
		use: "status NAMESPACE/NAME", short: "Show how a mirror is", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "Show what a repository mirrors, how its last run ended, and how far the one is\nthat goes on.",
		example: "  gantry mirror status acme/app\n  gantry mirror status acme/app -o json",
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			var m, runs object
			if err := r.get(ctx, nil, &m, "repository", repo, "mirror"); err != nil {
				return err
			}
			if err := r.get(ctx, url.Values{"limit": {"1"}}, &runs, "repository", repo, "mirror", "runs"); err != nil {
				return err
			}
			m["last_run"] = nil
			last := runs.list("runs")
			if len(last) > 0 {
				m["last_run"] = map[string]any(last[0])
			}
			return r.show(m, []string{args[0]}, func(w io.Writer) {
				line(w, "mirrors\t%s", m.text("external_reference"))
				line(w, "status\t%s", m.text("sync_status"))
				line(w, "message\t%s", dash(m.text("status_message")))
				line(w, "runs by itself\t%s", m.text("is_enabled"))
				line(w, "every\t%s", time.Duration(m.number("sync_interval"))*time.Second)
				line(w, "last run\t%s", dash(m.text("last_sync_date")))
				line(w, "next run\t%s", dash(m.text("next_sync_date")))
				line(w, "robot\t%s", dash(m.text("robot_username")))
				if len(last) > 0 {
					line(w, "%s\t%s: %s", last[0].text("kind"), last[0].text("status"), mirrorProgress(last[0]))
				}
			})
		},
	})
}

// mirrorCall asks for something of a mirror.
func (r *call) mirrorCall(ctx context.Context, out any, name string, tail ...string) error {
	repo, err := repoPath(name)
	if err != nil {
		return err
	}
	return r.do(ctx, http.MethodPost, nil, out, append([]string{"repository", repo, "mirror"}, tail...)...)
}

// waitRun waits for the end of a run and tells how far it is. id "" is the
// latest sync that began after before.
func (r *call) waitRun(ctx context.Context, name, id, before string, quiet bool) (run object, err error) {
	repo, err := repoPath(name)
	if err != nil {
		return nil, err
	}
	told := ""
	for {
		run = nil
		if id != "" {
			err = r.get(ctx, nil, &run, "repository", repo, "mirror", "runs", id)
		} else {
			var all object
			if err = r.get(ctx, url.Values{"limit": {"20"}}, &all, "repository", repo, "mirror", "runs"); err == nil {
				for _, o := range all.list("runs") {
					if o.text("id") == before {
						break
					}
					if o.text("kind") == "sync" {
						run, id = o, o.text("id")
						break
					}
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if run != nil && run.text("status") != "running" {
			return run, nil
		}
		if run != nil && !quiet {
			if now := mirrorProgress(run); now != told {
				told = now
				r.note(told)
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(mirrorPoll):
		}
	}
}

func (c *cli) mirrorSync() *cobra.Command {
	var wait bool
	return c.through(verb{
		use: "sync NAMESPACE/NAME", short: "Run a mirror now", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "Run a mirror now, whenever its turn is. With --wait the command ends when the\nrun has, and fails when that did; what failed, \"gantry mirror runs\" lists.",
		example: "  gantry mirror sync acme/app --wait",
		flags:   func(f *pflag.FlagSet) { f.BoolVar(&wait, "wait", false, "wait for the end of the run") },
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			before := ""
			var runs object
			if err := r.get(ctx, url.Values{"limit": {"20"}}, &runs, "repository", repo, "mirror", "runs"); err != nil {
				return err
			}
			for _, o := range runs.list("runs") {
				if o.text("kind") == "sync" {
					before = o.text("id")
					break
				}
			}
			if err := r.mirrorCall(ctx, nil, args[0], "sync-now"); err != nil || !wait {
				return r.did(err, args[0], "%s is synchronized")
			}
			run, err := r.waitRun(ctx, args[0], "", before, false)
			if err != nil {
				return err
			}
			if run.text("status") != "success" {
				return fmt.Errorf("the run ended as %s: %s", run.text("status"), run.text("message"))
			}
			return r.show(run, []string{args[0]}, func(w io.Writer) { line(w, "%s", run.text("message")) })
		},
	})
}

// outcomes lists what became of tags in a run.
func (r *call) outcomes(ctx context.Context, name, id, outcome string) ([]object, error) {
	repo, err := repoPath(name)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	if outcome != "" {
		query.Set("outcome", outcome)
	}
	return r.pages(ctx, true, "tags", query, byToken, "repository", repo, "mirror", "runs", id, "tags")
}

func (c *cli) mirrorPlan() *cobra.Command {
	return c.through(verb{
		use: "plan NAMESPACE/NAME", short: "List what a run of a mirror would change", args: cobra.ExactArgs(1), names: true,
		complete: []completer{completeRepo, nil},
		long:     "Have the server compare a repository with the one that it mirrors, and list what\na run would copy and remove. Nothing is changed.",
		example:  "  gantry mirror plan acme/app\n  gantry mirror plan acme/app -o json",
		run: func(ctx context.Context, r *call, args []string) error {
			var made object
			if err := r.mirrorCall(ctx, &made, args[0], "plan"); err != nil {
				return err
			}
			run, err := r.waitRun(ctx, args[0], made.text("run"), "", true)
			if err != nil {
				return err
			}
			if run.text("status") != "success" {
				return fmt.Errorf("it could not be found out: %s", run.text("message"))
			}
			return r.listOutcomes(ctx, args[0], run.text("id"), "")
		},
	})
}

func (r *call) listOutcomes(ctx context.Context, name, id, outcome string) error {
	list, err := r.outcomes(ctx, name, id, outcome)
	if err != nil {
		return err
	}
	return r.table(list, "tag", "TAG\tOUTCOME\tDIGEST\tMESSAGE", func(o object) string {
		return row(o.text("tag"), o.text("outcome"), dash(o.text("manifest_digest")), dash(o.text("message")))
	})
}

func (c *cli) mirrorCancel() *cobra.Command {
	return c.through(verb{
		use: "cancel NAMESPACE/NAME", short: "End the run of a mirror", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "End the run of a mirror. What it copied stays. There is no next run until\nsomebody asks for one.",
		example: "  gantry mirror cancel acme/app",
		run: func(ctx context.Context, r *call, args []string) error {
			return r.did(r.mirrorCall(ctx, nil, args[0], "sync-cancel"), args[0], "%s is not synchronized any more")
		},
	})
}

func (c *cli) mirrorRuns() *cobra.Command {
	var outcome string
	return c.through(verb{
		use: "runs NAMESPACE/NAME [RUN]", short: "List the last runs of a mirror, or the tags of one", args: cobra.RangeArgs(1, 2), names: true,
		complete: []completer{completeRepo, nil, nil},
		long:     "List the last runs of a mirror or, with the id of a run, what became of each tag\nthat did not stay as it was: copied, removed, skipped, failed, kept (gone\nupstream, but immutable here) or rolled back.",
		example:  "  gantry mirror runs acme/app\n  gantry mirror runs acme/app 6f1c7f0e-6a0e-4a52-8f3e-2b1f0a9d5c11 --outcome failed",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&outcome, "outcome", "", "with a run: only tags of which that `became`")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			if len(args) == 2 {
				return r.listOutcomes(ctx, args[0], args[1], outcome)
			}
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			list, err := r.pages(ctx, false, "runs", url.Values{}, byToken, "repository", repo, "mirror", "runs")
			if err != nil {
				return err
			}
			return r.table(list, "id", "ID\tKIND\tSTATUS\tSTARTED\tTAGS\tMESSAGE", func(o object) string {
				return row(o.text("id"), o.text("kind"), o.text("status"), o.text("started"), mirrorProgress(o), dash(o.text("message")))
			})
		},
	})
}
