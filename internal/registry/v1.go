package registry

import (
	"net/http"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// A SearchQuery is what "docker search" asks.
type SearchQuery struct {
	Authorization string // the header as it came; "" = none
	Text          string // at most 256 bytes
	Page          int    // from 1
	PageSize      int    // 1 to 100
	Actor         gantry.Actor
}

// A SearchPage is the answer to a SearchQuery.
type SearchPage struct {
	Results []SearchResult
	Total   int // in all pages
}

// A SearchResult is a repository that the caller may read.
type SearchResult struct {
	Name        gantry.RepoName
	Description string
	Public      bool
}

const (
	maxSearchText = 256
	maxSearchPage = 100
	defSearchPage = 25
)

// serveV1 answers what is left of the v1 protocol: the ping, and search.
func (s *Server) serveV1(w http.ResponseWriter, r *http.Request) {
	c := s.newCall(w, r)
	var err error
	switch m := methodIndex(r.Method); {
	case r.URL.Path != "/v1/_ping" && (r.URL.Path != "/v1/search" || s.search == nil):
		c.act = &action{name: "v1.unknown"}
		err = errNoRoute
	case m != get && m != head:
		c.act = &action{name: "v1.unknown"}
		w.Header()["Allow"] = []string{"GET, HEAD"}
		err = errMethod
	case r.URL.Path == "/v1/_ping":
		c.act = &action{name: "v1.ping", do: (*call).ping}
	default:
		c.act = &action{name: "v1.get_search", class: httpd.ClassHeavy, do: (*call).searchV1}
	}
	c.info.Route = c.act.name
	if err == nil {
		err = c.act.do(c)
	}
	if err != nil {
		c.status = c.fail(err)
	}
}

// ping answers /v1/_ping as Quay's front does.
func (c *call) ping() error {
	c.w.Header()["Content-Type"] = headerJSON
	c.sendBody(http.StatusOK, []byte("true"))
	return nil
}

// searchV1 answers /v1/search?q=.
func (c *call) searchV1() error {
	if err := c.limit(httpd.ClassHeavy, ""); err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	req := SearchQuery{Authorization: c.r.Header.Get("Authorization"), Text: q.Get("q"), Page: 1, PageSize: defSearchPage, Actor: c.actor()}
	if len(req.Text) > maxSearchText {
		return gantry.Errorf(gantry.Invalid, "", "the parameter q is longer than %d bytes", maxSearchText)
	}
	for _, p := range []struct {
		to   *int
		name string
		most int
	}{{&req.Page, "page", 1 << 20}, {&req.PageSize, "n", maxSearchPage}, {&req.PageSize, "page_size", maxSearchPage}, {&req.PageSize, "limit", maxSearchPage}} {
		if s := firstOf(q, p.name); s != "" {
			n, ok := parseDecimal(s)
			if !ok {
				return gantry.Errorf(gantry.Invalid, "", "the parameter %s is not a number", p.name)
			}
			*p.to = int(max(1, min(n, int64(p.most))))
		}
	}
	found, err := c.s.search(c.r.Context(), req)
	if err != nil {
		return err
	}
	type result struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Public      bool   `json:"is_public"`
		Href        string `json:"href"`
	}
	list := make([]result, len(found.Results))
	for i, r := range found.Results {
		list[i] = result{r.Name.String(), r.Description, r.Public, "/repository/" + r.Name.String()}
	}
	return c.sendJSON(headerJSON, struct {
		Query    string   `json:"query"`
		Total    int      `json:"num_results"`
		Pages    int      `json:"num_pages"`
		Page     int      `json:"page"`
		PageSize int      `json:"page_size"`
		Results  []result `json:"results"`
	}{req.Text, found.Total, (found.Total + req.PageSize - 1) / req.PageSize, req.Page, req.PageSize, list})
}
