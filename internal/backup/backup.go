// Package backup keeps consistent copies of a running registry in a folder or
// a bucket: its database as it was at one moment, the blobs that it names, and
// its configuration and keys. Blobs are kept once for all backups, so that a
// second one copies only what is new. A backup can be put back into another
// registry: of another kind of database, and with other storage.
//
// Below a vault, which is what one folder or bucket holds:
//
//	gantry-backup.json              says that this is a vault, and of which layout
//	sha256/<2 hex>/<hex>            blobs, as in the storage of a registry
//	backups/<id>/database.zst[.age] an SQLite database
//	backups/<id>/files.zst[.age]    a tar file with the configuration and keys
//	backups/<id>/blobs.zst          lines "<digest> <size>", in order
//	backups/<id>/backup.json        written last: without it there is no backup
//	locks/<id>                      who is at it
package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// Options are what a vault needs. Engine is required.
type Options struct {
	Engine blob.Engine
	// Key encrypts and opens databases and files; the zero value does neither.
	Key Key
	// Temp is where databases lie while they are copied; "" = os.TempDir().
	Temp   string
	AtOnce int // blobs that are copied at a time; 0 = 4
	// Existing makes an engine without backups gantry.NotFound on "vault": no
	// vault is made of it.
	Existing bool
	Logger   *slog.Logger // nil = none
	// Progress, if set, is told how far a step is; total 0 = not known. It is
	// called by one goroutine at a time.
	Progress func(step string, done, total int64)

	lockLife time.Duration // 0 = 30 min
}

// A Vault is where backups lie. It may be used by several processes.
type Vault struct {
	o   Options
	log *slog.Logger
	to  writer
}

// A Backup is what is known of one.
type Backup struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"` // what was acknowledged before is in it
	Ended    time.Time `json:"ended"`
	Version  string    `json:"version"` // of the program
	Schema   int       `json:"schema"`  // of the database
	Dialect  string    `json:"dialect"` // of the database that was copied
	Hostname string    `json:"hostname,omitempty"`
	// Encrypted are the recipients that can open it; none: it is not encrypted.
	Encrypted []string `json:"encrypted,omitempty"`
	// SealedWith are the ids of the DATABASE_SECRET_KEYs that its secrets need.
	SealedWith []string `json:"sealed_with,omitempty"`
	Rows       int64    `json:"rows"`
	Blobs      int64    `json:"blobs"`
	Bytes      int64    `json:"bytes"`     // of all blobs
	New        int64    `json:"new"`       // blobs that no backup had before
	NewBytes   int64    `json:"new_bytes"` // of these
	// Missing are blobs whose bytes no location had whole; Lost names the first
	// hundred.
	Missing int64           `json:"missing"`
	Lost    []gantry.Digest `json:"lost,omitempty"`
	// Parts are the other objects by their names below the backup's folder.
	Parts map[string]Part `json:"parts"`
}

// A Part is an object of a backup.
type Part struct {
	Size   int64         `json:"size"`
	Digest gantry.Digest `json:"digest"`
}

const (
	layout     = 1
	markerKey  = "gantry-backup.json"
	folder     = "backups/"
	recordName = "backup.json"
	maxRecord  = 1 << 20
)

type marker struct {
	Layout int `json:"layout"`
}

// Open opens a vault, and makes it where there is nothing. An engine that holds
// other things is gantry.Conflict on "vault": the storage of a registry is no
// place for its backups.
func Open(ctx context.Context, o Options) (*Vault, error) {
	v := &Vault{o: o, log: o.Logger}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	v.to.engine, v.to.log = o.Engine, v.log
	v.o.AtOnce = cmp.Or(max(o.AtOnce, 0), 4)
	v.o.lockLife = cmp.Or(o.lockLife, 30*time.Minute)
	if v.o.Progress == nil {
		v.o.Progress = func(string, int64, int64) {}
	}
	b, err := v.read(ctx, markerKey, 4096)
	switch {
	case gantry.Is(err, gantry.NotFound) && o.Existing:
		return nil, gantry.Errorf(gantry.NotFound, "vault", "there are no backups there, nor were there ever")
	case gantry.Is(err, gantry.NotFound):
		for i, err := range o.Engine.List(ctx, "", "") {
			if err != nil {
				return nil, fmt.Errorf("look into the vault: %w", err)
			}
			if i.Key != blob.VerifyKey {
				return nil, gantry.Errorf(gantry.Conflict, "vault", "this folder or bucket holds other things (%.80s): give backups one of their own, or a storage_path of their own", i.Key)
			}
		}
		return v, v.write(ctx, markerKey, mustJSON(marker{layout}))
	case err != nil:
		return nil, fmt.Errorf("look into the vault: %w", err)
	}
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m.Layout != layout {
		return nil, gantry.Errorf(gantry.Conflict, "vault", "these backups have a layout that this program does not know (%.100s): use the program that made them, or a newer one", b)
	}
	return v, nil
}

var validID = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[a-z0-9]{6}$`)

// List returns the backups that are whole, the newest first.
func (v *Vault) List(ctx context.Context) (all []Backup, err error) {
	all = []Backup{} // not null for who reads JSON
	for i, err := range v.o.Engine.List(ctx, folder, "") {
		if err != nil {
			return nil, fmt.Errorf("list the backups: %w", err)
		}
		id, name, _ := strings.Cut(strings.TrimPrefix(i.Key, folder), "/")
		if name != recordName || !validID.MatchString(id) {
			continue
		}
		b, err := v.record(ctx, id)
		if gantry.Is(err, gantry.NotFound) {
			continue // pruned meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Backup) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID, a.ID)) })
	return all, nil
}

// Find returns the backup of that id; "" or "latest" is the newest. NotFound on
// "backup".
func (v *Vault) Find(ctx context.Context, id string) (Backup, error) {
	if id == "" || id == "latest" {
		all, err := v.List(ctx)
		if err == nil && len(all) == 0 {
			err = gantry.Errorf(gantry.NotFound, "backup", "there is no backup here yet")
		}
		if err != nil {
			return Backup{}, err
		}
		return all[0], nil
	}
	if !validID.MatchString(id) {
		return Backup{}, gantry.Errorf(gantry.Invalid, "backup", "%.80q is not the id of a backup, such as 20260102T150405Z-abcdef: gantry backup list shows them", id)
	}
	b, err := v.record(ctx, id)
	if gantry.Is(err, gantry.NotFound) {
		err = gantry.Errorf(gantry.NotFound, "backup", "there is no backup %s here, or it is not whole: gantry backup list shows them", id)
	}
	return b, err
}

func (v *Vault) record(ctx context.Context, id string) (b Backup, err error) {
	text, err := v.read(ctx, folder+id+"/"+recordName, maxRecord)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil || b.ID != id {
		return b, gantry.Errorf(gantry.Invalid, "backup", "%s of the backup %s is damaged: remove that backup's folder, or restore the object", recordName, id)
	}
	return b, nil
}

// read reads a small object whole.
func (v *Vault) read(ctx context.Context, key string, most int64) (b []byte, err error) {
	o, err := v.o.Engine.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if o.Size() > most {
		return nil, gantry.Errorf(gantry.Invalid, "vault", "the object %.200s is larger than %d bytes: it is none of a backup's", key, most)
	}
	return io.ReadAll(io.LimitReader(o, most))
}

// write writes a small object.
func (v *Vault) write(ctx context.Context, key string, b []byte) error {
	_, err := v.to.put(ctx, key, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	return err
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
