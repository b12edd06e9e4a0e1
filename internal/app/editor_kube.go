//go:build !small

package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/operator"
	"github.com/gantry-registry/gantry/internal/operator/bundle"
)

func init() { //nolint:gochecknoinits // a file that a build tag leaves out adds to the program
	openRegistry = func(_ context.Context, o EditorOptions) (edit.Store, error) {
		config, own, err := operator.Cluster(o.Kubeconfig)
		if err != nil {
			return nil, err
		}
		b := bundle.Options{Namespace: o.Namespace, Registry: o.Registry, Load: LoadConfig}
		if b.Namespace == "" {
			b.Namespace = own
		}
		if b.Namespace == "" {
			return nil, fmt.Errorf("name the namespace of the QuayRegistry %s with --namespace or MY_POD_NAMESPACE", o.Registry)
		}
		if o.Cluster != "" {
			if err := json.Unmarshal([]byte(o.Cluster), &b.Cluster); err != nil {
				return nil, fmt.Errorf("--cluster: %w", err)
			}
		}
		return bundle.Open(config, b)
	}
}
