//go:build !small

package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// TestBackup backs up a server on SQLite and files while clients push, delete
// and collect, into a folder and into a bucket, and puts it back into
// PostgreSQL with a bucket, and into another data folder: all that was
// acknowledged before is there.
func TestBackup(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Data: data, Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true, "DEFAULT_TAG_EXPIRATION": "0s", "TAG_EXPIRATION_OPTIONS": []string{"0s"}})})
	token := s.initialize("ada")
	if r := send(t, "POST", s.base+"/api/v1/user/robots/ci", "", "Authorization", "Bearer "+token); r.status/100 != 2 { // nothing sealed otherwise
		send(t, "PUT", s.base+"/api/v1/user/robots/ci", "{}", "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push,*")
	before := map[string]image{}
	for i := range 12 {
		name := fmt.Sprintf("v%d", i)
		before[name] = newImage(name)
		if r := s.push(auth, "ada/app", name, before[name]); r.status != 201 {
			t.Fatalf("push: %d %s", r.status, r.body)
		}
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	key, err := NewBackupKey()
	if err == nil {
		err = os.WriteFile(keyFile, key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	bucket := s3Params(t)
	bucket["storage_path"] = "/backups"
	at := folder(t, map[string]string{"config.yaml": "DISTRIBUTED_STORAGE_CONFIG: {backups: [S3Storage, " + flow(bucket) + "]}\n"})
	admin := NewAdmin(Options{Data: data, Version: "1.2.3", Environ: override(t, nil)})

	// Clients do not wait for backups.
	stop := make(chan struct{})
	var clients sync.WaitGroup
	clients.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("later%d", i)
			if r := s.push(auth, "ada/app", name, newImage(name)); r.status != 201 {
				t.Errorf("a push during a backup: %d %s", r.status, r.body)
			}
			send(t, "DELETE", s.base+"/v2/ada/app/manifests/"+name, "", "Authorization", auth)
		}
	})
	vaults := map[string]VaultRequest{"folder": {Folder: filepath.Join(t.TempDir(), "backups"), Key: keyFile}, "bucket": {Config: at, Key: keyFile}}
	made := map[string]MadeBackup{}
	for name, v := range vaults {
		for range 2 {
			b, err := admin.BackupCreate(t.Context(), BackupRequest{VaultRequest: v, Keep: 1, Also: map[string]string{"more": at}})
			if err != nil || b.Missing != 0 || b.Blobs < 24 || b.Pruned == nil || b.Pruned.Kept != 1 {
				t.Fatalf("%s: %+v, %v", name, b, err)
			}
			made[name] = b
		}
		if out, err := admin.BackupVerify(t.Context(), v, "", true); err != nil || !out.Sound() || out.ID != made[name].ID {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		if all, err := admin.Backups(t.Context(), v); err != nil || len(all) != 1 {
			t.Errorf("%s: %v, %v", name, all, err)
		}
		_, files, err := admin.BackupFiles(t.Context(), v, "")
		if err != nil || len(files["keys/database_secret_key"]) < 32 || len(files["more/config.yaml"]) == 0 {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
	}
	close(stop)
	clients.Wait()

	for name, r := range map[string]BackupRequest{
		"--to":        {VaultRequest: VaultRequest{Key: keyFile}},
		"two places":  {VaultRequest: VaultRequest{Key: keyFile, Folder: "x", Config: at}},
		"encrypted":   {VaultRequest: VaultRequest{Folder: filepath.Join(t.TempDir(), "x")}},
		"other thing": {VaultRequest: VaultRequest{Key: keyFile, Folder: filepath.Join(data, storageFolder)}},
		"slashes":     {VaultRequest: VaultRequest{Key: keyFile, Folder: filepath.Join(t.TempDir(), "x")}, Also: map[string]string{"a/b": at}},
	} {
		if b, err := admin.BackupCreate(t.Context(), r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	if _, err := admin.Restore(t.Context(), RestoreRequest{VaultRequest: vaults["folder"], Replace: true}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("restored under a running server: %v", err)
	}

	// Another data folder, which takes the keys; twice, for the second one finds
	// something.
	other := filepath.Join(t.TempDir(), "data")
	into := NewAdmin(Options{Data: other, Environ: override(t, nil)})
	if r, err := into.Restore(t.Context(), RestoreRequest{VaultRequest: vaults["bucket"]}); err != nil || r.Missing != 0 || r.Blobs != made["bucket"].Blobs {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := into.Restore(t.Context(), RestoreRequest{VaultRequest: vaults["bucket"]}); !gantry.Is(err, gantry.Conflict) || !strings.Contains(Explain(err), "--replace") {
		t.Errorf("over another registry: %v", err)
	}
	if r, err := into.Restore(t.Context(), RestoreRequest{VaultRequest: vaults["folder"], Replace: true, ID: made["folder"].ID}); err != nil || r.Missing != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	// PostgreSQL and a bucket, first with other keys.
	fields := map[string]any{
		"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"bucket": []any{"S3Storage", s3Params(t)}}, "FEATURE_PROXY_STORAGE": true,
	}
	empty := filepath.Join(t.TempDir(), "data")
	_, err = NewAdmin(Options{Data: empty, Environ: override(t, fields)}).Restore(t.Context(), RestoreRequest{VaultRequest: vaults["folder"]})
	if e, ok := errors.AsType[*gantry.Error](err); !ok || e.Object != "DATABASE_SECRET_KEY" {
		t.Errorf("with other keys: %v", err)
	}
	_, files, err := admin.BackupFiles(t.Context(), vaults["folder"], "")
	if err != nil {
		t.Fatal(err)
	}
	fields["DATABASE_SECRET_KEY"] = strings.TrimSpace(string(files["keys/database_secret_key"]))
	o := Options{Data: empty, Environ: override(t, fields)}
	if r, err := NewAdmin(o).Restore(t.Context(), RestoreRequest{VaultRequest: vaults["folder"]}); err != nil || r.Missing != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, o := range []Options{o, {Data: other, Environ: override(t, nil)}} {
		again := open(t, o)
		auth, r := again.bearer("ada", password, "repository:ada/app:pull,push,*")
		if auth == "" {
			t.Fatalf("the account is not there: %d %s", r.status, r.body)
		}
		for name, i := range before {
			for _, b := range [][]byte{i.config, i.layer} {
				if r := send(t, "GET", again.base+"/v2/ada/app/blobs/"+digestOf(b), "", "Authorization", auth); r.status != 200 || r.body != string(b) {
					t.Errorf("a blob of %s: %d %.200s", name, r.status, r.body)
				}
			}
			if r := send(t, "GET", again.base+"/v2/ada/app/manifests/"+name, "", "Authorization", auth, "Accept", manifestType); r.status != 200 || r.body != string(i.manifest) {
				t.Errorf("%s: %d %.200s", name, r.status, r.body)
			}
		}
		if r := again.push(auth, "ada/app", "new", newImage("new")); r.status != 201 {
			t.Errorf("a push after the restore: %d %s", r.status, r.body)
		}
		// Its instance is alive, so that nothing is put over it.
		if o.Data == empty {
			until(t, "the instance beats", func() bool {
				_, err := NewAdmin(Options{Data: t.TempDir(), Environ: override(t, fields)}).Restore(t.Context(), RestoreRequest{VaultRequest: vaults["folder"], Replace: true})
				return gantry.Is(err, gantry.Conflict) && strings.Contains(err.Error(), "scale to zero")
			})
		}
	}
}

// flow writes parameters as a YAML block in one line.
func flow(params map[string]any) string {
	var parts []string
	for k, v := range params {
		parts = append(parts, fmt.Sprintf("%s: %v", k, v))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
