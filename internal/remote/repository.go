package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Media types of manifests.
const (
	typeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	typeSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	typeIndex         = "application/vnd.oci.image.index.v1+json"
)

// Accepted are the media types of manifests that are asked for when a caller
// names none: all but Docker's schema 1.
var Accepted = []string{
	"application/vnd.oci.image.manifest.v1+json",
	typeIndex,
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.artifact.manifest.v1+json",
}

// A Descriptor names a manifest.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       gantry.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"` // of referrers
	Annotations  map[string]string `json:"annotations,omitempty"`  // of referrers
}

// A Manifest is a manifest's bytes, which have the digest.
type Manifest struct {
	Descriptor
	Bytes []byte
}

// Repository is a repository of another registry.
type Repository struct {
	r    *Registry
	name string
	err  error
}

// Repository returns the repository of that path. A name that no repository
// has fails at the first use. On Docker Hub "alpine" is "library/alpine".
func (r *Registry) Repository(name string) *Repository {
	err := checkName(name)
	if r.hub && !strings.Contains(name, "/") {
		name = "library/" + name
	}
	return &Repository{r, name, err}
}

// Name is the repository's path, with Docker Hub's "library/".
func (p *Repository) Name() string { return p.name }

// String returns host and path.
func (p *Repository) String() string { return p.r.host + "/" + p.name }

func (p *Repository) scope() string { return "repository:" + p.name + ":pull" }

// Verify asks whether the repository is there and may be read. The *Error
// says which not, as far as the registry tells.
func (p *Repository) Verify(ctx context.Context) error {
	_, _, err := p.Tags(ctx, "", 1)
	return err
}

// Tags lists tags after last, in pages of about n: some registries send all
// at once. last is "" or next of the page before, which is "" after the last
// page. Tags that break the rules of tags are left out.
func (p *Repository) Tags(ctx context.Context, last string, n int) (tags []string, next string, err error) {
	if p.err != nil {
		return nil, "", p.err
	}
	return p.r.list(ctx, "/v2/"+p.name+"/tags/list", "tags", p.scope(), last, n, func(s string) bool { return gantry.CheckTag(s) == nil })
}

func accepted(accept []string) http.Header {
	if len(accept) == 0 {
		accept = Accepted
	}
	return http.Header{"Accept": {strings.Join(accept, ", ")}}
}

// Points returns the digest that a tag points at. known is what it was when it
// was last asked for, "" for not known: a registry that compares it says that it
// still is for less than the manifest costs it.
func (p *Repository) Points(ctx context.Context, tag string, known gantry.Digest) (gantry.Digest, error) {
	d, err := p.head(ctx, gantry.Reference{Tag: tag}, known)
	return d.Digest, err
}

// Head returns what a tag or a digest names without its bytes where the
// registry can do that, and otherwise with them.
func (p *Repository) Head(ctx context.Context, ref gantry.Reference) (Descriptor, error) {
	return p.head(ctx, ref, "")
}

// head is Head; where the registry says that it is known, that is all there is
// in the descriptor.
func (p *Repository) head(ctx context.Context, ref gantry.Reference, known gantry.Digest) (Descriptor, error) {
	if p.err != nil {
		return Descriptor{}, p.err
	}
	header := accepted(nil)
	if known != "" {
		header.Set("If-None-Match", `"`+string(known)+`"`)
	}
	inner, cancel := context.WithTimeout(ctx, smallCall)
	defer cancel()
	res, err := p.r.do(inner, call{method: http.MethodHead, path: "/v2/" + p.name + "/manifests/" + ref.String(), header: header, scope: p.scope()})
	if err == nil && res.StatusCode == http.StatusNotModified {
		drop(res)
		p.r.budget(res.Header)
		return Descriptor{Digest: known}, nil
	}
	if err != nil {
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusMethodNotAllowed && e.Status != http.StatusNotImplemented {
			return Descriptor{}, err
		}
	} else {
		drop(res)
		p.r.budget(res.Header)
		d := Descriptor{MediaType: mediaType(res.Header.Get("Content-Type"), nil), Size: res.ContentLength}
		d.Digest, err = gantry.ParseDigest(res.Header.Get("Docker-Content-Digest"))
		if ref.Digest != "" && d.Digest == "" {
			d.Digest, err = ref.Digest, nil
		}
		switch {
		case err != nil || d.Size < 0 || d.MediaType == "":
		case d.Size > maxManifest:
			return Descriptor{}, p.tooLarge()
		case ref.Digest != "" && d.Digest != ref.Digest:
			return Descriptor{}, p.otherDigest(ref.Digest, d.Digest)
		default:
			return d, nil
		}
	}
	m, err := p.Manifest(ctx, ref)
	return m.Descriptor, err
}

