package edit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/config"
)

// A Folder is a Store of a folder as `gantry serve --config DIR` reads it. Its
// history is in a hidden folder of it, which nothing else reads.
type Folder struct {
	Dir     string
	Environ []string
	// Check finds what is wrong with a configuration beside what Load does; nil =
	// nothing.
	Check func(*config.Config) []config.Problem

	mu sync.Mutex
}

const (
	historyFolder = ".gantry-editor"
	maxFile       = 1 << 20 // bytes; larger files are no configuration, and stay
	maxFiles      = 2000
)

// Read implements Store.
func (f *Folder) Read(context.Context) (*Present, error) {
	files, err := ReadFolder(f.Dir)
	if err != nil {
		return nil, err
	}
	p := &Present{Place: Place{Mode: Standalone, Dir: f.Dir}, Files: files, Revision: files.Revision(), Warnings: []string{}}
	p.Reason = f.locked(files)
	p.Writable = p.Reason == ""
	if p.Writable && len(files) > 0 {
		if st, err := os.Lstat(filepath.Join(f.Dir, files.ConfigName())); err == nil && st.Mode()&fs.ModeSymlink != 0 {
			p.Warnings = append(p.Warnings, files.ConfigName()+" is a link: the file that it leads to is replaced")
		}
	}
	return p, nil
}

// locked says why nothing can be written.
func (f *Folder) locked(files Files) string {
	if _, err := os.Lstat(filepath.Join(f.Dir, "..data")); err == nil {
		return f.Dir + " is mounted from a Secret or a ConfigMap of Kubernetes, and read-only: change that, or use the editor of the operator"
	}
	if err := unix.Access(f.Dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Sprintf("the folder %s cannot be written: %v; give this process the right to, or run it where the folder is mounted for writing", f.Dir, err)
	}
	dir := f.Dir
	if real, err := filepath.EvalSymlinks(filepath.Join(f.Dir, files.ConfigName())); err == nil {
		dir = filepath.Dir(real)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Sprintf("%s is a link into %s, which cannot be written: %v", files.ConfigName(), dir, err)
	}
	return ""
}

// ReadFolder reads the files of a folder, and those of extra_ca_certs.
func ReadFolder(dir string) (Files, error) {
	files := Files{}
	read := func(folder, prefix string) error {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			path := filepath.Join(folder, e.Name())
			st, err := os.Stat(path) // follows links
			if err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
				continue
			}
			if len(files) == maxFiles {
				return fmt.Errorf("%s has more than %d files: it is no folder of a configuration", dir, maxFiles)
			}
			data, err := os.ReadFile(path) // #nosec G304 -- the administrator names the folder
			if err != nil {
				return err
			}
			files[prefix+e.Name()] = data
		}
		return nil
	}
	if err := read(dir, ""); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	extra := filepath.Join(dir, "extra_ca_certs")
	if st, err := os.Stat(extra); err == nil && st.IsDir() {
		if err := read(extra, CAFolder); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
	}
	return files, nil
}

// Judge implements Store.
func (f *Folder) Judge(_ context.Context, _ *Present, files Files, manage map[string]bool) (*Judged, error) {
	if len(manage) > 0 {
		return nil, &Mistake{Field: "manage", Message: "no operator looks after this registry"}
	}
	j := &Judged{Stack: files, Operator: map[string]any{}, Managed: []Managed{}}
	c, problems, err := config.Load(config.Options{Dir: f.Dir, Files: files, Environ: f.Environ})
	if err != nil && !errors.Is(err, config.ErrInvalid) {
		return nil, err
	}
	j.Config, j.Problems = c, problems
	if c != nil && f.Check != nil {
		j.Problems = append(f.Check(c), j.Problems...)
	}
	return j, nil
}

// Write implements Store.
func (f *Folder) Write(_ context.Context, p *Present, w Write) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if reason := f.locked(p.Files); reason != "" {
		return &Refused{reason}
	}
	h, err := f.openHistory(p.Files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	now, err := ReadFolder(f.Dir)
	if err != nil {
		return err
	}
	if now.Revision() != p.Revision {
		return ErrRaced
	}
	list, err := h.read()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(s Saved) bool { return s.Revision == p.Revision }) && p.Files.Written() {
		first := Saved{Revision: p.Revision, At: time.Now().UTC(), Changed: []string{}, Files: now}
		if st, err := os.Stat(filepath.Join(f.Dir, p.Files.ConfigName())); err == nil {
			first.At = st.ModTime().UTC()
		}
		list = Remember(list, first)
	}
	list = Remember(list, Saved{Revision: w.Files.Revision(), At: time.Now().UTC(), Changed: w.Changed, Files: w.Files})
	// The history first: what is lost in between is a line too many, not the way back.
	if err := h.write(list); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	return f.put(now, w.Files)
}

