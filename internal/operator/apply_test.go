package operator

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestDiffers: what is said has to be so, and what others add is left alone.
func TestDiffers(t *testing.T) {
	for _, c := range []struct{ want, there, at string }{
		{`{"a": 1}`, `{"a": 1, "b": 2}`, ""},
		{`{"a": {"b": "x"}}`, `{"a": {"b": "y"}}`, "a.b"},
		{`{"a": {"b": "x"}}`, `{}`, "a"},
		{`{"a": {}}`, `{}`, ""},
		{`{"a": []}`, `{}`, ""},
		{`{"a": "", "b": false, "c": 0}`, `{}`, ""},
		{`{"a": false}`, `{"a": true}`, "a"},
		{`{"a": 0}`, `{"a": 1}`, "a"},
		{`{"a": [1, 2]}`, `{"a": [1, 2, 3]}`, "a"},
		{`{"a": [1, 2]}`, `{"a": [1, 3]}`, "a[1]"},
		{`{"a": [{"name": "x", "v": 1}]}`, `{"a": [{"name": "sidecar"}, {"name": "x", "v": 1, "more": 2}]}`, ""},
		{`{"a": [{"name": "x", "v": 1}]}`, `{"a": [{"name": "x", "v": 2}]}`, "a[x].v"},
		{`{"a": [{"name": "x"}]}`, `{"a": [{"name": "y"}]}`, "a[x]"},
		{`{"a": "x"}`, `{"a": ["x"]}`, "a"},
		{`{"a": ["x"]}`, `{"a": "x"}`, "a"},
		{`{"a": {"b": 1}}`, `{"a": 3}`, "a"},
		{`"x"`, `"y"`, "."},
	} {
		var want, there any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.there), &there); err != nil {
			t.Fatal(err)
		}
		if got := differs(want, there, ""); got != c.at {
			t.Errorf("%s in %s differs at %q; want %q", c.want, c.there, got, c.at)
		}
	}
	if differs(map[string]any{"n": int64(3)}, map[string]any{"n": float64(3)}, "") != "" {
		t.Error("3 differs from 3")
	}
}

// TestIssue: a certificate that is made anew is by the authority that clients
// trust already, until that ends itself.
func TestIssue(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	first, err := issue(nil, []string{"r.ns.svc", "127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(data map[string][]byte, trust []byte, host string, at time.Time) error {
		block, _ := pem.Decode(data[corev1.TLSCertKey])
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(trust)
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: at})
		return err
	}
	for _, host := range []string{"r.ns.svc", "127.0.0.1"} {
		if err := verify(first, first["ca.crt"], host, now); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if verify(first, first["ca.crt"], "other", now) == nil || verify(first, first["ca.crt"], "r.ns.svc", now.Add(2*certificateLife)) == nil {
		t.Error("a certificate is good for anything")
	}
	later := now.Add(certificateLife)
	second, err := issue(first, []string{"r.ns.svc"}, later)
	if err != nil || verify(second, first["ca.crt"], "r.ns.svc", later) != nil || string(second[corev1.TLSCertKey]) == string(first[corev1.TLSCertKey]) {
		t.Errorf("the second certificate: %v", err)
	}
	late := now.Add(authorityLife - time.Hour)
	third, err := issue(second, []string{"r.ns.svc"}, late)
	if err != nil || string(third["ca.crt"]) == string(first["ca.crt"]) || verify(third, third["ca.crt"], "r.ns.svc", late) != nil {
		t.Errorf("the authority ends, and is kept: %v", err)
	}
}
