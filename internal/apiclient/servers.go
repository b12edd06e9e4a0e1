package apiclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxServers bounds the file of servers, in bytes.
const maxServers = 1 << 20

// Servers are those that somebody has signed in to. They are kept in one file
// that nobody else may read.
type Servers struct {
	Current string           `json:"current"` // "" = none
	Known   map[string]Known `json:"servers"` // by the address
}

// Known is one server as it was signed in to.
type Known struct {
	User     string `json:"user,omitempty"` // "" = the token may not tell
	Insecure bool   `json:"insecure,omitempty"`
	CAFile   string `json:"ca_file,omitempty"`
	Login
}

// ReadServers reads the file; one that is not there holds none. A file that
// others may read is refused: what it holds may be known to them.
func ReadServers(path string) (Servers, error) {
	s := Servers{Known: map[string]Known{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return s, fmt.Errorf("%s holds secrets, and others may read it (mode %04o): chmod 600 it, and sign in anew if somebody may have", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxServers+1))
	if err != nil {
		return s, err
	}
	if len(b) > maxServers || json.Unmarshal(b, &s) != nil {
		return s, fmt.Errorf("%s cannot be read: delete it, and sign in with gantry login", path)
	}
	if s.Known == nil {
		s.Known = map[string]Known{}
	}
	return s, nil
}

// Write replaces the file, whole or not at all.
func (s Servers) Write(path string) (err error) {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".servers-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
