package content_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A forkEngine is an engine that cannot publish, as buckets are, and forks and
// sweeps.
type forkEngine struct {
	*mem.Engine
	away   bool // Fork fails as if the bucket did not answer
	forked int
	swept  []string // keys that Sweep asks about
}

var errAway = errors.New("connection refused")

func (e *forkEngine) Publish(context.Context, string, string) error { return blob.CannotPublish() }

func (e *forkEngine) Fork(ctx context.Context, from string, offset int64, _ []byte, to string) (key string, state []byte, err error) {
	if e.away {
		return "", nil, errAway
	}
	o, err := e.Open(ctx, from)
	if gantry.Is(err, gantry.NotFound) {
		return "", nil, blob.NoUpload(err)
	}
	if err != nil {
		return "", nil, err
	}
	u, err := e.Upload(ctx, to, 0, nil)
	if err != nil {
		return "", nil, errors.Join(err, o.Close())
	}
	_, err = io.CopyN(u, o, offset)
	if err == nil {
		state, err = u.Sync(ctx)
	}
	e.forked++
	return to, state, errors.Join(err, u.Close(), o.Close())
}

func (e *forkEngine) Sweep(ctx context.Context, before time.Time, inUse func(context.Context, string) (bool, error)) (n int, err error) {
	if time.Until(before) < 0 {
		return 0, nil // all are younger
	}
	for _, key := range e.swept {
		use, err := inUse(ctx, key)
		if err != nil {
			return n, err
		}
		if !use {
			n++
		}
	}
	return n, nil
}

// An upload of a process that may only be slow is forked where the engine can;
// an engine that does not answer leaves it as it is.
func TestTakeOverForks(t *testing.T) {
	e := &forkEngine{Engine: mem.New()}
	w := newPutWorld(t, storetest.Postgres, e)
	other := w.another(storetest.Another(t, w.db, store.Options{}))
	b := randomBytes(1 << 20)
	d := gantry.FromBytes(b)
	uuid := w.start(w.Store)
	w.append(w.Store, uuid, b[:1000])
	before, err := w.db.Upload(t.Context(), w.repo, uuid)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, w.db, `UPDATE uploads SET holder = 'dead', touched_ms = touched_ms - 600000 WHERE uuid = ?`, uuid)
	e.away = true
	if _, err := other.Append(t.Context(), w.repo, uuid, -1, 10, bytes.NewReader(b[1000:1010])); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("while the storage is away: %v; want Unavailable", err)
	}
	e.away = false
	slow, err := e.Upload(t.Context(), before.Path, 1000, before.EngineState)
	if err != nil {
		t.Fatal(err)
	}
	w.append(other, uuid, b[1000:2000])
	if _, err := slow.Write([]byte("harm")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(slow.Close(), w.finish(w.Store, uuid, d, b[2000:])); err != nil {
		t.Fatal(err)
	}
	w.holds(d, b)
	after, err := w.Blob(t.Context(), w.repo, d)
	if err != nil || e.forked != 1 {
		t.Errorf("%d forks, not 1; %+v, %v", e.forked, after, err)
	}

	uuid = w.start(w.Store)
	w.append(w.Store, uuid, b[:1000])
	if before, err = w.db.Upload(t.Context(), w.repo, uuid); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(t.Context(), before.Path); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, w.db, `UPDATE uploads SET holder = 'dead', touched_ms = touched_ms - 600000 WHERE uuid = ?`, uuid)
	if err := w.finish(other, uuid, d, nil); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("an upload that cannot be forked: %v; want NotFound", err)
	}
}

// What dead uploads left that is no object is swept; of what is in use, also by
// who took it over, the engine is told.
func TestSweepAll(t *testing.T) {
	e := &forkEngine{Engine: mem.New()}
	w := newPutWorld(t, storetest.SQLite, e)
	live := w.start(w.Store)
	w.append(w.Store, live, randomBytes(1000))
	w.restart()
	u, err := w.db.Upload(t.Context(), w.repo, live)
	if err != nil {
		t.Fatal(err)
	}
	taken := u.Path + "-12345678"
	storetest.Exec(t, w.db, `UPDATE uploads SET path = ? WHERE uuid = ?`, taken, live)
	e.swept = []string{taken, "uploads/6f0c1b1e-0000-4000-8000-000000000000"}
	sweep := func(age time.Duration, keep bool) int {
		c := content.NewCollector(content.CollectOptions{Store: w.db, Locations: []content.Location{w.at}, NoSweep: keep,
			Now: func() time.Time { return time.Now().Add(age) }})
		n, err := c.SweepAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := sweep(0, false); n != 0 {
		t.Errorf("%d young uploads are swept", n)
	}
	if n := sweep(72*time.Hour, true); n != 0 {
		t.Errorf("%d are swept though it is switched off", n)
	}
	if n := sweep(72*time.Hour, false); n != 1 {
		t.Errorf("%d are swept, not the dead one", n)
	}
}

// With ProxyStorage no client is sent to the storage.
func TestBlobURL(t *testing.T) {
	var asked blob.URLOptions
	w := newPutWorld(t, storetest.SQLite, mem.NewWith(mem.Options{URL: func(key string, o blob.URLOptions) string {
		asked = o
		return "https://bucket.example.com/" + key
	}}))
	b := randomBytes(1000)
	d := gantry.FromBytes(b)
	if _, err := w.Push(t.Context(), w.repo, 1000, bytes.NewReader(b), d, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	found, err := w.Blob(t.Context(), w.repo, d)
	if err != nil {
		t.Fatal(err)
	}
	o := blob.URLOptions{Method: "GET", Namespace: "acme", Host: "registry.example.com"}
	if url, err := w.BlobURL(t.Context(), found, o); err != nil || url != "https://bucket.example.com/"+d.Key() || asked != o {
		t.Errorf("BlobURL = %q, %v, of %+v", url, err, asked)
	}
	w.Configure(content.Settings{ProxyStorage: true})
	if url, err := w.BlobURL(t.Context(), found, o); err != nil || url != "" {
		t.Errorf("BlobURL with ProxyStorage = %q, %v", url, err)
	}
	w.holds(d, b)
}
