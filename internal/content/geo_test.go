package content_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// A geoWorld is a registry on several locations, each behind faults.
type geoWorld struct {
	*content.Store
	t       testing.TB
	db      *store.DB
	repo    gantry.RepoID
	ahead   atomic.Int64
	inner   []*mem.Engine
	faulty  []*blobtest.FaultyEngine
	at      []content.Location
	copier  *content.Replicator
	ids     []int64
	options content.Options
}

// quick is a Timing for tests: what hangs is seen at once.
var quick = content.Timing{FirstByte: 100 * time.Millisecond, Stall: 200 * time.Millisecond, Patience: 400 * time.Millisecond, Probe: 50 * time.Millisecond}

func newGeo(t testing.TB, dialect string, n int, o mem.Options) *geoWorld {
	t.Helper()
	w := &geoWorld{t: t}
	now := func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	w.db = storetest.Open(t, dialect, store.Options{Now: now})
	w.repo = storetest.Repo(t, w.db)
	for i := range n {
		o := o
		if i == 1 { // engines are mixed
			o.NoPublish = !o.NoPublish
		}
		o.Now = now
		name := fmt.Sprintf("site%d", i)
		id, err := w.db.EnsureLocation(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, id)
		w.inner = append(w.inner, mem.NewWith(o))
		w.faulty = append(w.faulty, blobtest.Faulty(w.inner[i], nil))
		w.at = append(w.at, content.Location{ID: id, Name: name, Engine: w.faulty[i], Fallback: true, Health: content.NewHealth(nil)})
	}
	w.options = content.Options{Store: w.db, Locations: w.at, Timing: quick, Settings: content.Settings{Replication: true}}
	var err error
	if w.Store, err = content.New(w.options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // some tests close it before
	w.copier = w.replicator()
	if _, err := w.copier.Round(t.Context()); err != nil { // the reader begins here
		t.Fatal(err)
	}
	return w
}

func (w *geoWorld) replicator() *content.Replicator {
	return content.NewReplicator(content.ReplicateOptions{Store: w.db, Locations: w.at, Defaults: w.ids, Follow: true, Timing: quick, Behind: -1, Poll: time.Millisecond})
}

func eachGeo(t *testing.T, n int, f func(t *testing.T, w *geoWorld)) {
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			f(t, newGeo(t, d, n, mem.Options{}))
		})
	}
}

// push uploads a blob and a manifest of it.
func (w *geoWorld) push(data []byte) (gantry.Digest, error) {
	return w.pushTo(w.repo, data)
}

func (w *geoWorld) pushTo(repo gantry.RepoID, data []byte) (gantry.Digest, error) {
	d := gantry.FromBytes(data)
	ctx := context.WithoutCancel(w.t.Context())
	if _, err := w.Push(ctx, repo, int64(len(data)), bytes.NewReader(data), d, gantry.Actor{}); err != nil {
		return d, err
	}
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, d, len(data))
	_, err := w.PutManifest(ctx, content.Put{Repo: repo, Tags: []string{"t" + d.Hex()[:20]}, Body: body})
	return d, err
}

