package registry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var errPageToken = gantry.Errorf(gantry.Invalid, "page", "the page token does not belong to this request; start from the first page")

// maxLast bounds the position parameter of a page.
const maxLast = 1024

// page reads the parameter n: how many entries, at most the page size, which
// is also what no n means.
func (c *call) page(q url.Values) (int, error) {
	s := firstOf(q, "n")
	if s == "" {
		return c.set.page, nil
	}
	n, ok := parseDecimal(s)
	if !ok {
		return 0, gantry.Errorf(gantry.Invalid, "", "the parameter n must be a whole number of entries, from 0 on")
	}
	return int(min(n, int64(c.set.page))), nil
}

// next sets the Link header to the following page.
func (c *call) next(path string, n int, name, value string) {
	c.w.Header()["Link"] = []string{"<" + c.url(path) + "?n=" + strconv.Itoa(n) + "&" + name + "=" + url.QueryEscape(value) + `>; rel="next"`}
}

// listTags answers GET /v2/<name>/tags/list.
func (c *call) listTags() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	n, err := c.page(q)
	if err != nil {
		return err
	}
	last := q.Get("last")
	if len(last) > maxLast {
		return gantry.Errorf(gantry.Invalid, "", "the parameter last is longer than a tag can be; take it from the Link header of the page before")
	}
	tags, more := []string(nil), false
	if n > 0 {
		if tags, more, err = c.s.content.Tags(c.r.Context(), c.repo.ID, last, n); err != nil {
			return err
		}
	}
	if more && len(tags) > 0 {
		c.next("/v2/"+c.name.String()+"/tags/list", n, "last", tags[len(tags)-1])
	}
	return c.sendJSON(headerJSON, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.name.String(), nonNil(tags)})
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// sendJSON answers 200 with a document.
func (c *call) sendJSON(contentType []string, doc any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it would make six bytes of one, and nobody takes this for HTML
	if err := e.Encode(doc); err != nil {
		return err
	}
	c.w.Header()["Content-Type"] = contentType
	c.sendBody(http.StatusOK, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return nil
}

// catalogRoute is what page tokens of the catalog are bound to.
const catalogRoute = "v2/_catalog"

// catalog answers GET /v2/_catalog: the repositories that the caller may read.
func (c *call) catalog() error {
	if c.grants == nil && c.set.NoAnonymous {
		return errNoToken
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	n, err := c.page(q)
	if err != nil {
		return err
	}
	query := store.CatalogQuery{Public: c.set.PublicCatalog, N: n + 1}
	if g := c.grants; g != nil && !g.Anonymous {
		query.Account = g.Actor.Account
		query.Superuser = g.Superuser || g.ReadOnlySuperuser
	}
	subject := strconv.FormatInt(int64(query.Account), 10)
	pages := c.s.pages
	if token := firstOf(q, "next_page", "last"); token != "" {
		last, err := pages.Open(catalogRoute, "", subject, token)
		if err != nil {
			return err
		}
		id, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			return errPageToken
		}
		query.After = gantry.RepoID(id)
	}
	var entries []store.CatalogEntry
	if n > 0 && (query.Public || query.Superuser || query.Account != 0) {
		if entries, err = c.s.store.Catalog(c.r.Context(), query); err != nil {
			return err
		}
	}
	if len(entries) > n {
		entries = entries[:n]
		c.next("/v2/_catalog", n, "next_page", pages.Seal(catalogRoute, "", subject, strconv.FormatInt(int64(entries[n-1].ID), 10)))
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name.String()
	}
	return c.sendJSON(headerJSON, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// referrersRoute is what page tokens of referrers are bound to.
const referrersRoute = "v2/referrers"

// maxArtifactType is the longest media type that there is (RFC 6838).
const maxArtifactType = 255

// listReferrers answers GET /v2/<name>/referrers/<digest>. A digest that
// nobody refers to, here or not, has an empty list. What does not fit one page
// is behind a Link; n asks for smaller pages.
func (c *call) listReferrers() error {
	d, err := gantry.ParseDigest(c.route.ref)
	if err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	query := content.ReferrersQuery{Repo: c.repo.ID, Subject: d, ArtifactType: q.Get("artifactType")}
	if len(query.ArtifactType) > maxArtifactType {
		return gantry.Errorf(gantry.Invalid, "", "the parameter artifactType is longer than a media type can be (%d characters)", maxArtifactType)
	}
	if s := firstOf(q, "n"); s != "" {
		if query.N, err = c.page(q); err != nil {
			return err
		}
		query.N = max(query.N, 1)
	}
	filter := itoa(int64(c.repo.ID)) + " " + string(d) + " " + query.ArtifactType
	if token := firstOf(q, "next_page"); token != "" {
		last, err := c.s.pages.Open(referrersRoute, filter, "", token)
		if err != nil {
			return err
		}
		id, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			return errPageToken
		}
		query.After = gantry.ManifestID(id)
	}
	list, after, err := c.s.content.Referrers(c.r.Context(), query)
	if err != nil {
		return err
	}
	if query.ArtifactType != "" {
		c.w.Header()["Oci-Filters-Applied"] = headerFiltersType
	}
	if after != 0 {
		link := c.url("/v2/"+c.name.String()+"/referrers/"+string(d)) + "?"
		if query.ArtifactType != "" {
			link += "artifactType=" + url.QueryEscape(query.ArtifactType) + "&"
		}
		if query.N != 0 {
			link += "n=" + strconv.Itoa(query.N) + "&"
		}
		c.w.Header()["Link"] = []string{"<" + link + "next_page=" + c.s.pages.Seal(referrersRoute, filter, "", itoa(int64(after))) + `>; rel="next"`}
	}
	return c.sendJSON(headerIndex, struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		Manifests     []content.Descriptor `json:"manifests"`
	}{2, mediaIndex, nonNil(list)})
}
