package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// A world is a registry's database and storage.
type world struct {
	t      *testing.T
	db     *store.DB
	repo   gantry.RepoID
	engine blob.Engine
	at     int64
	bytes  map[gantry.Digest][]byte
	held   int // how often a hold was taken and not given back
}

func newWorld(t *testing.T, dialect string) *world {
	t.Helper()
	db := storetest.Open(t, dialect, store.Options{})
	w := &world{t: t, db: db, engine: files(t), bytes: map[gantry.Digest][]byte{}}
	w.repo = storetest.Repo(t, db)
	var err error
	if w.at, err = db.EnsureLocation(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	return w
}

func files(t *testing.T) blob.Engine {
	t.Helper()
	e, err := fs.New(fs.Options{Root: filepath.Join(t.TempDir(), "storage")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func put(t *testing.T, e blob.Engine, key string, b []byte) {
	t.Helper()
	w := writer{engine: e}
	if _, err := w.put(t.Context(), key, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, e blob.Engine, key string) []byte {
	t.Helper()
	o, err := e.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	defer func() { _ = o.Close() }()
	b, err := io.ReadAll(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// push adds n blobs.
func (w *world) push(n int) (added []gantry.Digest) {
	w.t.Helper()
	for range n {
		b := make([]byte, 1+rand.IntN(5000))
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		d := gantry.FromBytes(b)
		put(w.t, w.engine, d.Key(), b)
		if _, err := w.db.CommitBlob(w.t.Context(), store.BlobCommit{Repo: w.repo, Digest: d, Size: int64(len(b)), Location: w.at, Lease: time.Hour}); err != nil {
			w.t.Fatal(err)
		}
		w.bytes[d] = b
		added = append(added, d)
	}
	return added
}

// testHold is a restore point of the world.
type testHold struct {
	w    *world
	id   int64
	life time.Duration
}

func (h *testHold) Life() time.Duration { return h.life }
func (h *testHold) Renew(ctx context.Context) error {
	return h.w.db.RenewRestorePoint(ctx, h.id, h.w.db.Now().Add(time.Hour))
}

func (h *testHold) Release(ctx context.Context) error {
	h.w.held--
	return h.w.db.ReleaseRestorePoint(ctx, h.id)
}

func (w *world) source() Source {
	return Source{
		Hold: func(ctx context.Context) (Hold, error) {
			id, err := w.db.CreateRestorePoint(ctx, w.db.Now().Add(time.Hour))
			w.held++
			return &testHold{w, id, time.Hour}, err
		},
		CopyDatabase: func(ctx context.Context, uri string) (store.Copied, error) {
			return store.CopyDatabase(ctx, store.CopyOptions{From: store.Options{URI: storetest.AddressOf(w.t, w.db)}, To: store.Options{URI: uri}})
		},
		Locations: []Location{{Name: "here", Engine: w.engine, Local: true}},
		Files:     map[string][]byte{"config/config.yaml": []byte("SERVER_HOSTNAME: quay.example.com\n"), "config/extra_ca_certs/a.crt": []byte("x"), "keys/secret_key": {}},
		Version:   "1.2.3", Hostname: "quay.example.com",
	}
}

func key(t *testing.T) Key {
	t.Helper()
	b, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, o Options) *Vault {
	t.Helper()
	o.Temp = t.TempDir()
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) create(v *Vault) Backup {
	w.t.Helper()
	b, err := v.Create(w.t.Context(), w.source())
	if err != nil {
		w.t.Fatal(err)
	}
	if w.held != 0 {
		w.t.Error("collection is held back after the backup")
	}
	return b
}

func keys(t *testing.T, e blob.Engine) (all []string) {
	t.Helper()
	for i, err := range e.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, i.Key)
	}
	return all
}

// TestBackup backs a registry up, on each database, and puts it back into
// another one.
func TestBackup(t *testing.T) {
	into := map[string]string{storetest.SQLite: storetest.Postgres, storetest.Postgres: storetest.MariaDB, storetest.MariaDB: storetest.SQLite}
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			ctx := t.Context()
			w := newWorld(t, dialect)
			w.push(40)
			vault, k := files(t), key(t)
			v := open(t, Options{Engine: vault, Key: k})
			first := w.create(v)
			if first.Blobs != 40 || first.New != 40 || first.Missing != 0 || first.Rows < 80 || len(first.Encrypted) != 1 || first.Dialect != w.db.Dialect() {
				t.Errorf("%+v", first)
			}
			w.push(3)
			second := w.create(v)
			if second.Blobs != 43 || second.New != 3 {
				t.Errorf("only what is new is copied: %+v", second)
			}
			for _, name := range keys(t, vault) {
				if strings.HasPrefix(name, "locks/") || strings.HasPrefix(name, "uploads/") {
					t.Errorf("%s is left", name)
				}
				if b := get(t, vault, name); bytes.Contains(b, []byte("SERVER_HOSTNAME")) || bytes.Contains(b, []byte("SQLite format")) {
					t.Errorf("%s is not encrypted", name)
				}
			}
			if all, err := v.List(ctx); err != nil || len(all) != 2 || all[0].ID != second.ID || all[1].ID != first.ID {
				t.Errorf("List: %v, %v", all, err)
			}
			for _, read := range []bool{false, true} {
				if out, err := v.Verify(ctx, second, read); err != nil || !out.Sound() || !out.Database || out.Blobs != 43 {
					t.Errorf("Verify: %+v, %v", out, err)
				}
			}
			if f, err := v.Files(ctx, first); err != nil || len(f) != 3 || string(f["config/extra_ca_certs/a.crt"]) != "x" {
				t.Errorf("Files: %v, %v", f, err)
			}

			// Into another database and storage, which has some of it already.
			to, uri := files(t), storetest.EmptyURI(t, into[dialect])
			for d, b := range w.bytes {
				put(t, to, d.Key(), b)
				break
			}
			target := Target{Location: "there", Engine: to, CopyDatabase: func(ctx context.Context, from string) (store.Copied, error) {
				return store.CopyDatabase(ctx, store.CopyOptions{From: store.Options{URI: from}, To: store.Options{URI: uri}})
			}}
			r, err := v.Restore(ctx, second, target)
			if err != nil || r.Blobs != 43 || r.New != 42 || r.Missing != 0 {
				t.Fatalf("Restore: %+v, %v", r, err)
			}
			db := storetest.Open(t, into[dialect], store.Options{URI: uri})
			there, err := db.EnsureLocation(ctx, "there")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for d, b := range w.bytes {
				got, err := db.RepoBlob(ctx, w.repo, d)
				if err != nil || !slices.Equal(got.Places, []store.Place{{Location: there}}) {
					t.Fatalf("%s: %+v, %v", d, got, err)
				}
				if !bytes.Equal(get(t, to, d.Key()), b) {
					t.Errorf("%s has other bytes", d)
				}
				n++
			}
			if points, err := db.RestorePoints(ctx); err != nil || len(points) != 0 {
				t.Errorf("restore points of the source are in the target: %v, %v", points, err)
			}
			if _, err := v.Restore(ctx, second, target); !gantry.Is(err, gantry.Conflict) {
				t.Errorf("a registry that holds something is not overwritten: %v", err)
			}
		})
	}
}

// TestEngines backs up to where objects cannot be published, and to memory.
func TestEngines(t *testing.T) {
	w := newWorld(t, storetest.SQLite)
	w.push(30)
	for name, e := range map[string]blob.Engine{"memory": mem.New(), "no publishing": mem.NewWith(mem.Options{NoPublish: true})} {
		v := open(t, Options{Engine: e, AtOnce: 2})
		b := w.create(v)
		if out, err := v.Verify(t.Context(), b, true); err != nil || !out.Sound() {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		for _, k := range keys(t, e) {
			if strings.HasPrefix(k, "uploads/") {
				t.Errorf("%s: %s is left", name, k)
			}
		}
	}
}

// TestDamage is about vaults in which something is missing or wrong.
func TestDamage(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, storetest.SQLite)
	all := w.push(20)
	vault, k := mem.New(), key(t)
	v := open(t, Options{Engine: vault, Key: k})
	b := w.create(v)

	good := get(t, vault, all[0].Key())
	put(t, vault, all[0].Key(), append([]byte{good[0] ^ 1}, good[1:]...))
	if err := vault.Delete(ctx, all[1].Key()); err != nil {
		t.Fatal(err)
	}
	out, err := v.Verify(ctx, b, true)
	if err != nil || out.Damaged != 1 || out.Missing != 1 || len(out.Flaws) != 2 {
		t.Errorf("Verify: %+v, %v", out, err)
	}
	// Such a backup is put back as far as it goes.
	to, uri := mem.New(), storetest.EmptyURI(t, storetest.SQLite)
	r, err := v.Restore(ctx, b, Target{Location: "there", Engine: to, CopyDatabase: func(ctx context.Context, from string) (store.Copied, error) {
		return store.CopyDatabase(ctx, store.CopyOptions{From: store.Options{URI: from}, To: store.Options{URI: uri}})
	}})
	if err != nil || r.Missing != 2 || r.New != 18 || len(r.Lost) != 2 {
		t.Fatalf("Restore: %+v, %v", r, err)
	}
	db := storetest.Open(t, storetest.SQLite, store.Options{URI: uri})
	for i, d := range all {
		got, err := db.RepoBlob(ctx, w.repo, d)
		if err != nil || len(got.Places) != map[bool]int{true: 0, false: 1}[i < 2] {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
	// The next backup brings what is missing; what is damaged has the right
	// size, and is found by reading only.
	if b = w.create(v); b.New != 1 {
		t.Errorf("%+v", b)
	}
	put(t, vault, all[0].Key(), good)

	at := folder + b.ID + "/"
	for name, change := range map[string]func([]byte) []byte{
		"database.zst.age": func(b []byte) []byte { b[len(b)-3] ^= 1; return b },
		"files.zst.age":    func(b []byte) []byte { return b[:len(b)/2] },
		"blobs.zst":        func(b []byte) []byte { return b[:len(b)-1] },
		"backup.json":      func([]byte) []byte { return []byte("{") },
	} {
		was := get(t, vault, at+name)
		put(t, vault, at+name, change(bytes.Clone(was)))
		out, err := v.Verify(ctx, b, false)
		if name == "backup.json" {
			_, err = v.Find(ctx, b.ID)
		}
		if !gantry.Is(err, gantry.Invalid) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s is damaged: %+v, %v", name, out, err)
		}
		if name == "blobs.zst" { // nothing is removed by a list that was cut
			before := keys(t, vault)
			if _, err := v.Prune(ctx, 1); !gantry.Is(err, gantry.Invalid) || !slices.Equal(before, keys(t, vault)) {
				t.Errorf("Prune: %v", err)
			}
		}
		put(t, vault, at+name, was)
	}
	if err := vault.Delete(ctx, at+"database.zst.age"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(ctx, b, false); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("a part is missing: %v", err)
	}
	for _, id := range []string{"../x", "20260101T000000Z-aaaaa/", ""} {
		if _, err := v.Find(ctx, id); (err == nil) != (id == "") {
			t.Errorf("Find(%q): %v", id, err)
		}
	}
	// Other keys, and none.
	for name, k := range map[string]Key{"another": key(t), "none": {}, "the public one": {recipients: k.recipients, names: k.names}} {
		v := open(t, Options{Engine: vault, Key: k})
		if _, err := v.Files(ctx, b); !gantry.Is(err, gantry.Invalid) || !strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLost backs up a registry whose storage has lost blobs.
func TestLost(t *testing.T) {
	w := newWorld(t, storetest.SQLite)
	all := w.push(12)
	if err := w.engine.Delete(t.Context(), all[3].Key()); err != nil {
		t.Fatal(err)
	}
	put(t, w.engine, all[4].Key(), []byte("other"))
	storetest.Exec(t, w.db, `DELETE FROM placements WHERE blob_id IN (SELECT id FROM blobs WHERE digest = ?)`, all[5].Bytes())
	v := open(t, Options{Engine: mem.New()})
	b := w.create(v)
	lost := []gantry.Digest{all[3], all[4], all[5]}
	slices.Sort(lost)
	slices.Sort(b.Lost)
	if b.Missing != 3 || !slices.Equal(b.Lost, lost) || b.New != 9 {
		t.Errorf("%+v", b)
	}
	if out, err := v.Verify(t.Context(), b, true); err != nil || out.Missing != 2 {
		t.Errorf("what the storage has lost is missing in the backup: %+v, %v", out, err)
	}
	// Storage that does not answer is another thing: there is no backup then.
	s := w.source()
	s.Locations[0].Engine = away{w.engine}
	w.push(1)
	if _, err := v.Create(t.Context(), s); err == nil || !strings.Contains(err.Error(), "unplugged") {
		t.Errorf("storage is away: %v", err)
	}
	if all, err := v.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// away is an engine that cannot be read.
type away struct{ blob.Engine }

func (away) Open(context.Context, string) (blob.Object, error) { return nil, errors.New("unplugged") }

// TestPrune removes old backups and what none has any more.
func TestPrune(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, storetest.SQLite)
	vault := mem.New()
	v := open(t, Options{Engine: vault})
	var made []Backup
	blobs := w.push(10)
	for i := range 4 {
		made = append(made, w.create(v))
		if i < 3 { // one goes, one comes
			storetest.Exec(t, w.db, `DELETE FROM placements WHERE blob_id IN (SELECT id FROM blobs WHERE digest = ?)`, blobs[i].Bytes())
			storetest.Exec(t, w.db, `DELETE FROM blobs WHERE digest = ?`, blobs[i].Bytes())
			w.push(1)
		}
		time.Sleep(2 * time.Millisecond) // the order of backups is that of their times
	}
	put(t, vault, folder+"20200101T000000Z-aaaaaa/database.zst", []byte("of one that was interrupted"))
	put(t, vault, "uploads/backup-x", []byte("too"))
	if _, err := v.Prune(ctx, 0); !gantry.Is(err, gantry.Invalid) {
		t.Error(err)
	}
	p, err := v.Prune(ctx, 2)
	if err != nil || p.Kept != 2 || p.Blobs != 2 || len(p.Removed) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	left, err := v.List(ctx)
	if err != nil || len(left) != 2 {
		t.Fatalf("%v, %v", left, err)
	}
	for _, b := range left {
		if out, err := v.Verify(ctx, b, true); err != nil || !out.Sound() {
			t.Errorf("%+v, %v", out, err)
		}
	}
	for _, k := range keys(t, vault) {
		if strings.HasPrefix(k, "uploads/") || strings.Contains(k, made[0].ID) || strings.Contains(k, "20200101") {
			t.Errorf("%s is left", k)
		}
	}
}

// TestLocks is about backups and pruning at a time.
func TestLocks(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, storetest.SQLite)
	w.push(3)
	vault := mem.New()
	v := open(t, Options{Engine: vault, lockLife: 200 * time.Millisecond})
	w.create(v)
	end, err := v.lock(ctx, lockUse)
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.lock(ctx, lockUse)
	if err != nil {
		t.Errorf("two backups at a time: %v", err)
	}
	time.Sleep(500 * time.Millisecond) // renewed meanwhile
	if _, err := v.Prune(ctx, 1); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("pruned while a backup was made: %v", err)
	}
	end()
	second()
	end, err = v.lock(ctx, lockPrune)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Create(ctx, w.source()); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("a backup while another prunes: %v", err)
	}
	end()
	// Who died leaves a lock that nobody renews.
	put(t, vault, locks+lockUse+"dead", []byte("{}"))
	if _, err := v.Prune(ctx, 1); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("the lock is young: %v", err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		if _, err = v.Prune(ctx, 1); err == nil || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("the lock of a process that died: %v", err)
	}
	// Of many at once no two do what excludes the other.
	var users, pruners, wrong int
	var mu sync.Mutex
	var all sync.WaitGroup
	long := open(t, Options{Engine: vault})
	for i := range 40 {
		all.Go(func() {
			kind, mine, others := lockUse, &users, &pruners
			if i%4 == 0 {
				kind, mine, others = lockPrune, &pruners, &users
			}
			end, err := long.lock(ctx, kind)
			if err != nil {
				return
			}
			mu.Lock()
			*mine++
			if *others > 0 || pruners > 1 {
				wrong++
			}
			mu.Unlock()
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			mu.Lock()
			*mine--
			mu.Unlock()
			end()
		})
	}
	all.Wait()
	if wrong > 0 {
		t.Errorf("%d held locks that exclude each other", wrong)
	}
}

// TestInterrupted stops backups and restores on their way.
func TestInterrupted(t *testing.T) {
	w := newWorld(t, storetest.SQLite)
	w.push(60)
	vault := mem.New()
	steps := 0
	for at := 5; at < 60; at += 20 {
		ctx, cancel := context.WithCancel(t.Context())
		v := open(t, Options{Engine: vault, AtOnce: 1, Progress: func(_ string, done, _ int64) {
			if done == int64(at) {
				steps++
				cancel()
			}
		}})
		if b, err := v.Create(ctx, w.source()); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", b, err)
		}
		if w.held != 0 {
			t.Error("collection is held back by a backup that was stopped")
		}
		if all, err := v.List(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
	}
	v := open(t, Options{Engine: vault})
	b := w.create(v)
	if b.New >= 60 || steps != 3 {
		t.Errorf("blobs of interrupted backups are copied again: %+v", b)
	}
	// The hold is over: what was copied may not fit together.
	s := w.source()
	s.Hold = func(ctx context.Context) (Hold, error) {
		id, err := w.db.CreateRestorePoint(ctx, w.db.Now().Add(time.Hour))
		if err == nil {
			err = w.db.ReleaseRestorePoint(ctx, id)
		}
		w.held++
		return &testHold{w, id, time.Hour}, err
	}
	if _, err := v.Create(t.Context(), s); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("collection went on: %v", err)
	}

	to, uri := mem.New(), storetest.EmptyURI(t, storetest.Postgres)
	var copying func(store.CopiedTable)
	target := Target{Location: "there", Engine: to, CopyDatabase: func(ctx context.Context, from string) (store.Copied, error) {
		return store.CopyDatabase(ctx, store.CopyOptions{From: store.Options{URI: from}, To: store.Options{URI: uri}, Progress: copying})
	}}
	for _, at := range []int64{3, 40, -1} {
		ctx, cancel := context.WithCancel(t.Context())
		copying = func(c store.CopiedTable) {
			if at < 0 && c.Name == "repo_blobs" {
				cancel()
			}
		}
		v := open(t, Options{Engine: vault, AtOnce: 1, Progress: func(step string, done, _ int64) {
			if step == "blobs" && done == at {
				cancel()
			}
		}})
		if _, err := v.Restore(ctx, b, target); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %d: %v", at, err)
		}
		cancel()
	}
	half := storetest.Open(t, storetest.Postgres, store.Options{URI: uri})
	if err := half.CheckSchema(t.Context()); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("half a registry is served: %v", err)
	}
	copying = nil
	if r, err := v.Restore(t.Context(), b, target); err != nil || r.New != 0 || r.Blobs != 60 {
		t.Errorf("the restore goes on: %+v, %v", r, err)
	}
}

