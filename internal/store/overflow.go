package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// While a database server is away, the rows of the pull log go to a local file,
// and from there into the table when it is back: each row once. How far the
// file is in the table is committed with the rows, under a name that the file
// carries. A group of which it is not known whether the database committed it,
// for the connection broke in that moment, is written with the id that its first
// row had got: when the row is there, the group is.
//
// The file is a header and records behind it, each its length, a checksum and a
// payload: the kind, and what the kind has. It is only appended to. When all of
// it is in the table, a new one with another name takes its place.

const (
	overflowMagic  = "gantry pulls 1\n"
	overflowHeader = len(overflowMagic) + overflowName
	overflowName   = 32 // bytes of the name: hex
	overflowPrefix = "pulls "
	// MinSpoolBytes is the smallest size of a spool.
	MinSpoolBytes = 64 << 10
	// DefaultSpoolBytes is about 1,500,000 pulls.
	DefaultSpoolBytes = 256 << 20
	maxOverflowRecord = 16 << 10
	recordHead        = 8
)

// The kinds of records.
const (
	recordRow   = 1 // a row of the log
	recordGroup = 2 // id of the first row, number of rows: the rows behind it may be in the table
)

// errSpoolFull is why a pull is refused.
var errSpoolFull = errors.New("the file for pulls that wait for the database is full")

// An overflow is that file.
type overflow struct {
	db   *DB
	path string
	most int64

	mu      sync.Mutex
	f       *os.File // nil: there is none yet
	name    string
	size    int64        // where the next record goes
	rows    atomic.Int64 // in the file and not known to be in the table
	settled chan struct{}
	closed  bool

	moving sync.Mutex // one mover at a time
	quit   chan struct{}
	wake   chan struct{}
	gone   chan struct{}
}

// openOverflow opens the file, if there is one, and begins to move what it
// holds.
func (db *DB) openOverflow(path string, most int64) (*overflow, error) {
	if most <= 0 {
		most = DefaultSpoolBytes
	}
	o := &overflow{db: db, path: path, most: max(most, MinSpoolBytes), settled: make(chan struct{}),
		quit: make(chan struct{}), wake: make(chan struct{}, 1), gone: make(chan struct{})}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open the spool of pulls: %w", err)
	default:
		if err := o.recover(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		o.poke()
	}
	go o.loop()
	return o, nil
}

// recover finds the end of the file that a crash may have left. What stands
// behind the last whole record was never acknowledged.
func (o *overflow) recover(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("open the spool of pulls %s: another process has it: %w", o.path, err)
	}
	head := make([]byte, overflowHeader)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(overflowMagic)]) != overflowMagic {
		return fmt.Errorf("open the spool of pulls: %s is no such file; move it away", o.path)
	}
	o.f, o.name, o.size = f, string(head[len(overflowMagic):]), int64(overflowHeader)
	r := newRecordReader(f, o.size)
	lacks := int64(0) // rows that the group at hand lacks: one that is not whole was never acknowledged
	for rows := int64(0); ; {
		kind, payload, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the spool of pulls: %w", err)
		}
		switch kind {
		case recordGroup:
			if _, lacks, err = decodeGroup(payload); err != nil {
				return err
			}
		case recordRow:
			rows++
			lacks = max(lacks-1, 0)
		default:
		}
		if lacks == 0 {
			o.size = r.at
			o.rows.Add(rows)
			rows = 0
		}
	}
	if err := f.Truncate(o.size); err != nil {
		return fmt.Errorf("open the spool of pulls: %w", err)
	}
	return nil
}

// A recordReader reads records up to the first that is not whole.
type recordReader struct {
	f   io.ReaderAt
	at  int64
	buf []byte
	off int // of the next record in buf
}

func newRecordReader(f io.ReaderAt, at int64) *recordReader { return &recordReader{f: f, at: at} }

// next returns a record, valid until the next call, or io.EOF.
func (r *recordReader) next() (kind byte, payload []byte, err error) {
	for {
		if n, whole := recordSize(r.buf[r.off:]); whole {
			rec := r.buf[r.off : r.off+n]
			if n <= recordHead || crc32.Checksum(rec[recordHead:], castagnoli) != binary.LittleEndian.Uint32(rec[4:]) {
				return 0, nil, io.EOF
			}
			r.off += n
			r.at += int64(n)
			return rec[recordHead], rec[recordHead+1:], nil
		} else if n > maxOverflowRecord+recordHead {
			return 0, nil, io.EOF
		}
		rest := copy(r.buf, r.buf[r.off:])
		r.off = 0
		if cap(r.buf) == 0 {
			r.buf = make([]byte, 0, 256<<10)
		}
		r.buf = r.buf[:rest]
		n, err := r.f.ReadAt(r.buf[rest:cap(r.buf)], r.at+int64(rest))
		r.buf = r.buf[:rest+n]
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			return 0, nil, io.EOF
		default:
			return 0, nil, err
		}
	}
}

