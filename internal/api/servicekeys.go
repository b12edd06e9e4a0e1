package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/httpd"
	"github.com/gantry-registry/gantry/internal/store"
)

var serviceKeyRoutes = []route{
	{method: "GET", path: "superuser/keys", access: superuser, fresh: true, handle: (*server).listServiceKeys},
	{method: "POST", path: "superuser/keys", access: superuser, fresh: true, handle: (*server).createServiceKey},
	{method: "GET", path: "superuser/keys/{kid}", access: superuser, fresh: true, handle: (*server).getServiceKey},
	{method: "PUT", path: "superuser/keys/{kid}", access: superuser, fresh: true, handle: (*server).changeServiceKey},
	{method: "DELETE", path: "superuser/keys/{kid}", access: superuser, fresh: true, handle: (*server).deleteServiceKey},
	{method: "POST", path: "superuser/approvedkeys/{kid}", access: superuser, fresh: true, handle: (*server).approveServiceKey},
}

func serviceKeyView(k store.ServiceKey) map[string]any {
	v := map[string]any{"name": k.Name, "kid": k.ID, "service": k.Service, "jwk": json.RawMessage(k.JWK), "metadata": k.Metadata, "created_date": grantDate(k.Created),
		"expiration_date": grantDate(k.Expires), "rotation_duration": nil, "approval": nil}
	if k.Rotation > 0 {
		v["rotation_duration"] = int64(k.Rotation / time.Second)
	}
	if !k.Approved.IsZero() {
		approval := map[string]any{"approval_type": k.Approval, "approved_date": grantDate(k.Approved), "notes": k.Notes, "approver": nil}
		if k.ApproverName != "" {
			approval["approver"] = map[string]any{"name": k.ApproverName, "username": k.ApproverName, "kind": "user", "is_robot": false, "avatar": accountAvatar(k.ApproverName, gantry.User)}
		}
		v["approval"] = approval
	}
	return v
}

func (s *server) listServiceKeys(c *call) error {
	all, err := s.Store.ServiceKeys(c.r.Context(), "")
	if err != nil {
		return err
	}
	list := []any{}
	for _, k := range all {
		list = append(list, serviceKeyView(k))
	}
	return c.json(200, map[string]any{"keys": list})
}

var serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// keyID is what may name a key: its thumbprint, or what a service made up.
var keyID = regexp.MustCompile(`^[A-Za-z0-9._:=-]{1,128}$`)

// checkMetadata takes what somebody notes beside a key.
func checkMetadata(m map[string]any) (json.RawMessage, error) {
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxDescription {
		err = gantry.Errorf(gantry.Invalid, "metadata", "metadata is longer than %d bytes", maxDescription)
	}
	return b, err
}

// keyEnd reads the end of a key, in seconds of Unix time.
func (s *server) keyEnd(at int64) (time.Time, error) {
	if now := s.Store.Now(); at <= now.Unix() || at > now.AddDate(100, 0, 0).Unix() {
		return time.Time{}, gantry.Errorf(gantry.Invalid, "expiration", "expiration must be a time to come, in seconds since 1970")
	}
	return time.Unix(at, 0), nil
}