// TestOpen is about what is no vault.
func TestOpen(t *testing.T) {
	ctx := t.Context()
	registry := mem.New()
	put(t, registry, gantry.FromBytes(nil).Key(), nil)
	if _, err := Open(ctx, Options{Engine: registry}); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("the storage of a registry: %v", err)
	}
	if _, err := Open(ctx, Options{Engine: mem.New(), Existing: true}); !gantry.Is(err, gantry.NotFound) {
		t.Errorf("nothing: %v", err)
	}
	newer := mem.New()
	put(t, newer, markerKey, []byte(`{"layout": 2}`))
	if _, err := Open(ctx, Options{Engine: newer}); !gantry.Is(err, gantry.Conflict) {
		t.Errorf("a newer layout: %v", err)
	}
}

// TestKey reads key files.
func TestKey(t *testing.T) {
	k := key(t)
	public, err := ParseKey([]byte("# mine\n\n" + k.names[0] + "\n"))
	if err != nil || !public.Encrypts() || len(public.identities) != 0 {
		t.Errorf("%+v, %v", public, err)
	}
	for _, text := range []string{"", "# nothing", "x", k.names[0] + "x", "AGE-SECRET-KEY-1SECRETSECRET", strings.Repeat("#", 70_000)} {
		if _, err := ParseKey([]byte(text)); !gantry.Is(err, gantry.Invalid) || strings.Contains(err.Error(), "SECRETSECRET") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// FuzzKey reads key files of any bytes.
func FuzzKey(f *testing.F) {
	b, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("age1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParseKey(b); err == nil && !k.Encrypts() {
			t.Error("a key that does not encrypt")
		}
	})
}

