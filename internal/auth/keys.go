package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// KeyOptions are the secrets that an instance is given.
type KeyOptions struct {
	SecretKey         string // SECRET_KEY
	DatabaseSecretKey string // DATABASE_SECRET_KEY
	// OldDatabaseSecretKeys still open what they sealed; nothing new is sealed
	// with them.
	OldDatabaseSecretKeys []string
	PageTokenKey          string           // PAGE_TOKEN_KEY; "" = derived from SecretKey
	Now                   func() time.Time // for page tokens; nil = time.Now
}

// Keys seal and open what the registry keeps secret. Every purpose has a key
// of its own, derived from SECRET_KEY or DATABASE_SECRET_KEY.
type Keys struct {
	secret   []byte // Quay's form of SECRET_KEY, 32 bytes
	database []fieldKey
	refresh  cipher.AEAD
	pages    *PageTokens
}

// A fieldKey is one DATABASE_SECRET_KEY.
type fieldKey struct {
	id  string // names the key in what it sealed
	raw []byte // Quay's form, 32 bytes
}

// NewKeys takes the keys of a configuration. Instances that share a database
// must have the same. The error names the field that is wrong.
func NewKeys(o KeyOptions) (*Keys, error) {
	k := &Keys{}
	var err error
	if k.secret, err = quayKey("SECRET_KEY", o.SecretKey); err != nil {
		return nil, err
	}
	for i, s := range append([]string{o.DatabaseSecretKey}, o.OldDatabaseSecretKeys...) {
		raw, err := quayKey("DATABASE_SECRET_KEY", s)
		if err != nil {
			return nil, err
		}
		id, err := hkdf.Key(sha256.New, raw, nil, "gantry key id", 4)
		if err != nil {
			return nil, err
		}
		if i == 0 || hex.EncodeToString(id) != k.database[0].id {
			k.database = append(k.database, fieldKey{hex.EncodeToString(id), raw})
		}
	}
	if k.refresh, err = derived(k.secret, "refresh token"); err != nil {
		return nil, err
	}
	pages := k.secret
	if o.PageTokenKey != "" {
		pages = []byte(o.PageTokenKey)
	}
	aead, err := derived(pages, "page token")
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	k.pages = &PageTokens{aead: aead, now: o.Now}
	return k, nil
}

// LoadKeys reads the keys of a single machine from the folder dir, and makes
// them once, with mode 0600, where they are not there yet. A copy of the
// database is of little use without them.
func LoadKeys(dir string) (*Keys, error) {
	secret, err := keyFile(filepath.Join(dir, "secret_key"))
	if err != nil {
		return nil, err
	}
	database, err := keyFile(filepath.Join(dir, "database_secret_key"))
	if err != nil {
		return nil, err
	}
	return NewKeys(KeyOptions{SecretKey: secret, DatabaseSecretKey: database})
}

// keyFile returns the text in a file, or a new key that it writes there. Two
// processes that start at once end up with the same.
func keyFile(path string) (string, error) {
	for {
		b, err := os.ReadFile(path)
		if err == nil {
			s := strings.TrimSpace(string(b))
			if len(s) < 32 {
				return "", fmt.Errorf("key file %s is damaged: it must hold at least 32 characters", path)
			}
			return s, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read key: %w", err)
		}
		if err := makeKeyFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make key: %w", err)
		}
	}
}

