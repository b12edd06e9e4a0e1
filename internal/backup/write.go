package backup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/gantry"
)

// A writer writes whole objects into an engine. It may be used concurrently.
type writer struct {
	engine blob.Engine
	log    *slog.Logger
	// direct: the engine does not publish, and shows nothing of an upload that
	// is not complete; so an object is uploaded to where it belongs.
	direct atomic.Bool
}

// put writes the object at key, which nobody sees before it is whole; fill
// writes its bytes. After an error of fill there is nothing, or what was.
func (w *writer) put(ctx context.Context, key string, fill func(io.Writer) error) (p Part, err error) {
	at := key
	if !w.direct.Load() {
		at = "uploads/backup-" + newName()
	}
	u, err := w.engine.Upload(ctx, at, 0, nil)
	if err != nil {
		return p, err
	}
	complete := false
	defer func() {
		err = errors.Join(err, u.Close())
		if err == nil && at == key {
			return
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		remove := func() error { return w.engine.Abort(last, at, nil) }
		if complete {
			remove = func() error { return w.engine.Delete(last, at) }
		}
		if e := remove(); e != nil {
			w.log.WarnContext(last, "remove a temporary object; it only takes room", "key", at, "error", e)
		}
	}()
	h := gantry.NewHash(gantry.SHA256)
	n := &counter{w: io.MultiWriter(u, h)}
	if err := fill(n); err != nil {
		return p, err
	}
	p = Part{Size: n.n, Digest: gantry.DigestOf(gantry.SHA256, h)}
	if at == key {
		return p, u.Complete(ctx)
	}
	err = blob.PublishUpload(ctx, w.engine, u, at, key)
	complete = err == nil || gantry.Is(err, gantry.Unsupported)
	if !gantry.Is(err, gantry.Unsupported) {
		return p, err
	}
	if err = w.copy(ctx, at, key); err == nil {
		w.direct.Store(true)
	}
	return p, err
}

// copy copies an object, in the engine if it can.
func (w *writer) copy(ctx context.Context, from, to string) (err error) {
	if c, ok := blob.As[blob.Copier](w.engine); ok {
		return c.Copy(ctx, from, to)
	}
	o, err := w.engine.Open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	u, err := w.engine.Upload(ctx, to, 0, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.Close()) }()
	if _, err := io.Copy(u, o); err != nil {
		return err
	}
	return u.Complete(ctx)
}
