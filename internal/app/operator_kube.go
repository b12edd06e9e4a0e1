//go:build !small

package app

import (
	"cmp"
	"context"
	"io"

	"github.com/gantry-registry/gantry/internal/operator"
)

func init() { //nolint:gochecknoinits // a file that a build tag leaves out adds to the program
	runOperator = func(ctx context.Context, o OperatorOptions) error {
		options, err := operatorOptions(o)
		if err != nil {
			return err
		}
		config, _, err := operator.Cluster(o.Kubeconfig)
		if err != nil {
			return err
		}
		return operator.Run(ctx, config, options)
	}
	explainRegistry = func(ctx context.Context, o OperatorOptions, namespace, name string, w io.Writer) error {
		options, err := operatorOptions(o)
		if err != nil {
			return err
		}
		config, own, err := operator.Cluster(o.Kubeconfig)
		if err != nil {
			return err
		}
		return operator.Explain(ctx, config, options, cmp.Or(namespace, own, "default"), name, w)
	}
}

func operatorOptions(o OperatorOptions) (operator.Options, error) {
	options, err := operator.FromEnviron(o.Environ, o.Version)
	if list := operator.Namespaces(o.Namespaces); len(list) > 0 {
		options.Namespaces = list
	}
	options.Metrics, options.Probes, options.Elect, options.Log = o.Metrics, o.Probes, o.Elect, o.Log
	return options, err
}