// recordSize returns how long the record at the begin of b is, as far as that
// can be seen, and whether all of it is there.
func recordSize(b []byte) (n int, whole bool) {
	if len(b) < recordHead {
		return 0, false
	}
	size := binary.LittleEndian.Uint32(b)
	if size == 0 || size > maxOverflowRecord {
		return maxOverflowRecord + recordHead + 1, false
	}
	n = recordHead + int(size)
	return n, len(b) >= n
}

func appendRecord(b []byte, kind byte, payload func([]byte) []byte) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, kind)
	b = payload(b)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-recordHead)) //nolint:gosec // a few hundred bytes
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(b[at+recordHead:], castagnoli))
	return b
}

// add makes rows durable in the file. first is the id of the first of them if
// the database may have committed them, else 0.
func (o *overflow) add(rows []Access, first int64) error {
	var b []byte
	if first != 0 {
		b = appendRecord(b, recordGroup, func(b []byte) []byte {
			return binary.AppendVarint(binary.AppendVarint(b, first), int64(len(rows)))
		})
	}
	for i := range rows {
		b = appendRecord(b, recordRow, func(b []byte) []byte { return encodeAccess(b, &rows[i]) })
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errClosed
	}
	if o.f == nil {
		if err := o.create(); err != nil {
			return err
		}
	}
	if o.size+int64(len(b)) > o.most {
		return &gantry.Error{Code: gantry.Unavailable, Object: "log", Retry: 30 * time.Second, Err: errSpoolFull,
			Detail: "the registry's database does not answer, and there is no room left to note this pull; try again later"}
	}
	_, err := o.f.WriteAt(b, o.size)
	if err == nil {
		err = unix.Fdatasync(int(o.f.Fd()))
	}
	if err != nil {
		// Nobody knows what of it is on the disk, and nothing was acknowledged:
		// the next record begins where this one did.
		return &gantry.Error{Code: gantry.Unavailable, Object: "log", Retry: 30 * time.Second, Err: errors.Join(err, o.f.Truncate(o.size)),
			Detail: "the registry's database does not answer, and this pull cannot be noted; try again later"}
	}
	o.size += int64(len(b))
	o.rows.Add(int64(len(rows)))
	o.poke()
	return nil
}

