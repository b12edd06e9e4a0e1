package api

import (
	"bytes"
	"crypto/subtle"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
)

var frontRoutes = []route{
	{method: "GET", path: "superuser/changelog", access: superuser, fresh: true, handle: (*server).changelog},
	{method: "GET", path: "superuser/registrystatus", handle: (*server).registryStatus},
}

func (s *server) changelog(c *call) error {
	return c.json(200, map[string]string{"log": "# Gantry " + s.Web.Version + "\n"})
}

// registryStatus is what the setup of Quay asks for: this registry needs none.
func (s *server) registryStatus(c *call) error {
	there, err := s.Store.HasUsers(c.r.Context())
	if err != nil {
		return err
	}
	status := "ready"
	if !there {
		status = "create-superuser"
	}
	return c.json(200, map[string]string{"status": status})
}

// bootConfig is what the page of the web console starts with.
func (s *server) bootConfig(c *call) error {
	config, features := map[string]any{}, map[string]any{}
	if s.Web.Boot != nil {
		config, features = s.Web.Boot()
	}
	state := "normal"
	if s.Auth.Settings().ReadOnly {
		state = "readonly"
	}
	scopes := map[string]any{}
	for _, t := range auth.ScopeTexts(auth.AllScopes) {
		if t.Scope != auth.ScopeSuperUser || s.Auth.Settings().SuperUsers {
			scopes[t.Scope] = map[string]any{"scope": t.Scope, "title": t.Title, "description": t.Description, "dangerous": t.Dangerous}
		}
	}
	messages, err := s.messages(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"messages": messages, "config": config, "features": features, "oauth": map[string]any{}, "oauth_scopes": scopes, "external_login": s.loginServices(),
		"registry_state": state, "account_recovery_mode": config["ACCOUNT_RECOVERY_MODE"] == true, "version_number": ""})
}

// loginServices are the services by which people can sign in.
func (s *server) loginServices() []any {
	list := []any{}
	for _, site := range s.Auth.Sites() {
		list = append(list, map[string]any{"id": site.ID(), "title": site.Title(), "icon": site.Icon(), "config": map[string]any{}})
	}
	return list
}

// appCapabilities is by which tools find out what they talk to.
func (s *server) appCapabilities(c *call) error {
	base := s.base(c.r)
	c.w.Header().Set("Access-Control-Allow-Origin", "*")
	repo := base + "/api/v1/repository/{namespace}/{reponame}"
	return c.json(200, map[string]any{"appName": "io.quay", "capabilities": map[string]any{
		"io.quay.view-image":        map[string]any{"url-template": base + "/{namespace}/{reponame}:{tag}"},
		"io.quay.manifest-security": map[string]any{"rest-api-template": repo + "/manifest/{digest}/security"},
		"io.quay.image-security":    map[string]any{"rest-api-template": repo + "/image/{imageid}/security", "deprecated": true},
	}})
}

func (c *call) text(kind, body string) error {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write([]byte(body)) // the client is gone: nobody to tell
	return nil
}

func (s *server) robotsText(c *call) error {
	return c.text("text/plain; charset=utf-8", "User-agent: *\nDisallow: /api/\nDisallow: /oauth/\nDisallow: /oauth2/\nDisallow: /v1/\nDisallow: /v2/\n")
}

func (s *server) openSearch(c *call) error {
	var title, base bytes.Buffer
	for b, text := range map[*bytes.Buffer]string{&title: s.Web.Title, &base: s.base(c.r)} {
		if err := xml.EscapeText(b, []byte(text)); err != nil {
			return err
		}
	}
	return c.text("application/opensearchdescription+xml", fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">
  <ShortName>%.48[1]s</ShortName>
  <Description>Search %[1]s</Description>
  <InputEncoding>UTF-8</InputEncoding>
  <Url type="text/html" template="%[2]s/search?q={searchTerms}"/>
</OpenSearchDescription>
`, title.String(), base.String()))
}

// badgeToken lets pages of other sites show the badge of a private repository.
func (s *server) badgeToken(id gantry.RepoID) string {
	return s.Auth.Keys().Mark("badge", strconv.FormatInt(int64(id), 10))
}

const badgeImage = `<svg xmlns="http://www.w3.org/2000/svg" width="117" height="20" role="img" aria-label="container: %[1]s"><title>container: %[1]s</title>` +
	`<rect width="68" height="20" fill="#555"/><rect x="68" width="49" height="20" fill="#9f9f9f"/>` +
	`<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,sans-serif" font-size="11"><text x="34" y="14">container</text><text x="92" y="14">%[1]s</text></g></svg>` + "\n"

// badge is a picture of how the newest build went. There are no builds.
func (s *server) badge(c *call) error {
	ns, repo, _ := strings.Cut(c.params["repo"], "/")
	r, err := s.Store.Repository(c.r.Context(), gantry.RepoName{Namespace: ns, Name: repo})
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	given := c.r.URL.Query().Get("token")
	if err != nil || r.Visibility != gantry.Public && subtle.ConstantTimeCompare([]byte(given), []byte(s.badgeToken(r.ID))) != 1 {
		return gantry.Errorf(gantry.NotFound, "repository", "Not Found")
	}
	c.w.Header().Set("Cache-Control", "no-cache")
	return c.text("image/svg+xml", fmt.Sprintf(badgeImage, "none"))
}

// backfillStatus tells how many of the images have been scanned: none are.
func (s *server) backfillStatus(c *call) error {
	there, err := s.Store.HasManifests(c.r.Context())
	if err != nil {
		return err
	}
	percent := 100.0
	if there {
		percent = 0
	}
	return c.json(200, map[string]any{"backfill_percent": percent})
}
