// Package swift is the blob engine in a container of OpenStack Swift. A small
// object is one of Swift's; a larger one is a static large object, whose
// segments are at segments/<uuid>/<9 digits>, as Quay has them.
package swift

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/ncw/swift/v2"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/wire"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Options of an Engine, by the names of Quay's SwiftStorage.
type Options struct {
	Container   string // swift_container; it has to exist
	StoragePath string // storage_path: before every key; a leading slash is dropped
	AuthURL     string // auth_url: …/auth/v1.0, …:5000/v2.0 or …:5000/v3
	AuthVersion int    // auth_version: 1, 2 or 3; 0 = 1
	User        string // swift_user
	Password    string // swift_password
	// OpenStack is os_options: tenant_id or project_id, tenant_name or
	// project_name, region_name, user_id, user_domain_name or _id,
	// project_domain_name or _id, trust_id, endpoint_type, object_storage_url;
	// others have no effect.
	OpenStack map[string]string
	// TempURLKey is temp_url_key, a key of the account or the container; "" =
	// clients get no URLs.
	TempURLKey string
	// SimplePathConcat is simple_path_concat: no slash is put between
	// StoragePath and a key.
	SimplePathConcat bool

	RootCAs          *x509.CertPool // may sign the services' certificates; nil = the system's
	ConnectTimeout   time.Duration  // connect_timeout; 0 = 10 s
	RetryCount       int            // retry_count: repetitions of a request that failed in passing
	RetryOnRateLimit bool           // retry_on_ratelimit: 429 and 498 are repeated, too
	// Memory bounds what all uploads of the process hold, together with all
	// other engines that have the same pool; nil = wire.Uploads.
	Memory *wire.Pool

	perManifest int // entries of a manifest; 0 = mostSegments
	perState    int // runs in a state that are no manifest; 0 = mostOpen
}

const (
	// smallTime bounds one try of a request without much of a body.
	smallTime = time.Minute
	// partTime bounds one try of storing a segment or a manifest, and of a
	// copy of a segment.
	partTime = 2 * time.Minute
	// urlExpires is how long a URL works unless told.
	urlExpires = 600 * time.Second
)

// An Engine is a blob.Engine in one container.
type Engine struct {
	o         Options
	base      string // before keys
	conn      *swift.Connection
	transport *http.Transport
	seen      atomic.Int64 // when the container was last looked for and there, in Unix seconds
}

var (
	_ blob.Copier  = (*Engine)(nil)
	_ blob.Forker  = (*Engine)(nil)
	_ blob.Sweeper = (*Engine)(nil)
)

// New returns the engine. It makes no request, so a service that is away is
// noticed by whoever uses it. The error names the parameter.
func New(o Options) (*Engine, error) {
	for name, value := range map[string]string{"swift_container": o.Container, "auth_url": o.AuthURL, "swift_user": o.User, "swift_password": o.Password} {
		if value == "" {
			return nil, fmt.Errorf("%s: it is missing; write it", name)
		}
	}
	if u, err := url.Parse(o.AuthURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("auth_url: it is not the address of a sign-in service; write one such as https://keystone.example.com:5000/v3")
	}
	if o.AuthVersion == 0 {
		o.AuthVersion = 1
	}
	if o.AuthVersion < 1 || o.AuthVersion > 3 {
		return nil, errors.New("auth_version: it is 1, 2 or 3")
	}
	if at := o.OpenStack["object_storage_url"]; at != "" {
		if u, err := url.Parse(at); err != nil || u.Host == "" || u.RawQuery != "" {
			return nil, errors.New("os_options: object_storage_url is not the address of an account")
		}
	}
	if o.Memory == nil {
		o.Memory = wire.Uploads
	}
	e := &Engine{o: o, base: base(o), transport: wire.NewTransport(o.RootCAs, o.ConnectTimeout, partTime)}
	os := o.OpenStack
	e.conn = &swift.Connection{
		AuthUrl: strings.TrimSuffix(o.AuthURL, "/"), AuthVersion: o.AuthVersion, UserName: o.User, ApiKey: o.Password,
		UserId: os["user_id"], Domain: os["user_domain_name"], DomainId: os["user_domain_id"],
		Tenant:   cmp.Or(os["tenant_name"], os["project_name"]),
		TenantId: cmp.Or(os["tenant_id"], os["project_id"]), TenantDomain: os["project_domain_name"], TenantDomainId: os["project_domain_id"],
		TrustId: os["trust_id"], Region: os["region_name"], EndpointType: endpointType(os["endpoint_type"]),
		UserAgent: "gantry", Transport: wire.Guard(e.transport),
		// The library's own timers leave requests behind; ours are contexts.
		ConnectTimeout: 24 * time.Hour, Timeout: 24 * time.Hour, Retries: 1,
	}
	return e, nil
}

