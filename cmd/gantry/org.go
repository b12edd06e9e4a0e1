package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gantry-registry/gantry/internal/apiclient"
)

func (c *cli) org() *cobra.Command {
	return group("org", "Look after organizations of a server",
		"List, show, make and delete organizations, through the API of the server that\nyou are signed in to.",
		"  gantry org create acme\n  gantry org list", c.orgList(), c.orgShow(), c.orgCreate(), c.orgDelete())
}

func (c *cli) orgList() *cobra.Command {
	var registry, all bool
	return c.through(verb{
		use: "list", short: "List organizations", args: cobra.NoArgs, names: true,
		long: `List the organizations that you belong to; with --registry those of the whole
registry, which superusers see, a page of 100, or all of them with --all.`,
		example: "  gantry org list\n  gantry org list --registry --all -o name",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&registry, "registry", false, "of the whole registry")
			f.BoolVar(&all, "all", false, "all pages")
		},
		run: func(ctx context.Context, r *call, _ []string) error {
			if registry {
				list, err := r.pages(ctx, all, "organizations", url.Values{}, byToken, "superuser", "organizations")
				if err != nil {
					return err
				}
				return r.table(list, "name", "NAME\tE-MAIL", func(o object) string { return row(o.text("name"), o.text("email")) })
			}
			var user object
			if err := r.get(ctx, nil, &user, "user"); err != nil {
				return err
			}
			return r.table(user.list("organizations"), "name", "NAME\tADMIN\tMAY CREATE", func(o object) string {
				return row(o.text("name"), o.text("is_org_admin"), o.text("can_create_repo"))
			})
		},
	})
}

func (c *cli) orgShow() *cobra.Command {
	return c.through(verb{
		use: "show ORG", short: "Show an organization", args: cobra.ExactArgs(1), names: true, complete: []completer{completeOrg, nil},
		long:    "Show what you may see of an organization: with its teams as a member, all of it\nas an administrator.",
		example: "  gantry org show acme\n  gantry org show acme -o yaml",
		run: func(ctx context.Context, r *call, args []string) error {
			var o object
			if err := r.get(ctx, nil, &o, "organization", args[0]); err != nil {
				return err
			}
			return r.show(o, []string{o.text("name")}, func(w io.Writer) {
				line(w, "name\t%s", o.text("name"))
				line(w, "e-mail\t%s", dash(o.text("email")))
				line(w, "you administer it\t%s", o.text("is_admin"))
				if _, ok := o["teams"]; ok {
					line(w, "teams\t%s", dash(strings.Join(slices.Sorted(maps.Keys(o.object("teams"))), ", ")))
				}
				showStorage(w, o)
			})
		},
	})
}

func showStorage(w io.Writer, o object) {
	report := o.object("quota_report")
	if report == nil {
		return
	}
	line(w, "stored\t%s", size(report.number("quota_bytes")))
	quota := "-"
	if n := report.number("configured_quota"); n > 0 {
		quota = size(n)
	}
	line(w, "quota\t%s", quota)
}

func (c *cli) orgCreate() *cobra.Command {
	var email string
	return c.through(verb{
		use: "create ORG", short: "Make an organization", args: cobra.ExactArgs(1), names: true,
		long:    "Make an organization. You own it.",
		example: "  gantry org create acme --email acme@example.com",
		flags:   func(f *pflag.FlagSet) { f.StringVar(&email, "email", "", "e-mail `address`; none unless told") },
		run: func(ctx context.Context, r *call, args []string) error {
			err := r.do(ctx, http.MethodPost, map[string]string{"name": args[0], "email": email}, nil, "organization")
			return r.did(err, args[0], "organization %s created")
		},
	})
}

