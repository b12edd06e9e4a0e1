package api

import (
	"context"
	"slices"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

var messageRoutes = []route{
	{method: "GET", path: "messages", handle: (*server).listMessages},
	{method: "POST", path: "messages", access: superuser, fresh: true, handle: (*server).createMessage},
	{method: "DELETE", path: "message/{uuid}", access: superuser, fresh: true, handle: (*server).deleteMessage},
	{method: "GET", path: "error/{type}", readOnlyOK: true, handle: (*server).explainError},
	{method: "GET", path: "registry/capabilities", readOnlyOK: true, handle: (*server).capabilities},
	{method: "GET", path: "discovery", readOnlyOK: true, handle: (*server).discovery},
}

func (s *server) listMessages(c *call) error {
	list, err := s.messages(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(200, map[string]any{"messages": list})
}

// messages are those to everybody, as the API shows them.
func (s *server) messages(ctx context.Context) ([]any, error) {
	all, err := s.Store.Messages(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(all))
	for _, m := range all {
		list = append(list, map[string]any{"uuid": m.UUID, "content": m.Content, "severity": m.Severity, "media_type": m.MediaType})
	}
	return list, nil
}

// maxMessage is the size of a message to everybody, in bytes.
const maxMessage = 4096

var (
	severities   = []string{"info", "warning", "error"}
	messageTypes = []string{"text/plain", "text/markdown"}
)

func (s *server) createMessage(c *call) error {
	var in struct {
		Message *struct {
			Content, Severity string
			MediaType         string `json:"media_type"`
		}
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	switch m := in.Message; {
	case m == nil:
		return gantry.Errorf(gantry.Invalid, "message", "message is required")
	case m.Content == "" || len(m.Content) > maxMessage:
		return gantry.Errorf(gantry.Invalid, "message", "content must be 1 to %d bytes long", maxMessage)
	case !slices.Contains(severities, m.Severity):
		return gantry.Errorf(gantry.Invalid, "message", "severity %.40q is not one of info, warning, error", m.Severity)
	case !slices.Contains(messageTypes, m.MediaType):
		return gantry.Errorf(gantry.Invalid, "message", "media_type %.40q is not one of text/plain, text/markdown", m.MediaType)
	}
	id, err := s.Store.CreateMessage(c.r.Context(), store.Message{Content: in.Message.Content, Severity: in.Message.Severity, MediaType: in.Message.MediaType})
	if err != nil {
		return err
	}
	return c.json(201, map[string]string{"uuid": id})
}

func (s *server) deleteMessage(c *call) error {
	if err := s.Store.DeleteMessage(c.r.Context(), c.params["uuid"]); err != nil {
		return err
	}
	return c.empty()
}

// errorTypes are the error_type of answers, and what they mean.
var errorTypes = map[string]string{ //nolint:gosec // explanations, no credentials
	"invalid_request":          "The request is malformed, or what it asks for cannot be: the detail says what to mend.",
	"invalid_response":         "The answer could not be made.",
	"invalid_token":            "There are no credentials, or they are not valid (any more): sign in, or get another token.",
	"expired_token":            "The token has expired: get another one.",
	"fresh_login_required":     "The session is too old for this: give the password again (POST /api/v1/signin/verify).",
	"insufficient_scope":       "You are known, and may not do this: it needs another role, or a token with more scopes.",
	"not_found":                "There is no such thing, or none that you may see.",
	"exceeds_license":          "The plan does not cover this.",
	"rate_limited":             "There were too many requests: wait as long as Retry-After says.",
	"read_only":                "The registry takes no changes at the moment.",
	"internal_error":           "Something broke in the registry; its log has the cause under the answer's X-Request-Id.",
	"downstream_issue":         "Something that the registry needs does not answer: try again later.",
	"external_service_timeout": "Something that the registry needs took too long: try again later.",
	"tag_immutable":            "The tag is immutable.",
}

func (s *server) explainError(c *call) error {
	name := c.params["type"]
	text, ok := errorTypes[name]
	if !ok {
		return errNotFound
	}
	return c.json(200, map[string]string{"type": name, "title": name, "description": text})
}

// capabilities says what clients may rely on.
func (s *server) capabilities(c *call) error {
	architectures := []string{}
	if s.RepoMirror {
		architectures = []string{"amd64", "arm64", "ppc64le", "s390x"}
	}
	return c.json(200, map[string]any{
		"sparse_manifests":     map[string]any{"supported": s.SparseIndex, "required_architectures": []string{}, "optional_architectures_allowed": s.SparseIndex},
		"mirror_architectures": architectures,
	})
}
