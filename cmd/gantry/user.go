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
		`Make, list, promote, disable and delete users. The commands work on the running
server of the data folder, and on the database itself when none runs.`,
		"  gantry user create ada --email ada@example.com\n  gantry user list",
		c.userCreate(), c.userList(), c.userPassword(), c.userSuper(true), c.userSuper(false), c.userToken(),
		c.userEnable(true), c.userEnable(false), c.userDelete())
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

func (c *cli) userSuper(on bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "promote NAME",
		Short: "Make a user a superuser",
		Long: `Make a user a superuser, who administers the registry. With
FEATURE_SUPERUSERS_FULL_ACCESS a superuser also reads and writes all content.
It holds at once; tokens that are out stay as they are for an hour at most.`,
		Example: "  gantry user promote ada",
		Args:    cobra.ExactArgs(1),
	}
	if !on {
		cmd.Use, cmd.Short = "demote NAME", "Make a superuser an ordinary user again"
		cmd.Long = `Make a superuser an ordinary user again. It holds at once; tokens that are out
stay as they are for an hour at most. Who stands in SUPER_USERS of the
configuration stays a superuser.`
		cmd.Example = "  gantry user demote ada"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := c.admin().SetSuperuser(cmd.Context(), args[0], on)
		if err != nil {
			return err
		}
		return c.answer(a, func(w io.Writer) {
			switch {
			case on:
				line(w, "%s is a superuser", a.Name)
			case a.Superuser:
				line(w, "%s is a superuser still: SUPER_USERS names it", a.Name)
			default:
				line(w, "%s is an ordinary user", a.Name)
			}
		})
	}
	return c.where(cmd)
}

func (c *cli) userToken() *cobra.Command {
	var scope string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for the API and print it",
		Long: `Make an OAuth token of a user and print it: what a program sends to /api/v1 as
"Authorization: Bearer TOKEN", or gives to clients as the password of the
name $oauthtoken. It may do what the user may, within its scopes: repo:read,
repo:write, repo:admin, repo:create, user:read, user:admin, org:admin and
super:user. It is shown once.`,
		Example: `  gantry user token ada
  gantry user token ada --scope "repo:create repo:write" --expires 720h --output json`,
		Args: cobra.ExactArgs(1),
	}
	c.where(cmd)
	cmd.Flags().StringVar(&scope, "scope", "", "`scopes` with blanks between them; all of them unless told")
	cmd.Flags().DurationVar(&life, "expires", 24*time.Hour, "how `long` it works, such as 12h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := c.admin().UserToken(cmd.Context(), args[0], scope, life)
		if err != nil {
			return err
		}
		return c.answer(a, func(w io.Writer) {
			line(w, "user\t%s", a.Name)
			line(w, "token\t%s", a.Token)
			line(w, "expires\t%s", a.Expires.UTC().Format(time.DateTime))
		})
	}
	return cmd
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
