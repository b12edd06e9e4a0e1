package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

// The events that are made here.
const (
	EventPush         = "repo_push"
	EventExpiry       = "repo_image_expiry"
	EventQuotaWarning = "quota_warning"
	EventQuotaError   = "quota_error"

	EventMirrorStarted = "repo_mirror_sync_started"
	EventMirrorSuccess = "repo_mirror_sync_success"
	EventMirrorFailed  = "repo_mirror_sync_failed"
)

// repositoryEvents are those that a notification of a repository may wait for
// (api-v1.md §15), and namespaceEvents those of a namespace; both with the
// check of their configuration, or nil. Events of builds and scans
// can be waited for, so that a registry that moves here keeps its
// notifications, and are made where those features run.
var (
	repositoryEvents = map[string]func(json.RawMessage) error{
		EventPush:      nil,
		"build_queued": refRegex, "build_start": refRegex, "build_success": refRegex, "build_failure": refRegex, "build_cancelled": refRegex,
		"vulnerability_found": func(raw json.RawMessage) error {
			var in struct{ Level string }
			n, err := strconv.Atoi(decode(raw, &in).Level)
			if err != nil || n < 0 || n > 5 || len(in.Level) != 1 {
				return invalid("eventConfig", `vulnerability_found needs {"level": "0"} to {"level": "5"}, from critical to unknown`)
			}
			return nil
		},
		EventMirrorStarted: nil, EventMirrorSuccess: nil, EventMirrorFailed: nil,
		EventExpiry: func(raw json.RawMessage) error {
			if days := decode(raw, &struct{ Days int }{}).Days; days <= 0 || days > maxDays {
				return invalid("eventConfig", `repo_image_expiry needs {"days": N}, from 1 to %d`, maxDays)
			}
			return nil
		},
	}
	namespaceEvents = map[string]func(json.RawMessage) error{EventQuotaWarning: nil, EventQuotaError: nil}
)

const maxDays = 36500

func refRegex(raw json.RawMessage) error {
	var in struct {
		Ref string `json:"ref-regex"`
	}
	if _, err := regexp.Compile(decode(raw, &in).Ref); err != nil {
		return invalid("eventConfig", "ref-regex is not a regular expression: %v", err)
	}
	return nil
}

// decode is for what was checked to be an object; a field of another type is
// left empty, which the checks refuse.
func decode[T any](raw json.RawMessage, v *T) *T {
	_ = json.Unmarshal(raw, v)
	return v
}

func invalid(object, format string, args ...any) error {
	return gantry.Errorf(gantry.Invalid, object, format, args...)
}

// maxConfig bounds the configuration of a method and of an event, in bytes.
const maxConfig = 16 << 10

// A Request is what somebody wants to be told, and how.
type Request struct {
	Namespace           bool // of a namespace, not of a repository
	Event, Method       string
	Config, EventConfig json.RawMessage
}

