package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/gantry-registry/gantry/internal/apiclient"
)

// Exit codes of commands that work through the API; the others end with 1.
const (
	exitSignIn      = 3 // not signed in, or not lately enough
	exitDenied      = 4 // not allowed
	exitNotFound    = 5 // not there
	exitUnavailable = 6 // no answer, or the server cannot answer now
)

// server says which server the commands of the API are about.
type server struct {
	name   string // --server; "" = GANTRY_SERVER, or else the one signed in to last
	verify bool   // --tls-verify
	caFile string // --ca-file
	flags  *pflag.FlagSet
}

// A call is one run of a command that works through the API.
type call struct {
	*cli
	*apiclient.Client
	known apiclient.Known
}

// A verb is a command that works through the API.
type verb struct {
	use, short, long, example string
	args                      cobra.PositionalArgs
	complete                  []completer // of the arguments, in their order
	flags                     func(*pflag.FlagSet)
	names                     bool // has names for --output name
	run                       func(ctx context.Context, r *call, args []string) error
}

const apiKind = "api" // an annotation of a command: "names" or ""

// through makes the command of a verb.
func (c *cli) through(v verb) *cobra.Command {
	cmd := &cobra.Command{Use: v.use, Short: v.short, Long: v.long, Example: v.example, Args: v.args}
	c.serverFlags(cmd)
	if v.flags != nil {
		v.flags(cmd.Flags())
	}
	c.completes(cmd, v.names, v.complete)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return c.runCall(cmd.Context(), v.run, args) }
	return cmd
}

func (c *cli) completes(cmd *cobra.Command, names bool, of []completer) {
	cmd.Annotations = map[string]string{apiKind: ""}
	if names {
		cmd.Annotations[apiKind] = "names"
	}
	cmd.ValidArgsFunction = c.namesFor(of)
}

// runCall runs f as one call; where the server wants the password again and
// somebody sits at the terminal, it asks and runs f anew: a call that was
// refused has done nothing.
func (c *cli) runCall(ctx context.Context, f func(context.Context, *call, []string) error, args []string) error {
	r, err := c.call()
	if err != nil {
		return err
	}
	err = f(ctx, r, args)
	if e, ok := errors.AsType[*apiclient.Error](err); ok && e.Kind == apiclient.FreshLogin {
		in, terminal := c.in.(*os.File)
		if !terminal || !isTerminal(in) {
			return fmt.Errorf("%w sign in again: gantry login --server %s", err, r.Server())
		}
		password, err := c.prompt(in, "Password of "+r.known.User+" on "+r.Server()+": ")
		if err != nil {
			return err
		}
		if err := r.Refresh(ctx, password); err != nil {
			return err
		}
		return f(ctx, r, args)
	}
	return r.explain(err)
}

// explain says what to do about a sign-in that does not hold.
func (r *call) explain(err error) error {
	e, ok := errors.AsType[*apiclient.Error](err)
	if !ok || e.Status != http.StatusUnauthorized {
		return err
	}
	switch {
	case r.known.Login == (apiclient.Login{}):
		return fmt.Errorf("%w: gantry login --server %s signs in", err, r.Server())
	case r.env("GANTRY_TOKEN") != "":
		return fmt.Errorf("%w: the token of GANTRY_TOKEN does not work (any more)", err)
	}
	return fmt.Errorf("%w: the sign-in does not work (any more); gantry login --server %s signs in again", err, r.Server())
}

// code is the exit code of an error.
func code(err error) int {
	if errors.Is(err, apiclient.ErrUnreachable) {
		return exitUnavailable
	}
	e, ok := errors.AsType[*apiclient.Error](err)
	switch {
	case !ok:
		return 1
	case e.Status == http.StatusUnauthorized:
		return exitSignIn
	case e.Status == http.StatusForbidden:
		return exitDenied
	case e.Status == http.StatusNotFound:
		return exitNotFound
	case e.Status == http.StatusTooManyRequests, e.Status >= 500:
		return exitUnavailable
	}
	return 1
}

func (c *cli) serverFlags(cmd *cobra.Command) {
	s := &c.server
	cmd.Flags().StringVar(&s.name, "server", "", "`address` of the registry, such as https://registry.example.com; GANTRY_SERVER, or the one last signed in to, unless told")
	cmd.Flags().BoolVar(&s.verify, "tls-verify", true, "verify the server's certificate")
	cmd.Flags().StringVar(&s.caFile, "ca-file", "", "PEM `file` of authorities trusted beside the system's")
	if err := cmd.RegisterFlagCompletionFunc("server", c.completeServers); err != nil {
		panic(err) // the flag is there
	}
}

