package mem_test

import (
	"bytes"
	"testing"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/gantry"
)

func TestEngine(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Engine { return mem.New() })
}

func TestNoPublish(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Engine { return mem.NewWith(mem.Options{NoPublish: true}) })
}

func TestCapacity(t *testing.T) {
	ctx := t.Context()
	e := mem.NewWith(mem.Options{Capacity: 100})
	blobtest.Put(t, e, "a", make([]byte, 60))
	u, err := e.Upload(ctx, "b", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := u.Write(make([]byte, 60)); n != 40 || gantry.ReasonOf(err) != gantry.DiskFull {
		t.Errorf("Write = %d, %v; want 40 and DiskFull", n, err)
	}
	if err := u.Complete(ctx); err == nil {
		t.Error("Complete after a failed Write succeeds")
	}
	if _, err := e.Upload(ctx, "c", 0, nil); gantry.ReasonOf(err) != gantry.DiskFull {
		t.Errorf("Upload when full = %v; want DiskFull", err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if free, total, err := e.Free(ctx); free != 40 || total != 100 || err != nil {
		t.Errorf("Free = %d, %d, %v; want 40, 100", free, total, err)
	}
	if err := e.Abort(ctx, "b", nil); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, e, "b", make([]byte, 40))
	if err := e.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if free, _, _ := e.Free(ctx); free != 60 {
		t.Errorf("Free = %d after Delete; want 60", free)
	}
}

// A caller that loses the state, or mixes it up, is found out.
func TestStrictState(t *testing.T) {
	ctx := t.Context()
	e := mem.New()
	u, err := e.Upload(ctx, "a", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	old, err := u.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("67")); err != nil {
		t.Fatal(err)
	}
	state, err := u.Sync(ctx)
	if err != nil || bytes.Equal(old, state) {
		t.Fatalf("Sync = %q, %v; want another state than %q", state, err, old)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		offset int64
		state  []byte
	}{"old state": {7, old}, "old offset": {5, state}, "no state": {7, nil}, "made up": {7, []byte("x")}} {
		if _, err := e.Upload(ctx, "a", try.offset, try.state); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("%s: Upload = %v; want NotFound", name, err)
		}
	}
}
