package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-registry/gantry/internal/app"
)

func (c *cli) backup() *cobra.Command {
	return group("backup", "Back up the registry while it runs",
		`Make backups of the whole registry in a folder or a bucket: the database as it
was at one moment, the blobs that it names, the configuration and the keys. The
registry goes on working; what collection would remove meanwhile waits until the
backup is whole. Blobs are kept once for all backups, so each one copies what is
new. gantry restore puts one back, into any kind of database and storage.
docs/backup.md has the procedures.`,
		`  gantry backup keygen > backup.key
  gantry backup create --config /etc/gantry --to /mnt/backup --key backup.key --keep 14
  gantry backup list --to /mnt/backup
  gantry backup verify --to /mnt/backup --key backup.key`,
		c.backupCreate(), c.backupList(), c.backupVerify(), c.backupFiles(), c.backupPrune(), c.backupKeygen())
}

// vault adds the flags that say where backups lie.
func (c *cli) vault(cmd *cobra.Command, r *app.VaultRequest, key string) *cobra.Command {
	cmd.Flags().StringVar(&r.Folder, "to", "", "`folder` of the backups")
	cmd.Flags().StringVar(&r.Config, "to-config", "", "`folder` whose config.yaml has a DISTRIBUTED_STORAGE_CONFIG with one location: that of the backups, a bucket for one")
	cmd.Flags().StringVar(&r.Key, "key", "", key)
	if cmd.Name() == "create" || cmd.Name() == "restore" {
		cmd.Flags().StringVar(&c.report, "report", "", "`file` that gets a line of JSON on what was done, for the one who runs the command; it must be there")
	}
	cmd.Flags().StringVar(&r.Temp, "temp", "", "`folder` for a copy of the database while the command runs; the system's unless told")
	last := time.Now()
	r.Progress = func(step string, done, total int64) {
		if c.output != "text" || done == 0 && total == 0 || time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		if total > 0 {
			_, _ = fmt.Fprintf(c.err, "%s: %d of %d\n", step, done, total) // progress alone
			return
		}
		_, _ = fmt.Fprintf(c.err, "%s: %d\n", step, done) // progress alone
	}
	return cmd
}

const (
	keyEncrypts = "key `file` of gantry backup keygen, or its public key alone; it encrypts"
	keyOpens    = "key `file` that opens the backup"
)

func (c *cli) backupCreate() *cobra.Command {
	var r app.BackupRequest
	var also []string
	accept := false
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a backup",
		Long: `Make a backup of the registry, which may be running. It is whole, or it is not
there: one that was interrupted leaves what the next one need not copy again.
The database and the configuration are encrypted with --key; blobs are as they
are in storage. The exit code is 1 when blobs are missing: those whose bytes no
storage location has whole, which gantry verify shows as well.`,
		Example: `  gantry backup create --data /var/lib/gantry --to /mnt/backup --key backup.key
  gantry backup create --config /etc/gantry --to-config /etc/gantry-backup --key backup.key --keep 14 --output json`,
		Args: cobra.NoArgs,
	}
	c.vault(c.where(cmd), &r.VaultRequest, keyEncrypts)
	cmd.Flags().BoolVar(&r.Plain, "unencrypted", false, "do not encrypt: whoever reads the backup has the keys of the registry")
	cmd.Flags().BoolVar(&accept, "accept-missing", false, "end well although blobs are missing")
	cmd.Flags().IntVar(&r.Keep, "keep", 0, "how many backups stay, this one among them; 0 is all")
	cmd.Flags().StringArrayVar(&also, "also", nil, "`name=folder`: keep the files of this folder, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r.Also = map[string]string{}
		for _, one := range also {
			name, folder, ok := strings.Cut(one, "=")
			if !ok || folder == "" {
				return fmt.Errorf("--also %q: write name=folder", one)
			}
			r.Also[name] = folder
		}
		b, err := c.admin().BackupCreate(cmd.Context(), r)
		if err != nil {
			return err
		}
		if err := c.tellReport(b.Backup, b.Missing, b.New); err != nil {
			return err
		}
		err = c.answer(b, func(w io.Writer) {
			line(w, "backup\t%s", b.ID)
			line(w, "as of\t%s", b.Time.Format(time.RFC3339))
			line(w, "rows\t%d", b.Rows)
			line(w, "blobs\t%d\t%s", b.Blobs, size(b.Bytes))
			line(w, "of these new\t%d\t%s", b.New, size(b.NewBytes))
			if len(b.Encrypted) == 0 {
				line(w, "encrypted\tno")
			}
			if b.Missing > 0 {
				line(w, "missing\t%d\tno storage location has their bytes whole; gantry verify names their repositories", b.Missing)
			}
			if b.Pruned != nil {
				line(w, "removed\t%d backups\t%d blobs\t%s", len(b.Pruned.Removed), b.Pruned.Blobs, size(b.Pruned.Bytes))
			}
		})
		if err == nil && b.Missing > 0 && !accept {
			err = errFailed
		}
		return err
	}
	return cmd
}

