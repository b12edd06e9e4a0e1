package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	dialWithin = 10 * time.Second
	// idleWithin is how long the service may stay silent before an answer, or
	// in the middle of one.
	idleWithin = 60 * time.Second
	// slowest is the rate, in bytes a second, below which sending is given up.
	slowest = 64 << 10
	// copyRate is the rate at which a service is trusted to copy.
	copyRate = 8 << 20
	// assembleWithin bounds the joining of up to 10,000 parts.
	assembleWithin = 10 * time.Minute
	// tries is how often a request is sent that may be repeated: all of ours.
	tries = 4
	// Where there are other locations, one that fails has them asked soon.
	idleBeside, triesBeside, backoffBeside = 15 * time.Second, 2, 500 * time.Millisecond
	// earlyRefresh is how long before their end temporary credentials are
	// replaced: a URL signed with them works to its own end.
	earlyRefresh = 15 * time.Minute
	// skewFrom is the difference of clocks from which URLs are signed by the
	// service's.
	skewFrom = 30 * time.Second
)

// backoff is the longest pause between two tries; the pauses have jitter. Tests
// make it short.
var backoff = 3 * time.Second

// errSlow is the failure of a request for which nothing moves any more.
var errSlow error = slowError{}

type slowError struct{}

func (slowError) Error() string   { return "the service does not answer in time" }
func (slowError) Timeout() bool   { return true }
func (slowError) Temporary() bool { return true }

// A transport sends requests. It has no bound on a whole download, which may
// take hours, but one on silence.
type transport struct {
	http  *http.Client
	idle  time.Duration
	ahead atomic.Int64 // nanoseconds that the service's clock is ahead of ours
}

func newTransport(o Options) *transport {
	dialer := &net.Dialer{Timeout: dialWithin, KeepAlive: 15 * time.Second} // resolves the name each time
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialWithin,
		// One HTTP/2 connection is slower than several of HTTP/1.1, and dies whole.
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}
	idle := o.Timeout
	switch {
	case idle > 0:
	case o.Beside:
		idle = idleBeside
	default:
		idle = idleWithin
	}
	return &transport{idle: idle, http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type waitKey struct{}

// wait lets each request of ctx wait d for its answer, if that is longer than
// the usual time.
func wait(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, waitKey{}, d)
}

// Do implements the SDK's HTTPClient.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	bound := t.idle
	if d, _ := r.Context().Value(waitKey{}).(time.Duration); d > bound {
		bound = d
	}
	if r.ContentLength > 0 {
		bound += time.Duration(r.ContentLength) * time.Second / slowest
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(bound, func() { cancel(errSlow) })
	sent := time.Now()
	resp, err := t.http.Do(r.WithContext(ctx)) // #nosec G704 -- the administrator names the service
	timer.Stop()
	if err != nil {
		if context.Cause(ctx) == errSlow { //nolint:errorlint // set above
			err = errSlow
		}
		cancel(nil)
		return nil, err
	}
	t.observe(resp, sent)
	resp.Body = &idleBody{body: resp.Body, ctx: ctx, cancel: cancel, idle: t.idle, timer: timer}
	return resp, nil
}

// observe compares the clocks.
func (t *transport) observe(resp *http.Response, sent time.Time) {
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	// The answer was written between sent and now, to the second.
	ahead := there.Sub(sent.Add(time.Since(sent) / 2))
	if ahead.Abs() < skewFrom {
		ahead = 0
	}
	t.ahead.Store(int64(ahead))
}

// now is the time by the service's clock.
func (t *transport) now() time.Time { return time.Now().Add(time.Duration(t.ahead.Load())) }