// env is a variable of the environment.
func (c *cli) env(name string) string {
	for _, e := range c.environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// serversFile is where the servers are kept that somebody has signed in to.
func (c *cli) serversFile() (string, error) {
	dir := c.env("XDG_CONFIG_HOME")
	if dir == "" && c.env("HOME") != "" {
		dir = filepath.Join(c.env("HOME"), ".config")
	}
	if !filepath.IsAbs(dir) {
		return "", errors.New("there is no place to keep who is signed in: set XDG_CONFIG_HOME or HOME, or use GANTRY_SERVER and GANTRY_TOKEN")
	}
	return filepath.Join(dir, "gantry", "servers.json"), nil
}

func (c *cli) servers() (s apiclient.Servers, path string, err error) {
	if path, err = c.serversFile(); err == nil {
		s, err = apiclient.ReadServers(path)
	}
	return s, path, err
}

var errNoServer = errors.New("no server is named: gantry login URL signs in to one; or say --server URL, or set GANTRY_SERVER")

// call finds the server and who is signed in to it: --server, GANTRY_SERVER,
// or the current one; GANTRY_TOKEN, or what login kept.
func (c *cli) call() (*call, error) {
	name := cmp.Or(c.server.name, c.env("GANTRY_SERVER"))
	token := c.env("GANTRY_TOKEN")
	r := &call{cli: c}
	switch {
	case token != "" && name == "":
		return nil, errors.New("GANTRY_TOKEN is set, but not whose it is: set GANTRY_SERVER, too")
	case token != "":
		r.known.Token = token
	}
	if name != "" {
		var err error
		if name, err = apiclient.ParseServer(name); err != nil {
			return nil, err
		}
	}
	if token == "" {
		kept, _, err := c.servers()
		if err != nil && name == "" {
			return nil, err
		}
		if name = cmp.Or(name, kept.Current); name == "" {
			return nil, errNoServer
		}
		if err == nil {
			r.known = kept.Known[name]
		}
	}
	var err error
	r.Client, err = c.client(name, r.known)
	return r, err
}

// client connects to a server as the flags say; what they do not say is as it
// was at the sign-in.
func (c *cli) client(name string, k apiclient.Known) (*apiclient.Client, error) {
	o := apiclient.Options{Server: name, Login: k.Login, Agent: "gantry/" + version, Insecure: k.Insecure, CAFile: k.CAFile}
	if f := c.server.flags; f != nil && f.Changed("tls-verify") {
		o.Insecure = !c.server.verify
	}
	o.CAFile = cmp.Or(c.server.caFile, o.CAFile)
	return apiclient.New(o)
}

// do is Client.Do of a path of parts that people gave.
func (r *call) do(ctx context.Context, method string, in, out any, parts ...string) error {
	p, err := apiclient.Path(parts...)
	if err != nil {
		return err
	}
	return r.Do(ctx, method, p, in, out)
}

func (r *call) get(ctx context.Context, query url.Values, out any, parts ...string) error {
	if r.Client == nil { // completion where no server is known
		return errNoServer
	}
	p, err := apiclient.Path(parts...)
	if err != nil {
		return err
	}
	return r.Get(ctx, p, query, out)
}

// cutRepo parts the name of a repository from its namespace.
func cutRepo(full string) (namespace, name string, err error) {
	_, err = repoPath(full)
	namespace, name, _ = strings.Cut(full, "/")
	return namespace, name, err
}

// repoPath is the repository as a part of a path.
func repoPath(name string) (string, error) {
	if !strings.Contains(name, "/") || strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("%q is not the name of a repository: write namespace/name", name)
	}
	return "/" + name, nil
}

// An object is what the API answers: fields that this program does not know
// reach scripts, too.
type object map[string]any

// text is a field for people: "" where there is none.
func (o object) text(key string) string {
	switch v := o[key].(type) {
	case nil:
		return ""
	case string:
		return plain(v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case json.Number:
		return v.String()
	}
	return ""
}

func (o object) object(key string) object {
	m, _ := o[key].(map[string]any)
	return m
}

func (o object) list(key string) []object { return objects(o[key]) }

func objects(v any) []object {
	l, _ := v.([]any)
	out := make([]object, 0, len(l))
	for _, e := range l {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// number is a field that is a whole number; 0 where it is none.
func (o object) number(key string) int64 {
	n, _ := o[key].(json.Number)
	i, _ := n.Int64() // 0 where it is none
	return i
}

// time is a date of the API as people read it.
func (o object) time(key string) string {
	t, err := time.Parse(time.RFC1123Z, o.text(key))
	if err != nil {
		return "-"
	}
	return t.UTC().Format(time.DateTime)
}

// plain is text for a terminal: what somebody stored cannot steer it.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u202e' || r == '\u202d' {
			return ' '
		}
		return r
	}, s)
}