// create makes an empty file under a name that none had before. o.mu is held.
func (o *overflow) create() (err error) {
	name := make([]byte, overflowName/2)
	_, _ = rand.Read(name) // never fails
	f, err := os.CreateTemp(filepath.Dir(o.path), ".pulls-*")
	if err != nil {
		return fmt.Errorf("make the spool of pulls: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the spool of pulls: %w", errors.Join(err, f.Close(), os.Remove(f.Name())))
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	if _, err := f.WriteString(overflowMagic + hex.EncodeToString(name)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), o.path); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(o.path)); err != nil {
		return err
	}
	if o.f != nil {
		if err := o.f.Close(); err != nil {
			o.db.log.Warn("close an old spool of pulls", "error", err)
		}
	}
	o.f, o.name, o.size = f, hex.EncodeToString(name), int64(overflowHeader)
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (o *overflow) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// loop moves rows into the table when the database is there.
func (o *overflow) loop() {
	defer close(o.gone)
	var told time.Time
	for {
		select {
		case <-o.quit:
			return
		case <-o.wake:
		}
		for o.rows.Load() > 0 {
			if since := o.db.Away(); !since.IsZero() {
				select {
				case <-o.quit:
					return
				case <-o.db.watch.returned():
				}
				continue
			}
			err := o.empty()
			if err == nil {
				break
			}
			if time.Since(told) > time.Minute {
				told = time.Now()
				o.db.log.Warn("pulls wait in the local file; it is tried again", "rows", o.rows.Load(), "error", err)
			}
			select {
			case <-o.quit:
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// empty moves all rows into the table and begins a new file.
func (o *overflow) empty() error {
	o.moving.Lock()
	defer o.moving.Unlock()
	o.mu.Lock()
	f, name := o.f, o.name
	o.mu.Unlock()
	if f == nil {
		return nil
	}
	moved := 0
	for {
		o.mu.Lock()
		end := o.size
		o.mu.Unlock()
		n, at, err := o.step(f, name, end)
		if err != nil {
			return err
		}
		o.rows.Add(-int64(n))
		moved += n
		if at < end {
			continue
		}
		o.mu.Lock()
		if o.size > end { // more has come
			o.mu.Unlock()
			continue
		}
		err = o.create()
		o.rows.Store(0)
		close(o.settled)
		o.settled = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			return err
		}
		if moved > 0 {
			o.db.log.Info("pulls that waited for the database are logged now", "rows", moved)
		}
		return o.forget(name)
	}
}

// step moves some of the records before end that are not in the table yet. It
// returns how many rows it dealt with and where it came to.
func (o *overflow) step(f *os.File, name string, end int64) (rows int, at int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = o.db.update(ctx, "log spooled pulls", func(ctx context.Context, t *tx) error {
		rows, at = 0, int64(overflowHeader)
		var n sql.NullInt64
		err := t.queryRow(ctx, `SELECT n FROM sequences WHERE name = ?`+t.d.excl, overflowPrefix+name).Scan(&n)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if n.Valid {
			at = n.Int64
		}
		batch, err := readBatch(f, at, end)
		if err != nil || batch.end == at {
			return err
		}
		rows, at = batch.rows, batch.end
		var fresh []Access
		for _, g := range batch.groups {
			there := false
			if g.first != 0 {
				if there, err = t.isLogged(ctx, g.first, &g.rows[0]); err != nil {
					return err
				}
			}
			if !there {
				fresh = append(fresh, g.rows...)
			}
		}
		if _, err := t.insertAccess(ctx, fresh); err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO sequences (name, n) VALUES (?, ?)`+t.d.upsert("name", "n = "+t.d.fresh("n")), overflowPrefix+name, at)
		return err
	})
	return rows, at, err
}

// A spooledGroup is rows that are in the table all or not at all.
type spooledGroup struct {
	first int64 // id of the first one if they may be there; 0: they are not
	rows  []Access
}

type spooledBatch struct {
	groups []spooledGroup
	rows   int
	end    int64 // behind the last of them
}

// readBatch reads whole groups from at on, about maxSpoolBatch rows.
func readBatch(f io.ReaderAt, at, end int64) (b spooledBatch, err error) {
	r := newRecordReader(f, at)
	b.end = at
	open := int64(0) // rows that the last group still lacks
	for r.at < end && (b.rows < maxSpoolBatch || open > 0) {
		kind, payload, err := r.next()
		if errors.Is(err, io.EOF) {
			return b, fmt.Errorf("%w: a record that was written is not there", errSpoolDamaged)
		}
		if err != nil {
			return b, fmt.Errorf("read the spool of pulls: %w", err)
		}
		switch kind {
		case recordGroup:
			var first int64
			if first, open, err = decodeGroup(payload); err != nil {
				return b, err
			}
			b.groups = append(b.groups, spooledGroup{first: first})
			continue
		case recordRow:
			a, ok := decodeAccess(bytes.Clone(payload))
			if !ok {
				return b, errSpoolDamaged
			}
			if open == 0 {
				b.groups = append(b.groups, spooledGroup{})
			} else {
				open--
			}
			g := &b.groups[len(b.groups)-1]
			g.rows = append(g.rows, a)
			b.rows++
		default: // of a later release, which tells more of what follows
		}
		if open == 0 {
			b.end = r.at
		}
	}
	if open > 0 {
		return b, fmt.Errorf("%w: a group is not whole", errSpoolDamaged)
	}
	return b, nil
}

// decodeGroup reads the payload of a recordGroup.
func decodeGroup(payload []byte) (first, count int64, err error) {
	first, n := binary.Varint(payload)
	if n <= 0 {
		return 0, 0, errSpoolDamaged
	}
	count, m := binary.Varint(payload[n:])
	if m <= 0 || count <= 0 || count > maxAccessGroup {
		return 0, 0, errSpoolDamaged
	}
	return first, count, nil
}

var errSpoolDamaged = errors.New("the spool of pulls is damaged")

// isLogged reports whether the row with the id is there and is a.
func (t *tx) isLogged(ctx context.Context, id int64, a *Access) (bool, error) {
	var n int
	err := t.queryRow(ctx, `SELECT COUNT(*) FROM access_log WHERE id = ? AND at_ms = ? AND repo_id = ? AND kind = ? AND ref = ? AND ip = ?`,
		id, a.At.UnixMilli(), a.Repo, a.Kind, cut(a.Ref, 255), a.Actor.IP).Scan(&n)
	return n > 0, err
}

// forget removes what was noted of a file that is no more.
func (o *overflow) forget(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return o.db.update(ctx, "forget a spool", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM sequences WHERE name = ?`, overflowPrefix+name)
		return err
	})
}

// settle returns when everything that was added before is in the table.
func (o *overflow) settle() error {
	if o.rows.Load() == 0 {
		return nil
	}
	return o.empty()
}

// close ends the mover. What is in the file is moved when it is opened again.
func (o *overflow) close() error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	close(o.quit)
	<-o.gone
	o.moving.Lock() // settle may be at it
	defer o.moving.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.f == nil {
		return nil
	}
	err := o.f.Close()
	if o.size == int64(overflowHeader) { // nothing waits: no file is left
		err = errors.Join(err, os.Remove(o.path))
	}
	o.f = nil
	return err
}
