package registry

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// maxTags bounds the tags of one push; the OCI specification wants at least 10.
const maxTags = 100

// reference reads the last element of a manifest's URL. A tag that breaks the
// rules is no tag of this repository, unless something is pushed.
func (c *call) reference() (gantry.Reference, error) {
	ref, err := gantry.ParseReference(c.route.ref)
	if err != nil && !isDigest(c.route.ref) && c.r.Method != http.MethodPut {
		return ref, &gantry.Error{Code: gantry.NotFound, Object: "manifest", Detail: "manifest unknown: no tag can have that name; use letters, digits, '_', '.' and '-', at most 128", Err: err}
	}
	return ref, err
}

// getManifest answers GET and HEAD /v2/<name>/manifests/<reference>.
func (c *call) getManifest() error {
	ctx := c.r.Context()
	ref, err := c.reference()
	if err != nil {
		return err
	}
	m, err := c.s.content.Manifest(ctx, c.repo.ID, ref)
	if err != nil {
		return err
	}
	h := c.w.Header()
	if ref.Digest == "" {
		h["Vary"] = headerVaryAccept
		if m, err = c.negotiate(m); err != nil {
			return err
		}
	}
	values := make([]string, 3) // one allocation for the headers of their own
	values[0] = string(m.Digest)
	values[1] = `"` + string(m.Digest) + `"`
	values[2] = itoa(int64(len(m.Body)))
	h["Docker-Content-Digest"] = values[0:1:1]
	h["Etag"] = values[1:2:2]
	if v := c.r.Header["If-None-Match"]; len(v) > 0 && etagMatches(v[0], values[1]) {
		c.send(http.StatusNotModified)
		return nil
	}
	h["Content-Type"] = mediaHeader(m.MediaType)
	h["Content-Length"] = values[2:3:3]
	if c.r.Method == http.MethodHead {
		c.send(http.StatusOK)
		return nil
	}
	if err := c.logPull(ref, m); err != nil {
		return err
	}
	c.tell("pull_repo")
	c.send(http.StatusOK)
	_, _ = c.w.Write(m.Body) //nolint:gosec // a manifest, sent under its own type and nosniff; a failure means that the client left
	return nil
}

// logPull writes the pull down before it is answered. When that fails, the
// pull fails, unless the configuration says otherwise.
func (c *call) logPull(ref gantry.Reference, m *content.Manifest) error {
	if c.set.ReadOnly || slices.Contains(c.set.UnloggedNamespaces, c.name.Namespace) {
		return nil
	}
	ctx := c.r.Context()
	err := c.s.content.LogPull(ctx, c.repo.ID, ref, m, c.actor())
	if err == nil || ctx.Err() != nil {
		return err
	}
	if c.set.LooseLogging {
		c.s.log.WarnContext(ctx, "a pull could not be logged", "repository", c.name.String(), "error", err)
		return nil
	}
	if _, ok := errors.AsType[*gantry.Error](err); ok {
		return err
	}
	return &gantry.Error{Code: gantry.Unavailable, Object: "log", Err: err,
		Detail: "the pull cannot be logged now, and this registry hands out nothing unlogged; try again later"}
}

// negotiate finds the form of a tagged manifest that the client takes.
func (c *call) negotiate(m *content.Manifest) (*content.Manifest, error) {
	accept := c.r.Header["Accept"]
	switch choose(accept, m.MediaType) {
	case asStored:
		return m, nil
	case childImage:
		if d := defaultChild(m.Body, accept); d != "" {
			child, err := c.s.content.Manifest(c.r.Context(), c.repo.ID, gantry.Reference{Digest: d})
			if err == nil || !gantry.Is(err, gantry.NotFound) {
				return child, err
			}
		}
	case nothing:
	}
	return nil, gantry.Errorf(gantry.NotFound, "manifest",
		"the manifest is of type %s, which the Accept header does not list, and there is no form of it that it lists; pull with a newer client, or by digest", m.MediaType)
}

