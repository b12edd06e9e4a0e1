package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) repo() *cobra.Command {
	permission := group("permission", "Look after who may use a repository",
		"List, give and take away roles in a repository.",
		"  gantry repo permission set acme/app acme+ci write\n  gantry repo permission list acme/app",
		c.permissionList(), c.permissionSet(), c.permissionRemove())
	return group("repo", "Look after repositories of a server",
		"List, show, make, change and delete repositories, through the API of the server\nthat you are signed in to.",
		"  gantry repo create acme/app\n  gantry repo list acme",
		c.repoList(), c.repoShow(), c.repoCreate(), c.repoDescribe(), c.repoVisibility(), c.repoState(), c.repoDelete(), permission)
}

func (c *cli) repoList() *cobra.Command {
	var public, starred, all bool
	return c.through(verb{
		use: "list [NAMESPACE]", short: "List repositories", args: cobra.MaximumNArgs(1), names: true, complete: []completer{completeNamespace, nil},
		long: `List the repositories of a user or an organization that you may see; of your
own namespace unless told, or with --public all that are public. It is a page
of 100, or all of them with --all.`,
		example: "  gantry repo list acme --all\n  gantry repo list --public -o name",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&public, "public", false, "only what is public; without NAMESPACE of the whole registry")
			f.BoolVar(&starred, "starred", false, "only what you have starred; without NAMESPACE of the whole registry")
			f.BoolVar(&all, "all", false, "all pages")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			query := url.Values{}
			if public {
				query.Set("public", "true")
			}
			if starred {
				query.Set("starred", "true")
			}
			switch {
			case len(args) == 1:
				query.Set("namespace", args[0])
			case !public && !starred:
				me, err := r.me(ctx)
				if err != nil {
					return err
				}
				if me == "" {
					return errors.New("the token may not tell whose it is: name the namespace")
				}
				query.Set("namespace", me)
			}
			list, err := r.pages(ctx, all, "repositories", query, byToken, "repository")
			if err != nil {
				return err
			}
			names := make([]string, 0, len(list))
			for _, o := range list {
				names = append(names, repoName(o))
			}
			if list == nil {
				list = []object{}
			}
			return r.show(list, names, func(w io.Writer) {
				line(w, "NAME\tVISIBILITY\tSTATE\tSTORED\tDESCRIPTION")
				for _, o := range list {
					stored := "-"
					if q := o.object("quota_report"); q != nil {
						stored = size(q.number("quota_bytes"))
					}
					line(w, "%s", row(repoName(o), visibility(o), o.text("state"), stored, short(o.text("description"))))
				}
			})
		},
	})
}

func repoName(o object) string { return o.text("namespace") + "/" + o.text("name") }

func visibility(o object) string {
	if o["is_public"] == true {
		return "public"
	}
	return "private"
}

func (c *cli) repoShow() *cobra.Command {
	return c.through(verb{
		use: "show NAMESPACE/NAME", short: "Show a repository", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "Show a repository: visibility, state, description and what you may do with it.",
		example: "  gantry repo show acme/app\n  gantry repo show acme/app -o json",
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			var o object
			if err := r.get(ctx, url.Values{"includeTags": {"false"}}, &o, "repository", repo); err != nil {
				return err
			}
			return r.show(o, []string{repoName(o)}, func(w io.Writer) {
				may := "pull"
				if o["can_write"] == true {
					may = "pull, push"
				}
				if o["can_admin"] == true {
					may += ", administer"
				}
				line(w, "name\t%s", repoName(o))
				line(w, "visibility\t%s", visibility(o))
				line(w, "state\t%s", o.text("state"))
				line(w, "you may\t%s", may)
				line(w, "deleted tags are kept for\t%s s", o.text("tag_expiration_s"))
				line(w, "description\t%s", dash(o.text("description")))
			})
		},
	})
}

func (c *cli) repoCreate() *cobra.Command {
	var visible, about string
	return c.through(verb{
		use: "create NAMESPACE/NAME", short: "Make a repository", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "Make a repository, which is private unless told. You administer it.",
		example: "  gantry repo create acme/app --description \"what customers run\"\n  gantry repo create acme/web/site --visibility public",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&visible, "visibility", "private", "`who` may pull: public or private")
			f.StringVar(&about, "description", "", "what it holds, a `text`")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			namespace, name, err := cutRepo(args[0])
			if err != nil {
				return err
			}
			err = r.do(ctx, http.MethodPost, map[string]string{"namespace": namespace, "repository": name, "visibility": visible, "description": about}, nil, "repository")
			return r.did(err, args[0], "repository %s created")
		},
	})
}

// repoChange is a verb that changes one thing of a repository.
func (c *cli) repoChange(v verb, method, field, tail, text string) *cobra.Command {
	v.names, v.args = true, cobra.ExactArgs(2)
	v.run = func(ctx context.Context, r *call, args []string) error {
		repo, err := repoPath(args[0])
		if err != nil {
			return err
		}
		parts := []string{"repository", repo}
		if tail != "" {
			parts = append(parts, tail)
		}
		return r.did(r.do(ctx, method, map[string]string{field: args[1]}, nil, parts...), args[0], text)
	}
	return c.through(v)
}

