package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/remote/remotetest"
	"github.com/gantry-registry/gantry/internal/servertest"
	"github.com/gantry-registry/gantry/internal/store"
)

// pushTo pushes an image to a repository of any registry, whose address is
// "http://host/v2/path"; auth is an Authorization, or "".
func pushTo(t *testing.T, repo, auth, tag string, i image) {
	t.Helper()
	header := []string{}
	if auth != "" {
		header = append(header, "Authorization", auth)
	}
	for _, b := range [][]byte{i.config, i.layer} {
		at := send(t, "POST", repo+"/blobs/uploads/", "", header...).header.Get("Location")
		if strings.HasPrefix(at, "/") {
			at = strings.SplitN(repo, "/v2/", 2)[0] + at
		}
		join := "?"
		if strings.Contains(at, "?") {
			join = "&"
		}
		if r := send(t, "PUT", at+join+"digest="+digestOf(b), string(b), append(header, "Content-Type", "application/octet-stream")...); r.status != 201 {
			t.Fatal(r)
		}
	}
	if r := send(t, "PUT", repo+"/manifests/"+tag, string(i.manifest), append(header, "Content-Type", manifestType)...); r.status != 201 {
		t.Fatal(r)
	}
}

// mirrorFields switch mirrors on, which look every second whether one is due.
func mirrorFields(more map[string]any) map[string]any {
	all := map[string]any{"FEATURE_REPO_MIRROR": true, "FEATURE_ORG_MIRROR": true, "REPO_MIRROR_INTERVAL": 1}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// must is api with an answer that is expected.
func (s *proxied) must(status int, method, path, body string) reply {
	s.t.Helper()
	r := s.api(method, path, body)
	if r.status != status {
		s.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	return r
}

// copies makes an organization of that name with a robot, mirror, and in it a
// repository that mirrors upstream ("host/path") with what more says.
func (s *proxied) copies(org, repo, upstream, more string) {
	s.t.Helper()
	s.must(201, "POST", "organization/", fmt.Sprintf(`{"name":%q,"email":"%s@example.com"}`, org, org))
	s.must(201, "PUT", "organization/"+org+"/robots/mirror", `{}`)
	if repo == "" {
		return
	}
	s.must(201, "POST", "repository", fmt.Sprintf(`{"namespace":%q,"repository":%q,"visibility":"private","description":""}`, org, repo))
	s.must(201, "POST", "repository/"+org+"/"+repo+"/mirror", fmt.Sprintf(`{"external_reference":%q,"robot_username":"%s+mirror","sync_start_date":"2099-01-01T00:00:00Z","sync_interval":3600,
		"external_registry_config":{"verify_tls":false}%s}`, upstream, org, more))
}

// everyTag is a rule of a mirror.
const everyTag = `,"root_rule":{"rule_kind":"tag_glob_csv","rule_value":["*"]}`

// A mirrorRun is a run of a mirror as the API shows it.
type mirrorRun struct {
	ID, Status, Message string
	Tags                map[string]int
}

func (s *proxied) runs(repo string) []mirrorRun {
	s.t.Helper()
	var v struct{ Runs []mirrorRun }
	if err := json.Unmarshal([]byte(s.must(200, "GET", "repository/"+repo+"/mirror/runs", "").body), &v); err != nil {
		s.t.Fatal(err)
	}
	return v.Runs
}

// ran waits for the end of run number n of a mirror.
func (s *proxied) ran(repo string, n int) (run mirrorRun) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("run %d of %s ends", n, repo), func() bool {
		all := s.runs(repo)
		if len(all) >= n {
			run = all[len(all)-n]
		}
		return run.Status != "" && run.Status != "running"
	})
	return run
}

// sync runs a mirror and waits for the end.
func (s *proxied) sync(repo string) mirrorRun {
	s.t.Helper()
	n := len(s.runs(repo))
	s.must(204, "POST", "repository/"+repo+"/mirror/sync-now", "")
	return s.ran(repo, n+1)
}

