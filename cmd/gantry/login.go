package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/apiclient"
)

const loginLong = `Sign in to a registry, for the commands that work through its API: org, team,
robot, repo, tag, quota, log and prototype. With --token-stdin the first line
of standard input is an OAuth token; else the password is asked for on the
terminal, or is the first line of standard input with --password-stdin, and a
session is kept as a browser keeps one.

Several servers may be signed in to; the last one is the current one, and
"gantry server use" changes that. They are kept in gantry/servers.json of
XDG_CONFIG_HOME (~/.config), which only you may read. CI jobs set GANTRY_SERVER
and GANTRY_TOKEN instead, and need no login.`

func (c *cli) login() *cobra.Command {
	var name string
	var token, password bool
	cmd := &cobra.Command{
		Use:   "login [URL]",
		Short: "Sign in to a registry's API",
		Long:  loginLong,
		Example: `  gantry login https://registry.example.com --username ada
  gantry login --server registry.example.com --token-stdin < token
  pass registry | gantry login http://localhost:8080 --username ada --password-stdin`,
		Args: cobra.MaximumNArgs(1),
	}
	c.serverFlags(cmd)
	c.completes(cmd, false, nil)
	cmd.Flags().StringVar(&name, "username", "", "`name` of the user; asked for unless told")
	cmd.Flags().BoolVar(&token, "token-stdin", false, "read an OAuth token from standard input")
	cmd.Flags().BoolVar(&password, "password-stdin", false, "read the password from standard input")
	cmd.MarkFlagsMutuallyExclusive("token-stdin", "password-stdin")
	cmd.MarkFlagsMutuallyExclusive("token-stdin", "username")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && c.server.name != "" {
			return errors.New("the server is named twice")
		}
		kept, path, err := c.servers()
		if err != nil {
			return err
		}
		address := cmp.Or(strings.Join(args, ""), c.server.name, c.env("GANTRY_SERVER"), kept.Current)
		if address == "" {
			return errors.New("name the server: gantry login https://registry.example.com")
		}
		if address, err = apiclient.ParseServer(address); err != nil {
			return err
		}
		if in, ok := strings.CutPrefix(address, "http://"); ok && !loopback(in) {
			c.note("Warning: without TLS, what you sign in with can be read on its way to " + address + ".")
		}
		k := apiclient.Known{Insecure: !c.server.verify}
		if c.server.caFile != "" {
			if k.CAFile, err = filepath.Abs(c.server.caFile); err != nil {
				return err
			}
		}
		if k.User, k.Login, err = c.signIn(cmd.Context(), address, k, name, token, password); err != nil {
			return err
		}
		kept.Known[address], kept.Current = k, address
		if err := kept.Write(path); err != nil {
			return err
		}
		who := cmp.Or(k.User, "the owner of the token")
		return c.show(map[string]string{"server": address, "user": k.User}, nil, func(w io.Writer) { line(w, "Signed in to %s as %s.", address, plain(who)) })
	}
	return cmd
}

