package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gantry-registry/gantry/internal/config"
)

// errInUse is what a second process on one data folder is told.
var errInUse = errors.New("is in use")

// A lock keeps other processes away from what one process owns.
type lock struct{ files []*os.File }

// lockFolder takes the data folder, and the SQLite database of uri if that
// lies elsewhere. The kernel lets go of it when the
// process ends, however it ends.
func lockFolder(dir, uri string) (*lock, error) {
	l := &lock{}
	if err := l.take(filepath.Join(dir, "lock"), "the data folder "+dir); err != nil {
		return nil, err
	}
	if path := sqlitePath(uri); path != "" && filepath.Dir(path) != dir {
		if err := l.take(path+".lock", "the database "+path); err != nil {
			return nil, errors.Join(err, l.release())
		}
	}
	return l, nil
}

// lock takes the data folder, for which a server waits as long as it may.
func (c *core) lock(ctx context.Context, o coreOptions, uri string) (*lock, error) {
	began, told := time.Now(), false
	for {
		l, err := lockFolder(c.data, uri)
		if err == nil || !o.server || !errors.Is(err, errInUse) || time.Since(began) > o.FolderWait {
			return l, err
		}
		if !told {
			told = true
			c.log.InfoContext(ctx, "waiting for another gantry to end", "because", err, "until", began.Add(o.FolderWait).UTC().Format(time.RFC3339))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (l *lock) take(path, what string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock %s: %w", what, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%s %w: another gantry runs on it", what, errInUse)
		} else {
			err = fmt.Errorf("lock %s: %w", what, err)
		}
		return errors.Join(err, f.Close())
	}
	l.files = append(l.files, f)
	return nil
}

// release lets go. The files stay: removing them would let two processes hold
// two of one name.
func (l *lock) release() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// sqlitePath is the file of an SQLite DB_URI, "" for every other.
func sqlitePath(uri string) string {
	if !strings.HasPrefix(uri, "sqlite") {
		return ""
	}
	u, err := config.ParseDBURI(uri)
	if err != nil || u.Dialect != "sqlite" {
		return ""
	}
	return u.Name
}
