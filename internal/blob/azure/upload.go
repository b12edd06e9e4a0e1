package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/wire"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// blockSize returns the least and the most bytes of block n. While memory is
// scarce blocks become small, but never so many that the blob cannot hold
// them.
func blockSize(n int) (least, most int64) {
	const most8 = 8 << 20
	switch {
	case n <= 10_000:
		return 1 << 20, most8
	case n <= 20_000:
		return 4 << 20, most8
	}
	return most8, most8
}

// Upload implements blob.Engine.
func (e *Engine) Upload(ctx context.Context, key string, offset int64, b []byte) (blob.Upload, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return nil, err
	}
	u := &upload{e: e, key: key, mark: newMark(), begun: time.Now().Unix()}
	if offset == 0 && len(b) == 0 {
		p, err := e.blob(key).GetProperties(ctx, nil)
		switch {
		case isMissing(err):
		case err != nil:
			return nil, e.failed("begin an upload", err)
		case p.ETag != nil:
			u.from.Found = string(*p.ETag)
		}
	} else {
		var err error
		if u.from, err = e.resumable(ctx, key, offset, b); err != nil {
			return nil, err
		}
		if u.ids, err = e.blocks(ctx, key, u.from); err != nil {
			return nil, err
		}
	}
	u.parts = e.o.Memory.NewWriter(ctx, wire.Plan{Store: u.stage, First: int(u.from.Seq) + 1, Size: blockSize})
	return u, nil
}

// resumable reads a state.
func (e *Engine) resumable(ctx context.Context, key string, offset int64, b []byte) (state, error) {
	if err := blob.Begin(ctx, key); err != nil {
		return state{}, err
	}
	s, err := parseState(b)
	if err == nil && s.Offset != offset {
		err = fmt.Errorf("the state is for byte %d", s.Offset)
	}
	if err != nil {
		return s, blob.NoUpload(err)
	}
	return s, nil
}

// blocks returns the ids of what s goes on with.
func (e *Engine) blocks(ctx context.Context, key string, s state) ([]string, error) {
	if s.Seq == 0 {
		return nil, nil
	}
	list, err := e.uncommitted(ctx, key)
	if err != nil {
		return nil, err
	}
	ids, err := chain(s, list)
	if err != nil {
		return nil, blob.NoUpload(err)
	}
	return ids, nil
}

// uncommitted returns the blocks that the service keeps for an upload.
func (e *Engine) uncommitted(ctx context.Context, key string) ([]listed, error) {
	r, err := e.blob(key).GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, e.failed("list the blocks of an upload", err)
	}
	return listOf(r.UncommittedBlocks), nil
}

func listOf(blocks []*blockblob.Block) []listed {
	list := make([]listed, 0, len(blocks))
	for _, b := range blocks {
		if b != nil && b.Name != nil && b.Size != nil {
			list = append(list, listed{*b.Name, *b.Size})
		}
	}
	return list
}

// Fork implements blob.Forker: what others append has other marks, and what
// they commit makes our Complete fail, so the same key will do.
func (e *Engine) Fork(ctx context.Context, from string, offset int64, b []byte, to string) (string, []byte, error) {
	if err := blob.Begin(ctx, from, to); err != nil {
		return "", nil, err
	}
	s, err := e.resumable(ctx, from, offset, b)
	if err == nil {
		_, err = e.blocks(ctx, from, s)
	}
	if err != nil {
		return "", nil, err
	}
	return from, b, nil
}

// Abort implements blob.Engine. Where the key has an object, the blocks of an
// upload that would replace it stay: the service drops them after a week.
func (e *Engine) Abort(ctx context.Context, key string, _ []byte) error {
	if err := blob.Begin(ctx, key); err != nil {
		return err
	}
	list, err := e.uncommitted(ctx, key)
	if err != nil || len(list) == 0 {
		return err
	}
	return e.discard(ctx, key)
}

// discard drops uncommitted blocks where there is no object: a blob of nothing
// takes their place, and goes.
func (e *Engine) discard(ctx context.Context, key string) error {
	r, err := e.blob(key).CommitBlockList(ctx, nil, &blockblob.CommitBlockListOptions{AccessConditions: unchanged("")})
	if isChanged(err) {
		return nil
	}
	if err != nil {
		return e.failed("discard an upload", err)
	}
	_, err = e.blob(key).Delete(ctx, &azure.DeleteOptions{AccessConditions: &azure.AccessConditions{
		ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: r.ETag}}})
	if err != nil && !isMissing(err) && !isChanged(err) {
		return e.failed("discard an upload", err)
	}
	return nil
}

// unchanged is the condition that the blob is still the one of that ETag; "" =
// that there is none.
func unchanged(tag string) *azure.AccessConditions {
	if tag == "" {
		return &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
	}
	return &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(tag))}}
}

func isChanged(err error) bool {
	return bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet, bloberror.TargetConditionNotMet)
}

