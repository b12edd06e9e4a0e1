package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	units "github.com/gantry-registry/gantry/internal/gantry" // the tests have a function gantry
)

func (c *cli) tag() *cobra.Command {
	return group("tag", "Look after tags of a repository",
		"List, move, restore and delete tags, and set when they end, through the API of\nthe server that you are signed in to.",
		"  gantry tag list acme/app\n  gantry tag move acme/app stable v1.4.2",
		c.tagList(), c.tagHistory(), c.tagMove(), c.tagRestore(), c.tagExpire(), c.tagImmutable(), c.tagDelete())
}

// size is a number of bytes for people.
func size(n int64) string { return units.FormatBytes(n) }

func tagSize(o object) string {
	if o["size"] == nil {
		return "-"
	}
	return size(o.number("size"))
}

// byPage is next for lists that count their pages.
func byPage(answer object, query url.Values) bool {
	query.Set("page", strconv.FormatInt(answer.number("page")+1, 10))
	return answer["has_additional"] == true
}

func (c *cli) tagList() *cobra.Command {
	var all bool
	var filter string
	return c.through(verb{
		use: "list NAMESPACE/NAME", short: "List the tags of a repository", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "List the tags of a repository, the newest first: a page of 100, or all of them\nwith --all.",
		example: "  gantry tag list acme/app --all -o name\n  gantry tag list acme/app --filter rc",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&all, "all", false, "all pages")
			f.StringVar(&filter, "filter", "", "only tags that hold the `text`, in letters of either case")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			query := url.Values{"onlyActiveTags": {"true"}, "limit": {"100"}}
			if filter != "" {
				query.Set("filter_tag_name", "like:"+filter)
			}
			return r.tags(ctx, all, args[0], query, "NAME\tDIGEST\tSIZE\tSINCE\tENDS\tIMMUTABLE", func(o object) string {
				return row(o.text("name"), o.text("manifest_digest"), tagSize(o), o.time("last_modified"), o.time("expiration"), o.text("immutable"))
			})
		},
	})
}

func (r *call) tags(ctx context.Context, all bool, name string, query url.Values, heading string, one func(object) string) error {
	repo, err := repoPath(name)
	if err != nil {
		return err
	}
	list, err := r.pages(ctx, all, "tags", query, byPage, "repository", repo, "tag")
	if err != nil {
		return err
	}
	return r.table(list, "name", heading, one)
}

func (c *cli) tagHistory() *cobra.Command {
	var all bool
	return c.through(verb{
		use: "history NAMESPACE/NAME [TAG]", short: "List what tags pointed at before", args: cobra.RangeArgs(1, 2), names: true,
		complete: []completer{completeRepo, completeTag, nil},
		long: `List what the tags of a repository, or one of them, pointed at and when, the
newest first, as far back as the time machine reaches.`,
		example: "  gantry tag history acme/app latest",
		flags:   func(f *pflag.FlagSet) { f.BoolVar(&all, "all", false, "all pages") },
		run: func(ctx context.Context, r *call, args []string) error {
			query := url.Values{"limit": {"100"}}
			if len(args) == 2 {
				query.Set("specificTag", args[1])
			}
			return r.tags(ctx, all, args[0], query, "NAME\tDIGEST\tFROM\tUNTIL\tRESTORED", func(o object) string {
				return row(o.text("name"), o.text("manifest_digest"), unixTime(o, "start_ts"), unixTime(o, "end_ts"), o.text("reversion"))
			})
		},
	})
}

func unixTime(o object, key string) string {
	if o[key] == nil {
		return "-"
	}
	return time.Unix(o.number(key), 0).UTC().Format(time.DateTime)
}

// digest is a manifest's digest, or that of the manifest that a tag points at.
func (r *call) digest(ctx context.Context, repo, ref string) (string, error) {
	if strings.Contains(ref, ":") {
		return ref, nil
	}
	var o object
	if err := r.get(ctx, url.Values{"onlyActiveTags": {"true"}, "specificTag": {ref}}, &o, "repository", repo, "tag"); err != nil {
		return "", err
	}
	if l := o.list("tags"); len(l) > 0 {
		return l[0].text("manifest_digest"), nil
	}
	return "", fmt.Errorf("there is no tag %q in %s", ref, strings.TrimPrefix(repo, "/"))
}

// change changes a tag.
func (r *call) change(ctx context.Context, method string, in map[string]any, name, tag, tail, text string) error {
	repo, err := repoPath(name)
	if err != nil {
		return err
	}
	parts := []string{"repository", repo, "tag", tag}
	if tail != "" {
		parts = append(parts, tail)
	}
	var body any
	if in != nil {
		body = in
	}
	return r.did(r.do(ctx, method, body, nil, parts...), tag, text)
}

func (c *cli) tagMove() *cobra.Command {
	return c.through(verb{
		use: "move NAMESPACE/NAME TAG DIGEST|TAG", short: "Make a tag, or point it at another manifest", args: cobra.ExactArgs(3), names: true,
		complete: []completer{completeRepo, completeTag, completeTag, nil},
		long:     "Point a tag at a manifest of the repository: that of the digest, or the one that\nanother tag points at. A tag that is not there is made.",
		example:  "  gantry tag move acme/app stable v1.4.2",
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			digest, err := r.digest(ctx, repo, args[2])
			if err != nil {
				return err
			}
			return r.change(ctx, http.MethodPut, map[string]any{"manifest_digest": digest}, args[0], args[1], "", "%s points at "+plain(digest))
		},
	})
}

