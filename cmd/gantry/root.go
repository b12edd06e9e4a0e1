package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
	"github.com/gantry-registry/gantry/internal/config"
)

// A cli is one run of the program.
type cli struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	output   string // text, json, yaml or name
	opts     app.Options
	server   server
	report   string // file of --report; "" = none
}

// outputs are the forms of an answer that a command has.
func outputs(cmd *cobra.Command) []string {
	forms := []string{"text", "json", "yaml"}
	if cmd.Annotations[apiKind] == "names" {
		forms = append(forms, "name")
	}
	if cmd.Annotations[hasSARIF] != "" {
		forms = append(forms, "sarif")
	}
	return forms
}

// databaseWait is how long a server waits at its start for a database server
// that is not there yet, as when both are started together.
const databaseWait = 5 * time.Minute

// errFailed ends the program with code 1 after the command has said all.
var errFailed = errors.New("failed")

// execute runs the program and returns its exit code: 0 is well, 1 a failure,
// 2 a command line that cannot be read; code tells those of the API.
func execute(args []string, in io.Reader, out, stderr io.Writer, environ []string) int {
	c := &cli{in: in, out: out, err: stderr, environ: environ}
	root := c.root()
	args, err := translate(args, environ)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "gantry:", err) // nowhere else to tell it
		return 2
	}
	root.SetArgs(args)
	usage := true // an error before a command runs is one of the command line
	for _, cmd := range walk(root) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if forms := outputs(cmd); !slices.Contains(forms, c.output) {
					return fmt.Errorf("--output is %s or %s, not %q", strings.Join(forms[:len(forms)-1], ", "), forms[len(forms)-1], c.output)
				}
				c.server.flags = cmd.Flags()
				usage = false
				return run(cmd, args)
			}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		return 1
	}
	text := app.Explain(err)
	if !errors.Is(err, config.ErrInvalid) { // which has a line for each field
		text = strings.ReplaceAll(text, "\n", "; ")
	}
	if c.output == "json" {
		_ = json.NewEncoder(stderr).Encode(map[string]string{"error": text}) // nowhere else to tell it
		if usage {
			return 2
		}
		return code(err)
	}
	if usage {
		_, _ = fmt.Fprintf(stderr, "gantry: %s\nRun '%s --help' for what it takes.\n", text, cmd.CommandPath()) // nowhere else to tell it
		return 2
	}
	_, _ = fmt.Fprintf(stderr, "gantry: %s\n", text) // nowhere else to tell it
	return code(err)
}

func walk(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		list = append(list, walk(sub)...)
	}
	return list
}

// root returns the command gantry with all that is below it.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gantry",
		Short: "A container registry in one program",
		Long: `Gantry is a container registry: it keeps images, charts, signatures and any
other OCI artifact, and speaks the API of Red Hat Quay.

"gantry serve" runs it, without any configuration, on files in one folder. The
commands config, db, gc, robot, storage, user and verify look after the
registry of a data folder; they may be used while the server runs. The commands
login, org, team, prototype, robot, repo, tag, quota and log work through the
API of a server that runs anywhere.`,
		Example: `  gantry serve
  gantry user create ada
  podman login --tls-verify=false -u ada localhost:8080`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVarP(&c.output, "output", "o", "text", "form of the answer: text, json or yaml; name is names alone, where a command has some; json also is the form of an error on standard error")
	root.AddCommand(c.serve(), c.worker(), c.user(), c.robot(), c.config(), c.db(), c.gc(), c.verify(), c.backup(), c.restore(), c.storage(), c.version(),
		c.login(), c.logout(), c.serverGroup(), c.org(), c.team(), c.prototype(), c.repo(), c.tag(), c.mirror(), c.quota(), c.log(), c.operator(), c.dev(), c.completion())
	if err := root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return outputs(cmd), cobra.ShellCompDirectiveNoFileComp
	}); err != nil {
		panic(err) // the flag is there
	}
	return root
}

// group is a command that only holds others.
func group(use, short, long, example string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	g.AddCommand(subs...)
	return g
}

// where adds the flags that say which registry a command is about.
func (c *cli) where(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&c.opts.Data, "data", app.DefaultData, "data `folder` of the registry")
	cmd.Flags().StringVar(&c.opts.Config, "config", "", "`folder` of config.yaml, as Quay's conf/stack; none is the defaults")
	return cmd
}

func (c *cli) options() app.Options {
	o := c.opts
	o.Environ, o.Version, o.Commit = c.environ, version, commit
	return o
}

func (c *cli) admin() *app.Admin { return app.NewAdmin(c.options()) }

