package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestMirrorMemory has a process that does nothing but mirror, as the operator's
// mirror component, copy large layers and many tags. Its memory, with the
// program's own pages, stays below 128 MiB. GANTRY_MIRROR_TAGS is how many tags;
// with GANTRY_MIRROR_DOCS=path the figure goes into that page.
func TestMirrorMemory(t *testing.T) {
	const large = 8
	tags := number(t, "GANTRY_MIRROR_TAGS", 2000)
	u := remotetest.New(t, remotetest.Options{})
	for i := range large {
		u.AddImage("src/many", nth(i), bytes.Repeat(fmt.Appendf(nil, "layer %8d", i), 4<<20)) // 56 MiB
	}
	small := u.AddImage("src/many", "", []byte("small"))
	for i := large; i < tags; i++ {
		u.Tag("src/many", nth(i), small.Digest)
	}
	f := prepareFleet(t, 1, map[string]any{"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "DISTRIBUTED_STORAGE_CONFIG": files(t),
		"FEATURE_REPO_MIRROR": true, "SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}})
	f.instances[0].env = []string{"QUAY_OVERRIDE_SERVICES=repomirrorworker=false"}
	f.begin()
	m := &mirrorBench{b: t, f: f}
	m.organize()
	bin, err := binary()
	m.must(err)
	cmd := exec.CommandContext(context.Background(), bin, "worker", "--only", "mirror", "--config", f.dir, "--data", filepath.Join(f.dir, "worker"), "--metrics", "off")
	cmd.Env = os.Environ()
	worker, err := servertest.Launch(cmd, filepath.Join(logs(t), "worker.log"), nil, syscall.SIGKILL)
	m.must(err)
	t.Cleanup(worker.Kill)
	m.mirror("many", u.Host, "*")
	m.sync("many", "copied", tags)
	m.sync("many", "unchanged", tags)
	mib := m.peak(worker)
	if mib >= aimMemory {
		t.Errorf("the worker took %d MiB\n%s", mib, worker.Log())
	}
	if path := os.Getenv("GANTRY_MIRROR_DOCS"); path != "" {
		if err := servertest.PutBetween(path, "memory of a worker", []string{
			"| peak memory of a process that only mirrors | MiB | aim | reached |", "|---|--:|--:|---|",
			fmt.Sprintf("| `gantry worker --only mirror`, %d layers of 56 MiB, %d tags, and again | %d | < %d | %s |", large, tags, mib, aimMemory, reached(mib < aimMemory)),
		}); err != nil {
			t.Error(err)
		}
	}
}
