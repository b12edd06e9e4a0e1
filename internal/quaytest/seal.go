package quaytest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// Seal encrypts a secret as Quay does with its DATABASE_SECRET_KEY.
func (q *Quay) Seal(plain string) string {
	nonce := make([]byte, 13)
	_, _ = rand.Read(nonce) // never fails
	return seal(q.DatabaseSecretKey, nonce, plain)
}

// seal is AES-256-CCM (RFC 3610) with a tag of 16 bytes, written after its
// nonce of 13.
func seal(secret string, nonce []byte, plain string) string {
	b, err := aes.NewCipher(derive(secret))
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	// The tag is a CBC-MAC over the head and the text, padded with zeros.
	head := append([]byte{7<<3 | 1}, nonce...)                 // (16-2)/2, and 2-1 bytes of length
	head = append(head, byte(len(plain)>>8), byte(len(plain))) //nolint:gosec // no field of Quay holds 64 KiB
	tag := make([]byte, aes.BlockSize)
	for text := append(head, plain...); len(text) > 0; text = text[min(len(text), aes.BlockSize):] {
		for i, c := range text[:min(len(text), aes.BlockSize)] {
			tag[i] ^= c
		}
		b.Encrypt(tag, tag)
	}
	// Counter 0 covers the tag, counter 1 is the first of the text.
	stream := cipher.NewCTR(b, append(append([]byte{1}, nonce...), 0, 0))
	stream.XORKeyStream(tag, tag)
	sealed := make([]byte, len(plain))
	stream.XORKeyStream(sealed, []byte(plain))
	return "v0$$" + base64.StdEncoding.EncodeToString(append(append(nonce, sealed...), tag...))
}

// newNumber makes a key in the form that Quay's set-up tool gave it: 32 bytes
// as a decimal number.
func newNumber() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	b[0] |= 0x80        // all of the 64 hexadecimal digits
	return new(big.Int).SetBytes(b).String()
}

// derive makes 32 bytes of the text of a key: of a decimal number its
// hexadecimal bytes, of a UUID its 16, of anything else its characters;
// repeated as often as needed.
func derive(secret string) []byte {
	raw := []byte(secret)
	if n, ok := new(big.Int).SetString(secret, 10); ok {
		if b, err := hex.DecodeString(fmt.Sprintf("%02x", n)); err == nil {
			raw = b
		}
	} else if b, err := hex.DecodeString(strings.ReplaceAll(secret, "-", "")); err == nil && len(b) == 16 {
		raw = b
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = raw[i%len(raw)]
	}
	return key
}
