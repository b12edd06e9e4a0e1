package registry

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gantry-registry/gantry/internal/bus"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
)

var errNoUpload = &gantry.Error{Code: gantry.NotFound, Object: "upload"}

// startUpload answers POST /v2/<name>/blobs/uploads/: mounts a blob from
// another repository (mount, from), takes one whole (digest), or begins an
// upload.
func (c *call) startUpload() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	if q.Get("mount") != "" {
		if d, err := gantry.ParseDigest(q.Get("mount")); err == nil {
			ok, err := c.mount(d, q)
			if err != nil {
				return err
			}
			if ok {
				return c.created(d)
			}
		}
	}
	if q.Get("digest") != "" {
		return c.pushWhole(q.Get("digest"))
	}
	algorithm := q.Get("digest-algorithm")
	if algorithm != "" && gantry.NewHash(algorithm) == nil {
		return gantry.Errorf(gantry.Invalid, "digest", "the digest algorithm is not supported; use sha256 or sha512")
	}
	up, err := c.s.content.StartUpload(c.r.Context(), c.repo.ID, algorithm, c.actor())
	if err != nil {
		return err
	}
	c.uploadHeaders(up)
	c.empty(http.StatusAccepted)
	return nil
}

// mount links d into the repository from one that the caller may read: the
// one that "from" names, or any that the token was given for or that is
// public. False means that the client has to upload it.
func (c *call) mount(d gantry.Digest, q url.Values) (bool, error) {
	ctx := c.r.Context()
	from, named := q["from"]
	if !named {
		ok, err := c.s.content.Mount(ctx, c.repo.ID, d, c.grants.Readable(), true, c.actor())
		return ok, mountError(err)
	}
	name, err := c.set.Names.ParseRepoName(from[0])
	if err != nil {
		return false, nil // whatever is wrong with the source, the client may upload
	}
	id, role := c.grants.Repo(name)
	if role < gantry.Read || id == 0 {
		repo, err := c.s.content.Repository(ctx, name)
		if err != nil || !repo.NamespaceEnabled || roleWithoutGrant(repo, true, c.grants, c.set.NoAnonymous) < gantry.Read {
			return false, mountError(err)
		}
		id = repo.ID
	}
	ok, err := c.s.content.Mount(ctx, c.repo.ID, d, []gantry.RepoID{id}, false, c.actor())
	return ok, mountError(err)
}

// mountError drops what only says that there is nothing to mount.
func mountError(err error) error {
	if gantry.Is(err, gantry.NotFound) || gantry.Is(err, gantry.Denied) && gantry.ReasonOf(err) == "" {
		return nil
	}
	return err
}

// pushWhole takes a blob in one request.
func (c *call) pushWhole(digest string) error {
	d, err := gantry.ParseDigest(digest)
	if err != nil {
		return err
	}
	defer c.receiving(digest, 0, c.r.ContentLength)()
	if _, err := c.s.content.Push(c.r.Context(), c.repo.ID, c.r.ContentLength, &c.body, d, c.actor()); err != nil {
		return c.tooLarge(err, 0)
	}
	return c.created(d)
}

// created answers 201 for a blob.
func (c *call) created(d gantry.Digest) error {
	h := c.w.Header()
	h["Location"] = []string{c.url("/v2/" + c.name.String() + "/blobs/" + string(d))}
	h["Docker-Content-Digest"] = []string{string(d)}
	c.empty(http.StatusCreated)
	return nil
}

// An Incoming is how far a request is that brings bytes of a blob.
type Incoming struct {
	Repo   gantry.RepoID
	Upload string  // names it here; a client may know it as the upload's UUID, so it is for nobody else's eyes
	Done   int64   // bytes of the blob that are here, as far as this request knows
	Total  int64   // of the blob, as far as this request knows; 0 = not known
	Rate   float64 // bytes a second; 0 = not known yet
	Ended  bool    // the request is over
}

// incomingEvery is how often an Incoming is told.
const incomingEvery = 500 * time.Millisecond

// receiving counts the request as an active upload until the function that it
// returns is called, which also counts the bytes. A chunk of length bytes (-1:
// not known) begins at offset (-1: not known) of what name names.
func (c *call) receiving(name string, offset, length int64) (done func()) {
	active := c.s.metrics.Upload()
	told := func() {}
	if c.s.incoming != nil {
		told = c.tellIncoming(name, max(offset, 0), max(length, 0))
	}
	return func() {
		active()
		told()
		c.s.metrics.Pushed(c.body.n)
	}
}

// tellIncoming has the body tell how much of it came; the function that it
// returns tells that it is over.
func (c *call) tellIncoming(name string, offset, length int64) (ended func()) {
	in := Incoming{Repo: c.repo.ID, Upload: name}
	if length > 0 {
		in.Total = offset + length
	}
	var pace bus.Pace
	last := time.Now()
	pace.Note(last, 0)
	told := false
	c.body.came = func() {
		now := time.Now()
		if now.Sub(last) < incomingEvery {
			return
		}
		last, told = now, true
		in.Done, in.Rate = offset+c.body.n, pace.Note(now, c.body.n)
		c.s.incoming(c.r.Context(), in)
	}
	return func() {
		c.body.came = nil
		if told {
			in.Done, in.Ended = offset+c.body.n, true
			c.s.incoming(c.r.Context(), in)
		}
	}
}

// uuid checks the last element of an upload's URL. Anything that we did not
// make is no upload.
func (c *call) uuid() (string, error) {
	s := c.route.ref
	if len(s) > 64 {
		return "", errNoUpload
	}
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-':
		default:
			return "", errNoUpload
		}
	}
	return s, nil
}

