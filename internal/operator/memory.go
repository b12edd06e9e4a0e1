package operator

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// memory is files by their paths, as a file system that is read whole: secrets
// that are checked are written to no disk.
type memory map[string][]byte

// Open is not needed: fs.ReadFile, fs.ReadDir and fs.Stat find the methods below.
func (m memory) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// ReadFile returns the content of a file.
func (m memory) ReadFile(name string) ([]byte, error) {
	if data, ok := m[name]; ok {
		return data, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Stat tells of a file, or of a folder in which there are files.
func (m memory) Stat(name string) (fs.FileInfo, error) {
	if data, ok := m[name]; ok {
		return entry{name: path.Base(name), size: int64(len(data))}, nil
	}
	for file := range m {
		if name == "." || strings.HasPrefix(file, name+"/") {
			return entry{name: path.Base(name), dir: true}, nil
		}
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists a folder, by name.
func (m memory) ReadDir(name string) ([]fs.DirEntry, error) {
	found := map[string]entry{}
	for file, data := range m {
		rest, ok := strings.CutPrefix(file, name+"/")
		if name == "." {
			rest, ok = file, true
		}
		if !ok {
			continue
		}
		first, _, deep := strings.Cut(rest, "/")
		found[first] = entry{name: first, size: int64(len(data)), dir: deep}
	}
	if len(found) == 0 && name != "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	list := make([]fs.DirEntry, 0, len(found))
	for _, file := range slices.Sorted(maps.Keys(found)) {
		list = append(list, fs.FileInfoToDirEntry(found[file]))
	}
	return list, nil
}

// An entry is a file or a folder of memory.
type entry struct {
	name string
	size int64
	dir  bool
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return e.size }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return e.dir }
func (e entry) Sys() any           { return nil }
func (e entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o500
	}
	return 0o400
}
