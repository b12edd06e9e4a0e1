//go:build !small

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/blob/s3"
)

// networksFile is Amazon's ip-ranges.json beside config.yaml, by which a CDN
// knows the clients that are in the bucket's own network.
const networksFile = "aws-ip-ranges.json"

func init() { //nolint:gochecknoinits // a file that a build tag leaves out adds to the table
	for class, open := range map[string]func(engineSource) (s3.Options, error){
		"S3Storage":             s3Options,
		"STSS3Storage":          stsOptions,
		"CloudFrontedS3Storage": s3Options,
		"CloudFlareStorage":     s3Options,
		"AkamaiS3Storage":       s3Options,
		"GoogleCloudStorage":    googleOptions,
		"RadosGWStorage":        radosOptions,
		"RHOCSStorage":          radosOptions,
		"IBMCloudStorage":       radosOptions,
	} {
		engines[class] = func(ctx context.Context, src engineSource) (engine, error) {
			o, err := open(src)
			if err != nil {
				return nil, err
			}
			return openS3(ctx, src, o)
		}
	}
	engines["MultiCDNStorage"] = openMulti
}

// besideOthers is the memory of uploads to S3 where Azure or Swift have the
// rest of the 128 MiB.
var besideOthers = s3.NewPool(96 << 20)

// openS3 opens an engine with what all classes share. Nothing is asked over
// the network: a bucket that does not answer holds up no start.
func openS3(ctx context.Context, src engineSource, o s3.Options) (*s3.Engine, error) {
	o.Location, o.Prefix = src.ID, src.String("storage_path")
	o.MaxObject = src.Config.Registry.MaxLayerSize
	o.PartSize = src.Int("minimum_chunk_size_mb") << 20
	o.RootCAs = src.Config.RootCAs()
	o.Logger, o.Metrics, o.Beside = src.Logger, src.Metrics, len(src.Config.Storage.Locations) > 1
	if src.Shared {
		o.Memory = besideOthers
	}
	return s3.New(ctx, o)
}

// s3Options are of Amazon's classes.
func s3Options(src engineSource) (o s3.Options, err error) {
	secure := true
	if b, ok := src.Params["is_secure"].(bool); ok {
		secure = b
	}
	o = s3.Options{
		Bucket: src.String("s3_bucket"), Region: src.String("s3_region"), Encrypt: true,
		Endpoint: endpoint(cmp.Or(src.String("endpoint_url"), src.String("host")), src.Int("port"), secure),
		MaxCopy:  src.Int("maximum_chunk_size_gb") << 30,
		Credentials: s3.Credentials{AccessKey: src.String("s3_access_key"), SecretKey: src.String("s3_secret_key"),
			SessionToken: src.String("aws_session_token")},
		Fields: s3.Fields{Bucket: "s3_bucket", AccessKey: "s3_access_key", SecretKey: "s3_secret_key", Region: "s3_region", Endpoint: "host or endpoint_url"}, //nolint:gosec // names of parameters
	}
	o.PathStyle = o.Endpoint != ""
	o.CDN, err = cdn(src)
	return o, err
}

// cdn is that of the class, or nil.
func cdn(src engineSource) (s3.CDN, error) {
	var d s3.Direct
	if src.Class == "CloudFrontedS3Storage" || src.Class == "CloudFlareStorage" || src.Class == "AkamaiS3Storage" {
		d.Never = src.Config.Storage.CDNSpecificNamespaces
		if path := src.Config.Bundle.Path(networksFile); path != "" {
			b, err := readBelow(path, s3.MaxNetworks)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", networksFile, err)
			}
			if d.Networks, err = s3.ParseNetworks(b); err != nil {
				return nil, fmt.Errorf("%s: %w", networksFile, err)
			}
		}
	}
	switch src.Class {
	case "CloudFrontedS3Storage":
		key, err := bundled(src, "cloudfront_privatekey_filename")
		if err != nil {
			return nil, err
		}
		domains := map[string]string{}
		overrides, _ := src.Params["cloudfront_distribution_org_overrides"].(map[string]any)
		for ns, v := range overrides {
			domain, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("cloudfront_distribution_org_overrides: the domain of %s is no text", ns)
			}
			domains[ns] = domain
		}
		c, err := s3.NewCloudFront(s3.CloudFrontOptions{Domain: src.String("cloudfront_distribution_domain"), Domains: domains,
			KeyID: src.String("cloudfront_key_id"), Key: key, Direct: d})
		return c, named("cloudfront_…", err)
	case "CloudFlareStorage":
		var key []byte
		if src.String("cloudflare_privatekey_filename") != "" {
			var err error
			if key, err = bundled(src, "cloudflare_privatekey_filename"); err != nil {
				return nil, err
			}
		}
		c, err := s3.NewCloudflare(s3.CloudflareOptions{Domain: src.String("cloudflare_domain"), Key: key, Direct: d})
		return c, named("cloudflare_…", err)
	case "AkamaiS3Storage":
		c, err := s3.NewAkamai(s3.AkamaiOptions{Domain: src.String("akamai_domain"), Secret: src.String("akamai_shared_secret"),
			Encryption: src.String("amz_encryption_token"), Direct: d})
		return c, named("akamai_…", err)
	}
	return nil, nil
}

