package s3

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
)

func testKey(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// cdnEngine is an engine that no request reaches.
func cdnEngine(t *testing.T, c CDN) *Engine {
	t.Helper()
	return engineOf(t, Options{Bucket: "bucket", Prefix: "/registry", Region: "eu-west-1", Credentials: Credentials{AccessKey: "AK", SecretKey: "very secret"}, CDN: c})
}

var visitor = blob.URLOptions{Client: netip.MustParseAddr("192.0.2.7"), Namespace: "acme", Repository: "app", User: "ada", Host: "registry.example.com"}

func mustURL(t *testing.T, e blob.Engine, o blob.URLOptions) *url.URL {
	t.Helper()
	s, err := e.URL(t.Context(), "sha256/ab/abcd", o)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || strings.Contains(s, "very secret") {
		t.Fatalf("URL %q: %v", s, err)
	}
	return u
}

func TestCloudFront(t *testing.T) {
	key, text := testKey(t)
	networks, err := ParseNetworks([]byte(`{"prefixes":[{"ip_prefix":"198.51.100.0/24","region":"eu-west-1"},{"ip_prefix":"203.0.113.0/24","region":"us-east-1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCloudFront(CloudFrontOptions{Domain: "d1.cloudfront.net", Domains: map[string]string{"other": "d2.cloudfront.net"}, KeyID: "K1", Key: text,
		Direct: Direct{Networks: networks, Never: []string{"special"}}})
	if err != nil {
		t.Fatal(err)
	}
	e := cdnEngine(t, c)
	o := visitor
	u := mustURL(t, e, o)
	if u.Host != "d1.cloudfront.net" || u.Path != "/sha256/ab/abcd" || u.Query().Get("Key-Pair-Id") != "K1" || u.Query().Get("namespace") != "acme" {
		t.Errorf("URL %s", u)
	}
	resource, rest, _ := strings.Cut(u.String(), "&Expires=")
	ends, _, _ := strings.Cut(rest, "&")
	sum := sha1.Sum([]byte(`{"Statement":[{"Resource":"` + resource + `","Condition":{"DateLessThan":{"AWS:EpochTime":` + ends + `}}}]}`))
	sig, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "=", "~", "/").Replace(u.Query().Get("Signature")))
	if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA1, sum[:], sig) != nil {
		t.Errorf("the signature of %s is not that of its policy", u)
	}
	o.Namespace = "other"
	if u := mustURL(t, e, o); u.Host != "d2.cloudfront.net" {
		t.Errorf("URL of another namespace: %s", u)
	}
	for client, bucket := range map[string]bool{"198.51.100.9": true, "::ffff:198.51.100.9": true, "203.0.113.9": false, "": true} {
		o := visitor
		o.Client, _ = netip.ParseAddr(client)
		if u := mustURL(t, e, o); strings.HasPrefix(u.Host, "bucket.") != bucket {
			t.Errorf("URL for %q: %s", client, u)
		}
	}
	o.Client, o.Namespace = netip.MustParseAddr("198.51.100.9"), "special"
	if u := mustURL(t, e, o); u.Host != "d1.cloudfront.net" {
		t.Errorf("URL of a namespace of the CDN: %s", u)
	}
	for _, bad := range []CloudFrontOptions{{Domain: "x/y", KeyID: "k", Key: text}, {Domain: "x", Key: text}, {Domain: "x", KeyID: "k", Key: []byte("k")}} {
		if _, err := NewCloudFront(bad); err == nil {
			t.Errorf("NewCloudFront takes %+v", bad)
		}
	}
}

func TestCloudflare(t *testing.T) {
	key, text := testKey(t)
	c, err := NewCloudflare(CloudflareOptions{Domain: "cdn.example.com", Key: text})
	if err != nil {
		t.Fatal(err)
	}
	u := mustURL(t, cdnEngine(t, c), visitor)
	q := u.Query()
	if u.Host != "cdn.example.com" || u.Path != "/registry/sha256/ab/abcd" || q.Get("region") != "eu-west-1" || q.Get("namespace") != "acme" || q.Get("username") != "ada" || q.Get("X-Amz-Signature") == "" {
		t.Errorf("URL %s", u)
	}
	sum := sha256.Sum256([]byte(u.Path + "@" + q.Get("cf_expiry")))
	sig, err := base64.StdEncoding.DecodeString(q.Get("cf_sign"))
	if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		t.Errorf("the signature of %s is wrong", u)
	}
	if c, err = NewCloudflare(CloudflareOptions{Domain: "cdn.example.com"}); err != nil {
		t.Fatal(err)
	}
	if u := mustURL(t, cdnEngine(t, c), visitor); !strings.HasPrefix(u.Host, "bucket.") {
		t.Errorf("URL without a key: %s", u)
	}
}

func TestAkamai(t *testing.T) {
	const secret, encryption = "52a152a152a152a152a152a152a1", "0123456789abcdef"
	for _, enc := range []string{"", encryption} {
		c, err := NewAkamai(AkamaiOptions{Domain: "edge.example.com", Secret: secret, Encryption: enc})
		if err != nil {
			t.Fatal(err)
		}
		u := mustURL(t, cdnEngine(t, c), visitor)
		q := u.Query()
		exp, mac, ok := strings.Cut(q.Get("akamai_signature"), "~hmac=")
		keyBytes, err := hex.DecodeString(secret)
		if err != nil {
			t.Fatal(err)
		}
		h := hmac.New(sha256.New, keyBytes)
		h.Write([]byte(exp + "~url=%2fregistry%2fsha256%2fab%2fabcd"))
		if !ok || mac != hex.EncodeToString(h.Sum(nil)) || u.Host != "edge.example.com" || q.Get("repo_name") != "app" || q.Get("X-Amz-Expires") != "3600" {
			t.Errorf("URL %s", u)
		}
		if enc == "" {
			continue
		}
		block, err := aes.NewCipher([]byte(enc))
		if err != nil {
			t.Fatal(err)
		}
		iv, err1 := base64.StdEncoding.DecodeString(q.Get("initializationVector"))
		b, err2 := base64.StdEncoding.DecodeString(q.Get("X-Amz-Signature"))
		if err1 != nil || err2 != nil || len(iv) != 16 || len(b) != 80 {
			t.Fatalf("URL %s", u)
		}
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(b, b)
		if _, err := hex.DecodeString(string(b[:64])); err != nil || b[79] != 16 {
			t.Errorf("the signature is %q", b)
		}
	}
	if _, err := NewAkamai(AkamaiOptions{Domain: "x", Secret: "no hex"}); err == nil {
		t.Error("NewAkamai takes a secret that is no hex")
	}
}

// The token of a fixed time, computed with openssl:
//
//	printf 'exp=1700000000~url=%%2fa%%2fb' | openssl dgst -sha256 -mac HMAC -macopt hexkey:00112233
func TestAkamaiVector(t *testing.T) {
	a := &akamai{key: []byte{0x00, 0x11, 0x22, 0x33}}
	if got, want := a.token("/a/b", time.Unix(1700000000, 0)), "exp=1700000000~hmac=3d26d0bc7c8d5c2504e14f35dff0220dfd6f4eb5cbe1af79a9aad1cb9b0727de"; got != want {
		t.Errorf("token %s; want %s", got, want)
	}
}

func TestMulti(t *testing.T) {
	var others = map[string]*Engine{}
	for _, name := range []string{"one", "two", "three"} {
		c, err := NewAkamai(AkamaiOptions{Domain: name + ".example.com", Secret: "00"})
		if err != nil {
			t.Fatal(err)
		}
		others[name] = cdnEngine(t, c)
	}
	m, err := NewMulti(others["one"], []Rule{{Continent: "EU", Target: "three"}, {Namespace: "acme", Host: "eu.example.com", Target: "two"}, {Namespace: "big", Target: "three"}}, others)
	if err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]blob.URLOptions{
		"one.example.com": visitor, "two.example.com": {Client: visitor.Client, Namespace: "acme", Host: "eu.example.com"}, "three.example.com": {Client: visitor.Client, Namespace: "big"},
	} {
		if u := mustURL(t, m, o); u.Host != want {
			t.Errorf("URL for %+v: %s; want %s", o, u, want)
		}
	}
	if _, ok := blob.As[blob.Forker](blob.Engine(m)); !ok {
		t.Error("it is no Forker")
	}
	if _, err := NewMulti(others["one"], []Rule{{Target: "four"}}, others); err == nil {
		t.Error("NewMulti takes a target that is not there")
	}
}

func FuzzNetworks(f *testing.F) {
	f.Add([]byte(`{"prefixes":[{"ip_prefix":"198.51.100.0/24","region":"a"}],"ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/32","region":"b"}]}`), "198.51.100.1")
	f.Add([]byte(`{"prefixes":[{"ip_prefix":"0.0.0.0/0","region":"a"}]}`), "::1")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		n, err := ParseNetworks(b)
		if err != nil {
			return
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return
		}
		want := false
		for _, r := range n.ranges {
			want = want || r.prefix.Contains(a.Unmap().WithZone(""))
		}
		if got := n.Contains("", a); got != want {
			t.Fatalf("Contains(%s) = %v; want %v of %v", a, got, want, n.ranges)
		}
	})
}
