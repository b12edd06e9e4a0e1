package registry

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// blobOf finds the blob that the URL names.
func (c *call) blobOf() (content.Blob, error) {
	d, err := gantry.ParseDigest(c.route.ref)
	if err != nil {
		return content.Blob{}, err
	}
	return c.s.content.Blob(c.r.Context(), c.repo.ID, d)
}

// blobHeaders are those that GET and HEAD share; it returns the ETag.
func (c *call) blobHeaders(b content.Blob) string {
	h := c.w.Header()
	values := make([]string, 2)
	values[0] = string(b.Digest)
	values[1] = `"` + string(b.Digest) + `"`
	h["Docker-Content-Digest"] = values[0:1:1]
	h["Etag"] = values[1:2:2]
	h["Accept-Ranges"] = headerBytes
	h["Cache-Control"] = headerBlobCache
	return values[1]
}

// headBlob answers HEAD /v2/<name>/blobs/<digest>. Whoever may push and asks
// whether a blob is there is about to name it in a manifest: its lease is
// renewed.
func (c *call) headBlob() error {
	b, err := c.blobOf()
	if err != nil {
		return err
	}
	if c.role >= gantry.Write && !c.set.ReadOnly {
		ctx := c.r.Context()
		err := c.s.content.Renew(ctx, c.repo.ID, b.Digest)
		switch {
		case err == nil:
		case gantry.Is(err, gantry.NotFound): // gone in this moment
			return err
		default: // the blob is there; a manifest that comes too late is told so
			c.s.log.WarnContext(ctx, "the lease of a blob was not renewed", "digest", b.Digest.String(), "error", err)
		}
	}
	etag := c.blobHeaders(b)
	if v := c.r.Header["If-None-Match"]; len(v) > 0 && etagMatches(v[0], etag) {
		c.send(http.StatusNotModified)
		return nil
	}
	h := c.w.Header()
	h["Content-Type"] = headerOctets
	h["Content-Length"] = []string{itoa(b.Size)}
	c.send(http.StatusOK)
	return nil
}

// damagedRetry is when to ask again for a blob whose bytes are damaged: they
// are looked at again, and repaired, about as often.
const damagedRetry = time.Minute

// damaged has a client that pulls told that the fault is ours, and may pass: a
// storage that gives wrong bytes may be repaired. HEAD says 404, so that a push
// brings the bytes again.
func damaged(err error) error {
	e, ok := errors.AsType[*gantry.Error](err)
	if !ok || e.Reason != gantry.Damaged {
		return err
	}
	return &gantry.Error{Code: gantry.Unavailable, Object: "storage", Retry: damagedRetry, Detail: e.Detail, Err: err}
}

// getBlob answers GET /v2/<name>/blobs/<digest>: with a URL where the storage
// hands out the bytes itself, else with the bytes.
func (c *call) getBlob() error {
	b, err := c.blobOf()
	if err != nil {
		return damaged(err)
	}
	ctx := c.r.Context()
	etag := c.blobHeaders(b)
	if v := c.r.Header["If-None-Match"]; len(v) > 0 && etagMatches(v[0], etag) {
		c.send(http.StatusNotModified)
		return nil
	}
	url, err := c.s.content.BlobURL(ctx, b, c.urlOptions())
	if err != nil {
		return err
	}
	if url != "" {
		h := c.w.Header()
		delete(h, "Etag") // of the bytes, not of the redirect
		delete(h, "Accept-Ranges")
		h["Cache-Control"] = headerNoStore // the URL ends before long
		h["Location"] = []string{url}
		c.s.metrics.Pulled("v2", b.Size)
		c.empty(http.StatusFound)
		return nil
	}
	src, err := c.s.content.Open(ctx, b)
	if err != nil {
		return damaged(err)
	}
	defer func() { _ = src.Close() }() // nothing was written
	return c.sendBlob(src, b, etag)
}