func (p *Repository) tooLarge() error {
	return &Error{Kind: Invalid, Host: p.r.host, Text: fmt.Sprintf("%s has a manifest of more than %d MiB, which is not taken", p, maxManifest>>20)}
}

func (p *Repository) otherDigest(want, got gantry.Digest) error {
	return &Error{Kind: Invalid, Host: p.r.host, Text: fmt.Sprintf("%s sent a manifest whose digest is %s where it should be %s: it was changed on the way, or is broken there", p, got, want)}
}

// budget makes the registry's next requests wait when an answer says that
// they would be refused.
func (r *Registry) budget(h http.Header) {
	if exhausted(h) {
		if d := rateLimitReset(h, time.Now()); d > 0 {
			r.o.Limits.pause(r.key(), d)
		}
	}
}

// Manifest returns the manifest that a tag or a digest names. Its bytes have
// the digest; a manifest of Docker's schema 1, which has no digest of its
// bytes, is Invalid.
func (p *Repository) Manifest(ctx context.Context, ref gantry.Reference, accept ...string) (Manifest, error) {
	if p.err != nil {
		return Manifest{}, p.err
	}
	ctx, cancel := context.WithTimeout(ctx, smallCall)
	defer cancel()
	res, err := p.r.do(ctx, call{method: http.MethodGet, path: "/v2/" + p.name + "/manifests/" + ref.String(), header: accepted(accept), scope: p.scope()})
	if err != nil {
		return Manifest{}, err
	}
	defer drop(res)
	p.r.budget(res.Header)
	b, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
	switch {
	case err != nil:
		return Manifest{}, p.r.broken(ctx, err)
	case len(b) > maxManifest:
		return Manifest{}, p.tooLarge()
	}
	m := Manifest{Bytes: b, Descriptor: Descriptor{MediaType: mediaType(res.Header.Get("Content-Type"), b), Size: int64(len(b))}}
	switch m.MediaType {
	case typeSchema1, typeSchema1Signed:
		return Manifest{}, &Error{Kind: Invalid, Host: p.r.host, Text: fmt.Sprintf("%s has this image in Docker's schema 1 alone, which is not taken: have it pushed again with a newer client", p)}
	case "":
		return Manifest{}, &Error{Kind: Invalid, Host: p.r.host, Text: fmt.Sprintf("%s sent something that is no manifest", p)}
	}
	said, saidErr := gantry.ParseDigest(res.Header.Get("Docker-Content-Digest"))
	want := ref.Digest
	if want == "" && saidErr == nil {
		want = said
	}
	algorithm := gantry.SHA256
	if want != "" {
		algorithm = want.Algorithm()
	}
	h := gantry.NewHash(algorithm)
	_, _ = h.Write(b) // a hash takes all
	m.Digest = gantry.DigestOf(algorithm, h)
	if want != "" && m.Digest != want {
		return Manifest{}, p.otherDigest(want, m.Digest)
	}
	return m, nil
}

