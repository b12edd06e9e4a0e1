package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

func (c *cli) config() *cobra.Command {
	return group("config", "Look after the configuration",
		"Check, show and change the configuration. Every field is in\ndocs/reference/config.md.",
		"  gantry config validate --config /etc/gantry\n  gantry config editor --config /etc/gantry",
		c.validate(), c.configPrint(), c.configExplain(), c.configSchema(), c.configDiff(), c.configEditor())
}

// folderFlag adds --config as the folder of a configuration.
func folderFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "config", "", "`folder` of config.yaml, as Quay's conf/stack; without it the environment alone counts")
}

func (c *cli) validate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a configuration without starting anything",
		Long: `Check the folder of config.yaml as the server's start does. Each problem names
file, line and field, says what is allowed and what to do. Errors keep the
server from starting; warnings and fields without effect do not. The exit code
is 1 when there is an error.

With --mode online the services that the configuration names are asked too:
database, Redis, each storage location, directory, login providers, mail server
and scanner. offline, and Quay's testing, ask nobody.

--output sarif is for code review: GitHub and others show each problem at its
line.`,
		Example:     "  gantry config validate --config /etc/gantry\n  gantry config validate --config conf/stack --mode online --output json\n  gantry config validate --config conf/stack --output sarif > config.sarif",
		Args:        cobra.NoArgs,
		Annotations: map[string]string{hasSARIF: "yes"},
	}
	var dir, mode string
	folderFlag(cmd, &dir)
	cmd.Flags().StringVar(&mode, "mode", "offline", "offline, online or testing; only online asks services")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains([]string{"offline", "online", "testing"}, mode) {
			return fmt.Errorf("--mode is offline, online or testing, not %q", mode)
		}
		report := app.ValidateConfig(dir, c.environ)
		tests := []app.ConfigTest{}
		if mode == "online" && report.Valid {
			var err error
			if tests, err = app.TestConfig(cmd.Context(), dir, c.environ); err != nil {
				return err
			}
		}
		sound := report.Valid && !slices.ContainsFunc(tests, func(t app.ConfigTest) bool { return !t.OK && t.Skipped == "" })
		var answer any = report
		if mode == "online" {
			answer = struct {
				config.Summary
				Tests []app.ConfigTest `json:"tests"`
			}{report, tests}
		}
		if c.output == "sarif" {
			answer = sarif(report)
		}
		err := c.answer(answer, func(w io.Writer) {
			_ = report.WriteText(w) // the caller's Flush tells an error
			for _, t := range tests {
				switch {
				case t.Skipped != "":
					line(w, "%s: not tested: %s", t.Name, t.Skipped)
				case t.OK:
					line(w, "%s: well, in %d ms: %s", t.Name, t.Latency, t.Message)
				default:
					line(w, "%s: FAILED, after %d ms: %s; %s", t.Name, t.Latency, t.Message, t.Next)
				}
			}
		})
		if err == nil && !sound {
			err = errFailed
		}
		return err
	}
	return cmd
}

func (c *cli) configPrint() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in effect",
		Long: `Print every field that has a value, and where it comes from: its default, a
line of the file, or the environment. Secrets are printed as ***.`,
		Example: "  gantry config print --config /etc/gantry\n  gantry config print --config /etc/gantry --output json",
		Args:    cobra.NoArgs,
	}
	var dir string
	folderFlag(cmd, &dir)
	cmd.RunE = func(*cobra.Command, []string) error {
		conf, _, err := app.LoadConfig(config.Options{Dir: dir, Environ: c.environ})
		if err != nil {
			return err
		}
		type value struct {
			Value  any    `json:"value"`
			Source string `json:"source"`
		}
		values := conf.Redacted()
		out := make(map[string]value, len(values))
		for name, v := range values {
			out[name] = value{v, source(conf, name)}
		}
		return c.answer(out, func(w io.Writer) {
			for _, name := range slices.Sorted(maps.Keys(out)) {
				line(w, "%s\t%v\t%s", name, out[name].Value, out[name].Source)
			}
		})
	}
	return cmd
}

// source says where a field's value was written.
func source(conf *config.Config, name string) string {
	file, at := conf.Where(name)
	switch {
	case file == "":
		return "default"
	case at > 0:
		return fmt.Sprintf("%s:%d", file, at)
	}
	return file
}

