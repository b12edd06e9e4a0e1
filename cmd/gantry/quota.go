package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) quota() *cobra.Command {
	limit := group("limit", "Look after the limits of a quota",
		"List, add, change and delete limits: from which part of a quota on there is a\nwarning, or pushes are refused.",
		"  gantry quota limit add acme Reject 100\n  gantry quota limit list acme",
		c.limitList(), c.limitAdd(), c.limitSet(), c.limitDelete())
	return group("quota", "Look after how much a namespace may store",
		`Show, set and take away quotas of organizations and users. Superusers change
them. It needs FEATURE_QUOTA_MANAGEMENT.`,
		"  gantry quota set acme 10GiB\n  gantry quota show acme", c.quotaShow(), c.quotaSet(), c.quotaDelete(), limit)
}

// quotaOf is the quota of a namespace; nil where it has none of its own.
func (r *call) quotaOf(ctx context.Context, namespace string) (all []object, own object, err error) {
	parts := []string{"organization", namespace, "quota"}
	if me, err := r.me(ctx); err != nil {
		return nil, nil, err
	} else if me == namespace {
		parts = []string{"user", "quota"}
	}
	var v any
	if err := r.get(ctx, nil, &v, parts...); err != nil {
		return nil, nil, err
	}
	if all = objects(v); len(all) == 0 || all[0]["id"] == nil {
		return all, nil, nil
	}
	return all, all[0], nil
}

func (c *cli) quotaShow() *cobra.Command {
	return c.through(verb{
		use: "show NAMESPACE", short: "Show what a namespace stores and may store", args: cobra.ExactArgs(1), complete: []completer{completeNamespace, nil},
		long:    "Show the quota of an organization or a user, its limits, and what is stored.",
		example: "  gantry quota show acme",
		run: func(ctx context.Context, r *call, args []string) error {
			all, _, err := r.quotaOf(ctx, args[0])
			if err != nil {
				return err
			}
			// What is stored is told to those who may see the namespace.
			var view object
			if me, err := r.me(ctx); err != nil {
				return err
			} else if me == args[0] {
				err = r.get(ctx, nil, &view, "user")
				if err != nil {
					return err
				}
			} else if err := r.get(ctx, nil, &view, "organization", args[0]); err != nil && !is(err, http.StatusNotFound) {
				return err
			}
			answer := object{"quotas": all, "quota_report": view["quota_report"]}
			return r.show(answer, nil, func(w io.Writer) {
				showStorage(w, view)
				for _, q := range all {
					what := "its own"
					if q["default_config"] == true {
						what = "the default"
					}
					line(w, "%s\t%s\t%s bytes", what, q.text("limit"), q.text("limit_bytes"))
					for _, l := range q.list("limits") {
						line(w, "limit %s\t%s\tat %s %%", l.text("id"), l.text("type"), l.text("limit_percent"))
					}
				}
				if len(all) == 0 {
					line(w, "quota\tnone")
				}
			})
		},
	})
}

func (c *cli) quotaSet() *cobra.Command {
	return c.through(verb{
		use: "set NAMESPACE SIZE", short: "Give a namespace a quota, or change it", args: cobra.ExactArgs(2), names: true, complete: []completer{completeNamespace, nil},
		long: `Give an organization or a user a quota, or change its size: a number and a unit.
GiB counts in powers of 1024, GB in powers of 1000. Only its limits, which
"gantry quota limit" sets, warn and refuse.`,
		example: "  gantry quota set acme 10GiB",
		run: func(ctx context.Context, r *call, args []string) error {
			_, own, err := r.quotaOf(ctx, args[0])
			if err != nil {
				return err
			}
			method, parts := http.MethodPost, []string{"organization", args[0], "quota"}
			if own != nil {
				method, parts = http.MethodPut, append(parts, own.text("id"))
			}
			return r.did(r.do(ctx, method, map[string]string{"limit": args[1]}, nil, parts...), args[0], "%s may store "+plain(args[1]))
		},
	})
}

// ownQuota is the path of a namespace's own quota.
func (r *call) ownQuota(ctx context.Context, namespace string) ([]string, error) {
	_, own, err := r.quotaOf(ctx, namespace)
	if err == nil && own == nil {
		err = fmt.Errorf("%s has no quota of its own: gantry quota set %s SIZE gives it one", namespace, namespace)
	}
	if err != nil {
		return nil, err
	}
	return []string{"organization", namespace, "quota", own.text("id")}, nil
}

