// Command k8sharness boots a real Kubernetes on one machine for tests.
//
// It is one multi-call binary: the Kubernetes and etcd components are linked
// into it from their public Go modules, so nothing has to be pulled from a
// container registry. `k8sharness up` writes certificates, starts every
// component bound to a loopback (or test-bridge) address and prints the path
// of an administrator kubeconfig; `k8sharness down` removes all of it again.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// component is an embedded program. It receives os.Args already rewritten so
// that os.Args[0] is the component's own name.
type component func()

// components is filled by the component_*.go files.
var components = map[string]component{}

type command struct {
	help string
	run  func(args []string) error
}

var commands map[string]command

func init() {
	commands = map[string]command{
		"up":         {"create certificates, start a cluster, wait until it is ready, print the kubeconfig path", cmdUp},
		"run":        {"the same in the foreground: the cluster ends, and goes, with this process", cmdRun},
		"down":       {"stop a cluster and undo its mounts, network and cgroups", cmdDown},
		"status":     {"print the processes of a cluster with their memory use", cmdStatus},
		"user":       {"write a kubeconfig for another user (client certificate)", cmdUser},
		"cert":       {"write a server certificate signed by the cluster's authority", cmdCert},
		"image":      {"pack files of this machine into an OCI image archive", cmdImage},
		"load":       {"import an image archive into the node of a running cluster", cmdLoad},
		"supervise":  {"(internal) the background process behind up", cmdSupervise},
		"components": {"list the embedded components", cmdComponents},
	}
}

func main() {
	name := filepath.Base(os.Args[0])
	if run, ok := components[name]; ok { // called through a symlink
		run()
		return
	}
	if len(os.Args) < 2 {
		usage(os.Stderr)
		os.Exit(2)
	}
	name = os.Args[1]
	if run, ok := components[name]; ok {
		os.Args = os.Args[1:]
		run()
		return
	}
	cmd, ok := commands[name]
	if !ok {
		usage(os.Stderr)
		os.Exit(2)
	}
	if err := cmd.run(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "k8sharness %s: %v\n", name, err)
		os.Exit(1)
	}
}

func usage(w *os.File) {
	fmt.Fprintln(w, "usage: k8sharness COMMAND [flags]")
	names := make([]string, 0, len(commands))
	for n := range commands {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(w, "  %-11s %s\n", n, commands[n].help)
	}
	fmt.Fprintf(w, "or an embedded component: %s\n", strings.Join(componentNames(), ", "))
}

func componentNames() []string {
	names := make([]string, 0, len(components))
	for n := range components {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func cmdComponents([]string) error {
	for _, n := range componentNames() {
		fmt.Println(n)
	}
	return nil
}
