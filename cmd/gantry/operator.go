package main

import (
	"bytes"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) operator() *cobra.Command {
	var o app.OperatorOptions
	var debug bool
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Look after QuayRegistry resources on Kubernetes",
		Long: `Look after the QuayRegistry resources (quay.redhat.com/v1) of a cluster: make
the registry, its database, cache, bucket, route, scaling, mirroring and
monitoring as the resource says, and keep them so, until SIGTERM or SIGINT.

It runs in a pod; the charts and the kustomize base of deploy/ set it up. The
environment says which images are used: RELATED_IMAGE_COMPONENT_QUAY, and
_POSTGRES, _REDIS, _CLAIR and _CLAIRPOSTGRES.`,
		Example: `  RELATED_IMAGE_COMPONENT_QUAY=registry.example.com/gantry:1 gantry operator --kubeconfig ~/.kube/config
  gantry operator explain example-registry --namespace quay`,
		Args: cobra.NoArgs,
	}
	persistent := cmd.PersistentFlags()
	persistent.StringVar(&o.Kubeconfig, "kubeconfig", "", "`file` that says where the cluster is; KUBECONFIG, or the cluster of the pod, unless told")
	persistent.StringVar(&o.Namespaces, "namespace", "", "a `list` of namespaces to look after; WATCH_NAMESPACE, or all of them, unless told")
	cmd.Flags().StringVar(&o.Metrics, "metrics-addr", ":8080", "`address` of Prometheus metrics, or 0")
	cmd.Flags().StringVar(&o.Probes, "health-probe-bind-address", ":8081", "`address` of /healthz and /readyz, or 0")
	cmd.Flags().BoolVar(&o.Elect, "enable-leader-election", false, "have one of several operators work, by a Lease in MY_POD_NAMESPACE")
	cmd.Flags().BoolVar(&debug, "debug", false, "log everything")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		level := slog.LevelInfo
		if debug {
			level = slog.LevelDebug
		}
		o.Environ, o.Version = c.environ, version
		o.Log = slog.New(slog.NewJSONHandler(c.err, &slog.HandlerOptions{Level: level}))
		giveBack()
		frugal()
		return app.RunOperator(cmd.Context(), o)
	}
	explain := &cobra.Command{
		Use:   "explain NAME",
		Short: "What a QuayRegistry consists of, and what differs",
		Long: `Write what the components of a QuayRegistry are taken to be and why, which
objects it consists of, and in what each of them differs from what it is to be.
Nothing is changed.`,
		Example: `  gantry operator explain example-registry --namespace quay`,
		Args:    cobra.ExactArgs(1),
	}
	explain.RunE = func(cmd *cobra.Command, args []string) error {
		o.Environ, o.Version = c.environ, version
		var text bytes.Buffer
		namespace := o.Namespaces
		o.Namespaces = ""
		if err := app.ExplainRegistry(cmd.Context(), o, namespace, args[0], &text); err != nil {
			return err
		}
		_, err := c.out.Write(text.Bytes())
		return err
	}
	cmd.AddCommand(explain)
	return cmd
}
