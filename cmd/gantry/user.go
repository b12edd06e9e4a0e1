package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) user() *cobra.Command {
	return group("user", "Look after users",
		`Make, list, disable and delete users. The commands work on the running server
of the data folder, and on the database itself when none runs.`,
		"  gantry user create ada --email ada@example.com\n  gantry user list",
		c.userCreate(), c.userList(), c.userPassword(), c.userEnable(true), c.userEnable(false), c.userDelete())
}

const passwordLong = `The password is asked for on the terminal, or is the first line of
standard input, or of the file that --password-file names. It must be at least
8 characters and contain no whitespace.`

func (c *cli) userCreate() *cobra.Command {
	u := app.NewUser{}
	var file string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a user",
		Long: `Make a user, who may sign in at once. The first user of a registry is a
superuser, unless SUPER_USERS of the configuration names others.

` + passwordLong,
		Example: `  gantry user create ada --email ada@example.com
  gantry user create ci-admin --superuser --password-file /run/secrets/password
  pwgen 20 1 | gantry user create bob --output json`,
		Args: cobra.ExactArgs(1),
	}
	c.where(cmd)
	cmd.Flags().StringVar(&u.Email, "email", "", "e-mail `address`; none unless told")
	cmd.Flags().BoolVar(&u.Superuser, "superuser", false, "a superuser, who administers the registry")
	cmd.Flags().StringVar(&file, "password-file", "", "`file` with the password, - for standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		u.Name = args[0]
		if u.Password, err = c.password(file); err != nil {
			return err
		}
		a, err := c.admin().UserCreate(cmd.Context(), u)
		if err != nil {
			return err
		}
		return c.answer(a, func(w io.Writer) {
			kind := "user"
			if a.Superuser {
				kind = "superuser"
			}
			line(w, "%s %s created", kind, a.Name)
		})
	}
	return cmd
}

func (c *cli) userList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the users",
		Long:    "List the users by name, with their state and when they were last seen.",
		Example: "  gantry user list\n  gantry user list --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.admin().Users(cmd.Context())
			if err != nil {
				return err
			}
			return c.answer(list, func(w io.Writer) {
				line(w, "NAME\tE-MAIL\tSTATE\tCREATED\tLAST SEEN")
				for _, a := range list {
					line(w, "%s\t%s\t%s\t%s\t%s", a.Name, dash(a.Email), state(a), a.Created.UTC().Format(time.DateOnly), seen(a))
				}
			})
		},
	}
	return c.where(cmd)
}

func state(a app.Account) string {
	switch {
	case !a.Enabled:
		return "disabled"
	case a.Superuser:
		return "superuser"
	}
	return "enabled"
}

func seen(a app.Account) string {
	if a.LastUsed == nil {
		return "never"
	}
	return a.LastUsed.UTC().Format(time.DateTime)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (c *cli) userPassword() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "password NAME",
		Aliases: []string{"set-password"},
		Short:   "Give a user another password",
		Long:    "Give a user another password. The user's sessions end, and failed sign-ins are\nforgotten.\n\n" + passwordLong,
		Example: "  gantry user password ada\n  gantry user password ada --password-file /run/secrets/password",
		Args:    cobra.ExactArgs(1),
	}
	c.where(cmd)
	cmd.Flags().StringVar(&file, "password-file", "", "`file` with the password, - for standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := c.password(file)
		if err != nil {
			return err
		}
		return c.done(c.admin().SetPassword(cmd.Context(), args[0], p), args[0], "the password of %s is another one now")
	}
	return cmd
}

// done answers for a command whose outcome is that it went well.
func (c *cli) done(err error, name, text string) error {
	if err != nil {
		return err
	}
	return c.answer(map[string]string{"name": name}, func(w io.Writer) { line(w, text, name) })
}

func (c *cli) userEnable(on bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable NAME",
		Short: "Switch an account on again",
		Long:  "Switch a user, an organization or a robot on again that was disabled.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.done(c.admin().SetEnabled(cmd.Context(), args[0], true), args[0], "%s is enabled")
		},
		Example: "  gantry user enable mallory",
	}
	if !on {
		cmd.Use, cmd.Short = "disable NAME", "Switch an account off"
		cmd.Long = `Switch a user, an organization or a robot off. Sessions end at once, and no new
token is given; a token that is out works until it ends, an hour at most.
Content stays. "gantry user enable" switches it on again.`
		cmd.Example = "  gantry user disable mallory\n  gantry user disable acme+ci"
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			return c.done(c.admin().SetEnabled(cmd.Context(), args[0], false), args[0], "%s is disabled")
		}
	}
	return c.where(cmd)
}

func (c *cli) userDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a user with all repositories and robots",
		Long: `Delete a user with the repositories and robots of that name. It cannot be
undone. The space comes back by garbage collection. A user who is the last
admin of an organization is not deleted.`,
		Example: "  gantry user delete mallory --yes",
		Args:    cobra.ExactArgs(1),
	}
	c.where(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "really delete")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return fmt.Errorf("this deletes %s with all repositories and robots; say --yes if you mean it", args[0])
		}
		return c.done(c.admin().UserDelete(cmd.Context(), args[0]), args[0], "%s is deleted")
	}
	return cmd
}
