package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// writePart writes a part of a backup, compressed, and encrypted if it is
// secret.
func (v *Vault) writePart(ctx context.Context, b *Backup, name string, secret bool, fill func(io.Writer) error) error {
	key := v.o.Key
	if !secret {
		key = Key{}
	}
	object := name + key.extension()
	p, err := v.to.put(ctx, folder+b.ID+"/"+object, func(w io.Writer) error { return key.seal(w, fill) })
	if err != nil {
		return fmt.Errorf("write %s of the backup: %w", object, err)
	}
	b.Parts[object] = p
	return nil
}

// readPart has use read a part of a backup. Its bytes are compared with what
// the record says of them, and use must read them all, unless it fails.
func (v *Vault) readPart(ctx context.Context, b Backup, name string, secret bool, use func(io.Reader) error) (err error) {
	encrypted := secret && len(b.Encrypted) > 0
	object := name + ".zst"
	if encrypted {
		object += ".age"
		if err := v.o.Key.opens(b.Encrypted); err != nil {
			return err
		}
	}
	want, ok := b.Parts[object]
	if !ok {
		return gantry.Errorf(gantry.Invalid, "backup", "the record of the backup %s does not name %s: it is damaged", b.ID, object)
	}
	o, err := v.o.Engine.Open(ctx, folder+b.ID+"/"+object)
	if gantry.Is(err, gantry.NotFound) {
		return gantry.Errorf(gantry.NotFound, "backup", "%s of the backup %s is missing: somebody has removed it", object, b.ID)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	damaged := func(err error) error {
		return &gantry.Error{Code: gantry.Invalid, Object: "backup", Err: err, Detail: fmt.Sprintf("%s of the backup %s is damaged: its bytes are not those that were written", object, b.ID)}
	}
	h := gantry.NewHash(gantry.SHA256)
	raw := io.TeeReader(o, h)
	plain, err := v.o.Key.unseal(raw, encrypted)
	if err != nil {
		if gantry.Is(err, gantry.Invalid) {
			return err
		}
		return damaged(err)
	}
	defer func() { _ = plain.Close() }() // only read
	n := &failing{r: plain}
	err = use(n)
	switch {
	case n.err != nil: // of decompression or decryption, whatever use made of it
		return damaged(n.err)
	case err != nil:
		return err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return err
	}
	if o.Size() != want.Size || gantry.DigestOf(gantry.SHA256, h) != want.Digest {
		return damaged(nil)
	}
	return nil
}

// failing remembers the error of a reader.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// The bounds of the files of a backup.
const (
	maxFiles     = 1000
	maxFileBytes = 64 << 20
)

// writeFiles writes files as a tar file.
func writeFiles(w io.Writer, files map[string][]byte, at time.Time) error {
	t := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(files[name])), ModTime: at}); err != nil {
			return err
		}
		if _, err := t.Write(files[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

// Files returns the configuration and the keys that a backup holds, by their
// paths: config/… is the folder of --config, keys/… that of the data folder.
func (v *Vault) Files(ctx context.Context, b Backup) (files map[string][]byte, err error) {
	files = map[string][]byte{}
	err = v.readPart(ctx, b, "files", true, func(r io.Reader) error {
		t, left := tar.NewReader(r), int64(maxFileBytes)
		for {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				_, err = io.Copy(io.Discard, r) // what pads it
				return err
			}
			if err != nil {
				return err
			}
			if h.Typeflag != tar.TypeReg || !path.IsAbs("/"+h.Name) || path.Clean("/"+h.Name) != "/"+h.Name || len(files) == maxFiles || h.Size > left {
				return gantry.Errorf(gantry.Invalid, "backup", "the files of the backup %s are none that were backed up (%.80q)", b.ID, h.Name)
			}
			left -= h.Size
			if files[h.Name], err = io.ReadAll(t); err != nil {
				return err
			}
		}
	})
	return files, err
}