func (c *cli) orgDelete() *cobra.Command {
	var yes bool
	return c.through(verb{
		use: "delete ORG", short: "Delete an organization with everything in it", args: cobra.ExactArgs(1), names: true, complete: []completer{completeOrg, nil},
		long: `Delete an organization with its repositories, teams and robots. It cannot be
undone. It asks first; without a terminal it refuses unless --yes is there.`,
		example: "  gantry org delete acme --yes",
		flags:   func(f *pflag.FlagSet) { yesFlag(f, &yes) },
		run: func(ctx context.Context, r *call, args []string) error {
			if err := r.confirm(yes, args[0]+" with all repositories, teams and robots"); err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, "organization", args[0]), args[0], "%s is deleted")
		},
	})
}

func (c *cli) team() *cobra.Command {
	return group("team", "Look after teams of an organization",
		"List, make, change and delete teams of an organization, and who is in them,\nthrough the API of the server that you are signed in to.",
		"  gantry team set acme developers --role creator\n  gantry team add acme developers ada bob",
		c.teamList(), c.teamSet(), c.teamDelete(), c.teamMembers(), c.teamMember(true), c.teamMember(false))
}

func (c *cli) teamList() *cobra.Command {
	return c.through(verb{
		use: "list ORG", short: "List the teams of an organization", args: cobra.ExactArgs(1), names: true, complete: []completer{completeOrg, nil},
		long:    "List the teams of an organization by name, with their role in it.",
		example: "  gantry team list acme\n  gantry team list acme -o name",
		run: func(ctx context.Context, r *call, args []string) error {
			var o object
			if err := r.get(ctx, nil, &o, "organization", args[0]); err != nil {
				return err
			}
			if _, ok := o["teams"]; !ok {
				return fmt.Errorf("only members of %s see its teams", args[0])
			}
			teams := o.object("teams")
			list := []object{}
			for _, name := range slices.Sorted(maps.Keys(teams)) {
				list = append(list, teams.object(name))
			}
			return r.table(list, "name", "NAME\tROLE\tMEMBERS\tREPOSITORIES\tDESCRIPTION", func(o object) string {
				return row(o.text("name"), o.text("role"), o.text("member_count"), o.text("repo_count"), short(o.text("description")))
			})
		},
	})
}

func (c *cli) teamSet() *cobra.Command {
	var role, about string
	var fs *pflag.FlagSet
	return c.through(verb{
		use: "set ORG TEAM", short: "Make a team or change it", args: cobra.ExactArgs(2), names: true, complete: []completer{completeOrg, completeTeam, nil},
		long: `Make a team, or change the role and description of one that is there; what is
not given stays. A member sees the organization, a creator may also make
repositories, an admin may do everything.`,
		example: "  gantry team set acme developers --role creator --description \"who builds\"",
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.StringVar(&role, "role", "", "`role` in the organization: member, creator or admin; member for a new team unless told")
			f.StringVar(&about, "description", "", "what it is for, a `text`")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			in := map[string]any{"role": role}
			if fs.Changed("description") {
				in["description"] = about
			}
			if role == "" {
				in["role"] = "member"
				var o object
				if err := r.get(ctx, nil, &o, "organization", args[0]); err != nil {
					return err
				}
				if t := o.object("teams").object(args[1]); t != nil {
					in["role"] = t["role"]
				}
			}
			var out object
			if err := r.do(ctx, http.MethodPut, in, &out, "organization", args[0], "team", args[1]); err != nil {
				return err
			}
			return r.show(out, []string{out.text("name")}, func(w io.Writer) {
				what := "changed"
				if out["new_team"] == true {
					what = "created"
				}
				line(w, "team %s %s: %s", out.text("name"), what, out.text("role"))
			})
		},
	})
}

func (c *cli) teamDelete() *cobra.Command {
	var yes bool
	return c.through(verb{
		use: "delete ORG TEAM", short: "Delete a team", args: cobra.ExactArgs(2), names: true, complete: []completer{completeOrg, completeTeam, nil},
		long: `Delete a team with its permissions. Its members keep what they have by other
ways. It asks first; without a terminal it refuses unless --yes is there.`,
		example: "  gantry team delete acme developers --yes",
		flags:   func(f *pflag.FlagSet) { yesFlag(f, &yes) },
		run: func(ctx context.Context, r *call, args []string) error {
			if err := r.confirm(yes, "the team "+args[1]+" with its permissions"); err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, "organization", args[0], "team", args[1]), args[1], "%s is deleted")
		},
	})
}