// is pulls a tag and compares it; i without a manifest: it should not be there.
func (s *proxied) is(repo, tag string, i image) {
	s.t.Helper()
	r := s.get(repo, "manifests/"+tag)
	if i.manifest == nil {
		if r.status != 404 {
			s.t.Errorf("%s:%s: %d", repo, tag, r.status)
		}
		return
	}
	if r.status != 200 || r.body != string(i.manifest) {
		s.t.Fatalf("%s:%s: %d %s", repo, tag, r.status, r.body)
	}
	for _, b := range [][]byte{i.config, i.layer} {
		if r := s.get(repo, "blobs/"+digestOf(b)); r.status != 200 || r.body != string(b) {
			s.t.Errorf("%s:%s: a blob: %d, %d bytes", repo, tag, r.status, len(r.body))
		}
	}
}

// TestMirrorOfGantry mirrors a second registry like this one, by a robot that
// may read there: one repository, chosen tags, again when its time comes; and a
// whole organization, found by the API.
func TestMirrorOfGantry(t *testing.T) {
	up, s := proxySite(t, nil), proxySite(t, mirrorFields(nil))
	host := strings.TrimPrefix(up.base, "http://")
	up.must(201, "POST", "organization/", `{"name":"acme","email":"acme@example.com"}`)
	robot, _ := up.must(201, "PUT", "organization/acme/robots/reader", `{}`).json(t)["token"].(string)
	images := map[string]image{}
	push := func(repo, tag string) {
		t.Helper()
		auth, r := up.bearer("ada", password, "repository:acme/"+repo+":pull,push")
		if auth == "" {
			t.Fatal(r)
		}
		images[repo+":"+tag] = newImage(repo + tag)
		pushTo(t, up.base+"/v2/acme/"+repo, auth, tag, images[repo+":"+tag])
	}
	push("app", "v1")
	push("app", "latest")
	push("app", "dev")
	push("tools", "v1")
	push("secret", "v1")
	up.must(200, "PUT", "repository/acme/app/permissions/user/acme+reader", `{"role":"read"}`)

	more := fmt.Sprintf(`,"external_registry_username":"acme+reader","external_registry_password":%q,"root_rule":{"rule_kind":"tag_glob_csv","rule_value":["v*, latest"]}`, robot)
	s.copies("copies", "app", host+"/acme/app", more)
	if run := s.sync("copies/app"); run.Status != "success" || run.Tags["copied"] != 2 {
		t.Fatalf("%+v", run)
	}
	s.is("copies/app", "v1", images["app:v1"])
	s.is("copies/app", "latest", images["app:latest"])
	s.is("copies/app", "dev", image{})
	// Its turn comes by itself; what is new comes, and what is gone goes.
	push("app", "v2")
	up.must(204, "DELETE", "repository/acme/app/tag/latest", "")
	s.must(201, "PUT", "repository/copies/app/mirror", `{"sync_interval":1,"sync_start_date":"2020-01-01T00:00:00Z"}`)
	until(t, "a new tag comes by itself", func() bool { return s.get("copies/app", "manifests/v2").status == 200 })
	s.is("copies/app", "v2", images["app:v2"])
	until(t, "a tag that is gone goes", func() bool { return s.get("copies/app", "manifests/latest").status == 404 })
	s.is("copies/app", "v1", images["app:v1"])
	// A robot that may not read there is told apart from one that may.
	s.copies("closed", "secret", host+"/acme/secret", more)
	if run := s.sync("closed/secret"); run.Status != "failed" || !strings.Contains(run.Message, "may not read") || strings.Contains(run.Message, robot) {
		t.Errorf("%+v", run)
	}

	s.copies("all", "", "", "")
	s.must(201, "POST", "organization/all/mirror", fmt.Sprintf(`{"external_registry_type":"gantry","external_registry_url":"http://%s","external_namespace":"acme",
		"external_registry_username":"$oauthtoken","external_registry_password":%q,"external_registry_config":{"verify_tls":false},"robot_username":"all+mirror","visibility":"private",
		"sync_interval":3600,"sync_start_date":"2099-01-01T00:00:00Z","repository_filters":["app","tool*"]}`, host, up.token))
	s.must(204, "POST", "organization/all/mirror/sync-now", "")
	until(t, "the organization is here", func() bool {
		return s.get("all/app", "manifests/dev").status == 200 && s.get("all/tools", "manifests/v1").status == 200
	})
	s.is("all/app", "dev", images["app:dev"])
	s.is("all/tools", "v1", images["tools:v1"])
	if r := s.api("GET", "repository/all/secret", ""); r.status != 404 {
		t.Errorf("what no filter chose: %d", r.status)
	}
	push("tools", "v2")
	s.must(204, "POST", "organization/all/mirror/sync-now", "")
	until(t, "the organization is kept in step", func() bool { return s.get("all/tools", "manifests/v2").status == 200 })
	for _, secret := range []string{robot, up.token} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("a password is in the log")
		}
	}
}