// makeKeyFile writes a new key to path: whole and on disk, or not at all.
func makeKeyFile(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(rand.Text() + rand.Text() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // fails if somebody else was first
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// quayKey turns the text of a key into 32 bytes as Quay does: a decimal number
// is its hexadecimal bytes, a UUID its 16 bytes, anything else its characters;
// then repeated to 32 bytes.
func quayKey(field, s string) ([]byte, error) {
	if s == "" {
		return nil, fmt.Errorf("%s is missing", field)
	}
	raw := quayKeyBytes(s)
	if len(raw) == 0 {
		return nil, fmt.Errorf("%s is not usable: its characters must be ASCII or Latin-1", field)
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = raw[i%len(raw)]
	}
	return key, nil
}

func quayKeyBytes(s string) []byte {
	digits := strings.TrimPrefix(strings.TrimSpace(s), "+")
	if digits != "" && strings.Trim(digits, "0123456789") == "" {
		if n, ok := new(big.Int).SetString(digits, 10); ok {
			// An odd number of digits is none that Python reads back.
			if raw, err := hex.DecodeString(fmt.Sprintf("%02x", n)); err == nil {
				return raw
			}
		}
	}
	id := strings.NewReplacer("urn:", "", "uuid:", "").Replace(s)
	id = strings.ReplaceAll(strings.Trim(id, "{}"), "-", "")
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == 16 {
		return raw
	}
	var raw []byte
	for _, r := range s {
		if r > 0xff {
			return nil
		}
		raw = append(raw, byte(r)) //nolint:gosec // at most 0xff
	}
	return raw
}

func derived(key []byte, purpose string) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, key, nil, "gantry "+purpose, 32)
	if err != nil {
		return nil, err
	}
	b, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// Seal encrypts a secret for one field of one row: column is "table.column",
// row what names the row for ever, its uuid. The same bytes in another place
// do not open. The form is g1$<key id>$<base64>.
func (k *Keys) Seal(column, row, plain string) (string, error) {
	fk := k.database[0]
	aead, err := derived(fk.raw, column)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	sealed := aead.Seal(nonce, nonce, []byte(plain), []byte(column+"."+row))
	return sealedPrefix + fk.id + "$" + base64.StdEncoding.EncodeToString(sealed), nil
}

// DatabaseKeyIDs returns the ids of the DATABASE_SECRET_KEYs that Open knows,
// as they stand in what they sealed.
func (k *Keys) DatabaseKeyIDs() []string {
	ids := make([]string, 0, len(k.database))
	for _, fk := range k.database {
		ids = append(ids, fk.id)
	}
	return ids
}

// The forms of a sealed field.
const (
	sealedPrefix = "g1$"
	quayPrefix   = "v0$$"
)

// Open is the inverse of Seal. It also reads what Quay sealed (v0$$…), which
// is bound to no place; whoever changes the field seals it anew.
func (k *Keys) Open(column, row, sealed string) (string, error) {
	if text, ok := strings.CutPrefix(sealed, quayPrefix); ok {
		return k.openQuay(text)
	}
	text, ok := strings.CutPrefix(sealed, sealedPrefix)
	id, text, ok2 := strings.Cut(text, "$")
	if !ok || !ok2 {
		return "", fmt.Errorf("open %s: not a sealed field", column)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", column, err)
	}
	for _, fk := range k.database {
		if fk.id != id {
			continue
		}
		aead, err := derived(fk.raw, column)
		if err != nil {
			return "", err
		}
		if len(raw) < aead.NonceSize() {
			break
		}
		plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(column+"."+row))
		if err != nil {
			return "", fmt.Errorf("open %s: %w", column, err)
		}
		return string(plain), nil
	}
	return "", fmt.Errorf("open %s: sealed with a DATABASE_SECRET_KEY that is not known here (key id %.16q)", column, id)
}

// SealRobot seals a robot's token for the row of that uuid.
func (k *Keys) SealRobot(uuid, token string) (string, error) { return k.Seal(robotColumn, uuid, token) }

// SealApp seals the second half of an application token of a user.
func (k *Keys) SealApp(uuid, secret string) (string, error) { return k.Seal(appColumn, uuid, secret) }

// OpenQuay opens a field that a Quay sealed (v0$$…), with any of the
// DATABASE_SECRET_KEYs.
func (k *Keys) OpenQuay(sealed string) (string, error) {
	text, ok := strings.CutPrefix(sealed, quayPrefix)
	if !ok {
		return "", errors.New("open a field of Quay: it is not sealed")
	}
	return k.openQuay(text)
}

// Current reports whether sealed has the form that Seal gives it now.
func (k *Keys) Current(sealed string) bool {
	return strings.HasPrefix(sealed, sealedPrefix+k.database[0].id+"$")
}

func (k *Keys) openQuay(text string) (string, error) {
	const nonce, tag = 13, 16
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("open a field of Quay: %w", err)
	}
	if len(raw) < nonce+tag {
		return "", errors.New("open a field of Quay: too short")
	}
	for _, fk := range k.database {
		b, err := aes.NewCipher(fk.raw)
		if err != nil {
			return "", err
		}
		if plain, ok := openCCM(b, raw[:nonce], raw[nonce:], tag); ok {
			return string(plain), nil
		}
	}
	return "", errors.New("open a field of Quay: not sealed with this DATABASE_SECRET_KEY")
}