func (c *cli) quotaDelete() *cobra.Command {
	var yes bool
	return c.through(verb{
		use: "delete NAMESPACE", short: "Take a quota away", args: cobra.ExactArgs(1), names: true, complete: []completer{completeNamespace, nil},
		long:    "Take the quota of a namespace away with its limits; the default one holds then.\nIt asks first; without a terminal it refuses unless --yes is there.",
		example: "  gantry quota delete acme --yes",
		flags:   func(f *pflag.FlagSet) { yesFlag(f, &yes) },
		run: func(ctx context.Context, r *call, args []string) error {
			parts, err := r.ownQuota(ctx, args[0])
			if err != nil {
				return err
			}
			if err := r.confirm(yes, "the quota of "+args[0]+" with its limits"); err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, parts...), args[0], "%s has no quota of its own any more")
		},
	})
}

func (c *cli) limitList() *cobra.Command {
	return c.through(verb{
		use: "list NAMESPACE", short: "List the limits of a quota", args: cobra.ExactArgs(1), names: true, complete: []completer{completeNamespace, nil},
		long:    "List the limits of the quota of a namespace with their ids.",
		example: "  gantry quota limit list acme",
		run: func(ctx context.Context, r *call, args []string) error {
			_, own, err := r.quotaOf(ctx, args[0])
			if err != nil {
				return err
			}
			return r.table(own.list("limits"), "id", "ID\tTYPE\tPERCENT", func(o object) string { return row(o.text("id"), o.text("type"), o.text("limit_percent")) })
		},
	})
}

func limitBody(kind, percent string) (map[string]any, error) {
	n, err := strconv.Atoi(percent)
	if err != nil {
		return nil, fmt.Errorf("%q is no percentage: write a number from 1 to 100", percent)
	}
	return map[string]any{"type": kind, "threshold_percent": n}, nil
}

func (c *cli) limitAdd() *cobra.Command {
	return c.through(verb{
		use: "add NAMESPACE Warning|Reject PERCENT", short: "Add a limit to a quota", args: cobra.ExactArgs(3), names: true,
		complete: []completer{completeNamespace, words("Warning", "Reject"), nil},
		long:     "Add a limit: from which part of the quota on there is a warning, or pushes are\nrefused.",
		example:  "  gantry quota limit add acme Warning 80\n  gantry quota limit add acme Reject 100",
		run: func(ctx context.Context, r *call, args []string) error {
			in, err := limitBody(args[1], args[2])
			if err != nil {
				return err
			}
			parts, err := r.ownQuota(ctx, args[0])
			if err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodPost, in, nil, append(parts, "limit")...), args[0], "%s has the limit")
		},
	})
}

func (c *cli) limitSet() *cobra.Command {
	return c.through(verb{
		use: "set NAMESPACE ID Warning|Reject PERCENT", short: "Change a limit of a quota", args: cobra.ExactArgs(4), names: true,
		complete: []completer{completeNamespace, nil, words("Warning", "Reject"), nil},
		long:     "Change a limit of the quota of a namespace: \"gantry quota limit list\" tells its\nid.",
		example:  "  gantry quota limit set acme 3 Warning 90",
		run: func(ctx context.Context, r *call, args []string) error {
			in, err := limitBody(args[2], args[3])
			if err != nil {
				return err
			}
			parts, err := r.ownQuota(ctx, args[0])
			if err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodPut, in, nil, append(parts, "limit", args[1])...), args[0], "the limit of %s is changed")
		},
	})
}

func (c *cli) limitDelete() *cobra.Command {
	var yes bool
	return c.through(verb{
		use: "delete NAMESPACE ID", short: "Delete a limit of a quota", args: cobra.ExactArgs(2), names: true, complete: []completer{completeNamespace, nil},
		long:    "Delete a limit of the quota of a namespace. It asks first; without a terminal it\nrefuses unless --yes is there.",
		example: "  gantry quota limit delete acme 3 --yes",
		flags:   func(f *pflag.FlagSet) { yesFlag(f, &yes) },
		run: func(ctx context.Context, r *call, args []string) error {
			parts, err := r.ownQuota(ctx, args[0])
			if err != nil {
				return err
			}
			if err := r.confirm(yes, "the limit "+args[1]+" of "+args[0]); err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, append(parts, "limit", args[1])...), args[0], "%s has the limit no more")
		},
	})
}
