package api

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A serviceSigner is a service with a key.
type serviceSigner struct {
	key *rsa.PrivateKey
	kid string
}

func newServiceSigner(t *testing.T, kid string) serviceSigner {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return serviceSigner{k, kid}
}

func (s serviceSigner) jwk(t *testing.T) string {
	t.Helper()
	b, err := jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s serviceSigner) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestServiceKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		db = storetest.Another(t, db, store.Options{Now: func() time.Time { return now }})
		w := newWorldOn(t, db)
		const keys = "/api/v1/superuser/keys"
		super, _ := w.user("root", true)
		root, err := w.svc.NewOAuthToken(t.Context(), super.ID, auth.AllScopes, 1000*time.Hour, gantry.Actor{})
		if err != nil {
			t.Fatal(err)
		}
		holds(t, w.want(200, "GET", keys, root, ""), `"approval_type":"Automatic"`, `"service":"quay"`) // the instance's own
		end := now.Add(time.Hour).Unix()
		made := w.want(200, "POST", keys, root, fmt.Sprintf(`{"service":"scanner","name":"the scanner","notes":"why not","metadata":{"a":1},"expiration":%d}`, end))
		kid := jsonText(t, made, "kid")
		block, _ := pem.Decode([]byte(jsonText(t, made, "private_key")))
		private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil || len(kid) != 64 || !strings.Contains(jsonText(t, made, "public_key"), "BEGIN PUBLIC KEY") {
			t.Fatal(made, err)
		}
		seen := w.want(200, "GET", keys+"/"+kid, root, "")
		holds(t, seen, `"name":"the scanner"`, `"notes":"why not"`, `"approval_type":"Super User API"`, `"name":"root"`, `"a":1`, `"creator":"root"`, `"kty":"RSA"`)
		lacks(t, seen, "PRIVATE", `"d":`)
		for _, bad := range []string{`{}`, `{"service":"A B"}`, `{"service":"x","expiration":1}`, `{"service":"x","expiration":"soon"}`, `{"service":"x","name":"` + strings.Repeat("x", 256) + `"}`,
			`{"service":"x","notes":"` + strings.Repeat("x", maxDescription+1) + `"}`, `{"service":"x","metadata":{"x":"` + strings.Repeat("x", maxDescription+1) + `"}}`} {
			w.want(400, "POST", keys, root, bad)
		}
		holds(t, w.want(200, "PUT", keys+"/"+kid, root, `{"name":"renamed"}`), `"name":"renamed"`, `"a":1`)
		holds(t, w.want(200, "PUT", keys+"/"+kid, root, `{"metadata":{"b":2}}`), `"name":"renamed"`, `"metadata":{"b":2}`)
		holds(t, w.want(200, "PUT", keys+"/"+kid, root, `{"expiration":null}`), `"expiration_date":null`)
		for _, bad := range []string{`{"expiration":1}`, `{"expiration":"x"}`, `{"name":"` + strings.Repeat("x", 256) + `"}`} {
			w.want(400, "PUT", keys+"/"+kid, root, bad)
		}
		for _, none := range []string{"none", "a%20b", strings.Repeat("x", 200)} {
			w.want(404, "GET", keys+"/"+none, root, "")
			w.want(404, "PUT", keys+"/"+none, root, `{}`)
			w.want(404, "DELETE", keys+"/"+none, root, "")
			w.want(404, "POST", "/api/v1/superuser/approvedkeys/"+none, root, "")
		}

		// The key server.
		const served = "/keys/services/scanner/keys"
		holds(t, w.want(200, "GET", served, "", ""), kid)
		holds(t, w.want(200, "GET", "/keys/services/other/keys", "", ""), `{"keys":[]}`)
		holds(t, w.want(200, "GET", served+"/"+kid, "", ""), `"kty":"RSA"`)
		w.want(404, "GET", "/keys/services/other/keys/"+kid, "", "")
		var submitted []string
		w = w.with(Options{Web: WebOptions{KeySubmitted: func(_ context.Context, k store.ServiceKey) { submitted = append(submitted, k.ID) }}})
		claims := func(more ...any) map[string]any {
			c := map[string]any{"iss": "scanner", "aud": w.url, "exp": now.Add(time.Minute).Unix(), "nbf": now.Unix(), "iat": now.Unix()}
			for i := 0; i+1 < len(more); i += 2 {
				c[more[i].(string)] = more[i+1]
			}
			return c
		}
		self := newServiceSigner(t, "self-1")
		for what, token := range map[string]string{"nothing": "", "nonsense": "x.y.z", "another audience": self.token(t, claims("aud", "https://other.example")),
			"another issuer": self.token(t, claims("iss", "quay")), "ended": self.token(t, claims("exp", now.Add(-time.Minute).Unix())), "no end": self.token(t, claims("exp", nil)),
			"no end near": self.token(t, claims("exp", now.Add(48*time.Hour).Unix())), "another key": serviceSigner{private, "self-1"}.token(t, claims())} {
			if s, body, _ := w.call("PUT", served+"/self-1", token, self.jwk(t)); s != 400 {
				t.Errorf("%s: %d %s", what, s, body)
			}
		}
		good := self.token(t, claims())
		for _, bad := range []string{"", "{}", `{"kty":"oct","k":"AAAA"}`, strings.Replace(self.jwk(t), "self-1", "other", 1)} {
			w.want(400, "PUT", served+"/self-1", good, bad)
		}
		w.want(413, "PUT", served+"/self-1", good, strings.Repeat(" ", maxJWK+1))
		w.want(400, "PUT", served+"/self-1?expiration=1", good, self.jwk(t))
		w.want(400, "PUT", served+"/self-1?rotation=x", good, self.jwk(t))
		w.want(202, "PUT", served+"/self-1?rotation=3600&expiration="+fmt.Sprint(end), self.token(t, claims("aud", []string{"x", w.url})), self.jwk(t))
		w.want(409, "PUT", served+"/self-1", good, self.jwk(t))
		if len(submitted) != 1 || submitted[0] != "self-1" {
			t.Error(submitted)
		}
		w.want(409, "GET", served+"/self-1", "", "")
		lacks(t, w.want(200, "GET", served, "", ""), "self-1")
		two := newServiceSigner(t, "self-2")
		w.want(403, "PUT", served+"/self-2", good, two.jwk(t)) // which nobody has approved
		w.want(403, "DELETE", served+"/"+kid, good, "")
		holds(t, w.want(200, "GET", keys+"/self-1", root, ""), `"approval":null`, `"rotation_duration":3600`)
		w.want(201, "POST", "/api/v1/superuser/approvedkeys/self-1", root, `{"notes":"known"}`)
		w.want(201, "POST", "/api/v1/superuser/approvedkeys/self-1", root, "") // again
		holds(t, w.want(200, "GET", keys+"/self-1", root, ""), `"notes":"known"`)
		w.want(200, "GET", served+"/self-1", "", "")
		w.want(403, "PUT", "/keys/services/quay/keys/self-2", self.token(t, claims("iss", "quay")), two.jwk(t)) // of another service
		w.want(200, "PUT", served+"/self-2", good, two.jwk(t))
		holds(t, w.want(200, "GET", keys+"/self-2", root, ""), `"approval_type":"Key Rotation"`)
		w.want(200, "GET", served+"/self-1", "", "") // for a while
		now = now.Add(overlap)
		w.want(403, "GET", served+"/self-1", "", "")
		w.want(403, "PUT", served+"/self-3", self.token(t, claims()), newServiceSigner(t, "self-3").jwk(t))
		w.want(204, "DELETE", served+"/self-1", two.token(t, claims()), "")
		w.want(404, "GET", served+"/self-1", "", "")
		w.want(404, "DELETE", served+"/none", two.token(t, claims()), "")
		three := newServiceSigner(t, "self-3")
		w.want(202, "PUT", served+"/self-3", three.token(t, claims()), three.jwk(t))
		w.want(204, "DELETE", served+"/self-3", three.token(t, claims()), "") // itself
		w.want(202, "PUT", served+"/self-3", three.token(t, claims()), three.jwk(t))
		w.want(204, "DELETE", keys+"/"+kid, root, "")
		w.want(404, "GET", served+"/"+kid, "", "")

		// Unapproved keys wait for a day.
		now = now.Add(23 * time.Hour)
		w.svc.Tick(t.Context())
		w.want(409, "GET", served+"/self-3", "", "")
		now = now.Add(2 * time.Hour)
		w.svc.Tick(t.Context())
		w.want(404, "GET", served+"/self-3", "", "")
		if n := storetest.Get(t, db, `SELECT COUNT(*) FROM service_key_details`); n != 1 { // of self-2
			t.Errorf("%d details are kept", n)
		}
		for kind, want := range map[string]int64{"service_key_create": 4, "service_key_approve": 1, "service_key_modify": 2, "service_key_extend": 1, "service_key_rotate": 1, "service_key_delete": 3} {
			if n := w.events(kind); n != want {
				t.Errorf("%d rows of %s, want %d", n, kind, want)
			}
		}
		lacks(t, w.want(200, "GET", "/api/v1/user/logs", root, ""), "service_key")
	})
}

// TestSubmittedKeys: strangers fill the table so far and no further.
func TestSubmittedKeys(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite, store.Options{})
	w := newWorldOn(t, db)
	one := newServiceSigner(t, "")
	var last int
	for i := range 101 {
		one.kid = fmt.Sprintf("key-%d", i)
		last, _, _ = w.call("PUT", "/keys/services/x/keys/"+one.kid, one.token(t, map[string]any{"iss": "x", "aud": w.url, "exp": time.Now().Add(time.Minute).Unix()}), one.jwk(t))
		if last != 202 && i < 100 {
			t.Fatal(i, last)
		}
	}
	if last != 429 {
		t.Error(last)
	}
	_, root := w.user("root", true)
	w.want(200, "POST", "/api/v1/superuser/keys", root, `{"service":"x"}`) // superusers go on
}
