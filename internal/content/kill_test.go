package content_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/fs"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestMain is also the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("GANTRY_KILL_FOLDER"); dir != "" {
		killWorker(dir)
		return
	}
	storetest.Main(m)
}

const (
	killPushers = 3
	killTags    = 4
)

// killOpen opens the data folder of the kill test. The clock is ahead of the
// real one by half an hour for each process that ran before.
func killOpen(ctx context.Context, dir string, runs int, faults func(fs.Op, string) error) (*store.DB, *fs.Engine, error) {
	ahead := time.Duration(runs) * 30 * time.Minute
	db, err := store.Open(ctx, store.Options{URI: "sqlite:///" + filepath.Join(dir, "gantry.db"), Now: func() time.Time { return time.Now().Add(ahead) }})
	if err != nil {
		return nil, nil, err
	}
	e, err := fs.New(fs.Options{Root: filepath.Join(dir, "blobs"), Reserve: -1, Faults: faults})
	return db, e, err
}

func killBlob(i int) []byte { return blobtest.Bytes(uint64(i), 1000*(i%40)+1) }

// killWorker pushes, deletes and collects until it is killed. It says on its
// standard output what it begins and what is done.
func killWorker(dir string) {
	ctx := context.Background()
	var runs int
	_, _ = fmt.Sscan(os.Getenv("GANTRY_KILL_RUNS"), &runs) // set by TestKill
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) // nobody to tell
	}
	faults := func(op fs.Op, _ string) error {
		switch n := mrand.IntN(150); {
		case n == 0 && (op == fs.OpSync || op == fs.OpSyncFolder):
			return syscall.EIO
		case n == 1 && (op == fs.OpWrite || op == fs.OpLink || op == fs.OpRename):
			return syscall.ENOSPC
		}
		return nil
	}
	db, e, err := killOpen(ctx, dir, runs, faults)
	if err != nil {
		say("fatal %v", err)
		return
	}
	location, err := db.EnsureLocation(ctx, "default")
	if err != nil {
		say("fatal %v", err)
		return
	}
	for id := range killPushers {
		go func() {
			for {
				tag := fmt.Sprintf("w%d-%d", id, mrand.IntN(killTags))
				repo := gantry.RepoID(1 + mrand.IntN(2))
				if mrand.IntN(4) == 0 {
					say("begin %d %d %s -", id, repo, tag)
					err := db.DeleteTag(ctx, repo, tag, time.Hour, gantry.Actor{})
					if err == nil || gantry.Is(err, gantry.NotFound) {
						say("done %d", id)
					} else {
						say("fatal delete: %v", err)
					}
					continue
				}
				need := mrand.Perm(30)[:3]
				body := fmt.Append(nil, need)
				d := gantry.FromBytes(body)
				say("begin %d %d %s %s", id, repo, tag, d)
				if err := killPush(ctx, db, e, location, repo, tag, body, need); err != nil {
					say("failed %d %v", id, err)
					continue
				}
				say("done %d", id)
			}
		}()
	}
	c := content.NewCollector(content.CollectOptions{Store: db, Locations: []content.Location{{ID: location, Name: "default", Engine: e}}, Retention: time.Hour, Rate: 1_000_000})
	for {
		if _, err := c.RunOnce(ctx); err != nil {
			say("fatal collect: %v", err)
		}
		if _, err := c.AdoptAll(ctx); err != nil {
			say("failed adopt: %v", err)
		}
		if _, err := c.RelocateAll(ctx); err != nil {
			say("failed relocate: %v", err)
		}
	}
}

// killPush is a push as the upload pipeline does it.
func killPush(ctx context.Context, db *store.DB, e *fs.Engine, location int64, repo gantry.RepoID, tag string, body []byte, need []int) error {
	var digests []gantry.Digest
	for _, i := range need {
		data := killBlob(i)
		d := gantry.FromBytes(data)
		digests = append(digests, d)
		id := strings.ToLower(rand.Text())
		temp := "uploads/" + id
		if _, err := db.CreateUpload(ctx, store.Upload{UUID: id, Repo: repo, Location: location, Path: temp, Algorithm: gantry.SHA256}); err != nil {
			return err
		}
		if err := killUpload(ctx, db, e, store.BlobCommit{Repo: repo, Digest: d, Size: int64(len(data)), Location: location,
			Upload: id, Version: 1, Lease: time.Hour}, temp, data); err != nil {
			return err
		}
	}
	_, err := db.PutManifest(ctx, store.ManifestPut{Repo: repo, Digest: gantry.FromBytes(body), MediaType: "m", Body: body, Blobs: digests,
		Tags: []string{tag}, Retention: time.Hour, Lease: time.Hour})
	return err
}

