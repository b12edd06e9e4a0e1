package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) robot() *cobra.Command {
	return group("robot", "Look after robot accounts",
		`Make, list and delete robots: accounts for machines. A robot belongs to the
user or organization whose name stands before its "+", and signs in with a
token. It may read and write only what it was given rights to.

`+robotWhere, "  gantry robot create acme+ci\n  gantry robot token acme+ci --server https://registry.example.com",
		c.robotCreate(), c.robotList(), c.robotShow(), c.robotToken(false), c.robotToken(true), c.robotDelete())
}

const robotWhere = `It works through the API of a server when --server or GANTRY_SERVER names one,
or when you are signed in to one with "gantry login"; on the registry of a data
folder when --data or --config names it, or where there is no server.`

// both adds the flags of a command that works through the API of a server, or
// on a data folder, and makes it do which is meant.
func (c *cli) both(cmd *cobra.Command, complete completer, remote func(context.Context, *call, []string) error) *cobra.Command {
	c.where(cmd)
	c.serverFlags(cmd)
	c.completes(cmd, true, []completer{complete, nil})
	cmd.Long += "\n\n" + robotWhere
	local := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		there, err := c.meansServer(cmd.Flags())
		if err != nil {
			return err
		}
		if there {
			return c.runCall(cmd.Context(), remote, args)
		}
		if c.output == "name" {
			return errors.New("--output name is for servers; take text, json or yaml")
		}
		return local(cmd, args)
	}
	return cmd
}

// meansServer reports whether a command that knows both is about a server.
func (c *cli) meansServer(f *pflag.FlagSet) (bool, error) {
	folder := f.Changed("data") || f.Changed("config")
	switch {
	case folder && f.Changed("server"):
		return false, errors.New("--server is about a server, --data and --config are about a data folder: say one of them")
	case folder:
		return false, nil
	case f.Changed("server") || c.env("GANTRY_SERVER") != "":
		return true, nil
	}
	if _, err := c.serversFile(); err != nil {
		return false, nil //nolint:nilerr // no place for sign-ins is none
	}
	kept, _, err := c.servers()
	return kept.Current != "", err
}

// robotAt is the path of the robot namespace+short.
func (r *call) robotAt(ctx context.Context, name string, more ...string) ([]string, error) {
	namespace, short, ok := strings.Cut(name, "+")
	if !ok {
		return nil, fmt.Errorf("%q is not the name of a robot: write namespace+name", name)
	}
	return r.robots(ctx, namespace, append([]string{short}, more...)...)
}

// robotCall makes a call of a robot, and shows its token.
func (r *call) robotCall(ctx context.Context, method string, in any, name string, more ...string) error {
	at, err := r.robotAt(ctx, name, more...)
	if err != nil {
		return err
	}
	var o object
	if err := r.do(ctx, method, in, &o, at...); err != nil {
		return err
	}
	return r.show(o, []string{o.text("name")}, func(w io.Writer) {
		line(w, "robot\t%s", o.text("name"))
		line(w, "token\t%s", o.text("token"))
	})
}

func (c *cli) robotShow() *cobra.Command {
	return c.through(verb{
		use: "show NAMESPACE+NAME", short: "Show a robot and what it may use", args: cobra.ExactArgs(1), names: true, complete: []completer{completeRobot, nil},
		long:    "Show a robot of a server with the repositories that it has a role of its own in.\nThe token is not shown.",
		example: "  gantry robot show acme+ci",
		run: func(ctx context.Context, r *call, args []string) error {
			at, err := r.robotAt(ctx, args[0])
			if err != nil {
				return err
			}
			var o, p object
			if err := r.get(ctx, nil, &o, at...); err != nil {
				return err
			}
			if err := r.get(ctx, nil, &p, append(at, "permissions")...); err != nil {
				return err
			}
			delete(o, "token")
			o["permissions"] = p["permissions"]
			return r.show(o, []string{o.text("name")}, func(w io.Writer) {
				line(w, "robot\t%s", o.text("name"))
				line(w, "created\t%s", o.time("created"))
				line(w, "last seen\t%s", o.time("last_accessed"))
				line(w, "description\t%s", dash(o.text("description")))
				for _, p := range p.list("permissions") {
					line(w, "%s\t%s", p.object("repository").text("name"), p.text("role"))
				}
			})
		},
	})
}

