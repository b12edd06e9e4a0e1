//go:build !small

package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gantry-registry/gantry/internal/blob/swift"
	"github.com/gantry-registry/gantry/internal/blob/wire"
)

func init() { engines["SwiftStorage"] = openSwift } //nolint:gochecknoinits // a build tag can leave this file out

func openSwift(_ context.Context, src engineSource) (engine, error) {
	o := swift.Options{
		Container: src.String("swift_container"), StoragePath: src.String("storage_path"),
		AuthURL: src.String("auth_url"), AuthVersion: int(src.Int("auth_version")),
		User: src.String("swift_user"), Password: src.String("swift_password"), TempURLKey: src.String("temp_url_key"),
		SimplePathConcat: src.Bool("simple_path_concat"), RootCAs: src.Config.RootCAs(),
		RetryCount: int(src.Int("retry_count")), RetryOnRateLimit: src.Bool("retry_on_ratelimit"), OpenStack: map[string]string{},
	}
	o.ConnectTimeout, _ = src.Params["connect_timeout"].(time.Duration) // 0 where it is not there
	given, _ := src.Params["os_options"].(map[string]any)               // none where it is not there
	for name, value := range given {
		if value != nil {
			o.OpenStack[name] = fmt.Sprint(value) // ids may look like numbers
		}
	}
	if file := src.String("ca_cert_path"); file != "" {
		b, err := readSmall(file)
		if err != nil {
			return nil, fmt.Errorf("ca_cert_path: %w", err)
		}
		if o.RootCAs == nil || !o.RootCAs.AppendCertsFromPEM(b) {
			return nil, errors.New("ca_cert_path: the file has no certificate in PEM form")
		}
	}
	if src.Shared {
		o.Memory = wire.BesideS3
	}
	return swift.New(o)
}
