package app

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gantry-registry/gantry/internal/auth"
	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/content"
	"github.com/gantry-registry/gantry/internal/store"
	"github.com/gantry-registry/gantry/internal/telemetry"
)

// DefaultData is the data folder unless one is named.
const DefaultData = "gantry-data"

const (
	databaseFile    = "gantry.db"
	keysFolder      = "keys"
	storageFolder   = "storage"
	localStorage    = "LocalStorage"
	defaultLocation = "default" // where no DISTRIBUTED_STORAGE_CONFIG names one
)

// databaseURI is DB_URI, or the SQLite file of the data folder.
func databaseURI(c *config.Config, data string) string {
	if c.DB.URI != "" {
		return c.DB.URI
	}
	return "sqlite:///" + filepath.Join(data, databaseFile)
}

// openKeys takes the keys of the configuration, and from the data folder
// those that it does not name; there they are made once.
func openKeys(c *config.Config, data string) (*auth.Keys, error) {
	o := auth.KeyOptions{SecretKey: c.Keys.Secret, DatabaseSecretKey: c.Keys.DatabaseSecret, PageTokenKey: c.Keys.PageToken}
	if o.SecretKey == "" || o.DatabaseSecretKey == "" {
		dir := filepath.Join(data, keysFolder)
		if _, err := auth.LoadKeys(dir); err != nil { // makes the files
			return nil, err
		}
		for name, key := range map[string]*string{"secret_key": &o.SecretKey, "database_secret_key": &o.DatabaseSecretKey} {
			if *key != "" {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return nil, fmt.Errorf("read the key: %w", err)
			}
			*key = strings.TrimSpace(string(b))
		}
	}
	return auth.NewKeys(o)
}

// serviceKey reads the key that signs tokens and its id: quay.pem and
// quay.kid, or what INSTANCE_SERVICE_KEY_LOCATION and _KID_LOCATION name. It
// is nil where they are not there: then auth makes one at each start.
func serviceKey(c *config.Config) (key *rsa.PrivateKey, kid string, err error) {
	keyFile, kidFile := c.Auth.InstanceServiceKeyLocation, c.Auth.InstanceServiceKeyKIDLocation
	if keyFile == "" && kidFile == "" {
		keyFile, kidFile = c.Bundle.Path("quay.pem"), c.Bundle.Path("quay.kid")
		if keyFile == "" || kidFile == "" {
			return nil, "", nil
		}
	}
	if keyFile == "" || kidFile == "" {
		return nil, "", errors.New("INSTANCE_SERVICE_KEY_LOCATION and INSTANCE_SERVICE_KEY_KID_LOCATION go together: write both, or none")
	}
	id, err := readSmall(kidFile)
	if err != nil {
		return nil, "", fmt.Errorf("INSTANCE_SERVICE_KEY_KID_LOCATION: %w", err)
	}
	text, err := readSmall(keyFile)
	if err != nil {
		return nil, "", fmt.Errorf("INSTANCE_SERVICE_KEY_LOCATION: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, "", fmt.Errorf("INSTANCE_SERVICE_KEY_LOCATION: %s is not a PEM file", keyFile)
	}
	if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, "", fmt.Errorf("INSTANCE_SERVICE_KEY_LOCATION: %s is not a private key", keyFile)
		}
		var ok bool
		if key, ok = any.(*rsa.PrivateKey); !ok {
			return nil, "", fmt.Errorf("INSTANCE_SERVICE_KEY_LOCATION: %s is not an RSA key", keyFile)
		}
	}
	return key, strings.TrimSpace(string(id)), nil
}

// readSmall reads a file of at most 64 KiB.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, 64<<10+1))
	if err == nil && len(b) > 64<<10 {
		err = fmt.Errorf("%s is larger than 64 KiB", path)
	}
	return b, err
}

// A place is an open storage location.
type place struct {
	content.Location
	preferred bool // the first choice: uploads go here
	close     func() error
}

