package swift

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ncw/swift/v2"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/wire"
)

// A failure is what a request failed with, without what must not be in logs:
// the library's errors show answers, and those of net/http whole URLs.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

// Unwrap gives the cause, for errors.Is and As only: its text is not for logs.
func (f *failure) Unwrap() error { return f.err }

// A signInError is the failure of the sign-in service.
type signInError struct{ err error }

func (s *signInError) Error() string { return "sign in: " + wire.Bare(s.err).Error() }
func (s *signInError) Unwrap() error { return s.err }

// statusOf is the status that err comes from, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*swift.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

func isStatus(err error, codes ...int) bool {
	_, signing := errors.AsType[*signInError](err)
	return err != nil && !signing && slices.Contains(codes, statusOf(err))
}

// passing reports whether it makes sense to try again.
func (e *Engine) passing(err error) bool {
	if _, certificate := errors.AsType[*tls.CertificateVerificationError](err); certificate || errors.Is(err, context.Canceled) {
		return false
	}
	switch status := statusOf(err); status {
	case 0, http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusTooManyRequests, 498:
		return e.o.RetryOnRateLimit
	}
	return false
}

// missing is the error of an object that is not there, or of a container.
func (e *Engine) missing(ctx context.Context, doing string, err error) error {
	if why := e.containerThere(ctx, err); why != nil {
		return e.failed(doing, why)
	}
	return blob.NoObject(e.failed(doing, err))
}

// seenFor is how long a container that was there is taken to be there still.
const seenFor = time.Minute

// containerThere returns err, of an object that is not there, if it is the
// container that is not; Swift answers both in the same way.
func (e *Engine) containerThere(ctx context.Context, err error) error {
	if time.Since(time.Unix(e.seen.Load(), 0)) < seenFor {
		return nil
	}
	_, there := e.do(ctx, request{method: http.MethodHead})
	if isStatus(there, http.StatusNotFound) {
		return &noContainer{err}
	}
	if there == nil {
		e.seen.Store(time.Now().Unix())
	}
	return there
}

// A noContainer is the answer to whatever is in a container that is not there.
type noContainer struct{ err error }

func (n *noContainer) Error() string { return "no such container" }
func (n *noContainer) Unwrap() error { return n.err }

// failed describes err, says which parameter may be wrong, and what to do.
func (e *Engine) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	_, signing := errors.AsType[*signInError](err)
	_, container := errors.AsType[*noContainer](err)
	status := statusOf(err)
	var hint string
	switch {
	case container, status == http.StatusNotFound && !signing:
		hint = fmt.Sprintf("swift_container: the account has no container %s: make it, or correct the name", e.o.Container)
	case signing && (status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusBadRequest):
		hint = fmt.Sprintf("swift_user and swift_password: %s does not accept them with auth_version %d", e.o.AuthURL, e.o.AuthVersion)
		if e.o.AuthVersion > 1 {
			hint += " and these os_options; project and domain have to be the user's"
		}
	case signing && status != 0:
		hint = fmt.Sprintf("auth_url: %s is not a sign-in service of auth_version %d", e.o.AuthURL, e.o.AuthVersion)
	case signing:
		hint = "auth_url: is it right, and is the service up?"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		hint = fmt.Sprintf("swift_user: it has no right to do this in container %s", e.o.Container)
	case status == http.StatusRequestEntityTooLarge, status == http.StatusInsufficientStorage:
		return blob.DiskFull(&failure{fmt.Sprintf("%s: the service answers %d: a quota, or its disks, are full", doing, status), err})
	}
	text := doing + ": "
	switch {
	case signing && status != 0:
		text += fmt.Sprintf("the sign-in service answers %d", status)
	case status != 0:
		text += fmt.Sprintf("the service answers %d", status)
	case signing && wireless(err):
		text += "sign in: there is no storage of this region for this user"
		hint = "os_options: see region_name"
	default:
		text += wire.Bare(err).Error()
	}
	if hint != "" {
		text += "; " + hint
	}
	return &failure{text, err}
}

// wireless reports whether the sign-in went well, but named no storage.
func wireless(err error) bool {
	e, ok := errors.AsType[*swift.Error](err)
	return ok && e.StatusCode == 0
}