// TestMirrorsQueued: where workers of their own mirror, and none is there, the
// mirrors that are due wait in the queue that an autoscaler looks at.
func TestMirrorsQueued(t *testing.T) {
	roles, err := ParseRoles("registry,api,gc,jobs,notify,replicate")
	if err != nil {
		t.Fatal(err)
	}
	s := &proxied{site: open(t, Options{Roles: roles, Environ: override(t, mirrorFields(map[string]any{"FEATURE_USER_INITIALIZE": true, "SUPER_USERS": []string{"ada"}}))})}
	s.token = s.initialize("ada")
	s.copies("copies", "app", "127.0.0.1:1/acme/app", everyTag)
	s.must(201, "PUT", "repository/copies/app/mirror", `{"sync_interval":3600,"sync_start_date":"2020-01-01T00:00:00Z"}`)
	until(t, "the mirror waits", func() bool {
		list, err := s.db.JobBacklog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(list, store.JobBacklog{Kind: store.JobMirror, Due: 1})
	})
	if runs := s.runs("copies/app"); len(runs) != 0 {
		t.Errorf("it ran: %+v", runs)
	}
}

// TestMirrorOfReal mirrors Docker's own registry, by one repository and by its
// catalog.
func TestMirrorOfReal(t *testing.T) {
	d := servertest.Distribution(t)
	one, two := newImage("one"), newImage("two")
	pushTo(t, "http://"+d.Host+"/v2/team/app", "", "v1", one)
	pushTo(t, "http://"+d.Host+"/v2/team/tools", "", "v1", two)
	s := proxySite(t, mirrorFields(nil))
	s.copies("copies", "app", d.Host+"/team/app", everyTag)
	if run := s.sync("copies/app"); run.Status != "success" || run.Tags["copied"] != 1 {
		t.Fatalf("%+v", run)
	}
	s.is("copies/app", "v1", one)
	pushTo(t, "http://"+d.Host+"/v2/team/app", "", "v1", two) // it moves
	if run := s.sync("copies/app"); run.Status != "success" || run.Tags["copied"] != 1 {
		t.Fatalf("%+v", run)
	}
	s.is("copies/app", "v1", two)
	if run := s.sync("copies/app"); run.Status != "success" || run.Tags["unchanged"] != 1 {
		t.Fatalf("%+v", run)
	}
	s.copies("all", "", "", "")
	s.must(201, "POST", "organization/all/mirror", fmt.Sprintf(`{"external_registry_type":"catalog","external_registry_url":"http://%s","external_namespace":"team",
		"external_registry_config":{"verify_tls":false},"robot_username":"all+mirror","visibility":"public","sync_interval":3600,"sync_start_date":"2099-01-01T00:00:00Z"}`, d.Host))
	s.must(204, "POST", "organization/all/mirror/sync-now", "")
	until(t, "the organization is here", func() bool {
		return s.get("all/app", "manifests/v1").status == 200 && s.get("all/tools", "manifests/v1").status == 200
	})
	s.is("all/tools", "v1", two)
	d.Kill()
	if run := s.sync("copies/app"); run.Status != "failed" || !strings.Contains(run.Message, "cannot be connected to") {
		t.Errorf("upstream was killed: %+v", run)
	}
	s.is("copies/app", "v1", two)
}