func (c *cli) configExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain FIELD",
		Short: "Say what a field of config.yaml does",
		Long: `Say what a field of config.yaml does, what may be written, its default, and
whether a change needs a restart; with --config also its value there. Old names
are known, too.`,
		Example: "  gantry config explain TAG_EXPIRATION_OPTIONS --config /etc/gantry",
		Args:    cobra.ExactArgs(1),
	}
	var dir string
	folderFlag(cmd, &dir)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		f, ok := config.Lookup(args[0])
		if !ok {
			return fmt.Errorf("%.80q is no field of config.yaml; docs/reference/config.md has all of them", args[0])
		}
		out := struct {
			Field   string `json:"field"`
			Group   string `json:"group"`
			Kind    string `json:"kind"`
			Default any    `json:"default,omitempty"`
			Doc     string `json:"doc"`
			Note    string `json:"note,omitempty"`
			Change  string `json:"change"`
			Value   any    `json:"value,omitempty"`
			Source  string `json:"source,omitempty"`
		}{Field: f.Name, Group: edit.GroupOf(f.Name), Kind: f.Kind.String(), Default: f.DefaultValue(), Doc: f.Doc, Change: "with the next restart"}
		if len(f.Allowed) > 0 {
			out.Kind += ": " + strings.Join(f.Allowed, ", ")
		}
		if f.Shape != "" {
			out.Kind = f.Shape
		}
		switch {
		case f.Obsolete != "":
			out.Change, out.Note = "no effect", f.Obsolete
		case !f.Used:
			out.Change = "no effect: this release does not act on it yet"
		case f.Live:
			out.Change = "at once"
		}
		if f.Secret {
			out.Default = nil
		}
		if dir != "" {
			conf, _, err := app.LoadConfig(config.Options{Dir: dir, Environ: c.environ})
			if err != nil {
				return err
			}
			out.Value, out.Source = conf.Redacted()[f.Name], source(conf, f.Name)
		}
		return c.answer(out, func(w io.Writer) {
			line(w, "%s (%s)", out.Field, out.Group)
			line(w, "%s", out.Doc)
			line(w, "value\t%s", out.Kind)
			if out.Default != nil {
				line(w, "default\t%s", written(out.Default))
			}
			line(w, "a change\t%s", out.Change)
			if out.Note != "" {
				line(w, "note\t%s", out.Note)
			}
			if out.Source != "" {
				line(w, "here\t%s (%s)", written(out.Value), out.Source)
			}
		})
	}
	return cmd
}

// written is a value as config.yaml would have it: JSON is YAML.
func written(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

func (c *cli) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of config.yaml",
		Long: `Print the JSON Schema (2020-12) of config.yaml, by which editors complete names
and check values as one types: in VS Code by a first line such as
# yaml-language-server: $schema=./config.schema.json`,
		Example: "  gantry config schema > config.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.output == "text" {
				c.output = "json"
			}
			return c.answer(config.Schema(), nil)
		},
	}
}

func (c *cli) configDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Say in what two configurations differ",
		Long: `Say in what two folders of a configuration, or two files config.yaml, differ:
each field and certificate with what it was and what it is, and whether the
change needs a restart. Secrets are ***; that they differ is told all the same.
The exit code is 1 where there is a difference.`,
		Example: "  gantry config diff /etc/gantry ./new",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var two [2]edit.Files
			for i, path := range args {
				files, err := readConfig(path)
				if err != nil {
					return err
				}
				name := files.ConfigName()
				if _, problems := config.ParseValues(filepath.Join(path, name), files[name]); len(problems) > 0 {
					return errors.New(problems[0].String())
				}
				two[i] = files
			}
			list := edit.Changes(two[0], two[1])
			err := c.answer(list, func(w io.Writer) {
				for _, x := range list {
					when := "restart"
					if x.Live {
						when = "live"
					}
					line(w, "%s\t%v\t->\t%v\t(%s)", x.Field, orNothing(x.From), orNothing(x.To), when)
				}
				if len(list) == 0 {
					line(w, "There is no difference.")
				}
			})
			if err == nil && len(list) > 0 {
				err = errFailed
			}
			return err
		},
	}
}

func orNothing(v any) string {
	if v == nil {
		return "nothing"
	}
	return written(v)
}

// readConfig reads a folder of a configuration, or one file of fields.
func readConfig(path string) (edit.Files, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return edit.ReadFolder(path)
	}
	if st.Size() > 1<<20 {
		return nil, fmt.Errorf("%s is larger than 1 MiB: it is no config.yaml", path)
	}
	data, err := os.ReadFile(path) // #nosec G304 -- the administrator names it
	name := edit.ConfigFile
	if filepath.Ext(path) == ".json" {
		name = "config.json"
	}
	return edit.Files{name: data}, err
}

const editorLong = `Serve the configuration editor: a page and an API that show a configuration
without its secrets, check a change, test the services that it names, and write
it: into the folder of --config, or into the bundle of the QuayRegistry that
--registry names, as the operator has it run.

One signs in as quayconfig. Its password is the first line of --password-file,
or QUAY_PASSWORD; without both one is made and written once to standard error.
It speaks TLS with --tls-cert and --tls-key, or where CONFIG_TOOL_PUBLIC_KEY and
CONFIG_TOOL_PRIVATE_KEY name the two files.`