// mediaType is the type of a manifest: of its Content-Type, or of the
// document where that says nothing.
func mediaType(header string, doc []byte) string {
	t, _, err := mime.ParseMediaType(header)
	if err == nil && t != "application/json" && t != "text/plain" && t != "application/octet-stream" && t != "text/html" {
		return t
	}
	var d struct {
		MediaType     string          `json:"mediaType"`
		SchemaVersion int             `json:"schemaVersion"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
	}
	switch {
	case doc == nil || json.Unmarshal(doc, &d) != nil:
		return ""
	case d.MediaType != "":
		return d.MediaType
	case d.SchemaVersion == 1:
		return typeSchema1
	case d.Manifests != nil:
		return typeIndex
	case d.Config != nil:
		return Accepted[0]
	}
	return ""
}

// Blob returns the bytes of a blob from offset on. size is how many it has in
// all, as its descriptor says; -1 is not known, and then the registry has to
// say it. What breaks off or stalls is fetched on from where it was; a wrong
// length fails with Invalid. The digest is for the reader to check.
func (p *Repository) Blob(ctx context.Context, d gantry.Digest, offset, size int64) (*Body, error) {
	if p.err != nil {
		return nil, p.err
	}
	held, err := p.r.o.Limits.acquire(ctx, p.r.host)
	if err != nil {
		return nil, err
	}
	b := &Body{ctx: ctx, p: p, digest: d, Size: size, pos: offset, slot: held, left: maxResumes}
	if err := b.open(); err != nil {
		held.release()
		return nil, err
	}
	return b, nil
}

// maxResumes is how often a blob's stream is taken up again after it brought
// nothing new.
const maxResumes = 5

// progress is what a stream has to bring for maxResumes to start anew.
const progress = 1 << 20

// Body is a blob's stream.
type Body struct {
	Size int64 // of the whole blob

	ctx    context.Context //nolint:containedctx // of the whole stream, which asks again by itself
	p      *Repository
	digest gantry.Digest
	pos    int64
	mark   int64 // pos when left was full
	left   int
	slot   *slot
	body   io.ReadCloser
	err    error
}

// open asks for the bytes from pos on.
func (b *Body) open() error {
	h := http.Header{"Accept": {"*/*"}}
	if b.pos > 0 {
		h.Set("Range", "bytes="+strconv.FormatInt(b.pos, 10)+"-")
	}
	res, err := b.p.r.do(b.ctx, call{method: http.MethodGet, path: "/v2/" + b.p.name + "/blobs/" + string(b.digest), header: h, scope: b.p.scope(), slot: b.slot})
	if err != nil {
		return err
	}
	skip := int64(0)
	total := res.ContentLength
	switch res.StatusCode {
	case http.StatusOK:
		skip = b.pos // it does not do ranges
	case http.StatusPartialContent:
		var start int64
		start, total = contentRange(res.Header.Get("Content-Range"))
		if start != b.pos {
			_ = res.Body.Close() // not what was asked for
			return b.wrong("sent another part of blob %s than was asked for", b.digest)
		}
	default:
		_ = res.Body.Close() // nothing in it
		return b.wrong("answered %d where blob %s should be", res.StatusCode, b.digest)
	}
	switch {
	case b.Size < 0:
		if total < 0 {
			_ = res.Body.Close() // of no known end
			return b.wrong("does not say how long blob %s is", b.digest)
		}
		b.Size = total
	case total >= 0 && total != b.Size:
		_ = res.Body.Close() // not the blob
		return b.wrong("has %d bytes for blob %s, which should have %d", total, b.digest, b.Size)
	}
	b.body = res.Body
	if skip > 0 {
		if _, err := io.CopyN(io.Discard, b.body, skip); err != nil {
			_ = b.body.Close() // it broke
			b.body = nil
			return classify(b.p.r.host, err)
		}
	}
	return nil
}

func (b *Body) wrong(format string, args ...any) error {
	return &Error{Kind: Invalid, Host: b.p.r.host, Text: b.p.String() + " " + fmt.Sprintf(format, args...)}
}

// contentRange reads "bytes 5-9/10"; -1 is what cannot be read, or "*".
func contentRange(s string) (start, total int64) {
	s, ok := strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(s, "/")
	first, _, ok3 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil || start < 0 {
		return -1, -1
	}
	total, err = strconv.ParseInt(size, 10, 64)
	if err != nil || total < 0 {
		total = -1
	}
	return start, total
}

// Read reads on. Its errors are an *Error or the context's, and final.
func (b *Body) Read(q []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(q)
	if err != nil {
		b.err = err
	}
	return n, err
}

func (b *Body) read(q []byte) (int, error) {
	for {
		if b.body == nil {
			if err := b.open(); err != nil {
				if b.ctx.Err() != nil {
					return 0, context.Cause(b.ctx)
				}
				if e, ok := errors.AsType[*Error](err); !ok || !e.again || b.left <= 0 {
					return 0, err
				}
				if err := b.again(); err != nil {
					return 0, err
				}
				continue
			}
		}
		if b.pos >= b.Size {
			// One byte more than there should be is a wrong length.
			var one [1]byte
			if n, _ := b.body.Read(one[:]); n > 0 {
				return 0, b.wrong("sends more than the %d bytes that blob %s should have", b.Size, b.digest)
			}
			return 0, io.EOF
		}
		if int64(len(q)) > b.Size-b.pos {
			q = q[:b.Size-b.pos]
		}
		n, err := b.body.Read(q)
		b.pos += int64(n)
		if n > 0 && b.p.r.o.Metrics.Bytes != nil {
			b.p.r.o.Metrics.Bytes(n)
		}
		if b.pos-b.mark >= progress {
			b.mark, b.left = b.pos, maxResumes
		}
		if err != nil && b.pos < b.Size {
			if b.ctx.Err() != nil {
				return n, context.Cause(b.ctx)
			}
			_ = b.body.Close() // it broke
			b.body = nil
			if b.left <= 0 {
				e := classify(b.p.r.host, err)
				e.Text = fmt.Sprintf("%s broke off at byte %d of %d of blob %s, again and again", b.p, b.pos, b.Size, b.digest)
				return n, e
			}
			if err := b.again(); err != nil {
				return n, err
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// again waits before a stream is taken up again.
func (b *Body) again() error {
	b.left--
	return sleep(b.ctx, b.p.r.o.Backoff<<(maxResumes-1-b.left))
}

// Close ends the stream.
func (b *Body) Close() error {
	var err error
	if b.body != nil {
		err = b.body.Close()
		b.body = nil
	}
	if b.err == nil {
		b.err = errors.New("the stream is closed")
	}
	b.slot.release()
	return err
}

// Referrers lists the manifests whose subject is d: by the registry's own
// list, or else by the tag that clients keep where there is none. No referrers
// is an empty list.
func (p *Repository) Referrers(ctx context.Context, d gantry.Digest) ([]Descriptor, error) {
	all, listed, err := p.ListedReferrers(ctx, d)
	if err != nil || listed {
		return all, err
	}
	ctx, cancel := context.WithTimeout(ctx, smallCall)
	defer cancel()
	return p.taggedReferrers(ctx, d)
}

// ListedReferrers is Referrers by the registry's own list alone; listed is
// false where it has none.
func (p *Repository) ListedReferrers(ctx context.Context, d gantry.Digest) (all []Descriptor, listed bool, err error) {
	if p.err != nil {
		return nil, false, p.err
	}
	ctx, cancel := context.WithTimeout(ctx, smallCall)
	defer cancel()
	query := url.Values{}
	for range maxPages {
		page, next, err := p.referrers(ctx, d, query)
		if e, ok := errors.AsType[*Error](err); ok && len(all) == 0 && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusBadRequest || e.Status == http.StatusNotImplemented) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if all = append(all, page...); len(all) > maxReferrers {
			break
		}
		if next == nil {
			return all, true, nil
		}
		query = next
	}
	return nil, false, &Error{Kind: Invalid, Host: p.r.host, Text: fmt.Sprintf("%s has more than %d referrers of %s, which are not taken", p, maxReferrers, d)}
}

// referrers reads one page of the registry's list.
func (p *Repository) referrers(ctx context.Context, d gantry.Digest, query url.Values) (page []Descriptor, next url.Values, err error) {
	res, err := p.r.do(ctx, call{method: http.MethodGet, path: "/v2/" + p.name + "/referrers/" + string(d), query: query, header: http.Header{"Accept": {typeIndex}}, scope: p.scope()})
	if err != nil {
		return nil, nil, err
	}
	defer drop(res)
	b, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
	switch {
	case err != nil:
		return nil, nil, p.r.broken(ctx, err)
	case len(b) > maxManifest:
		return nil, nil, p.tooLarge()
	}
	if page, err = parseIndex(b); err != nil {
		return nil, nil, &Error{Kind: Invalid, Host: p.r.host, Text: p.String() + " sent a list of referrers that is no index", Err: err}
	}
	if link := nextLink(res.Header.Values("Link")); link != "" {
		u, err := url.Parse(link)
		if err != nil || u.RawQuery == "" || u.RawQuery == query.Encode() {
			return nil, nil, &Error{Kind: Invalid, Host: p.r.host, Text: p.String() + " sent a link to the next page that leads nowhere"}
		}
		next = u.Query()
	}
	return page, next, nil
}

// taggedReferrers reads the index that clients keep under a tag.
func (p *Repository) taggedReferrers(ctx context.Context, d gantry.Digest) ([]Descriptor, error) {
	m, err := p.Manifest(ctx, gantry.Reference{Tag: d.Algorithm() + "-" + d.Hex()}, typeIndex)
	switch KindOf(err) {
	case NotFound:
		return nil, nil
	case "":
	default:
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if m.MediaType != typeIndex {
		return nil, nil // a tag of that name that is something else
	}
	list, err := parseIndex(m.Bytes)
	if err != nil {
		return nil, &Error{Kind: Invalid, Host: p.r.host, Text: p.String() + " has a list of referrers that is no index", Err: err}
	}
	return list, nil
}

// parseIndex reads the descriptors of an index. Those without a digest that is
// known here are left out.
func parseIndex(b []byte) ([]Descriptor, error) {
	var doc struct {
		Manifests []Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	out := doc.Manifests[:0]
	for _, d := range doc.Manifests {
		if n, err := gantry.ParseDigest(string(d.Digest)); err == nil && d.Size >= 0 && d.Size <= maxManifest {
			d.Digest = n
			out = append(out, d)
		}
	}
	return out, nil
}