// named is err with the parameters that it is about.
func named(field string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// bundled reads the file that a parameter names, beside config.yaml.
func bundled(src engineSource, field string) ([]byte, error) {
	path := src.String(field)
	if !filepath.IsAbs(path) {
		path = filepath.Join(src.Config.Bundle.Dir, path)
	}
	b, err := readSmall(path)
	return b, named(field, err)
}

// readBelow reads a file of at most limit bytes.
func readBelow(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, errors.New("the file is too large")
	}
	return os.ReadFile(path)
}

func stsOptions(src engineSource) (s3.Options, error) {
	o, err := s3Options(src)
	o.Credentials = s3.Credentials{AccessKey: src.String("sts_user_access_key"), SecretKey: src.String("sts_user_secret_key"),
		RoleARN: src.String("sts_role_arn"), RoleSession: src.String("sts_role_session_name"), TokenFile: src.String("sts_web_identity_token_file")}
	o.Fields.AccessKey, o.Fields.SecretKey = "sts_user_access_key", "sts_user_secret_key"
	return o, err
}

const googleEndpoint = "https://storage.googleapis.com"

func googleOptions(src engineSource) (s3.Options, error) {
	timeout, _ := src.Params["boto_timeout"].(time.Duration)
	return s3.Options{
		Bucket: src.String("bucket_name"), Region: "auto", Google: true, PathStyle: true, Timeout: timeout,
		Endpoint:    endpoint(cmp.Or(src.String("endpoint_url"), googleEndpoint), 0, true),
		MaxCopy:     src.Int("maximum_chunk_size_gb") << 30,
		Credentials: s3.Credentials{AccessKey: src.String("access_key"), SecretKey: src.String("secret_key")},
		Fields:      s3.Fields{Bucket: "bucket_name", AccessKey: "access_key", SecretKey: "secret_key", Region: "bucket_name", Endpoint: "endpoint_url"},
	}, nil
}

// radosOptions are of Ceph's gateway, NooBaa and IBM.
func radosOptions(src engineSource) (s3.Options, error) {
	return s3.Options{
		Bucket: src.String("bucket_name"), Region: src.String("region_name"), PathStyle: true,
		Endpoint:    endpoint(src.String("hostname"), src.Int("port"), src.Bool("is_secure")),
		MaxCopy:     src.Int("maximum_chunk_size_mb") << 20,
		NoPartCopy:  !src.Bool("server_side_assembly"),
		Credentials: s3.Credentials{AccessKey: src.String("access_key"), SecretKey: src.String("secret_key")},
		Fields:      s3.Fields{Bucket: "bucket_name", AccessKey: "access_key", SecretKey: "secret_key", Region: "region_name", Endpoint: "hostname and port"},
	}, nil
}

// endpoint is the URL of a service by its URL or host; "" = Amazon's. A port
// in the host wins, as does a scheme.
func endpoint(host string, port int64, secure bool) string {
	if host == "" {
		return ""
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if s, rest, ok := strings.Cut(host, "://"); ok {
		scheme, host = s, rest
	}
	host = strings.TrimRight(host, "/")
	if _, _, err := net.SplitHostPort(host); err != nil && port > 0 {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.FormatInt(port, 10))
	}
	return scheme + "://" + host
}

// openMulti opens one bucket with several CDNs before it.
func openMulti(ctx context.Context, src engineSource) (engine, error) {
	base, _ := src.Params["storage_config"].(map[string]any)
	providers, _ := src.Params["providers"].(map[string]any)
	others := map[string]*s3.Engine{}
	fail := func(err error) (engine, error) {
		for _, e := range others {
			err = errors.Join(err, e.Close())
		}
		return nil, err
	}
	for name, v := range providers {
		p, _ := v.(map[string]any)
		class, _ := p["class"].(string)
		params, _ := p["params"].(map[string]any)
		one := src
		one.Class, one.Params = class, multiParams(src.String("storage_path"), base, params)
		o, err := s3Options(one)
		if err == nil {
			others[name], err = openS3(ctx, one, o)
		}
		if err != nil {
			delete(others, name)
			return fail(fmt.Errorf("providers.%s: %w", name, err))
		}
	}
	first := others[src.String("default_provider")]
	if first == nil {
		return fail(errors.New("default_provider is not one of providers"))
	}
	var rules []s3.Rule
	list, _ := src.Params["rules"].([]any)
	for _, v := range list {
		r, _ := v.(map[string]any)
		text := func(key string) string { s, _ := r[key].(string); return s }
		rules = append(rules, s3.Rule{Namespace: text("namespace"), Continent: text("continent"), Host: text("host"), Target: text("target")})
	}
	m, err := s3.NewMulti(first, rules, others)
	if err != nil {
		return fail(fmt.Errorf("rules: %w", err))
	}
	return m, nil
}

// multiParams are the parameters of a CDN: its own on top of the bucket's, but
// for the sizes of parts, which are the bucket's alone.
func multiParams(path string, base, own map[string]any) map[string]any {
	params := map[string]any{"storage_path": path}
	maps.Copy(params, own)
	for k, v := range base {
		if _, set := own[k]; !set || strings.Contains(k, "_chunk_size_") {
			params[k] = v
		}
	}
	if s, _ := params["storage_path"].(string); s == "" {
		params["storage_path"] = path
	}
	// The block is not checked by the table: numbers and switches may be text.
	for k, v := range params {
		s, ok := v.(string)
		switch {
		case !ok:
		case k == "is_secure":
			if b, err := strconv.ParseBool(s); err == nil {
				params[k] = b
			}
		case k == "port" || strings.Contains(k, "_chunk_size_"):
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				params[k] = n
			}
		}
	}
	return params
}
