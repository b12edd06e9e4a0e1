package swift

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ncw/swift/v2"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/wire"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// What an upload consists of are segments below segments/<uuid>/. Each Upload,
// in whatever process, draws a uuid of its own, so a slow process overwrites
// nothing and adds nothing to what another goes on with. A state lists the
// runs of segments; when there are many, a manifest of its own holds the older
// ones, and stands in the list as one segment: Swift resolves such manifests.

const (
	// segments is where segments are, below storage_path; List does not show it.
	segments = "segments/"
	// mostSegments is how many entries a manifest has at most: Swift's default.
	mostSegments = 1000
	// mostRuns is how many runs a state lists at most, and mostOpen how many of
	// them are no manifest; so an upload can have some 40,000 chunks.
	mostRuns = 400
	mostOpen = 200
)

// segmentSize returns the least and the most bytes of segment n of an Upload.
func segmentSize(n int) (least, most int64) {
	if n < 200 {
		return 1 << 20, 16 << 20
	}
	return 8 << 20, 32 << 20
}

// A run is segments of one Upload, in order.
type run struct {
	ID    string `json:"u"`           // uuid
	First int    `json:"f,omitempty"` // number of the first
	Count int    `json:"n"`
	Whole bool   `json:"m,omitempty"` // a manifest of older segments; Count is 1
}

// A state is what goes on from a Sync.
type state struct {
	Runs   []run `json:"r,omitempty"`
	Offset int64 `json:"o"`           // bytes in them
	Last   int64 `json:"l,omitempty"` // bytes of the last segment
	There  bool  `json:"t,omitempty"` // the upload replaces an object
}

func parseState(b []byte) (s state, err error) {
	if len(b) > 64<<10 {
		return s, errors.New("the state is too long")
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, errors.New("the state cannot be read")
	}
	if s.Offset < 0 || s.Last < 0 || s.Last > s.Offset || len(s.Runs) > mostRuns || (len(s.Runs) == 0) != (s.Offset == 0) {
		return s, errors.New("the state contradicts itself")
	}
	for _, r := range s.Runs {
		if id, err := uuid.Parse(r.ID); err != nil || id.String() != r.ID || r.First < 0 || r.Count < 1 || r.First > 1e9-1 || r.Count > 1e6 {
			return s, errors.New("the state names no segments")
		}
	}
	return s, nil
}

// A segment is an entry of a manifest.
type segment struct {
	object string // below the container
	nested bool   // a manifest itself
}

// object is where a segment is.
func (e *Engine) object(id string, n int) string {
	return fmt.Sprintf("%s%s%s/%09d", e.base, segments, id, n)
}

// list returns the segments of runs.
func (e *Engine) list(runs []run) []segment {
	var all []segment
	for _, r := range runs {
		for n := r.First; n < r.First+r.Count; n++ {
			all = append(all, segment{object: e.object(r.ID, n)})
		}
	}
	return all
}

// Upload implements blob.Engine.
func (e *Engine) Upload(ctx context.Context, key string, offset int64, b []byte) (blob.Upload, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	u := &upload{e: e, key: key, id: uuid.NewString()}
	if offset == 0 && len(b) == 0 {
		switch _, err := e.head(ctx, e.base+key); {
		case err == nil:
			u.from.There = true
		case !gantry.Is(err, gantry.NotFound):
			return nil, err
		}
	} else {
		var err error
		if u.from, err = e.resumable(ctx, offset, b); err != nil {
			return nil, err
		}
	}
	u.parts = e.o.Memory.NewWriter(ctx, wire.Plan{Store: u.store, Size: segmentSize})
	return u, nil
}

// resumable reads a state, and looks whether its last segment is there; that
// the others are is seen by Complete.
func (e *Engine) resumable(ctx context.Context, offset int64, b []byte) (state, error) {
	s, err := parseState(b)
	if err == nil && s.Offset != offset {
		err = fmt.Errorf("the state is for byte %d", s.Offset)
	}
	if err != nil {
		return s, blob.NoUpload(err)
	}
	if len(s.Runs) == 0 {
		return s, nil
	}
	last := s.Runs[len(s.Runs)-1]
	h, err := e.head(ctx, e.object(last.ID, last.First+last.Count-1))
	if gantry.Is(err, gantry.NotFound) || err == nil && h.size != s.Last {
		return s, blob.NoUpload(cmp.Or(err, errors.New("its last segment has another size")))
	}
	return s, err
}

