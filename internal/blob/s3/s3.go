// Package s3 is the blob engine on buckets that speak S3's API: Amazon's, and
// those of Ceph, NooBaa, IBM, Google and others. Blobs stream in as multipart
// uploads that another process can go on with; what is too small for that is
// one object. Clients can be sent to the bucket, or to a CDN before it.
package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// Options of an Engine. Bucket is required.
type Options struct {
	Location string // its name, for messages
	Bucket   string
	Prefix   string // of all keys; slashes at its ends do not count; "" = none
	Region   string // "" = the environment's where Credentials has no keys, else us-east-1
	// Endpoint is the service's URL, without a path; "" = Amazon's.
	Endpoint string
	// PathStyle has the bucket's name in the path and not in the host. It is
	// forced for names with dots, which no certificate fits.
	PathStyle   bool
	Credentials Credentials
	// Google keeps to what Google's XML API understands.
	Google bool
	// Encrypt asks for server-side encryption with the service's keys (AES256).
	Encrypt bool
	// PartSize is the least size of a part, in bytes; it is made larger for
	// MaxObject. 0 = 5 MiB, which is the least that S3 takes; more than 64 MiB
	// are 64 MiB.
	PartSize int64
	// MaxCopy is the largest part that the service is asked to copy, in bytes;
	// 0 = 5 GiB.
	MaxCopy int64
	// MaxObject is the size of the largest object to come, in bytes; 0 = 20
	// GiB. Larger ones fit, in larger parts.
	MaxObject int64
	// NoPartCopy is for services that cannot copy an object into a part: its
	// bytes then go through this process.
	NoPartCopy bool
	// Timeout bounds the silence of the service: before an answer to a request
	// without a body, and within an answer. 0 = 60 s, or 15 s with Beside.
	Timeout time.Duration
	// Beside: there are other locations, which are asked when this one fails. A
	// request is sent twice at most then, not four times.
	Beside  bool
	RootCAs *x509.CertPool // nil = the system's
	CDN     CDN            // that clients are sent to; nil = to the bucket
	Fields  Fields
	Logger  *slog.Logger       // nil = none
	Metrics *telemetry.Metrics // nil = none
	// Memory bounds what all uploads of the process hold, together with all
	// other engines that have the same pool; nil = a pool of 128 MiB that all
	// engines of this package share.
	Memory *Pool
}

// Fields are the names of parameters that messages tell to correct.
type Fields struct{ Bucket, AccessKey, SecretKey, Region, Endpoint string }

// An Engine is a blob.Engine on a bucket, or on what is below a prefix of one.
// It is a blob.UploadPublisher, blob.Copier, blob.Forker and blob.Sweeper.
//
// What it keeps beside the objects is below the element ".gantry-tails".
type Engine struct {
	o      Options
	client *s3.Client
	sign   *s3.PresignClient
	net    *transport
	pool   *Pool
	log    *slog.Logger
	first  int64 // size of the first parts

	seen atomic.Int64   // when the bucket was last known to be there, in Unix nanoseconds
	work sync.WaitGroup // removals that go on
	quit context.CancelFunc
	life context.Context //nolint:containedctx // of the removals

	// Variables, so that tests reach what takes gigabytes.
	page      int32 // entries of a listing
	copyLimit int64 // what one CopyObject may copy
}

var (
	_ blob.UploadPublisher = (*Engine)(nil)
	_ blob.Copier          = (*Engine)(nil)
	_ blob.Forker          = (*Engine)(nil)
	_ blob.Sweeper         = (*Engine)(nil)
)

const (
	tailsFolder  = blob.ReservedPrefix + "tails"
	verifyFolder = blob.ReservedPrefix + "verify"
	// maxKey is S3's limit, in bytes, with the prefix.
	maxKey = 1024
	// copyLimit is what one CopyObject may copy, by S3.
	copyLimit = 5 << 30
	// bucketSeen is how long a bucket that was there is taken to be there
	// still, when the service says of an object that it is not.
	bucketSeen = time.Minute
	// tidyWithin bounds what is removed after an upload.
	tidyWithin = 30 * time.Second
)

// New returns an Engine. It asks nothing over the network: whether the bucket
// is there shows when it is used, and Check says.
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Bucket == "" {
		return nil, errors.New("a bucket is needed")
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("the service's URL must be http://host[:port] or https://host[:port]")
		}
	}
	o.Prefix = strings.Trim(o.Prefix, "/")
	if o.Prefix != "" {
		if err := blob.CheckKey(o.Prefix); err != nil {
			return nil, err
		}
		o.Prefix += "/"
	}
	o.PathStyle = o.PathStyle || strings.Contains(o.Bucket, ".")
	if o.MaxCopy <= 0 || o.MaxCopy > copyLimit {
		o.MaxCopy = copyLimit
	}
	o.MaxCopy = max(o.MaxCopy, 2*minPart) // halves of it are large enough
	if o.MaxObject <= 0 {
		o.MaxObject = 20 << 30
	}
	e := &Engine{o: o, net: newTransport(o), pool: cmp.Or(o.Memory, memory), log: o.Logger, first: firstPart(o.PartSize, o.MaxObject), page: 1000, copyLimit: copyLimit}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if e.client, err = newClient(ctx, o, e.net); err != nil {
		return nil, err
	}
	e.sign = newSigner(e)
	e.life, e.quit = context.WithCancel(context.WithoutCancel(ctx))
	return e, nil
}

