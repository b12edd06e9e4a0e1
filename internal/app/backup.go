package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/backup"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// A VaultRequest says where backups lie.
type VaultRequest struct {
	// Folder is one of this machine; "" = a location of Config.
	Folder string
	// Config is a folder whose config.yaml has a DISTRIBUTED_STORAGE_CONFIG with
	// one location, which is that of the backups.
	Config string
	Key    string // the key file; "" = none
	// Temp is where databases lie while they are copied; "" = the system's.
	Temp     string
	Progress func(step string, done, total int64) // nil = none
}

// A BackupRequest says how a backup is made.
type BackupRequest struct {
	VaultRequest
	// Plain allows a backup that is not encrypted, though it holds keys and
	// password hashes.
	Plain bool
	// Keep is how many backups stay, this one among them; 0 = all.
	Keep int
	// Also are folders whose files are kept too, by the name that their paths
	// begin with.
	Also map[string]string
}

// Types of package backup, for commands.
type (
	Backup         = backup.Backup
	RestoredBackup = backup.Restored
	VerifiedBackup = backup.Verified
	PrunedBackups  = backup.Pruned
)

// A MadeBackup is what BackupCreate did.
type MadeBackup struct {
	Backup
	Pruned *PrunedBackups `json:"pruned,omitempty"` // nil: all backups stay
}

// NewBackupKey makes a key file.
func NewBackupKey() ([]byte, error) { return backup.NewKey() }

