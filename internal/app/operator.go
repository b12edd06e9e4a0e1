package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
)

// OperatorOptions say what `gantry operator` does.
type OperatorOptions struct {
	// Kubeconfig is the file that says where the cluster is; "" = KUBECONFIG, or
	// the cluster that this process runs in.
	Kubeconfig string
	// Environ is the environment: RELATED_IMAGE_COMPONENT_*, QUAY_VERSION,
	// WATCH_NAMESPACE and others (operator.md, section 1).
	Environ []string
	// Namespaces is a comma list of what is looked after; "" = WATCH_NAMESPACE, or
	// all.
	Namespaces string
	// Metrics and Probes are addresses; "0" = none.
	Metrics, Probes string
	// Elect has one of several operators work.
	Elect   bool
	Version string // of the program
	Log     *slog.Logger
}

// errNoOperator is the answer of a build without the operator.
var errNoOperator = errors.New("this build has no operator: it was made with the tag small")

// runOperator and explainRegistry are set by builds that have the operator.
var (
	runOperator     = func(context.Context, OperatorOptions) error { return errNoOperator }
	explainRegistry = func(context.Context, OperatorOptions, string, string, io.Writer) error { return errNoOperator }
)

// RunOperator looks after the QuayRegistry resources of a cluster until ctx
// ends.
func RunOperator(ctx context.Context, o OperatorOptions) error { return runOperator(ctx, o) }

// ExplainRegistry writes what a QuayRegistry consists of, and in what each
// object differs from what it is to be. namespace "" is that of the kubeconfig.
func ExplainRegistry(ctx context.Context, o OperatorOptions, namespace, name string, w io.Writer) error {
	return explainRegistry(ctx, o, namespace, name, w)
}
