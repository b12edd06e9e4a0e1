package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/audit"
	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/mail"
)

const (
	streamLease = "audit stream"
	streamAgain = 30 * time.Second // after a failure
)

// engines are the storage locations that this process reaches.
func (s *Server) engines() map[int64]blob.Engine {
	all := map[int64]blob.Engine{}
	for _, p := range s.places {
		all[p.ID] = p.Engine
	}
	return all
}

// placeOf is the location of that name; "" = the first preferred one.
func (s *Server) placeOf(name string) place {
	for _, p := range s.places {
		if p.Name == name {
			return p
		}
	}
	return s.places[0]
}

// mail queues a message; nil where mail is switched off.
func (s *Server) mail() func(ctx context.Context, to, subject, text string) error {
	if !s.tell.mail.On() {
		return nil
	}
	return func(ctx context.Context, to, subject, text string) error {
		return s.tell.mail.Queue(ctx, mail.Message{To: to, Subject: subject, Text: text})
	}
}

// addAudit adds the jobs of the audit log.
func (s *Server) addAudit(kinds map[string]jobs.Kind) {
	kinds[audit.JobExport] = jobs.Kind{Backoff: 30 * time.Second, Handle: func(ctx context.Context, r *jobs.Run) error {
		cfg := s.live.Current()
		x, p := exporter(cfg), s.placeOf("")
		x.Store, x.Keys, x.Location, x.Engine, x.Mail, x.Logger = s.db, s.keys, p.ID, p.Engine, s.mail(), s.log
		x.Client = httpd.Outgoing(httpd.OutgoingOptions{RootCAs: cfg.RootCAs(), Allowed: cfg.Notify.SSRFAllowedHosts, Timeout: 30 * time.Second})
		return x.Handle(ctx, r)
	}}
	kinds[jobSweepExports] = jobs.Kind{Handle: func(ctx context.Context, _ *jobs.Run) error { return audit.Sweep(ctx, s.db, s.engines()) }}
	kinds[jobRotate] = jobs.Kind{Handle: func(ctx context.Context, _ *jobs.Run) error {
		cfg := s.live.Current()
		path, age := rotation(cfg)
		switch {
		case age <= 0:
			return nil
		case path == "":
			n, err := audit.Trim(ctx, s.db, age)
			if n > 0 {
				s.log.InfoContext(ctx, "old entries of the audit log deleted", "entries", n)
			}
			return err
		}
		a := audit.Archiver{Store: s.db, Engine: s.placeOf(cfg.Storage.ActionLogArchiveLocation).Engine, Path: path, Age: age}
		n, err := a.Run(ctx)
		if n > 0 {
			s.log.InfoContext(ctx, "old entries of the audit log archived", "entries", n)
		}
		return err
	}}
}

// getExport answers /exportedlogs/….
func (s *Server) getExport(w http.ResponseWriter, r *http.Request) {
	httpd.SetRoute(r.Context(), "web.exportedlogs")
	token := strings.TrimPrefix(r.URL.Path, exportPath)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "invalid_request", "Method Not Allowed")
		return
	}
	err := audit.Serve(w, r, s.db, s.engines(), token)
	switch {
	case err == nil:
	case gantry.Is(err, gantry.NotFound):
		problem(w, http.StatusNotFound, "not_found", "There is no such export, or its link has expired; export the log again")
	default:
		s.log.ErrorContext(r.Context(), "serve an export of the audit log", "error", err)
		problem(w, http.StatusServiceUnavailable, "downstream_issue", "The export cannot be read now; try again")
	}
}

const exportPath = "/exportedlogs/"

// streams writes the audit log as lines, in one instance at a time.
func (s *Server) streams(ctx context.Context) {
	s.while(ctx, maintains, func(ctx context.Context) {
		to := s.live.Current().Audit.Stream
		if to == "" {
			if err := audit.StopStream(ctx, s.db); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "forget the place of the audit stream", "error", err)
			}
			<-ctx.Done()
			return
		}
		for ctx.Err() == nil {
			l, err := s.db.TakeLease(ctx, streamLease, s.id, gcLeaseTime)
			if err != nil {
				if !gantry.Is(err, gantry.Conflict) && ctx.Err() == nil {
					s.log.WarnContext(ctx, "take the lease of the audit stream", "error", err)
				}
				pause(ctx, gcLeaseRetry)
				continue
			}
			stream := &audit.Stream{Store: s.db, To: to}
			s.under(ctx, l, "audit stream", func(ctx context.Context) {
				err := stream.Run(ctx)
				if gantry.Is(err, gantry.Conflict) {
					return // another instance has gone on meanwhile
				}
				if err != nil {
					s.log.ErrorContext(ctx, "write the audit stream", "to", to, "error", err)
					pause(ctx, streamAgain)
				}
			})
		}
	})
}

// exporter is how logs are exported.
func exporter(c *config.Config) *audit.Exporter {
	return &audit.Exporter{Path: c.Audit.ExportStoragePath, Lifetime: c.Audit.ExportLinkLifetime, QueryTime: c.Audit.ExportMaximumQueryTime, Most: c.Audit.ExportMaximum}
}

// rotation is below which path old entries of the audit log are archived, ""
// = they are deleted, and how old they are; 0 = they stay.
func rotation(c *config.Config) (path string, age time.Duration) {
	switch {
	case c.Features.ActionLogRotation:
		path = strings.Trim(c.Storage.ActionLogArchivePath, "/")
		if path == "" {
			path = "actionlogarchive"
		}
		return path, max(c.Audit.RotationThreshold, c.Audit.MinimumLogsAgeForArchive)
	case c.Audit.Retention > 0:
		return "", c.Audit.Retention
	}
	return "", 0
}
