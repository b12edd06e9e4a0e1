package edit

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Open is not needed: fs.ReadFile, fs.ReadDir and fs.Stat find the methods below.
func (f Files) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// ReadFile returns the content of a file.
func (f Files) ReadFile(name string) ([]byte, error) {
	if data, ok := f[name]; ok {
		return data, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Stat tells of a file, or of a folder in which there are files.
func (f Files) Stat(name string) (fs.FileInfo, error) {
	if data, ok := f[name]; ok {
		return entry{name: path.Base(name), size: int64(len(data))}, nil
	}
	if name == "." {
		return entry{name: ".", dir: true}, nil
	}
	for file := range f {
		if strings.HasPrefix(file, name+"/") {
			return entry{name: path.Base(name), dir: true}, nil
		}
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists a folder, by name.
func (f Files) ReadDir(name string) ([]fs.DirEntry, error) {
	found := map[string]entry{}
	for file, data := range f {
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

// An entry is a file or a folder of Files.
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
