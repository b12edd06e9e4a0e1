package s3

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // CloudFront's signatures are made with it
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
)

// A CDN makes the URLs that clients are sent to: NewCloudFront, NewCloudflare
// and NewAkamai. A client whose address is not known is sent to the bucket.
type CDN interface {
	url(ctx context.Context, e *Engine, key string, o blob.URLOptions) (string, error)
}

// Direct says which clients go to the bucket though there is a CDN: those in
// the bucket's own network, for whom that is near and costs nothing. The zero
// value sends all to the CDN.
type Direct struct {
	Networks *Networks // nil = nobody is known to be there
	// Never are namespaces whose clients use the CDN wherever they are
	// (CDN_SPECIFIC_NAMESPACES).
	Never []string
}

// direct reports whether the client goes to the bucket.
func (d Direct) direct(e *Engine, o blob.URLOptions) bool {
	if !o.Client.IsValid() {
		return true
	}
	for _, ns := range d.Never {
		if ns == o.Namespace {
			return false
		}
	}
	return d.Networks != nil && d.Networks.Contains(e.o.Region, o.Client)
}

// about are the parameters by which a CDN's logs tell who fetched what.
func about(o blob.URLOptions) url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"namespace": o.Namespace, "username": o.User, "repo_name": o.Repository} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

// CloudFrontOptions are what NewCloudFront needs; all but Domains and Direct
// are required.
type CloudFrontOptions struct {
	Domain  string            // of the distribution
	Domains map[string]string // of namespaces that have another one
	KeyID   string            // id of the key
	Key     []byte            // PEM of the RSA key that signs
	Direct  Direct
}

type cloudFront struct {
	o   CloudFrontOptions
	key *rsa.PrivateKey
}

// NewCloudFront returns Amazon's CDN. Its origin path is storage_path: URLs
// have the key alone. They are signed with a canned policy.
func NewCloudFront(o CloudFrontOptions) (CDN, error) {
	key, err := rsaKey(o.Key)
	if err != nil {
		return nil, err
	}
	for _, d := range append([]string{o.Domain}, values(o.Domains)...) {
		if err := checkDomain(d); err != nil {
			return nil, err
		}
	}
	if o.KeyID == "" {
		return nil, errors.New("the id of the key is missing")
	}
	return &cloudFront{o, key}, nil
}

func values(m map[string]string) (list []string) {
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

var domain = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

func checkDomain(d string) error {
	if !domain.MatchString(d) {
		return fmt.Errorf("%q is not a domain", d)
	}
	return nil
}

// rsaKey reads a PEM file.
func rsaKey(b []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("the key is not a PEM file")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the file is not a private key without a password")
	}
	key, ok := any.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not an RSA key")
	}
	return key, nil
}

func (c *cloudFront) url(ctx context.Context, e *Engine, key string, o blob.URLOptions) (string, error) {
	if c.o.Direct.direct(e, o) {
		return e.presign(ctx, key, o)
	}
	host := c.o.Domain
	if d, ok := c.o.Domains[o.Namespace]; ok {
		host = d
	}
	u := "https://" + host + "/" + escape(key)
	join := "?"
	if q := about(o); len(q) > 0 {
		u += "?" + q.Encode()
		join = "&"
	}
	ends := strconv.FormatInt(e.net.now().Add(o.Expires).Unix(), 10)
	policy := `{"Statement":[{"Resource":"` + u + `","Condition":{"DateLessThan":{"AWS:EpochTime":` + ends + `}}}]}`
	sum := sha1.Sum([]byte(policy)) //nolint:gosec // as CloudFront has it
	sig, err := rsa.SignPKCS1v15(nil, c.key, crypto.SHA1, sum[:])
	if err != nil {
		return "", e.failed(ctx, "sign a URL of", key, err)
	}
	text := strings.NewReplacer("+", "-", "=", "_", "/", "~").Replace(base64.StdEncoding.EncodeToString(sig))
	return u + join + "Expires=" + ends + "&Signature=" + text + "&Key-Pair-Id=" + url.QueryEscape(c.o.KeyID), nil
}

// CloudflareOptions are what NewCloudflare needs. Without a Key, clients are
// sent to the bucket.
type CloudflareOptions struct {
	Domain string
	Key    []byte // PEM of the RSA key that signs
	Direct Direct
}

type cloudflare struct {
	o   CloudflareOptions
	key *rsa.PrivateKey
}

// NewCloudflare returns Cloudflare's CDN with a worker that checks what Quay
// signs: the URL of the bucket on the domain, with cf_sign over the path and
// cf_expiry.
func NewCloudflare(o CloudflareOptions) (CDN, error) {
	c := &cloudflare{o: o}
	if err := checkDomain(o.Domain); err != nil {
		return nil, err
	}
	var err error
	if len(o.Key) > 0 {
		c.key, err = rsaKey(o.Key)
	}
	return c, err
}