// openPlaces opens the storage locations, the preferred ones first.
// src is what engines are opened from, but for the location.
func openPlaces(ctx context.Context, db *store.DB, src engineSource, t *telemetry.Tracer) (places []place, err error) {
	c := src.Config
	defer func() {
		if err != nil {
			err = errors.Join(err, closePlaces(places))
			places = nil
		}
	}()
	for i, l := range placesOf(c) {
		src.Location = l
		engine, err := openEngine(ctx, src)
		if err != nil {
			return places, fmt.Errorf("DISTRIBUTED_STORAGE_CONFIG: %s: %w", l.ID, err)
		}
		p := place{preferred: i == 0, close: engine.Close}
		p.Name, p.Engine, p.Health = l.ID, traceEngine(engine, t, l.ID), content.NewHealth(nil)
		p.Local = l.Class == localStorage
		p.Fallback = slices.Contains(c.Storage.DefaultLocations, l.ID)
		places = append(places, p)
		if p.ID, err = db.EnsureLocation(ctx, l.ID); err != nil {
			return places, fmt.Errorf("location %s: %w", l.ID, err)
		}
		places[i] = p
	}
	return places, nil
}

// placesOf are the storage locations of a configuration, in order of preference.
func placesOf(c *config.Config) []config.Location {
	list := slices.Clone(c.Storage.Locations)
	if len(list) == 0 {
		list = []config.Location{{ID: defaultLocation, Class: localStorage, Params: map[string]any{"storage_path": storageFolder}}}
	}
	rank := func(id string) int {
		if i := slices.Index(c.Storage.Preferred, id); i >= 0 {
			return i
		}
		return len(c.Storage.Preferred)
	}
	slices.SortStableFunc(list, func(a, b config.Location) int { return rank(a.ID) - rank(b.ID) })
	return list
}

func closePlaces(places []place) error {
	var errs []error
	for _, p := range places {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

func locations(places []place) []content.Location {
	list := make([]content.Location, 0, len(places))
	for _, p := range places {
		list = append(list, p.Location)
	}
	return list
}

// traceEngine gives each call of an engine a span; without a tracer it is the
// engine itself.
func traceEngine(e blob.Engine, t *telemetry.Tracer, location string) blob.Engine {
	if t == nil {
		return e
	}
	traced := tracedEngine{e, t, location}
	if p, ok := e.(blob.UploadPublisher); ok {
		return &tracedPublisher{traced, p}
	}
	return &traced
}

type tracedEngine struct {
	blob.Engine
	tracer   *telemetry.Tracer
	location string
}

// Unwrap is what blob.As looks into.
func (e *tracedEngine) Unwrap() blob.Engine { return e.Engine }

// A tracedPublisher is a tracedEngine of a blob.UploadPublisher.
type tracedPublisher struct {
	tracedEngine
	publisher blob.UploadPublisher
}

func (e *tracedEngine) span(ctx context.Context, op string) (context.Context, func(error)) {
	ctx, span := e.tracer.Start(ctx, "storage "+op)
	if span.Recording() {
		span.Set(telemetry.Text("gantry.location", e.location))
	}
	return ctx, func(err error) {
		span.Fail(err)
		span.End()
	}
}

func (e *tracedEngine) Upload(ctx context.Context, key string, offset int64, state []byte) (blob.Upload, error) {
	ctx, end := e.span(ctx, "upload")
	u, err := e.Engine.Upload(ctx, key, offset, state)
	end(err)
	return u, err
}

func (e *tracedEngine) Abort(ctx context.Context, key string, state []byte) error {
	ctx, end := e.span(ctx, "abort")
	err := e.Engine.Abort(ctx, key, state)
	end(err)
	return err
}

func (e *tracedEngine) Publish(ctx context.Context, from, to string) error {
	ctx, end := e.span(ctx, "publish")
	err := e.Engine.Publish(ctx, from, to)
	end(err)
	return err
}

// PublishUpload implements blob.UploadPublisher.
func (e *tracedPublisher) PublishUpload(ctx context.Context, u blob.Upload, to string) error {
	ctx, end := e.span(ctx, "publish")
	err := e.publisher.PublishUpload(ctx, u, to)
	end(err)
	return err
}

func (e *tracedEngine) Open(ctx context.Context, key string) (blob.Object, error) {
	ctx, end := e.span(ctx, "open")
	o, err := e.Engine.Open(ctx, key)
	end(err)
	return o, err
}

func (e *tracedEngine) Stat(ctx context.Context, key string) (blob.Info, error) {
	ctx, end := e.span(ctx, "stat")
	i, err := e.Engine.Stat(ctx, key)
	end(err)
	return i, err
}

func (e *tracedEngine) Delete(ctx context.Context, key string) error {
	ctx, end := e.span(ctx, "delete")
	err := e.Engine.Delete(ctx, key)
	end(err)
	return err
}