// urlOptions are for the URL of a blob that the client fetches itself.
func (c *call) urlOptions() blob.URLOptions {
	host := c.r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	o := blob.URLOptions{Method: http.MethodGet, Client: c.info.IP, Host: host, Namespace: c.name.Namespace, Repository: c.name.Name}
	if c.grants != nil {
		o.User = c.grants.Actor.Name
	}
	return o
}

// sendBlob sends the whole of src or the ranges that were asked for.
func (c *call) sendBlob(src io.ReadSeeker, b content.Blob, etag string) error {
	h := c.w.Header()
	h["Content-Type"] = headerOctets
	var ranges []byteRange
	what := rangeNone
	if v := c.r.Header["Range"]; len(v) == 1 {
		if ir := c.r.Header["If-Range"]; len(ir) == 0 || ir[0] == etag { // a date never fits: blobs have none
			ranges, what = parseRanges(v[0], b.Size)
		}
	}
	switch {
	case what == rangeWrong:
		h["Content-Range"] = []string{"bytes */" + itoa(b.Size)}
		return c.rangeFailed()
	case what == rangeNone:
		h["Content-Length"] = []string{itoa(b.Size)}
		c.send(http.StatusOK)
		return c.sendPiece(src, byteRange{0, b.Size})
	case len(ranges) == 1:
		h["Content-Range"] = []string{ranges[0].header(b.Size)}
		h["Content-Length"] = []string{itoa(ranges[0].length)}
		c.send(http.StatusPartialContent)
		return c.sendPiece(src, ranges[0])
	}
	boundary, heads, tail, length := partHeads(ranges, b.Size)
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + boundary}
	h["Content-Length"] = []string{itoa(length)}
	c.send(http.StatusPartialContent)
	for i, r := range ranges {
		if _, err := io.WriteString(c.w, heads[i]); err != nil {
			return nil // the client left
		}
		if err := c.sendPiece(src, r); err != nil {
			return err
		}
	}
	_, _ = io.WriteString(c.w, tail) // the client left
	return nil
}

// rangeFailed answers 416 with the error document, keeping Content-Range,
// which fail would take away.
func (c *call) rangeFailed() error {
	h := c.w.Header()
	for _, k := range [...]string{"Etag", "Cache-Control"} {
		delete(h, k)
	}
	h["Content-Type"] = headerJSON
	body := errorBody(codeInvalidRequest, "no part of the range is within the blob; Content-Range has its size", nil, false)
	c.sendBody(http.StatusRequestedRangeNotSatisfiable, body)
	return nil
}

// sendPiece sends one range of src: by sendfile if src is a local file. The
// status line is out; when the bytes cannot be read, the error makes fail
// break the connection off.
func (c *call) sendPiece(src io.ReadSeeker, r byteRange) error {
	if c.r.Method == http.MethodHead || r.length == 0 {
		return nil
	}
	c.started = true
	if _, err := src.Seek(r.start, io.SeekStart); err != nil {
		return fmt.Errorf("seek in blob: %w", err)
	}
	reader := &sourceReader{r: src}
	var from io.Reader = reader
	if f, ok := src.(blob.Filer); ok {
		from = f.File()
	}
	n, err := io.CopyN(c.w, from, r.length)
	c.s.metrics.Pulled("v2", n)
	if err == nil || reader.err == nil && !errors.Is(err, io.EOF) {
		return nil // or the client takes no more: net/http closes the connection
	}
	return fmt.Errorf("send blob: %d of %d bytes: %w", n, r.length, err)
}

// sourceReader remembers why reading failed, to tell it from failed writing.
type sourceReader struct {
	r   io.Reader
	err error
}

// Read reads from the source.
func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// deleteBlob answers DELETE /v2/<name>/blobs/<digest>.
func (c *call) deleteBlob() error {
	d, err := gantry.ParseDigest(c.route.ref)
	if err != nil {
		return err
	}
	if err := c.s.content.DeleteBlob(c.r.Context(), c.repo.ID, d, c.actor()); err != nil {
		return err
	}
	c.empty(http.StatusAccepted)
	return nil
}
