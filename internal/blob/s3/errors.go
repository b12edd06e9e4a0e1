package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/gantry-registry/gantry/internal/blob"
)

// An Error is why a bucket did not do what it was asked. Its text is for logs:
// it names the location and, for the classic mistakes, the parameter that is
// wrong; it has no secret.
type Error struct {
	Doing    string // such as "put object sha256/ab/…"
	Location string
	Code     string // the service's, such as AccessDenied; "" = there was no answer
	Status   int    // of HTTP; 0 = there was no answer
	Hint     string // what to do, or ""
	Err      error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Location, e.Doing)
	if e.Code != "" || e.Status != 0 {
		fmt.Fprintf(&b, ": %s (HTTP %d)", e.Code, e.Status)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Away reports whether the location could not be reached or answered that it
// is not able to work: another location, or a later time, may help. Where it
// is false, the service works and refuses. It is what blob.Away asks.
func (e *Error) Away() bool {
	return e.Code == "" && e.Status == 0 || e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout ||
		e.Code == "SlowDown" || e.Code == "RequestTimeout"
}

// codeOf returns the code of the service's answer and its status; "" and 0
// where there was none.
func codeOf(err error) (code string, status int) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	return code, status
}

// missing reports whether err says that an object is not there. A bucket that
// is not there is something else; HEAD tells them not apart (see absent).
func missing(err error) bool {
	code, status := codeOf(err)
	switch code {
	case "NoSuchKey", "NotFound":
		return true
	case "", "UnknownError":
		return status == http.StatusNotFound
	}
	return false
}

// noUpload reports whether err says that a multipart upload is not there.
func noUpload(err error) bool {
	code, status := codeOf(err)
	return code == "NoSuchUpload" || status == http.StatusNotFound && code != "NoSuchBucket"
}

// full reports whether err says that no space is left.
func full(err error) bool {
	code, status := codeOf(err)
	switch code {
	case "QuotaExceeded", "QuotaExceededException", "InsufficientStorage", "XMinioStorageFull", "StorageFull", "EntityQuotaExceeded", "InsufficientCapacity":
		return true
	}
	return status == http.StatusInsufficientStorage
}

// failed is err as this engine returns it.
func (e *Engine) failed(ctx context.Context, doing, key string, err error) error {
	if err == nil {
		return nil
	}
	if key != "" {
		doing += " " + key
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %s: %w", e.o.Location, doing, cause)
	}
	if full(err) {
		return blob.DiskFull(&Error{Doing: doing, Location: e.o.Location, Err: err})
	}
	out := &Error{Doing: doing, Location: e.o.Location, Err: err}
	out.Code, out.Status = codeOf(err)
	out.Hint = e.hint(err, out.Code)
	var api smithy.APIError
	var net *url.Error
	switch {
	case errors.As(err, &api):
		out.Err = errors.New(api.ErrorMessage())
	case errors.As(err, &net): // without the URL
		out.Err = net.Err
	}
	return out
}

// hint says what to do about the classic mistakes.
func (e *Engine) hint(err error, code string) string {
	f := e.o.Fields
	var resp *smithyhttp.ResponseError
	region := ""
	if errors.As(err, &resp) && resp.Response != nil {
		region = resp.Response.Header.Get("X-Amz-Bucket-Region")
	}
	switch code {
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently", "TemporaryRedirect":
		if region != "" {
			return fmt.Sprintf("the bucket is in region %s: set %s to that", region, f.Region)
		}
		return fmt.Sprintf("the bucket is in another region than %q: correct %s", e.o.Region, f.Region)
	case "InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "TokenRefreshRequired":
		if e.o.Credentials.AccessKey == "" {
			return "the credentials of the machine are not valid, or no longer"
		}
		return fmt.Sprintf("the service does not know the key, or no longer: correct %s", f.AccessKey)
	case "SignatureDoesNotMatch":
		return fmt.Sprintf("the secret does not belong to the key, or a proxy changes requests: correct %s", f.SecretKey)
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		return fmt.Sprintf("the key may not do this in bucket %s: it needs the rights to get, put, delete and list objects and multipart uploads", e.o.Bucket)
	case "NoSuchBucket":
		return fmt.Sprintf("there is no bucket %q: make it, or correct %s", e.o.Bucket, f.Bucket)
	case "RequestTimeTooSkewed", "RequestExpired":
		return "the clock of this machine differs too much from the service's: set it by NTP"
	case "NotImplemented", "InvalidEncryptionAlgorithmError", "ServerSideEncryptionConfigurationNotFoundError":
		if e.o.Encrypt {
			return "the service may not know server-side encryption (AES256), which this class asks for: use RadosGWStorage, which does not"
		}
	case "":
		var net *url.Error
		if errors.As(err, &net) || errors.Is(err, errSlow) {
			return fmt.Sprintf("is the service up, and reached by %s and the proxy settings?", f.Endpoint)
		}
		if strings.Contains(err.Error(), "get identity") || strings.Contains(err.Error(), "credentials") {
			return fmt.Sprintf("there are no credentials: set %s and %s, or give the machine a role", f.AccessKey, f.SecretKey)
		}
	}
	return ""
}
