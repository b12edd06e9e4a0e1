// Package azure is the blob engine in a container of Azure Blob Storage. Its
// objects are block blobs.
package azure

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/wire"
)

// Options of an Engine, by the names of Quay's AzureStorage.
type Options struct {
	Container   string // azure_container; it has to exist
	StoragePath string // storage_path: before every key; a leading slash is dropped
	AccountName string // azure_account_name
	AccountKey  string // azure_account_key, base64; it or SASToken is needed
	SASToken    string // sas_token, with or without "?"; used where there is no key
	EndpointURL string // endpoint_url of the primary; "" = https://ACCOUNT.blob.core.windows.net

	RootCAs *x509.CertPool // may sign the service's certificate; nil = the system's
	// Memory bounds what all uploads of the process hold, together with all
	// other engines that have the same pool; nil = wire.Uploads.
	Memory *wire.Pool

	pause time.Duration // before the first repetition; 0 = 200 ms
}

const (
	// smallTime bounds one try of a request without much of a body.
	smallTime = 30 * time.Second
	// blockTime bounds one try of storing a block.
	blockTime = 2 * time.Minute
	// urlExpires is how long a URL works unless told: Quay's 600 s.
	urlExpires = 600 * time.Second
)

// An Engine is a blob.Engine in one container.
type Engine struct {
	o         Options
	base      string // before keys: "" or it ends with a slash
	container *container.Client
	key       *azblob.SharedKeyCredential // nil: the token is used
	secure    bool                        // over TLS
	transport *http.Transport
}

var (
	_ blob.Copier  = (*Engine)(nil)
	_ blob.Forker  = (*Engine)(nil)
	_ blob.Sweeper = (*Engine)(nil)
)

// New returns the engine. It makes no request, so a service that is away is
// noticed by whoever uses it. The error names the parameter.
func New(o Options) (*Engine, error) {
	if o.Container == "" {
		return nil, errors.New("azure_container: it is missing; give the name of the container")
	}
	if o.AccountName == "" {
		return nil, errors.New("azure_account_name: it is missing; give the name of the storage account")
	}
	at, err := endpoint(o)
	if err != nil {
		return nil, err
	}
	if o.Memory == nil {
		o.Memory = wire.Uploads
	}
	e := &Engine{o: o, base: base(o.StoragePath), secure: at.Scheme == "https", transport: wire.NewTransport(o.RootCAs, 0, 0)}
	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: doer{wire.Guard(e.transport)},
		Telemetry: policy.TelemetryOptions{ApplicationID: "gantry"},
		Retry:     e.retry(smallTime),
	}}
	if o.AccountKey != "" {
		if e.key, err = azblob.NewSharedKeyCredential(o.AccountName, o.AccountKey); err != nil {
			return nil, errors.New("azure_account_key: it is not base64; copy the whole key of the account, with the = at its end")
		}
		e.container, err = container.NewClientWithSharedKeyCredential(at.String(), e.key, options)
	} else {
		e.o.SASToken = strings.TrimPrefix(o.SASToken, "?")
		if err := checkToken(e.o.SASToken, time.Now()); err != nil {
			return nil, err
		}
		at.RawQuery = e.o.SASToken
		e.container, err = container.NewClientWithNoCredential(at.String(), options)
	}
	if err != nil {
		return nil, errors.New("endpoint_url: no client can be made for it")
	}
	return e, nil
}

// doer makes a RoundTripper what the SDK wants. Redirects are answers.
type doer struct{ next http.RoundTripper }

func (d doer) Do(r *http.Request) (*http.Response, error) { return d.next.RoundTrip(r) }

