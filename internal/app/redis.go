package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/gantry-registry/gantry/internal/api"
	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/bus/redis"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/registry"
)

// openBus opens the one bus of the process: over USER_EVENTS_REDIS where it is
// written down, else of this process alone.
func (c *core) openBus(cfg *config.Config) error {
	dropped := func(n int) { c.metrics.BusDropped.Add(float64(n)) }
	c.bus = bus.New(bus.Options{Dropped: dropped})
	if cfg.Redis.UserEvents.On() {
		o, err := redisOptions(cfg.Redis.UserEvents, cfg.RootCAs())
		if err != nil {
			return fmt.Errorf("USER_EVENTS_REDIS.%w", err)
		}
		// Who shares a Redis by mistake shares nothing else: another registry
		// has other keys.
		o.Prefix = cmp.Or(o.Prefix, "gantry:"+c.keys.Mark("redis", "prefix")[:12])
		o.Dropped, o.Metrics, o.Logger = dropped, c.metrics, c.log
		if c.redis, err = redis.Open(o); err != nil {
			return fmt.Errorf("USER_EVENTS_REDIS: %w", err)
		}
		c.bus = c.redis
	}
	c.later(func(context.Context) error { return c.bus.Close() })
	return nil
}

// redisOptions are those of a block of the configuration. An error begins with
// the key that is wrong.
func redisOptions(r config.RedisServer, roots *x509.CertPool) (redis.Options, error) {
	o := redis.Options{Username: r.Username, Password: r.Password, DB: r.DB, Timeout: r.Timeout, ConnectTimeout: r.ConnectTimeout, MaxConns: r.MaxConnections, Prefix: r.Prefix}
	switch {
	case len(r.Sentinels) > 0:
		o.Addrs, o.Master, o.SentinelUsername, o.SentinelPassword = r.Sentinels, r.SentinelMaster, r.SentinelUsername, r.SentinelPassword
	case len(r.ClusterNodes) > 0:
		o.Addrs, o.Cluster = r.ClusterNodes, true
	default:
		o.Addrs = []string{net.JoinHostPort(r.Host, strconv.Itoa(r.Port))}
	}
	if !r.TLS {
		return o, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return o, fmt.Errorf("ssl_ca_certs: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("ssl_ca_certs: %s holds no certificate; it must be PEM", r.CAFile)
		}
	}
	if r.CertFile != "" {
		// Read anew for each connection: certificates are replaced in place.
		load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
			return &pair, err
		}
		if _, err := load(nil); err != nil {
			return o, fmt.Errorf("ssl_certfile: %w", err)
		}
		t.GetClientCertificate = load
	}
	if r.CertReqs != "required" {
		t.InsecureSkipVerify = true // as the configuration says
	} else if !r.CheckHostname {
		verifyChain(t)
	}
	o.TLS = t
	return o, nil
}

// verifyChain has t check who signed a certificate, and not what it names.
func verifyChain(t *tls.Config) {
	roots := t.RootCAs
	t.InsecureSkipVerify = true // VerifyConnection checks
	t.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		between := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

// told wakes those who follow the journal and those who run jobs, here and in
// other instances.
func (c *core) told(journal, queue bool) {
	if journal {
		c.bus.Wake(jobs.Journal)
	}
	if queue {
		c.bus.Wake(jobs.Topic)
	}
}

// limits says how requests are limited: by all instances together where there
// is a Redis.
func (c *core) limits(exempt []string) httpd.LimiterOptions {
	o := httpd.LimiterOptions{Exempt: exempt}
	if c.redis != nil {
		o.Ledger = c.redis
		o.Name = func(class httpd.Class, key string) string { return c.keys.Mark("limit "+string(class), key) }
	}
	return o
}

// userEvent is the data of an event "docker-cli", as Quay has it.
type userEvent struct {
	Action     string `json:"action"`
	Namespace  string `json:"namespace,omitempty"`
	Repository string `json:"repository,omitempty"`
}

// userEvents tells users of what their clients do; nil without
// FEATURE_USER_EVENTS.
func (c *core) userEvents(cfg *config.Config) func(context.Context, gantry.AccountID, string, gantry.RepoName) {
	if !cfg.Features.UserEvents {
		return nil
	}
	return func(ctx context.Context, user gantry.AccountID, action string, repo gantry.RepoName) {
		topic := api.UserTopic(user, "docker-cli")
		if !c.bus.Heard(topic) {
			return // a pull is asked for far more often than somebody looks
		}
		data, err := json.Marshal(userEvent{action, repo.Namespace, repo.Name})
		if err == nil {
			err = c.bus.Publish(context.WithoutCancel(ctx), topic, data)
		}
		if err != nil && !errors.Is(err, bus.ErrClosed) {
			c.log.LogAttrs(ctx, slog.LevelWarn, "tell a user of an event", slog.String("action", action), slog.Any("error", err))
		}
	}
}

// uploads tells pages of the blobs that come; nil without FEATURE_USER_EVENTS.
func (c *core) uploads(cfg *config.Config) func(context.Context, registry.Incoming) {
	if !cfg.Features.UserEvents {
		return nil
	}
	return func(ctx context.Context, in registry.Incoming) {
		topic := bus.LiveUploads(in.Repo)
		if !c.bus.Heard(topic) {
			return
		}
		b := &bus.Beat{ID: c.keys.Mark("upload", in.Upload)[:12], Changed: in.Ended, Done: in.Done, Total: in.Total, Unit: "bytes", Rate: in.Rate, Left: bus.Left(in.Done, in.Total, in.Rate)}
		if err := bus.Tell(context.WithoutCancel(ctx), c.bus, b, topic); err != nil && !errors.Is(err, bus.ErrClosed) {
			c.log.LogAttrs(ctx, slog.LevelWarn, "tell of an upload", slog.Any("error", err))
		}
	}
}
