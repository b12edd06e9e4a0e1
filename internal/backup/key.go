package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A Key encrypts databases and files of backups, and opens them, by age
// (https://age-encryption.org/v1). The zero value does not encrypt.
type Key struct {
	recipients []age.Recipient
	names      []string // of the recipients
	identities []age.Identity
}

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 64 << 10

// ParseKey reads a key file: a line is an identity (AGE-SECRET-KEY-…), which
// encrypts and opens, or a recipient (age1…), which encrypts alone. Empty lines
// and such that begin with # do not count. The error, gantry.Invalid on "key",
// never has a line's text.
func ParseKey(b []byte) (k Key, err error) {
	if len(b) > maxKeyFile {
		return k, gantry.Errorf(gantry.Invalid, "key", "the key file has more than %d bytes: it holds lines AGE-SECRET-KEY-… or age1…, nothing else", maxKeyFile)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
			id, err := age.ParseX25519Identity(line)
			if err != nil {
				return Key{}, gantry.Errorf(gantry.Invalid, "key", "line %d of the key file is not an identity: it was cut or mistyped", n)
			}
			k.identities = append(k.identities, id)
			k.recipients = append(k.recipients, id.Recipient())
			k.names = append(k.names, id.Recipient().String())
		case strings.HasPrefix(line, "age1"):
			r, err := age.ParseX25519Recipient(line)
			if err != nil {
				return Key{}, gantry.Errorf(gantry.Invalid, "key", "line %d of the key file is not a recipient: it was cut or mistyped", n)
			}
			k.recipients, k.names = append(k.recipients, r), append(k.names, r.String())
		default:
			return Key{}, gantry.Errorf(gantry.Invalid, "key", "line %d of the key file is neither AGE-SECRET-KEY-… nor age1…: gantry backup keygen makes a key", n)
		}
	}
	if lines.Err() != nil || len(k.recipients) == 0 {
		return Key{}, gantry.Errorf(gantry.Invalid, "key", "the key file has no key: gantry backup keygen makes one")
	}
	return k, nil
}

// NewKey makes a key file.
func NewKey() ([]byte, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "# key of Gantry's backups; without it they cannot be opened\n# public key, which only encrypts: %s\n%s\n", id.Recipient(), id), nil
}

// Encrypts reports whether the key does.
func (k Key) Encrypts() bool { return len(k.recipients) > 0 }

// opens is an error where the key cannot open what was made for the
// recipients, of which there is one at least.
func (k Key) opens(recipients []string) error {
	if len(k.identities) > 0 {
		return nil // age finds the right one
	}
	return gantry.Errorf(gantry.Invalid, "key", "the backup is encrypted, for %s: give the key file with its AGE-SECRET-KEY (--key)", strings.Join(recipients, ", "))
}

// extension is what the names of parts end in.
func (k Key) extension() string {
	if k.Encrypts() {
		return ".zst.age"
	}
	return ".zst"
}

// seal compresses and encrypts what fill writes.
func (k Key) seal(w io.Writer, fill func(io.Writer) error) error {
	end := func() error { return nil }
	if k.Encrypts() {
		a, err := age.Encrypt(w, k.recipients...)
		if err != nil {
			return fmt.Errorf("encrypt: %w", err)
		}
		w, end = a, a.Close
	}
	if err := compress(w, fill); err != nil {
		return err
	}
	return end()
}

func compress(w io.Writer, fill func(io.Writer) error) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := fill(z); err != nil {
		return errors.Join(err, z.Close())
	}
	return z.Close()
}

// maxWindow bounds the memory that a compressed part asks for.
const maxWindow = 64 << 20

// unseal opens what seal made.
func (k Key) unseal(r io.Reader, encrypted bool) (io.ReadCloser, error) {
	if encrypted {
		a, err := age.Decrypt(r, k.identities...)
		if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
			return nil, gantry.Errorf(gantry.Invalid, "key", "no identity of the key file opens this backup: it was made with another key")
		}
		if err != nil {
			return nil, fmt.Errorf("decrypt: %w", err)
		}
		r = a
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}