// endpoint returns the address of the container.
func endpoint(o Options) (*url.URL, error) {
	if o.EndpointURL == "" {
		o.EndpointURL = "https://" + o.AccountName + ".blob.core.windows.net"
	}
	at, err := url.Parse(o.EndpointURL)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" {
		return nil, errors.New("endpoint_url: it is not the address of a service; write one such as https://ACCOUNT.blob.core.windows.net")
	}
	if at.RawQuery != "" {
		return nil, errors.New("endpoint_url: it has a query; write a signature into sas_token")
	}
	host, _, _ := strings.Cut(at.Hostname(), ".")
	path := strings.Trim(at.Path, "/")
	if host == o.AccountName+"-secondary" || path == o.AccountName+"-secondary" {
		return nil, errors.New("endpoint_url: it is the secondary endpoint, which is read-only; only the primary works: write it without \"-secondary\"")
	}
	at.Path = "/" + strings.TrimPrefix(path+"/"+o.Container, "/")
	return at, nil
}

// checkToken finds a token that has ended or is none. Which rights it gives is
// seen by use, as it may name a policy of the container instead.
func checkToken(token string, now time.Time) error {
	if token == "" {
		return errors.New("azure_account_key: neither it nor sas_token is there; write one of them")
	}
	q, err := url.ParseQuery(token)
	if err != nil || q.Get("sig") == "" {
		return errors.New("sas_token: it is not a shared access signature: it has no sig; copy the whole token")
	}
	end := q.Get("se")
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", time.DateOnly} {
		if at, err := time.Parse(layout, end); err == nil && at.Before(now) {
			return fmt.Errorf("sas_token: it ended at %s; make a new one", end)
		}
	}
	return nil
}

// base returns storage_path as it stands before a key.
func base(storagePath string) string {
	if p := strings.Trim(storagePath, "/"); p != "" {
		return p + "/"
	}
	return ""
}

// retry is how requests are repeated, each try of which may take so long; 0 =
// no bound on the body of the answer.
func (e *Engine) retry(each time.Duration) policy.RetryOptions {
	return policy.RetryOptions{MaxRetries: 4, RetryDelay: cmp.Or(e.o.pause, 200*time.Millisecond), MaxRetryDelay: 5 * time.Second, TryTimeout: each, ShouldRetry: passing}
}

// passing reports whether it makes sense to try again.
func passing(r *http.Response, err error) bool {
	if err != nil {
		_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
		return !certificate
	}
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Close releases connections; objects stay.
func (e *Engine) Close() error {
	e.transport.CloseIdleConnections()
	return nil
}

func (e *Engine) blob(key string) *blockblob.Client {
	return e.container.NewBlockBlobClient(e.base + key)
}

// head returns what the service says about the object. A copy that is not
// whole yet, or never will be, is no object.
func (e *Engine) head(ctx context.Context, key string) (azure.GetPropertiesResponse, error) {
	p, err := e.blob(key).GetProperties(ctx, nil)
	switch {
	case isMissing(err):
		return p, blob.NoObject(e.failed("look for an object", err))
	case err != nil:
		return p, e.failed("look for an object", err)
	case !whole(p.CopyStatus):
		return p, blob.NoObject(fmt.Errorf("its copy is %s", *p.CopyStatus))
	case p.ContentLength == nil || p.ETag == nil || p.LastModified == nil:
		return p, errors.New("look for an object: the answer has no length, ETag or time")
	}
	return p, nil
}

func whole(copied *azure.CopyStatusType) bool {
	return copied == nil || *copied == azure.CopyStatusTypeSuccess
}

// Stat implements blob.Engine.
func (e *Engine) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return blob.Info{}, err
	}
	p, err := e.head(ctx, key)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: *p.ContentLength, Modified: *p.LastModified}, nil
}

// Delete implements blob.Engine. Snapshots go with the object.
func (e *Engine) Delete(ctx context.Context, key string) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	return e.remove(ctx, key)
}

func (e *Engine) remove(ctx context.Context, key string) error {
	_, err := e.blob(key).Delete(ctx, &azure.DeleteOptions{DeleteSnapshots: to.Ptr(azure.DeleteSnapshotsOptionTypeInclude)})
	if err != nil && !isMissing(err) {
		return e.failed("delete an object", err)
	}
	return nil
}

// Publish implements blob.Engine: a blob has one name.
func (e *Engine) Publish(ctx context.Context, from, to string) error {
	if err := blob.Begin(ctx, from, to); err != nil {
		return err
	}
	return blob.CannotPublish()
}

