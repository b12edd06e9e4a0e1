package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/proxycache"
	"github.com/gantry-registry/gantry/internal/remote"
)

// proxySpool is the folder, in the data folder, of bytes that are on
// their way from another registry.
const proxySpool = "proxycache"

// upstreamsAtOnce is how many requests one other registry gets at once from
// this process, for mirrors and proxy caches together.
const upstreamsAtOnce = 48

// openProxyCache puts the proxy caches in front of the content.
func (s *Server) openProxyCache(cfg *config.Config) (err error) {
	spool := filepath.Join(s.data, proxySpool)
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	s.upstreams = remote.NewLimits(upstreamsAtOnce)
	s.proxy, err = proxycache.New(proxycache.Options{
		Content: s.content, Store: s.db, Keys: s.keys, Settings: trusting(proxySettings(cfg), cfg), Client: s.upstreamClient, Limits: s.upstreams,
		Collect: func(ctx context.Context) error { _, err := s.collector().RunOnce(ctx); return err },
		Holder:  s.id, Spool: spool, Logger: s.log, Metrics: s.metrics,
	})
	return err
}

// upstreamClient makes a client for another registry, which a user named.
func (s *Server) upstreamClient(o httpd.OutgoingOptions) *http.Client {
	o.Allowed = s.live.Current().Notify.SSRFAllowedHosts
	return httpd.Outgoing(o)
}

func proxySettings(c *config.Config) proxycache.Settings {
	return proxycache.Settings{
		On:          c.Features.ProxyCache,
		Fill:        c.Features.ProxyCacheBlobDownload,
		ReadOnly:    c.Server.ReadOnly(),
		PublicRepos: !c.Registry.CreatePrivateRepoOnPush,
		Quota:       contentSettings(c).Quota,
	}
}

// trusting adds the authorities that the configuration trusts.
func trusting(o proxycache.Settings, c *config.Config) proxycache.Settings {
	o.Roots = c.RootCAs()
	return o
}

// isProxyCache reports whether a namespace is a proxy cache. A command knows
// none.
func (c *core) isProxyCache(ctx context.Context, ns gantry.AccountID) (bool, error) {
	if c.proxy == nil {
		return false, nil
	}
	return c.proxy.Is(ctx, ns)
}