func (s *server) createServiceKey(c *call) error {
	var in struct {
		Service, Name, Notes string
		Metadata             map[string]any
		Expiration           *int64
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	switch {
	case !serviceName.MatchString(in.Service):
		return gantry.Errorf(gantry.Invalid, "service", "service must be 1 to 64 of a-z, 0-9, _ and -")
	case len(in.Name) > 255:
		return gantry.Errorf(gantry.Invalid, "name", "name is longer than 255 bytes")
	case len(in.Notes) > maxDescription:
		return gantry.Errorf(gantry.Invalid, "notes", "notes are longer than %d bytes", maxDescription)
	}
	k := store.ServiceKey{Name: in.Name, Service: in.Service, Approval: store.ApprovedBySuperuser, Approver: c.id.Account.ID, Notes: in.Notes}
	var err error
	if in.Metadata == nil {
		in.Metadata = map[string]any{}
	}
	in.Metadata["created_by"], in.Metadata["creator"], in.Metadata["superuser ip"] = "CLI tool or superuser API", c.id.Account.Name, c.id.Actor.IP
	if k.Metadata, err = checkMetadata(in.Metadata); err != nil {
		return err
	}
	if in.Expiration != nil {
		if k.Expires, err = s.keyEnd(*in.Expiration); err != nil {
			return err
		}
	}
	made, err := auth.MakeServiceKey()
	if err != nil {
		return err
	}
	k.ID, k.JWK = made.ID, made.JWK
	if err := s.Store.CreateServiceKey(c.r.Context(), k, c.id.Actor); err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return c.json(200, map[string]string{"kid": k.ID, "name": k.Name, "service": k.Service, "public_key": made.Public, "private_key": made.Private})
}

func (s *server) getServiceKey(c *call) error {
	k, err := s.Store.AnyServiceKey(c.r.Context(), cleanKey(c.params["kid"]))
	if err != nil {
		return err
	}
	return c.json(200, serviceKeyView(k))
}

// cleanKey is an id of a key, or one that no key has.
func cleanKey(kid string) string {
	if !keyID.MatchString(kid) {
		return "-"
	}
	return kid
}

// changeServiceKey changes what is given; null as expiration is no end.
func (s *server) changeServiceKey(c *call) error {
	var in struct {
		Name       *string
		Metadata   map[string]any
		Expiration json.RawMessage
	}
	if err := c.body(&in, false); err != nil {
		return err
	}
	change := store.ServiceKeyChange{Name: in.Name}
	if in.Name != nil && len(*in.Name) > 255 {
		return gantry.Errorf(gantry.Invalid, "name", "name is longer than 255 bytes")
	}
	var err error
	if in.Metadata != nil {
		if change.Metadata, err = checkMetadata(in.Metadata); err != nil {
			return err
		}
	}
	if in.Expiration != nil {
		var at *int64
		if json.Unmarshal(in.Expiration, &at) != nil {
			return gantry.Errorf(gantry.Invalid, "expiration", "expiration must be a number of seconds since 1970, or null")
		}
		var end time.Time
		if at != nil {
			if end, err = s.keyEnd(*at); err != nil {
				return err
			}
		}
		change.Expires = &end
	}
	k, err := s.Store.ChangeServiceKey(c.r.Context(), cleanKey(c.params["kid"]), change, c.id.Actor)
	if err != nil {
		return err
	}
	return c.json(200, serviceKeyView(k))
}

func (s *server) deleteServiceKey(c *call) error {
	k, err := s.Store.DeleteServiceKey(c.r.Context(), cleanKey(c.params["kid"]), c.id.Actor)
	if err != nil {
		return err
	}
	s.Auth.ForgetKey(k.ID)
	return c.empty()
}

func (s *server) approveServiceKey(c *call) error {
	var in struct{ Notes string }
	if err := c.body(&in, true); err != nil {
		return err
	}
	if len(in.Notes) > maxDescription {
		return gantry.Errorf(gantry.Invalid, "notes", "notes are longer than %d bytes", maxDescription)
	}
	kid := cleanKey(c.params["kid"])
	if err := s.Store.ApproveServiceKey(c.r.Context(), kid, in.Notes, c.id.Actor); err != nil {
		return err
	}
	s.Auth.ForgetKey(kid)
	return c.json(201, "")
}

// The key server. Services look each other's keys up there, and hand in and
// replace their own, signed with themselves or with the key before.

func (s *server) serveKeys(c *call) error {
	list := []json.RawMessage{}
	if service := c.params["service"]; serviceName.MatchString(service) {
		all, err := s.Store.ServiceKeys(c.r.Context(), service)
		if err != nil {
			return err
		}
		for _, k := range all {
			list = append(list, json.RawMessage(k.JWK))
		}
	}
	return c.json(200, map[string]any{"keys": list})
}

// keyOf finds a key of the service that the address names.
func (s *server) keyOf(c *call, kid string) (store.ServiceKey, error) {
	k, err := s.Store.AnyServiceKey(c.r.Context(), cleanKey(kid))
	if err == nil && k.Service != c.params["service"] {
		err = gantry.Errorf(gantry.NotFound, "key", "no such key")
	}
	return k, err
}

// serveKey tells an unapproved key (409) and an expired one (403) from one that
// is not there.
func (s *server) serveKey(c *call) error {
	k, err := s.keyOf(c, c.params["kid"])
	switch {
	case err != nil:
		return err
	case k.Approved.IsZero():
		return c.json(409, problem(c.r, answer{409, "invalid_request"}, "The key is not approved yet"))
	case !k.Valid(s.Store.Now()):
		return gantry.Errorf(gantry.Denied, "key", "The key has expired")
	}
	return c.json(200, json.RawMessage(k.JWK))
}

var errKeyToken = gantry.Errorf(gantry.Invalid, "token", "Send a JWT as bearer token: RS256, its key's id as kid, the service as iss, the registry's address as aud, and an exp at most an hour away")

// keyToken is the JWT of a call to the key server, and the id of the key that
// signed it; nothing is checked yet.
func (c *call) keyToken() (token, kid string, err error) {
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	kid, ok := auth.ServiceTokenKey(token)
	if !strings.EqualFold(scheme, "Bearer") || !ok || !keyID.MatchString(kid) {
		return "", "", errKeyToken
	}
	return token, kid, nil
}

// maxJWK is the size of a key that is submitted, in bytes.
const maxJWK = 16 << 10

// overlap is how long a key goes on after it was replaced: what it signed has
// ended by then.
const overlap = time.Hour

func (s *server) submitKey(c *call) error {
	service, kid := c.params["service"], c.params["kid"]
	token, signer, err := c.keyToken()
	if err != nil {
		return err
	}
	if !serviceName.MatchString(service) || !keyID.MatchString(kid) || kid == "-" {
		return gantry.Errorf(gantry.Invalid, "key", "The names of the service and of the key hold characters that are not taken")
	}
	k := store.ServiceKey{ID: kid, Service: service}
	q := c.r.URL.Query()
	if text := q.Get("expiration"); text != "" {
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return gantry.Errorf(gantry.Invalid, "expiration", "expiration must be a number of seconds since 1970")
		}
		if k.Expires, err = s.keyEnd(at); err != nil {
			return err
		}
	}
	if text := q.Get("rotation"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return gantry.Errorf(gantry.Invalid, "rotation", "rotation must be a number of seconds")
		}
		k.Rotation = time.Duration(n) * time.Second
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxJWK))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return gantry.Errorf(gantry.TooLarge, "body", "The key is larger than 16 KiB")
		}
		return gantry.Errorf(gantry.Invalid, "body", "The request's body could not be read")
	}
	if k.JWK, err = auth.CheckServiceJWK(raw, kid); err != nil {
		return err
	}
	actor := actorOf(c.r)
	if k.Metadata, err = checkMetadata(map[string]any{"ip": actor.IP}); err != nil {
		return err
	}
	ctx, now := c.r.Context(), s.Store.Now()
	if signer == kid { // a new one, signed with itself
		if err := auth.CheckServiceToken(token, k.JWK, service, s.base(c.r), now); err != nil {
			return errors.Join(errKeyToken, err)
		}
		if err := s.Store.CreateServiceKey(ctx, k, actor); err != nil {
			if gantry.Is(err, gantry.Conflict) {
				return c.json(409, problem(c.r, answer{409, "invalid_request"}, detail(err)))
			}
			return err
		}
		if s.Web.KeySubmitted != nil {
			s.Web.KeySubmitted(ctx, k)
		}
		return c.json(202, "")
	}
	old, err := s.keyOf(c, signer)
	if err != nil || !old.Valid(now) {
		return refuseSigner(err)
	}
	if err := auth.CheckServiceToken(token, old.JWK, service, s.base(c.r), now); err != nil {
		return errors.Join(errKeyToken, err)
	}
	actor.Name, actor.Kind = "service "+service, gantry.ActorAnonymous
	err = s.Store.RotateServiceKey(ctx, signer, k, overlap, actor)
	switch {
	case gantry.Is(err, gantry.NotFound):
		return refuseSigner(err)
	case gantry.Is(err, gantry.Conflict):
		return c.json(409, problem(c.r, answer{409, "invalid_request"}, detail(err)))
	case err != nil:
		return err
	}
	s.Auth.ForgetKey(signer)
	s.Auth.ForgetKey(kid)
	return c.json(200, "")
}

