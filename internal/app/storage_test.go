package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/blob/mem"
	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/store"
)

// memSite is an object store of a test.
type memSite struct {
	*blobtest.FaultyEngine
	inner *mem.Engine
}

func (memSite) Close() error { return nil }

// memSites has locations of class S3Storage be in memory, until the test ends.
func memSites(t *testing.T, names ...string) map[string]memSite {
	t.Helper()
	sites := map[string]memSite{}
	for _, name := range names {
		inner := mem.NewWith(mem.Options{NoPublish: true})
		sites[name] = memSite{blobtest.Faulty(inner, nil), inner}
	}
	was, there := engines["S3Storage"]
	engines["S3Storage"] = func(_ context.Context, src engineSource) (engine, error) { return sites[src.ID], nil }
	t.Cleanup(func() {
		if delete(engines, "S3Storage"); there {
			engines["S3Storage"] = was
		}
	})
	return sites
}

// TestSites is a registry on two object stores: what is pushed comes to both,
// each can be away, and one is emptied.
func TestSites(t *testing.T) {
	sites := memSites(t, "us", "eu")
	locations := map[string]any{}
	for name := range sites {
		locations[name] = []any{"S3Storage", map[string]any{"s3_bucket": name, "storage_path": "/"}}
	}
	o := Options{Environ: append(override(t, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": locations, "FEATURE_STORAGE_REPLICATION": true,
		"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": []string{"us", "eu"}, "FEATURE_USER_INITIALIZE": true}),
		"QUAY_DISTRIBUTED_STORAGE_PREFERENCE=us eu")}
	s := open(t, o)
	s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push&scope=repository:ada/other:pull,push")
	admin := NewAdmin(Options{Data: s.data})
	status := func() StorageStatus {
		t.Helper()
		st, err := admin.StorageStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	copied := func() bool {
		if n, err := s.db.Reader(t.Context(), store.CopiesReader); err != nil || n == 0 {
			return false // the journal is not followed yet
		}
		for _, l := range status().Locations {
			if l.LagBlobs != 0 {
				return false
			}
		}
		return true
	}
	first := newImage("first")
	if r := s.push(auth, "ada/app", "v1", first); r.status != http.StatusCreated {
		t.Fatal(r)
	}
	objects := func(name string) int { return len(blobtest.Keys(t, sites[name].inner, "", "")) }
	if objects("us") == 0 {
		t.Error("the push did not go to the preferred location")
	}
	until(t, "both sites have the image", func() bool { return copied() && objects("eu") >= 2 })
	away := func(context.Context, *blobtest.Call) error { return errors.New("away") }
	sites["us"].SetHook(away)
	second := newImage("second")
	if r := s.push(auth, "ada/other", "v1", second); r.status != http.StatusCreated { // it finds out itself
		t.Errorf("push with a site away: %d %s", r.status, r.body)
	}
	if r := s.pull(auth, "ada/app", first); r.status != 200 {
		t.Errorf("pull with a site away: %d %s", r.status, r.body)
	}
	until(t, "the ledger has what the site lacks", func() bool {
		st := status()
		return st.Locations[0].Name == "us" && st.Locations[0].LagBlobs > 0 && st.Locations[0].Writes != "closed"
	})
	if r := send(t, "GET", s.base+"/health/endtoend", ""); r.status != 503 { // the preferred one is away
		t.Errorf("health: %d %s", r.status, r.body)
	}
	sites["us"].SetHook(nil)
	until(t, "the site has caught up", copied)

	n, err := admin.NamespaceStorage(t.Context(), NamespaceStorage{Namespace: "ada", Locations: []string{"eu"}, Set: true})
	if err != nil || fmt.Sprint(n.Locations, n.Excluded) != "[eu] []" {
		t.Errorf("locations of a namespace: %+v, %v", n, err)
	}
	var told int
	for _, r := range []StorageRequest{{Kind: "fill"}, {Kind: "verify", Repair: true, Rate: -1}, {Kind: "repair"}, {Kind: "evacuate", Location: "us"}} {
		j, err := admin.Storage(t.Context(), r, func(StorageJob) { told++ })
		if err != nil || j.State != "done" || j.Damaged != 0 {
			t.Fatalf("%s: %+v, %v", r.Kind, j, err)
		}
	}
	if told < 4 {
		t.Errorf("told %d times how far the work is", told)
	}
	if st := status(); st.Locations[0].State != store.LocationRemoved {
		t.Errorf("%+v", st.Locations)
	}
	sites["us"].SetHook(away) // it is taken down
	for repo, i := range map[string]image{"ada/app": first, "ada/other": second} {
		if r := s.pull(auth, repo, i); r.status != 200 {
			t.Errorf("pull after the evacuation: %d %s", r.status, r.body)
		}
	}
	if _, err := admin.Storage(t.Context(), StorageRequest{Kind: "evacuate", Location: "none"}, func(StorageJob) {}); err == nil {
		t.Error("a location that there is not was emptied")
	}
	// Without a server the command does the work itself.
	sites["us"].SetHook(nil)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Data = s.data
	if j, err := NewAdmin(o).Storage(t.Context(), StorageRequest{Kind: "fill", Location: "us"}, func(StorageJob) {}); err != nil || j.State != "done" {
		t.Errorf("fill without a server: %+v, %v", j, err)
	}
	if !strings.Contains(s.log.String(), "goes to another location") {
		t.Error("the log does not say that an upload went elsewhere")
	}
}

