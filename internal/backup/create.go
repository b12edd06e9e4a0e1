package backup

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A Source is a registry that is backed up. It goes on working.
type Source struct {
	// Hold keeps what the database needs as it is now until Release, or until a
	// time after the last Renew.
	Hold func(ctx context.Context) (Hold, error)
	// CopyDatabase copies the database into the SQLite database of that URI,
	// which is not there yet.
	CopyDatabase func(ctx context.Context, uri string) (store.Copied, error)
	// Locations are the storage engines by their names, in order of preference.
	Locations []Location
	// Files are kept with the backup; see Vault.Files for their paths.
	Files map[string][]byte
	// SealedWith are the ids of the keys that secrets in the database need.
	SealedWith        []string
	Version, Hostname string
}

// A Location is a storage location.
type Location struct {
	Name   string
	Engine blob.Engine
	Local  bool // on this machine's disk
}

// A Hold keeps what a backup copies.
type Hold interface {
	// Renew prolongs it; gantry.NotFound when it is over.
	Renew(ctx context.Context) error
	// Release ends it.
	Release(ctx context.Context) error
	// Life is how long it lasts without Renew.
	Life() time.Duration
}

// blobPage is how many blobs one statement reads.
const blobPage = 1000

// maxLost bounds the blobs that are named as lost.
const maxLost = 100

// Create makes a backup. It is there when all of it is on stable storage; one
// that was interrupted leaves things that Prune takes away, and blobs that the
// next one need not copy.
func (v *Vault) Create(ctx context.Context, s Source) (b Backup, err error) {
	size := 0
	for _, f := range s.Files {
		size += len(f)
	}
	if len(s.Files) > maxFiles || size > maxFileBytes {
		return b, gantry.Errorf(gantry.Invalid, "files", "the configuration has %d files of %d bytes; a backup holds up to %d of %d", len(s.Files), size, maxFiles, maxFileBytes)
	}
	release, err := v.lock(ctx, lockUse)
	if err != nil {
		return b, err
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hold, err := s.Hold(ctx)
	if err != nil {
		return b, fmt.Errorf("hold collection back: %w", err)
	}
	var holding sync.WaitGroup
	holding.Go(func() { v.keep(ctx, hold, cancel) })
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		cancel(nil)
		holding.Wait()
		last, end := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer end()
		if e := hold.Release(last); e != nil {
			v.log.WarnContext(last, "let collection go on; it does so by itself later", "after", hold.Life().String(), "error", e)
		}
	}()
	dir, err := os.MkdirTemp(v.o.Temp, "gantry-backup-")
	if err != nil {
		return b, fmt.Errorf("make room for a copy of the database: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b = Backup{Time: time.Now().UTC().Truncate(time.Millisecond), Version: s.Version, Hostname: s.Hostname, Encrypted: v.o.Key.names, SealedWith: s.SealedWith, Parts: map[string]Part{}}
	b.ID = b.Time.Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:6])
	v.o.Progress("database", 0, 0)
	file := filepath.Join(dir, "database")
	copied, err := s.CopyDatabase(ctx, "sqlite:///"+file)
	if err != nil {
		return b, fmt.Errorf("copy the database: %w", err)
	}
	if !copied.Equal {
		return b, errors.New("the copy of the database differs from the database: that is a fault of the program, or of a disk")
	}
	b.Dialect = copied.From
	for _, t := range copied.Tables {
		b.Rows += t.Rows
	}
	db, err := store.Open(ctx, store.Options{URI: "sqlite:///" + file, Logger: v.o.Logger})
	if err != nil {
		return b, fmt.Errorf("open the copy of the database: %w", err)
	}
	defer func() {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	steps, err := db.Migrations(ctx)
	if err != nil {
		return b, err
	}
	b.Schema = len(steps)
	if err := v.copyBlobs(ctx, &b, db, s.Locations); err != nil {
		return b, err
	}
	err = db.Close() // its file is whole now, without a log beside it
	if db = nil; err != nil {
		return b, err
	}
	v.o.Progress("database", 1, 1)
	if err := v.writePart(ctx, &b, "database", true, func(w io.Writer) error { return copyFile(w, file) }); err != nil {
		return b, err
	}
	if err := v.writePart(ctx, &b, "files", true, func(w io.Writer) error { return writeFiles(w, s.Files, b.Time) }); err != nil {
		return b, err
	}
	b.Ended = time.Now().UTC().Truncate(time.Millisecond)
	if err := hold.Renew(ctx); err != nil { // it held until now
		return b, fmt.Errorf("hold collection back: %w", err)
	}
	return b, v.write(ctx, folder+b.ID+"/"+recordName, mustJSON(b))
}

// keep renews the hold until ctx is done, and ends all when it is over.
func (v *Vault) keep(ctx context.Context, h Hold, over context.CancelCauseFunc) {
	tick := time.NewTicker(h.Life() / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := h.Renew(ctx); {
		case gantry.Is(err, gantry.NotFound):
			over(fmt.Errorf("hold collection back: %w", err))
			return
		case err != nil && ctx.Err() == nil:
			v.log.WarnContext(ctx, "hold collection back; it is tried again", "error", err)
		}
	}
}

// copyBlobs copies the blobs that the vault has not, and writes the list.
func (v *Vault) copyBlobs(ctx context.Context, b *Backup, db *store.DB, known []Location) error {
	rows, err := db.StorageLocations(ctx)
	if err != nil {
		return err
	}
	var locations []content.Location
	for _, l := range known {
		for _, row := range rows {
			if row.Name == l.Name {
				locations = append(locations, content.Location{ID: row.ID, Name: l.Name, Engine: l.Engine, Local: l.Local})
			}
		}
	}
	from := fromLocations{content.NewReader(locations)}
	have, stop := newCursor(ctx, v.o.Engine)
	defer stop()
	crew := newCrew(ctx, v.o.AtOnce)
	var mu sync.Mutex // of b's figures
	err = v.writePart(ctx, b, "blobs", false, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		for after := gantry.Digest(""); ; {
			page, err := db.StoredBlobs(ctx, after, blobPage)
			if err != nil {
				return err
			}
			for _, one := range page {
				after = one.Digest
				if len(one.Places) == 0 {
					mu.Lock()
					b.lose(one.Digest)
					mu.Unlock()
					continue
				}
				mu.Lock()
				b.Blobs, b.Bytes = b.Blobs+1, b.Bytes+one.Size
				v.o.Progress("blobs", b.Blobs, 0)
				mu.Unlock()
				if _, err := fmt.Fprintf(out, "%s %d\n", one.Digest, one.Size); err != nil {
					return err
				}
				there, err := have.has(one.Digest, one.Size)
				if err != nil {
					return err
				}
				if there {
					continue
				}
				if err := crew.do(func(ctx context.Context) error {
					err := bring(ctx, &v.to, from, one)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						b.New, b.NewBytes = b.New+1, b.NewBytes+one.Size
					case errors.Is(err, errLost):
						b.lose(one.Digest)
						return nil
					}
					return err
				}); err != nil {
					return err
				}
			}
			if len(page) < blobPage {
				break
			}
		}
		if err := crew.wait(); err != nil {
			return err
		}
		return out.Flush()
	})
	crew.cancel(err)
	crew.work.Wait()
	return err
}

func (b *Backup) lose(d gantry.Digest) {
	if b.Missing++; len(b.Lost) < maxLost {
		b.Lost = append(b.Lost, d)
	}
}

func copyFile(w io.Writer, name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(w, f)
	return err
}
