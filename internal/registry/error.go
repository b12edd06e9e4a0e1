package registry

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
)

// The error codes of the OCI distribution specification and of Quay.
const (
	codeBlobUnknown         = "BLOB_UNKNOWN"
	codeBlobUploadInvalid   = "BLOB_UPLOAD_INVALID"
	codeBlobUploadUnknown   = "BLOB_UPLOAD_UNKNOWN"
	codeDenied              = "DENIED"
	codeDigestInvalid       = "DIGEST_INVALID"
	codeInvalidRequest      = "INVALID_REQUEST"
	codeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	codeManifestInvalid     = "MANIFEST_INVALID"
	codeManifestUnknown     = "MANIFEST_UNKNOWN"
	codeNameInvalid         = "NAME_INVALID"
	codeNameUnknown         = "NAME_UNKNOWN"
	codeNotFound            = "NOT_FOUND" // no such route; no protocol has a word for it
	codeSizeInvalid         = "SIZE_INVALID"
	codeTagAlreadyExists    = "TAG_ALREADY_EXISTS"
	codeTagExpired          = "TAG_EXPIRED"
	codeTagImmutable        = "TAG_IMMUTABLE"
	codeTagInvalid          = "TAG_INVALID"
	codeTooManyRequests     = "TOOMANYREQUESTS"
	codeTooManyTags         = "TOO_MANY_TAGS_REQUESTED"
	codeUnauthorized        = "UNAUTHORIZED"
	codeUnavailable         = "UNAVAILABLE"
	codeUnknown             = "UNKNOWN"
	codeUnsupported         = "UNSUPPORTED"
)

// A cause is what of a gantry.Error decides its answer; "" is any.
type cause struct {
	code   gantry.Code
	object string
	reason gantry.Reason
}

// An answer is the status and the code that a client gets.
type answer struct {
	status int
	code   string
}

// answers is the whole of this protocol's errors. The most particular cause
// wins: code, object and reason; then code and reason; then code and object.
var answers = map[cause]answer{
	{gantry.Invalid, "", ""}:                              {400, codeInvalidRequest},
	{gantry.Invalid, "repository", ""}:                    {400, codeNameInvalid},
	{gantry.Invalid, "digest", ""}:                        {400, codeDigestInvalid},
	{gantry.Invalid, "tag", ""}:                           {400, codeTagInvalid},
	{gantry.Invalid, "manifest", ""}:                      {400, codeManifestInvalid},
	{gantry.Invalid, "manifest", gantry.MediaTypeRefused}: {415, codeManifestInvalid},
	{gantry.Invalid, "manifest", gantry.UnknownBlob}:      {400, codeManifestBlobUnknown},
	{gantry.Invalid, "manifest", gantry.UnknownManifest}:  {400, codeManifestBlobUnknown},
	{gantry.Invalid, "size", ""}:                          {400, codeSizeInvalid},
	{gantry.Invalid, "upload", ""}:                        {400, codeBlobUploadInvalid},
	{gantry.Unauthenticated, "", ""}:                      {401, codeUnauthorized},
	{gantry.Denied, "", ""}:                               {401, codeUnauthorized}, // never 403, which would tell that it exists
	{gantry.Denied, "quota", ""}:                          {403, codeDenied},
	{gantry.Denied, "", gantry.QuotaExceeded}:             {403, codeDenied},
	{gantry.Denied, "", gantry.NamespaceDisabled}:         {405, codeDenied},
	{gantry.NotFound, "", ""}:                             {404, codeNotFound},
	{gantry.NotFound, "blob", ""}:                         {404, codeBlobUnknown},
	{gantry.NotFound, "upload", ""}:                       {404, codeBlobUploadUnknown},
	{gantry.NotFound, "manifest", ""}:                     {404, codeManifestUnknown},
	{gantry.NotFound, "tag", ""}:                          {404, codeManifestUnknown},
	{gantry.NotFound, "", gantry.TagExpired}:              {404, codeTagExpired},
	{gantry.NotFound, "repository", ""}:                   {404, codeNameUnknown},
	{gantry.NotFound, "namespace", ""}:                    {404, codeNameUnknown},
	{gantry.Conflict, "", ""}:                             {409, codeDenied},
	{gantry.Conflict, "tag", ""}:                          {409, codeTagAlreadyExists},
	{gantry.Conflict, "", gantry.TagImmutable}:            {409, codeTagImmutable},
	{gantry.Conflict, "blob", ""}:                         {405, codeDenied},
	{gantry.Conflict, "manifest", ""}:                     {405, codeDenied},
	{gantry.Conflict, "upload", ""}:                       {409, codeBlobUploadInvalid},
	{gantry.Conflict, "", gantry.NamespaceDisabled}:       {405, codeDenied},
	{gantry.ReadOnly, "", ""}:                             {405, codeDenied},
	{gantry.ReadOnly, "repository", ""}:                   {401, codeUnauthorized}, // its state: as if no push had been granted
	{gantry.TooLarge, "", ""}:                             {413, codeSizeInvalid},
	{gantry.TooLarge, "tags", ""}:                         {414, codeTooManyTags},
	{gantry.Range, "", ""}:                                {416, codeInvalidRequest},
	{gantry.Range, "upload", ""}:                          {416, codeBlobUploadInvalid},
	{gantry.Limited, "", ""}:                              {429, codeTooManyRequests},
	{gantry.Limited, "", gantry.LoginBackoff}:             {401, codeUnauthorized},
	{gantry.Unavailable, "", ""}:                          {503, codeUnavailable},
	{gantry.Unavailable, "", gantry.DiskFull}:             {507, codeUnavailable}, // podman and docker show the status of a 5xx and not its body
	{gantry.Unsupported, "", ""}:                          {405, codeUnsupported},
}

