package backup

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// Pruned is what Prune removed.
type Pruned struct {
	Kept    int      `json:"kept"`    // backups
	Removed []string `json:"removed"` // ids of backups
	Blobs   int64    `json:"blobs"`   // that no backup has any more
	Bytes   int64    `json:"bytes"`   // of these
}

// Prune removes all backups but the newest, keep of them, and then the blobs
// that none has any more, and what interrupted backups left. keep is 1 at
// least. While a backup or a restore is under way the error is gantry.Conflict
// on "vault".
func (v *Vault) Prune(ctx context.Context, keep int) (p Pruned, err error) {
	p.Removed = []string{}
	if keep < 1 {
		return p, gantry.Errorf(gantry.Invalid, "keep", "%d backups cannot be kept: keep 1 at least, or remove the folder or bucket", keep)
	}
	release, err := v.lock(ctx, lockPrune)
	if err != nil {
		return p, err
	}
	defer release()
	all, err := v.List(ctx)
	if err != nil {
		return p, err
	}
	kept, old := all, []Backup(nil)
	if len(all) > keep {
		kept, old = all[:keep], all[keep:]
	}
	p.Kept = len(kept)
	// Their lists are read before anything is removed: one that is damaged
	// would have blobs removed that its backup needs.
	lists := make([]*pulled, 0, len(kept))
	for _, b := range kept {
		for _, err := range v.list(ctx, b) {
			if err != nil {
				return p, err
			}
		}
		l, stop := pull(v.list(ctx, b))
		defer stop()
		lists = append(lists, l)
	}
	for _, b := range old {
		if err := v.o.Engine.Delete(ctx, folder+b.ID+"/"+recordName); err != nil { // it is none from now on
			return p, err
		}
		p.Removed = append(p.Removed, b.ID)
	}
	whole := map[string]bool{}
	for _, b := range kept {
		whole[b.ID] = true
	}
	for _, prefix := range []string{folder, "uploads/"} {
		for i, err := range v.o.Engine.List(ctx, prefix, "") {
			if err != nil {
				return p, err
			}
			id, _, _ := strings.Cut(strings.TrimPrefix(i.Key, folder), "/")
			if prefix == folder && whole[id] {
				continue
			}
			if err := v.o.Engine.Delete(ctx, i.Key); err != nil {
				return p, err
			}
		}
	}
	for i, err := range stored(ctx, v.o.Engine) {
		if err != nil {
			return p, err
		}
		used := false
		for _, l := range lists {
			has, err := l.has(i.Key)
			if err != nil {
				return p, err
			}
			used = used || has
		}
		if used {
			continue
		}
		if err := v.o.Engine.Delete(ctx, i.Key); err != nil {
			return p, fmt.Errorf("remove a blob that no backup has: %w", err)
		}
		p.Blobs, p.Bytes = p.Blobs+1, p.Bytes+i.Size
		v.o.Progress("removed", p.Blobs, 0)
	}
	return p, nil
}

// pulled is a list of blobs that is read beside others.
type pulled struct {
	next func() (listed, error, bool)
	key  string
	done bool
}

func pull(seq iter.Seq2[listed, error]) (*pulled, func()) {
	next, stop := iter.Pull2(seq)
	return &pulled{next: next}, stop
}

// has reports whether the list has the blob with that key. It is called with
// ever greater keys.
func (p *pulled) has(key string) (bool, error) {
	for !p.done && p.key < key {
		l, err, ok := p.next()
		if err != nil {
			return false, err
		}
		p.key, p.done = l.digest.Key(), !ok
	}
	return !p.done && p.key == key, nil
}

// Verified is what Verify found.
type Verified struct {
	ID      string `json:"id"`
	Blobs   int64  `json:"blobs"`
	Bytes   int64  `json:"bytes"` // of all blobs
	Read    bool   `json:"read"`  // every blob was read, not only looked for
	Missing int64  `json:"missing"`
	Damaged int64  `json:"damaged"`
	// Flaws name the first hundred of those.
	Flaws []gantry.Digest `json:"flaws"`
	// Database reports whether the database was opened; without the key's
	// identity only its bytes are compared.
	Database bool `json:"database"`
}

// Sound reports whether nothing is wrong.
func (v *Verified) Sound() bool { return v.Missing == 0 && v.Damaged == 0 }
