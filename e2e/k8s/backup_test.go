//go:build cluster

package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A vault is a bucket on the node, and the files of its Secret.
type vault struct {
	folder string // config.yaml and backup.key
	bucket string // the folder that is the bucket
	engine string // S3Storage's parameters, but for storage_path
	backup string // id of the backup
}

// newVault starts an S3 server on the node's own network and makes the files.
func newVault(t *testing.T) *vault {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "10.244.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil { // nobody else takes ports of the bridge
		t.Fatal(err)
	}
	dir := t.TempDir()
	data, meta := filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	if err := errors.Join(os.MkdirAll(filepath.Join(data, "backups"), 0o700), os.MkdirAll(meta, 0o700)); err != nil {
		t.Fatal(err)
	}
	s3 := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(root, "build", "tools", "versitygw"), "--port", addr, "--quiet", "--region", "us-east-1", "posix", "--sidecar", meta, data)
	s3.Env = append(os.Environ(), "ROOT_ACCESS_KEY=access", "ROOT_SECRET_KEY=secret-of-the-vault")
	s3.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s3.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s3.Process.Kill() // it has ended, then
		_ = s3.Wait()         // killed
	})
	eventually(t, "the bucket's server", func() error {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	host, port, _ := net.SplitHostPort(addr)
	v := &vault{folder: filepath.Join(dir, "vault"), bucket: filepath.Join(data, "backups"),
		engine: fmt.Sprintf("s3_bucket: backups, s3_access_key: access, s3_secret_key: secret-of-the-vault, s3_region: us-east-1, host: %s, port: %s, is_secure: false", host, port)}
	key, err := command(os.Getenv("GANTRY_BIN"), "backup", "keygen")
	if err != nil {
		t.Fatal(err)
	}
	config := "DISTRIBUTED_STORAGE_CONFIG:\n  backups: [S3Storage, {storage_path: /r, " + v.engine + "}]\n"
	if err := errors.Join(os.MkdirAll(v.folder, 0o700), os.WriteFile(filepath.Join(v.folder, "backup.key"), []byte(key), 0o600),
		os.WriteFile(filepath.Join(v.folder, "config.yaml"), []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	return v
}

// secret makes the vault's Secret in a namespace.
func (v *vault) secret(t *testing.T, ns string) {
	t.Helper()
	kubectl(t, "create", "secret", "generic", "vault", "-n", ns, "--from-file="+v.folder+"/config.yaml", "--from-file="+v.folder+"/backup.key")
}

// work is the status of a backup or a restore.
type work struct {
	Phase, Message string
	Last, Restored struct {
		ID                  string
		Blobs, New, Missing int
	}
}

// ended waits until a backup or a restore has ended well.
func ended(t *testing.T, ns, kind, name string) (s work) {
	t.Helper()
	eventually(t, kind+" "+name, func() error {
		out, err := try(t, "get", kind, name, "-n", ns, "-o", "jsonpath={.status}")
		if err != nil {
			return err
		}
		s = work{}
		if out != "" {
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				return err
			}
		}
		if s.Phase == "Failed" {
			t.Fatalf("%s %s: %s", kind, name, s.Message)
		}
		if s.Phase != "Succeeded" || s.Last.ID+s.Restored.ID == "" {
			return fmt.Errorf("%s: %s", s.Phase, s.Message)
		}
		return nil
	})
	return s
}

// backedUp backs the registry up while clients pull and push.
func (w *walk) backedUp(t *testing.T) {
	w.vault.secret(t, w.ns)
	y, end := w.pulling(t)
	began := time.Now()
	apply(t, w.ns, `
apiVersion: quay.redhat.com/v1
kind: QuayRegistryBackup
metadata: {name: once}
spec: {registry: r, vault: {secret: vault}, keep: 3}
`)
	s := ended(t, w.ns, "quayregistrybackup", "once")
	t.Logf("backed up after %.1f s: %+v", time.Since(began).Seconds(), s.Last)
	y.unharmed(t, end)
	if s.Last.Blobs < 2 || s.Last.New != s.Last.Blobs || s.Last.Missing != 0 {
		t.Errorf("%+v", s)
	}
	w.vault.backup = s.Last.ID
	if line := kubectl(t, "get", "quayregistrybackup", "once", "-n", w.ns); !strings.Contains(line, "Succeeded") || !strings.Contains(line, s.Last.ID) {
		t.Errorf("kubectl get quayregistrybackup:\n%s", line)
	}
	if err := w.push("later"); err != nil {
		t.Error(err)
	}
	kubectl(t, "delete", "quayregistrybackup", "once", "-n", w.ns)
	kubectl(t, "delete", "secret", "vault", "-n", w.ns)
}

// restored has the registry, which was deleted, made anew in another namespace
// of nothing but the backup and its key.
func (w *walk) restored(t *testing.T) {
	kubectl(t, "delete", "service", "node", "-n", w.ns)
	again := *w
	again.ns = namespace(t, "restored")
	files := t.TempDir()
	if _, err := command(os.Getenv("GANTRY_BIN"), "backup", "files", w.vault.backup, "--to-config", w.vault.folder, "--key", w.vault.folder+"/backup.key", "--into", files); err != nil {
		t.Fatal(err)
	}
	secret := func(name, folder string) {
		args := []string{"create", "secret", "generic", name, "-n", again.ns}
		all, err := filepath.Glob(filepath.Join(files, folder, "*"))
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, f := range all {
			args = append(args, "--from-file="+f)
		}
		kubectl(t, args...)
	}
	secret("bundle", "bundle")
	secret("r-quay-registry-managed-secret-keys", "managed-keys")
	resource, err := os.ReadFile(filepath.Join(files, "kubernetes", "quayregistry.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	apply(t, again.ns, nodeService)
	apply(t, again.ns, string(resource))
	again.available(t, 0)
	w.vault.secret(t, again.ns)
	began := time.Now()
	apply(t, again.ns, `
apiVersion: quay.redhat.com/v1
kind: QuayRegistryRestore
metadata: {name: back}
spec: {registry: r, vault: {secret: vault}, backup: `+w.vault.backup+`}
`)
	s := ended(t, again.ns, "quayregistryrestore", "back")
	t.Logf("restored after %.1f s: %+v", time.Since(began).Seconds(), s.Restored)
	again.available(t, 0)
	eventually(t, "the registry has what was backed up", func() error {
		return pull(t.Context(), w.client, w.robot, w.secret, "1")
	})
	for _, tag := range []string{"2", "database-1", "upgraded"} {
		if err := pull(t.Context(), w.client, w.robot, w.secret, tag); err != nil {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
	if err := pull(t.Context(), w.client, w.robot, w.secret, "later"); err == nil {
		t.Error("what was pushed after the backup is there")
	}
	if err := again.push("restored"); err != nil {
		t.Error(err)
	}
	kubectl(t, "delete", "quayregistry", "r", "-n", again.ns, "--timeout=2m")
}
