package clients

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// caches are an upstream and a registry with an organization "hub" that stands
// for it.
type caches struct {
	upstream, cache *server
	token           string       // for the API of the cache
	kill            func() error // ends the upstream
}

func newCaches(t *testing.T) (c caches) {
	t.Helper()
	onlyGantry(t, "it takes two of ours")
	begin := func(configuration string) (*server, account, func() error) {
		dir := t.TempDir()
		conf := filepath.Join(dir, "conf")
		if err := os.Mkdir(conf, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(conf, "config.yaml"), "FEATURE_USER_INITIALIZE: true\n"+configuration)
		s, err := start(os.Getenv("GANTRY_BIN"), dir, "--config", conf)
		if err != nil {
			t.Fatal(err)
		}
		kill := sync.OnceValue(s.kill)
		t.Cleanup(func() {
			if err := kill(); err != nil {
				t.Error(err)
			}
		})
		a, err := s.initialize()
		if err != nil {
			t.Fatal(err)
		}
		return s, a, kill
	}
	c.upstream, _, c.kill = begin("")
	cache, a, _ := begin("FEATURE_PROXY_CACHE: true\nSSRF_ALLOWED_HOSTS: [127.0.0.1]\n")
	c.cache, c.token = cache, a.Token
	c.call(t, "organization/", map[string]any{"name": "hub", "email": "hub@example.com"})
	c.call(t, "organization/hub/proxycache", map[string]any{"upstream_registry": c.upstream.addr, "insecure": true,
		"upstream_registry_username": user, "upstream_registry_password": pass, "expiration_s": 3600})
	return c
}

// call posts to the API of the cache.
func (c caches) call(t *testing.T, path string, body map[string]any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.cache.fetch(t.Context(), http.MethodPost, "/api/v1/"+path, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.token}}, b)
	if err != nil || res.status != http.StatusCreated {
		t.Fatalf("%s: %d %s, %v", path, res.status, res.body, err)
	}
}

// push puts an image into the upstream.
func (c caches) push(t *testing.T, repo string) string {
	t.Helper()
	img, err := random.Image(300_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	at, err := name.ParseReference(c.upstream.addr+"/"+repo+":v1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(at, img, remote.WithAuth(&authn.Basic{Username: user, Password: pass}), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return imageDigest(t, img).String()
}

// TestProxyCachePodman pulls with podman: by the name of the organization, and
// by upstream's own name through a mirror of registries.conf; and again when
// upstream is no more.
func TestProxyCachePodman(t *testing.T) {
	c := newCaches(t)
	b := newBox(t, "podman")
	want := c.push(t, user+"/app")
	auth, err := json.Marshal(map[string]any{"auths": map[string]any{c.cache.addr: map[string]any{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.dir, "auth.json"), string(auth))
	write(t, filepath.Join(b.dir, "registries.conf"), `unqualified-search-registries = []

[[registry]]
prefix = "`+c.upstream.addr+`"
location = "`+c.upstream.addr+`"
insecure = true

[[registry.mirror]]
location = "`+c.cache.addr+`/hub"
insecure = true

[[registry]]
location = "`+c.cache.addr+`"
insecure = true
`)
	theirs, ours := c.upstream.addr+"/"+user+"/app:v1", c.cache.addr+"/hub/"+user+"/app:v1"
	digest := func(image string) string {
		t.Helper()
		b.run(t, "podman", "pull", "--quiet", image)
		d := b.run(t, "podman", "image", "inspect", "--format", "{{.Digest}}", image)
		b.run(t, "podman", "rmi", "--force", image)
		return d
	}
	if got := digest(theirs); got != want { // podman has no credentials for upstream: only the mirror gives it
		t.Errorf("through the mirror: %s, want %s", got, want)
	}
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{theirs, ours} {
		if got := digest(image); got != want {
			t.Errorf("%s without upstream: %s, want %s", image, got, want)
		}
	}
	if _, errs, err := b.try(t.Context(), "", "podman", "pull", "--quiet", c.cache.addr+"/hub/"+user+"/never:v1"); err == nil {
		t.Error("what upstream never had is pulled")
	} else if !strings.Contains(errs, "manifest unknown") && !strings.Contains(errs, "upstream") && !strings.Contains(errs, "not found") {
		t.Errorf("it does not say why: %s", errs)
	}
}

// TestProxyCacheContainerd pulls as containerd with a hosts.toml: one endpoint
// for all upstreams, which containerd names as ns; and again when upstream is
// no more.
func TestProxyCacheContainerd(t *testing.T) {
	c := newCaches(t)
	want := c.push(t, user+"/app")
	root := t.TempDir()
	dir := filepath.Join(root, strings.Replace(c.upstream.addr, ":", "_", 1)+"_")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hosts.toml"), `server = "http://`+c.upstream.addr+`"

[host."http://`+c.cache.addr+`"]
capabilities = ["pull", "resolve"]
`)
	pull := func() {
		t.Helper()
		res := docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(t.Context(), config.HostOptions{
			HostDir: config.HostDirFromRoot(root),
			Credentials: func(host string) (string, string, error) {
				if host == c.cache.addr { // none for upstream: only the mirror gives it
					return user, pass, nil
				}
				return "", "", nil
			},
		})})
		if got := pullContainerd(t, res, c.upstream.addr+"/"+user+"/app:v1"); got.Digest.String() != want {
			t.Errorf("%s, want %s", got.Digest, want)
		}
	}
	pull()
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	pull()
}
