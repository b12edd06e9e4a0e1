package quaytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
)

// Media types of manifests and of what they name.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerSigned   = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar+gzip"
	ociEmpty       = "application/vnd.oci.empty.v1+json"
	helmConfig     = "application/vnd.cncf.helm.config.v1+json"
	helmChart      = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	sbom           = "application/vnd.example.sbom.v1+json"
)

// emptyLayer is a gzipped tar without any file; manifests of schema 1 name it
// for every step that changes none.
var emptyLayer = []byte{
	0x1f, 0x8b, 8, 0, 0, 9, 0x6e, 0x88, 0, 0xff, 0x62, 0x18, 5, 0xa3, 0x60, 0x14,
	0x8c, 0x58, 0, 8, 0, 0, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0, 4, 0, 0,
}

// A part is a blob and how a manifest names it.
type part struct {
	mediaType string
	content   []byte
}

func (p part) descriptor() Row {
	return Row{"mediaType": p.mediaType, "digest": Digest(p.content), "size": len(p.content)}
}

// layer returns a gzipped tar with one file, and the digest of the tar.
func layer(t testing.TB, file, content string) (gzipped []byte, diffID string) {
	t.Helper()
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	check(t, w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write([]byte(content))
	check(t, err)
	check(t, w.Close())
	z := gzip.NewWriter(&packed)
	_, err = z.Write(plain.Bytes())
	check(t, err)
	check(t, z.Close())
	return packed.Bytes(), Digest(plain.Bytes())
}

// imageParts returns the configuration of an image and its one layer.
func imageParts(t testing.TB, configType, layerType, arch, content string, labels map[string]any) (config, filled part) {
	t.Helper()
	gzipped, diffID := layer(t, "hello.txt", content)
	return part{configType, encode(t, Row{
		"architecture": arch, "os": "linux", "config": Row{"Labels": labels},
		"rootfs":  Row{"type": "layers", "diff_ids": []string{diffID}},
		"history": []any{Row{"created": "2022-05-04T03:02:01Z", "created_by": "COPY hello.txt /"}},
	})}, part{layerType, gzipped}
}

// manifestBytes writes a manifest of schema version 2; more are further
// members of it.
func manifestBytes(t testing.TB, mediaType string, config part, layers []part, more Row) []byte {
	t.Helper()
	list := make([]any, 0, len(layers))
	for _, l := range layers {
		list = append(list, l.descriptor())
	}
	doc := Row{"schemaVersion": 2, "mediaType": mediaType, "config": config.descriptor(), "layers": list}
	for k, v := range more {
		doc[k] = v
	}
	return encode(t, doc)
}

// signedBytes writes a manifest of schema 1 with its signature, and the digest
// that it has: that of the part that is signed.
func signedBytes(t testing.TB, repo, tag string, layers []string) (signed []byte, digest string) {
	t.Helper()
	fs, history := []any{}, []any{}
	for i, d := range layers {
		fs = append(fs, Row{"blobSum": d})
		v1 := Row{"id": Digest([]byte(fmt.Sprint(repo, i)))[7:], "created": "2015-05-04T03:02:01Z", "os": "linux", "architecture": "amd64"}
		history = append(history, Row{"v1Compatibility": string(encode(t, v1))})
	}
	payload, err := json.MarshalIndent(Row{
		"schemaVersion": 1, "name": repo, "tag": tag, "architecture": "amd64", "fsLayers": fs, "history": history,
	}, "", "   ")
	check(t, err)
	const tail = "\n}"
	cut := len(payload) - len(tail)
	b64 := base64.RawURLEncoding.EncodeToString
	protected := b64(encode(t, Row{"formatLength": cut, "formatTail": b64([]byte(tail)), "time": "2015-05-04T03:02:01Z"}))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	sum := sha256.Sum256([]byte(protected + "." + b64(payload)))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	check(t, err)
	point, err := key.PublicKey.Bytes() // 4, x, y
	check(t, err)
	signature := Row{
		"header": Row{"alg": "ES256", "jwk": Row{
			"crv": "P-256", "kty": "EC", "kid": "TEST:KEY0", "x": b64(point[1:33]), "y": b64(point[33:]),
		}},
		"signature": b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)),
		"protected": protected,
	}
	signed = append(payload[:cut:cut], ",\n   \"signatures\": "...)
	signed = append(signed, encode(t, []any{signature})...)
	return append(signed, tail...), Digest(payload)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	check(t, err)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("quaytest: %v", err)
	}
}

// publicModulus is that of a new RSA key, as a JWK has it.
func publicModulus(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	return base64.RawURLEncoding.EncodeToString(key.N.Bytes())
}
