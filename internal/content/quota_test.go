package content_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// TestQuota: an upload that does not fit is refused as early as that is known,
// and leaves nothing behind; a manifest is refused to the byte.
func TestQuota(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		ctx := t.Context()
		limit := func(n int64) {
			w.Configure(content.Settings{Limits: content.Limits{Blob: 64 << 20}, Quota: store.QuotaRule{On: n > 0, Default: n}})
			w.ahead.Add(int64(2e9)) // what was read of the quota is forgotten
		}
		refused := func(what string, err error) {
			t.Helper()
			if !gantry.Is(err, gantry.Denied) || gantry.ReasonOf(err) != gantry.QuotaExceeded || !strings.Contains(err.Error(), "Quota has been exceeded on namespace ") {
				t.Errorf("%s: %v", what, err)
			}
		}
		limit(1_000_000)
		small, big := randomBytes(600_000), randomBytes(1_000_001)
		if _, err := w.Push(ctx, w.repo, -1, bytes.NewReader(small), gantry.FromBytes(small), gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		_, err := w.Push(ctx, w.repo, int64(len(big)), bytes.NewReader(big), gantry.FromBytes(big), gantry.Actor{})
		refused("a whole blob", err)
		_, err = w.Push(ctx, w.repo, -1, bytes.NewReader(big), gantry.FromBytes(big), gantry.Actor{})
		refused("a whole blob of unknown length", err)
		for what, length := range map[string]int64{"a chunk": int64(len(big)), "a chunk of unknown length": -1} {
			uuid := w.start(w.Store)
			read := &countReader{b: big}
			_, err = w.Append(ctx, w.repo, uuid, -1, length, read)
			refused(what, err)
			if length >= 0 && read.n > 0 {
				t.Errorf("%s: %d bytes were read that could not be taken", what, read.n)
			}
			if _, err := w.Upload(ctx, w.repo, uuid); !gantry.Is(err, gantry.NotFound) {
				t.Errorf("%s: the upload goes on: %v", what, err)
			}
		}
		uuid := w.start(w.Store)
		w.append(w.Store, uuid, big[:700_000])
		refused("the last chunk", w.finish(w.Store, uuid, gantry.FromBytes(big), big[700_000:]))
		if left := blobtest.Keys(t, w.engine, "uploads/", ""); w.publishes() && len(left) > 0 {
			t.Errorf("objects are left: %v", left)
		}

		put := func(tag string, b []byte) error {
			d := gantry.FromBytes(b)
			_, err := w.PutManifest(ctx, content.Put{Repo: w.repo, Tags: []string{tag},
				Body: fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"application/x","digest":%q,"size":%d},"layers":[]}`, d, len(b))})
			return err
		}
		if err := put("a", small); err != nil {
			t.Fatal(err)
		}
		limit(0)
		if _, err := w.Push(ctx, w.repo, -1, bytes.NewReader(big), gantry.FromBytes(big), gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		limit(1_600_000)
		refused("a manifest", put("b", big))
		limit(1_600_001)
		if err := put("b", big); err != nil {
			t.Error(err)
		}
		_, err = w.StartUpload(ctx, w.repo, "", gantry.Actor{})
		refused("an upload into a full namespace", err)
		limit(1_600_002)
		w.start(w.Store)
	})
}

// A countReader counts what is read of it.
type countReader struct {
	b []byte
	n int
}

func (r *countReader) Read(p []byte) (int, error) {
	n, err := bytes.NewReader(r.b[r.n:]).Read(p)
	r.n += n
	return n, err
}