// TestMirrorLocationLost: a storage location that fails in the middle of a run
// damages nothing, and when it works again the next run completes, and both
// locations have all of it, as of a push.
func TestMirrorLocationLost(t *testing.T) {
	u := remotetest.New(t, remotetest.Options{})
	var layers [][]byte
	for n := range 12 {
		layers = append(layers, []byte(strings.Repeat(fmt.Sprintf("layer %d ", n), 20_000)))
		u.AddImage("app", fmt.Sprintf("v%02d", n), layers[n])
	}
	sites := memSites(t, "us", "eu")
	s := proxySite(t, mirrorFields(map[string]any{"FEATURE_STORAGE_REPLICATION": true, "DISTRIBUTED_STORAGE_PREFERENCE": []string{"us", "eu"}, "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": []string{"us", "eu"},
		"DISTRIBUTED_STORAGE_CONFIG": map[string]any{
			"us": []any{"S3Storage", map[string]any{"s3_bucket": "us", "storage_path": "/"}},
			"eu": []any{"S3Storage", map[string]any{"s3_bucket": "eu", "storage_path": "/"}},
		}}))
	s.copies("copies", "app", u.Host+"/app", everyTag)
	var blobs atomic.Int64
	u.Break("GET", "/blobs/", -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if blobs.Add(1) == 8 {
			sites["us"].SetHook(func(context.Context, *blobtest.Call) error { return errors.New("away") })
		}
		next.ServeHTTP(w, r)
	})
	run := s.sync("copies/app")
	if run.Status != "success" && (run.Status != "failed" || run.Message == "" || strings.Contains(run.Message, "internal error")) {
		t.Errorf("%+v", run)
	}
	t.Logf("while a location was lost: %+v", run)
	sites["us"].SetHook(nil)
	until(t, "the next run completes", func() bool { return s.sync("copies/app").Status == "success" })
	for n, layer := range layers {
		if r := s.get("copies/app", fmt.Sprintf("manifests/v%02d", n)); r.status != 200 {
			t.Errorf("v%02d: %v", n, r)
		}
		if r := s.get("copies/app", "blobs/"+digestOf(layer)); r.status != 200 || r.body != string(layer) {
			t.Errorf("layer %d: %d, %d bytes", n, r.status, len(r.body))
		}
	}
	admin := NewAdmin(Options{Data: s.data})
	until(t, "both locations have all", func() bool {
		status, err := admin.StorageStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range status.Locations {
			if l.LagBlobs != 0 || len(blobtest.Keys(t, sites[l.Name].inner, "", "")) < 2*len(layers) { // and a configuration each
				return false
			}
		}
		return len(status.Locations) == 2
	})
}

// TestMirrorKilled: the process that runs a mirror is killed as by kill -9, and
// another one ends the same run, from the last layer.
func TestMirrorKilled(t *testing.T) {
	eachGroup(t, func(t *testing.T, g *group) {
		u := remotetest.New(t, remotetest.Options{})
		const images = 12
		for n := range images {
			u.AddImage("app", fmt.Sprintf("v%02d", n), []byte(strings.Repeat(fmt.Sprintf("layer %d of %s ", n, g.dialect), 5000)), []byte(fmt.Sprintf("small %d", n)))
		}
		var blobs atomic.Int64
		stuck := make(chan struct{}, 1000)
		u.Break("GET", "/blobs/", -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if blobs.Add(1) > 20 {
				stuck <- struct{}{}
				<-r.Context().Done() // until the process is gone
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
		for k, v := range mirrorFields(map[string]any{"SUPER_USERS": []string{"ada"}, "SSRF_ALLOWED_HOSTS": []string{"127.0.0.1"}}) {
			g.fields[k] = v
		}
		victim := g.child()
		s := &proxied{site: &site{t: t, base: victim.base}}
		s.token = s.initialize("ada")
		s.copies("copies", "app", u.Host+"/app", everyTag)
		s.must(204, "POST", "repository/copies/app/mirror/sync-now", "")
		select {
		case <-stuck:
		case <-time.After(time.Minute):
			t.Fatal("the run does not begin")
		}
		before := s.runs("copies/app")
		victim.kill()
		u.Mend()
		u.Forget()
		// Its clock is ahead, so that the lost worker's lease is over.
		other := g.open(g.uri, Options{now: func() time.Time { return time.Now().Add(3 * time.Minute) }})
		s = &proxied{site: other, token: s.token}
		run := s.ran("copies/app", 1)
		if len(before) != 1 || run.ID != before[0].ID || run.Status != "success" || run.Tags["total"] != images {
			t.Fatalf("%+v, and before: %+v", run, before)
		}
		if n := u.Count("GET", "/blobs/"); n > 3*images-10 {
			t.Errorf("%d blobs of %d were fetched again", n, 3*images)
		}
		auth, _ := s.bearer("ada", password, "repository:copies/app:pull")
		for n := range images {
			if r := send(t, "GET", s.base+fmt.Sprintf("/v2/copies/app/manifests/v%02d", n), "", "Authorization", auth, "Accept", manifestType); r.status != 200 {
				t.Errorf("v%02d: %d", n, r.status)
			}
		}
	})
}
