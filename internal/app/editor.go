package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/config/edit"
	"github.com/gantry-registry/gantry/internal/editor"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/web"
)

// EditorOptions say what `gantry config editor` does.
type EditorOptions struct {
	Dir      string // the folder of config.yaml; not with Registry
	Listen   string
	Password string
	CertFile string // PEM; "" = plain HTTP
	KeyFile  string
	// Registry is a QuayRegistry, whose bundle is edited, in Namespace; "" = Dir is.
	Registry, Namespace string
	// Cluster is what the operator tells of the cluster (plan.Cluster as JSON).
	Cluster    string
	Kubeconfig string // "" = KUBECONFIG, or the cluster that this process runs in
	Environ    []string
	Version    string
	Log        *slog.Logger
	// Ready is told the address; nil = nobody is.
	Ready func(net.Addr)
}

// openRegistry opens the bundle of a QuayRegistry, in builds that have the
// operator.
var openRegistry = func(context.Context, EditorOptions) (edit.Store, error) { return nil, errNoOperator }

// RunEditor serves the configuration editor until ctx ends.
func RunEditor(ctx context.Context, o EditorOptions) error {
	store, environ := edit.Store(nil), o.Environ
	var err error
	if o.Registry != "" {
		environ = nil // that of the registry's pods is another one
		store, err = openRegistry(ctx, o)
	} else {
		store, err = openFolder(o)
	}
	if err != nil {
		return err
	}
	if _, err := store.Read(ctx); err != nil && o.Registry == "" {
		return err
	}
	s := &editor.Server{Store: store, Password: o.Password, Version: o.Version, Page: web.NewEditor(), Load: LoadConfig, Environ: environ, Probes: probes(o.Log), Log: o.Log}
	mo := httpd.MiddlewareOptions{Logger: o.Log, MaxInFlight: 64, Unlimited: func(r *http.Request) bool { return r.URL.Path == "/health" }, ProxyCount: -1}
	if o.Registry != "" { // whose route stands in front
		if mo.TrustedProxies, err = httpd.ParsePrefixes([]string{"0.0.0.0/0", "::/0"}); err != nil {
			return err
		}
		mo.ProxyCount = 1
	}
	ho := httpd.Options{Addr: o.Listen, Handler: httpd.Middleware(mo, s), Logger: o.Log}
	if o.CertFile != "" {
		ho.TLS = &httpd.TLSOptions{CertFile: o.CertFile, KeyFile: o.KeyFile}
	}
	srv, err := httpd.New(ho)
	if err != nil {
		return err
	}
	addr, err := srv.Start(ctx)
	if err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(addr)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	return errors.Join(err, srv.Shutdown(context.WithoutCancel(ctx)))
}

// openFolder opens the folder of a configuration.
func openFolder(o EditorOptions) (edit.Store, error) {
	if o.Dir == "" {
		return nil, errors.New("name the folder of config.yaml with --config, or a QuayRegistry with --registry")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return &edit.Folder{Dir: dir, Environ: o.Environ, Check: unbuilt}, nil
}

// A ConfigTest is the result of a live test of a configuration.
type ConfigTest = editor.Test

// TestConfig asks the services that the configuration of a folder names.
func TestConfig(ctx context.Context, dir string, environ []string) ([]ConfigTest, error) {
	c, _, err := LoadConfig(config.Options{Dir: dir, Environ: environ})
	if err != nil {
		return nil, err
	}
	return editor.Run(ctx, probes(slog.Default()), nil, c), nil
}
