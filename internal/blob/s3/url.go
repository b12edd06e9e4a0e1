package s3

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gantry-registry/gantry/internal/blob"
)

const (
	defaultExpiry = 600 * time.Second
	maxExpiry     = 7 * 24 * time.Hour // by S3
)

// clocked signs by the service's clock: a URL of a machine whose clock is
// behind would have ended before it began.
type clocked struct {
	signer *v4.Signer
	net    *transport
}

// PresignHTTP implements the SDK's interface.
func (c clocked) PresignHTTP(ctx context.Context, creds aws.Credentials, r *http.Request, hash, service, region string, _ time.Time,
	opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return c.signer.PresignHTTP(ctx, creds, r, hash, service, region, c.net.now(), opts...)
}

func newSigner(e *Engine) *s3.PresignClient {
	signer := clocked{v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), e.net}
	return s3.NewPresignClient(e.client, func(o *s3.PresignOptions) { o.Presigner = signer })
}

// URL implements blob.Engine: an URL of the CDN where there is one that the
// client shall use, else one of the bucket.
func (e *Engine) URL(ctx context.Context, key string, o blob.URLOptions) (string, error) {
	if err := e.begin(ctx, key); err != nil {
		return "", err
	}
	if o.Expires <= 0 {
		o.Expires = defaultExpiry
	}
	o.Expires = min(o.Expires, maxExpiry)
	if e.o.CDN != nil {
		return e.o.CDN.url(ctx, e, key, o)
	}
	return e.presign(ctx, key, o)
}

// presign returns the bucket's own URL.
func (e *Engine) presign(ctx context.Context, key string, o blob.URLOptions) (string, error) {
	expires := s3.WithPresignExpires(o.Expires)
	var typ *string
	if o.ContentType != "" {
		typ = aws.String(o.ContentType)
	}
	var r *v4.PresignedHTTPRequest
	var err error
	if o.Method == http.MethodHead {
		r, err = e.sign.PresignHeadObject(ctx, &s3.HeadObjectInput{Bucket: e.bucket(), Key: e.path(key), ResponseContentType: typ}, expires)
	} else {
		r, err = e.sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: e.bucket(), Key: e.path(key), ResponseContentType: typ}, expires)
	}
	if err != nil {
		return "", e.failed(ctx, "sign a URL of", key, err)
	}
	return r.URL, nil
}

// presigned is presign as a URL.
func (e *Engine) presigned(ctx context.Context, key string, o blob.URLOptions) (*url.URL, error) {
	s, err := e.presign(ctx, key, o)
	if err != nil {
		return nil, err
	}
	return url.Parse(s)
}