func endpointType(s string) swift.EndpointType {
	s = strings.TrimSuffix(s, "URL")
	switch s {
	case "internal":
		return swift.EndpointTypeInternal
	case "admin":
		return swift.EndpointTypeAdmin
	case "public":
		return swift.EndpointTypePublic
	}
	return ""
}

func base(o Options) string {
	if o.SimplePathConcat {
		return strings.TrimLeft(o.StoragePath, "/")
	}
	if p := strings.Trim(o.StoragePath, "/"); p != "" {
		return p + "/"
	}
	return ""
}

// Close releases connections; objects stay.
func (e *Engine) Close() error {
	e.transport.CloseIdleConnections()
	return nil
}

// A request is one to the container.
type request struct {
	method string
	object string // below the container, with base; "" = the container
	query  url.Values
	header swift.Headers
	body   io.ReadSeeker // nil = none; it is read from the beginning for each try
	size   int64
	each   time.Duration // bound of one try; 0 = smallTime, with the body of the answer
	stream bool          // the body of the answer is the caller's, and ctx its only bound
}

// An answer is a response, and its body: the whole text of it, or a stream.
type answer struct {
	status int
	header http.Header
	size   int64 // of the body, as the head says; -1 = it does not
	text   []byte
	stream io.ReadCloser
}

// do sends a request, again where it failed in passing. Without r.stream the
// answer's text has at most 16 MiB.
func (e *Engine) do(ctx context.Context, r request) (answer, error) {
	for try := 0; ; try++ {
		a, err := e.once(ctx, r)
		if err == nil {
			return a, nil
		}
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		if try >= e.o.RetryCount || !e.passing(err) {
			return answer{}, err
		}
		wait := min(100*time.Millisecond<<min(try, 6), 5*time.Second)
		if err := wire.Sleep(ctx, wait/2+mathrand.N(wait)); err != nil { //nolint:gosec // spreads repetitions
			return answer{}, err
		}
	}
}

func (e *Engine) once(ctx context.Context, r request) (answer, error) {
	cancel := context.CancelFunc(func() {})
	if !r.stream {
		ctx, cancel = context.WithTimeout(ctx, cmp.Or(r.each, smallTime))
	}
	defer cancel()
	at, err := e.storageURL(ctx)
	if err != nil {
		return answer{}, err
	}
	opts := swift.RequestOpts{
		Container: e.o.Container, ObjectName: r.object, Operation: r.method, Parameters: r.query, Headers: swift.Headers{},
		OnReAuth: func() (string, error) { // under the connection's lock
			return cmp.Or(e.o.OpenStack["object_storage_url"], e.conn.StorageUrl), nil
		},
	}
	for k, v := range r.header {
		opts.Headers[k] = v
	}
	if r.body != nil {
		if _, err := r.body.Seek(0, io.SeekStart); err != nil {
			return answer{}, err
		}
		opts.Body = r.body
		opts.Headers["Content-Length"] = strconv.FormatInt(r.size, 10)
	}
	resp, _, err := e.conn.Call(ctx, at, opts)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, size: resp.ContentLength}
	if r.stream {
		a.stream = resp.Body
		return a, nil
	}
	defer func() { _ = resp.Body.Close() }() // read below
	const most = 16 << 20
	a.text, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err == nil && len(a.text) > most {
		err = errors.New("the answer is larger than 16 MiB")
	}
	return a, err
}