func (c *cli) robotCreate() *cobra.Command {
	var about string
	cmd := &cobra.Command{
		Use:   "create NAMESPACE+NAME",
		Short: "Make a robot and print its token",
		Long: `Make a robot of a user or an organization, which must be there, and print its
token: what a client gives as the password.`,
		Example: `  gantry robot create acme+ci --description "builds on main"
  gantry robot create acme+ci --output json | jq -r .token | podman login --password-stdin -u acme+ci HOST`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&about, "description", "", "what it is for, a `text` of at most 255 characters")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := c.admin().RobotCreate(cmd.Context(), args[0], about)
		return c.token(a, err)
	}
	return c.both(cmd, completeRobot, func(ctx context.Context, r *call, args []string) error {
		return r.robotCall(ctx, http.MethodPut, map[string]string{"description": about}, args[0])
	})
}

// token answers with a robot's token.
func (c *cli) token(a app.Account, err error) error {
	if err != nil {
		return err
	}
	return c.answer(a, func(w io.Writer) {
		line(w, "robot\t%s", a.Name)
		line(w, "token\t%s", a.Token)
	})
}

func (c *cli) robotList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list NAMESPACE",
		Short:   "List the robots of a user or an organization",
		Long:    "List the robots of a user or an organization by name. Tokens are not shown.",
		Example: "  gantry robot list acme\n  gantry robot list acme --output json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := c.admin().Robots(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.answer(list, func(w io.Writer) {
				line(w, "NAME\tSTATE\tCREATED\tLAST SEEN\tDESCRIPTION")
				for _, a := range list {
					line(w, "%s\t%s\t%s\t%s\t%s", a.Name, state(a), a.Created.UTC().Format(time.DateOnly), seen(a), dash(a.Description))
				}
			})
		},
	}
	return c.both(cmd, completeNamespace, func(ctx context.Context, r *call, args []string) error {
		at, err := r.robots(ctx, args[0])
		if err != nil {
			return err
		}
		var o object
		if err := r.get(ctx, url.Values{"token": {"false"}}, &o, at...); err != nil {
			return err
		}
		return r.table(o.list("robots"), "name", "NAME\tCREATED\tLAST SEEN\tDESCRIPTION", func(o object) string {
			return row(o.text("name"), o.time("created"), o.time("last_accessed"), short(o.text("description")))
		})
	})
}

func (c *cli) robotToken(renew bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token NAMESPACE+NAME",
		Short:   "Print a robot's token",
		Long:    "Print the token of a robot: what a client gives as the password.",
		Example: "  gantry robot token acme+ci",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := c.admin().RobotToken(cmd.Context(), args[0], renew)
			return c.token(a, err)
		},
	}
	if renew {
		cmd.Use, cmd.Short = "regenerate NAMESPACE+NAME", "Give a robot another token and print it"
		cmd.Long = "Give a robot another token and print it. The old one stops working."
		cmd.Example = "  gantry robot regenerate acme+ci"
	}
	return c.both(cmd, completeRobot, func(ctx context.Context, r *call, args []string) error {
		if renew {
			return r.robotCall(ctx, http.MethodPost, nil, args[0], "regenerate")
		}
		return r.robotCall(ctx, http.MethodGet, nil, args[0])
	})
}

func (c *cli) robotDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete NAMESPACE+NAME",
		Short:   "Delete a robot",
		Long:    "Delete a robot with its rights. What it pushed stays. On a server it asks\nfirst; without a terminal it refuses unless --yes is there.",
		Example: "  gantry robot delete acme+ci --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.done(c.admin().RobotDelete(cmd.Context(), args[0]), args[0], "%s is deleted")
		},
	}
	yesFlag(cmd.Flags(), &yes)
	return c.both(cmd, completeRobot, func(ctx context.Context, r *call, args []string) error {
		at, err := r.robotAt(ctx, args[0])
		if err != nil {
			return err
		}
		if err := r.confirm(yes, "the robot "+args[0]+" with its rights"); err != nil {
			return err
		}
		return r.did(r.do(ctx, http.MethodDelete, nil, nil, at...), args[0], "%s is deleted")
	})
}
