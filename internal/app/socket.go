package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// socketFile is the socket in the data folder by which commands reach the
// running server. Only its owner, and root, may use it.
const socketFile = "gantry.sock"

const (
	maxAsk    = 1 << 20  // bytes of a command's request
	maxAnswer = 64 << 20 // and of its answer
)

// An adminServer answers on the socket.
type adminServer struct {
	srv    *http.Server
	dir    *os.File // the data folder, of which the listener's address speaks
	path   string
	done   chan struct{}
	cancel context.CancelFunc
}

// shortPath returns a way to the socket of the folder that fits into an
// address, which has 108 bytes. The folder that it returns must stay open as
// long as the path is used; it is nil where it is not needed.
func shortPath(dir string) (path string, folder *os.File, err error) {
	if path = filepath.Join(dir, socketFile); len(path) < 100 {
		return path, nil, nil
	}
	if folder, err = os.Open(dir); err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), socketFile), folder, nil
}

// serveAdmin opens the socket. The lock of the data folder is held, so an old
// socket is one that a crash left.
func serveAdmin(ctx context.Context, s *Server) (*adminServer, error) {
	path, dir, err := shortPath(s.data)
	if err != nil {
		return nil, fmt.Errorf("socket for commands: %w", err)
	}
	a := &adminServer{dir: dir, path: filepath.Join(s.data, socketFile), done: make(chan struct{})}
	fail := func(err error) (*adminServer, error) {
		if dir != nil {
			err = errors.Join(err, dir.Close())
		}
		return nil, fmt.Errorf("socket for commands: %w", err)
	}
	if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fail(err)
	}
	if err := os.Chmod(a.path, 0o600); err != nil { // whoever was faster is refused by ownUser
		return fail(errors.Join(err, ln.Close()))
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	a.srv = &http.Server{
		Handler:           http.MaxBytesHandler(adminHandler(s), maxAsk),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(a.done)
		if err := a.srv.Serve(ownUser{ln}); !errors.Is(err, http.ErrServerClosed) {
			s.log.ErrorContext(base, "the socket for commands has failed", "error", err)
		}
	}()
	return a, nil
}

// close ends the socket and interrupts the commands that run.
func (a *adminServer) close(ctx context.Context) error {
	a.cancel()
	ctx, end := context.WithTimeout(ctx, 10*time.Second)
	defer end()
	err := a.srv.Shutdown(ctx)
	<-a.done
	if e := os.Remove(a.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	if a.dir != nil {
		err = errors.Join(err, a.dir.Close())
	}
	if err != nil {
		return fmt.Errorf("end the socket for commands: %w", err)
	}
	return nil
}

// ownUser accepts connections of this process's user and of root alone.
type ownUser struct{ net.Listener }

func (l ownUser) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(c); err == nil && (uid == 0 || int(uid) == os.Geteuid()) {
			return c, nil
		}
		_ = c.Close() // nobody whom we answer
	}
}

// peer returns the user at the other end.
func peer(c net.Conn) (uint32, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || failed != nil {
		return 0, errors.Join(err, failed)
	}
	return cred.Uid, nil
}

// An adminAnswer is what the socket answers.
type adminAnswer struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"` // "" = it went well
}

// adminHandler answers POST /NAME, where NAME is an operation.
func adminHandler(s *Server) http.Handler {
	ops := operations()
	var running sync.Map // operations that run alone
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		var a adminAnswer
		o, ok := ops[name]
		if !ok || r.Method != http.MethodPost {
			a.Error = fmt.Sprintf("the running server does not know the command %q: is it of another release?", name)
		} else if body, err := io.ReadAll(r.Body); err != nil {
			a.Error = "read the request: " + err.Error()
		} else if _, busy := running.LoadOrStore(name, true); busy && o.alone {
			a.Error = "the running server is at it already, for another command"
		} else {
			a.Result, err = s.guarded(r.Context(), name, o, body)
			running.Delete(name)
			if err != nil {
				a.Error = Explain(err)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a) // a command that was interrupted is not told
	})
}

// guarded performs an operation and says in the log that it did.
func (s *Server) guarded(ctx context.Context, name string, o operation, in []byte) (out []byte, err error) {
	ctx, span := s.tracer.Start(ctx, "command "+name)
	defer span.End()
	began := time.Now()
	if s.panics(ctx, "command "+name, func(ctx context.Context) { out, err = s.perform(ctx, o, in) }) {
		err = errors.New("a fault of the server; its log has it")
	}
	span.Fail(err)
	if err != nil {
		s.log.WarnContext(ctx, "command", "command", name, "error", err)
	} else if o.writes {
		s.log.InfoContext(ctx, "command", "command", name, "took", time.Since(began).String())
	}
	return out, err
}

// askServer has the running server of a data folder do an operation. served
// is false when there is none.
func askServer(ctx context.Context, dir, name string, body []byte) (answer []byte, served bool, err error) {
	path, folder, err := shortPath(dir)
	if err != nil {
		return nil, false, nil //nolint:nilerr // no folder: no server
	}
	if folder != nil {
		defer func() { _ = folder.Close() }() // it was only a name
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, false, nil // none, or what a crash left
	case errors.Is(err, syscall.EACCES):
		return nil, true, fmt.Errorf("the server's socket in %s is not yours: run the command as the user of the server, or as root", dir)
	default:
		return nil, true, fmt.Errorf("ask the running server: %w", err)
	}
	client := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gantry/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, true, errors.Join(err, conn.Close())
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, true, fmt.Errorf("ask the running server: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	var a adminAnswer
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&a); err != nil {
		return nil, true, fmt.Errorf("read the server's answer: %w", err)
	}
	if a.Error != "" {
		return nil, true, &gantry.Error{Code: gantry.Invalid, Detail: a.Error}
	}
	return a.Result, true, nil
}