// storageURL signs in where that was not done yet.
func (e *Engine) storageURL(ctx context.Context) (string, error) {
	at, err := e.conn.GetStorageUrl(ctx)
	if err != nil {
		return "", &signInError{err}
	}
	return cmp.Or(e.o.OpenStack["object_storage_url"], at), nil
}

// Stat implements blob.Engine.
func (e *Engine) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return blob.Info{}, err
	}
	h, err := e.head(ctx, e.base+key)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: h.size, Modified: h.modified}, nil
}

// A head is what the service says about an object.
type head struct {
	size     int64
	modified time.Time
	etag     string
	large    bool   // a static large object
	upload   string // which Upload wrote it; "" = not one of ours
	key      string // of a segment: the key of its upload, escaped
}

const (
	uploadHeader = "X-Object-Meta-Gantry-Upload"
	keyHeader    = "X-Object-Meta-Gantry-Key"
)

func (e *Engine) head(ctx context.Context, object string) (head, error) {
	a, err := e.do(ctx, request{method: http.MethodHead, object: object})
	if isStatus(err, http.StatusNotFound) {
		return head{}, e.missing(ctx, "look for an object", err)
	}
	if err != nil {
		return head{}, e.failed("look for an object", err)
	}
	h := head{
		size: a.size, etag: strings.Trim(a.header.Get("Etag"), `"`),
		large: strings.EqualFold(a.header.Get("X-Static-Large-Object"), "true"), upload: a.header.Get(uploadHeader), key: a.header.Get(keyHeader),
	}
	if h.modified, err = http.ParseTime(a.header.Get("Last-Modified")); err != nil || h.size < 0 || h.etag == "" {
		return h, errors.New("look for an object: the answer has no length, ETag or time")
	}
	return h, nil
}

// Open implements blob.Engine. Every request asks for the version that was
// there when it was opened.
func (e *Engine) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	h, err := e.head(ctx, e.base+key)
	if err != nil {
		return nil, err
	}
	return wire.NewObject(ctx, h.size, func(ctx context.Context, offset, n int64) (io.ReadCloser, error) {
		a, err := e.do(ctx, request{method: http.MethodGet, object: e.base + key, stream: true, header: swift.Headers{
			"Range": fmt.Sprintf("bytes=%d-%d", offset, offset+n-1), "If-Match": `"` + h.etag + `"`,
		}})
		if isStatus(err, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable) {
			return nil, blob.NoObject(e.failed("read an object that was deleted or replaced", err))
		}
		if err != nil {
			return nil, e.failed("read an object", err)
		}
		whole := a.status == http.StatusOK && offset == 0 && n == h.size // nobody cuts what is asked for whole
		if a.status != http.StatusPartialContent && !whole || a.size >= 0 && a.size != n {
			return nil, errors.Join(fmt.Errorf("read an object: the service sends %d bytes with status %d for %d", a.size, a.status, n), a.stream.Close())
		}
		return a.stream, nil
	}, func(err error) bool { return gantry.Is(err, gantry.NotFound) }), nil
}

// Delete implements blob.Engine. The segments of a large object go with it.
func (e *Engine) Delete(ctx context.Context, key string) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	return e.remove(ctx, e.base+key)
}

func (e *Engine) remove(ctx context.Context, object string) error {
	h, err := e.head(ctx, object)
	if gantry.Is(err, gantry.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var old []segment
	if h.large {
		if old, err = e.manifest(ctx, object); err != nil && !gantry.Is(err, gantry.NotFound) {
			return err
		}
	}
	// The manifest goes first: what is seen is whole. Segments that a crash
	// leaves are swept.
	if err := e.drop(ctx, object); err != nil {
		return err
	}
	return e.dropSegments(ctx, old)
}

// drop removes one object of Swift's, and nothing that it refers to.
func (e *Engine) drop(ctx context.Context, object string) error {
	_, err := e.do(ctx, request{method: http.MethodDelete, object: object})
	if isStatus(err, http.StatusNotFound) {
		err = e.containerThere(ctx, err)
	}
	return e.failed("delete an object", err)
}

// Publish implements blob.Engine: an object has one name.
func (e *Engine) Publish(ctx context.Context, from, to string) error {
	if err := blob.Begin(ctx, from, to); err != nil {
		return err
	}
	return blob.CannotPublish()
}

// List implements blob.Engine. Swift's listings may be some seconds behind.
func (e *Engine) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		err := ctx.Err()
		if err == nil {
			err = blob.CheckPrefix(prefix)
		}
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		for o, err := range e.listed(ctx, e.base+prefix, e.base+after) {
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			key := strings.TrimPrefix(o.Name, e.base)
			if !strings.HasPrefix(key, prefix) || key <= after || strings.HasPrefix(key, segments) || blob.CheckKey(key) != nil {
				continue
			}
			if !yield(blob.Info{Key: key, Size: o.Bytes, Modified: o.modified()}, nil) {
				return
			}
		}
	}
}