func (c *cli) backupList() *cobra.Command {
	var r app.VaultRequest
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the backups, the newest first",
		Long:    "List the backups that are whole, the newest first.",
		Example: "  gantry backup list --to /mnt/backup\n  gantry backup list --to-config /etc/gantry-backup --output json",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := c.admin().Backups(cmd.Context(), r)
		if err != nil {
			return err
		}
		return c.answer(all, func(w io.Writer) {
			line(w, "ID\tAS OF\tHOST\tVERSION\tROWS\tBLOBS\tSIZE\tNEW\tMISSING\tENCRYPTED")
			for _, b := range all {
				line(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%d\t%t", b.ID, b.Time.Format(time.RFC3339), b.Hostname, b.Version, b.Rows, b.Blobs, size(b.Bytes), size(b.NewBytes), b.Missing, len(b.Encrypted) > 0)
			}
		})
	}
	return c.vault(cmd, &r, keyOpens)
}

func (c *cli) backupVerify() *cobra.Command {
	var r app.VaultRequest
	read := false
	cmd := &cobra.Command{
		Use:   "verify [ID]",
		Short: "Prove that a backup can be put back",
		Long: `Prove that a backup, the newest unless one is named, can be put back: its parts
are what was written, its database opens and is whole, and every blob of it is
there; with --read each blob is read and compared with its digest. Without a key
that opens the backup, its database is only compared with what was written. The
exit code is 1 when something is wrong.`,
		Example: "  gantry backup verify --to /mnt/backup --key backup.key\n  gantry backup verify --to /mnt/backup --key backup.key --read",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&read, "read", false, "read every blob")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := c.admin().BackupVerify(cmd.Context(), r, strings.Join(args, ""), read)
		if err != nil {
			return err
		}
		err = c.answer(v, func(w io.Writer) {
			line(w, "backup\t%s", v.ID)
			line(w, "blobs\t%d\t%s", v.Blobs, size(v.Bytes))
			if !v.Database {
				line(w, "database\tnot opened\tgive the key to look into it")
			}
			line(w, "missing\t%d", v.Missing)
			line(w, "damaged\t%d", v.Damaged)
			for _, d := range v.Flaws {
				line(w, "\t%s", d)
			}
		})
		if err == nil && !v.Sound() {
			err = errFailed
		}
		return err
	}
	return c.vault(cmd, &r, keyOpens)
}

