package gantry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// A Digest is "<algorithm>:<lower-case hex>", as in the OCI image
// specification ("Digests"). The algorithms are sha256 and sha512. The zero
// value is no digest.
type Digest string

// The digest algorithms.
const (
	SHA256 = "sha256"
	SHA512 = "sha512"
)

// The first byte of Digest.Bytes.
const (
	binSHA256 = 1
	binSHA512 = 2
)

// ParseDigest checks s and returns it in canonical form. Upper-case hex is
// taken and lowered. The error is Invalid on "digest", for an algorithm that
// is not known too.
func ParseDigest(s string) (Digest, error) {
	alg, enc, ok := strings.Cut(s, ":")
	if !ok || alg == "" || enc == "" {
		return "", Errorf(Invalid, "digest", "digest %s is not of the form algorithm:hex", quote(s))
	}
	want := 0
	switch alg {
	case SHA256:
		want = 2 * sha256.Size
	case SHA512:
		want = 2 * sha512.Size
	default:
		return "", Errorf(Invalid, "digest", "digest algorithm %s is not supported; use sha256 or sha512", quote(alg))
	}
	if len(enc) != want {
		return "", Errorf(Invalid, "digest", "a %s digest has %d hexadecimal digits, not %d", alg, want, len(enc))
	}
	lower := true
	for i := range len(enc) {
		switch c := enc[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			lower = false
		default:
			return "", Errorf(Invalid, "digest", "digest %s holds a character that is not hexadecimal", quote(s))
		}
	}
	if !lower {
		return Digest(alg + ":" + strings.ToLower(enc)), nil
	}
	return Digest(s), nil
}

// Algorithm returns "sha256" or "sha512".
func (d Digest) Algorithm() string {
	alg, _, _ := strings.Cut(string(d), ":")
	return alg
}

// Hex returns the lower-case hexadecimal part.
func (d Digest) Hex() string {
	_, enc, _ := strings.Cut(string(d), ":")
	return enc
}

// String returns the digest as text.
func (d Digest) String() string { return string(d) }

// Bytes returns the stored form: one byte for the algorithm, then the sum.
// It is nil for the zero Digest.
func (d Digest) Bytes() []byte {
	alg, enc, ok := strings.Cut(string(d), ":")
	if !ok {
		return nil
	}
	b := make([]byte, 1+len(enc)/2)
	switch alg {
	case SHA256:
		b[0] = binSHA256
	case SHA512:
		b[0] = binSHA512
	default:
		return nil
	}
	if _, err := hex.Decode(b[1:], []byte(enc)); err != nil {
		return nil
	}
	return b
}

// DigestFromBytes is the inverse of Digest.Bytes. It returns "" for anything
// that Bytes did not make.
func DigestFromBytes(b []byte) Digest {
	switch {
	case len(b) == 1+sha256.Size && b[0] == binSHA256:
		return Digest(SHA256 + ":" + hex.EncodeToString(b[1:]))
	case len(b) == 1+sha512.Size && b[0] == binSHA512:
		return Digest(SHA512 + ":" + hex.EncodeToString(b[1:]))
	}
	return ""
}

// NewHash returns a hash of the algorithm, or nil if it is not known.
func NewHash(algorithm string) hash.Hash {
	switch algorithm {
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	}
	return nil
}

// DigestOf returns the digest that h has summed so far.
func DigestOf(algorithm string, h hash.Hash) Digest {
	return Digest(algorithm + ":" + hex.EncodeToString(h.Sum(nil)))
}

// FromBytes returns the sha256 digest of b.
func FromBytes(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(SHA256 + ":" + hex.EncodeToString(sum[:]))
}

// Key returns the object key of the blob in Quay's layout:
// "<algorithm>/<first 2 hex>/<hex>", below the storage path.
func (d Digest) Key() string {
	alg, enc, _ := strings.Cut(string(d), ":")
	if len(enc) < 2 {
		return ""
	}
	return alg + "/" + enc[:2] + "/" + enc
}

// DigestFromKey is the inverse of Digest.Key; ok is false for any other key.
func DigestFromKey(key string) (d Digest, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 || len(parts[2]) < 2 || parts[1] != parts[2][:2] {
		return "", false
	}
	d, err := ParseDigest(parts[0] + ":" + parts[2])
	return d, err == nil && d.Key() == key
}

// quote shortens and quotes what a client sent, for a message.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8("\""+strings.Map(printable, s)+"\"", "?")
}

func printable(r rune) rune {
	if r < 0x20 || r == 0x7f {
		return '?'
	}
	return r
}

// SignatureTag is the tag under which cosign keeps the signatures of d where
// there are no referrers: sha256-<hex>.sig.
func (d Digest) SignatureTag() string { return strings.Replace(string(d), ":", "-", 1) + ".sig" }

// SignatureTypes are the types of artifacts that sign their subject: cosign's,
// those of sigstore's bundles, and notation's. Who signed is in none of them.
func SignatureTypes() []string {
	return []string{
		"application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.dev.cosign.simplesigning.v1+json",
		"application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3",
		"application/vnd.dev.sigstore.bundle+json;version=0.2", "application/vnd.dev.sigstore.bundle+json;version=0.1",
		"application/vnd.cncf.notary.signature",
	}
}