// put replaces files that are others: certificates that come, then the fields
// that name them, then those that go.
func (f *Folder) put(before, after Files) error {
	name := after.ConfigName()
	like := ownerOf(filepath.Join(f.Dir, before.ConfigName()), f.Dir)
	names := slices.SortedFunc(maps.Keys(after), func(a, b string) int {
		rank := func(s string) int { return len(strings.TrimPrefix(s, name)) } // the fields last
		if a == name || b == name {
			return cmp.Compare(rank(b), rank(a))
		}
		return cmp.Compare(a, b)
	})
	for _, file := range names {
		old, there := before[file]
		if there && bytes.Equal(old, after[file]) {
			continue
		}
		path := filepath.Join(f.Dir, filepath.FromSlash(file))
		if strings.HasPrefix(file, CAFolder) {
			if err := like.mkdir(filepath.Dir(path)); err != nil {
				return fmt.Errorf("write %s: %w", file, err)
			}
		}
		if err := replace(path, after[file], ownerOf(path, "").or(like)); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[file]; stays {
			continue
		}
		path := filepath.Join(f.Dir, filepath.FromSlash(file))
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", file, err)
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// History implements Store.
func (f *Folder) History(context.Context) ([]Saved, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return (&history{dir: filepath.Join(f.Dir, historyFolder)}).read()
}

// Rollout implements Store.
func (f *Folder) Rollout(ctx context.Context) (*Rollout, error) {
	r := &Rollout{State: "unknown", Conditions: []Condition{}, Events: []Event{},
		Message: "A running server takes changes of live fields and of certificates within seconds; all others wait for its restart."}
	list, err := f.History(ctx)
	if err != nil || len(list) == 0 {
		return r, err
	}
	var wait []string
	for _, name := range list[0].Changed {
		if field, known := config.Lookup(name); known && field.Used && !field.Live {
			wait = append(wait, name)
		}
	}
	if len(wait) > 0 {
		r.Message += " Of the last change, restart it for " + strings.Join(wait, ", ") + "."
	}
	return r, nil
}

// An owner is whose a file is, and who may read it.
type owner struct {
	known    bool
	uid, gid int
	mode     fs.FileMode
	dir      fs.FileMode // of folders made beside it
}

// ownerOf is that of a file, or else of what is put into a folder; "" = none.
func ownerOf(path, dir string) owner {
	o := owner{mode: 0o600, dir: 0o700}
	var st unix.Stat_t
	if dir != "" && unix.Stat(dir, &st) == nil {
		o.known, o.uid, o.gid, o.dir = true, int(st.Uid), int(st.Gid), fs.FileMode(st.Mode&0o777)
	}
	if unix.Stat(path, &st) == nil {
		o.known, o.uid, o.gid, o.mode = true, int(st.Uid), int(st.Gid), fs.FileMode(st.Mode&0o777)
	}
	return o
}

func (o owner) or(other owner) owner {
	if o.known {
		return o
	}
	return other
}

// give makes a file the owner's, if it is not.
func (o owner) give(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if !o.known || int(st.Uid) == o.uid && int(st.Gid) == o.gid {
		return nil
	}
	if err := os.Chown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("it belongs to user %d and group %d, and this process may not give it to them: %w; run the editor as that user", o.uid, o.gid, err)
	}
	return nil
}

func (o owner) mkdir(path string) error {
	if err := os.Mkdir(path, o.dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return o.give(path)
}

// replace puts a file in another one's place: whole, and on stable storage.
func replace(path string, data []byte, o owner) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".gantry-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // err says more
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = o.give(tmp.Name())
	}
	if err == nil {
		err = tmp.Chmod(o.mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path) // #nosec G304 -- the administrator names the folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A history is the hidden folder of a configuration: a file for each revision,
// and the lock of all editors.
type history struct {
	dir  string
	own  owner
	lock *os.File
}

// openHistory makes the folder if it is not there, and waits for other editors.
func (f *Folder) openHistory(files Files) (*history, error) {
	h := &history{dir: filepath.Join(f.Dir, historyFolder), own: ownerOf(filepath.Join(f.Dir, files.ConfigName()), f.Dir)}
	h.own.dir, h.own.mode = 0o700, 0o600
	if err := h.own.mkdir(h.dir); err != nil {
		return nil, fmt.Errorf("make the folder of the history: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(h.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the configuration: %w", err)
	}
	h.lock = lock
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("lock the configuration, which another editor writes: %w", err), lock.Close())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (h *history) close() error { return h.lock.Close() } // which ends the lock

// read returns what is kept, the newest first. What cannot be read is left out:
// it is a way back, and nothing depends on it.
func (h *history) read() ([]Saved, error) {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	var list []Saved
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(h.dir, e.Name()))
		var s Saved
		if err != nil || json.Unmarshal(data, &s) != nil || s.Revision != s.Files.Revision() {
			continue
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b Saved) int { return b.At.Compare(a.At) })
	return list, nil
}

// write keeps a list, and nothing else.
func (h *history) write(list []Saved) error {
	stays := map[string]bool{"lock": true}
	for _, s := range list {
		name := s.Revision + ".json"
		stays[name] = true
		data, err := json.Marshal(s)
		if err != nil {
			return err
		}
		path := filepath.Join(h.dir, name)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) { // #nosec G304 -- in our own folder
			continue
		}
		if err := replace(path, data, h.own); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !stays[e.Name()] {
			if err := os.Remove(filepath.Join(h.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
