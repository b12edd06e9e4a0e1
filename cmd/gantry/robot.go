package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) robot() *cobra.Command {
	return group("robot", "Look after robot accounts",
		`Make, list and delete robots: accounts for machines. A robot belongs to the
user or organization whose name stands before its "+", and signs in with a
token. It may read and write only what it was given rights to.`,
		"  gantry robot create acme+ci\n  gantry robot token acme+ci",
		c.robotCreate(), c.robotList(), c.robotToken(false), c.robotToken(true), c.robotDelete())
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
	c.where(cmd)
	cmd.Flags().StringVar(&about, "description", "", "what it is for, a `text` of at most 255 characters")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := c.admin().RobotCreate(cmd.Context(), args[0], about)
		return c.token(a, err)
	}
	return cmd
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
	return c.where(cmd)
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
	return c.where(cmd)
}

func (c *cli) robotDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAMESPACE+NAME",
		Short:   "Delete a robot",
		Long:    "Delete a robot with its rights. What it pushed stays.",
		Example: "  gantry robot delete acme+ci",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.done(c.admin().RobotDelete(cmd.Context(), args[0]), args[0], "%s is deleted")
		},
	}
	return c.where(cmd)
}
