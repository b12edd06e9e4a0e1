package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/mirror"
	"github.com/gantry-registry/gantry/internal/notify"
	"github.com/gantry-registry/gantry/internal/proxycache"
	"github.com/gantry-registry/gantry/internal/store"
)

// ImportRequest says which Quay is imported.
type ImportRequest struct {
	// FromConfig is the folder of the Quay's config.yaml, for its DB_URI,
	// DB_CONNECTION_ARGS and DATABASE_SECRET_KEY; "" = none.
	FromConfig string
	// From is the DB_URI of the Quay; "" = that of FromConfig. Without FromConfig
	// the Quay's DATABASE_SECRET_KEY is the registry's.
	From  string
	Hold  time.Duration // see store.QuayImport
	Logs  time.Duration // see store.QuayImport; AllLogs
	Check bool          // read everything, and write nothing
}

// AllLogs are all entries of a Quay's action log, however old.
const AllLogs = store.AllLogs

// QuayImported is what ImportQuay did.
type QuayImported = store.QuayImported

// ImportQuay fills the registry's empty database with what the database of a
// Quay holds; progress is told how many rows of a table are written. The
// registry that Options names must have the Quay's storage locations.
func (a *Admin) ImportQuay(ctx context.Context, r ImportRequest, progress func(table string, rows int)) (out QuayImported, err error) {
	cfg, data, err := a.registry()
	if err != nil {
		return out, err
	}
	var quay *config.Config // the Quay's; nil = not known
	if r.FromConfig != "" {
		if quay, err = loadQuay(r.FromConfig); err != nil {
			return out, err
		}
	}
	from, err := quayDatabase(r, cfg, quay)
	if err != nil {
		return out, err
	}
	to := store.Options{URI: databaseURI(cfg, data), Args: cfg.DB.Args, RootCAs: cfg.RootCAs(), Logger: a.o.Log}
	if from.URI == to.URI {
		return out, errors.New("the Quay's database and the registry's are the same: let DB_URI of the registry's config.yaml name an empty one, and leave the Quay's as it is")
	}
	if !r.Check {
		release, err := lockFile(to.URI)
		if err != nil {
			return out, err
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	var keys, theirs *auth.Keys
	if quay != nil {
		if theirs, err = quayKeys(r.FromConfig, quay); err != nil {
			return out, err
		}
	}
	if keys = theirs; !r.Check || keys == nil { // a check seals nothing that lasts, and makes no keys
		if keys, err = openKeys(cfg, data); err != nil {
			return out, err
		}
	}
	if theirs == nil {
		theirs = keys
	}
	o := store.QuayImport{From: from, To: to, Secrets: quaySecrets{keys, theirs}, Hold: r.Hold, Logs: r.Logs, CheckOnly: r.Check, Progress: progress,
		Read: readQuayManifest, MirrorOptions: quayMirror}
	if quay != nil {
		o.LogsModel = quay.Audit.Model
	}
	for _, l := range placesOf(cfg) {
		o.Locations = append(o.Locations, l.ID)
	}
	for began := time.Now(); ; {
		out, err = store.ImportQuay(ctx, o)
		if err == nil || !store.NotThere(err) || time.Since(began)+databasePause > a.o.DatabaseWait {
			return out, err
		}
		select { // one that broke off begins anew
		case <-time.After(databasePause):
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

// quayDatabase is where the Quay's database is; quay, its configuration, may be
// nil.
func quayDatabase(r ImportRequest, cfg, quay *config.Config) (o store.Options, err error) {
	o.RootCAs = cfg.RootCAs()
	if o.URI, err = plainURI("--from-db", r.From); err != nil {
		return o, err
	}
	if quay != nil {
		o.RootCAs, o.Args = quay.RootCAs(), quay.DB.Args
		if o.URI == "" {
			o.URI = quay.DB.URI
		}
	}
	if o.URI == "" {
		return o, errors.New("name the Quay's database: --from-config with the folder of its config.yaml, or --from-db with its DB_URI")
	}
	return o, nil
}

// loadQuay reads a Quay's configuration. Whether all of it would serve does not
// matter, nor what the environment says of ours.
func loadQuay(dir string) (*config.Config, error) {
	c, _, err := config.Load(config.Options{Dir: dir, Environ: []string{"IGNORE_VALIDATION=true"}})
	if err != nil {
		return nil, fmt.Errorf("--from-config: %w", err)
	}
	return c, nil
}

// quayKeys are the keys of a Quay's configuration, which is in dir.
func quayKeys(dir string, quay *config.Config) (*auth.Keys, error) {
	if quay.Keys.DatabaseSecret == "" {
		return nil, fmt.Errorf("--from-config: config.yaml in %s has no DATABASE_SECRET_KEY, which opens the tokens of robots: the Quay wrote one there when it was set up", dir)
	}
	k, err := auth.NewKeys(auth.KeyOptions{SecretKey: cmp.Or(quay.Keys.Secret, quay.Keys.DatabaseSecret), DatabaseSecretKey: quay.Keys.DatabaseSecret})
	if err != nil {
		return nil, fmt.Errorf("--from-config: %w", err)
	}
	return k, nil
}

// lockFile takes the locks of a database that is a file, so that no server
// uses it meanwhile.
func lockFile(uri string) (release func() error, err error) {
	path := sqlitePath(uri)
	if path == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	var l lock
	for _, file := range []string{filepath.Join(filepath.Dir(path), "lock"), path + ".lock"} {
		if err := l.take(file, "the database "+path); err != nil {
			return nil, errors.Join(err, l.release())
		}
	}
	return l.release, nil
}

// readQuayManifest reads a manifest as a push does.
func readQuayManifest(mediaType string, body []byte) (m store.QuayManifest, err error) {
	o, err := content.Outlined(mediaType, body)
	return store.QuayManifest{MediaType: o.MediaType, ArtifactType: o.ArtifactType, ConfigType: o.ConfigType, Subject: o.Subject, LayersSize: o.LayersSize}, err
}

// A quayMirrorConfig is external_registry_config of a Quay's mirror.
type quayMirrorConfig struct {
	VerifyTLS *bool `json:"verify_tls"`
	Unsigned  bool  `json:"unsigned_images"`
	Proxy     struct {
		HTTP  string `json:"http_proxy"`
		HTTPS string `json:"https_proxy"`
		No    string `json:"no_proxy"`
	} `json:"proxy"`
}

func quayMirror(tags, architectures []string, raw json.RawMessage, timeout int64) (json.RawMessage, error) {
	var c quayMirrorConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("external_registry_config: %w", err)
	}
	choice := mirror.Choice{Tags: tags, Architectures: architectures, Insecure: c.VerifyTLS != nil && !*c.VerifyTLS, Unsigned: c.Unsigned, Timeout: int(min(max(timeout, 0), 43200))}
	if err := choice.Check(false); err != nil {
		return nil, err
	}
	return json.Marshal(choice)
}

// quaySecrets are store.QuaySecrets.
type quaySecrets struct{ ours, theirs *auth.Keys }

func (q quaySecrets) Open(sealed string) (string, error) { return q.theirs.OpenQuay(sealed) }

func (q quaySecrets) Robot(uuid, token string) (string, error) { return q.ours.SealRobot(uuid, token) }

func (q quaySecrets) App(uuid, secret string) (string, error) { return q.ours.SealApp(uuid, secret) }

func (q quaySecrets) Application(clientID, secret string) (string, error) {
	return q.ours.SealApplication(clientID, secret)
}

func (q quaySecrets) Notification(uuid string, config json.RawMessage) (string, error) {
	return notify.Seal(q.ours, uuid, config)
}

func (q quaySecrets) Proxy(uuid, username, password string) (string, error) {
	return proxycache.Seal(q.ours, uuid, proxycache.Credentials{Username: username, Password: password})
}

func (q quaySecrets) Mirror(uuid, username, password string, raw json.RawMessage) (string, error) {
	var c quayMirrorConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("external_registry_config: %w", err)
	}
	return mirror.Seal(q.ours, false, uuid, mirror.Secret{Username: username, Password: password, HTTPProxy: c.Proxy.HTTP, HTTPSProxy: c.Proxy.HTTPS, NoProxy: c.Proxy.No})
}