// Copy implements blob.Copier. Until the service has made the whole copy, Stat
// and Open do not find it, nor what it replaces.
func (e *Engine) Copy(ctx context.Context, from, to string) error {
	if err := blob.Begin(ctx, from, to); err != nil {
		return err
	}
	p, err := e.head(ctx, from)
	if err != nil {
		return err
	}
	src, dst := e.blob(from), e.blob(to)
	// The source's URL has the token, where one is used; a key is good for
	// both, as both are in its account.
	started, err := dst.StartCopyFromURL(ctx, src.URL(), &azure.StartCopyFromURLOptions{
		SourceModifiedAccessConditions: &azure.SourceModifiedAccessConditions{SourceIfMatch: p.ETag},
	})
	switch {
	case isMissing(err):
		return blob.NoObject(e.failed("copy an object", err))
	case err != nil:
		return e.failed("copy an object", err)
	case started.CopyID == nil:
		return errors.New("copy an object: the answer names no copy")
	}
	status := started.CopyStatus
	for wait := 100 * time.Millisecond; status != nil && *status == azure.CopyStatusTypePending; wait = min(2*wait, 5*time.Second) {
		if err := wire.Sleep(ctx, wait); err != nil {
			return e.dropCopy(ctx, to, *started.CopyID, err)
		}
		now, err := dst.GetProperties(ctx, nil)
		if err != nil {
			return e.dropCopy(ctx, to, *started.CopyID, e.failed("look at a copy", err))
		}
		if now.CopyID == nil || *now.CopyID != *started.CopyID {
			return errors.New("copy an object: something else was written there meanwhile")
		}
		status = now.CopyStatus
	}
	if !whole(status) {
		return e.dropCopy(ctx, to, *started.CopyID, fmt.Errorf("copy an object: the service says that the copy is %s", *status))
	}
	return nil
}

// dropCopy removes what a copy that failed with why left.
func (e *Engine) dropCopy(ctx context.Context, key, id string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), smallTime)
	defer cancel()
	_, _ = e.blob(key).AbortCopyFromURL(ctx, id, nil) // it may have ended meanwhile
	if p, err := e.blob(key).GetProperties(ctx, nil); err == nil && p.CopyID != nil && *p.CopyID == id {
		return errors.Join(why, e.remove(ctx, key))
	}
	return why
}

// URL implements blob.Engine. With an account's key it is signed for this
// object; with sas_token, that token is in it, as in Quay.
func (e *Engine) URL(ctx context.Context, key string, opts blob.URLOptions) (string, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return "", err
	}
	at := e.blob(key).URL()
	if e.key == nil {
		return at, nil
	}
	expires := opts.Expires
	if expires <= 0 {
		expires = urlExpires
	}
	values := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: time.Now().UTC().Add(expires), Permissions: (&sas.BlobPermissions{Read: true}).String(),
		ContainerName: e.o.Container, BlobName: e.base + key, ContentType: opts.ContentType,
	}
	if e.secure {
		values.Protocol = sas.ProtocolHTTPS
	}
	query, err := values.SignWithSharedKey(e.key)
	if err != nil {
		return "", errors.New("sign the URL of an object: azure_account_key cannot sign")
	}
	return at + "?" + query.Encode(), nil
}

// Free implements blob.Engine: there is no known bound.
func (e *Engine) Free(ctx context.Context) (free, total uint64, err error) { return 0, 0, ctx.Err() }

// Check implements blob.Engine.
func (e *Engine) Check(ctx context.Context) error {
	if err := blob.Begin(ctx); err != nil {
		return err
	}
	name := blob.ReservedPrefix + "verify-" + strings.ToLower(rand.Text())
	_, err := e.blob(name).UploadBuffer(ctx, []byte(name), nil)
	if err != nil {
		return e.failed("write a test object", err)
	}
	_, err = e.blob(name).GetProperties(ctx, nil)
	if err != nil {
		err = e.failed("see the test object", err)
	}
	return errors.Join(err, e.remove(ctx, name))
}