// short is the first line of a text, of at most 60 characters.
func short(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:59]) + "…"
	}
	return dash(plain(s))
}

// show answers with v, which has the names.
func (c *cli) show(v any, names []string, text func(w io.Writer)) error {
	if c.output == "name" {
		return c.lines(names)
	}
	return c.answer(v, text)
}

func (c *cli) lines(names []string) error {
	var b bytes.Buffer
	for _, n := range names {
		b.WriteString(plain(n) + "\n")
	}
	_, err := c.out.Write(b.Bytes())
	return err
}

// table answers with a list: one line each, under the heading.
func (c *cli) table(list []object, name, heading string, line1 func(o object) string) error {
	names := make([]string, 0, len(list))
	for _, o := range list {
		names = append(names, o.text(name))
	}
	if list == nil {
		list = []object{}
	}
	return c.show(list, names, func(w io.Writer) {
		line(w, "%s", heading)
		for _, o := range list {
			line(w, "%s", line1(o))
		}
	})
}

func row(cells ...string) string {
	for i := range cells {
		cells[i] = dash(cells[i])
	}
	return strings.Join(cells, "\t")
}

// pages reads a list page by page, as far as all says: one page, or all of
// them. next changes the query into that of the page after; it reports
// whether there is one.
func (r *call) pages(ctx context.Context, all bool, what string, query url.Values, next func(answer object, query url.Values) bool, parts ...string) ([]object, error) {
	var list []object
	progress := r.progress()
	defer progress("")
	for {
		var answer object
		if err := r.get(ctx, query, &answer, parts...); err != nil {
			return nil, err
		}
		list = append(list, answer.list(what)...)
		if !next(answer, query) {
			return list, nil
		}
		if !all {
			r.note("There are more: --all lists all of them.")
			return list, nil
		}
		progress(fmt.Sprintf("%d %s …", len(list), what))
	}
}

// byToken is next for lists that say next_page.
func byToken(answer object, query url.Values) bool {
	token, _ := answer["next_page"].(string)
	query.Set("next_page", token)
	return token != ""
}

// progress returns what shows a line on a terminal in place of the one
// before; "" takes it away.
func (c *cli) progress() func(string) {
	f, ok := c.err.(*os.File)
	if !ok || !isTerminal(f) {
		return func(string) {}
	}
	return func(s string) { _, _ = fmt.Fprintf(f, "\r\033[K%s", s) } // for looks
}

// note tells something beside the answer.
func (c *cli) note(text string) {
	if c.output == "text" {
		_, _ = fmt.Fprintln(c.err, text) // nowhere else to tell it
	}
}

// confirm asks before something is lost. Without a terminal it refuses.
func (c *cli) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	in, ok := c.in.(*os.File)
	if !ok || !isTerminal(in) {
		return fmt.Errorf("this deletes %s; say --yes if you mean it", what)
	}
	if _, err := fmt.Fprintf(c.err, "This deletes %s. Type yes if you mean it: ", what); err != nil {
		return err
	}
	answer, err := firstLine(in)
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was deleted")
	}
	return nil
}

func yesFlag(f *pflag.FlagSet, yes *bool) { f.BoolVar(yes, "yes", false, "really delete") }

// did answers for a call whose outcome is that it went well.
func (c *cli) did(err error, name, text string) error {
	if err != nil {
		return err
	}
	name = plain(name)
	return c.show(map[string]string{"name": name}, []string{name}, func(w io.Writer) { line(w, text, name) })
}

// me is who is signed in; "" where the token may not tell.
func (r *call) me(ctx context.Context) (string, error) {
	var user object
	err := r.get(ctx, nil, &user, "user")
	if e, ok := errors.AsType[*apiclient.Error](err); ok && e.Status == http.StatusForbidden {
		return "", nil
	}
	return user.text("username"), err
}

// asYAML is JSON as YAML, with the fields in the same order.
func asYAML(b []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return nil, err
	}
	block(&n)
	return yaml.Marshal(&n)
}

func block(n *yaml.Node) {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.SequenceNode || len(n.Content) > 0 {
		n.Style = 0
	}
	for _, sub := range n.Content {
		block(sub)
	}
}
