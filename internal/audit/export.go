package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// JobExport is the kind of the jobs that export the audit log.
const JobExport = "logs.export"

const (
	// MaxExports bounds the exports that wait at a time.
	MaxExports = 100
	// maxExportTime bounds one export, with all its tries.
	maxExportTime = 2 * time.Hour
	exportPage    = 1000
	syncPages     = 10 // pages between two places that an export can go on from
)

// A Request asks for an export: of one repository, or of a namespace. Either
// CallbackURL or CallbackEmail is told when it is there.
type Request struct {
	Namespace     gantry.AccountID
	NamespaceName string
	Repo          gantry.RepoID // 0 = of the namespace
	RepoName      string
	From, To      time.Time
	CallbackURL   string
	CallbackEmail string
	Base          string // of the link: scheme and host
	Actor         gantry.Actor
	StartText     string // From and To as the callback has them
	EndText       string
}

// payload is a Request as the job has it.
type payload struct {
	ID            string `json:"export_id"`
	Namespace     int64  `json:"namespace_id"`
	NamespaceName string `json:"namespace"`
	Repo          int64  `json:"repository_id"`
	RepoName      string `json:"repository"`
	FromMS        int64  `json:"from_ms"`
	ToMS          int64  `json:"to_ms"`
	StartText     string `json:"start_time"`
	EndText       string `json:"end_time"`
	URL           string `json:"callback_url,omitempty"` // sealed: it may hold a secret
	Email         string `json:"callback_email,omitempty"`
	Base          string `json:"base"`
	Actor         gantry.Actor
}

// progress is where an export can go on.
type progress struct {
	Offset  int64
	State   []byte // of the engine
	After   *after // the last row that is written; nil = none
	Written bool   // the file is whole
}

type after struct {
	Pull bool
	ID   int64
	MS   int64
}

// sealed is the column that callbacks are sealed for.
const sealed = "jobs.callback_url"

// Ask queues an export and returns its id. Limited while too many wait.
func Ask(ctx context.Context, db *store.DB, keys *auth.Keys, r Request) (id string, err error) {
	list, err := db.JobBacklog(ctx)
	if err != nil {
		return "", err
	}
	for _, b := range list {
		if b.Kind == JobExport && b.Due+b.Running >= MaxExports {
			return "", &gantry.Error{Code: gantry.Limited, Object: "export", Retry: time.Minute, Detail: "too many exports of logs wait already; try again later"}
		}
	}
	p := payload{ID: uuid.NewString(), Namespace: int64(r.Namespace), NamespaceName: r.NamespaceName, Repo: int64(r.Repo), RepoName: r.RepoName,
		FromMS: r.From.UnixMilli(), ToMS: min(r.To.UnixMilli(), db.Now().UnixMilli()), StartText: r.StartText, EndText: r.EndText,
		Email: r.CallbackEmail, Base: r.Base, Actor: r.Actor}
	if r.CallbackURL != "" {
		if p.URL, err = keys.Seal(sealed, p.ID, r.CallbackURL); err != nil {
			return "", err
		}
	}
	_, err = db.Enqueue(ctx, store.NewJob{Kind: JobExport, MaxAttempts: 10, Payload: p})
	return p.ID, err
}

// An Exporter makes exports. Store, Keys, Location, Engine and Client are
// required.
type Exporter struct {
	Store    *store.DB
	Keys     *auth.Keys
	Location int64 // of Engine, in the store
	Engine   blob.Engine
	Client   *http.Client // for callbacks: httpd.Outgoing
	// Mail sends a message; nil = there is no mail.
	Mail      func(ctx context.Context, to, subject, text string) error
	Path      string        // below which the files are; "" = exportedactionlogs
	Lifetime  time.Duration // of a link; 0 = 1 h
	QueryTime time.Duration // of one query; 0 = 30 s
	Most      time.Duration // of an export, with all its tries; 0 = 2 h, which it cannot pass
	Logger    *slog.Logger  // nil: silent
}

// Handle is the job of one export.
func (x *Exporter) Handle(ctx context.Context, r *jobs.Run) error {
	var p payload
	if err := r.Payload(&p); err != nil {
		return err
	}
	most := min(cmp.Or(x.Most, maxExportTime), maxExportTime)
	deadline := r.Job.Created.Add(most)
	err := x.export(ctx, r, &p, deadline)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case !x.Store.Now().Before(deadline):
		x.fail(ctx, &p, "timedout")
		return jobs.Permanent(err)
	case r.Job.Attempt >= r.Job.MaxAttempts:
		x.fail(ctx, &p, "failed")
	}
	return err
}

