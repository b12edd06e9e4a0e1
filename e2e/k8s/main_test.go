//go:build cluster

package k8s

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The cluster's files. There is one real node on a machine.
const dir = "/tmp/gantry-k8s"

// Images that the node has.
const (
	gantryImage   = "localhost/gantry:test"
	previousImage = "localhost/gantry:previous" // of an earlier build: scripts/previous-build
	postgresImage = "gantry.test/postgres:15"
	redisImage    = "gantry.test/redis:7"
)

var (
	harness string // the program k8sharness
	images  string // the folder of the images' archives
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, fmt.Errorf("another run has the node of this machine: %w", err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return 0, err
	}
	out, err := command(filepath.Join(root, "scripts", "k8s-harness"), "--built")
	if err != nil {
		return 0, err
	}
	harness = filepath.Join(strings.TrimSpace(out), "k8sharness")
	if _, err := os.Stat(filepath.Join(dir, "cluster.json")); err == nil { // of a run that was killed
		if _, err := command(harness, "down", "-dir", dir); err != nil {
			return 0, err
		}
	}
	images, err = os.MkdirTemp("", "gantry-images-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(images)) }()
	if _, err := command(filepath.Join(root, "scripts", "test-images"), images); err != nil {
		return 0, err
	}
	binary := os.Getenv("GANTRY_BIN")
	if binary == "" {
		return 0, errors.New("GANTRY_BIN names no binary: run \"make test-cluster\"")
	}
	if err := gantryArchive(root, images, binary, gantryImage); err != nil {
		return 0, err
	}
	previous, err := command(filepath.Join(root, "scripts", "previous-build"))
	if err != nil {
		return 0, err
	}
	if err := gantryArchive(root, images, strings.TrimSpace(previous), previousImage); err != nil {
		return 0, err
	}
	if _, err := command(harness, "up", "-dir", dir, "-node", "-audit"); err != nil {
		return 0, err
	}
	defer func() {
		_, down := command(harness, "down", "-dir", dir)
		err = errors.Join(err, down)
	}()
	archives, err := filepath.Glob(filepath.Join(images, "*.tar"))
	if err != nil {
		return 0, err
	}
	if _, err := command(harness, append([]string{"load", "-dir", dir}, archives...)...); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// gantryArchive makes the image that "make image" makes, of a binary, and puts
// it into to as an archive.
func gantryArchive(root, to, binary, image string) error {
	storage := filepath.Join(to, "storage")
	make := exec.CommandContext(context.Background(), filepath.Join(root, "scripts", "image"), binary, image)
	make.Env = append(os.Environ(), "STORAGE="+storage)
	if out, err := make.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/image: %w: %s", err, out)
	}
	_, err := command("buildah", "--root", storage+"/root", "--runroot", storage+"/run", "--storage-driver", "vfs",
		"push", "--quiet", image, "docker-archive:"+filepath.Join(to, strings.NewReplacer("/", "-", ":", "-").Replace(image)+".tar")+":"+image)
	return errors.Join(err, os.RemoveAll(storage))
}

// command runs a program and returns what it writes. The error has its
// complaints.
func command(program string, args ...string) (string, error) {
	return commandIn(context.Background(), "", program, args...)
}

func commandIn(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s%s", filepath.Base(program), strings.Join(args, " "), err, complaints.String(), out.String())
	}
	return out.String(), nil
}

// try runs kubectl.
func try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return command(harness, append([]string{"kubectl"}, args...)...)
}

// kubectl runs kubectl, which works.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply writes objects into a namespace.
func apply(t *testing.T, ns, stream string) {
	t.Helper()
	args := []string{"kubectl", "apply", "--server-side", "-f", "-"}
	if ns != "" {
		args = append(args, "-n", ns)
	}
	if _, err := commandIn(t.Context(), stream, harness, args...); err != nil {
		t.Fatal(err)
	}
}

// namespace makes one, and removes it when the test ends. A test that failed
// tells what the pods of it were about.
func namespace(t *testing.T, name string) string {
	t.Helper()
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() {
		if t.Failed() {
			for _, what := range [][]string{{"get", "all,pvc,quayregistries", "-o", "wide"}, {"describe", "pods"}, {"get", "events"}} {
				out, err := try(t, append(what, "-n", name)...)
				t.Logf("%s\n%s%v", strings.Join(what, " "), out, err)
			}
			pods, _ := try(t, "get", "pods", "-n", name, "-o", "name")
			for p := range strings.Lines(pods) {
				out, _ := try(t, "logs", "-n", name, strings.TrimSpace(p), "--all-containers", "--tail=40")
				t.Logf("log of %s\n%s", p, out)
			}
		}
		// A namespace with pods waits for half of their grace, whenever they end.
		for _, what := range [][]string{{"quayregistries"}, {"deployments"}, {"pods", "--grace-period=1"}} {
			if _, err := try(t, append([]string{"delete", "-n", name, "--all", "--timeout=1m", "--ignore-not-found"}, what...)...); err != nil {
				t.Log(err)
			}
		}
		if _, err := try(t, "delete", "namespace", name, "--timeout=2m"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// eventually waits, for up to three minutes, until ok returns nil.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