// refuseSigner is for a key that may not sign.
func refuseSigner(err error) error {
	if err != nil && !gantry.Is(err, gantry.NotFound) {
		return err
	}
	return gantry.Errorf(gantry.Denied, "key", "The key that signed the request is not an approved one of the service, or has expired")
}

// withdrawKey removes a key: itself, or another of its service where it is
// approved.
func (s *server) withdrawKey(c *call) error {
	token, signer, err := c.keyToken()
	if err != nil {
		return err
	}
	by, err := s.keyOf(c, signer)
	if err != nil {
		return refuseSigner(err)
	}
	if err := auth.CheckServiceToken(token, by.JWK, c.params["service"], s.base(c.r), s.Store.Now()); err != nil {
		return errors.Join(errKeyToken, err)
	}
	k, err := s.keyOf(c, c.params["kid"])
	if err != nil {
		return err
	}
	if k.ID != by.ID && !by.Valid(s.Store.Now()) {
		return refuseSigner(nil)
	}
	actor := actorOf(c.r)
	actor.Name = "service " + k.Service
	if _, err := s.Store.DeleteServiceKey(c.r.Context(), k.ID, actor); err != nil {
		return err
	}
	s.Auth.ForgetKey(k.ID)
	httpd.SetActor(c.r.Context(), actor.Name)
	return c.empty()
}