func (c *cli) teamMembers() *cobra.Command {
	return c.through(verb{
		use: "members ORG TEAM", short: "List the members of a team", args: cobra.ExactArgs(2), names: true, complete: []completer{completeOrg, completeTeam, nil},
		long:    "List the users and robots in a team.",
		example: "  gantry team members acme owners",
		run: func(ctx context.Context, r *call, args []string) error {
			var o object
			if err := r.get(ctx, nil, &o, "organization", args[0], "team", args[1], "members"); err != nil {
				return err
			}
			return r.table(o.list("members"), "name", "NAME\tKIND\tINVITED", func(o object) string {
				return row(o.text("name"), kindOf(o), o.text("invited"))
			})
		},
	})
}

// kindOf is robot, user or what the API says.
func kindOf(o object) string {
	if o["is_robot"] == true {
		return "robot"
	}
	if k := o.text("kind"); k != "" {
		return k
	}
	return "user"
}

func (c *cli) teamMember(add bool) *cobra.Command {
	v := verb{
		use: "add ORG TEAM NAME...", short: "Add users or robots to a team", args: cobra.MinimumNArgs(3), names: true,
		complete: []completer{completeOrg, completeTeam, completeEntity},
		long:     "Add users of the registry, or robots of the organization, to a team. The first\nthat cannot be added ends it; those before it are in.",
		example:  "  gantry team add acme developers ada acme+ci",
	}
	method, text := http.MethodPut, "%s is in the team"
	if !add {
		v.use, v.short = "remove ORG TEAM NAME...", "Take users or robots out of a team"
		v.long = "Take users or robots out of a team. The first that cannot be taken out ends it;\nthose before it are out."
		v.example = "  gantry team remove acme developers bob"
		method, text = http.MethodDelete, "%s is out of the team"
	}
	v.run = func(ctx context.Context, r *call, args []string) error {
		for i, name := range args[2:] {
			if err := r.do(ctx, method, nil, nil, "organization", args[0], "team", args[1], "members", name); err != nil {
				if i > 0 {
					return fmt.Errorf("%s, after %s: %w", name, strings.Join(args[2:2+i], ", "), err)
				}
				return err
			}
		}
		names := args[2:]
		return r.show(map[string][]string{"names": names}, names, func(w io.Writer) {
			for _, n := range names {
				line(w, text, plain(n))
			}
		})
	}
	return c.through(v)
}

func (c *cli) prototype() *cobra.Command {
	return group("prototype", "Look after default permissions of new repositories",
		`List, make, change and delete the default permissions of an organization: what
every new repository in it gives to a team, user or robot.`,
		"  gantry prototype add acme read --team developers\n  gantry prototype list acme",
		c.prototypeList(), c.prototypeAdd(), c.prototypeSet(), c.prototypeDelete())
}

func (c *cli) prototypeList() *cobra.Command {
	return c.through(verb{
		use: "list ORG", short: "List default permissions", args: cobra.ExactArgs(1), names: true, complete: []completer{completeOrg, nil},
		long:    "List the default permissions of an organization with their ids.",
		example: "  gantry prototype list acme",
		run: func(ctx context.Context, r *call, args []string) error {
			var o object
			if err := r.get(ctx, nil, &o, "organization", args[0], "prototypes"); err != nil {
				return err
			}
			return r.table(o.list("prototypes"), "id", "ID\tROLE\tFOR\tKIND\tWHEN CREATED BY", prototypeRow)
		},
	})
}

func prototypeRow(o object) string {
	d := o.object("delegate")
	by := "anybody"
	if a := o.object("activating_user"); a != nil {
		by = a.text("name")
	}
	return row(o.text("id"), o.text("role"), d.text("name"), kindOf(d), by)
}

