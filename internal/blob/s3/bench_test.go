package s3

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/servertest"
)

// BenchmarkUpload compares the engine with what the SDK's own uploader does
// (feature/s3/manager: a reader into buffers of 5 MiB, five senders), written
// here with the same client, so that the product needs no module for it.
func BenchmarkUpload(b *testing.B) {
	const size, chunk = 64 << 20, 256 << 10
	data := blobtest.Bytes(1, size)
	e := engineOf(b, optionsFor(b, servertest.S3(b)))
	b.Run("engine", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			u := begin(b, e, "b", 0, nil)
			for off := 0; off < size; off += chunk {
				write(b, u, data[off:off+chunk])
			}
			if err := u.Complete(b.Context()); err != nil {
				b.Fatal(err)
			}
			_ = u.Close() // completed
		}
	})
	b.Run("sdk", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := sdkUpload(b, e, "c", bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func sdkUpload(b *testing.B, e *Engine, key string, r io.Reader) error {
	b.Helper()
	ctx := b.Context()
	id, err := e.startUpload(ctx, key, "")
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var parts []types.CompletedPart
	var failed error
	free := make(chan []byte, 5)
	for range cap(free) {
		free <- make([]byte, 5<<20)
	}
	var wg sync.WaitGroup
	for n := int32(1); ; n++ {
		buf := <-free
		m, err := io.ReadFull(r, buf)
		if m == 0 {
			break
		}
		mu.Lock()
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n)})
		mu.Unlock()
		wg.Go(func() {
			out, err := e.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: e.bucket(), Key: e.path(key), UploadId: aws.String(id), PartNumber: aws.Int32(n), Body: bytes.NewReader(buf[:m])})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
			} else {
				parts[n-1].ETag = out.ETag
			}
			free <- buf
		})
		if err != nil {
			break
		}
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	_, err = e.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: e.bucket(), Key: e.path(key), UploadId: aws.String(id), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	return err
}

// BenchmarkCommit is a small blob, stored under one name, under two at once,
// and copied to its second name.
func BenchmarkCommit(b *testing.B) {
	e := engineOf(b, optionsFor(b, servertest.S3(b)))
	data := blobtest.Bytes(1, 8<<10)
	for name, end := range map[string]func(u blob.Upload) error{
		"complete": func(u blob.Upload) error { return u.Complete(b.Context()) },
		"publish":  func(u blob.Upload) error { return e.PublishUpload(b.Context(), u, "sha256/a") },
		"copy": func(u blob.Upload) error {
			if err := u.Complete(b.Context()); err != nil {
				return err
			}
			return e.Copy(b.Context(), "u", "sha256/a")
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				u := begin(b, e, "u", 0, nil)
				write(b, u, data)
				if err := end(u); err != nil {
					b.Fatal(err)
				}
				_ = u.Close() // completed
			}
		})
	}
}

// BenchmarkURL is what a redirected pull costs of this package.
func BenchmarkURL(b *testing.B) {
	e := engineOf(b, optionsFor(b, servertest.S3(b)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.URL(b.Context(), "sha256/ab/"+strings.Repeat("a", 64), blob.URLOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
