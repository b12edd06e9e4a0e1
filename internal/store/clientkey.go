package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // keys that were encrypted long ago
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // PBKDF2's default of RFC 8018
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// The client's key may be encrypted, as libpq's sslpassword has it: in the old
// form of OpenSSL ("Proc-Type: 4,ENCRYPTED"), or in PKCS #8 (RFC 5958) with
// PBES2 (RFC 8018), which OpenSSL has written since version 3.

// openKey returns a key in PEM without its encryption; one that has none is
// returned as it is.
func openKey(text []byte, password string) ([]byte, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return text, nil // tls.X509KeyPair says what is wrong
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			if password == "" {
				return nil, errNoPassword
			}
			der, err := openPKCS8(block.Bytes, []byte(password))
			if err != nil {
				return nil, err
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
		case x509.IsEncryptedPEMBlock(block): //nolint:staticcheck // the form is weak, but it is what users have
			if password == "" {
				return nil, errNoPassword
			}
			der, err := x509.DecryptPEMBlock(block, []byte(password)) //nolint:staticcheck // see above
			if err != nil {
				return nil, errors.New("sslpassword does not open the key")
			}
			return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), nil
		}
	}
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// The hashes and ciphers of PBES2 by the text of their identifiers.
var (
	pbkdf2Hashes = map[string]func() hash.Hash{
		"":                    sha1.New, // the default
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
	pbes2Ciphers = map[string]struct {
		key  int
		make func([]byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

// maxRounds bounds the work that a file can ask for; OpenSSL takes 2,048.
const maxRounds = 10_000_000

// openPKCS8 decrypts an EncryptedPrivateKeyInfo with PBES2.
func openPKCS8(der, password []byte) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	var params struct {
		KDF, Cipher pkix.AlgorithmIdentifier
	}
	var kdf struct {
		Salt   []byte
		Rounds int
		Length int                      `asn1:"optional"`
		PRF    pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	var iv []byte
	bad := func(what string, err error) ([]byte, error) {
		return nil, fmt.Errorf("the encrypted key cannot be read: %s: %w", what, err)
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return bad("PKCS #8", err)
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errors.New("the key is encrypted in an old way: write it anew with openssl pkcs8 -topk8 -v2 aes256")
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return bad("PBES2", err)
	}
	if !params.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, errors.New("the password of the key is not stretched with PBKDF2: write it anew with openssl pkcs8 -topk8 -v2 aes256")
	}
	if _, err := asn1.Unmarshal(params.KDF.Parameters.FullBytes, &kdf); err != nil {
		return bad("PBKDF2", err)
	}
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil {
		return bad("the cipher", err)
	}
	newHash, ok := pbkdf2Hashes[kdf.PRF.Algorithm.String()]
	c, ok2 := pbes2Ciphers[params.Cipher.Algorithm.String()]
	if !ok || !ok2 || kdf.Rounds < 1 || kdf.Rounds > maxRounds || kdf.Length != 0 && kdf.Length != c.key {
		return nil, errors.New("the key is encrypted in a way that is not known here: write it anew with openssl pkcs8 -topk8 -v2 aes256")
	}
	key, err := pbkdf2.Key(newHash, string(password), kdf.Salt, kdf.Rounds, c.key)
	if err != nil {
		return bad("PBKDF2", err)
	}
	b, err := c.make(key)
	if err != nil {
		return bad("the cipher", err)
	}
	if len(iv) != b.BlockSize() || len(info.Data) == 0 || len(info.Data)%b.BlockSize() != 0 {
		return nil, errors.New("the encrypted key cannot be read: its length is wrong")
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(plain, info.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > b.BlockSize() {
		return nil, errors.New("sslpassword does not open the key")
	}
	plain = plain[:len(plain)-pad]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, errors.New("sslpassword does not open the key")
	}
	return plain, nil
}