// Close ends what goes on in the background, in tidyWithin at most, and closes
// idle connections.
func (e *Engine) Close() error {
	timer := time.AfterFunc(tidyWithin, e.quit)
	e.work.Wait()
	timer.Stop()
	e.quit()
	e.net.http.CloseIdleConnections()
	return nil
}

// later does what nobody waits for: removing what a crash would leave too.
func (e *Engine) later(do func(ctx context.Context)) {
	e.work.Go(func() {
		ctx, cancel := context.WithTimeout(e.life, tidyWithin)
		defer cancel()
		do(ctx)
	})
}

// begin checks what every method checks first.
func (e *Engine) begin(ctx context.Context, keys ...string) error {
	if err := blob.Begin(ctx, keys...); err != nil {
		return err
	}
	for _, key := range keys {
		if len(e.o.Prefix)+len(key) > maxKey {
			return gantry.Errorf(gantry.Invalid, "key", "with storage_path, a storage key may not be longer than %d bytes", maxKey)
		}
	}
	return nil
}

func (e *Engine) bucket() *string         { return aws.String(e.o.Bucket) }
func (e *Engine) path(key string) *string { return aws.String(e.o.Prefix + key) }
func (e *Engine) source(key string) *string {
	return aws.String(escape(e.o.Bucket + "/" + e.o.Prefix + key))
}

// escape writes a path as a URL has it, slashes kept.
func escape(path string) string {
	return strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), "+", "%2B")
}

func (e *Engine) encryption() types.ServerSideEncryption {
	if e.o.Encrypt {
		return types.ServerSideEncryptionAes256
	}
	return ""
}

// octets is the type of all objects.
const octets = "application/octet-stream"

// put stores the bytes of a buffer as an object.
func (e *Engine) put(ctx context.Context, key string, b *buffer) error {
	_, err := e.client.PutObject(ctx, &s3.PutObjectInput{Bucket: e.bucket(), Key: e.path(key), Body: b.reader(), ContentLength: aws.Int64(b.n),
		ContentType: aws.String(octets), ServerSideEncryption: e.encryption()})
	return e.failed(ctx, "put", key, err)
}

// Stat implements blob.Engine.
func (e *Engine) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := e.begin(ctx, key); err != nil {
		return blob.Info{}, err
	}
	h, err := e.head(ctx, key)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: aws.ToInt64(h.ContentLength), Modified: aws.ToTime(h.LastModified)}, nil
}

func (e *Engine) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	h, err := e.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: e.bucket(), Key: e.path(key)})
	switch {
	case err == nil:
		e.saw()
		return h, nil
	case missing(err):
		return nil, e.absent(ctx, key, err)
	}
	return nil, e.failed(ctx, "head", key, err)
}

func (e *Engine) saw() { e.seen.Store(time.Now().UnixNano()) }

// absent is the error for an object that the service says is not there: where
// the whole bucket is not, nobody may take the object for lost.
func (e *Engine) absent(ctx context.Context, key string, err error) error {
	if code, _ := codeOf(err); code != "NoSuchKey" && time.Since(time.Unix(0, e.seen.Load())) > bucketSeen {
		if _, err := e.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: e.bucket()}); err != nil {
			if _, status := codeOf(err); status == 404 {
				err = &types.NoSuchBucket{Message: aws.String("the bucket does not exist")}
			}
			return e.failed(ctx, "head bucket for", key, err)
		}
		e.saw()
	}
	return blob.NoObject(&Error{Doing: "find " + key, Location: e.o.Location, Code: "NoSuchKey", Status: 404})
}

// Delete implements blob.Engine.
func (e *Engine) Delete(ctx context.Context, key string) error {
	if err := e.begin(ctx, key); err != nil {
		return err
	}
	return e.remove(ctx, key)
}

func (e *Engine) remove(ctx context.Context, key string) error {
	_, err := e.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: e.bucket(), Key: e.path(key)})
	if missing(err) {
		return nil
	}
	return e.failed(ctx, "delete", key, err)
}

// Free implements blob.Engine: buckets have no bound that they tell.
func (e *Engine) Free(ctx context.Context) (free, total uint64, err error) {
	return 0, 0, ctx.Err()
}

// Check implements blob.Engine.
func (e *Engine) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := verifyFolder + "/" + strings.ToLower(rand.Text())
	b := &buffer{blocks: []*[blockSize]byte{new([blockSize]byte)}}
	b.write([]byte(key))
	if err := e.put(ctx, key, b); err != nil {
		return err
	}
	h, err := e.head(ctx, key)
	if err == nil && aws.ToInt64(h.ContentLength) != b.n {
		err = &Error{Doing: "head " + key, Location: e.o.Location, Status: 200, Err: errors.New("what was written has another size")}
	}
	return errors.Join(err, e.remove(ctx, key))
}
