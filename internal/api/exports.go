package api

import (
	"cmp"
	"context"
	"net/mail"
	"net/url"
	"time"

	"github.com/gantry-registry/gantry/internal/audit"
	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// LogOptions are those of the audit log. The zero value works.
type LogOptions struct {
	Export bool // FEATURE_LOG_EXPORT
	// Mail sends a message; nil = mail is not configured.
	Mail func(ctx context.Context, to, subject, text string) error
	// Base is the scheme and the host of links; "" = as each request came.
	Base     string
	NoCounts bool // not FEATURE_AGGREGATED_LOG_COUNT_RETRIEVAL
	MaxPage  int  // pages that can be turned to; 0 = any (ACTION_LOG_MAX_PAGE)
}

var exportRoutes = []route{
	{method: "POST", path: "repository/{repo}/exportlogs", access: repoAdmin, handle: (*server).exportLogs},
	{method: "POST", path: "organization/{org}/exportlogs", access: nsAdmin, handle: (*server).exportLogs},
	{method: "POST", path: "user/exportlogs", access: signedIn, scope: auth.ScopeUserAdmin, handle: (*server).exportLogs},
}

// maxCallback is the longest address that is called back, in bytes.
const maxCallback = 2048

// exportLogs queues an export of the log of what the route names.
func (s *server) exportLogs(c *call) error {
	if !s.Logs.Export {
		return errNotFound
	}
	from, to, err := s.logWindow(c)
	if err != nil {
		return err
	}
	var in struct {
		URL   *string `json:"callback_url"`
		Email *string `json:"callback_email"`
	}
	if err := c.body(&in, true); err != nil {
		return err
	}
	of := c.policyOwner()
	r := audit.Request{Namespace: of.Namespace, NamespaceName: of.Name.Namespace, Repo: of.Repo, RepoName: of.Name.Name, From: from, To: to,
		StartText: from.Format("01/02/2006"), EndText: to.Add(-time.Millisecond).Format("01/02/2006"), Actor: c.id.Actor,
		Base: cmp.Or(s.Logs.Base, httpd.Scheme(c.r)+"://"+httpd.Host(c.r))}
	switch {
	case in.URL != nil && *in.URL != "" && in.Email != nil && *in.Email != "":
		return gantry.Errorf(gantry.Invalid, "callback_url", "Give callback_url or callback_email, not both")
	case in.URL != nil && *in.URL != "":
		u, err := url.Parse(*in.URL)
		if err != nil || len(*in.URL) > maxCallback || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return gantry.Errorf(gantry.Invalid, "callback_url", "callback_url must be an http or https address of at most %d bytes", maxCallback)
		}
		r.CallbackURL = *in.URL
	case in.Email != nil && *in.Email != "":
		a, err := mail.ParseAddress(*in.Email)
		if err != nil || a.Address != *in.Email || len(a.Address) > 255 {
			return gantry.Errorf(gantry.Invalid, "callback_email", "callback_email is not an e-mail address")
		}
		if s.Logs.Mail == nil {
			return gantry.Errorf(gantry.Invalid, "callback_email", "Mail is not configured on this registry (FEATURE_MAILING); give callback_url instead")
		}
		r.CallbackEmail = a.Address
	default:
		return gantry.Errorf(gantry.Invalid, "callback_url", "callback_url or callback_email is required")
	}
	id, err := audit.Ask(c.r.Context(), s.Store, s.Auth.Keys(), r)
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"export_id": id})
}