// errEnded is what an upload answers after Complete.
var errEnded = errors.New("the upload has ended")

// An upload stages blocks and commits their list.
type upload struct {
	e     *Engine
	key   string
	from  state    // what it goes on from
	ids   []string // of the blocks before it
	mark  mark
	begun int64
	parts *wire.Writer
	size  int64 // bytes written by this Upload
}

// id returns the id of a block of this Upload.
func (u *upload) id(n int) string {
	b := blockID{Seq: uint32(n), Mark: u.mark, Before: u.mark, Begun: u.begun} //nolint:gosec // at most maxBlocks
	if n == int(u.from.Seq)+1 {
		b.Before = u.from.Mark
	}
	return b.String()
}

func (u *upload) stage(ctx context.Context, n int, body *wire.Body) error {
	if n > maxBlocks {
		return gantry.Errorf(gantry.TooLarge, "blob", "the storage holds at most %d blocks in a blob; push it in larger chunks, or in one request", maxBlocks)
	}
	_, err := u.e.blob(u.key).StageBlock(policy.WithRetryOptions(ctx, u.e.retry(blockTime)), u.id(n), body, nil)
	return u.e.failed("store a block", err)
}

// Interrupt implements blob.Interrupter.
func (u *upload) Interrupt() { u.parts.Interrupt() }

// Write implements blob.Upload.
func (u *upload) Write(p []byte) (int, error) {
	n, err := u.parts.Write(p)
	u.size += int64(n)
	return n, err
}

// now is the state after all that was written.
func (u *upload) now() state {
	s := u.from
	s.Offset += u.size
	if n := u.parts.Next() - 1; n > int(u.from.Seq) {
		s.Seq, s.Mark = uint32(n), u.mark //nolint:gosec // at most maxBlocks
	}
	return s
}

// Sync implements blob.Upload.
func (u *upload) Sync(ctx context.Context) ([]byte, error) {
	if err := u.parts.Flush(ctx); err != nil {
		return nil, err
	}
	return u.now().bytes()
}

// Complete implements blob.Upload. Where the object that was there when the
// upload began is not there any more, it fails: another upload of the key was
// completed meanwhile.
func (u *upload) Complete(ctx context.Context) error {
	err := u.complete(ctx)
	u.parts.Fail(cmp.Or(err, errEnded))
	return err
}

func (u *upload) complete(ctx context.Context) error {
	var body *wire.Body
	if u.from.Seq == 0 {
		var err error
		if body, _, err = u.parts.Whole(); err != nil {
			return err
		}
	}
	if body == nil {
		if err := u.parts.Flush(ctx); err != nil {
			return err
		}
	} else if ctx.Err() != nil {
		return ctx.Err()
	}
	// The mark tells whether the blob that is there is ours, when an answer got
	// lost and the request was repeated.
	name := fmt.Sprintf("%x", u.mark)
	marked := map[string]*string{markName: &name}
	ctx = policy.WithRetryOptions(ctx, u.e.retry(blockTime))
	var err error
	if body != nil { // all of it in one request
		_, err = u.e.blob(u.key).Upload(ctx, body, &blockblob.UploadOptions{AccessConditions: unchanged(u.from.Found), Metadata: marked})
	} else {
		err = u.commit(ctx, u.parts.Next(), marked)
	}
	if !isChanged(err) {
		return u.e.failed("complete an upload", err)
	}
	p, statErr := u.e.head(ctx, u.key)
	switch {
	case statErr == nil && *p.ContentLength == u.from.Offset+u.size && metadata(p.Metadata, markName) == name:
		return nil
	case gantry.Is(statErr, gantry.NotFound) && body != nil:
		// There are only blocks of an upload that was never completed, which
		// some services take for a blob.
		next := 1
		if body.Size() > 0 {
			if err := u.stage(ctx, next, body); err != nil {
				return err
			}
			next++
		}
		err = u.commit(ctx, next, marked)
	}
	return u.e.failed("complete an upload", err)
}

// commit makes a blob of the blocks that the upload goes on from and those
// below next that it stored.
func (u *upload) commit(ctx context.Context, next int, marked map[string]*string) error {
	ids := slices.Clone(u.ids)
	for n := int(u.from.Seq) + 1; n < next; n++ {
		ids = append(ids, u.id(n))
	}
	_, err := u.e.blob(u.key).CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{AccessConditions: unchanged(u.from.Found), Metadata: marked})
	return err
}

// markName is the metadata that names the upload that wrote the object.
const markName = "gantry_upload"

// metadata returns a value; services and proxies change the case of names.
func metadata(m map[string]*string, name string) string {
	for k, v := range m {
		if v != nil && strings.EqualFold(k, name) {
			return *v
		}
	}
	return ""
}

// Close implements blob.Upload.
func (u *upload) Close() error {
	u.parts.Close()
	return nil
}
