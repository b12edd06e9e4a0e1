package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A Target is a registry that a backup is put into. Nothing serves from it.
type Target struct {
	// Location is the name of the storage location that Engine is of.
	Location string
	Engine   blob.Engine
	// CopyDatabase copies the SQLite database of that URI into the target's.
	CopyDatabase func(ctx context.Context, uri string) (store.Copied, error)
}

// Restored is what Restore did.
type Restored struct {
	Backup  Backup          `json:"backup"`
	Rows    int64           `json:"rows"`
	Blobs   int64           `json:"blobs"` // that the backup has
	New     int64           `json:"new"`   // that were not there yet
	Missing int64           `json:"missing"`
	Lost    []gantry.Digest `json:"lost,omitempty"` // the first hundred of those
}

// Restore puts a backup into a registry: first the blobs, then the database,
// from which nothing is served before it is whole. One that was interrupted is
// called again, and goes on with what is missing. Blobs that the backup lost
// are nowhere afterwards: a push of them heals that.
func (v *Vault) Restore(ctx context.Context, b Backup, t Target) (r Restored, err error) {
	r.Backup = b
	release, err := v.lock(ctx, lockUse)
	switch {
	case err == nil:
		defer release()
	case gantry.Is(err, gantry.Conflict), ctx.Err() != nil:
		return r, err
	default: // a vault that may only be read is one, too
		v.log.WarnContext(ctx, "the backups cannot be locked; let nobody prune them meanwhile", "error", err)
	}
	err = v.unpacked(ctx, b, func(file string, db *store.DB) error {
		if err := db.MovedTo(ctx, t.Location); err != nil {
			return err
		}
		if err := v.restoreBlobs(ctx, &r, db, t); err != nil {
			return err
		}
		if err := db.Close(); err != nil {
			return err
		}
		v.o.Progress("database", 0, 0)
		copied, err := t.CopyDatabase(ctx, "sqlite:///"+file)
		if err != nil {
			return fmt.Errorf("write the database: %w", err)
		}
		if !copied.Equal {
			return errors.New("the database differs from that of the backup: that is a fault of the program, or of a disk; nothing is served from it")
		}
		for _, one := range copied.Tables {
			r.Rows += one.Rows
		}
		v.o.Progress("database", 1, 1)
		return nil
	})
	return r, err
}

// unpacked has use work on a backup's database, with the schema of this
// program. use may close it.
func (v *Vault) unpacked(ctx context.Context, b Backup, use func(file string, db *store.DB) error) (err error) {
	dir, err := os.MkdirTemp(v.o.Temp, "gantry-restore-")
	if err != nil {
		return fmt.Errorf("make room for the database: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "database")
	if err := v.readPart(ctx, b, "database", true, func(r io.Reader) (err error) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		_, err = io.Copy(f, r)
		return err
	}); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Options{URI: "sqlite:///" + file, Logger: v.o.Logger})
	if err != nil {
		return fmt.Errorf("open the database of the backup: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil { // it may be of an older program
		return fmt.Errorf("bring the database of the backup, made by Gantry %s, to this program's schema: %w", b.Version, err)
	}
	return use(file, db)
}

func (v *Vault) restoreBlobs(ctx context.Context, r *Restored, db *store.DB, t Target) error {
	have, stop := newCursor(ctx, t.Engine)
	defer stop()
	to := &writer{engine: t.Engine, log: v.log}
	crew := newCrew(ctx, v.o.AtOnce)
	var mu sync.Mutex
	err := func() error {
		for one, err := range v.list(ctx, r.Backup) {
			if err != nil {
				return err
			}
			r.Blobs++
			v.o.Progress("blobs", r.Blobs, r.Backup.Blobs)
			there, err := have.has(one.digest, one.size)
			if err != nil {
				return err
			}
			if there {
				continue
			}
			if err := crew.do(func(ctx context.Context) error {
				err := bring(ctx, to, fromEngine{v.o.Engine}, store.StoredBlob{Digest: one.digest, Size: one.size})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					r.New++
				case errors.Is(err, errLost):
					if r.Missing++; len(r.Lost) < maxLost {
						r.Lost = append(r.Lost, one.digest)
					}
					return db.Unplace(ctx, one.digest)
				}
				return err
			}); err != nil {
				return err
			}
		}
		return crew.wait()
	}()
	crew.cancel(err)
	crew.work.Wait()
	return err
}

// Verify proves that a backup can be put back: its parts are the bytes that
// were written, its database opens and names the blobs of its list, and each of
// those is there, with its size; with read each is read and has its digest.
func (v *Vault) Verify(ctx context.Context, b Backup, read bool) (out Verified, err error) {
	out = Verified{ID: b.ID, Read: read, Flaws: []gantry.Digest{}}
	flaw := func(n *int64, d gantry.Digest) {
		if *n++; len(out.Flaws) < maxLost {
			out.Flaws = append(out.Flaws, d)
		}
	}
	have, stop := newCursor(ctx, v.o.Engine)
	defer stop()
	for one, err := range v.list(ctx, b) {
		if err != nil {
			return out, err
		}
		out.Blobs, out.Bytes = out.Blobs+1, out.Bytes+one.size
		v.o.Progress("blobs", out.Blobs, b.Blobs)
		there, err := have.has(one.digest, one.size)
		if err != nil {
			return out, err
		}
		if !there {
			flaw(&out.Missing, one.digest)
			continue
		}
		if !read {
			continue
		}
		err = fetchChecked(ctx, io.Discard, fromEngine{v.o.Engine}, store.StoredBlob{Digest: one.digest, Size: one.size})
		if errors.Is(err, errLost) {
			flaw(&out.Damaged, one.digest)
		} else if err != nil {
			return out, err
		}
	}
	if len(b.Encrypted) > 0 && len(v.o.Key.identities) == 0 {
		return out, v.sameBytes(ctx, b)
	}
	if _, err := v.Files(ctx, b); err != nil {
		return out, err
	}
	out.Database = true
	return out, v.unpacked(ctx, b, func(_ string, db *store.DB) error {
		n := int64(0)
		for after := gantry.Digest(""); ; {
			page, err := db.StoredBlobs(ctx, after, blobPage)
			if err != nil {
				return err
			}
			for _, one := range page {
				if after = one.Digest; len(one.Places) > 0 {
					n++
				}
			}
			if len(page) < blobPage {
				break
			}
		}
		if n != b.Blobs {
			return gantry.Errorf(gantry.Invalid, "backup", "the database of the backup %s names %d blobs and its list %d", b.ID, n, b.Blobs)
		}
		return nil
	})
}

// sameBytes compares the parts that cannot be opened with what was written.
func (v *Vault) sameBytes(ctx context.Context, b Backup) error {
	for name, want := range b.Parts {
		o, err := v.o.Engine.Open(ctx, folder+b.ID+"/"+name)
		if err != nil {
			return fmt.Errorf("%s of the backup %s: %w", name, b.ID, err)
		}
		h := gantry.NewHash(gantry.SHA256)
		_, err = io.Copy(h, o)
		if err = errors.Join(err, o.Close()); err != nil {
			return err
		}
		if gantry.DigestOf(gantry.SHA256, h) != want.Digest {
			return gantry.Errorf(gantry.Invalid, "backup", "%s of the backup %s is damaged: its bytes are not those that were written", name, b.ID)
		}
	}
	return nil
}