func killUpload(ctx context.Context, db *store.DB, e *fs.Engine, commit store.BlobCommit, temp string, data []byte) (err error) {
	u, err := e.Upload(ctx, temp, 0, nil)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // completed, or to be swept
	if _, err := u.Write(data); err != nil {
		return err
	}
	ended := false
	for {
		plan, err := db.PlanCommit(ctx, commit.Digest, commit.Location)
		if err != nil {
			return err
		}
		commit.Unplaced, commit.Path = plan.Healthy, ""
		switch {
		case plan.Healthy:
		case plan.Fenced:
			commit.Path = temp
			if !ended {
				err = u.Complete(ctx)
			}
		case ended:
			err = e.Publish(ctx, temp, commit.Digest.Key())
		default:
			err = blob.PublishUpload(ctx, e, u, temp, commit.Digest.Key())
		}
		if err != nil {
			return err
		}
		ended = ended || !plan.Healthy
		c, err := db.CommitBlob(ctx, commit)
		if errors.Is(err, store.ErrKeyFenced) || errors.Is(err, store.ErrBlobGone) {
			continue
		}
		if err != nil || c.Used && commit.Path == temp {
			return err
		}
		return e.Delete(ctx, temp)
	}
}

// TestKill kills a process that pushes, deletes and collects, at random
// moments, while its storage fails now and then. After each kill all that it
// had acknowledged must be there, whole. GANTRY_KILLS is how often.
func TestKill(t *testing.T) {
	kills := int(modelNumber(t, "GANTRY_KILLS", 12))
	dir := t.TempDir()
	ctx := t.Context()
	db, e, err := killOpen(ctx, dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Migrate(ctx), db.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "gantry.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		`INSERT INTO accounts (kind, name, uuid, email, password_hash, secret, owner_id, description, enabled, verified,
			superuser, failed_logins, failed_login_ms, retention_s, profile, created_ms, last_used_ms, deleted_ms)
			VALUES ('organization', 'org', 'org', '', '', '', 0, '', 1, 1, 0, 0, 0, -1, '{}', 0, 0, 0)`,
		`INSERT INTO repositories (ns_id, name, visibility, state, version, description, created_ms, deleted_ms)
			VALUES (1, 'a', 'private', 0, 1, '', 0, 0), (1, 'b', 'private', 0, 1, '', 0, 0)`,
	} {
		if _, err := raw.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}

	type change struct{ key, digest string }
	want := map[string]string{} // "repository tag" → digest
	acknowledged, failed := 0, 0
	for run := 1; run <= kills && !t.Failed(); run++ {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), "GANTRY_KILL_FOLDER="+dir, fmt.Sprintf("GANTRY_KILL_RUNS=%d", run))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun := map[string]change{}
		life := time.Duration(20+mrand.IntN(250)) * time.Millisecond
		var timer *time.Timer
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if timer == nil { // it runs
				timer = time.AfterFunc(life, func() { _ = cmd.Process.Kill() }) // it is gone already, at worst
			}
			f := strings.Fields(lines.Text())
			switch f[0] {
			case "begin":
				begun[f[1]] = change{f[2] + " " + f[3], f[4]}
			case "done":
				c := begun[f[1]]
				delete(begun, f[1])
				if want[c.key] = c.digest; c.digest == "-" {
					delete(want, c.key)
				}
				acknowledged++
			case "failed":
				delete(begun, f[1])
				failed++
			default:
				t.Error(lines.Text())
			}
		}
		_ = cmd.Wait() // it was killed
		if timer != nil {
			timer.Stop()
		}

		db, e, err := killOpen(ctx, dir, run, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := killCheck(t, dir, db, e)
		for _, c := range begun { // it may have been committed just before
			if d := got[c.key]; d == c.digest {
				want[c.key] = d
			} else if d == "" && c.digest == "-" {
				delete(want, c.key)
			}
		}
		for k, d := range want {
			if got[k] != d {
				t.Errorf("run %d: tag %s points at %q; acknowledged was %s", run, k, got[k], d)
			}
			delete(got, k)
		}
		for k, d := range got {
			t.Errorf("run %d: nobody put tag %s on %s", run, k, d)
		}
		if run == kills && !t.Failed() {
			killQuiesce(t, dir, db, e, run, want)
		}
		if err := errors.Join(db.Close(), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d operations acknowledged, %d failed by injected faults", kills, acknowledged, failed)
}

// killCheck checks the database and all objects that it names, and returns the
// live tags.
func killCheck(t *testing.T, dir string, db *store.DB, e *fs.Engine) map[string]string {
	t.Helper()
	flaws, err := db.VerifyEdges(t.Context())
	if err != nil || len(flaws) > 0 {
		t.Errorf("VerifyEdges = %+v, %v", flaws, err)
	}
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "gantry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }() // only read
	each := func(q string, scan func(*sql.Rows) error) {
		rows, err := raw.QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }() // only read
		for rows.Next() {
			if err := scan(rows); err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	each(`SELECT DISTINCT b.digest, p.path FROM repo_blobs rb JOIN blobs b ON b.id = rb.blob_id JOIN placements p ON p.blob_id = b.id`, func(rows *sql.Rows) error {
		var bin []byte
		var path string
		if err := rows.Scan(&bin, &path); err != nil {
			return err
		}
		d := gantry.DigestFromBytes(bin)
		if path == "" {
			path = d.Key()
		}
		o, err := e.Open(t.Context(), path)
		if err != nil {
			t.Errorf("blob %s at %s: %v", d, path, err)
			return nil
		}
		defer func() { _ = o.Close() }() // only read
		data, err := io.ReadAll(o)
		if err == nil && gantry.FromBytes(data) != d {
			t.Errorf("blob %s at %s has %d other bytes", d, path, len(data))
		}
		return err
	})
	got := map[string]string{}
	each(`SELECT g.repo_id, g.name, m.digest FROM tags g JOIN manifests m ON m.id = g.manifest_id WHERE g.live = 1`, func(rows *sql.Rows) error {
		var repo int64
		var name string
		var d []byte
		err := rows.Scan(&repo, &name, &d)
		got[fmt.Sprintf("%d %s", repo, name)] = string(gantry.DigestFromBytes(d))
		return err
	})
	return got
}

// killQuiesce deletes all tags and checks that nothing stays, neither in the
// database nor in the folder.
func killQuiesce(t *testing.T, dir string, db *store.DB, e *fs.Engine, runs int, tags map[string]string) {
	t.Helper()
	ctx := t.Context()
	for k := range tags {
		var repo gantry.RepoID
		var name string
		if _, err := fmt.Sscan(k, &repo, &name); err != nil {
			t.Fatal(err)
		}
		if err := db.DeleteTag(ctx, repo, name, time.Hour, gantry.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	location, err := db.EnsureLocation(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		later, same, err := killOpen(ctx, dir, runs+48*4*(i+1), nil)
		if err != nil {
			t.Fatal(err)
		}
		c := content.NewCollector(content.CollectOptions{Store: later, Locations: []content.Location{{ID: location, Name: "default", Engine: same}}, Retention: time.Hour, Rate: 1_000_000})
		_, err = c.RunOnce(ctx)
		_, err2 := c.AdoptAll(ctx)
		if err := errors.Join(err, err2, later.Close(), same.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if left := blobtest.Keys(t, e, "", ""); len(left) != 0 {
		t.Errorf("%d objects are left, such as %s", len(left), left[0])
	}
	if reviews, err := db.Reviews(ctx, 10); err != nil || len(reviews) != 0 {
		t.Errorf("reviews are left: %v, %v", reviews, err)
	}
	if got := killCheck(t, dir, db, e); len(got) != 0 {
		t.Errorf("tags are left: %v", slices.Collect(func(yield func(string) bool) {
			for k := range got {
				if !yield(k) {
					return
				}
			}
		}))
	}
}