// openCCM is AES-CCM decryption (RFC 3610) with a 13-byte nonce, so a 2-byte
// length, and no associated data.
func openCCM(b cipher.Block, nonce, sealed []byte, tag int) ([]byte, bool) {
	n := len(sealed) - tag
	if len(nonce) != 13 || n < 0 || n > 0xffff {
		return nil, false
	}
	var ctr [16]byte
	ctr[0] = 1 // length bytes - 1
	copy(ctr[1:], nonce)
	plain := make([]byte, n)
	stream := cipher.NewCTR(b, ctr[:])
	var mask [16]byte
	stream.XORKeyStream(mask[:], mask[:]) // block 0 covers the tag
	stream.XORKeyStream(plain, sealed[:n])

	var x [16]byte
	x[0] = byte((tag-2)/2)<<3 | 1 //nolint:gosec // tag is at most 16
	copy(x[1:], nonce)
	x[14], x[15] = byte(n>>8), byte(n) //nolint:gosec // n is at most 0xffff
	b.Encrypt(x[:], x[:])
	for i := 0; i < n; i += 16 {
		for j, c := range plain[i:min(i+16, n)] {
			x[j] ^= c
		}
		b.Encrypt(x[:], x[:])
	}
	for i := range x {
		x[i] ^= mask[i]
	}
	if subtle.ConstantTimeCompare(x[:tag], sealed[n:]) != 1 {
		return nil, false
	}
	return plain, true
}

// EncryptPassword makes the encrypted password that a user may give to clients
// in place of the real one: base64(IV ‖ AES-256-CBC(JSON)), as Quay's.
func (k *Keys) EncryptPassword(password string) (string, error) {
	b, err := aes.NewCipher(k.secret)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]string{"password": password})
	if err != nil {
		return "", err
	}
	pad := aes.BlockSize - len(text)%aes.BlockSize
	for range pad {
		text = append(text, byte(pad))
	}
	out := make([]byte, aes.BlockSize+len(text))
	_, _ = rand.Read(out[:aes.BlockSize])                                                 // never fails
	cipher.NewCBCEncrypter(b, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], text) //nolint:gosec // the IV is random: see above
	return base64.StdEncoding.EncodeToString(out), nil
}

// DecryptPassword is the inverse of EncryptPassword; ok is false for what is
// no encrypted password of this registry. The form has no proof of being
// whole: what comes out is still to be checked against the account.
func (k *Keys) DecryptPassword(s string) (password string, ok bool) {
	raw, ok := encryptedForm(s)
	if !ok {
		return "", false
	}
	b, err := aes.NewCipher(k.secret)
	if err != nil {
		return "", false
	}
	text := make([]byte, len(raw)-aes.BlockSize)
	cipher.NewCBCDecrypter(b, raw[:aes.BlockSize]).CryptBlocks(text, raw[aes.BlockSize:])
	pad := int(text[len(text)-1])
	if pad == 0 || pad > aes.BlockSize {
		return "", false
	}
	var v struct {
		Password *string `json:"password"`
	}
	if json.Unmarshal(text[:len(text)-pad], &v) != nil || v.Password == nil {
		return "", false
	}
	return *v.Password, true
}

// encryptedForm reads what has the form of an encrypted password, whether it
// opens or not.
func encryptedForm(s string) (raw []byte, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(s)
	return raw, err == nil && len(raw) >= 2*aes.BlockSize && len(raw)%aes.BlockSize == 0
}

func looksEncrypted(s string) bool {
	_, ok := encryptedForm(s)
	return ok
}

// Pages seals the positions that the API gives out.
func (k *Keys) Pages() *PageTokens { return k.pages }

// Mark returns a text that only this registry can make of a purpose and a row:
// it proves that somebody was told it.
func (k *Keys) Mark(purpose, row string) string {
	m := hmac.New(sha256.New, k.secret)
	_, _ = m.Write([]byte("gantry mark " + purpose + "\x00" + row)) // never fails
	return hex.EncodeToString(m.Sum(nil)[:16])
}