// Check says what is wrong with a request, as Invalid, or nil. Whether a
// person, team or mail address may be told is the caller's to know: see Target
// and Address.
func (r Request) Check() error {
	known := repositoryEvents
	if r.Namespace {
		known = namespaceEvents
	}
	check, ok := known[r.Event]
	if !ok {
		return invalid("event", "event %.80q is not known here; choose from %s", r.Event, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	for _, f := range []struct {
		name string
		raw  json.RawMessage
	}{{"config", r.Config}, {"eventConfig", r.EventConfig}} {
		if t := bytes.TrimSpace(f.raw); len(t) == 0 || t[0] != '{' || len(f.raw) > maxConfig {
			return invalid(f.name, "%s must be an object of at most %d bytes", f.name, maxConfig)
		}
	}
	if check != nil {
		if err := check(r.EventConfig); err != nil {
			return err
		}
	}
	m, ok := methods[r.Method]
	if !ok {
		return invalid("method", "method %.80q is not known; choose from %s", r.Method, strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	}
	_, err := m.parse(r.Config)
	return err
}

// Address is whom the method email tells, of a request that Check took.
func (r Request) Address() string { return decode(r.Config, &methodConfig{}).Email }

// Target is whom the method quay_notification tells, of a request that Check
// took: the kind, which is user, team or org, and the name.
func (r Request) Target() (kind, name string) {
	c := decode(r.Config, &methodConfig{})
	return c.Target.Kind, c.Target.Name
}

// methodConfig is the configuration of any method.
type methodConfig struct {
	URL      string
	Template string
	Email    string
	Token    string `json:"flow_api_token"`
	HipToken string `json:"notification_token"`
	Room     string `json:"room_id"`
	Target   struct{ Kind, Name string }
}

type method struct {
	check func(*methodConfig) error
	send  func(context.Context, *Service, *store.Notification, *methodConfig, payload) error
}

func (m method) parse(raw json.RawMessage) (*methodConfig, error) {
	c := &methodConfig{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, invalid("config", "a field of config is not of the right type")
	}
	return c, m.check(c)
}

var methods = map[string]method{
	"quay_notification": {check: checkTarget, send: toInbox},
	"email":             {check: func(c *methodConfig) error { return need(c.Email, "email") }, send: toMail},
	"webhook": {check: func(c *methodConfig) error {
		if err := checkURL(c); err != nil || c.Template == "" {
			return err
		}
		_, err := fill(c.Template, map[string]any{})
		return err
	}, send: toWebhook},
	"cloudevents": {check: checkURL, send: toCloudEvents},
	"slack": {check: checkURL, send: func(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
		return s.post(ctx, c.URL, map[string]any{"text": sentence(p, slackLink), "attachments": []any{}})
	}},
	"teams": {check: checkURL, send: func(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
		return s.post(ctx, c.URL, map[string]any{"@type": "MessageCard", "@context": "https://schema.org/extensions",
			"summary": sentence(p, plainLink), "text": sentence(p, markdownLink)})
	}},
	"flowdock": {check: func(c *methodConfig) error { return need(c.Token, "flow_api_token") }, send: func(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
		return s.post(ctx, s.flowdock+"/v1/messages/team_inbox/"+url.PathEscape(c.Token), map[string]any{"source": "Gantry",
			"from_address": "support@quay.io", "subject": sentence(p, plainLink), "content": sentence(p, htmlLink), "project": what(p),
			"tags": []string{"#" + p.Event}, "link": p.text("homepage")})
	}},
	"hipchat": {check: func(c *methodConfig) error {
		if err := need(c.HipToken, "notification_token"); err != nil {
			return err
		}
		return need(c.Room, "room_id")
	}, send: func(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
		return s.post(ctx, s.hipchat+"/v2/room/"+url.PathEscape(c.Room)+"/notification?auth_token="+url.QueryEscape(c.HipToken), map[string]any{
			"color": "green", "message": sentence(p, htmlLink), "notify": false, "message_format": "html"})
	}},
}

func need(v, field string) error {
	if v == "" || len(v) > 1024 {
		return invalid("config", "config.%s is required", field)
	}
	return nil
}

func checkTarget(c *methodConfig) error {
	if k := c.Target.Kind; c.Target.Name == "" || k != "user" && k != "team" && k != "org" {
		return invalid("config", `quay_notification needs {"target": {"kind": "user", "name": "…"}}; kind may be user, team or org`)
	}
	return nil
}

func checkURL(c *methodConfig) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || len(c.URL) > 2048 {
		return invalid("config", "config.url must be an http or https address")
	}
	return nil
}

func toInbox(ctx context.Context, s *Service, n *store.Notification, c *methodConfig, p payload) error {
	metadata, err := json.Marshal(p.Data)
	if err != nil {
		return &lastingError{err}
	}
	notice := store.Notice{Kind: p.Event, Metadata: metadata}
	if p.Test {
		notice.Kind = "test_notification"
	}
	if c.Target.Kind != "user" {
		notice.Organization = p.text("namespace")
	}
	_, err = s.o.Store.AddNotice(ctx, store.NoticeTarget{Kind: c.Target.Kind, Name: c.Target.Name, Namespace: n.Namespace}, n.UUID+" "+p.ID, notice)
	if gantry.Is(err, gantry.NotFound) {
		return &lastingError{err}
	}
	return err
}

// toMail hands the mail over: it is tried again by who sends it.
func toMail(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
	subject := "[" + what(p) + "] " + p.Event
	if p.Test {
		subject += " (test)"
	}
	text := sentence(p, func(text, to string) string { return text + " (" + to + ")" })
	queued, err := s.o.Mail(ctx, c.Email, subject, text+"\n", "<p>"+sentence(p, htmlLink)+"</p>\n")
	if err == nil && !queued {
		err = errors.New("mail is switched off on this registry (FEATURE_MAILING)")
	}
	return err
}

func toWebhook(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
	if c.Template == "" {
		return s.webhook(ctx, c.URL, p.Data)
	}
	b, err := json.Marshal(p.Data)
	if err != nil {
		return &lastingError{err}
	}
	body, err := fill(c.Template, *decode(b, &map[string]any{}))
	if err != nil {
		return &lastingError{err}
	}
	return s.webhook(ctx, c.URL, body)
}

// toCloudEvents sends a CloudEvents 1.0 event in its structured form.
func toCloudEvents(ctx context.Context, s *Service, _ *store.Notification, c *methodConfig, p payload) error {
	v := map[string]any{"specversion": "1.0", "id": p.ID, "source": p.text("homepage"), "type": "io.gantry-registry." + p.Event,
		"time": p.At.UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json", "data": p.Data}
	if tags := tags(p); tags != "" {
		v["subject"] = tags
	}
	return s.exchange(ctx, s.o.Client(false), c.URL, "application/cloudevents+json; charset=utf-8", v)
}

// maxSent bounds what is sent, in bytes.
const maxSent = 1 << 20

func (s *Service) post(ctx context.Context, to string, v any) error {
	return s.exchange(ctx, s.o.Client(false), to, "application/json", v)
}

func (s *Service) webhook(ctx context.Context, to string, v any) error {
	return s.exchange(ctx, s.o.Client(true), to, "application/json", v)
}

// exchange sends v as JSON. Any 2xx is a delivery. The address may hold a
// secret: it stays out of the error, and so does what a private name resolves
// to.
func (s *Service) exchange(ctx context.Context, client *http.Client, to, contentType string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return &lastingError{err}
	}
	if len(b) > maxSent {
		return &lastingError{fmt.Errorf("the body would be larger than %d bytes", maxSent)}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(b))
	if err != nil {
		return &lastingError{errors.New("the address is not valid")}
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "gantry")
	res, err := client.Do(r)
	switch {
	case errors.Is(err, httpd.ErrForbiddenTarget):
		return fmt.Errorf("%w; an administrator can list it in SSRF_ALLOWED_HOSTS", httpd.ErrForbiddenTarget)
	case err != nil:
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address
		}
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the other end answered %d; only 2xx is a delivery, and redirects are not followed", res.StatusCode)
	}
	return nil
}

type linker func(text, to string) string

func plainLink(text, _ string) string     { return text }
func markdownLink(text, to string) string { return "[" + text + "](" + to + ")" }
func slackLink(text, to string) string    { return "<" + to + "|" + text + ">" }
func htmlLink(text, to string) string {
	return `<a href="` + html.EscapeString(to) + `">` + html.EscapeString(text) + "</a>"
}

// what is the repository, or else the namespace.
func what(p payload) string { return cmp.Or(p.text("repository"), p.text("namespace")) }

// tags are those that the event is about.
func tags(p payload) string {
	for _, key := range []string{"updated_tags", "tags", "docker_tags"} {
		b, err := json.Marshal(p.Data[key])
		if list := decode(b, &[]string{}); err == nil && len(*list) > 0 {
			return strings.Join(*list, ", ")
		}
	}
	return ""
}

// sentence tells the event to people. Names of namespaces, repositories, users
// and tags hold nothing that any of the forms gives a meaning to.
func sentence(p payload, link linker) string {
	where := link(what(p), p.text("homepage"))
	switch p.Event {
	case EventPush:
		by := ""
		if who := p.text("performer"); who != "" {
			by = " by " + who
		}
		return "Repository " + where + " has been pushed" + by + ": " + tags(p)
	case EventExpiry:
		return "Tags of repository " + where + " expire within " + p.text("expiring_in") + ": " + tags(p)
	case EventQuotaWarning, EventQuotaError:
		return "Namespace " + where + ": " + p.text("message")
	}
	return "Repository " + where + ": " + p.Event
}

// sample is the data of an event that did not happen. name is that of the
// repository, or of the namespace alone.
func sample(event string, name gantry.RepoName) map[string]any {
	if name.Name == "" {
		return map[string]any{"namespace": name.Namespace, "type": store.QuotaWarning, "limit_percent": 80, "limit_bytes": 10 << 30, "quota_bytes": 8 << 30,
			"message": "this is a test: 80% of the quota are used"}
	}
	data := repository(name)
	more := map[string]any{}
	switch {
	case event == EventPush:
		more = map[string]any{"updated_tags": []string{"latest"}}
	case event == EventExpiry:
		more = map[string]any{"tags": []string{"latest", "foo"}, "expiring_in": "7 days"}
	case event == "vulnerability_found":
		more = map[string]any{"tags": []string{"latest"}, "vulnerability": map[string]any{"id": "CVE-1234-5678", "description": "This is a test",
			"link": "https://security.example.com/CVE-1234-5678", "priority": "Critical", "has_fix": true}}
	case strings.HasPrefix(event, "build_"):
		more = map[string]any{"build_id": "00000000-0000-0000-0000-000000000000", "build_name": "test", "docker_tags": []string{"latest"}, "is_manual": true,
			"trigger_id": nil, "trigger_kind": nil, "trigger_metadata": map[string]any{}}
	case strings.HasPrefix(event, "repo_mirror_"):
		more = map[string]any{"message": "this is a test"}
	}
	maps.Copy(data, more)
	return data
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

// fill replaces ${dotted.path} in every text and name of a template, which is
// JSON, from data. What is not there becomes "(none)".
func fill(template string, data map[string]any) (any, error) {
	var v any
	if err := json.Unmarshal([]byte(template), &v); err != nil {
		return nil, invalid("config", "config.template is not valid JSON: %v", err)
	}
	f := filler{data: data}
	v = f.value(v)
	if f.size > maxSent {
		return nil, invalid("config", "config.template makes more than %d bytes", maxSent)
	}
	return v, nil
}

// A filler stops to replace after maxSent bytes.
type filler struct {
	data map[string]any
	size int
}

func (f *filler) text(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		if f.size > maxSent {
			return ""
		}
		got := lookup(f.data, m[2:len(m)-1])
		f.size += len(got)
		return got
	})
}

func (f *filler) value(v any) any {
	switch x := v.(type) {
	case string:
		return f.text(x)
	case []any:
		for i := range x {
			x[i] = f.value(x[i])
		}
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[f.text(k)] = f.value(e)
		}
		return out
	}
	return v
}

func lookup(data any, path string) string {
	for part := range strings.SplitSeq(path, ".") {
		switch x := data.(type) {
		case map[string]any:
			data = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(x) {
				return "(none)"
			}
			data = x[i]
		default:
			return "(none)"
		}
	}
	switch x := data.(type) {
	case nil:
		return "(none)"
	case string:
		return x
	}
	b, err := json.Marshal(data)
	if err != nil {
		return "(none)"
	}
	return string(b)
}
