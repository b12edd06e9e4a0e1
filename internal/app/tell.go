package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/mail"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/store"
)

// A teller tells people and other machines what happens.
type teller struct {
	s      *Server
	notify *notify.Service
	mail   *mail.Service

	mu      sync.Mutex
	cfg     *config.Config  // that clients were made of
	clients [2]*http.Client // for users' addresses in general, and for webhooks
}

func newTeller(s *Server) *teller {
	t := &teller{s: s}
	t.mail = mail.New(mail.Options{Store: s.db, Keys: s.keys, Logger: s.log, Settings: func() mail.Settings { return mailSettings(s.live.Current()) },
		RootCAs: func() *x509.CertPool { return s.live.Current().RootCAs() }})
	t.notify = notify.New(notify.Options{Store: s.db, Keys: s.keys, Logger: s.log, Client: t.client,
		Base:     func() (string, string) { return t.base() },
		Settings: func() notify.Settings { return notifySettings(s.live.Current()) },
		Mail: func(ctx context.Context, to, subject, text, html string) (bool, error) {
			if !t.mail.On() {
				return false, nil
			}
			return true, t.mail.Queue(ctx, mail.Message{To: to, Subject: subject, Text: text, HTML: html})
		}})
	return t
}

// client is for addresses that users gave. It follows the configuration.
func (t *teller) client(webhook bool) *http.Client {
	cfg := t.s.live.Current()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfg != cfg {
		o := outgoingOptions(cfg)
		o.RootCAs = cfg.RootCAs()
		t.cfg, t.clients[0] = cfg, httpd.Outgoing(o)
		if showsCertificate(cfg) {
			pair, err := tls.LoadX509KeyPair(cfg.Bundle.CertFile, cfg.Bundle.KeyFile)
			if err == nil {
				o.Certificates = []tls.Certificate{pair}
			} else {
				t.s.log.Warn("webhooks show no certificate: ssl.cert and ssl.key cannot be read", "error", err)
			}
		}
		t.clients[1] = httpd.Outgoing(o)
	}
	if webhook {
		return t.clients[1]
	}
	return t.clients[0]
}

// base is where users find this registry: an address, and the host alone.
func (t *teller) base() (url, host string) {
	cfg := t.s.live.Current()
	if host = cfg.Server.Hostname; host == "" {
		host = "localhost"
		if _, port, err := net.SplitHostPort(cmp.Or(t.s.opts.Listen, DefaultListen)); err == nil {
			host = net.JoinHostPort(host, port)
		}
	}
	return publicScheme(cfg) + "://" + host, host
}

// kinds are the jobs that go out to the network. They have workers of their
// own, so that a slow target keeps nothing else from being done.
func (t *teller) kinds() map[string]jobs.Kind {
	kinds := map[string]jobs.Kind{}
	for _, more := range []map[string]jobs.Kind{t.notify.Kinds(), t.mail.Kinds()} {
		for name, k := range more {
			kinds[name] = t.s.traced(name, k)
		}
	}
	return kinds
}

// run runs those jobs and follows the journal.
func (t *teller) run(ctx context.Context) {
	s := t.s
	s.while(ctx, maintains, func(ctx context.Context) {
		r, err := jobs.New(ctx, jobs.Options{
			Store: s.db, Bus: s.bus, Logger: s.log, Metrics: s.metrics, Kinds: t.kinds(), Schedules: tellSchedules(s.live.Current()),
			Dispatchers: map[string]jobs.Dispatch{notify.Reader: t.notify.Dispatch},
			Holder:      tellHolder(s.id), Grace: interruptJobs, Workers: 2 * notify.AtOnce, Poll: s.opts.poll(),
		})
		if err != nil {
			s.log.ErrorContext(ctx, "start telling", "error", err)
			pause(ctx, time.Minute)
			return
		}
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopJobs)
		defer cancel()
		if err := r.Stop(last); err != nil {
			s.log.WarnContext(last, "stop telling", "error", err)
		}
	})
}

// poll is how often deliveries are looked for.
func (o *Options) poll() time.Duration { return cmp.Or(o.tellPoll, 2*time.Second) }

func tellHolder(id string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host[:min(len(host), 20)] + " t " + id
}

// refused is told of pushes that the quota of a namespace refused.
func (t *teller) refused(ctx context.Context, repo gantry.RepoID) {
	r, err := t.s.db.RepositoryByID(ctx, repo)
	if err == nil {
		err = t.notify.Refused(ctx, r.Namespace)
	}
	if err != nil {
		t.s.log.WarnContext(ctx, "tell of a refused push", "error", err)
	}
}

// assigned tells a user that a token was assigned, which waits for consent.
func (t *teller) assigned(ctx context.Context, _ gantry.AccountID, a store.Assignment) {
	t.notice(ctx, store.NoticeTarget{Kind: "user", Name: a.AccountName}, a.UUID, store.Notice{Kind: "assigned_authorization", Organization: a.Application.OrganizationName,
		Metadata: metadata(map[string]any{"username": a.AccountName, "application": a.Application.Name, "scope": a.Scope})})
}

// keySubmitted tells superusers that a service key waits for its approval.
func (t *teller) keySubmitted(ctx context.Context, k store.ServiceKey) {
	n := store.Notice{Kind: "service_key_submitted", Metadata: metadata(map[string]any{"kid": k.ID, "service": k.Service, "name": k.Name,
		"created_date": k.Created.Unix(), "expiration_date": unixOrNil(k.Expires)})}
	source := "key " + k.ID
	t.notice(ctx, store.NoticeTarget{Kind: "superusers"}, source, n)
	for _, name := range t.s.auth.Settings().Superusers {
		t.notice(ctx, store.NoticeTarget{Kind: "user", Name: name}, source, n)
	}
}

// notice puts a notice into inboxes. Where there is nobody it is none's.
func (t *teller) notice(ctx context.Context, target store.NoticeTarget, source string, n store.Notice) {
	if len(source) > 64 { // what the column holds
		sum := sha256.Sum256([]byte(source))
		source = hex.EncodeToString(sum[:])
	}
	if _, err := t.s.db.AddNotice(ctx, target, source, n); err != nil && !gantry.Is(err, gantry.NotFound) {
		t.s.log.WarnContext(ctx, "put a notice into an inbox", "kind", n.Kind, "error", err)
	}
}

// metadata is what a notice says.
func metadata(v map[string]any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}") // texts and numbers encode
	}
	return b
}

func unixOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// tellSchedules says how often jobs are queued.
func tellSchedules(cfg *config.Config) []jobs.Schedule {
	every := notifySettings(cfg).ExpiryEvery
	if every <= 0 {
		return nil
	}
	return []jobs.Schedule{{Every: min(every, 10*time.Minute), Job: store.NewJob{Kind: notify.ExpiryJob, Priority: store.Idle}}}
}