// An upload stores segments and writes their manifest.
type upload struct {
	e     *Engine
	key   string
	id    string
	from  state // what it goes on from
	parts *wire.Writer
	size  int64 // bytes written by this Upload
}

func (u *upload) store(ctx context.Context, n int, body *wire.Body) error {
	return u.e.put(ctx, u.e.object(u.id, n), u.key, body)
}

// put stores a segment; key says whose upload it belongs to.
func (e *Engine) put(ctx context.Context, object, key string, body *wire.Body) error {
	_, err := e.do(ctx, request{
		method: http.MethodPut, object: object, body: body, size: body.Size(), each: partTime,
		header: swift.Headers{keyHeader: url.QueryEscape(key), "Content-Type": "application/octet-stream"},
	})
	return e.failed("store a segment", err)
}

// Interrupt implements blob.Interrupter.
func (u *upload) Interrupt() { u.parts.Interrupt() }

// Write implements blob.Upload.
func (u *upload) Write(p []byte) (int, error) {
	n, err := u.parts.Write(p)
	u.size += int64(n)
	return n, err
}

// Sync implements blob.Upload.
func (u *upload) Sync(ctx context.Context) ([]byte, error) {
	if err := u.parts.Flush(ctx); err != nil {
		return nil, err
	}
	s, err := u.now(ctx)
	if err == nil && unfolded(s.Runs) > cmp.Or(u.e.o.perState, mostOpen) {
		if err = u.e.fold(ctx, u.key, &s); err == nil {
			u.from, u.size = s, 0
			u.restart(ctx)
		}
	}
	if err != nil {
		u.parts.Fail(err)
		return nil, err
	}
	return json.Marshal(s)
}

// restart begins a new run, after what was folded.
func (u *upload) restart(ctx context.Context) {
	u.parts.Close()
	u.id = uuid.NewString()
	u.parts = u.e.o.Memory.NewWriter(ctx, wire.Plan{Store: u.store, Size: segmentSize})
}

// now is the state after all that was flushed.
func (u *upload) now(ctx context.Context) (state, error) {
	s := u.from
	n := u.parts.Next()
	if n == 0 {
		return s, nil
	}
	s.Runs = append(s.Runs[:len(s.Runs):len(s.Runs)], run{ID: u.id, Count: n})
	s.Offset += u.size
	h, err := u.e.head(ctx, u.e.object(u.id, n-1))
	s.Last = h.size
	return s, err
}

// unfolded counts the runs that are no manifest; they are the last ones.
func unfolded(runs []run) (n int) {
	for _, r := range runs {
		if !r.Whole {
			n++
		}
	}
	return n
}

// fold puts a manifest in the place of the state's runs that are none.
func (e *Engine) fold(ctx context.Context, key string, s *state) error {
	older := s.Runs[:len(s.Runs)-unfolded(s.Runs)]
	if len(older) > mostRuns-mostOpen-2 {
		return gantry.Errorf(gantry.TooLarge, "blob", "the storage cannot hold an upload of so many chunks; push it in larger ones, or in one request")
	}
	all, err := e.nest(ctx, key, e.list(s.Runs[len(older):]))
	if err != nil {
		return err
	}
	id := uuid.NewString()
	if err := e.putManifest(ctx, e.object(id, 0), all, swift.Headers{keyHeader: url.QueryEscape(key)}); err != nil {
		return e.failed("store a manifest", err)
	}
	h, err := e.head(ctx, e.object(id, 0))
	s.Runs, s.Last = append(slices.Clone(older), run{ID: id, Count: 1, Whole: true}), h.size
	return err
}

// nest replaces segments by manifests of them until one manifest can hold all.
func (e *Engine) nest(ctx context.Context, key string, all []segment) ([]segment, error) {
	most := cmp.Or(e.o.perManifest, mostSegments)
	for len(all) > most {
		id := uuid.NewString()
		var above []segment
		for n := 0; len(all) > 0; n++ {
			few := all[:min(len(all), most)]
			all = all[len(few):]
			if len(few) == 1 { // a manifest of one is not worth it
				above = append(above, few...)
				continue
			}
			object := e.object(id, n)
			if err := e.putManifest(ctx, object, few, swift.Headers{keyHeader: url.QueryEscape(key)}); err != nil {
				return nil, err
			}
			above = append(above, segment{object: object, nested: true})
		}
		all = above
	}
	return all, nil
}

