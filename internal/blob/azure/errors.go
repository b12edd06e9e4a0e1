package azure

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/gantry-registry/gantry/internal/blob/wire"
)

// maxSkew is how far clocks may be apart before requests are refused.
const maxSkew = 15 * time.Minute

// A failure is what a request failed with, without what must not be in logs:
// the SDK's errors show answers, and those of net/http whole URLs.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

// Unwrap gives the cause, for errors.Is and As only: its text is not for logs.
func (f *failure) Unwrap() error { return f.err }

// isMissing reports whether the blob is not there; that the container is not
// is another matter.
func isMissing(err error) bool {
	return bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ResourceNotFound)
}

// failed describes err, says which parameter may be wrong, and what to do.
func (e *Engine) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	re, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return &failure{doing + ": " + wire.Bare(err).Error(), err}
	}
	text := fmt.Sprintf("%s: the service answers %d %s", doing, re.StatusCode, re.ErrorCode)
	if re.RawResponse != nil {
		if id := re.RawResponse.Header.Get("X-Ms-Request-Id"); id != "" {
			text += " (request " + id + ")"
		}
	}
	if hint := e.hint(re); hint != "" {
		text += "; " + hint
	}
	return &failure{text, err}
}

func (e *Engine) hint(re *azcore.ResponseError) string {
	key := "azure_account_key"
	if e.key == nil {
		key = "sas_token"
	}
	switch bloberror.Code(re.ErrorCode) {
	case bloberror.ContainerNotFound, bloberror.ContainerBeingDeleted:
		return fmt.Sprintf("azure_container: account %s has no container %s: make it, or correct the name", e.o.AccountName, e.o.Container)
	case bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo:
		if skew := skewOf(re.RawResponse); skew.Abs() >= maxSkew {
			return fmt.Sprintf("the clock of this machine is %v away from the service's: set it right", skew.Round(time.Second))
		}
		if e.key == nil {
			if err := checkToken(e.o.SASToken, time.Now()); err != nil {
				return err.Error()
			}
		}
		return key + ": it is not accepted for account " + e.o.AccountName + ": copy it anew; it may have been rotated"
	case bloberror.AuthorizationPermissionMismatch, bloberror.InsufficientAccountPermissions, bloberror.AuthorizationServiceMismatch, bloberror.AuthorizationResourceTypeMismatch:
		if strings.Contains(re.Error(), "Write operations are not allowed") {
			return "endpoint_url: it is the secondary endpoint, which is read-only; only the primary works"
		}
		return key + ": it does not give the right to do this: read, add, create, write, delete and list on the container are needed"
	case bloberror.AuthorizationFailure, bloberror.AuthorizationSourceIPMismatch, bloberror.AuthorizationProtocolMismatch:
		return key + ": it is not accepted for account " + e.o.AccountName + ": copy it anew, and see the account's network rules"
	case bloberror.AccountIsDisabled:
		return "azure_account_name: the account is disabled"
	case bloberror.BlobImmutableDueToPolicy, bloberror.SnapshotsPresent:
		return "azure_container: a policy of the container keeps the object"
	}
	return ""
}

// skewOf is how far our clock is ahead of the one that answered.
func skewOf(r *http.Response) time.Duration {
	if r == nil {
		return 0
	}
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return time.Since(at)
}