func (c *cli) configEditor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "editor",
		Short: "Serve the configuration editor",
		Long:  editorLong,
		Example: `  gantry config editor --config /etc/gantry
  gantry config editor --config /etc/gantry --listen 0.0.0.0:8443 --password-file /run/secrets/editor --tls-cert tls.crt --tls-key tls.key`,
		Args: cobra.NoArgs,
	}
	var o app.EditorOptions
	var passwordFile string
	cmd.Flags().StringVar(&o.Dir, "config", "", "`folder` of config.yaml, as Quay's conf/stack")
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:8081", "`address` of the editor")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` whose first line is the password; - is standard input")
	cmd.Flags().StringVar(&o.CertFile, "tls-cert", "", "`file` of the certificate, in PEM; CONFIG_TOOL_PUBLIC_KEY unless told")
	cmd.Flags().StringVar(&o.KeyFile, "tls-key", "", "`file` of its key; CONFIG_TOOL_PRIVATE_KEY unless told")
	cmd.Flags().StringVar(&o.Registry, "registry", "", "`name` of the QuayRegistry whose bundle is edited, in place of a folder")
	cmd.Flags().StringVar(&o.Namespace, "namespace", "", "its `namespace`; MY_POD_NAMESPACE unless told")
	cmd.Flags().StringVar(&o.Cluster, "cluster", "", "what the operator knows of the cluster, in its own `words`; the operator sets it")
	cmd.Flags().StringVar(&o.Kubeconfig, "kubeconfig", "", "`file` that says where the cluster is; KUBECONFIG, or the cluster of the pod, unless told")
	cmd.Flags().StringVar(&o.Password, "password", "", "the `password`, as Quay's container is told it; others on the machine can see it there")
	if err := cmd.Flags().MarkHidden("password"); err != nil { // everybody on the machine can read a command line
		panic(err) // the flag is there
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.runEditor(cmd.Context(), o, passwordFile) }
	return cmd
}

func (c *cli) runEditor(ctx context.Context, o app.EditorOptions, passwordFile string) (err error) {
	switch {
	case (o.Dir == "") == (o.Registry == ""):
		return errors.New("name either the folder of config.yaml with --config, or a QuayRegistry with --registry")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return errors.New("--tls-cert and --tls-key go together")
	}
	if o.CertFile == "" {
		o.CertFile, o.KeyFile = variable(c.environ, "CONFIG_TOOL_PUBLIC_KEY"), variable(c.environ, "CONFIG_TOOL_PRIVATE_KEY")
		if (o.CertFile == "") != (o.KeyFile == "") {
			return errors.New("of CONFIG_TOOL_PUBLIC_KEY and CONFIG_TOOL_PRIVATE_KEY only one is set: set both, or none")
		}
	}
	if o.Namespace == "" {
		o.Namespace = variable(c.environ, "MY_POD_NAMESPACE")
	}
	made := false
	if o.Password == "" {
		o.Password = variable(c.environ, "QUAY_PASSWORD")
	}
	switch {
	case passwordFile != "":
		if o.Password, err = c.password(passwordFile); err != nil {
			return err
		}
	case o.Password == "":
		o.Password, made = rand.Text(), true
	}
	level := slog.LevelInfo
	if isTrue(variable(c.environ, "DEBUGLOG")) {
		level = slog.LevelDebug
	}
	log, out, err := telemetry.NewLogger(telemetry.LogOptions{Destination: "stderr", Level: level})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	o.Environ, o.Version, o.Log = c.environ, version, log
	o.Ready = func(addr net.Addr) {
		u := url.URL{Scheme: "http", Host: addr.String(), Path: "/"}
		if o.CertFile != "" {
			u.Scheme = "https"
		}
		log.InfoContext(ctx, "the configuration editor is ready", "url", u.String())
		if made { // once, and not through the log, which may be kept elsewhere
			_, _ = fmt.Fprintf(c.err, "Sign in at %s as quayconfig with the password %s\n", u.String(), o.Password) // nowhere else to tell it
		}
	}
	return app.RunEditor(ctx, o)
}

// hasSARIF annotates commands whose answer can be SARIF.
const hasSARIF = "sarif"

// sarif is a report in the Static Analysis Results Interchange Format 2.1.0.
func sarif(r config.Summary) any {
	type m = map[string]any
	results := []any{}
	for _, p := range slices.Concat(r.Errors, r.Warnings, r.NotUsedYet, r.Ignored) {
		level := map[config.Severity]string{config.Error: "error", config.Warning: "warning"}[p.Severity]
		if level == "" {
			level = "note"
		}
		text := p.Message
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		result := m{"ruleId": string(p.Severity), "level": level, "message": m{"text": text}}
		if p.File != "" && p.File != "environment" {
			place := m{"artifactLocation": m{"uri": (&url.URL{Path: filepath.ToSlash(p.File)}).String()}}
			if p.Line > 0 {
				place["region"] = m{"startLine": p.Line, "startColumn": max(p.Column, 1)}
			}
			result["locations"] = []any{m{"physicalLocation": place}}
		}
		results = append(results, result)
	}
	return m{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": []any{m{
		"tool": m{"driver": m{"name": "gantry config validate", "version": version, "rules": []any{m{"id": string(config.Error)}, m{"id": string(config.Warning)},
			m{"id": string(config.NotUsedYet)}, m{"id": string(config.Ignored)}}}}, "results": results}}}
}