func (c *cli) repoDescribe() *cobra.Command {
	return c.repoChange(verb{use: "describe NAMESPACE/NAME TEXT", short: "Change a repository's description", complete: []completer{completeRepo, nil},
		long:    "Change the description of a repository, which may be Markdown.",
		example: "  gantry repo describe acme/app \"what customers run\"",
	}, http.MethodPut, "description", "", "%s has another description")
}

func (c *cli) repoVisibility() *cobra.Command {
	return c.repoChange(verb{use: "visibility NAMESPACE/NAME public|private", short: "Make a repository public or private",
		complete: []completer{completeRepo, words("public", "private"), nil},
		long:     "Make a repository public, which lets everybody pull, or private.",
		example:  "  gantry repo visibility acme/app public",
	}, http.MethodPost, "visibility", "changevisibility", "%s has its visibility")
}

func (c *cli) repoState() *cobra.Command {
	return c.repoChange(verb{use: "state NAMESPACE/NAME NORMAL|READ_ONLY|MIRROR", short: "Open a repository for pushes, or close it",
		complete: []completer{completeRepo, words("NORMAL", "READ_ONLY", "MIRROR"), nil},
		long:     "Open a repository for pushes (NORMAL), close it for them (READ_ONLY), or hand it\nto mirroring (MIRROR).",
		example:  "  gantry repo state acme/app READ_ONLY",
	}, http.MethodPut, "state", "changestate", "%s has its state")
}

func (c *cli) repoDelete() *cobra.Command {
	var yes bool
	return c.through(verb{
		use: "delete NAMESPACE/NAME", short: "Delete a repository", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long: `Delete a repository with its tags. It cannot be undone. It asks first; without a
terminal it refuses unless --yes is there.`,
		example: "  gantry repo delete acme/app --yes",
		flags:   func(f *pflag.FlagSet) { yesFlag(f, &yes) },
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			if err := r.confirm(yes, args[0]+" with all its tags"); err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, "repository", repo), args[0], "%s is deleted")
		},
	})
}

func (c *cli) permissionList() *cobra.Command {
	return c.through(verb{
		use: "list NAMESPACE/NAME", short: "List who may use a repository", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRepo, nil},
		long:    "List the users, robots and teams with a role in a repository. Administrators of\nthe namespace need none.",
		example: "  gantry repo permission list acme/app",
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			list := []object{}
			for _, kind := range []string{"team", "user"} {
				var o object
				if err := r.get(ctx, nil, &o, "repository", repo, "permissions", kind); err != nil {
					return err
				}
				all := o.object("permissions")
				for _, name := range slices.Sorted(maps.Keys(all)) {
					p := all.object(name)
					p["kind"] = kind
					if kind == "user" {
						p["kind"] = kindOf(p)
					}
					list = append(list, p)
				}
			}
			return r.table(list, "name", "NAME\tKIND\tROLE", func(o object) string { return row(o.text("name"), o.text("kind"), o.text("role")) })
		},
	})
}

func (c *cli) permissionSet() *cobra.Command {
	var team bool
	return c.through(verb{
		use: "set NAMESPACE/NAME WHO read|write|admin", short: "Give somebody a role in a repository", args: cobra.ExactArgs(3), names: true,
		complete: []completer{completeRepo, completeEntity, words("read", "write", "admin"), nil},
		long:     "Give a user or a robot a role in a repository; a team of the organization with\n--team. A role that is there is replaced.",
		example:  "  gantry repo permission set acme/app acme+ci write\n  gantry repo permission set acme/app developers read --team",
		flags:    func(f *pflag.FlagSet) { f.BoolVar(&team, "team", false, "WHO is a team") },
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			var out object
			if err := r.do(ctx, http.MethodPut, map[string]string{"role": args[2]}, &out, "repository", repo, "permissions", teamOrUser(team), args[1]); err != nil {
				return err
			}
			return r.show(out, []string{out.text("name")}, func(w io.Writer) {
				line(w, "%s has the role %s in %s", out.text("name"), out.text("role"), plain(args[0]))
			})
		},
	})
}

func teamOrUser(team bool) string {
	if team {
		return "team"
	}
	return "user"
}

func (c *cli) permissionRemove() *cobra.Command {
	var team bool
	return c.through(verb{
		use: "remove NAMESPACE/NAME WHO", short: "Take a role in a repository away", args: cobra.ExactArgs(2), names: true,
		complete: []completer{completeRepo, completeEntity, nil},
		long:     "Take the role of a user or a robot in a repository away, or that of a team with\n--team.",
		example:  "  gantry repo permission remove acme/app acme+ci",
		flags:    func(f *pflag.FlagSet) { f.BoolVar(&team, "team", false, "WHO is a team") },
		run: func(ctx context.Context, r *call, args []string) error {
			repo, err := repoPath(args[0])
			if err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, "repository", repo, "permissions", teamOrUser(team), args[1]), args[1], "%s has no role of its own any more")
		},
	})
}
