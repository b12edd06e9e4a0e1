package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/wire"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Open implements blob.Engine. Every request asks for the version that was
// there when it was opened.
func (e *Engine) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	p, err := e.head(ctx, key)
	if err != nil {
		return nil, err
	}
	same := &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: p.ETag}}
	return wire.NewObject(ctx, *p.ContentLength, func(ctx context.Context, offset, n int64) (io.ReadCloser, error) {
		// Only the wait for the head is bounded here, by the transport.
		r, err := e.blob(key).DownloadStream(policy.WithRetryOptions(ctx, e.retry(0)), &azure.DownloadStreamOptions{
			Range: azure.HTTPRange{Offset: offset, Count: n}, AccessConditions: same,
		})
		if isMissing(err) || bloberror.HasCode(err, bloberror.ConditionNotMet, bloberror.TargetConditionNotMet, bloberror.InvalidRange) {
			return nil, blob.NoObject(e.failed("read an object that was deleted or replaced", err))
		}
		if err != nil {
			return nil, e.failed("read an object", err)
		}
		if r.ContentLength != nil && *r.ContentLength != n {
			return nil, errors.Join(fmt.Errorf("read an object: the service sends %d bytes for %d", *r.ContentLength, n), r.Body.Close())
		}
		return r.Body, nil
	}, func(err error) bool { return gantry.Is(err, gantry.NotFound) }), nil
}

// List implements blob.Engine.
func (e *Engine) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		err := ctx.Err()
		if err == nil {
			err = blob.CheckPrefix(prefix)
		}
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		for item, err := range e.items(ctx, prefix, after, container.ListBlobsInclude{Copy: true}) {
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			if !whole(item.Properties.CopyStatus) {
				continue
			}
			info := blob.Info{Key: strings.TrimPrefix(*item.Name, e.base), Size: *item.Properties.ContentLength, Modified: *item.Properties.LastModified}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// items yields the blobs below base whose key begins with prefix and is
// greater than after, without our own temporary ones.
func (e *Engine) items(ctx context.Context, prefix, after string, include container.ListBlobsInclude) iter.Seq2[*container.BlobItem, error] {
	return func(yield func(*container.BlobItem, error) bool) {
		asked := e.base + prefix
		for !utf8.ValidString(asked) { // may be cut inside a rune, and the service takes none
			asked = asked[:len(asked)-1]
		}
		options := &container.ListBlobsFlatOptions{Include: include, Prefix: &asked}
		if start := e.base + after; after != "" && start > asked && utf8.ValidString(start) {
			options.StartFrom = &start // services that do not know it send more
		}
		for pages := e.container.NewListBlobsFlatPager(options); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, e.failed("list objects", err))
				return
			}
			if page.Segment == nil {
				continue
			}
			for _, item := range page.Segment.BlobItems {
				if item == nil || item.Name == nil || item.Properties == nil {
					continue
				}
				key := strings.TrimPrefix(*item.Name, e.base)
				if key <= after || !strings.HasPrefix(key, prefix) || blob.CheckKey(key) != nil {
					continue
				}
				p := item.Properties
				if p.ContentLength == nil {
					p.ContentLength = to.Ptr[int64](0)
				}
				if p.LastModified == nil {
					p.LastModified = &time.Time{}
				}
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// Sweep implements blob.Sweeper. It discards the blocks of uploads below
// uploads/ that were left alone, which the service would do a week after the
// last block; uploads that other programs began are left to it.
func (e *Engine) Sweep(ctx context.Context, before time.Time, inUse func(ctx context.Context, key string) (bool, error)) (n int, err error) {
	if err := blob.Begin(ctx); err != nil {
		return 0, err
	}
	var errs []error
	for item, err := range e.items(ctx, "uploads/", "", container.ListBlobsInclude{UncommittedBlobs: true}) {
		if err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		if *item.Properties.ContentLength > 0 {
			continue // committed: an object, which List shows
		}
		key := strings.TrimPrefix(*item.Name, e.base)
		swept, err := e.sweep(ctx, key, before, inUse)
		if err != nil && len(errs) < 10 {
			errs = append(errs, fmt.Errorf("%s: %w", path.Base(key), err))
		}
		if swept {
			n++
		}
	}
	return n, errors.Join(errs...)
}

func (e *Engine) sweep(ctx context.Context, key string, before time.Time, inUse func(context.Context, string) (bool, error)) (bool, error) {
	list, err := e.uncommitted(ctx, key)
	if err != nil {
		return false, err
	}
	if last, ours := begunLast(list); !ours || !last.Before(before) {
		return false, nil
	}
	if used, err := inUse(ctx, key); err != nil || used {
		return false, err
	}
	return true, e.discard(ctx, key)
}