func (w *geoWorld) mustPush(data []byte) gantry.Digest {
	w.t.Helper()
	d, err := w.push(data)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// pull reads a blob whole.
func (w *geoWorld) pull(d gantry.Digest) ([]byte, error) {
	ctx := context.WithoutCancel(w.t.Context())
	b, err := w.Blob(ctx, w.repo, d)
	if err != nil {
		return nil, err
	}
	o, err := w.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(o)
	return got, errors.Join(err, o.Close())
}

func (w *geoWorld) mustPull(d gantry.Digest, want []byte) {
	w.t.Helper()
	got, err := w.pull(d)
	if err != nil || !bytes.Equal(got, want) {
		w.t.Fatalf("pull %s: %d bytes of %d, %v", d, len(got), len(want), err)
	}
}

// holds are the locations at which there are the bytes, whatever the rows say.
func (w *geoWorld) holds(data []byte) (at []int) {
	for i, e := range w.inner {
		for _, key := range blobtest.Keys(w.t, e, "", "") {
			if bytes.Equal(blobtest.Get(w.t, e, key), data) {
				at = append(at, i)
				break
			}
		}
	}
	return at
}

// settle copies until nothing is wanted.
func (w *geoWorld) settle() {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		_, err := w.copier.Round(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n := storetest.Get(w.t, w.db, `SELECT COUNT(*) FROM copies`); n == 0 && w.follows() {
			break
		}
		if time.Now().After(deadline) {
			lag, err := w.db.Lags(w.t.Context())
			w.t.Fatalf("replication does not end: %+v, %v", lag, err)
		}
		w.ahead.Add(int64(10 * time.Second)) // over the pauses
		time.Sleep(time.Millisecond)
	}
	if n := storetest.Get(w.t, w.db, `SELECT COUNT(*) FROM placements WHERE state <> 'present'`); n != 0 {
		w.t.Fatalf("%d placements are not there after replication", n)
	}
}

// follows reports whether all of the journal was read.
func (w *geoWorld) follows() bool {
	if _, err := w.db.Sequence(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return storetest.Get(w.t, w.db, `SELECT COUNT(*) FROM events WHERE seq IS NULL OR seq > (SELECT seq FROM readers WHERE name = 'copies')`) == 0
}

func away(context.Context, *blobtest.Call) error { return errors.New("the site is away") }

// heals waits until the location is used again.
func (w *geoWorld) heals(i int) {
	w.t.Helper()
	w.until("the location is used again", func() bool { return !w.at[i].Health.Standing().Failing })
}

func (w *geoWorld) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

func TestGeoCopiesWhatIsPushed(t *testing.T) {
	eachGeo(t, 3, func(t *testing.T, w *geoWorld) {
		data := randomBytes(300 << 10)
		d := w.mustPush(data)
		if at := w.holds(data); fmt.Sprint(at) != "[0]" {
			t.Fatalf("pushed to %v; want the first location alone", at)
		}
		w.mustPull(d, data)
		lag := w.lag()
		if lag[w.ids[1]] != 0 {
			t.Errorf("lag before the journal was followed: %v", lag)
		}
		w.settle()
		if at := w.holds(data); fmt.Sprint(at) != "[0 1 2]" {
			t.Errorf("after replication the bytes are at %v", at)
		}
		// Each location alone is enough.
		for i := range w.at {
			for j := range w.at {
				if j != i {
					w.faulty[j].SetHook(away)
				}
			}
			w.mustPull(d, data)
			for j := range w.at {
				w.faulty[j].SetHook(nil)
			}
		}
		if flaws, err := w.db.VerifyEdges(t.Context()); len(flaws) > 0 || err != nil {
			t.Errorf("%v, %v", flaws, err)
		}
	})
}

func (w *geoWorld) lag() map[int64]int64 {
	w.t.Helper()
	all, err := w.db.Lags(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	m := map[int64]int64{}
	for _, l := range all {
		m[l.Location] = l.Copies
	}
	return m
}

func TestGeoPullWhilePending(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	data := randomBytes(100 << 10)
	d := w.mustPush(data)
	// An instance of the other site reads from the first until it has its own.
	o := w.options
	o.Locations = []content.Location{w.at[1], w.at[0]}
	near, err := content.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close() //nolint:errcheck // of a test
	read := func() (from [2]int64) {
		t.Helper()
		var n [2]atomic.Int64
		for i := range n {
			w.faulty[i].SetHook(func(_ context.Context, c *blobtest.Call) error {
				if c.Op == blobtest.OpOpen && !c.After {
					n[i].Add(1)
				}
				return nil
			})
		}
		b, err := near.Blob(t.Context(), w.repo, d)
		if err != nil {
			t.Fatal(err)
		}
		r, err := near.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Fatal(len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		return [2]int64{n[0].Load(), n[1].Load()}
	}
	if from := read(); from != [2]int64{1, 0} {
		t.Errorf("while pending: opened %v", from)
	}
	w.settle()
	if from := read(); from != [2]int64{0, 1} {
		t.Errorf("after replication: opened %v; want the near one", from)
	}
}

// faults are what a location may do to its readers and writers.
var geoFaults = map[string]func(inner *mem.Engine) blobtest.Hook{
	"killed": func(*mem.Engine) blobtest.Hook { return away },
	"dies while it reads": func(*mem.Engine) blobtest.Hook {
		var n atomic.Int64
		return func(_ context.Context, c *blobtest.Call) error {
			if c.Op == blobtest.OpRead && !c.After && n.Add(1)%3 == 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
	},
	"hangs": func(*mem.Engine) blobtest.Hook {
		return func(ctx context.Context, c *blobtest.Call) error {
			if c.After {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Second):
				return errors.New("timeout")
			}
		}
	},
	"slow reads": func(*mem.Engine) blobtest.Hook {
		return func(_ context.Context, c *blobtest.Call) error {
			if c.Op == blobtest.OpRead && !c.After {
				time.Sleep(150 * time.Millisecond)
			}
			return nil
		}
	},
	"full": func(*mem.Engine) blobtest.Hook {
		return func(_ context.Context, c *blobtest.Call) error {
			if (c.Op == blobtest.OpUpload || c.Op == blobtest.OpWrite || c.Op == blobtest.OpCheck) && !c.After {
				return blob.DiskFull(nil)
			}
			return nil
		}
	},
}

// TestGeoFaultyLocation: with one of three locations in trouble, under
// concurrent pushes and pulls, no pull fails, and what was acknowledged is
// there, everywhere when the location is well again.
func TestGeoFaultyLocation(t *testing.T) {
	for name, fault := range geoFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachGeo(t, 3, func(t *testing.T, w *geoWorld) {
				var blobs sync.Map // digest to bytes
				var kept []gantry.Digest
				for range 4 {
					data := randomBytes(200 << 10)
					d := w.mustPush(data)
					blobs.Store(d, data)
					kept = append(kept, d)
				}
				w.settle()
				w.faulty[0].SetHook(fault(w.inner[0]))
				var load sync.WaitGroup
				var pushed, refused atomic.Int64
				for i := range 6 {
					load.Go(func() {
						for j := range 4 {
							want, _ := blobs.Load(kept[(i+j)%len(kept)])
							if got, err := w.pull(kept[(i+j)%len(kept)]); err != nil || !bytes.Equal(got, want.([]byte)) {
								t.Errorf("pull: %d bytes, %v", len(got), err)
							}
							data := randomBytes(150<<10 + i + j)
							for range 5 { // as clients do
								d, err := w.push(data)
								if err == nil {
									blobs.Store(d, data)
									pushed.Add(1)
									break
								}
								refused.Add(1)
								if !gantry.Is(err, gantry.Unavailable) {
									t.Errorf("push: %v", err)
								}
							}
						}
					})
				}
				load.Wait()
				if pushed.Load() != 24 {
					t.Errorf("%d of 24 pushes were taken, %d were refused", pushed.Load(), refused.Load())
				}
				w.faulty[0].SetHook(nil)
				w.heals(0)
				w.settle()
				blobs.Range(func(d, data any) bool {
					if at := w.holds(data.([]byte)); fmt.Sprint(at) != "[0 1 2]" {
						t.Errorf("blob %s is at %v", d, at)
					}
					w.mustPull(d.(gantry.Digest), data.([]byte))
					return true
				})
			})
		})
	}
}

func TestGeoAllAway(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	data := randomBytes(100 << 10)
	d := w.mustPush(data)
	w.settle()
	for _, f := range w.faulty {
		f.SetHook(away)
	}
	for range 5 {
		if _, err := w.pull(d); !gantry.Is(err, gantry.Unavailable) {
			t.Fatalf("pull with all locations away: %v", err)
		}
		_, err := w.push(randomBytes(1000))
		if e, ok := errors.AsType[*gantry.Error](err); !ok || e.Code != gantry.Unavailable || e.Retry <= 0 {
			t.Fatalf("push with all locations away: %v", err)
		}
	}
	for _, f := range w.faulty {
		f.SetHook(nil)
	}
	w.heals(0)
	w.heals(1)
	w.mustPull(d, data)
	w.mustPush(randomBytes(1000))
}

// TestGeoWrongBytes: bytes that are not the blob never arrive whole, their
// copy is doubted, verified and repaired from another.
func TestGeoWrongBytes(t *testing.T) {
	eachGeo(t, 3, func(t *testing.T, w *geoWorld) {
		for _, size := range []int{20 << 10, 300 << 10} {
			data := randomBytes(size)
			d := w.mustPush(data)
			w.settle()
			bad := bytes.Clone(data)
			bad[size/3] ^= 1
			blobtest.Put(t, w.inner[0], d.Key(), bad)
			got, err := w.pull(d)
			switch {
			case size < 64<<10: // another copy took its place
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("a small blob with a damaged copy: %d bytes, %v", len(got), err)
				}
			case err == nil:
				t.Fatalf("%d wrong bytes were given out as a whole blob", len(got))
			case len(got) >= size:
				t.Errorf("all bytes were given out before the error %v", err)
			}
			w.mustPull(d, data) // the next one is from another copy
			if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM placements WHERE state = 'suspect'`); n != 1 {
				t.Errorf("%d copies are in doubt", n)
			}
			w.settle()
			if at := w.holds(data); fmt.Sprint(at) != "[0 1 2]" {
				t.Errorf("after the repair the bytes are at %v", at)
			}
			// One that is gone altogether.
			if err := w.inner[0].Delete(t.Context(), d.Key()); err != nil {
				t.Fatal(err)
			}
			w.mustPull(d, data)
			w.settle()
			if at := w.holds(data); fmt.Sprint(at) != "[0 1 2]" {
				t.Errorf("a missing copy was not brought back: %v", at)
			}
		}
	})
}

func TestGeoRangesGoOn(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	data := randomBytes(400 << 10)
	d := w.mustPush(data)
	w.settle()
	geoHook := geoFaults["dies while it reads"](nil)
	w.faulty[0].SetHook(geoHook)
	for _, at := range []int64{0, 1, 64 << 10, 399 << 10} {
		b, err := w.Blob(t.Context(), w.repo, d)
		if err != nil {
			t.Fatal(err)
		}
		o, err := w.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o)
		if err != nil || !bytes.Equal(got, data[at:]) {
			t.Errorf("from byte %d: %d bytes, %v", at, len(got), err)
		}
		if _, err := o.Seek(-10, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, data[len(data)-10:]) {
			t.Errorf("the last bytes: %d bytes, %v", len(got), err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestGeoURLsOnlyOfHealthyLocations(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{URL: func(key string, _ blob.URLOptions) string { return "https://x/" + key }})
	data := randomBytes(1000)
	d := w.mustPush(data)
	url := func() string {
		t.Helper()
		b, err := w.Blob(t.Context(), w.repo, d)
		if err != nil {
			t.Fatal(err)
		}
		u, err := w.BlobURL(t.Context(), b, blob.URLOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if url() == "" {
		t.Error("no URL of a healthy location")
	}
	w.faulty[0].SetHook(away)
	w.until("the breaker opens without a request", func() bool { return w.at[0].Health.Standing().Reads != content.BreakerClosed })
	if u := url(); u != "" {
		t.Errorf("a client is sent to a location that is away: %s", u)
	}
}

// TestGeoNamespaces: namespaces have their blobs kept where they ask, and not
// where they do not.
func TestGeoNamespaces(t *testing.T) {
	eachGeo(t, 3, func(t *testing.T, w *geoWorld) {
		w.copier = content.NewReplicator(content.ReplicateOptions{Store: w.db, Locations: w.at, Defaults: w.ids[:1], Follow: true, Timing: quick, Behind: -1})
		ns := storetest.Namespace(t, w.db)
		repo := storetest.RepoIn(t, w.db, ns)
		if err := w.db.SetNamespaceLocations(t.Context(), ns, store.Wishes{Also: w.ids[2:], Not: w.ids[:1]}, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		w.until("the wishes are known", func() bool { return len(w.Rules().Wishes) == 1 })
		data, other := randomBytes(100<<10), randomBytes(90<<10)
		if _, err := w.pushTo(repo, data); err != nil {
			t.Fatal(err)
		}
		w.mustPush(other)
		w.settle()
		if at := w.holds(data); fmt.Sprint(at) != "[1 2]" {
			t.Errorf("the blob is at %v; want where it was uploaded, which is not the excluded one, and where the namespace asked for", at)
		}
		if at := w.holds(other); fmt.Sprint(at) != "[0]" {
			t.Errorf("another namespace's blob is at %v", at)
		}
		if err := w.db.SetNamespaceLocations(t.Context(), ns, store.Wishes{Also: w.ids, Not: w.ids[:1]}, gantry.Actor{}); !gantry.Is(err, gantry.Invalid) {
			t.Errorf("a location that is both: %v", err)
		}
		told := func(kind string) int64 {
			return storetest.Get(t, w.db, `SELECT COUNT(*) FROM events WHERE kind = '`+kind+`'`)
		}
		for range 2 { // the second changes nothing
			if err := w.db.SetLocationState(t.Context(), w.ids[2], store.LocationDraining, gantry.Actor{}); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := told("namespace_storage_change"), told("storage_location_change"); a != 1 || b != 1 {
			t.Errorf("the log has %d changes of the namespace and %d of a location; want one each", a, b)
		}
	})
}

// TestGeoEvacuate: a location is emptied under load, then a new one is filled.
func TestGeoEvacuate(t *testing.T) {
	eachGeo(t, 3, func(t *testing.T, w *geoWorld) {
		ctx := t.Context()
		w.copier = content.NewReplicator(content.ReplicateOptions{Store: w.db, Locations: w.at, Defaults: nil, Follow: true, Timing: quick, Behind: -1})
		blobs := map[gantry.Digest][]byte{}
		var mu sync.Mutex
		push := func(n int) {
			data := randomBytes(n)
			d, err := w.push(data)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			blobs[d] = data
			mu.Unlock()
		}
		for i := range 10 {
			push(1000 + i)
		}
		var load sync.WaitGroup
		load.Go(func() {
			for i := range 30 {
				push(2000 + i)
			}
		})
		if err := w.db.SetLocationState(ctx, w.ids[0], store.LocationDraining, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		e := content.NewEvacuation(content.EvacuateOptions{Store: w.db, Locations: w.at, Location: w.ids[0], Pause: time.Millisecond})
		go func() { // beside it
			for ctx.Err() == nil {
				_, _ = w.copier.Round(ctx) // its errors are those of the end of the test
				w.ahead.Add(int64(time.Second))
			}
		}()
		if err := e.Run(ctx, nil); err != nil {
			t.Fatal(err)
		}
		load.Wait()
		w.until("the location is known to drain", func() bool { return !w.Rules().Active(w.ids[0]) })
		if err := e.Run(ctx, nil); err != nil { // what came while the news spread
			t.Fatal(err)
		}
		for d, data := range blobs {
			w.mustPull(d, data)
		}
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM placements WHERE location_id = ?`, w.ids[0]); n != 0 {
			t.Errorf("%d placements are left", n)
		}
		all, err := w.db.StorageLocations(ctx)
		if err != nil || all[0].State != store.LocationRemoved {
			t.Errorf("%+v, %v", all, err)
		}
		push(500)
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM placements WHERE location_id = ?`, w.ids[0]); n != 0 {
			t.Error("a push went to a location that was removed")
		}
		// The trash empties it.
		w.ahead.Add(int64(time.Hour))
		c := content.NewCollector(content.CollectOptions{Store: w.db, Locations: w.at})
		if _, err := c.RunOnce(ctx); err != nil {
			t.Fatal(err)
		}
		if keys := blobtest.Keys(t, w.inner[0], "sha256/", ""); len(keys) != 0 {
			t.Errorf("%d objects are left, such as %s", len(keys), keys[0])
		}
		for d, data := range blobs {
			w.mustPull(d, data)
		}
	})
}

// TestGeoEvacuateGone: a location is lost for good.
func TestGeoEvacuateGone(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	ctx := t.Context()
	both := randomBytes(1000)
	d := w.mustPush(both)
	w.settle()
	lost := w.mustPush(randomBytes(2000))
	w.faulty[0].SetHook(away)
	if err := w.db.SetLocationState(ctx, w.ids[0], store.LocationDraining, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	run := func(lose bool) (content.EvacuateProgress, error) {
		var last content.EvacuateProgress
		e := content.NewEvacuation(content.EvacuateOptions{Store: w.db, Locations: w.at, Location: w.ids[0], Gone: true, Lose: lose, Pause: time.Millisecond})
		err := e.Run(ctx, func(p content.EvacuateProgress) error { last = p; return nil })
		return last, err
	}
	if p, err := run(false); !gantry.Is(err, gantry.Conflict) || p.Lost != 1 {
		t.Fatalf("blobs that would be lost: %+v, %v", p, err)
	}
	if p, err := run(true); err != nil || p.Lost != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	w.mustPull(d, both)
	if _, err := w.pull(lost); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("a blob that was lost: %v", err)
	}
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM trash WHERE location_id = ?`, w.ids[0]); n != 0 {
		t.Errorf("%d objects of a location that is gone wait in the trash", n)
	}
}

// TestGeoBackfill: a location that is new gets everything, also when the fill
// was interrupted.
func TestGeoBackfill(t *testing.T) {
	eachGeo(t, 2, func(t *testing.T, w *geoWorld) {
		ctx := t.Context()
		w.copier = content.NewReplicator(content.ReplicateOptions{Store: w.db, Locations: w.at, Timing: quick, Behind: -1})
		var all [][]byte
		for i := range 40 {
			data := randomBytes(500 + i)
			w.mustPush(data)
			all = append(all, data)
		}
		var at gantry.BlobID
		stop := errors.New("killed")
		steps := 0
		err := content.Fill(ctx, content.FillOptions{Store: w.db, Defaults: w.ids, Batch: 7}, func(p content.FillProgress) error {
			at = p.At
			if steps++; steps == 3 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || at == 0 {
			t.Fatal(err, at)
		}
		if err := content.Fill(ctx, content.FillOptions{Store: w.db, Defaults: w.ids, After: at, Batch: 7}, nil); err != nil {
			t.Fatal(err)
		}
		if lag := w.lag(); lag[w.ids[1]] != 40 {
			t.Fatalf("lag %v", lag)
		}
		for storetest.Get(t, w.db, `SELECT COUNT(*) FROM copies`) > 0 {
			if _, err := w.copier.Round(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for _, data := range all {
			if at := w.holds(data); fmt.Sprint(at) != "[0 1]" {
				t.Errorf("a blob is at %v", at)
			}
		}
	})
}

// TestGeoManyCopiers: several instances share the work, and one that dies
// holding copies is no loss.
func TestGeoManyCopiers(t *testing.T) {
	eachGeo(t, 2, func(t *testing.T, w *geoWorld) {
		var all [][]byte
		for i := range 60 {
			data := randomBytes(700 + i)
			w.mustPush(data)
			all = append(all, data)
		}
		if _, err := w.db.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.db.WantPushed(t.Context(), w.ids, 1000); err != nil {
			t.Fatal(err)
		}
		dead, err := w.db.ClaimCopies(t.Context(), w.ids[1], time.Minute, 0, 10)
		if err != nil || len(dead) != 10 {
			t.Fatal(len(dead), err)
		}
		var opens atomic.Int64
		w.faulty[0].SetHook(func(_ context.Context, c *blobtest.Call) error {
			if c.Op == blobtest.OpOpen && !c.After {
				opens.Add(1)
			}
			return nil
		})
		var load sync.WaitGroup
		for range 3 {
			r := w.replicator()
			load.Go(func() {
				for range 30 {
					if _, err := r.Round(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		load.Wait()
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM copies`); n != 10 {
			t.Errorf("%d copies are left; want those that are claimed", n)
		}
		if n := opens.Load(); n != 50 {
			t.Errorf("50 copies opened their source %d times", n)
		}
		w.ahead.Add(int64(2 * time.Minute))
		w.settle()
		for _, data := range all {
			if at := w.holds(data); fmt.Sprint(at) != "[0 1]" {
				t.Errorf("a blob is at %v", at)
			}
		}
		// The one that was taken for dead comes late.
		if done, err := w.db.CopyDone(t.Context(), dead[0], "uploads/late"); done || err != nil {
			t.Errorf("a late copy: %v, %v", done, err)
		}
	})
}

// TestGeoRemovalsHoldNobody: what an upload left at a location that fails is
// removed beside the request, for that location may take long to refuse it.
func TestGeoRemovalsHoldNobody(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	release := make(chan struct{})
	aborted := make(chan struct{})
	w.faulty[0].SetHook(func(_ context.Context, c *blobtest.Call) error {
		switch {
		case c.Op == blobtest.OpWrite && !c.After:
			return errors.New("the site fails")
		case c.Op == blobtest.OpAbort && !c.After:
			<-release
		case c.Op == blobtest.OpAbort:
			close(aborted)
		}
		return nil
	})
	data := randomBytes(1000)
	d := w.mustPush(data)
	w.mustPull(d, data)
	close(release)
	<-aborted
	if at := w.holds(data); fmt.Sprint(at) != "[1]" {
		t.Errorf("the bytes are at %v", at)
	}
}

// TestGeoFullInTheMiddle: an upload whose location is full by now may start
// again, and goes elsewhere; where all are full, that is said.
func TestGeoFullInTheMiddle(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	ctx := t.Context()
	full := geoFaults["full"](nil)
	begin := func() string {
		t.Helper()
		u, err := w.StartUpload(ctx, w.repo, "", gantry.Actor{})
		if err == nil {
			_, err = w.Append(ctx, w.repo, u.UUID, 0, -1, bytes.NewReader(randomBytes(1000)))
		}
		if err != nil {
			t.Fatal(err)
		}
		return u.UUID
	}
	uuid := begin()
	w.faulty[0].SetHook(full)
	_, err := w.Append(ctx, w.repo, uuid, 1000, -1, bytes.NewReader(randomBytes(1000)))
	if e, ok := errors.AsType[*gantry.Error](err); !ok || e.Code != gantry.Unavailable || e.Reason != "" || e.Retry <= 0 {
		t.Errorf("the location of an upload is full: %v", err)
	}
	uuid = begin()
	w.faulty[1].SetHook(full)
	if _, err := w.Append(ctx, w.repo, uuid, 1000, -1, bytes.NewReader(randomBytes(1000))); gantry.ReasonOf(err) != gantry.DiskFull {
		t.Errorf("all locations are full: %v", err)
	}
}

// TestGeoSilentUploads: no call of an upload waits for a location that falls
// silent while another one is well, and the next try goes there.
func TestGeoSilentUploads(t *testing.T) {
	for _, op := range []blobtest.Op{blobtest.OpUpload, blobtest.OpWrite, blobtest.OpSync, blobtest.OpPublishUpload, blobtest.OpComplete, blobtest.OpPublish} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			w := newGeo(t, storetest.SQLite, 2, mem.Options{NoPublish: op == blobtest.OpComplete})
			var hung atomic.Int64
			w.faulty[0].SetHook(func(ctx context.Context, c *blobtest.Call) error {
				switch {
				case c.After:
					return nil
				case op == blobtest.OpComplete && c.Op == blobtest.OpPublishUpload, c.Op == op:
					hung.Add(1)
				case c.Op != blobtest.OpAbort && c.Op != blobtest.OpDelete && c.Op != blobtest.OpCheck:
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			})
			data := randomBytes(600 << 10) // more than what is kept to go elsewhere
			d, ctx := gantry.FromBytes(data), t.Context()
			send := func() error {
				u, err := w.StartUpload(ctx, w.repo, "", gantry.Actor{})
				if err != nil {
					return err
				}
				if _, err = w.Append(ctx, w.repo, u.UUID, 0, -1, bytes.NewReader(data[:400<<10])); err == nil {
					_, err = w.Finish(ctx, w.repo, u.UUID, 400<<10, -1, bytes.NewReader(data[400<<10:]), d, gantry.Actor{})
				}
				return err
			}
			if op == blobtest.OpPublish { // of an upload that is complete: its digest is of another algorithm
				send = func() error {
					u, err := w.StartUpload(ctx, w.repo, "sha512", gantry.Actor{})
					if err == nil {
						_, err = w.Append(ctx, w.repo, u.UUID, 0, -1, bytes.NewReader(data))
					}
					if err == nil {
						_, err = w.Finish(ctx, w.repo, u.UUID, int64(len(data)), -1, nil, d, gantry.Actor{})
					}
					return err
				}
			}
			err := send()
			if hung.Load() == 0 {
				t.Fatal("nothing hung")
			}
			if err != nil && !gantry.Is(err, gantry.Unavailable) {
				t.Errorf("the first push: %v", err)
			}
			if err := send(); err != nil {
				t.Errorf("the second push: %v", err)
			}
			if at := w.holds(data); len(at) == 0 || at[len(at)-1] != 1 {
				t.Errorf("the bytes are at %v", at)
			}
		})
	}
}

// TestGeoDamagedInTurn: copies that stay damaged are looked at one after the
// other, so that none waits behind those that cannot be repaired.
func TestGeoDamagedInTurn(t *testing.T) {
	eachGeo(t, 1, func(t *testing.T, w *geoWorld) {
		for i := range 3 {
			d := w.mustPush(randomBytes(100 + i))
			blobtest.Put(t, w.inner[0], d.Key(), make([]byte, 100+i))
			if err := w.db.Doubt(t.Context(), d, w.ids[0], ""); err != nil {
				t.Fatal(err)
			}
		}
		if report, err := w.copier.Heal(t.Context()); err != nil || report.Lost == 0 {
			t.Fatal(report, err)
		}
		seen := map[gantry.Digest]bool{}
		for range 3 {
			w.ahead.Add(int64(time.Second))
			all, err := w.db.SuspectPlacements(t.Context(), w.ids, true, 1)
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			seen[all[0].Digest] = true
			if done, err := w.db.SetVerified(t.Context(), all[0], false); err != nil || !done {
				t.Fatal(done, err)
			}
		}
		if len(seen) != 3 {
			t.Errorf("%d of 3 damaged copies were looked at", len(seen))
		}
	})
}

// TestGeoLyingLocation: a location that gives several blobs with other bytes
// gets no new ones while there are others, and no client is sent there.
func TestGeoLyingLocation(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 3, mem.Options{URL: func(key string, _ blob.URLOptions) string { return "https://x/" + key }})
	good := w.mustPush(randomBytes(999))
	for i := range 3 {
		data := randomBytes(1000 + i)
		d := w.mustPush(data)
		w.settle()
		blobtest.Put(t, w.inner[0], d.Key(), make([]byte, len(data)))
		w.mustPull(d, data)
		after := randomBytes(2000 + i)
		w.mustPush(after)
		if at := w.holds(after)[0]; (at == 0) != (i < 2) {
			t.Errorf("after %d lies a push goes to location %d", i+1, at)
		}
	}
	b, err := w.Blob(t.Context(), w.repo, good)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := w.BlobURL(t.Context(), b, blob.URLOptions{}); err != nil || u == "" {
		t.Errorf("the other locations give no URL: %q, %v", u, err)
	}
	if at := w.at[0].Health.Standing(); at.Writes != content.BreakerOpen || at.Last == "" {
		t.Errorf("%+v", at)
	}
}

// TestGeoBrief: a read of what only a silent location has does not wait as long
// for it as where there is no other location.
func TestGeoBrief(t *testing.T) {
	w := newGeo(t, storetest.SQLite, 2, mem.Options{})
	d := w.mustPush(randomBytes(1000))
	o := w.options
	o.Timing = content.Timing{FirstByte: 20 * time.Millisecond, Brief: 100 * time.Millisecond, Patience: 24 * time.Hour, Probe: 24 * time.Hour}
	s, err := content.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // of a test
	w.faulty[0].SetHook(func(ctx context.Context, c *blobtest.Call) error {
		if c.Op == blobtest.OpOpen && !c.After {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	b, err := s.Blob(t.Context(), w.repo, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), b); !gantry.Is(err, gantry.Unavailable) {
		t.Errorf("a silent location: %v", err)
	}
}

// TestGeoCopyArrived: a blob whose row was read while one location had it is
// given from the copy that has arrived since, when that location goes.
func TestGeoCopyArrived(t *testing.T) {
	eachGeo(t, 2, func(t *testing.T, w *geoWorld) {
		for _, size := range []int{3 << 10, 300 << 10} { // read whole, and streamed
			data := randomBytes(size)
			d := w.mustPush(data)
			b, err := w.Blob(t.Context(), w.repo, d)
			if err != nil {
				t.Fatal(err)
			}
			w.faulty[0].SetHook(away)
			if _, err := w.Open(t.Context(), b); !gantry.Is(err, gantry.Unavailable) {
				t.Errorf("a blob that only the lost location has: %v", err)
			}
			w.faulty[0].SetHook(nil)
			w.heals(0)
			w.settle()
			w.faulty[0].SetHook(away)
			o, err := w.Open(t.Context(), b)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			got, err := io.ReadAll(o)
			if err := errors.Join(err, o.Close()); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d: %v", len(got), size, err)
			}
			w.faulty[0].SetHook(nil)
			w.heals(0)
		}
	})
}