// An entry is an object in a listing.
type entry struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Time  string `json:"last_modified"` // of UTC, without saying so
}

func (o entry) modified() time.Time {
	at, err := time.Parse("2006-01-02T15:04:05.999999", o.Time)
	if err != nil {
		return time.Now() // young: nothing is swept by it
	}
	return at
}

// listed yields the objects whose name begins with prefix and is greater than
// after.
func (e *Engine) listed(ctx context.Context, prefix, after string) iter.Seq2[entry, error] {
	valid := func(s string) string { // may be cut inside a rune, and the service takes none
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		return s
	}
	return func(yield func(entry, error) bool) {
		const most = 10_000
		for marker := valid(after); ; {
			q := url.Values{"format": {"json"}, "limit": {strconv.Itoa(most)}, "prefix": {valid(prefix)}}
			if marker != "" {
				q.Set("marker", marker)
			}
			a, err := e.do(ctx, request{method: http.MethodGet, query: q})
			var page []entry
			if err != nil {
				err = e.failed("list objects", err)
			} else if len(a.text) > 0 {
				if page, err = parseListing(a.text); err != nil {
					err = fmt.Errorf("list objects: %w", err)
				}
			}
			if err != nil {
				yield(entry{}, err)
				return
			}
			for _, o := range page {
				if o.Name <= marker {
					continue
				}
				if !yield(o, nil) {
					return
				}
			}
			// A page may be short of the limit though there is more.
			if len(page) == 0 || page[len(page)-1].Name <= marker {
				return
			}
			marker = page[len(page)-1].Name
		}
	}
}

// URL implements blob.Engine: a TempURL, which Swift answers with a type of
// its own.
func (e *Engine) URL(ctx context.Context, key string, opts blob.URLOptions) (string, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return "", err
	}
	if e.o.TempURLKey == "" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	storage, err := e.storageURL(ctx)
	if err != nil {
		return "", e.failed("sign the URL of an object", err)
	}
	at, err := url.Parse(storage)
	if err != nil {
		return "", errors.New("sign the URL of an object: the storage URL cannot be read")
	}
	at.Path = strings.TrimSuffix(at.Path, "/") + "/" + e.o.Container + "/" + e.base + key
	at.RawPath = ""
	end := strconv.FormatInt(time.Now().Add(cmp.Or(opts.Expires, urlExpires)).Unix(), 10)
	h := hmac.New(sha256.New, []byte(e.o.TempURLKey))
	_, _ = fmt.Fprintf(h, "%s\n%s\n%s", http.MethodGet, end, at.Path) // never fails; good for HEAD, too
	at.RawQuery = url.Values{"temp_url_sig": {hex.EncodeToString(h.Sum(nil))}, "temp_url_expires": {end}}.Encode()
	return at.String(), nil
}

// Free implements blob.Engine: there is no known bound.
func (e *Engine) Free(ctx context.Context) (free, total uint64, err error) { return 0, 0, ctx.Err() }

// Check implements blob.Engine.
func (e *Engine) Check(ctx context.Context) error {
	if err := blob.Begin(ctx); err != nil {
		return err
	}
	name := e.base + blob.ReservedPrefix + "verify-" + strings.ToLower(rand.Text())
	_, err := e.do(ctx, request{method: http.MethodPut, object: name, body: bytes.NewReader([]byte("gantry")), size: 6})
	if err != nil {
		return e.failed("write a test object", err)
	}
	_, err = e.head(ctx, name)
	return errors.Join(err, e.drop(ctx, name))
}
