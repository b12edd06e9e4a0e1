package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) log() *cobra.Command {
	return group("log", "Read the audit log of a server",
		"List who did what, and count it by day, through the API of the server that you\nare signed in to.",
		"  gantry log list --org acme\n  gantry log aggregate --repo acme/app", c.logList(), c.logAggregate())
}

// logFilter says which log entries are asked for.
type logFilter struct {
	repo, org, from, to, performer string
	kinds                          []string
	registry                       bool
}

func (l *logFilter) flags(f *pflag.FlagSet) {
	f.StringVar(&l.repo, "repo", "", "of the repository `NAMESPACE/NAME`")
	f.StringVar(&l.org, "org", "", "of the organization `NAME` and its repositories")
	f.BoolVar(&l.registry, "registry", false, "of the whole registry, for superusers")
	f.StringVar(&l.from, "from", "", "from this `day` on, as 2026-11-24, in UTC; the last 24 hours unless told")
	f.StringVar(&l.to, "to", "", "until this `day`, included")
	f.StringVar(&l.performer, "performer", "", "only what the user or robot of this `name` did")
	f.StringSliceVar(&l.kinds, "kind", nil, "only entries of these `kinds`, such as push_repo,delete_tag")
}

// at is the path and the query of what the filter asks for; what is logs or
// aggregatelogs.
func (l *logFilter) at(what string) (parts []string, query url.Values, err error) {
	query = url.Values{}
	switch {
	case l.repo != "" && l.org == "" && !l.registry:
		repo, err := repoPath(l.repo)
		if err != nil {
			return nil, nil, err
		}
		parts = []string{"repository", repo, what}
	case l.org != "" && l.repo == "" && !l.registry:
		parts = []string{"organization", l.org, what}
	case l.registry && l.repo == "" && l.org == "":
		parts = []string{"superuser", what}
	case l.repo == "" && l.org == "":
		parts = []string{"user", what}
	default:
		return nil, nil, errors.New("--repo, --org and --registry exclude each other")
	}
	for name, day := range map[string]string{"starttime": l.from, "endtime": l.to} {
		if day == "" {
			continue
		}
		t, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return nil, nil, fmt.Errorf("%q is not a day like 2026-11-24", day)
		}
		query.Set(name, t.Format("01/02/2006"))
	}
	if l.performer != "" {
		query.Set("performer", l.performer)
	}
	return parts, query, nil
}

func (l *logFilter) wants(o object) bool {
	return len(l.kinds) == 0 || slices.Contains(l.kinds, o.text("kind"))
}

func (c *cli) logList() *cobra.Command {
	var l logFilter
	var all, follow bool
	var every time.Duration
	return c.through(verb{
		use: "list", short: "List who did what", args: cobra.NoArgs,
		long: `List the entries of the audit log, the newest first: of your own namespace
unless --repo, --org or --registry says otherwise, a page of 20, or all of them
with --all. --follow prints new entries as they come, the oldest first, until
it is interrupted; with --output json or yaml one a line.`,
		example: "  gantry log list --org acme --from 2026-11-01 --all\n  gantry log list --repo acme/app --follow",
		flags: func(f *pflag.FlagSet) {
			l.flags(f)
			f.BoolVar(&all, "all", false, "all pages")
			f.BoolVar(&follow, "follow", false, "go on with what comes")
			f.DurationVar(&every, "interval", 5*time.Second, "how `often` --follow looks")
		},
		run: func(ctx context.Context, r *call, _ []string) error {
			parts, query, err := l.at("logs")
			if err != nil {
				return err
			}
			if follow {
				if every < time.Second {
					return errors.New("--interval is a second at least")
				}
				return r.follow(ctx, &l, query, parts, every)
			}
			list, err := r.pages(ctx, all, "logs", query, byToken, parts...)
			if err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(o object) bool { return !l.wants(o) })
			if list == nil {
				list = []object{}
			}
			return r.show(list, nil, func(w io.Writer) {
				line(w, "TIME\tKIND\tBY\tFROM\tWHAT")
				for _, o := range list {
					line(w, "%s", logRow(o))
				}
			})
		},
	})
}

