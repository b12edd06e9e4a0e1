package api

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// TagOptions are those of tags, manifests and labels. The zero value works.
type TagOptions struct {
	// MinLife and MaxLife bound the end that a tag is given
	// (LABELED_EXPIRATION_MINIMUM, _MAXIMUM); 0 = not.
	MinLife, MaxLife time.Duration
	Immutable        bool     // FEATURE_IMMUTABLE_TAGS: tags may be made so
	MayExpire        bool     // FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE
	Forget           bool     // PERMANENTLY_DELETE_TAGS
	ReservedLabels   []string // LABEL_KEY_RESERVED_PREFIXES, beside Quay's own
}

var tagRoutes = []route{
	{method: "GET", path: "repository/{repo}/tag", access: repoRead, handle: (*server).listTags},
	{method: "PUT", path: "repository/{repo}/tag/{tag}", access: repoWrite, handle: (*server).changeTag},
	{method: "DELETE", path: "repository/{repo}/tag/{tag}", access: repoWrite, handle: (*server).deleteTag},
	{method: "POST", path: "repository/{repo}/tag/{tag}/restore", access: repoWrite, handle: (*server).restoreTag},
	{method: "POST", path: "repository/{repo}/tag/{tag}/expire", access: repoWrite, handle: (*server).forgetTag},
	{method: "GET", path: "repository/{repo}/manifest/{digest}", access: repoRead, handle: (*server).getManifest},
	{method: "GET", path: "repository/{repo}/manifest/{digest}/labels", access: repoRead, handle: (*server).listLabels},
	{method: "POST", path: "repository/{repo}/manifest/{digest}/labels", access: repoWrite, handle: (*server).addLabel},
	{method: "GET", path: "repository/{repo}/manifest/{digest}/labels/{id}", access: repoRead, handle: (*server).getLabel},
	{method: "DELETE", path: "repository/{repo}/manifest/{digest}/labels/{id}", access: repoWrite, handle: (*server).deleteLabel},
}

// restorable is how long an ended tag of the repository can be restored.
func (s *server) restorable(r *store.Repository) time.Duration { return s.lasting(r.Retention) }

// immutability says whether policies make tags immutable.
func (s *server) immutability() store.ImmutabilityRule {
	return store.ImmutabilityRule{On: s.Tags.Immutable, MayExpire: s.Tags.MayExpire}
}

// date is a time as Quay writes it.
func date(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }

// truthy reads a parameter as Quay does.
func (c *call) truthy(name string, otherwise bool) bool {
	q := c.r.URL.Query()
	if !q.Has(name) {
		return otherwise
	}
	switch strings.ToLower(q.Get(name)) {
	case "", "false", "0", "null":
		return false
	}
	return true
}

// isIndex reports whether a media type is that of an index of manifests.
func isIndex(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.index.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

func tagView(t store.TagSpan) map[string]any {
	v := map[string]any{"name": t.Name, "reversion": t.Reversion, "start_ts": t.Start.Unix(), "last_modified": date(t.Start),
		"manifest_digest": t.Digest, "is_manifest_list": isIndex(t.MediaType), "size": sizeView(t), "immutable": t.Immutable}
	if !t.End.IsZero() {
		v["end_ts"], v["expiration"] = t.End.Unix(), date(t.End)
	}
	return v
}

// sizeView is the size of an image; an index has none.
func sizeView(t store.TagSpan) any {
	if isIndex(t.MediaType) {
		return nil
	}
	return t.LayersSize
}

// maxTagsShown is how many tags a repository is shown with.
const maxTagsShown = 500

// newestTags are the tags that a repository is shown with.
func (s *server) newestTags(c *call) (map[string]any, error) {
	tags, _, err := s.Store.TagPage(c.r.Context(), store.TagQuery{Repo: c.rights.Repository.ID, Live: true, N: maxTagsShown})
	if err != nil {
		return nil, err
	}
	views := make(map[string]any, len(tags))
	for _, t := range tags {
		v := map[string]any{"name": t.Name, "size": sizeView(t), "last_modified": date(t.Start), "manifest_digest": t.Digest}
		if !t.End.IsZero() {
			v["expiration"] = date(t.End)
		}
		views[t.Name] = v
	}
	return views, nil
}

// number reads a parameter that is a whole number.
func (c *call) number(name string, otherwise int) (int, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, gantry.Errorf(gantry.Invalid, "query", "%s is not a whole number", name)
	}
	return int(n), nil
}

