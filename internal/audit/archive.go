package audit

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// An Archiver moves old entries of the audit log to files. Store and Engine
// are required.
type Archiver struct {
	Store  *store.DB
	Engine blob.Engine
	Path   string        // below which the files are
	Age    time.Duration // of the entries that move
	Batch  int           // entries of a file; 0 = 5,000
}

// Run moves all entries that are old enough, and returns how many. Each file
// is on stable storage before its entries are deleted; a run that is killed
// goes on with the same file.
func (a *Archiver) Run(ctx context.Context) (moved int64, err error) {
	if err := a.Store.SettleAccess(); err != nil {
		return 0, err
	}
	for {
		b, err := a.Store.BeginArchive(ctx, a.Store.Now().Add(-a.Age), cmp.Or(a.Batch, store.MaxArchive), a.name)
		if err != nil || b == nil {
			return moved, err
		}
		n, err := a.move(ctx, b)
		if gantry.Is(err, gantry.Conflict) {
			continue // another process was faster
		}
		if err != nil {
			return moved, fmt.Errorf("archive %s: %w", b.Path, err)
		}
		moved += int64(n)
	}
}

// name is the path of a file.
func (a *Archiver) name(table string, first, last int64, day time.Time) string {
	return path.Join(strings.Trim(a.Path, "/"), fmt.Sprintf("%s_%s_%d_%d.json.gz", day.UTC().Format("2006-01-02"), table, first, last))
}

func (a *Archiver) move(ctx context.Context, b *store.Archive) (n int, err error) {
	rows, err := a.Store.ArchiveRows(ctx, b)
	if err != nil {
		return 0, err
	}
	text, err := lines(ctx, a.Store, rows, func(int) int64 { return 0 })
	if err != nil {
		return 0, err
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(text); err != nil {
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	if err := put(ctx, a.Engine, b.Path, zipped.Bytes()); err != nil {
		return 0, err
	}
	return len(rows), a.Store.EndArchive(ctx, b)
}

// put writes an object, on stable storage when it returns.
func put(ctx context.Context, e blob.Engine, key string, data []byte) error {
	u, err := e.Upload(ctx, key, 0, nil)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // Complete tells
	if _, err := u.Write(data); err != nil {
		return err
	}
	return u.Complete(ctx)
}

// Trim deletes entries of the audit log that are older than age, without an
// archive, and returns how many.
func Trim(ctx context.Context, db *store.DB, age time.Duration) (n int64, err error) {
	if err := db.SettleAccess(); err != nil {
		return 0, err
	}
	before := db.Now().Add(-age)
	for _, trim := range []func() (int64, error){
		func() (int64, error) { return db.TrimEvents(ctx, before, 0, 1000) },
		func() (int64, error) { return db.TrimPulls(ctx, before, 1000) },
	} {
		for {
			m, err := trim()
			n += m
			if err != nil {
				return n, err
			}
			if m == 0 {
				break
			}
		}
	}
	return n, nil
}
