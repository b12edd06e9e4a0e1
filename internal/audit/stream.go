package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gantry-registry/gantry/internal/store"
)

// Stdout is the place of a stream that goes to the standard output.
const Stdout = "stdout"

const (
	streamReader = "audit stream"       // its place in the journal
	streamPulls  = "audit stream pulls" // its place in the pull log
	streamBatch  = 500
	// pullsSettle is how long after its time a pull is written: by then the
	// transaction that logs it has ended, in every process.
	pullsSettle = time.Minute
)

// A Stream writes the audit log as lines of JSON to a file or to the standard
// output, each entry at least once. Where it is stands in the store. One
// Stream of a store runs at a time: the caller holds a lease.
type Stream struct {
	Store *store.DB
	To    string        // Stdout, or the path of a file, which is made
	Out   io.Writer     // of Stdout; nil = os.Stdout
	Every time.Duration // between two looks; 0 = 1 s

	file *os.File
}

// Run writes until ctx ends. It returns an error that has no end by itself,
// such as of a file that cannot be written; what was not acknowledged comes
// again.
func (s *Stream) Run(ctx context.Context) error {
	defer func() { _ = s.closeFile() }() // what counts was synced
	for {
		more, err := s.Once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !more {
			rest(ctx, cmp.Or(s.Every, time.Second))
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// Once writes what is new, up to a bound; more says that there may be more.
func (s *Stream) Once(ctx context.Context) (more bool, err error) {
	if _, err := s.Store.Sequence(ctx); err != nil {
		return false, err
	}
	from, err := s.Store.Reader(ctx, streamReader)
	if err != nil {
		return false, err
	}
	entries, err := s.Store.Events(ctx, from, streamBatch)
	if err != nil {
		return false, err
	}
	if n := len(entries); n > 0 {
		rows := make([]store.AuditRow, n)
		for i := range entries {
			rows[i] = entries[i].Row()
		}
		if err := s.write(ctx, rows, func(i int) int64 { return entries[i].Seq }); err != nil {
			return false, err
		}
		if err := s.Store.AckEvents(ctx, streamReader, from, entries[n-1].Seq); err != nil {
			return false, err
		}
	}
	pulls, err := s.pulls(ctx)
	return len(entries) == streamBatch || pulls == streamBatch, err
}

// pulls writes new rows of the pull log.
func (s *Stream) pulls(ctx context.Context) (n int, err error) {
	if err := s.Store.SettleAccess(); err != nil {
		return 0, err
	}
	text, err := s.Store.Setting(ctx, streamPulls)
	if err != nil {
		return 0, err
	}
	from, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the place of the stream: %w", err)
	}
	settled := s.Store.Now()
	if !s.Store.Exclusive() {
		settled = settled.Add(-pullsSettle)
	}
	rows, err := s.Store.PullsAfter(ctx, from, settled, streamBatch)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	if err := s.write(ctx, rows, func(int) int64 { return 0 }); err != nil {
		return 0, err
	}
	return len(rows), s.Store.SetSetting(ctx, streamPulls, itoa(rows[len(rows)-1].ID))
}

// write writes rows, on stable storage when it returns.
func (s *Stream) write(ctx context.Context, rows []store.AuditRow, seq func(i int) int64) error {
	text, err := lines(ctx, s.Store, rows, seq)
	if err != nil {
		return err
	}
	if s.To == Stdout {
		var out io.Writer = os.Stdout
		if s.Out != nil {
			out = s.Out
		}
		_, err := out.Write(text)
		return err
	}
	if err := s.openFile(); err != nil {
		return err
	}
	if _, err := s.file.Write(text); err != nil {
		return errors.Join(err, s.closeFile())
	}
	return s.file.Sync()
}

// openFile opens the file, anew where another one has its name now, or none:
// it was rotated.
func (s *Stream) openFile() error {
	if s.file != nil {
		mine, err := s.file.Stat()
		if err != nil {
			return err
		}
		there, err := os.Stat(s.To)
		if err == nil && os.SameFile(mine, there) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.closeFile(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.To), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(s.To, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o640) //nolint:gosec // a collector in the group reads it
	if err != nil {
		return err
	}
	s.file = f
	return s.endLine()
}

// endLine ends a line that was cut off when its writer was killed: it stands
// by itself, and the entry comes again.
func (s *Stream) endLine() error {
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	var last [1]byte
	if _, err := s.file.ReadAt(last[:], size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = s.file.Write([]byte("\n"))
	return err
}

func (s *Stream) closeFile() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// StopStream forgets where a stream was that is switched off, so that its
// entries may be deleted.
func StopStream(ctx context.Context, db *store.DB) error {
	known, err := db.HasReader(ctx, streamReader)
	if err != nil || !known {
		return err
	}
	return db.DropReader(ctx, streamReader)
}