func (s *server) listTags(c *call) error {
	page, err := c.number("page", 1)
	if err != nil {
		return err
	}
	limit, err := c.number("limit", 50)
	if err != nil {
		return err
	}
	page, limit = max(page, 1), min(max(limit, 1), 100)
	query := c.r.URL.Query()
	if query.Has("next_page") || query.Has("architecture") || query.Has("signed") || c.truthy("includeImage", false) {
		return s.listTagsOn(c, limit)
	}
	q := store.TagQuery{Repo: c.rights.Repository.ID, Live: c.truthy("onlyActiveTags", false), N: limit, Offset: int64(page-1) * int64(limit)}
	possible, err := c.tagFilter(&q)
	if err != nil {
		return err
	}
	var tags []store.TagSpan
	more := false
	if possible {
		if tags, more, err = s.Store.TagPage(c.r.Context(), q); err != nil {
			return err
		}
	}
	views := make([]any, 0, len(tags))
	for _, t := range tags {
		views = append(views, tagView(t))
	}
	return c.json(200, map[string]any{"tags": views, "page": page, "has_additional": more})
}

// listTagsOn is listTags by places instead of numbers, with what tags' images
// are: Gantry's own.
func (s *server) listTagsOn(c *call, limit int) error {
	query := c.r.URL.Query()
	named := store.TagQuery{}
	possible, err := c.tagFilter(&named)
	if err != nil {
		return err
	}
	q := store.TagListQuery{Repo: c.rights.Repository.ID, Live: c.truthy("onlyActiveTags", false), Name: named.Name, Like: named.Like, N: limit,
		Architecture: query.Get("architecture"), Signed: query.Get("signed")}
	q.Image = c.truthy("includeImage", false) || q.Architecture != "" || q.Signed != ""
	if q.Signed != "" && q.Signed != "true" && q.Signed != "false" {
		return gantry.Errorf(gantry.Invalid, "query", "signed must be true or false")
	}
	if len(q.Architecture) > maxArchitecture {
		return gantry.Errorf(gantry.Invalid, "query", "architecture is longer than %d bytes", maxArchitecture)
	}
	const route = "tags"
	filter := fmt.Sprintf("%d %t %q %q %q %q", q.Repo, q.Live, q.Name, q.Like, q.Architecture, q.Signed)
	pages := s.Auth.Keys().Pages()
	if token := query.Get("next_page"); token != "" {
		last, err := pages.Open(route, filter, c.id.Account.Name, token)
		if err != nil {
			return err
		}
		if _, err := fmt.Sscanf(last, "%d %d", &q.After.Start, &q.After.ID); err != nil {
			return fmt.Errorf("read place: %w", err)
		}
	}
	var tags []store.ListedTag
	var next store.TagPlace
	if possible {
		if tags, next, err = s.Store.TagList(c.r.Context(), q); err != nil {
			return err
		}
	}
	views := make([]any, 0, len(tags))
	for _, t := range tags {
		v := tagView(t.TagSpan)
		if q.Image {
			v["platforms"], v["signed"] = append([]string{}, t.Platforms...), t.Signed
		}
		views = append(views, v)
	}
	out := map[string]any{"tags": views, "page": 1, "has_additional": next != store.TagPlace{}}
	if next != (store.TagPlace{}) {
		out["next_page"] = pages.Seal(route, filter, c.id.Account.Name, fmt.Sprintf("%d %d", next.Start, next.ID))
	}
	return c.json(200, out)
}

// maxArchitecture bounds the name of an architecture that is asked for.
const maxArchitecture = 64

// tagFilter reads which tags are asked for, and whether there can be any.
func (c *call) tagFilter(q *store.TagQuery) (possible bool, err error) {
	query := c.r.URL.Query()
	q.Name = query.Get("specificTag")
	if filter := query.Get("filter_tag_name"); filter != "" {
		switch op, text, ok := strings.Cut(filter, ":"); {
		case ok && op == "like":
			q.Like = text
		case ok && op == "eq" && text != "":
			if q.Name != "" && q.Name != text {
				return false, nil
			}
			q.Name = text
		default:
			return false, gantry.Errorf(gantry.Invalid, "query", "filter_tag_name must be like:TEXT or eq:TAG")
		}
	}
	if q.Name != "" && gantry.CheckTag(q.Name) != nil {
		return false, nil
	}
	// What no tag holds finds none, and is not asked for: a database may refuse it.
	return gantry.CheckTag("_"+q.Like) == nil || gantry.CheckTag(q.Like) == nil, nil
}