// uploadHeaders say where an upload goes on and how much is here.
func (c *call) uploadHeaders(up content.UploadStatus) {
	h := c.w.Header()
	h["Location"] = []string{c.url("/v2/" + c.name.String() + "/blobs/uploads/" + up.UUID)}
	h["Docker-Upload-Uuid"] = []string{up.UUID}
	h["Range"] = headerFirstByte
	if up.Received > 1 {
		h["Range"] = []string{"0-" + itoa(up.Received-1)}
	}
}

// getUpload answers GET /v2/<name>/blobs/uploads/<uuid>.
func (c *call) getUpload() error {
	uuid, err := c.uuid()
	if err != nil {
		return err
	}
	up, err := c.s.content.Upload(c.r.Context(), c.repo.ID, uuid)
	if err != nil {
		return err
	}
	c.uploadHeaders(up)
	c.empty(http.StatusNoContent)
	return nil
}

// A chunk is the body of PATCH or PUT: where it starts (-1: at the end of what
// is here) and how long it is (-1: not known).
type chunk struct {
	offset, length int64
	body           io.Reader
}

// chunk reads what the headers say of the body.
func (c *call) chunk() (chunk, error) {
	ch := chunk{offset: -1, length: c.r.ContentLength, body: &c.body}
	values := c.r.Header["Content-Range"]
	if len(values) == 0 || values[0] == "" {
		return ch, nil
	}
	start, length, ok := parseContentRange(values[0])
	if !ok || len(values) > 1 {
		return ch, gantry.Errorf(gantry.Invalid, "", "the Content-Range header must be of the form <first byte>-<last byte>, both included")
	}
	ch.offset = start
	switch {
	case c.r.ContentLength < 0:
		ch.length = length
		c.body.r = &exactReader{r: c.body.r, left: length}
	case c.r.ContentLength != length:
		return ch, gantry.Errorf(gantry.Invalid, "size", "Content-Range says %d bytes, Content-Length %d; they must be the same", length, c.r.ContentLength)
	}
	return ch, nil
}

// patchUpload answers PATCH /v2/<name>/blobs/uploads/<uuid>.
func (c *call) patchUpload() error {
	uuid, err := c.uuid()
	if err != nil {
		return err
	}
	ch, err := c.chunk()
	if err != nil {
		return err
	}
	defer c.receiving(uuid, ch.offset, ch.length)()
	up, err := c.s.content.Append(c.r.Context(), c.repo.ID, uuid, ch.offset, ch.length, ch.body)
	if err != nil {
		return c.uploadFailed(uuid, err)
	}
	c.uploadHeaders(up)
	c.empty(http.StatusAccepted)
	return nil
}

// finishUpload answers PUT /v2/<name>/blobs/uploads/<uuid>?digest=<digest>.
func (c *call) finishUpload() error {
	uuid, err := c.uuid()
	if err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	if q.Get("digest") == "" {
		return gantry.Errorf(gantry.Invalid, "digest", "the digest parameter is missing; name the digest of the whole blob in the URL")
	}
	want, err := gantry.ParseDigest(q.Get("digest"))
	if err != nil {
		return err
	}
	ch, err := c.chunk()
	if err != nil {
		return err
	}
	defer c.receiving(uuid, ch.offset, ch.length)()
	b, err := c.s.content.Finish(c.r.Context(), c.repo.ID, uuid, ch.offset, ch.length, ch.body, want, c.actor())
	if err != nil {
		return c.uploadFailed(uuid, err)
	}
	return c.created(b.Digest)
}

// uploadFailed says, of a chunk at the wrong place, which place is right, and
// of too large a blob, how large it may be.
func (c *call) uploadFailed(uuid string, err error) error {
	switch {
	case gantry.Is(err, gantry.Range):
		up, e := c.s.content.Upload(c.r.Context(), c.repo.ID, uuid)
		if e != nil {
			return e
		}
		c.uploadHeaders(up)
	case gantry.Is(err, gantry.TooLarge):
		before := int64(0)
		if up, e := c.s.content.Upload(c.r.Context(), c.repo.ID, uuid); e == nil {
			before = up.Received
		}
		return c.tooLarge(err, before)
	}
	return err
}

// tooLarge adds the figures to an error of size.
func (c *call) tooLarge(err error, before int64) error {
	if e, ok := errors.AsType[*gantry.Error](err); !ok || e.Code != gantry.TooLarge {
		return err
	}
	_, reason := answerFor(err)
	return &explained{err, map[string]any{
		"reason": reason, "max_allowed": c.s.content.Limits().Blob, "uploaded": max(before, c.body.n),
	}}
}

// cancelUpload answers DELETE /v2/<name>/blobs/uploads/<uuid>.
func (c *call) cancelUpload() error {
	uuid, err := c.uuid()
	if err != nil {
		return err
	}
	if err := c.s.content.Cancel(c.r.Context(), c.repo.ID, uuid); err != nil {
		return err
	}
	c.empty(http.StatusNoContent)
	return nil
}

var errLongBody = errors.New("the body is longer than its Content-Range says")

// exactReader fails when r has more than left bytes.
type exactReader struct {
	r    io.Reader
	left int64
}

// Read reads from r.
func (e *exactReader) Read(p []byte) (int, error) {
	if e.left > 0 {
		n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
		e.left -= int64(n)
		return n, err
	}
	var one [1]byte
	for {
		n, err := e.r.Read(one[:])
		if n > 0 {
			return 0, errLongBody
		}
		if err != nil {
			return 0, err
		}
	}
}
