package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Names of the machine's own ceilings.
const (
	ceilingSHA256   = "sha256"     // crypto/sha256, one core
	ceilingWrite    = "hash+fsync" // the bytes are hashed, then written and fsynced
	ceilingSendfile = "sendfile"   // a plain net/http server of one file
)

// ServeFile answers every GET on addr with the file called name, but /v2/,
// which tells that it is ready. It is the yardstick of blob pulls: net/http
// with nothing in its way. It returns when it cannot go on.
func ServeFile(addr, name string) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: dialTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		f, err := os.Open(name) //nolint:gosec // the harness names the file
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close() //nolint:errcheck // read only
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, f)
	})}
	return s.Serve(l)
}

// ceiling makes one of the machine's ceilings run beside the targets.
func (r *run) ceiling(ctx context.Context, s scenario, name string) (*contender, error) {
	self := func() (time.Duration, error) { return selfCPU(), nil }
	switch name {
	case ceilingSHA256:
		return &contender{name: name, cpu: self, cleanup: func() {}, setup: func(context.Context) (load, error) {
			return load{op: func(context.Context, *Conn, int) error {
				h := sha256.New()
				for _, p := range r.filler.Blob(s.bytes).span(nil, 0, s.bytes) {
					h.Write(p)
				}
				_ = h.Sum(nil)
				return nil
			}}, nil
		}}, nil
	case ceilingWrite:
		dir := filepath.Join(r.dir, fmt.Sprintf("write-%d", r.seq.Add(1)))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		return &contender{
			name: name, cpu: self,
			cleanup: func() { _ = os.RemoveAll(dir) }, // Run removes what is left
			setup: func(context.Context) (load, error) {
				return load{op: func(context.Context, *Conn, int) error {
					return hashAndWrite(filepath.Join(dir, fmt.Sprint(r.seq.Add(1))), r.filler.Blob(s.bytes))
				}}, nil
			},
		}, nil
	case ceilingSendfile:
		if len(r.FileServer) == 0 {
			return nil, errUnsupported
		}
		dir := filepath.Join(r.dir, fmt.Sprintf("sendfile-%d", r.seq.Add(1)))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		b := r.filler.Blob(s.bytes)
		file := filepath.Join(dir, "blob")
		if err := hashAndWrite(file, b); err != nil {
			return nil, err
		}
		t := &Target{Name: name, Dir: dir}
		var err error
		if t.Addr, err = freeAddr(ctx); err != nil {
			return nil, err
		}
		if err := t.exec(ctx, append(append([]string{}, r.FileServer...), t.Addr, file)); err != nil {
			return nil, err
		}
		return &contender{
			name: name, addr: t.Addr,
			cpu:    func() (time.Duration, error) { return cpuTime(t.pid()) },
			memory: func() (int64, int64, error) { return memory(t.pid()) },
			reset:  func() error { return resetPeak(t.pid()) },
			cleanup: func() {
				t.stop()
				_ = os.RemoveAll(dir) // Run removes what is left
			},
			setup: func(context.Context) (load, error) {
				return pullLoad(session{t: t, repo: "a"}, b), nil
			},
		}, nil
	}
	return nil, fmt.Errorf("unknown ceiling %q", name)
}

// writePiece is how much hashAndWrite writes at once.
const writePiece = 256 << 10

// hashAndWrite is the least that a durable push can cost: the bytes are
// hashed, then written to a new file and fsynced.
func hashAndWrite(name string, b *Blob) (err error) {
	bufs := b.span(nil, 0, b.Size)
	h := newDigester()
	for _, p := range bufs {
		h.Write(p)
	}
	if h.digest() != b.Digest {
		return errors.New("the blob has changed in memory")
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, p := range bufs {
		for piece := range slices.Chunk(p, writePiece) {
			if _, err := f.Write(piece); err != nil {
				return err
			}
		}
	}
	return f.Sync()
}
