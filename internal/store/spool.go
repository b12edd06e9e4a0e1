package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// A pull is answered when its row of the pull log is on stable storage. A
// commit of SQLite writes ten pages for that; a record in a file that is there
// already is one write and one fdatasync, in a quarter of the time. So with
// SQLite the rows go to such a file, the spool, and from there into the table,
// many at a time. What a crash leaves in the spool is moved when the database
// is opened: each row once, for its place is committed with it.
//
// Where the file system can, the write goes past the page cache and carries the
// sync with it (O_DIRECT and O_DSYNC), which costs half of the CPU time. It is
// of whole pages then: the one that is not full yet is written again with what
// it held. A page torn between the two holds the same records, for the new one
// begins with the old.
//
// A record is the length of its payload, a checksum, the generation of the
// spool, and the payload. When all is in the table and half of the file is
// used, the next generation begins at the start of the file; what is left of
// the old one is no record of the new one.

const (
	spoolSize   = 4 << 20
	spoolHeader = 12
	spoolPage   = 4096 // of direct writes: their place, length and memory are multiples of it
	// maxSpoolBatch bounds the rows of one transaction, and maxSpoolPending
	// those in memory, beyond which pulls wait.
	maxSpoolBatch   = 1024
	maxSpoolPending = 16384
	// spoolPause is how long rows wait for others.
	spoolPause = 200 * time.Millisecond
	// spoolName names the place up to which the spool is in the table.
	spoolName = "pulls"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type spool struct {
	db   *DB
	f    *os.File // locked
	w    *os.File // writes whole pages past the page cache; nil: f writes
	size int64
	rows []Access // scratch of loop

	mu      sync.Mutex
	gen     uint32
	off     int64  // where the next record goes
	buf     []byte // begins at a page, and with what the page of off holds before it
	pending []spooled
	waiting int        // rows in pending
	moved   *sync.Cond // signalled when pending shrinks, or the mover fails
	failed  error      // of the last try to move
	wake    chan struct{}
	closed  bool
	gone    chan struct{}
}

// spooled is rows that are durable in the spool, the last of which ends at
// end.
type spooled struct {
	rows []Access
	gen  uint32
	end  int64
}

func place(gen uint32, off int64) int64 { return int64(gen)<<32 | off }

// errSpoolTaken is openSpool's answer when another handle has the spool.
var errSpoolTaken = errors.New("the spool of pulls is in use")

// openSpool opens the spool beside the database and moves into the table what
// a crash left there.
func (db *DB) openSpool(ctx context.Context, path string) (*spool, error) {
	var at sql.NullInt64
	err := db.read(ctx, "open spool", func(ctx context.Context, t *tx) error {
		return t.queryRow(ctx, `SELECT (SELECT n FROM sequences WHERE name = ?)`, spoolName).Scan(&at)
	})
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the spool of pulls: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errSpoolTaken, err, f.Close())
	}
	s := &spool{db: db, f: f, size: spoolSize, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	s.moved = sync.NewCond(&s.mu)
	if !at.Valid { // a new database: what may lie there is not ours
		at.Int64 = place(rand.Uint32N(1<<30), spoolSize) //nolint:gosec // unlike the last one; not secret
	}
	if err := s.recover(ctx, uint32(at.Int64>>32), at.Int64&0xffffffff); err != nil { //nolint:gosec // as place made it
		return nil, errors.Join(err, f.Close())
	}
	s.openDirect(path)
	go s.loop() //nolint:gosec // it outlives the call
	return s, nil
}

// recover fills the file up to its size, moves what is not in the table yet,
// and begins a new generation.
func (s *spool) recover(ctx context.Context, gen uint32, off int64) error {
	data, err := io.ReadAll(io.NewSectionReader(s.f, 0, s.size))
	if err != nil {
		return fmt.Errorf("read the spool of pulls: %w", err)
	}
	rows, end := records(data, gen, off, nil)
	more, end2 := records(data, gen+1, 0, rows)
	if len(more) > len(rows) {
		rows, gen, end = more, gen+1, end2
	}
	if len(rows) > 0 {
		s.db.log.InfoContext(ctx, "pulls that a crash left are logged now", "rows", len(rows))
		if err := s.move(ctx, rows, place(gen, end)); err != nil {
			return err
		}
	}
	if int64(len(data)) < s.size { // written, not only reserved: then a sync has no file system journal to wait for
		if _, err := s.f.WriteAt(make([]byte, s.size-int64(len(data))), int64(len(data))); err != nil {
			return fmt.Errorf("make the spool of pulls: %w", err)
		}
		if err := s.f.Sync(); err != nil {
			return fmt.Errorf("make the spool of pulls: %w", err)
		}
	}
	s.gen, s.off = gen+1, 0
	return s.move(ctx, nil, place(s.gen, 0))
}

