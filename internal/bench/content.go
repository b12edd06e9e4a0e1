package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// suffixSize is the part at a blob's end that makes it unlike all others.
const suffixSize = 64

// streamChunk is the chunk size of a streamed body: what Go's own client,
// and so docker, skopeo and buildkit, sends from a reader.
const streamChunk = 32 << 10

// Filler makes blobs of any size that share one random buffer and differ in
// their last bytes: the digest of a new one costs one hash of 64 bytes, so
// that nothing is hashed inside a timed window.
type Filler struct {
	data  []byte
	nonce uint64

	mu     sync.Mutex
	seq    uint64
	states map[int64]hash.Cloner // by blob size: the hash of all but the suffix
}

// NewFiller returns a Filler over size random bytes. Blobs that are larger
// repeat them.
func NewFiller(size int) *Filler {
	f := &Filler{data: make([]byte, size), nonce: rand.Uint64(), states: map[int64]hash.Cloner{}} //nolint:gosec // blobs that no run pushed before, not secrets
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], f.nonce)
	_, _ = rand.NewChaCha8(seed).Read(f.data) // never fails
	return f
}

// A Blob is bytes to push: size-64 bytes of the Filler's buffer, repeated,
// and a suffix of its own.
type Blob struct {
	Digest string // "sha256:…"
	Size   int64

	data   []byte
	suffix [suffixSize]byte
}

// Blob makes a blob of size bytes, 64 or more, that nobody has seen before.
func (f *Filler) Blob(size int64) *Blob {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	b := &Blob{Size: size, data: f.data}
	binary.LittleEndian.PutUint64(b.suffix[0:], f.nonce)
	binary.LittleEndian.PutUint64(b.suffix[8:], f.seq)
	st, ok := f.states[size]
	if !ok {
		h := sha256.New()
		for _, p := range b.span(nil, 0, size-suffixSize) {
			h.Write(p)
		}
		st, ok = h.(hash.Cloner)
		if !ok {
			panic("crypto/sha256 is documented to be a hash.Cloner")
		}
		f.states[size] = st
	}
	h, err := st.Clone()
	if err != nil {
		panic(err) // documented for hashes that wrap others only
	}
	h.Write(b.suffix[:])
	b.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return b
}

// span appends the bytes [from, to) of b to bufs.
func (b *Blob) span(bufs net.Buffers, from, to int64) net.Buffers {
	body := b.Size - suffixSize
	for from < min(to, body) {
		at := from % int64(len(b.data))
		n := min(int64(len(b.data))-at, min(to, body)-from)
		bufs = append(bufs, b.data[at:at+n])
		from += n
	}
	if to > body {
		bufs = append(bufs, b.suffix[max(from-body, 0):to-body])
	}
	return bufs
}

// stream appends the bytes of b in chunked transfer encoding to bufs.
func (b *Blob) stream(bufs net.Buffers) net.Buffers {
	size := []byte(strconv.FormatInt(streamChunk, 16) + "\r\n")
	end := []byte("\r\n")
	for from := int64(0); from < b.Size; from += streamChunk {
		n := min(streamChunk, b.Size-from)
		if n != streamChunk {
			size = []byte(strconv.FormatInt(n, 16) + "\r\n")
		}
		bufs = append(bufs, size)
		bufs = b.span(bufs, from, from+n)
		bufs = append(bufs, end)
	}
	return append(bufs, []byte("0\r\n\r\n"))
}

// Media types.
const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	mediaEmpty    = "application/vnd.oci.empty.v1+json"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType,omitempty"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
	Subject       *descriptor  `json:"subject,omitempty"`
}

// An Image is a manifest and the blobs that it names.
type Image struct {
	Manifest []byte
	Digest   string      // of Manifest
	Blobs    []SmallBlob // the config, then the layers
}

// A SmallBlob is a blob that is held whole.
type SmallBlob struct {
	Digest string
	Data   []byte
}

func digestOf(p []byte) string {
	sum := sha256.Sum256(p)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// A digester computes the digest of what is written to it.
type digester struct{ hash.Hash }

func newDigester() digester { return digester{sha256.New()} }

func (d digester) digest() string { return "sha256:" + hex.EncodeToString(d.Sum(nil)) }

// The small image of the benchmark: like a static Go binary's, scaled down.
const (
	smallLayers = 3
	smallLayer  = 64 << 10
)

// Image makes a small image that nobody has seen before: a config of a few
// hundred bytes and 3 layers of 64 KiB.
func (f *Filler) Image() *Image {
	img := &Image{}
	m := manifest{SchemaVersion: 2, MediaType: mediaManifest}
	var ids []string
	for range smallLayers {
		b := f.Blob(smallLayer)
		var data []byte
		for _, p := range b.span(nil, 0, b.Size) {
			data = append(data, p...)
		}
		img.Blobs = append(img.Blobs, SmallBlob{b.Digest, data})
		m.Layers = append(m.Layers, descriptor{mediaLayer, b.Digest, b.Size})
		ids = append(ids, b.Digest)
	}
	config := mustJSON(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
		"config": map[string]any{"Cmd": []string{"/app"}, "Env": []string{"PATH=/bin"}, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	cfg := SmallBlob{digestOf(config), config}
	img.Blobs = append([]SmallBlob{cfg}, img.Blobs...)
	m.Config = descriptor{mediaConfig, cfg.Digest, int64(len(config))}
	img.Manifest = mustJSON(m)
	img.Digest = digestOf(img.Manifest)
	return img
}

// emptyBlob is the OCI "empty" blob.
func emptyBlob() SmallBlob { return SmallBlob{digestOf([]byte("{}")), []byte("{}")} }

// artifact returns a manifest around the empty blob, unlike others by name,
// that points at subject unless that is nil.
func artifact(name string, subject *descriptor) []byte {
	e := descriptor{mediaEmpty, emptyBlob().Digest, 2}
	return mustJSON(manifest{
		SchemaVersion: 2, MediaType: mediaManifest, ArtifactType: "application/vnd.gantry.bench." + name,
		Config: e, Layers: []descriptor{e}, Subject: subject,
	})
}

func mustJSON(v any) []byte {
	p, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // plain structs only
	}
	return p
}