// fail tells that there will be no export.
func (x *Exporter) fail(ctx context.Context, p *payload, status string) {
	log := x.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := x.event(ctx, p, "export_logs_failure", status); err != nil {
		log.WarnContext(ctx, "log that an export failed", "export", p.ID, "error", err)
	}
	if err := x.tell(ctx, p, status, ""); err != nil {
		log.WarnContext(ctx, "tell that an export failed", "export", p.ID, "error", err)
	}
}

func (x *Exporter) event(ctx context.Context, p *payload, kind, status string) error {
	m := map[string]any{"export_id": p.ID, "namespace": p.NamespaceName, "start_time": p.StartText, "end_time": p.EndText, "status": status}
	if p.RepoName != "" {
		m["repo"] = p.RepoName
	}
	return x.Store.LogEvent(ctx, store.Event{Kind: kind, Namespace: gantry.AccountID(p.Namespace), Repo: gantry.RepoID(p.Repo), Actor: p.Actor, Payload: m})
}

func (x *Exporter) key(p *payload) string {
	return path.Join(strings.Trim(cmp.Or(x.Path, "exportedactionlogs"), "/"), p.ID)
}

func (x *Exporter) export(ctx context.Context, r *jobs.Run, p *payload, deadline time.Time) error {
	var at progress
	if _, err := r.Checkpoint(&at); err != nil {
		return err
	}
	key := x.key(p)
	if !at.Written {
		if at.Offset == 0 { // from here on the file is swept, whatever becomes of this job
			never := sha256.Sum256([]byte(rand.Text()))
			if err := x.Store.PutLogExport(ctx, store.LogExport{Token: never[:], Location: x.Location, Path: key,
				Expires: deadline.Add(time.Hour)}); err != nil {
				return err
			}
		}
		err := x.write(ctx, r, p, key, &at, deadline)
		if e, ok := errors.AsType[*gantry.Error](err); ok && e.Code == gantry.NotFound && e.Object == "upload" {
			at = progress{} // what was written is gone: from the start
			if err = r.Save(ctx, store.Progress{}, at); err == nil {
				err = x.write(ctx, r, p, key, &at, deadline)
			}
		}
		if err != nil {
			return err
		}
	}
	token := rand.Text()
	hash := sha256.Sum256([]byte(token))
	if err := x.Store.PutLogExport(ctx, store.LogExport{Token: hash[:], Location: x.Location, Path: key, Size: at.Offset,
		Expires: x.Store.Now().Add(cmp.Or(x.Lifetime, time.Hour))}); err != nil {
		return err
	}
	if err := x.tell(ctx, p, "success", p.Base+"/exportedlogs/"+token); err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	return x.event(ctx, p, "export_logs_success", "success")
}

// write writes the file, from where it was.
func (x *Exporter) write(ctx context.Context, r *jobs.Run, p *payload, key string, at *progress, deadline time.Time) (err error) {
	u, err := x.Engine.Upload(ctx, key, at.Offset, at.State)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.Close()) }()
	put := func(b []byte) error {
		n, err := u.Write(b)
		at.Offset += int64(n)
		return err
	}
	if at.Offset == 0 {
		head, err := json.Marshal(map[string]any{"export_id": p.ID, "start_time": p.StartText, "end_time": p.EndText, "namespace": p.NamespaceName, "repository": orNull(p.RepoName)})
		if err != nil {
			return err
		}
		if err := put(append(bytes.TrimSuffix(head, []byte("}")), `,"logs":[`+"\n"...)); err != nil {
			return err
		}
	}
	rowsDone := r.Job.Progress.Done
	for page := 1; ; page++ {
		if !x.Store.Now().Before(deadline) {
			return errors.New("the export takes too long")
		}
		began := time.Now()
		rows, names, err := x.page(ctx, p, at.After)
		if err != nil {
			return err
		}
		var text []byte
		for i := range rows {
			b, err := json.Marshal(exportedOf(&rows[i], names))
			if err != nil {
				return err
			}
			text = append(append(text, b...), ",\n"...)
		}
		if err := put(text); err != nil {
			return err
		}
		if n := len(rows); n > 0 {
			last := rows[n-1]
			at.After = &after{last.Pull, last.ID, last.At.UnixMilli()}
			rowsDone += int64(n)
		}
		if len(rows) < exportPage {
			break
		}
		if page%syncPages == 0 {
			if at.State, err = u.Sync(ctx); err != nil {
				return err
			}
			if err := r.Save(ctx, store.Progress{Done: rowsDone, Unit: "entries"}, at); err != nil {
				return err
			}
		}
		rest(ctx, min(time.Since(began), time.Second)) // others have the database half of the time
	}
	if err := put([]byte(`{"terminator":true}]}` + "\n")); err != nil {
		return err
	}
	if err := u.Complete(ctx); err != nil {
		return err
	}
	at.State, at.Written = nil, true
	return r.Save(ctx, store.Progress{Done: rowsDone, Unit: "entries"}, at)
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// page reads the next rows.
func (x *Exporter) page(ctx context.Context, p *payload, last *after) ([]store.AuditRow, store.AuditNames, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(x.QueryTime, 30*time.Second))
	defer cancel()
	q := store.AuditQuery{Namespace: gantry.AccountID(p.Namespace), Repo: gantry.RepoID(p.Repo), From: time.UnixMilli(p.FromMS), To: time.UnixMilli(p.ToMS), Limit: exportPage}
	if last != nil {
		q.After = &store.AuditRow{Pull: last.Pull, ID: last.ID, At: time.UnixMilli(last.MS)}
	}
	rows, err := x.Store.Audit(ctx, q)
	if err != nil {
		return nil, store.AuditNames{}, err
	}
	names, err := x.Store.AuditNames(ctx, rows, false)
	return rows, names, err
}