// openDirect opens the file for direct writes, and tries one. Without it, as
// on some network file systems, a write and a sync do the same.
func (s *spool) openDirect(path string) {
	w, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0o600)
	if err != nil {
		return
	}
	s.grow(spoolPage)
	page := s.buf[:spoolPage]
	if _, err = s.f.ReadAt(page, 0); err == nil {
		_, err = w.WriteAt(page, 0)
	}
	if err != nil {
		_ = w.Close() // nothing was written through it
		return
	}
	_ = unix.Fadvise(int(s.f.Fd()), 0, 0, unix.FADV_DONTNEED) // or each write has cached pages to drop
	s.w = w
}

// records appends the records of a generation from off on, and returns where
// they end.
func records(data []byte, gen uint32, off int64, rows []Access) ([]Access, int64) {
	for {
		if off < 0 || off > int64(len(data))-spoolHeader {
			return rows, off
		}
		head := data[off:]
		n := int64(binary.LittleEndian.Uint32(head))
		if binary.LittleEndian.Uint32(head[8:]) != gen || n == 0 || n > int64(len(head))-spoolHeader {
			return rows, off
		}
		record := head[8 : spoolHeader+n]
		if crc32.Checksum(record, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return rows, off
		}
		a, ok := decodeAccess(record[4:])
		if !ok {
			return rows, off
		}
		off += spoolHeader + n
		rows = append(rows, a)
	}
}

// add makes rows durable, and keeps them. It waits while the file is full of
// rows that are not in the table yet.
func (s *spool) add(rows []Access) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return errClosed
		}
		if len(s.pending) == 0 && s.off > s.size/2 {
			s.gen, s.off = s.gen+1, 0
		}
		buf := s.encode(rows)
		from := s.off / spoolPage * spoolPage
		if from+int64(len(buf)) <= s.size && s.waiting < maxSpoolPending {
			return s.write(rows, buf, from)
		}
		if s.off == 0 && len(s.pending) == 0 {
			return errors.New("the rows do not fit into the spool")
		}
		s.poke()
		s.moved.Wait()
		if s.failed != nil && len(s.pending) > 0 {
			return s.failed
		}
	}
}

// encode returns the records of rows behind what their first page holds
// already.
func (s *spool) encode(rows []Access) []byte {
	held := int(s.off % spoolPage)
	n := held
	for i := range rows {
		n += maxRecord(&rows[i])
	}
	s.grow(n)
	buf := s.buf[:held]
	for i := range rows {
		at := len(buf)
		buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0)
		buf = binary.LittleEndian.AppendUint32(buf, s.gen)
		buf = encodeAccess(buf, &rows[i])
		binary.LittleEndian.PutUint32(buf[at:], uint32(len(buf)-at-spoolHeader)) //nolint:gosec // a few hundred bytes
		binary.LittleEndian.PutUint32(buf[at+4:], crc32.Checksum(buf[at+8:], castagnoli))
	}
	return buf
}

// grow makes room for n bytes in buf, which begins at a page of memory and
// keeps its content.
func (s *spool) grow(n int) {
	n = (n + spoolPage - 1) / spoolPage * spoolPage
	if n <= len(s.buf) {
		return
	}
	b := make([]byte, n+spoolPage)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (spoolPage - 1) //nolint:gosec // only the address is looked at
	b = b[skip : skip+n : skip+n]
	copy(b, s.buf)
	s.buf = b
}

// write writes buf, which holds rows, at from.
func (s *spool) write(rows []Access, buf []byte, from int64) error {
	n := len(buf)
	buf = buf[:(n+spoolPage-1)/spoolPage*spoolPage]
	clear(buf[n:]) // no record begins there
	w := s.w
	if w == nil {
		w = s.f
	}
	// After a failure nobody knows what is on the disk. Nothing of it was
	// acknowledged.
	if _, err := w.WriteAt(buf, from); err != nil {
		return fmt.Errorf("write the spool of pulls: %w", err)
	}
	if s.w == nil {
		if err := unix.Fdatasync(int(w.Fd())); err != nil {
			return fmt.Errorf("sync the spool of pulls: %w", err)
		}
	}
	s.off = from + int64(n)
	copy(buf, buf[n/spoolPage*spoolPage:n])
	s.pending = append(s.pending, spooled{rows, s.gen, s.off})
	if s.waiting += len(rows); s.waiting >= maxSpoolBatch {
		s.poke()
	}
	return nil
}