// putManifest answers PUT /v2/<name>/manifests/<reference>. With a digest,
// "tag" parameters name tags to set (OCI distribution 1.2).
func (c *call) putManifest() error {
	mediaType, err := contentType(c.r.Header.Get("Content-Type"))
	c.media = mediaType
	if err != nil {
		return err
	}
	ref, err := c.reference()
	if err != nil {
		return err
	}
	put := content.Put{Repo: c.repo.ID, Digest: ref.Digest, MediaType: mediaType, Actor: c.actor()}
	if ref.Digest == "" {
		put.Tags = []string{ref.Tag}
	} else if put.Tags, err = tagParameters(c.r.URL.RawQuery); err != nil {
		return err
	}
	if put.Body, err = c.readBody(c.s.content.Limits().Manifest, "manifest"); err != nil {
		return err
	}
	if err := c.set.checkType(c.name.Namespace, mediaType, put.Body); err != nil {
		return err
	}
	done, err := c.s.content.PutManifest(c.r.Context(), put)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h["Location"] = []string{"/v2/" + c.name.String() + "/manifests/" + string(done.Digest)}
	h["Docker-Content-Digest"] = []string{string(done.Digest)}
	if done.Subject != "" {
		h["Oci-Subject"] = []string{string(done.Subject)}
	}
	if ref.Digest != "" && len(put.Tags) > 0 {
		h["Oci-Tag"] = put.Tags
	}
	for _, w := range done.Warnings { // OCI distribution 1.1, "Warnings"
		h["Warning"] = append(h["Warning"], `299 - "`+quotedText.Replace(w)+`"`)
	}
	h["Content-Type"] = headerText
	c.tell("push_repo")
	c.sendBody(http.StatusCreated, []byte("OK"))
	return nil
}

// quotedText escapes what stands between quotes in a header.
var quotedText = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// contentType takes the media type out of a Content-Type header.
// application/json is what clients say who say nothing.
func contentType(header string) (string, error) {
	if header == "" {
		return "", nil
	}
	t, _, err := mime.ParseMediaType(header)
	if err != nil && t == "" {
		return "", &gantry.Error{Code: gantry.Invalid, Object: "manifest", Reason: gantry.MediaTypeRefused, Err: err,
			Detail: "the Content-Type header is malformed; send the media type of the manifest"}
	}
	if t == "application/json" {
		return "", nil
	}
	spelled, _, _ := strings.Cut(header, ";")
	if spelled = strings.TrimSpace(spelled); strings.EqualFold(spelled, t) {
		return spelled, nil // media types are the same in any case, but what is in the body may be spelled so
	}
	return t, nil
}

// tagParameters returns the tags that a push by digest asks for, each once.
func tagParameters(query string) ([]string, error) {
	values, err := parseForm(query)
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, tag := range values["tag"] {
		if err := gantry.CheckTag(tag); err != nil {
			return nil, err
		}
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
		if len(tags) > maxTags {
			return nil, gantry.Errorf(gantry.TooLarge, "tags", "one push sets at most %d tags; name the others in another one", maxTags)
		}
	}
	return tags, nil
}

func badQuery(err error) error {
	return &gantry.Error{Code: gantry.Invalid, Detail: "the parameters of the URL or form are malformed; encode them as UTF-8 text", Err: err}
}

// firstRead is how many bytes of a body get memory before they are there: a
// length is easily claimed.
const firstRead = 16 << 10

// readBody reads the request's body up to limit bytes.
func (c *call) readBody(limit int64, object string) ([]byte, error) {
	tooLarge := gantry.Errorf(gantry.TooLarge, object, "the %s is larger than the limit of %d bytes; make it smaller", object, limit)
	size := c.r.ContentLength
	if size > limit {
		return nil, tooLarge
	}
	if size < 0 {
		size = limit + 1
	}
	b := make([]byte, min(size, firstRead))
	n := 0
	for int64(n) < size {
		if n == len(b) {
			b = append(b, make([]byte, min(int64(n), size-int64(n)))...)
		}
		m, err := c.body.Read(b[n:])
		n += m
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if int64(n) > limit {
		return nil, tooLarge
	}
	return b[:n], nil
}

// deleteManifest answers DELETE /v2/<name>/manifests/<reference>.
func (c *call) deleteManifest() error {
	ref, err := c.reference()
	if err != nil {
		return err
	}
	if err := c.s.content.DeleteManifest(c.r.Context(), c.repo.ID, ref, c.actor()); err != nil {
		return err
	}
	c.tell("delete_tag")
	c.empty(http.StatusAccepted)
	return nil
}

// empty answers without a body.
func (c *call) empty(status int) {
	if status != http.StatusNoContent {
		c.w.Header()["Content-Length"] = headerZero
	}
	c.send(status)
}

// query reads the parameters of the URL.
func (c *call) query() (url.Values, error) {
	if c.r.URL.RawQuery == "" {
		return nil, nil
	}
	return parseForm(c.r.URL.RawQuery)
}

// parseForm reads encoded parameters. Values go into queries of databases that
// take text only, so what is no text is refused here.
func parseForm(s string) (url.Values, error) {
	v, err := url.ParseQuery(s)
	if err != nil {
		return nil, badQuery(err)
	}
	for _, values := range v {
		for _, value := range values {
			if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
				return nil, badQuery(errors.New("a value is not UTF-8 text"))
			}
		}
	}
	return v, nil
}

// firstOf is the first of several spellings of a parameter that is there.
func firstOf(v url.Values, names ...string) string {
	for _, n := range names {
		if s := strings.TrimSpace(v.Get(n)); s != "" {
			return s
		}
	}
	return ""
}