func (c *cli) prototypeAdd() *cobra.Command {
	var team, user, by string
	return c.through(verb{
		use: "add ORG read|write|admin", short: "Make a default permission", args: cobra.ExactArgs(2), names: true,
		complete: []completer{completeOrg, words("read", "write", "admin"), nil},
		long:     "Make a default permission: every repository that is created from now on gives\nthe role to the team, or to the user or robot.",
		example:  "  gantry prototype add acme read --team developers\n  gantry prototype add acme write --user acme+ci --by ada",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&team, "team", "", "`name` of the team that gets it")
			f.StringVar(&user, "user", "", "`name` of the user or robot who gets it")
			f.StringVar(&by, "by", "", "only for repositories that the user or robot of this `name` creates")
		},
		run: func(ctx context.Context, r *call, args []string) error {
			if (team == "") == (user == "") {
				return errors.New("say who gets the role: one of --team and --user")
			}
			delegate := map[string]string{"name": user, "kind": "user"}
			if team != "" {
				delegate = map[string]string{"name": team, "kind": "team"}
			}
			in := map[string]any{"role": args[1], "delegate": delegate}
			if by != "" {
				in["activating_user"] = map[string]string{"name": by}
			}
			return r.prototypeCall(ctx, http.MethodPost, in, args[0])
		},
	})
}

// prototypeCall makes or changes a default permission, and shows it.
func (r *call) prototypeCall(ctx context.Context, method string, in any, org string, id ...string) error {
	var out object
	if err := r.do(ctx, method, in, &out, append([]string{"organization", org, "prototypes"}, id...)...); err != nil {
		return err
	}
	return r.show(out, []string{out.text("id")}, func(w io.Writer) { line(w, "%s", prototypeRow(out)) })
}

func (c *cli) prototypeSet() *cobra.Command {
	return c.through(verb{
		use: "set ORG ID read|write|admin", short: "Change the role of a default permission", args: cobra.ExactArgs(3), names: true,
		complete: []completer{completeOrg, nil, words("read", "write", "admin"), nil},
		long:     "Change the role of a default permission. Repositories that are there stay as\nthey are.",
		example:  "  gantry prototype set acme 0b7e6a34-2b46-4c39-9f3e-4f1c0d5b2f11 write",
		run: func(ctx context.Context, r *call, args []string) error {
			return r.prototypeCall(ctx, http.MethodPut, map[string]string{"role": args[2]}, args[0], args[1])
		},
	})
}

func (c *cli) prototypeDelete() *cobra.Command {
	var yes bool
	return c.through(verb{
		use: "delete ORG ID", short: "Delete a default permission", args: cobra.ExactArgs(2), names: true, complete: []completer{completeOrg, nil},
		long:    "Delete a default permission. Repositories that are there stay as they are. It\nasks first; without a terminal it refuses unless --yes is there.",
		example: "  gantry prototype delete acme 0b7e6a34-2b46-4c39-9f3e-4f1c0d5b2f11 --yes",
		flags:   func(f *pflag.FlagSet) { yesFlag(f, &yes) },
		run: func(ctx context.Context, r *call, args []string) error {
			if err := r.confirm(yes, "the default permission "+args[1]); err != nil {
				return err
			}
			return r.did(r.do(ctx, http.MethodDelete, nil, nil, "organization", args[0], "prototypes", args[1]), args[1], "%s is deleted")
		},
	})
}

// robots is the path of a namespace's robots: that of the caller's own is
// another one.
func (r *call) robots(ctx context.Context, namespace string, more ...string) ([]string, error) {
	me, err := r.me(ctx)
	if err != nil {
		return nil, err
	}
	if namespace == me {
		return append([]string{"user", "robots"}, more...), nil
	}
	return append([]string{"organization", namespace, "robots"}, more...), nil
}

// is reports whether err is an answer with the status.
func is(err error, status int) bool {
	e, ok := errors.AsType[*apiclient.Error](err)
	return ok && e.Status == status
}