func (s *spool) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// loop moves rows into the table.
func (s *spool) loop() {
	defer close(s.gone)
	tick := time.NewTicker(spoolPause)
	defer tick.Stop()
	var told time.Time // of a failure: a full disk lasts, and its log may be on it
	for {
		select {
		case <-tick.C:
		case <-s.wake:
		}
		s.mu.Lock()
		n, closed := 0, s.closed
		s.rows = s.rows[:0]
		for n < len(s.pending) && len(s.rows) < maxSpoolBatch {
			s.rows = append(s.rows, s.pending[n].rows...)
			n++
		}
		var to int64
		if n > 0 {
			to = place(s.pending[n-1].gen, s.pending[n-1].end)
		}
		s.mu.Unlock()
		if n == 0 {
			if closed {
				return
			}
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := s.move(ctx, s.rows, to)
		cancel()
		s.mu.Lock()
		s.failed = err
		if err == nil {
			s.waiting -= len(s.rows)
			s.pending = slices.Delete(s.pending, 0, n)
		}
		clear(s.rows) // they hold texts
		more := s.waiting >= maxSpoolBatch || closed && len(s.pending) > 0
		s.moved.Broadcast()
		s.mu.Unlock()
		if err != nil {
			if closed || time.Since(told) > time.Minute {
				told = time.Now()
				s.db.log.Error("pulls cannot be moved into the log; they are kept and it is tried again", "error", err)
			}
			if closed {
				return // they are moved when the database is opened again
			}
		} else if more {
			s.poke()
		}
	}
}

// move inserts rows and notes up to where the spool is in the table, at once.
func (s *spool) move(ctx context.Context, rows []Access, to int64) error {
	_, err := s.db.insertAccess(ctx, rows, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO sequences (name, n) VALUES (?, ?)`+t.d.upsert("name", "n = "+t.d.fresh("n")), spoolName, to)
		return err
	})
	return err
}

// settle returns when all rows that were added before are in the table.
func (s *spool) settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	gen, off := s.gen, s.off
	for len(s.pending) > 0 && place(s.pending[0].gen, s.pending[0].end) <= place(gen, off) {
		s.poke()
		s.moved.Wait()
		if s.failed != nil {
			return s.failed
		}
	}
	return nil
}

// close moves what is left and ends the loop.
func (s *spool) close() error {
	s.mu.Lock()
	s.closed = true
	s.moved.Broadcast()
	s.mu.Unlock()
	s.poke()
	<-s.gone
	if s.w != nil {
		return errors.Join(s.w.Close(), s.f.Close())
	}
	return s.f.Close()
}

// maxRecord is the most bytes that the record of a takes.
func maxRecord(a *Access) int {
	n := spoolHeader + 4*binary.MaxVarintLen64
	for _, s := range [...]string{a.Kind, a.Actor.Name, a.Actor.Kind, a.Actor.IP, a.Ref, a.MediaType, a.Actor.Agent} {
		n += binary.MaxVarintLen64 + len(s)
	}
	return n
}

// encodeAccess appends what a row of the table holds.
func encodeAccess(b []byte, a *Access) []byte {
	b = binary.AppendVarint(b, a.At.UnixMilli())
	for _, id := range []int64{int64(a.Namespace), int64(a.Repo), int64(a.Actor.Account)} {
		b = binary.AppendVarint(b, id)
	}
	for _, s := range []string{a.Kind, a.Actor.Name, a.Actor.Kind, a.Actor.IP, cut(a.Ref, 255), cut(a.MediaType, 255), cut(a.Actor.Agent, 255)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func decodeAccess(b []byte) (a Access, ok bool) {
	var ids [4]int64
	for i := range ids {
		v, n := binary.Varint(b)
		if n <= 0 {
			return a, false
		}
		ids[i], b = v, b[n:]
	}
	var texts [7]string
	for i := range texts {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > uint64(len(b)-n) { //nolint:gosec // n is at most len(b)
			return a, false
		}
		texts[i], b = string(b[n:n+int(v)]), b[n+int(v):] //nolint:gosec // bounded by len(b)
	}
	a = Access{At: gantry.FromMillis(ids[0]), Namespace: gantry.AccountID(ids[1]), Repo: gantry.RepoID(ids[2]), Kind: texts[0], Ref: texts[4], MediaType: texts[5]}
	a.Actor = gantry.Actor{Account: gantry.AccountID(ids[3]), Name: texts[1], Kind: texts[2], IP: texts[3], Agent: texts[6]}
	return a, len(b) == 0
}