// tell calls back.
func (x *Exporter) tell(ctx context.Context, p *payload, status, link string) error {
	if p.Email != "" {
		if x.Mail == nil {
			return errors.New("mail is not configured any more")
		}
		what := p.NamespaceName
		if p.RepoName != "" {
			what += "/" + p.RepoName
		}
		text := fmt.Sprintf("The export %s of the logs of %s from %s to %s ended: %s.\n", p.ID, what, p.StartText, p.EndText, status)
		if link != "" {
			text += "\nFetch it here within " + cmp.Or(x.Lifetime, time.Hour).String() + ":\n\n  " + link + "\n"
		}
		return x.Mail(ctx, p.Email, "Export of logs of "+what, text)
	}
	to, err := x.Keys.Open(sealed, p.ID, p.URL)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"export_id": p.ID, "start_time": p.StartText, "end_time": p.EndText, "namespace": p.NamespaceName,
		"repository": orNull(p.RepoName), "exported_data_url": orNull(link), "status": status})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("the callback's URL is not one") // which may hold a secret
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := x.Client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer func() { _ = res.Body.Close() }() // only read
	if _, err := io.CopyN(io.Discard, res.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the callback answered %d", res.StatusCode)
	}
	return nil
}

// withoutURL is the cause of a failed request: the address may hold a secret.
func withoutURL(err error) error {
	if e := errors.Unwrap(err); e != nil {
		return e
	}
	return err
}

// Sweep deletes the files whose links have expired, at the places that this
// process can reach.
func Sweep(ctx context.Context, db *store.DB, engines map[int64]blob.Engine) error {
	var failed []error
	for {
		all, err := db.ExpiredLogExports(ctx, 100)
		if err != nil || len(all) == 0 {
			return errors.Join(append(failed, err)...)
		}
		done := 0
		for _, e := range all {
			engine := engines[e.Location]
			if engine == nil {
				continue
			}
			if err := errors.Join(engine.Abort(ctx, e.Path, nil), engine.Delete(ctx, e.Path)); err != nil {
				failed = append(failed, err)
				continue
			}
			if err := db.DeleteLogExport(ctx, e.ID); err != nil {
				return err
			}
			done++
		}
		if done == 0 {
			return errors.Join(failed...)
		}
	}
}

// Serve answers a request for the file of a link.
func Serve(w http.ResponseWriter, r *http.Request, db *store.DB, engines map[int64]blob.Engine, token string) error {
	hash := sha256.Sum256([]byte(token))
	e, err := db.LogExport(r.Context(), hash[:])
	if err != nil {
		return err
	}
	engine := engines[e.Location]
	if engine == nil {
		return gantry.Errorf(gantry.Unavailable, "storage", "the storage location of the export cannot be reached from here")
	}
	o, err := engine.Open(r.Context(), e.Path)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }() // only read
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="logs.json"`)
	h.Set("Cache-Control", "private, no-store")
	h.Set("Referrer-Policy", "no-referrer")
	http.ServeContent(w, r, "", time.Time{}, o)
	return nil
}
