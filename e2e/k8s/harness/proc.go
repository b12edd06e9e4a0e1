package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is one child of the supervisor. It is started again when it ends
// before stop was called, so a test may also kill a component on purpose.
type process struct {
	name string
	args []string // args[0] is the program
	env  []string
	log  string

	mu      sync.Mutex
	cmd     *exec.Cmd
	stopped bool
	done    chan struct{}
}

func (p *process) start() {
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		// A component goes when the supervisor is killed. The kernel takes the
		// end of the thread that started it for the end of the parent.
		runtime.LockOSThread()
		for {
			f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				log.Printf("%s: %v", p.name, err)
				return
			}
			cmd := exec.Command(p.args[0], p.args[1:]...)
			cmd.Stdout, cmd.Stderr = f, f
			cmd.Env = append(os.Environ(), p.env...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			p.mu.Lock()
			if p.stopped {
				p.mu.Unlock()
				f.Close()
				return
			}
			err = cmd.Start()
			if err == nil {
				p.cmd = cmd
			}
			p.mu.Unlock()
			if err == nil {
				pidFile := filepath.Join(filepath.Dir(p.log), "..", "run", p.name+".pid")
				_ = os.WriteFile(pidFile, fmt.Appendln(nil, cmd.Process.Pid), 0o644)
				err = cmd.Wait()
			}
			f.Close()
			p.mu.Lock()
			stopped := p.stopped
			p.mu.Unlock()
			if stopped {
				return
			}
			log.Printf("%s ended (%v), starting it again", p.name, err)
			time.Sleep(time.Second)
		}
	}()
}

// stop asks the process to end and kills it when it has not after the grace;
// without any it is not asked.
func (p *process) stop(grace time.Duration) {
	p.mu.Lock()
	p.stopped = true
	cmd := p.cmd
	p.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return
	}
	if grace > 0 {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = cmd.Process.Kill()
		<-p.done
	}
}

// waitFor polls until ok returns nil, the context ends or the time is over.
func waitFor(ctx context.Context, what string, limit time.Duration, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		if last = ok(ctx); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready in %s: %w", what, limit, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
