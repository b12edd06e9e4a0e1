//go:build !small

package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/config"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store/storetest"
)

// s3Params are those of S3Storage on an empty bucket.
func s3Params(t *testing.T) map[string]any {
	t.Helper()
	srv := servertest.S3(t)
	host, port, _ := strings.Cut(srv.Addr, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"s3_bucket": srv.Bucket(t), "storage_path": "/quay", "s3_access_key": srv.AccessKey, "s3_secret_key": srv.SecretKey,
		"s3_region": servertest.Region, "host": host, "port": n, "is_secure": false}
}

// TestS3 runs two servers on one PostgreSQL and one bucket: a chunked upload
// goes on from one to the other, blobs come by redirect or, with
// FEATURE_PROXY_STORAGE, through the server.
func TestS3(t *testing.T) {
	fields := map[string]any{
		"DB_URI": storetest.EmptyURI(t, storetest.Postgres), "SECRET_KEY": strings.Repeat("s", 32), "DATABASE_SECRET_KEY": strings.Repeat("d", 32),
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"bucket": []any{"S3Storage", s3Params(t)}},
		"FEATURE_USER_INITIALIZE":    true, "SERVER_HOSTNAME": "s3.example.com",
	}
	one := open(t, Options{Environ: override(t, fields)})
	one.initialize("ada")
	fields["FEATURE_PROXY_STORAGE"] = true
	two := open(t, Options{Environ: override(t, fields)})
	auth, _ := one.bearer("ada", password, "repository:ada/app:pull,push")

	data := string(blobtest.Bytes(1, 13<<20))
	digest := digestOf([]byte(data))
	r := send(t, "POST", one.base+"/v2/ada/app/blobs/uploads/", "", "Authorization", auth)
	at := 0
	for i, to := range []int{1000, 6 << 20, len(data)} {
		_, path, _ := strings.Cut(r.header.Get("Location"), "/v2/")
		path, _, _ = strings.Cut(path, "?")
		base := []*site{two, one, two}[i].base
		r = send(t, "PATCH", base+"/v2/"+path, data[at:to], "Authorization", auth, "Content-Type", "application/octet-stream", "Content-Range", fmt.Sprintf("%d-%d", at, to-1))
		if r.status != 202 {
			t.Fatalf("PATCH %d: %d %s", i, r.status, r.body)
		}
		at = to
	}
	_, path, _ := strings.Cut(r.header.Get("Location"), "/v2/")
	path, _, _ = strings.Cut(path, "?")
	if r = send(t, "PUT", one.base+"/v2/"+path+"?digest="+digest, "", "Authorization", auth); r.status != 201 {
		t.Fatalf("PUT: %d %s", r.status, r.body)
	}

	r = send(t, "GET", one.base+"/v2/ada/app/blobs/"+digest, "", "Authorization", auth)
	if url := r.header.Get("Location"); r.status != http.StatusFound || !strings.Contains(url, "X-Amz-Signature=") {
		t.Fatalf("GET: %d, Location %q", r.status, url)
	}
	if got := send(t, "GET", r.header.Get("Location"), ""); got.status != 200 || got.body != data {
		t.Errorf("the bucket: %d, %d bytes", got.status, len(got.body))
	}
	if r = send(t, "GET", two.base+"/v2/ada/app/blobs/"+digest, "", "Authorization", auth); r.status != 200 || r.body != data {
		t.Errorf("with FEATURE_PROXY_STORAGE: %d, %d bytes", r.status, len(r.body))
	}
	if r = send(t, "GET", two.base+"/v2/ada/app/blobs/"+digest, "", "Authorization", auth, "Range", "bytes=7000000-7000099"); r.status != 206 || r.body != data[7000000:7000100] {
		t.Errorf("Range: %d, %d bytes", r.status, len(r.body))
	}
	if r := two.both("ada/small"); r.status != 200 {
		t.Errorf("push and pull of an image: %d %s", r.status, r.body)
	}
	if r := send(t, "GET", one.base+"/health/endtoend", ""); r.status != 200 {
		t.Errorf("health: %d %s", r.status, r.body)
	}
}

// A bucket that does not answer holds up no start; pushes are told to wait.
func TestS3Away(t *testing.T) {
	t.Parallel() // most of it is waiting
	params := s3Params(t)
	p := servertest.NewProxy(t, servertest.S3(t).Addr)
	params["host"], params["port"] = p.Addr(), 0
	delete(params, "port")
	p.Cut()
	s := open(t, Options{Environ: override(t, map[string]any{"FEATURE_USER_INITIALIZE": true,
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{"bucket": []any{"S3Storage", params}}})})
	s.initialize("ada")
	if r := s.both("ada/app"); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("push while the bucket is away: %d %v %s", r.status, r.header, r.body)
	}
	p.Heal()
	until(t, "the bucket is back", func() bool { return s.takes("ada/app") })
}

// takes reports whether a push is taken.
func (s *site) takes(repo string) bool {
	auth, _ := s.bearer("ada", password, "repository:"+repo+":pull,push")
	return s.push(auth, repo, "v1", newImage(repo)).status == 201
}