// putManifest makes a static large object of segments, all of which have to be
// there.
func (e *Engine) putManifest(ctx context.Context, object string, all []segment, header swift.Headers) error {
	type item struct {
		Path string `json:"path"`
	}
	list := make([]item, len(all))
	for i, s := range all {
		list[i].Path = "/" + e.o.Container + "/" + s.object
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	header["Content-Type"] = "application/octet-stream"
	_, err = e.do(ctx, request{
		method: http.MethodPut, object: object, query: url.Values{"multipart-manifest": {"put"}}, header: header,
		body: bytes.NewReader(text), size: int64(len(text)), each: partTime,
	})
	return err
}

// Complete implements blob.Upload. Where there was no object when the upload
// began and there is one now, it fails: another upload of the key was
// completed meanwhile. The segments of an object that is replaced go.
func (u *upload) Complete(ctx context.Context) error {
	err := u.complete(ctx)
	u.parts.Fail(cmp.Or(err, errEnded))
	return err
}

// errEnded is what an upload answers after Complete.
var errEnded = errors.New("the upload has ended")

func (u *upload) complete(ctx context.Context) error {
	var body *wire.Body
	if len(u.from.Runs) == 0 {
		var err error
		if body, _, err = u.parts.Whole(); err != nil {
			return err
		}
	}
	if body == nil {
		if err := u.parts.Flush(ctx); err != nil {
			return err
		}
	} else if ctx.Err() != nil {
		return ctx.Err()
	}
	object, header := u.e.base+u.key, swift.Headers{uploadHeader: u.id, "Content-Type": "application/octet-stream"}
	var old []segment
	if u.from.There {
		if h, err := u.e.head(ctx, object); err == nil && h.large {
			if old, err = u.e.manifest(ctx, object); err != nil && !gantry.Is(err, gantry.NotFound) {
				return err
			}
		}
	} else {
		header["If-None-Match"] = "*"
	}
	var err error
	size := u.from.Offset + u.size
	if body != nil { // all of it in one request
		_, err = u.e.do(ctx, request{method: http.MethodPut, object: object, header: header, body: body, size: body.Size(), each: partTime})
	} else {
		all := u.e.list(append(u.from.Runs[:len(u.from.Runs):len(u.from.Runs)], run{ID: u.id, Count: u.parts.Next()}))
		if all, err = u.e.nest(ctx, u.key, all); err == nil {
			err = u.e.putManifest(ctx, object, all, header)
		}
	}
	if err != nil && !isStatus(err, http.StatusPreconditionFailed) {
		return u.e.failed("complete an upload", err)
	}
	// The answer of a request that was repeated may be the other one's; and a
	// segment of another size than it was shows here.
	h, statErr := u.e.head(ctx, object)
	switch {
	case statErr != nil:
		return cmp.Or(u.e.failed("complete an upload", err), statErr)
	case h.upload != u.id:
		return fmt.Errorf("complete an upload: another one of %s was completed meanwhile", path.Base(u.key))
	case h.size != size:
		return errors.Join(fmt.Errorf("complete an upload: the object has %d bytes; %d were written", h.size, size), u.e.drop(ctx, object))
	}
	return u.e.dropSegments(ctx, old)
}

// Close implements blob.Upload.
func (u *upload) Close() error {
	u.parts.Close()
	return nil
}

// Abort implements blob.Engine. Segments of an object that was completed stay.
func (e *Engine) Abort(ctx context.Context, key string, b []byte) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	if len(b) == 0 {
		return nil // what is there is swept
	}
	s, err := parseState(b)
	if err != nil || len(s.Runs) == 0 {
		return nil //nolint:nilerr // not a state of ours: there is nothing to remove
	}
	used, err := e.usedBy(ctx, key)
	if err != nil {
		return err
	}
	for _, r := range s.Runs {
		if used[r.ID] {
			return nil
		}
	}
	return e.dropSegments(ctx, e.list(s.Runs))
}

// Fork implements blob.Forker, with copies of the segments that the service
// makes: the other process may remove its own.
func (e *Engine) Fork(ctx context.Context, from string, offset int64, b []byte, to string) (string, []byte, error) {
	if err := blob.Begin(ctx, from, to); err != nil {
		return "", nil, err
	}
	s, err := e.resumable(ctx, offset, b)
	if err != nil {
		return "", nil, err
	}
	s.There = false
	all := e.list(s.Runs)
	if s.Runs, err = e.copySegments(ctx, all, to); err != nil {
		return "", nil, err
	}
	forked, err := json.Marshal(s)
	return to, forked, err
}