// answer writes v as JSON, or has text write it for people.
func (c *cli) answer(v any, text func(w io.Writer)) error {
	if c.output == "json" || c.output == "yaml" || c.output == "sarif" {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err := enc.Encode(v)
		text := b.Bytes()
		if err == nil && c.output == "yaml" {
			text, err = asYAML(text)
		}
		if err != nil {
			return err
		}
		_, err = c.out.Write(text)
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// line writes one line; the caller's Flush tells an error.
func line(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

const serveLong = `Run the registry: /v2 for images, /api/v1, background work and garbage
collection, until SIGTERM or SIGINT. Then it drains: health checks fail,
running requests finish within 25 seconds, and it ends. A second signal ends
it at once. SIGHUP reads configuration and certificate again and opens the log
file anew; changes of the folder are seen without it, too. A database server
that does not answer yet is waited for, up to five minutes.

Without --config everything has its default: SQLite and files in the data
folder, plain HTTP. While there is no account, the log says how to make the
first one, which is a superuser.`

func (c *cli) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the registry",
		Long:  serveLong,
		Example: `  gantry serve
  gantry serve --listen 0.0.0.0:8080 --data /var/lib/gantry --config /etc/gantry
  gantry serve --role registry,api --metrics off`,
		Args: cobra.NoArgs,
	}
	c.where(cmd)
	c.noMigrate(cmd)
	var roles string
	cmd.Flags().StringVar(&c.opts.Listen, "listen", app.DefaultListen, "`address` of the registry and its API")
	c.metrics(cmd)
	cmd.Flags().DurationVar(&c.opts.DrainDelay, "drain-delay", 0, "how long to go on after SIGTERM before no connection is accepted, so that load balancers see the failing health check; up to four times as long while they send requests")
	cmd.Flags().DurationVar(&c.opts.FolderWait, "folder-wait", 0, "how long to wait at the start for another process that has the data folder and is about to end, as when a pod is replaced")
	cmd.Flags().StringVar(&roles, "role", "", "what this process does, a `list` of registry, api, worker, or single workers (gc, jobs, notify, replicate, mirror); all of it unless told")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if c.opts.Roles, err = app.ParseRoles(roles); err != nil {
			return fmt.Errorf("--role: %w", err)
		}
		return c.run(cmd)
	}
	return cmd
}

func (c *cli) noMigrate(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.opts.NoMigrate, "no-migrate", false, "do not bring the schema of the database up; end if it is more than a version behind")
}

func (c *cli) metrics(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.opts.Metrics, "metrics", "", "`address` of Prometheus metrics and health checks, or off; 127.0.0.1:9091 if that is free")
}

func (c *cli) worker() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run background work without serving clients",
		Long: `Run garbage collection and background jobs beside the instances that serve
clients. It needs the same config.yaml, a database server (an SQLite file
belongs to one process) and the same storage. It answers health checks and
metrics on the address of --metrics, and stops as "gantry serve" does.`,
		Example: `  gantry worker --config /etc/gantry
  gantry worker --config /etc/gantry --only gc --metrics 0.0.0.0:9091`,
		Args: cobra.NoArgs,
	}
	c.where(cmd)
	c.noMigrate(cmd)
	var only string
	cmd.Flags().StringVar(&only, "only", "", "a `list` of single workers, gc, jobs, notify, replicate and mirror; all of them unless told")
	c.metrics(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if c.opts.Roles, err = app.ParseWorkers(only); err != nil {
			return fmt.Errorf("--only: %w", err)
		}
		c.opts.Listen = app.Off
		return c.run(cmd)
	}
	return cmd
}

// run serves until a signal.
func (c *cli) run(cmd *cobra.Command) error {
	if err := approved(c.options()); err != nil {
		return err
	}
	defer calm()()
	ctx := cmd.Context()
	hup := make(chan os.Signal, 1) // before the start, which one must not end
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ends := make(chan os.Signal, 2) // before the start, too: the first one ends ctx as well
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(ends)
	o := c.options()
	o.DatabaseWait = databaseWait
	s, err := app.Start(ctx, o)
	if err != nil {
		return err
	}
	giveBack()
	ended := make(chan error, 1)
	go func() { ended <- s.Wait(ctx) }()
	for {
		select {
		case <-hup:
			s.Reload(ctx)
			continue
		case err = <-ended:
		}
		break
	}
	if ctx.Err() != nil {
		<-ends
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(ctx)) }()
	select {
	case e := <-stopped:
		return errors.Join(err, e)
	case sig := <-ends:
		return fmt.Errorf("%v came twice: ended without waiting", sig)
	}
}

func (c *cli) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of this program and the commit that it was built from.",
		Example: "  gantry version\n  gantry version --output json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return c.answer(map[string]string{"version": version, "commit": commit}, func(w io.Writer) {
				line(w, "gantry %s", version)
				line(w, "commit %s", commit)
			})
		},
	}
}