// messages are said when an error has no text of its own, or a text that says
// less. Each says what is wrong and what to do.
var messages = map[string]string{
	codeBlobUnknown:         "blob unknown to registry: this repository does not hold it; push it here, or mount it",
	codeBlobUploadInvalid:   "blob upload invalid: ask for its state with GET, or start a new one",
	codeBlobUploadUnknown:   "blob upload unknown to registry: start a new one",
	codeDenied:              "requested access to the resource is denied; ask the administrator",
	codeDigestInvalid:       "provided digest did not match uploaded content; push it again",
	codeInvalidRequest:      "invalid request: a parameter or header is malformed; mend it and try again",
	codeManifestBlobUnknown: "manifest blob unknown to registry: push what the manifest names first",
	codeManifestInvalid:     "manifest invalid: it is not what its media type promises; mend it and push again",
	codeManifestUnknown:     "manifest unknown: the repository has no such tag or digest; look at the list of its tags",
	codeNameInvalid:         "invalid repository name; use lower-case letters, digits, '.', '_', '-' and '/'",
	codeNameUnknown:         "repository name not known to registry; check the spelling, or push to it first",
	codeNotFound:            "there is nothing at this address; check the URL",
	codeSizeInvalid:         "provided length did not match content length; send it again",
	codeTagAlreadyExists:    "tag was already pushed; push under another one",
	codeTagExpired:          "the tag was deleted or has expired; to pull it, restore it in the time machine",
	codeTagImmutable:        "the tag is immutable; push under another one",
	codeTagInvalid:          "the tag is malformed; use letters, digits, '_', '.' and '-'",
	codeTooManyRequests:     "too many requests; wait as long as Retry-After says",
	codeTooManyTags:         "too many tags requested; name fewer of them at a time",
	codeUnauthorized:        "access to the requested resource is not authorized; log in, or ask the repository's administrator for access",
	codeUnavailable:         "the registry cannot do this right now; try again later",
	codeUnknown:             "internal error; its cause is in the registry's log, under this answer's X-Request-Id",
	codeUnsupported:         "the operation is unsupported; errors.md of the documentation says what is",
}