// An idleBody is an answer's body that fails when no byte comes for idle. The
// time between two reads does not count.
type idleBody struct {
	body   io.ReadCloser
	ctx    context.Context //nolint:containedctx // of this one request
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

// Read implements io.Reader.
func (b *idleBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && context.Cause(b.ctx) == errSlow { //nolint:errorlint // set by Do
		err = errSlow
	}
	return n, err
}

// Close implements io.Closer.
func (b *idleBody) Close() error {
	err := b.body.Close()
	b.timer.Stop()
	b.cancel(nil)
	return err
}

// Credentials say who signs. The zero value takes those of the machine:
// environment, shared files, web identity (IRSA), container, instance.
type Credentials struct {
	AccessKey, SecretKey string
	SessionToken         string // of temporary keys
	// RoleARN is taken with the keys, or with the token in TokenFile, or with
	// those of the machine.
	RoleARN     string
	RoleSession string // name of the session; "" = gantry
	TokenFile   string
}

// newClient makes the SDK's client. Nothing is asked over the network.
func newClient(ctx context.Context, o Options, t *transport) (*s3.Client, error) {
	region := o.Region
	var creds aws.CredentialsProvider
	if o.Credentials.AccessKey != "" {
		creds = credentials.NewStaticCredentialsProvider(o.Credentials.AccessKey, o.Credentials.SecretKey, o.Credentials.SessionToken)
	}
	if creds == nil || o.Credentials.RoleARN != "" {
		// Token services are asked by the SDK's own client, which also follows
		// AWS_CA_BUNDLE.
		client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
		})
		load := []func(*config.LoadOptions) error{config.WithHTTPClient(client), config.WithRetryer(func() aws.Retryer { return newRetryer(o.Beside) })}
		if region != "" {
			load = append(load, config.WithRegion(region))
		}
		if creds != nil {
			load = append(load, config.WithCredentialsProvider(creds))
		}
		c, err := config.LoadDefaultConfig(ctx, load...)
		if err != nil {
			return nil, fmt.Errorf("credentials of the machine: %w", err)
		}
		if region = c.Region; region == "" {
			region, c.Region = defaultRegion, defaultRegion
		}
		creds = c.Credentials
		if o.Credentials.RoleARN != "" {
			creds = assume(c, o.Credentials)
		}
		creds = aws.NewCredentialsCache(creds, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = earlyRefresh })
	}
	if region == "" {
		region = defaultRegion
	}
	so := s3.Options{
		Region:                       region,
		Credentials:                  creds,
		HTTPClient:                   t,
		Retryer:                      newRetryer(o.Beside),
		UsePathStyle:                 o.PathStyle,
		DisableS3ExpressSessionAuth:  aws.Bool(true),
		ContinueHeaderThresholdBytes: -1, // some stores and proxies do not answer it
		// The SHA-256 of each body is in its signature, which every store
		// checks; the newer checksums are known to few.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if o.Endpoint != "" {
		so.BaseEndpoint = aws.String(o.Endpoint)
	}
	if o.Google {
		so.APIOptions = append(so.APIOptions, unsignedEncoding)
	}
	return s3.New(so), nil
}

const defaultRegion = "us-east-1"

func assume(c aws.Config, o Credentials) aws.CredentialsProvider {
	client := sts.NewFromConfig(c)
	session := o.RoleSession
	if session == "" {
		session = "gantry"
	}
	if o.TokenFile != "" {
		return stscreds.NewWebIdentityRoleProvider(client, o.RoleARN, stscreds.IdentityTokenFile(o.TokenFile),
			func(w *stscreds.WebIdentityRoleOptions) { w.RoleSessionName = session })
	}
	return stscreds.NewAssumeRoleProvider(client, o.RoleARN, func(a *stscreds.AssumeRoleOptions) { a.RoleSessionName = session })
}

func newRetryer(beside bool) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		if o.MaxAttempts, o.MaxBackoff = tries, backoff; beside {
			o.MaxAttempts, o.MaxBackoff = triesBeside, min(backoff, backoffBeside)
		}
		o.Retryables = append([]retry.IsErrorRetryable{
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if errors.Is(err, errSlow) {
					return aws.TrueTernary
				}
				return aws.UnknownTernary
			}),
			retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}},
		}, o.Retryables...)
	})
}

// unsignedEncoding keeps Accept-Encoding out of the signature: Google's front
// changes it, and the signature would be wrong.
func unsignedEncoding(stack *middleware.Stack) error {
	const header = "Accept-Encoding"
	type saved struct{}
	err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("DropAcceptEncoding",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				ctx = middleware.WithStackValue(ctx, saved{}, r.Header.Get(header))
				r.Header.Del(header)
			}
			return next.HandleFinalize(ctx, in)
		}), "Signing", middleware.Before)
	if err != nil {
		return nil //nolint:nilerr // a stack that does not sign, such as that of presigned URLs
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("RestoreAcceptEncoding",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				if v, _ := middleware.GetStackValue(ctx, saved{}).(string); v != "" {
					r.Header.Set(header, v)
				}
			}
			return next.HandleFinalize(ctx, in)
		}), "Signing", middleware.After)
}