// FuzzParts reads parts of backups of any bytes, as somebody leaves them who
// can write into the bucket.
func FuzzParts(f *testing.F) {
	var z bytes.Buffer
	line := fmt.Appendf(nil, "%s 12\n", gantry.FromBytes(nil))
	if err := compress(&z, func(w io.Writer) error { _, err := w.Write(line); return err }); err != nil {
		f.Fatal(err)
	}
	f.Add(z.Bytes(), int64(1))
	f.Add([]byte("\x28\xb5\x2f\xfd"), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, n int64) {
		e := mem.New()
		v, err := Open(t.Context(), Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		b := Backup{ID: "20260101T000000Z-aaaaaa", Blobs: n, Parts: map[string]Part{}}
		for _, name := range []string{"blobs.zst", "files.zst"} {
			put(t, e, folder+b.ID+"/"+name, raw)
			b.Parts[name] = Part{Size: int64(len(raw)), Digest: gantry.FromBytes(raw)}
		}
		count := int64(0)
		for one, err := range v.list(t.Context(), b) {
			if err != nil {
				count = -1
				break
			}
			if one.size < 0 || one.digest.Key() == "" {
				t.Errorf("%+v", one)
			}
			count++
		}
		if count >= 0 && count != n {
			t.Errorf("%d lines of %d", count, n)
		}
		if files, err := v.Files(t.Context(), b); err == nil {
			for name := range files {
				if strings.Contains(name, "..") && filepath.Clean("/"+name) != "/"+name {
					t.Errorf("the name %q", name)
				}
			}
		}
	})
}
