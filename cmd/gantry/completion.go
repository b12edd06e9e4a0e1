package main

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands in a shell",
		Long: `Print a script that completes commands, flags and names in a shell. Names of
organizations, repositories, tags, teams and robots are asked of the server
that you are signed in to.`,
		Example: `  gantry completion bash > /etc/bash_completion.d/gantry
  gantry completion zsh > "${fpath[1]}/_gantry"
  gantry completion fish > ~/.config/fish/completions/gantry.fish`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			default:
				return root.GenFishCompletion(c.out, true)
			}
		},
	}
}

// A completer finds what an argument may be that begins with prefix, after
// the arguments before it. An error shows as nothing.
type completer func(ctx context.Context, r *call, before []string, prefix string) ([]string, error)

// maxCompletion is how long a shell waits for names.
const maxCompletion = 3 * time.Second

// namesFor completes the arguments of a command, each with its completer;
// the last one goes for all that follow.
func (c *cli) namesFor(of []completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(of) == 0 {
			return nil, none
		}
		f := of[min(len(args), len(of)-1)]
		if f == nil {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctxOf(cmd)), maxCompletion)
		defer cancel()
		c.server.flags = cmd.Flags()
		r, err := c.call()
		if err != nil {
			r = &call{cli: c} // enough for what needs no server
		}
		names, err := f(ctx, r, args, prefix)
		if err != nil {
			return nil, none
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) || plain(n) != n })
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "/") || strings.HasSuffix(n, "+") }) {
			return names, none | cobra.ShellCompDirectiveNoSpace
		}
		return names, none
	}
}

func ctxOf(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

func (c *cli) completeServers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	kept, _, _ := c.servers() // a file that cannot be read completes nothing; the command itself says why
	return slices.Sorted(maps.Keys(kept.Known)), cobra.ShellCompDirectiveNoFileComp
}

func completeServer(_ context.Context, r *call, _ []string, _ string) ([]string, error) {
	kept, _, err := r.servers()
	return slices.Sorted(maps.Keys(kept.Known)), err
}

func words(list ...string) completer {
	return func(context.Context, *call, []string, string) ([]string, error) { return slices.Clone(list), nil }
}

// completeOrg finds the organizations that the caller belongs to.
func completeOrg(ctx context.Context, r *call, _ []string, _ string) ([]string, error) {
	var user object
	err := r.get(ctx, nil, &user, "user")
	return namesOf(user.list("organizations")), err
}

// completeNamespace is completeOrg with the caller's own.
func completeNamespace(ctx context.Context, r *call, _ []string, _ string) ([]string, error) {
	var user object
	err := r.get(ctx, nil, &user, "user")
	return append(namesOf(user.list("organizations")), user.text("username")), err
}

func namesOf(list []object) []string {
	names := make([]string, 0, len(list))
	for _, o := range list {
		names = append(names, o.text("name"))
	}
	return names
}

// completeRepo finds repositories of the namespace before the slash, or else
// namespaces.
func completeRepo(ctx context.Context, r *call, before []string, prefix string) ([]string, error) {
	namespace, _, ok := strings.Cut(prefix, "/")
	if !ok {
		names, err := completeNamespace(ctx, r, before, prefix)
		for i := range names {
			names[i] += "/"
		}
		return names, err
	}
	query := url.Values{"namespace": {namespace}}
	var names []string
	for range 5 { // pages: who has more types on
		var answer object
		if err := r.get(ctx, query, &answer, "repository"); err != nil {
			return names, err
		}
		for _, o := range answer.list("repositories") {
			names = append(names, namespace+"/"+o.text("name"))
		}
		if !byToken(answer, query) {
			break
		}
	}
	return names, nil
}

func completeTag(ctx context.Context, r *call, before []string, prefix string) ([]string, error) {
	repo, err := repoPath(before[0])
	if err != nil {
		return nil, err
	}
	query := url.Values{"onlyActiveTags": {"true"}, "limit": {"100"}}
	if prefix != "" {
		query.Set("filter_tag_name", "like:"+prefix)
	}
	var answer object
	err = r.get(ctx, query, &answer, "repository", repo, "tag")
	return namesOf(answer.list("tags")), err
}

func completeTeam(ctx context.Context, r *call, before []string, _ string) ([]string, error) {
	var org object
	err := r.get(ctx, nil, &org, "organization", before[0])
	return slices.Collect(maps.Keys(org.object("teams"))), err
}

// completeRobot finds robots of the namespace before the plus sign, or else
// namespaces.
func completeRobot(ctx context.Context, r *call, before []string, prefix string) ([]string, error) {
	namespace, _, ok := strings.Cut(prefix, "+")
	if !ok {
		names, err := completeNamespace(ctx, r, before, prefix)
		for i := range names {
			names[i] += "+"
		}
		return names, err
	}
	at, err := r.robots(ctx, namespace)
	if err != nil {
		return nil, err
	}
	var answer object
	err = r.get(ctx, url.Values{"token": {"false"}, "limit": {"200"}}, &answer, at...)
	return namesOf(answer.list("robots")), err
}

// completeEntity finds users and robots for the namespace of the first
// argument.
func completeEntity(ctx context.Context, r *call, before []string, prefix string) ([]string, error) {
	if prefix == "" {
		return nil, nil
	}
	namespace, _, _ := strings.Cut(before[0], "/")
	var answer object
	err := r.get(ctx, url.Values{"namespace": {namespace}}, &answer, "entities", prefix)
	return namesOf(answer.list("results")), err
}