func (c *cli) tagRestore() *cobra.Command {
	return c.through(verb{
		use: "restore NAMESPACE/NAME TAG DIGEST", short: "Point a tag at what it was before", args: cobra.ExactArgs(3), names: true,
		complete: []completer{completeRepo, completeTag, nil},
		long:     "Point a tag, also a deleted one, at a manifest of its history again: \"gantry tag\nhistory\" lists them.",
		example:  "  gantry tag restore acme/app latest sha256:4d1f9c0a5c3b9d0f0e8f2e0fbd7f9f1c6a1f0b6f7f3f9c0a5c3b9d0f0e8f2e0f",
		run: func(ctx context.Context, r *call, args []string) error {
			return r.change(ctx, http.MethodPost, map[string]any{"manifest_digest": args[2]}, args[0], args[1], "restore", "%s is restored")
		},
	})
}

func (c *cli) tagExpire() *cobra.Command {
	return c.through(verb{
		use: "expire NAMESPACE/NAME TAG WHEN|never", short: "Set when a tag ends", args: cobra.ExactArgs(3), names: true,
		complete: []completer{completeRepo, completeTag, words("never", "24h", "7d", "30d"), nil},
		long:     "Set when a tag ends: after 24h, 30d or 4w, at 2027-01-31 (in UTC) or at\n2027-01-31T12:00:00Z, or never.",
		example:  "  gantry tag expire acme/app pr-17 7d\n  gantry tag expire acme/app v1 never",
		run: func(ctx context.Context, r *call, args []string) error {
			in := map[string]any{"expiration": nil}
			text := "%s does not end"
			if args[2] != "never" {
				t, err := when(args[2], time.Now())
				if err != nil {
					return err
				}
				in["expiration"], text = t.Unix(), "%s ends at "+t.UTC().Format(time.DateTime)
			}
			return r.change(ctx, http.MethodPut, in, args[0], args[1], "", text)
		},
	})
}

// when reads a time: how long from now on, a day, or a time.
func when(s string, now time.Time) (time.Time, error) {
	for _, unit := range []struct {
		name  string
		hours int
	}{{"d", 24}, {"w", 7 * 24}} {
		if n, err := strconv.Atoi(strings.TrimSuffix(s, unit.name)); err == nil && strings.HasSuffix(s, unit.name) && n > 0 && n < 100_000 {
			return now.Add(time.Duration(n*unit.hours) * time.Hour), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return now, fmt.Errorf("%q is no time to end at: write 24h, 30d, 4w, 2027-01-31, 2027-01-31T12:00:00Z or never", s)
}

func (c *cli) tagImmutable() *cobra.Command {
	var off bool
	return c.through(verb{
		use: "immutable NAMESPACE/NAME TAG", short: "Make a tag immutable", args: cobra.ExactArgs(2), names: true,
		complete: []completer{completeRepo, completeTag, nil},
		long: `Make a tag immutable: it cannot be moved, deleted or given an end. --off, for
administrators of the repository, undoes it. It needs FEATURE_IMMUTABLE_TAGS.`,
		example: "  gantry tag immutable acme/app v1.4.2",
		flags:   func(f *pflag.FlagSet) { f.BoolVar(&off, "off", false, "make it an ordinary tag again") },
		run: func(ctx context.Context, r *call, args []string) error {
			text := "%s is immutable"
			if off {
				text = "%s can be changed"
			}
			return r.change(ctx, http.MethodPut, map[string]any{"immutable": !off}, args[0], args[1], "", text)
		},
	})
}

func (c *cli) tagDelete() *cobra.Command {
	var yes, forget bool
	var digest string
	return c.through(verb{
		use: "delete NAMESPACE/NAME TAG", short: "Delete a tag", args: cobra.ExactArgs(2), names: true,
		complete: []completer{completeRepo, completeTag, nil},
		long: `Delete a tag. "gantry tag restore" brings it back while the time machine of the
namespace reaches so far; after --for-good, which needs
PERMANENTLY_DELETE_TAGS, nothing does. With --digest it is a part of the history
that goes. It asks first; without a terminal it refuses unless --yes is there.`,
		example: "  gantry tag delete acme/app pr-17 --yes",
		flags: func(f *pflag.FlagSet) {
			yesFlag(f, &yes)
			f.BoolVar(&forget, "for-good", false, "without a way back")
			f.StringVar(&digest, "digest", "", "with --for-good: what the tag's history has of the manifest with this `digest`")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			if digest != "" && !forget {
				return errors.New("--digest is a part of the history, which only --for-good deletes")
			}
			if err := r.confirm(yes, "the tag "+args[1]+" of "+args[0]); err != nil {
				return err
			}
			switch {
			case digest != "":
				return r.change(ctx, http.MethodPost, map[string]any{"manifest_digest": digest}, args[0], args[1], "expire", "the history of %s has it no more")
			case forget:
				return r.change(ctx, http.MethodPost, map[string]any{"is_alive": true}, args[0], args[1], "expire", "%s is deleted for good")
			}
			return r.change(ctx, http.MethodDelete, nil, args[0], args[1], "", "%s is deleted")
		},
	})
}