func logRow(o object) string {
	return row(o.time("datetime"), o.text("kind"), o.object("performer").text("name"), o.text("ip"), logWhat(o))
}

// logWhat is what an entry is about, in one cell.
func logWhat(o object) string {
	m := o.object("metadata")
	var words []string
	for _, key := range []string{"namespace", "repo", "tag", "manifest_digest", "team", "member", "robot", "username", "org", "name", "role", "kind"} {
		if v := m.text(key); v != "" {
			words = append(words, key+"="+v)
		}
	}
	return short(strings.Join(words, " "))
}

// overlap is how far --follow reads back behind the newest entry that it has
// seen: pulls are written down a little later.
const overlap = 2 * time.Minute

// follow prints what comes. Entries have no number of their own: those that
// look the same are counted.
func (r *call) follow(ctx context.Context, l *logFilter, query url.Values, parts []string, every time.Duration) error {
	seen := map[string]int{}
	var newest time.Time
	for first := true; ; first = false {
		fresh, counts, err := r.logsSince(ctx, newest, query, parts)
		if err != nil {
			if ctx.Err() != nil {
				return nil // interrupted, which is how it ends
			}
			return err
		}
		for i := len(fresh) - 1; i >= 0; i-- {
			o := fresh[i]
			key := logKey(o)
			if seen[key] > 0 {
				seen[key]--
				continue
			}
			if t, err := time.Parse(time.RFC1123Z, o.text("datetime")); err == nil && t.After(newest) {
				newest = t
			}
			if !first && l.wants(o) {
				if err := r.printLog(o); err != nil {
					return err
				}
			}
		}
		seen = counts
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func logKey(o object) string {
	b, _ := json.Marshal(o) // it was decoded from JSON
	return string(b)
}

// logsSince reads entries, the newest first, until one is older than newest by
// the overlap, and counts those that look the same. Where newest is zero, the
// first one is the newest.
func (r *call) logsSince(ctx context.Context, newest time.Time, query url.Values, parts []string) (list []object, counts map[string]int, err error) {
	q := maps.Clone(query)
	counts = map[string]int{}
	for {
		var answer object
		if err := r.get(ctx, q, &answer, parts...); err != nil {
			return nil, nil, err
		}
		for _, o := range answer.list("logs") {
			t, err := time.Parse(time.RFC1123Z, o.text("datetime"))
			if err == nil && newest.IsZero() {
				newest = t
			}
			if err == nil && t.Before(newest.Add(-overlap)) {
				return list, counts, nil
			}
			list = append(list, o)
			counts[logKey(o)]++
		}
		if !byToken(answer, q) {
			return list, counts, nil
		}
	}
}

func (r *call) printLog(o object) error {
	if r.output != "text" {
		return json.NewEncoder(r.out).Encode(o)
	}
	_, err := fmt.Fprintln(r.out, strings.ReplaceAll(logRow(o), "\t", "  "))
	return err
}

func (c *cli) logAggregate() *cobra.Command {
	var l logFilter
	return c.through(verb{
		use: "aggregate", short: "Count by day who did what", args: cobra.NoArgs,
		long:    "Count the entries of the audit log by day and kind, for at most 32 days.",
		example: "  gantry log aggregate --org acme --from 2026-11-01 --to 2026-11-30",
		flags:   l.flags,
		run: func(ctx context.Context, r *call, _ []string) error {
			parts, query, err := l.at("aggregatelogs")
			if err != nil {
				return err
			}
			var answer object
			if err := r.get(ctx, query, &answer, parts...); err != nil {
				return err
			}
			list := slices.DeleteFunc(answer.list("aggregated"), func(o object) bool { return !l.wants(o) })
			return r.show(list, nil, func(w io.Writer) {
				line(w, "DAY\tKIND\tCOUNT")
				for _, o := range list {
					day, _, _ := strings.Cut(o.time("datetime"), " ")
					line(w, "%s", row(day, o.text("kind"), o.text("count")))
				}
			})
		},
	})
}