// TestS3Classes opens each class with Quay's parameters, on versitygw where
// the class has an address of its own.
func TestS3Classes(t *testing.T) {
	srv := servertest.S3(t)
	_, port, _ := strings.Cut(srv.Addr, ":")
	n, err := strconv.ParseInt(port, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(testRSAKey(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, networksFile), []byte(`{"prefixes":[{"ip_prefix":"198.51.100.0/24","region":"us-east-1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	rados := map[string]any{"hostname": "127.0.0.1", "port": n, "is_secure": false, "access_key": srv.AccessKey, "secret_key": srv.SecretKey, "storage_path": "/x",
		"minimum_chunk_size_mb": int64(5), "maximum_chunk_size_mb": int64(100), "server_side_assembly": true, "bucket_name": srv.Bucket(t)}
	amazon := map[string]any{"endpoint_url": srv.URL(), "s3_access_key": srv.AccessKey, "s3_secret_key": srv.SecretKey, "s3_region": servertest.Region,
		"storage_path": "/x", "s3_bucket": srv.Bucket(t), "maximum_chunk_size_gb": int64(5), "minimum_chunk_size_mb": int64(5)}
	with := func(m map[string]any, more map[string]any) map[string]any {
		m = maps.Clone(m)
		maps.Copy(m, more)
		return m
	}
	front := map[string]any{"cloudfront_distribution_domain": "d.example.com", "cloudfront_key_id": "K", "cloudfront_privatekey_filename": "key.pem",
		"cloudfront_distribution_org_overrides": map[string]any{"acme": "acme.example.com"}}
	flare := map[string]any{"cloudflare_domain": "f.example.com", "cloudflare_privatekey_filename": "key.pem"}
	classes := []struct {
		class, url string // url: host of addresses; "" = not used, for it is not here
		params     map[string]any
	}{
		{"S3Storage", srv.Addr, amazon},
		{"RadosGWStorage", srv.Addr, rados},
		{"RHOCSStorage", srv.Addr, with(rados, map[string]any{"server_side_assembly": false})},
		{"IBMCloudStorage", srv.Addr, rados},
		{"CloudFrontedS3Storage", "acme.example.com", with(amazon, front)},
		{"CloudFlareStorage", "f.example.com", with(amazon, flare)},
		{"AkamaiS3Storage", "a.example.com", with(amazon, map[string]any{"akamai_domain": "a.example.com", "akamai_shared_secret": "00ff"})},
		{"MultiCDNStorage", "f.example.com", map[string]any{"storage_config": amazon, "default_provider": "front", "providers": map[string]any{
			"front": []any{"CloudFrontedS3Storage", front}, "flare": []any{"CloudFlareStorage", flare}},
			"rules": []any{map[string]any{"namespace": "acme", "target": "flare"}}}},
		{"GoogleCloudStorage", "", map[string]any{"access_key": "GOOG", "secret_key": "s", "bucket_name": "b"}},
		{"STSS3Storage", "", map[string]any{"s3_bucket": "b", "sts_role_arn": "arn:aws:iam::1:role/r", "sts_user_access_key": "a", "sts_user_secret_key": "s"}},
	}
	list := map[string]any{}
	for _, c := range classes {
		list[strings.ToLower(c.class)] = []any{c.class, c.params}
	}
	cfg, _, err := config.Load(config.Options{Dir: dir, Environ: override(t, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": list})})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range classes {
		i := slices.IndexFunc(cfg.Storage.Locations, func(l config.Location) bool { return l.Class == c.class })
		e, err := openEngine(t.Context(), engineSource{Location: cfg.Storage.Locations[i], Config: cfg})
		if err != nil {
			t.Errorf("%s: %v", c.class, err)
			continue
		}
		if c.url != "" {
			data := blobtest.Bytes(1, 6<<20)
			blobtest.Put(t, e, "sha256/ab/abc", data)
			if got := blobtest.Get(t, e, "sha256/ab/abc"); string(got) != string(data) {
				t.Errorf("%s: other bytes", c.class)
			}
		}
		o := blob.URLOptions{Namespace: "acme", Client: addrOf(t, "192.0.2.1")}
		if c.url == "" {
			// Nothing is asked over the network by opening.
		} else if u, err := e.URL(t.Context(), "sha256/ab/abc", o); err != nil || !strings.Contains(u, "//"+c.url+"/") || strings.Contains(u, srv.SecretKey) {
			t.Errorf("%s: URL %q, %v; want one of %s", c.class, u, err, c.url)
		}
		if err := e.Close(); err != nil {
			t.Errorf("%s: Close: %v", c.class, err)
		}
	}
	for want, got := range map[string]string{
		"https://h": endpoint("h", 0, true), "http://h:9000": endpoint("h", 9000, false), "https://h:1": endpoint("h:1", 9000, true),
		"http://h:2": endpoint("http://h:2/", 0, true), "https://[::1]:3": endpoint("::1", 3, true), "": endpoint("", 4, true),
	} {
		if got != want {
			t.Errorf("endpoint = %q; want %q", got, want)
		}
	}
}

func addrOf(t *testing.T, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func testRSAKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// TestUploadMemory: all uploads of a process hold 128 MiB at most, whatever the
// services of its locations are.
func TestUploadMemory(t *testing.T) {
	for want, classes := range map[string][]string{
		"alone": {"S3Storage", "RadosGWStorage", "LocalStorage"}, "others alone": {"AzureStorage", "SwiftStorage"}, "shared": {"IBMCloudStorage", "LocalStorage", "SwiftStorage"},
	} {
		var list []config.Location
		for _, c := range classes {
			list = append(list, config.Location{Class: c})
		}
		if got := sharesMemory(list); got != (want == "shared") {
			t.Errorf("%v: shared is %v", classes, got)
		}
	}
}
