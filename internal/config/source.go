package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A source reads files by their paths: those of this machine, or where within
// is set those of what will be at dir on another one.
type source struct {
	dir    string
	within fs.FS
}

// name is the name of a path in within.
func (f source) name(path string) (string, bool) {
	rel, err := filepath.Rel(f.dir, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

func (f source) stat(path string) (fs.FileInfo, error) {
	if f.within == nil {
		return os.Stat(path)
	}
	if name, ok := f.name(path); ok {
		return fs.Stat(f.within, name)
	}
	return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
}

// elsewhere reports whether nothing can be said of the path here: it is on
// another machine, outside the folder.
func (f source) elsewhere(path string) bool {
	if f.within == nil {
		return false
	}
	_, ok := f.name(path)
	return !ok
}

// read reads a regular file of at most maxFile bytes.
func (f source) read(path string) ([]byte, error) {
	if f.within == nil {
		return readBounded(path)
	}
	name, ok := f.name(path)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	data, err := fs.ReadFile(f.within, name)
	if err == nil && len(data) > maxFile {
		err = errTooLarge
	}
	return data, err
}

// list returns the sorted names of a folder, the first 10,000 of them.
func (f source) list(dir string) ([]string, error) {
	if f.within == nil {
		return listDir(dir)
	}
	name, ok := f.name(dir)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	entries, err := fs.ReadDir(f.within, name)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// listDir returns the sorted names of a folder, the first 10,000 of them.
func listDir(dir string) ([]string, error) {
	f, err := os.Open(dir) // #nosec G304 -- the administrator names the folder
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	names, err := f.Readdirnames(10_000)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(names)
	return names, err
}