func (c *cli) backupFiles() *cobra.Command {
	var r app.VaultRequest
	into := ""
	cmd := &cobra.Command{
		Use:   "files [ID]",
		Short: "Show or write the configuration and keys that a backup holds",
		Long: `List the files that a backup, the newest unless one is named, holds beside the
database: config/ is the folder of --config, keys/ that of the data folder. With
--into they are written into a folder, which is made for the owner alone.`,
		Example: "  gantry backup files --to /mnt/backup --key backup.key\n  gantry backup files --to /mnt/backup --key backup.key --into restored",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVar(&into, "into", "", "`folder` to write them into; none of them may be there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, files, err := c.admin().BackupFiles(cmd.Context(), r, strings.Join(args, ""))
		if err != nil {
			return err
		}
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		if into != "" {
			if err := writeFiles(into, names, files); err != nil {
				return err
			}
		}
		return c.answer(map[string]any{"id": b.ID, "files": names}, func(w io.Writer) {
			for _, name := range names {
				line(w, "%s\t%d bytes", name, len(files[name]))
			}
		})
	}
	return c.vault(cmd, &r, keyOpens)
}

func writeFiles(into string, names []string, files map[string][]byte) error {
	for _, name := range names {
		at := filepath.Join(into, filepath.FromSlash(path.Clean("/"+name)))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(files[name])
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) backupPrune() *cobra.Command {
	var r app.VaultRequest
	keep := 0
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove old backups",
		Long: `Remove all backups but the newest, then the blobs that none of those has, and
what interrupted backups left. While a backup or a restore is under way nothing
is removed.`,
		Example: "  gantry backup prune --to /mnt/backup --keep 14",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().IntVar(&keep, "keep", 0, "how many backups stay")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if keep < 1 {
			return errors.New("say how many backups stay: --keep 14")
		}
		p, err := c.admin().BackupPrune(cmd.Context(), r, keep)
		if err != nil {
			return err
		}
		return c.answer(p, func(w io.Writer) {
			line(w, "kept\t%d backups", p.Kept)
			line(w, "removed\t%d backups\t%d blobs\t%s", len(p.Removed), p.Blobs, size(p.Bytes))
		})
	}
	return c.vault(cmd, &r, keyOpens)
}

func (c *cli) backupKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen",
		Short: "Make a key that encrypts backups",
		Long: `Write a new key file to standard output: an identity of age
(https://age-encryption.org), which encrypts and opens backups. Keep it where
the backups are not; without it nobody opens them. Its comment has the public
key: a key file with that alone encrypts and cannot open.`,
		Example: "  (umask 077; gantry backup keygen > backup.key)",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := app.NewBackupKey()
			if err == nil {
				_, err = c.out.Write(key)
			}
			return err
		},
	}
}

func (c *cli) restore() *cobra.Command {
	var r app.RestoreRequest
	accept := false
	cmd := &cobra.Command{
		Use:   "restore [ID]",
		Short: "Put a backup back",
		Long: `Put a backup, the newest unless one is named, into the registry of --config and
--data, which is stopped (all its instances) and empty: first the blobs, into
its preferred storage location, then the database, of whatever kind. Nothing is
served before all of it is there; a restore that was interrupted is run again.
With --replace what the registry holds is removed first.

The configuration is not put back: gantry backup files has that of the backup.
The registry needs the same DATABASE_SECRET_KEY; one whose keys are in its data
folder gets those of the backup. The exit code is 1 when blobs are missing.`,
		Example: "  gantry restore --data /var/lib/gantry --to /mnt/backup --key backup.key\n  gantry restore 20260102T150405Z-abcdef --config /etc/gantry --to-config /etc/gantry-backup --key backup.key --replace",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&accept, "accept-missing", false, "end well although blobs are missing")
	cmd.Flags().BoolVar(&r.Replace, "replace", false, "remove what the registry's database holds")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.ID = strings.Join(args, "")
		out, err := c.admin().Restore(cmd.Context(), r)
		if err != nil {
			return err
		}
		if err := c.tellReport(out.Backup, out.Missing, out.New); err != nil {
			return err
		}
		err = c.answer(out, func(w io.Writer) {
			line(w, "restored\t%s\tas of %s", out.Backup.ID, out.Backup.Time.Format(time.RFC3339))
			line(w, "rows\t%d", out.Rows)
			line(w, "blobs\t%d\t%d of them were not there", out.Blobs, out.New)
			if out.Missing > 0 {
				line(w, "missing\t%d\tthe backup has lost them; a push heals them", out.Missing)
				for _, d := range out.Lost {
					line(w, "\t%s", d)
				}
			}
		})
		if err == nil && out.Missing > 0 && !accept {
			err = errFailed
		}
		return err
	}
	return c.vault(c.where(cmd), &r.VaultRequest, keyOpens)
}

// tellReport writes the file of --report: the operator reads it.
func (c *cli) tellReport(b app.Backup, missing, added int64) (err error) {
	if c.report == "" {
		return nil
	}
	text, err := json.Marshal(map[string]any{"id": b.ID, "time": b.Time.Format(time.RFC3339), "blobs": b.Blobs, "bytes": b.Bytes, "new": added, "missing": missing})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.report, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}