// loopback reports whether host[:port] is this machine.
func loopback(hostport string) bool {
	host := (&url.URL{Host: hostport}).Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// signIn reads the secret and tries it.
func (c *cli) signIn(ctx context.Context, address string, k apiclient.Known, name string, token, password bool) (string, apiclient.Login, error) {
	var l apiclient.Login
	in, terminal := c.in.(*os.File)
	terminal = terminal && isTerminal(in)
	switch {
	case token:
		text, err := firstLine(c.in)
		if err != nil {
			return "", l, fmt.Errorf("--token-stdin: %w", err)
		}
		if l.Token = strings.TrimSpace(text); l.Token == "" || strings.ContainsFunc(l.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", l, errors.New("--token-stdin: what came is no token")
		}
	default:
		secret, err := "", error(nil)
		switch {
		case password && name == "":
			return "", l, errors.New("--password-stdin needs --username")
		case password:
			secret, err = firstLine(c.in)
		case terminal:
			if name == "" {
				if _, err = fmt.Fprintf(c.err, "User name on %s: ", address); err != nil {
					return "", l, err
				}
				if name, err = bufio.NewReader(io.LimitReader(oneByOne{in}, 300)).ReadString('\n'); err != nil {
					return "", l, err
				}
				name = strings.TrimSpace(name)
			}
			secret, err = c.prompt(in, "Password: ")
		default:
			return "", l, errors.New("there is no terminal to ask on: give --token-stdin, or --username and --password-stdin")
		}
		if err != nil {
			return "", l, err
		}
		client, err := c.client(address, k)
		if err != nil {
			return "", l, err
		}
		if l, err = client.SignIn(ctx, name, secret); err != nil {
			return "", l, err
		}
	}
	k.Login = l
	client, err := c.client(address, k)
	if err != nil {
		return "", l, err
	}
	r := &call{cli: c, Client: client, known: k}
	user, err := r.me(ctx)
	if e, ok := errors.AsType[*apiclient.Error](err); ok && e.Status == http.StatusUnauthorized {
		return "", l, fmt.Errorf("%w: %s does not take the token", err, address)
	}
	return user, l, err
}

// oneByOne reads no further than it is asked to: the password comes next.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }

func (c *cli) logout() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "logout [URL]",
		Short: "Forget the sign-in to a registry",
		Long: `End the session with a registry, the current one unless told, and forget it. An
OAuth token is forgotten here and works on: delete it on the server if it
should end.`,
		Example: "  gantry logout\n  gantry logout https://registry.example.com\n  gantry logout --all",
		Args:    cobra.MaximumNArgs(1),
	}
	c.serverFlags(cmd)
	c.completes(cmd, false, []completer{completeServer})
	cmd.Flags().BoolVar(&all, "all", false, "all servers")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kept, path, err := c.servers()
		if err != nil {
			return err
		}
		address := cmp.Or(strings.Join(args, ""), c.server.name, c.env("GANTRY_SERVER"), kept.Current)
		gone := slices.Sorted(maps.Keys(kept.Known))
		if !all {
			if address == "" {
				return errors.New("nobody is signed in")
			}
			if address, err = apiclient.ParseServer(address); err != nil {
				return err
			}
			if _, ok := kept.Known[address]; !ok {
				return fmt.Errorf("nobody is signed in to %s", address)
			}
			gone = []string{address}
		}
		for _, a := range gone {
			if client, err := c.client(a, kept.Known[a]); err == nil {
				if err := client.SignOut(cmd.Context()); err != nil {
					c.note(fmt.Sprintf("The session with %s could not be ended there: %v", a, err))
				}
			}
			delete(kept.Known, a)
		}
		if _, ok := kept.Known[kept.Current]; !ok {
			kept.Current = ""
		}
		if err := kept.Write(path); err != nil {
			return err
		}
		return c.show(map[string][]string{"servers": gone}, gone, func(w io.Writer) {
			for _, a := range gone {
				line(w, "Signed out of %s.", a)
			}
		})
	}
	return cmd
}

func (c *cli) serverGroup() *cobra.Command {
	list := &cobra.Command{
		Use:     "list",
		Short:   "List the servers that you are signed in to",
		Long:    "List the servers that \"gantry login\" has signed in to. The current one has a\nstar. Secrets are not shown.",
		Example: "  gantry server list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			kept, _, err := c.servers()
			if err != nil {
				return err
			}
			type entry struct {
				Server  string `json:"server"`
				User    string `json:"user"`
				Current bool   `json:"current"`
			}
			all := []entry{}
			names := slices.Sorted(maps.Keys(kept.Known))
			for _, a := range names {
				all = append(all, entry{a, kept.Known[a].User, a == kept.Current})
			}
			return c.show(all, names, func(w io.Writer) {
				line(w, "SERVER\tUSER\tCURRENT")
				for _, e := range all {
					star := ""
					if e.Current {
						star = "*"
					}
					line(w, "%s\t%s\t%s", e.Server, dash(e.User), star)
				}
			})
		},
	}
	c.completes(list, true, nil)
	use := &cobra.Command{
		Use:     "use URL",
		Short:   "Choose the server that commands are about",
		Long:    "Make a server that you are signed in to the current one: commands without\n--server are about it.",
		Example: "  gantry server use https://registry.example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			address, err := apiclient.ParseServer(args[0])
			if err != nil {
				return err
			}
			kept, path, err := c.servers()
			if err != nil {
				return err
			}
			if _, ok := kept.Known[address]; !ok {
				return fmt.Errorf("nobody is signed in to %s: gantry login %s", address, address)
			}
			kept.Current = address
			return c.did(kept.Write(path), address, "%s is the current server.")
		},
	}
	c.completes(use, true, []completer{completeServer})
	return group("server", "Choose among the servers you are signed in to",
		`The servers that "gantry login" has signed in to, and which of them commands of
the API are about.`, "  gantry server list\n  gantry server use https://registry.example.com", list, use)
}
