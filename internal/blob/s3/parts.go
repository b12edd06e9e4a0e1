package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

const (
	maxParts  = 10_000  // of an object, by S3
	minPart   = 5 << 20 // of every part but the last, by S3
	maxObject = 5 << 40 // bytes, by S3

	// evenParts is how many parts have one size; some stores that speak S3 want
	// that of all. The parts behind them double every growParts.
	evenParts = 8000
	growParts = 500
)

// partSize is the size of part n (1 is the first) of uploads whose first
// parts have that size.
func partSize(first int64, n int) int64 {
	size := first
	for i := evenParts; i < n && size < maxPart; i += growParts {
		size *= 2
	}
	return min(size, maxPart)
}

// firstPart is the size of the first parts, so that objects of up to largest
// bytes fit into evenParts of them where that is possible.
func firstPart(least, largest int64) int64 {
	const mib = 1 << 20
	size := max(least, minPart)
	if n := (largest + evenParts - 1) / evenParts; n > size {
		size = (n + mib - 1) / mib * mib
	}
	return min(size, maxPart)
}

// A part is a part of a multipart upload that is stored.
type part struct {
	etag string // without quotes
	size int64
}

// A chain is a hash over parts, in order.
type chain struct {
	h hash.Hash
	n int // parts in it
}

func newChain() *chain { return &chain{h: sha256.New()} }

func (c *chain) add(p part) {
	c.n++
	_, _ = fmt.Fprintf(c.h, "%d %d %s\n", c.n, p.size, p.etag) // a hash never fails
}

func (c *chain) sum() string { return hex.EncodeToString(c.h.Sum(nil)) }

// A buffer is the bytes of a part in memory.
type buffer struct {
	blocks []*[blockSize]byte
	n      int64
}

// room is how many bytes still fit into the blocks.
func (b *buffer) room() int64 { return int64(len(b.blocks))*blockSize - b.n }

// write appends as much of p as has room.
func (b *buffer) write(p []byte) (n int) {
	for len(p) > 0 && b.room() > 0 {
		m := copy(b.blocks[b.n/blockSize][b.n%blockSize:], p)
		p, n, b.n = p[m:], n+m, b.n+int64(m)
	}
	return n
}

// reader reads the bytes; each has a position of its own.
func (b *buffer) reader() *bufferReader { return &bufferReader{b: b} }

type bufferReader struct {
	b   *buffer
	off int64
}

// Read implements io.Reader.
func (r *bufferReader) Read(p []byte) (n int, err error) {
	for len(p) > 0 && r.off < r.b.n {
		block := r.b.blocks[r.off/blockSize][r.off%blockSize:]
		m := copy(p, block[:min(int64(len(block)), r.b.n-r.off)])
		p, n, r.off = p[m:], n+m, r.off+int64(m)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Seek implements io.Seeker.
func (r *bufferReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.b.n
	}
	if offset < 0 || offset > r.b.n {
		return 0, errors.New("seek out of bounds")
	}
	r.off = offset
	return offset, nil
}

// sum is the SHA-256 of the bytes.
func (b *buffer) sum() string {
	h := sha256.New()
	_, _ = io.Copy(h, b.reader()) // neither fails
	return hex.EncodeToString(h.Sum(nil))
}
