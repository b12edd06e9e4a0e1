package store

import (
	"context"
	"time"
)

// The kinds of a review: what collection looks at again, and what its two
// references are. See docs/design/store.md, COLLECT.
const (
	reviewManifest   = "manifest"   // manifest id, 0: may it go (G1)?
	reviewRepoBlob   = "repo_blob"  // repository id, blob id: does a manifest here still use it (G2)?
	reviewNSBlob     = "ns_blob"    // namespace id, blob id: is it still linked in the namespace (G2)?
	reviewBlob       = "blob"       // blob id, 0: does any repository still link it (G3)?
	reviewRepository = "repository" // repository id, 0: it was deleted; empty it
	reviewFrozen     = "frozen"     // repository id, ms: it became read-only, or no longer is; freeze or thaw the tags from that start on
)

// review asks collection to look at something not before after. A review of
// the same thing that waits already keeps the earlier of both times: whoever
// finds that it is too early asks again.
func (t *tx) review(ctx context.Context, kind string, ref, ref2 int64, after time.Time) error {
	ms := after.UnixMilli()
	_, err := t.exec(ctx, `INSERT INTO gc_reviews (kind, ref, ref2, after_ms) VALUES (?, ?, ?, ?)`+
		t.d.upsert("kind, ref, ref2", "after_ms = CASE WHEN gc_reviews.after_ms < "+t.d.fresh("after_ms")+
			" THEN gc_reviews.after_ms ELSE "+t.d.fresh("after_ms")+" END"),
		kind, ref, ref2, ms)
	return err
}