// tag is the name of the tag that a route names.
func (c *call) tag() (string, error) {
	if gantry.CheckTag(c.params["tag"]) != nil { // nothing can have that name
		return "", gantry.Errorf(gantry.NotFound, "tag", "Not Found")
	}
	return c.params["tag"], nil
}

func (s *server) changeTag(c *call) error {
	var in struct {
		Digest     *string         `json:"manifest_digest"`
		Expiration json.RawMessage // null is a value of its own: never
		Immutable  *bool
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	if err := gantry.CheckTag(c.params["tag"]); err != nil {
		return err
	}
	change := store.TagChange{Repo: c.rights.Repository.ID, Name: c.params["tag"], Immutable: in.Immutable, Actor: c.id.Actor,
		MinLife: s.Tags.MinLife, MaxLife: s.Tags.MaxLife, MayExpire: s.Tags.MayExpire, Retention: s.restorable(&c.rights.Repository), Immutability: s.immutability()}
	if in.Digest == nil && in.Expiration == nil && in.Immutable == nil {
		return gantry.Errorf(gantry.Invalid, "body", "Nothing is to be changed: give manifest_digest, expiration or immutable")
	}
	if in.Immutable != nil {
		if !s.Tags.Immutable {
			return gantry.Errorf(gantry.Invalid, "immutable", "Immutable tags are switched off on this registry (FEATURE_IMMUTABLE_TAGS)")
		}
		if !*in.Immutable && c.role < gantry.Admin {
			return errDenied
		}
	}
	var err error
	if in.Digest != nil {
		if change.Digest, err = gantry.ParseDigest(*in.Digest); err != nil {
			return err
		}
	}
	if in.Expiration != nil {
		if change.Expiry, err = expiration(in.Expiration, s.Store.Now()); err != nil {
			return err
		}
	}
	if err := s.Store.ChangeTag(c.r.Context(), change); err != nil {
		return err
	}
	return c.json(201, "Updated")
}

// expiration reads seconds since 1970, or null for never.
func expiration(text json.RawMessage, now time.Time) (*time.Time, error) {
	const latest = 253402300799 // of the year 9999
	if string(text) == "null" {
		return &time.Time{}, nil
	}
	var seconds float64
	if json.Unmarshal(text, &seconds) != nil || seconds > latest {
		return nil, gantry.Errorf(gantry.Invalid, "expiration", "expiration must be a time in seconds since 1970, or null")
	}
	whole, part := math.Modf(seconds)
	at := time.Unix(int64(whole), int64(part*1e9))
	if seconds < 0 || !at.After(now) {
		return nil, gantry.Errorf(gantry.Invalid, "expiration", "expiration is in the past; give a time to come, or null for none")
	}
	return &at, nil
}

func (s *server) deleteTag(c *call) error {
	name, err := c.tag()
	if err != nil {
		return err
	}
	r := &c.rights.Repository
	if err := s.Store.DeleteTag(c.r.Context(), r.ID, name, s.restorable(r), c.id.Actor); err != nil {
		return err
	}
	return c.empty()
}

func (s *server) restoreTag(c *call) error {
	var in struct {
		Digest string `json:"manifest_digest"`
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	name, err := c.tag()
	if err != nil {
		return err
	}
	d, err := gantry.ParseDigest(in.Digest)
	if err != nil {
		return err
	}
	r := &c.rights.Repository
	if err := s.Store.RestoreTag(c.r.Context(), store.TagChange{Repo: r.ID, Name: name, Digest: d, Retention: s.restorable(r), Immutability: s.immutability(), Actor: c.id.Actor}); err != nil {
		return err
	}
	return c.json(200, map[string]any{})
}

func (s *server) forgetTag(c *call) error {
	if !s.Tags.Forget {
		return gantry.Errorf(gantry.NotFound, "route", "Not Found")
	}
	var in struct {
		Digest   string `json:"manifest_digest"`
		Live     bool   `json:"is_alive"`
		Children bool   `json:"include_submanifests"` // they go with what holds them either way
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	name, err := c.tag()
	if err != nil {
		return err
	}
	f := store.TagForget{Repo: c.rights.Repository.ID, Name: name, Live: in.Live, Actor: c.id.Actor}
	if !in.Live {
		if in.Digest == "" {
			return gantry.Errorf(gantry.Invalid, "manifest_digest", "manifest_digest required when is_alive set to false")
		}
		if f.Digest, err = gantry.ParseDigest(in.Digest); err != nil {
			return err
		}
	}
	if err := s.Store.ForgetTag(c.r.Context(), f); err != nil {
		return err
	}
	return c.json(200, "")
}
