package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gantry-registry/gantry/internal/blob"
)

// List implements blob.Engine. What the bucket holds under names that no key
// has is not shown.
func (e *Engine) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		for info, err := range e.listRaw(ctx, prefix, after) {
			if err == nil && blob.CheckKey(info.Key) != nil {
				continue
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

// listRaw is List with all that is below the engine's prefix.
func (e *Engine) listRaw(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		fail := func(err error) { yield(blob.Info{}, e.failed(ctx, "list", prefix, err)) }
		in := &s3.ListObjectsV2Input{Bucket: e.bucket(), MaxKeys: aws.Int32(e.page), EncodingType: types.EncodingTypeUrl,
			Prefix: aws.String(e.o.Prefix + text(prefix))}
		if after != "" {
			in.StartAfter = aws.String(e.o.Prefix + text(after))
		}
		for last := ""; ; {
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			page, err := e.client.ListObjectsV2(ctx, in)
			if err != nil {
				fail(err)
				return
			}
			e.saw()
			for _, o := range page.Contents {
				key, err := decode(aws.ToString(o.Key), page.EncodingType)
				if err != nil {
					fail(err)
					return
				}
				key, ok := strings.CutPrefix(key, e.o.Prefix)
				if !ok || !strings.HasPrefix(key, prefix) || key <= after {
					continue
				}
				if key <= last {
					fail(errors.New("the service does not list keys in the order of their bytes"))
					return
				}
				last = key
				if !yield(blob.Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			if aws.ToString(page.NextContinuationToken) == "" {
				fail(errors.New("the service does not say how its listing goes on"))
				return
			}
			in.ContinuationToken, in.StartAfter = page.NextContinuationToken, nil
		}
	}
}

// text is the longest beginning of s that is UTF-8, which is all that S3
// takes.
func text(s string) string {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n <= 1 {
			return s[:i]
		}
		i += n
	}
	return s
}

func decode(key string, enc types.EncodingType) (string, error) {
	if enc != types.EncodingTypeUrl {
		return key, nil
	}
	out, err := url.QueryUnescape(key)
	if err != nil {
		return "", fmt.Errorf("the service lists a key that cannot be read: %w", err)
	}
	return out, nil
}

// A begun upload is a multipart upload that is not completed.
type begun struct {
	key, id string
	at      time.Time
}

// uploads yields the multipart uploads whose key begins with prefix.
func (e *Engine) uploads(ctx context.Context, prefix string) iter.Seq2[begun, error] {
	return func(yield func(begun, error) bool) {
		in := &s3.ListMultipartUploadsInput{Bucket: e.bucket(), MaxUploads: aws.Int32(e.page), EncodingType: types.EncodingTypeUrl, Prefix: aws.String(e.o.Prefix + prefix)}
		for {
			page, err := e.client.ListMultipartUploads(ctx, in)
			if err != nil {
				yield(begun{}, e.failed(ctx, "list uploads", prefix, err))
				return
			}
			for _, u := range page.Uploads {
				key, err := decode(aws.ToString(u.Key), page.EncodingType)
				if err != nil {
					yield(begun{}, e.failed(ctx, "list uploads", prefix, err))
					return
				}
				key, ok := strings.CutPrefix(key, e.o.Prefix)
				if !ok || !strings.HasPrefix(key, prefix) {
					continue
				}
				if !yield(begun{key, aws.ToString(u.UploadId), aws.ToTime(u.Initiated)}, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			// By the key alone: an upload that is aborted meanwhile is no marker any
			// more. Of several uploads of one key some may wait for the next time.
			marker, err := decode(aws.ToString(page.NextKeyMarker), page.EncodingType)
			if err == nil && marker <= aws.ToString(in.KeyMarker) {
				err = errors.New("the service does not say how its listing goes on")
			}
			if err != nil {
				yield(begun{}, e.failed(ctx, "list uploads", prefix, err))
				return
			}
			in.KeyMarker = aws.String(marker)
		}
	}
}

// Sweep implements blob.Sweeper: multipart uploads below the engine's prefix
// are aborted, tails removed. Multipart uploads of others that share the
// bucket are left alone.
func (e *Engine) Sweep(ctx context.Context, before time.Time, inUse func(ctx context.Context, key string) (bool, error)) (n int, err error) {
	used := map[string]bool{}
	dead := func(key string, at time.Time) (bool, error) {
		if at.IsZero() || !at.Before(before) || blob.CheckKey(key) != nil {
			return false, nil
		}
		use, known := used[key]
		if !known {
			var err error
			if use, err = inUse(ctx, key); err != nil {
				return false, err
			}
			if len(used) >= 10_000 {
				clear(used)
			}
			used[key] = use
		}
		return !use, nil
	}
	for u, err := range e.uploads(ctx, "") {
		if err != nil {
			return n, err
		}
		if gone, err := dead(u.key, u.at); err != nil {
			return n, err
		} else if gone {
			if err := e.abortUpload(ctx, u.key, u.id); err != nil {
				return n, err
			}
			n++
		}
	}
	last := ""
	for info, err := range e.listRaw(ctx, tailsFolder+"/", "") {
		if err != nil {
			return n, err
		}
		i := strings.LastIndexByte(info.Key, '/')
		if i <= len(tailsFolder) || !isTail(info.Key[i+1:]) {
			continue // not ours
		}
		key := info.Key[len(tailsFolder)+1 : i]
		if gone, err := dead(key, info.Modified); err != nil {
			return n, err
		} else if gone {
			if err := e.remove(ctx, info.Key); err != nil {
				return n, err
			}
			if key != last {
				n++
			}
			last = key
		}
	}
	for info, err := range e.listRaw(ctx, verifyFolder+"/", "") { // of a Check that was cut off
		if err != nil {
			return n, err
		}
		if info.Modified.Before(before) {
			if err := e.remove(ctx, info.Key); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}