// copySegments copies segments, those of manifests one by one, for an upload
// of key.
func (e *Engine) copySegments(ctx context.Context, all []segment, key string) ([]run, error) {
	if len(all) == 0 {
		return nil, nil
	}
	id := uuid.NewString()
	n := 0
	copied := func(err error) ([]run, error) {
		if err == nil {
			return []run{{ID: id, Count: n}}, nil
		}
		var made []segment
		for i := range n + 1 {
			made = append(made, segment{object: e.object(id, i)})
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), smallTime)
		defer cancel()
		return nil, errors.Join(err, e.dropSegments(ctx, made))
	}
	err := e.leaves(ctx, all, 0, func(object string) error {
		_, err := e.do(ctx, request{
			method: http.MethodPut, object: e.object(id, n), each: partTime,
			header: swift.Headers{"X-Copy-From": copySource(e.o.Container, object), "X-Fresh-Metadata": "true", keyHeader: url.QueryEscape(key), "Content-Length": "0"},
		})
		if isStatus(err, http.StatusNotFound) {
			return blob.NoUpload(e.failed("copy a segment", err))
		}
		if err == nil {
			n++
		}
		return e.failed("copy a segment", err)
	})
	return copied(err)
}

func copySource(container, object string) string {
	return (&url.URL{Path: "/" + container + "/" + object}).EscapedPath()
}

// maxDepth bounds manifests within manifests.
const maxDepth = 8 // Swift's own bound is 10