// TestWrongBytes: a layer that a location gives with other bytes breaks off
// before its end, and the next pull is right; a layer of which there is no
// whole copy is "not there" for a push, which brings it again, and not now for
// a pull.
func TestWrongBytes(t *testing.T) {
	sites := memSites(t, "us", "eu")
	locations := map[string]any{}
	for name := range sites {
		locations[name] = []any{"S3Storage", map[string]any{"s3_bucket": name, "storage_path": "/"}}
	}
	s := open(t, Options{Environ: append(override(t, map[string]any{"DISTRIBUTED_STORAGE_CONFIG": locations, "FEATURE_STORAGE_REPLICATION": true,
		"DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": []string{"us", "eu"}, "FEATURE_USER_INITIALIZE": true}),
		"QUAY_DISTRIBUTED_STORAGE_PREFERENCE=us eu")})
	s.initialize("ada")
	auth, _ := s.bearer("ada", password, "repository:ada/app:pull,push")
	i := newImage(strings.Repeat("large", 20)) // more than is read before the first byte goes out
	if r := s.push(auth, "ada/app", "v1", i); r.status != http.StatusCreated {
		t.Fatal(r)
	}
	d, err := gantry.ParseDigest(digestOf(i.layer))
	if err != nil {
		t.Fatal(err)
	}
	// A site holds the layer when it has that and the configuration, and nothing
	// that is on its way: a copy may be written under another key first.
	holds := func(name string) bool {
		keys := blobtest.Keys(t, sites[name].inner, "", "")
		return len(keys) == 2 && slices.ContainsFunc(keys, func(key string) bool {
			o, err := sites[name].inner.Open(t.Context(), key)
			if err != nil { // it has moved since
				return false
			}
			body, err := io.ReadAll(o)
			return errors.Join(err, o.Close()) == nil && bytes.Equal(body, i.layer)
		})
	}
	damage := func(names ...string) {
		bad := bytes.Clone(i.layer)
		bad[1000] ^= 1
		for _, name := range names {
			for _, key := range blobtest.Keys(t, sites[name].inner, "", "") {
				if len(blobtest.Get(t, sites[name].inner, key)) == len(bad) {
					blobtest.Put(t, sites[name].inner, key, bad)
				}
			}
		}
	}
	url := s.base + "/v2/ada/app/blobs/" + d.String()
	get := func() (status int, body []byte, err error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", auth)
		res, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(res.Body)
		return res.StatusCode, body, errors.Join(err, res.Body.Close())
	}
	whole := func() bool {
		t.Helper()
		status, body, err := get()
		if err == nil && status == 200 && !bytes.Equal(body, i.layer) {
			t.Fatalf("%d wrong bytes were given as a whole layer", len(body))
		}
		return err == nil && status == 200
	}
	until(t, "both sites have the layer", func() bool { return holds("us") && holds("eu") })
	damage("us")
	if status, body, err := get(); status != 200 || err == nil || len(body) >= len(i.layer) {
		t.Errorf("a damaged layer: %d, %d bytes of %d, %v", status, len(body), len(i.layer), err)
	}
	if !whole() {
		t.Error("the next pull is not from the other site")
	}
	until(t, "the layer is repaired", func() bool { return holds("us") })
	damage("us", "eu")
	until(t, "no copy is taken for whole", func() bool { _ = whole(); return send(t, "HEAD", url, "", "Authorization", auth).status == 404 })
	if r := send(t, "GET", url, "", "Authorization", auth); r.status != 503 || r.header.Get("Retry-After") != "60" || !strings.Contains(r.body, "push it again") {
		t.Errorf("a layer that is lost: %d %q %s", r.status, r.header.Get("Retry-After"), r.body)
	}
	if r := s.push(auth, "ada/app", "v1", i); r.status != http.StatusCreated {
		t.Errorf("the push that brings it again: %d %s", r.status, r.body)
	}
	if r := s.pull(auth, "ada/app", i); r.status != 200 {
		t.Errorf("the pull after it: %d %s", r.status, r.body)
	}
}
