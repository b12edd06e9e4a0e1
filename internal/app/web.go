package app

import (
	"strings"

	"github.com/gantry-registry/gantry/internal/api"
	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// webOptions are for what is served outside of /api/v1.
func webOptions(c *config.Config) api.WebOptions {
	return api.WebOptions{
		CORSOrigins:    c.Server.CORSOrigin,
		TrustedClients: c.Auth.DirectOAuthClientIDWhitelist,
		NoAssign:       !c.Features.AssignOAuthToken,
		LocalHandler:   c.Auth.LocalOAuthHandler,
		Hostname:       c.Server.Hostname,
		Scheme:         linkScheme(c),
		Title:          c.UI.Title,
	}
}

// plugWeb adds what is more than a setting.
func (s *Server) plugWeb(o *api.WebOptions, c *config.Config) {
	o.Version = s.opts.Version
	o.Stopping = s.gate.Draining
	if c.Features.UserEvents {
		o.Bus = s.bus
	}
	o.Federation = auth.NewFederation(s.auth, httpd.Outgoing(httpd.OutgoingOptions{RootCAs: c.RootCAs(), Allowed: c.Notify.SSRFAllowedHosts}))
	o.Assigned, o.KeySubmitted = s.tell.assigned, s.tell.keySubmitted
	o.Boot = func() (values, features map[string]any) { return front(c) }
}

// shown are the fields that the page of the web console is told before anybody
// has signed in. None of them may be secret, or say how the registry is built.
var shown = []string{
	"ACCOUNT_RECOVERY_MODE", "AUTHENTICATION_TYPE", "AVATAR_KIND", "BRANDING", "BROWSER_API_CALLS_XHR_ONLY", "CONTACT_INFO", "DEFAULT_TAG_EXPIRATION",
	"DEFAULT_SYSTEM_REJECT_QUOTA_BYTES", "DOCUMENTATION_ROOT", "ENTERPRISE_LOGO_URL", "FOOTER_LINKS", "FRESH_LOGIN_TIMEOUT", "LIBRARY_NAMESPACE", "LOCAL_OAUTH_HANDLER",
	"PERMANENTLY_DELETE_TAGS", "PREFERRED_URL_SCHEME", "RECAPTCHA_SITE_KEY", "REGISTRY_STATE", "REGISTRY_TITLE", "REGISTRY_TITLE_SHORT", "SEARCH_MAX_RESULT_PAGE_COUNT",
	"SEARCH_RESULTS_PER_PAGE", "SERVER_HOSTNAME", "TAG_EXPIRATION_OPTIONS", "UI_DELAY_AFTER_WRITE_SECONDS", "UI_MODELCARD_ANNOTATION", "UI_MODELCARD_ARTIFACT_TYPE",
	"UI_MODELCARD_LAYER_ANNOTATION",
}

// front returns what the page of the web console is told: the fields of shown,
// and each feature without its FEATURE_. A feature that this release does not
// have is off, whatever is written.
func front(c *config.Config) (values, features map[string]any) {
	values, features = map[string]any{}, map[string]any{}
	plain := c.Redacted()
	for _, name := range shown {
		if f, ok := config.Lookup(name); !ok || f.Secret || f.Obsolete != "" {
			continue
		}
		if v, ok := plain[name]; ok {
			values[name] = v
		}
	}
	for _, f := range config.Fields() {
		name, ok := strings.CutPrefix(f.Name, "FEATURE_")
		if !ok || f.Kind != config.Bool || f.Secret || f.Obsolete != "" {
			continue
		}
		on, _ := c.Get(f.Name)
		features[name] = on == true && f.Used
	}
	return values, features
}