func (c *cloudflare) url(ctx context.Context, e *Engine, key string, o blob.URLOptions) (string, error) {
	if c.key == nil || c.o.Direct.direct(e, o) {
		return e.presign(ctx, key, o)
	}
	u, err := e.presigned(ctx, key, o)
	if err != nil {
		return "", err
	}
	u.Scheme, u.Host = "https", c.o.Domain
	ends := strconv.FormatInt(e.net.now().Add(o.Expires).Unix(), 10)
	sum := sha256.Sum256([]byte(u.EscapedPath() + "@" + ends))
	sig, err := rsa.SignPKCS1v15(nil, c.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", e.failed(ctx, "sign a URL of", key, err)
	}
	q := u.Query()
	for name, v := range about(blob.URLOptions{Namespace: o.Namespace, User: o.User}) {
		q[name] = v
	}
	q.Set("cf_sign", base64.StdEncoding.EncodeToString(sig))
	q.Set("cf_expiry", ends)
	q.Set("region", e.region())
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// region is the bucket's.
func (e *Engine) region() string { return e.client.Options().Region }

// AkamaiOptions are what NewAkamai needs.
type AkamaiOptions struct {
	Domain string
	Secret string // the key of EdgeAuth, in hex digits
	// Encryption is the key of 16, 24 or 32 bytes that the S3 signature is
	// encrypted with, for a property that decrypts it at the edge; "" = not.
	Encryption string
	Direct     Direct
}

const (
	akamaiToken = "akamai_signature"
	// akamaiWindow is how long a download may begin; akamaiExpiry, how long the
	// edge may go back to the bucket for it.
	akamaiWindow = 15 * time.Minute
	akamaiExpiry = time.Hour
)

type akamai struct {
	o     AkamaiOptions
	key   []byte
	block cipher.Block // nil = the signature is not encrypted
}

// NewAkamai returns Akamai's CDN: the URL of the bucket on the domain, with a
// token of EdgeAuth for its path.
func NewAkamai(o AkamaiOptions) (CDN, error) {
	if err := checkDomain(o.Domain); err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(o.Secret)
	if err != nil || len(key) == 0 {
		return nil, errors.New("the shared secret must be an even number of hex digits")
	}
	a := &akamai{o: o, key: key}
	if o.Encryption != "" {
		if a.block, err = aes.NewCipher([]byte(o.Encryption)); err != nil {
			return nil, errors.New("the encryption token must have 16, 24 or 32 bytes")
		}
	}
	return a, nil
}

func (a *akamai) url(ctx context.Context, e *Engine, key string, o blob.URLOptions) (string, error) {
	o.Expires = akamaiExpiry
	if a.o.Direct.direct(e, o) {
		return e.presign(ctx, key, o)
	}
	u, err := e.presigned(ctx, key, o)
	if err != nil {
		return "", err
	}
	u.Scheme, u.Host = "https", a.o.Domain
	q := u.Query()
	if a.block != nil {
		iv := make([]byte, aes.BlockSize)
		_, _ = rand.Read(iv) // never fails
		text := []byte(q.Get("X-Amz-Signature"))
		pad := aes.BlockSize - len(text)%aes.BlockSize
		text = append(text, strings.Repeat(string(rune(pad)), pad)...)
		cipher.NewCBCEncrypter(a.block, iv).CryptBlocks(text, text)
		q.Set("X-Amz-Signature", base64.StdEncoding.EncodeToString(text))
		q.Set("initializationVector", base64.StdEncoding.EncodeToString(iv))
	}
	q.Set("region", e.region())
	for name, v := range about(o) {
		q[name] = v
	}
	// The token goes last, as it is: the edge takes it off before the bucket's
	// signature is checked.
	u.RawQuery = q.Encode() + "&" + akamaiToken + "=" + a.token(u.EscapedPath(), e.net.now().Add(akamaiWindow))
	return u.String(), nil
}

var escapes = regexp.MustCompile(`%..`)

// token is EdgeAuth's for a path, until ends.
func (a *akamai) token(path string, ends time.Time) string {
	token := "exp=" + strconv.FormatInt(ends.Unix(), 10)
	early := escapes.ReplaceAllStringFunc(url.QueryEscape(path), strings.ToLower)
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(token + "~url=" + early)) // never fails
	return token + "~hmac=" + hex.EncodeToString(h.Sum(nil))
}

// A Rule says which of several engines makes the URL. What is "" fits always.
type Rule struct {
	Namespace string
	Continent string // by a database of addresses, which there is not: such a rule fits nobody
	Host      string // that the client asked
	Target    string // name of the engine
}

// A Multi is an Engine that sends clients to one of several CDNs in front of
// its bucket.
type Multi struct {
	*Engine // keeps the objects, and makes the URLs where no rule fits
	rules   []Rule
	others  map[string]*Engine
}

// NewMulti returns an Engine that keeps objects in first and makes URLs by the
// first rule that fits. Closing it closes all.
func NewMulti(first *Engine, rules []Rule, others map[string]*Engine) (*Multi, error) {
	for _, r := range rules {
		if others[r.Target] == nil {
			return nil, fmt.Errorf("the target %q of a rule is no provider", r.Target)
		}
	}
	return &Multi{first, rules, others}, nil
}

// URL implements blob.Engine.
func (m *Multi) URL(ctx context.Context, key string, o blob.URLOptions) (string, error) {
	for _, r := range m.rules {
		if r.Continent == "" && (r.Namespace == "" || r.Namespace == o.Namespace) && (r.Host == "" || r.Host == o.Host) {
			return m.others[r.Target].URL(ctx, key, o)
		}
	}
	return m.Engine.URL(ctx, key, o)
}

// Close closes all engines.
func (m *Multi) Close() error {
	errs := []error{m.Engine.Close()}
	for _, e := range m.others {
		if e != m.Engine {
			errs = append(errs, e.Close())
		}
	}
	return errors.Join(errs...)
}