// leaves calls f for each segment that is no manifest, in order.
func (e *Engine) leaves(ctx context.Context, all []segment, depth int, f func(object string) error) error {
	if depth > maxDepth {
		return errors.New("there are too many manifests within manifests")
	}
	for _, s := range all {
		h, err := e.head(ctx, s.object)
		if err != nil {
			return err
		}
		if !h.large {
			if err := f(s.object); err != nil {
				return err
			}
			continue
		}
		below, err := e.manifest(ctx, s.object)
		if err == nil {
			err = e.leaves(ctx, below, depth+1, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Copy implements blob.Copier.
func (e *Engine) Copy(ctx context.Context, from, to string) error {
	if err := blob.Begin(ctx, from, to); err != nil {
		return err
	}
	h, err := e.head(ctx, e.base+from)
	if err != nil {
		return err
	}
	var old []segment
	if there, err := e.head(ctx, e.base+to); err == nil && there.large {
		if old, err = e.manifest(ctx, e.base+to); err != nil && !gantry.Is(err, gantry.NotFound) {
			return err
		}
	} else if err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	if !h.large {
		_, err := e.do(ctx, request{method: http.MethodPut, object: e.base + to, each: partTime, header: swift.Headers{
			"X-Copy-From": copySource(e.o.Container, e.base+from), "Content-Length": "0",
		}})
		if isStatus(err, http.StatusNotFound) {
			return blob.NoObject(e.failed("copy an object", err))
		}
		if err != nil {
			return e.failed("copy an object", err)
		}
		return e.dropSegments(ctx, old)
	}
	all, err := e.manifest(ctx, e.base+from)
	if err != nil {
		return err
	}
	runs, err := e.copySegments(ctx, all, to)
	if err != nil {
		return err
	}
	list, err := e.nest(ctx, to, e.list(runs))
	if err == nil {
		err = e.failed("copy an object", e.putManifest(ctx, e.base+to, list, swift.Headers{uploadHeader: uuid.NewString()}))
	}
	if err != nil {
		return errors.Join(err, e.dropSegments(context.WithoutCancel(ctx), e.list(runs)))
	}
	now, err := e.head(ctx, e.base+to)
	if err == nil && now.size != h.size {
		err = fmt.Errorf("copy an object: the copy has %d bytes of %d", now.size, h.size)
	}
	return errors.Join(err, e.dropSegments(ctx, old))
}

// manifest returns the segments of a large object.
func (e *Engine) manifest(ctx context.Context, object string) ([]segment, error) {
	a, err := e.do(ctx, request{method: http.MethodGet, object: object, query: url.Values{"multipart-manifest": {"get"}}})
	if isStatus(err, http.StatusNotFound) {
		return nil, e.missing(ctx, "read a manifest", err)
	}
	if err != nil {
		return nil, e.failed("read a manifest", err)
	}
	return parseManifest(a.text, e.o.Container)
}

// parseManifest reads Swift's form of a manifest. Segments in other containers
// are an error: they are not ours to remove.
func parseManifest(body []byte, container string) ([]segment, error) {
	var list []struct {
		Name string `json:"name"`
		Sub  bool   `json:"sub_slo"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, errors.New("read a manifest: it cannot be read")
	}
	all := make([]segment, 0, len(list))
	for _, s := range list {
		object, ours := strings.CutPrefix(s.Name, "/"+container+"/")
		if !ours || object == "" {
			return nil, errors.New("read a manifest: it names a segment in another container")
		}
		all = append(all, segment{object: object, nested: s.Sub})
	}
	return all, nil
}

func parseListing(body []byte) ([]entry, error) {
	var page []entry
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, errors.New("the listing cannot be read")
	}
	return page, nil
}

// dropSegments removes segments, and those that nested manifests name. It goes
// on after errors; what is left is swept.
func (e *Engine) dropSegments(ctx context.Context, all []segment) error {
	return e.dropBelow(ctx, all, 0)
}

func (e *Engine) dropBelow(ctx context.Context, all []segment, depth int) error {
	var errs []error
	for _, s := range all {
		if depth < maxDepth {
			h, err := e.head(ctx, s.object)
			if gantry.Is(err, gantry.NotFound) {
				continue
			}
			if err == nil && h.large {
				var below []segment
				if below, err = e.manifest(ctx, s.object); err == nil {
					err = e.dropBelow(ctx, below, depth+1)
				}
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if err := e.drop(ctx, s.object); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs[:min(len(errs), 3)]...)
}

// usedBy returns the uuids of the segments that the object at key is made of.
func (e *Engine) usedBy(ctx context.Context, key string) (map[string]bool, error) {
	used := map[string]bool{}
	h, err := e.head(ctx, e.base+key)
	if gantry.Is(err, gantry.NotFound) {
		return used, nil
	}
	if err != nil || !h.large {
		return used, err
	}
	return used, e.collect(ctx, e.base+key, 0, used)
}

func (e *Engine) collect(ctx context.Context, object string, depth int, used map[string]bool) error {
	if depth > maxDepth {
		return errors.New("there are too many manifests within manifests")
	}
	all, err := e.manifest(ctx, object)
	if gantry.Is(err, gantry.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range all {
		used[e.segmentID(s.object)] = true
		if s.nested {
			if err := e.collect(ctx, s.object, depth+1, used); err != nil {
				return err
			}
		}
	}
	return nil
}

// segmentID is the uuid in a segment's name.
func (e *Engine) segmentID(object string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(object, e.base+segments), "/")
	return id
}

// Sweep implements blob.Sweeper: it removes segments that no object has. Those
// that other programs stored, such as Quay's, do not say whose they are, and
// stay.
func (e *Engine) Sweep(ctx context.Context, before time.Time, inUse func(ctx context.Context, key string) (bool, error)) (n int, err error) {
	if err := blob.Begin(ctx); err != nil {
		return 0, err
	}
	var errs []error
	var id string
	var group []segment
	var last time.Time
	end := func() {
		if len(group) > 0 && last.Before(before) {
			swept, err := e.sweep(ctx, id, group, inUse)
			if err != nil && len(errs) < 10 {
				errs = append(errs, err)
			}
			if swept {
				n++
			}
		}
		group, last = nil, time.Time{}
	}
	for o, err := range e.listed(ctx, e.base+segments, "") {
		if err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		if next := e.segmentID(o.Name); next != id {
			end()
			id = next
		}
		group = append(group, segment{object: o.Name})
		if at := o.modified(); at.After(last) {
			last = at
		}
	}
	end()
	return n, errors.Join(errs...)
}

func (e *Engine) sweep(ctx context.Context, id string, group []segment, inUse func(context.Context, string) (bool, error)) (bool, error) {
	h, err := e.head(ctx, group[0].object)
	if err != nil || h.key == "" {
		if gantry.Is(err, gantry.NotFound) {
			err = nil // the listing is behind
		}
		return false, err
	}
	key, err := url.QueryUnescape(h.key)
	if err != nil || blob.CheckKey(key) != nil {
		return false, nil //nolint:nilerr // not one of ours
	}
	if used, err := inUse(ctx, key); err != nil || used {
		return false, err
	}
	// In this order: an upload that was completed meanwhile is not in use any
	// more, and its object is there.
	used, err := e.usedBy(ctx, key)
	if err != nil || used[id] {
		return false, err
	}
	for _, s := range group {
		if err := e.drop(ctx, s.object); err != nil {
			return false, err
		}
	}
	return true, nil
}