// vault has use work on a vault. What it returns besides the error of use is
// about the vault itself.
func (a *Admin) vault(ctx context.Context, r VaultRequest, existing bool, use func(*backup.Vault) error) (err error) {
	src := engineSource{Config: &config.Config{}}
	switch {
	case r.Folder != "" && r.Config != "":
		return errors.New("--to and --to-config are two places for backups: give one of them")
	case r.Folder != "":
		path, err := filepath.Abs(r.Folder)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); existing && errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no folder %s", path)
		}
		src.Location = config.Location{ID: "backups", Class: localStorage, Params: map[string]any{"storage_path": path}}
	case r.Config != "":
		cfg, _, err := config.Load(config.Options{Dir: r.Config, Environ: a.o.Environ})
		if err != nil {
			return fmt.Errorf("--to-config: %w", err)
		}
		if n := len(cfg.Storage.Locations); n != 1 {
			return fmt.Errorf("--to-config: DISTRIBUTED_STORAGE_CONFIG of %s has %d locations; backups need one: {backups: [S3Storage, {s3_bucket: …}]}", r.Config, n)
		}
		src.Location, src.Config, src.Data = cfg.Storage.Locations[0], cfg, r.Config
	default:
		return errors.New("name the place of the backups: --to FOLDER, or --to-config FOLDER for a bucket")
	}
	o := backup.Options{Temp: r.Temp, Progress: r.Progress, Existing: existing, Logger: a.o.Log}
	if r.Key != "" {
		b, err := readSmall(r.Key)
		if err != nil {
			return fmt.Errorf("--key: %w", err)
		}
		if o.Key, err = backup.ParseKey(b); err != nil {
			return fmt.Errorf("--key %s: %w", r.Key, err)
		}
	}
	engine, err := openEngine(ctx, src)
	if err != nil {
		return fmt.Errorf("the place of the backups: %w", err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	o.Engine = engine
	v, err := backup.Open(ctx, o)
	if err != nil {
		return err
	}
	return use(v)
}

// BackupCreate makes a backup of the registry, which may be running.
func (a *Admin) BackupCreate(ctx context.Context, r BackupRequest) (out MadeBackup, err error) {
	if r.Key == "" && !r.Plain {
		return out, errors.New("a backup holds keys and password hashes, so it is encrypted: make a key with gantry backup keygen and give it with --key, or say --unencrypted")
	}
	if r.Keep < 0 {
		return out, gantry.Errorf(gantry.Invalid, "keep", "%d backups cannot be kept", r.Keep)
	}
	if err := a.exists(); err != nil {
		return out, err
	}
	cfg, data, err := a.registry()
	if err != nil {
		return out, err
	}
	from := store.Options{URI: databaseURI(cfg, data), Args: cfg.DB.Args, RootCAs: cfg.RootCAs()}
	s := backup.Source{Version: a.o.Version, Hostname: cfg.Server.Hostname, Hold: a.hold}
	s.CopyDatabase = func(ctx context.Context, uri string) (store.Copied, error) {
		if f, err := os.OpenFile(strings.TrimPrefix(uri, "sqlite:///"), os.O_CREATE|os.O_EXCL, 0o600); err != nil { // not readable by others
			return store.Copied{}, err
		} else if err := f.Close(); err != nil {
			return store.Copied{}, err
		}
		return store.CopyDatabase(ctx, store.CopyOptions{From: from, To: store.Options{URI: uri}})
	}
	if s.SealedWith, err = store.SealedWith(ctx, from, 1000); err != nil {
		return out, err
	}
	engines, err := openEngines(ctx, cfg, data)
	defer func() { err = errors.Join(err, engines.close()) }()
	if err != nil {
		return out, err
	}
	s.Locations = engines.locations
	if s.Files, err = a.backupFiles(data, r.Also); err != nil {
		return out, err
	}
	err = a.vault(ctx, r.VaultRequest, false, func(v *backup.Vault) error {
		if out.Backup, err = v.Create(ctx, s); err != nil || r.Keep == 0 {
			return err
		}
		p, err := v.Prune(ctx, r.Keep)
		out.Pruned = &p
		if gantry.Is(err, gantry.Conflict) { // another backup is under way; the next one does it
			out.Pruned, err = nil, nil
		}
		return err
	})
	return out, err
}

// openedEngines are the storage of a registry, without its database.
type openedEngines struct {
	locations []backup.Location
	engines   []engine
}

func (e *openedEngines) close() error {
	errs := make([]error, 0, len(e.engines))
	for _, one := range e.engines {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

func openEngines(ctx context.Context, cfg *config.Config, data string) (*openedEngines, error) {
	out := &openedEngines{}
	list := placesOf(cfg)
	for _, l := range list {
		e, err := openEngine(ctx, engineSource{Location: l, Config: cfg, Data: data, Shared: sharesMemory(list)})
		if err != nil {
			return out, fmt.Errorf("DISTRIBUTED_STORAGE_CONFIG: %s: %w", l.ID, err)
		}
		out.engines = append(out.engines, e)
		out.locations = append(out.locations, backup.Location{Name: l.ID, Engine: e, Local: l.Class == localStorage})
	}
	return out, nil
}

// backupFiles reads the configuration, the keys, and what else is asked for.
func (a *Admin) backupFiles(data string, also map[string]string) (map[string][]byte, error) {
	files, left := map[string][]byte{}, int64(64<<20)
	folders := map[string]string{"keys": filepath.Join(data, keysFolder)}
	if a.o.Config != "" {
		folders["config"] = a.o.Config
	}
	for name, dir := range also {
		if name == "" || strings.ContainsAny(name, "/\\") || folders[name] != "" || name == "." || name == ".." {
			return nil, fmt.Errorf("files of %s cannot be kept as %.80q: give another name, without slashes", dir, name)
		}
		folders[name] = dir
	}
	for name, dir := range folders {
		if err := readFolder(files, name, dir, &left); err != nil && (!errors.Is(err, fs.ErrNotExist) || name != "keys") {
			return nil, err
		}
	}
	return files, nil
}

// readFolder reads the files of a folder and of those below it, but for such as
// begin with "..", which is how Kubernetes puts them there. left bounds it.
func readFolder(files map[string][]byte, name, dir string, left *int64) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		i, err := os.Stat(path) // behind links
		if err != nil {
			return err
		}
		switch {
		case i.IsDir():
			if err := readFolder(files, name+"/"+e.Name(), path, left); err != nil {
				return err
			}
		case i.Mode().IsRegular():
			if *left -= i.Size(); *left < 0 || len(files) >= 1000 {
				return fmt.Errorf("%s: the configuration has more than 64 MiB or 1,000 files", dir)
			}
			if files[name+"/"+e.Name()], err = os.ReadFile(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// A restorePointRequest makes (ID 0), renews or ends a restore point.
type restorePointRequest struct {
	ID      int64 `json:"id"`
	Seconds int64 `json:"seconds"` // from now that it lasts; 0 = end it
}

func restorePoint(ctx context.Context, c *core, in restorePointRequest) (any, error) {
	until := c.db.Now().Add(time.Duration(in.Seconds) * time.Second)
	var err error
	switch {
	case in.Seconds < 0 || in.Seconds > 7*24*3600:
		err = gantry.Errorf(gantry.Invalid, "restore point", "a restore point lasts up to a week")
	case in.ID == 0:
		in.ID, err = c.db.CreateRestorePoint(ctx, until)
	case in.Seconds == 0:
		err = c.db.ReleaseRestorePoint(ctx, in.ID)
	default:
		err = c.db.RenewRestorePoint(ctx, in.ID, until)
	}
	return in, err
}

// holdLife is how long collection is held back after a backup that died.
const holdLife = 2 * time.Hour

// A backupHold is a restore point.
type backupHold struct {
	a  *Admin
	id int64
}

func (a *Admin) hold(ctx context.Context) (backup.Hold, error) {
	out, err := run[restorePointRequest](ctx, a, "restorepoint", restorePointRequest{Seconds: int64(holdLife / time.Second)})
	return &backupHold{a, out.ID}, err
}

func (h *backupHold) Life() time.Duration { return holdLife }

func (h *backupHold) Renew(ctx context.Context) error {
	_, err := run[restorePointRequest](ctx, h.a, "restorepoint", restorePointRequest{ID: h.id, Seconds: int64(holdLife / time.Second)})
	return err
}

func (h *backupHold) Release(ctx context.Context) error {
	_, err := run[restorePointRequest](ctx, h.a, "restorepoint", restorePointRequest{ID: h.id})
	return err
}

// Backups lists the backups, the newest first.
func (a *Admin) Backups(ctx context.Context, r VaultRequest) (all []Backup, err error) {
	err = a.vault(ctx, r, true, func(v *backup.Vault) error {
		all, err = v.List(ctx)
		return err
	})
	return all, err
}

// BackupVerify proves that a backup can be put back; id "" = the newest. With
// read it reads every blob.
func (a *Admin) BackupVerify(ctx context.Context, r VaultRequest, id string, read bool) (out VerifiedBackup, err error) {
	err = a.vault(ctx, r, true, func(v *backup.Vault) error {
		b, err := v.Find(ctx, id)
		if err != nil {
			return err
		}
		out, err = v.Verify(ctx, b, read)
		return err
	})
	return out, err
}

// BackupPrune removes all backups but the newest, keep of them.
func (a *Admin) BackupPrune(ctx context.Context, r VaultRequest, keep int) (out PrunedBackups, err error) {
	err = a.vault(ctx, r, true, func(v *backup.Vault) error {
		out, err = v.Prune(ctx, keep)
		return err
	})
	return out, err
}

// BackupFiles returns a backup, and the files that it holds by their paths;
// id "" = the newest.
func (a *Admin) BackupFiles(ctx context.Context, r VaultRequest, id string) (b Backup, files map[string][]byte, err error) {
	err = a.vault(ctx, r, true, func(v *backup.Vault) error {
		if b, err = v.Find(ctx, id); err != nil {
			return err
		}
		files, err = v.Files(ctx, b)
		return err
	})
	return b, files, err
}

// A RestoreRequest says what is put back, and how.
type RestoreRequest struct {
	VaultRequest
	ID string // of the backup; "" = the newest
	// Replace empties a registry that holds something.
	Replace bool
}

// Restore puts a backup into the registry, which is stopped.
func (a *Admin) Restore(ctx context.Context, r RestoreRequest) (out RestoredBackup, err error) {
	cfg, data, err := a.registry()
	if err != nil {
		return out, err
	}
	to := store.Options{URI: databaseURI(cfg, data), Args: cfg.DB.Args, RootCAs: cfg.RootCAs()}
	err = a.vault(ctx, r.VaultRequest, true, func(v *backup.Vault) error {
		b, err := v.Find(ctx, r.ID)
		if err != nil {
			return err
		}
		var l *lock
		if path := sqlitePath(to.URI); path != "" {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			if err := os.MkdirAll(data, 0o700); err != nil {
				return err
			}
			if l, err = lockFolder(data, to.URI); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.release()) }()
		}
		if err := a.restoreKeys(ctx, v, b, cfg, data); err != nil {
			return err
		}
		engines, err := openEngines(ctx, cfg, data)
		defer func() { err = errors.Join(err, engines.close()) }()
		if err != nil {
			return err
		}
		if !r.Replace {
			if err := store.CheckEmpty(ctx, to); err != nil {
				if gantry.Is(err, gantry.Conflict) {
					err = gantry.Errorf(gantry.Conflict, "database", "the registry is not empty: stop it and give --replace to have the backup in place of what it holds")
				}
				return err
			}
		}
		first := engines.locations[0]
		out, err = v.Restore(ctx, b, backup.Target{Location: first.Name, Engine: first.Engine, CopyDatabase: func(ctx context.Context, uri string) (store.Copied, error) {
			return store.CopyDatabase(ctx, store.CopyOptions{From: store.Options{URI: uri}, To: to, Replace: r.Replace})
		}})
		return err
	})
	return out, err
}

// restoreKeys sees that the registry will open the secrets of the backup: a
// configuration that has no key gets that of the backup, in keys/ of the data
// folder, unless there is one.
func (a *Admin) restoreKeys(ctx context.Context, v *backup.Vault, b Backup, cfg *config.Config, data string) error {
	dir := filepath.Join(data, keysFolder)
	if cfg.Keys.DatabaseSecret == "" {
		files, err := v.Files(ctx, b)
		if err != nil {
			return err
		}
		for path, text := range files {
			name, ok := strings.CutPrefix(path, "keys/")
			if !ok || strings.Contains(name, "/") {
				continue
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
		}
	}
	if len(b.SealedWith) == 0 {
		return nil
	}
	keys, err := openKeys(cfg, data)
	if err != nil {
		return err
	}
	for _, id := range b.SealedWith {
		if !slices.Contains(keys.DatabaseKeyIDs(), id) {
			return gantry.Errorf(gantry.Invalid, "DATABASE_SECRET_KEY", "the DATABASE_SECRET_KEY of this registry (%s) does not open the secrets of the backup, which need the key with id %.64s: gantry backup files %s shows the configuration and the keys that it was made with",
				cmp.Or(a.o.Config, dir), id, b.ID)
		}
	}
	return nil
}
