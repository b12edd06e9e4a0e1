package servertest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// The account of a Keystone.
const (
	KeystoneUser     = "gantry"
	KeystonePassword = "keystone-secret"
)

// A Keystone is a stand-in for the two calls of Keystone's API that give
// tokens, of versions 2.0 and 3: for one user in one project, strictly as
// documented. The tokens are the Swift server's own.
type Keystone struct {
	URL string // without a version

	swift   *SwiftServer
	revoked atomic.Int64
}

// NewKeystone starts one for a Swift server, until the test ends.
func NewKeystone(t testing.TB, s *SwiftServer) *Keystone {
	t.Helper()
	k := &Keystone{swift: s}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", k.v3)
	mux.HandleFunc("POST /v2.0/tokens", k.v2)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	k.URL = srv.URL
	return k
}

// Revoke has the next tokens be of no use once: a client has to sign in again.
func (k *Keystone) Revoke() { k.revoked.Store(1) }

func (k *Keystone) token(ctx context.Context) (token, storage string, err error) {
	token, storage, err = k.swift.SignIn(ctx)
	if k.revoked.CompareAndSwap(1, 0) {
		token += "x"
	}
	return token, storage, err
}

// read compares a body with what is expected of it: nothing more, nothing less.
func (k *Keystone) read(r *http.Request, want string) (status int) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || r.Header.Get("Content-Type") != "application/json" {
		return http.StatusBadRequest
	}
	var got, expected any
	if json.Unmarshal(body, &got) != nil || json.Unmarshal([]byte(want), &expected) != nil {
		return http.StatusBadRequest
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(expected)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

func (k *Keystone) v3(w http.ResponseWriter, r *http.Request) {
	status := k.read(r, `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "`+KeystoneUser+`", "password": "`+KeystonePassword+`", "domain": {"name": "Default"}}}},
		"scope": {"project": {"name": "images", "domain": {"name": "Default"}}}}}`)
	token, storage, err := k.token(r.Context())
	if err != nil {
		status = http.StatusBadGateway
	}
	if status != http.StatusOK {
		http.Error(w, `{"error": {"message": "The request you have made requires authentication."}}`, status)
		return
	}
	w.Header().Set("X-Subject-Token", token)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{ // the client sees it
		"expires_at": "2099-01-01T00:00:00.000000Z",
		"catalog": []any{
			map[string]any{"type": "compute", "endpoints": []any{map[string]any{"region": "two", "interface": "public", "url": "http://127.0.0.1:1"}}},
			map[string]any{"type": "object-store", "endpoints": []any{
				map[string]any{"region": "one", "region_id": "one", "interface": "public", "url": "http://127.0.0.1:1/one"},
				map[string]any{"region": "two", "region_id": "two", "interface": "internal", "url": "http://127.0.0.1:1/internal"},
				map[string]any{"region": "two", "region_id": "two", "interface": "public", "url": storage},
			}},
		},
	}})
}

func (k *Keystone) v2(w http.ResponseWriter, r *http.Request) {
	status := k.read(r, `{"auth": {"passwordCredentials": {"username": "`+KeystoneUser+`", "password": "`+KeystonePassword+`"}, "tenantName": "images"}}`)
	token, storage, err := k.token(r.Context())
	if err != nil {
		status = http.StatusBadGateway
	}
	if status != http.StatusOK {
		http.Error(w, `{"error": {"message": "The request you have made requires authentication."}}`, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access": map[string]any{ // the client sees it
		"token": map[string]any{"id": token, "expires": "2099-01-01T00:00:00Z"},
		"serviceCatalog": []any{map[string]any{"type": "object-store", "endpoints": []any{
			map[string]any{"region": "one", "publicURL": "http://127.0.0.1:1/one"}, map[string]any{"region": "two", "publicURL": storage},
		}}},
	}})
}