// An explained error carries what the answer's detail object says beside its
// message.
type explained struct {
	error
	detail map[string]any
}

// Unwrap returns the error that is explained.
func (e *explained) Unwrap() error { return e.error }

// answerFor returns the answer to err and the message that a client may read.
func answerFor(err error) (answer, string) {
	e, ok := errors.AsType[*gantry.Error](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return answer{503, codeUnavailable}, messages[codeUnavailable]
		}
		return answer{500, codeUnknown}, messages[codeUnknown]
	}
	for _, c := range [...]cause{{e.Code, e.Object, e.Reason}, {e.Code, "", e.Reason}, {e.Code, e.Object, ""}, {e.Code, "", ""}} {
		if a, ok := answers[c]; ok {
			if e.Detail != "" && !strings.HasPrefix(messages[a.code], e.Detail) {
				return a, e.Detail
			}
			return a, messages[a.code]
		}
	}
	return answer{500, codeUnknown}, messages[codeUnknown]
}

// fail answers a request with err. It is the one place that logs errors. It
// returns the status, or 0 when there is nobody left to answer.
func (c *call) fail(err error) int {
	ctx := c.r.Context()
	if c.body.err != nil { // what failed is the client's sending, whatever became of it on the way here
		err = c.body.cause(err)
	} else if ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
		return 0 // the client left
	}
	a, message := answerFor(err)
	if errors.Is(err, httpd.ErrStalled) {
		a.status = http.StatusRequestTimeout
	}
	if a.status >= 500 {
		c.s.log.ErrorContext(ctx, "request failed", "route", c.act.name, "repository", c.route.repo, "error", err)
	} else if c.s.log.Enabled(ctx, slog.LevelDebug) {
		c.s.log.DebugContext(ctx, "request refused", "route", c.act.name, "repository", c.route.repo, "error", err)
	}
	if c.started { // a part of the answer is out: only breaking off tells the client
		panic(http.ErrAbortHandler)
	}
	h := c.w.Header()
	for _, k := range [...]string{"Etag", "Cache-Control", "Accept-Ranges", "Docker-Content-Digest", "Content-Range", "Vary"} {
		delete(h, k)
	}
	if a.status == http.StatusUnauthorized {
		c.challenge(h)
	}
	if e, ok := errors.AsType[*gantry.Error](err); ok && e.Retry > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((e.Retry+time.Second-1)/time.Second), 10)}
	}
	var detail map[string]any
	if e, ok := errors.AsType[*explained](err); ok {
		detail = e.detail
	}
	if detail == nil && message != messages[a.code] {
		detail = map[string]any{"message": message}
	}
	body := errorBody(a.code, message, detail, errors.Is(err, errReadOnly))
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(a.status)
	_, _ = c.w.Write(body) // the client left; the access log has the status
	return a.status
}

// errorBody is the JSON document of one error.
func errorBody(code, message string, detail map[string]any, readonly bool) []byte {
	type one struct {
		Code     string         `json:"code"`
		Message  string         `json:"message"`
		Detail   map[string]any `json:"detail"`
		ReadOnly bool           `json:"is_readonly,omitempty"`
	}
	if detail == nil {
		detail = map[string]any{}
	}
	b, err := json.Marshal(struct {
		Errors [1]one `json:"errors"`
	}{[1]one{{code, message, detail, readonly}}})
	if err != nil { // the details are strings and numbers
		return []byte(`{"errors":[{"code":"UNKNOWN","message":"internal error","detail":{}}]}`)
	}
	return b
}

// Panicked answers a request whose handler panicked, for
// httpd.MiddlewareOptions.Panicked on the paths of this package.
func Panicked(w http.ResponseWriter, _ *http.Request) {
	body := errorBody(codeUnknown, messages[codeUnknown], nil, false)
	h := w.Header()
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write(body) // nothing is left to do for a client that is gone
}
