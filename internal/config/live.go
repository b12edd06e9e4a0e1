package config

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Live holds the configuration of a running process and takes changes of
// its folder. Its methods may be called concurrently.
type Live struct {
	opts    Options
	seen    [sha256.Size]byte // fingerprint of the folder at the first load
	current atomic.Pointer[Config]

	mu     sync.Mutex // held by Reload
	disk   *Config    // what the folder said when it was last good
	subs   map[int]func(*Config, Change)
	nextID int
}

// A Change is what one reload did.
type Change struct {
	Problems []Problem `json:"problems,omitempty"`
	// Applied are the fields that changed and are in effect now; files of the
	// folder are named as they are there: "ssl.cert", "extra_ca_certs".
	Applied []string `json:"applied,omitempty"`
	// Restart are the fields whose value in the folder is not the one that the
	// process runs with: they wait for a restart. Those of earlier reloads are
	// among them.
	Restart []string `json:"restart,omitempty"`
}

// OpenLive loads the configuration for the first time, as Load does.
func OpenLive(o Options) (*Live, []Problem, error) {
	o.Environ = slices.Clone(o.Environ)
	o.Dir = o.dir()
	seen := fingerprint(o.Dir) // before the load: what changes during it is seen later
	c, problems, err := Load(o)
	if err != nil {
		return nil, problems, err
	}
	l := &Live{opts: o, seen: seen, disk: c, subs: map[int]func(*Config, Change){}}
	l.current.Store(c)
	return l, problems, nil
}

// Current returns the configuration in effect: immutable, and replaced as a
// whole. Fields that need a restart keep the value of the start in it, so that
// all parts of the process see the same.
func (l *Live) Current() *Config { return l.current.Load() }

// Reload reads the folder anew. A configuration with an error changes nothing:
// the old one stays, and the error, which wraps ErrInvalid, says why; so it does
// when config.yaml, which was there, is gone. What is
// good is taken whole: live fields and certificates at once, the others with
// the next start. Subscribers are called before Reload returns, if anything is
// in effect that was not.
func (l *Live) Reload() (Change, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, problems, err := Load(l.opts)
	change := Change{Problems: problems}
	if err != nil {
		return change, fmt.Errorf("reload: the old configuration stays: %w", err)
	}
	if l.disk.Bundle.File != "" && next.Bundle.File == "" {
		// Half of a deployment, not a wish for SQLite and an open door.
		return change, fmt.Errorf("reload: the old configuration stays: %s is gone: %w", l.disk.Bundle.File, ErrInvalid)
	}
	cur := l.current.Load()
	merged, err := cur.merge(next, &change)
	if err != nil {
		return change, err
	}
	l.disk = next
	l.current.Store(merged)
	if len(change.Applied) == 0 {
		return change, nil
	}
	for _, id := range slices.Sorted(maps.Keys(l.subs)) {
		l.subs[id](merged, change)
	}
	return change, nil
}

// OnDisk returns the configuration that the folder held at the last good
// reload: the one that a restart would run with.
func (l *Live) OnDisk() *Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.disk
}

// Subscribe has f called with the new configuration after each change that is
// in effect, one call at a time, in the order of Subscribe. f must not call
// Reload, Subscribe or what Subscribe returned, which ends the calls.
func (l *Live) Subscribe(f func(*Config, Change)) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.nextID
	l.nextID++
	l.subs[id] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, id)
	}
}

// merge returns c with the live fields and the files of next.
func (c *Config) merge(next *Config, change *Change) (*Config, error) {
	m := &Config{values: maps.Clone(c.values), explicit: maps.Clone(c.explicit), Bundle: next.Bundle, Env: c.Env, roots: next.roots}
	names := map[string]bool{}
	for _, vs := range []map[string]any{c.values, next.values} {
		for name := range vs {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := table().find(name)
		old, hadOld := c.values[name]
		v, has := next.values[name]
		same := hadOld == has && reflect.DeepEqual(old, v)
		if f != nil && f.Used && !f.Live {
			if !same {
				change.Restart = append(change.Restart, name)
			}
			continue // the place it was written stays with the value, too
		}
		// A live field, or one that nothing acts on.
		delete(m.values, name)
		delete(m.explicit, name)
		if has {
			m.values[name] = v
		}
		if o, ok := next.explicit[name]; ok {
			m.explicit[name] = o
		}
		if !same && f != nil && f.Used {
			change.Applied = append(change.Applied, name)
		}
	}
	for _, file := range []struct {
		name     string
		old, new []byte
	}{
		{"ssl.cert", c.Bundle.cert, next.Bundle.cert},
		{"ssl.key", c.Bundle.key, next.Bundle.key},
		{"extra_ca_certs", c.Bundle.cas, next.Bundle.cas},
	} {
		if !bytes.Equal(file.old, file.new) {
			change.Applied = append(change.Applied, file.name)
		}
	}
	if err := m.fill(); err != nil {
		return nil, fmt.Errorf("complete the configuration: %w", err)
	}
	m.Features.UserInitialize = next.Features.UserInitialize // whatever writes a field closes the door, live or not
	return m, nil
}

// DefaultPoll is how often Watch looks at the folder unless told otherwise.
const DefaultPoll = 2 * time.Second

// Watch reloads when the folder changes, until ctx ends. It looks every poll
// (0 = DefaultPoll) and waits until two looks see the same, so that a file
// that is being written is not read half. A change counts once: a broken
// configuration is reported once, and tried again when it changes again.
// report, which may be nil, is called after every reload.
//
// It looks instead of asking the kernel because Secrets of Kubernetes are
// swapped links, and network file systems send no events.
func (l *Live) Watch(ctx context.Context, poll time.Duration, report func(Change, error)) {
	if poll <= 0 {
		poll = DefaultPoll
	}
	dir := l.opts.Dir
	if dir == "" {
		return
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	done, last := l.seen, l.seen
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := fingerprint(dir)
		if now == last && now != done {
			done = now
			change, err := l.Reload()
			if report != nil {
				report(change, err)
			}
		}
		last = now
	}
}

// fingerprint changes when a file of the folder, or of extra_ca_certs in it,
// comes, goes or changes.
func fingerprint(dir string) [sha256.Size]byte {
	h := sha256.New()
	for _, d := range []string{dir, filepath.Join(dir, "extra_ca_certs")} {
		names, err := listDir(d)
		if err != nil {
			continue // gone, or a file that the folder above lists
		}
		for _, name := range names {
			if strings.HasPrefix(name, ".") { // Kubernetes' ..data and its like: what is in there is linked to
				continue
			}
			st, err := os.Stat(filepath.Join(d, name)) // follows links
			if err != nil {
				_, _ = fmt.Fprintf(h, "%q gone\n", name) // a hash does not fail
				continue
			}
			_, _ = fmt.Fprintf(h, "%q %d %d %v\n", name, st.Size(), st.ModTime().UnixNano(), st.Mode())
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
