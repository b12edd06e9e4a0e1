package content_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// putWorld is a content.Store on a database and an engine, which can be
// restarted.
type putWorld struct {
	*content.Store
	t      testing.TB
	db     *store.DB
	engine blob.Engine
	at     content.Location
	repo   gantry.RepoID
	ahead  atomic.Int64
	still  atomic.Pointer[time.Time] // the clock, where it stands
}

func newPutWorld(t testing.TB, dialect string, engine blob.Engine) *putWorld {
	t.Helper()
	w := &putWorld{t: t, engine: engine}
	w.db = storetest.Open(t, dialect, store.Options{Now: func() time.Time {
		if at := w.still.Load(); at != nil {
			return *at
		}
		return time.Now().Add(time.Duration(w.ahead.Load()))
	}})
	w.repo = storetest.Repo(t, w.db)
	id, err := w.db.EnsureLocation(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	w.at = content.Location{ID: id, Name: "default", Engine: engine}
	w.Store = w.another(w.db)
	return w
}

// another is one more Store on the same data.
func (w *putWorld) another(db *store.DB) *content.Store {
	w.t.Helper()
	s, err := content.New(content.Options{Store: db, Locations: []content.Location{w.at}, Settings: content.Settings{Limits: content.Limits{Blob: 64 << 20}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() }) // some tests close it before
	return s
}

// restart ends the Store and begins another.
func (w *putWorld) restart() {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.Store = w.another(w.db)
}

func (w *putWorld) start(s *content.Store) string {
	w.t.Helper()
	up, err := s.StartUpload(w.t.Context(), w.repo, "", gantry.Actor{})
	if err != nil {
		w.t.Fatal(err)
	}
	return up.UUID
}

func (w *putWorld) append(s *content.Store, uuid string, b []byte) int64 {
	w.t.Helper()
	up, err := s.Append(w.t.Context(), w.repo, uuid, -1, int64(len(b)), bytes.NewReader(b))
	if err != nil {
		w.t.Fatal(err)
	}
	return up.Received
}

func (w *putWorld) finish(s *content.Store, uuid string, d gantry.Digest, b []byte) error {
	_, err := s.Finish(w.t.Context(), w.repo, uuid, -1, int64(len(b)), bytes.NewReader(b), d, gantry.Actor{})
	return err
}

// holds checks that the repository holds those bytes.
func (w *putWorld) holds(d gantry.Digest, want []byte) {
	w.t.Helper()
	b, err := w.Blob(w.t.Context(), w.repo, d)
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := w.Open(w.t.Context(), b)
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(got, want) || b.Size != int64(len(want)) {
		w.t.Errorf("%s came back as %d other bytes, not %d", d, len(got), len(want))
	}
}

// objects are the keys below prefix.
func (w *putWorld) objects(prefix string) (keys []string) {
	w.t.Helper()
	for info, err := range w.engine.List(w.t.Context(), prefix, "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = r.Read(b) // never fails
	return b
}

// eachPut runs f on every database with files, and with an engine that cannot
// publish.
func eachPut(t *testing.T, f func(t *testing.T, w *putWorld)) {
	t.Helper()
	for _, d := range storetest.Dialects() {
		t.Run(d, func(t *testing.T) { f(t, newPutWorld(t, d, newFS(t))) })
	}
	t.Run("objects", func(t *testing.T) {
		f(t, newPutWorld(t, storetest.SQLite, mem.NewWith(mem.Options{NoPublish: true})))
	})
}

func TestUploadOfEverySize(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		for _, n := range []int{0, 1, 4096, 256<<10 - 1, 256 << 10, 256<<10 + 1, 768 << 10, 5<<20 + 7} {
			b := randomBytes(n)
			d := gantry.FromBytes(b)
			if _, err := w.Push(t.Context(), w.repo, int64(n), bytes.NewReader(b), d, gantry.Actor{}); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			w.holds(d, b)
			if n == 0 {
				continue
			}
			b[0]++
			uuid := w.start(w.Store)
			if got := w.append(w.Store, uuid, b[:n/2]); got != int64(n/2) {
				t.Errorf("%d bytes received, not %d", got, n/2)
			}
			if err := w.finish(w.Store, uuid, gantry.FromBytes(b), b[n/2:]); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			w.holds(gantry.FromBytes(b), b)
			if _, err := w.Upload(t.Context(), w.repo, uuid); !gantry.Is(err, gantry.NotFound) {
				t.Errorf("the upload is there after its end: %v", err)
			}
		}
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM uploads`); n != 0 {
			t.Errorf("%d rows of uploads are left", n)
		}
		if keys := w.objects("uploads/"); len(keys) > 0 && w.publishes() {
			t.Errorf("left over: %v", keys)
		}
	})
}

func (w *putWorld) publishes() bool {
	_, no := w.engine.(*mem.Engine)
	return !no
}

func TestUploadGoesOnAfterRestart(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		for _, n := range []int{100, 3 << 20} {
			b := randomBytes(3 * n)
			d := gantry.FromBytes(b)
			uuid := w.start(w.Store)
			w.append(w.Store, uuid, b[:n])
			w.restart()
			up, err := w.Upload(t.Context(), w.repo, uuid)
			if err != nil || up.Received != int64(n) {
				t.Fatalf("after a restart: %+v, %v", up, err)
			}
			w.append(w.Store, uuid, b[n:2*n])
			w.restart()
			if err := w.finish(w.Store, uuid, d, b[2*n:]); err != nil {
				t.Fatal(err)
			}
			w.holds(d, b)
		}
	})
}

// Each request goes to another process.
func TestUploadInAnotherProcess(t *testing.T) {
	for _, dialect := range []string{storetest.Postgres, storetest.MariaDB} {
		t.Run(dialect, func(t *testing.T) {
			w := newPutWorld(t, dialect, newFS(t))
			other := w.another(storetest.Another(t, w.db, store.Options{}))
			b := randomBytes(2 << 20)
			d := gantry.FromBytes(b)
			uuid := w.start(w.Store)
			w.append(other, uuid, b[:1000])
			w.append(w.Store, uuid, b[1000:1<<20])

			// While one is at it, the other is refused.
			pr, pw := io.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := w.Append(context.WithoutCancel(t.Context()), w.repo, uuid, -1, -1, pr)
				done <- err
			}()
			if _, err := pw.Write(b[1<<20 : 1<<20+10]); err != nil {
				t.Fatal(err)
			}
			if err := w.finish(other, uuid, d, nil); !gantry.Is(err, gantry.Conflict) {
				t.Errorf("two processes at one upload: %v", err)
			}
			_ = pw.Close()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := w.finish(other, uuid, d, b[1<<20+10:]); err != nil {
				t.Fatal(err)
			}
			w.holds(d, b)

			// A process that died at it is succeeded, and what it may still
			// write does no harm.
			b[0]++
			uuid = w.start(w.Store)
			w.append(w.Store, uuid, b[:1<<20])
			storetest.Exec(t, w.db, `UPDATE uploads SET holder = 'dead' WHERE uuid = ?`, uuid)
			if err := w.finish(other, uuid, gantry.FromBytes(b), b[1<<20:]); !gantry.Is(err, gantry.Conflict) {
				t.Errorf("an upload was taken from a process that lives: %v", err)
			}
			storetest.Exec(t, w.db, `UPDATE uploads SET touched_ms = touched_ms - 600000 WHERE uuid = ?`, uuid)
			slow, err := w.engine.Upload(t.Context(), "uploads/"+uuid, 1<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.append(other, uuid, b[1<<20:1<<20+100])
			if _, err := slow.Write(bytes.Repeat([]byte("x"), 500)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(slow.Close(), w.finish(other, uuid, gantry.FromBytes(b), b[1<<20+100:])); err != nil {
				t.Fatal(err)
			}
			w.holds(gantry.FromBytes(b), b)
		})
	}
}

func TestUploadRefusals(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		b := randomBytes(3000)
		d := gantry.FromBytes(b)
		uuid := w.start(w.Store)
		w.append(w.Store, uuid, b[:1000])
		check := func(what string, err error, code gantry.Code, object string) {
			t.Helper()
			e, ok := errors.AsType[*gantry.Error](err)
			if !ok || e.Code != code || e.Object != object {
				t.Errorf("%s: %v, want %s on %s", what, err, code, object)
			}
		}
		_, err := w.Append(t.Context(), w.repo, uuid, 999, 1, bytes.NewReader(b[:1]))
		check("a chunk before the end", err, gantry.Range, "upload")
		_, err = w.Append(t.Context(), w.repo, uuid, 1001, 1, bytes.NewReader(b[:1]))
		check("a chunk behind the end", err, gantry.Range, "upload")
		_, err = w.Append(t.Context(), w.repo, uuid, 1000, 2000, bytes.NewReader(b[1000:2000]))
		check("a short chunk", err, gantry.Invalid, "size")
		other := storetest.Repo(t, w.db)
		_, err = w.Append(t.Context(), other, uuid, -1, 1, bytes.NewReader(b[:1]))
		check("another repository", err, gantry.NotFound, "upload")
		_, err = w.Upload(t.Context(), other, uuid)
		check("another repository", err, gantry.NotFound, "upload")
		check("another repository", w.Cancel(t.Context(), other, uuid), gantry.NotFound, "upload")
		broken := io.MultiReader(bytes.NewReader(b[2000:2500]), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err = w.Append(t.Context(), w.repo, uuid, -1, 1000, broken); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a broken body: %v", err)
		}
		if up, err := w.Upload(t.Context(), w.repo, uuid); err != nil || up.Received != 2500 {
			t.Errorf("after a broken body: %+v, %v", up, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		_, err = w.Append(gone, w.repo, uuid, -1, -1, io.MultiReader(bytes.NewReader(b[2500:2600]), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, context.Canceled
		})))
		if up, e := w.Upload(t.Context(), w.repo, uuid); !errors.Is(err, context.Canceled) || e != nil || up.Received != 2600 {
			t.Errorf("after a client left: %v, %+v, %v", err, up, e)
		}
		if err := w.finish(w.Store, uuid, d, b[2600:]); err != nil {
			t.Fatal(err)
		}
		w.holds(d, b)

		uuid = w.start(w.Store)
		w.append(w.Store, uuid, b[:1000])
		check("the wrong digest", w.finish(w.Store, uuid, d, b[1000:2999]), gantry.Invalid, "digest")
		_, err = w.Upload(t.Context(), w.repo, uuid)
		check("after the wrong digest", err, gantry.NotFound, "upload")
		_, err = w.Push(t.Context(), w.repo, 3000, bytes.NewReader(b), gantry.FromBytes(nil), gantry.Actor{})
		check("the wrong digest", err, gantry.Invalid, "digest")

		uuid = w.start(w.Store)
		w.append(w.Store, uuid, b)
		if err := w.Cancel(t.Context(), w.repo, uuid); err != nil {
			t.Error(err)
		}
		check("cancelled twice", w.Cancel(t.Context(), w.repo, uuid), gantry.NotFound, "upload")

		w.Configure(content.Settings{Limits: content.Limits{Blob: 3000}})
		uuid = w.start(w.Store)
		_, err = w.Append(t.Context(), w.repo, uuid, -1, 3001, iotest.ErrReader(errors.New("it was read")))
		check("too large by its length", err, gantry.TooLarge, "blob")
		_, err = w.Push(t.Context(), w.repo, -1, bytes.NewReader(append(b, 1)), d, gantry.Actor{})
		check("too large", err, gantry.TooLarge, "blob")
		if _, err = w.Push(t.Context(), w.repo, -1, bytes.NewReader(b), d, gantry.Actor{}); err != nil {
			t.Errorf("just not too large: %v", err)
		}
		w.Configure(content.Settings{ReadOnly: true})
		_, err = w.StartUpload(t.Context(), w.repo, "", gantry.Actor{})
		check("read-only", err, gantry.ReadOnly, "registry")
		if keys := w.objects("uploads/"); len(keys) > 0 && w.publishes() {
			t.Errorf("left over: %v", keys)
		}
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM uploads`); n != 0 {
			t.Errorf("%d rows of uploads are left", n)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestUploadOfAnotherAlgorithm(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		b := randomBytes(1<<20 + 1)
		sum := sha512.Sum512(b)
		d := gantry.Digest("sha512:" + hex.EncodeToString(sum[:]))
		uuid := w.start(w.Store)
		w.append(w.Store, uuid, b[:1<<20])
		if err := w.finish(w.Store, uuid, d, b[1<<20:]); err != nil {
			t.Fatal(err)
		}
		w.holds(d, b)
		uuid = w.start(w.Store)
		if err := w.finish(w.Store, uuid, d, b); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Blob(t.Context(), w.repo, gantry.FromBytes(b)); !gantry.Is(err, gantry.NotFound) {
			t.Errorf("the blob has a digest that nobody named: %v", err)
		}
	})
}

func TestUploadOfOneBlobByMany(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		b := randomBytes(300 << 10)
		d := gantry.FromBytes(b)
		var wg sync.WaitGroup
		for range 8 {
			repo := storetest.RepoIn(t, w.db, storetest.Namespace(t, w.db))
			wg.Go(func() {
				for range 3 {
					if _, err := w.Push(t.Context(), repo, int64(len(b)), bytes.NewReader(b), d, gantry.Actor{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if _, err := w.Push(t.Context(), w.repo, int64(len(b)), bytes.NewReader(b), d, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		w.holds(d, b)
		if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM placements`); n != 1 {
			t.Errorf("%d placements", n)
		}
		if keys := w.objects("uploads/"); len(keys) > 0 && w.publishes() {
			t.Errorf("left over: %v", keys)
		}
	})
}

// A key that waits to be deleted is not used again.
func TestUploadOfAFencedKey(t *testing.T) {
	w := newPutWorld(t, storetest.SQLite, newFS(t))
	b := randomBytes(1000)
	d := gantry.FromBytes(b)
	push := func() {
		t.Helper()
		if _, err := w.Push(t.Context(), w.repo, -1, bytes.NewReader(b), d, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	push()
	if err := w.DeleteBlob(t.Context(), w.repo, d, gantry.Actor{}); err != nil {
		t.Fatal(err)
	}
	c := content.NewCollector(content.CollectOptions{Store: w.db, Locations: []content.Location{w.at}})
	round := func() {
		t.Helper()
		if _, err := c.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM blobs`); n != 0 {
		t.Fatalf("%d blobs", n)
	}
	push()
	w.holds(d, b)
	w.ahead.Add(int64(20 * time.Minute))
	round()
	if _, err := w.engine.Stat(t.Context(), d.Key()); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("the fenced key is still there: %v", err)
	}
	w.holds(d, b)
	w.restart()
	w.holds(d, b)
}

// What the engine cannot do is an error, leaves nothing half-done, and works
// when the engine does again.
func TestUploadFaults(t *testing.T) {
	broken := errors.New("I/O error")
	full := &gantry.Error{Code: gantry.Unavailable, Object: "storage", Reason: gantry.DiskFull}
	for _, op := range []blobtest.Op{blobtest.OpUpload, blobtest.OpWrite, blobtest.OpSync, blobtest.OpComplete, blobtest.OpPublishUpload} {
		for _, fault := range []error{broken, full} {
			t.Run(string(op)+" "+fault.Error(), func(t *testing.T) {
				engine := blobtest.Faulty(newFS(t), nil)
				w := newPutWorld(t, storetest.SQLite, engine)
				b := randomBytes(2 << 20)
				d := gantry.FromBytes(b)
				uuid := w.start(w.Store)
				w.append(w.Store, uuid, b[:1<<20])
				engine.SetHook(blobtest.FailOn(op, "", fault))
				_, err := w.Append(t.Context(), w.repo, uuid, -1, 100, bytes.NewReader(b[1<<20:1<<20+100]))
				hit := err != nil
				if err == nil {
					err = w.finish(w.Store, uuid, d, b[1<<20+100:])
					hit = err != nil
				}
				if hit && !gantry.Is(err, gantry.Unavailable) {
					t.Errorf("error %v", err)
				}
				if hit && gantry.ReasonOf(err) != gantry.ReasonOf(fault) {
					t.Errorf("reason %q", gantry.ReasonOf(err))
				}
				_, err = w.Push(t.Context(), w.repo, -1, bytes.NewReader(b[1:]), gantry.FromBytes(b[1:]), gantry.Actor{})
				if err == nil && op != blobtest.OpSync && op != blobtest.OpComplete {
					t.Error("the fault was never met")
				}
				engine.SetHook(nil)
				if err != nil {
					if _, err := w.Blob(t.Context(), w.repo, gantry.FromBytes(b[1:])); !gantry.Is(err, gantry.NotFound) {
						t.Errorf("a refused blob: %v", err)
					}
				}
				if up, err := w.Upload(t.Context(), w.repo, uuid); hit && err == nil {
					if up.Received > 1<<20+100 {
						t.Errorf("%d bytes received", up.Received)
					}
					if err := w.finish(w.Store, uuid, d, b[up.Received:]); err != nil {
						t.Errorf("go on after the fault: %v", err)
					}
				}
				if _, err := w.Push(t.Context(), w.repo, -1, bytes.NewReader(b), d, gantry.Actor{}); err != nil {
					t.Fatal(err)
				}
				w.holds(d, b)
				if n := storetest.Get(t, w.db, `SELECT COUNT(*) FROM uploads`); n != 0 {
					t.Errorf("%d rows of uploads are left", n)
				}
			})
		}
	}
}

// The budgets of docs/design: SQL statements for each path.
func TestStatementBudgets(t *testing.T) {
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			w := newPutWorld(t, dialect, newFS(t))
			now := time.Now() // what is cached for a second stays so, however slow the machine is
			w.still.Store(&now)
			count := func(what string, most uint64, f func() error) {
				t.Helper()
				before := w.db.Statements()
				if err := f(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if n := w.db.Statements() - before; n > most {
					t.Errorf("%s: %d statements, at most %d", what, n, most)
				}
			}
			b := randomBytes(1000)
			d := gantry.FromBytes(b)
			ctx := t.Context()
			if _, err := w.RepositoryByID(ctx, w.repo); err != nil {
				t.Fatal(err)
			}
			count("push a blob", 6, func() error { // one look, and the commit
				_, err := w.Push(ctx, w.repo, -1, bytes.NewReader(b), d, gantry.Actor{})
				return err
			})
			count("find a blob", 1, func() error { _, err := w.Blob(ctx, w.repo, d); return err })
			count("find it again", 0, func() error { _, err := w.Blob(ctx, w.repo, d); return err })
			count("open it", 0, func() error {
				got, err := w.Blob(ctx, w.repo, d)
				if err != nil {
					return err
				}
				f, err := w.Open(ctx, got)
				if err != nil {
					return err
				}
				return f.Close()
			})
			body := []byte(`{"schemaVersion":2,"config":{"mediaType":"application/x","digest":"` + string(d) + `","size":1000},"layers":[]}`)
			put := func(tag string) func() error {
				return func() error {
					_, err := w.PutManifest(ctx, content.Put{Repo: w.repo, Tags: []string{tag}, Body: body})
					return err
				}
			}
			count("push a manifest", 12, put("a"))
			count("push it again", 6, put("a"))
			// As many for any number of layers.
			made := 0
			statements := func(layers int) uint64 {
				var all []string
				for range layers {
					layer := fmt.Appendf(nil, "layer %04d", made)
					made++
					if _, err := w.Push(ctx, w.repo, -1, bytes.NewReader(layer), gantry.FromBytes(layer), gantry.Actor{}); err != nil {
						t.Fatal(err)
					}
					all = append(all, `{"mediaType":"application/y","digest":"`+string(gantry.FromBytes(layer))+`","size":10}`)
				}
				wide := []byte(strings.Replace(string(body), `"layers":[]`, `"layers":[`+strings.Join(all, ",")+`]`, 1))
				before := w.db.Statements()
				if _, err := w.PutManifest(ctx, content.Put{Repo: w.repo, Tags: []string{"wide"}, Body: wide}); err != nil {
					t.Fatal(err)
				}
				return w.db.Statements() - before
			}
			statements(1) // the first makes the tag
			if few, many := statements(1), statements(100); few != many || many > 12 {
				t.Errorf("a manifest of 1 layer takes %d statements, one of 100 layers %d", few, many)
			}
			m := gantry.FromBytes(body)
			get := func(ref gantry.Reference) func() error {
				return func() error { _, err := w.Manifest(ctx, w.repo, ref); return err }
			}
			if _, err := w.RepositoryByID(ctx, w.repo); err != nil {
				t.Fatal(err)
			}
			count("manifest by tag", 1, get(gantry.Reference{Tag: "a"}))
			count("manifest by digest", 1, get(gantry.Reference{Digest: m}))
			count("manifest by digest, hot", 0, get(gantry.Reference{Digest: m}))
			if w.db.Exclusive() {
				count("manifest by tag, hot", 0, get(gantry.Reference{Tag: "a"}))
			}
			count("tags", 1, func() error { _, _, err := w.Tags(ctx, w.repo, "", 100); return err })
			if n := testing.AllocsPerRun(100, func() {
				if get(gantry.Reference{Digest: m})() != nil {
					t.Fatal("gone")
				}
			}); n > 10 {
				t.Errorf("%v allocations for a hot manifest", n)
			}
		})
	}
}

// zeros are so many bytes of a body.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// An upload of any size takes at most 1 MiB of memory, counting what is free
// again.
func TestUploadAllocates(t *testing.T) {
	w := newPutWorld(t, storetest.SQLite, newFS(t))
	for _, n := range []int64{1 << 20, 60 << 20} {
		h := gantry.NewHash(gantry.SHA256)
		if _, err := io.Copy(h, zeros(n)); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := w.Push(t.Context(), w.repo, n, zeros(n), gantry.DigestOf(gantry.SHA256, h), gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%d bytes are allocated for an upload of %d", got, n)
		}
	}
}

// What was acknowledged of an upload outlives a process that is killed, at
// any size; and so does an upload that was only begun, after a second.
func TestUploadOutlivesKill(t *testing.T) {
	eachPut(t, func(t *testing.T, w *putWorld) {
		for _, n := range []int{1, 100, 3 << 20} {
			b := randomBytes(3 * n)
			uuid := w.start(w.Store)
			w.append(w.Store, uuid, b[:n])
			other := w.another(w.db) // it knows nothing of the first, which says no word more
			up, err := other.Upload(t.Context(), w.repo, uuid)
			if err != nil || up.Received != int64(n) {
				t.Fatalf("after the kill: %+v, %v", up, err)
			}
			w.append(other, uuid, b[n:2*n])
			third := w.another(w.db)
			if err := w.finish(third, uuid, gantry.FromBytes(b), b[2*n:]); err != nil {
				t.Fatal(err)
			}
			w.holds(gantry.FromBytes(b), b)
		}
		uuid := w.start(w.Store)
		for deadline := time.Now().Add(30 * time.Second); storetest.Get(t, w.db, `SELECT COUNT(*) FROM uploads WHERE uuid = ?`, uuid) == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("an upload that was begun has no row")
			}
		}
		b := randomBytes(10)
		if err := w.finish(w.another(w.db), uuid, gantry.FromBytes(b), b); err != nil {
			t.Fatal(err)
		}
	})
}
